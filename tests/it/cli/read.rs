//! `stat` and `cat`.

use oss_append::crc64;
use serde_json::json;

use super::*;

async fn cat(emulator: &Emulator, options: &[&str]) -> Ended {
    run(command(emulator, [&["cat", TARGET], options].concat()), "").await
}

#[tokio::test]
async fn stat_tells_what_the_object_is() {
    let emulator = emulator().await;
    let options = ["--meta=origin=here", "--content-type=text/x-test", "--seal"];
    append(&emulator, &options, "hello").await.expect(0);
    let stat = run(command(&emulator, ["stat", "--json", TARGET]), "").await;
    let mut stat = stat.expect(0).own();
    let creator = stat["metadata"]["oss-append-creator"].take();
    assert_eq!(creator.as_str().map(str::len), Some(32));
    let modified = stat["last_modified"].take();
    let modified = modified.as_str().unwrap();
    assert!(modified.ends_with('Z'), "{modified}");
    let object = emulator.object("bucket", KEY).unwrap();
    assert_eq!(
        stat,
        json!({
            "bucket": "bucket",
            "key": KEY,
            "length": 5,
            "type": "Appendable",
            "crc64": crc64::checksum(b"hello").to_string(),
            "etag": object.etag,
            "content_type": "text/x-test",
            "content_encoding": null,
            "sealed": true,
            "last_modified": null,
            "storage_class": "Standard",
            "metadata": { "origin": "here", "oss-append-creator": null },
            "next_append_position": 5,
        })
    );

    let text = run(command(&emulator, ["stat", TARGET]), "")
        .await
        .expect(0);
    let text = String::from_utf8(text.stdout).unwrap();
    for part in [TARGET, "Appendable", "text/x-test", "meta origin", "here"] {
        assert!(text.contains(part), "{text}");
    }
}

#[tokio::test]
async fn stat_of_a_normal_object_has_no_next_position() {
    let emulator = emulator().await;
    emulator.put("bucket", KEY, "normal").unwrap();
    let stat = run(command(&emulator, ["stat", "--json", TARGET]), "").await;
    let stat = stat.expect(0).json();
    assert_eq!(stat["type"], "Normal");
    assert_eq!(stat["next_append_position"], Value::Null);
}

#[tokio::test]
async fn what_is_not_there_is_1_and_named() {
    let emulator = emulator().await;
    for name in ["stat", "cat"] {
        let missing = run(command(&emulator, [name, TARGET]), "").await;
        let missing = missing
            .expect(1)
            .says(&[TARGET, "NoSuchKey", "EC ", "request id "]);
        assert!(missing.stdout.is_empty());
    }
}

#[tokio::test]
async fn cat_writes_every_byte() {
    let emulator = emulator().await;
    let all = bytes(3 * MIB + 1);
    emulator.append_foreign("bucket", KEY, all.clone()).unwrap();
    let ended = cat(&emulator, &[]).await.expect(0);
    assert!(ended.stdout == all);
    assert_eq!(ended.stderr, "");
}

#[tokio::test]
async fn cat_writes_a_range_as_http_counts_it() {
    let emulator = emulator().await;
    emulator
        .append_foreign("bucket", KEY, "0123456789")
        .unwrap();
    for (range, part) in [
        ("2-4", "234"),
        ("0-0", "0"),
        ("7-", "789"),
        ("8-99", "89"),
        ("-3", "789"),
        ("-99", "0123456789"),
    ] {
        let ended = cat(&emulator, &["--range", range]).await.expect(0);
        assert_eq!(ended.stdout, part.as_bytes(), "{range}");
    }
    cat(&emulator, &["--range", "10-"])
        .await
        .expect(1)
        .says(&["InvalidRange"]);
    for range in ["4-2", "-0", "x", "1-2-3"] {
        cat(&emulator, &["--range", range]).await.expect(2);
    }
}

#[tokio::test]
async fn the_last_bytes_of_an_empty_object_are_none() {
    let emulator = emulator().await;
    append(&emulator, &["--create-new"], "").await.expect(0);
    let ended = cat(&emulator, &["--range=-5"]).await.expect(0);
    assert!(ended.stdout.is_empty());
}

#[tokio::test]
async fn cat_ends_quietly_when_nobody_reads_on() {
    let emulator = emulator().await;
    emulator
        .append_foreign("bucket", KEY, bytes(4 * MIB))
        .unwrap();
    let running = Running::start(command(&emulator, ["cat", TARGET]));
    running.ends_unread().await;
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_a_failure_of_cat() {
    use oss_append::emulator::{Action, Fault};
    let emulator = emulator().await;
    emulator.append_foreign("bucket", KEY, bytes(MIB)).unwrap();
    emulator.inject(Fault::new(Operation::GetObject, Action::Truncate(1000)));
    let ended = cat(&emulator, &[]).await.expect(6).says(&[TARGET]);
    assert!(ended.stdout.len() < MIB);
}
