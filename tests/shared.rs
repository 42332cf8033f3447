//! Promise 7: sharing an object is an explicit choice, and then records are never torn and never
//! doubled.

mod support;

use bytes::Bytes;
use oss_append::{ConflictCause, ErrorKind};
use support::store::{Fault, SimStore};
use support::{MS, conflict_cause, ours, writer};
use tokio::io::AsyncWriteExt;

#[tokio::test(start_paused = true)]
async fn by_default_a_foreign_append_is_a_conflict() {
    let store = SimStore::new();
    let mut writer = writer(&store).open().await.unwrap();
    writer.write_all(b"ours").await.unwrap();
    writer.sync().await.unwrap();
    store.foreign("theirs");
    writer.write_all(b"ours").await.unwrap();
    let error = ours(writer.shutdown().await.unwrap_err());
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
