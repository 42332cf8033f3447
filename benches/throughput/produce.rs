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

pub(crate) struct Pace {
    producer: Producer,
    /// When the next bytes are there.
    next: Instant,
}

/// How late a timer may be.
const SLACK: Duration = Duration::from_millis(3);

impl Producer {
    pub(crate) fn start(self) -> Pace {
        Pace {
            producer: self,
            next: Instant::now(),
        }
    }
}

impl Pace {
    /// Waits until `bytes` more are there.
    pub(crate) async fn wait_for(&mut self, bytes: u64) {
        let Producer::Paced(rate) = self.producer else {
            return;
        };
        let now = Instant::now();
        self.next = self.next.max(now - SLACK) + Duration::from_secs_f64(bytes as f64 / rate);
        if self.next > now {
            sleep_until(self.next).await;
        }
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
