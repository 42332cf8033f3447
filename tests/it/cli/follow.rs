//! `tail --template`: the objects of a sequence, one after the other.

use futures::future::join_all;
use oss_append::emulator::{Action, ErrorAnswer, Fault};

use super::tail::QUICK;
use super::*;

const SEQUENCE: &str = "oss://bucket/log-{seq}";

fn follow(emulator: &Emulator, options: &[&str]) -> Running {
    let arguments = [&["tail", "-f", "--template"], &QUICK[..], options].concat();
    Running::start(command(emulator, arguments))
}

/// Somebody appends to an object.
fn grow(emulator: &Emulator, key: &str, text: &'static str) {
    emulator.append_foreign("bucket", key, text).unwrap();
}

#[tokio::test]
async fn it_goes_from_object_to_object() {
    let emulator = emulator().await;
    grow(&emulator, "log-1", "too old\n");
    grow(&emulator, "log-2", "a\nb\nc\n");
    let mut running = follow(&emulator, &[SEQUENCE, "-n2"]);
    running.prints("b\nc\n").await;
    running.hear("following oss://bucket/log-2").await;
    grow(&emulator, "log-2", "d\n");
    running.prints("d\n").await;
    grow(&emulator, "log-3", "all\nof\nit\n");
    running.prints("all\nof\nit\n").await;
    running.hear("following oss://bucket/log-3").await;
    grow(&emulator, "log-3", "more\n");
    running.prints("more\n").await;
    running.interrupted(2).await;
}

#[tokio::test]
async fn what_came_while_it_was_away_is_written_in_order() {
    let emulator = emulator().await;
    grow(&emulator, "log-1", "1 ");
    let mut running = follow(&emulator, &[SEQUENCE]);
    running.prints("1 ").await;
    emulator.pause().await;
    running.hear("trying again").await;
    grow(&emulator, "log-1", "2 ");
    grow(&emulator, "log-2", "3 ");
    emulator.seal("bucket", "log-2").unwrap();
    grow(&emulator, "log-3", "4 ");
    emulator
        .put("bucket", "log-4", "not of the sequence")
        .unwrap();
    grow(&emulator, "log-5", "5 ");
    emulator.resume().await.unwrap();
    running.prints("2 3 4 5 ").await;
}

#[tokio::test]
async fn a_sealed_object_is_not_the_end() {
    let emulator = emulator().await;
    grow(&emulator, "log-1", "one ");
    emulator.seal("bucket", "log-1").unwrap();
    let mut running = follow(&emulator, &[SEQUENCE]);
    running.prints("one ").await;
    looked(&emulator, 5).await;
    grow(&emulator, "log-2", "two");
    running.prints("two").await;
    running.interrupted(2).await;
}

#[tokio::test]
async fn the_first_object_is_waited_for() {
    for first in ["log-1", "log-2"] {
        let emulator = emulator().await;
        let mut running = follow(&emulator, &[SEQUENCE, "-n1"]);
        running
            .hear("no object of oss://bucket/log-{seq} exists yet")
            .await;
        let before = emulator.requests().len();
        let asked = |requests: &[RequestRecord]| requests.len() >= before + 5;
        emulator.wait_for(asked).await;
        grow(&emulator, first, "all of\nit\n");
        running.prints("all of\nit\n").await;
    }
}

#[tokio::test]
async fn without_listing_the_numbers_are_tried() {
    let emulator = emulator().await;
    let denied = Action::Error(ErrorAnswer::new(403));
    emulator.inject(Fault::new(Operation::ListObjectsV2, denied).forever());
    for key in ["log-1", "log-2", "log-3"] {
        grow(&emulator, key, "older");
    }
    grow(&emulator, "log-4", "newest");
    let mut running = follow(&emulator, &[SEQUENCE]);
    running.prints("newest").await;
    grow(&emulator, "log-5", "next");
    running.prints("next").await;
    running.interrupted(2).await;
}

#[tokio::test]
async fn an_outage_at_the_start_is_waited_out_and_a_refusal_is_not() {
    let emulator = emulator().await;
    grow(&emulator, "log-1", "hello");
    let busy = Action::Error(ErrorAnswer::new(503));
    emulator.inject(Fault::new(Operation::ListObjectsV2, busy).times(3));
    let mut running = follow(&emulator, &[SEQUENCE]);
    running.hear("trying again").await;
    running.prints("hello").await;
    running.interrupted(3).await;

    let nowhere = follow(&emulator, &["oss://nowhere/log-{seq}"]);
    nowhere.ends(1).await.says(&["NoSuchBucket"]);
}

#[tokio::test]
async fn what_is_appended_in_periods_is_read_in_periods() {
    // Their periods pass at the same time.
    let both = [&[][..], &["--roll=1s"]].map(async |options| {
        let emulator = emulator().await;
        let target = "oss://bucket/{host}/%Y%m%dT%H%M%S-{seq}";
        let arguments = ["append", "--linger=1ms", target, "--roll=1s"];
        let mut writer = Running::start(command(&emulator, arguments));
        let mut reader = follow(&emulator, &[&[target], options].concat());
        reader.hear("exists yet: waiting").await;
        for text in ["one\n", "two\n", "three\n"] {
            writer.write(text).await;
            reader.prints(text).await;
            writer.hear("its period has ended").await;
        }
        writer.close_input();
        writer.end().await.expect(0);
        reader.interrupted(4).await;
    });
    join_all(both).await;
}

#[tokio::test]
async fn what_is_rolled_by_size_is_read_as_it_was_written() {
    let emulator = emulator().await;
    let lines: String = (0..2000).map(|n| format!("line {n}\n")).collect();
    let mut reader = follow(&emulator, &[SEQUENCE]);
    reader.hear("exists yet: waiting").await;
    let append = ["append", SEQUENCE, "--roll-size=1000", "--align-lines"];
    let appending = run(command(&emulator, append), &lines);
    let (appended, ()) = tokio::join!(appending, reader.prints(&lines));
    appended.expect(0);
}

#[tokio::test]
async fn without_f_the_newest_is_printed() {
    let emulator = emulator().await;
    let tail = async |target| {
        let arguments = ["tail", "--template", "-n1", target];
        run(command(&emulator, arguments), "").await
    };
    tail(SEQUENCE)
        .await
        .expect(1)
        .says(&["no object of oss://bucket/log-{seq} exists"]);
    grow(&emulator, "log-1", "old");
    grow(&emulator, "log-2", "a\nb\n");
    let ended = tail(SEQUENCE).await.expect(0);
    assert_eq!((&*ended.stdout, &*ended.stderr), (&b"b\n"[..], ""));
}

#[tokio::test]
async fn what_cannot_be_followed_is_refused_before_anything_is_sent() {
    let emulator = emulator().await;
    for options in [
        &["--template", "oss://bucket/{uuid}"][..],
        &["--template", "oss://bucket/{pid}-{seq}"],
        &["--template", "oss://bucket/{sequence}"],
        &["--template", SEQUENCE, "--from=0"],
        &["--template", SEQUENCE, "--from=yesterday"],
        &[SEQUENCE, "--from=2026-11-28"],
        &["--template", SEQUENCE, "--roll=0s"],
        &["--template", SEQUENCE, "--roll=weekly"],
        &["--template", SEQUENCE, "--utc-offset=8"],
        &[SEQUENCE, "--roll=hourly"],
        &[SEQUENCE, "--utc-offset=+08:00"],
    ] {
        let arguments = [&["tail", "-f"], options].concat();
        let ended = run(command(&emulator, arguments), "").await;
        assert_eq!(ended.code, 2, "{options:?} {ended:?}");
    }
    assert!(emulator.requests().is_empty());
}

#[tokio::test]
async fn it_begins_at_a_time() {
    let emulator = emulator().await;
    for key in [
        "2020-02-28T09-1",
        "2020-02-28T10-1",
        "2020-02-28T10-2",
        "2020-03-01T00-1",
    ] {
        grow(&emulator, key, "x\n");
        emulator
            .append_foreign("bucket", key, format!("{key}\n"))
            .unwrap();
    }
    let target = "oss://bucket/%Y-%m-%dT%H-{seq}";
    let all = "x\n2020-02-28T10-1\nx\n2020-02-28T10-2\nx\n2020-03-01T00-1\n";
    for from in [
        &["--from=2020-02-28T10:00"][..],
        &["--from=2020-02-28T10:30Z"],
        &["--from=2020-02-28T02:30Z", "--utc-offset=+08:00"],
        &["--from=2020-02-28 10:59:59", "--utc-offset=+08:00"],
    ] {
        let mut running = follow(&emulator, &[&[target], from].concat());
        running.prints(all).await;
        running.interrupted(3).await;
    }
    let without_f = ["tail", "--template", target, "--from=2020-02-28T10:00"];
    let ended = run(command(&emulator, without_f), "").await.expect(2);
    ended.says(&["--from TIME needs -f"]);
}
