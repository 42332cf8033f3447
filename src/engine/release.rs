//! How flights go on after their engine has failed: in the same object, or in another.

use super::flight::Flight;
use super::machine::Moment;
use super::window::Window;

impl Moment<'_> {
    /// Takes a failure back: the next goal goes on with the pending batch.
    pub(crate) fn resume(&mut self) {
        self.engine.failed = None;
        if let Some(flight) = self.window.first_mut() {
            flight.resume();
        }
    }
}

impl Window {
    /// The object takes no more, and nothing that was sent to it can land any more: what is not
    /// settled goes to another one.
    pub(crate) fn release(&mut self) {
        for flight in &mut self.flights {
            flight.release();
        }
    }
}

impl Flight {
    /// Nothing more of it gets into the object that it was meant for: it is for another. A part of
    /// a compressed batch is worth nothing there.
    fn release(&mut self) {
        let body = match &self.packed {
            Some(packed) => packed.whole.clone(),
            None => self.body.clone(),
        };
        let packed = self.packed.take();
        *self = Self {
            packed,
            ..Self::new(body, self.since)
        };
    }

    /// Takes it up again after it was given up.
    fn resume(&mut self) {
        self.refused = false;
        self.cause = None;
        self.look = self.in_doubt;
    }
}
