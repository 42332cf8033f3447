//! Blocking work, on a thread for it.

#[cfg(test)]
use std::cell::Cell;
use std::panic::resume_unwind;

use tokio::task::spawn_blocking;

#[cfg(test)]
thread_local! {
    /// For runtimes of simulations, beside which nothing runs: work is done by the task that waits
    /// for it, after others that are ready, or before them.
    static INLINE: Cell<bool> = const { Cell::new(false) };
}

/// Sets [`INLINE`] as long as it is there.
#[cfg(test)]
#[allow(dead_code, reason = "the tests that need it need features")]
pub(crate) struct Inline;

#[cfg(test)]
#[allow(dead_code, reason = "the tests that need it need features")]
impl Inline {
    pub(crate) fn new() -> Self {
        INLINE.set(true);
        Self
    }
}

#[cfg(test)]
impl Drop for Inline {
    fn drop(&mut self) {
        INLINE.set(false);
    }
}

/// Runs `work` and gives back what that does. Never returns when the runtime has ended.
pub(crate) async fn in_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    #[cfg(test)]
    if INLINE.get() {
        for _ in 0..fastrand::u8(..3) {
            tokio::task::yield_now().await;
        }
        let done = work();
        for _ in 0..fastrand::u8(..3) {
            tokio::task::yield_now().await;
        }
        return done;
    }
    match spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => resume_unwind(panic),
            // Whoever waits for it ends too.
            Err(_) => std::future::pending().await,
        },
    }
}
