//! Sealing: the object takes no more appends, from anybody.

use std::time::Duration;

use super::budget::Budget;
use super::job::{Step, Task, Then};
use super::machine::Moment;
use super::reconcile::{Creator, Question, Sharing, Verdict, by_head};
use super::recovery::{Recovery, recovery};
use crate::error::{Error, ErrorKind, Landed, Result};
use crate::store::ability::Evidence;
use crate::values::batch::Batch;
use crate::values::info::ObjectInfo;

/// How long it is tried to seal an object, within the delivery timeout: what comes next waits for
/// that, and nothing is lost without the seal.
const MAX_SEALING: Duration = Duration::from_secs(60);

impl Moment<'_> {
    fn of_seal(&self, error: Error) -> Error {
        error
            .with_operation("seal")
            .with_object(&self.engine.object)
            .with_position(self.engine.given.position.bytes())
    }

    /// A request to seal was answered, or failed.
    pub(super) fn sealed(&mut self, sealed: Result<()>) {
        let Err(error) = sealed else {
            self.done(Ok(()));
            return;
        };
        let error = self.of_seal(error);
        match recovery(&error) {
            Recovery::Mismatch
            | Recovery::Reconcile
            | Recovery::Closed
            | Recovery::RefusedBetween => {
                let Some(job) = &mut self.engine.job else {
                    return;
                };
                job.task = Task::Unsealed(error, Budget::new(self.now));
                job.step = Step::Next;
            }
            Recovery::Fail | Recovery::Retry | Recovery::RetryMended(_) => {
                self.seal_again(error);
            }
        }
    }

    fn seal_again(&mut self, error: Error) {
        let Some(job) = &mut self.engine.job else {
            return;
        };
        job.task = Task::Main;
        match self.now.saturating_sub(job.began) >= MAX_SEALING {
            true => self.done(Err(error)),
            false => self.pause(error, Then::Goal),
        }
    }

    /// Whether the object is sealed as it should be, although the request has failed.
    pub(super) fn looked_at_sealed(&mut self, seen: Option<ObjectInfo>) {
        if self.looks_again(self.engine.given.position, None, seen.as_ref()) {
            return;
        }
        let nothing = Batch::from("");
        let question = Question {
            proven: self.engine.given,
            batch: &nothing,
            sharing: Sharing::Exclusive,
            in_doubt: false,
            creator: Creator::Anybody,
            tag: self
                .engine
                .tag()
                .filter(|_| self.rules.evidence == Evidence::Tag),
        };
        let verdict = by_head(question, seen.as_ref());
        let Some(job) = &mut self.engine.job else {
            return;
        };
        let Task::Unsealed(error, _) = std::mem::replace(&mut job.task, Task::Main) else {
            return;
        };
        match verdict {
            Verdict::Fail(ErrorKind::Sealed, Some(Landed::Yes)) => self.done(Ok(())),
            Verdict::Fail(kind, _) => {
                let conflict = self.of_seal(Error::new(kind)).with_source(error);
                self.done(Err(conflict));
            }
            _ => self.seal_again(error),
        }
    }
}
