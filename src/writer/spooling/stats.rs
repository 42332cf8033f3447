//! A snapshot of a spool.

use std::time::{Duration, SystemTime};

use super::state::SpoolState;
use crate::engine::window::Window;
use crate::error::Error;

/// How a writer's spool stands (feature `spool`).
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct SpoolStats {
    /// Bytes that are kept on disk since they are not durable in OSS.
    pub bytes: u64,
    /// Bytes that were accepted and are not on disk yet.
    pub unspooled: u64,
    /// What all files take on disk, in bytes. Files go as a whole.
    pub size: u64,
    /// How long ago the oldest file was begun that has not been delivered as a whole: no byte in the
    /// spool is older.
    pub oldest: Option<Duration>,
    /// Bytes that were on disk and cannot be read. A warning names the files.
    pub lost: u64,
    /// Why nothing more can be put in it at present: it is full, or the disk is.
    pub problem: Option<Error>,
}

impl SpoolState {
    pub(in crate::writer) fn stats(&self, window: &Window) -> SpoolStats {
        let bytes = self.kept_bytes(window);
        let oldest = self.oldest.filter(|_| bytes > 0);
        SpoolStats {
            bytes,
            unspooled: window.accepted() - self.on_disk().max(window.durable()),
            size: self.size,
            oldest: oldest.and_then(|oldest| SystemTime::now().duration_since(oldest).ok()),
            lost: self.lost,
            problem: self.problem.clone(),
        }
    }
}
