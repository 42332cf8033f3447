//! A limit for how fast bodies go out, over all requests of a client.

use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

use crate::values::locks::MutexExt;

/// How many frames a second there are at least: the limit holds over short times too.
const FRAMES_PER_SECOND: u64 = 20;

#[derive(Debug)]
pub(crate) struct Pace {
    bytes_per_second: u64,
    /// When what was reserved so far has gone.
    free_at: Mutex<Instant>,
}

impl Pace {
    /// The rate must not be zero.
    pub(crate) fn new(bytes_per_second: u64) -> Self {
        Self {
            bytes_per_second,
            free_at: Mutex::new(Instant::now()),
        }
    }

    /// The most bytes that should go at once.
    pub(super) fn frame(&self) -> usize {
        let frame = (self.bytes_per_second / FRAMES_PER_SECOND).max(1);
        usize::try_from(frame).unwrap_or(usize::MAX)
    }

    /// Reserves the time that `bytes` take, after all others, and returns when it begins.
    pub(super) fn reserve(&self, bytes: usize) -> Instant {
        let takes = Duration::from_secs_f64(bytes as f64 / self.bytes_per_second as f64);
        let mut free_at = self.free_at.locked();
        let start = (*free_at).max(Instant::now());
        *free_at = start + takes;
        start
    }
}
