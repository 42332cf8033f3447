//! The one task of a writer: takes a batch when the schedule says so, and appends it.

use std::any::Any;
use std::future::poll_fn;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::BytesMut;
use futures::FutureExt;
use futures::future::Either;
use jiff::Timestamp;
use tokio::runtime::Handle;
use tracing::Dispatch;
use tracing::instrument::WithSubscriber;

use crate::drive::gate::Unused;
use crate::engine::flush::Time;
use crate::error::{Error, ErrorKind, Landed, Result};
use crate::metrics::{self, Buffered};
use crate::stage::compressed::Compressed;
use crate::stage::compression::Compression;
use crate::values::batch::Batch;

use super::decide::{Next, Portion, decide};
use super::periods::PeriodClock;
use super::published::Published;
use super::shared::{Phase, Shared, State};
use super::slim::Slim;
use super::spooling::{self, Spooled};
use super::sync::MutexGuard;
use crate::stage::{RollReason, Space, Stage};

/// Works until the writer is closed or fails; dropped at any point, even before it was ever polled,
/// it fails the writer.
pub(super) fn run<D: Stage>(
    shared: Arc<Shared>,
    mut stage: D,
    mut clock: Option<PeriodClock>,
) -> impl Future<Output = ()> + Send {
    let mut lost = LostGuard {
        shared,
        panic: None,
    };
    async move {
        let shared = Arc::clone(&lost.shared);
        let buffered = Buffered::new(Arc::clone(shared.object.shared_bucket()));
        let worked = match &shared.spool {
            // Not by a variable, or the worker would keep room for it twice.
            None => {
                AssertUnwindSafe(work(&shared, &mut stage, &mut clock, buffered))
                    .catch_unwind()
                    .await
            }
            // In a box, so that it takes no room in a worker without one.
            Some(spool) => {
                let work = Box::pin(work(&shared, &mut stage, &mut clock, buffered));
                let beside = Box::pin(beside_the_spool(&shared, spool, work));
                AssertUnwindSafe(beside).catch_unwind().await
            }
        };
        match worked {
            Ok(result) => {
                if let Err(error) = &result
                    && !is_out_of_reach(error)
                {
                    stage.prove_compared(&mut Published::new(&shared)).await;
                }
                end(&shared, stage, result);
            }
            Err(panic) => lost.note(&*panic),
        }
    }
}

/// Works as `work` does, and for the spool meanwhile.
async fn beside_the_spool(
    shared: &Arc<Shared>,
    spool: &Arc<Spooled>,
    work: impl Future<Output = Result<()>> + Send,
) -> Result<()> {
    let tending = spooling::run(Arc::clone(shared), Arc::clone(spool));
    let worked = tokio::select! {
        biased;
        worked = work => worked,
        error = tending => return Err(error),
    };
    spooling::end(shared, spool, worked.is_ok()).await;
    worked
}

/// The same, and compresses what goes to `stage`, several records up to so many bytes at once.
pub(super) fn run_compressed<D: Stage>(
    shared: Arc<Shared>,
    stage: D,
    compression: Option<(Compression, u64)>,
    clock: Option<PeriodClock>,
) -> impl Future<Output = ()> + Send {
    let stage = Slim::new(stage);
    match compression {
        Some((compression, most)) => {
            let stage = Compressed::new(stage, compression, most);
            // In a box, so that it takes no room in a worker that does not compress.
            Either::Left(Box::pin(run(shared, stage, clock)))
        }
        None => Either::Right(run(shared, stage, clock)),
    }
}

/// Starts a worker. Its own HTTP must never be logged into the object that it writes.
pub(super) fn spawn(runtime: &Handle, worker: impl Future<Output = ()> + Send + 'static) {
    // Not a new `NoSubscriber`: tracing would keep a list of all of them, and walk it each time.
    runtime.spawn(worker.with_subscriber(Dispatch::none()));
}

async fn work<D: Stage>(
    shared: &Shared,
    stage: &mut D,
    clock: &mut Option<PeriodClock>,
    mut buffered: Buffered,
) -> Result<()> {
    let buffered = &mut buffered;
    let unused = Unused(shared.options.gate.as_deref());
    let mut window = Published::new(shared);
    if shared.is_held() {
        // In a box, since it is long, and over before anything else is begun.
        let recovering = Box::pin(stage.recover());
        let passed = meanwhile(shared, clock, buffered, recovering).await?;
        shared.recovered(passed);
    }
    loop {
        if let Some(error) = stage.failure() {
            return Err(error);
        }
        match next_job(
            shared,
            stage.space(),
            clock,
            buffered,
            window.take_segments(),
        ) {
            Next::Open => {
                let period = clock.as_ref().and_then(PeriodClock::current);
                meanwhile(shared, clock, buffered, stage.open(period)).await?;
            }
            Next::Reserve => {
                if let Some(gate) = &shared.options.gate {
                    // In a box, so that it takes no room in a worker that is idle.
                    let reserving = Box::pin(gate.reserve());
                    meanwhile(shared, clock, buffered, reserving).await;
                }
            }
            Next::Issue(portion) => {
                let settling = stage.settle(&mut window, portion.continues());
                match shared.options.max_in_flight {
                    1 => meanwhile(shared, clock, buffered, settling).await?,
                    // In a box, so that it takes no room in a worker that has one at a time.
                    _ => Box::pin(ahead(shared, buffered, settling)).await?,
                }
            }
            Next::Verify => stage.verify(&mut window).await?,
            Next::Full => {
                meanwhile(shared, clock, buffered, stage.roll(RollReason::Size)).await?;
            }
            Next::Cut(reason) => {
                meanwhile(shared, clock, buffered, stage.roll(reason)).await?;
                if let (RollReason::Period, Some(clock)) = (reason, &mut *clock) {
                    clock.ended();
                }
                cut_made(shared);
            }
            Next::GiveBack => {}
            Next::WaitUntil(time) => {
                unused.give_back();
                tokio::select! {
                    biased;
                    () = sleep_until(shared, time) => {}
                    () = shared.work.notified() => {}
                }
            }
            Next::Wait => {
                unused.give_back();
                shared.work.notified().await;
            }
            Next::Finish { seal } => {
                stage.finish(&mut window, seal).await?;
                return stage.failure().map_or(Ok(()), Err);
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

/// Runs `settling`, which settles the flights of the window, and issues more of them meanwhile.
async fn ahead<T>(
    shared: &Shared,
    buffered: &mut Buffered,
    settling: impl Future<Output = T>,
) -> T {
    let mut settling = pin!(settling);
    // The place of the next flight, while that is waited for.
    let mut reserving = None;
    loop {
        let Ahead {
            flights,
            wake,
            reserves,
        } = issue_ahead(shared);
        if let Some(gate) = shared.options.gate.as_ref().filter(|_| reserves) {
            reserving.get_or_insert_with(|| Box::pin(gate.reserve()));
        }
        // One that has left makes room for the next.
        let settled = poll_fn(|cx| match settling.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if shared.lock().window.flights() < flights => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        });
        tokio::select! {
            biased;
            output = settled => {
                if let Some(output) = output {
                    return output;
                }
            }
            () = reserved(&mut reserving) => reserving = None,
            () = shared.work.notified() => {}
            () = sleep_until(shared, wake) => {}
        }
        let held = shared.lock().held();
        buffered.show(held);
    }
}

async fn reserved(reserving: &mut Option<impl Future<Output = ()> + Unpin>) {
    match reserving {
        Some(reserving) => reserving.await,
        None => std::future::pending().await,
    }
}

/// What is to be done while flights are in the window.
struct Ahead {
    flights: usize,
    /// When to ask again at the latest.
    wake: Time,
    /// One more is due, and waits for its place.
    reserves: bool,
}

/// Issues what is due while other flights are in the window.
fn issue_ahead(shared: &Shared) -> Ahead {
    let mut state = shared.lock();
    let now = shared.now();
    let most = shared.counters.in_flight(shared.options.max_in_flight);
    let shown = Buffered::INTERVAL.map(|interval| now.saturating_add(interval));
    let (mut wake, mut reserves) = (shown.unwrap_or(Time::MAX), false);
    while state.window.flights() < usize::from(most) {
        // Only one object has several flights.
        match decide(shared, &state, Some(Space::UNLIMITED), None, now) {
            Next::Issue(portion) => issue(shared, &mut state, portion, now),
            Next::WaitUntil(time) => {
                wake = time;
                break;
            }
            Next::Reserve => {
                reserves = true;
                break;
            }
            // Not before all flights are settled.
            _ => break,
        }
    }
    Ahead {
        flights: state.window.flights(),
        wake,
        reserves,
    }
}

/// Makes the cut if the period has ended at `wall`, and tells when to ask again.
fn end_periods(state: &mut State, clock: &mut PeriodClock, wall: Timestamp) -> Duration {
    let left = clock.left(wall);
    if !left.is_zero() {
        return left;
    }
    clock.begin(wall);
    state.cut(RollReason::Period, clock.newest());
    clock.left(wall)
}

/// Decides what comes next, and takes out of the shared state what that is about.
fn next_job(
    shared: &Shared,
    space: Option<Space>,
    clock: &mut Option<PeriodClock>,
    buffered: &mut Buffered,
    segments: Option<Vec<BytesMut>>,
) -> Next {
    let wall = clock.as_ref().map(PeriodClock::now);
    let mut state = shared.lock();
    let now = shared.now();
    if let Some(segments) = segments {
        state.buffer.release(segments, now);
    }
    let clock = clock.as_mut().zip(wall);
    let period_ends = clock.and_then(|(clock, wall)| {
        if space.is_some() || state.window.accepted() > state.window.issued() {
            return Some(now.saturating_add(end_periods(&mut state, clock, wall)));
        }
        if state.cuts.is_empty() {
            clock.idle();
        }
        None
    });
    let next = decide(shared, &state, space, period_ends, now);
    match next {
        Next::Issue(portion) => issue(shared, &mut state, portion, now),
        Next::Cut(_) => {
            let cut = state.cuts.pop_front();
            if let Some((cut, spool)) = cut.zip(shared.spool.as_ref()) {
                spool.ends_object(cut.at);
            }
        }
        Next::GiveBack => give_back(&mut state),
        _ => {}
    }
    let held = state.held();
    drop(state);
    buffered.show(held);
    next
}

/// Makes a flight of `portion`.
fn issue(shared: &Shared, state: &mut State, portion: Portion, now: Time) {
    if let Some(gate) = &shared.options.gate {
        gate.place();
    }
    let since = state.buffer.since().unwrap_or(now);
    if let Some(spool) = &mut state.spool {
        spool.issuing(&state.buffer, &state.window, portion.most());
    }
    let chunks = match portion {
        Portion::Records { most, .. } => state.buffer.take(most),
        Portion::Part { len, .. } => state.buffer.take_unfinished(len),
    };
    if state.buffer.first_record().is_none() {
        state.buffer.age_from(now);
    }
    if let Some(spool) = &shared.spool {
        spool.settled();
    }
    state.window.issue(Batch::from(chunks), since, now);
}

/// Keeps no memory for what is to come.
fn give_back(state: &mut State) {
    state.buffer.give_back();
    state.window.give_back();
}

/// Another object is begun with what comes next.
fn cut_made(shared: &Shared) {
    let mut state = shared.lock();
    state.cuts_made += 1;
    let wake = state.wake();
    drop(state);
    wake.all();
}

fn end(shared: &Shared, stage: impl Stage, result: Result<()>) {
    if let Err(error) = &result {
        metrics::failed_writer(shared.object.shared_bucket(), error.kind());
    }
    drop(stage);
    if let Some(spool) = &shared.spool {
        spool.close();
    }
    let failure = result.as_ref().err().cloned();
    let mut state = shared.lock();
    state.phase = match result {
        Ok(()) => Phase::Closed,
        Err(error) => Phase::Failed(error),
    };
    ended(shared, state);
    if let Some(error) = failure {
        shared.counters.gave_up(&shared.object, &error);
    }
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
        give_back(&mut state);
    }
    let durable = state.window.durable().bytes();
    // Dropped after the lock.
    let _items = shared.take_items(&mut state);
    let mut failure = None;
    if let (Some(_), Phase::Failed(error)) = (&shared.options.observer, &state.phase) {
        let error = error.clone();
        let mut unsent = state.take_unsent(shared);
        unsent.position = state.window.proven().position.bytes();
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
        if let Some(spool) = &shared.spool {
            drop(state);
            spool.close();
            state = shared.lock();
        }
        let error = self.panic.take();
        let mut error = error
            .unwrap_or_else(|| Error::new(ErrorKind::WorkerLost))
            .with_object(&shared.object);
        if state.window.is_in_doubt() {
            error = error.with_landed(Landed::InDoubt);
        }
        state.phase = Phase::Failed(error.clone());
        ended(shared, state);
        metrics::failed_writer(shared.object.shared_bucket(), &ErrorKind::WorkerLost);
        shared.counters.gave_up(&shared.object, &error);
    }
}

/// The failure of a writer whose worker, or what that calls, has panicked.
pub(crate) fn panicked(who: &str, panic: &(dyn Any + Send)) -> Error {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    let source = format!("{who} panicked: {}", text.unwrap_or("no text"));
    Error::new(ErrorKind::WorkerLost).with_source(source)
}
