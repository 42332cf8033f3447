//! Where a sequence of objects stands, for those who ask.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::store::ObjectPath;

#[derive(Debug, Default)]
pub(super) struct Progress(Mutex<Standing>);

#[derive(Clone, Debug, Default)]
pub(super) struct Standing {
    /// The object that is open.
    pub(super) object: Option<ObjectPath>,
    /// How many have been finished.
    pub(super) finished: u64,
}

impl Progress {
    pub(super) fn opened(&self, object: &ObjectPath) {
        self.lock().object = Some(object.clone());
    }

    pub(super) fn closed(&self) {
        self.lock().object = None;
    }

    pub(super) fn finished(&self) {
        self.lock().finished += 1;
    }

    pub(super) fn standing(&self) -> Standing {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Standing> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
