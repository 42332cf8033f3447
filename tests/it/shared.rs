//! Promise 7: sharing an object is an explicit choice, and then records are never torn and never
//! doubled.

use std::time::Duration;

use bytes::Bytes;
use oss_append::testing::{self, MemoryStore, On};
use oss_append::{
    AppendRequest, AppendStore, Backoff, ConflictCause, ErrorKind, Landed, OssAppendWriter,
};
use tokio::io::AsyncWriteExt;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::support::store::{Fault, Object, Op, SimStore, service};
use crate::support::{MS, SEC, conflict_cause, object, ours, writer};

#[tokio::test(start_paused = true)]
async fn by_default_a_foreign_append_is_a_conflict() {
    let store = SimStore::new();
    let mut writer = writer(&store).open().await.unwrap();
    writer.write_all(b"ours").await.unwrap();
    writer.sync().await.unwrap();
    store.foreign("theirs");
    writer.write_all(b"ours").await.unwrap();
    let error = writer.shutdown().await.unwrap_err();
    assert_eq!(conflict_cause(&error), ConflictCause::Foreign);
    assert_eq!(store.text(), "ourstheirs");
}

#[tokio::test(start_paused = true)]
async fn records_of_many_writers_are_whole_once_and_in_order() {
    const WRITERS: usize = 4;
    const RECORDS: usize = 150;
    let store = SimStore::new();
    let mut tasks = Vec::new();
    for id in 0..WRITERS {
        let store = store.clone();
        tasks.push(tokio::spawn(async move {
            store.world().latency = MS;
            let mut writer = writer(&store)
                .shared(true)
                .batch_size(100)
                .max_append_size(300)
                .buffer_capacity(700)
                .open()
                .await
                .unwrap();
            for n in 0..RECORDS {
                if n % 7 == id {
                    store.fault(match n % 4 {
                        0 => Fault::lost_answer(),
                        1 => Fault::lost_request(),
                        2 => Fault::late(),
                        _ => Fault::applied_error(500, "InternalError"),
                    });
                }
                let record = format!("writer {id} record {n} {}\n", "x".repeat(n % 50));
                if n % 2 == 0 {
                    let written = writer.write(record.as_bytes()).await.unwrap();
                    assert_eq!(written, record.len(), "a record is accepted whole");
                } else {
                    writer.write_bytes(Bytes::from(record)).await.unwrap();
                }
                if n % 20 == 0 {
                    writer.flush().await.unwrap();
                }
            }
            writer.shutdown().await.unwrap();
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    store.land_late();
    let text = store.text();
    let mut next = [0; WRITERS];
    for line in text.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let id: usize = words[1].parse().unwrap();
        let expected = next[id];
        assert_eq!(
            line,
            format!(
                "writer {id} record {expected} {}",
                "x".repeat(expected % 50)
            )
        );
        next[id] += 1;
    }
    assert_eq!(next, [RECORDS; WRITERS]);
}

#[tokio::test(start_paused = true)]
async fn a_record_that_could_be_torn_is_refused() {
    let store = SimStore::new();
    let mut writer = writer(&store)
        .shared(true)
        .max_append_size(10)
        .open()
        .await
        .unwrap();
    let error = ours(writer.write(b"eleven byte").await.unwrap_err());
    assert!(matches!(error.kind(), ErrorKind::InvalidInput { .. }));
    let error = writer
        .write_bytes(Bytes::from("eleven byte"))
        .await
        .unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::InvalidInput { .. }));
    // Nothing was lost by the refusal.
    writer.write_all(b"ten bytes!").await.unwrap();
    writer.shutdown().await.unwrap();
    assert_eq!(store.text(), "ten bytes!");
}

// ---- equal bytes are not the same bytes

#[tokio::test(start_paused = true)]
async fn shared_writers_keep_all_of_their_equal_lines() {
    for without_crc in [false, true] {
        let store = SimStore::new();
        store.world().without_crc = without_crc;
        store.world().latency = MS;
        let mut writers = JoinSet::new();
        for _ in 0..2 {
            let mut writer = writer(&store).shared(true).open().await.unwrap();
            writers.spawn(async move {
                for _ in 0..15 {
                    writer.write_all(b"tick\n").await.unwrap();
                    writer.sync().await.unwrap();
                }
                writer.durable_position()
            });
        }
        writers.join_all().await;
        assert_eq!(store.text(), "tick\n".repeat(30));
    }
}

#[tokio::test(start_paused = true)]
async fn of_two_exclusive_writers_with_equal_bytes_one_gets_a_conflict() {
    // The second is refused, or the answer to its first append is lost.
    for (without_metadata, unknown) in [(false, false), (false, true), (true, false)] {
        let store = SimStore::new();
        store.world().without_metadata = without_metadata;
        let mut first = writer(&store).open().await.unwrap();
        let mut second = writer(&store).open().await.unwrap();
        first.write_all(b"started\n").await.unwrap();
        first.sync().await.unwrap();
        if unknown {
            store.fault(Fault::lost_answer());
        }
        second.write_all(b"started\n").await.unwrap();
        let error = second.sync().await.unwrap_err();
        assert_eq!(conflict_cause(&error), ConflictCause::Foreign);
        assert_eq!(error.landed(), Some(Landed::No));
        assert_eq!(second.into_unsent().unwrap().chunks.concat(), b"started\n");
        first.write_all(b"more\n").await.unwrap();
        first.shutdown().await.unwrap();
        assert_eq!(store.text(), "started\nmore\n");
    }
}

#[tokio::test(start_paused = true)]
async fn a_writer_that_marks_nothing_goes_by_the_bytes_after_an_unknown_attempt() {
    let store = SimStore::new();
    let builder = writer(&store).mark_creator(false);
    let mut first = builder.clone().open().await.unwrap();
    let mut second = builder.open().await.unwrap();
    first.write_all(b"started\n").await.unwrap();
    first.sync().await.unwrap();
    assert_eq!(store.world().object.as_ref().unwrap().creator, None);
    store.fault(Fault::lost_answer());
    second.write_all(b"started\n").await.unwrap();
    second.sync().await.unwrap();
    assert_eq!(store.text(), "started\n");
}

#[tokio::test(start_paused = true)]
async fn a_writer_that_verifies_the_creator_finds_an_empty_object_of_somebody_else() {
    let store = SimStore::new();
    let mut other = writer(&store).verify_creator(true).open().await.unwrap();
    store.world().object = Some(Object {
        creator: Some("somebody else".into()),
        ..Object::appendable("")
    });
    other.write_all(b"ours\n").await.unwrap();
    let error = other.sync().await.unwrap_err();
    assert_eq!(conflict_cause(&error), ConflictCause::Exists);
    assert_eq!(error.landed(), Some(Landed::Yes));
    assert!(other.into_unsent().unwrap().is_empty());

    // One look for an object of its own.
    let store = SimStore::new();
    let mut own = writer(&store).verify_creator(true).open().await.unwrap();
    for _ in 0..3 {
        own.write_all(b"ours\n").await.unwrap();
        own.sync().await.unwrap();
    }
    let looks = store.ops().iter().filter(|op| **op == Op::Head).count();
    assert_eq!(looks, 2, "one to open");
}

#[tokio::test(start_paused = true)]
async fn a_look_for_the_creator_has_time_of_its_own() {
    let store = SimStore::new();
    let mut own = writer(&store)
        .verify_creator(true)
        .attempt_timeout(100 * SEC)
        .delivery_timeout(100 * SEC)
        .backoff(Backoff::new(5 * SEC, 5 * SEC))
        .open()
        .await
        .unwrap();
    // The append takes nearly all of its own time.
    store.world().latency = 97 * SEC;
    store.fail_head(service(503, "InternalError"));
    own.write_all(b"ours\n").await.unwrap();
    own.shutdown().await.unwrap();
    assert_eq!(store.text(), "ours\n");
}

// ---- sharing is fair

/// A store whose requests take 20 ms, 10 % more or less, the same each way.
fn far() -> MemoryStore {
    let way = || 10 * MS.mul_f64(0.9 + 0.2 * fastrand::f64());
    let store = MemoryStore::new();
    store.fail_by(move |_| Some(testing::Fault::none().delay(way()).slow_answer(way())));
    store
}

enum Rival {
    Ours(OssAppendWriter),
    /// Appends, looks where the end is after a conflict, and appends there at once.
    Loop(MemoryStore, u64),
}

impl Rival {
    async fn append(&mut self, record: &str) {
        match self {
            Self::Ours(writer) => {
                writer.write_all(record.as_bytes()).await.unwrap();
                writer.sync().await.unwrap();
            }
            Self::Loop(store, position) => loop {
                let request = AppendRequest::new(object(), *position, record.to_owned());
                match store.append(request).await {
                    Ok(answer) => {
                        *position = answer.next_position.unwrap();
                        return;
                    }
                    Err(_) => *position = store.head(&object()).await.unwrap().unwrap().length,
                }
            },
        }
    }
}

/// Lets them append a record a second each for half a minute. Returns how many appends were sent for
/// each record, and the longest wait for one.
async fn compete(writers: usize, ours: bool) -> (f64, Duration) {
    let store = far();
    let mut running = JoinSet::new();
    for id in 0..writers {
        let mut rival = match ours {
            true => {
                let builder = OssAppendWriter::builder(store.clone(), object());
                Rival::Ours(builder.shared(true).open().await.unwrap())
            }
            false => Rival::Loop(store.clone(), 0),
        };
        running.spawn(async move {
            let mut longest = Duration::ZERO;
            for n in 0..30 {
                tokio::time::sleep(SEC.mul_f64(2.0 * fastrand::f64())).await;
                let began = Instant::now();
                rival.append(&format!("{id} {n}\n")).await;
                longest = longest.max(began.elapsed());
            }
            longest
        });
    }
    let longest = running.join_all().await.into_iter().max().unwrap();
    let content = store.content(&object()).unwrap();
    let mut lines: Vec<_> = content.split_inclusive(|byte| *byte == b'\n').collect();
    lines.sort();
    lines.dedup();
    let records = writers * 30;
    assert_eq!(lines.len(), records);
    let appends = store.count(On::Append);
    (appends as f64 / records as f64, longest)
}

#[tokio::test(start_paused = true)]
async fn many_writers_of_one_object_all_get_on_and_cost_what_plain_loops_do() {
    for writers in [16, 32] {
        fastrand::seed(1);
        let (plain, _) = compete(writers, false).await;
        let (ours, longest) = compete(writers, true).await;
        assert!(ours <= 1.2 * plain, "{writers}: {ours:.2} for {plain:.2}");
        assert!(longest < 2 * SEC, "{writers}: {longest:?}");
    }
}
