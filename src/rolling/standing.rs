//! Where a sequence of objects stands, for those who ask.

use std::sync::{Mutex, MutexGuard};

use crate::values::checkpoint::Checkpoint;
use crate::values::locks::MutexExt;
use crate::values::path::ObjectPath;
use crate::values::proven::Proven;

#[derive(Debug, Default)]
pub(crate) struct Standing(Mutex<State>);

#[derive(Clone, Debug, Default)]
pub(super) struct State {
    /// The object that is open, and how far it is proven.
    pub(super) open: Option<Checkpoint>,
    /// How many have been finished.
    pub(super) finished: u64,
}

impl Standing {
    pub(super) fn opened(&self, object: &ObjectPath, proven: Proven) {
        self.lock().open = Some(Checkpoint::at(object.clone(), proven));
    }

    pub(super) fn proven(&self, proven: Proven) {
        if let Some(open) = &mut self.lock().open {
            (open.position, open.crc64) = (proven.position.bytes(), proven.crc);
        }
    }

    pub(super) fn closed(&self) {
        self.lock().open = None;
    }

    pub(super) fn finished(&self) {
        self.lock().finished += 1;
    }

    pub(super) fn now(&self) -> State {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.locked()
    }
}
