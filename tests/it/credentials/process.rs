//! Credentials that a program prints: real programs, well and ill behaved.

#![cfg(unix)]

use std::time::{Duration, Instant};

use oss_append::ErrorKind;
use oss_append::credentials::{CachedCredentials, CredentialsProcess, CredentialsProvider};

use super::{SECRET, TOKEN, error, fetch, id, in_an_hour, key_json, temporary};
use crate::support::log::{Log, set_default};
use crate::support::{MS, SEC};

/// Runs this as a script of the shell.
fn script(script: &str) -> CachedCredentials {
    command(&format!("sh -c {}", quote(script)))
        .build()
        .unwrap()
}

fn command(command: &str) -> CredentialsProcess {
    CredentialsProcess::new(command)
}

fn quote(text: &str) -> String {
    assert!(!text.contains('\''));
    format!("'{text}'")
}

fn prints(text: &str) -> CachedCredentials {
    script(&format!("cat <<EOF\n{text}\nEOF"))
}

#[tokio::test]
async fn both_families_of_names_are_understood() {
    let seconds = in_an_hour().duration_since(std::time::UNIX_EPOCH).unwrap();
    let seconds = seconds.as_secs();
    let cli = |expiration: &str| {
        format!(
            r#"{{"mode":"StsToken","access_key_id":"STS.1","access_key_secret":"{SECRET}",
                "sts_token":"{TOKEN}","expiration":{expiration}}}"#
        )
    };
    let text = format!("\"{}\"", super::iso(in_an_hour()));
    for printed in [key_json("STS.1"), cli(&text), cli(&seconds.to_string())] {
        let got = fetch(&prints(&printed)).await;
        assert_eq!(got.access_key_id(), "STS.1");
        assert_eq!(got.access_key_secret(), SECRET);
        assert_eq!(got.session_token(), Some(TOKEN));
        let off = in_an_hour().duration_since(got.expiration().unwrap());
        assert!(off.unwrap() <= 10 * SEC);
    }
    for printed in [
        format!(r#"{{"AccessKeyId":"AK","AccessKeySecret":"{SECRET}"}}"#),
        format!(r#"{{"mode":"AK","access_key_id":"AK","access_key_secret":"{SECRET}"}}"#),
    ] {
        let got = fetch(&prints(&printed)).await;
        assert_eq!(got.access_key_id(), "AK");
        assert_eq!((got.session_token(), got.expiration()), (None, None));
    }
}

#[tokio::test]
async fn the_command_is_split_as_a_shell_does_and_not_run_by_one() {
    let key = r#"{"AccessKeyId":"$HOME|`id`","AccessKeySecret":"it is"}"#;
    let provider = command(&format!("printf %s '{key}'")).build().unwrap();
    assert_eq!(id(&provider).await, "$HOME|`id`");
}

#[tokio::test]
async fn what_it_prints_instead_of_a_key_is_an_error_that_does_not_show_it() {
    let short = r#"{"AccessKeyId":"id","AccessKeySecret":""}"#;
    let mode = r#"{"mode":"MARKED","access_key_id":"id","access_key_secret":"MARKED"}"#;
    let token = r#"{"mode":"StsToken","access_key_id":"id","access_key_secret":"MARKED"}"#;
    for (printed, says) in [
        ("", "is not JSON"),
        ("MARKED", "is not JSON (line 1, column 1)"),
        ("{\"AccessKeyId\": \"MARKED", "is not JSON"),
        ("[\"MARKED\"]", "another form"),
        ("{}", "has no AccessKeyId"),
        (short, "has no AccessKeySecret"),
        (mode, "neither AK nor StsToken"),
        (token, "has no SecurityToken"),
    ] {
        let error = error(&prints(printed)).await;
        assert!(error.to_string().contains(says), "{says}: {error}");
        assert!(!temporary(&error));
    }
}

#[tokio::test]
async fn a_program_that_fails_is_an_error_with_its_exit_code_and_not_its_words() {
    let key = key_json("STS.1");
    let end = |how: &str| script(&format!("echo MARKED >&2; cat <<EOF\n{key}\nEOF\n{how}"));
    for (provider, says) in [
        (end("exit 3"), "exit status: 3"),
        (end("kill -9 $$"), "signal: 9"),
    ] {
        let error = error(&provider).await;
        let said = error.to_string();
        assert!(said.contains(says) && said.contains("program sh"), "{said}");
        assert!(!temporary(&error));
    }
}

#[tokio::test]
async fn a_program_that_is_not_there_is_an_error_that_names_it() {
    for (line, says) in [
        (
            "no-such-program MARKED",
            "no-such-program could not be run: entity not found",
        ),
        ("/ MARKED", "could not be run: permission denied"),
    ] {
        let error = error(&command(line).build().unwrap()).await;
        assert!(error.to_string().contains(says), "{error}");
    }
}

#[tokio::test]
async fn a_program_that_takes_too_long_is_killed() {
    let directory = tempfile::tempdir().unwrap();
    let pid = directory.path().join("pid");
    let line = format!("sh -c 'echo $$ > {}; exec sleep 1000'", pid.display());
    let provider = command(&line).timeout(SEC).build().unwrap();
    let began = Instant::now();
    let error = error(&provider).await;
    assert!(error.to_string().contains("killed after 1.0 s"), "{error}");
    assert!(temporary(&error) && began.elapsed() < 60 * SEC);
    let pid: i32 = std::fs::read_to_string(pid)
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    while rustix::process::test_kill_process(pid).is_ok() {
        assert!(began.elapsed() < 60 * SEC, "it lives");
        tokio::time::sleep(10 * MS).await;
    }
}

#[tokio::test]
async fn a_program_that_closes_its_output_and_stays_is_given_up_too() {
    let provider = command("sh -c 'exec >&-; exec sleep 1000'").timeout(SEC);
    let error = error(&provider.build().unwrap()).await;
    assert!(error.to_string().contains("killed after 1.0 s"), "{error}");
}

#[tokio::test]
async fn a_program_that_never_stops_printing_is_stopped() {
    let began = Instant::now();
    let error = error(&command("yes MARKED").build().unwrap()).await;
    assert!(
        error.to_string().contains("more than 65536 bytes"),
        "{error}"
    );
    assert!(began.elapsed() < 50 * SEC);
}

#[tokio::test]
async fn a_program_that_reads_gets_nothing() {
    let key = key_json("STS.1");
    let provider = script(&format!("cat; cat <<EOF\n{key}\nEOF"));
    assert_eq!(id(&provider).await, "STS.1");
}

#[tokio::test]
async fn it_is_run_again_when_its_key_was_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("key");
    let provider = command(&format!("cat {}", path.display())).build().unwrap();
    std::fs::write(&path, key_json("STS.1")).unwrap();
    let first = fetch(&provider).await;
    std::fs::write(&path, key_json("STS.2")).unwrap();
    assert_eq!(id(&provider).await, "STS.1", "it is kept");
    provider.invalidate(&first);
    assert_eq!(id(&provider).await, "STS.2");
}

#[tokio::test]
async fn neither_arguments_nor_output_show_in_debug_and_logs() {
    let log = Log::default();
    let _guard = set_default(log.subscriber(tracing::Level::TRACE));
    let options = command("sh -c 'echo MARKED; echo MARKED >&2'").timeout(Duration::MAX);
    let provider = options.clone().build().unwrap();
    error(&provider).await;
    let shown = format!("{options:?} {provider:?} {}", log.text());
    assert!(
        !shown.contains("MARKED") && shown.contains("\"sh\""),
        "{shown}"
    );
}

#[test]
fn what_is_no_command_is_refused_when_it_is_built() {
    for line in ["", "  ", "sh 'MARKED", "# MARKED"] {
        let error = command(line).build().unwrap_err();
        assert!(
            matches!(error.kind(), ErrorKind::InvalidInput { .. }),
            "{error}"
        );
        assert!(!format!("{error:?}").contains("MARKED"), "{error:?}");
    }
}

#[tokio::test]
async fn every_timeout_is_refused_or_works() {
    let command = || command(&format!("printf %s {}", quote(&key_json("STS.1"))));
    let refused = command().timeout(Duration::ZERO).build().unwrap_err();
    assert!(matches!(refused.kind(), ErrorKind::InvalidInput { .. }));
    for timeout in [Duration::from_secs(u64::MAX), Duration::MAX] {
        let provider = command().timeout(timeout).build().unwrap();
        assert_eq!(id(&provider).await, "STS.1");
    }
}
