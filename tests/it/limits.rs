//! Limits on appends a second: kept, used to the full, and never at the cost of a byte.

use std::time::Duration;

use oss_append::testing::{Fault, MemoryStore, On};
use oss_append::{
    AppendLimit, Backoff, KeyedWriter, ObjectAppender, ObjectPath, OssAppendWriter,
    OssAppendWriterBuilder, RollingWriter,
};
use tokio::time::Instant;

use crate::support::{MS, SEC, object};

/// Each ten bytes make an append, if nothing keeps it back.
fn writer(store: &MemoryStore) -> OssAppendWriterBuilder<MemoryStore> {
    OssAppendWriter::builder(store.clone(), object())
        .batch_size(10)
        .backoff(Backoff::new(MS, MS))
}

/// Every answer takes 30 ms.
fn store() -> MemoryStore {
    let store = MemoryStore::new();
    store.grow(&object(), "");
    store.fail_by(|_| Some(Fault::none().slow_answer(30 * MS)));
    store
}

/// Writes ten bytes each ten milliseconds, and tells how many appends that made in how long.
async fn write(writer: OssAppendWriterBuilder<MemoryStore>, store: &MemoryStore) -> (usize, u64) {
    let mut writer = writer.open().await.unwrap();
    let (start, mut written) = (Instant::now(), Vec::new());
    for number in 0..500 {
        let line = format!("{number:09}\n");
        writer.write_all(line.as_bytes()).await.unwrap();
        written.extend_from_slice(line.as_bytes());
        tokio::time::sleep(10 * MS).await;
    }
    writer.shutdown().await.unwrap();
    assert!(store.content(&object()).unwrap() == written);
    let tenths = start.elapsed().as_millis() / 100;
    (store.count(On::Append), tenths as u64)
}

#[tokio::test(start_paused = true)]
async fn a_writer_keeps_its_limit_and_uses_it() {
    for window in [1, 4] {
        let store = store();
        let limited = writer(&store)
            .max_in_flight(window)
            .max_appends_per_second(10);
        let (appends, tenths) = write(limited, &store).await;
        assert!(tenths <= 52, "{tenths}");
        assert!((49..=52).contains(&appends), "{appends} by {window}");
        let store = self::store();
        let (appends, _) = write(writer(&store).max_in_flight(window), &store).await;
        assert!(appends > 100, "{appends} by {window}");
    }
}

#[tokio::test(start_paused = true)]
async fn writers_share_a_limit_and_each_has_its_own_beside_it() {
    let limit = AppendLimit::per_second(20);
    let stores: Vec<_> = (0..4).map(|_| store()).collect();
    let writers = stores.iter().map(|store| {
        let own = writer(store).max_appends_per_second(8);
        write(own.append_limit(&limit), store)
    });
    let appends: Vec<_> = futures::future::join_all(writers).await;
    let sum: usize = appends.iter().map(|(appends, _)| appends).sum();
    assert!((95..=104).contains(&sum), "{appends:?}");
    for (appends, tenths) in appends {
        // None is kept back by the others for long.
        assert!((20..=42).contains(&appends) && tenths <= 54, "{appends}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_sent_again_counts_too() {
    let store = MemoryStore::new();
    for _ in 0..20 {
        store.fail_next(On::Append, Fault::unreachable());
    }
    for window in [1, 4] {
        let start = Instant::now();
        let before = store.count(On::Append);
        let mut writer = writer(&store)
            .max_in_flight(window)
            .max_appends_per_second(10)
            .open()
            .await
            .unwrap();
        writer.write_all(b"ten bytes\n").await.unwrap();
        writer.shutdown().await.unwrap();
        let appends = (store.count(On::Append) - before) as u32;
        let least = (100 * MS * (appends - 1)).saturating_sub(10 * MS);
        assert!(
            start.elapsed() >= least,
            "{appends} in {:?}",
            start.elapsed()
        );
    }
    assert_eq!(store.count(On::Append), 22);
}

#[tokio::test(start_paused = true)]
async fn an_appender_without_a_buffer_keeps_the_limit() {
    let store = MemoryStore::new();
    let builder = ObjectAppender::builder(store.clone(), object()).max_appends_per_second(5);
    let mut appender = builder.open().await.unwrap();
    let start = Instant::now();
    for _ in 0..11 {
        appender.append("x").await.unwrap();
    }
    assert!(start.elapsed() >= 2 * SEC - 10 * MS);
    assert!(start.elapsed() < 2 * SEC + 100 * MS);
}

#[tokio::test(start_paused = true)]
async fn sequences_and_keys_keep_it_over_all_their_objects() {
    let store = MemoryStore::new();
    let mut rolling = RollingWriter::builder(store.clone(), "bucket", "log-{seq}")
        .roll_size(100)
        .writer(|writer| {
            writer
                .batch_size(10)
                .max_append_size(20)
                .buffer_capacity(1000)
                .max_object_size(200)
                .max_appends_per_second(10)
        })
        .start()
        .unwrap();
    let start = Instant::now();
    rolling.write_all(&[b'x'; 600]).await.unwrap();
    rolling.shutdown().await.unwrap();
    let appends = store.count(On::Append) as u32;
    assert!(appends >= 30, "{appends}");
    assert!(start.elapsed() >= 100 * MS * (appends - 1) - 10 * MS);

    let store = MemoryStore::new();
    let limit = AppendLimit::per_second(100);
    let keyed = KeyedWriter::builder(store.clone(), "bucket")
        .writer(move |_, writer| writer.append_limit(&limit))
        .start()
        .unwrap();
    let start = Instant::now();
    for key in 0..200 {
        let _ = keyed
            .write(&format!("{key}"), "record\n".into())
            .await
            .unwrap();
    }
    keyed.shutdown().await.unwrap();
    assert_eq!(store.count(On::Append), 200);
    assert!(start.elapsed() >= Duration::from_millis(1980));
    let content = |key: usize| store.content(&ObjectPath::new("bucket", format!("{key}")).unwrap());
    assert!((0..200).all(|key| content(key).unwrap() == "record\n"));
}
