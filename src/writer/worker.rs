//! The one task of a writer: takes a batch when the schedule says so, and appends it.

use std::sync::Arc;

use crate::appender::ObjectAppender;
use crate::core::batch::Batch;
use crate::core::flush::Time;
use crate::core::schedule::{Step, Waiting};
use crate::error::{Error, ErrorKind, Landed, Result};
use crate::store::AppendStore;

use super::shared::{Phase, Shared};

/// What the worker does next.
enum Job {
    Append(Vec<bytes::Bytes>),
    /// Somebody waits for bytes of a replay that are only compared yet.
    Verify,
    WaitUntil(Time),
    Wait,
    Finish {
        seal: bool,
    },
}

/// Works until the writer is closed or fails; dropped at any point, even before it was ever polled,
/// it fails the writer.
pub(super) fn run<S: AppendStore>(
    shared: Arc<Shared>,
    mut appender: ObjectAppender<S>,
) -> impl Future<Output = ()> + Send {
    let lost = LostGuard(shared);
    async move {
        let result = work(&lost.0, &mut appender).await;
        end(&lost.0, appender, result);
    }
}

async fn work<S: AppendStore>(shared: &Shared, appender: &mut ObjectAppender<S>) -> Result<()> {
    loop {
        match next_job(shared) {
            Job::Append(chunks) => {
                let batch = Batch::from(chunks);
                shared.lock().in_flight = Some(batch.clone());
                let len = batch.len();
                appender.append(batch).await?;
                landed(shared, appender, len);
            }
            Job::Verify => {
                appender.verify().await?;
                landed(shared, appender, 0);
            }
            Job::WaitUntil(time) => {
                let timer = async {
                    match shared.instant(time) {
                        Some(instant) => tokio::time::sleep_until(instant).await,
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    () = timer => {}
                    () = shared.work.notified() => {}
                }
            }
            Job::Wait => shared.work.notified().await,
            Job::Finish { seal } => {
                appender.end_replay().await?;
                landed(shared, appender, 0);
                if seal {
                    appender.seal().await?;
                }
                return Ok(());
            }
        }
    }
}

fn next_job(shared: &Shared) -> Job {
    let now = shared.now();
    let mut state = shared.lock();
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
        closing,
    };
    match shared.options.schedule.next(waiting, now) {
        Step::Append(max) => {
            state.in_flight_since = state.buffer.since();
            let chunks = state.buffer.take(max);
            state.issued += chunks.iter().map(|chunk| chunk.len() as u64).sum::<u64>();
            let issued = state.issued;
            state.flush.issued(issued, now);
            Job::Append(chunks)
        }
        Step::WaitUntil(time) => Job::WaitUntil(time),
        Step::Wait => Job::Wait,
    }
}

/// The appender is done with `len` more bytes: frees their memory, moves the watermarks on, and
/// wakes whoever waits.
fn landed<S: AppendStore>(shared: &Shared, appender: &ObjectAppender<S>, len: u64) {
    let mut state = shared.lock();
    state.settled += len;
    state.durable = state.settled - lag(appender);
    state.in_flight_since = None;
    state.checkpoint = appender.checkpoint();
    if let Some(batch) = state.in_flight.take() {
        state.buffer.release(batch.into_chunks());
    }
    let wake = state.wake();
    drop(state);
    wake.all();
}

/// How many bytes the appender has compared and not yet proven.
fn lag<S: AppendStore>(appender: &ObjectAppender<S>) -> u64 {
    appender.position() - appender.durable_position()
}

fn end<S: AppendStore>(shared: &Shared, appender: ObjectAppender<S>, result: Result<()>) {
    let lag = lag(&appender);
    let checkpoint = appender.checkpoint();
    let unsent = appender.into_unsent().map(|(_, batch)| batch);
    let mut state = shared.lock();
    // Of the batch in flight, what is not unsent has landed: all of it, or a torn part.
    let flying = state.in_flight.take().map_or(0, |batch| batch.len());
    state.settled += flying - unsent.as_ref().map_or(0, Batch::len).min(flying);
    state.durable = state.settled - lag;
    state.checkpoint = checkpoint;
    state.in_flight = unsent;
    state.in_flight_since = None;
    state.phase = match result {
        Ok(()) => Phase::Closed,
        Err(error) => Phase::Failed(error),
    };
    let wake = state.wake();
    drop(state);
    wake.all();
}

/// Fails the writer when the worker is dropped before its end, because its runtime has ended.
struct LostGuard(Arc<Shared>);

impl Drop for LostGuard {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        if !matches!(state.phase, Phase::Open | Phase::Closing { .. }) {
            return;
        }
        let mut error = Error::new(ErrorKind::WorkerLost).with_object(&self.0.object);
        if state.in_flight.is_some() {
            error = error.with_landed(Landed::InDoubt);
        }
        state.phase = Phase::Failed(error);
        let wake = state.wake();
        drop(state);
        wake.all();
    }
}
