//! The sink of records on a sequence of objects: whatever bytes a record has, a roll does not split
//! it.

use bytes::Bytes;
use futures::SinkExt;
use oss_append::ErrorKind;
use tokio::io::AsyncWriteExt;
use tokio_util::codec::{BytesCodec, LengthDelimitedCodec};

use super::{rolling, write};
use crate::support::bucket::SimBucket;

#[tokio::test(start_paused = true)]
async fn a_record_with_line_breaks_in_it_is_not_split_by_a_roll() {
    let bucket = SimBucket::new();
    let builder = rolling(&bucket, "{seq:4}.bin").roll_size(150);
    let mut writer = builder.open().await.unwrap();
    let mut frames = writer.records(LengthDelimitedCodec::new());
    let record = |number: usize| Bytes::from(format!("{number}\n{}", "\n".repeat(number % 90)));
    for number in 0..200 {
        frames.feed(record(number)).await.unwrap();
    }
    let receipt = frames.enqueue(record(200)).await.unwrap();
    writer.shutdown().await.unwrap();
    let objects = bucket.objects();
    assert!(objects.len() > 50, "{}", objects.len());
    let mut next = 0;
    for (key, content) in &objects {
        let mut rest = content.as_bytes();
        while !rest.is_empty() {
            let (length, after) = rest.split_at(4);
            let length = u32::from_be_bytes(length.try_into().unwrap()) as usize;
            assert_eq!(&after[..length], &record(next)[..], "{key}");
            (rest, next) = (&after[length..], next + 1);
        }
    }
    assert_eq!(next, 201);
    let written = receipt.written().await.unwrap();
    let (last, content) = objects.last().unwrap();
    assert_eq!(written.object.key(), last);
    assert_eq!(written.range.end, content.len() as u64);
    assert!(written.earlier.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_record_that_could_be_split_is_refused() {
    let bucket = SimBucket::new();
    let mut writer = rolling(&bucket, "{seq}.bin").open().await.unwrap();
    let mut sink = writer.records(BytesCodec::new());
    let error = sink.send(Bytes::from(vec![0; 201])).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::InvalidInput { .. }));
    assert!(error.to_string().contains("max_append_size 200"), "{error}");
    sink.send(Bytes::from(vec![b'x'; 200])).await.unwrap();
    writer.shutdown().await.unwrap();
    assert_eq!(bucket.objects(), [("1.bin".into(), "x".repeat(200))]);
}

#[tokio::test(start_paused = true)]
async fn the_writers_own_calls_win_over_those_of_both_traits() {
    let bucket = SimBucket::new();
    let mut writer = rolling(&bucket, "{seq}.log").open().await.unwrap();
    writer.feed(Bytes::from("an item\n")).await.unwrap();
    assert_eq!(writer.write(b"a write\n").await.unwrap(), 8);
    let written: oss_append::Result<()> = writer.write_all(b"a line\n").await;
    written.unwrap();
    let flushed: oss_append::Result<()> = writer.flush().await;
    flushed.unwrap();
    assert_eq!(bucket.object("1.log").text(), "an item\na write\na line\n");
    let ended: oss_append::Result<()> = writer.shutdown().await;
    ended.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_item_of_nothing_ends_no_record() {
    let bucket = SimBucket::new();
    let mut writer = rolling(&bucket, "{seq}.log").open().await.unwrap();
    let mut sink = writer.records(BytesCodec::new());
    write(&mut writer, "a line\nhalf ").await;
    sink.send(Bytes::new()).await.unwrap();
    writer.roll().await.unwrap();
    write(&mut writer, "a line\n").await;
    writer.shutdown().await.unwrap();
    let expected = [("1.log", "a line\n"), ("2.log", "half a line\n")];
    assert_eq!(
        bucket.objects(),
        expected.map(|(key, text)| (key.to_owned(), text.to_owned()))
    );
}
