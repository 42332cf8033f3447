//! Objects that take no appends: sealed ones, and those that were not created by an append.

use super::report::ConformanceReport;
use super::{Case, Fail, Suite, demand, note, refused};
use crate::error::Refusal;
use crate::store::AppendStore;
use crate::values::info::ObjectKind;

impl<S: AppendStore> Suite<'_, S> {
    pub(super) async fn states(&self, report: &mut ConformanceReport) {
        let case = self.seals().await;
        note(report, "a_sealed_object_takes_no_appends", case);
        let case = self.seals_at_its_length().await;
        note(report, "an_object_is_sealed_at_its_length_only", case);
        let case = self.foreign().await;
        note(report, "a_foreign_object_takes_no_appends", case);
    }

    fn can_seal(&self) -> Case {
        match self.given.seals {
            true => Ok(()),
            false => Err(Fail::Skip("objects cannot be sealed")),
        }
    }

    async fn seals(&self) -> Case {
        self.can_seal()?;
        let object = self.object("sealed")?;
        self.append(&object, 0, "done").await?;
        self.store.seal(&object, 4).await?;
        let info = self.info(&object).await?;
        demand(info.sealed, "a look shows that an object is sealed", &info)?;
        let what = "an append to a sealed object is refused as Refusal::Sealed";
        let outcome = self.append(&object, 4, "more").await;
        refused(outcome, Refusal::Sealed, what)?;
        let what = "a refused append changes nothing";
        self.holds(&object, b"done", what).await?;
        let again = self.store.seal(&object, 4).await;
        let what = "to seal a sealed object succeeds";
        demand(again.is_ok(), what, again)
    }

    async fn seals_at_its_length(&self) -> Case {
        self.can_seal()?;
        let object = self.object("sealed-elsewhere")?;
        self.append(&object, 0, "open").await?;
        let outcome = self.store.seal(&object, 3).await;
        let what = "to seal at another length is refused as Refusal::Position";
        refused(outcome, Refusal::Position, what)?;
        let info = self.info(&object).await?;
        demand(!info.sealed, "a refused seal seals nothing", info.sealed)
    }

    async fn foreign(&self) -> Case {
        let Some(object) = &self.given.foreign else {
            return Err(Fail::Skip(
                "no object was named that was not made by appends",
            ));
        };
        let before = self.info(object).await?;
        demand(
            matches!(before.kind, ObjectKind::Other(_)),
            "a look shows that an object was not made by appends",
            &before.kind,
        )?;
        let what = "an append to an object that was not made by appends is refused as \
                    Refusal::NotAppendable";
        let outcome = self.append(object, before.length, "more").await;
        refused(outcome, Refusal::NotAppendable, what)?;
        let after = self.info(object).await?;
        demand(after == before, "a refused append changes nothing", after)
    }
}
