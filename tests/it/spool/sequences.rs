//! Sequences of objects.

use std::path::Path;

use oss_append::emulator::Emulator;
use oss_append::{FlushMode, OssClient, RollingWriter, RollingWriterBuilder};

use super::{BUCKET, client, emulator, life, lines, segments, spool};

fn rolling(emulator: &Emulator, directory: &Path) -> RollingWriterBuilder<OssClient> {
    RollingWriter::builder(client(emulator), BUCKET, "log-{seq:4}")
        .writer(|writer| {
            writer
                .batch_size(4 * 1024)
                .max_append_size(16 * 1024)
                .buffer_capacity(64 * 1024)
        })
        .roll_size(100_000)
        .spool(spool(directory))
}

/// All objects, one after the other. Each begins and ends with a record.
fn all(emulator: &Emulator) -> Vec<u8> {
    let mut all = Vec::new();
    for number in 1.. {
        let Some(object) = emulator.object(BUCKET, &format!("log-{number:04}")) else {
            break;
        };
        assert!(object.bytes.ends_with(b"\n"), "log-{number:04}");
        all.extend_from_slice(&object.bytes);
    }
    all
}

#[test]
fn what_a_killed_process_had_accepted_is_delivered_by_the_next() {
    let (emulator, directory) = (emulator(), tempfile::tempdir().unwrap());
    let text = lines(0..20_000);
    let (first, second) = text.split_at(text.len() / 500 * 100);
    life(async {
        let mut writer = rolling(&emulator, directory.path()).open().await.unwrap();
        for line in first.split_inclusive('\n') {
            writer.write_all(line.as_bytes()).await.unwrap();
        }
        writer.sync().await.unwrap();
        emulator.pause().await;
        writer.write_all(second.as_bytes()).await.unwrap();
        writer.spooled().await.unwrap();
    });
    life(async {
        emulator.resume().await.unwrap();
        let mut writer = rolling(&emulator, directory.path()).open().await.unwrap();
        writer.shutdown().await.unwrap();
    });
    assert!(all(&emulator) == text.as_bytes());
    assert_eq!(segments(directory.path()), Vec::<String>::new());
}

#[test]
fn a_flush_may_be_content_with_the_disk() {
    let (emulator, directory) = (emulator(), tempfile::tempdir().unwrap());
    let to_disk = || {
        let builder = rolling(&emulator, directory.path());
        builder.writer(|writer| writer.flush_mode(FlushMode::Spooled))
    };
    life(async {
        let mut writer = to_disk().open().await.unwrap();
        emulator.pause().await;
        writer.write_all(b"kept\n").await.unwrap();
        writer.flush().await.unwrap();
    });
    life(async {
        emulator.resume().await.unwrap();
        let mut writer = to_disk().open().await.unwrap();
        writer.shutdown().await.unwrap();
    });
    assert_eq!(all(&emulator), b"kept\n");
    let without = RollingWriter::builder(client(&emulator), BUCKET, "other-{seq}")
        .writer(|writer| writer.flush_mode(FlushMode::Spooled));
    life(async { without.start().unwrap_err() });
}

#[test]
fn it_goes_on_in_the_next_object_where_somebody_has_changed_the_last() {
    let (emulator, directory) = (emulator(), tempfile::tempdir().unwrap());
    let (first, second) = (lines(0..100), lines(100..200));
    life(async {
        let mut writer = rolling(&emulator, directory.path()).open().await.unwrap();
        writer.write_all(first.as_bytes()).await.unwrap();
        writer.sync().await.unwrap();
        emulator.pause().await;
        writer.write_all(second.as_bytes()).await.unwrap();
        writer.spooled().await.unwrap();
    });
    life(async {
        emulator.resume().await.unwrap();
        emulator
            .append_foreign(BUCKET, "log-0001", "foreign\n")
            .unwrap();
        let mut writer = rolling(&emulator, directory.path()).open().await.unwrap();
        writer.shutdown().await.unwrap();
    });
    let kept = emulator.object(BUCKET, "log-0001").unwrap().bytes;
    assert_eq!(kept, [first.as_bytes(), b"foreign\n"].concat());
    assert_eq!(
        emulator.object(BUCKET, "log-0002").unwrap().bytes,
        second.as_bytes()
    );
}
