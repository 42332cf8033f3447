//! The time budget of a batch: how long to wait between attempts, and when to give up.

use std::future::Future;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::gate::Gate;
use super::options::AppenderOptions;
use super::stats::Counters;
use crate::core::recovery::{Recovery, recovery};
use crate::error::{Error, ErrorKind, Result, TransportCause};
use crate::progress::Progress;

/// The least time that an attempt gets to show a sign of life when the budget is nearly spent.
const LAST_CHANCE: Duration = Duration::from_secs(1);

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
    /// Whether a failure since the last progress was one that had been mended.
    mended: bool,
}

impl Budget {
    pub(crate) fn new() -> Self {
        Self {
            since: Instant::now(),
            high_water: 0,
            attempts: 0,
            failures: 0,
            mended: false,
        }
    }

    /// Starts the time anew, after something was achieved or after nobody was at work.
    pub(crate) fn restart(&mut self) {
        self.since = Instant::now();
        self.failures = 0;
        self.mended = false;
    }

    /// Runs one request, giving it up when nothing moves any more.
    pub(crate) async fn attempt<T>(
        &mut self,
        options: &AppenderOptions,
        counters: &Counters,
        progress: &Progress,
        request: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let _permit = match &options.gate {
            Some(gate) => Some(self.wait_for(gate, progress).await),
            None => None,
        };
        let left = options
            .delivery_timeout
            .saturating_sub(self.since.elapsed());
        let patience = left.max(LAST_CHANCE).min(options.delivery_timeout);
        let idle = options.attempt_timeout.min(patience);
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
            Recovery::Fail | Recovery::Refused => return Err(error),
            Recovery::RetryMended if self.mended => return Err(error),
            Recovery::RetryMended => {
                self.mended = true;
                return Ok(());
            }
            Recovery::Retry | Recovery::Reconcile => {}
        }
        self.failures += 1;
        let stalled = self.since.elapsed();
        let left = options.delivery_timeout.saturating_sub(stalled);
        if left <= options.backoff.base().min(options.delivery_timeout / 10) {
            return Err(Error::new(ErrorKind::RetriesExhausted {
                attempts: self.attempts.max(self.failures),
                stalled,
            })
            .with_source(error));
        }
        let backoff = options.backoff.delay(self.failures, fastrand::f64());
        let delay = backoff.max(asked);
        // Never sleeps through the end of the budget: the closer it is, the more often is tried.
        tokio::time::sleep(delay.min(left / 2)).await;
        Ok(())
    }
}
