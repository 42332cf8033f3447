//! One object.

use std::io::Read as _;

use futures::FutureExt as _;
use oss_append::{Checkpoint, Compression, ErrorKind, FlushMode, OssAppendWriter, Spool};

use super::{BUCKET, OBJECT, builder, client, content, emulator, in_spool, life, lines, segments};

#[test]
fn what_is_durable_leaves_nothing_on_disk() {
    let (emulator, directory) = (emulator(), tempfile::tempdir().unwrap());
    let text = lines(0..5_000);
    life(async {
        let mut writer = builder(&emulator, directory.path()).open().await.unwrap();
        writer.write_all(text.as_bytes()).await.unwrap();
        writer.flush().await.unwrap();
        assert_eq!(content(&emulator, OBJECT), text.as_bytes());
        writer.shutdown().await.unwrap();
        let stats = writer.stats();
        assert_eq!(in_spool(&stats), 0);
        assert_eq!(stats.accepted, stats.durable);
    });
    assert_eq!(segments(directory.path()), Vec::<String>::new());
}

#[test]
fn what_a_killed_process_had_accepted_is_delivered_by_the_next() {
    let (emulator, directory) = (emulator(), tempfile::tempdir().unwrap());
    let (first, second) = (lines(0..3_000), lines(3_000..9_000));
    life(async {
        let mut writer = builder(&emulator, directory.path()).open().await.unwrap();
        writer.write_all(first.as_bytes()).await.unwrap();
        writer.flush().await.unwrap();
        emulator.pause().await;
        // Much more than the buffer holds.
        writer.write_all(second.as_bytes()).await.unwrap();
        writer.spooled().await.unwrap();
        let stats = writer.stats();
        assert!(stats.spool.as_ref().unwrap().oldest.is_some());
        assert_eq!(in_spool(&stats), second.len() as u64);
        assert_eq!(writer.spooled_position(), writer.position());
    });
    assert_eq!(content(&emulator, OBJECT), first.as_bytes());
    life(async {
        emulator.resume().await.unwrap();
        let mut writer = builder(&emulator, directory.path()).open().await.unwrap();
        assert_eq!(writer.position(), (first.len() + second.len()) as u64);
        writer.write_all(b"the end\n").await.unwrap();
        writer.shutdown().await.unwrap();
    });
    let all = [first.as_bytes(), second.as_bytes(), b"the end\n"].concat();
    assert!(content(&emulator, OBJECT) == all);
    assert_eq!(segments(directory.path()), Vec::<String>::new());
}

#[test]
fn an_outage_longer_than_memory_is_bridged() {
    let (emulator, directory) = (emulator(), tempfile::tempdir().unwrap());
    let text = lines(0..60_000);
    life(async {
        let mut writer = builder(&emulator, directory.path()).open().await.unwrap();
        writer.write_all(b"first\n").await.unwrap();
        writer.sync().await.unwrap();
        emulator.pause().await;
        writer.write_all(text.as_bytes()).await.unwrap();
        assert!(segments(directory.path()).len() > 10);
        emulator.resume().await.unwrap();
        writer.write_all(b"last\n").await.unwrap();
        writer.sync().await.unwrap();
        // What comes later goes by memory again.
        writer.write_all(b"later\n").await.unwrap();
        writer.shutdown().await.unwrap();
    });
    let all = [&b"first\n"[..], text.as_bytes(), b"last\nlater\n"].concat();
    assert!(content(&emulator, OBJECT) == all);
}

#[test]
fn a_flush_may_be_content_with_the_disk() {
    let (emulator, directory) = (emulator(), tempfile::tempdir().unwrap());
    life(async {
        let mut writer = builder(&emulator, directory.path())
            .flush_mode(FlushMode::Spooled)
            .open()
            .await
            .unwrap();
        emulator.pause().await;
        writer.write_all(b"kept\n").await.unwrap();
        writer.flush().await.unwrap();
    });
    life(async {
        emulator.resume().await.unwrap();
        let mut writer = builder(&emulator, directory.path()).open().await.unwrap();
        writer.shutdown().await.unwrap();
    });
    assert_eq!(content(&emulator, OBJECT), b"kept\n");
    life(async {
        let object = format!("oss://{BUCKET}/other").parse().unwrap();
        let without = OssAppendWriter::builder(client(&emulator), object)
            .flush_mode(FlushMode::Spooled)
            .open()
            .await;
        assert!(matches!(
            without.unwrap_err().kind(),
            ErrorKind::InvalidInput { .. }
        ));
    });
}

#[test]
fn a_spool_of_another_object_is_refused_and_left_as_it_is() {
    let (emulator, directory) = (emulator(), tempfile::tempdir().unwrap());
    life(async {
        let mut writer = builder(&emulator, directory.path()).open().await.unwrap();
        emulator.pause().await;
        writer.write_all(b"kept\n").await.unwrap();
        writer.spooled().await.unwrap();
    });
    life(async {
        emulator.resume().await.unwrap();
        let object = format!("oss://{BUCKET}/other").parse().unwrap();
        let error = OssAppendWriter::builder(client(&emulator), object)
            .spool(Spool::new(directory.path()))
            .open()
            .await
            .unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Spool { .. }), "{error}");
        assert!(error.to_string().contains(OBJECT), "{error}");
        let mut writer = builder(&emulator, directory.path()).open().await.unwrap();
        writer.shutdown().await.unwrap();
    });
    assert_eq!(content(&emulator, OBJECT), b"kept\n");
}

#[test]
fn compressed_bytes_are_delivered_once_too() {
    let (emulator, directory) = (emulator(), tempfile::tempdir().unwrap());
    let text = lines(0..20_000);
    for life_number in 0..4 {
        life(async {
            emulator.resume().await.unwrap();
            let mut writer = builder(&emulator, directory.path())
                .compression(Compression::gzip())
                .open()
                .await
                .unwrap();
            let quarter = text.len() / 4;
            let part = &text.as_bytes()[life_number * quarter..(life_number + 1) * quarter];
            let (early, late) = part.split_at(part.len() / 3);
            writer.write_all(early).await.unwrap();
            writer
                .wait_durable(writer.durable_position() + 1)
                .await
                .unwrap();
            emulator.pause().await;
            writer.write_all(late).await.unwrap();
            writer.spooled().await.unwrap();
        });
    }
    life(async {
        emulator.resume().await.unwrap();
        let mut writer = builder(&emulator, directory.path())
            .compression(Compression::gzip())
            .open()
            .await
            .unwrap();
        writer.shutdown().await.unwrap();
    });
    let stored = content(&emulator, OBJECT);
    let mut read = Vec::new();
    std::io::Read::read_to_end(
        &mut flate2::read::MultiGzDecoder::new(&stored[..]),
        &mut read,
    )
    .unwrap();
    assert!(read == text.as_bytes(), "{} of {}", read.len(), text.len());
}

#[test]
fn a_writer_starts_while_oss_is_away() {
    for compression in [None, Some(Compression::gzip())] {
        let (emulator, directory) = (emulator(), tempfile::tempdir().unwrap());
        let texts = [lines(0..3_000), lines(3_000..9_000), lines(9_000..15_000)];
        let builder = || {
            let builder = builder(&emulator, directory.path());
            match compression {
                Some(compression) => builder.compression(compression),
                None => builder,
            }
        };
        life(async {
            let mut writer = builder().open().await.unwrap();
            writer.write_all(texts[0].as_bytes()).await.unwrap();
            writer.flush().await.unwrap();
            emulator.pause().await;
            writer.write_all(texts[1].as_bytes()).await.unwrap();
            writer.spooled().await.unwrap();
        });
        // Nothing can be asked: it is taken in all the same, behind what is there.
        life(async {
            let mut writer = builder().start().unwrap();
            let before = writer.position();
            assert!(before >= texts[1].len() as u64, "{before}");
            writer.write_all(texts[2].as_bytes()).await.unwrap();
            writer.spooled().await.unwrap();
            assert_eq!(writer.position(), before + texts[2].len() as u64);
            let durable = writer.wait_durable(1);
            assert!(durable.now_or_never().is_none());
        });
        life(async {
            let mut writer = builder().start().unwrap();
            writer.write_all(b"the end\n").await.unwrap();
            emulator.resume().await.unwrap();
            writer.shutdown().await.unwrap();
            let stats = writer.stats();
            assert_eq!(stats.accepted, stats.durable);
            assert_eq!(in_spool(&stats), 0);
        });
        let found = content(&emulator, OBJECT);
        let found = match compression {
            Some(_) => gunzip(&found),
            None => found,
        };
        assert!(found == [&texts.concat(), "the end\n"].concat().into_bytes());
        assert_eq!(segments(directory.path()), Vec::<String>::new());
    }
}

fn gunzip(members: &[u8]) -> Vec<u8> {
    let mut found = Vec::new();
    let mut decoder = flate2::read::MultiGzDecoder::new(members);
    decoder.read_to_end(&mut found).unwrap();
    found
}

#[test]
fn a_writer_that_starts_without_a_look_fails_later_and_keeps_its_spool() {
    let (emulator, directory) = (emulator(), tempfile::tempdir().unwrap());
    let object = || "oss://nobodys/object".parse().unwrap();
    let builder = || OssAppendWriter::builder(client(&emulator), object());
    life(async {
        let spooled = builder().spool(super::spool(directory.path()));
        let mut writer = spooled.start().unwrap();
        writer.write_all(b"kept\n").await.unwrap();
        let error = writer.sync().await.unwrap_err();
        assert_eq!(error.service_error().unwrap().code, "NoSuchBucket");
    });
    let found = life(async { Spool::new(directory.path()).contents().await.unwrap() });
    assert_eq!(found.bytes, 5);
    assert_eq!(found.owner.unwrap().name, object());
    // Without a spool the first append finds it out.
    life(async {
        let mut writer = builder().start().unwrap();
        writer.write_all(b"lost\n").await.unwrap();
        let error = writer.sync().await.unwrap_err();
        assert_eq!(error.service_error().unwrap().code, "NoSuchBucket");
        assert_eq!(writer.into_unsent().unwrap().chunks.concat(), b"lost\n");
    });
}

#[test]
fn a_start_is_for_what_needs_no_look() {
    let (emulator, directory) = (emulator(), tempfile::tempdir().unwrap());
    let key = format!("oss://{BUCKET}/started");
    let builder = || OssAppendWriter::builder(client(&emulator), key.parse().unwrap());
    life(async {
        let replay = builder().replay(Checkpoint::start(key.parse().unwrap()));
        let error = replay.start().unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::InvalidInput { .. }));
        // Each begins behind the other.
        for text in ["one\n", "two\n"] {
            let mut writer = builder().seal_on_shutdown(text == "two\n").start().unwrap();
            writer.write_all(text.as_bytes()).await.unwrap();
            writer.sync().await.unwrap();
            assert_eq!((writer.position(), writer.durable_position()), (4, 4));
            let end = writer.checkpoint().position;
            assert_eq!(
                end,
                emulator.object(BUCKET, "started").unwrap().bytes.len() as u64
            );
            writer.shutdown().await.unwrap();
        }
        let mut created = builder().create_new().start().unwrap();
        created.write_all(b"never\n").await.unwrap();
        let error = created.sync().await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Conflict(_)), "{error}");
    });
    assert_eq!(content(&emulator, "started"), b"one\ntwo\n");
    assert!(emulator.object(BUCKET, "started").unwrap().info.sealed);
    drop(directory);
}
