//! Reading objects back: what is read, what is compared, and what happens in between.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _};
use oss_append::emulator::{Action, Emulator, Fault, Operation};
use oss_append::{
    Backoff, Checkpoint, ConflictCause, DeliveryEvent, Error, ErrorKind, ObjectPath, ObjectReader,
    ObjectReaderBuilder, OssAppendWriter, crc64,
};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, ReadBuf};
use tracing::Level;

use crate::support::emulated::start;
use crate::support::log::{Log, set_default};
use crate::support::{MS, bytes, conflict_cause, object, ours};

const MIB: usize = 1024 * 1024;

/// A reader that loses no time between its attempts.
fn reader(emulator: &Emulator) -> ObjectReaderBuilder {
    let client = emulator.client().build().unwrap();
    ObjectReader::builder(client, object()).backoff(Backoff::new(MS, 20 * MS))
}

async fn with(content: impl Into<Vec<u8>>) -> Emulator {
    let emulator = start().await;
    let content: Vec<u8> = content.into();
    emulator
        .append_foreign("bucket", "object", content)
        .unwrap();
    emulator
}

fn inject(emulator: &Emulator, fault: &str) {
    emulator.inject(fault.parse().unwrap());
}

async fn all(reader: ObjectReader) -> Result<Vec<u8>, Error> {
    let chunks: Vec<_> = reader.try_collect().await?;
    Ok(chunks.concat())
}

#[tokio::test]
async fn an_object_is_read_in_each_way() {
    let emulator = with("one\ntwo\n").await;
    let mut reader_ = reader(&emulator).open().await.unwrap();
    assert_eq!(reader_.range(), 0..8);
    assert_eq!((reader_.object_length(), reader_.position()), (8, 0));
    assert!(reader_.is_compared());
    let mut line = String::new();
    reader_.read_line(&mut line).await.unwrap();
    assert_eq!((line.as_str(), reader_.position()), ("one\n", 4));
    let mut two = [0; 2];
    reader_.read_exact(&mut two).await.unwrap();
    assert_eq!((&two, reader_.position()), (b"tw", 6));
    assert_eq!(reader_.next().await.unwrap().unwrap(), "o\n");
    assert!(reader_.next().await.is_none());
    assert_eq!(reader_.read(&mut two).await.unwrap(), 0);
    assert_eq!(reader_.position(), 8);
    assert_eq!(emulator.requests().len(), 1, "no look is needed");
}

#[tokio::test]
async fn what_is_compared_is_the_whole_or_what_came_after_a_checkpoint() {
    let emulator = with("0123456789").await;
    let at = |position| Checkpoint::new(object(), position);
    for (builder, content, is_compared) in [
        (reader(&emulator), "0123456789", true),
        (reader(&emulator).range(0..), "0123456789", true),
        (reader(&emulator).range(..99), "0123456789", true),
        (reader(&emulator).last(99), "0123456789", true),
        (reader(&emulator).last(3), "789", false),
        (reader(&emulator).range(2..=4), "234", false),
        (reader(&emulator).range(..9), "012345678", false),
        (reader(&emulator).checkpoint(at(0)), "0123456789", true),
        (reader(&emulator).checkpoint(at(4)), "456789", false),
        (
            reader(&emulator).checkpoint(at(4).crc64(crc64::checksum(b"0123"))),
            "456789",
            true,
        ),
        (reader(&emulator).checkpoint(at(10)), "", false),
        (
            reader(&emulator).checkpoint(at(10).crc64(crc64::checksum(b"0123456789"))),
            "",
            true,
        ),
    ] {
        let shown = format!("{builder:?}");
        let reader = builder.open().await.unwrap();
        assert_eq!(reader.is_compared(), is_compared, "{shown}");
        assert_eq!(all(reader).await.unwrap(), content.as_bytes(), "{shown}");
    }
}

#[tokio::test]
async fn a_reader_goes_on_from_the_checkpoint_of_another() {
    let emulator = with("one\n").await;
    let mut from = Checkpoint::start(object());
    for content in ["one\n", "two\n", "three\n"] {
        let builder = reader(&emulator).checkpoint(from);
        let reader = builder.open().await.unwrap();
        assert!(reader.is_compared());
        from = reader.checkpoint();
        assert_eq!(all(reader).await.unwrap(), content.as_bytes());
        let next = match content {
            "one\n" => "two\n",
            _ => "three\n",
        };
        emulator.append_foreign("bucket", "object", next).unwrap();
    }
}

#[tokio::test]
async fn what_a_writer_has_written_after_its_checkpoint_is_read_back() {
    let emulator = with("before ").await;
    let client = emulator.client().build().unwrap();
    let builder = OssAppendWriter::builder(client, object());
    let mut writer = builder.open().await.unwrap();
    let from = writer.checkpoint();
    writer.write_all(b"after").await.unwrap();
    writer.shutdown().await.unwrap();
    let reader = reader(&emulator).checkpoint(from).open().await.unwrap();
    assert!(reader.is_compared());
    assert_eq!(all(reader).await.unwrap(), b"after");
}

#[tokio::test]
async fn an_object_without_a_checksum_is_not_compared() {
    let emulator = with("content").await;
    inject(&emulator, "get:no-crc");
    let reader = reader(&emulator).open().await.unwrap();
    assert!(!reader.is_compared());
    assert_eq!(reader.checkpoint(), Checkpoint::new(object(), 7));
    assert_eq!(all(reader).await.unwrap(), b"content");
}

#[tokio::test]
async fn other_bytes_are_an_error_before_the_last_of_them_is_given_out() {
    let emulator = with(bytes(MIB)).await;
    let differs = |error: &Error| {
        let kind = error.kind();
        assert!(matches!(kind, ErrorKind::ReadDiffers { start: 0, end, .. } if *end == MIB as u64));
        assert_eq!(error.object(), Some(&object()));
        assert!(error.is_retryable());
    };
    inject(&emulator, "get:wrong-crc,times=2");
    let mut reader_ = reader(&emulator).open().await.unwrap();
    let mut content = vec![0; MIB];
    let error = ours(reader_.read_exact(&mut content).await.unwrap_err());
    differs(&error);
    // It stays so.
    let error = ours(reader_.read(&mut content).await.unwrap_err());
    differs(&error);
    differs(
        &all(reader(&emulator).open().await.unwrap())
            .await
            .unwrap_err(),
    );

    let wrong = Checkpoint::new(object(), 4).crc64(1);
    let reader_ = reader(&emulator).checkpoint(wrong).open().await.unwrap();
    let error = all(reader_).await.unwrap_err();
    assert!(matches!(
        error.kind(),
        ErrorKind::ReadDiffers { start: 4, .. }
    ));
}

#[tokio::test]
async fn a_checkpoint_that_the_object_does_not_reach_is_a_conflict() {
    let emulator = with("0123").await;
    let error = |from: Checkpoint| {
        let builder = reader(&emulator).checkpoint(from);
        async { builder.open().await.unwrap_err() }
    };
    for from in [
        Checkpoint::new(object(), 5),
        Checkpoint::new(object(), 4).crc64(1),
    ] {
        assert_eq!(conflict_cause(&error(from).await), ConflictCause::Replaced);
    }
    let elsewhere = ObjectPath::new("bucket", "elsewhere").unwrap();
    let error = error(Checkpoint::start(elsewhere)).await;
    assert!(matches!(error.kind(), ErrorKind::InvalidInput { .. }));
}

#[tokio::test]
async fn what_is_appended_meanwhile_is_not_read() {
    let all_ = bytes(MIB);
    let emulator = with(all_.clone()).await;
    inject(&emulator, "get:truncate=100000,times=3");
    inject(&emulator, "get:foreign-before=more,times=forever");
    let reader = reader(&emulator).open().await.unwrap();
    let expected = reader.checkpoint();
    assert!(all(reader).await.unwrap() == all_);
    assert!(emulator.length("bucket", "object") > Some(MIB as u64));
    assert_eq!(
        expected,
        Checkpoint::new(object(), MIB as u64).crc64(crc64::checksum(&all_))
    );
}

#[tokio::test]
async fn an_object_that_cannot_grow_is_asked_for_by_its_tag() {
    for sealed in [true, false] {
        let emulator = start().await;
        let content = bytes(MIB);
        match sealed {
            true => {
                emulator
                    .append_foreign("bucket", "object", content.clone())
                    .unwrap();
                emulator.seal("bucket", "object").unwrap();
            }
            false => emulator.put("bucket", "object", content.clone()).unwrap(),
        }
        inject(&emulator, "get:truncate=1000");
        let got = all(reader(&emulator).open().await.unwrap()).await;
        assert!(got.unwrap() == content);

        // Replaced by something of the same length and type.
        inject(&emulator, "get:truncate=100000");
        let mut reader = reader(&emulator).range(..900_000).open().await.unwrap();
        reader.next().await.unwrap().unwrap();
        emulator.delete("bucket", "object").unwrap();
        let other: Vec<u8> = content.iter().map(|byte| !byte).collect();
        match sealed {
            true => {
                emulator.append_foreign("bucket", "object", other).unwrap();
                emulator.seal("bucket", "object").unwrap();
            }
            false => emulator.put("bucket", "object", other).unwrap(),
        }
        let error = all(reader).await.unwrap_err();
        assert_eq!(conflict_cause(&error), ConflictCause::Replaced);
        assert_eq!(error.service_error().unwrap().status, 412);
        assert!(error.position() > Some(0) && error.position() < Some(900_000));
        assert!(error.to_string().contains("read it again"), "{error}");
    }
}

#[tokio::test]
async fn several_parts_come_in_order() {
    let content = bytes(3 * MIB + 5);
    let emulator = with(content.clone()).await;
    let ahead = || reader(&emulator).read_ahead(4).part_size(256 * 1024);
    let reader = ahead().open().await.unwrap();
    assert!(reader.is_compared());
    assert!(all(reader).await.unwrap() == content);
    assert_eq!(emulator.count(Operation::GetObject), 13);

    inject(
        &emulator,
        "get:truncate=10000,probability=0.5,seed=1,times=20",
    );
    inject(&emulator, "get:delay=20ms,probability=0.3,seed=2");
    let reader = ahead().range(5..2_000_000).open().await.unwrap();
    assert!(all(reader).await.unwrap() == content[5..2_000_000]);
    let reader = ahead().open().await.unwrap();
    assert!(all(reader).await.unwrap() == content);

    let empty = start().await;
    empty.append_foreign("bucket", "object", "").unwrap();
    let reader = self::reader(&empty).read_ahead(2).open().await.unwrap();
    assert!(reader.is_compared());
    assert_eq!(all(reader).await.unwrap(), b"");
}

#[tokio::test]
async fn no_more_parts_are_read_than_may_be_in_memory() {
    let emulator = with(bytes(MIB)).await;
    let builder = reader(&emulator).read_ahead(3).part_size(64 * 1024);
    let mut reader = builder.open().await.unwrap();
    reader.next().await.unwrap().unwrap();
    emulator
        .wait_for(|requests| requests.iter().filter(|r| r.status.is_some()).count() == 3)
        .await;
    tokio::time::sleep(50 * MS).await;
    assert_eq!(emulator.count(Operation::GetObject), 3);
}

#[tokio::test]
async fn an_answer_that_stands_still_is_given_up() {
    let content = bytes(MIB);
    let emulator = with(content.clone()).await;
    inject(&emulator, "get:stall");
    let builder = reader(&emulator).attempt_timeout(100 * MS);
    assert!(all(builder.open().await.unwrap()).await.unwrap() == content);
    assert_eq!(emulator.count(Operation::GetObject), 2);
}

#[tokio::test]
async fn the_time_is_up_where_nothing_comes() {
    let emulator = with("content").await;
    inject(&emulator, "get:stall,times=forever");
    let builder = reader(&emulator)
        .attempt_timeout(20 * MS)
        .delivery_timeout(100 * MS);
    let error = builder.open().await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::RetriesExhausted { .. }));
    assert_eq!(error.object(), Some(&object()));
    let source = std::error::Error::source(&error).unwrap();
    assert!(source.to_string().contains("nothing moved"), "{source}");
}

#[tokio::test]
async fn what_would_be_refused_again_is_not_tried_again() {
    let emulator = start().await;
    let error = reader(&emulator).open().await.unwrap_err();
    assert_eq!(error.service_error().unwrap().code, "NoSuchKey");
    assert_eq!(emulator.requests().len(), 1);
    emulator.put("bucket", "object", "x").unwrap();
    for builder in [reader(&emulator).range(1..), reader(&emulator).range(5..9)] {
        let error = builder.open().await.unwrap_err();
        assert_eq!(error.service_error().unwrap().status, 416);
    }
    for builder in [
        reader(&emulator).range(5..5),
        reader(&emulator).attempt_timeout(Duration::ZERO),
        reader(&emulator).read_ahead(0),
        reader(&emulator).part_size(0),
    ] {
        let error = builder.open().await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::InvalidInput { .. }));
    }
}

#[tokio::test]
async fn trouble_is_told() {
    let log = Log::default();
    let _guard = set_default(log.subscriber(Level::DEBUG));
    let emulator = with(bytes(MIB)).await;
    let told = Arc::new(Mutex::new(Vec::new()));
    let words = Arc::clone(&told);
    let builder = reader(&emulator).on_event(move |event| {
        let word = match event {
            DeliveryEvent::Failed { failures, .. } => ("failed", failures),
            DeliveryEvent::Recovered { failures, .. } => ("recovered", failures),
            DeliveryEvent::GaveUp { failures, .. } => ("gave up", failures),
            other => panic!("{other:?}"),
        };
        words.lock().unwrap().push(word);
    });
    inject(&emulator, "get:error=500,times=2");
    let reader = builder.clone().open().await.unwrap();
    all(reader).await.unwrap();
    let all_told = std::mem::take(&mut *told.lock().unwrap());
    assert_eq!(all_told, [("failed", 1), ("failed", 2), ("recovered", 2)]);

    inject(&emulator, "get:truncate=1000");
    inject(&emulator, "get:error=404/NoSuchKey");
    let reader = builder.open().await.unwrap();
    let error = all(reader).await.unwrap_err();
    assert_eq!(conflict_cause(&error), ConflictCause::Gone);
    let all_told = std::mem::take(&mut *told.lock().unwrap());
    assert_eq!(all_told, [("failed", 1), ("gave up", 1)]);
    let log = log.text();
    for part in [
        "WARN oss_append::read: reading fails; trying again",
        "DEBUG oss_append::read: a request failed",
        "INFO oss_append::read: reading goes on",
        "WARN oss_append::read: gave up reading",
    ] {
        assert!(log.contains(part), "{part}: {log}");
    }
}

#[tokio::test]
async fn a_read_that_is_dropped_loses_nothing() {
    let content = bytes(MIB);
    let emulator = with(content.clone()).await;
    emulator.inject(Fault::new(Operation::GetObject, Action::Truncate(500_000)));
    emulator.inject(Fault::new(Operation::GetObject, Action::Delay(50 * MS)));
    let mut reader = reader(&emulator).open().await.unwrap();
    let mut got = Vec::new();
    loop {
        let mut piece = [0; 10_000];
        // Most of these are dropped after their first poll.
        let read = tokio::time::timeout(Duration::ZERO, reader.read(&mut piece)).await;
        match read {
            Ok(read) => match read.unwrap() {
                0 => break,
                length => got.extend_from_slice(&piece[..length]),
            },
            Err(_) => tokio::time::sleep(MS).await,
        }
    }
    assert!(got == content);
}

#[tokio::test]
async fn a_full_buffer_is_not_the_end() {
    let emulator = with("content").await;
    let mut reader = reader(&emulator).open().await.unwrap();
    let mut nothing = ReadBuf::new(&mut []);
    poll_fn(|cx| Pin::new(&mut reader).poll_read(cx, &mut nothing))
        .await
        .unwrap();
    assert_eq!(all(reader).await.unwrap(), b"content");
}

#[test]
fn a_reader_goes_to_other_threads() {
    fn is_send<T: Send + Unpin + 'static>() {}
    is_send::<ObjectReader>();
}
