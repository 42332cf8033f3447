//! The object of a writer that starts without looking at it: it is opened by the first append, or
//! to find out how much of a spool it has.

use std::mem;
use std::sync::Arc;

use jiff::Timestamp;

use super::spooling::SpoolLeft;
use crate::drive::ObjectAppenderBuilder;
use crate::drive::driver::Driver;
use crate::drive::stats::Counters;
use crate::drive::window::WindowAccess;
use crate::error::{Error, Result};
use crate::stage::{RollReason, Space, Stage};
use crate::store::AppendStore;

pub(crate) struct OpenedLater<S> {
    counters: Arc<Counters>,
    state: State<S>,
}

#[allow(clippy::large_enum_variant, reason = "there is a box around it")]
enum State<S> {
    /// With what an earlier process has left.
    Closed(ObjectAppenderBuilder<S>, Option<SpoolLeft>),
    /// Nothing comes of it unless it succeeds: the writer has failed, or was dropped.
    Opening,
    Open(Driver<S>),
}

impl<S: AppendStore> OpenedLater<S> {
    pub(crate) fn new(
        appender: ObjectAppenderBuilder<S>,
        counters: Arc<Counters>,
        left: Option<SpoolLeft>,
    ) -> Self {
        Self {
            counters,
            state: State::Closed(appender, left),
        }
    }

    /// Opens the object, if it is not. Tells how many bytes of the spool, the first, it has.
    async fn opened(&mut self) -> Result<u64> {
        if let State::Open(_) = self.state {
            return Ok(0);
        }
        let State::Closed(appender, left) = mem::replace(&mut self.state, State::Opening) else {
            unreachable!("a writer that has failed opens nothing");
        };
        let counters = Arc::clone(&self.counters);
        let (driver, passed) = match left {
            Some(left) => left.open_driver(appender, counters).await?,
            None => (appender.open_driver(counters).await?, 0),
        };
        self.counters.tell_ignored(driver.object());
        self.state = State::Open(driver);
        Ok(passed)
    }

    fn driver(&mut self) -> Option<&mut Driver<S>> {
        match &mut self.state {
            State::Closed(..) | State::Opening => None,
            State::Open(driver) => Some(driver),
        }
    }
}

impl<S: AppendStore> Stage for OpenedLater<S> {
    async fn recover(&mut self) -> Result<u64> {
        self.opened().await
    }

    async fn open(&mut self, _: Option<Timestamp>) -> Result<()> {
        self.opened().await.map(drop)
    }

    fn space(&self) -> Option<Space> {
        match &self.state {
            State::Closed(..) | State::Opening => None,
            State::Open(driver) => driver.space(),
        }
    }

    async fn settle(&mut self, window: &mut impl WindowAccess, continues: bool) -> Result<()> {
        self.open(None).await?;
        match self.driver() {
            Some(driver) => Stage::settle(driver, window, continues).await,
            None => unreachable!("it has been opened"),
        }
    }

    async fn verify(&mut self, window: &mut impl WindowAccess) -> Result<()> {
        match self.driver() {
            Some(driver) => driver.verify(window).await,
            None => Ok(()),
        }
    }

    /// It is the only one.
    async fn roll(&mut self, _: RollReason) -> Result<()> {
        Ok(())
    }

    async fn finish(&mut self, window: &mut impl WindowAccess, seal: bool) -> Result<()> {
        if seal {
            self.open(None).await?;
        }
        match self.driver() {
            Some(driver) => Stage::finish(driver, window, seal).await,
            None => Ok(()),
        }
    }

    fn failure(&mut self) -> Option<Error> {
        None
    }

    async fn prove_compared(&mut self, window: &mut impl WindowAccess) {
        if let Some(driver) = self.driver() {
            driver.prove_compared(window).await;
        }
    }
}
