//! The primitives of the hand-off between the handles and the worker.
//!
//! In unit tests they are replaced, so that `handoff.rs` can run the handles and the worker in
//! every order. Outside of its runs the replacements do what those of std and tokio do.

#[cfg(not(test))]
pub(super) use std::process::id as process_id;
#[cfg(not(test))]
pub(super) use std::sync::{Mutex, MutexGuard};
#[cfg(not(test))]
pub(super) use tokio::sync::Notify;

#[cfg(not(test))]
pub(super) use crate::values::locks::MutexExt;

#[cfg(all(test, feature = "spool"))]
pub(super) use self::model::modelled;
#[cfg(test)]
pub(super) use self::model::{Mutex, MutexExt, MutexGuard, Notify, forked, process_id};

#[cfg(test)]
mod model {
    use std::cell::Cell;
    use std::ops::{Deref, DerefMut};
    use std::sync::{self, TryLockError};
    use std::time::Duration;

    use crate::values::locks::MutexExt as _;

    /// As that of std's mutex.
    pub(in crate::writer) trait MutexExt<T> {
        fn locked(&self) -> MutexGuard<'_, T>;
    }

    thread_local! {
        static MODELLED: Cell<bool> = const { Cell::new(false) };
        static LOCKED: Cell<bool> = const { Cell::new(false) };
        static FORKED: Cell<bool> = const { Cell::new(false) };
    }

    pub(in crate::writer) fn process_id() -> u32 {
        std::process::id() + u32::from(FORKED.get())
    }

    /// Runs `run` as if in a process that was forked from this one.
    pub(in crate::writer) fn forked<R>(run: impl FnOnce() -> R) -> R {
        FORKED.set(true);
        let result = run();
        FORKED.set(false);
        result
    }

    /// Runs `run`, which has `shuttle` run tasks on this thread.
    #[cfg(feature = "spool")]
    pub(in crate::writer) fn modelled<R>(run: impl FnOnce() -> R) -> R {
        MODELLED.set(true);
        let result = run();
        MODELLED.set(false);
        result
    }

    /// Others may run here. Not while the lock is held: they could only run up to the same lock.
    fn point() {
        if MODELLED.get() && !LOCKED.get() && !std::thread::panicking() {
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
    }

    impl<T> MutexExt<T> for Mutex<T> {
        fn locked(&self) -> MutexGuard<'_, T> {
            point();
            let inner = match MODELLED.get() {
                false => self.inner.locked(),
                true => match self.inner.try_lock() {
                    Ok(inner) => inner,
                    Err(TryLockError::Poisoned(error)) => error.into_inner(),
                    Err(TryLockError::WouldBlock) => panic!("locked twice by one task"),
                },
            };
            LOCKED.set(MODELLED.get());
            MutexGuard { inner: Some(inner) }
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
            if MODELLED.get() {
                LOCKED.set(false);
                point();
            }
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
