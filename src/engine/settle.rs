//! The life of one batch: attempts and looks at the object in turn, until its fate is known.

use std::time::Duration;

use super::action::{Action, Goal};
use super::answer::{Answered, judge_answer};
use super::budget::MAX_ASKED;
use super::fit::Fit;
use super::flight::Flight;
use super::job::{Step, Task, Then};
use super::machine::Moment;
use super::recovery::{Recovery, recovery};
use super::replay::{Overlap, PartsRead};
use crate::error::{Error, ErrorKind, Landed, Result};
use crate::store::ability::Evidence;
use crate::store::request::AppendAnswer;
use crate::values::proven::Proven;

impl Moment<'_> {
    /// What comes next for the pending batch.
    pub(super) fn settle(&mut self) -> Option<Action> {
        if self.window.under_way() > 0 {
            return Some(self.send_on());
        }
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
                Ok(Overlap::AtEnd) => {}
                Ok(Overlap::Skip(len, end)) => {
                    self.settle_part(len, end);
                    if self.must_read_back() {
                        self.enter(Task::ReadBack(PartsRead::default()));
                    }
                    return self.again();
                }
                Err(differs) => {
                    // As much as possible is known to be durable then.
                    self.enter(Task::Prove(PartsRead::default(), Some(differs)));
                    return self.again();
                }
            }
        }
        let look = self.window.first().is_some_and(|flight| flight.look);
        if !look && let Err(full) = self.check_room(0) {
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
        Some(self.attempt(0))
    }

    /// Sends a part of a flight alone where the whole would not be answered in time. The window's
    /// bytes being contiguous, whatever lands of it and of the whole that was sent before lands where
    /// it belongs.
    fn cut_to_fit(&mut self, number: usize) {
        let most = self.window.fit.most(false);
        let flight = self.window.get(number);
        if flight.is_some_and(|flight| flight.body.len() > most) && self.may_cut(number) {
            self.window.cut(number, most);
        }
    }

    fn may_cut(&self, number: usize) -> bool {
        let is_packed = self.window.get(number).is_some_and(Flight::is_packed);
        !self.rules.is_whole() && self.engine.replay.is_none() && !is_packed
    }

    /// The append of a flight was answered, if it was, so long after it was sent.
    fn note_time(&mut self, number: usize, answered: bool) {
        let took = self.engine.job.as_ref().map(|job| job.took);
        let (took, target) = (
            took.unwrap_or_default(),
            Fit::target(self.rules.attempt_timeout),
        );
        // As they were given, which is what the next one is measured by.
        let Some(bytes) = self.window.get(number).map(|flight| flight.given().len()) else {
            return;
        };
        if answered {
            self.window.fit.answered(bytes, took, target);
        } else if took >= target {
            self.window.fit.too_much(bytes);
            let may_cut = self.may_cut(number);
            if let Some(flight) = self.window.get_mut(number).filter(|_| !may_cut) {
                flight.budget.be_patient();
            }
        }
    }

    /// What can be done while appends are under way: to send one more behind them, or to wait.
    fn send_on(&mut self) -> Action {
        match self.may_send_on() {
            true => self.attempt(self.window.under_way()),
            false => Action::Await,
        }
    }

    /// Whether one more append can be sent behind those that are under way.
    pub(crate) fn may_send_on(&self) -> bool {
        let next = self.window.under_way();
        let may_be_ahead = next > 0
            && next < usize::from(self.rules.most_in_flight())
            && self.rules.evidence == Evidence::Crc64
            && self.engine.replay.is_none()
            && self.engine.not_before.is_none()
            && !self.creates();
        may_be_ahead && self.window.is_clear() && self.check_room(next).is_ok()
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
        let before = std::mem::replace(&mut self.engine.given, end);
        self.window.settle(&self.engine.object, len, before, end);
        if let Some(flight) = self.window.first_mut() {
            flight.budget.restart(self.now);
        }
    }

    fn attempt(&mut self, number: usize) -> Action {
        if let Some(flight) = self.window.get_mut(number)
            && std::mem::take(&mut flight.may_be_twice)
        {
            // It has been looked for, and is not there.
            flight.in_doubt = false;
        }
        self.cut_to_fit(number);
        let creates = number == 0 && self.creates();
        self.window.mixed_up &= number > 0;
        let position = self.engine.given.position + self.window.len_before(number);
        let Some(flight) = self.window.get_mut(number) else {
            return Action::Done(Ok(()));
        };
        flight.under_way = true;
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

    /// Whether the object takes a flight, behind all that are before it.
    fn check_room(&self, number: usize) -> Result<()> {
        let Some(flight) = self.window.get(number) else {
            return Ok(());
        };
        if let (Some(limit), Some(appends)) = (self.rules.limits().max_appends, self.engine.appends)
            && appends + number as u64 >= limit
        {
            return Err(Error::new(ErrorKind::TooManyAppends { limit }));
        }
        let end = self.engine.given.position + self.window.len_before(number);
        let (limit, length) = (self.rules.object_limit(), end.bytes());
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
        let Some(number) = self.window.land() else {
            return;
        };
        match answer {
            Ok(answer) => self.judge(number, answer),
            Err(error) => self.append_failed(number, error),
        }
    }

    /// A success answer counts only if it names the expected position and checksum. They are those of
    /// the whole object, so it proves all flights up to the one that was answered.
    fn judge(&mut self, number: usize, answer: AppendAnswer) {
        self.note_wish(answer.delay);
        let expected = self.window.end_of(number, self.engine.given);
        match judge_answer(self.rules.evidence, expected, &answer) {
            Answered::Proven => {
                self.note_time(number, true);
                self.applied(number + 1, expected);
                let more = number as u64 + 1;
                self.engine.appends = self.engine.appends.map(|appends| appends + more);
                self.engine.remember_tag(answer.etag);
            }
            // What is before it has failed, or been lost, or it belongs to another: the look tells.
            Answered::Wrong if number > 0 => self.window.mix_up(),
            Answered::Wrong if self.is_of_another(&answer) => {
                self.window.mix_up();
                self.cannot_be_judged(number, "it belongs to another append", answer.request_id);
            }
            Answered::Unproven => {
                let reason = "it names no next position or no CRC-64 to check";
                self.cannot_be_judged(number, reason, answer.request_id);
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

    /// Only a look at the object can tell what became of the append with this answer.
    fn cannot_be_judged(&mut self, number: usize, reason: &str, request_id: Option<String>) {
        if let Some(flight) = self.window.get_mut(number) {
            flight.cause = Some(Error::new(ErrorKind::BadAnswer {
                status: 200,
                reason: reason.into(),
                request_id,
            }));
        }
    }

    /// Whether it is the answer to one of the other appends, which something on the way has moved.
    fn is_of_another(&self, answer: &AppendAnswer) -> bool {
        let given = self.engine.given;
        let mut ends = (0..self.window.flights()).map(|number| self.window.end_of(number, given));
        ends.any(|end| judge_answer(self.rules.evidence, end, answer) == Answered::Proven)
    }

    fn append_failed(&mut self, number: usize, error: Error) {
        let asked = error.service_error().and_then(|answer| answer.retry_after);
        self.note_wish(asked);
        let recovery = recovery(&error);
        if recovery == Recovery::Reconcile && number == 0 {
            self.note_time(number, false);
        }
        let (is_last, mixed_up) = (self.window.under_way() == 0, self.window.mixed_up);
        let is_refused = !matches!(recovery, Recovery::Reconcile | Recovery::RefusedBetween);
        let may_be_twice =
            recovery == Recovery::Mismatch && self.may_have_come_twice(number, &error);
        let Some(flight) = self.window.get_mut(number) else {
            return;
        };
        if is_refused {
            // OSS has said that this attempt was not applied.
            let in_doubt = flight.was_in_doubt || mixed_up;
            flight.may_be_twice = may_be_twice && !in_doubt;
            flight.in_doubt = in_doubt || may_be_twice;
        }
        if number > 0 {
            // It was sent behind one that has failed. The look tells of both.
            return;
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
            // Nothing is decided before those behind it have been answered, and looked for.
            Recovery::Fail | Recovery::Retry | Recovery::RetryMended(_) if !is_last => {
                flight.refused |= recovery == Recovery::Fail;
                flight.cause = Some(error.clone());
                self.told_mut(|told| told.error = Some(error));
            }
            Recovery::Fail | Recovery::Retry | Recovery::RetryMended(_) => {
                flight.look = flight.in_doubt;
                self.pause(error, Then::Append);
            }
        }
    }

    /// Whether the object, which is ours alone, may be longer than the position of a flight because of
    /// that very attempt: something on the way has sent it twice, and the second was refused.
    fn may_have_come_twice(&self, number: usize, error: &Error) -> bool {
        let position = self.engine.given.position + self.window.len_before(number);
        let answer = error.service_error();
        let length = answer.and_then(|answer| answer.next_append_position);
        !self.rules.shared && length.is_none_or(|length| length > position.bytes())
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

    /// So many of the first flights are proven to be in the object, which is proven up to `end`.
    pub(super) fn applied(&mut self, flights: usize, end: Proven) {
        let first = self.window.first().and_then(|flight| flight.first_attempt);
        let took = first.map(|first| self.now.saturating_sub(first));
        self.told_mut(|told| told.appended = Some(took.unwrap_or_default()));
        if self.creates() && self.rules.verify_creator {
            self.engine.unchecked_mark = true;
        }
        self.engine.exists = true;
        self.proven(flights, end);
    }

    /// What is left of the first flights is proven, and what was only compared yet with it.
    pub(super) fn proven(&mut self, flights: usize, end: Proven) {
        let left = self.window.len_before(flights);
        let durable = self.engine.lag() + left;
        self.told_mut(|told| told.durable += durable);
        // What is proven now is our own append: no predecessor's can land behind it.
        self.engine.replay = None;
        self.settle_part(left, end);
    }
}
