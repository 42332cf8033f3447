//! Locks that a panic does not make unusable.
//!
//! A lock of the standard library is poisoned if its holder panics. What is under the locks of this
//! crate is consistent after each statement, so the next holder can go on with it. Another panic
//! there would let the fault of one task end others, or the program's own threads.

use std::sync::{Mutex, MutexGuard, PoisonError};
#[cfg(feature = "emulator")]
use std::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Locking of a [`Mutex`], poisoned or not.
pub(crate) trait MutexExt<T> {
    /// Waits for the lock and takes it.
    fn locked(&self) -> MutexGuard<'_, T>;
}

impl<T> MutexExt<T> for Mutex<T> {
    fn locked(&self) -> MutexGuard<'_, T> {
        self.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Locking of an [`RwLock`], poisoned or not.
#[cfg(feature = "emulator")]
pub(crate) trait RwLockExt<T> {
    /// Waits for the lock and takes it, together with others who read.
    fn read_locked(&self) -> RwLockReadGuard<'_, T>;

    /// Waits for the lock and takes it alone.
    fn write_locked(&self) -> RwLockWriteGuard<'_, T>;
}

#[cfg(feature = "emulator")]
impl<T> RwLockExt<T> for RwLock<T> {
    fn read_locked(&self) -> RwLockReadGuard<'_, T> {
        self.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_locked(&self) -> RwLockWriteGuard<'_, T> {
        self.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_whose_holder_has_panicked_is_taken_all_the_same() {
        let lock = Mutex::new(1);
        let panicked = std::thread::scope(|scope| {
            let holder = scope.spawn(|| {
                let mut held = lock.locked();
                *held = 2;
                panic!("while it is held");
            });
            holder.join()
        });
        panicked.unwrap_err();
        assert!(lock.is_poisoned());
        assert_eq!(*lock.locked(), 2);
    }
}
