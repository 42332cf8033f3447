//! Where the bytes come from.

use std::time::Duration;

use tokio::fs::File;
use tokio::io::{AsyncSeekExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, sleep_until};

/// How many bytes are made a second.
#[derive(Clone, Copy)]
pub(crate) enum Producer {
    /// As many as are taken.
    Ready,
    /// So many, and none of those that were not taken in time are made up for.
    Paced(f64),
}

/// Pieces of so many bytes, as they come.
pub(crate) struct Pieces {
    producer: Producer,
    size: u64,
    left: u64,
    /// When the next one is there.
    next: Instant,
}

/// How late a timer may be.
const SLACK: Duration = Duration::from_millis(3);

impl Producer {
    /// `bytes` bytes from now on, in pieces of `size`.
    pub(crate) fn pieces(self, bytes: u64, size: usize) -> Pieces {
        Pieces {
            producer: self,
            size: size as u64,
            left: bytes,
            next: Instant::now(),
        }
    }
}

impl Pieces {
    /// Waits for the next piece: its length.
    pub(crate) async fn next(&mut self) -> Option<usize> {
        let len = self.left.min(self.size);
        self.left -= len;
        if let Producer::Paced(rate) = self.producer {
            let now = Instant::now();
            let takes = Duration::from_secs_f64(len as f64 / rate);
            self.next = self.next.max(now - SLACK) + takes;
            if self.next > now {
                sleep_until(self.next).await;
            }
        }
        (len > 0).then_some(len as usize)
    }
}

/// The only bytes that the sink takes.
pub(crate) fn piece(len: usize) -> Vec<u8> {
    vec![b'x'; len]
}

/// A file of about `bytes` bytes at its beginning, in the page cache; how many they are.
pub(crate) async fn file(bytes: u64) -> (File, u64) {
    let mut file = File::from_std(tempfile::tempfile().unwrap());
    let block = piece(1 << 20);
    let blocks = (bytes >> 20).max(1);
    for _ in 0..blocks {
        file.write_all(&block).await.unwrap();
    }
    file.flush().await.unwrap();
    file.rewind().await.unwrap();
    (file, blocks << 20)
}

/// The time that so many percent do not exceed.
pub(crate) fn percentile(mut times: Vec<Duration>, percent: usize) -> Duration {
    times.sort_unstable();
    times[(times.len() * percent / 100).min(times.len() - 1)]
}
