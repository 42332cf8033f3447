//! The sequence of objects as the worker sees it: which one is open, and which comes next.

use std::sync::Arc;

use jiff::Timestamp;

use super::find::newest;
use super::finished::{FinishedObject, OnFinished};
use super::progress::Progress;
use super::template::{KeyNames, KeyTemplate};
use crate::appender::checkpoint::Checkpoint;
use crate::appender::stats::Counters;
use crate::appender::{ObjectAppender, ObjectAppenderBuilder};
use crate::core::backoff::Backoff;
use crate::core::batch::Batch;
use crate::core::position::Proven;
use crate::error::{Conflict, ConflictCause, Error, ErrorKind, Landed, Result};
use crate::metrics;
use crate::store::{AppendStore, ObjectPath};
use crate::writer::destination::{Destination, RollReason, Room, append_placed};
use crate::writer::periods::WallClock;
use crate::writer::receipt::Place;

/// The most objects in a row that are passed over before that is taken for a failure.
const MOST_PASSED: usize = 10_000;

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
    /// The options of each object's appender.
    pub(super) appender: ObjectAppenderBuilder<Arc<S>>,
}

pub(super) struct Roller<S> {
    plan: Plan<S>,
    counters: Arc<Counters>,
    progress: Arc<Progress>,
    /// The period of what comes now, where there are periods.
    period: Option<Timestamp>,
    /// The last object that was used.
    place: Option<Slot>,
    current: Option<Current<S>>,
    /// What is not proven of the batch that is being appended.
    unsent: Option<Batch>,
    proven: Proven,
}

#[derive(Clone)]
struct Slot {
    names: KeyNames,
    number: u64,
    time: Timestamp,
}

/// The object that is open.
struct Current<S> {
    appender: ObjectAppender<Arc<S>>,
    start: u64,
    first: Timestamp,
    last: Timestamp,
}

impl<S: AppendStore> Roller<S> {
    pub(super) fn new(plan: Plan<S>, counters: Arc<Counters>, progress: Arc<Progress>) -> Self {
        Self {
            plan,
            counters,
            progress,
            period: None,
            place: None,
            current: None,
            unsent: None,
            proven: Proven::EMPTY,
        }
    }

    fn is_shared(&self) -> bool {
        self.plan.appender.options.shared
    }

    /// Whether another object can be taken up in the same period.
    fn has_alternatives(&self) -> bool {
        self.plan.template.is_numbered() || self.plan.template.is_unique()
    }

    /// Opens the object of `place`, to go on at `from` if that is given.
    async fn open_place(
        &self,
        place: &Slot,
        from: Option<Proven>,
    ) -> Result<ObjectAppender<Arc<S>>> {
        let object = ObjectPath::new(&self.plan.bucket, place.names.key(place.number))?;
        let mut builder = self.plan.appender.clone().for_object(object.clone());
        if let Some(from) = from {
            builder = builder.replay(Checkpoint::at(object, from));
        }
        builder.open_counting(Arc::clone(&self.counters)).await
    }

    /// The place to begin with at `time`, and whether an object that is there may be continued.
    async fn first_place(&self, time: Timestamp) -> Result<(Slot, bool)> {
        let names = self.plan.template.names(time, self.plan.utc_offset);
        let may_continue = self.is_shared() || !names.is_numbered();
        let place = |number| Slot {
            names: names.clone(),
            number,
            time,
        };
        if let Some(last) = &self.place
            && last.names == names
        {
            return Ok((place(last.number + 1), may_continue));
        }
        // What is left of an earlier run of this program is continued.
        let may_continue = may_continue || self.place.is_none();
        let newest = match names.is_numbered() && !self.plan.template.is_unique() {
            true => newest(&self.plan, &self.counters, &names).await?,
            false => None,
        };
        Ok(match newest {
            Some(number) if may_continue => (place(number), true),
            Some(number) => (place(number.saturating_add(1)), false),
            None => (place(1), may_continue),
        })
    }

    /// Opens the object of `time`, or of now; repeats that if told to.
    async fn open_at(&mut self, time: Option<Timestamp>) -> Result<()> {
        let time = time.unwrap_or_else(|| self.plan.clock.now());
        let mut failures = 0;
        loop {
            let error = match self.open_next(time).await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            let Some(backoff) = self.plan.keep_trying.filter(|_| !is_hopeless(&error)) else {
                return Err(error);
            };
            self.counters.error(&error);
            failures += 1;
            tokio::time::sleep(backoff.delay(failures, fastrand::f64())).await;
        }
    }

    /// Whether `batch` has to go in another object than the one that is open.
    fn lacks_room(&self, batch: &Batch) -> bool {
        self.room()
            .is_some_and(|room| !room.empty && batch.len() > room.bytes)
    }

    /// Opens the next object that may be appended to.
    async fn open_next(&mut self, time: Timestamp) -> Result<()> {
        let (mut place, mut may_continue) = self.first_place(time).await?;
        for _ in 0..MOST_PASSED {
            let refused = match self.open_place(&place, None).await {
                Ok(appender) => {
                    let length = appender.position();
                    if length == 0 || (may_continue && length < self.plan.roll_size) {
                        self.begin(place, appender);
                        return Ok(());
                    }
                    let cause = ConflictCause::Exists;
                    Error::new(ErrorKind::Conflict(Conflict::new(cause, 0, Some(length))))
                        .with_operation("open")
                        .with_object(appender.object())
                }
                Err(error) if ends_the_object(&error) => error,
                Err(error) => return Err(error),
            };
            if !self.has_alternatives() {
                return Err(refused);
            }
            may_continue = self.is_shared();
            place.names = self.plan.template.names(time, self.plan.utc_offset);
            place.number = place.number.saturating_add(1);
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

    fn begin(&mut self, place: Slot, appender: ObjectAppender<Arc<S>>) {
        let now = self.plan.clock.now();
        self.proven = appender.proven();
        self.progress.opened(appender.object(), self.proven);
        self.current = Some(Current {
            start: appender.position(),
            appender,
            first: now,
            last: now,
        });
        self.place = Some(place);
    }

    fn has_proven(&mut self, proven: Proven) {
        self.proven = proven;
        self.progress.proven(proven);
    }

    /// Makes up for a failure of the current object, if that can be done: a new object is taken up,
    /// or the same again after a while. `unsent` is what is left of the batch.
    async fn recover(&mut self, error: Error, current: Current<S>) -> Result<()> {
        let place = self.place.clone();
        if ends_the_object(&error) {
            self.ended(current, RollReason::Closed, None);
            return match self.has_alternatives() {
                true => Ok(()),
                false => Err(error),
            };
        }
        let (Some(backoff), Some(place)) = (self.plan.keep_trying, place) else {
            return Err(error);
        };
        let in_doubt = error.landed() == Some(Landed::InDoubt) && !self.is_shared();
        let proven = self.proven;
        let mut failures = 0;
        loop {
            failures += 1;
            tokio::time::sleep(backoff.delay(failures, fastrand::f64())).await;
            let from = in_doubt.then_some(proven);
            match self.open_place(&place, from).await {
                Ok(appender) if self.is_shared() || appender.position() == proven.position => {
                    self.current = Some(Current {
                        appender,
                        ..current
                    });
                    return Ok(());
                }
                Ok(_) => break,
                Err(error) if ends_the_object(&error) => break,
                Err(error) if is_hopeless(&error) => return Err(error),
                Err(error) => self.counters.error(&error),
            }
        }
        self.ended(current, RollReason::Closed, None);
        Ok(())
    }

    /// The object gets nothing more from us.
    fn ended(&mut self, current: Current<S>, reason: RollReason, seal: Option<Result<()>>) {
        let Proven { position, crc } = self.proven;
        self.progress.closed();
        if position == current.start {
            return;
        }
        self.progress.finished();
        metrics::finished_object(&self.plan.bucket);
        if let Some(on_finished) = &self.plan.on_finished {
            on_finished.call(FinishedObject {
                object: current.appender.object().clone(),
                range: current.start..position,
                crc64: crc,
                first: current.first.into(),
                last: current.last.into(),
                reason,
                sealed: matches!(seal, Some(Ok(()))),
                seal_error: seal.and_then(Result::err),
            });
        }
    }

    async fn end_current(&mut self, reason: RollReason, seal: bool) {
        let Some(mut current) = self.current.take() else {
            return;
        };
        let sealed = match seal && self.proven.position > current.start {
            true => Some(current.appender.seal().await),
            false => None,
        };
        self.ended(current, reason, sealed);
    }
}

/// Whether nothing can be appended to the object any more by us, so that another has to be taken.
fn ends_the_object(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Sealed
            | ErrorKind::NotAppendable { .. }
            | ErrorKind::ObjectFull { .. }
            | ErrorKind::Conflict(_)
            | ErrorKind::ReplayDiffers { .. }
            | ErrorKind::ReplayTooShort { .. }
    )
}

/// Whether no time mends it.
fn is_hopeless(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::InvalidInput { .. })
}

impl<S: AppendStore> Destination for Roller<S> {
    async fn open(&mut self, period: Option<Timestamp>) -> Result<()> {
        self.period = period;
        self.open_at(period).await
    }

    fn room(&self) -> Option<Room> {
        self.current.as_ref().map(|current| {
            let position = current.appender.position();
            let bytes = self.plan.roll_size.saturating_sub(position);
            Room {
                bytes,
                most: bytes,
                empty: position == 0,
            }
        })
    }

    async fn append(&mut self, whole: Batch, continues: bool) -> Result<Vec<Place>> {
        self.unsent = Some(whole.clone());
        let mut places = Vec::new();
        for _ in 0..MOST_PASSED {
            let Some(batch) = self.unsent.clone() else {
                return Ok(places);
            };
            if self.plan.compressed && !continues && self.lacks_room(&batch) {
                self.end_current(RollReason::Size, self.plan.seal).await;
                self.open_at(self.period).await?;
                continue;
            }
            let Some(mut current) = self.current.take() else {
                // After a failure of the last one.
                let time = self.place.as_ref().map(|place| place.time);
                if self.plan.compressed {
                    // A part of a member is worth nothing.
                    self.unsent = Some(whole.clone());
                    places.clear();
                }
                self.open_at(time).await?;
                continue;
            };
            let len = batch.len();
            let (position, before) = (current.appender.position(), current.appender.crc64());
            let mut appended = append_placed(&mut current.appender, batch).await;
            if appended.is_ok()
                && let Err(error) = current.appender.verify().await
            {
                appended = Err(error);
            }
            match appended {
                Ok(place) => {
                    places.push(place);
                    self.unsent = None;
                    self.has_proven(current.appender.proven());
                    current.last = self.plan.clock.now();
                    self.current = Some(current);
                }
                Err(error) => {
                    self.unsent = current.appender.unsettled().cloned();
                    let left = self.unsent.as_ref().map_or(0, Batch::len);
                    if left < len {
                        places.push(Place {
                            object: current.appender.object().clone(),
                            position,
                            len: len - left,
                            before,
                            member: None,
                        });
                    }
                    self.has_proven(current.appender.proven());
                    self.recover(error, current).await?;
                }
            }
        }
        Err(self.too_many_passed())
    }

    async fn roll(&mut self, reason: RollReason) -> Result<()> {
        // An object that was never made keeps its number, or there would be a gap.
        if reason == RollReason::Period || self.proven.position > 0 {
            self.end_current(reason, self.plan.seal).await;
        }
        Ok(())
    }

    async fn finish(&mut self, seal: bool) -> Result<()> {
        self.end_current(RollReason::Shutdown, seal).await;
        Ok(())
    }

    fn proven(&self) -> Proven {
        self.proven
    }

    fn unsent(&self) -> Option<Batch> {
        self.unsent.clone()
    }
}
