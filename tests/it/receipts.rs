//! A receipt tells when its record is durable, and where it is.

use bytes::Bytes;
use futures::{FutureExt, StreamExt};
use oss_append::{AppendStore, ErrorKind, Landed, OssAppendWriter, RollingWriter, Written, crc64};
use proptest::prelude::*;

use crate::support::bucket::SimBucket;
use crate::support::store::{Fault, SimStore, service};
use crate::support::{SEC, cases, object, small_writer, writer};

fn text(store: &SimStore, written: &Written) -> String {
    let range = written.range.start as usize..written.range.end as usize;
    String::from_utf8(store.content()[range].to_vec()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_receipt_tells_where_its_record_is() {
    let store = SimStore::holding("before, ");
    let mut writer = writer(&store).open().await.unwrap();
    writer.write_all(b"plain, ").await.unwrap();
    let first = writer.enqueue("first, ".into()).await.unwrap();
    let second = writer.enqueue("second".into()).await.unwrap();
    assert_eq!((first.position(), second.position()), (22, 28));
    assert_eq!(store.text(), "before, ");
    // By the linger; nothing is forced.
    let written = second.written().await.unwrap();
    assert_eq!(written.object, crate::support::object());
    assert_eq!(written.range, 22..28);
    assert_eq!(written.crc64, None, "nobody asked");
    assert_eq!(text(&store, &first.written().await.unwrap()), "first, ");
    assert_eq!(store.appends().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_record_can_be_appended_and_waited_for() {
    let store = SimStore::new();
    let mut writer = writer(&store).open().await.unwrap();
    for (record, range) in [("one", 0..3), ("two", 3..6)] {
        let written = writer.append_record(record.into()).await.unwrap();
        assert_eq!(written.range, range);
    }
    assert_eq!(store.text(), "onetwo");
}

#[tokio::test(start_paused = true)]
async fn the_checksum_is_that_of_the_object_up_to_the_record() {
    let store = SimStore::holding("before, ");
    let mut writer = writer(&store).open().await.unwrap();
    writer.write_all(b"some, ").await.unwrap();
    let asked = writer.enqueue("asked, ".into()).await.unwrap().with_crc64();
    let twice = writer.enqueue("twice, ".into()).await.unwrap();
    let twice = twice.with_crc64().with_crc64();
    let long = Bytes::from(vec![b'x'; 300_000]);
    let long = writer.enqueue(long).await.unwrap().with_crc64();
    let other = writer.enqueue("other".into()).await.unwrap();
    writer.sync().await.unwrap();
    for receipt in [&asked, &twice, &long] {
        let written = receipt.written().await.unwrap();
        let whole = &store.content()[..written.range.end as usize];
        assert_eq!(written.crc64, Some(crc64::checksum(whole)));
    }
    assert_eq!(other.written().await.unwrap().crc64, None);
    // Too late.
    let late = other.with_crc64().written().await.unwrap();
    assert_eq!(late.crc64, None);
}

#[tokio::test(start_paused = true)]
async fn a_receipt_outlives_the_writer() {
    let store = SimStore::new();
    let mut writer = writer(&store).open().await.unwrap();
    let receipt = writer.enqueue("record".into()).await.unwrap();
    drop(writer);
    assert_eq!(receipt.written().await.unwrap().range, 0..6);
    assert_eq!(receipt.written().await.unwrap().range, 0..6, "again");
}

#[tokio::test(start_paused = true)]
async fn receipts_may_be_dropped_and_awaited_in_any_order() {
    let store = SimStore::new();
    let mut writer = small_writer(&store).open().await.unwrap();
    let mut receipts = Vec::new();
    for number in 10..40 {
        let record = Bytes::from(number.to_string());
        let receipt = writer.enqueue(record).await.unwrap().with_crc64();
        if number % 3 > 0 {
            receipts.push((number, receipt));
        }
    }
    writer.sync().await.unwrap();
    for (number, receipt) in receipts.into_iter().rev() {
        let written = receipt.written().await.unwrap();
        assert_eq!(text(&store, &written), number.to_string());
        let whole = &store.content()[..written.range.end as usize];
        assert_eq!(written.crc64, Some(crc64::checksum(whole)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_reaches_the_receipts_of_what_is_not_durable() {
    let store = SimStore::new();
    let mut writer = writer(&store).open().await.unwrap();
    let durable = writer.enqueue("durable".into()).await.unwrap();
    writer.sync().await.unwrap();
    store.go_down(service(403, "AccessDenied"));
    let lost = writer.enqueue("lost".into()).await.unwrap();
    let error = lost.written().await.unwrap_err();
    assert_eq!(error.service_error().unwrap().code, "AccessDenied");
    assert_eq!(durable.written().await.unwrap().range, 0..7);
    drop(writer);
    assert!(lost.written().await.is_err());
}

#[tokio::test]
async fn receipts_fail_when_the_runtime_is_gone() {
    let store = SimStore::new();
    store.world().latency = 3600 * SEC;
    let receipt = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let mut writer = writer(&store).open().await.unwrap();
            writer.enqueue("record".into()).await.unwrap()
        })
    });
    let error = receipt.await.unwrap().written().await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::WorkerLost), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_receipt_of_a_durable_record_is_never_an_error() {
    let store = SimStore::new();
    let mut writer = writer(&store).open().await.unwrap();
    let receipt = writer.enqueue("ours".into()).await.unwrap().with_crc64();
    store.fault(Fault::lost_answer().foreign_after("theirs"));
    let error = writer.sync().await.unwrap_err();
    assert_eq!(error.landed(), Some(Landed::Yes));
    let written = receipt.written().await.unwrap();
    assert_eq!(written.range, 0..4);
    assert_eq!(written.crc64, Some(crc64::checksum(b"ours")));
}

#[tokio::test(start_paused = true)]
async fn a_receipt_tells_where_a_record_landed_after_those_of_others_before_a_failure() {
    let store = SimStore::new();
    let mut writer = writer(&store).shared(true).open().await.unwrap();
    let receipt = writer.enqueue("ours".into()).await.unwrap();
    store.fault(Fault::none().foreign_before("theirs "));
    store.fault(Fault::lost_answer().after(|object| object.as_mut().unwrap().sealed = true));
    let error = writer.sync().await.unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Sealed);
    assert_eq!(text(&store, &receipt.written().await.unwrap()), "ours");
}

#[tokio::test(start_paused = true)]
async fn a_receipt_of_what_was_torn_off_before_a_failure_is_not_an_error() {
    let store = SimStore::new();
    let mut writer = writer(&store).open().await.unwrap();
    let first = writer.enqueue("first ".into()).await.unwrap();
    let second = writer.enqueue("second ".into()).await.unwrap();
    store.fault(Fault::torn(8));
    store.fault(Fault::error(403, "AccessDenied"));
    writer.sync().await.unwrap_err();
    assert_eq!(store.text(), "first se");
    assert_eq!(writer.durable_position(), 8);
    assert_eq!(first.written().await.unwrap().range, 0..6);
    assert!(second.written().await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_receipt_tells_all_parts_of_a_record_that_a_roll_has_split() {
    let bucket = SimBucket::new();
    let mut writer = RollingWriter::builder(bucket.clone(), "bucket", "log-{seq}")
        .writer(|writer| writer.batch_size(100).max_append_size(200))
        .roll_size(100)
        .unaligned()
        .open()
        .await
        .unwrap();
    let receipts = [
        writer.enqueue(vec![b'0'; 80].into()).await.unwrap(),
        writer.enqueue(vec![b'1'; 250].into()).await.unwrap(),
    ];
    writer.sync().await.unwrap();
    let first = receipts[0].written().now_or_never().unwrap().unwrap();
    assert!(first.earlier.is_empty());
    assert_eq!(first.range, 0..80);
    let split = receipts[1].written().now_or_never().unwrap().unwrap();
    let parts = split.earlier.iter().map(|part| (&part.object, &part.range));
    let parts = parts.chain([(&split.object, &split.range)]);
    let parts = Vec::from_iter(parts.map(|(object, range)| (object.key(), range.clone())));
    let expected = [
        ("log-1", 80..100),
        ("log-2", 0..100),
        ("log-3", 0..100),
        ("log-4", 0..30),
    ];
    assert_eq!(parts, expected);
}

#[cfg(feature = "compression")]
#[tokio::test(start_paused = true)]
async fn a_receipt_of_a_durable_compressed_record_is_never_an_error() {
    let store = SimStore::new();
    let mut writer = writer(&store)
        .compression(oss_append::Compression::gzip())
        .open()
        .await
        .unwrap();
    let receipt = writer.enqueue("ours".into()).await.unwrap();
    store.fault(Fault::lost_answer().foreign_after("theirs"));
    writer.sync().await.unwrap_err();
    let written = receipt.written().await.unwrap();
    let member = store.content().len() - "theirs".len();
    assert_eq!(written.range, 0..member as u64);
}

#[tokio::test(start_paused = true)]
async fn records_that_cannot_be_are_refused() {
    let store = SimStore::new();
    let mut alone = small_writer(&store).open().await.unwrap();
    let mut shared = small_writer(&store).shared(true).open().await.unwrap();
    for (in_shared, len) in [(false, 0), (false, 101), (true, 51)] {
        let writer = if in_shared { &mut shared } else { &mut alone };
        let error = writer.enqueue(vec![0; len].into()).await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::InvalidInput { .. }));
        assert!(error.to_string().contains(&len.to_string()), "{error}");
        assert_eq!(writer.stats().accepted, 0);
    }
    alone.shutdown().await.unwrap();
    let error = alone.enqueue("late".into()).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Closed), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_full_buffer_holds_a_record_back() {
    let store = SimStore::new();
    store.world().latency = SEC;
    let mut writer = small_writer(&store).open().await.unwrap();
    writer.write_all(&[b'x'; 95]).await.unwrap();
    let receipt = writer.enqueue("0123456789".into()).await.unwrap();
    assert!(writer.durable_position() > 0, "there was no room before");
    assert_eq!(
        text(&store, &receipt.written().await.unwrap()),
        "0123456789"
    );
}

#[tokio::test(start_paused = true)]
async fn the_watermark_is_a_stream() {
    let store = SimStore::holding("12345");
    let mut writer = writer(&store).open().await.unwrap();
    let mut durable = writer.durable();
    assert_eq!(durable.next().await.unwrap().unwrap(), 5);
    writer.write_all(b"678").await.unwrap();
    assert_eq!(durable.next().await.unwrap().unwrap(), 8);
    writer.write_all(b"90").await.unwrap();
    writer.shutdown().await.unwrap();
    assert_eq!(durable.next().await.unwrap().unwrap(), 10);
    assert!(durable.next().await.is_none());
    assert!(durable.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_the_last_of_the_watermark() {
    let store = SimStore::new();
    let mut writer = writer(&store).open().await.unwrap();
    let durable = writer.durable();
    writer.write_all(b"1").await.unwrap();
    store.go_down(service(403, "AccessDenied"));
    writer.sync().await.unwrap_err();
    let positions: Vec<_> = durable.collect().await;
    assert_eq!(*positions[0].as_ref().unwrap(), 0);
    assert!(positions[1].is_err());
    assert_eq!(positions.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn in_a_replay_a_receipt_waits_for_the_proof() {
    let store = SimStore::holding("onetwo");
    let checkpoint = oss_append::Checkpoint::new(object(), 0);
    let mut writer = writer(&store).replay(checkpoint).open().await.unwrap();
    let one = writer.enqueue("one".into()).await.unwrap();
    let two = writer.enqueue("two".into()).await.unwrap();
    let new = writer.enqueue("new".into()).await.unwrap();
    writer.sync().await.unwrap();
    for (receipt, range) in [(&one, 0..3), (&two, 3..6), (&new, 6..9)] {
        assert_eq!(receipt.written().await.unwrap().range, range);
    }
}

#[tokio::test(start_paused = true)]
async fn a_rolling_writer_names_the_object_of_each_record() {
    let bucket = SimBucket::new();
    let builder = RollingWriter::builder(bucket.clone(), "bucket", "log-{seq}");
    let mut writer = builder.roll_size(10).open().await.unwrap();
    let mut receipts = Vec::new();
    for record in ["one is\n", "two is\n", "3\n"] {
        let receipt = writer.enqueue(record.into()).await.unwrap();
        receipts.push((record, receipt.with_crc64()));
    }
    writer.sync().await.unwrap();
    let mut keys = Vec::new();
    for (record, receipt) in &receipts {
        let written = receipt.written().await.unwrap();
        let store = bucket.object(written.object.key());
        assert_eq!(text(&store, &written), *record);
        let whole = &store.content()[..written.range.end as usize];
        assert_eq!(written.crc64, Some(crc64::checksum(whole)));
        keys.push(written.object.key().to_owned());
    }
    assert_eq!(keys, ["log-1", "log-2", "log-2"]);
}

#[derive(Clone, Debug)]
enum Op {
    Record(usize),
    Write(usize),
    Sync,
    Pause,
    Forget,
    Foreign,
    Fault(u8),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (1..50_usize).prop_map(Op::Record),
        2 => (1..50_usize).prop_map(Op::Write),
        1 => Just(Op::Sync),
        1 => Just(Op::Pause),
        1 => Just(Op::Forget),
        2 => Just(Op::Foreign),
        3 => (0..6_u8).prop_map(Op::Fault),
    ]
}

fn fault(kind: u8) -> Fault {
    match kind {
        0 => Fault::lost_answer(),
        1 => Fault::lost_request(),
        2 => Fault::error(503, "ServiceUnavailable"),
        3 => Fault::applied_error(500, "InternalError"),
        4 => Fault::torn(7),
        _ => Fault::refused(),
    }
}

async fn play(ops: Vec<Op>, shared: bool, rolling: bool) -> Result<(), TestCaseError> {
    let bucket = SimBucket::new();
    let present = bucket.object("log-1");
    let mut writer = Either::open(&bucket, shared, rolling).await;
    let mut receipts = Vec::new();
    for (number, op) in ops.into_iter().enumerate() {
        let record = |len| Bytes::from(format!("{number:04}{}\n", "r".repeat(len)));
        match op {
            Op::Record(len) => {
                let record = record(len % 40);
                let receipt = writer.enqueue(record.clone()).await;
                receipts.push((record, receipt.with_crc64()));
            }
            Op::Write(len) => writer.write(record(len % 40)).await,
            Op::Sync => writer.sync().await,
            Op::Pause => tokio::time::sleep(SEC).await,
            Op::Forget => {
                receipts.pop();
            }
            Op::Foreign if shared || rolling => {
                if let present @ Some(_) = &mut present.world().object {
                    crate::support::store::grow(present, b"theirs\n");
                }
            }
            Op::Foreign => {}
            // To a shared object no append can be torn.
            Op::Fault(4) if shared || rolling => {}
            Op::Fault(kind) => {
                present.fault(fault(kind));
            }
        }
    }
    writer.sync().await;
    for (record, receipt) in &receipts {
        let written = receipt.written().await.unwrap();
        let store = bucket.object(written.object.key());
        let content = store.content();
        let found = &content[written.range.start as usize..written.range.end as usize];
        prop_assert_eq!(found, &record[..]);
        if let Some(crc) = written.crc64 {
            prop_assert_eq!(crc, crc64::checksum(&content[..written.range.end as usize]));
        } else {
            prop_assert!(shared, "a checksum is missing");
        }
    }
    Ok(())
}

/// A writer to one object or to many.
enum Either {
    One(OssAppendWriter),
    Many(RollingWriter),
}

impl Either {
    async fn open(bucket: &SimBucket, shared: bool, rolling: bool) -> Self {
        if !rolling {
            let object = oss_append::ObjectPath::new("bucket", "log-1").unwrap();
            let builder = OssAppendWriter::builder(bucket.clone(), object);
            let builder = sizes(builder).shared(shared);
            return Self::One(builder.open().await.unwrap());
        }
        let builder = RollingWriter::builder(bucket.clone(), "bucket", "log-{seq}");
        let builder = builder.roll_size(300).record_per_write();
        let builder = builder.writer(|writer| sizes(writer).shared(shared));
        Self::Many(builder.open().await.unwrap())
    }

    async fn enqueue(&mut self, record: Bytes) -> oss_append::Receipt {
        match self {
            Self::One(writer) => writer.enqueue(record).await.unwrap(),
            Self::Many(writer) => writer.enqueue(record).await.unwrap(),
        }
    }

    async fn write(&mut self, record: Bytes) {
        match self {
            Self::One(writer) => writer.write_bytes(record).await.unwrap(),
            Self::Many(writer) => writer.write_record(record).await.unwrap(),
        }
    }

    async fn sync(&mut self) {
        match self {
            Self::One(writer) => writer.sync().await.unwrap(),
            Self::Many(writer) => writer.sync().await.unwrap(),
        }
    }
}

fn sizes<S: AppendStore, O>(
    writer: oss_append::OssAppendWriterBuilder<S, O>,
) -> oss_append::OssAppendWriterBuilder<S, O> {
    writer
        .batch_size(60)
        .max_append_size(100)
        .buffer_capacity(200)
}

proptest! {
    #![proptest_config(cases(200))]

    #[test]
    fn the_range_of_a_receipt_holds_its_record(
        ops in prop::collection::vec(op(), 1..40),
        shared: bool,
        rolling: bool,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(play(ops, shared, rolling))?;
    }
}

#[tokio::test]
async fn a_receipt_can_be_awaited_as_it_is() {
    let store = SimStore::new();
    let mut writer = writer(&store).open().await.unwrap();
    let receipt = writer.enqueue("record".into()).await.unwrap();
    writer.sync().await.unwrap();
    assert_eq!(receipt.await.unwrap().range, 0..6);
}
