//! How far a transfer has come, and the timeout that fires only when nothing moves.

use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;

use crate::values::locks::MutexExt;

/// A counter of moved bytes, shared between the one who moves them and the one who watches.
///
/// Clones share the count.
#[derive(Clone, Debug)]
pub struct Progress {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    bytes: u64,
    last_change: Instant,
}

impl Progress {
    /// A counter at zero.
    pub fn new() -> Self {
        Self {
            state: Arc::new(Mutex::new(State {
                bytes: 0,
                last_change: Instant::now(),
            })),
        }
    }

    /// Tells that `bytes` more have moved.
    pub fn advance(&self, bytes: u64) {
        let mut state = self.state.locked();
        state.bytes += bytes;
        state.last_change = Instant::now();
    }

    /// How many bytes have moved.
    pub fn bytes(&self) -> u64 {
        self.state.locked().bytes
    }

    /// When bytes moved last.
    pub(crate) fn last_change(&self) -> Instant {
        self.state.locked().last_change
    }

    /// Runs `future`, but gives up with `None` once nothing has moved for `idle`.
    ///
    /// # Cancel safety
    /// As cancel-safe as `future`.
    pub(crate) async fn guard<F: Future>(&self, idle: Duration, future: F) -> Option<F::Output> {
        let mut future = std::pin::pin!(future);
        let mut seen = Instant::now();
        loop {
            tokio::select! {
                biased;
                output = &mut future => return Some(output),
                () = tokio::time::sleep(idle.saturating_sub(seen.elapsed())) => {}
            }
            let last = self.last_change().max(seen);
            if last == seen {
                return None;
            }
            seen = last;
        }
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: Duration = Duration::from_secs(30);

    #[tokio::test(start_paused = true)]
    async fn a_transfer_that_moves_is_never_cut() {
        let progress = Progress::new();
        let mover = progress.clone();
        let slow = async move {
            for _ in 0..100 {
                tokio::time::sleep(IDLE - Duration::from_millis(1)).await;
                mover.advance(1);
            }
        };
        assert!(progress.guard(IDLE, slow).await.is_some());
        assert_eq!(progress.bytes(), 100);
    }

    #[tokio::test(start_paused = true)]
    async fn an_endless_idle_time_cuts_nothing() {
        let slow = tokio::time::sleep(IDLE);
        assert!(Progress::new().guard(Duration::MAX, slow).await.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_transfer_that_stands_still_is_cut_after_the_idle_time() {
        let progress = Progress::new();
        let mover = progress.clone();
        let start = Instant::now();
        let stuck = async move {
            tokio::time::sleep(Duration::from_secs(10)).await;
            mover.advance(1);
            std::future::pending::<()>().await;
        };
        assert!(progress.guard(IDLE, stuck).await.is_none());
        assert_eq!(start.elapsed(), Duration::from_secs(40));
    }
}
