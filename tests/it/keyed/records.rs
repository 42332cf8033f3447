//! The sink of records with their keys.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use futures::{FutureExt, Sink, SinkExt, StreamExt, stream};
use oss_append::{Error, ErrorKind, KeyedRecordSink};
use tokio::time::Instant;
use tokio_util::codec::{BytesCodec, LinesCodec};

use super::{check, keyed, large};
use crate::support::bucket::SimBucket;
use crate::support::store::Fault;
use crate::support::{MS, SEC};

fn poll_ready(sink: &mut KeyedRecordSink<BytesCodec>) -> Poll<Result<(), Error>> {
    let mut cx = Context::from_waker(Waker::noop());
    Sink::<(&str, Bytes)>::poll_ready(pin!(sink), &mut cx)
}

#[tokio::test(start_paused = true)]
async fn records_go_to_their_keys_in_order_and_a_close_makes_them_durable() {
    let bucket = SimBucket::new();
    let writer = keyed(&bucket).max_open(3).start().unwrap();
    let items = (0..500_usize).map(|number| {
        let key = format!("key{}", number % 7);
        Ok::<_, Error>((key, format!("{number} {}", "x".repeat(number % 30))))
    });
    let lines = writer.records(LinesCodec::new());
    stream::iter(items.clone()).forward(lines).await.unwrap();
    for key in 0..7 {
        let key = format!("key{key}");
        let expected: String = items
            .clone()
            .map(Result::unwrap)
            .filter(|(of, _)| *of == key)
            .map(|(_, line)| format!("{line}\n"))
            .collect();
        assert_eq!(bucket.object(&key).text(), expected);
    }
    check(&writer);
    let mut lines = writer.records(LinesCodec::new());
    lines.send(("key0", "open yet")).await.unwrap();
    writer.shutdown().await.unwrap();
    assert!(bucket.object("key0").text().ends_with("open yet\n"));
    let error = lines.send(("key0", "late")).await.unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_send_makes_no_append_and_a_receipt_tells_where_its_record_is() {
    let bucket = SimBucket::new();
    let writer = large(&bucket).start().unwrap();
    let mut lines = writer.records(LinesCodec::new());
    let start = Instant::now();
    for _ in 0..100 {
        lines.send(("a", "line")).await.unwrap();
        lines.send(("b", "line")).await.unwrap();
    }
    let receipt = lines.enqueue("a", "the last").await.unwrap();
    assert_eq!(start.elapsed().as_millis(), 0);
    assert_eq!(bucket.object("a").appends().len(), 0);
    lines.sync().await.unwrap();
    let written = receipt.written().await.unwrap();
    assert_eq!((written.object.key(), written.range), ("a", 500..509));
    assert_eq!(bucket.object("b").text(), "line\n".repeat(100));
}

#[tokio::test(start_paused = true)]
async fn a_key_without_room_makes_the_sink_wait_and_a_drop_loses_nothing() {
    let bucket = SimBucket::new();
    bucket.object("a").world().latency = 10 * MS;
    let writer = keyed(&bucket).start().unwrap();
    let mut sink = writer.records(BytesCodec::new());
    for byte in [b'1', b'2', b'3'] {
        sink.feed(("a", Bytes::from(vec![byte; 50]))).await.unwrap();
    }
    assert!(poll_ready(&mut sink).is_pending());
    assert!(
        SinkExt::<(&str, Bytes)>::flush(&mut sink)
            .now_or_never()
            .is_none()
    );
    assert_eq!(writer.stats().accepted, 100);
    drop(sink);
    tokio::time::sleep(SEC).await;
    assert_eq!(writer.stats().accepted, 150);
    writer.shutdown().await.unwrap();
    let content = [[b'1'; 50], [b'2'; 50], [b'3'; 50]].concat();
    assert_eq!(bucket.object("a").content(), content);
}

#[tokio::test(start_paused = true)]
async fn an_item_that_is_refused_and_a_key_that_fails_leave_the_others_alone() {
    let bucket = SimBucket::new();
    bucket
        .object("bad")
        .fault(Fault::error(403, "AccessDenied"));
    let writer = keyed(&bucket).start().unwrap();
    let mut sink = writer.records(BytesCodec::new());
    sink.send(("good", Bytes::from("one "))).await.unwrap();
    let long = ("good", Bytes::from(vec![0; 51]));
    let refused = match sink.send(long).await {
        Err(error) => error,
        Ok(()) => SinkExt::<(&str, Bytes)>::flush(&mut sink)
            .await
            .unwrap_err(),
    };
    assert!(
        refused.to_string().contains("max_append_size 50"),
        "{refused}"
    );
    sink.send(("bad", Bytes::from("x"))).await.unwrap();
    let error = sink.sync().await.unwrap_err();
    assert_eq!(error.service_error().unwrap().code, "AccessDenied");
    let error = sink.send(("bad", Bytes::from("y"))).await.unwrap_err();
    assert_eq!(error.service_error().unwrap().code, "AccessDenied");
    sink.send(("good", Bytes::from("two"))).await.unwrap();
    writer.shutdown().await.unwrap_err();
    assert_eq!(bucket.object("good").text(), "one two");
}
