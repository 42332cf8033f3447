//! The life of one batch: attempts and looks at the object in turn, until its fate is known.

use std::time::Duration;

use super::answer::{Answered, judge_answer};
use super::budget::MAX_ASKED;
use super::flush::Time;
use super::machine::{Action, Engine, Goal, Mark, Stage, Step, Then};
use super::reconcile::{Creator, Question, Verdict, by_content, by_head};
use super::recovery::{Recovery, closes_the_object, recovery};
use super::replay::{Compared, Parts};
use super::rules::Rules;
use crate::error::{Conflict, ConflictCause, Error, ErrorKind, Landed, Result, TransportCause};
use crate::store::request::AppendAnswer;
use crate::values::batch::BatchCursor;
use crate::values::info::ObjectInfo;
use crate::values::proven::Proven;

/// A range of the object that is compared with the pending batch.
#[derive(Debug)]
pub(super) struct Compare {
    pub(super) seen: ObjectInfo,
    pub(super) ours: BatchCursor,
    /// How many bytes of the range come yet.
    pub(super) left: u64,
}

impl Engine {
    /// What comes next for the pending batch.
    pub(super) fn settle(&mut self, rules: &Rules, now: Time) -> Option<Action> {
        let Some(pending) = &self.pending else {
            return self.settled(now);
        };
        if let Some(job) = &mut self.job {
            job.finished.batch = Some((pending.start, pending.len));
        }
        if !pending.look && self.replay.is_some() {
            let batch = pending.batch.clone();
            match self.compare(&batch) {
                Ok(Compared::AtEnd) => {}
                Ok(Compared::Skip(len)) => {
                    self.advance(len, now);
                    if self.must_read_back() {
                        self.enter(Stage::ReadBack(Parts::default()), now);
                    }
                    return self.again();
                }
                Err(differs) => {
                    // As much as possible is known to be durable then.
                    self.enter(Stage::Prove(Parts::default(), Some(differs)), now);
                    return self.again();
                }
            }
        }
        let look = self.pending.as_ref().is_some_and(|pending| pending.look);
        if !look && let Err(full) = self.check_room(rules) {
            self.fail(full, None);
            return None;
        }
        if self.not_before.is_some() {
            self.step(Step::Asked);
            return None;
        }
        if look {
            self.told_mut(|told| told.reconciles = true);
            return Some(Action::Head);
        }
        Some(self.attempt(now))
    }

    /// The batch is dealt with.
    fn settled(&mut self, now: Time) -> Option<Action> {
        if self.unchecked_mark && self.mark.is_some() {
            self.enter(Stage::Created, now);
            return self.again();
        }
        match self.lost.take() {
            // The object was replaced before the batch that was in doubt had settled in it.
            Some(error) => self.fail(error.with_landed(Landed::Yes), None),
            None => self.done(Ok(())),
        }
        None
    }

    /// Goes on with a part of the goal that has a budget of its own.
    fn enter(&mut self, stage: Stage, now: Time) {
        if let Some(job) = &mut self.job {
            job.stage = stage;
            job.budget.restart(now);
        }
    }

    /// The first `len` bytes of the pending batch are dealt with.
    fn advance(&mut self, len: u64, now: Time) {
        let Some(pending) = &mut self.pending else {
            return;
        };
        pending.budget.restart(now);
        pending.batch = pending.batch.skip(len);
        if pending.batch.is_empty() {
            self.pending = None;
        }
    }

    fn attempt(&mut self, now: Time) -> Action {
        let creates = self.creates();
        let position = self.given.position;
        let Some(pending) = &mut self.pending else {
            return Action::Done(Ok(()));
        };
        let retried = pending.budget.attempts > 0;
        pending.budget.attempts += 1;
        pending.first_attempt.get_or_insert(now);
        // Until the answer is here, and if it never comes, nobody knows.
        pending.was_in_doubt = std::mem::replace(&mut pending.in_doubt, true);
        pending.look = true;
        let body = pending.batch.clone();
        self.told_mut(|told| told.retried = retried);
        Action::Append {
            position,
            body,
            creates,
        }
    }

    /// Whether the next append creates the object.
    fn creates(&self) -> bool {
        self.given.position == 0 && !self.exists
    }

    fn check_room(&self, rules: &Rules) -> Result<()> {
        let Some(pending) = &self.pending else {
            return Ok(());
        };
        let (limit, length) = (rules.max_object_size, self.given.position);
        let batch = pending.batch.len();
        if length.saturating_add(batch) <= limit {
            return Ok(());
        }
        Err(Error::new(ErrorKind::ObjectFull {
            limit,
            length,
            batch,
        }))
    }

    fn note_wish(&mut self, rules: &Rules, delay: Option<Duration>, now: Time) {
        let most = MAX_ASKED.min(rules.delivery_timeout / 2);
        self.not_before = delay.and_then(|delay| now.checked_add(delay.min(most)));
    }

    /// An append was answered, or failed.
    pub(super) fn answered(&mut self, rules: &Rules, answer: Result<AppendAnswer>, now: Time) {
        self.step(Step::Next);
        match answer {
            Ok(answer) => self.judge(rules, answer, now),
            Err(error) => self.append_failed(rules, error, now),
        }
    }

    /// A success answer counts only if it names the expected position and checksum.
    fn judge(&mut self, rules: &Rules, answer: AppendAnswer, now: Time) {
        self.note_wish(rules, answer.delay, now);
        let Some(pending) = &mut self.pending else {
            return;
        };
        let expected = self.given.after(&pending.batch);
        match judge_answer(expected, answer.next_position, answer.crc64) {
            Answered::Proven => self.applied(rules, expected, now),
            Answered::Unproven => {
                pending.cause = Some(Error::new(ErrorKind::BadAnswer {
                    status: 200,
                    reason: "it names no next position or no CRC-64 to check".into(),
                    request_id: answer.request_id,
                }));
            }
            Answered::Wrong => {
                let error = Error::new(ErrorKind::Checksum {
                    expected_position: expected.position,
                    found_position: answer.next_position.unwrap_or(expected.position),
                    expected_crc64: expected.crc,
                    found_crc64: answer.crc64,
                });
                self.fail(error, Some(Landed::InDoubt));
            }
        }
    }

    fn append_failed(&mut self, rules: &Rules, error: Error, now: Time) {
        let asked = error.service_error().and_then(|answer| answer.retry_after);
        self.note_wish(rules, asked, now);
        let Some(pending) = &mut self.pending else {
            return;
        };
        let recovery = recovery(&error);
        if !matches!(recovery, Recovery::Reconcile | Recovery::RefusedBetween) {
            // OSS has said that this attempt was not applied.
            pending.in_doubt = pending.was_in_doubt;
        }
        match recovery {
            Recovery::Reconcile
            | Recovery::Mismatch
            | Recovery::Closed
            | Recovery::RefusedBetween => {
                pending.refused |= matches!(recovery, Recovery::Closed | Recovery::RefusedBetween);
                pending.cause = Some(error.clone());
                self.told_mut(|told| told.error = Some(error));
            }
            Recovery::Fail | Recovery::Retry | Recovery::RetryMended(_) => {
                pending.look = pending.in_doubt;
                self.pause(error, Then::Append);
            }
        }
    }

    /// What has failed is not tried again.
    pub(super) fn gave_up(&mut self, error: Error, then: Then) {
        let is_exhausted = matches!(error.kind(), ErrorKind::RetriesExhausted { .. });
        let Some(job) = &mut self.job else { return };
        match (then, &mut self.pending) {
            (Then::Append, Some(pending)) if pending.in_doubt && !is_exhausted => {
                // An earlier attempt may have landed.
                pending.cause = Some(error);
                pending.refused = true;
                self.step(Step::Next);
            }
            (Then::Look, Some(pending)) => {
                // Why the look was needed at all.
                let cause = pending.cause.take();
                let error = match cause {
                    Some(cause) if std::error::Error::source(&error).is_none() => {
                        error.with_source(cause)
                    }
                    _ => error,
                };
                self.fail(error, None);
            }
            (Then::Append | Then::SendAgain | Then::Look, _) => self.fail(error, None),
            (Then::Goal | Then::Asked, _) => match (&job.stage, job.goal) {
                (Stage::Created, _) => self.fail(error.with_landed(Landed::Yes), None),
                (_, Goal::Look(_) | Goal::Seal) => self.done(Err(error)),
                _ => self.fail(error, None),
            },
        }
    }

    /// A look was answered, or failed.
    pub(super) fn looked(&mut self, rules: &Rules, looked: Result<Option<ObjectInfo>>, now: Time) {
        let Some(job) = &mut self.job else { return };
        let then = match (&job.stage, job.goal) {
            (Stage::Main, Goal::Settle) => Then::Look,
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
        if then == Then::Goal
            && let Some(budget) = self.budget()
        {
            // Another look, if there is one, has its own time.
            budget.restart(now);
        }
        let Some(job) = &self.job else { return };
        match (&job.stage, job.goal) {
            (Stage::Created, _) => self.check_created(seen),
            (Stage::Unsealed(..), _) => self.looked_at_sealed(seen, now),
            (_, Goal::Look(known)) => {
                if !self.looks_again(known, None, seen.as_ref()) {
                    if let Some(job) = &mut self.job {
                        job.finished.seen = seen;
                    }
                    self.done(Ok(()));
                }
            }
            _ => self.reconcile(rules, seen, now),
        }
    }

    /// Looks at an object that we have just created, if that is asked for: whether it has our mark.
    fn check_created(&mut self, seen: Option<ObjectInfo>) {
        self.unchecked_mark = false;
        let mark = self.mark.map(shown);
        let creator = seen.as_ref().and_then(|seen| seen.creator.as_deref());
        if creator.is_none_or(|creator| mark.as_deref() == Some(creator)) {
            if let Some(job) = &mut self.job {
                job.stage = Stage::Main;
            }
            return;
        }
        let found = seen.map(|seen| seen.length);
        let conflict = Conflict::new(ConflictCause::Exists, 0, found);
        let error = Error::new(ErrorKind::Conflict(conflict)).with_landed(Landed::Yes);
        self.fail(error, None);
    }

    /// Decides about the pending batch by a look, where that is enough.
    fn reconcile(&mut self, rules: &Rules, seen: Option<ObjectInfo>, now: Time) {
        let named = self.pending.as_ref().and_then(|p| p.named_length());
        if self.looks_again(self.given.position, named, seen.as_ref()) {
            return;
        }
        let verdict = self.ask(rules, |question| by_head(question, seen.as_ref()));
        let Some(verdict) = verdict else { return };
        self.exists = seen.is_some();
        if self.creator.is_none() {
            self.creator = seen.as_ref().and_then(|seen| seen.creator.clone());
        }
        match (verdict, seen, &self.pending, &mut self.job) {
            (Verdict::ReadBack(range), Some(seen), Some(pending), Some(job)) => {
                job.stage = Stage::Content(Compare {
                    seen,
                    ours: pending.batch.cursor(),
                    left: range.end - range.start,
                });
                job.step = Step::Read(range);
            }
            (verdict, seen, ..) => self.act_on(rules, verdict, seen, now),
        }
    }

    /// More of the range came that is compared with the pending batch.
    pub(super) fn compare_content(
        &mut self,
        rules: &Rules,
        mut compare: Compare,
        chunk: &[u8],
        now: Time,
    ) {
        let take = usize::try_from(compare.left).map_or(chunk.len(), |left| left.min(chunk.len()));
        let equal = compare.ours.matches(&chunk[..take]);
        compare.left -= take as u64;
        let Some(job) = &mut self.job else { return };
        if equal && compare.left > 0 {
            job.stage = Stage::Content(compare);
            job.step = Step::ReadOn;
            return;
        }
        job.stage = Stage::Main;
        let seen = compare.seen;
        if let Some(verdict) = self.ask(rules, |question| by_content(question, &seen, equal)) {
            self.act_on(rules, verdict, Some(seen), now);
        }
    }

    /// What the rules say of the pending batch.
    fn ask(&self, rules: &Rules, judge: impl FnOnce(Question<'_>) -> Verdict) -> Option<Verdict> {
        let pending = self.pending.as_deref()?;
        let sharing = self.sharing(rules);
        let own = self.mark.filter(|_| self.creates()).map(shown);
        let creator = match (self.replay.is_some(), &own, &self.creator) {
            (true, ..) => Creator::Anybody,
            (_, Some(mark), _) => Creator::Us(mark),
            (.., Some(seen)) => Creator::Seen(seen),
            _ => Creator::Anybody,
        };
        Some(judge(Question {
            proven: self.given,
            batch: &pending.batch,
            sharing,
            in_doubt: pending.in_doubt,
            creator,
        }))
    }

    fn act_on(&mut self, rules: &Rules, verdict: Verdict, seen: Option<ObjectInfo>, now: Time) {
        self.step(Step::Next);
        let Some(pending) = &mut self.pending else {
            return;
        };
        match verdict {
            Verdict::Applied(end) => self.applied(rules, end, now),
            Verdict::Torn(len) => {
                self.given = self.given.after_prefix(&pending.batch, len);
                // The object is longer than it was: no earlier attempt can land any more.
                pending.in_doubt = false;
                pending.look = false;
                self.told_mut(|told| told.durable += len);
                self.advance(len, now);
            }
            Verdict::Compare(end) => {
                pending.look = false;
                if let Some(replay) = &mut self.replay {
                    replay.extend(end);
                }
            }
            Verdict::NotApplied | Verdict::Rebase(_) if pending.refused => {
                let cause = pending.cause.take();
                // Where the object takes no more, or is longer than it was, nothing can land.
                let is_over = matches!(verdict, Verdict::Rebase(_))
                    || cause.as_ref().is_some_and(closes_the_object);
                let landed = is_over.then_some(Landed::No);
                self.fail(refusal(cause), landed);
            }
            Verdict::NotApplied => self.send_again(),
            Verdict::Rebase(end) => {
                // The object is longer than our position: no earlier attempt can land any more.
                pending.in_doubt = false;
                pending.start = end.position;
                self.given = end;
                self.go_after_others(rules, now);
            }
            Verdict::Fail(kind, landed) => self.is_over(rules, kind, landed, seen),
            Verdict::ReadBack(_) => unreachable!("the range has been read"),
        }
    }

    /// Others have appended before us: ours goes after theirs, at once, unless there was a failure.
    fn go_after_others(&mut self, rules: &Rules, now: Time) {
        let Some(pending) = &mut self.pending else {
            return;
        };
        match pending.cause.take() {
            Some(cause) if recovery(&cause) == Recovery::Mismatch => {
                pending.look = false;
                if pending.budget.is_spent(rules, now) {
                    let error = pending.budget.exhausted(cause, now);
                    self.fail(error, None);
                }
            }
            cause => {
                pending.cause = cause;
                self.send_again();
            }
        }
    }

    /// The object is not what it was proven to be, or takes no more appends.
    fn is_over(
        &mut self,
        rules: &Rules,
        kind: ErrorKind,
        landed: Option<Landed>,
        seen: Option<ObjectInfo>,
    ) {
        let Some(pending) = &mut self.pending else {
            return;
        };
        let mut error = Error::new(kind);
        if let Some(cause) = pending.cause.take() {
            error = error.with_source(cause);
        }
        let Some(seen) = seen else {
            self.fail(error, landed);
            return;
        };
        let may_land = landed.is_none() && pending.in_doubt && seen.length == self.given.position;
        if !(rules.settles_in_place && may_land) {
            self.fail(error, landed);
            return;
        }
        pending.look = false;
        self.given.crc = seen.crc64;
        self.creator = seen.creator;
        self.lost = Some(error);
    }

    /// Pauses after a look that showed that the batch was not applied, then lets it be sent again.
    fn send_again(&mut self) {
        let Some(pending) = &mut self.pending else {
            return;
        };
        let cause = pending.cause.take().unwrap_or_else(|| {
            Error::transport(
                TransportCause::Broken,
                "the append was given up before its answer came",
            )
        });
        // The wait that OSS asked for with the cause was over before the look.
        self.step(Step::Pause(cause, Duration::ZERO, Then::SendAgain));
    }

    /// The pending batch is proven to be in the object, which is proven up to `end`.
    fn applied(&mut self, rules: &Rules, end: Proven, now: Time) {
        if let Some(pending) = &self.pending {
            // What was only compared yet is proven with it.
            let durable = self.lag() + pending.batch.len();
            let took = pending.first_attempt.map(|first| now.saturating_sub(first));
            self.told_mut(|told| {
                told.durable += durable;
                told.appended = Some(took.unwrap_or_default());
            });
        }
        if self.creates() && rules.verify_creator {
            self.unchecked_mark = true;
        }
        self.given = end;
        self.exists = true;
        // What is proven now is our own append: no predecessor's can land behind it.
        self.replay = None;
        self.pending = None;
    }
}

/// A mark as it is in the metadata.
pub(crate) fn shown(mark: Mark) -> String {
    hex::encode(mark)
}

/// What OSS refused for good, as the kind that callers match on.
fn refusal(cause: Option<Error>) -> Error {
    let code = cause
        .as_ref()
        .and_then(Error::service_error)
        .map(|answer| answer.code.as_str());
    let kind = match code {
        Some("AppendSealedObjectNotAllowed") => ErrorKind::Sealed,
        Some("ObjectNotAppendable") => ErrorKind::NotAppendable { object_type: None },
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
