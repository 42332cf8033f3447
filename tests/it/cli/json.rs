//! `--json`: one object on standard output, whatever the outcome, with the same fields for all.

use oss_append::emulator::{Action, ErrorAnswer, Fault};
use serde_json::json;

use super::*;

const BUCKET: &str = "oss://bucket/";

/// The commands that have it.
const COMMANDS: [(&str, &str); 3] = [("append", TARGET), ("stat", TARGET), ("doctor", BUCKET)];

fn asked<'a>(name: &'a str, target: &'a str) -> Vec<&'a str> {
    match name {
        "append" => vec![name, "--json", "--delivery-timeout=200ms", target],
        _ => vec![name, "--json", target],
    }
}

#[tokio::test]
async fn what_is_done_is_ok() {
    let emulator = emulator().await;
    for (name, target) in COMMANDS {
        let ended = run(command(&emulator, asked(name, target)), "x").await;
        let told = ended.expect(0).json();
        assert_eq!(told["object"], target, "{told}");
        for name in ["status", "code", "ec", "request_id", "retryable"] {
            assert!(told[name].is_null(), "{told}");
        }
    }
}

#[tokio::test]
async fn arguments_that_are_not_valid_are_told() {
    for arguments in [
        &["append", "--json"][..],
        &["append", "--json", "--no-such", TARGET],
        &["append", "--json", "bucket/key"],
        &["append", "--json", "--linger=soon", TARGET],
        &["stat", "--json", "nonsense"],
        &["stat", "--json", TARGET, TARGET],
        &["doctor", "--json", "nonsense"],
        &["doctor", "--json", "--embedded=x", "--region=y", BUCKET],
        &["append", "--json", "oss://bucket/%Y-{seq}"],
    ] {
        let ended = run(bare(arguments), "x").await.expect(2);
        let told = ended.json();
        assert_eq!(told["kind"], "invalid_input", "{told}");
        let message = told["message"].as_str().unwrap();
        assert!(!message.starts_with("error"), "{message}");
        assert!(!message.contains('\n'), "{message}");
        let said = message.split_whitespace().next().unwrap();
        assert!(ended.stderr.contains(said), "{ended:?}");
    }
    // Nobody has asked for it.
    for arguments in [&["append"][..], &["append", "--", "--json"], &["cat"]] {
        let ended = run(bare(arguments), "").await.expect(2);
        assert!(ended.stdout.is_empty(), "{ended:?}");
    }
    let help = run(bare(["append", "--json", "--help"]), "").await;
    assert!(help.expect(0).stdout.starts_with(b"Append a file"));
}

#[tokio::test]
async fn credentials_that_are_missing_are_told() {
    let emulator = emulator().await;
    let home = tempfile::tempdir().unwrap();
    for (name, target) in COMMANDS {
        let mut command = command(&emulator, asked(name, target));
        command
            .env_remove("OSS_ACCESS_KEY_ID")
            .env_remove("OSS_ACCESS_KEY_SECRET")
            .env("ALIBABA_CLOUD_ECS_METADATA_DISABLED", "true")
            .env("HOME", home.path());
        let told = run(command, "x").await.expect(5).json();
        assert_eq!(told["kind"], "credentials");
        let message = told["message"].as_str().unwrap_or_default();
        for part in ["OSS_ACCESS_KEY_ID", "ALIBABA_CLOUD_OIDC_TOKEN_FILE", "ECS"] {
            assert!(message.contains(part), "{told}");
        }
    }
    assert!(emulator.requests().is_empty());
}

#[tokio::test]
async fn an_environment_that_cannot_be_meant_is_told_and_no_secret_shown() {
    let emulator = emulator().await;
    for (variable, value, kind, code) in [
        ("OSS_REGION", "\"cn-hangzhou\"", "invalid_input", 2),
        ("OSS_ENDPOINT", "'http://127.0.0.1:1'", "invalid_input", 2),
        ("OSS_ENDPOINT", "http://a\nhttp://b", "invalid_input", 2),
        ("OSS_ACCESS_KEY_ID", "'MARKED'", "credentials", 5),
        ("OSS_ACCESS_KEY_SECRET", "\"MARKED\"", "credentials", 5),
        ("OSS_ACCESS_KEY_SECRET", "MARKED MARKED", "credentials", 5),
        ("OSS_SESSION_TOKEN", "MARKED\nMARKED", "credentials", 5),
        ("OSS_ACCESS_KEY_SECRET", " \r\n", "credentials", 5),
    ] {
        for (name, target) in COMMANDS {
            let mut command = command(&emulator, asked(name, target));
            command.env(variable, value);
            let ended = run(command, "x").await.expect(code);
            let told = ended.json();
            assert_eq!(told["kind"], kind, "{told}");
            let message = told["message"].as_str().unwrap();
            assert!(message.contains(variable), "{told}");
            assert!(
                !format!("{told} {}", ended.stderr).contains("MARKED"),
                "{told}"
            );
        }
    }
    assert!(emulator.requests().is_empty());

    let mut spaced = command(&emulator, asked("append", TARGET));
    spaced
        .env("OSS_ENDPOINT", format!("{}\n", emulator.url()))
        .env("OSS_REGION", format!(" {}\r\n", emulator.region()))
        .env("OSS_ACCESS_KEY_ID", format!("{ACCESS_KEY_ID}\n"))
        .env("OSS_ACCESS_KEY_SECRET", format!("{ACCESS_KEY_SECRET}\r\n"))
        .env("OSS_SESSION_TOKEN", " ");
    run(spaced, "x").await.expect(0);
}

#[tokio::test]
async fn a_server_that_is_not_there_is_told() {
    let emulator = emulator().await;
    emulator.pause().await;
    for (name, target) in COMMANDS {
        let arguments = [name, "--json", "--delivery-timeout=200ms", target];
        let ended = run(command(&emulator, arguments), "x").await;
        let told = ended.expect(6).json();
        assert_eq!(told["kind"], "retries_exhausted", "{told}");
        assert_eq!(told["retryable"], true, "{told}");
    }
}

#[tokio::test]
async fn what_oss_said_is_told_in_fields() {
    let emulator = emulator().await;
    let denied = Action::Error(ErrorAnswer::new(403));
    emulator.inject(Fault::on_any(denied).forever());
    for (name, target) in COMMANDS {
        let ended = run(command(&emulator, asked(name, target)), "x").await;
        let told = ended.expect(5).json();
        let answer = json!([
            told["kind"],
            told["status"],
            told["code"],
            told["retryable"]
        ]);
        assert_eq!(answer, json!(["service", 403, "AccessDenied", false]));
        assert!(told["request_id"].is_string(), "{told}");
        assert!(
            told["object"].as_str().unwrap().starts_with(BUCKET),
            "{told}"
        );
    }
}

#[tokio::test]
async fn a_file_that_cannot_be_read_is_told() {
    let emulator = emulator().await;
    let arguments = ["append", "--json", "/no/such/file", TARGET];
    let told = run(command(&emulator, arguments), "")
        .await
        .expect(1)
        .json();
    assert_eq!(
        (&told["kind"], &told["object"]),
        (&json!("local"), &json!(TARGET))
    );
}

#[tokio::test]
async fn a_failure_in_mid_stream_tells_once_with_the_summary() {
    let emulator = emulator().await;
    let denied = Action::Error(ErrorAnswer::new(403));
    emulator.inject(Fault::new(Operation::AppendObject, denied));
    let ended = append(&emulator, &[], "x").await.expect(5);
    let told = ended.json();
    assert_eq!(
        (&told["missing"], &told["code"]),
        (&json!(1), &json!("AccessDenied"))
    );
    assert_eq!(told["message"], told["error"]);
    assert!(ended.stderr.contains(told["message"].as_str().unwrap()));
}

#[cfg(unix)]
#[tokio::test]
async fn a_signal_is_told_whenever_it_comes() {
    use rustix::process::Signal;
    for signal in [Signal::INT, Signal::TERM] {
        for (name, target) in COMMANDS {
            let emulator = emulator().await;
            emulator.inject(Fault::on_any(Action::Stall).forever());
            let arguments = [name, "--json", target];
            let running = Running::start(command(&emulator, arguments));
            struck(&emulator, "stall", 1).await;
            running.signal(signal);
            let told = running.end().await.expect(130).json();
            assert_eq!(told["kind"], "interrupted");
            assert_eq!(told["object"], target);
        }
    }
}
