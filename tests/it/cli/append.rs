//! What `append` does when all goes well.

use oss_append::crc64;
use serde_json::json;

use super::*;

#[tokio::test]
async fn standard_input_is_appended_and_summed_up_in_one_json_object() {
    let emulator = emulator().await;
    emulator.append_foreign("bucket", KEY, "before ").unwrap();
    let ended = append(&emulator, &[], "after").await.expect(0);
    let summary = ended.own();
    let elapsed = summary["elapsed_ms"].clone();
    assert!(elapsed.is_u64());
    assert_eq!(
        summary,
        json!({
            "bucket": "bucket",
            "key": KEY,
            "start": 7,
            "end": 12,
            "bytes": 5,
            "appends": 1,
            "retries": 0,
            "reconciles": 0,
            "crc64": crc64::checksum(b"before after").to_string(),
            "elapsed_ms": elapsed,
            "appends_per_second": null,
            "appends_per_month": null,
            "interrupted": false,
            "ignored_options": [],
            "missing": 0,
            "error": null,
        })
    );
    assert_eq!(ended.stderr, "");
    assert_eq!(content(&emulator), b"before after");
}

#[tokio::test]
async fn without_json_the_summary_is_one_line_on_standard_error() {
    let emulator = emulator().await;
    let ended = run(command(&emulator, ["append", TARGET]), "hello")
        .await
        .expect(0)
        .says(&[TARGET, "5 bytes durable", "1 append "]);
    assert!(ended.stdout.is_empty());
}

#[tokio::test]
async fn a_dash_is_standard_input_and_a_file_is_a_file() {
    let emulator = emulator().await;
    let directory = tempfile::tempdir().unwrap();
    let from_file = bytes(3 * MIB);
    let path = file(directory.path(), &from_file);
    run(command(&emulator, ["append", "-", TARGET]), "dash ")
        .await
        .expect(0);
    for _ in 0..2 {
        run(command(&emulator, ["append", &path, TARGET]), "not read")
            .await
            .expect(0);
    }
    assert_eq!(
        content(&emulator),
        [&b"dash "[..], &from_file, &from_file].concat()
    );
}

#[tokio::test]
async fn an_empty_input_creates_the_object_only_if_asked() {
    let emulator = emulator().await;
    let summary = append(&emulator, &[], "").await.expect(0).json();
    assert_eq!((&summary["end"], &summary["bytes"]), (&json!(0), &json!(0)));
    assert_eq!(emulator.length("bucket", KEY), None);

    let summary = append(&emulator, &["--create-new"], "")
        .await
        .expect(0)
        .json();
    assert_eq!(summary["crc64"], "0");
    assert_eq!(emulator.length("bucket", KEY), Some(0));
}

#[tokio::test]
async fn the_sizes_set_the_appends() {
    let emulator = emulator().await;
    let input = bytes(256 * 1024);
    let options = [
        "--batch-size",
        "64KiB",
        "--max-append-size",
        "64KiB",
        "--buffer",
        "128KiB",
        "--linger=1h",
    ];
    let summary = append(&emulator, &options, &input).await.expect(0).json();
    assert_eq!(summary["appends"], 4);
    assert_eq!(content(&emulator), input);
}

#[tokio::test]
async fn a_small_buffer_alone_makes_the_appends_fit() {
    let emulator = emulator().await;
    let input = bytes(MIB);
    append(&emulator, &["--buffer", "100KiB"], &input)
        .await
        .expect(0);
    assert_eq!(content(&emulator), input);
    let longest = emulator
        .requests()
        .iter()
        .filter_map(|r| r.body_length)
        .max();
    assert_eq!(longest, Some(50 * 1024));
}

#[tokio::test]
async fn a_lingering_byte_is_appended_while_the_input_stays_open() {
    let emulator = emulator().await;
    let mut running = Running::start(command(&emulator, ["append", "--linger", "1ms", TARGET]));
    running.write("first ").await;
    appended(&emulator, 1).await;
    running.write("second").await;
    appended(&emulator, 2).await;
    running.close_input();
    running.end().await.expect(0);
    assert_eq!(content(&emulator), b"first second");
}

#[tokio::test]
async fn properties_are_given_to_a_new_object() {
    let emulator = emulator().await;
    let options = [
        "--content-type=text/x-test",
        "--meta=origin=sensor-7",
        "--meta=formula=a=b",
        "--tag=team=logs",
        "--tag=tier=1",
        "--acl=public-read",
        "--storage-class=IA",
    ];
    append(&emulator, &options, "x").await.expect(0);
    let object = emulator.object("bucket", KEY).unwrap();
    assert_eq!(object.content_type, "text/x-test");
    assert_eq!(object.metadata["origin"], "sensor-7");
    assert_eq!(object.metadata["formula"], "a=b");
    assert_eq!(object.tags["team"], "logs");
    assert_eq!(object.tags["tier"], "1");
    assert_eq!(object.acl, "public-read");
    assert_eq!(object.storage_class, "IA");
}

#[tokio::test]
async fn seal_ends_the_object() {
    let emulator = emulator().await;
    append(&emulator, &["--seal"], "last").await.expect(0);
    assert!(emulator.object("bucket", KEY).unwrap().info.sealed);
    append(&emulator, &[], "more")
        .await
        .expect(4)
        .says(&["sealed"]);
    assert_eq!(content(&emulator), b"last");
}

#[tokio::test]
async fn progress_is_shown_where_standard_error_is_no_terminal_if_asked() {
    let emulator = emulator().await;
    let arguments = ["append", "--progress=always", "--linger=1ms", TARGET];
    let mut running = Running::start(command(&emulator, arguments));
    running.write("12345").await;
    running.hear("5 B durable + 0 B buffered").await;
    running.close_input();
    running.end().await.expect(0);
}

#[tokio::test]
async fn a_summary_that_nobody_reads_is_no_failure() {
    let emulator = emulator().await;
    let mut running = Running::start(command(&emulator, ["append", "--json", TARGET]));
    drop(running.child.stdout.take());
    running.write("x").await;
    running.close_input();
    let mut stderr = String::new();
    running.stderr.read_to_string(&mut stderr).await.unwrap();
    assert_eq!(running.child.wait().await.unwrap().code(), Some(0));
    assert_eq!(stderr, "");
    assert_eq!(content(&emulator), b"x");
}

#[tokio::test]
async fn a_replay_of_a_complete_object_appends_nothing() {
    let emulator = emulator().await;
    let input = bytes(2 * MIB);
    append(&emulator, &["--replay"], &input).await.expect(0);
    let summary = append(&emulator, &["--replay"], &input)
        .await
        .expect(0)
        .json();
    assert_eq!(summary["appends"], 0);
    assert_eq!(summary["bytes"], 2 * MIB);
    assert_eq!(summary["crc64"], crc64::checksum(&input).to_string());
    assert_eq!(content(&emulator), input);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_stalled_server_costs_the_buffer_and_not_much_more() {
    use oss_append::emulator::{Action, Fault};
    let emulator = emulator().await;
    emulator.inject(Fault::new(Operation::AppendObject, Action::Stall).forever());
    let directory = tempfile::tempdir().unwrap();
    let path = file(directory.path(), &bytes(64 * MIB));
    let arguments = ["append", "--progress=always", &path, TARGET];
    let mut running = Running::start(command(&emulator, arguments));
    running.hear("16.00 MiB buffered").await;
    let status = format!("/proc/{}/status", running.child.id().unwrap());
    let status = std::fs::read_to_string(status).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = peak.unwrap().trim().strip_suffix(" kB").unwrap();
    let peak = peak.parse::<usize>().unwrap() * 1024;
    assert!(peak < (16 + 32) * MIB, "{peak}");
}

#[tokio::test]
async fn max_appends_limits_the_requests_a_second_and_the_summary_tells_how_many_there_were() {
    let emulator = emulator().await;
    let limited = [
        "append",
        "--batch-size=1",
        "--max-append-size=100",
        "--max-appends=2",
    ];
    let command = command(&emulator, [&limited[..], &["-", TARGET]].concat());
    // By 21 appends, the first of which is at once.
    let input = "x".repeat(2100);
    let ended = run(command, &input).await.expect(0);
    assert_eq!(emulator.count(Operation::AppendObject), 21);
    let told = ended.stderr.trim_end();
    assert!(told.contains(" append requests a second, "), "{told}");
    assert!(told.ends_with(" a month"), "{told}");
}

/// As in a small image.
fn without_root_certificates(mut command: Command) -> Command {
    command.env("SSL_CERT_FILE", "/nonexistent");
    command.env("SSL_CERT_DIR", "/nonexistent");
    command
}

#[tokio::test]
async fn root_certificates_are_needed_only_where_there_is_tls() {
    let emulator = emulator().await;
    let plain = without_root_certificates(command(&emulator, ["append", TARGET]));
    run(plain, "hello").await.expect(0);
    assert_eq!(content(&emulator), b"hello");

    let mut secure = command(&emulator, ["append", TARGET]);
    secure.env("OSS_ENDPOINT", "https://127.0.0.1:9");
    run(without_root_certificates(secure), "hello")
        .await
        .expect(2)
        .says(&["root certificates", "ca-certificates", "SSL_CERT_FILE"]);
}

#[tokio::test]
async fn without_any_input_the_summary_says_that_there_is_no_object() {
    let emulator = emulator().await;
    let append = || command(&emulator, ["append", TARGET]);
    run(append(), "")
        .await
        .expect(0)
        .says(&["nothing was read, and no object was created"]);
    assert!(emulator.object("bucket", KEY).is_none());
    run(append(), "something").await.expect(0);
    run(append(), "")
        .await
        .expect(0)
        .says(&["nothing was read, and nothing was appended"]);
    let created = command(&emulator, ["append", "--create-new", "oss://bucket/new"]);
    run(created, "").await.expect(0).says(&["by 1 append"]);
    assert!(emulator.object("bucket", "new").is_some());
}

#[tokio::test]
async fn a_line_break_at_the_end_of_a_secret_does_no_harm_and_one_in_it_is_told() {
    let emulator = emulator().await;
    let with = |secret: String| {
        let mut command = command(&emulator, ["append", TARGET]);
        command.env("OSS_ACCESS_KEY_SECRET", secret);
        command
    };
    run(with(format!("{ACCESS_KEY_SECRET}\n")), "hello")
        .await
        .expect(0);
    assert_eq!(content(&emulator), b"hello");
    let requests = emulator.requests().len();
    run(with(format!("{ACCESS_KEY_SECRET}\nmore")), "hello")
        .await
        .expect(5)
        .says(&["OSS_ACCESS_KEY_SECRET has a line break"]);
    assert_eq!(emulator.requests().len(), requests);
}
