//! The primitives of the hand-off between the handles and the worker.
//!
//! The unit tests take those of `shuttle` in their place, so that `handoff.rs` can run the handles
//! and the worker in every order. They work in its runs only: whatever else a test wants of a
//! writer belongs in `tests/`.

#[cfg(not(test))]
pub(super) use std::sync::{Mutex, MutexGuard};
#[cfg(not(test))]
pub(super) use tokio::sync::Notify;

#[cfg(test)]
pub(super) use self::model::Notify;
#[cfg(test)]
pub(super) use shuttle::sync::{Mutex, MutexGuard};

#[cfg(test)]
mod model {
    use shuttle::sync::atomic::{AtomicU64, Ordering};

    /// tokio's own, with a point before each call at which others may run.
    #[derive(Debug, Default)]
    pub(in crate::writer) struct Notify {
        notify: tokio::sync::Notify,
        point: AtomicU64,
    }

    impl Notify {
        pub(in crate::writer) fn new() -> Self {
            Self::default()
        }

        pub(in crate::writer) fn notify_one(&self) {
            self.point.load(Ordering::SeqCst);
            self.notify.notify_one();
        }

        pub(in crate::writer) async fn notified(&self) {
            self.point.load(Ordering::SeqCst);
            self.notify.notified().await;
        }
    }
}
