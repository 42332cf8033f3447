//! One object: what is given out as it grows, where it begins, and what is refused.

use std::sync::{Arc, Mutex};

use futures::StreamExt as _;
use oss_append::emulator::Operation;
use oss_append::{
    Checkpoint, ConflictCause, DeliveryEvent, Error, ErrorKind, ObjectFollower, OssAppendWriter,
    crc64,
};

use super::*;
use crate::support::conflict_cause;
use crate::support::emulated::start;

/// All until the end, with the error that it is, if it is one.
async fn rest(follower: &mut ObjectFollower) -> (String, Option<Error>) {
    let mut text = Vec::new();
    while let Some(piece) = follower.next().await {
        match piece {
            Ok(piece) => text.extend_from_slice(&piece.item),
            Err(error) => return (String::from_utf8(text).unwrap(), Some(error)),
        }
    }
    (String::from_utf8(text).unwrap(), None)
}

#[tokio::test]
async fn what_is_appended_comes_with_its_place_until_the_object_is_sealed() {
    let emulator = start().await;
    grow(&emulator, "one ");
    let mut follower = follower(&emulator).open().await.unwrap();
    let mut all = String::new();
    for text in ["one ", "two ", "three"] {
        let piece = next(&mut follower).await.unwrap();
        assert_eq!(piece.object, object());
        assert_eq!(
            piece.range(),
            all.len() as u64..(all.len() + text.len()) as u64
        );
        assert_eq!(piece.item, text);
        all += text;
        assert_eq!(piece.crc64, Some(crc64::checksum(all.as_bytes())));
        assert_eq!(follower.checkpoint(), piece.checkpoint());
        nothing(&emulator, &mut follower).await;
        match text {
            "one " => grow(&emulator, "two "),
            "two " => grow(&emulator, "three"),
            _ => {}
        }
    }
    assert!(!follower.is_sealed());
    grow(&emulator, " the end");
    emulator.seal("bucket", "object").unwrap();
    assert_eq!(rest(&mut follower).await.0, " the end");
    assert!(follower.is_sealed());
    assert!(follower.next().await.is_none());
}

#[tokio::test]
async fn it_begins_where_it_is_told_to() {
    let emulator = start().await;
    grow(&emulator, "0123456789");
    emulator.seal("bucket", "object").unwrap();
    let at = |position| Checkpoint::new(object(), position);
    let crc = |text: &str| crc64::checksum(text.as_bytes());
    for (builder, text, has_crc) in [
        (follower(&emulator), "0123456789", true),
        (follower(&emulator).position(4), "456789", false),
        (follower(&emulator).position(10), "", true),
        (follower(&emulator).last(3), "789", false),
        (follower(&emulator).last(0), "", true),
        (follower(&emulator).last(99), "0123456789", true),
        (follower(&emulator).checkpoint(at(4)), "456789", false),
        (
            follower(&emulator).checkpoint(at(4).crc64(crc("0123"))),
            "456789",
            true,
        ),
    ] {
        let shown = format!("{builder:?}");
        let mut follower = builder.open().await.unwrap();
        let (given, error) = rest(&mut follower).await;
        assert_eq!(given, text, "{shown}");
        assert!(error.is_none(), "{shown}: {error:?}");
        let end = at(10);
        let end = match has_crc {
            true => end.crc64(crc("0123456789")),
            false => end,
        };
        assert_eq!(follower.checkpoint(), end, "{shown}");
    }
}

#[tokio::test]
async fn an_object_that_does_not_exist_yet_is_an_error_or_waited_for() {
    let emulator = start().await;
    let error = follower(&emulator).open().await.unwrap_err();
    assert_eq!(error.service_error().unwrap().code, "NoSuchKey");
    for builder in [follower(&emulator), follower(&emulator).last(0)] {
        let waiting = builder.wait_for_object(true);
        let mut follower = waiting.open().await.unwrap();
        nothing(&emulator, &mut follower).await;
        grow(&emulator, "all of it is new");
        assert_eq!(next(&mut follower).await.unwrap().item, "all of it is new");
        emulator.delete("bucket", "object").unwrap();
        let error = next(&mut follower).await.unwrap_err();
        assert_eq!(conflict_cause(&error), ConflictCause::Gone);
    }
    // What has a position has existed.
    let builder = follower(&emulator).position(3).wait_for_object(true);
    let error = builder.open().await.unwrap_err();
    assert_eq!(conflict_cause(&error), ConflictCause::Gone);
    let nowhere = "oss://nowhere/object".parse().unwrap();
    let client = emulator.client().build().unwrap();
    let builder = ObjectFollower::builder(client, nowhere).wait_for_object(true);
    let error = builder.open().await.unwrap_err();
    assert_eq!(error.service_error().unwrap().code, "NoSuchBucket");
}

#[tokio::test]
async fn an_object_that_cannot_grow_is_refused() {
    let emulator = start().await;
    emulator.put("bucket", "object", "normal").unwrap();
    let error = follower(&emulator).open().await.unwrap_err();
    assert!(matches!(
        error.kind(),
        ErrorKind::NotAppendable { object_type: Some(name), .. } if name == "Normal"
    ));
    assert_eq!(error.object(), Some(&object()));
}

#[tokio::test]
async fn another_object_under_the_same_name_is_an_error() {
    for (change, cause) in [
        ("put", ConflictCause::Replaced),
        ("shorter", ConflictCause::Replaced),
        ("as long", ConflictCause::Replaced),
        ("removed", ConflictCause::Gone),
    ] {
        let emulator = start().await;
        grow(&emulator, "0123456789");
        let mut follower = follower(&emulator).open().await.unwrap();
        assert_eq!(next(&mut follower).await.unwrap().item, "0123456789");
        emulator.delete("bucket", "object").unwrap();
        match change {
            "put" => emulator.put("bucket", "object", "0123456789").unwrap(),
            "shorter" => grow(&emulator, "01234"),
            "as long" => grow(&emulator, "9876543210"),
            _ => {}
        }
        let error = next(&mut follower).await.unwrap_err();
        assert_eq!(conflict_cause(&error), cause, "{change}");
        assert_eq!(
            (error.object(), error.position()),
            (Some(&object()), Some(10))
        );
        assert!(follower.next().await.is_none());
        assert!(!follower.is_sealed());
    }
}

#[tokio::test]
async fn a_longer_object_with_another_beginning_is_never_mixed_in() {
    let checkpoint = |text: &str| {
        let crc = crc64::checksum(text.as_bytes());
        Checkpoint::new(object(), text.len() as u64).crc64(crc)
    };
    let emulator = start().await;
    // After a first turn: also where it began at a bare position, or at the end.
    for builder in [
        follower(&emulator),
        follower(&emulator).position(4),
        follower(&emulator).last(0),
        follower(&emulator).checkpoint(checkpoint("0123")),
    ] {
        grow(&emulator, "0123456789");
        let shown = format!("{builder:?}");
        let mut follower = builder.open().await.unwrap();
        while follower.position() < 10 && !shown.contains("Last(0)") {
            next(&mut follower).await.unwrap();
        }
        emulator.delete("bucket", "object").unwrap();
        grow(&emulator, "9876543210 and more");
        let (given, error) = rest(&mut follower).await;
        let error = error.unwrap();
        assert!(
            matches!(
                error.kind(),
                ErrorKind::ReadDiffers {
                    start: 10,
                    end: 19,
                    ..
                }
            ),
            "{shown}: {error}"
        );
        assert_eq!(given, "", "the last bytes are held back");
        emulator.delete("bucket", "object").unwrap();
    }
    // And before one, by what the checkpoint proves.
    grow(&emulator, "0123456789");
    for wrong in ["3210", "0123456798", "0123456789+"] {
        let opened = follower(&emulator)
            .checkpoint(checkpoint(wrong))
            .open()
            .await;
        let error = match opened {
            Ok(mut follower) => next(&mut follower).await.unwrap_err(),
            Err(error) => error,
        };
        let kind = error.kind().name();
        assert!(["read_differs", "conflict"].contains(&kind), "{error}");
    }
}

#[tokio::test]
async fn failures_are_retried_and_told() {
    let emulator = start().await;
    grow(&emulator, crate::support::bytes(100_000));
    inject(&emulator, "head:error=503,times=2");
    inject(&emulator, "get:truncate=30000,times=2");
    inject(&emulator, "get:drop,skip=3");
    let told = Arc::new(Mutex::new(Vec::new()));
    let listener = Arc::clone(&told);
    let builder = follower(&emulator).on_event(move |event| listener.lock().unwrap().push(event));
    let mut follower = builder.open().await.unwrap();
    let mut given = Vec::new();
    while given.len() < 100_000 {
        given.extend_from_slice(&next(&mut follower).await.unwrap().item);
    }
    assert!(given == crate::support::bytes(100_000));
    let told = told.lock().unwrap();
    let failed = |event: &&DeliveryEvent| matches!(event, DeliveryEvent::Failed { .. });
    assert!(told.iter().filter(failed).count() >= 4, "{told:?}");
    assert!(matches!(told.last(), Some(DeliveryEvent::Recovered { .. })));
}

#[tokio::test]
async fn the_budget_ends_an_outage_and_rest_is_no_part_of_it() {
    let emulator = start().await;
    grow(&emulator, "before");
    let builder = follower(&emulator).delivery_timeout(50 * MS);
    let mut follower = builder.open().await.unwrap();
    assert_eq!(next(&mut follower).await.unwrap().item, "before");
    let began = std::time::Instant::now();
    while began.elapsed() < 100 * MS {
        nothing(&emulator, &mut follower).await;
    }
    inject(&emulator, "head:error=500,times=1000000");
    let error = next(&mut follower).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::RetriesExhausted { .. }));
    assert!(follower.next().await.is_none());
}

#[tokio::test]
async fn who_knows_of_an_append_need_not_wait() {
    let emulator = start().await;
    grow(&emulator, "before ");
    let rarely = follower(&emulator).poll_interval(RARELY..=RARELY);
    let mut follower = rarely.open().await.unwrap();
    let handle = follower.handle();
    assert_eq!(next(&mut follower).await.unwrap().item, "before ");
    let client = emulator.client().build().unwrap();
    let mut writer = OssAppendWriter::builder(client, object())
        .open()
        .await
        .unwrap();
    for text in ["one ", "two"] {
        let append = async {
            writer.write_all(text.as_bytes()).await.unwrap();
            writer.sync().await.unwrap();
            handle.appended();
        };
        let (piece, ()) = tokio::join!(follower.next(), append);
        assert_eq!(piece.unwrap().unwrap().item, text);
    }
    assert_eq!(emulator.count(Operation::GetObject), 3);
}

#[tokio::test]
async fn a_dropped_next_loses_nothing() {
    let emulator = start().await;
    let builder = follower(&emulator).wait_for_object(true);
    let mut follower = builder.open().await.unwrap();
    let mut expected = String::new();
    let mut given = String::new();
    for number in 0..200 {
        let line = format!("line {number}\n");
        grow(&emulator, &line);
        expected += &line;
        // Dropped at whatever it waits for.
        for _ in 0..number % 7 {
            tokio::select! {
                biased;
                piece = follower.next() => {
                    given += str::from_utf8(&piece.unwrap().unwrap().item).unwrap();
                }
                () = tokio::task::yield_now() => {}
            }
        }
    }
    emulator.seal("bucket", "object").unwrap();
    given += &rest(&mut follower).await.0;
    assert_eq!(given, expected);
}

#[tokio::test]
async fn what_cannot_be_is_refused_before_anything_is_asked() {
    let emulator = start().await;
    let other = Checkpoint::start("oss://bucket/other".parse().unwrap());
    for builder in [
        follower(&emulator).poll_interval(2 * MS..=MS),
        follower(&emulator).poll_interval(std::time::Duration::ZERO..=MS),
        follower(&emulator).delivery_timeout(std::time::Duration::ZERO),
        follower(&emulator).checkpoint(other),
    ] {
        let error = builder.open().await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::InvalidInput { .. }));
    }
    assert!(emulator.requests().is_empty());
}
