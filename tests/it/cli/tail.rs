//! `tail`: the last part of an object, and what is appended to it.

use oss_append::emulator::{Action, ErrorAnswer, Fault};

use super::*;

pub(crate) const QUICK: [&str; 2] = ["--poll-min=1ms", "--poll-max=20ms"];

async fn tail(emulator: &Emulator, options: &[&str]) -> Ended {
    run(command(emulator, [&["tail", TARGET], options].concat()), "").await
}

fn follow(emulator: &Emulator, options: &[&str]) -> Running {
    let arguments = [&["tail", "-f", TARGET], &QUICK[..], options].concat();
    Running::start(command(emulator, arguments))
}

/// Somebody appends to the object.
fn grow(emulator: &Emulator, text: &'static str) {
    emulator.append_foreign("bucket", KEY, text).unwrap();
}

#[tokio::test]
async fn the_last_part_is_printed() {
    let emulator = emulator().await;
    let text: String = (1..=20).map(|n| format!("line {n}\n")).collect();
    emulator
        .append_foreign("bucket", KEY, text.clone() + "rest")
        .unwrap();
    for (options, lines) in [
        (&[][..], 9),
        (&["--lines=1"], 0),
        (&["-n", "3"], 2),
        (&["--lines=21"], 20),
        (&["--lines=99"], 20),
    ] {
        let ended = tail(&emulator, options).await.expect(0);
        let last: String = (21 - lines..=20).map(|n| format!("line {n}\n")).collect();
        assert_eq!(String::from_utf8(ended.stdout).unwrap(), last + "rest");
        assert_eq!(ended.stderr, "");
    }
    for (options, printed) in [
        (&["--lines=0"][..], ""),
        (&["--bytes=6"], "0\nrest"),
        (&["-c", "0"], ""),
        (&["--bytes=1MiB"], &(text.clone() + "rest")),
        (&["--from=0"], &(text.clone() + "rest")),
        (&["--from", &text.len().to_string()], "rest"),
        (&["--from", &(text.len() + 4).to_string()], ""),
    ] {
        let ended = tail(&emulator, options).await.expect(0);
        assert_eq!(
            String::from_utf8(ended.stdout).unwrap(),
            printed,
            "{options:?}"
        );
    }
}

#[tokio::test]
async fn lines_are_found_in_a_long_object_and_in_a_normal_one() {
    let emulator = emulator().await;
    let long = [&b"x\n"[..], &vec![b'y'; 3 * MIB], b"\nz"].concat();
    emulator.put("bucket", KEY, long.clone()).unwrap();
    for (lines, start) in [("1", long.len() - 1), ("2", 2), ("3", 0)] {
        let ended = tail(&emulator, &["--lines", lines]).await.expect(0);
        assert!(ended.stdout == long[start..], "{lines}");
    }
}

#[tokio::test]
async fn an_empty_object_has_no_last_part() {
    let emulator = emulator().await;
    grow(&emulator, "");
    for options in [&[][..], &["--bytes=5"], &["--from=0"]] {
        let ended = tail(&emulator, options).await.expect(0);
        assert!(ended.stdout.is_empty());
    }
}

#[tokio::test]
async fn what_is_not_there_is_1_and_a_position_that_is_not_there_is_3() {
    let emulator = emulator().await;
    tail(&emulator, &[])
        .await
        .expect(1)
        .says(&[TARGET, "does not exist"]);
    grow(&emulator, "12345");
    for options in [&["--from=6"][..], &["--from=6", "-f"]] {
        let ended = tail(&emulator, options).await.expect(3);
        ended.says(&[TARGET, "first 6 bytes", "length is 5"]);
    }
    let nowhere = ["tail", "-f", "oss://nowhere/key"];
    let ended = run(command(&emulator, nowhere), "").await;
    ended.expect(1).says(&["NoSuchBucket"]);
}

#[tokio::test]
async fn growth_is_followed() {
    let emulator = emulator().await;
    grow(&emulator, "a\nb\nc\n");
    let mut running = follow(&emulator, &["-n", "2"]);
    running.prints("b\nc\n").await;
    grow(&emulator, "d\n");
    running.prints("d\n").await;
    looked(&emulator, 5).await;
    grow(&emulator, "half a ");
    running.prints("half a ").await;
    grow(&emulator, "line");
    grow(&emulator, "\nmore\n");
    running.prints("line\nmore\n").await;
    running.interrupted(0).await;
}

#[tokio::test]
async fn only_what_is_new_is_asked_for() {
    let emulator = emulator().await;
    grow(&emulator, "old");
    let mut running = follow(&emulator, &["-n", "0"]);
    looked(&emulator, 10).await;
    assert_eq!(emulator.count(Operation::GetObject), 0);
    grow(&emulator, "new");
    running.prints("new").await;
    assert_eq!(emulator.count(Operation::GetObject), 1);
    running.interrupted(0).await;
}

#[cfg(unix)]
#[tokio::test]
async fn a_signal_ends_it_with_success() {
    use rustix::process::Signal;
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let emulator = emulator().await;
        grow(&emulator, "hello");
        let rarely = ["tail", "-f", TARGET, "--poll-min=1h", "--poll-max=1h"];
        let mut running = Running::start(command(&emulator, rarely));
        running.prints("hello").await;
        running.signal(signal);
        running.ends(0).await;
    }
}

#[tokio::test]
async fn an_object_that_does_not_exist_yet_is_waited_for() {
    let emulator = emulator().await;
    let mut running = follow(&emulator, &["-n", "1"]);
    running.hear("does not exist yet").await;
    looked(&emulator, 5).await;
    grow(&emulator, "all\nof it\nis new\n");
    running.prints("all\nof it\nis new\n").await;
    grow(&emulator, "this too");
    running.prints("this too").await;
    running.interrupted(1).await;
}

#[tokio::test]
async fn an_outage_is_waited_out_with_one_note() {
    let emulator = emulator().await;
    grow(&emulator, "before\n");
    let mut running = follow(&emulator, &[]);
    running.prints("before\n").await;
    emulator.pause().await;
    running.hear("trying again").await;
    let stand_in = stand_in(&emulator).await;
    for _ in 0..5 {
        drop(stand_in.accept().await.unwrap());
    }
    drop(stand_in);
    grow(&emulator, "meanwhile\n");
    emulator.resume().await.unwrap();
    running.prints("meanwhile\n").await;
    grow(&emulator, "after\n");
    running.prints("after\n").await;
    // And one that it is over.
    running.interrupted(2).await;
}

#[tokio::test]
async fn an_outage_at_the_start_is_waited_out() {
    let emulator = emulator().await;
    grow(&emulator, "a\nb\n");
    let throttled = ErrorAnswer::new(503);
    let fault = Fault::new(Operation::HeadObject, Action::Error(throttled));
    emulator.inject(fault.times(3));
    let mut running = follow(&emulator, &["-n", "1"]);
    running.prints("b\n").await;
    running.interrupted(2).await;
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_continued_where_it_did() {
    let emulator = emulator().await;
    let all = bytes(MIB);
    emulator.append_foreign("bucket", KEY, all.clone()).unwrap();
    emulator.inject(Fault::new(Operation::GetObject, Action::Truncate(1000)).times(3));
    let running = follow(&emulator, &["--from=0"]);
    emulator
        .wait_for(|requests| {
            let reads = requests
                .iter()
                .filter(|r| r.operation == Operation::GetObject);
            reads.filter(|r| r.fault.is_none()).count() == 1
        })
        .await;
    emulator.seal("bucket", KEY).unwrap();
    let ended = running.end().await.expect(0);
    assert!(ended.stdout == all);
    assert!(ended.stderr.contains("trying again"), "{}", ended.stderr);
}

#[tokio::test]
async fn a_refusal_ends_it() {
    let emulator = emulator().await;
    grow(&emulator, "hello");
    let denied = ErrorAnswer::new(403);
    let fault = Fault::new(Operation::HeadObject, Action::Error(denied));
    // Two to find the last lines and to begin there.
    emulator.inject(fault.skip(2));
    let mut running = follow(&emulator, &[]);
    running.prints("hello").await;
    let ended = running.ends(5).await;
    ended.says(&["AccessDenied", "oss:GetObject"]);
}

#[tokio::test]
async fn an_object_that_is_not_the_same_any_more_ends_it() {
    for (change, says) in [
        ("put", "has been replaced"),
        ("shorten", "its length is 5"),
        ("same length", "has been replaced"),
        ("longer", "the object was replaced"),
        ("remove", "has been removed"),
    ] {
        let emulator = emulator().await;
        grow(&emulator, "0123456789");
        let mut running = follow(&emulator, &["-n", "1"]);
        running.prints("0123456789").await;
        // Only one of its looks sees what is in between.
        emulator.pause().await;
        running.hear("trying again").await;
        let put = |text: &'static str| {
            emulator.delete("bucket", KEY).unwrap();
            grow(&emulator, text);
        };
        match change {
            "put" => emulator.put("bucket", KEY, "0123456789").unwrap(),
            "shorten" => put("01234"),
            "same length" => put("9876543210"),
            "longer" => put("9876543210 and more"),
            _ => emulator.delete("bucket", KEY).unwrap(),
        }
        emulator.resume().await.unwrap();
        let ended = running.end().await.expect(3);
        let said = ended.stderr.lines().last().unwrap();
        assert!(
            said.contains(TARGET) && said.contains(says),
            "{change}: {said}"
        );
    }
}

#[tokio::test]
async fn a_sealed_object_ends_it_when_it_has_been_read() {
    let emulator = emulator().await;
    grow(&emulator, "hello\n");
    let mut running = follow(&emulator, &[]);
    running.prints("hello\n").await;
    grow(&emulator, "the end\n");
    emulator.seal("bucket", KEY).unwrap();
    running.prints("the end\n").await;
    running.ends(0).await.says(&[TARGET, "sealed"]);

    let ended = tail(&emulator, &["-f", "-n", "1"]).await.expect(0);
    assert_eq!(ended.stdout, b"the end\n");
    ended.says(&["sealed"]);
    let ended = tail(&emulator, &[]).await.expect(0);
    assert_eq!(ended.stderr, "");
}

#[tokio::test]
async fn an_object_that_cannot_grow_is_not_followed() {
    let emulator = emulator().await;
    emulator.put("bucket", KEY, "normal").unwrap();
    let ended = tail(&emulator, &["-f"]).await.expect(4);
    assert!(ended.stdout.is_empty());
    ended.says(&[TARGET, "Normal"]);
}

#[tokio::test]
async fn it_ends_quietly_when_nobody_reads_on() {
    let emulator = emulator().await;
    grow(&emulator, "hello");
    let mut running = follow(&emulator, &[]);
    running.prints("hello").await;
    drop(running.child.stdout.take());
    grow(&emulator, "more");
    let status = running.child.wait().await.unwrap();
    let mut stderr = String::new();
    running.stderr.read_to_string(&mut stderr).await.unwrap();
    assert_eq!((status.code(), &*stderr), (Some(141), ""));
}

#[tokio::test]
async fn options_that_contradict_each_other_are_refused() {
    let emulator = emulator().await;
    for options in [
        &["--lines=1", "--bytes=1"][..],
        &["--from=0", "--bytes=1"],
        &["--from=0", "--lines=1"],
        &["--lines=-1"],
        &["--poll-min=1s"],
        &["-f", "--poll-min=0s"],
        &["-f", "--poll-min=6s"],
    ] {
        tail(&emulator, options).await.expect(2);
    }
    assert!(emulator.requests().is_empty());
}

#[tokio::test]
async fn a_directory_can_be_read_without_oss() {
    let directory = tempfile::tempdir().unwrap();
    let embedded = ["--embedded", directory.path().to_str().unwrap()];
    let command = |arguments: &[&str]| bare([arguments, &embedded].concat());
    run(command(&["append", "--seal", TARGET]), "a\nb\n")
        .await
        .expect(0);
    for options in [&["tail", TARGET, "-n1"][..], &["tail", TARGET, "-fn1"]] {
        let ended = run(command(options), "").await.expect(0);
        assert_eq!(ended.stdout, b"b\n");
    }
}

#[cfg(unix)]
#[tokio::test]
async fn it_ends_when_nobody_reads_although_nothing_is_appended() {
    let emulator = emulator().await;
    grow(&emulator, "a\nb\nc\n");
    let rarely = ["tail", "-f", TARGET, "--poll-min=1h", "--poll-max=1h"];
    let mut running = Running::start(command(&emulator, rarely));
    running.prints("a\n").await;
    drop(running.child.stdout.take());
    let status = running.child.wait().await.unwrap();
    let mut stderr = String::new();
    running.stderr.read_to_string(&mut stderr).await.unwrap();
    assert_eq!((status.code(), &*stderr), (Some(141), ""));
}

#[tokio::test]
async fn what_breaks_is_asked_for_again_without_f_too() {
    let emulator = emulator().await;
    let all = bytes(MIB);
    emulator.append_foreign("bucket", KEY, all.clone()).unwrap();
    for options in [&["--from=0"][..], &["--bytes=1MiB"], &["--lines=99999999"]] {
        for fault in [
            "head:error=503,times=2",
            "get:truncate=100000,times=2",
            "get:drop,skip=2",
        ] {
            emulator.inject(fault.parse().unwrap());
        }
        let ended = tail(&emulator, options).await.expect(0);
        assert!(ended.stdout == all, "{options:?}");
        assert!(ended.stderr.contains("trying again"), "{}", ended.stderr);
    }
}
