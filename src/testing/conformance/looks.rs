//! What looks, reads and listings show.

use std::sync::Arc;

use super::report::ConformanceReport;
use super::{Case, Fail, Suite, demand, note, refused};
use crate::error::Refusal;
use crate::store::AppendStore;
use crate::store::options::ObjectOptions;
use crate::store::request::AppendRequest;
use crate::values::info::ObjectKind;

impl<S: AppendStore> Suite<'_, S> {
    pub(super) async fn looks(&self, report: &mut ConformanceReport) {
        let case = self.missing_object().await;
        note(report, "a_missing_object_is_none", case);
        let case = self.ranges().await;
        note(report, "a_range_is_read_as_far_as_the_object_goes", case);
        let case = self.creator().await;
        note(report, "the_mark_of_the_creator_is_kept_or_not_told", case);
        let case = self.listing().await;
        note(report, "a_listing_has_every_key_once_and_in_order", case);
        let case = self.missing_bucket().await;
        note(report, "a_missing_bucket_is_an_error", case);
    }

    async fn missing_object(&self) -> Case {
        let object = self.object("missing")?;
        let seen = self.store.head(&object).await?;
        demand(seen.is_none(), "a look at a missing object is None", seen)?;
        let read = self.store.read_range(&object, 0..1).await;
        let what = "a missing object cannot be read, which is refused as Refusal::NoSuchObject";
        refused(read.map(drop), Refusal::NoSuchObject, what)
    }

    async fn ranges(&self) -> Case {
        let object = self.object("ranges")?;
        self.append(&object, 0, "0123456789").await?;
        for (start, end, content, what) in [
            (
                0,
                10,
                "0123456789",
                "the whole range of an object is all of it",
            ),
            (3, 7, "3456", "a range is from its start to before its end"),
            (
                7,
                50,
                "789",
                "a range beyond the end of the object ends with the object",
            ),
            (
                10,
                20,
                "",
                "a range that begins at the end of the object is empty",
            ),
            (
                15,
                20,
                "",
                "a range that begins behind the end of the object is empty",
            ),
            (4, 4, "", "an empty range is empty"),
        ] {
            let found = self.read(&object, start, end).await?;
            let text = String::from_utf8_lossy(&found);
            demand(text == content, what, &text)?;
        }
        Ok(())
    }

    async fn creator(&self) -> Case {
        let object = self.object("creator")?;
        let mark = "0123456789abcdef0123456789abcdef";
        let mut options = ObjectOptions::new();
        options.mark(mark);
        let mut request = AppendRequest::new(object.clone(), 0, "x");
        request.create = Some(Arc::new(options));
        self.store.append(request).await?;
        let info = self.info(&object).await?;
        demand(
            info.kind == ObjectKind::Appendable && !info.sealed,
            "an object made by an append is appendable and not sealed",
            (&info.kind, info.sealed),
        )?;
        demand(
            info.creator.as_deref().is_none_or(|found| found == mark),
            "the mark of an object is the one it was created with, or none",
            info.creator,
        )
    }

    async fn listing(&self) -> Case {
        let prefix = format!("{}listing/", self.given.prefix);
        let (bucket, store) = (&self.given.bucket, self.store);
        if store.list(bucket, &prefix, None).await?.is_none() {
            return Err(Fail::Skip("the store cannot list"));
        }
        let mut expected = Vec::new();
        for name in ["a", "a-b", "a/b", "b", "ä"] {
            let object = self.object(&format!("listing/{name}"))?;
            self.append(&object, 0, name.to_owned()).await?;
            expected.push((object.key().to_owned(), name.len() as u64));
        }
        expected.sort();
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let page = store.list(bucket, &prefix, after.as_deref()).await?;
            let Some(page) = page else {
                let what = "a store that can list does so each time";
                return demand(false, what, after);
            };
            found.extend(page.objects.into_iter().map(|o| (o.key, o.length)));
            let what = "each page goes on behind the one before";
            demand(page.next.is_none() || page.next > after, what, &page.next)?;
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        let what = "the pages have every key with the prefix once, in the order of their bytes, with \
                    its length";
        demand(found == expected, what, found)?;
        let (second, rest) = (&expected[1].0, &expected[2..]);
        let page = store.list(bucket, &prefix, Some(second)).await?;
        let first = page.and_then(|page| page.objects.into_iter().next());
        let what = "a page begins behind the key that was named";
        demand(
            first.as_ref().map(|o| &o.key) == Some(&rest[0].0),
            what,
            first,
        )
    }

    async fn missing_bucket(&self) -> Case {
        let Some(bucket) = &self.given.missing_bucket else {
            return Err(Fail::Skip("no bucket was named that does not exist"));
        };
        let object = crate::values::path::ObjectPath::new(bucket, "object");
        let object = object.map_err(|error| Fail::Demand(error.to_string()))?;
        let no = Refusal::NoSuchBucket;
        let what = "a look in a missing bucket is refused as Refusal::NoSuchBucket, or an error of \
                    another kind, and never None";
        match self.store.head(&object).await {
            Ok(seen) => demand(false, what, seen)?,
            Err(error) => demand(error.refusal() != Some(Refusal::NoSuchObject), what, error)?,
        }
        let what = "an append to a missing bucket is refused as Refusal::NoSuchBucket";
        refused(self.append(&object, 0, "x").await, no, what)?;
        let what =
            "a listing of a missing bucket is refused as Refusal::NoSuchBucket, and not empty";
        match self.store.list(bucket, "", None).await {
            Ok(None) => Ok(()),
            listed => refused(listed, no, what),
        }
    }
}
