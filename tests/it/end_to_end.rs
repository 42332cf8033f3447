//! The promises over HTTP, against the embedded server with its faults.

use std::time::Duration;

use futures::StreamExt;
use oss_append::emulator::{Action, Emulator, ErrorAnswer, Fault, Operation};
use oss_append::{
    Checkpoint, ConflictCause, ErrorKind, Landed, ObjectAcl, ObjectKind, ObjectOptions, ObjectPath,
    OssAppendWriter, StorageClass,
};

use crate::support::emulated::{content, start, start_with, stored, writer};
use crate::support::{bytes, conflict_cause};

fn on_append(action: Action) -> Fault {
    Fault::new(Operation::AppendObject, action)
}

/// Bytes that tell each place from every other.
#[tokio::test]
async fn a_copied_file_arrives_intact_and_is_continued_after_reopening() {
    let emulator = start().await;
    let data = bytes(5_000_000);
    let mut writer = writer(&emulator).open().await.unwrap();
    tokio::io::copy(&mut &data[..3_000_000], &mut writer)
        .await
        .unwrap();
    assert_eq!(content(&emulator), &data[..3_000_000]);
    drop(writer);

    let mut writer = crate::support::emulated::writer(&emulator)
        .open()
        .await
        .unwrap();
    assert_eq!(writer.position(), 3_000_000);
    writer.copy_from(&mut &data[3_000_000..]).await.unwrap();
    writer.shutdown().await.unwrap();
    assert_eq!(content(&emulator), data);
    emulator.shutdown().await;
}

#[tokio::test]
async fn every_kind_of_lost_or_spoilt_answer_is_survived() {
    let faults = [
        Action::Drop,
        Action::DropAnswer,
        Action::Error(ErrorAnswer::new(500).code("InternalError")),
        Action::ErrorAfter(ErrorAnswer::new(500).code("InternalError")),
        Action::Error(ErrorAnswer::new(503).code("ServiceUnavailable")),
        Action::ErrorAfter(ErrorAnswer::new(503).code("ServiceUnavailable")),
        Action::Error(ErrorAnswer::new(429)),
        Action::NoCrc,
        Action::NoPosition,
        Action::Torn(1000),
        Action::ResetBody(0),
        Action::ResetBody(70_000),
        Action::Truncate(20),
        Action::BadGateway,
        Action::BadGatewayAfter,
    ];
    let emulator = start().await;
    let mut writer = writer(&emulator)
        .batch_size(100_000)
        .max_append_size(100_000)
        .open()
        .await
        .unwrap();
    let data = bytes(100_000 * faults.len());
    for (action, batch) in faults.into_iter().zip(data.chunks(100_000)) {
        let name = format!("{action:?}");
        emulator.inject(on_append(action));
        writer.write_all(batch).await.unwrap();
        writer.sync().await.expect(&name);
    }
    writer.shutdown().await.unwrap();
    assert_eq!(emulator.faults().pending(), 0, "every fault has struck");
    assert_eq!(content(&emulator), data);
    assert_eq!(writer.stats().durable, data.len() as u64);
}

#[tokio::test]
async fn a_wrong_position_or_checksum_in_an_answer_is_never_a_success() {
    for action in [Action::WrongPosition, Action::WrongCrc] {
        let emulator = start().await;
        let mut writer = writer(&emulator).open().await.unwrap();
        emulator.inject(on_append(action));
        writer.write_all(b"x").await.unwrap();
        let error = writer.shutdown().await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Checksum { .. }));
        assert_eq!(emulator.count(Operation::AppendObject), 1);
    }
}

#[tokio::test]
async fn exactly_as_many_foreign_bytes_are_a_conflict() {
    let emulator = start().await;
    let mut writer = writer(&emulator).open().await.unwrap();
    emulator.inject(on_append(Action::ForeignBefore("theirs".into())));
    writer.write_all(b"our's!").await.unwrap();
    let error = writer.shutdown().await.unwrap_err();
    assert_eq!(conflict_cause(&error), ConflictCause::Foreign);
    assert_eq!(error.landed(), Some(Landed::No));
    let said = error.service_error().unwrap();
    assert_eq!(said.ec.as_deref(), Some("0026-00000016"));
    assert!(said.request_id.is_some());
    assert_eq!(content(&emulator), b"theirs");
}

#[tokio::test]
async fn an_outage_in_mid_stream_loses_nothing() {
    let emulator = start().await;
    let mut writer = writer(&emulator).batch_size(1000).open().await.unwrap();
    let data = bytes(50_000);
    writer.write_all(&data[..20_000]).await.unwrap();
    writer.sync().await.unwrap();
    emulator.pause().await;
    writer.write_all(&data[20_000..]).await.unwrap();
    // Until it has been felt.
    while writer.stats().last_error.is_none() {
        tokio::task::yield_now().await;
    }
    emulator.resume().await.unwrap();
    writer.shutdown().await.unwrap();
    assert_eq!(content(&emulator), data);
}

#[tokio::test]
async fn a_dead_server_fails_the_writer_and_keeps_its_bytes() {
    let emulator = start().await;
    let mut writer = writer(&emulator)
        .delivery_timeout(Duration::from_millis(300))
        .open()
        .await
        .unwrap();
    writer.write_all(b"kept").await.unwrap();
    emulator.pause().await;
    let error = writer.flush().await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::RetriesExhausted { .. }));
    assert_eq!(writer.into_unsent().unwrap().chunks.concat(), b"kept");

    let client = emulator.client().build().unwrap();
    let error = OssAppendWriter::builder(client, crate::support::object())
        .delivery_timeout(Duration::from_millis(300))
        .open()
        .await
        .unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::RetriesExhausted { .. }));
}

#[tokio::test]
async fn an_append_on_its_way_when_its_client_gave_up_is_not_doubled() {
    let emulator = start().await;
    let mut writer = writer(&emulator).open().await.unwrap();
    emulator.inject(on_append(Action::ApplyLate(
        oss_append::emulator::Late::Release,
    )));
    writer.write_all(b"one ").await.unwrap();
    writer.sync().await.unwrap();
    emulator.release().await;
    writer.write_all(b"two").await.unwrap();
    writer.shutdown().await.unwrap();
    assert_eq!(content(&emulator), b"one two");
}

#[tokio::test]
async fn what_cannot_be_opened_says_why_and_is_left_alone() {
    let emulator = start().await;
    emulator.put("bucket", "object", "precious").unwrap();
    let error = writer(&emulator).open().await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::NotAppendable { .. }));
    assert_eq!(content(&emulator), b"precious");
    assert_eq!(
        stored(&emulator).info.kind,
        ObjectKind::Other("Normal".into())
    );

    let elsewhere = ObjectPath::new("no-such-bucket", "object").unwrap();
    let client = emulator.client().build().unwrap();
    let error = OssAppendWriter::builder(client, elsewhere)
        .open()
        .await
        .unwrap_err();
    let said = error.service_error().unwrap();
    assert_eq!((said.status, said.code.as_str()), (404, "NoSuchBucket"));
    assert!(error.to_string().contains("no-such-bucket"), "{error}");
    assert_eq!(emulator.count(Operation::AppendObject), 0);
}

#[tokio::test]
async fn create_new_and_seal_work_over_the_wire() {
    let emulator = start().await;
    let mut first = writer(&emulator)
        .create_new()
        .seal_on_shutdown(true)
        .open()
        .await
        .unwrap();
    assert_eq!(stored(&emulator).info.length, 0);
    let error = writer(&emulator).create_new().open().await.unwrap_err();
    assert_eq!(conflict_cause(&error), ConflictCause::Exists);
    first.write_all(b"x").await.unwrap();
    first.shutdown().await.unwrap();
    assert!(stored(&emulator).info.sealed);
    let error = writer(&emulator).open().await.unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Sealed);
}

#[tokio::test]
async fn sealing_by_somebody_else_is_found() {
    let emulator = start().await;
    let mut writer = writer(&emulator).open().await.unwrap();
    writer.write_all(b"x").await.unwrap();
    writer.sync().await.unwrap();
    emulator.seal("bucket", "object").unwrap();
    writer.write_all(b"y").await.unwrap();
    let error = writer.shutdown().await.unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Sealed);
    assert_eq!(error.landed(), Some(Landed::No));
}

#[tokio::test]
async fn a_replay_after_a_crash_completes_the_object() {
    let emulator = start().await;
    let data = bytes(300_000);
    emulator
        .append_foreign("bucket", "object", data[..120_000].to_vec())
        .unwrap();
    let mut writer = writer(&emulator)
        .replay(Checkpoint::start("oss://bucket/object".parse().unwrap()))
        .batch_size(50_000)
        .open()
        .await
        .unwrap();
    writer.write_all(&data[..60_000]).await.unwrap();
    writer.sync().await.unwrap();
    writer.copy_from(&mut &data[60_000..]).await.unwrap();
    writer.shutdown().await.unwrap();
    assert_eq!(content(&emulator), data);
}

#[tokio::test]
async fn two_writers_share_an_object_record_by_record() {
    let emulator = start().await;
    let mut tasks = Vec::new();
    for id in 0..2 {
        let builder = writer(&emulator).shared(true).batch_size(200);
        tasks.push(tokio::spawn(async move {
            let mut writer = builder.open().await.unwrap();
            for n in 0..200 {
                let line = format!("{id} {n}\n");
                writer.write_all(line.as_bytes()).await.unwrap();
            }
            writer.shutdown().await.unwrap();
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    let text = String::from_utf8(content(&emulator)).unwrap();
    for id in 0..2 {
        let own: Vec<String> = text
            .lines()
            .filter(|line| line.starts_with(&format!("{id} ")))
            .map(str::to_owned)
            .collect();
        let expected: Vec<String> = (0..200).map(|n| format!("{id} {n}")).collect();
        assert_eq!(own, expected);
    }
    assert_eq!(text.lines().count(), 400);
}

#[tokio::test]
async fn of_two_writers_that_begin_with_the_same_bytes_one_gets_a_conflict() {
    let emulator = start().await;
    let open = async || writer(&emulator).open().await.unwrap();
    let (mut first, mut second) = (open().await, open().await);
    first.write_all(b"started\n").await.unwrap();
    first.sync().await.unwrap();
    let mark = &stored(&emulator).metadata[ObjectOptions::CREATOR];
    assert!(mark.len() == 32 && mark.bytes().all(|digit| digit.is_ascii_hexdigit()));
    emulator.inject(on_append(Action::DropAnswer));
    second.write_all(b"started\n").await.unwrap();
    let error = second.sync().await.unwrap_err();
    assert_eq!(conflict_cause(&error), ConflictCause::Foreign);
    assert_eq!(error.landed(), Some(Landed::No));
    first.shutdown().await.unwrap();
    assert_eq!(content(&emulator), b"started\n");
}

#[tokio::test]
async fn creation_options_reach_the_object() {
    let emulator = start().await;
    let options = ObjectOptions::new()
        .content_type("text/x-log")
        .cache_control("no-cache")
        .acl(ObjectAcl::Private)
        .storage_class(StorageClass::Ia)
        .meta("Origin", "sensor 7")
        .unwrap()
        .tag("team", "a b+c")
        .unwrap();
    let mut writer = writer(&emulator)
        .object_options(options)
        .open()
        .await
        .unwrap();
    for _ in 0..2 {
        writer.write_all(b"x").await.unwrap();
        writer.sync().await.unwrap();
    }
    let object = stored(&emulator);
    assert_eq!(object.content_type, "text/x-log");
    assert_eq!(object.headers["cache-control"], "no-cache");
    assert_eq!(
        (object.acl.as_str(), object.storage_class.as_str()),
        ("private", "IA")
    );
    assert_eq!(object.metadata["origin"], "sensor 7");
    assert_eq!(object.tags["team"], "a b+c");
}

#[tokio::test]
async fn keys_that_url_libraries_would_fold_are_addressed_exactly() {
    let emulator = start().await;
    let client = emulator.client().build().unwrap();
    for key in [
        "a/../b",
        "../up",
        "a/./b",
        "./here",
        "a//b",
        "a/",
        "a b+c%2F?x=1#y",
        "Ünï/日本",
        "%2e%2e/x",
        "a\\..\\b",
    ] {
        let object = ObjectPath::new("bucket", key).unwrap();
        let mut writer = OssAppendWriter::builder(client.clone(), object.clone())
            .open()
            .await
            .unwrap();
        writer.write_all(key.as_bytes()).await.unwrap();
        writer.shutdown().await.unwrap();
        let stored = emulator.object("bucket", key).expect(key);
        assert_eq!(stored.bytes, key.as_bytes());
        let mut body = client.get_object(&object).send().await.unwrap().body;
        assert_eq!(body.next().await.unwrap().unwrap(), key.as_bytes());
    }
}

#[tokio::test]
async fn a_skewed_clock_is_corrected_in_mid_stream() {
    // Beyond what OSS tolerates, and beyond the day that its signature names. The last is what a
    // machine without a battery begins with, as far as the server may be behind.
    const DAY: i64 = 86_400;
    for seconds in [
        3600,
        -3600,
        3 * DAY,
        -3 * DAY,
        -5 * 365 * DAY,
        56 * 365 * DAY,
    ] {
        let emulator = start().await;
        let mut writer = writer(&emulator).open().await.unwrap();
        writer.write_all(b"before ").await.unwrap();
        writer.sync().await.unwrap();
        emulator.set_clock_offset(seconds);
        writer.write_all(b"after").await.unwrap();
        writer.shutdown().await.unwrap();
        assert_eq!(content(&emulator), b"before after");
    }
}

#[tokio::test]
async fn a_body_changed_on_its_way_is_refused_by_its_content_md5() {
    let emulator = start().await;
    let options = oss_append::RequestOptions::new().content_md5(true);
    let mut writer = writer(&emulator)
        .request_options(options)
        .open()
        .await
        .unwrap();
    writer.write_all(b"checked").await.unwrap();
    writer.shutdown().await.unwrap();
    assert_eq!(content(&emulator), b"checked");
}

#[tokio::test]
async fn a_directory_survives_the_server() {
    let directory = tempfile::tempdir().unwrap();
    for round in 0..3 {
        let emulator = start_with(Emulator::builder().directory(directory.path())).await;
        let mut writer = writer(&emulator).open().await.unwrap();
        assert_eq!(writer.position(), round * 5);
        writer.write_all(b"round").await.unwrap();
        writer.shutdown().await.unwrap();
        emulator.shutdown().await;
    }
}
