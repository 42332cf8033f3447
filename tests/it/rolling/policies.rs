//! When it rolls: by size, by time, by hand, and all together.

use bytes::Bytes;
use futures::SinkExt;
use oss_append::{RollReason, RollingWriter, crc64};

use super::{Finished, HALF_PAST_TEN, HOUR, MINUTE, put, rolling, timed, write};
use crate::support::SEC;
use crate::support::bucket::SimBucket;

#[tokio::test(start_paused = true)]
async fn an_object_is_not_longer_than_its_size_and_no_line_is_split() {
    let bucket = SimBucket::new();
    let (builder, finished) = Finished::of(rolling(&bucket, "log-{seq}").roll_size(20));
    let mut writer = builder.open().await.unwrap();
    write(
        &mut writer,
        "eight b\neight b\neight b\nten bytes\nten bytes\nx\n",
    )
    .await;
    writer.shutdown().await.unwrap();
    let texts = [
        "eight b\neight b\n",
        "eight b\nten bytes\n",
        "ten bytes\nx\n",
    ];
    assert_eq!(bucket.texts(), texts);
    assert_eq!(bucket.keys(), ["log-1", "log-2", "log-3"]);
    assert_eq!(
        finished.reasons(),
        [RollReason::Size, RollReason::Size, RollReason::Shutdown]
    );
    let first = &finished.all()[0];
    assert_eq!(first.object.to_string(), "oss://bucket/log-1");
    assert_eq!(first.range, 0..16);
    assert_eq!(first.crc64, Some(crc64::checksum(texts[0].as_bytes())));
    assert!(!first.sealed && first.seal_error.is_none());
    let stats = writer.stats();
    assert_eq!((stats.finished, stats.open), (3, None));
    assert_eq!((stats.writer.accepted, stats.writer.durable), (46, 46));
    assert_eq!(stats.writer.appends, 3);
}

#[tokio::test(start_paused = true)]
async fn an_object_keeps_its_size_however_long_appends_may_be() {
    let bucket = SimBucket::new();
    let builder = RollingWriter::builder(bucket.clone(), "bucket", "log-{seq}");
    let mut writer = builder.roll_size(8).open().await.unwrap();
    write(&mut writer, "one\ntwo\nthree\nfour\nfive\n").await;
    writer.shutdown().await.unwrap();
    let texts = ["one\ntwo\n", "three\n", "four\n", "five\n"];
    assert_eq!(bucket.texts(), texts);
}

#[tokio::test(start_paused = true)]
async fn a_line_in_pieces_is_kept_together() {
    let bucket = SimBucket::new();
    let mut writer = rolling(&bucket, "log-{seq}")
        .roll_size(20)
        .open()
        .await
        .unwrap();
    for piece in ["one\ntw", "o\nthr", "ee", "\nfour is ", "long", "\nfive\n"] {
        write(&mut writer, piece).await;
    }
    writer.shutdown().await.unwrap();
    assert_eq!(
        bucket.texts(),
        ["one\ntwo\nthree\n", "four is long\nfive\n"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_line_whose_beginning_was_flushed_ends_in_the_same_object() {
    let bucket = SimBucket::new();
    let mut writer = rolling(&bucket, "log-{seq}")
        .roll_size(10)
        .open()
        .await
        .unwrap();
    put(&mut writer, "the beginning").await;
    assert_eq!(bucket.texts(), ["the beginning"]);
    put(&mut writer, " and").await;
    put(&mut writer, " the end\nnext\n").await;
    writer.shutdown().await.unwrap();
    assert_eq!(bucket.texts(), ["the beginning and the end\n", "next\n"]);
}

#[tokio::test(start_paused = true)]
async fn a_record_longer_than_an_object_should_be_has_one_of_its_own() {
    let bucket = SimBucket::new();
    let mut writer = rolling(&bucket, "log-{seq}")
        .roll_size(10)
        .open()
        .await
        .unwrap();
    let long = "a line of some length\n";
    write(&mut writer, &format!("a\n{long}b\n")).await;
    writer.shutdown().await.unwrap();
    assert_eq!(bucket.texts(), ["a\n", long, "b\n"]);
}

#[tokio::test(start_paused = true)]
async fn a_line_longer_than_an_append_goes_in_pieces_to_one_object() {
    let bucket = SimBucket::new();
    let mut writer = rolling(&bucket, "log-{seq}")
        .roll_size(100)
        .open()
        .await
        .unwrap();
    let long = format!("{}\n", "x".repeat(950));
    write(&mut writer, &format!("a\n{long}b\n")).await;
    writer.shutdown().await.unwrap();
    assert_eq!(bucket.texts(), ["a\n", &long, "b\n"]);
}

#[tokio::test(start_paused = true)]
async fn items_of_the_sink_are_never_split() {
    let bucket = SimBucket::new();
    let mut writer = rolling(&bucket, "log-{seq}")
        .roll_size(10)
        .open()
        .await
        .unwrap();
    for item in ["a\nb\nc", "d\ne\nf", "g\nh"] {
        writer.send(Bytes::from(item)).await.unwrap();
    }
    let refused = writer
        .write_record(Bytes::from(vec![0; 201]))
        .await
        .unwrap_err();
    assert!(refused.to_string().contains("201 bytes"), "{refused}");
    SinkExt::<Bytes>::close(&mut writer).await.unwrap();
    assert_eq!(bucket.texts(), ["a\nb\ncd\ne\nf", "g\nh"]);
}

#[tokio::test(start_paused = true)]
async fn another_delimiter() {
    let bucket = SimBucket::new();
    let builder = rolling(&bucket, "log-{seq}").roll_size(6).delimiter(0);
    let mut writer = builder.open().await.unwrap();
    write(&mut writer, "a\nb\0c\nd\0").await;
    writer.shutdown().await.unwrap();
    assert_eq!(bucket.texts(), ["a\nb\0", "c\nd\0"]);
}

#[tokio::test(start_paused = true)]
async fn each_write_can_be_a_record() {
    let bucket = SimBucket::new();
    let builder = rolling(&bucket, "log-{seq}")
        .roll_size(6)
        .record_per_write();
    let mut writer = builder.open().await.unwrap();
    for record in ["a\nb\n", "c\nd", "e"] {
        write(&mut writer, record).await;
    }
    writer.shutdown().await.unwrap();
    assert_eq!(bucket.texts(), ["a\nb\n", "c\nde"]);
}

#[tokio::test(start_paused = true)]
async fn unaligned_objects_have_exactly_their_size() {
    let bucket = SimBucket::new();
    let builder = rolling(&bucket, "log-{seq:3}").roll_size(7).unaligned();
    let mut writer = builder.open().await.unwrap();
    let text = "0123456789".repeat(12);
    write(&mut writer, &text).await;
    writer.shutdown().await.unwrap();
    let texts = bucket.texts();
    assert!(texts[..texts.len() - 1].iter().all(|text| text.len() == 7));
    assert_eq!(bucket.text(), text);
    assert_eq!(texts.len(), 120_usize.div_ceil(7));
}

#[tokio::test(start_paused = true)]
async fn hours_have_their_own_objects() {
    let bucket = SimBucket::new();
    let (builder, _) = timed(&bucket, "%Y/%m/%d/%H.log");
    let (builder, finished) = Finished::of(builder.hourly());
    let mut writer = builder.open().await.unwrap();
    put(&mut writer, "ten\n").await;
    tokio::time::sleep(29 * MINUTE).await;
    put(&mut writer, "still ten\n").await;
    tokio::time::sleep(MINUTE + SEC).await;
    // Although nobody has written.
    assert_eq!(finished.keys(), ["2026/03/01/10.log"]);
    put(&mut writer, "eleven\n").await;
    // Hours without lines have no object.
    tokio::time::sleep(5 * HOUR).await;
    assert_eq!(finished.reasons(), [RollReason::Period; 2]);
    write(&mut writer, "four\n").await;
    writer.shutdown().await.unwrap();
    assert_eq!(
        bucket.objects(),
        [
            ("2026/03/01/10.log".into(), "ten\nstill ten\n".into()),
            ("2026/03/01/11.log".into(), "eleven\n".into()),
            ("2026/03/01/16.log".into(), "four\n".into()),
        ]
    );
    let done = finished.all();
    let started = std::time::UNIX_EPOCH + std::time::Duration::from_secs(HALF_PAST_TEN);
    assert_eq!(done[0].first, started);
    assert_eq!(done[0].last, started + 29 * MINUTE);
}

#[tokio::test(start_paused = true)]
async fn a_line_belongs_to_the_hour_in_which_it_was_written() {
    let bucket = SimBucket::new();
    let (builder, _) = timed(&bucket, "%H.log{seq}");
    let mut writer = builder
        .hourly()
        .writer(|writer| writer.linger(MINUTE))
        .start()
        .unwrap();
    tokio::time::sleep(30 * MINUTE - SEC).await;
    // Its append comes as the hour ends, sooner than after the linger.
    write(&mut writer, "ten\n").await;
    tokio::time::sleep(2 * SEC).await;
    assert_eq!(bucket.texts(), ["ten\n"]);
    write(&mut writer, "eleven\n").await;
    writer.shutdown().await.unwrap();
    assert_eq!(bucket.keys(), ["10.log1", "11.log1"]);
    assert_eq!(bucket.texts(), ["ten\n", "eleven\n"]);
}

#[tokio::test(start_paused = true)]
async fn an_outage_over_hours_does_not_mix_them() {
    let bucket = SimBucket::new();
    let (builder, _) = timed(&bucket, "%H.log{seq}");
    let builder = builder
        .hourly()
        .writer(|writer| writer.delivery_timeout(100 * HOUR).attempt_timeout(SEC));
    let mut writer = builder.start().unwrap();
    let store = bucket.object("10.log1");
    store.go_down(crate::support::store::unreachable());
    write(&mut writer, "ten\n").await;
    tokio::time::sleep(HOUR).await;
    write(&mut writer, "eleven\n").await;
    tokio::time::sleep(2 * HOUR).await;
    write(&mut writer, "one\n").await;
    write(&mut writer, "more\n").await;
    store.come_back();
    writer.shutdown().await.unwrap();
    assert_eq!(bucket.keys(), ["10.log1", "11.log1", "13.log1"]);
    assert_eq!(bucket.texts(), ["ten\n", "eleven\n", "one\nmore\n"]);
}

#[tokio::test(start_paused = true)]
async fn days_begin_at_local_midnight() {
    let bucket = SimBucket::new();
    let (builder, _) = timed(&bucket, "%Y-%m-%d.log");
    let mut writer = builder.daily().utc_offset(8 * 3600).open().await.unwrap();
    // 18:30 in China.
    put(&mut writer, "first\n").await;
    tokio::time::sleep(5 * HOUR + 29 * MINUTE).await;
    put(&mut writer, "first\n").await;
    tokio::time::sleep(MINUTE + SEC).await;
    put(&mut writer, "second\n").await;
    writer.shutdown().await.unwrap();
    assert_eq!(bucket.keys(), ["2026-03-01.log", "2026-03-02.log"]);
    assert_eq!(bucket.texts(), ["first\nfirst\n", "second\n"]);
}

#[tokio::test(start_paused = true)]
async fn any_period() {
    let bucket = SimBucket::new();
    let (builder, _) = timed(&bucket, "%H%M.log{seq}");
    let mut writer = builder.roll_every(10 * MINUTE).open().await.unwrap();
    for _ in 0..4 {
        put(&mut writer, "x\n").await;
        tokio::time::sleep(6 * MINUTE).await;
    }
    writer.shutdown().await.unwrap();
    assert_eq!(bucket.keys(), ["1030.log1", "1040.log1"]);
    assert_eq!(bucket.texts(), ["x\nx\n", "x\nx\n"]);
}

#[tokio::test(start_paused = true)]
async fn by_hand() {
    let bucket = SimBucket::new();
    let (builder, finished) = Finished::of(rolling(&bucket, "log-{seq}"));
    let mut writer = builder.open().await.unwrap();
    writer.roll().await.unwrap();
    assert!(finished.all().is_empty(), "nothing to finish");
    assert_eq!(writer.stats().open.unwrap().object.key(), "log-1");
    write(&mut writer, "one\n").await;
    writer.roll().await.unwrap();
    assert_eq!(bucket.texts(), ["one\n"]);
    assert_eq!(finished.reasons(), [RollReason::Asked]);
    writer.roll().await.unwrap();
    write(&mut writer, "two\nthr").await;
    // The line that was begun goes in the next one, whole.
    writer.roll().await.unwrap();
    write(&mut writer, "ee\n").await;
    writer.shutdown().await.unwrap();
    assert_eq!(bucket.texts(), ["one\n", "two\n", "three\n"]);
    assert!(matches!(
        writer.roll().await.unwrap_err().kind(),
        oss_append::ErrorKind::Closed
    ));
}

#[tokio::test(start_paused = true)]
async fn by_hand_in_the_midst_of_a_line_that_was_flushed() {
    let bucket = SimBucket::new();
    let mut writer = rolling(&bucket, "log-{seq}").open().await.unwrap();
    put(&mut writer, "one, beg").await;
    writer.roll().await.unwrap();
    put(&mut writer, "un\ntwo\n").await;
    writer.shutdown().await.unwrap();
    assert_eq!(bucket.texts(), ["one, begun\n", "two\n"]);
}

#[tokio::test(start_paused = true)]
async fn size_and_time_and_hand_together() {
    let bucket = SimBucket::new();
    let (builder, _) = timed(&bucket, "%H-{seq}");
    let (builder, finished) = Finished::of(builder.hourly().roll_size(10));
    let mut writer = builder.open().await.unwrap();
    write(&mut writer, "12345678\n12345678\n").await;
    writer.roll().await.unwrap();
    put(&mut writer, "by hand\n").await;
    tokio::time::sleep(HOUR).await;
    put(&mut writer, "12345678\n12345678\n").await;
    writer.shutdown().await.unwrap();
    assert_eq!(bucket.keys(), ["10-1", "10-2", "10-3", "11-1", "11-2"]);
    use RollReason::{Asked, Period, Shutdown, Size};
    assert_eq!(finished.reasons(), [Size, Asked, Period, Size, Shutdown]);
    assert_eq!(finished.keys(), bucket.keys());
}

#[tokio::test(start_paused = true)]
async fn finished_objects_are_sealed_if_asked() {
    let bucket = SimBucket::new();
    let builder = rolling(&bucket, "log-{seq}")
        .roll_size(5)
        .seal_finished(true);
    let (builder, finished) = Finished::of(builder);
    let mut writer = builder.open().await.unwrap();
    let denied = crate::support::store::service(400, "OperationNotSupported");
    bucket.object("log-2").fail_seal(false, denied);
    write(&mut writer, "one\ntwo\nthree\n").await;
    writer.shutdown().await.unwrap();
    let sealed = |key| bucket.object(key).world().object.as_ref().unwrap().sealed;
    assert!(sealed("log-1"));
    assert!(!sealed("log-3"), "the last one may be continued");
    let done = finished.all();
    assert!(done[0].sealed && !done[1].sealed && !done[2].sealed);
    let error = done[1].seal_error.as_ref().unwrap();
    assert!(
        error.to_string().contains("OperationNotSupported"),
        "{error}"
    );
    assert!(done[2].seal_error.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_back_stays_in_the_object() {
    let bucket = SimBucket::new();
    let (builder, clock) = timed(&bucket, "%H.log{seq}");
    let mut writer = builder.hourly().open().await.unwrap();
    put(&mut writer, "a\n").await;
    clock.set_back(3 * HOUR);
    put(&mut writer, "b\n").await;
    tokio::time::sleep(2 * HOUR).await;
    put(&mut writer, "c\n").await;
    // Until the period ends by the new time.
    tokio::time::sleep(HOUR + 31 * MINUTE).await;
    put(&mut writer, "d\n").await;
    writer.shutdown().await.unwrap();
    assert_eq!(bucket.keys(), ["10.log1", "11.log1"]);
    assert_eq!(bucket.texts(), ["a\nb\nc\n", "d\n"]);
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_jumps_ahead_rolls_once() {
    let bucket = SimBucket::new();
    let (builder, clock) = timed(&bucket, "%d-%H.log{seq}");
    let (builder, finished) = Finished::of(builder.hourly());
    let mut writer = builder.open().await.unwrap();
    put(&mut writer, "a\n").await;
    clock.set_ahead(50 * HOUR);
    // It is noticed within a minute, although nobody writes.
    tokio::time::sleep(MINUTE + SEC).await;
    assert_eq!(finished.reasons(), [RollReason::Period]);
    put(&mut writer, "b\n").await;
    writer.shutdown().await.unwrap();
    assert_eq!(bucket.keys(), ["01-10.log1", "03-12.log1"]);
}

#[tokio::test(start_paused = true)]
async fn clones_write_to_the_same_sequence() {
    let bucket = SimBucket::new();
    let builder = rolling(&bucket, "log-{seq}").roll_size(8);
    let mut writer = builder.open().await.unwrap();
    let mut other = writer.clone();
    write(&mut writer, "one\n").await;
    write(&mut other, "two\n").await;
    write(&mut writer, "three\n").await;
    drop(writer);
    other.shutdown().await.unwrap();
    assert_eq!(bucket.texts(), ["one\ntwo\n", "three\n"]);
}

#[tokio::test(start_paused = true)]
async fn the_open_object_is_told_with_what_is_proven_of_it() {
    let bucket = SimBucket::new();
    let builder = rolling(&bucket, "log-{seq}").roll_size(8);
    let mut writer = builder.open().await.unwrap();
    put(&mut writer, "one\ntwo\n").await;
    let told = |writer: &RollingWriter| {
        let open = writer.stats().open?;
        Some((open.object.key().to_owned(), open.position))
    };
    assert_eq!(told(&writer), Some(("log-1".into(), 8)));
    write(&mut writer, "three\n").await;
    writer.sync().await.unwrap();
    assert_eq!(told(&writer), Some(("log-2".into(), 6)));
    writer.shutdown().await.unwrap();
    assert_eq!(told(&writer), None);
}

#[tokio::test(start_paused = true)]
async fn no_object_without_a_byte() {
    let bucket = SimBucket::new();
    let (builder, _) = timed(&bucket, "%H-{seq}");
    let mut writer = builder.hourly().open().await.unwrap();
    tokio::time::sleep(3 * HOUR).await;
    writer.flush().await.unwrap();
    writer.roll().await.unwrap();
    writer.shutdown().await.unwrap();
    assert!(bucket.keys().is_empty());
}
