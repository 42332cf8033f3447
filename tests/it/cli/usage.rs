//! What is refused before anything is sent, how the command is configured, and its help.

use std::path::Path;

use super::*;

#[tokio::test]
async fn a_malformed_target_is_refused_before_anything_is_sent() {
    let emulator = emulator().await;
    let long = format!("oss://bucket/{}", "k".repeat(1024));
    for target in [
        "bucket/key",
        "oss://bucket",
        "oss://bucket/",
        "oss:///key",
        "oss://Bucket/key",
        "oss://bucket//key",
        "oss://bucket/\\key",
        "oss://bucket/a\nb",
        "oss://bucket/a\u{7f}b",
        "oss://bucket/.",
        "oss://bucket/..",
        "https://bucket/key",
        "",
        &long,
    ] {
        for name in ["append", "stat", "cat", "tail"] {
            let ended = run(command(&emulator, [name, target]), "x").await;
            assert_eq!(ended.code, 2, "{name} {target:?} {ended:?}");
            assert!(!ended.stderr.is_empty());
        }
    }
    assert!(emulator.requests().is_empty());
}

#[cfg(unix)]
#[tokio::test]
async fn a_key_that_is_not_utf_8_is_refused() {
    use std::os::unix::ffi::OsStrExt as _;
    let emulator = emulator().await;
    let target = OsStr::from_bytes(b"oss://bucket/\xff");
    run(command(&emulator, [OsStr::new("append"), target]), "x")
        .await
        .expect(2);
    assert!(emulator.requests().is_empty());
}

#[tokio::test]
async fn a_key_is_taken_literally() {
    let emulator = emulator().await;
    for key in [
        "a/../b",
        "./a",
        "a/./b/..",
        "a//b/",
        "%2e%2e/x",
        "a%20b c+d",
        "q?x=1&append#f",
        "ü/日本",
        "'\"<>{}|^`",
    ] {
        let target = format!("oss://bucket/{key}");
        let ended = run(command(&emulator, ["append", &target]), key).await;
        ended.expect(0);
        let object = emulator.object("bucket", key).unwrap();
        assert_eq!(object.bytes, key.as_bytes());
        let cat = run(command(&emulator, ["cat", &target]), "").await;
        assert_eq!(cat.expect(0).stdout, key.as_bytes());
    }
    let keys = emulator.requests().into_iter().filter_map(|r| r.key);
    assert_eq!(
        keys.collect::<std::collections::BTreeSet<_>>().len(),
        9,
        "no other object was touched"
    );
}

#[tokio::test]
async fn options_that_cannot_be_are_refused_before_anything_is_sent() {
    let emulator = emulator().await;
    for options in [
        &["--batch-size=0"][..],
        &["--batch-size=4MiB", "--max-append-size=1MiB"],
        &["--max-append-size=8MiB", "--buffer=8MiB"],
        &["--buffer=1"],
        &["--linger=soon"],
        &["--delivery-timeout=0s"],
        &["--max-object-size=0"],
        &["--create-new", "--replay"],
        &["--create-new", "--shared"],
        &["--replay", "--shared"],
        &["--meta=no-value"],
        &["--meta=under_score=x"],
        &["--tag=a&b=x"],
        &["--acl=everybody"],
        &["--storage-class=ColdArchive"],
        &["--progress=sometimes"],
        &["--unknown"],
    ] {
        let ended = append(&emulator, options, "x").await;
        assert_eq!(ended.code, 2, "{options:?} {ended:?}");
        assert_eq!(ended.json()["kind"], "invalid_input");
    }
    assert!(emulator.requests().is_empty());
}

#[tokio::test]
async fn no_value_of_an_option_whatever_panics() {
    const MOST: &str = "18446744073709551615";
    let emulator = emulator().await;
    let run_with = async |arguments: &[&str], option: &str| {
        emulator.put("bucket", "text", "a line\n").unwrap();
        let arguments = arguments.iter().copied().chain([option]);
        let ended = run(command(&emulator, arguments), "one line\n").await;
        let said = &ended.stderr;
        assert!(!said.contains("panicked"), "{option}: {said}");
        assert!((0..=6).contains(&ended.code), "{option}: {ended:?}");
    };
    let seconds = format!("{MOST}s");
    let durations = ["0s", "1ns", "99999999999999d", &seconds];
    let sizes = ["0", "1", MOST, "16EiB", "99999999999999EiB", "1e400"];
    for duration in durations {
        for option in ["--linger", "--delivery-timeout", "--shutdown-timeout"] {
            let append = ["append", TARGET];
            run_with(&append, &format!("{option}={duration}")).await;
        }
        let rolled = ["append", "oss://bucket/{uuid}"];
        run_with(&rolled, &format!("--roll={duration}")).await;
        let tail = ["tail", "--template", "oss://bucket/%Y-{seq}"];
        run_with(&tail, &format!("--roll={duration}")).await;
    }
    for size in sizes {
        for option in [
            "--batch-size",
            "--max-append-size",
            "--buffer",
            "--max-object-size",
        ] {
            run_with(&["append", TARGET], &format!("{option}={size}")).await;
        }
        let rolled = ["append", "oss://bucket/{uuid}"];
        run_with(&rolled, &format!("--roll-size={size}")).await;
        let tail = ["tail", "oss://bucket/text"];
        for option in ["--lines", "--bytes"] {
            run_with(&tail, &format!("{option}={size}")).await;
        }
        let cat = ["cat", "oss://bucket/text"];
        for range in [format!("0-{size}"), format!("-{size}")] {
            run_with(&cat, &format!("--range={range}")).await;
        }
    }
}

#[tokio::test]
async fn a_file_that_cannot_be_read_is_1_and_nothing_is_created() {
    let emulator = emulator().await;
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("missing");
    for (path, reason) in [(&*missing, "No such file"), (directory.path(), "directory")] {
        let path = Path::to_str(path).unwrap();
        let arguments = ["append", "--create-new", path, TARGET];
        run(command(&emulator, arguments), "x")
            .await
            .expect(1)
            .says(&[path, reason]);
    }
    assert!(emulator.requests().is_empty());
}

#[tokio::test]
async fn what_is_not_configured_is_named() {
    run(bare(["append", TARGET]), "x")
        .await
        .expect(2)
        .says(&["OSS_REGION", "--region"]);

    let mut without_region = bare(["append", TARGET]);
    without_region.env("OSS_ENDPOINT", "http://127.0.0.1:1");
    run(without_region, "x")
        .await
        .expect(2)
        .says(&["127.0.0.1", "OSS_REGION", "--region"]);

    let arguments = ["append", "--region=cn-hangzhou", TARGET];
    run(bare(arguments), "x")
        .await
        .expect(5)
        .says(&["OSS_ACCESS_KEY_ID"]);
    let mut without_secret = bare(arguments);
    without_secret.env("OSS_ACCESS_KEY_ID", "id");
    run(without_secret, "x")
        .await
        .expect(5)
        .says(&["OSS_ACCESS_KEY_SECRET"]);
}

#[tokio::test]
async fn options_count_more_than_the_environment() {
    let emulator = emulator().await;
    let mut command = command(
        &emulator,
        [
            "append",
            "--path-style",
            "--region",
            emulator.region(),
            "--endpoint",
            &emulator.url(),
            TARGET,
        ],
    );
    command
        .env("OSS_REGION", "cn-elsewhere")
        .env("OSS_ENDPOINT", "http://127.0.0.1:1");
    run(command, "x").await.expect(0);
    assert_eq!(content(&emulator), b"x");
}

#[tokio::test]
async fn a_session_token_is_taken_from_the_environment() {
    let emulator = Emulator::builder()
        .bucket("bucket")
        .sts("sts-id", "sts-secret", "sts-token")
        .start()
        .await
        .unwrap();
    let mut command = command(&emulator, ["append", TARGET]);
    command
        .env("OSS_ACCESS_KEY_ID", "sts-id")
        .env("OSS_ACCESS_KEY_SECRET", "sts-secret")
        .env("OSS_SESSION_TOKEN", "sts-token")
        .env("RUST_LOG", "trace");
    let ended = run(command, "x").await.expect(0);
    for secret in ["sts-secret", "sts-token", "Signature="] {
        assert!(!ended.stderr.contains(secret), "{secret}");
    }
    assert!(ended.stderr.lines().count() > 1, "RUST_LOG logs");
}

#[tokio::test]
async fn help_explains_itself() {
    for (name, parts) in [
        (
            "append",
            &[
                "[default: 1MiB]",
                "[default: 8MiB",
                "[default: 16MiB",
                "[default: 1s]",
                "[default: 120s]",
                "line feed",
                "--roll hourly",
                "--roll-size",
                "--utc-offset",
                "--align-lines",
                "--seal-finished",
                "{seq}",
                "Examples:",
                "OSS_ACCESS_KEY_SECRET",
                "Exit codes:",
            ][..],
        ),
        ("stat", &["Example:", "OSS_SESSION_TOKEN", "Exit codes:"]),
        ("cat", &["Examples:", "A-B", "OSS_REGION", "Exit codes:"]),
        (
            "tail",
            &[
                "[default: 10]",
                "[default: 200ms]",
                "[default: 5s]",
                "--from",
                "--template",
                "--utc-offset",
                "--embedded",
                "Examples:",
                "OSS_REGION",
                "Exit codes:",
            ],
        ),
        ("emulator", &["Example:", "--listen"]),
    ] {
        let help = run(bare([name, "--help"]), "").await.expect(0);
        let help = String::from_utf8(help.stdout).unwrap();
        for part in parts {
            assert!(help.contains(part), "{name}: {part:?} in {help}");
        }
    }
    let help = run(bare(["--help"]), "").await.expect(0);
    assert!(String::from_utf8_lossy(&help.stdout).contains("Exit codes:"));
    run(bare::<&str>([]), "").await.expect(2);
}
