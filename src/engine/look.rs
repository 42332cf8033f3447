//! What a look at the object tells of the flights, and what is done about it.

use std::time::Duration;

use super::action::Goal;
use super::job::{Step, Task, Then};
use super::machine::Moment;
use super::mark::shown;
use super::reconcile::{Creator, Question, Verdict, by_content, by_head};
use super::recovery::{Recovery, closes_the_object, recovery};
use crate::error::{
    Conflict, ConflictCause, Error, ErrorKind, Landed, Refusal, Result, TransportCause,
};
use crate::store::ability::Evidence;
use crate::values::batch::BatchCursor;
use crate::values::info::ObjectInfo;

/// A range of the object that is compared with the pending batch.
#[derive(Debug)]
pub(super) struct Compare {
    pub(super) seen: ObjectInfo,
    pub(super) ours: BatchCursor,
    /// How many bytes of the range come yet.
    pub(super) left: u64,
}

impl Moment<'_> {
    /// A look was answered, or failed.
    pub(super) fn looked(&mut self, looked: Result<Option<ObjectInfo>>) {
        let Some(job) = &mut self.engine.job else {
            return;
        };
        let then = match (&job.task, job.goal) {
            (Task::Main, Goal::Settle) => Then::Look,
            _ => Then::Goal,
        };
        job.step = Step::Next;
        let seen = match looked {
            Ok(seen) => seen,
            Err(error) => {
                self.pause(error, then);
                return;
            }
        };
        let now = self.now;
        if then == Then::Goal
            && let Some(budget) = self.budget()
        {
            // Another look, if there is one, has its own time.
            budget.restart(now);
        }
        let Some(job) = &self.engine.job else { return };
        match (&job.task, job.goal) {
            (Task::Created, _) => self.check_created(seen),
            (Task::Unsealed(..), _) => self.looked_at_sealed(seen),
            (_, Goal::Look(known)) => {
                if !self.looks_again(known, None, seen.as_ref()) {
                    if let Some(job) = &mut self.engine.job {
                        job.finished.seen = seen;
                    }
                    self.done(Ok(()));
                }
            }
            _ => self.reconcile(seen),
        }
    }

    /// Looks at an object that we have just created, if that is asked for: whether it has our mark.
    fn check_created(&mut self, seen: Option<ObjectInfo>) {
        self.engine.unchecked_mark = false;
        let mark = self.engine.mark.map(shown);
        let creator = seen.as_ref().and_then(|seen| seen.creator.as_deref());
        if creator.is_none_or(|creator| mark.as_deref() == Some(creator)) {
            if let Some(job) = &mut self.engine.job {
                job.task = Task::Main;
            }
            return;
        }
        let found = seen.map(|seen| seen.length);
        let conflict = Conflict::new(ConflictCause::Exists, 0, found);
        let error = Error::new(ErrorKind::Conflict(conflict)).with_landed(Landed::Yes);
        self.fail(error, None);
    }

    /// Decides about the pending batch by a look, where that is enough.
    fn reconcile(&mut self, seen: Option<ObjectInfo>) {
        let named = self.window.first().and_then(|p| p.named_length());
        if self.looks_again(self.engine.given.position, named, seen.as_ref()) {
            return;
        }
        let verdict = self.ask(|question| by_head(question, seen.as_ref()));
        let Some(verdict) = verdict else { return };
        self.engine.exists = seen.is_some();
        if self.engine.creator.is_none() {
            self.engine.creator = seen.as_ref().and_then(|seen| seen.creator.clone());
        }
        match (verdict, seen, self.window.first(), &mut self.engine.job) {
            (Verdict::ReadBack(range), Some(seen), Some(flight), Some(job)) => {
                job.task = Task::Content(Compare {
                    seen,
                    ours: flight.body.cursor(),
                    left: range.end - range.start,
                });
                job.step = Step::Read(range);
            }
            (verdict, seen, ..) => self.act_on(verdict, seen),
        }
    }

    /// More of the range came that is compared with the pending batch.
    pub(super) fn compare_content(&mut self, mut compare: Compare, chunk: &[u8]) {
        let take = usize::try_from(compare.left).map_or(chunk.len(), |left| left.min(chunk.len()));
        let equal = compare.ours.matches(&chunk[..take]);
        compare.left -= take as u64;
        let Some(job) = &mut self.engine.job else {
            return;
        };
        if equal && compare.left > 0 {
            job.task = Task::Content(compare);
            job.step = Step::ReadOn;
            return;
        }
        job.task = Task::Main;
        let seen = compare.seen;
        if let Some(verdict) = self.ask(|question| by_content(question, &seen, equal)) {
            self.act_on(verdict, Some(seen));
        }
    }

    /// What the rules say of the pending batch.
    fn ask(&self, judge: impl FnOnce(Question<'_>) -> Verdict) -> Option<Verdict> {
        let flight = self.window.first()?;
        let sharing = self.sharing();
        let own = self.engine.mark.filter(|_| self.creates()).map(shown);
        let creator = match (self.engine.replay.is_some(), &own, &self.engine.creator) {
            (true, ..) => Creator::Anybody,
            (_, Some(mark), _) => Creator::Us(mark),
            (.., Some(seen)) => Creator::Seen(seen),
            _ => Creator::Anybody,
        };
        Some(judge(Question {
            proven: self.engine.given,
            batch: &flight.body,
            sharing,
            in_doubt: flight.in_doubt,
            creator,
            tag: self
                .engine
                .tag()
                .filter(|_| self.rules.evidence == Evidence::Tag),
        }))
    }

    fn act_on(&mut self, verdict: Verdict, seen: Option<ObjectInfo>) {
        let counted = match verdict {
            Verdict::Applied(_) | Verdict::Torn(_) => self.engine.appends.map(|own| own + 1),
            // How many appends the others have made is not known.
            Verdict::Rebase(_) => None,
            _ => self.engine.appends,
        };
        self.engine.appends = seen.as_ref().and_then(|seen| seen.appends).or(counted);
        let tag = match (&verdict, &seen) {
            (Verdict::Fail(..), _) | (_, None) => None,
            (_, Some(seen)) => Some((seen.end(), seen.etag.clone())),
        };
        self.act_on_verdict(verdict, seen);
        if let Some((end, tag)) = tag
            && end == self.engine.given.position
        {
            self.engine.remember_tag(tag);
        }
    }

    fn act_on_verdict(&mut self, verdict: Verdict, seen: Option<ObjectInfo>) {
        self.step(Step::Next);
        let Some(flight) = self.window.first_mut() else {
            return;
        };
        match verdict {
            Verdict::Applied(end) => self.applied(end),
            Verdict::Torn(len) => {
                let end = self.engine.given.after_prefix(&flight.body, len);
                // The object is longer than it was: no earlier attempt can land any more.
                flight.in_doubt = false;
                flight.look = false;
                self.told_mut(|told| told.durable += len);
                self.settle_part(len, end);
            }
            Verdict::Compare(end) => {
                flight.look = false;
                if let Some(replay) = &mut self.engine.replay {
                    replay.extend(end);
                }
            }
            Verdict::NotApplied | Verdict::Rebase(_) if flight.refused => {
                let cause = flight.cause.take();
                // Where the object takes no more, or is longer than it was, nothing can land.
                let is_over = matches!(verdict, Verdict::Rebase(_))
                    || cause.as_ref().is_some_and(closes_the_object);
                let landed = is_over.then_some(Landed::No);
                self.fail(refusal(cause), landed);
            }
            Verdict::NotApplied => self.send_again(),
            Verdict::Rebase(end) => {
                // The object is longer than our position: no earlier attempt can land any more.
                flight.in_doubt = false;
                flight.start = Some(end.position);
                self.engine.given = end;
                self.go_after_others();
            }
            Verdict::Fail(kind, landed) => self.is_over(kind, landed, seen),
            Verdict::ReadBack(_) => unreachable!("the range has been read"),
        }
    }

    /// Others have appended before us: ours goes after theirs, at once, unless there was a failure.
    fn go_after_others(&mut self) {
        let Some(flight) = self.window.first_mut() else {
            return;
        };
        match flight.cause.take() {
            Some(cause) if recovery(&cause) == Recovery::Mismatch => {
                flight.look = false;
                if flight.budget.is_spent(self.rules, self.now) {
                    let error = flight.budget.exhausted(cause, self.now);
                    self.fail(error, None);
                }
            }
            cause => {
                flight.cause = cause;
                self.send_again();
            }
        }
    }

    /// The object is not what it was proven to be, or takes no more appends.
    fn is_over(&mut self, kind: ErrorKind, landed: Option<Landed>, seen: Option<ObjectInfo>) {
        let Some(flight) = self.window.first_mut() else {
            return;
        };
        let mut error = Error::new(kind);
        if let Some(cause) = flight.cause.take() {
            error = error.with_source(cause);
        }
        let Some(seen) = seen else {
            self.fail(error, landed);
            return;
        };
        let may_land =
            landed.is_none() && flight.in_doubt && seen.end() == self.engine.given.position;
        if !(self.rules.settles_in_place && may_land) {
            self.fail(error, landed);
            return;
        }
        flight.look = false;
        self.engine.given.crc = seen.crc64;
        self.engine.remember_tag(seen.etag);
        self.engine.creator = seen.creator;
        self.engine.lost = Some(error);
    }

    /// Pauses after a look that showed that the batch was not applied, then lets it be sent again.
    fn send_again(&mut self) {
        let Some(flight) = self.window.first_mut() else {
            return;
        };
        let cause = flight.cause.take().unwrap_or_else(|| {
            Error::transport(
                TransportCause::Broken,
                "the append was given up before its answer came",
            )
        });
        // The wait that OSS asked for with the cause was over before the look.
        self.step(Step::Pause(cause, Duration::ZERO, Then::SendAgain));
    }
}

/// What OSS refused for good, as the kind that callers match on.
fn refusal(cause: Option<Error>) -> Error {
    let kind = match cause.as_ref().and_then(Error::refusal) {
        Some(Refusal::Sealed) => ErrorKind::Sealed,
        Some(Refusal::NotAppendable) => ErrorKind::NotAppendable { object_type: None },
        _ => match cause {
            Some(cause) => return cause,
            None => ErrorKind::NotAppendable { object_type: None },
        },
    };
    let error = Error::new(kind);
    match cause {
        Some(cause) => error.with_source(cause),
        None => error,
    }
}
