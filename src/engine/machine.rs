//! The state machine of one object: what is proven about it, and what to do next about the
//! [window](super::window) of bytes to be appended.
//!
//! The caller asks [`Moment::next`] what to do, does it, and reports the result to [`Moment::on`].
//! It may stop at any point, and reports that too: a request in flight then counts as sent and not
//! answered, and the next goal finds out. Time and randomness come in as arguments.
//!
//! How a flight is settled by attempts and answers is in [`settle`](super::settle), by looks in
//! [`look`](super::look); what a replay compares in [`replay`](super::replay).
//!
//! # Invariants
//! - A request that was sent and that OSS itself has not answered is in doubt: it may land until
//!   the object is proven to be longer than its position, or takes no more appends. Nothing else
//!   ends that, least of all the refusal of a later attempt.
//! - A flight is frozen: its bytes go to its position, or go on behind others' in a shared
//!   object, until they are proven to be there or cannot get there any more.
//! - What is given is proven, except for what a replay has only compared.

use std::time::Duration;

use super::action::{Action, Event, Finished, Goal, Told};
use super::beginning::Beginning;
use super::budget::{Budget, Wait, asked};
use super::flight::Flight;
use super::flush::Time;
use super::job::{Job, Step, Task, Then};
use super::mark::Mark;
use super::reconcile::Sharing;
use super::replay::{PartsRead, Replay};
use super::rules::Rules;
use super::window::Window;
use crate::error::{Error, Landed, Result};
use crate::values::info::ObjectInfo;
use crate::values::path::ObjectPath;
use crate::values::position::ObjectPosition;
use crate::values::proven::Proven;

/// How often an object is looked at again that seems to be older than what is proven of it, as a
/// cache on the way may show it; and how long to wait before the first of these times.
const LOOKS_AGAIN: u32 = 3;
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(crate) struct Engine {
    pub(super) object: ObjectPath,
    /// The end of what was given to us: proven, or in a replay perhaps only compared.
    pub(super) given: Proven,
    /// Whether the object is known to exist.
    pub(super) exists: bool,
    /// What is known of how it begins.
    pub(crate) beginning: Beginning,
    /// An object that we have created has not been looked at yet, if that is asked for.
    pub(super) unchecked_mark: bool,
    /// The mark of what we create.
    pub(super) mark: Option<Mark>,
    /// The mark that was seen on the object.
    pub(super) creator: Option<String>,
    /// The tag of the object as it was at that length, from a store that gives no checksum.
    pub(super) tag: Option<Box<(ObjectPosition, String)>>,
    /// How many appends the object is made of, where known.
    pub(super) appends: Option<u64>,
    /// In a box, since few have one.
    pub(super) replay: Option<Box<Replay>>,
    /// In a box: an idle engine has none.
    pub(super) job: Option<Box<Job>>,
    /// The object has been replaced while a flight was in doubt.
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
            beginning: Beginning::Agrees,
            unchecked_mark: false,
            mark,
            creator: None,
            tag: None,
            appends: None,
            replay: None,
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
        self.appends = match &seen {
            Some(seen) => seen.appends,
            None => Some(0),
        };
        let tag = seen.as_ref().and_then(|seen| seen.etag.clone());
        let end = seen.map_or(Proven::EMPTY, |seen| Proven {
            position: seen.end(),
            crc: seen.crc64.or((seen.length == 0).then_some(0)),
        });
        let Some(from) = replay else {
            self.given = end;
            self.remember_tag(tag);
            return;
        };
        let at_end = end.position == from.position;
        self.given = Proven {
            crc: from.crc.or(end.crc.filter(|_| at_end)),
            ..from
        };
        self.replay = Some(Box::new(Replay::new(from.position, end)));
    }

    /// Keeps the tag of the object as it is at the end of what is given.
    pub(super) fn remember_tag(&mut self, tag: Option<String>) {
        self.tag = tag.map(|tag| Box::new((self.given.position, tag)));
    }

    /// The object's tag, as it was when it was as long as what is given.
    pub(super) fn tag(&self) -> Option<&str> {
        let (position, tag) = self.tag.as_deref()?;
        (*position == self.given.position).then_some(tag.as_str())
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

    /// Up to here the object is proven to hold what was given.
    pub(crate) fn durable_position(&self) -> ObjectPosition {
        let replay = self.replay.as_ref();
        replay.map_or(self.given.position, |replay| replay.verified())
    }

    /// How many bytes have been compared and not been proven.
    pub(crate) fn lag(&self) -> u64 {
        self.given.position - self.durable_position()
    }

    /// The end of what is proven.
    pub(crate) fn proven(&self) -> Proven {
        match self.durable_position() {
            durable if durable == self.given.position => self.given,
            durable => Proven::unknown(durable),
        }
    }

    /// What is to be decided at this moment, by these rules, about what is in `window`.
    pub(crate) fn at<'a>(
        &'a mut self,
        window: &'a mut Window,
        rules: &'a Rules,
        now: Time,
    ) -> Moment<'a> {
        Moment {
            engine: self,
            window,
            rules,
            now,
        }
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
}

/// An engine at one moment, with the window that it works on: all decisions are made by this.
#[derive(Debug)]
pub(crate) struct Moment<'a> {
    pub(super) engine: &'a mut Engine,
    pub(super) window: &'a mut Window,
    pub(super) rules: &'a Rules,
    pub(super) now: Time,
}

impl Moment<'_> {
    /// Begins with `goal`. Whatever was under way before was given up.
    pub(crate) fn start(&mut self, goal: Goal) {
        self.window.give_up();
        if let (Goal::Settle, Some(flight)) = (goal, self.window.first_mut()) {
            // Nobody was at work on it in between.
            flight.budget.restart(self.now);
        }
        self.engine.job = Some(Box::new(Job {
            goal,
            task: match goal {
                Goal::Settle | Goal::Look(_) | Goal::Seal => Task::Main,
                Goal::Verify => Task::ReadBack(PartsRead::default()),
                Goal::Prove => Task::Prove(PartsRead::default(), None),
            },
            step: Step::Next,
            budget: Budget::new(self.now),
            began: self.now,
            took: Duration::ZERO,
            waits: Then::Goal,
            stale_looks: 0,
            finished: Finished::default(),
            told: Told::default(),
        }));
    }

    /// How long a request that is sent now may go without moving.
    pub(crate) fn patience(&mut self) -> Duration {
        let (rules, now) = (self.rules, self.now);
        match self.budget() {
            Some(budget) => budget.patience(rules, now),
            None => self.rules.attempt_timeout,
        }
    }

    /// How long is tried again what is being done, if nothing gets better.
    pub(crate) fn gives_up_in(&mut self) -> Duration {
        let (rules, now) = (self.rules, self.now);
        match self.budget() {
            Some(budget) => budget.left(rules, now),
            None => self.rules.delivery_timeout,
        }
    }

    /// How many bytes wait to become durable, those under way with them.
    pub(crate) fn held(&self) -> u64 {
        self.window.held()
    }

    /// Whether what is being done is to settle what is in the window.
    pub(crate) fn is_settling(&self) -> bool {
        let job = self.engine.job.as_ref();
        job.is_some_and(|job| job.goal == Goal::Settle)
    }

    /// What to do next. `random` is from 0 to 1.
    pub(crate) fn next(&mut self, random: f64) -> Action {
        let action = self.next_action(random);
        self.note();
        action
    }

    fn next_action(&mut self, random: f64) -> Action {
        let (rules, now) = (self.rules, self.now);
        loop {
            let Some(job) = &mut self.engine.job else {
                return Action::Done(Ok(()));
            };
            match std::mem::replace(&mut job.step, Step::Under) {
                // A step that was given up is decided anew.
                Step::Next | Step::Under => {
                    if let Some(action) = self.decide() {
                        return action;
                    }
                }
                Step::Read(range) => return Action::Read(range),
                Step::ReadOn => return Action::ReadOn,
                Step::Asked => {
                    job.waits = Then::Asked;
                    let asked = self.engine.not_before;
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
    pub(crate) fn on(&mut self, event: Event) {
        self.take(event);
        self.note();
    }

    /// Tells the window what is proven.
    pub(super) fn note(&mut self) {
        let engine = &*self.engine;
        let (proven, lag) = (engine.proven(), engine.lag());
        self.window.note(proven, lag, engine.is_replaying());
    }

    fn take(&mut self, event: Event) {
        let now = self.now;
        match event {
            Event::Queued(waited) => {
                if let Some(budget) = self.budget() {
                    budget.queued(waited);
                }
            }
            Event::Ended(trip) => {
                if let Some(job) = &mut self.engine.job {
                    job.took = now.saturating_sub(trip.began);
                }
                if let Some(budget) = self.budget() {
                    budget.ended(trip, now);
                }
            }
            Event::Waited(time) => {
                if let Some(budget) = self.budget() {
                    budget.ended_at(time, now);
                }
                let waits = self.engine.job.as_ref().map(|job| job.waits);
                self.waited(waits.unwrap_or(Then::Goal));
            }
            Event::Answered(answer) => self.answered(answer),
            Event::Looked(looked) => self.looked(looked),
            Event::Read(read) => self.read(read),
            Event::Sealed(sealed) => self.sealed(sealed),
            // An append that was under way is in doubt since it was given out, and is looked for by
            // whoever goes on. Whatever else was under way is done again.
            Event::Dropped => self.engine.job = None,
        }
    }

    /// The wait before the next attempt of what has failed is over.
    fn waited(&mut self, then: Then) {
        match (then, self.window.first_mut()) {
            (Then::SendAgain, Some(flight)) => flight.look = false,
            (Then::Asked, _) => self.engine.not_before = None,
            _ => {}
        }
        self.step(Step::Next);
    }

    fn decide(&mut self) -> Option<Action> {
        let job = self.engine.job.as_mut()?;
        match (&job.task, job.goal) {
            (Task::Main, Goal::Settle) => self.settle(),
            (Task::Main, Goal::Seal) => Some(Action::Seal(self.engine.given.position)),
            (Task::Main, Goal::Look(_)) | (Task::Created | Task::Unsealed(..), _) => {
                Some(Action::Head)
            }
            (Task::Content(_), _) => {
                // Given up in the middle of it: look again.
                job.task = Task::Main;
                self.again()
            }
            (Task::ReadBack(_), _) | (Task::Main, Goal::Verify) => self.read_back(),
            (Task::Prove(..), _) | (Task::Main, Goal::Prove) => self.prove(),
        }
    }

    /// Decides anew.
    pub(super) fn again(&mut self) -> Option<Action> {
        self.step(Step::Next);
        None
    }

    pub(super) fn step(&mut self, step: Step) {
        if let Some(job) = &mut self.engine.job {
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
        if let Some(job) = &mut self.engine.job {
            tell(&mut job.told);
        }
    }

    /// The budget of what is being done.
    pub(super) fn budget(&mut self) -> Option<&mut Budget> {
        let job = self.engine.job.as_mut()?;
        match (&mut job.task, job.goal, self.window.first_mut()) {
            (Task::Unsealed(_, budget), ..) => Some(budget),
            (Task::Main | Task::Content(_), Goal::Settle, Some(flight)) => Some(&mut flight.budget),
            _ => Some(&mut job.budget),
        }
    }

    pub(super) fn sharing(&self) -> Sharing {
        if self.engine.replay.is_some() {
            Sharing::Replay
        } else if self.rules.shared {
            Sharing::Shared
        } else {
            Sharing::Exclusive
        }
    }

    /// A look has shown this: whether it is to be repeated, since it is older than what is known of
    /// the object. A refusal that `named` the same length as the look is believed.
    pub(super) fn looks_again(
        &mut self,
        known: ObjectPosition,
        named: Option<u64>,
        seen: Option<&ObjectInfo>,
    ) -> bool {
        let end = seen.map(ObjectInfo::end).unwrap_or_default();
        let is_stale = end < named.map_or(known, ObjectPosition::new);
        let Some(job) = &mut self.engine.job else {
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
            .with_object(&self.engine.object)
            .with_position(self.engine.given.position.bytes());
        let is_replaying = self.engine.replay.is_some();
        if self.window.first().is_some() {
            let landed = match landed {
                Some(landed) => landed,
                None if is_replaying || self.window.has_doubt() => Landed::InDoubt,
                None => Landed::No,
            };
            let looked_for = self.window.doubtful();
            self.window.set_doubt(looked_for, landed == Landed::InDoubt);
            error = error.with_landed(landed);
            if landed == Landed::Yes {
                let end = self.window.end_of(looked_for - 1, self.engine.given);
                self.proven(looked_for, end);
                // It is about a part of what was cut: the rest is not there.
                if self.window.first().is_some_and(Flight::is_rest) {
                    error = error.with_landed(match self.window.has_doubt() {
                        true => Landed::InDoubt,
                        false => Landed::No,
                    });
                }
            }
        } else if let Some(landed) = landed {
            error = error.with_landed(landed);
        }
        let last = error.clone();
        self.told_mut(|told| told.error = Some(last));
        self.engine.failed = Some(error.clone());
        self.note();
        error
    }
}
