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
pub(super) use self::model::{Mutex, MutexGuard, Notify};

#[cfg(test)]
mod model {
    use std::cell::Cell;
    use std::ops::{Deref, DerefMut};
    use std::sync::{self, LockResult, PoisonError, TryLockError};
    use std::time::Duration;

    thread_local! {
        static LOCKED: Cell<bool> = const { Cell::new(false) };
    }

    /// Others may run here. Not while the lock is held: they could only run up to the same lock.
    fn point() {
        if !LOCKED.get() && !std::thread::panicking() {
            // No time passes; this is nothing but a point.
            shuttle::thread::sleep(Duration::ZERO);
        }
    }

    /// std's own, with a point before each lock and after each unlock. That of `shuttle` has none
    /// before a lock that is free: what happens outside of the lock would be one step with what
    /// the next lock protects.
    #[derive(Debug, Default)]
    pub(in crate::writer) struct Mutex<T> {
        inner: sync::Mutex<T>,
    }

    #[derive(Debug)]
    pub(in crate::writer) struct MutexGuard<'a, T> {
        inner: Option<sync::MutexGuard<'a, T>>,
    }

    impl<T> Mutex<T> {
        pub(in crate::writer) fn new(value: T) -> Self {
            Self {
                inner: sync::Mutex::new(value),
            }
        }

        pub(in crate::writer) fn lock(&self) -> LockResult<MutexGuard<'_, T>> {
            point();
            let guard = |inner| MutexGuard { inner: Some(inner) };
            let result = match self.inner.try_lock() {
                Ok(inner) => Ok(guard(inner)),
                Err(TryLockError::Poisoned(error)) => {
                    Err(PoisonError::new(guard(error.into_inner())))
                }
                Err(TryLockError::WouldBlock) => panic!("locked twice by one task"),
            };
            LOCKED.set(true);
            result
        }
    }

    impl<T> Deref for MutexGuard<'_, T> {
        type Target = T;

        fn deref(&self) -> &T {
            self.inner.as_ref().unwrap()
        }
    }

    impl<T> DerefMut for MutexGuard<'_, T> {
        fn deref_mut(&mut self) -> &mut T {
            self.inner.as_mut().unwrap()
        }
    }

    impl<T> Drop for MutexGuard<'_, T> {
        fn drop(&mut self) {
            self.inner = None;
            LOCKED.set(false);
            point();
        }
    }

    /// tokio's own, with a point before each call.
    #[derive(Debug, Default)]
    pub(in crate::writer) struct Notify {
        notify: tokio::sync::Notify,
    }

    impl Notify {
        pub(in crate::writer) fn new() -> Self {
            Self::default()
        }

        pub(in crate::writer) fn notify_one(&self) {
            point();
            self.notify.notify_one();
        }

        pub(in crate::writer) async fn notified(&self) {
            point();
            self.notify.notified().await;
        }
    }
}
