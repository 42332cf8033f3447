//! Stores that break the contract: each is found by the case that is about that.

use std::ops::Range;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream};
use futures::{FutureExt as _, StreamExt as _};
use oss_append::testing::MemoryStore;
use oss_append::{
    AppendAnswer, AppendRequest, AppendStore, Batch, Error, Evidence, KeyPage, Lane, ObjectInfo,
    ObjectKind, ObjectPath, Progress, Refusal, Result, ServiceError, StoreLimits,
};

use super::{memory, suite};

/// What is wrong with a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    KeepsNothing,
    NamesNoPosition,
    TakesAnyPosition,
    NamesNoRefusal,
    AppliesWhatItRefuses,
    RefusesEmptyAppends,
    TurnsPiecesRound,
    ReportsNoProgress,
    LetsEachWin,
    WrongCrc,
    NoTag,
    RefusesTheLargest,
    LetsAppendsOvertake,
    FailsForMissingObjects,
    FailsBehindTheEnd,
    InventsMarks,
    ListsBackwards,
    RepeatsKeys,
    HidesMissingBuckets,
    ForgetsSeals,
    SealsAnywhere,
    TakesForeignObjectsForItsOwn,
}

struct Wrong {
    flaw: Flaw,
    store: MemoryStore,
}

fn refused(refusal: Refusal) -> Error {
    Error::service(ServiceError::new(400, "Refused").with_refusal(refusal))
}

impl Wrong {
    fn has(&self, flaw: Flaw) -> bool {
        self.flaw == flaw
    }

    async fn length(&self, object: &ObjectPath) -> u64 {
        let seen = self.store.head(object).await;
        seen.ok().flatten().map_or(0, |seen| seen.length)
    }
}

/// Its appends arrive in whatever order.
struct Unordered(MemoryStore);

impl Lane for Unordered {
    fn append(&mut self, request: AppendRequest) -> BoxFuture<'static, Result<AppendAnswer>> {
        let store = self.0.clone();
        async move { store.append(request).await }.boxed()
    }
}

impl AppendStore for Wrong {
    fn lane(&self, _: &ObjectPath) -> Option<Box<dyn Lane>> {
        let lane = || -> Box<dyn Lane> { Box::new(Unordered(self.store.clone())) };
        self.has(Flaw::LetsAppendsOvertake).then(lane)
    }

    async fn append(&self, mut request: AppendRequest) -> Result<AppendAnswer> {
        let object = request.object.clone();
        match self.flaw {
            Flaw::KeepsNothing => {
                let mut answer = AppendAnswer::default();
                answer.next_position = Some(request.position + request.body.len());
                return Ok(answer);
            }
            Flaw::TakesAnyPosition => request.position = self.length(&object).await,
            Flaw::LetsEachWin if request.position == 6 => {
                request.position = self.length(&object).await;
            }
            Flaw::AppliesWhatItRefuses
                if request.position == 3 && self.length(&object).await == 7 =>
            {
                self.store.grow(&object, "x");
            }
            Flaw::RefusesEmptyAppends if request.body.is_empty() => {
                return Err(refused(Refusal::Other));
            }
            Flaw::TurnsPiecesRound => {
                let pieces = request.body.chunks().iter().rev().cloned();
                request.body = pieces.collect::<Batch>();
            }
            Flaw::ReportsNoProgress => request.progress = Progress::new(),
            Flaw::RefusesTheLargest if request.body.len() == 1 << 20 => {
                return Err(refused(Refusal::Other));
            }
            Flaw::TakesForeignObjectsForItsOwn if object.key() == "foreign" => {
                return Ok(AppendAnswer::default());
            }
            _ => {}
        }
        let outcome = self.store.append(request).await;
        match (self.flaw, outcome) {
            (Flaw::NamesNoRefusal, Err(error)) if error.refusal() == Some(Refusal::Position) => {
                Err(refused(Refusal::Other))
            }
            (Flaw::NamesNoPosition, Ok(mut answer)) => {
                answer.next_position = None;
                Ok(answer)
            }
            (Flaw::WrongCrc, Ok(mut answer)) => {
                answer.crc64 = answer.crc64.map(|crc| crc ^ 1);
                Ok(answer)
            }
            (Flaw::NoTag, Ok(mut answer)) => {
                answer.etag = None;
                Ok(answer)
            }
            (_, outcome) => outcome,
        }
    }

    async fn head(&self, object: &ObjectPath) -> Result<Option<ObjectInfo>> {
        let seen = match self.store.head(object).await {
            Err(_) if self.has(Flaw::HidesMissingBuckets) => None,
            outcome => outcome?,
        };
        if seen.is_none() && self.has(Flaw::FailsForMissingObjects) {
            return Err(refused(Refusal::NoSuchObject));
        }
        Ok(seen.map(|mut seen| {
            if self.has(Flaw::InventsMarks) {
                seen.creator = Some("somebody".into());
            }
            if self.has(Flaw::TakesForeignObjectsForItsOwn) {
                seen.kind = ObjectKind::Appendable;
            }
            seen
        }))
    }

    async fn read_range(
        &self,
        object: &ObjectPath,
        range: Range<u64>,
    ) -> Result<BoxStream<'static, Result<Bytes>>> {
        let fails = range.end > self.length(object).await && self.has(Flaw::FailsBehindTheEnd);
        let body = self.store.read_range(object, range).await?;
        match fails {
            true => Ok(stream::iter([Err(refused(Refusal::Other))]).boxed()),
            false => Ok(body),
        }
    }

    async fn seal(&self, object: &ObjectPath, mut position: u64) -> Result<()> {
        if self.has(Flaw::ForgetsSeals) {
            return Ok(());
        }
        if self.has(Flaw::SealsAnywhere) {
            position = self.length(object).await;
        }
        self.store.seal(object, position).await
    }

    async fn list(
        &self,
        bucket: &str,
        prefix: &str,
        after: Option<&str>,
    ) -> Result<Option<KeyPage>> {
        let page = self.store.list(bucket, prefix, after).await?;
        Ok(page.map(|mut page| {
            if self.has(Flaw::ListsBackwards) {
                page.objects.reverse();
            }
            if self.has(Flaw::RepeatsKeys) {
                page.objects.extend(page.objects.first().cloned());
            }
            page
        }))
    }

    fn limits(&self) -> StoreLimits {
        StoreLimits::new().max_append(1 << 20)
    }

    fn evidence(&self) -> Evidence {
        self.store.evidence()
    }
}

/// Each flaw, and the case that is about it.
const FOUND: [(Flaw, &str); 22] = [
    (Flaw::KeepsNothing, "an_append_at_0_creates_the_object"),
    (Flaw::NamesNoPosition, "an_append_at_the_end_continues_it"),
    (
        Flaw::TakesAnyPosition,
        "a_wrong_position_is_refused_and_never_applied",
    ),
    (
        Flaw::NamesNoRefusal,
        "a_wrong_position_is_refused_and_never_applied",
    ),
    (
        Flaw::AppliesWhatItRefuses,
        "a_wrong_position_is_refused_and_never_applied",
    ),
    (
        Flaw::RefusesEmptyAppends,
        "an_empty_append_creates_and_changes_nothing",
    ),
    (
        Flaw::TurnsPiecesRound,
        "a_body_of_many_pieces_is_stored_in_order",
    ),
    (
        Flaw::ReportsNoProgress,
        "progress_tells_that_the_body_moves",
    ),
    (
        Flaw::LetsEachWin,
        "of_appends_at_one_position_exactly_one_wins",
    ),
    (
        Flaw::WrongCrc,
        "answers_and_looks_give_the_evidence_declared",
    ),
    (Flaw::NoTag, "answers_and_looks_give_the_evidence_declared"),
    (
        Flaw::RefusesTheLargest,
        "an_append_of_the_largest_size_is_taken",
    ),
    (
        Flaw::LetsAppendsOvertake,
        "on_a_lane_appends_arrive_in_order",
    ),
    (Flaw::FailsForMissingObjects, "a_missing_object_is_none"),
    (
        Flaw::FailsBehindTheEnd,
        "a_range_is_read_as_far_as_the_object_goes",
    ),
    (
        Flaw::InventsMarks,
        "the_mark_of_the_creator_is_kept_or_not_told",
    ),
    (
        Flaw::ListsBackwards,
        "a_listing_has_every_key_once_and_in_order",
    ),
    (
        Flaw::RepeatsKeys,
        "a_listing_has_every_key_once_and_in_order",
    ),
    (Flaw::HidesMissingBuckets, "a_missing_bucket_is_an_error"),
    (Flaw::ForgetsSeals, "a_sealed_object_takes_no_appends"),
    (
        Flaw::SealsAnywhere,
        "an_object_is_sealed_at_its_length_only",
    ),
    (
        Flaw::TakesForeignObjectsForItsOwn,
        "a_foreign_object_takes_no_appends",
    ),
];

#[tokio::test]
async fn each_breach_of_the_contract_fails_the_case_that_is_about_it() {
    for (flaw, case) in FOUND {
        let evidence = match flaw {
            Flaw::NoTag => Evidence::Tag,
            _ => Evidence::Crc64,
        };
        let store = memory().with_evidence(evidence);
        let report = suite().run(&Wrong { flaw, store }).await;
        let found = report.failures().any(|(name, _)| name == case);
        assert!(found, "{flaw:?} is not found by {case}:\n{report}");
    }
}

#[tokio::test]
async fn each_case_of_the_suite_finds_a_store_that_breaks_it() {
    let report = suite().run(&memory()).await;
    for (case, _) in report.cases() {
        let found = FOUND.iter().any(|(_, name)| *name == case);
        assert!(found, "no store breaks {case}");
    }
}

#[tokio::test]
async fn a_failure_says_what_the_contract_demands_and_what_was_found() {
    let flaw = Flaw::TakesAnyPosition;
    let store = memory();
    let report = suite().run(&Wrong { flaw, store }).await;
    let text = report.to_string();
    let line = "FAILED  a_wrong_position_is_refused_and_never_applied: a position that is not the \
                object's length is refused as Refusal::Position; found that it succeeds";
    assert!(text.contains(line), "{text}");
}
