//! Whatever writes to many objects: where one that is there does not agree, the next number of the
//! sequence is taken, or the key fails that has no next.

use std::time::{Duration, SystemTime};

use oss_append::testing::{MemoryStore, On};
use oss_append::{Compression, KeyedWriter, OssLogAppender, RollingWriter, StoredFormat};

use super::{BOTH, assert_refused, format, member, named};

/// One run of a program that writes a sequence.
async fn roll(
    store: &MemoryStore,
    template: &str,
    compression: Option<Compression>,
    bytes: &[u8],
) -> RollingWriter {
    let builder = RollingWriter::builder(store.clone(), "bucket", template)
        .daily()
        .clock(|| SystemTime::UNIX_EPOCH)
        .record_per_write();
    let builder = match compression {
        Some(compression) => builder.writer(|writer| writer.compression(compression)),
        None => builder,
    };
    let mut writer = builder.open().await.unwrap();
    writer.write_all(bytes).await.unwrap();
    writer.shutdown().await.unwrap();
    writer
}

#[tokio::test(start_paused = true)]
async fn a_sequence_goes_on_in_the_next_object_where_the_newest_does_not_agree() {
    for template in ["log-%Y-{seq}", "log-%Y-%m-%d"] {
        let store = MemoryStore::new();
        let key = |number| match (template.contains("seq"), number) {
            (true, _) => format!("log-1970-{number}"),
            (false, 1) => "log-1970-01-01".to_owned(),
            (false, _) => format!("log-1970-01-01-{number}"),
        };
        let runs = [
            (None, 1),
            (None, 1),
            (Some(Compression::gzip()), 2),
            (Some(Compression::gzip()), 2),
            (Some(Compression::zstd()), 3),
            (None, 4),
            (None, 4),
            (Some(Compression::zstd()), 5),
        ];
        for (compression, number) in runs {
            let before = store.content(&named(&key(number)));
            let writer = roll(&store, template, compression, b"a line\n").await;
            let stats = writer.stats();
            assert_eq!((stats.writer.durable, stats.writer.failed), (7, 0));
            let found = compression.map_or(StoredFormat::Other, format);
            let content = store.content(&named(&key(number))).unwrap();
            assert_eq!(StoredFormat::of(&content), found, "{}", key(number));
            assert!(
                content.len() > before.map_or(0, |before| before.len()),
                "{}",
                key(number)
            );
        }
        for (number, text) in [(1, "a line\na line\n"), (4, "a line\na line\n")] {
            assert_eq!(store.content(&named(&key(number))).unwrap(), text);
        }
        assert_eq!(store.content(&named(&key(6))), None);
    }
}

#[tokio::test(start_paused = true)]
async fn a_sequence_of_what_is_compressed_already_goes_on() {
    let store = MemoryStore::new();
    for _ in 0..2 {
        let archive = member(Compression::gzip(), "a line\n");
        roll(&store, "log-{seq}.gz", None, &archive).await;
    }
    let content = store.content(&named("log-1.gz")).unwrap();
    assert_eq!(content, member(Compression::gzip(), "a line\n").repeat(2));
}

#[tokio::test(start_paused = true)]
async fn a_key_with_a_sequence_goes_on_in_the_next_object_and_one_without_fails() {
    let runs = [
        None,
        Some(Compression::gzip()),
        Some(Compression::zstd()),
        None,
    ];
    let (single, sequence) = (MemoryStore::new(), MemoryStore::new());
    for (number, compression) in (1..).zip(runs) {
        let writer = KeyedWriter::builder(sequence.clone(), "bucket")
            .template("{tenant}/{seq}")
            .rolling(move |_, rolling| match compression {
                Some(compression) => rolling.writer(|writer| writer.compression(compression)),
                None => rolling,
            });
        let writer = writer.start().unwrap();
        let fields = [("tenant", "a")];
        let receipt = writer
            .write_fields(&fields, "a line\n".into())
            .await
            .unwrap();
        writer.shutdown().await.unwrap();
        let key = receipt.written().await.unwrap().object.key().to_owned();
        assert_eq!(key, format!("a/{number}"));

        let writer =
            KeyedWriter::builder(single.clone(), "bucket").writer(
                move |_, writer| match compression {
                    Some(compression) => writer.compression(compression),
                    None => writer,
                },
            );
        let writer = writer.start().unwrap();
        let receipt = writer.write("a.log", "a line\n".into()).await.unwrap();
        let ended = writer.shutdown().await;
        let Some(given) = compression.map(format) else {
            // As it was begun.
            ended.unwrap();
            continue;
        };
        assert!(ended.is_err());
        let refused = receipt.written().await.map(drop);
        assert_refused(refused, StoredFormat::Other, given);
    }
    assert_eq!(
        single.content(&named("a.log")).unwrap(),
        "a line\n".repeat(2)
    );
    assert_eq!(single.count(On::Append), 2);
}

#[test]
fn a_log_goes_on_in_the_next_object() {
    let store = MemoryStore::new();
    let runs = [Some(BOTH[0]), None, None, Some(BOTH[1])];
    for compression in runs {
        let objects = RollingWriter::builder(store.clone(), "bucket", "log-{seq}");
        let objects = match compression {
            Some(compression) => objects.writer(|writer| writer.compression(compression)),
            None => objects,
        };
        let (appender, guard) = OssLogAppender::builder(objects).start_unchecked().unwrap();
        appender.record(b"a record\n");
        let report = guard.shutdown(Duration::from_secs(120));
        assert!(report.is_complete(), "{report:?}");
        assert_eq!(report.delivered, 9);
    }
    let found = [1, 2, 3]
        .map(|number| StoredFormat::of(&store.content(&named(&format!("log-{number}"))).unwrap()));
    let expected = [StoredFormat::Gzip, StoredFormat::Other, StoredFormat::Zstd];
    assert_eq!(found, expected);
    assert_eq!(
        store.content(&named("log-2")).unwrap(),
        "a record\n".repeat(2)
    );
    assert_eq!(store.content(&named("log-4")), None);
}
