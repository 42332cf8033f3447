//! The sequence of objects as the worker sees it: which one is open, and which comes next.
//!
//! A batch belongs to the appender of one object from its first attempt until its fate is known: to
//! keep trying is to go on with that appender. A batch goes to the next object only when it is not
//! in the one before and cannot get there any more, by what OSS has answered: the object is longer
//! than the batch's position, sealed, under retention, not appendable, or not there any more.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::find::{Asking, newest};
use super::finished::{FinishedObject, OnFinished};
use super::recover::Recovery;
use super::standing::Standing;
use super::template::{KeyNames, KeyTemplate};
use crate::drive::ObjectAppenderBuilder;
use crate::drive::driver::Driver;
use crate::drive::stats::{Counters, Hope};
use crate::drive::wait::wait;
use crate::drive::window::WindowAccess;
use crate::engine::window::Window;
use crate::error::{Error, ErrorKind, Landed, Result};
use crate::metrics;
use crate::stage::compression::Compression;
use crate::stage::{RollReason, Space, Stage};
use crate::store::AppendStore;
use crate::values::backoff::Backoff;
use crate::values::path::ObjectPath;
use crate::values::position::ObjectPosition;
use crate::values::proven::Proven;
use crate::writer::periods::WallClock;
use crate::writer::spooling::{Keeper, OpenSpool};

/// The most objects in a row that are passed over before that is taken for a failure.
const MOST_PASSED: usize = 10_000;

/// The most objects in a row that may refuse the same batch by an answer that names no reason which
/// lies in the object.
const MOST_REFUSALS: u32 = 3;

/// What does not change while it runs.
#[derive(Debug)]
pub(super) struct Plan<S> {
    pub(super) store: Arc<S>,
    pub(super) bucket: String,
    pub(super) template: KeyTemplate,
    pub(super) utc_offset: i32,
    /// An object of this length gets no more records.
    pub(super) roll_size: u64,
    pub(super) seal: bool,
    /// Waits between attempts that a new object does not mend; `None`: the first such failure is
    /// final.
    pub(super) keep_trying: Option<Backoff>,
    pub(super) on_finished: Option<OnFinished>,
    pub(super) clock: WallClock,
    /// Batches are compressed: what follows from their lengths is decided here.
    pub(super) compressed: bool,
    /// What comes first does not go in an object that is there.
    pub(super) begins_object: bool,
    /// The options of each object's appender.
    pub(super) appender: ObjectAppenderBuilder<Arc<S>>,
}

pub(crate) struct Roller<S> {
    pub(super) plan: Plan<S>,
    pub(super) counters: Arc<Counters>,
    standing: Arc<Standing>,
    /// The period of what comes now, where there are periods.
    period: Option<Timestamp>,
    /// The last object that was used.
    pub(super) last: Option<Candidate>,
    current: Option<Current<S>>,
    /// `on_finished` has panicked.
    failure: Option<Error>,
    /// What an earlier process has left in a spool.
    pub(super) recovery: Option<Box<Recovery>>,
}

/// An object that may come next.
#[derive(Clone)]
pub(super) struct Candidate {
    pub(super) names: KeyNames,
    pub(super) number: u64,
    pub(super) time: Timestamp,
}

/// The object that is open.
struct Current<S> {
    driver: Driver<Arc<S>>,
    start: ObjectPosition,
    first: Timestamp,
    last: Timestamp,
    /// An earlier process may have sent it more of what is in the spool, which may land yet. What
    /// comes next goes nowhere else, until an append of our own shows that it cannot land any more.
    owed: bool,
}

impl<S: AppendStore> Roller<S> {
    pub(super) fn new(plan: Plan<S>, counters: Arc<Counters>, standing: Arc<Standing>) -> Self {
        Self {
            plan,
            counters,
            standing,
            period: None,
            last: None,
            current: None,
            failure: None,
            recovery: None,
        }
    }

    /// Begins with what is in a spool, and keeps there what the appends are meant for.
    pub(super) fn keep_intents(&mut self, open: &OpenSpool, compression: Option<Compression>) {
        let keeper = Arc::new(Keeper(Arc::clone(&open.spooled)));
        Arc::make_mut(&mut self.plan.appender.options).intents = Some(keeper);
        self.plan.begins_object = open.begins_object;
        self.recovery = open.plan.clone().map(|plan| {
            Box::new(Recovery {
                spooled: Arc::clone(&open.spooled),
                on_disk: open.on_disk,
                plan,
                compression,
            })
        });
    }

    fn is_shared(&self) -> bool {
        self.plan.appender.options.rules.shared
    }

    /// Opens the object of `candidate`.
    async fn open_candidate(&self, candidate: &Candidate) -> Result<Driver<Arc<S>>> {
        let object = ObjectPath::new(&self.plan.bucket, candidate.names.key(candidate.number))?;
        let builder = self.plan.appender.clone().for_object(object);
        let counters = Arc::clone(&self.counters);
        builder.open_driver(counters).await
    }

    /// Waits after so many failures in a row. The end of the writer cuts that short.
    pub(super) async fn pause(&self, backoff: Backoff, failures: u32) {
        let delay = backoff.delay(failures, fastrand::f64());
        wait(delay, Duration::ZERO, &self.plan.appender.options.ending).await;
    }

    /// The number after `number`. Keys with a new UUID each need none.
    fn number_after(&self, number: u64) -> u64 {
        match self.plan.template.is_unique() && !self.plan.template.is_numbered() {
            true => number,
            false => number.saturating_add(1),
        }
    }

    /// What there is already: objects of any kind take a number, and each question is asked until
    /// there is an answer.
    fn directory(&self) -> Asking<'_, S> {
        let appender = &self.plan.appender;
        Asking {
            store: &*self.plan.store,
            object: appender.object(),
            options: &appender.options,
            counters: &self.counters,
            any_kind: true,
        }
    }

    /// The candidate to begin with at `time`, and whether an object that is there may be continued.
    async fn first_candidate(&self, time: Timestamp) -> Result<(Candidate, bool)> {
        let names = self.plan.template.names(time, self.plan.utc_offset);
        let may_continue = self.is_shared() || !names.is_numbered();
        let candidate = |number| Candidate {
            names: names.clone(),
            number,
            time,
        };
        if let Some(last) = &self.last
            && last.names == names
        {
            return Ok((candidate(self.number_after(last.number)), self.is_shared()));
        }
        // What is left of an earlier run of this program is continued.
        let may_continue = may_continue || self.last.is_none() && !self.plan.begins_object;
        // Without `{seq}` only what went wrong in an earlier run has a number.
        let is_listed = names.is_numbered() || self.last.is_none();
        let newest = match is_listed && !self.plan.template.is_unique() {
            true => newest(&self.directory(), &names).await?,
            false => None,
        };
        Ok(match newest {
            Some(number) if may_continue => (candidate(number), true),
            Some(number) => (candidate(number.saturating_add(1)), false),
            None => (candidate(1), may_continue),
        })
    }

    /// Opens the object of `time`, or of now; repeats that if told to.
    async fn open_at(&mut self, time: Option<Timestamp>) -> Result<()> {
        let time = time.unwrap_or_else(|| self.plan.clock.now());
        let mut failures = 0;
        loop {
            let error = match self.open_next(time).await {
                Ok(()) => break,
                Err(error) => error,
            };
            let Some(backoff) = self.plan.keep_trying.filter(|_| !is_hopeless(&error)) else {
                return Err(error);
            };
            // A list that is answered before the next failure ends no trouble.
            self.kept(self.plan.appender.object(), &error, true);
            failures += 1;
            self.pause(backoff, failures).await;
        }
        if failures > 0 {
            self.counters.succeeded(self.plan.appender.object(), true);
        }
        Ok(())
    }

    /// What has failed for good is tried again.
    pub(super) fn kept(&self, object: &ObjectPath, error: &Error, delivering: bool) {
        self.counters.error(error);
        let hope = Hope::without_end(delivering);
        self.counters.failed(object, error, hope);
    }

    /// Opens the object of `period`, or of now; the first failure that stays is the end.
    #[cfg(feature = "tracing")]
    pub(super) async fn open_once(&mut self, period: Option<Timestamp>) -> Result<()> {
        self.period = period;
        let time = period.unwrap_or_else(|| self.plan.clock.now());
        self.open_next(time).await
    }

    /// Whether `len` bytes have to go in another object than the one that is open.
    fn lacks_space(&self, len: u64) -> bool {
        self.space()
            .is_some_and(|space| !space.empty && len > space.bytes)
    }

    /// Opens the next object that may be appended to.
    async fn open_next(&mut self, time: Timestamp) -> Result<()> {
        let (mut candidate, mut may_continue) = self.first_candidate(time).await?;
        for _ in 0..MOST_PASSED {
            match self.open_candidate(&candidate).await {
                Ok(driver) => {
                    let length = driver.position().bytes();
                    if length == 0 || (may_continue && length < self.plan.roll_size) {
                        self.begin(Some(candidate), driver);
                        return Ok(());
                    }
                }
                Err(error) if ends_the_object(&error) => {}
                Err(error) => return Err(error),
            }
            may_continue = self.is_shared();
            candidate.names = self.plan.template.names(time, self.plan.utc_offset);
            candidate.number = self.number_after(candidate.number);
        }
        Err(self.too_many_passed())
    }

    fn too_many_passed(&self) -> Error {
        Error::invalid_input(format!(
            "none of {MOST_PASSED} objects in a row could be appended to: is {} used by something \
             else?",
            self.plan.template
        ))
        .with_operation("roll")
    }

    /// Goes on with this object. An earlier process may have named it by other rules.
    pub(super) fn begin(&mut self, candidate: Option<Candidate>, driver: Driver<Arc<S>>) {
        let now = self.plan.clock.now();
        self.counters.tell_ignored(driver.object());
        self.standing
            .opened(driver.object(), driver.engine().proven());
        self.current = Some(Current {
            start: driver.position(),
            driver,
            first: now,
            last: now,
            owed: false,
        });
        self.last = candidate;
    }

    /// Goes on with the object that an earlier process has used.
    pub(super) fn resume(
        &mut self,
        candidate: Option<Candidate>,
        driver: Driver<Arc<S>>,
        start: ObjectPosition,
        owed: bool,
    ) {
        self.begin(candidate, driver);
        if let Some(current) = &mut self.current {
            // What that process has appended is told of with the rest.
            (current.start, current.owed) = (start, owed);
        }
    }

    /// Appends what is in the window to the object that is open. If told to keep trying, goes on
    /// with it until its fate is known, whatever fails meanwhile.
    async fn settle_in(
        &self,
        current: &mut Current<S>,
        window: &mut impl WindowAccess,
    ) -> Result<()> {
        // It is the last that was used.
        let name = self.last.as_ref();
        let number = name.map(|name| name.number);
        let time = name.map(|name| name.time.as_second());
        current.driver.intend(window, number, time).await?;
        let mut settled = current.driver.settle(window).await;
        let mut failures = 0;
        while let Err(error) = &settled {
            let mends = !ends_the_object(error) && !is_hopeless(error);
            let Some(backoff) = self.plan.keep_trying.filter(|_| mends) else {
                break;
            };
            self.kept(current.driver.object(), error, true);
            failures += 1;
            self.pause(backoff, failures).await;
            current.driver.resume(window);
            settled = current.driver.settle(window).await;
        }
        settled.map(drop)
    }

    /// The object takes no more from us. If many in a row refuse the same batch for a reason that
    /// does not lie in them, that is a failure.
    async fn leave(&mut self, error: Error, current: Current<S>, refusals: u32) -> Result<()> {
        let in_general = matches!(error.kind(), ErrorKind::Service(_)) && refusals > MOST_REFUSALS;
        match self.plan.keep_trying {
            Some(backoff) if in_general => self.pause(backoff, refusals).await,
            None if in_general => return Err(error),
            _ => {}
        }
        match in_general {
            true => self.kept(current.driver.object(), &error, true),
            false => self.counters.error(&error),
        }
        self.ended(current, RollReason::Closed, None);
        Ok(())
    }

    /// The object gets nothing more from us.
    fn ended(&mut self, current: Current<S>, reason: RollReason, seal: Option<Result<()>>) {
        let Proven { position, crc } = current.driver.engine().proven();
        self.standing.closed();
        if position == current.start {
            return;
        }
        self.standing.finished();
        metrics::finished_object(current.driver.object().shared_bucket());
        if let Some(on_finished) = &self.plan.on_finished {
            let told = on_finished.call(FinishedObject {
                object: current.driver.object().clone(),
                range: current.start.bytes()..position.bytes(),
                crc64: crc,
                first: current.first.into(),
                last: current.last.into(),
                reason,
                sealed: matches!(seal, Some(Ok(()))),
                seal_error: seal.and_then(Result::err),
            });
            self.failure = self.failure.take().or(told.err());
        }
    }

    async fn end_current(&mut self, reason: RollReason, seal: bool) {
        let Some(mut current) = self.current.take() else {
            return;
        };
        let sealed = match seal && current.driver.position() > current.start {
            true => Some(current.driver.seal().await),
            false => None,
        };
        self.ended(current, reason, sealed);
    }
}

/// Whether nothing can be appended to the object any more by us, so that another has to be taken.
/// What was sent for it does not get there any more either.
pub(super) fn ends_the_object(error: &Error) -> bool {
    let is_over = match error.kind() {
        ErrorKind::Sealed
        | ErrorKind::NotAppendable { .. }
        | ErrorKind::ObjectFull { .. }
        | ErrorKind::TooManyAppends { .. } => true,
        ErrorKind::Service(answer) => answer.refusal.is_about_the_object(),
        ErrorKind::Conflict(conflict) => {
            // What is not there any more, or is shorter, takes nothing at our position.
            let is_gone = conflict.found.is_none_or(|found| found < conflict.expected);
            return is_gone || error.landed() != Some(Landed::InDoubt);
        }
        _ => false,
    };
    is_over && error.landed() != Some(Landed::InDoubt)
}

/// Whether no time mends it. What is not in an object, although it was compared with that, is in the
/// spool: the next start finds out where it goes.
pub(super) fn is_hopeless(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::InvalidInput { .. } | ErrorKind::ReplayDiffers { .. }
    )
}

impl<S: AppendStore> Stage for Roller<S> {
    async fn recover(&mut self) -> Result<u64> {
        self.recover_spool().await
    }

    async fn open(&mut self, period: Option<Timestamp>) -> Result<()> {
        self.period = period;
        if self.current.is_some() {
            // What a spool was meant for goes on.
            return Ok(());
        }
        self.open_at(period).await
    }

    fn space(&self) -> Option<Space> {
        self.current.as_ref().map(|current| {
            let position = current.driver.position().bytes();
            let bytes = self.plan.roll_size.saturating_sub(position);
            Space {
                bytes,
                most: bytes,
                empty: position == 0 || current.owed && current.driver.engine().is_replaying(),
            }
        })
    }

    async fn settle(&mut self, window: &mut impl WindowAccess, continues: bool) -> Result<()> {
        let mut refusals = 0;
        for _ in 0..MOST_PASSED {
            let Some(left) = window.with(|window| window.left()) else {
                return Ok(());
            };
            if self.plan.compressed && !continues && self.lacks_space(left) {
                self.end_current(RollReason::Size, self.plan.seal).await;
                self.open_at(self.period).await?;
                continue;
            }
            let Some(mut current) = self.current.take() else {
                // After a failure of the last one.
                let time = self.last.as_ref().map(|candidate| candidate.time);
                self.open_at(time).await?;
                continue;
            };
            let settled = self.settle_in(&mut current, window).await;
            self.standing.proven(current.driver.engine().proven());
            match settled {
                Ok(()) => {
                    current.last = self.plan.clock.now();
                    self.current = Some(current);
                }
                Err(error) if !ends_the_object(&error) => return Err(error),
                Err(error) => {
                    if window.with(|window| window.left()) != Some(left) {
                        refusals = 0;
                    }
                    refusals += 1;
                    self.leave(error, current, refusals).await?;
                    window.with(Window::release);
                }
            }
        }
        Err(self.too_many_passed())
    }

    /// A sequence is not replayed, but for what is found in a spool.
    async fn verify(&mut self, window: &mut impl WindowAccess) -> Result<()> {
        match &mut self.current {
            Some(current) => current.driver.verify(window).await,
            None => Ok(()),
        }
    }

    async fn roll(&mut self, reason: RollReason) -> Result<()> {
        // An object that was never made keeps its number, or there would be a gap.
        let is_made = |current: &Current<S>| current.driver.position().bytes() > 0;
        if reason == RollReason::Period || self.current.as_ref().is_some_and(is_made) {
            self.end_current(reason, self.plan.seal).await;
        }
        Ok(())
    }

    async fn finish(&mut self, _: &mut impl WindowAccess, seal: bool) -> Result<()> {
        self.end_current(RollReason::Shutdown, seal).await;
        Ok(())
    }

    fn failure(&mut self) -> Option<Error> {
        self.failure.take()
    }

    async fn prove_compared(&mut self, _: &mut impl WindowAccess) {}
}
