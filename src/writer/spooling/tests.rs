#![cfg(test)]
//! What the simulation has found, each by itself.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use futures::FutureExt as _;
use tokio::time::{Instant, sleep, timeout};

use super::options::{Spool, SpoolSync};
use crate::drive::thread::Inline;
use crate::rolling::{RollingWriter, RollingWriterBuilder};
use crate::spool::SimulatedDisk;
use crate::stage::compression::Compression;
use crate::testing::{Fault, MemoryStore, On};
use crate::values::path::ObjectPath;
use crate::writer::{OneObject, OssAppendWriter, OssAppendWriterBuilder};

const HOUR: Duration = Duration::from_secs(3600);

/// A block that each segment begins with.
const HEADER: u64 = 8192;

/// A process that is killed when `life` is over.
fn life<F: Future>(disk: &SimulatedDisk, life: F) -> F::Output {
    let _inline = Inline::new();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let lived = runtime.block_on(async { timeout(HOUR, life).await });
    disk.end();
    drop(runtime);
    disk.revive();
    lived.expect("it is stuck")
}

fn spool(disk: &SimulatedDisk) -> Spool {
    Spool::on(disk)
}

fn rolling(
    store: &MemoryStore,
    disk: &SimulatedDisk,
    roll_size: u64,
) -> RollingWriterBuilder<MemoryStore> {
    RollingWriter::builder(store.clone(), "bucket", "log-{seq}")
        .writer(|writer| writer.linger(2 * HOUR))
        .roll_size(roll_size)
        .spool(spool(disk))
}

fn object(store: &MemoryStore) -> OssAppendWriterBuilder<MemoryStore, OneObject> {
    OssAppendWriter::builder(store.clone(), ObjectPath::unchecked("bucket", "object"))
}

fn content(store: &MemoryStore, key: &str) -> Option<Bytes> {
    store.content(&ObjectPath::unchecked("bucket", key))
}

/// Nothing gets through any more.
fn go_away(store: &MemoryStore) {
    store.fail_by(|_| Some(Fault::lost_request()));
}

fn come_back(store: &MemoryStore) {
    store.fail_by(|_| None);
}

#[test]
fn rolls_at_one_place_do_not_hold_up_what_comes_behind() {
    let (store, disk) = (MemoryStore::new(), SimulatedDisk::new());
    life(&disk, async {
        let mut writer = rolling(&store, &disk, 100).open().await.unwrap();
        assert!(writer.roll().now_or_never().is_none());
        assert!(writer.roll().now_or_never().is_none());
        writer.write_all(b"record\n").await.unwrap();
        writer.spooled().await.unwrap();
        writer.shutdown().await.unwrap();
    });
    assert_eq!(content(&store, "log-1").unwrap(), "record\n");
}

#[test]
fn a_file_in_which_there_is_nothing_goes_at_the_shutdown() {
    for operation in 1..5 {
        let (store, disk) = (MemoryStore::new(), SimulatedDisk::new());
        life(&disk, async {
            let mut writer = object(&store).spool(spool(&disk)).open().await.unwrap();
            disk.end_at(operation, 0);
            writer.write_all(b"lost").await.unwrap();
            let _ = writer.spooled().await;
        });
        life(&disk, async {
            let mut writer = object(&store).spool(spool(&disk)).open().await.unwrap();
            writer.shutdown().await.unwrap();
        });
        assert_eq!(disk.names(), Vec::<String>::new(), "{operation}");
    }
}

#[test]
fn what_may_land_yet_in_one_object_does_not_go_in_the_next_one() {
    let (store, disk) = (MemoryStore::new(), SimulatedDisk::new());
    life(&disk, async {
        let mut writer = rolling(&store, &disk, 100).open().await.unwrap();
        writer.write_all(b"the first\n").await.unwrap();
        writer.sync().await.unwrap();
        store.fail_next(On::Append, Fault::late());
        go_away(&store);
        writer.write_all(b"the second\n").await.unwrap();
        assert!(timeout(HOUR / 60, writer.sync()).await.is_err());
    });
    come_back(&store);
    life(&disk, async {
        // Whose objects are shorter.
        let mut writer = rolling(&store, &disk, 15).open().await.unwrap();
        store.land_late();
        writer.shutdown().await.unwrap();
    });
    assert_eq!(content(&store, "log-1").unwrap(), "the first\nthe second\n");
    assert_eq!(content(&store, "log-2"), None);
}

#[test]
fn the_beginning_of_a_record_makes_room_for_its_rest() {
    let (store, disk) = (MemoryStore::new(), SimulatedDisk::new());
    let spool = spool(&disk)
        .segment_size(HEADER + 1)
        .max_size(2 * HEADER + 200);
    life(&disk, async {
        let mut writer = rolling(&store, &disk, 100)
            .spool(spool)
            .open()
            .await
            .unwrap();
        for piece in ["a ", "rec", "ord\n"] {
            writer.write_all(piece.as_bytes()).await.unwrap();
            sleep(Duration::from_secs(1)).await;
        }
        writer.shutdown().await.unwrap();
    });
    assert_eq!(content(&store, "log-1").unwrap(), "a record\n");
}

#[test]
fn the_end_of_a_record_is_sent_as_soon_as_it_is_on_disk() {
    let (store, disk) = (MemoryStore::new(), SimulatedDisk::new());
    life(&disk, async {
        let mut writer = rolling(&store, &disk, 100).open().await.unwrap();
        writer.write_all(b"a rec").await.unwrap();
        writer.spooled().await.unwrap();
        writer.write_all(b"ord\n").await.unwrap();
        writer.shutdown().await.unwrap();
    });
    assert_eq!(content(&store, "log-1").unwrap(), "a record\n");
}

#[test]
fn what_is_sent_at_the_start_is_synced_before() {
    for operation in 1..8 {
        for seed in 0..8 {
            let (store, disk) = (MemoryStore::new(), SimulatedDisk::new());
            let open = || {
                object(&store)
                    .compression(Compression::zstd())
                    .spool(spool(&disk).sync(SpoolSync::Always))
                    .open()
            };
            life(&disk, async {
                let mut writer = open().await.unwrap();
                writer.write_all(b"the first\n").await.unwrap();
                writer.sync().await.unwrap();
                writer.write_all(b"the second\n").await.unwrap();
                disk.end_at(operation, 0);
                let _ = writer.sync().await;
            });
            life(&disk, async {
                // All that it sends is what it finds, and it ends before that is answered.
                store.fail_next(On::Append, Fault::never());
                let _ = timeout(Duration::from_secs(1), open()).await;
            });
            disk.power_loss(&mut fastrand::Rng::with_seed(seed));
            life(&disk, async {
                let mut writer = open().await.unwrap();
                writer.shutdown().await.unwrap();
            });
        }
    }
}

#[test]
fn an_object_that_has_more_than_the_spool_is_not_what_it_was_meant_for() {
    for seed in 0..100 {
        let (store, disk) = (MemoryStore::new(), SimulatedDisk::new());
        let open = || {
            let writer = rolling(&store, &disk, 1000);
            writer
                .writer(|writer| writer.compression(Compression::zstd()))
                .open()
        };
        life(&disk, async {
            let mut writer = open().await.unwrap();
            for number in 0..4 {
                let record = format!("record {number}\n");
                writer.write_all(record.as_bytes()).await.unwrap();
                writer.sync().await.unwrap();
            }
        });
        // What it was about to send is lost.
        disk.power_loss(&mut fastrand::Rng::with_seed(seed));
        life(&disk, async {
            let mut writer = open().await.unwrap();
            writer.shutdown().await.unwrap();
        });
    }
}

/// What comes next is on disk, and what is durable is gone from there, when nothing gets through.
async fn keep_behind(writer: &mut RollingWriter, store: &MemoryStore, records: &[&str]) {
    go_away(store);
    for record in records {
        writer.write_all(record.as_bytes()).await.unwrap();
        writer.spooled().await.unwrap();
    }
}

/// Sends what is there.
fn deliver(store: &MemoryStore, disk: &SimulatedDisk) {
    come_back(store);
    life(disk, async {
        let mut writer = rolling(store, disk, 100).open().await.unwrap();
        writer.shutdown().await.unwrap();
    });
}

#[test]
fn what_comes_behind_a_roll_goes_in_the_next_object_after_a_kill() {
    let (store, disk) = (MemoryStore::new(), SimulatedDisk::new());
    life(&disk, async {
        let mut writer = rolling(&store, &disk, 100).open().await.unwrap();
        writer.write_all(b"the first\n").await.unwrap();
        writer.sync().await.unwrap();
        writer.roll().await.unwrap();
        keep_behind(&mut writer, &store, &["the second\n", "the third\n"]).await;
    });
    assert_eq!(disk.names(), ["00000000000000000010.segment"]);
    deliver(&store, &disk);
    assert_eq!(content(&store, "log-1").unwrap(), "the first\n");
    assert_eq!(content(&store, "log-2").unwrap(), "the second\nthe third\n");
}

#[test]
fn a_roll_that_was_made_is_not_made_again_after_a_kill() {
    let (store, disk) = (MemoryStore::new(), SimulatedDisk::new());
    life(&disk, async {
        let mut writer = rolling(&store, &disk, 100).open().await.unwrap();
        writer.write_all(b"the first\n").await.unwrap();
        writer.spooled().await.unwrap();
        writer.roll().await.unwrap();
        writer.write_all(b"the second\n").await.unwrap();
        writer.sync().await.unwrap();
        keep_behind(&mut writer, &store, &["the third\n"]).await;
    });
    deliver(&store, &disk);
    assert_eq!(content(&store, "log-1").unwrap(), "the first\n");
    assert_eq!(content(&store, "log-2").unwrap(), "the second\nthe third\n");
    assert_eq!(content(&store, "log-3"), None);
}

#[test]
fn what_comes_behind_a_roll_goes_in_no_older_object_if_nothing_of_it_was_sent() {
    let (store, disk) = (MemoryStore::new(), SimulatedDisk::new());
    life(&disk, async {
        let mut writer = rolling(&store, &disk, 100).open().await.unwrap();
        writer.write_all(b"the first\n").await.unwrap();
        writer.shutdown().await.unwrap();
    });
    life(&disk, async {
        // Which goes on with that object.
        let mut writer = rolling(&store, &disk, 100).open().await.unwrap();
        writer.roll().await.unwrap();
        keep_behind(&mut writer, &store, &["the second\n"]).await;
    });
    deliver(&store, &disk);
    assert_eq!(content(&store, "log-1").unwrap(), "the first\n");
    assert_eq!(content(&store, "log-2").unwrap(), "the second\n");
}

#[test]
fn a_roll_within_a_record_is_made_behind_it_after_a_kill() {
    let (store, disk) = (MemoryStore::new(), SimulatedDisk::new());
    life(&disk, async {
        let mut writer = rolling(&store, &disk, 100).open().await.unwrap();
        writer.write_all(b"the fir").await.unwrap();
        writer.sync().await.unwrap();
        writer.roll().await.unwrap();
        keep_behind(&mut writer, &store, &["st\n", "the second\n"]).await;
    });
    assert_eq!(disk.names(), ["00000000000000000007.segment"]);
    deliver(&store, &disk);
    assert_eq!(content(&store, "log-1").unwrap(), "the first\n");
    assert_eq!(content(&store, "log-2").unwrap(), "the second\n");
}

#[test]
fn the_rest_of_a_record_goes_where_its_beginning_is_after_a_full_disk_and_a_kill() {
    let (store, disk) = (MemoryStore::new(), SimulatedDisk::new());
    life(&disk, async {
        let mut writer = rolling(&store, &disk, 10).open().await.unwrap();
        writer.write_all(b"a long re").await.unwrap();
        writer.sync().await.unwrap();
        // All that is there is durable, and goes.
        disk.set_free(0);
        go_away(&store);
        writer.write_all(b"cord\n").await.unwrap();
        sleep(Duration::from_secs(5)).await;
        disk.set_free(1 << 20);
        writer.spooled().await.unwrap();
    });
    come_back(&store);
    life(&disk, async {
        // Which would go on with no object of that length.
        let mut writer = rolling(&store, &disk, 5).open().await.unwrap();
        writer.shutdown().await.unwrap();
    });
    assert_eq!(content(&store, "log-1").unwrap(), "a long record\n");
    assert_eq!(content(&store, "log-2"), None);
}

#[test]
fn what_comes_in_another_period_goes_in_an_object_of_that_after_a_kill() {
    let (store, disk) = (MemoryStore::new(), SimulatedDisk::new());
    let hours = Arc::new(AtomicU64::new(0));
    let builder = || {
        let hours = Arc::clone(&hours);
        RollingWriter::builder(store.clone(), "bucket", "%H-{seq}")
            .hourly()
            .clock(move || UNIX_EPOCH + HOUR * hours.load(Ordering::Relaxed) as u32)
            .spool(spool(&disk))
    };
    life(&disk, async {
        let mut writer = builder().open().await.unwrap();
        writer.write_all(b"the first\n").await.unwrap();
        writer.sync().await.unwrap();
        hours.store(1, Ordering::Relaxed);
        sleep(HOUR / 30).await;
        keep_behind(&mut writer, &store, &["the second\n", "the third\n"]).await;
    });
    assert_eq!(disk.names(), ["00000000000000000010.segment"]);
    come_back(&store);
    life(&disk, async {
        let mut writer = builder().open().await.unwrap();
        writer.shutdown().await.unwrap();
    });
    assert_eq!(content(&store, "00-1").unwrap(), "the first\n");
    assert_eq!(content(&store, "01-1").unwrap(), "the second\nthe third\n");
}

/// A writer with little memory.
fn narrow(
    store: &MemoryStore,
    disk: &SimulatedDisk,
) -> OssAppendWriterBuilder<MemoryStore, OneObject> {
    object(store)
        .batch_size(200)
        .max_append_size(500)
        .buffer_capacity(1000)
        .linger(HOUR)
        .spool(spool(disk))
}

#[test]
fn the_disk_is_not_read_while_oss_keeps_up() {
    let (store, disk) = (MemoryStore::new(), SimulatedDisk::new());
    store.fail_by(|_| Some(Fault::none().delay(Duration::from_millis(50))));
    life(&disk, async {
        let mut writer = narrow(&store, &disk).open().await.unwrap();
        let read = disk.bytes_read();
        for _ in 0..200 {
            writer.write_all(&[b'x'; 100]).await.unwrap();
        }
        writer.shutdown().await.unwrap();
        assert_eq!(disk.bytes_read(), read);
    });
    assert_eq!(content(&store, "object").unwrap().len(), 20_000);
}

#[test]
fn the_disk_takes_what_oss_does_not() {
    // Pieces that fit in the rest of the memory, and one that does not.
    for piece in [100, 700] {
        let (store, disk) = (MemoryStore::new(), SimulatedDisk::new());
        let written = life(&disk, async {
            let mut writer = narrow(&store, &disk).open().await.unwrap();
            go_away(&store);
            let begun = Instant::now();
            let mut written = 0;
            while written < 20_000 {
                let record = Bytes::from(vec![b'x'; piece]);
                drop(writer.enqueue(record).await.unwrap());
                written += piece;
            }
            writer.spooled().await.unwrap();
            assert!(begun.elapsed() < Duration::from_secs(1));
            come_back(&store);
            writer.shutdown().await.unwrap();
            written
        });
        assert_eq!(content(&store, "object").unwrap().len(), written);
    }
}

#[test]
fn the_disk_takes_a_long_write_that_oss_does_not() {
    let (store, disk) = (MemoryStore::new(), SimulatedDisk::new());
    life(&disk, async {
        let mut writer = narrow(&store, &disk).open().await.unwrap();
        writer.write_all(b"first").await.unwrap();
        writer.sync().await.unwrap();
        go_away(&store);
        let begun = Instant::now();
        writer.write_all(&[b'x'; 20_000]).await.unwrap();
        writer.spooled().await.unwrap();
        assert!(begun.elapsed() < Duration::from_secs(1));
        come_back(&store);
        writer.shutdown().await.unwrap();
    });
    assert_eq!(content(&store, "object").unwrap().len(), 20_005);
}
