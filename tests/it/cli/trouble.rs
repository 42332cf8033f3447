//! Trouble with OSS, and what becomes of it.

use oss_append::emulator::{Action, ErrorAnswer, Fault};

use super::*;

const BUDGET: &str = "--delivery-timeout=300ms";

/// 64 KiB an append, however long they take to come.
const SMALL: [&str; 3] = [
    "--batch-size=64KiB",
    "--max-append-size=64KiB",
    "--linger=1h",
];
const BATCH: usize = 64 * 1024;

#[tokio::test]
async fn refused_credentials_are_5_and_not_retried_for_ever() {
    let emulator = Emulator::builder()
        .bucket("bucket")
        .credentials(ACCESS_KEY_ID, ACCESS_KEY_SECRET)
        .expired_sts("expired-id", "expired-secret", "expired-token")
        .start()
        .await
        .unwrap();
    for (id, secret, token, code) in [
        (ACCESS_KEY_ID, "wrong-secret", "", "SignatureDoesNotMatch"),
        ("unknown-id", "wrong-secret", "", "InvalidAccessKeyId"),
        (
            "expired-id",
            "expired-secret",
            "expired-token",
            "SecurityTokenExpired",
        ),
    ] {
        for name in ["append", "stat", "cat", "tail"] {
            emulator.clear_requests();
            let mut command = command(&emulator, [name, TARGET]);
            command
                .env("OSS_ACCESS_KEY_ID", id)
                .env("OSS_ACCESS_KEY_SECRET", secret)
                .env("OSS_SESSION_TOKEN", token);
            let ended = run(command, "x").await;
            let ended = ended.expect(5).says(&[code, "EC ", "request id "]);
            for hidden in [secret, "expired-token"] {
                assert!(!ended.stderr.contains(hidden), "{}", ended.stderr);
            }
            assert!(emulator.requests().len() <= 2);
            assert_eq!(emulator.count(Operation::AppendObject), 0);
        }
    }
}

#[tokio::test]
async fn a_missing_permission_is_named() {
    let emulator = emulator().await;
    let denied = || Action::Error(ErrorAnswer::new(403));
    emulator.inject(Fault::new(Operation::HeadObject, denied()));
    append(&emulator, &[], "x").await.expect(5).says(&[
        "AccessDenied",
        "oss:PutObject",
        "oss:GetObject",
    ]);
    assert_eq!(emulator.count(Operation::AppendObject), 0);

    emulator.inject(Fault::new(Operation::AppendObject, denied()));
    let ended = append(&emulator, &[], "x")
        .await
        .expect(5)
        .says(&["oss:PutObject", "missing from position 0"]);
    assert_eq!(ended.json()["missing"], 1);
    assert_eq!(emulator.length("bucket", KEY), None);
}

#[tokio::test]
async fn a_public_acl_that_is_blocked_is_named_and_no_permission_blamed() {
    let builder = Emulator::builder()
        .bucket("bucket")
        .block_public_access(true);
    let emulator = builder.start().await.unwrap();
    let ended = append(&emulator, &["--acl=public-read"], "x").await;
    let ended = ended
        .expect(5)
        .says(&["Block Public Access", "EC 0016-00000901", "ACL"]);
    assert!(!ended.stderr.contains("RAM"), "{}", ended.stderr);
    assert_eq!(emulator.count(Operation::AppendObject), 1);
    append(&emulator, &["--acl=private"], "x").await.expect(0);
}

#[tokio::test]
async fn a_refusal_that_nobody_knows_is_final_and_told() {
    for (status, code) in [
        (409, "ObjectWormNotSupported"),
        (400, "NobodyKnowsThis"),
        (403, "NobodyKnowsThis"),
        (422, "NobodyKnowsThis"),
    ] {
        let emulator = emulator().await;
        let answer = ErrorAnswer::new(status).code(code);
        emulator.inject(Fault::new(Operation::AppendObject, Action::Error(answer)).forever());
        let ended = append(&emulator, &[], "x").await;
        let json = ended.json();
        assert_ne!(ended.code, 0);
        assert_eq!(
            (&json["code"], &json["status"]),
            (&code.into(), &status.into())
        );
        assert_eq!(json["retryable"], false);
        ended.says(&[code, "1 more that were read are missing from position 0"]);
        assert_eq!(emulator.count(Operation::AppendObject), 1, "{status}");
    }
}

#[tokio::test]
async fn an_object_whose_metadata_another_changes_at_the_moment_is_appended_to_afterwards() {
    let emulator = emulator().await;
    let stale = Action::Error(ErrorAnswer::new(409).code("StaleFile"));
    emulator.inject(Fault::new(Operation::AppendObject, stale));
    append(&emulator, &[], "x").await.expect(0);
    assert_eq!(content(&emulator), b"x");
}

#[tokio::test]
async fn a_missing_bucket_is_named_before_any_byte_is_accepted() {
    let emulator = emulator().await;
    let arguments = ["append", "--json", "oss://nowhere/key"];
    let ended = run(command(&emulator, arguments), "x").await;
    let ended = ended
        .expect(1)
        .says(&["oss://nowhere/key", "NoSuchBucket", "request id "]);
    assert_eq!(ended.json()["code"], "NoSuchBucket");
    assert_eq!(emulator.count(Operation::AppendObject), 0);
}

#[tokio::test]
async fn a_normal_object_is_4_and_left_alone() {
    let emulator = emulator().await;
    emulator.put("bucket", KEY, "precious").unwrap();
    let before = emulator.object("bucket", KEY);
    append(&emulator, &[], "x")
        .await
        .expect(4)
        .says(&["not appendable", "Normal"]);
    assert_eq!(emulator.object("bucket", KEY), before);
    assert_eq!(emulator.count(Operation::AppendObject), 0);
}

#[tokio::test]
async fn create_new_on_an_existing_object_is_3_and_leaves_it_alone() {
    let emulator = emulator().await;
    emulator.append_foreign("bucket", KEY, "theirs").unwrap();
    append(&emulator, &["--create-new"], "x")
        .await
        .expect(3)
        .says(&["exists"]);
    assert_eq!(content(&emulator), b"theirs");
    assert_eq!(emulator.count(Operation::AppendObject), 0);
}

#[tokio::test]
async fn a_server_that_is_down_at_the_start_is_6() {
    let emulator = emulator().await;
    emulator.pause().await;
    let ended = append(&emulator, &[BUDGET], "x").await;
    let ended = ended
        .expect(6)
        .says_after_trying(&[TARGET, "gave up", "refused"]);
    assert_eq!(ended.json()["kind"], "retries_exhausted");
}

#[tokio::test]
async fn a_server_that_goes_and_comes_back_loses_nothing() {
    let emulator = emulator().await;
    let arguments = [&["append", "--json", TARGET], &SMALL[..]].concat();
    let mut running = Running::start(command(&emulator, arguments));
    let input = bytes(20 * BATCH);
    let (before, after) = input.split_at(4 * BATCH);
    running.write(before).await;
    appended(&emulator, 4).await;
    emulator.pause().await;
    let stand_in = stand_in(&emulator).await;
    running.write(&after[..2 * BATCH]).await;
    // It has tried, in vain.
    drop(stand_in.accept().await.unwrap());
    drop(stand_in);
    emulator.resume().await.unwrap();
    running.write(&after[2 * BATCH..]).await;
    running.close_input();
    let summary = running.end().await.expect(0).json();
    assert!(summary["retries"].as_u64() > Some(0), "{summary}");
    assert!(content(&emulator) == input);
}

#[tokio::test]
async fn a_server_that_goes_for_ever_is_6_with_what_is_durable() {
    let emulator = emulator().await;
    let arguments = [&["append", "--json", TARGET, BUDGET], &SMALL[..]].concat();
    let mut running = Running::start(command(&emulator, arguments));
    running.write(bytes(4 * BATCH)).await;
    appended(&emulator, 4).await;
    emulator.pause().await;
    running.write("the rest").await;
    running.close_input();
    // Whether the last append is in doubt is the kernel's choice: its connection may have been seen
    // to close, or not.
    let ended = running.end().await.expect(6).says_after_trying(&[
        "262144 bytes durable, 8 more that were read ",
        " missing from position 262144 on",
    ]);
    let summary = ended.json();
    assert_eq!(summary["end"], 4 * BATCH);
    assert_eq!(summary["missing"], 8);
    assert!(ended.stderr.contains(summary["error"].as_str().unwrap()));
    assert!(content(&emulator) == bytes(4 * BATCH));
}

#[tokio::test]
async fn a_lost_answer_doubles_nothing() {
    let emulator = emulator().await;
    for action in [Action::DropAnswer, Action::BadGatewayAfter, Action::Drop] {
        emulator.inject(Fault::new(Operation::AppendObject, action).skip(1));
    }
    let input = bytes(8 * BATCH);
    let summary = append(&emulator, &SMALL, &input).await.expect(0).json();
    assert!(summary["reconciles"].as_u64() >= Some(3), "{summary}");
    assert_eq!(summary["appends"], 8);
    assert!(content(&emulator) == input);
}

#[tokio::test]
async fn a_full_object_is_4_and_everything_before_is_durable() {
    let emulator = emulator().await;
    let input = bytes(4 * BATCH);
    let options = [&["--max-object-size=150KiB"], &SMALL[..]].concat();
    let ended = append(&emulator, &options, &input).await.expect(4).says(&[
        "full",
        "153600",
        "131072 bytes durable",
    ]);
    assert_eq!(ended.json()["end"], 2 * BATCH);
    assert!(content(&emulator) == input[..2 * BATCH]);
    assert_eq!(emulator.count(Operation::AppendObject), 2, "not sent");
}

#[tokio::test]
async fn another_writer_is_3_also_with_exactly_as_many_bytes() {
    for foreign in [&b"theirs"[..], &[b'x'; BATCH]] {
        let emulator = emulator().await;
        let action = Action::ForeignBefore(foreign.into());
        emulator.inject(Fault::new(Operation::AppendObject, action).skip(1));
        let input = bytes(4 * BATCH);
        let ended = append(&emulator, &SMALL, &input).await.expect(3).says(&[
            "another writer",
            "65536 bytes durable",
            "more that were read are missing from position 65536 on",
        ]);
        assert_eq!(ended.json()["end"], BATCH);
        assert!(content(&emulator) == [&input[..BATCH], foreign].concat());
    }
}

#[tokio::test]
async fn a_wrong_answer_is_never_a_success() {
    for action in [Action::WrongCrc, Action::WrongPosition] {
        let emulator = emulator().await;
        emulator.inject(Fault::new(Operation::AppendObject, action));
        let ended = append(&emulator, &[], "hello").await;
        let ended = ended
            .expect(3)
            .says(&["does not hold what was sent", "0 bytes durable"]);
        assert_eq!(ended.json()["bytes"], 0);
        assert_eq!(emulator.count(Operation::AppendObject), 1, "not retried");
    }
}

#[tokio::test]
async fn a_replay_of_something_else_is_3_and_appends_nothing() {
    let emulator = emulator().await;
    emulator.append_foreign("bucket", KEY, "theirs").unwrap();
    for input in ["ours, longer", "their"] {
        append(&emulator, &["--replay"], input).await.expect(3);
    }
    assert_eq!(content(&emulator), b"theirs");
    assert_eq!(emulator.count(Operation::AppendObject), 0);
}

/// Two appends fail before the next one is durable.
async fn troubled() -> Emulator {
    let emulator = emulator().await;
    for _ in 0..2 {
        let overloaded = Action::Error(ErrorAnswer::new(503).code("ServiceUnavailable"));
        emulator.inject(Fault::new(Operation::AppendObject, overloaded));
    }
    emulator
}

#[tokio::test]
async fn trouble_is_told_when_it_begins_and_when_it_is_over() {
    let emulator = troubled().await;
    let ended = append(&emulator, &[], "hello").await.expect(0);
    let lines: Vec<_> = ended.stderr.lines().collect();
    let [begins, ends] = lines[..] else {
        panic!("{}", ended.stderr)
    };
    for part in [
        "oss-append: oss://bucket/a/object.log: append: ",
        "503 ServiceUnavailable",
        "; trying again for up to 120 s; 5 B buffered",
    ] {
        assert!(begins.contains(part), "{part} in {begins}");
    }
    assert!(ends.contains(": delivery goes on after "), "{ends}");
    assert!(ends.ends_with(", 2 requests failed"), "{ends}");
}

#[tokio::test]
async fn quiet_is_quiet_and_verbose_tells_each_attempt() {
    let emulator = troubled().await;
    let ended = append(&emulator, &["--quiet"], "hello").await.expect(0);
    assert_eq!(ended.stderr, "");
    emulator.pause().await;
    let ended = append(&emulator, &["-q", BUDGET], "hello").await;
    ended.expect(6).says(&["gave up"]);

    let emulator = troubled().await;
    let ended = append(&emulator, &["-v"], "hello").await.expect(0);
    let told = |level: &str| {
        let lines = ended.stderr.lines();
        lines
            .filter(|line| line.contains(level) && line.contains("oss_append::delivery"))
            .count()
    };
    assert_eq!((told("WARN"), told("DEBUG"), told("INFO")), (1, 2, 1));
}

#[tokio::test]
async fn a_host_that_nobody_knows_asks_for_the_region() {
    let mut command = bare(["append", "--json", TARGET]);
    command
        .env("OSS_ENDPOINT", "http://oss-hangzhou.invalid")
        .env("OSS_REGION", "hangzhou")
        .env("OSS_ACCESS_KEY_ID", ACCESS_KEY_ID)
        .env("OSS_ACCESS_KEY_SECRET", ACCESS_KEY_SECRET);
    let ended = run(command, "hello").await.expect(6);
    let ended = ended.says_after_trying(&["oss-hangzhou.invalid", "is the region right"]);
    assert_eq!(ended.json()["kind"], "transport");
}

#[cfg(unix)]
#[tokio::test]
async fn the_bar_says_what_it_waits_for() {
    let emulator = emulator().await;
    let (controller, terminal) = super::streams::terminal();
    let mut command = command(&emulator, [&["append", TARGET], &SMALL[..]].concat());
    command.env("TERM", "xterm").stderr(terminal);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    // It has the terminal too.
    drop(command);
    let mut input = child.stdin.take().unwrap();
    input.write_all(&bytes(BATCH)).await.unwrap();
    appended(&emulator, 1).await;
    emulator.pause().await;
    input.write_all(&bytes(BATCH)).await.unwrap();
    let (said, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let reading = tokio::task::spawn_blocking(move || {
        let mut screen = std::fs::File::from(controller);
        let mut piece = [0; 4096];
        // Ends with an error when nobody has the other end any more.
        while let Ok(len @ 1..) = std::io::Read::read(&mut screen, &mut piece) {
            if said.send(piece[..len].to_vec()).is_err() {
                break;
            }
        }
    });
    let mut screen = String::new();
    while !screen.contains("waiting for OSS since ") {
        let piece = heard.recv().await.expect(&screen);
        screen += &String::from_utf8_lossy(&piece);
    }
    assert!(screen.contains("; trying again for up to "), "{screen}");
    emulator.resume().await.unwrap();
    drop(input);
    while let Some(piece) = heard.recv().await {
        screen += &String::from_utf8_lossy(&piece);
    }
    assert!(screen.contains("delivery goes on after "), "{screen}");
    assert!(child.wait().await.unwrap().success(), "{screen}");
    reading.await.unwrap();
}
