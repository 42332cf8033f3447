//! Several appends under way at a time: what is written is there once and in order, whatever
//! happens on the way, and the round trip does not limit how fast.

use std::ops::Range;
use std::time::Duration;

use fastrand::Rng;
use oss_append::testing::{Fault, MemoryStore, On};
use oss_append::{
    Backoff, ConflictCause, ErrorKind, Landed, ObjectPath, OssAppendWriter, OssAppendWriterBuilder,
};
use tokio::time::Instant;

use crate::support::MS;

const ROUND_TRIP: Duration = Duration::from_millis(50);

fn object() -> ObjectPath {
    "oss://bucket/object".parse().unwrap()
}

/// Each append carries ten bytes.
fn writer(store: &MemoryStore) -> OssAppendWriterBuilder<MemoryStore> {
    OssAppendWriter::builder(store.clone(), object())
        .batch_size(10)
        .max_append_size(10)
        .buffer_capacity(1000)
        .backoff(Backoff::new(MS, 10 * MS))
}

fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at % 251) as u8).collect()
}

/// Every answer takes a round trip.
fn far() -> MemoryStore {
    let store = MemoryStore::new();
    store.fail_by(|_| {
        let half = ROUND_TRIP / 2;
        Some(Fault::none().delay(half).slow_answer(half))
    });
    store
}

/// How long it takes to write a hundred appends.
async fn hundred(max_in_flight: u16) -> Duration {
    let store = far();
    store.grow(&object(), "start");
    let mut writer = writer(&store)
        .max_in_flight(max_in_flight)
        .open()
        .await
        .unwrap();
    let start = Instant::now();
    writer.write_all(&bytes(1000)).await.unwrap();
    writer.shutdown().await.unwrap();
    let took = start.elapsed();
    assert_eq!(store.content(&object()).unwrap()[5..], bytes(1000));
    assert_eq!(store.count(On::Append), 100);
    took
}

#[tokio::test(start_paused = true)]
async fn so_many_at_a_time_take_so_many_times_less() {
    assert_eq!(hundred(1).await, 100 * ROUND_TRIP);
    assert_eq!(hundred(4).await, 25 * ROUND_TRIP);
    assert_eq!(hundred(100).await, ROUND_TRIP);
}

/// One append after the other takes ten milliseconds to get there, and each answer a round trip.
#[tokio::test(start_paused = true)]
async fn the_next_is_sent_as_soon_as_one_of_them_is_answered() {
    let store = MemoryStore::new();
    store.grow(&object(), "start");
    let mut free_at = Instant::now();
    store.fail_by(move |_| {
        let now = Instant::now();
        free_at = free_at.max(now) + 10 * MS;
        Some(Fault::none().delay(free_at - now).slow_answer(ROUND_TRIP))
    });
    let builder = writer(&store).buffer_capacity(100).max_in_flight(8);
    let mut writer = builder.open().await.unwrap();
    let start = Instant::now();
    writer.write_all(&bytes(1000)).await.unwrap();
    writer.shutdown().await.unwrap();
    assert_eq!(start.elapsed(), 100 * 10 * MS + ROUND_TRIP);
    assert_eq!(store.content(&object()).unwrap()[5..], bytes(1000));
}

#[tokio::test(start_paused = true)]
async fn a_record_of_a_stream_is_durable_after_one_round_trip() {
    let store = far();
    store.grow(&object(), "start");
    let builder = writer(&store).linger(Duration::ZERO).max_in_flight(100);
    let mut writer = builder.open().await.unwrap();
    let mut waits = Vec::new();
    for _ in 0..200 {
        let receipt = writer.enqueue(bytes(10).into()).await.unwrap();
        let sent = Instant::now();
        waits.push(tokio::spawn(async move {
            receipt.written().await.unwrap();
            sent.elapsed()
        }));
        tokio::time::sleep(MS).await;
    }
    for wait in waits {
        assert_eq!(wait.await.unwrap(), ROUND_TRIP);
    }
    writer.shutdown().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn whatever_goes_wrong_every_byte_is_there_once() {
    for seed in 0..300 {
        let mut rng = Rng::with_seed(seed);
        let store = MemoryStore::new();
        let max_in_flight = rng.u16(2..9);
        let mut faults = rng.fork();
        store.fail_by(move |request| {
            let fault = match faults.u8(..12) {
                0 if request.on == On::Append => Fault::late(),
                1 if request.on == On::Append => Fault::torn(faults.usize(..10)),
                2 if request.on == On::Append => Fault::throttled(),
                3 => Fault::lost_answer(),
                4 => Fault::lost_request(),
                _ => Fault::none(),
            };
            Some(
                fault
                    .delay(faults.u32(..3) * MS)
                    .slow_answer(faults.u32(..3) * MS),
            )
        });
        let late = store.clone();
        let lander = tokio::spawn(async move {
            loop {
                tokio::time::sleep(5 * MS).await;
                late.land_late();
            }
        });
        let mut writer = writer(&store)
            .max_in_flight(max_in_flight)
            .open()
            .await
            .unwrap();
        let data = bytes(rng.usize(1..800));
        for piece in data.chunks(rng.usize(1..60)) {
            writer.write_all(piece).await.unwrap();
            if rng.u8(..8) == 0 {
                writer.sync().await.unwrap();
                let content = store.content(&object()).unwrap();
                assert!(data.starts_with(&content), "seed {seed}");
                assert_eq!(content.len() as u64, writer.position(), "seed {seed}");
            }
        }
        writer.shutdown().await.unwrap();
        let stats = writer.stats();
        assert_eq!((stats.durable, stats.buffered), (data.len() as u64, 0));
        lander.abort();
        store.land_late();
        assert!(store.content(&object()).unwrap() == data, "seed {seed}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_foreign_append_of_just_the_right_length_is_no_success() {
    let store = MemoryStore::new();
    store.grow(&object(), "start");
    let mut writer = writer(&store).max_in_flight(2).open().await.unwrap();
    store.fail_next(On::Append, Fault::none().foreign("0123456789"));
    writer.write_all(&bytes(20)).await.unwrap();
    let error = writer.sync().await.unwrap_err();
    let ErrorKind::Conflict(conflict) = error.kind() else {
        panic!("{error}");
    };
    assert_eq!(conflict.cause, ConflictCause::Foreign);
    assert_eq!(conflict.apart, vec![Range { start: 15, end: 25 }]);
    assert_eq!(error.landed(), Some(Landed::InDoubt));
    assert_eq!(writer.durable_position(), 5);
    let unsent = writer.into_unsent().unwrap();
    assert_eq!((unsent.position, unsent.in_doubt), (5, 20));
    assert_eq!(unsent.chunks.concat(), bytes(20));
}

#[tokio::test(start_paused = true)]
async fn a_writer_that_is_given_up_with_several_under_way_loses_none() {
    let store = far();
    store.grow(&object(), "start");
    let mut writer = writer(&store).max_in_flight(8).open().await.unwrap();
    writer.write_all(&bytes(100)).await.unwrap();
    let given_up = tokio::time::timeout(ROUND_TRIP / 4, writer.sync()).await;
    assert!(given_up.is_err());
    writer.write_all(&bytes(30)).await.unwrap();
    writer.sync().await.unwrap();
    let content = store.content(&object()).unwrap();
    assert_eq!(content[5..], [bytes(100), bytes(30)].concat());
}
