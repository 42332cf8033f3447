//! The state machine of one object: what is proven of it, the batch whose fate is open, and what is
//! to be done next.
//!
//! The caller asks [`Engine::next`] what to do, does that, and tells by [`Engine::on`] how it went.
//! It may stop at any point, which is what a dropped future does: whatever was under way then counts
//! as sent and not answered, and the next goal finds out. Time and randomness come in as arguments.
//!
//! # Invariants
//! - A request that was sent and that OSS itself has not answered is in doubt: it may land until
//!   the object is proven to be longer than its position, or takes no more appends. Nothing else
//!   ends that, least of all the refusal of a later attempt.
//! - The pending batch is frozen: its bytes go to its position, or go on behind others' in a shared
//!   object, until they are proven to be there or cannot get there any more.
//! - What is given is proven, but for what a replay has only compared.

use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;

use super::budget::{Budget, Trip, Wait, asked};
use super::flush::Time;
use super::pending::Pending;
use super::reconcile::Sharing;
use super::replay::{Parts, Replay};
use super::rules::Rules;
use super::settle::Compare;
use crate::error::{Error, Landed, Result};
use crate::store::request::AppendAnswer;
use crate::values::batch::Batch;
use crate::values::info::ObjectInfo;
use crate::values::path::ObjectPath;
use crate::values::proven::Proven;

/// How often an object is looked at again that seems to be older than what is proven of it, as a
/// cache on the way may show it; and how long to wait before the first of these times.
const LOOKS_AGAIN: u32 = 3;
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// The random value with which a writer marks what it creates. Bytes, since a number of this size
/// would be aligned to 16.
pub(crate) type Mark = [u8; 16];

/// What is to be achieved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Goal {
    /// The fate of the pending batch is known.
    Settle,
    /// The object has been looked at, and was at least this long, or has been looked at again.
    Look(u64),
    /// What a replay has only compared has been proven by reading it back.
    Verify,
    /// The same as far as one attempt goes.
    Prove,
    /// The object is sealed at its present length.
    Seal,
}

/// What to do next.
#[derive(Debug)]
pub(crate) enum Action {
    /// Append these bytes at this position; `creates`: the object is not there yet.
    Append {
        position: u64,
        body: Batch,
        creates: bool,
    },
    /// Look at the object.
    Head,
    /// Begin to read this range.
    Read(Range<u64>),
    /// Go on with that.
    ReadOn,
    /// Seal the object at this length.
    Seal(u64),
    /// Wait before the next request.
    Wait(Wait),
    /// The goal is achieved, or cannot be.
    Done(Result<()>),
}

/// How what was to be done went.
#[derive(Debug)]
pub(crate) enum Event {
    /// The request had to wait for its turn.
    Queued(Duration),
    /// A request has come to its end; how it went comes next.
    Ended(Trip),
    /// An append was answered, or failed.
    Answered(Result<AppendAnswer>),
    /// A look was answered, or failed.
    Looked(Result<Option<ObjectInfo>>),
    /// More of the range came, or could not be had.
    Read(Result<Bytes>),
    /// A request to seal was answered, or failed.
    Sealed(Result<()>),
    /// The wait is over, which was to end at this time.
    Waited(Time),
}

/// What has happened since this was asked last, for those who count.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// Bytes proven to be in the object.
    pub(crate) durable: u64,
    /// An append was proven, so long after its first attempt.
    pub(crate) appended: Option<Duration>,
    /// The append is not the first for its batch.
    pub(crate) retried: bool,
    /// The object is looked at to find out what happened.
    pub(crate) reconciles: bool,
    /// What is told as the last failure.
    pub(crate) error: Option<Error>,
}

/// What is known once a goal is achieved.
#[derive(Debug, Default)]
pub(crate) struct Finished {
    /// What the last look has shown.
    pub(crate) seen: Option<ObjectInfo>,
    /// Where the batch begins that has been settled, and how long it was.
    pub(crate) batch: Option<(u64, u64)>,
}

/// What is being done towards a goal.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) goal: Goal,
    pub(super) stage: Stage,
    pub(super) step: Step,
    /// That of everything but the appends of a batch.
    pub(super) budget: Budget,
    pub(super) began: Time,
    /// What a wait that is under way is for.
    pub(super) waits: Then,
    pub(super) stale_looks: u32,
    pub(super) finished: Finished,
    pub(super) told: Told,
}

/// What within the goal.
#[derive(Debug)]
pub(super) enum Stage {
    /// The goal itself.
    Main,
    /// The range tells what a look could not.
    Content(Compare),
    /// Looking whether an object that we have created has our mark.
    Created,
    /// Reading back what was only compared.
    ReadBack(Parts),
    /// The same in one attempt, before this failure is told.
    Prove(Parts, Option<Error>),
    /// Looking whether the object is sealed after all, since this has failed. The look has a budget
    /// of its own.
    Unsealed(Error, Budget),
}

#[derive(Debug)]
pub(super) enum Step {
    /// Decide what comes next.
    Next,
    /// A request, or a wait, is under way.
    Under,
    /// Wait before the next attempt, because of this failure; at least as long as that.
    Pause(Error, Duration, Then),
    /// Wait because OSS has asked for it.
    Asked,
    /// Wait before another look.
    LookAgain,
    Read(Range<u64>),
    /// The next part of the range.
    ReadOn,
    Done(Result<()>),
}

/// What has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    Append,
    /// A look at the object, to find out what happened to an append.
    Look,
    /// An append that was not applied is sent again.
    SendAgain,
    /// Anything else.
    Goal,
    /// Nothing: OSS has asked for a wait.
    Asked,
}

#[derive(Debug)]
pub(crate) struct Engine {
    pub(super) object: ObjectPath,
    /// The end of what was given to us: proven, or in a replay perhaps only compared.
    pub(super) given: Proven,
    /// Whether the object is known to exist.
    pub(super) exists: bool,
    /// An object that we have created has not been looked at yet, if that is asked for.
    pub(super) unchecked_mark: bool,
    /// The mark of what we create.
    pub(super) mark: Option<Mark>,
    /// The mark that was seen on the object.
    pub(super) creator: Option<String>,
    /// In a box, since few have one.
    pub(super) replay: Option<Box<Replay>>,
    /// In a box, as all that follows: an idle engine has none.
    pub(super) pending: Option<Box<Pending>>,
    pub(super) job: Option<Box<Job>>,
    /// The object has been replaced while the pending batch was in doubt.
    pub(super) lost: Option<Error>,
    pub(super) failed: Option<Error>,
    /// OSS asked us to send nothing before this time.
    pub(super) not_before: Option<Time>,
}

impl Engine {
    /// The engine of an object that is looked at first.
    pub(crate) fn new(object: ObjectPath, mark: Option<Mark>) -> Self {
        Self {
            object,
            given: Proven::EMPTY,
            exists: false,
            unchecked_mark: false,
            mark,
            creator: None,
            replay: None,
            pending: None,
            job: None,
            lost: None,
            failed: None,
            not_before: None,
        }
    }

    /// The object as it was when it was opened, and from where it is replayed, if it is.
    pub(crate) fn opened(&mut self, seen: Option<ObjectInfo>, replay: Option<Proven>) {
        self.exists = seen.is_some();
        self.creator = seen.as_ref().and_then(|seen| seen.creator.clone());
        let end = seen.map_or(Proven::EMPTY, |seen| Proven {
            position: seen.length,
            crc: seen.crc64.or((seen.length == 0).then_some(0)),
        });
        let Some(from) = replay else {
            self.given = end;
            return;
        };
        let at_end = end.position == from.position;
        self.given = Proven {
            crc: from.crc.or(end.crc.filter(|_| at_end)),
            ..from
        };
        self.replay = Some(Box::new(Replay::new(from.position, end)));
    }

    pub(crate) fn object(&self) -> &ObjectPath {
        &self.object
    }

    pub(crate) fn given(&self) -> Proven {
        self.given
    }

    pub(crate) fn exists(&self) -> bool {
        self.exists
    }

    pub(crate) fn mark(&self) -> Option<Mark> {
        self.mark
    }

    pub(crate) fn is_replaying(&self) -> bool {
        self.replay.is_some()
    }

    pub(crate) fn failed(&self) -> Option<&Error> {
        self.failed.as_ref()
    }

    /// The batch whose fate is open: what of it is not proven to be in the object.
    pub(crate) fn pending(&self) -> Option<&Batch> {
        self.pending.as_deref().map(|pending| &pending.batch)
    }

    /// Up to here the object is proven to hold what was given.
    pub(crate) fn durable_position(&self) -> u64 {
        let replay = self.replay.as_ref();
        replay.map_or(self.given.position, |replay| replay.verified())
    }

    /// How many bytes have been compared and not been proven.
    pub(crate) fn lag(&self) -> u64 {
        self.given.position - self.durable_position()
    }

    /// Takes a batch in, whose fate [`Goal::Settle`] finds out. There must be none before it.
    pub(crate) fn offer(&mut self, batch: Batch, now: Time) {
        debug_assert!(self.pending.is_none(), "one batch at a time");
        let start = self.given.position;
        self.pending = Some(Box::new(Pending::new(batch, start, now)));
    }

    /// Takes a failure back: the next goal goes on with the pending batch.
    pub(crate) fn resume(&mut self) {
        self.failed = None;
        if let Some(pending) = &mut self.pending {
            pending.resume();
        }
    }

    /// Begins with `goal`. Whatever was under way before was given up.
    pub(crate) fn start(&mut self, goal: Goal, now: Time) {
        if let (Goal::Settle, Some(pending)) = (goal, &mut self.pending) {
            // Nobody was at work on it in between.
            pending.budget.restart(now);
        }
        self.job = Some(Box::new(Job {
            goal,
            stage: match goal {
                Goal::Settle | Goal::Look(_) | Goal::Seal => Stage::Main,
                Goal::Verify => Stage::ReadBack(Parts::default()),
                Goal::Prove => Stage::Prove(Parts::default(), None),
            },
            step: Step::Next,
            budget: Budget::new(now),
            began: now,
            waits: Then::Goal,
            stale_looks: 0,
            finished: Finished::default(),
            told: Told::default(),
        }));
    }

    /// Ends with the goal that is done.
    pub(crate) fn finish(&mut self) -> Finished {
        let job = self.job.take();
        job.map(|job| job.finished).unwrap_or_default()
    }

    /// What has happened since this was called last.
    pub(crate) fn told(&mut self) -> Told {
        let job = self.job.as_mut();
        job.map(|job| std::mem::take(&mut job.told))
            .unwrap_or_default()
    }

    /// How long a request that is sent now may go without moving.
    pub(crate) fn patience(&mut self, rules: &Rules, now: Time) -> Duration {
        match self.budget() {
            Some(budget) => budget.patience(rules, now),
            None => rules.attempt_timeout,
        }
    }

    /// What to do next. `random` is from 0 to 1.
    pub(crate) fn next(&mut self, rules: &Rules, now: Time, random: f64) -> Action {
        loop {
            let Some(job) = &mut self.job else {
                return Action::Done(Ok(()));
            };
            match std::mem::replace(&mut job.step, Step::Under) {
                // A step that was given up is decided anew.
                Step::Next | Step::Under => {
                    if let Some(action) = self.decide(rules, now) {
                        return action;
                    }
                }
                Step::Read(range) => return Action::Read(range),
                Step::ReadOn => return Action::ReadOn,
                Step::Asked => {
                    job.waits = Then::Asked;
                    let asked = self.not_before;
                    let asked = asked.map_or(Duration::ZERO, |time| time.saturating_sub(now));
                    return Action::Wait(Wait {
                        own: Duration::ZERO,
                        asked,
                    });
                }
                Step::LookAgain => {
                    job.waits = Then::Goal;
                    let own = LOOK_AGAIN_AFTER * (1 << (job.stale_looks - 1));
                    return Action::Wait(Wait {
                        own,
                        asked: Duration::ZERO,
                    });
                }
                Step::Pause(error, asked, then) => {
                    job.told.error = Some(error.clone());
                    job.waits = then;
                    let Some(budget) = self.budget() else {
                        continue;
                    };
                    match budget.pause(rules, error, asked, random, now) {
                        Ok(Some(wait)) => return Action::Wait(wait),
                        Ok(None) => self.waited(then),
                        Err(error) => self.gave_up(error, then),
                    }
                }
                Step::Done(result) => return Action::Done(result),
            }
        }
    }

    /// Tells how what was to be done went.
    pub(crate) fn on(&mut self, rules: &Rules, event: Event, now: Time) {
        match event {
            Event::Queued(waited) => {
                if let Some(budget) = self.budget() {
                    budget.queued(waited);
                }
            }
            Event::Ended(trip) => {
                if let Some(budget) = self.budget() {
                    budget.ended(trip, now);
                }
            }
            Event::Waited(time) => {
                if let Some(budget) = self.budget() {
                    budget.ended_at(time, now);
                }
                let waits = self.job.as_ref().map(|job| job.waits);
                self.waited(waits.unwrap_or(Then::Goal));
            }
            Event::Answered(answer) => self.answered(rules, answer, now),
            Event::Looked(looked) => self.looked(rules, looked, now),
            Event::Read(read) => self.read(rules, read, now),
            Event::Sealed(sealed) => self.sealed(sealed, now),
        }
    }

    /// The wait before the next attempt of what has failed is over.
    fn waited(&mut self, then: Then) {
        match (then, &mut self.pending) {
            (Then::SendAgain, Some(pending)) => pending.look = false,
            (Then::Asked, _) => self.not_before = None,
            _ => {}
        }
        self.step(Step::Next);
    }

    fn decide(&mut self, rules: &Rules, now: Time) -> Option<Action> {
        let job = self.job.as_mut()?;
        match (&job.stage, job.goal) {
            (Stage::Main, Goal::Settle) => self.settle(rules, now),
            (Stage::Main, Goal::Seal) => Some(Action::Seal(self.given.position)),
            (Stage::Main, Goal::Look(_)) | (Stage::Created | Stage::Unsealed(..), _) => {
                Some(Action::Head)
            }
            (Stage::Content(_), _) => {
                // Given up in the midst of it: look again.
                job.stage = Stage::Main;
                self.again()
            }
            (Stage::ReadBack(_), _) | (Stage::Main, Goal::Verify) => self.read_back(),
            (Stage::Prove(..), _) | (Stage::Main, Goal::Prove) => self.prove(),
        }
    }

    /// Decides anew.
    pub(super) fn again(&mut self) -> Option<Action> {
        self.step(Step::Next);
        None
    }

    pub(super) fn step(&mut self, step: Step) {
        if let Some(job) = &mut self.job {
            job.step = step;
        }
    }

    /// Waits before the next attempt of what has failed with `error`, if that can help.
    pub(super) fn pause(&mut self, error: Error, then: Then) {
        let asked = asked(&error);
        self.step(Step::Pause(error, asked, then));
    }

    pub(super) fn done(&mut self, result: Result<()>) {
        self.step(Step::Done(result));
    }

    pub(super) fn told_mut(&mut self, tell: impl FnOnce(&mut Told)) {
        if let Some(job) = &mut self.job {
            tell(&mut job.told);
        }
    }

    /// The budget of what is being done.
    pub(super) fn budget(&mut self) -> Option<&mut Budget> {
        let job = self.job.as_mut()?;
        match (&mut job.stage, job.goal, &mut self.pending) {
            (Stage::Unsealed(_, budget), ..) => Some(budget),
            (Stage::Main | Stage::Content(_), Goal::Settle, Some(pending)) => {
                Some(&mut pending.budget)
            }
            _ => Some(&mut job.budget),
        }
    }

    pub(super) fn sharing(&self, rules: &Rules) -> Sharing {
        if self.replay.is_some() {
            Sharing::Replay
        } else if rules.shared {
            Sharing::Shared
        } else {
            Sharing::Exclusive
        }
    }

    /// A look has shown this: whether it is to be repeated, since it is older than what is known of
    /// the object. A refusal that `named` the same length as the look is believed.
    pub(super) fn looks_again(
        &mut self,
        known: u64,
        named: Option<u64>,
        seen: Option<&ObjectInfo>,
    ) -> bool {
        let length = seen.map_or(0, |seen| seen.length);
        let is_stale = length < named.unwrap_or(known);
        let Some(job) = &mut self.job else {
            return false;
        };
        if !is_stale || job.stale_looks >= LOOKS_AGAIN {
            job.stale_looks = 0;
            return false;
        }
        job.stale_looks += 1;
        job.step = Step::LookAgain;
        true
    }

    /// Fails for good. `landed` is that of the pending batch, if it is known better than by what
    /// was sent for it.
    pub(super) fn fail(&mut self, error: Error, landed: Option<Landed>) {
        let error = self.failure(error, landed);
        self.done(Err(error));
    }

    /// Stays failed with `error`, which is told with all that is known of it.
    pub(crate) fn failure(&mut self, error: Error, landed: Option<Landed>) -> Error {
        let mut error = error
            .with_operation("append")
            .with_object(&self.object)
            .with_position(self.given.position);
        if let Some(pending) = &self.pending {
            let by_requests = match self.replay.is_some() || pending.in_doubt {
                true => Landed::InDoubt,
                false => Landed::No,
            };
            let landed = landed.unwrap_or(by_requests);
            error = error.with_landed(landed);
            if landed == Landed::Yes {
                // What was only compared yet is proven with it.
                let more = self.lag() + pending.batch.len();
                self.given = self.given.after(&pending.batch);
                self.replay = None;
                self.pending = None;
                self.told_mut(|told| told.durable += more);
            }
        } else if let Some(landed) = landed {
            error = error.with_landed(landed);
        }
        let last = error.clone();
        self.told_mut(|told| told.error = Some(last));
        self.failed = Some(error.clone());
        error
    }
}
