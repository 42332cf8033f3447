//! Replay: what the object holds already is compared and skipped, the rest is appended.

#![allow(clippy::single_range_in_vec_init, reason = "one read of one range")]

use oss_append::{Checkpoint, ConflictCause, ErrorKind, Landed, OssAppendWriter, Unsent, crc64};

use crate::support::store::{Fault, Object, SimStore, broken, grow, service};
use crate::support::{MS, SEC, appender, conflict_cause, object, small_writer, writer};

const INPUT: &str = "the quick brown fox jumps over the lazy dog";

#[tokio::test(start_paused = true)]
async fn a_replay_appends_only_what_is_missing() {
    for durable in [0, 1, 7, 20, INPUT.len()] {
        let store = SimStore::holding(&INPUT[..durable]);
        let mut writer = writer(&store)
            .replay(Checkpoint::start(object()))
            .batch_size(5)
            .max_append_size(10)
            .open()
            .await
            .unwrap();
        assert_eq!(writer.position(), 0);
        for piece in INPUT.as_bytes().chunks(3) {
            writer.write_all(piece).await.unwrap();
        }
        writer.shutdown().await.unwrap();
        assert_eq!(store.text(), INPUT);
        assert_eq!(writer.durable_position(), INPUT.len() as u64);
        let sent: u64 = store.appends().iter().map(|(_, len)| len).sum();
        assert_eq!(sent, (INPUT.len() - durable) as u64);
        assert!(store.reads().is_empty(), "compared by checksum alone");
    }
}

#[tokio::test(start_paused = true)]
async fn a_replay_into_a_missing_object_creates_it() {
    let store = SimStore::new();
    let mut writer = writer(&store)
        .replay(Checkpoint::start(object()))
        .open()
        .await
        .unwrap();
    writer.write_all(b"x").await.unwrap();
    writer.shutdown().await.unwrap();
    assert_eq!(store.text(), "x");
}

#[tokio::test(start_paused = true)]
async fn a_replay_that_differs_appends_nothing() {
    for changed in [0, 10, 19] {
        let mut other = INPUT.as_bytes()[..20].to_vec();
        other[changed] ^= 1;
        let store = SimStore::new();
        store.world().object = Some(Object::appendable(other.clone()));
        let mut writer = writer(&store)
            .replay(Checkpoint::start(object()))
            .batch_size(5)
            .max_append_size(10)
            .open()
            .await
            .unwrap();
        // The failure may show before the last write, or with the shutdown.
        let written = writer.write_all(INPUT.as_bytes()).await;
        let error = match written {
            Ok(()) => writer.shutdown().await.unwrap_err(),
            Err(error) => error,
        };
        assert!(matches!(
            error.kind(),
            ErrorKind::ReplayDiffers {
                start: 0,
                end: 20,
                ..
            }
        ));
        assert_eq!(store.content(), other);
        assert!(store.appends().is_empty());
        let stats = writer.stats();
        assert_eq!((stats.buffered, stats.compared), (0, 0));
        // What is the same was read back and found to be durable.
        let same = INPUT.bytes().zip(&other).take_while(|(a, b)| a == *b);
        assert!(stats.durable <= same.count() as u64, "{stats:?}");
        assert_eq!(stats.durable + stats.failed, stats.accepted);
    }
}

#[tokio::test(start_paused = true)]
async fn a_replay_that_ends_before_the_object_is_an_error_with_both_lengths() {
    let store = SimStore::holding(INPUT);
    let mut writer = writer(&store)
        .replay(Checkpoint::start(object()))
        .open()
        .await
        .unwrap();
    writer.write_all(&INPUT.as_bytes()[..20]).await.unwrap();
    let error = writer.shutdown().await.unwrap_err();
    let ErrorKind::ReplayTooShort { given, object, .. } = error.kind() else {
        panic!("{error}");
    };
    assert_eq!((*given, *object), (20, INPUT.len() as u64));
    assert_eq!(store.text(), INPUT);
}

#[tokio::test(start_paused = true)]
async fn a_flush_in_mid_replay_is_proven_by_reading_back() {
    let store = SimStore::holding(INPUT);
    let mut writer = writer(&store)
        .replay(Checkpoint::start(object()))
        .open()
        .await
        .unwrap();
    writer.write_all(&INPUT.as_bytes()[..20]).await.unwrap();
    tokio::time::sleep(2 * SEC).await;
    let stats = writer.stats();
    assert_eq!((stats.durable, stats.compared, stats.buffered), (0, 20, 0));
    writer.flush().await.unwrap();
    assert_eq!(store.reads(), [(0, 20)]);
    assert_eq!(writer.durable_position(), 20);
    writer.write_all(&INPUT.as_bytes()[20..]).await.unwrap();
    writer.shutdown().await.unwrap();
    assert_eq!(store.text(), INPUT);
}

#[tokio::test(start_paused = true)]
async fn a_flush_of_differing_bytes_in_mid_replay_fails() {
    let store = SimStore::holding(INPUT);
    let mut writer = writer(&store)
        .replay(Checkpoint::start(object()))
        .open()
        .await
        .unwrap();
    writer.write_all(b"the quick red").await.unwrap();
    let error = writer.flush().await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::ReplayDiffers { .. }));
}

#[tokio::test(start_paused = true)]
async fn a_read_back_that_breaks_goes_on_where_it_was() {
    let store = SimStore::holding(INPUT);
    let mut appender = appender(&store)
        .replay(Checkpoint::start(object()))
        .open()
        .await
        .unwrap();
    appender.append(&INPUT[..10]).await.unwrap();
    appender.verify().await.unwrap();
    store.fail_read(broken());
    let receipt = appender.append(&INPUT[10..20]).await.unwrap();
    assert!(!receipt.durable);
    assert_eq!(appender.durable_position(), 10);
    appender.verify().await.unwrap();
    assert_eq!(appender.durable_position(), 20);
    assert_eq!(store.reads(), [(0, 10), (10, 20), (10, 20)]);
}

#[tokio::test(start_paused = true)]
async fn a_replay_from_a_checkpoint_starts_there() {
    let checkpoint = Checkpoint::new(object(), 10).crc64(crc64::checksum(&INPUT.as_bytes()[..10]));
    let store = SimStore::holding(&INPUT[..25]);
    let mut writer = writer(&store).replay(checkpoint).open().await.unwrap();
    assert_eq!(writer.position(), 10);
    writer.write_all(&INPUT.as_bytes()[10..]).await.unwrap();
    writer.shutdown().await.unwrap();
    assert_eq!(store.text(), INPUT);
    assert!(store.reads().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_checkpoint_without_checksum_is_compared_by_reading_back() {
    let store = SimStore::holding(&INPUT[..25]);
    let mut writer = writer(&store)
        .replay(Checkpoint::new(object(), 10))
        .open()
        .await
        .unwrap();
    writer.write_all(&INPUT.as_bytes()[10..]).await.unwrap();
    writer.shutdown().await.unwrap();
    assert_eq!(store.text(), INPUT);
    assert_eq!(store.reads(), [(10, 25)]);
}

#[tokio::test(start_paused = true)]
async fn a_checkpoint_that_the_object_does_not_reach_is_a_conflict() {
    let checkpoint = Checkpoint::new(object(), 10).crc64(7);
    for (object, cause) in [
        (None, ConflictCause::Gone),
        (Some("short"), ConflictCause::Replaced),
        (Some("0123456789"), ConflictCause::Replaced),
    ] {
        let store = SimStore::new();
        store.world().object = object.map(Object::appendable);
        let error = writer(&store)
            .replay(checkpoint.clone())
            .open()
            .await
            .unwrap_err();
        assert_eq!(conflict_cause(&error), cause);
    }
}

#[tokio::test(start_paused = true)]
async fn an_append_of_the_crashed_process_that_lands_late_is_no_conflict() {
    // At the first append of the replay, the predecessor's own arrives before it: shorter than our
    // batch, as long, or longer.
    for late in [3, 10, 18] {
        let store = SimStore::holding(&INPUT[..10]);
        let mut writer = writer(&store)
            .replay(Checkpoint::start(object()))
            .batch_size(5)
            .max_append_size(10)
            .open()
            .await
            .unwrap();
        store.fault(Fault::none().before(move |object| {
            grow(object, &INPUT.as_bytes()[10..10 + late]);
        }));
        writer.write_all(INPUT.as_bytes()).await.unwrap();
        writer.shutdown().await.unwrap();
        assert_eq!(store.text(), INPUT, "late {late}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_late_append_after_the_last_byte_is_found_at_the_end() {
    let store = SimStore::holding(&INPUT[..10]);
    let mut writer = writer(&store)
        .replay(Checkpoint::start(object()))
        .open()
        .await
        .unwrap();
    writer.write_all(&INPUT.as_bytes()[..10]).await.unwrap();
    writer.sync().await.unwrap();
    store.foreign(&INPUT[10..]);
    let error = writer.shutdown().await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::ReplayTooShort { .. }));
}

#[tokio::test(start_paused = true)]
async fn a_foreign_append_during_a_replay_is_found() {
    let store = SimStore::holding(&INPUT[..10]);
    let mut writer = writer(&store)
        .replay(Checkpoint::start(object()))
        .open()
        .await
        .unwrap();
    store.fault(Fault::none().foreign_before("somebody else"));
    writer.write_all(INPUT.as_bytes()).await.unwrap();
    let error = writer.shutdown().await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::ReplayDiffers { .. }));
    assert_eq!(store.text(), format!("{}somebody else", &INPUT[..10]));
}

#[tokio::test(start_paused = true)]
async fn after_its_first_append_a_replay_is_exclusive_like_any_other() {
    let store = SimStore::holding(&INPUT[..10]);
    let mut appender = appender(&store)
        .replay(Checkpoint::start(object()))
        .open()
        .await
        .unwrap();
    appender.append(&INPUT[..20]).await.unwrap();
    store.fault(Fault::none().before(|object| grow(object, &INPUT.as_bytes()[20..])));
    let error = appender.append(&INPUT[20..30]).await.unwrap_err();
    assert_eq!(conflict_cause(&error), ConflictCause::Foreign);
}

#[tokio::test(start_paused = true)]
async fn a_replay_without_checksums_reads_everything_back() {
    let store = SimStore::holding(&INPUT[..20]);
    store.world().without_crc = true;
    let mut writer = writer(&store)
        .replay(Checkpoint::start(object()))
        .batch_size(8)
        .open()
        .await
        .unwrap();
    for piece in INPUT.as_bytes().chunks(8) {
        writer.write_all(piece).await.unwrap();
        tokio::time::sleep(MS).await;
    }
    writer.shutdown().await.unwrap();
    assert_eq!(store.text(), INPUT);
    assert_eq!(store.reads()[..3], [(0, 8), (8, 16), (16, 20)]);
}

#[tokio::test(start_paused = true)]
async fn lost_answers_in_a_replay_double_nothing() {
    let store = SimStore::holding(&INPUT[..7]);
    let mut writer = writer(&store)
        .replay(Checkpoint::start(object()))
        .batch_size(5)
        .max_append_size(5)
        .open()
        .await
        .unwrap();
    store
        .fault(Fault::lost_answer())
        .fault(Fault::late())
        .fault(Fault::torn(2));
    writer.write_all(INPUT.as_bytes()).await.unwrap();
    writer.shutdown().await.unwrap();
    store.land_late();
    assert_eq!(store.text(), INPUT);
}

// ---- compared is not proven

#[tokio::test(start_paused = true)]
async fn what_a_replay_has_only_compared_is_given_back_when_it_fails() {
    let store = SimStore::holding("theirs, longer\n");
    let mut writer = writer(&store)
        .replay(Checkpoint::start(object()))
        .open()
        .await
        .unwrap();
    writer.write_all(b"ours\n").await.unwrap();
    let error = writer.sync().await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::ReplayDiffers { .. }));
    assert_eq!(writer.stats().durable, 0);
    let unsent = writer.into_unsent().unwrap();
    assert_eq!((unsent.position, unsent.missing.clone()), (0, 0..0));
    assert_eq!(unsent.chunks.concat(), b"ours\n");
}

#[tokio::test(start_paused = true)]
async fn what_a_replay_could_not_keep_is_named_as_missing() {
    let store = SimStore::holding(&"theirs".repeat(100));
    let mut writer = small_writer(&store)
        .replay(Checkpoint::start(object()))
        .open()
        .await
        .unwrap();
    let input: Vec<u8> = (0..150).collect();
    writer.write_all(&input).await.unwrap();
    let error = writer.sync().await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::ReplayDiffers { .. }));
    assert_eq!(writer.stats().durable, 0);
    let unsent = writer.into_unsent().unwrap();
    let missing = unsent.missing.clone();
    assert_eq!((missing.start, missing.end), (0, unsent.position));
    assert!(!unsent.chunks.is_empty() && missing.end >= 50, "{unsent:?}");
    assert_eq!(unsent.chunks.concat(), &input[unsent.position as usize..]);
}

#[tokio::test(start_paused = true)]
async fn what_the_object_has_of_what_was_only_compared_is_durable() {
    let content = format!("{}{}", &INPUT[..20], "theirs".repeat(10));
    let store = SimStore::holding(&content);
    let replay = Checkpoint::start(object());
    let mut writer = writer(&store)
        .replay(replay.clone())
        .batch_size(5)
        .max_append_size(5)
        .open()
        .await
        .unwrap();
    for piece in INPUT.as_bytes().chunks(5) {
        writer.write_all(piece).await.unwrap();
    }
    writer.sync().await.unwrap_err();
    let unsent = writer.into_unsent().unwrap();
    assert_eq!((unsent.position, unsent.missing.clone()), (20, 20..20));
    assert_eq!(unsent.chunks.concat(), &INPUT.as_bytes()[20..]);

    let mut appender = appender(&store).replay(replay).open().await.unwrap();
    for piece in INPUT.as_bytes().chunks(5) {
        appender.append(piece).await.unwrap();
    }
    assert_eq!(appender.durable_position(), 0);
    let error = appender.verify().await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::ReplayDiffers { .. }));
    assert_eq!(appender.durable_position(), 20);
}

#[tokio::test(start_paused = true)]
async fn whatever_ends_a_replay_what_the_object_has_of_it_is_durable() {
    // Found where the object ends.
    let store = SimStore::holding(&format!("{}theirs", &INPUT[..20]));
    let replay = Checkpoint::start(object());
    let mut appender = appender(&store)
        .replay(replay.clone())
        .open()
        .await
        .unwrap();
    let pieces = INPUT.as_bytes().chunks(5);
    for piece in pieces.clone().take(5) {
        appender.append(piece).await.unwrap();
    }
    assert_eq!(appender.durable_position(), 0);
    let error = appender.append(&INPUT[25..]).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::ReplayDiffers { .. }));
    assert_eq!(appender.durable_position(), 20);

    // Found where the source ends.
    let mut writer = writer(&store)
        .replay(replay)
        .batch_size(5)
        .open()
        .await
        .unwrap();
    for piece in pieces.take(4) {
        writer.write_all(piece).await.unwrap();
    }
    let error = writer.shutdown().await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::ReplayTooShort { .. }));
    assert_eq!(writer.durable_position(), 20);
    assert!(writer.into_unsent().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_replay_ends_well_only_if_the_object_is_what_was_written() {
    for (now, cause) in [
        (None, ConflictCause::Gone),
        (Some("short"), ConflictCause::Replaced),
        (Some("HELLO WORLD"), ConflictCause::Replaced),
    ] {
        let store = SimStore::holding("hello world");
        let replay = Checkpoint::start(object());
        let mut writer = writer(&store).replay(replay.clone()).open().await.unwrap();
        let mut appender = appender(&store).replay(replay).open().await.unwrap();
        writer.write_all(b"hello world").await.unwrap();
        writer.sync().await.unwrap();
        appender.append("hello world").await.unwrap();
        store.world().object = now.map(Object::appendable);
        let error = writer.shutdown().await.unwrap_err();
        assert_eq!(conflict_cause(&error), cause);
        let error = appender.end_replay().await.unwrap_err();
        assert_eq!(conflict_cause(&error), cause);
        assert!(store.appends().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_last_look_that_is_too_old_is_repeated() {
    let store = SimStore::holding("hello world");
    let mut writer = writer(&store)
        .replay(Checkpoint::start(object()))
        .open()
        .await
        .unwrap();
    writer.write_all(b"hello world").await.unwrap();
    writer.sync().await.unwrap();
    store.stale_look(None).stale_look(Some("hello"));
    writer.shutdown().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_replay_whose_own_append_is_refused_is_in_doubt_with_all_its_bytes() {
    let store = SimStore::new();
    let mut failed = writer(&store).open().await.unwrap();
    store
        .fault(Fault::late())
        .fail_head(service(403, "AccessDenied"));
    failed.write_all(b"payment").await.unwrap();
    failed.shutdown().await.unwrap_err();
    let unsent = failed.into_unsent().unwrap();
    assert_eq!((unsent.position, unsent.in_doubt), (0, 7));

    // The attempt of its predecessor is still on its way.
    store.fault(Fault::error(403, "AccessDenied"));
    let mut refused = again(&store, unsent).await;
    let error = refused.shutdown().await.unwrap_err();
    assert_eq!(error.landed(), Some(Landed::InDoubt));
    let unsent = refused.into_unsent().unwrap();
    assert_eq!((unsent.position, unsent.in_doubt), (0, 7));

    let mut last = again(&store, unsent).await;
    store.land_late();
    last.shutdown().await.unwrap();
    assert_eq!(store.text(), "payment");
}

/// Writes what a failed writer gave back, in a replay.
async fn again(store: &SimStore, unsent: Unsent) -> OssAppendWriter {
    let mut writer = writer(store)
        .replay(Checkpoint::new(object(), unsent.position))
        .open()
        .await
        .unwrap();
    for chunk in unsent.chunks {
        writer.write_bytes(chunk).await.unwrap();
    }
    writer
}
