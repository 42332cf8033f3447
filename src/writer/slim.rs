//! Keeps a worker small while it has nothing to do.

use jiff::Timestamp;

use crate::drive::window::WindowAccess;
use crate::error::{Error, Result};
use crate::stage::{RollReason, Space, Stage};

/// A stage whose requests take memory only while they are under way. Otherwise a worker keeps
/// room for the largest of them as long as it lives, some kilobytes with HTTP.
pub(super) struct Slim<D>(Box<D>);

impl<D> Slim<D> {
    pub(super) fn new(stage: D) -> Self {
        Self(Box::new(stage))
    }
}

impl<D: Stage> Stage for Slim<D> {
    fn recover(&mut self) -> impl Future<Output = Result<u64>> + Send {
        Box::pin(self.0.recover())
    }

    fn open(&mut self, period: Option<Timestamp>) -> impl Future<Output = Result<()>> + Send {
        Box::pin(self.0.open(period))
    }

    fn space(&self) -> Option<Space> {
        self.0.space()
    }

    fn settle(
        &mut self,
        window: &mut impl WindowAccess,
        continues: bool,
    ) -> impl Future<Output = Result<()>> + Send {
        Box::pin(self.0.settle(window, continues))
    }

    fn verify(
        &mut self,
        window: &mut impl WindowAccess,
    ) -> impl Future<Output = Result<()>> + Send {
        Box::pin(self.0.verify(window))
    }

    fn roll(&mut self, reason: RollReason) -> impl Future<Output = Result<()>> + Send {
        Box::pin(self.0.roll(reason))
    }

    fn finish(
        &mut self,
        window: &mut impl WindowAccess,
        seal: bool,
    ) -> impl Future<Output = Result<()>> + Send {
        Box::pin(self.0.finish(window, seal))
    }

    fn failure(&mut self) -> Option<Error> {
        self.0.failure()
    }

    fn prove_compared(
        &mut self,
        window: &mut impl WindowAccess,
    ) -> impl Future<Output = ()> + Send {
        Box::pin(self.0.prove_compared(window))
    }
}
