//! What keeps a worker small while it has nothing to do.

use std::future::Future;

use jiff::Timestamp;

use crate::error::{Error, Result};
use crate::stage::destination::{Destination, RollReason, Room};
use crate::stage::place::Place;
use crate::values::batch::Batch;
use crate::values::proven::Proven;

/// A destination whose requests take memory only while they are under way. Otherwise a worker keeps
/// room for the largest of them as long as it lives, some kilobytes with HTTP.
pub(super) struct Slim<D>(Box<D>);

impl<D> Slim<D> {
    pub(super) fn new(destination: D) -> Self {
        Self(Box::new(destination))
    }
}

impl<D: Destination> Destination for Slim<D> {
    fn open(&mut self, period: Option<Timestamp>) -> impl Future<Output = Result<()>> + Send {
        Box::pin(self.0.open(period))
    }

    fn room(&self) -> Option<Room> {
        self.0.room()
    }

    fn append(
        &mut self,
        batch: Batch,
        continues: bool,
        places: &mut Vec<Place>,
    ) -> impl Future<Output = Result<()>> + Send {
        Box::pin(self.0.append(batch, continues, places))
    }

    fn verify(&mut self) -> impl Future<Output = Result<()>> + Send {
        Box::pin(self.0.verify())
    }

    fn roll(&mut self, reason: RollReason) -> impl Future<Output = Result<()>> + Send {
        Box::pin(self.0.roll(reason))
    }

    fn complete(&mut self) -> impl Future<Output = Result<()>> + Send {
        Box::pin(self.0.complete())
    }

    fn finish(&mut self, seal: bool) -> impl Future<Output = Result<()>> + Send {
        Box::pin(self.0.finish(seal))
    }

    fn failure(&mut self) -> Option<Error> {
        self.0.failure()
    }

    fn prove_compared(&mut self) -> impl Future<Output = ()> + Send {
        Box::pin(self.0.prove_compared())
    }

    fn is_replaying(&self) -> bool {
        self.0.is_replaying()
    }

    fn lag(&self) -> u64 {
        self.0.lag()
    }

    fn proven(&self) -> Proven {
        self.0.proven()
    }

    fn unsent(&self) -> Option<Batch> {
        self.0.unsent()
    }
}
