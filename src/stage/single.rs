//! The stage of a writer with one object.

use jiff::Timestamp;

use super::{RollReason, Space, Stage};
use crate::drive::driver::Driver;
use crate::drive::window::WindowAccess;
use crate::error::{Error, Result};
use crate::store::AppendStore;

impl<S: AppendStore> Stage for Driver<S> {
    /// That was found out when it was opened.
    async fn recover(&mut self) -> Result<u64> {
        Ok(0)
    }

    /// It has been opened.
    async fn open(&mut self, _: Option<Timestamp>) -> Result<()> {
        Ok(())
    }

    fn space(&self) -> Option<Space> {
        Some(Space::UNLIMITED)
    }

    async fn settle(&mut self, window: &mut impl WindowAccess, _: bool) -> Result<()> {
        self.intend(window, None, None).await?;
        Self::settle(self, window).await.map(drop)
    }

    async fn verify(&mut self, window: &mut impl WindowAccess) -> Result<()> {
        Self::verify(self, window).await
    }

    /// It is the only one.
    async fn roll(&mut self, _: RollReason) -> Result<()> {
        Ok(())
    }

    async fn finish(&mut self, window: &mut impl WindowAccess, seal: bool) -> Result<()> {
        self.end_replay(window).await?;
        match seal {
            true => self.seal().await,
            false => Ok(()),
        }
    }

    fn failure(&mut self) -> Option<Error> {
        None
    }

    async fn prove_compared(&mut self, window: &mut impl WindowAccess) {
        Self::prove_compared(self, window).await;
    }
}
