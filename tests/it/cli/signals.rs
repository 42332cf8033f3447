//! What a signal leaves behind: ^C, SIGTERM, and SIGKILL.

use oss_append::emulator::{Action, Fault};
use rustix::process::Signal;
use serde_json::json;

use super::*;

const AGAIN: &str = "again to give up";

#[tokio::test]
async fn an_interrupt_makes_what_was_accepted_durable_and_says_so() {
    for signal in [Signal::INT, Signal::TERM] {
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
async fn an_interrupt_is_in_the_readable_summary_too() {
    let emulator = emulator().await;
    let arguments = ["append", "--linger=1ms", TARGET];
    let mut running = Running::start(command(&emulator, arguments));
    running.write("hello").await;
    appended(&emulator, 1).await;
    running.signal(Signal::INT);
    let ended = running.end().await.expect(130);
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
    let summary = running.end().await.expect(130).json();
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
    assert!(ended.stdout.is_empty());
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
    let summary = running.end().await.expect(130).json();
    assert_eq!(summary["bytes"], 6);
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
