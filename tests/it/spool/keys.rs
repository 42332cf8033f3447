//! A keyed writer whose keys have spools.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt as _;
use oss_append::emulator::{Action, Emulator, ErrorAnswer, Fault, Operation};
use oss_append::{
    Compression, ErrorKind, FlushMode, KeyedWriter, KeyedWriterBuilder, OssClient, Spool,
};

use super::{BUCKET, builder as one, client, content, emulator, life, segments, spool};

/// Keys whose objects are `of-KEY`.
fn builder(emulator: &Emulator, directory: &Path) -> KeyedWriterBuilder<OssClient> {
    KeyedWriter::builder(client(emulator), BUCKET)
        .objects(|key| format!("of-{key}"))
        .writer(|_, writer| {
            writer
                .batch_size(4 * 1024)
                .max_append_size(16 * 1024)
                .linger(Duration::from_millis(5))
        })
        .buffer_capacity(256 * 1024)
        .spool(spool(directory))
}

fn record(key: &str, number: u32) -> Bytes {
    format!("{key} {number:06} a record of a key\n").into()
}

/// Writes these records, and what the object should have of them.
async fn write(writer: &KeyedWriter, key: &str, numbers: std::ops::Range<u32>) -> Vec<u8> {
    let mut written = Vec::new();
    for number in numbers {
        let record = record(key, number);
        written.extend_from_slice(&record);
        drop(writer.write(key, record).await.unwrap());
    }
    written
}

fn directories(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap().map(Result::unwrap);
    let directories = entries.filter(|entry| entry.path().is_dir());
    let names = directories.map(|entry| entry.file_name().into_string().unwrap());
    names.collect()
}

#[test]
fn what_a_killed_process_had_accepted_is_delivered_without_another_record() {
    let (emulator, directory) = (emulator(), tempfile::tempdir().unwrap());
    let mut expected = BTreeMap::new();
    life(async {
        let writer = builder(&emulator, directory.path()).start().unwrap();
        for key in ["a", "b/c", "ü"] {
            expected.insert(key, write(&writer, key, 0..10).await);
        }
        writer.flush().await.unwrap();
        emulator.pause().await;
        for key in ["b/c", "ü", "never sent"] {
            let more = write(&writer, key, 10..3_000).await;
            expected.entry(key).or_default().extend(more);
        }
        writer.spooled().await.unwrap();
        let stats = writer.stats();
        assert_eq!(stats.accepted, stats.durable + stats.buffered);
        assert_eq!(stats.spooled, stats.buffered);
    });
    life(async {
        emulator.resume().await.unwrap();
        let writer = builder(&emulator, directory.path()).start().unwrap();
        writer.shutdown().await.unwrap();
        let stats = writer.stats();
        assert_eq!((stats.open, stats.buffered, stats.spooled), (0, 0, 0));
    });
    for (key, expected) in expected {
        assert!(
            content(&emulator, &format!("of-{key}")) == expected,
            "{key}"
        );
    }
    assert_eq!(directories(directory.path()), Vec::<String>::new());
}

#[test]
fn what_is_left_comes_before_what_is_written_next() {
    let (emulator, directory) = (emulator(), tempfile::tempdir().unwrap());
    let mut expected = Vec::new();
    for round in 0..4 {
        life(async {
            let writer = builder(&emulator, directory.path()).start().unwrap();
            emulator.pause().await;
            let more = write(&writer, "key", round * 500..(round + 1) * 500).await;
            expected.extend(more);
            writer.spooled().await.unwrap();
            emulator.resume().await.unwrap();
        });
    }
    life(async {
        let writer = builder(&emulator, directory.path()).start().unwrap();
        expected.extend(write(&writer, "key", 2_000..2_001).await);
        writer.shutdown().await.unwrap();
    });
    assert!(content(&emulator, "of-key") == expected);
}

#[test]
fn keys_go_on_in_an_outage_with_much_more_than_memory_holds() {
    const KEYS: u32 = 40;
    let (emulator, directory) = (emulator(), tempfile::tempdir().unwrap());
    let key = |number: u32| format!("key-{number}");
    let mut expected = vec![Vec::new(); KEYS as usize];
    life(async {
        let writer = builder(&emulator, directory.path())
            .idle_timeout(Duration::from_millis(20))
            .start()
            .unwrap();
        for number in 0..KEYS / 2 {
            expected[number as usize] = write(&writer, &key(number), 0..1).await;
        }
        emulator.pause().await;
        // 4 MB, and memory for 256 KiB.
        for part in 0..10 {
            for number in 0..KEYS {
                let numbers = 1 + part * 300..1 + (part + 1) * 300;
                let more = write(&writer, &key(number), numbers).await;
                expected[number as usize].extend(more);
            }
        }
        let stats = writer.stats();
        assert_eq!(stats.open, KEYS as usize);
        assert!(stats.buffered > 3 << 20, "{stats:?}");
        emulator.resume().await.unwrap();
        for number in 0..KEYS {
            let more = write(&writer, &key(number), 3_001..3_002).await;
            expected[number as usize].extend(more);
        }
        writer.shutdown().await.unwrap();
    });
    for number in 0..KEYS {
        let content = content(&emulator, &format!("of-{}", key(number)));
        assert!(content == expected[number as usize], "{number}");
    }
    assert_eq!(directories(directory.path()), Vec::<String>::new());
}

#[test]
fn a_key_more_than_can_be_open_waits_for_the_end_of_an_outage() {
    let (emulator, directory) = (emulator(), tempfile::tempdir().unwrap());
    life(async {
        let writer = builder(&emulator, directory.path())
            .max_open(2)
            .start()
            .unwrap();
        emulator.pause().await;
        for key in ["a", "b"] {
            write(&writer, key, 0..1).await;
        }
        let mut other = Box::pin(write(&writer, "c", 0..1));
        let waited = tokio::time::timeout(Duration::from_millis(1_500), &mut other).await;
        assert!(waited.is_err(), "there is no place for it");
        // Those that are open take more.
        for key in ["a", "b"] {
            write(&writer, key, 1..2).await;
        }
        emulator.resume().await.unwrap();
        other.await;
        writer.shutdown().await.unwrap();
    });
    for (key, records) in [("a", 2), ("b", 2), ("c", 1)] {
        let lines = content(&emulator, &format!("of-{key}"));
        assert_eq!(lines.split(|byte| *byte == b'\n').count(), records + 1);
    }
}

#[test]
fn many_keys_that_were_left_are_delivered_with_few_places() {
    let (emulator, directory) = (emulator(), tempfile::tempdir().unwrap());
    life(async {
        let writer = builder(&emulator, directory.path()).start().unwrap();
        emulator.pause().await;
        for number in 0..60 {
            write(&writer, &format!("key-{number}"), 0..3).await;
        }
        writer.spooled().await.unwrap();
        emulator.resume().await.unwrap();
    });
    assert_eq!(directories(directory.path()).len(), 60);
    life(async {
        let writer = builder(&emulator, directory.path())
            .max_open(4)
            .start()
            .unwrap();
        write(&writer, "key-7", 3..4).await;
        writer.shutdown().await.unwrap();
    });
    for number in 0..60 {
        let lines = content(&emulator, &format!("of-key-{number}"));
        let records = if number == 7 { 4 } else { 3 };
        assert_eq!(lines.split(|byte| *byte == b'\n').count(), records + 1);
    }
    assert_eq!(directories(directory.path()), Vec::<String>::new());
}

#[test]
fn a_flush_may_be_content_with_the_disk() {
    let (emulator, directory) = (emulator(), tempfile::tempdir().unwrap());
    life(async {
        let writer = builder(&emulator, directory.path())
            .writer(|_, writer| writer.flush_mode(FlushMode::Spooled))
            .start()
            .unwrap();
        emulator.pause().await;
        write(&writer, "key", 0..9).await;
        writer.flush().await.unwrap();
        assert_eq!(writer.stats().spooled, writer.stats().accepted);
        assert!(writer.sync().now_or_never().is_none());
        emulator.resume().await.unwrap();
        writer.shutdown().await.unwrap();
    });
    assert!(content(&emulator, "of-key").ends_with(b"key 000008 a record of a key\n"));
}

#[test]
fn compressed_keys_are_delivered_once_too() {
    let (emulator, directory) = (emulator(), tempfile::tempdir().unwrap());
    let start = || {
        builder(&emulator, directory.path())
            .writer(|_, writer| writer.compression(Compression::gzip()))
            .start()
            .unwrap()
    };
    let mut expected = Vec::new();
    for round in 0..3 {
        life(async {
            let writer = start();
            expected.extend(write(&writer, "key", round * 100..(round + 1) * 100).await);
            if round == 1 {
                let fault = Fault::new(Operation::AppendObject, Action::DropAnswer);
                emulator.inject(fault.times(1));
            }
            writer.spooled().await.unwrap();
        });
    }
    life(async { start().shutdown().await.unwrap() });
    let stored = content(&emulator, "of-key");
    let mut read = Vec::new();
    let mut decoder = flate2::read::MultiGzDecoder::new(&stored[..]);
    std::io::Read::read_to_end(&mut decoder, &mut read).unwrap();
    assert!(read == expected);
}

#[test]
fn a_key_that_has_failed_goes_on_with_its_spool_when_it_is_forgiven() {
    let (emulator, directory) = (emulator(), tempfile::tempdir().unwrap());
    let told = Arc::new(Mutex::new(Vec::new()));
    life(async {
        let tell = Arc::clone(&told);
        let writer = builder(&emulator, directory.path())
            .on_failed(move |failed| tell.lock().unwrap().push(failed))
            .start()
            .unwrap();
        let denied = Action::Error(ErrorAnswer::new(403).code("AccessDenied"));
        let denied = Fault::new(Operation::AppendObject, denied);
        emulator.inject(denied.key("of-bad").forever());
        write(&writer, "good", 0..5).await;
        let expected = write(&writer, "bad", 0..5).await;
        let error = writer.flush().await.unwrap_err();
        assert_eq!(error.keys().len(), 1);
        assert_eq!(content(&emulator, "of-good").len(), expected.len() + 5);
        let failed = told.lock().unwrap().pop().unwrap();
        assert_eq!(failed.key, "bad");
        assert_eq!(failed.unsent.spooled, 0..expected.len() as u64);
        assert!(failed.unsent.chunks.is_empty());
        emulator.faults().clear();
        writer.forgive("bad").unwrap();
        writer.shutdown().await.unwrap();
        assert_eq!(content(&emulator, "of-bad"), expected);
    });
    assert_eq!(directories(directory.path()), Vec::<String>::new());
}

#[test]
fn what_cannot_be_had_is_refused_and_left_as_it_is() {
    let (emulator, directory) = (emulator(), tempfile::tempdir().unwrap());
    let of_one = directory.path().join("of-one");
    let of_keys = directory.path().join("of-keys");
    life(async {
        let mut writer = one(&emulator, &of_one).open().await.unwrap();
        let keys = builder(&emulator, &of_keys).start().unwrap();
        emulator.pause().await;
        writer.write_all(b"kept\n").await.unwrap();
        writer.spooled().await.unwrap();
        write(&keys, "key", 0..3).await;
        keys.spooled().await.unwrap();
        // In use by the first.
        let error = builder(&emulator, &of_keys).start().unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Spool { .. }), "{error}");
        emulator.resume().await.unwrap();
    });
    life(async {
        let error = builder(&emulator, &of_one).start().unwrap_err();
        assert!(error.to_string().contains("one writer"), "{error}");
        assert_eq!(segments(&of_one).len(), 1);
        // The key's object has another name now.
        let told = Arc::new(Mutex::new(Vec::new()));
        let tell = Arc::clone(&told);
        let other = builder(&emulator, &of_keys)
            .objects(|key| format!("other-{key}"))
            .on_failed(move |failed| tell.lock().unwrap().push(failed.key))
            .start()
            .unwrap();
        let error = other.shutdown().await.unwrap_err();
        let text = error.get("key").unwrap().to_string();
        assert!(text.contains("of-key"), "{text}");
        assert_eq!(*told.lock().unwrap(), ["key"]);
        drop(other);
    });
    life(async {
        let keys = builder(&emulator, &of_keys).start().unwrap();
        keys.shutdown().await.unwrap();
        let mut writer = one(&emulator, &of_one).open().await.unwrap();
        writer.shutdown().await.unwrap();
    });
    assert!(content(&emulator, "of-key").starts_with(b"key 000000"));
    assert_eq!(content(&emulator, "object"), b"kept\n");
    assert_eq!(emulator.object(BUCKET, "other-key").map(|_| ()), None);
}

#[test]
fn what_memory_cannot_hold_does_not_wait_for_the_linger() {
    let (emulator, directory) = (emulator(), tempfile::tempdir().unwrap());
    life(async {
        let writer = builder(&emulator, directory.path())
            .writer(|_, writer| {
                let writer = writer.linger(Duration::from_secs(3600));
                writer.batch_size(1 << 20).max_append_size(1 << 20)
            })
            .start()
            .unwrap();
        write(&writer, "other", 0..1).await;
        emulator.pause().await;
        // Parts of 128 KiB, in which no batch fits.
        let mut expected = write(&writer, "key", 0..30_000).await;
        emulator.resume().await.unwrap();
        while content(&emulator, "of-key").len() < expected.len() / 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        expected.extend(write(&writer, "key", 30_000..30_001).await);
        writer.shutdown().await.unwrap();
        assert!(content(&emulator, "of-key") == expected);
        // The directory is free, whoever has the writer or a receipt.
        let again = builder(&emulator, directory.path()).start().unwrap();
        again.shutdown().await.unwrap();
    });
}

#[test]
fn the_size_is_that_of_all_keys_together() {
    let (emulator, directory) = (emulator(), tempfile::tempdir().unwrap());
    life(async {
        let bound = Spool::new(directory.path())
            .segment_size(64 * 1024)
            .max_size(512 * 1024);
        let writer = builder(&emulator, directory.path())
            .spool(bound)
            .start()
            .unwrap();
        emulator.pause().await;
        let mut keys = Vec::new();
        for key in ["a", "b", "c"] {
            let writer = writer.clone();
            keys.push(tokio::spawn(
                async move { write(&writer, key, 0..12_000).await },
            ));
        }
        // Until nothing more is taken.
        let mut before = 0;
        loop {
            tokio::time::sleep(Duration::from_millis(1_500)).await;
            let accepted = writer.stats().accepted;
            if accepted == before {
                break;
            }
            before = accepted;
        }
        let spooled = writer.stats().spooled;
        assert!((256 * 1024..=512 * 1024).contains(&spooled), "{spooled}");
        emulator.resume().await.unwrap();
        for key in keys {
            let expected = key.await.unwrap();
            let name = format!("of-{}", expected[0] as char);
            writer.flush().await.unwrap();
            assert!(content(&emulator, &name) == expected, "{name}");
        }
        writer.shutdown().await.unwrap();
    });
    assert_eq!(directories(directory.path()), Vec::<String>::new());
}
