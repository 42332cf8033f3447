//! The one task of a writer: takes a batch when the schedule says so, and appends it.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::FutureExt;
use futures::future::Either;
use jiff::Timestamp;
use tokio::runtime::Handle;
use tracing::Dispatch;
use tracing::instrument::WithSubscriber;

use crate::drive::gate::Unused;
use crate::engine::flush::Time;
use crate::engine::schedule::{Step, Waiting};
use crate::error::{Error, ErrorKind, Landed, Result};
use crate::metrics::{self, Buffered};
use crate::stage::compressed::Compressed;
use crate::stage::compression::Compression;
use crate::values::batch::Batch;

use super::buffer::reclaim;
use super::periods::PeriodClock;
use super::receipt::checksums;
use super::shared::{Phase, Shared, State};
use super::slim::Slim;
use super::sync::MutexGuard;
use crate::stage::destination::{Destination, RollReason, Room};
use crate::stage::place::Place;

/// What the worker does next.
enum Job {
    /// Opens an object for what waits.
    Open,
    /// Waits for the turn of the next append, while more gathers for it.
    Reserve,
    Append {
        chunks: Vec<Bytes>,
        /// They go on with a record whose beginning has been appended.
        continues: bool,
    },
    /// Somebody waits for bytes of a replay that are only compared yet.
    Verify,
    Roll(RollReason),
    WaitUntil(Time),
    Wait,
    Finish {
        seal: bool,
    },
}

/// Works until the writer is closed or fails; dropped at any point, even before it was ever polled,
/// it fails the writer.
pub(super) fn run<D: Destination>(
    shared: Arc<Shared>,
    mut destination: D,
    mut clock: Option<PeriodClock>,
) -> impl Future<Output = ()> + Send {
    let mut lost = LostGuard {
        shared,
        panic: None,
    };
    async move {
        let shared = Arc::clone(&lost.shared);
        let buffered = Buffered::new(shared.object.bucket());
        // Not by a variable, or the worker would keep room for it twice.
        let worked =
            AssertUnwindSafe(work(&shared, &mut destination, &mut clock, buffered)).catch_unwind();
        match worked.await {
            Ok(result) => {
                if let Err(error) = &result
                    && !is_out_of_reach(error)
                {
                    destination.prove_compared().await;
                }
                end(&shared, destination, result);
            }
            Err(panic) => lost.note(&*panic),
        }
    }
}

/// The same, and compresses what goes to `destination`, several records up to so many bytes at once.
pub(super) fn run_compressed<D: Destination>(
    shared: Arc<Shared>,
    destination: D,
    compression: Option<(Compression, u64)>,
    clock: Option<PeriodClock>,
) -> impl Future<Output = ()> + Send {
    let destination = Slim::new(destination);
    match compression {
        Some((compression, most)) => {
            let destination = Compressed::new(destination, compression, most);
            // In a box, so that it takes no room in a worker that does not compress.
            Either::Left(Box::pin(run(shared, destination, clock)))
        }
        None => Either::Right(run(shared, destination, clock)),
    }
}

/// Starts a worker. Its own HTTP must never be logged into the object that it writes.
pub(super) fn spawn(runtime: &Handle, worker: impl Future<Output = ()> + Send + 'static) {
    // Not a new `NoSubscriber`: tracing would keep a list of all of them, and walk it each time.
    runtime.spawn(worker.with_subscriber(Dispatch::none()));
}

async fn work<D: Destination>(
    shared: &Shared,
    destination: &mut D,
    clock: &mut Option<PeriodClock>,
    mut buffered: Buffered,
) -> Result<()> {
    let buffered = &mut buffered;
    let unused = Unused(shared.options.gate.as_deref());
    let mut spent = None;
    loop {
        if let Some(error) = destination.failure() {
            return Err(error);
        }
        match next_job(shared, destination.room(), clock, buffered, spent.take()) {
            Job::Open => {
                let period = clock.as_ref().and_then(PeriodClock::current);
                meanwhile(shared, clock, buffered, destination.open(period)).await?;
            }
            Job::Reserve => {
                if let Some(gate) = &shared.options.gate {
                    // In a box, so that it takes no room in a worker that is idle.
                    let reserving = Box::pin(gate.reserve());
                    meanwhile(shared, clock, buffered, reserving).await;
                }
            }
            Job::Append { chunks, continues } => {
                let batch = Batch::from(chunks);
                shared.lock().in_flight = Some(batch.clone());
                let len = batch.len();
                let mut places = Vec::new();
                let appending = destination.append(batch.clone(), continues, &mut places);
                let appended = meanwhile(shared, clock, buffered, appending).await;
                note_places(shared, &batch, places);
                drop(batch);
                appended?;
                spent = landed(shared, destination, len);
            }
            Job::Verify => {
                destination.verify().await?;
                let _ = landed(shared, destination, 0);
            }
            Job::Roll(reason) => {
                meanwhile(shared, clock, buffered, destination.roll(reason)).await?;
                if let (RollReason::Period, Some(clock)) = (reason, &mut *clock) {
                    clock.ended();
                }
                if reason != RollReason::Size {
                    shared.lock().cuts_made += 1;
                }
                let _ = landed(shared, destination, 0);
            }
            Job::WaitUntil(time) => {
                unused.give_back();
                tokio::select! {
                    () = sleep_until(shared, time) => {}
                    () = shared.work.notified() => {}
                }
            }
            Job::Wait => {
                unused.give_back();
                shared.work.notified().await;
            }
            Job::Finish { seal } => {
                destination.complete().await?;
                let _ = landed(shared, destination, 0);
                destination.finish(seal).await?;
                return destination.failure().map_or(Ok(()), Err);
            }
        }
    }
}

async fn sleep_until(shared: &Shared, time: Time) {
    match shared.instant(time) {
        Some(instant) => tokio::time::sleep_until(instant).await,
        None => std::future::pending().await,
    }
}

/// Runs `future`; a period that ends meanwhile ends for the bytes that come from then on, and those
/// that gather are shown.
async fn meanwhile<T>(
    shared: &Shared,
    clock: &mut Option<PeriodClock>,
    buffered: &mut Buffered,
    future: impl Future<Output = T>,
) -> T {
    let mut future = pin!(future);
    loop {
        let period = clock.as_mut().map(|clock| {
            let wall = clock.now();
            end_periods(&mut shared.lock(), clock, wall)
        });
        let Some(left) = period.into_iter().chain(Buffered::INTERVAL).min() else {
            return future.await;
        };
        tokio::select! {
            biased;
            output = &mut future => return output,
            () = tokio::time::sleep(left) => {}
        }
        let held = shared.lock().held();
        buffered.show(held);
    }
}

/// Makes the cut if the period has ended at `wall`, and tells when to ask again.
fn end_periods(state: &mut State, clock: &mut PeriodClock, wall: Timestamp) -> Duration {
    let left = clock.left(wall);
    if !left.is_zero() {
        return left;
    }
    state.cut(RollReason::Period);
    clock.begin(wall);
    clock.left(wall)
}

fn next_job(
    shared: &Shared,
    room: Option<Room>,
    clock: &mut Option<PeriodClock>,
    buffered: &mut Buffered,
    spent: Option<Vec<BytesMut>>,
) -> Job {
    let wall = clock.as_ref().map(PeriodClock::now);
    let mut state = shared.lock();
    if let Some(segments) = spent {
        state.buffer.release(segments, shared.now());
    }
    let job = choose(shared, &mut state, room, clock.as_mut().zip(wall));
    let held = state.held();
    drop(state);
    buffered.show(held);
    job
}

fn choose(
    shared: &Shared,
    state: &mut State,
    room: Option<Room>,
    clock: Option<(&mut PeriodClock, Timestamp)>,
) -> Job {
    let now = shared.now();
    let mut period_ends = None;
    if let Some((clock, wall)) = clock {
        if room.is_some() || state.buffer.len() > 0 {
            let left = end_periods(state, clock, wall);
            period_ends = Some(now.saturating_add(left));
        } else if state.cuts.is_empty() {
            clock.idle();
        }
    }
    let mid_record = state.buffer.is_mid_record();
    let mut to_cut = None;
    if let Some(cut) = state.cuts.front() {
        if cut.at > state.issued {
            to_cut = Some(cut.at - state.issued);
        } else if !mid_record {
            let reason = cut.reason;
            state.cuts.pop_front();
            return Job::Roll(reason);
        }
    }
    let closing = match state.phase {
        Phase::Closing { seal } if state.buffer.len() == 0 => return Job::Finish { seal },
        Phase::Closing { .. } => true,
        _ => false,
    };
    if state.wanted > state.durable && state.wanted <= state.settled {
        return Job::Verify;
    }
    let waiting = Waiting {
        bytes: state.buffer.len(),
        since: state.buffer.since().unwrap_or(now),
        flush_due: state.flush.due(),
        closing: closing || to_cut.is_some(),
    };
    match shared.options.schedule.next(waiting, now) {
        Step::Append(max) => {
            let Some(room) = room else { return Job::Open };
            let gate = shared.options.gate.as_ref();
            if gate.is_some_and(|gate| !gate.is_reserved()) {
                return Job::Reserve;
            }
            state.in_flight_since = state.buffer.since();
            let max = max.min(to_cut.unwrap_or(u64::MAX));
            let Some(chunks) = take(state, max, room) else {
                return Job::Roll(RollReason::Size);
            };
            if state.buffer.first_record().is_none() {
                state.buffer.age_from(now);
            }
            state.issued += chunks.iter().map(|chunk| chunk.len() as u64).sum::<u64>();
            let issued = state.issued;
            state.flush.issued(issued, now);
            Job::Append {
                chunks,
                continues: mid_record,
            }
        }
        Step::WaitUntil(time) => {
            let shown = Buffered::INTERVAL.map(|interval| now.saturating_add(interval));
            let others = period_ends.into_iter().chain(shown);
            Job::WaitUntil(others.fold(time, Time::min))
        }
        Step::Wait => {
            let wakes = period_ends
                .into_iter()
                .chain(keep_memory(shared, state, now));
            wakes.min().map_or(Job::Wait, Job::WaitUntil)
        }
    }
}

/// Gives back the memory of a writer that is idle for long enough, or tells when it will be.
fn keep_memory(shared: &Shared, state: &mut State, now: Time) -> Option<Time> {
    let since = state.buffer.spare_since()?;
    let end = since.saturating_add(shared.options.keep_memory);
    if end > now {
        return Some(end);
    }
    state.buffer.give_back();
    None
}

/// Takes the next batch out of the buffer; `None` if it has to go in another object.
fn take(state: &mut State, max: u64, room: Room) -> Option<Vec<Bytes>> {
    let buffer = &mut state.buffer;
    let first = buffer.first_record();
    if buffer.is_mid_record() {
        // Its end belongs where its beginning is.
        return Some(match first {
            Some(rest) if rest <= max => buffer.take(rest),
            _ => buffer.take_unfinished(max),
        });
    }
    if !room.empty && first.unwrap_or(buffer.len()) > room.bytes {
        return None;
    }
    Some(match first {
        Some(first) if first <= max => buffer.take(max.min(room.most.max(first))),
        _ => buffer.take_unfinished(max),
    })
}

/// Keeps where the first bytes of `batch` are, and the checksums in them, for those who may ask.
fn note_places(shared: &Shared, batch: &Batch, places: Vec<Place>) {
    let mut state = shared.lock();
    if !state.places.are_wanted() {
        return;
    }
    let start = state.settled;
    let mut at = start;
    for place in places {
        let ends = state.places.wanted(at..at + place.len);
        let crc64 = place.member.as_ref().and_then(|member| member.crc64);
        let found = match (crc64, place.before) {
            (Some(crc64), _) => vec![crc64; ends.len()],
            (None, Some(before)) if !ends.is_empty() => {
                drop(state);
                let found = checksums(&batch.skip(at - start), at, before, &ends);
                state = shared.lock();
                found
            }
            (None, _) => Vec::new(),
        };
        for (end, crc64) in ends.into_iter().zip(found) {
            state.places.checksum(end, crc64);
        }
        let len = place.len;
        state.places.push(at, place);
        at += len;
    }
}

/// The destination is done with `len` more bytes: frees their memory, moves the watermarks on, and
/// wakes whoever waits. Gives the segments that can be used again, if an append has landed.
fn landed(shared: &Shared, destination: &impl Destination, len: u64) -> Option<Vec<BytesMut>> {
    let mut state = shared.lock();
    state.settled += len;
    state.durable = state.settled - destination.lag();
    state.in_flight_since = None;
    state.proven = destination.proven();
    state.replaying = destination.is_replaying();
    let mut landed = state.in_flight.take();
    let mut let_go = Vec::new();
    if state.settled > state.durable || state.compared.len() > 0 {
        let_go = state.keep_compared(landed.take(), shared.options.buffer_capacity);
    }
    let durable = state.durable;
    let wake = state.wake();
    drop(state);
    if let Some(observer) = &shared.options.observer {
        observer.durable(durable);
    }
    wake.all();
    drop(let_go);
    landed.map(|batch| {
        // An owner of `Bytes` that panics when it is dropped only costs us segments.
        let chunks = AssertUnwindSafe(batch.into_chunks());
        catch_unwind(|| reclaim({ chunks }.0)).unwrap_or_default()
    })
}

fn end(shared: &Shared, destination: impl Destination, result: Result<()>) {
    if let Err(error) = &result {
        metrics::failed_writer(shared.object.bucket(), error.kind());
    }
    let lag = destination.lag();
    let proven = destination.proven();
    let unsent = destination.unsent();
    let replaying = destination.is_replaying();
    drop(destination);
    let mut state = shared.lock();
    // Of the batch in flight, what is not unsent has landed: all of it, or a torn part. Dropped
    // after the lock.
    let in_flight = state.in_flight.take();
    let flying = in_flight.as_ref().map_or(0, Batch::len);
    let settled = flying - unsent.as_ref().map_or(0, Batch::len).min(flying);
    state.settled += settled;
    state.durable = state.settled - lag;
    let compared = in_flight.as_ref().map(|batch| batch.prefix(settled));
    let _let_go = state.keep_compared(compared, shared.options.buffer_capacity);
    state.replaying = replaying;
    state.proven = proven;
    state.in_flight = unsent;
    state.in_flight_since = None;
    state.phase = match result {
        Ok(()) => Phase::Closed,
        Err(error) => Phase::Failed(error),
    };
    ended(shared, state);
}

/// Whether the store did not answer.
fn is_out_of_reach(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Transport { .. } | ErrorKind::RetriesExhausted { .. }
    )
}

/// Tells everybody that nothing more is done.
fn ended(shared: &Shared, mut state: MutexGuard<'_, State>) {
    if state.buffer.len() == 0 {
        state.buffer.give_back();
    }
    let durable = state.durable;
    // Dropped after the lock.
    let _items = shared.take_items(&mut state);
    let mut failure = None;
    if let (Some(_), Phase::Failed(error)) = (&shared.options.observer, &state.phase) {
        let error = error.clone();
        let mut unsent = state.take_unsent(shared.start);
        unsent.position = state.proven.position;
        state.unsent_taken = true;
        failure = Some((error, unsent));
    }
    let wake = state.wake();
    drop(state);
    if let Some(observer) = &shared.options.observer {
        observer.durable(durable);
        observer.ended(failure);
    }
    wake.all();
}

/// Fails the writer when the worker is dropped before its end: because its runtime has ended, or by
/// a panic.
struct LostGuard {
    shared: Arc<Shared>,
    panic: Option<Error>,
}

impl LostGuard {
    fn note(&mut self, panic: &(dyn Any + Send)) {
        self.panic = Some(panicked("the worker", panic));
    }
}

impl Drop for LostGuard {
    fn drop(&mut self) {
        let shared = &*self.shared;
        let mut state = shared.lock();
        if !matches!(state.phase, Phase::Open | Phase::Closing { .. }) {
            return;
        }
        let error = self.panic.take();
        let mut error = error
            .unwrap_or_else(|| Error::new(ErrorKind::WorkerLost))
            .with_object(&shared.object);
        if state.in_flight.is_some() {
            error = error.with_landed(Landed::InDoubt);
        }
        state.phase = Phase::Failed(error);
        ended(shared, state);
        metrics::failed_writer(shared.object.bucket(), &ErrorKind::WorkerLost);
    }
}

/// The failure of a writer whose worker, or what that calls, has panicked.
pub(crate) fn panicked(who: &str, panic: &(dyn Any + Send)) -> Error {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    let source = format!("{who} panicked: {}", text.unwrap_or("no text"));
    Error::new(ErrorKind::WorkerLost).with_source(source)
}
