//! Objects that take no more, stores that refuse, and what becomes of the records.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use oss_append::{Error, ErrorKind, ObjectKind, RollReason, RollingWriter, ServiceError};
use tokio::time::Instant;

use super::{Finished, HOUR, put, rolling, write};
use crate::support::SEC;
use crate::support::bucket::SimBucket;
use crate::support::store::{Fault, Object, service};

#[tokio::test(start_paused = true)]
async fn an_object_that_takes_no_more_is_left_for_the_next() {
    type Spoil = fn(&mut Option<Object>);
    let spoils: [(&str, Spoil); 5] = [
        ("sealed", |object| object.as_mut().unwrap().sealed = true),
        ("replaced", |object| {
            let normal = ObjectKind::Other("Normal".into());
            object.as_mut().unwrap().kind = normal;
        }),
        ("deleted", |object| *object = None),
        ("shortened", |object| {
            object.as_mut().unwrap().data.truncate(1)
        }),
        ("appended to", |object| {
            object.as_mut().unwrap().data.extend(b"foreign\n");
        }),
    ];
    for (how, spoil) in spoils {
        let bucket = SimBucket::new();
        let (builder, finished) = Finished::of(rolling(&bucket, "log-{seq}"));
        let mut writer = builder.open().await.unwrap();
        put(&mut writer, "one\n").await;
        spoil(&mut bucket.object("log-1").world().object);
        put(&mut writer, "two\n").await;
        put(&mut writer, "three\n").await;
        writer.shutdown().await.unwrap();
        assert_eq!(bucket.object("log-2").text(), "two\nthree\n", "{how}");
        use RollReason::{Closed, Shutdown};
        assert_eq!(finished.reasons(), [Closed, Shutdown], "{how}");
        assert_eq!(finished.all()[0].range, 0..4, "{how}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_record_that_landed_before_the_object_was_lost_is_not_sent_again() {
    let bucket = SimBucket::new();
    let mut writer = rolling(&bucket, "log-{seq}").open().await.unwrap();
    put(&mut writer, "one\n").await;
    let fault = Fault::lost_answer().foreign_after("theirs\n");
    bucket.object("log-1").fault(fault);
    put(&mut writer, "two\n").await;
    put(&mut writer, "three\n").await;
    writer.shutdown().await.unwrap();
    assert_eq!(bucket.texts(), ["one\ntwo\ntheirs\n", "three\n"]);
}

#[tokio::test(start_paused = true)]
async fn an_object_limit_below_the_roll_size_rolls_too() {
    let bucket = SimBucket::new();
    let builder = rolling(&bucket, "log-{seq}");
    let builder = builder.writer(|writer| writer.max_object_size(640));
    // 630 by default.
    let mut writer = builder.open().await.unwrap();
    for _ in 0..9 {
        put(&mut writer, &format!("{}\n", "x".repeat(99))).await;
    }
    writer.shutdown().await.unwrap();
    let lengths: Vec<_> = bucket.texts().iter().map(String::len).collect();
    assert_eq!(lengths, [600, 300]);
}

#[tokio::test(start_paused = true)]
async fn a_line_longer_than_any_object_is_split_and_nothing_of_it_lost() {
    let bucket = SimBucket::new();
    let builder = rolling(&bucket, "log-{seq}").roll_size(300);
    let builder = builder.writer(|writer| writer.max_object_size(300));
    let mut writer = builder.open().await.unwrap();
    let long = format!("{}\n", "x".repeat(700));
    write(&mut writer, &format!("first\n{long}last\n")).await;
    writer.shutdown().await.unwrap();
    assert_eq!(bucket.text(), format!("first\n{long}last\n"));
    assert!(bucket.texts().iter().all(|text| text.len() <= 300));
    assert!(bucket.texts().last().unwrap().ends_with("last\n"));
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_no_object_mends_is_final_and_keeps_the_bytes() {
    let bucket = SimBucket::new();
    let mut writer = rolling(&bucket, "log-{seq}").open().await.unwrap();
    put(&mut writer, "one\n").await;
    bucket.object("log-1").go_down(service(403, "AccessDenied"));
    write(&mut writer, "two\n").await;
    let error = writer.sync().await.unwrap_err();
    assert_eq!(error.service_error().unwrap().code, "AccessDenied");
    assert_eq!(error.object().unwrap().key(), "log-1");
    assert!(writer.write_all(b"three\n").await.is_err());
    let unsent = writer.into_unsent().unwrap();
    assert_eq!(unsent.position, 4);
    assert_eq!(unsent.chunks.concat(), b"two\n");
}

#[tokio::test(start_paused = true)]
async fn a_failed_opening_keeps_the_bytes() {
    let bucket = SimBucket::new();
    bucket.object("log-1").go_down(service(403, "AccessDenied"));
    let mut writer = rolling(&bucket, "log-{seq}").start().unwrap();
    write(&mut writer, "one\n").await;
    assert!(writer.sync().await.is_err());
    let unsent = writer.into_unsent().unwrap();
    assert_eq!((unsent.position, unsent.in_doubt), (0, 0));
    assert_eq!(unsent.chunks.concat(), b"one\n");
}

#[tokio::test(start_paused = true)]
async fn who_keeps_trying_gets_through() {
    let bucket = SimBucket::new();
    let object = bucket.object("log-1");
    object.go_down(service(403, "AccessDenied"));
    let mut writer = rolling(&bucket, "log-{seq}")
        .keep_trying(true)
        .start()
        .unwrap();
    write(&mut writer, "one\n").await;
    tokio::time::sleep(HOUR).await;
    let error = writer.stats().writer.last_error.unwrap();
    assert_eq!(error.service_error().unwrap().code, "AccessDenied");
    object.come_back();
    put(&mut writer, "two\n").await;
    object.go_down(service(403, "AccessDenied"));
    write(&mut writer, "three\n").await;
    tokio::time::sleep(HOUR).await;
    object.come_back();
    put(&mut writer, "four\n").await;
    writer.shutdown().await.unwrap();
    assert_eq!(bucket.texts(), ["one\ntwo\nthree\nfour\n"]);
}

#[tokio::test(start_paused = true)]
async fn who_keeps_trying_doubles_nothing() {
    let bucket = SimBucket::new();
    let object = bucket.object("log-1");
    let builder = rolling(&bucket, "log-{seq}").keep_trying(true);
    let builder = builder.writer(|writer| writer.delivery_timeout(5 * SEC));
    let mut writer = builder.start().unwrap();
    put(&mut writer, "one\n").await;
    // It is applied; then nothing can be found out for longer than the writer asks.
    object.fault(Fault::lost_answer());
    write(&mut writer, "two\n").await;
    tokio::time::sleep(SEC / 2).await;
    object.world().look_chaos = Some(Box::new(|| Some(service(503, "ServiceUnavailable"))));
    object.fault(Fault::lost_answer());
    write(&mut writer, "three\n").await;
    tokio::time::sleep(HOUR).await;
    object.world().look_chaos = None;
    put(&mut writer, "four\n").await;
    writer.shutdown().await.unwrap();
    assert_eq!(bucket.texts(), ["one\ntwo\nthree\nfour\n"]);
}

#[tokio::test(start_paused = true)]
async fn who_keeps_trying_leaves_an_object_that_another_took() {
    let bucket = SimBucket::new();
    let object = bucket.object("log-1");
    let mut writer = rolling(&bucket, "log-{seq}")
        .keep_trying(true)
        .start()
        .unwrap();
    put(&mut writer, "one\n").await;
    object.go_down(service(403, "AccessDenied"));
    write(&mut writer, "two\n").await;
    tokio::time::sleep(HOUR).await;
    object.foreign("theirs\n");
    object.come_back();
    put(&mut writer, "three\n").await;
    writer.shutdown().await.unwrap();
    assert_eq!(bucket.texts(), ["one\ntheirs\n", "two\nthree\n"]);
}

#[tokio::test(start_paused = true)]
async fn what_can_never_be_is_not_tried_for_ever() {
    let bucket = SimBucket::new();
    bucket.forbid_listing();
    // Every key of the sequence is taken.
    for number in 1..=20 {
        let object = bucket.object(&format!("log-{number}"));
        object.world().object = Some(Object {
            data: b"x".to_vec(),
            kind: ObjectKind::Other("Normal".into()),
            ..Object::appendable("")
        });
    }
    let mut writer = rolling(&bucket, "log-{seq}").open().await.unwrap();
    put(&mut writer, "found one\n").await;
    assert_eq!(writer.stats().open.unwrap().object.key(), "log-21");
    let wrong = rolling(&bucket, "x")
        .hourly()
        .keep_trying(true)
        .open()
        .await;
    assert!(matches!(
        wrong.unwrap_err().kind(),
        ErrorKind::InvalidInput { .. }
    ));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_writer_finishes_in_the_background() {
    let bucket = SimBucket::new();
    let (builder, finished) = Finished::of(rolling(&bucket, "log-{seq}"));
    let mut writer = builder.open().await.unwrap();
    write(&mut writer, "one\ntwo").await;
    drop(writer);
    tokio::time::sleep(SEC).await;
    assert_eq!(bucket.texts(), ["one\ntwo"]);
    assert_eq!(finished.reasons(), [RollReason::Shutdown]);
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_on_finished_fails_its_own_writer_alone_and_is_named() {
    let bucket = SimBucket::new();
    let builder = rolling(&bucket, "a-{seq}").on_finished(|_| panic!("no catalogue"));
    let mut writer = builder.clone().open().await.unwrap();
    let mut clone = writer.clone();
    let mut other = rolling(&bucket, "b-{seq}").open().await.unwrap();
    let receipt = writer.enqueue("one\n".into()).await.unwrap();
    let waiting = tokio::spawn(async move {
        clone.sync().await.unwrap();
        write(&mut clone, "two\n").await;
        clone.roll().await.unwrap_err()
    });
    let errors = [waiting.await.unwrap(), writer.sync().await.unwrap_err()];
    for error in errors {
        assert_eq!(error.kind(), &ErrorKind::WorkerLost);
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert_eq!(cause, "on_finished panicked: no catalogue");
    }
    assert_eq!(receipt.written().await.unwrap().range, 0..4);
    assert_eq!(bucket.object("a-1").text(), "one\ntwo\n");
    assert!(writer.into_unsent().unwrap().is_empty());
    put(&mut other, "three\n").await;
    other.shutdown().await.unwrap();

    let mut writer = builder.open().await.unwrap();
    put(&mut writer, "four\n").await;
    writer.shutdown().await.unwrap_err();
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_panics_fails_its_own_writer_alone_and_is_named() {
    let bucket = SimBucket::new();
    let broken = Arc::new(AtomicBool::new(false));
    let breaks = Arc::clone(&broken);
    let builder = rolling(&bucket, "{seq}").hourly().clock(move || {
        assert!(!breaks.load(Ordering::Relaxed), "no time");
        SystemTime::now()
    });
    let mut writer = builder.open().await.unwrap();
    put(&mut writer, "one\n").await;
    broken.store(true, Ordering::Relaxed);
    let receipt = writer.enqueue("two\n".into()).await.unwrap();
    let error = writer.shutdown().await.unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::WorkerLost);
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(cause, "the worker panicked: no time");
    assert!(receipt.written().await.is_err());
    assert_eq!(writer.into_unsent().unwrap().chunks.concat(), b"two\n");
}

#[tokio::test(start_paused = true)]
async fn the_clock_may_ask_the_writer() {
    let bucket = SimBucket::new();
    let seen: Arc<OnceLock<RollingWriter>> = Arc::default();
    let asked = Arc::clone(&seen);
    let builder = rolling(&bucket, "{seq}").hourly().clock(move || {
        let _ = asked.get().map(RollingWriter::stats);
        SystemTime::now()
    });
    let mut writer = builder.open().await.unwrap();
    seen.set(writer.clone()).unwrap();
    put(&mut writer, "one\n").await;
    writer.roll().await.unwrap();
    writer.shutdown().await.unwrap();
}

// ---- a record in doubt has one place

#[tokio::test(start_paused = true)]
async fn a_record_in_doubt_goes_to_the_next_object_when_others_have_appended_more() {
    let bucket = SimBucket::new();
    let object = bucket.object("log-1");
    let builder = rolling(&bucket, "log-{seq}").keep_trying(true);
    let mut writer = builder.open().await.unwrap();
    put(&mut writer, "one\n").await;
    object
        .fault(Fault::lost_request().foreign_after("another process\n"))
        .fail_head(service(403, "AccessDenied"));
    let receipt = writer.enqueue("two\n".into()).await.unwrap();
    put(&mut writer, "three\n").await;
    assert_eq!(receipt.written().await.unwrap().object.key(), "log-2");
    writer.shutdown().await.unwrap();
    assert_eq!(bucket.texts(), ["one\nanother process\n", "two\nthree\n"]);
}

#[tokio::test(start_paused = true)]
async fn a_record_in_doubt_is_appended_once_to_a_shared_object() {
    for fault in [Fault::lost_answer, Fault::lost_request] {
        let bucket = SimBucket::new();
        let builder = rolling(&bucket, "log-{seq}").writer(|writer| writer.shared(true));
        let mut writer = builder.keep_trying(true).open().await.unwrap();
        put(&mut writer, "one\n").await;
        bucket
            .object("log-1")
            .fault(fault())
            .fail_head(service(403, "AccessDenied"));
        put(&mut writer, "two\n").await;
        writer.shutdown().await.unwrap();
        assert_eq!(bucket.texts(), ["one\ntwo\n"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_record_in_doubt_is_appended_once_after_a_refusal() {
    for refused in [
        "the look",
        "the next attempt",
        "the next attempt by a proxy",
    ] {
        let bucket = SimBucket::new();
        let object = bucket.object("log-1");
        let builder = rolling(&bucket, "log-{seq}").keep_trying(true);
        let mut writer = builder.open().await.unwrap();
        put(&mut writer, "one\n").await;
        object.fault(Fault::late());
        match refused {
            "the look" => object.fail_head(service(403, "AccessDenied")),
            "the next attempt" => object.fault(Fault::error(403, "AccessDenied")),
            _ => object.fault(Fault::error(403, "")),
        };
        let receipt = writer.enqueue("two\n".into()).await.unwrap();
        tokio::time::sleep(SEC / 2).await;
        object.land_late();
        put(&mut writer, "three\n").await;
        let written = receipt.written().await.unwrap();
        assert_eq!((written.object.key(), written.range), ("log-1", 4..8));
        writer.shutdown().await.unwrap();
        assert_eq!(bucket.texts(), ["one\ntwo\nthree\n"], "{refused}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_record_in_doubt_settles_in_an_object_that_was_made_anew_and_then_rolls() {
    for lands in [true, false] {
        for keeps in [true, false] {
            let bucket = SimBucket::new();
            let object = bucket.object("log-1");
            let builder = rolling(&bucket, "log-{seq}").keep_trying(keeps);
            let mut writer = builder.open().await.unwrap();
            put(&mut writer, "one\n").await;
            let made_anew = |object: &mut Option<Object>| {
                *object = Some(Object::appendable("ONE\n"));
            };
            object.fault(Fault::late().after(made_anew));
            object.world().latency = SEC;
            write(&mut writer, "two\n").await;
            let late = object.clone();
            tokio::spawn(async move {
                // Before the second attempt arrives, or after.
                tokio::time::sleep(if lands { 2 } else { 10 } * SEC - SEC / 2).await;
                late.land_late();
            });
            writer.sync().await.unwrap();
            put(&mut writer, "three\n").await;
            writer.shutdown().await.unwrap();
            tokio::time::sleep(10 * SEC).await;
            assert_eq!(bucket.texts(), ["ONE\ntwo\n", "three\n"], "{keeps}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_record_in_doubt_goes_once_to_the_next_object_when_its_own_is_over() {
    for keeps in [true, false] {
        for how in ["sealed", "under retention", "gone"] {
            let bucket = SimBucket::new();
            let object = bucket.object("log-1");
            let builder = rolling(&bucket, "log-{seq}").keep_trying(keeps);
            let mut writer = builder.open().await.unwrap();
            put(&mut writer, "one\n").await;
            match how {
                "sealed" => {
                    let seal = |object: &mut Option<Object>| object.as_mut().unwrap().sealed = true;
                    object.fault(Fault::late().after(seal));
                }
                "gone" => {
                    object.fault(Fault::late().after(|object| *object = None));
                }
                _ => {
                    object
                        .fault(Fault::lost_request())
                        .fault(Fault::error(409, "FileImmutable"));
                }
            }
            put(&mut writer, "two\n").await;
            object.land_late();
            writer.shutdown().await.unwrap();
            let rest = match how {
                "gone" => "",
                _ => "one\n",
            };
            assert_eq!(object.text(), rest, "{how}");
            assert_eq!(bucket.object("log-2").text(), "two\n", "{how}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_object_that_a_cache_shows_as_gone_is_not_left() {
    let bucket = SimBucket::new();
    let mut writer = rolling(&bucket, "log-{seq}").open().await.unwrap();
    put(&mut writer, "one\n").await;
    bucket
        .object("log-1")
        .fault(Fault::lost_answer())
        .stale_look(None);
    put(&mut writer, "two\n").await;
    writer.shutdown().await.unwrap();
    assert_eq!(bucket.texts(), ["one\ntwo\n"]);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_cannot_seal_does_not_stop_a_rolling_writer() {
    let bucket = SimBucket::new();
    let object = bucket.object("log-1");
    for _ in 0..100 {
        object.fail_seal(false, service(501, "NotImplemented"));
    }
    let builder = rolling(&bucket, "log-{seq}").roll_size(5);
    let mut writer = builder.seal_finished(true).open().await.unwrap();
    let start = Instant::now();
    put(&mut writer, "one\ntwo\n").await;
    assert!(start.elapsed() < SEC, "{:?}", start.elapsed());
    assert_eq!(bucket.texts(), ["one\n", "two\n"]);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_ends_the_wait_of_who_keeps_trying() {
    let bucket = SimBucket::new();
    let mut busy = ServiceError::new(503, "ServiceUnavailable");
    busy.retry_after = Some(HOUR);
    let builder = rolling(&bucket, "log-{seq}").keep_trying(true);
    let mut writer = builder.open().await.unwrap();
    bucket
        .object("log-1")
        .fault(Fault::answered(Error::service(busy)));
    write(&mut writer, "one\n").await;
    let synced = tokio::time::timeout(SEC, writer.sync()).await;
    assert!(synced.is_err());
    let start = Instant::now();
    writer.shutdown().await.unwrap();
    assert!(start.elapsed() <= 2 * SEC, "{:?}", start.elapsed());
    assert_eq!(bucket.texts(), ["one\n"]);
}
