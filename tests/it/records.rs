//! The sink of records: what an encoder makes of an item is one record, and nothing is flushed.

use std::io;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use futures::{FutureExt, Sink, SinkExt, StreamExt, stream};
use oss_append::{Error, ErrorKind, RecordSink};
use tokio::time::Instant;
use tokio_util::codec::{BytesCodec, Encoder, LengthDelimitedCodec, LinesCodec};

use crate::support::store::{Fault, SimStore};
use crate::support::{MS, SEC, small_writer, writer};

/// Makes a line of a number, and refuses odd ones.
#[derive(Debug, Default)]
struct Even {
    seen: usize,
}

#[derive(Debug)]
struct Odd(u32);

impl std::fmt::Display for Odd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} is odd", self.0)
    }
}

impl std::error::Error for Odd {}

impl From<io::Error> for Odd {
    fn from(_: io::Error) -> Self {
        Self(1)
    }
}

impl Encoder<u32> for Even {
    type Error = Odd;

    fn encode(&mut self, number: u32, to: &mut BytesMut) -> Result<(), Odd> {
        self.seen += 1;
        to.put_slice(format!("{number}").as_bytes());
        if number % 2 == 1 {
            return Err(Odd(number));
        }
        to.put_u8(b'\n');
        Ok(())
    }
}

fn poll_ready(sink: &mut RecordSink<BytesCodec>) -> Poll<Result<(), Error>> {
    let mut cx = Context::from_waker(Waker::noop());
    Sink::<Bytes>::poll_ready(pin!(sink), &mut cx)
}

/// The reason of an error that says that the item is at fault.
fn reason(error: &Error) -> &str {
    match error.kind() {
        ErrorKind::InvalidInput { reason, .. } => reason,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn items_of_any_encoder_land_in_order() {
    let store = SimStore::new();
    store.world().latency = 5 * MS;
    let mut writer = small_writer(&store).open().await.unwrap();
    let mut lines = writer.records(LinesCodec::new());
    let mut frames = writer.records(LengthDelimitedCodec::new());
    let mut expected = Vec::new();
    for number in 0..300_usize {
        let text = "x".repeat(number % 40);
        lines.feed(&text).await.unwrap();
        frames.feed(Bytes::from(text.clone())).await.unwrap();
        // In the order of the calls only when both are in the buffer.
        SinkExt::<&String>::flush(&mut lines).await.unwrap();
        SinkExt::<Bytes>::flush(&mut frames).await.unwrap();
        expected.extend_from_slice(text.as_bytes());
        expected.push(b'\n');
        expected.put_u32(text.len() as u32);
        expected.extend_from_slice(text.as_bytes());
    }
    writer.shutdown().await.unwrap();
    assert!(store.content() == expected);
}

#[tokio::test(start_paused = true)]
async fn a_send_takes_no_time_and_makes_no_append() {
    let store = SimStore::new();
    store.world().latency = 5 * MS;
    let writer = writer(&store).open().await.unwrap();
    let mut lines = writer.records(LinesCodec::new());
    let start = Instant::now();
    for _ in 0..1000 {
        lines.send("a line").await.unwrap();
    }
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert_eq!(store.appends().len(), 0);
    lines.sync().await.unwrap();
    assert_eq!(store.appends(), [(0, 7000)]);
    assert_eq!(store.text(), "a line\n".repeat(1000));
}

#[tokio::test(start_paused = true)]
async fn a_close_makes_all_durable_and_leaves_the_writer_open() {
    let store = SimStore::new();
    let mut writer = writer(&store).open().await.unwrap();
    let items = ["one", "two"].map(Ok::<_, Error>);
    let lines = writer.records(LinesCodec::new());
    stream::iter(items).forward(lines).await.unwrap();
    assert_eq!(store.text(), "one\ntwo\n");
    writer.write_all(b"three\n").await.unwrap();
    writer.shutdown().await.unwrap();
    assert_eq!(store.text(), "one\ntwo\nthree\n");
}

#[tokio::test(start_paused = true)]
async fn a_full_buffer_makes_the_sink_wait() {
    let store = SimStore::new();
    store.world().latency = 50 * MS;
    let writer = small_writer(&store).open().await.unwrap();
    let mut sink = writer.records(BytesCodec::new());
    for number in 0..10 {
        assert!(poll_ready(&mut sink).is_ready(), "{number}");
        sink.start_send_unpin(Bytes::from_static(b"0123456789"))
            .unwrap();
    }
    assert_eq!(writer.stats().buffered, 100);
    assert!(poll_ready(&mut sink).is_pending());
    assert!(sink.feed(Bytes::from_static(b"x")).now_or_never().is_none());
    let start = Instant::now();
    sink.feed(Bytes::from_static(b"y")).await.unwrap();
    assert_eq!(start.elapsed(), 50 * MS);
    sink.sync().await.unwrap();
    assert_eq!(store.text(), format!("{}y", "0123456789".repeat(10)));
}

#[tokio::test(start_paused = true)]
async fn an_item_without_room_is_waited_for_by_send_and_survives_the_drop_of_the_sink() {
    let store = SimStore::new();
    store.world().latency = MS;
    let writer = small_writer(&store).open().await.unwrap();
    let mut sink = writer.records(BytesCodec::new());
    sink.send(Bytes::from(vec![1; 99])).await.unwrap();
    let start = Instant::now();
    sink.send(Bytes::from(vec![2; 99])).await.unwrap();
    assert!(start.elapsed() >= MS);
    assert_eq!(writer.stats().accepted, 198);
    sink.feed(Bytes::from(vec![3; 99])).await.unwrap();
    assert_eq!(writer.stats().accepted, 198);
    drop(sink);
    assert_eq!(writer.stats().accepted, 297);
    drop(writer);
    tokio::time::sleep(SEC).await;
    assert_eq!(store.content(), [[1; 99], [2; 99], [3; 99]].concat());
}

#[tokio::test(start_paused = true)]
async fn what_was_taken_is_given_back_by_a_failed_writer() {
    let store = SimStore::new();
    let writer = small_writer(&store).open().await.unwrap();
    let mut sink = writer.records(BytesCodec::new());
    store.fault(Fault::error(403, "AccessDenied"));
    sink.feed(Bytes::from(vec![1; 99])).await.unwrap();
    sink.feed(Bytes::from(vec![2; 99])).await.unwrap();
    let error = sink.sync().await.unwrap_err();
    assert_eq!(error.service_error().unwrap().code, "AccessDenied");
    for error in [
        sink.feed(Bytes::from("x")).await.unwrap_err(),
        SinkExt::<Bytes>::flush(&mut sink).await.unwrap_err(),
        SinkExt::<Bytes>::close(&mut sink).await.unwrap_err(),
        sink.enqueue(Bytes::from("x")).await.unwrap_err(),
    ] {
        assert_eq!(error.service_error().unwrap().code, "AccessDenied");
    }
    let unsent = writer.into_unsent().unwrap();
    assert_eq!(unsent.chunks.concat(), [[1; 99], [2; 99]].concat());
}

#[tokio::test(start_paused = true)]
async fn an_item_that_is_too_long_is_refused_and_nothing_is_lost() {
    for (shared, len, limit) in [
        (false, 101, "buffer_capacity 100"),
        (true, 51, "max_append_size 50"),
    ] {
        let store = SimStore::new();
        let mut writer = small_writer(&store).shared(shared).open().await.unwrap();
        let mut sink = writer.records(BytesCodec::new());
        sink.send(Bytes::from("before ")).await.unwrap();
        let long = Bytes::from(vec![b'x'; len]);
        for error in [
            sink.feed(long.clone()).await.unwrap_err(),
            sink.send(long.clone()).await.unwrap_err(),
            sink.enqueue(long.clone()).await.unwrap_err(),
        ] {
            assert!(reason(&error).contains(limit), "{error}");
            assert!(reason(&error).contains(&len.to_string()), "{error}");
            assert_eq!(error.object().unwrap().key(), "object");
        }
        sink.send(Bytes::from("after")).await.unwrap();
        writer.shutdown().await.unwrap();
        assert_eq!(store.text(), "before after");
    }
}

#[tokio::test(start_paused = true)]
async fn an_item_that_the_encoder_refuses_is_told_with_its_error_and_the_sink_goes_on() {
    let store = SimStore::new();
    let writer = writer(&store).open().await.unwrap();
    let mut numbers = writer.records(Even::default());
    numbers.send(2).await.unwrap();
    for error in [
        numbers.send(3).await.unwrap_err(),
        numbers.enqueue(3).await.unwrap_err(),
    ] {
        assert!(reason(&error).contains("3 is odd"), "{error}");
        let source = std::error::Error::source(&error).unwrap();
        assert_eq!(source.downcast_ref::<Odd>().unwrap().0, 3);
    }
    numbers.send(4).await.unwrap();
    numbers.sync().await.unwrap();
    assert_eq!(store.text(), "2\n4\n");
}

#[tokio::test(start_paused = true)]
async fn a_receipt_tells_where_the_record_is() {
    let store = SimStore::new();
    let mut writer = small_writer(&store).open().await.unwrap();
    let mut lines = writer.records(LinesCodec::new());
    lines.feed("one").await.unwrap();
    let receipt = lines.enqueue("two").await.unwrap();
    lines.feed("three").await.unwrap();
    writer.shutdown().await.unwrap();
    assert_eq!(receipt.written().await.unwrap().range, 4..8);
    let error = lines.enqueue("four").await.unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Closed);
}

#[tokio::test(start_paused = true)]
async fn an_enqueue_that_is_given_up_has_taken_nothing() {
    let store = SimStore::new();
    store.world().latency = MS;
    let mut writer = small_writer(&store).open().await.unwrap();
    let mut sink = writer.records(BytesCodec::new());
    sink.feed(Bytes::from(vec![b'a'; 100])).await.unwrap();
    let given_up = sink.enqueue(Bytes::from_static(b"given up"));
    assert!(given_up.now_or_never().is_none());
    let receipt = sink.enqueue(Bytes::from_static(b"taken")).await.unwrap();
    writer.shutdown().await.unwrap();
    assert_eq!(receipt.written().await.unwrap().range, 100..105);
    assert_eq!(store.text(), format!("{}taken", "a".repeat(100)));
}

#[tokio::test(start_paused = true)]
async fn an_item_of_nothing_writes_nothing() {
    let store = SimStore::new();
    let mut writer = writer(&store).open().await.unwrap();
    let mut sink = writer.records(BytesCodec::new());
    sink.send(Bytes::new()).await.unwrap();
    let error = sink.enqueue(Bytes::new()).await.unwrap_err();
    assert!(reason(&error).contains("1 to"), "{error}");
    writer.shutdown().await.unwrap();
    assert_eq!(store.appends().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn records_of_sinks_that_share_an_object_are_whole() {
    let store = SimStore::new();
    store.world().latency = MS;
    let mut tasks = Vec::new();
    for name in ["a", "b", "c"] {
        let builder = writer(&store).batch_size(20).max_append_size(60);
        let builder = builder.buffer_capacity(120).shared(true);
        let writer = builder.open().await.unwrap();
        tasks.push(tokio::spawn(async move {
            let mut lines = writer.records(LinesCodec::new());
            for number in 0..100_usize {
                let line = format!("{name} {number} {}", name.repeat(number % 50));
                lines.send(line).await.unwrap();
            }
            lines.sync().await.unwrap();
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    let text = store.text();
    for name in ["a", "b", "c"] {
        let lines = text.lines().filter(|line| line.starts_with(name));
        let expected = 0..100_usize;
        let expected =
            expected.map(|number| format!("{name} {number} {}", name.repeat(number % 50)));
        assert!(lines.eq(expected), "{name}");
    }
    assert_eq!(text.lines().count(), 300);
}
