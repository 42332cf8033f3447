//! Copying into a writer: how many appends a trickling source costs, and what becomes of a reader
//! that fails.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::FutureExt;
use oss_append::{CopyProgress, ErrorKind};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf};
use tokio::time::{Instant, Interval, interval};

use crate::support::store::{Fault, SimStore};
use crate::support::{MS, SEC, bytes, ours, small_writer, writer};

/// Yields 100 bytes every 5 ms for `duration`.
pub struct Trickle {
    ticks: Interval,
    left: u32,
}

impl Trickle {
    const SIZE: usize = 100;
    const EVERY: Duration = Duration::from_millis(5);

    pub fn new(duration: Duration) -> Self {
        Self {
            ticks: interval(Self::EVERY),
            left: (duration.as_millis() / Self::EVERY.as_millis()) as u32,
        }
    }
}

impl AsyncRead for Trickle {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.left == 0 {
            return Poll::Ready(Ok(()));
        }
        ready!(self.ticks.poll_tick(cx));
        self.left -= 1;
        buf.put_slice(&[b'x'; Self::SIZE]);
        Poll::Ready(Ok(()))
    }
}

#[tokio::test(start_paused = true)]
async fn a_throttled_copy_makes_five_appends_a_second_after_the_first_twenty() {
    let store = SimStore::new();
    let mut writer = writer(&store).open().await.unwrap();
    let start = Instant::now();
    let mut reader = Trickle::new(20 * SEC);
    let copied = tokio::io::copy(&mut reader, &mut writer).await.unwrap();
    assert_eq!(copied, 400_000);
    assert_eq!(store.content().len(), 400_000, "durable without a shutdown");
    let intervals = start.elapsed().as_millis().div_ceil(200) as u64;
    let appends = writer.stats().appends;
    assert!(appends <= 20 + intervals, "{appends} appends");
    assert!(appends >= 20 + intervals - 2, "{appends} appends");
    let times: Vec<Instant> = store
        .world()
        .requests
        .iter()
        .skip(1)
        .map(|request| request.at)
        .collect();
    for pair in times[20..].windows(2) {
        assert!(pair[1] - pair[0] >= 200 * MS);
    }
}

#[tokio::test(start_paused = true)]
async fn the_last_flush_of_a_copy_does_not_wait() {
    let store = SimStore::new();
    store.world().latency = 3 * MS;
    let mut writer = writer(&store).open().await.unwrap();
    let start = Instant::now();
    for _ in 0..5 {
        tokio::io::copy(&mut &b"a few"[..], &mut writer)
            .await
            .unwrap();
    }
    assert_eq!(start.elapsed(), 5 * 3 * MS);
    assert_eq!(store.text(), "a few".repeat(5));
}

#[tokio::test(start_paused = true)]
async fn a_throttled_copy_from_makes_one_append_a_linger() {
    let store = SimStore::new();
    let mut writer = writer(&store).open().await.unwrap();
    let copied = writer.copy_from(&mut Trickle::new(20 * SEC)).await.unwrap();
    assert_eq!(copied, 400_000);
    assert_eq!(store.content().len(), 400_000);
    let stats = writer.stats();
    assert!((19..=21).contains(&stats.appends), "{}", stats.appends);
}

#[tokio::test(start_paused = true)]
async fn copy_from_reads_large_input_and_reports_progress() {
    let store = SimStore::new();
    let mut writer = writer(&store).open().await.unwrap();
    let input = bytes(20_000_000);
    let mut last: Option<CopyProgress> = None;
    let copied = writer
        .copy_from_with(&mut input.as_slice(), |progress| {
            if let Some(last) = last {
                assert!(last.read < progress.read);
                assert!(last.durable_position <= progress.durable_position);
            }
            last = Some(progress);
        })
        .await
        .unwrap();
    assert_eq!(copied, input.len() as u64);
    assert_eq!(last.unwrap().read, copied);
    assert_eq!(store.content(), input);
}

#[tokio::test(start_paused = true)]
async fn what_a_failing_reader_gave_is_made_durable_and_its_error_returned() {
    let store = SimStore::new();
    let mut writer = writer(&store).open().await.unwrap();
    let broken = tokio_util::io::StreamReader::new(futures::stream::iter([
        Ok(&b"what there was"[..]),
        Err(io::Error::new(io::ErrorKind::UnexpectedEof, "disk on fire")),
    ]));
    let mut broken = Box::pin(broken);
    let error = writer.copy_from(&mut broken).await.unwrap_err();
    assert!(matches!(
        error.kind(),
        ErrorKind::Reader {
            kind: io::ErrorKind::UnexpectedEof,
            ..
        }
    ));
    let cause = std::error::Error::source(&error).unwrap();
    assert_eq!(cause.to_string(), "disk on fire");
    assert_eq!(store.text(), "what there was");
    // The writer itself is well.
    writer.write_all(b"!").await.unwrap();
    writer.shutdown().await.unwrap();
    assert_eq!(store.text(), "what there was!");
}

#[tokio::test(start_paused = true)]
async fn a_dropped_copy_from_loses_nothing_that_it_read() {
    let store = SimStore::new();
    store.world().latency = 30 * MS;
    let mut writer = writer(&store)
        .batch_size(64)
        .max_append_size(64)
        .buffer_capacity(128)
        .open()
        .await
        .unwrap();
    let input: Vec<u8> = (0..4000_u32).map(|n| (n % 251) as u8).collect();
    let mut reader = input.as_slice();
    loop {
        let copy = writer.copy_from(&mut reader);
        if tokio::time::timeout(7 * MS, copy).await.is_ok() {
            break;
        }
    }
    writer.shutdown().await.unwrap();
    assert_eq!(store.content(), input);
}

#[tokio::test(start_paused = true)]
async fn a_copy_to_a_shared_object_reads_no_more_than_an_append_takes() {
    for max_append_size in [1, 1000, 64 * 1024] {
        let store = SimStore::new();
        let mut writer = writer(&store)
            .shared(true)
            .batch_size(1)
            .max_append_size(max_append_size)
            .open()
            .await
            .unwrap();
        let input = vec![b'x'; 20 * max_append_size as usize];
        let copied = writer.copy_from(&mut input.as_slice()).await.unwrap();
        assert_eq!(copied, input.len() as u64);
        assert_eq!(store.content(), input);
        assert!(
            store
                .appends()
                .iter()
                .all(|(_, len)| *len <= max_append_size)
        );
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_read_gave_when_nothing_is_taken_any_more_is_given_back() {
    for fails in [false, true] {
        let store = SimStore::new();
        let mut writer = writer(&store).open().await.unwrap();
        let mut clone = writer.clone();
        let (mut source, mut reader) = tokio::io::duplex(100);
        let copy = tokio::spawn(async move {
            let error = writer.copy_from(&mut reader).await.unwrap_err();
            (writer, error)
        });
        source.write_all(b"first ").await.unwrap();
        clone.wait_durable(6).await.unwrap();
        if fails {
            store.fault(Fault::error(403, "AccessDenied"));
            clone.write_all(b"failed ").await.unwrap();
            clone.sync().await.unwrap_err();
        } else {
            clone.shutdown().await.unwrap();
        }
        source.write_all(b"second").await.unwrap();
        let (writer, error) = copy.await.unwrap();
        assert_eq!(matches!(error.kind(), ErrorKind::Closed), !fails, "{error}");
        let unsent = writer.into_unsent().unwrap();
        let expected: &[u8] = if fails { b"failed second" } else { b"second" };
        assert_eq!(unsent.chunks.concat(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn what_would_not_stay_whole_is_refused_before_anything_is_taken() {
    let store = SimStore::new();
    let mut writer = small_writer(&store).shared(true).open().await.unwrap();
    let slices = [io::IoSlice::new(&[1; 30]), io::IoSlice::new(&[2; 30])];
    let refusals = [
        ours(writer.write(&[0; 51]).await.unwrap_err()),
        ours(writer.write_vectored(&slices).await.unwrap_err()),
        writer.write_bytes(vec![0; 51].into()).await.unwrap_err(),
        writer.write_bytes(vec![0; 1000].into()).await.unwrap_err(),
        writer.enqueue(vec![0; 51].into()).await.unwrap_err(),
        ours(
            tokio::io::copy(&mut &[0; 100][..], &mut writer)
                .await
                .unwrap_err(),
        ),
    ];
    for error in refusals {
        assert!(matches!(error.kind(), ErrorKind::InvalidInput { .. }));
        assert!(error.to_string().contains("max_append_size 50"), "{error}");
    }
    assert_eq!(writer.stats().accepted, 0);
    writer.shutdown().await.unwrap();
    assert!(store.appends().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_reader_is_offered_all_of_a_segment_but_never_a_few_bytes_only() {
    /// Gives a thousand pieces and notes how many bytes it might have given.
    struct Watched {
        left: u32,
        piece: usize,
        least: usize,
    }
    impl AsyncRead for Watched {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buf: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            self.least = self.least.min(buf.remaining());
            if self.left > 0 {
                self.left -= 1;
                buf.put_slice(&vec![b'x'; self.piece]);
            }
            Poll::Ready(Ok(()))
        }
    }

    let store = SimStore::new();
    let mut writer = writer(&store).open().await.unwrap();
    let mut least = Vec::new();
    for piece in [3000, 4096] {
        let mut reader = Watched {
            left: 1000,
            piece,
            least: usize::MAX,
        };
        let copied = writer.copy_from(&mut reader).await.unwrap();
        assert_eq!(copied, 1000 * piece as u64);
        least.push(reader.least);
    }
    assert!(least[0] >= 4096, "{least:?}");
    assert_eq!(least[1], 4096);
}

#[tokio::test(start_paused = true)]
async fn copy_from_nothing_creates_nothing() {
    let store = SimStore::new();
    let mut writer = writer(&store).open().await.unwrap();
    assert_eq!(writer.copy_from(&mut tokio::io::empty()).await.unwrap(), 0);
    writer.shutdown().await.unwrap();
    assert!(store.world().object.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_copy_of_an_endless_reader_is_held_back_by_the_full_buffer() {
    let store = SimStore::new();
    store.world().latency = 1000 * SEC;
    let mut writer = writer(&store).open().await.unwrap();
    let capacity = 16 << 20;
    {
        let mut endless = tokio::io::repeat(1).take(1 << 40);
        let copy = writer.copy_from(&mut endless);
        assert!(copy.now_or_never().is_none());
    }
    assert_eq!(writer.stats().buffered, capacity);
}
