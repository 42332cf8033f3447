//! Links on which nothing moves between the last byte that was sent and the answer, for as long as it
//! takes: buffers on the way take the whole of an append at once and pass it on slowly.

use bytes::Bytes;
use oss_append::{Compression, Landed, RollingWriter};

use crate::support::bucket::SimBucket;
use crate::support::store::{SimStore, service};
use crate::support::{SEC, appender, bytes, writer};

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

fn at_rate(rate: u64) -> SimStore {
    let store = SimStore::new();
    store.world().rate = Some(rate);
    store
}

/// All bytes that were sent in appends.
fn sent(store: &SimStore) -> u64 {
    store.appends().iter().map(|(_, len)| len).sum()
}

fn longest(store: &SimStore) -> u64 {
    let lengths = store.appends().into_iter().map(|(_, len)| len);
    lengths.max().unwrap_or_default()
}

#[tokio::test(start_paused = true)]
async fn everything_arrives_by_default_and_little_is_sent_twice() {
    for (rate, len) in [
        (200_000, 16 * MIB),
        (40 * KIB, 16 * MIB),
        (20 * KIB, 4 * MIB),
    ] {
        let store = at_rate(rate);
        let text = bytes(len as usize);
        let mut writer = writer(&store).open().await.unwrap();
        writer.write_all(&text).await.unwrap();
        writer.shutdown().await.unwrap();
        assert!(store.content() == text, "at {rate}");
        let sent = sent(&store);
        assert!(sent <= 2 * len, "{sent} bytes for {len} at {rate}");
    }
    // However slow it is.
    let store = at_rate(KIB);
    let text = bytes(256 << 10);
    let mut writer = writer(&store).open().await.unwrap();
    writer.write_all(&text).await.unwrap();
    writer.shutdown().await.unwrap();
    assert!(store.content() == text);
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_is_too_much_goes_on_in_parts() {
    let store = at_rate(40 * KIB);
    let text = Bytes::from(bytes(8 << 20));
    let mut writer = writer(&store).batch_size(8 * MIB).open().await.unwrap();
    writer.write_bytes(text.clone()).await.unwrap();
    writer.sync().await.unwrap();
    assert!(store.content() == text);
    assert_eq!(store.appends()[0], (0, 8 * MIB));
    assert!(sent(&store) <= 3 * 8 * MIB, "{:?}", store.appends());

    // So does one that the caller has made, and its receipt is for the whole of it.
    let store = at_rate(40 * KIB);
    let mut appender = appender(&store).open().await.unwrap();
    let receipt = appender.append(text.clone()).await.unwrap();
    assert_eq!((receipt.range, receipt.durable), (0..8 * MIB, true));
    assert!(store.content() == text);
}

#[tokio::test(start_paused = true)]
async fn a_batch_in_parts_is_one_batch_for_whoever_gave_it() {
    let text = Bytes::from(bytes(8 << 20));
    let store = at_rate(40 * KIB);
    let mut slow = appender(&store).open().await.unwrap();
    // Given up when some parts are there.
    let append = tokio::time::timeout(100 * SEC, slow.append(text.clone()));
    append.await.unwrap_err();
    let there = store.length().unwrap();
    assert!(there > 0 && there < text.len(), "{there}");
    let left = slow.unsettled().unwrap();
    assert_eq!(left.len(), 8 * MIB - slow.position());
    assert!(left.chunks().concat() == text[slow.position() as usize..]);
    let receipt = slow.settle().await.unwrap().unwrap();
    assert_eq!((receipt.range, receipt.durable), (0..8 * MIB, true));
    assert!(store.content() == text);

    // Failed when some parts are there.
    let store = at_rate(40 * KIB);
    let mut failing = appender(&store).open().await.unwrap();
    let append = tokio::time::timeout(100 * SEC, failing.append(text.clone()));
    append.await.unwrap_err();
    store.go_down(service(403, "AccessDenied"));
    let error = failing.settle().await.unwrap_err();
    assert_ne!(error.landed(), Some(Landed::Yes));
    let (position, left) = failing.into_unsent().unwrap();
    assert!(left.chunks().concat() == text[position as usize..]);
}

#[tokio::test(start_paused = true)]
async fn a_link_that_becomes_slow_is_noticed_and_one_that_recovers_too() {
    let store = at_rate(100_000_000);
    let text = bytes(64 << 20);
    let mut writer = writer(&store).open().await.unwrap();
    let part = |n: usize| &text[n * (16 << 20)..(n + 1) * (16 << 20)];
    for (n, rate) in [100_000_000, 50_000, 100_000_000, 1_000_000_000]
        .into_iter()
        .enumerate()
    {
        store.world().rate = Some(rate);
        writer.write_all(part(n)).await.unwrap();
        writer.sync().await.unwrap();
    }
    assert!(store.content() == text);
    assert!(sent(&store) <= 2 * 64 * MIB, "{:?}", store.appends());
    let last = store.appends().pop().unwrap();
    assert!(last.1 > MIB, "{last:?}");
}

#[tokio::test(start_paused = true)]
async fn a_fast_link_gets_what_it_got() {
    let store = at_rate(100_000_000);
    let mut writer = writer(&store).open().await.unwrap();
    writer.write_all(&bytes(64 << 20)).await.unwrap();
    writer.shutdown().await.unwrap();
    assert_eq!(longest(&store), 8 * MIB);
    assert!(store.appends().len() < 16, "{:?}", store.appends());
}

/// Lines of a hundred bytes.
fn lines(len: u64) -> Vec<u8> {
    let lines = (0..len / 100).map(|n| format!("{n:099}\n"));
    lines.collect::<String>().into_bytes()
}

#[tokio::test(start_paused = true)]
async fn what_has_to_stay_whole_begins_with_little_and_is_given_more_time() {
    for rate in [40 * KIB, 20 * KIB] {
        let store = at_rate(rate);
        let mut writer = writer(&store).shared(true).open().await.unwrap();
        let text = lines(4 * MIB);
        for line in text.chunks(100) {
            writer.write_all(line).await.unwrap();
        }
        writer.shutdown().await.unwrap();
        assert!(store.content() == text);
        assert!(longest(&store) <= MIB, "{:?}", store.appends());
        assert!(sent(&store) <= 2 * text.len() as u64);
        for (position, len) in store.appends() {
            assert_eq!((position % 100, len % 100), (0, 0), "a torn line");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn compressed_appends_and_sequences_get_through() {
    let store = at_rate(40 * KIB);
    let noise: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..))
        .take(4 << 20)
        .collect();
    let builder = writer(&store).compression(Compression::gzip());
    let mut compressed = builder.open().await.unwrap();
    compressed.write_all(&noise).await.unwrap();
    compressed.shutdown().await.unwrap();
    let mut read = Vec::new();
    let content = store.content();
    let mut members = flate2::read::MultiGzDecoder::new(&content[..]);
    std::io::Read::read_to_end(&mut members, &mut read).unwrap();
    assert!(read == noise);

    let bucket = SimBucket::new();
    bucket.object("log-1").world().rate = Some(40 * KIB);
    let builder = RollingWriter::builder(bucket.clone(), "bucket", "log-{seq}");
    let mut rolling = builder.open().await.unwrap();
    let text = lines(4 * MIB);
    for line in text.chunks(100) {
        rolling.write_all(line).await.unwrap();
    }
    rolling.shutdown().await.unwrap();
    assert!(bucket.object("log-1").content() == text);
}
