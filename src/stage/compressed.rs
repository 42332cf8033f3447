//! The stage that compresses: each batch becomes one gzip member or one zstd frame.

use jiff::Timestamp;

use super::compression::Compression;
use super::{RollReason, Space, Stage};
use crate::drive::window::WindowAccess;
use crate::engine::window::Window;
use crate::error::{Error, Landed, Result};

/// Compresses each batch on its way to `inner`. The window counts raw bytes, and settles those of a
/// member or frame together.
pub(crate) struct Compressed<D> {
    inner: D,
    compression: Compression,
    /// Several records go in one append up to this.
    most: u64,
}

impl<D> Compressed<D> {
    pub(crate) fn new(inner: D, compression: Compression, most: u64) -> Self {
        Self {
            inner,
            compression,
            most,
        }
    }
}

impl<D: Stage> Stage for Compressed<D> {
    async fn recover(&mut self) -> Result<u64> {
        self.inner.recover().await
    }

    async fn open(&mut self, period: Option<Timestamp>) -> Result<()> {
        self.inner.open(period).await
    }

    /// Nobody knows how long a batch is before it has been compressed: where it goes is found out
    /// then.
    fn space(&self) -> Option<Space> {
        self.inner.space().map(|space| Space {
            bytes: if space.bytes == 0 { 0 } else { u64::MAX },
            most: self.most,
            empty: space.empty,
        })
    }

    async fn settle(&mut self, window: &mut impl WindowAccess, continues: bool) -> Result<()> {
        if let Some(batch) = window.with(|window| window.to_be_packed()) {
            let stored = self.compression.compress(batch).await?;
            window.with(|window| window.pack(stored));
        }
        let settled = self.inner.settle(window, continues).await;
        match settled {
            // A part of a member is worth nothing, and yet it is there.
            Err(error) if window.with(Window::doubt_torn) => {
                Err(error.with_landed(Landed::InDoubt))
            }
            settled => settled,
        }
    }

    async fn verify(&mut self, window: &mut impl WindowAccess) -> Result<()> {
        self.inner.verify(window).await
    }

    async fn roll(&mut self, reason: RollReason) -> Result<()> {
        self.inner.roll(reason).await
    }

    async fn finish(&mut self, window: &mut impl WindowAccess, seal: bool) -> Result<()> {
        self.inner.finish(window, seal).await
    }

    fn failure(&mut self) -> Option<Error> {
        self.inner.failure()
    }

    async fn prove_compared(&mut self, window: &mut impl WindowAccess) {
        self.inner.prove_compared(window).await;
    }
}
