//! Sealing: the object takes no more appends, from anybody.

use std::time::Duration;

use super::budget::Budget;
use super::flush::Time;
use super::machine::{Engine, Stage, Step, Then};
use super::reconcile::{Creator, Question, Sharing, Verdict, by_head};
use super::recovery::{Recovery, recovery};
use crate::error::{Error, ErrorKind, Landed, Result};
use crate::values::batch::Batch;
use crate::values::info::ObjectInfo;

/// How long it is tried to seal an object, within the delivery timeout: what comes next waits for
/// that, and nothing is lost without the seal.
const MAX_SEALING: Duration = Duration::from_secs(60);

impl Engine {
    fn of_seal(&self, error: Error) -> Error {
        error
            .with_operation("seal")
            .with_object(&self.object)
            .with_position(self.given.position)
    }

    /// A request to seal was answered, or failed.
    pub(super) fn sealed(&mut self, sealed: Result<()>, now: Time) {
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
                let Some(job) = &mut self.job else { return };
                job.stage = Stage::Unsealed(error, Budget::new(now));
                job.step = Step::Next;
            }
            Recovery::Fail | Recovery::Retry | Recovery::RetryMended(_) => {
                self.seal_again(error, now);
            }
        }
    }

    fn seal_again(&mut self, error: Error, now: Time) {
        let Some(job) = &mut self.job else { return };
        job.stage = Stage::Main;
        match now.saturating_sub(job.began) >= MAX_SEALING {
            true => self.done(Err(error)),
            false => self.pause(error, Then::Goal),
        }
    }

    /// Whether the object is sealed as it should be, although the request has failed.
    pub(super) fn looked_at_sealed(&mut self, seen: Option<ObjectInfo>, now: Time) {
        if self.looks_again(self.given.position, None, seen.as_ref()) {
            return;
        }
        let nothing = Batch::from("");
        let question = Question {
            proven: self.given,
            batch: &nothing,
            sharing: Sharing::Exclusive,
            in_doubt: false,
            creator: Creator::Anybody,
        };
        let verdict = by_head(question, seen.as_ref());
        let Some(job) = &mut self.job else { return };
        let Stage::Unsealed(error, _) = std::mem::replace(&mut job.stage, Stage::Main) else {
            return;
        };
        match verdict {
            Verdict::Fail(ErrorKind::Sealed, Some(Landed::Yes)) => self.done(Ok(())),
            Verdict::Fail(kind, _) => {
                let conflict = self.of_seal(Error::new(kind)).with_source(error);
                self.done(Err(conflict));
            }
            _ => self.seal_again(error, now),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::machine::{Action, Event, Goal};
    use super::super::rules::Rules;
    use super::*;
    use crate::error::TransportCause;
    use crate::values::path::ObjectPath;

    /// The end of the delivery timeout.
    const LATE: Time = Duration::from_secs(120);

    fn working_on(goal: Goal) -> Engine {
        let object = ObjectPath::new("bucket", "object").unwrap();
        let mut engine = Engine::new(object, None);
        engine.opened(Some(ObjectInfo::appendable(7, Some(0))), None);
        engine.start(goal, Duration::ZERO);
        engine
    }

    fn broken() -> Error {
        Error::transport(TransportCause::Broken, "reset")
    }

    #[test]
    fn a_look_after_a_silent_seal_has_time_of_its_own() {
        let rules = Rules::default();
        let mut engine = working_on(Goal::Seal);
        let action = engine.next(&rules, Duration::ZERO, 0.5);
        assert!(matches!(action, Action::Seal(7)));
        engine.on(&rules, Event::Sealed(Err(broken())), LATE);
        assert!(matches!(engine.next(&rules, LATE, 0.5), Action::Head));
        engine.on(&rules, Event::Looked(Err(broken())), LATE);
        assert!(matches!(engine.next(&rules, LATE, 0.5), Action::Wait(_)));
    }

    #[test]
    fn each_look_at_an_older_object_has_time_of_its_own() {
        let rules = Rules::default();
        let mut engine = working_on(Goal::Look(7));
        let action = engine.next(&rules, Duration::ZERO, 0.5);
        assert!(matches!(action, Action::Head));
        engine.on(&rules, Event::Looked(Ok(None)), LATE);
        assert!(matches!(engine.next(&rules, LATE, 0.5), Action::Wait(_)));
        engine.on(&rules, Event::Waited(LATE), LATE);
        assert!(matches!(engine.next(&rules, LATE, 0.5), Action::Head));
        engine.on(&rules, Event::Looked(Err(broken())), LATE);
        assert!(matches!(engine.next(&rules, LATE, 0.5), Action::Wait(_)));
    }
}
