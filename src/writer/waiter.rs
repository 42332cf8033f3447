//! Who waits for a change of a writer, and is forgotten when it no longer waits.

use std::sync::Arc;
use std::task::{Context, Poll};

use super::shared::{Shared, State};
use super::sync::MutexGuard;

/// A waiter that is forgotten when its future is dropped.
pub(crate) struct Waiter<'a> {
    shared: &'a Arc<Shared>,
    id: u64,
}

impl<'a> Waiter<'a> {
    pub(super) fn new(shared: &'a Arc<Shared>) -> Self {
        let id = shared.new_waiter();
        Self { shared, id }
    }

    /// Pending: wakes the task at the next change.
    pub(super) fn wait<T>(&self, state: MutexGuard<'_, State>, cx: &Context<'_>) -> Poll<T> {
        self.shared.wait(state, self.id, cx)
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        let _waker = self.shared.lock().forget(self.id);
    }
}

/// Those that have no handle of their own.
#[cfg(any(feature = "keyed", feature = "tracing"))]
mod admission {
    use std::task::{Context, Poll};

    use super::Waiter;
    use crate::error::Result;
    use crate::writer::OssAppendWriter;
    use crate::writer::intake::{Admission, Intake};

    impl OssAppendWriter {
        /// Somebody who waits for room, beside this handle.
        pub(crate) fn waiter(&self) -> Waiter<'_> {
            Waiter::new(&self.shared)
        }
    }

    impl Waiter<'_> {
        #[cfg(feature = "keyed")]
        pub(in crate::writer) fn id(&self) -> u64 {
            self.id
        }

        /// Tries to come in, as soon as it has not to wait.
        pub(crate) fn poll_admission(
            &self,
            cx: &Context<'_>,
            come_in: impl FnOnce(&mut Intake<'_>) -> Admission,
        ) -> Poll<Result<u64>> {
            let mut intake = Intake::new(self.shared);
            match come_in(&mut intake) {
                Admission::Now(len) => Poll::Ready(Ok(len)),
                Admission::Wait => intake.wait(self.id, cx),
                Admission::Never(error) => Poll::Ready(Err(error)),
            }
        }
    }
}
