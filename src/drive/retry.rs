//! The time budget of a batch: how long to wait between attempts, and when to give up.

use std::future::Future;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::gate::{Gate, in_turn};
use super::options::AppenderOptions;
use super::stats::Counters;
use crate::engine::recovery::{Mended, Recovery, recovery};
use crate::error::{Error, ErrorKind, Result, TransportCause};
use crate::values::progress::Progress;

/// The least time that an attempt gets to show a sign of life when the budget is nearly spent.
const LAST_CHANCE: Duration = Duration::from_secs(1);

/// The longest wait that a server is believed to want: one answer of something between must not
/// silence a writer for an hour.
pub(crate) const MAX_ASKED: Duration = Duration::from_secs(60);

/// The longest wait between attempts once the writer has been told to end.
const MAX_WAIT_AT_END: Duration = Duration::from_secs(1);

/// An attempt that ends so much later than it was to be given up has not been worked at meanwhile:
/// the process was frozen, or its runtime blocked.
const FROZEN: Duration = Duration::from_millis(200);

/// How much patience is left for one batch, or for one question about the object.
#[derive(Debug)]
pub(crate) struct Budget {
    /// The last progress: bytes durable, or more of the batch moved than ever before.
    since: Instant,
    /// The most bytes of the batch that any attempt has moved.
    high_water: u64,
    /// Append requests made.
    pub(crate) attempts: u32,
    /// Failures since the last progress.
    failures: u32,
    /// What has been mended since the last progress.
    mended: [Option<Mended>; 3],
    /// Whether time in which nobody was at work has been given back since the last progress.
    thawed: bool,
}

impl Budget {
    pub(crate) fn new() -> Self {
        Self {
            since: Instant::now(),
            high_water: 0,
            attempts: 0,
            failures: 0,
            mended: [None; 3],
            thawed: false,
        }
    }

    /// Starts the time anew, after something was achieved or after nobody was at work.
    pub(crate) fn restart(&mut self) {
        self.since = Instant::now();
        self.failures = 0;
        self.mended = [None; 3];
        self.thawed = false;
    }

    /// How long there has been no progress.
    fn stalled(&self) -> Duration {
        self.since.elapsed()
    }

    /// Fails with [`RetriesExhausted`](ErrorKind::RetriesExhausted) if the time is up.
    pub(crate) fn check(&self, options: &AppenderOptions, error: &Error) -> Result<()> {
        match self.stalled() < options.delivery_timeout {
            true => Ok(()),
            false => Err(self.exhausted(error.clone())),
        }
    }

    fn exhausted(&self, error: Error) -> Error {
        Error::new(ErrorKind::RetriesExhausted {
            attempts: self.attempts.max(self.failures),
            stalled: self.stalled(),
        })
        .with_source(error)
    }

    /// Something that was to end at `time` has ended now. If that is far too late, the process was
    /// frozen: the time starts anew, once.
    fn ended_at(&mut self, time: Instant) {
        if time.elapsed() >= FROZEN && !self.thawed {
            self.thawed = true;
            self.since = Instant::now();
        }
    }

    /// Runs one request, giving it up when nothing moves any more.
    pub(crate) async fn attempt<T>(
        &mut self,
        options: &AppenderOptions,
        counters: &Counters,
        progress: &Progress,
        request: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let turn = match &options.gate {
            Some(gate) => self.wait_for(gate, progress).await,
            None => None,
        };
        let left = options.delivery_timeout.saturating_sub(self.stalled());
        let patience = left.max(LAST_CHANCE).min(options.delivery_timeout);
        let idle = options.attempt_timeout.min(patience);
        let began = Instant::now();
        let request = in_turn(turn, progress, request);
        let result = progress.guard(idle, request).await.unwrap_or_else(|| {
            Err(Error::transport(
                TransportCause::Timeout,
                format!("nothing moved for {:.1} s", idle.as_secs_f64()),
            ))
        });
        if progress.bytes() > self.high_water {
            self.high_water = progress.bytes();
            self.since = self.since.max(progress.last_change());
        }
        if let Some(end) = began.max(progress.last_change()).checked_add(idle) {
            self.ended_at(end);
        }
        result.inspect_err(|error| counters.failed_request(error))
    }

    /// Waits its turn. That is nobody's failure, so it takes nothing off the time.
    async fn wait_for(&mut self, gate: &Gate, progress: &Progress) -> Option<OwnedSemaphorePermit> {
        let began = Instant::now();
        let permit = gate.enter().await;
        self.since += began.elapsed();
        progress.advance(0);
        permit
    }

    /// Waits before the next attempt, at least as long as OSS has asked for with `error`. Fails
    /// with `error` if retrying cannot help, with
    /// [`RetriesExhausted`](ErrorKind::RetriesExhausted) if the time is up.
    pub(crate) async fn pause(
        &mut self,
        options: &AppenderOptions,
        counters: &Counters,
        error: Error,
    ) -> Result<()> {
        let asked = error.service_error().and_then(|answer| answer.retry_after);
        self.pause_at_least(asked.unwrap_or_default(), options, counters, error)
            .await
    }

    /// As [`pause`](Self::pause), but waits at least `asked`, whatever `error` says.
    pub(crate) async fn pause_at_least(
        &mut self,
        asked: Duration,
        options: &AppenderOptions,
        counters: &Counters,
        error: Error,
    ) -> Result<()> {
        counters.error(&error);
        match recovery(&error) {
            Recovery::Fail | Recovery::Closed | Recovery::RefusedBetween => return Err(error),
            Recovery::RetryMended(what) => {
                // There is a place for each thing that can be mended.
                let known = self.mended.contains(&Some(what));
                let free = self.mended.iter_mut().find(|place| place.is_none());
                let Some(free) = free.filter(|_| !known) else {
                    return Err(error);
                };
                *free = Some(what);
                return Ok(());
            }
            Recovery::Retry | Recovery::Mismatch | Recovery::Reconcile => {}
        }
        self.failures += 1;
        let left = options.delivery_timeout.saturating_sub(self.stalled());
        if left <= options.backoff.base().min(options.delivery_timeout / 10) {
            return Err(self.exhausted(error));
        }
        // Never sleeps through the end of the budget: the closer it is, the more often is tried.
        let most = left / 2;
        let own = options.backoff.delay(self.failures, fastrand::f64());
        let end = wait(own.min(most), asked.min(most), &options.ending).await;
        self.ended_at(end);
        Ok(())
    }
}

/// Waits as long as we want to, and as long as OSS has asked for, within reason. The end of the
/// writer cuts that short. Tells when the wait was to end.
pub(crate) async fn wait(own: Duration, asked: Duration, ending: &CancellationToken) -> Instant {
    let now = Instant::now();
    if ending.is_cancelled() {
        let end = now + own.min(MAX_WAIT_AT_END);
        tokio::time::sleep_until(end).await;
        return end;
    }
    let Some(end) = now.checked_add(own.max(asked.min(MAX_ASKED))) else {
        ending.cancelled().await;
        return Instant::now();
    };
    tokio::select! {
        () = tokio::time::sleep_until(end) => end,
        () = ending.cancelled() => Instant::now(),
    }
}
