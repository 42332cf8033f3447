//! What a signal leaves behind: ^C, SIGTERM, SIGHUP, and SIGKILL.

use std::fs::File;

use oss_append::emulator::{Action, ErrorAnswer, Fault};
use rustix::process::Signal;
use serde_json::json;

use super::*;

const AGAIN: &str = "again to give up";

#[tokio::test]
async fn an_interrupt_makes_what_was_accepted_durable_and_says_so() {
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let emulator = emulator().await;
        let arguments = ["append", "--json", "--seal", "--linger=1ms", TARGET];
        let mut running = Running::start(command(&emulator, arguments));
        let input = bytes(3 * MIB);
        running.write(&input).await;
        appended(&emulator, 1).await;
        running.signal(signal);
        let ended = running.end().await.expect(130);
        let summary = ended.json();
        assert_eq!(summary["interrupted"], true);
        assert_eq!(summary["missing"], 0);
        let object = emulator.object("bucket", KEY).unwrap();
        assert_eq!(summary["bytes"], object.bytes.len());
        assert!(!object.bytes.is_empty() && input.starts_with(&object.bytes));
        assert!(!object.info.sealed, "more was to come");
    }
}

#[tokio::test]
async fn an_input_without_an_end_is_ended_by_a_signal_with_success() {
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        for options in [
            &[TARGET][..],
            &["--shared", TARGET],
            &["--compress=gzip", TARGET],
            &["oss://bucket/a/{seq}", "--roll-size=1MiB"],
        ] {
            let emulator = emulator().await;
            let arguments = [&["append", "--json", "--linger=1ms"], options].concat();
            let mut running = Running::start(command(&emulator, arguments));
            running.write("hello\n").await;
            appended(&emulator, 1).await;
            running.signal(signal);
            let summary = running.end().await.expect(0).json();
            assert_eq!(summary["interrupted"], true, "{options:?}");
            assert_eq!(
                (&summary["bytes"], &summary["missing"]),
                (&json!(6), &json!(0))
            );
        }
    }
}

#[tokio::test]
async fn what_a_signal_finds_in_the_buffer_becomes_durable() {
    for signal in [Signal::TERM, Signal::HUP] {
        let emulator = emulator().await;
        let directory = tempfile::tempdir().unwrap();
        let fifo = directory.path().join("fifo");
        let made = std::process::Command::new("mkfifo").arg(&fifo).status();
        assert!(made.unwrap().success());
        let fifo = fifo.to_str().unwrap();
        let progress = "--progress=always";
        let arguments = ["append", "--linger=1h", progress, fifo, TARGET];
        let mut running = Running::start(command(&emulator, arguments));
        let path = fifo.to_owned();
        let open = move || File::options().write(true).open(path).unwrap();
        let mut writer = tokio::task::spawn_blocking(open).await.unwrap();
        std::io::Write::write_all(&mut writer, b"hello").unwrap();
        running.hear("5 B buffered").await;
        running.signal(signal);
        running.end().await.expect(0);
        assert_eq!(content(&emulator), b"hello");
    }
}

#[tokio::test]
async fn a_file_that_is_not_at_its_end_is_130() {
    let emulator = emulator().await;
    let directory = tempfile::tempdir().unwrap();
    let path = file(directory.path(), &bytes(4 * MIB));
    let sizes = [
        "--max-append-size=64KiB",
        "--buffer=128KiB",
        "--batch-size=64KiB",
    ];
    for redirected in [false, true] {
        let hold = Fault::new(Operation::AppendObject, Action::Hold);
        emulator.inject(hold);
        let held = emulator
            .requests()
            .iter()
            .filter(|r| r.fault.is_some())
            .count();
        let file = if redirected { "-" } else { &path };
        let arguments = [&["append", "--json", file, TARGET], &sizes[..]].concat();
        let mut command = command(&emulator, arguments);
        // By a shell, which gives the file as standard input.
        let from_file = format!("exec <'{path}'");
        if redirected {
            command = super::streams::after(&from_file, &command);
        }
        let mut running = Running::start(command);
        struck(&emulator, "hold", held + 1).await;
        running.signal(Signal::TERM);
        running.hear(AGAIN).await;
        emulator.release().await;
        let summary = running.end().await.expect(130).json();
        assert_eq!(
            (&summary["interrupted"], &summary["missing"]),
            (&json!(true), &json!(0))
        );
        let read = summary["bytes"].as_u64().unwrap();
        assert!(read > 0 && read < 4 << 20, "{read}");
    }
}

#[tokio::test]
async fn a_hangup_that_is_ignored_from_the_start_is_ignored() {
    let emulator = emulator().await;
    let append = command(&emulator, ["append", "--json", "--linger=1ms", TARGET]);
    // Under `nohup` the command is given the signal's usual meaning again, but not here.
    let ignoring = "trap '' HUP; if [ \"$1\" = --default-signal=HUP ]; then shift; exec \"$@\"; fi";
    let mut running = Running::start(super::streams::after(ignoring, &append));
    running.write("hello").await;
    appended(&emulator, 1).await;
    running.signal(Signal::HUP);
    running.write(" world").await;
    appended(&emulator, 2).await;
    running.close_input();
    let summary = running.end().await.expect(0).json();
    assert_eq!(summary["interrupted"], false);
    assert_eq!(content(&emulator), b"hello world");
}

#[tokio::test]
async fn an_end_that_takes_too_long_is_given_up() {
    for (fault, code, says) in [
        (Action::Stall, 6, "--shutdown-timeout"),
        (Action::Error(ErrorAnswer::new(503)), 6, "503"),
    ] {
        let emulator = emulator().await;
        let name = match fault {
            Action::Stall => "stall",
            _ => "error",
        };
        emulator.inject(Fault::new(Operation::AppendObject, fault).forever());
        let bound = "--shutdown-timeout=50ms";
        let arguments = ["append", "--json", "--linger=1ms", bound, TARGET];
        let mut running = Running::start(command(&emulator, arguments));
        running.write("hello").await;
        struck(&emulator, name, 1).await;
        running.signal(Signal::TERM);
        let ended = running.end().await.expect(code);
        let summary = ended.json();
        assert_eq!(
            (&summary["interrupted"], &summary["missing"]),
            (&json!(true), &json!(5))
        );
        assert!(
            summary["error"].as_str().unwrap().contains(says),
            "{summary}"
        );
        let said = ended.stderr.lines().last().unwrap();
        assert!(
            said.contains("not done within 50ms") && said.contains("5 more"),
            "{said}"
        );
    }
}

#[tokio::test]
async fn an_interrupt_is_in_the_readable_summary_too() {
    let emulator = emulator().await;
    let arguments = ["append", "--linger=1ms", TARGET];
    let mut running = Running::start(command(&emulator, arguments));
    running.write("hello").await;
    appended(&emulator, 1).await;
    running.signal(Signal::INT);
    let ended = running.end().await.expect(0);
    let summary = ended.stderr.lines().last().unwrap();
    assert!(
        summary.contains("interrupted: 5 bytes durable"),
        "{summary}"
    );
}

#[tokio::test]
async fn what_is_under_way_at_an_interrupt_is_waited_for() {
    let emulator = emulator().await;
    emulator.inject(Fault::new(Operation::AppendObject, Action::Hold));
    let arguments = ["append", "--json", "--linger=1ms", TARGET];
    let mut running = Running::start(command(&emulator, arguments));
    running.write("hello").await;
    struck(&emulator, "hold", 1).await;
    running.signal(Signal::INT);
    running.hear(AGAIN).await;
    emulator.release().await;
    let summary = running.end().await.expect(0).json();
    assert_eq!(summary["bytes"], 5);
    assert_eq!(content(&emulator), b"hello");
}

#[tokio::test]
async fn an_interrupt_after_the_end_of_the_input_changes_nothing() {
    let emulator = emulator().await;
    emulator.inject(Fault::new(Operation::AppendObject, Action::Hold));
    // Only the end of the input lets the append start.
    let arguments = ["append", "--json", "--seal", "--linger=1h", TARGET];
    let mut running = Running::start(command(&emulator, arguments));
    running.write("hello").await;
    running.close_input();
    struck(&emulator, "hold", 1).await;
    running.signal(Signal::INT);
    running.hear(AGAIN).await;
    emulator.release().await;
    let summary = running.end().await.expect(0).json();
    assert_eq!(summary["interrupted"], false);
    assert!(emulator.object("bucket", KEY).unwrap().info.sealed);
}

#[tokio::test]
async fn a_second_interrupt_gives_up_at_once() {
    let emulator = emulator().await;
    emulator.inject(Fault::new(Operation::AppendObject, Action::Stall));
    let arguments = ["append", "--json", "--linger=1ms", TARGET];
    let mut running = Running::start(command(&emulator, arguments));
    running.write("hello").await;
    struck(&emulator, "stall", 1).await;
    emulator.pause().await;
    running.signal(Signal::INT);
    running.hear(AGAIN).await;
    running.signal(Signal::INT);
    let summary = running.end().await.expect(130).json();
    assert_eq!(summary["interrupted"], true);
    assert_eq!(summary["bytes"], 0);
    assert_eq!(summary["missing"], 5);
}

#[tokio::test]
async fn what_was_given_up_may_be_missing() {
    let emulator = emulator().await;
    emulator.inject(Fault::new(Operation::AppendObject, Action::StallAnswer));
    let mut running = Running::start(command(&emulator, ["append", "--linger=1ms", TARGET]));
    running.write("hello").await;
    struck(&emulator, "stall-answer", 1).await;
    running.signal(Signal::INT);
    running.hear(AGAIN).await;
    running.signal(Signal::INT);
    let ended = running.end().await.expect(130);
    assert!(
        ended
            .stderr
            .contains("5 more that were read may be missing")
    );
}

#[tokio::test]
async fn an_interrupt_ends_an_opening_that_gets_no_answer() {
    let emulator = emulator().await;
    emulator.inject(Fault::new(Operation::HeadObject, Action::Stall));
    let running = Running::start(command(&emulator, ["append", "--json", TARGET]));
    struck(&emulator, "stall", 1).await;
    running.signal(Signal::INT);
    let ended = running.end().await.expect(130).says(&["interrupted"]);
    assert_eq!(ended.json()["kind"], "interrupted");
}

#[tokio::test]
async fn a_failure_after_an_interrupt_is_a_failure() {
    let emulator = emulator().await;
    let arguments = [
        "append",
        "--json",
        "--linger=1ms",
        "--delivery-timeout=300ms",
        TARGET,
    ];
    let mut running = Running::start(command(&emulator, arguments));
    running.write("hello").await;
    appended(&emulator, 1).await;
    emulator.pause().await;
    let stand_in = stand_in(&emulator).await;
    running.write("more").await;
    drop(stand_in.accept().await.unwrap());
    drop(stand_in);
    running.signal(Signal::INT);
    let summary = running.end().await.expect(6).json();
    assert_eq!(summary["end"], 5);
    assert_eq!(summary["missing"], 4);
    assert!(summary["error"].is_string());
}

#[tokio::test]
async fn an_interrupted_replay_is_not_taken_for_a_short_one() {
    let emulator = emulator().await;
    emulator
        .append_foreign("bucket", KEY, bytes(2 * MIB))
        .unwrap();
    let arguments = [
        "append",
        "--json",
        "--replay",
        "--progress=always",
        "--linger=1ms",
        TARGET,
    ];
    let mut running = Running::start(command(&emulator, arguments));
    running.write(&bytes(2 * MIB)[..MIB]).await;
    running.hear("1.00 MiB compared").await;
    running.signal(Signal::INT);
    let summary = running.end().await.expect(130).json();
    assert_eq!(summary["bytes"], MIB, "read back");
    assert_eq!(summary["error"], json!(null));
    assert!(content(&emulator) == bytes(2 * MIB));
}

#[tokio::test]
async fn an_interrupted_line_is_not_written() {
    let emulator = emulator().await;
    let arguments = ["append", "--json", "--shared", "--linger=1ms", TARGET];
    let mut running = Running::start(command(&emulator, arguments));
    running.write("whole\nhalf a li").await;
    appended(&emulator, 1).await;
    running.signal(Signal::INT);
    let ended = running.end().await.expect(130);
    let said = ended.stderr.lines().last().unwrap();
    assert!(!said.contains("may be"), "{said}");
    let summary = ended.json();
    assert_eq!(
        (&summary["bytes"], &summary["missing"]),
        (&json!(6), &json!(9))
    );
    assert_eq!(content(&emulator), b"whole\n");
}

#[tokio::test]
async fn a_replay_completes_the_object_after_a_kill() {
    for lands_late in [false, true] {
        let emulator = emulator().await;
        let directory = tempfile::tempdir().unwrap();
        let input = bytes(4 * MIB);
        let path = file(directory.path(), &input);
        let arguments = [
            "append",
            "--json",
            "--replay",
            "--batch-size=64KiB",
            "--max-append-size=64KiB",
            "--linger=1h",
            &path,
            TARGET,
        ];
        let hold = Fault::new(Operation::AppendObject, Action::Hold).skip(10);
        emulator.inject(hold);
        let mut killed = Running::start(command(&emulator, arguments));
        struck(&emulator, "hold", 1).await;
        killed.signal(Signal::KILL);
        assert_eq!(killed.child.wait().await.unwrap().code(), None);
        if lands_late {
            emulator.release().await;
        }
        let summary = run(command(&emulator, arguments), "").await.expect(0);
        let summary = summary.json();
        assert_eq!(summary["bytes"], 4 * MIB);
        let appends = if lands_late { 53 } else { 54 };
        assert_eq!(summary["appends"], appends, "the rest alone");
        assert!(content(&emulator) == input);
    }
}
