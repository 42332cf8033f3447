//! Compressed objects: each append is one gzip member or zstd frame, so that the object can be read
//! by ordinary tools at every moment.

use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use oss_append::emulator::{Action, Fault as ServerFault, Operation};
use oss_append::{
    AppendStore, Checkpoint, Compression, Error, ErrorKind, FinishedObject, Landed, ObjectPath,
    OssAppendWriter, OssAppendWriterBuilder, RollReason, RollingWriter, RollingWriterBuilder,
    crc64,
};
use proptest::prelude::*;
use tokio::io::AsyncWriteExt;

use crate::support::bucket::SimBucket;
use crate::support::store::{Fault, Object, SimStore, service};
use crate::support::{MS, SEC, cases, emulated, object, small_writer, writer};

const BOTH: [Compression; 2] = [
    Compression::Gzip { level: 6 },
    Compression::Zstd { level: 3 },
];

/// Decodes members one after another, as long as there are any.
fn members(compression: Compression, mut stored: &[u8]) -> Vec<Vec<u8>> {
    let mut members = Vec::new();
    while !stored.is_empty() {
        let mut member = Vec::new();
        match compression {
            Compression::Gzip { .. } => {
                let mut decoder = flate2::bufread::GzDecoder::new(&mut stored);
                decoder.read_to_end(&mut member).unwrap();
            }
            Compression::Zstd { .. } => {
                let decoder = zstd::Decoder::with_buffer(&mut stored).unwrap();
                decoder.single_frame().read_to_end(&mut member).unwrap();
            }
            other => panic!("{other:?} is new"),
        }
        members.push(member);
    }
    members
}

fn decoded(compression: Compression, stored: &[u8]) -> String {
    String::from_utf8(members(compression, stored).concat()).unwrap()
}

/// A line that can be compressed a little.
fn line(number: usize) -> String {
    format!("{number:06} a line of the log {}\n", number * 7919 % 1000)
}

fn lines(range: std::ops::Range<usize>) -> String {
    range.map(line).collect()
}

/// Bytes that cannot be compressed.
fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut rng = fastrand::Rng::with_seed(seed);
    (0..len).map(|_| rng.u8(..)).collect()
}

fn adds_up(stats: &oss_append::WriterStats) -> bool {
    stats.accepted == stats.durable + stats.buffered + stats.compared + stats.failed
}

/// Panics as soon as an append finds an object that cannot be read.
fn watch(store: &SimStore, compression: Compression) {
    store.world().on_append = Some(Box::new(move |object: &mut Option<Object>| {
        if let Some(object) = object {
            members(compression, &object.data);
        }
    }));
}

#[tokio::test(start_paused = true)]
async fn what_is_written_is_read_by_decompressing_and_each_append_is_a_member() {
    for compression in BOTH {
        let store = SimStore::new();
        let builder = writer(&store).compression(compression);
        let mut writer = builder.open().await.unwrap();
        for part in 0..5 {
            let text = lines(part * 1000..(part + 1) * 1000);
            writer.write_all(text.as_bytes()).await.unwrap();
            writer.sync().await.unwrap();
            let whole = decoded(compression, &store.content());
            assert_eq!(whole, lines(0..(part + 1) * 1000), "{compression}");
        }
        let found = members(compression, &store.content());
        assert_eq!(found.len(), 5, "{compression}");
        assert_eq!(store.appends().len(), 5);
        let stats = writer.stats();
        let raw = lines(0..5000).len() as u64;
        assert_eq!((stats.accepted, stats.durable), (raw, raw));
        assert_eq!((writer.position(), writer.durable_position()), (raw, raw));
        let stored = store.content();
        assert!(stored.len() as u64 * 2 < raw, "{} of {raw}", stored.len());
        assert_eq!(stats.stored, stored.len() as u64);
        let checkpoint = writer.checkpoint();
        assert_eq!(checkpoint.position, stored.len() as u64);
        assert_eq!(checkpoint.crc64, Some(crc64::checksum(&stored)));
        writer.shutdown().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn positions_count_raw_bytes_from_the_opening() {
    let store = SimStore::new();
    let open = || writer(&store).compression(Compression::gzip()).open();
    let mut first = open().await.unwrap();
    first.write_all(b"first").await.unwrap();
    first.shutdown().await.unwrap();
    let mut second = open().await.unwrap();
    assert_eq!((second.position(), second.durable_position()), (0, 0));
    assert_eq!(second.checkpoint().position, store.content().len() as u64);
    second.write_all(b"second").await.unwrap();
    second.wait_durable(6).await.unwrap();
    assert_eq!(second.durable_position(), 6);
    assert_eq!(
        decoded(Compression::gzip(), &store.content()),
        "firstsecond"
    );
}

#[tokio::test(start_paused = true)]
async fn thresholds_count_raw_bytes() {
    let store = SimStore::new();
    let builder = small_writer(&store).compression(Compression::zstd());
    let mut writer = builder.linger(3600 * SEC).open().await.unwrap();
    store.world().latency = SEC;
    // Ten make a batch, fifty are the most of one append, and a hundred fit in.
    writer.write_all(&[b'x'; 9]).await.unwrap();
    tokio::time::sleep(60 * SEC).await;
    assert_eq!(store.appends().len(), 0);
    writer.write_all(&[b'x'; 91]).await.unwrap();
    assert_eq!(writer.stats().buffered, 100);
    writer.sync().await.unwrap();
    let sizes: Vec<_> = members(Compression::zstd(), &store.content())
        .iter()
        .map(Vec::len)
        .collect();
    assert_eq!(sizes, [50, 50]);
}

#[tokio::test(start_paused = true)]
async fn a_retry_sends_the_same_member_and_a_lost_answer_doubles_nothing() {
    for compression in BOTH {
        let store = SimStore::new();
        watch(&store, compression);
        let builder = writer(&store).compression(compression);
        let mut writer = builder.open().await.unwrap();
        for (number, fault) in [
            Fault::lost_answer(),
            Fault::lost_request(),
            Fault::error(503, "ServiceUnavailable"),
            Fault::applied_error(500, "InternalError"),
            Fault::refused(),
            Fault::torn(11),
        ]
        .into_iter()
        .enumerate()
        {
            store.fault(fault);
            if number == 5 {
                // OSS does not tear an append; what is there of it cannot be read meanwhile.
                store.world().on_append = None;
            }
            writer.write_all(line(number).as_bytes()).await.unwrap();
            writer.sync().await.unwrap();
            let stored = store.content();
            assert_eq!(decoded(compression, &stored), lines(0..number + 1));
            assert_eq!(writer.stats().stored, stored.len() as u64);
        }
        let stats = writer.stats();
        assert!(stats.retries >= 3 && stats.reconciles >= 2, "{stats:?}");
        let found = members(compression, &store.content());
        assert_eq!(found.len(), 6);
        // Whoever tries again at a position sends as much.
        let mut lengths = std::collections::BTreeMap::new();
        for (position, len) in &store.appends()[..store.appends().len() - 1] {
            assert_eq!(lengths.entry(*position).or_insert(*len), len);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_does_not_go_together_is_refused_at_open() {
    let store = SimStore::new();
    let compressed = |compression| writer(&store).compression(compression);
    for builder in [
        compressed(Compression::gzip()).replay(Checkpoint::start(object())),
        compressed(Compression::Gzip { level: 10 }),
        compressed(Compression::Zstd { level: 23 }),
    ] {
        let error = builder.open().await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::InvalidInput { .. }));
    }
    let replay = compressed(Compression::gzip()).replay(Checkpoint::start(object()));
    let error = replay.open().await.unwrap_err().to_string();
    assert!(
        error.contains("replay") && error.contains("compressed"),
        "{error}"
    );
    assert!(store.ops().is_empty(), "nothing was asked");

    let rolling =
        RollingWriter::builder(SimBucket::new(), "bucket", "log-{seq}").writer(|writer| {
            let sizes = writer.max_append_size(1000).max_object_size(1000);
            sizes.compression(Compression::gzip())
        });
    let error = rolling.open().await.unwrap_err().to_string();
    assert!(error.contains("max_append_size"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_member_that_does_not_fit_is_given_back_raw() {
    let store = SimStore::new();
    let builder = writer(&store).max_object_size(2000);
    let mut writer = builder
        .compression(Compression::gzip())
        .open()
        .await
        .unwrap();
    // Raw it would not fit either.
    writer.write_all(lines(0..100).as_bytes()).await.unwrap();
    writer.sync().await.unwrap();
    let before = store.content();
    assert!(lines(0..100).len() > 2000 && before.len() < 2000);
    let rest = noise(1, 1900);
    writer.write_all(&rest).await.unwrap();
    let error = writer.sync().await.unwrap_err();
    assert!(matches!(
        error.kind(),
        ErrorKind::ObjectFull { limit: 2000, .. }
    ));
    assert_eq!(error.landed(), Some(Landed::No));
    assert_eq!(store.content(), before, "it was not sent");
    let stats = writer.stats();
    assert!(adds_up(&stats), "{stats:?}");
    assert_eq!(
        (stats.durable, stats.failed),
        (lines(0..100).len() as u64, 1900)
    );
    let unsent = writer.into_unsent().unwrap();
    assert_eq!(unsent.position, lines(0..100).len() as u64);
    assert_eq!((unsent.in_doubt, unsent.chunks.concat()), (0, rest));
}

#[tokio::test(start_paused = true)]
async fn a_failure_gives_back_the_whole_batch_raw() {
    for (fault, landed, in_doubt) in [
        (Fault::refused(), Landed::No, 0),
        (Fault::lost_request(), Landed::InDoubt, 9),
        // The rest of it is known to be missing, and yet the object is no longer what it was.
        (Fault::torn(10), Landed::InDoubt, 9),
    ] {
        let store = SimStore::new();
        let builder = writer(&store).compression(Compression::gzip());
        let builder = builder.delivery_timeout(2 * SEC);
        let mut writer = builder.open().await.unwrap();
        writer.write_all(b"durable, ").await.unwrap();
        writer.sync().await.unwrap();
        let torn = landed == Landed::InDoubt;
        store.fault(fault);
        if torn {
            store.fault(Fault::error(403, "AccessDenied"));
        }
        writer.write_all(b"unsent 1 ").await.unwrap();
        let down = tokio::spawn({
            let store = store.clone();
            async move {
                tokio::time::sleep(MS).await;
                store.go_down(service(403, "AccessDenied"));
            }
        });
        let error = writer.sync().await.unwrap_err();
        down.await.unwrap();
        let _ = writer.write_all(b"2").await;
        assert_eq!(error.landed(), Some(landed), "{error}");
        let stats = writer.stats();
        assert!(adds_up(&stats), "{stats:?}");
        assert_eq!((stats.durable, stats.failed), (9, 9));
        let unsent = writer.into_unsent().unwrap();
        assert_eq!((unsent.position, unsent.in_doubt), (9, in_doubt), "{error}");
        assert_eq!(unsent.chunks.concat(), b"unsent 1 ");
    }
}

#[tokio::test(start_paused = true)]
async fn what_landed_before_the_failure_is_not_given_back() {
    let store = SimStore::new();
    let builder = writer(&store).compression(Compression::zstd());
    let mut writer = builder.open().await.unwrap();
    store.fault(Fault::lost_answer().foreign_after("theirs"));
    writer.write_all(b"landed").await.unwrap();
    let error = writer.sync().await.unwrap_err();
    assert_eq!(error.landed(), Some(Landed::Yes), "{error}");
    assert!(writer.into_unsent().unwrap().is_empty());
    let stored = store.content();
    let ours = stored.strip_suffix(b"theirs").unwrap();
    assert_eq!(decoded(Compression::zstd(), ours), "landed");
}

/// Where a receipt says that its record is, decompressed by itself.
fn told(compression: Compression, store: &SimStore, written: &oss_append::Written) -> String {
    let range = written.range.start as usize..written.range.end as usize;
    decoded(compression, &store.content()[range])
}

#[tokio::test(start_paused = true)]
async fn a_receipt_tells_the_member_that_holds_its_record() {
    for compression in BOTH {
        let store = SimStore::new();
        let builder = small_writer(&store).compression(compression);
        let mut writer = builder.open().await.unwrap();
        writer.write_all(b"before, ").await.unwrap();
        writer.sync().await.unwrap();
        let first = writer.enqueue("first, ".into()).await.unwrap().with_crc64();
        let second = writer.enqueue("second".into()).await.unwrap();
        writer.sync().await.unwrap();
        let third = writer.enqueue("third".into()).await.unwrap().with_crc64();
        // Longer than one append.
        let long = writer
            .enqueue("l".repeat(80).into())
            .await
            .unwrap()
            .with_crc64();
        writer.sync().await.unwrap();
        assert_eq!((first.position(), second.position()), (15, 21));
        let written = first.written().await.unwrap();
        assert_eq!(told(compression, &store, &written), "first, second");
        assert_eq!(second.written().await.unwrap().range, written.range);
        assert_eq!(second.written().await.unwrap().crc64, None, "nobody asked");
        for receipt in [&first, &third, &long] {
            let written = receipt.written().await.unwrap();
            let whole = &store.content()[..written.range.end as usize];
            assert_eq!(written.crc64, Some(crc64::checksum(whole)));
        }
        let long = told(compression, &store, &long.written().await.unwrap());
        assert!(long.ends_with(&"l".repeat(80)), "{long}");
        let third = third.written().await.unwrap();
        assert!(told(compression, &store, &third).starts_with("third"));
        assert!(third.range.start >= written.range.end);
    }
}

fn rolling(bucket: &SimBucket, compression: Compression) -> RollingWriterBuilder<SimBucket> {
    RollingWriter::builder(bucket.clone(), "bucket", "log-{seq:3}").writer(|writer| {
        writer
            .batch_size(500)
            .max_append_size(1000)
            .buffer_capacity(2000)
            .compression(compression)
    })
}

#[tokio::test(start_paused = true)]
async fn objects_roll_by_their_compressed_size() {
    for compression in BOTH {
        let bucket = SimBucket::new();
        let finished = Arc::new(Mutex::new(Vec::<FinishedObject>::new()));
        let sender = Arc::clone(&finished);
        let builder = rolling(&bucket, compression)
            .roll_size(1500)
            .on_finished(move |object| sender.lock().unwrap().push(object));
        let mut writer = builder.open().await.unwrap();
        for number in 0..900 {
            writer.write_all(line(number).as_bytes()).await.unwrap();
        }
        let receipt = writer.enqueue("the last\n".into()).await.unwrap();
        writer.shutdown().await.unwrap();
        let mut text = String::new();
        let keys = bucket.keys();
        assert!(keys.len() > 2, "{keys:?}");
        for key in &keys {
            let stored = bucket.object(key).content();
            assert!(stored.len() <= 1500, "{key}: {}", stored.len());
            if Some(key) != keys.last() {
                // Not sooner than it has to be.
                assert!(stored.len() > 900, "{key}: {}", stored.len());
            }
            for member in members(compression, &stored) {
                assert!(member.ends_with(b"\n"), "a record was split");
                assert!(member.len() <= 1000);
            }
            text += &decoded(compression, &stored);
        }
        assert_eq!(text, lines(0..900) + "the last\n");
        let written = receipt.written().await.unwrap();
        let store = bucket.object(written.object.key());
        assert!(told(compression, &store, &written).ends_with(
            "the last
"
        ));
        let stats = writer.stats().writer;
        let stored: usize = keys
            .iter()
            .map(|key| bucket.object(key).content().len())
            .sum();
        assert_eq!(stats.durable, text.len() as u64);
        assert_eq!(stats.stored, stored as u64);
        drop(writer);
        tokio::time::sleep(SEC).await;
        let finished = finished.lock().unwrap();
        assert_eq!(finished.len(), keys.len());
        for (done, key) in finished.iter().zip(&keys) {
            let stored = bucket.object(key).content();
            assert_eq!(done.object.key(), key);
            assert_eq!(done.range, 0..stored.len() as u64);
            assert_eq!(done.crc64, Some(crc64::checksum(&stored)));
        }
        let by_size = finished
            .iter()
            .filter(|done| done.reason == RollReason::Size);
        assert_eq!(by_size.count(), keys.len() - 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_record_that_is_written_in_pieces_stays_in_its_object() {
    let bucket = SimBucket::new();
    let mut writer = rolling(&bucket, Compression::gzip())
        .roll_size(600)
        .open()
        .await
        .unwrap();
    writer.write_record(noise(1, 450).into()).await.unwrap();
    writer.sync().await.unwrap();
    writer.write_all(b"the beginning").await.unwrap();
    writer.sync().await.unwrap();
    // Too long for the first object by now, but so it was begun.
    writer.write_all(&noise_line(2, 300)).await.unwrap();
    writer.write_all(b"the next\n").await.unwrap();
    writer.shutdown().await.unwrap();
    assert_eq!(bucket.keys(), ["log-001", "log-002"]);
    let first = members(Compression::gzip(), &bucket.object("log-001").content()).concat();
    let expected = [noise(1, 450), b"the beginning".to_vec(), noise_line(2, 300)].concat();
    assert_eq!(first, expected);
    let second = decoded(Compression::gzip(), &bucket.object("log-002").content());
    assert_eq!(second, "the next\n");
}

/// The same with a line break at its end and nowhere else.
fn noise_line(seed: u64, len: usize) -> Vec<u8> {
    let mut noise = noise(seed, len);
    noise.iter_mut().for_each(|byte| *byte |= 0x80);
    noise[len - 1] = b'\n';
    noise
}

#[tokio::test(start_paused = true)]
async fn a_record_that_compresses_well_is_not_given_an_object_of_its_own() {
    let bucket = SimBucket::new();
    let mut writer = rolling(&bucket, Compression::zstd())
        .roll_size(300)
        .open()
        .await
        .unwrap();
    for _ in 0..4 {
        // Longer than an object, but for the compression.
        writer.write_record("r".repeat(900).into()).await.unwrap();
        writer.sync().await.unwrap();
    }
    writer.shutdown().await.unwrap();
    assert_eq!(bucket.keys(), ["log-001"]);
    let found = members(Compression::zstd(), &bucket.object("log-001").content());
    assert_eq!(found, vec![vec![b'r'; 900]; 4]);
}

#[tokio::test(start_paused = true)]
async fn records_that_together_are_longer_than_an_object_are_appended_apart() {
    for compression in BOTH {
        let bucket = SimBucket::new();
        let mut writer = rolling(&bucket, compression)
            .roll_size(300)
            .open()
            .await
            .unwrap();
        let records: Vec<_> = (0..12).map(|seed| noise_line(seed, 80)).collect();
        writer.write_all(&records.concat()).await.unwrap();
        writer.shutdown().await.unwrap();
        let mut found = Vec::new();
        for key in bucket.keys() {
            let stored = bucket.object(&key).content();
            assert!(stored.len() <= 300, "{key}: {}", stored.len());
            found.extend(members(compression, &stored).concat());
        }
        assert_eq!(found, records.concat());
    }
}

#[tokio::test(start_paused = true)]
async fn a_sequence_that_keeps_trying_goes_on_with_the_same_member() {
    for (fault, doubled) in [(Fault::lost_answer(), false), (Fault::lost_request(), true)] {
        let bucket = SimBucket::new();
        let builder = rolling(&bucket, Compression::gzip()).keep_trying(true);
        let mut writer = builder.open().await.unwrap();
        writer.write_all(b"first\n").await.unwrap();
        writer.sync().await.unwrap();
        let object = bucket.object("log-001");
        // Its fate cannot be found out, which would be the end of any other writer.
        object.fault(fault).fail_head(service(403, "AccessDenied"));
        writer.write_all(b"second\n").await.unwrap();
        writer.sync().await.unwrap();
        let found = members(Compression::gzip(), &object.content());
        assert_eq!(found, [&b"first\n"[..], b"second\n"]);
        assert_eq!(bucket.keys(), ["log-001"]);
        assert_eq!(object.appends().len(), 2 + usize::from(doubled));
        assert_eq!(writer.stats().writer.durable, 13);
    }
}

#[tokio::test(start_paused = true)]
async fn a_member_that_finds_its_object_full_goes_in_the_next() {
    let bucket = SimBucket::new();
    let builder = rolling(&bucket, Compression::gzip())
        .writer(|writer| writer.max_object_size(1200))
        .roll_size(1200);
    let mut writer = builder.open().await.unwrap();
    for seed in 0..3 {
        writer.write_record(noise(seed, 700).into()).await.unwrap();
        writer.sync().await.unwrap();
    }
    writer.shutdown().await.unwrap();
    assert_eq!(bucket.keys(), ["log-001", "log-002", "log-003"]);
    for (seed, key) in bucket.keys().iter().enumerate() {
        let found = members(Compression::gzip(), &bucket.object(key).content());
        assert_eq!(found, [noise(seed as u64, 700)]);
    }
}

#[tokio::test(start_paused = true)]
async fn an_object_that_takes_no_more_in_mid_member_leaves_it_to_the_next() {
    let bucket = SimBucket::new();
    let mut writer = rolling(&bucket, Compression::gzip()).open().await.unwrap();
    writer.write_all(b"whole\n").await.unwrap();
    writer.sync().await.unwrap();
    let first = bucket.object("log-001");
    let before = first.content();
    first.fault(Fault::torn(7).after(|object| object.as_mut().unwrap().sealed = true));
    writer.write_all(b"torn\n").await.unwrap();
    let receipt = writer.enqueue("too\n".into()).await.unwrap();
    writer.sync().await.unwrap();
    assert_eq!(first.content().len(), before.len() + 7);
    let second = bucket.object("log-002");
    let text = decoded(Compression::gzip(), &second.content());
    assert_eq!(text, "torn\ntoo\n", "the whole member");
    let written = receipt.written().await.unwrap();
    assert_eq!(written.object.key(), "log-002");
    assert_eq!(written.range, 0..second.content().len() as u64);
    assert_eq!(writer.stats().writer.durable, 15);
}

#[tokio::test(start_paused = true)]
async fn writers_that_share_an_object_append_whole_members() {
    for compression in BOTH {
        let store = SimStore::new();
        store.world().latency = MS;
        watch(&store, compression);
        let mut tasks = Vec::new();
        for name in ["ann", "bob", "cid"] {
            let builder = small_writer(&store).compression(compression);
            let mut writer = builder.shared(true).open().await.unwrap();
            store.fault(Fault::lost_answer());
            tasks.push(tokio::spawn(async move {
                for number in 0..30 {
                    let record = format!("{name} {number}\n");
                    writer.write_all(record.as_bytes()).await.unwrap();
                    tokio::time::sleep(MS).await;
                }
                writer.shutdown().await.unwrap();
            }));
        }
        for task in tasks {
            task.await.unwrap();
        }
        let mut text = String::new();
        for member in members(compression, &store.content()) {
            assert!(member.ends_with(b"\n"));
            text += std::str::from_utf8(&member).unwrap();
        }
        for name in ["ann", "bob", "cid"] {
            let theirs: Vec<_> = text.lines().filter(|line| line.starts_with(name)).collect();
            let expected: Vec<_> = (0..30).map(|number| format!("{name} {number}")).collect();
            assert_eq!(theirs, expected);
        }
    }
}

#[tokio::test]
async fn it_works_over_sockets_that_break() {
    for compression in BOTH {
        let emulator = emulated::start().await;
        let builder = emulated::writer(&emulator).compression(compression);
        let mut writer = builder.batch_size(20_000).open().await.unwrap();
        for number in 0..10_000 {
            if number % 1000 == 500 {
                let lost = ServerFault::new(Operation::AppendObject, Action::DropAnswer);
                emulator.faults().inject(lost);
            }
            writer.write_all(line(number).as_bytes()).await.unwrap();
        }
        writer.shutdown().await.unwrap();
        assert_eq!(
            decoded(compression, &emulated::content(&emulator)),
            lines(0..10_000)
        );
        assert!(writer.stats().reconciles > 0);
    }
}

/// Runs `program` on a runtime of its own, which ends with it, whatever is still going on.
fn process<T>(program: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(program)
}

/// Either kind of writer.
trait Open {
    type Writer: tokio::io::AsyncWrite + Unpin;
    async fn open(&self) -> Self::Writer;
}

struct Single(SimStore, Compression);
struct Sequence(SimBucket, Compression);

impl Open for Single {
    type Writer = OssAppendWriter;
    async fn open(&self) -> OssAppendWriter {
        let builder = writer(&self.0).compression(self.1).batch_size(2000);
        builder.open().await.unwrap()
    }
}

impl Open for Sequence {
    type Writer = RollingWriter;
    async fn open(&self) -> RollingWriter {
        let builder = rolling(&self.0, self.1).roll_size(1600);
        builder.open().await.unwrap()
    }
}

/// Five runs of a hundred lines each that go on with what is there. The second dies with an append
/// on its way, the fourth when the answer to one is lost. Each begins with the first line that the
/// one before left out, which a reader of the object knows.
fn five_runs(open: &impl Open, fail: impl Fn(Fault), read: impl Fn() -> String) -> String {
    for run in 1..=5 {
        let done = read().lines().count();
        let end = done + 100;
        process(async {
            let mut writer = open.open().await;
            for number in done..end {
                if number == done + 60 && run % 2 == 0 {
                    writer.flush().await.unwrap();
                    fail(match run {
                        2 => Fault::never(),
                        _ => Fault::applied_never(),
                    });
                }
                writer.write_all(line(number).as_bytes()).await.unwrap();
            }
            if run % 2 == 1 {
                writer.shutdown().await.unwrap();
            } else {
                // In the midst of the append, which waits for its answer.
                tokio::time::sleep(2 * SEC).await;
                std::mem::forget(writer);
            }
        });
        let text = read();
        let now = text.lines().count();
        assert_eq!(text, lines(0..now), "after run {run}");
        match run {
            2 => assert_eq!(now, done + 60, "what was in flight is gone"),
            4 => assert!(now > done + 60, "what was in flight has landed"),
            _ => assert_eq!(now, end),
        }
    }
    read()
}

/// The objects of five runs with two crashes: one object, and a sequence.
fn after_five_runs(compression: Compression) -> (Vec<u8>, Vec<Vec<u8>>, String) {
    let store = SimStore::new();
    watch(&store, compression);
    let single = Single(store.clone(), compression);
    let fail = |fault| {
        store.fault(fault);
    };
    let text = five_runs(&single, fail, || decoded(compression, &store.content()));

    let bucket = SimBucket::new();
    let sequence = Sequence(bucket.clone(), compression);
    let objects = || -> Vec<Vec<u8>> {
        let keys = bucket.keys();
        keys.iter()
            .map(|key| bucket.object(key).content())
            .collect()
    };
    let read = || -> String { objects().iter().map(|o| decoded(compression, o)).collect() };
    let fail = |fault| {
        let last = bucket.keys().pop().unwrap();
        bucket.object(&last).fault(fault);
    };
    let in_sequence = five_runs(&sequence, fail, read);
    assert!(objects().len() > 1);
    assert!(in_sequence.len() > 300 * line(0).len());
    (store.content(), objects(), text)
}

#[test]
fn five_runs_with_two_crashes_leave_an_object_that_holds_every_line_once() {
    for compression in BOTH {
        let (_, objects, text) = after_five_runs(compression);
        assert!(text.lines().count() >= 360);
        assert!(objects.len() > 1);
    }
}

/// What an ordinary tool makes of `stored`; `None` if it is not installed.
fn by_tool(tool: &str, stored: &[u8]) -> Option<Vec<u8>> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(stored).unwrap();
    std::io::Seek::rewind(&mut file).unwrap();
    let command = Command::new(tool).stdin(Stdio::from(file)).output();
    let output = match command {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
        output => output.unwrap(),
    };
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{tool}: {complaint}");
    assert_eq!(complaint, "", "{tool}");
    Some(output.stdout)
}

#[test]
fn ordinary_tools_read_objects_of_five_runs_with_two_crashes() {
    for (compression, tool) in BOTH.into_iter().zip(["zcat", "zstdcat"]) {
        let (object, sequence, text) = after_five_runs(compression);
        let Some(found) = by_tool(tool, &object) else {
            println!("SKIPPED: {tool} is not installed");
            continue;
        };
        assert_eq!(String::from_utf8(found).unwrap(), text, "{tool}");
        let found: Vec<u8> = sequence
            .iter()
            .flat_map(|object| by_tool(tool, object).unwrap())
            .collect();
        let found = String::from_utf8(found).unwrap();
        assert_eq!(found, lines(0..found.lines().count()), "{tool}");
    }
}

#[derive(Clone, Debug)]
enum Op {
    Lines(usize),
    Record(usize),
    Part(usize),
    Sync,
    Pause,
    Fault(u8),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (1..20_usize).prop_map(Op::Lines),
        3 => (1..400_usize).prop_map(Op::Record),
        1 => (1..50_usize).prop_map(Op::Part),
        2 => Just(Op::Sync),
        2 => Just(Op::Pause),
        3 => (0..6_u8).prop_map(Op::Fault),
    ]
}

fn fault(kind: u8) -> Fault {
    match kind {
        0 => Fault::lost_answer(),
        1 => Fault::lost_request(),
        2 => Fault::error(503, "ServiceUnavailable"),
        3 => Fault::applied_error(500, "InternalError"),
        4 => Fault::late(),
        _ => Fault::refused(),
    }
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Single,
    Shared,
    Rolling,
}

enum Either {
    One(OssAppendWriter),
    Many(RollingWriter),
}

fn sizes<S: AppendStore, O>(writer: OssAppendWriterBuilder<S, O>) -> OssAppendWriterBuilder<S, O> {
    writer
        .batch_size(400)
        .max_append_size(600)
        .buffer_capacity(1200)
}

impl Either {
    async fn open(bucket: &SimBucket, kind: Kind, compression: Compression) -> Self {
        if let Kind::Rolling = kind {
            let builder = RollingWriter::builder(bucket.clone(), "bucket", "log-{seq:3}");
            let builder = builder.writer(|writer| sizes(writer).compression(compression));
            return Self::Many(builder.roll_size(900).open().await.unwrap());
        }
        let object = ObjectPath::new("bucket", "log-001").unwrap();
        let builder = sizes(OssAppendWriter::builder(bucket.clone(), object))
            .shared(matches!(kind, Kind::Shared))
            .compression(compression);
        Self::One(builder.open().await.unwrap())
    }

    async fn write(&mut self, bytes: &[u8]) {
        match self {
            Self::One(writer) => writer.write_all(bytes).await.unwrap(),
            Self::Many(writer) => writer.write_all(bytes).await.unwrap(),
        }
    }

    async fn enqueue(&mut self, record: Bytes) -> oss_append::Receipt {
        match self {
            Self::One(writer) => writer.enqueue(record).await.unwrap(),
            Self::Many(writer) => writer.enqueue(record).await.unwrap(),
        }
    }

    async fn sync(&mut self) -> Result<(), Error> {
        match self {
            Self::One(writer) => writer.sync().await,
            Self::Many(writer) => writer.sync().await,
        }
    }

    fn stats(&self) -> oss_append::WriterStats {
        match self {
            Self::One(writer) => writer.stats(),
            Self::Many(writer) => writer.stats().writer,
        }
    }
}

async fn play(ops: Vec<Op>, kind: Kind, compression: Compression) -> Result<(), TestCaseError> {
    let bucket = SimBucket::new();
    for number in 1..=3 {
        watch(&bucket.object(&format!("log-{number:03}")), compression);
    }
    let mut writer = Either::open(&bucket, kind, compression).await;
    let mut accepted = Vec::new();
    let mut receipts = Vec::new();
    let mut parts = false;
    for (number, op) in ops.into_iter().enumerate() {
        match op {
            Op::Lines(count) => {
                for line in lines(number * 20..number * 20 + count).split_inclusive('\n') {
                    writer.write(line.as_bytes()).await;
                    accepted.extend_from_slice(line.as_bytes());
                }
            }
            Op::Record(len) => {
                let record = noise_line(number as u64, len + 1);
                accepted.extend_from_slice(&record);
                let receipt = writer.enqueue(record.clone().into()).await;
                receipts.push((record, receipt.with_crc64()));
            }
            Op::Part(len) => {
                parts = true;
                let part = vec![b'p'; len];
                writer.write(&part).await;
                accepted.extend_from_slice(&part);
            }
            Op::Sync => writer.sync().await.unwrap(),
            Op::Pause => tokio::time::sleep(SEC).await,
            // To a shared object a late append may come as well, and twice then.
            Op::Fault(4) if matches!(kind, Kind::Shared) => {}
            Op::Fault(which) => {
                let object = bucket.object(&format!("log-{:03}", number % 3 + 1));
                object.fault(fault(which));
            }
        }
        let stats = writer.stats();
        prop_assert!(adds_up(&stats), "{:?}", stats);
        prop_assert_eq!(stats.accepted, accepted.len() as u64);
    }
    writer.sync().await.unwrap();
    let stats = writer.stats();
    prop_assert_eq!(stats.durable, accepted.len() as u64);
    let mut found = Vec::new();
    let mut stored = 0;
    for key in bucket.keys() {
        let content = bucket.object(&key).content();
        stored += content.len() as u64;
        for member in members(compression, &content) {
            let whole = member.ends_with(b"\n") || parts || matches!(kind, Kind::Single);
            prop_assert!(whole, "a record was split");
            found.extend(member);
        }
    }
    prop_assert!(found == accepted);
    prop_assert_eq!(stats.stored, stored);
    for (record, receipt) in &receipts {
        let written = receipt.written().await.unwrap();
        let content = bucket.object(written.object.key()).content();
        let range = written.range.start as usize..written.range.end as usize;
        let told = members(compression, &content[range]).concat();
        prop_assert!(told.windows(record.len()).any(|part| part == record));
        let crc = crc64::checksum(&content[..written.range.end as usize]);
        prop_assert_eq!(written.crc64, Some(crc));
    }
    Ok(())
}

proptest! {
    #![proptest_config(cases(100))]

    #[test]
    fn what_is_decompressed_is_what_was_accepted(
        ops in prop::collection::vec(op(), 1..40),
        kind in prop_oneof![Just(Kind::Single), Just(Kind::Shared), Just(Kind::Rolling)],
        gzip: bool,
    ) {
        process(play(ops, kind, BOTH[usize::from(!gzip)]))?;
    }
}
