//! The life of one batch: attempts and looks at the object in turn, until its fate is known.

use std::time::Duration;

use super::action::{Action, Goal};
use super::answer::{Answered, judge_answer};
use super::budget::MAX_ASKED;
use super::job::{Step, Task, Then};
use super::machine::Moment;
use super::recovery::{Recovery, recovery};
use super::replay::{Compared, Parts};
use crate::error::{Error, ErrorKind, Landed, Result};
use crate::store::request::AppendAnswer;
use crate::values::proven::Proven;

impl Moment<'_> {
    /// What comes next for the pending batch.
    pub(super) fn settle(&mut self) -> Option<Action> {
        let position = self.engine.given.position;
        let Some(flight) = self.window.first_mut() else {
            return self.settled();
        };
        let start = *flight.start.get_or_insert(position);
        if let Some(job) = &mut self.engine.job {
            job.finished.batch = Some((start, flight.len));
        }
        if !flight.look && self.engine.replay.is_some() {
            let batch = flight.body.clone();
            match self.compare(&batch) {
                Ok(Compared::AtEnd) => {}
                Ok(Compared::Skip(len, end)) => {
                    self.settle_part(len, end);
                    if self.must_read_back() {
                        self.enter(Task::ReadBack(Parts::default()));
                    }
                    return self.again();
                }
                Err(differs) => {
                    // As much as possible is known to be durable then.
                    self.enter(Task::Prove(Parts::default(), Some(differs)));
                    return self.again();
                }
            }
        }
        let look = self.window.first().is_some_and(|flight| flight.look);
        if !look && let Err(full) = self.check_room() {
            self.fail(full, None);
            return None;
        }
        if self.engine.not_before.is_some() {
            self.step(Step::Asked);
            return None;
        }
        if look {
            self.told_mut(|told| told.reconciles = true);
            return Some(Action::Head);
        }
        Some(self.attempt())
    }

    /// The batch is dealt with.
    fn settled(&mut self) -> Option<Action> {
        if self.engine.unchecked_mark && self.engine.mark.is_some() {
            self.enter(Task::Created);
            return self.again();
        }
        match self.engine.lost.take() {
            // The object was replaced before the batch that was in doubt had settled in it.
            Some(error) => self.fail(error.with_landed(Landed::Yes), None),
            None => self.done(Ok(())),
        }
        None
    }

    /// Goes on with a part of the goal that has a budget of its own.
    fn enter(&mut self, task: Task) {
        if let Some(job) = &mut self.engine.job {
            job.task = task;
            job.budget.restart(self.now);
        }
    }

    /// The first `len` bytes of the first flight are dealt with, and end there.
    pub(super) fn settle_part(&mut self, len: u64, end: Proven) {
        if let Some(flight) = self.window.first_mut() {
            flight.budget.restart(self.now);
        }
        let before = std::mem::replace(&mut self.engine.given, end);
        self.window.settle(&self.engine.object, len, before, end);
    }

    fn attempt(&mut self) -> Action {
        let creates = self.creates();
        let position = self.engine.given.position;
        let Some(flight) = self.window.first_mut() else {
            return Action::Done(Ok(()));
        };
        let retried = flight.budget.attempts > 0;
        flight.budget.attempts += 1;
        flight.first_attempt.get_or_insert(self.now);
        // Until the answer is here, and if it never comes, nobody knows.
        flight.was_in_doubt = std::mem::replace(&mut flight.in_doubt, true);
        flight.look = true;
        let body = flight.body.clone();
        self.told_mut(|told| told.retried = retried);
        Action::Append {
            position,
            body,
            creates,
        }
    }

    /// Whether the next append creates the object.
    pub(super) fn creates(&self) -> bool {
        self.engine.given.position.bytes() == 0 && !self.engine.exists
    }

    fn check_room(&self) -> Result<()> {
        let Some(flight) = self.window.first() else {
            return Ok(());
        };
        if let (Some(limit), Some(appends)) = (self.rules.limits().max_appends, self.engine.appends)
            && appends >= limit
        {
            return Err(Error::new(ErrorKind::TooManyAppends { limit }));
        }
        let (limit, length) = (
            self.rules.object_limit(),
            self.engine.given.position.bytes(),
        );
        let batch = flight.body.len();
        if length.saturating_add(batch) <= limit {
            return Ok(());
        }
        Err(Error::new(ErrorKind::ObjectFull {
            limit,
            length,
            batch,
        }))
    }

    fn note_wish(&mut self, delay: Option<Duration>) {
        let most = MAX_ASKED.min(self.rules.delivery_timeout / 2);
        self.engine.not_before = delay.and_then(|delay| self.now.checked_add(delay.min(most)));
    }

    /// An append was answered, or failed.
    pub(super) fn answered(&mut self, answer: Result<AppendAnswer>) {
        self.step(Step::Next);
        match answer {
            Ok(answer) => self.judge(answer),
            Err(error) => self.append_failed(error),
        }
    }

    /// A success answer counts only if it names the expected position and checksum.
    fn judge(&mut self, answer: AppendAnswer) {
        self.note_wish(answer.delay);
        let Some(flight) = self.window.first_mut() else {
            return;
        };
        let expected = self.engine.given.after(&flight.body);
        match judge_answer(self.rules.evidence, expected, &answer) {
            Answered::Proven => {
                self.applied(expected);
                self.engine.appends = self.engine.appends.map(|appends| appends + 1);
                self.engine.remember_tag(answer.etag);
            }
            Answered::Unproven => {
                flight.cause = Some(Error::new(ErrorKind::BadAnswer {
                    status: 200,
                    reason: "it names no next position or no CRC-64 to check".into(),
                    request_id: answer.request_id,
                }));
            }
            Answered::Wrong => {
                let error = Error::new(ErrorKind::Checksum {
                    expected_position: expected.position.bytes(),
                    found_position: answer.next_position.unwrap_or(expected.position.bytes()),
                    expected_crc64: expected.crc,
                    found_crc64: answer.crc64,
                });
                self.fail(error, Some(Landed::InDoubt));
            }
        }
    }

    fn append_failed(&mut self, error: Error) {
        let asked = error.service_error().and_then(|answer| answer.retry_after);
        self.note_wish(asked);
        let Some(flight) = self.window.first_mut() else {
            return;
        };
        let recovery = recovery(&error);
        if !matches!(recovery, Recovery::Reconcile | Recovery::RefusedBetween) {
            // OSS has said that this attempt was not applied.
            flight.in_doubt = flight.was_in_doubt;
        }
        match recovery {
            Recovery::Reconcile
            | Recovery::Mismatch
            | Recovery::Closed
            | Recovery::RefusedBetween => {
                flight.refused |= matches!(recovery, Recovery::Closed | Recovery::RefusedBetween);
                flight.cause = Some(error.clone());
                self.told_mut(|told| told.error = Some(error));
            }
            Recovery::Fail | Recovery::Retry | Recovery::RetryMended(_) => {
                flight.look = flight.in_doubt;
                self.pause(error, Then::Append);
            }
        }
    }

    /// What has failed is not tried again.
    pub(super) fn gave_up(&mut self, error: Error, then: Then) {
        let is_exhausted = matches!(error.kind(), ErrorKind::RetriesExhausted { .. });
        let Some(job) = &mut self.engine.job else {
            return;
        };
        match (then, self.window.first_mut()) {
            (Then::Append, Some(flight)) if flight.in_doubt && !is_exhausted => {
                // An earlier attempt may have landed.
                flight.cause = Some(error);
                flight.refused = true;
                self.step(Step::Next);
            }
            (Then::Look, Some(flight)) => {
                // Why the look was needed at all.
                let cause = flight.cause.take();
                let error = match cause {
                    Some(cause) if std::error::Error::source(&error).is_none() => {
                        error.with_source(cause)
                    }
                    _ => error,
                };
                self.fail(error, None);
            }
            (Then::Append | Then::SendAgain | Then::Look, _) => self.fail(error, None),
            (Then::Goal | Then::Asked, _) => match (&job.task, job.goal) {
                (Task::Created, _) => self.fail(error.with_landed(Landed::Yes), None),
                (_, Goal::Look(_) | Goal::Seal) => self.done(Err(error)),
                _ => self.fail(error, None),
            },
        }
    }

    /// The first flight is proven to be in the object, which is proven up to `end`.
    pub(super) fn applied(&mut self, end: Proven) {
        let first = self.window.first().and_then(|flight| flight.first_attempt);
        let took = first.map(|first| self.now.saturating_sub(first));
        self.told_mut(|told| told.appended = Some(took.unwrap_or_default()));
        if self.creates() && self.rules.verify_creator {
            self.engine.unchecked_mark = true;
        }
        self.engine.exists = true;
        self.proven(end);
    }

    /// What is left of the first flight is proven, and what was only compared yet with it.
    pub(super) fn proven(&mut self, end: Proven) {
        let left = self.window.left().unwrap_or(0);
        let durable = self.engine.lag() + left;
        self.told_mut(|told| told.durable += durable);
        // What is proven now is our own append: no predecessor's can land behind it.
        self.engine.replay = None;
        self.settle_part(left, end);
    }
}
