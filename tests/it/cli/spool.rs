//! `append --spool` and `spool`: what was read survives outages and the end of the process.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;

use super::*;

const SEQUENCE: &str = "oss://bucket/log-{seq}";
const BUDGET: &str = "--delivery-timeout=300ms";

/// A directory that is not there yet.
fn directory() -> (TempDir, String) {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("spool");
    let path = path.to_str().unwrap().to_owned();
    (parent, path)
}

/// `append --json --spool` with these options.
fn append_with(emulator: &Emulator, directory: &str, options: &[&str]) -> Command {
    let spool = ["append", "--json", "--linger=1ms", "--spool", directory];
    command(emulator, [&spool, options].concat())
}

/// `spool` with these options, which gets along without any configuration.
async fn spool(directory: &str, options: &[&str]) -> Ended {
    run(bare([&["spool", directory], options].concat()), "").await
}

async fn send(emulator: &Emulator, directory: &str, options: &[&str]) -> Ended {
    let arguments = [&["spool", directory, "--send"], options].concat();
    run(command(emulator, arguments), "").await
}

fn files(directory: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .filter(|path| path.extension().is_some_and(|end| end == "segment"))
        .collect()
}

/// Appends `before`, and leaves `after` in the spool, since OSS is away: it gives that up.
async fn leave(emulator: &Emulator, directory: &str, before: &str, after: &str, options: &[&str]) {
    emulator.clear_requests();
    let options = [&[BUDGET], options].concat();
    let mut running = Running::start(append_with(emulator, directory, &options));
    if before.is_empty() {
        let answered = |request: &RequestRecord| request.status.is_some();
        emulator
            .wait_for(|requests| requests.iter().any(answered))
            .await;
    } else {
        running.write(before).await;
        appended(emulator, 1).await;
    }
    emulator.pause().await;
    running.write(after).await;
    running.close_input();
    let ended = running.end().await.expect(6);
    let kept = format!("{} bytes more are in the spool at {directory}", after.len());
    let message = ended.json()["message"].to_string();
    assert!(message.contains(&kept), "{message}");
    assert!(message.contains("--send"), "{message}");
    assert_eq!(ended.json()["kind"], "retries_exhausted");
    emulator.resume().await.unwrap();
    emulator.clear_requests();
}

#[tokio::test]
async fn what_is_durable_leaves_nothing_on_disk() {
    let emulator = emulator().await;
    for (target, options) in [
        (TARGET, &["--spool-sync=always"][..]),
        (SEQUENCE, &["--roll-size=1MiB", "--spool-sync=10ms"]),
        (
            "oss://bucket/gzip",
            &["--compress=gzip", "--spool-size=64MiB"],
        ),
    ] {
        let (_parent, directory) = directory();
        let options = [&[target], options].concat();
        let ended = run(append_with(&emulator, &directory, &options), "hello\n").await;
        let summary = ended.expect(0).own();
        let expected = json!({
            "directory": directory,
            "found": 0,
            "delivered": 0,
            "bytes": 0,
            "size": 0,
            "age_ms": null,
            "lost": 0,
        });
        assert_eq!(summary["spool"], expected);
        assert_eq!(summary["bytes"], 6);
        assert!(files(&directory).is_empty());
    }
}

#[cfg(unix)]
mod interrupted {
    use oss_append::emulator::{Action, Fault};
    use rustix::process::Signal;

    use super::*;

    /// Appends `before`, and is ended by a signal with `after` in the spool, since OSS is away.
    async fn interrupt(
        emulator: &Emulator,
        directory: &str,
        (before, after): (&str, &str),
        (signal, options): (Signal, &[&str]),
        at_end: bool,
    ) -> Ended {
        emulator.clear_requests();
        let mut running = Running::start(append_with(emulator, directory, options));
        running.write(before).await;
        appended(emulator, 1).await;
        emulator.pause().await;
        running.write(after).await;
        running.hear("; trying again ").await;
        if at_end {
            running.close_input();
        }
        running.signal(signal);
        let ended = running.end().await;
        emulator.resume().await.unwrap();
        emulator.clear_requests();
        ended
    }

    #[tokio::test]
    async fn an_outage_is_not_waited_for_and_the_next_start_delivers() {
        let emulator = emulator().await;
        for (number, signal) in [Signal::TERM, Signal::INT, Signal::HUP].iter().enumerate() {
            let at_end = number == 1;
            let (_parent, directory) = directory();
            let target = format!("oss://bucket/{number}");
            let texts = ("before\n", "after\n");
            let how = (*signal, &[&*target, "--shutdown-timeout=1h"][..]);
            let ended = interrupt(&emulator, &directory, texts, how, at_end).await;
            let summary = ended.expect(7).json();
            assert_eq!(summary["kind"], "spooled");
            assert_eq!(
                (&summary["bytes"], &summary["missing"]),
                (&json!(7), &json!(6))
            );
            assert_eq!(summary["interrupted"], true);
            assert_eq!(summary["spool"]["bytes"], 6);
            assert!(summary["spool"]["age_ms"].is_u64(), "{summary}");

            let next = append_with(&emulator, &directory, &[&*target]);
            let summary = run(next, "the end\n").await.expect(0).json();
            assert_eq!(
                (&summary["bytes"], &summary["missing"]),
                (&json!(8), &json!(0))
            );
            let spool = &summary["spool"];
            assert!(spool["found"].as_u64() >= Some(6), "{summary}");
            assert_eq!(spool["delivered"], spool["found"]);
            let object = emulator.object("bucket", &number.to_string()).unwrap();
            assert_eq!(object.bytes, "before\nafter\nthe end\n");
            assert!(files(&directory).is_empty());
        }
    }

    #[tokio::test]
    async fn it_starts_while_oss_is_away_and_keeps_what_it_reads() {
        for (target, options) in [(TARGET, &[][..]), (SEQUENCE, &["--roll-size=1MiB"])] {
            let emulator = emulator().await;
            let (_parent, directory) = directory();
            let options = [&[target, "--progress=always"], options].concat();
            let start = || Running::start(append_with(&emulator, &directory, &options));
            emulator.pause().await;
            for (text, kept) in [("one\n", "4 B"), ("two\n", "8 B")] {
                let mut running = start();
                running.hear("; trying again ").await;
                running.write(text).await;
                running.hear(&format!("{kept} in the spool")).await;
                running.signal(Signal::TERM);
                let summary = running.end().await.expect(7).json();
                let none = &json!(null);
                assert_eq!((&summary["start"], &summary["end"]), (none, none));
                assert_eq!(summary["bytes"], 0);
                assert_eq!(summary["missing"], summary["spool"]["bytes"]);
            }
            let mut running = start();
            running.hear("; trying again ").await;
            running.write("three\n").await;
            emulator.resume().await.unwrap();
            running.close_input();
            let summary = running.end().await.expect(0).json();
            let start = match target {
                TARGET => json!(0),
                _ => json!(null),
            };
            assert_eq!((&summary["start"], &summary["end"]), (&start, &json!(14)));
            assert_eq!(summary["spool"]["delivered"], 8);
            let key = match target {
                TARGET => TARGET,
                _ => "oss://bucket/log-1",
            };
            let cat = run(command(&emulator, ["cat", key]), "").await.expect(0);
            assert_eq!(cat.stdout, b"one\ntwo\nthree\n");
            assert!(files(&directory).is_empty());
        }
    }

    #[tokio::test]
    async fn a_signal_before_anything_was_read_ends_it_while_oss_is_away() {
        let emulator = emulator().await;
        let (_parent, directory) = directory();
        emulator.pause().await;
        let mut running = Running::start(append_with(&emulator, &directory, &[TARGET]));
        running.hear("; trying again ").await;
        running.signal(Signal::TERM);
        // A pipe has no end of its own, and nothing is left undone.
        let summary = running.end().await.expect(0).json();
        assert_eq!(
            (&summary["missing"], &summary["end"]),
            (&json!(0), &json!(null))
        );
    }

    #[tokio::test]
    async fn it_says_what_is_durable_and_what_is_kept_and_what_delivers_that() {
        let emulator = emulator().await;
        let (_parent, directory) = directory();
        let spool = ["append", "--linger=1ms", "--spool", &directory, TARGET];
        let mut running = Running::start(command(&emulator, spool));
        running.write("before\n").await;
        appended(&emulator, 1).await;
        emulator.pause().await;
        running.write("after\n").await;
        running.hear("; 6 B in the spool").await;
        running.signal(Signal::TERM);
        let ended = running.end().await.expect(7);
        let last = ended.stderr.lines().last().unwrap();
        for part in [
            "interrupted: 7 bytes durable, up to position 7",
            &format!(", and 6 bytes more are in the spool at {directory}, "),
            &format!("oss-append spool {directory} --send"),
        ] {
            assert!(last.contains(part), "{part:?} in {last}");
        }
    }

    #[tokio::test]
    async fn what_an_interrupt_has_left_is_sent_without_an_input() {
        for (target, options) in [
            (TARGET, &[][..]),
            (TARGET, &["--compress=gzip"]),
            (SEQUENCE, &["--roll-size=1MiB"]),
        ] {
            let emulator = emulator().await;
            let (_parent, directory) = directory();
            let texts = ("before\n", "after\n");
            let options = [&[target], options].concat();
            let how = (Signal::TERM, &*options);
            let ended = interrupt(&emulator, &directory, texts, how, false).await;
            ended.expect(7);
            let sent = send(&emulator, &directory, &["--json"]).await.expect(0);
            let sent = sent.json();
            assert_eq!(sent["owner"], target);
            assert_eq!(sent["delivered"], sent["found"]);
            assert!(sent["found"].as_u64() >= Some(6), "{sent}");
            assert_eq!((&sent["bytes"], &sent["lost"]), (&json!(0), &json!(0)));
            let key = match target {
                SEQUENCE => "oss://bucket/log-1",
                _ => TARGET,
            };
            let cat = match options.contains(&"--compress=gzip") {
                true => command(&emulator, ["cat", "--decompress", key]),
                false => command(&emulator, ["cat", key]),
            };
            let cat = run(cat, "").await.expect(0);
            assert_eq!(cat.stdout, b"before\nafter\n");
            assert!(files(&directory).is_empty());
        }
    }

    #[tokio::test]
    async fn an_interrupt_while_all_is_well_is_as_without_a_spool() {
        for options in [&[TARGET][..], &[SEQUENCE, "--roll-size=1MiB"]] {
            let emulator = emulator().await;
            let (_parent, directory) = directory();
            // Only the end lets the append of the second line start.
            let options = [options, &["--linger=1h", "--progress=always"]].concat();
            let spool = ["append", "--spool", &directory];
            let arguments = [&spool, &options[..]].concat();
            let mut running = Running::start(command(&emulator, arguments));
            running.write("hello\n").await;
            running.hear("6 B in the spool").await;
            running.signal(Signal::TERM);
            let ended = running.end().await.expect(0);
            assert!(ended.stderr.contains("6 bytes durable"), "{ended:?}");
            assert!(files(&directory).is_empty());
        }
    }

    #[tokio::test]
    async fn a_spool_that_is_full_is_told_and_what_is_not_in_it_is_missing() {
        let emulator = emulator().await;
        let (_parent, directory) = directory();
        let options = [
            "--spool-size=256KiB",
            "--buffer=64KiB",
            "--shutdown-timeout=50ms",
            "--progress=always",
            TARGET,
        ];
        let mut running = Running::start(append_with(&emulator, &directory, &options));
        running.write("before\n").await;
        appended(&emulator, 1).await;
        emulator.pause().await;
        let mut stdin = running.stdin.take().unwrap();
        // There is no room for all of it, also not in the pipe.
        let feeding = tokio::spawn(async move { stdin.write_all(&bytes(MIB)).await });
        running.hear("nothing more is taken: ").await;
        running.signal(Signal::TERM);
        let summary = running.end().await.expect(6).json();
        let message = summary["message"].as_str().unwrap();
        assert!(
            message.contains("more that were read are in neither"),
            "{message}"
        );
        let (missing, kept) = (&summary["missing"], &summary["spool"]["bytes"]);
        assert!(missing.as_u64() > kept.as_u64(), "{summary}");
        assert!(feeding.await.unwrap().is_err());
    }

    #[tokio::test]
    async fn what_a_killed_process_had_read_is_delivered_once() {
        for lands_late in [false, true] {
            let emulator = emulator().await;
            let (_parent, directory) = directory();
            let input = bytes(4 * MIB);
            emulator.inject(Fault::new(Operation::AppendObject, Action::Hold).skip(10));
            let small = ["--batch-size=64KiB", "--max-append-size=64KiB", TARGET];
            let options = [&["--progress=always"], &small[..]].concat();
            let mut killed = Running::start(append_with(&emulator, &directory, &options));
            killed.write(&input).await;
            struck(&emulator, "hold", 1).await;
            // 4 MiB but for the ten appends.
            killed.hear("3.38 MiB in the spool").await;
            killed.signal(Signal::KILL);
            assert_eq!(killed.child.wait().await.unwrap().code(), None);
            if lands_late {
                emulator.release().await;
            }
            send(&emulator, &directory, &[]).await.expect(0);
            assert!(content(&emulator) == input);
            assert!(files(&directory).is_empty());
        }
    }

    #[tokio::test]
    async fn a_delivery_that_is_interrupted_leaves_the_rest() {
        let emulator = emulator().await;
        let (_parent, directory) = directory();
        leave(&emulator, &directory, "", "hello\n", &[TARGET]).await;
        emulator.inject(Fault::new(Operation::AppendObject, Action::Hold));
        let arguments = ["spool", &directory, "--send", "--json"];
        let running = Running::start(command(&emulator, arguments));
        struck(&emulator, "hold", 1).await;
        running.signal(Signal::INT);
        let sent = running.end().await.expect(7).json();
        assert_eq!(sent["kind"], "spooled");
        assert_eq!(sent["bytes"], 6);
        emulator.release().await;
        send(&emulator, &directory, &[]).await.expect(0);
        assert_eq!(content(&emulator), b"hello\n");
    }
}

#[tokio::test]
async fn what_was_given_up_is_kept_for_the_next_start() {
    for options in [&[TARGET][..], &[SEQUENCE, "--roll-size=1MiB"]] {
        let emulator = emulator().await;
        let (_parent, directory) = directory();
        leave(&emulator, &directory, "before\n", "after\n", options).await;
        let next = append_with(&emulator, &directory, options);
        run(next, "the end\n").await.expect(0);
        let key = match options[0] {
            TARGET => KEY,
            _ => "log-1",
        };
        let object = emulator.object("bucket", key).unwrap();
        assert_eq!(object.bytes, "before\nafter\nthe end\n");
    }
}

#[tokio::test]
async fn an_input_that_ends_in_an_outage_is_delivered_after_it() {
    let emulator = emulator().await;
    let (_parent, directory) = directory();
    let forever = "--delivery-timeout=forever";
    let mut running = Running::start(append_with(&emulator, &directory, &[forever, TARGET]));
    running.write("before\n").await;
    appended(&emulator, 1).await;
    emulator.pause().await;
    running.write("after\n").await;
    running.close_input();
    running
        .hear("; trying again forever; 6 B in the spool")
        .await;
    emulator.resume().await.unwrap();
    running.end().await.expect(0);
    assert_eq!(content(&emulator), b"before\nafter\n");
}

#[tokio::test]
async fn an_opening_that_fails_says_that_what_is_there_is_kept() {
    let emulator = emulator().await;
    let (_parent, directory) = directory();
    leave(&emulator, &directory, "", "hello\n", &[TARGET]).await;
    emulator.pause().await;
    let kept = format!("what the spool at {directory} holds is kept");
    let next = append_with(&emulator, &directory, &[BUDGET, TARGET]);
    run(next, "more\n").await.expect(6).says_after_trying(&[
        "gave up",
        &format!("11 bytes more are in the spool at {directory}"),
    ]);
    send(&emulator, &directory, &[BUDGET])
        .await
        .expect(6)
        .says_after_trying(&["gave up", &kept]);
    emulator.resume().await.unwrap();
    let ended = send(&emulator, &directory, &["--progress=never"]).await;
    ended
        .expect(0)
        .says(&[TARGET, "11 bytes durable", "1 append "]);
    assert_eq!(content(&emulator), b"hello\nmore\n");
}

#[tokio::test]
async fn what_is_in_a_spool_is_shown() {
    let emulator = emulator().await;
    for (target, options, compression) in [
        (TARGET, &[][..], None),
        (
            SEQUENCE,
            &["--roll-size=1MiB", "--compress=zstd"],
            Some("zstd"),
        ),
    ] {
        let (_parent, directory) = directory();
        let options = [&[target], options].concat();
        leave(&emulator, &directory, "before\n", "after\n", &options).await;
        let is_sequence = target == SEQUENCE;
        let last = if is_sequence {
            "oss://bucket/log-1"
        } else {
            TARGET
        };
        let shown = spool(&directory, &["--json"]).await.expect(0);
        assert_eq!(shown.json()["object"], target);
        let shown = shown.own();
        assert_eq!(
            shown,
            json!({
                "directory": directory,
                "owner": target,
                "key": null,
                "is_sequence": is_sequence,
                "compression": compression,
                "bytes": shown["bytes"],
                "size": shown["size"],
                "age_ms": shown["age_ms"],
                "last_object": last,
                "damage": [],
            })
        );
        assert!(shown["bytes"].as_u64() >= Some(6), "{shown}");
        assert!(shown["size"].as_u64() > Some(6), "{shown}");
        assert!(shown["age_ms"].is_u64(), "{shown}");
        let text = spool(&directory, &[]).await.expect(0).stdout;
        let text = String::from_utf8(text).unwrap();
        let kind = if is_sequence { "sequence" } else { "object" };
        for (name, value) in [
            ("spool", &*directory),
            (kind, target),
            ("compression", compression.unwrap_or("-")),
            ("last object", last),
        ] {
            assert!(text.contains(&format!("{name:<22}{value}\n")), "{text}");
        }
        // It can be looked at as often as one likes.
        send(&emulator, &directory, &[]).await.expect(0);
    }
}

#[tokio::test]
async fn where_nothing_is_nothing_is_shown_and_nothing_made() {
    let emulator = emulator().await;
    let empty = tempfile::tempdir().unwrap();
    let path = empty.path().to_str().unwrap();
    for options in [&[][..], &["--send"]] {
        let shown = spool(path, options).await.expect(0);
        assert_eq!(shown.stdout, format!("{path}: nothing\n").as_bytes());
    }
    assert!(std::fs::read_dir(path).unwrap().next().is_none());
    let shown = spool(path, &["--json"]).await.expect(0).own();
    assert_eq!(
        (&shown["owner"], &shown["bytes"]),
        (&json!(null), &json!(0))
    );
    // All that was in it has been delivered.
    run(append_with(&emulator, path, &[TARGET]), "x")
        .await
        .expect(0);
    let shown = spool(path, &[]).await.expect(0);
    assert_eq!(shown.stdout, format!("{path}: nothing\n").as_bytes());
}

#[tokio::test]
async fn a_directory_that_is_missing_is_named_and_not_created() {
    let (_parent, directory) = directory();
    for options in [&["--json"][..], &["--json", "--send"]] {
        let ended = spool(&directory, options).await.expect(1);
        let ended = ended.says(&["no spool at", &directory, "No such file"]);
        assert_eq!(ended.json()["kind"], "local");
    }
    assert!(!Path::new(&directory).exists());
    let (parent, _) = super::spool::directory();
    let path = file(parent.path(), b"no directory");
    spool(&path, &[]).await.expect(1).says(&[&path]);
}

#[tokio::test]
async fn a_spool_that_is_in_use_is_left_alone() {
    let emulator = emulator().await;
    let (_parent, directory) = directory();
    let mut running = Running::start(append_with(&emulator, &directory, &[TARGET]));
    running.write("hello\n").await;
    appended(&emulator, 1).await;
    let says = [&directory, "in use by another process"];
    let ended = spool(&directory, &["--json"]).await.expect(1).says(&says);
    assert_eq!(ended.json()["kind"], "spool");
    send(&emulator, &directory, &[]).await.expect(1).says(&says);
    let other = append_with(&emulator, &directory, &[TARGET]);
    run(other, "x").await.expect(1).says(&says);
    running.close_input();
    running.end().await.expect(0);
    assert_eq!(content(&emulator), b"hello\n");
}

#[tokio::test]
async fn a_spool_of_another_version_or_target_is_left_as_it_is() {
    let emulator = emulator().await;
    let (_parent, directory) = directory();
    leave(&emulator, &directory, "", "hello\n", &[TARGET]).await;
    let other = append_with(&emulator, &directory, &["oss://bucket/other"]);
    run(other, "x").await.expect(1).says(&[TARGET, "another"]);

    let [path] = &files(&directory)[..] else {
        panic!("more than one file");
    };
    let whole = std::fs::read(path).unwrap();
    std::fs::write(path, b"something else").unwrap();
    let says = [path.to_str().unwrap(), "not a segment of a spool"];
    for options in [&[][..], &["--send"]] {
        spool(&directory, options).await.expect(1).says(&says);
    }
    assert_eq!(std::fs::read(path).unwrap(), b"something else");
    std::fs::write(path, whole).unwrap();
    send(&emulator, &directory, &[]).await.expect(0);
    assert_eq!(content(&emulator), b"hello\n");
}

#[tokio::test]
async fn a_spool_that_is_damaged_says_so_and_the_rest_is_sent() {
    let emulator = emulator().await;
    let (_parent, directory) = directory();
    let mut running = Running::start(append_with(&emulator, &directory, &[BUDGET, TARGET]));
    running.write("before\n").await;
    appended(&emulator, 1).await;
    emulator.pause().await;
    running.write("hello\n").await;
    running.hear("; 6 B in the spool").await;
    running.write("world\n").await;
    running.close_input();
    running.end().await.expect(6);
    emulator.resume().await.unwrap();
    let [path] = &files(&directory)[..] else {
        panic!("more than one file");
    };
    let mut stored = std::fs::read(path).unwrap();
    let at = stored
        .windows(6)
        .position(|bytes| bytes == b"hello\n")
        .unwrap();
    stored[at] ^= 1;
    std::fs::write(path, stored).unwrap();
    let shown = spool(&directory, &["--json"]).await.expect(0).own();
    assert_eq!(shown["damage"].as_array().map(Vec::len), Some(1), "{shown}");
    let ended = send(&emulator, &directory, &["--json"]).await.expect(1);
    let ended = ended.says(&["damaged", "6 bytes of it cannot be read"]);
    assert_eq!(ended.json()["lost"], 6);
    assert_eq!(content(&emulator), b"before\nworld\n");
}

#[tokio::test]
async fn options_that_do_not_go_with_a_spool_are_refused() {
    let emulator = emulator().await;
    let (_parent, directory) = directory();
    for options in [
        &["--spool", &directory, "--shared"][..],
        &["--spool", &directory, "--replay"],
        &["--spool", &directory, "--spool-size=0"],
        &["--spool", &directory, "--spool-size=63MiB"],
        &[
            "--spool",
            &directory,
            "--spool-size=64MiB",
            "--buffer=17MiB",
        ],
        &["--spool", &directory, "--spool-sync=sometimes"],
        &["--spool-size=1GiB"],
        &["--spool-sync=always"],
        &["--delivery-timeout=never"],
    ] {
        let ended = append(&emulator, options, "x").await.expect(2);
        assert_eq!(ended.json()["kind"], "invalid_input", "{options:?}");
    }
    assert!(emulator.requests().is_empty());
    assert!(!Path::new(&directory).exists());
}

#[tokio::test]
async fn help_tells_of_the_spool() {
    for (name, parts) in [
        (
            "append",
            &[
                "Spool: ",
                "--spool <DIR>",
                "--spool-size",
                "[default: 10GiB]",
                "--spool-sync",
                "never|always|DURATION",
                "DURATION|forever",
                "spool DIR --send",
                "  7    ",
            ][..],
        ),
        (
            "spool",
            &[
                "--send",
                "--roll-size",
                "DURATION|forever",
                "OSS_REGION",
                "last_object",
                "  7    ",
            ],
        ),
    ] {
        let help = run(bare([name, "--help"]), "").await.expect(0);
        let help = String::from_utf8(help.stdout).unwrap();
        for part in parts {
            assert!(help.contains(part), "{name}: {part:?} in {help}");
        }
    }
}

#[tokio::test]
async fn the_spools_of_keys_are_listed_and_delivered_one_by_one() {
    let emulator = emulator().await;
    let (_parent, directory) = directory();
    // As a process that is killed leaves them.
    let (client, path) = (emulator.client().build().unwrap(), directory.clone());
    let process = std::thread::spawn(move || {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let keys = oss_append::KeyedWriter::builder(client, "bucket")
                .objects(|key| format!("of-{key}"))
                .writer(|_, writer| writer.linger(Duration::from_secs(3600)))
                .spool(oss_append::Spool::new(path))
                .start()
                .unwrap();
            for key in ["alice", "bob & co"] {
                drop(keys.write(key, format!("{key}\n").into()).await.unwrap());
            }
            keys.spooled().await.unwrap();
        });
        runtime.shutdown_timeout(Duration::from_secs(10));
    });
    process.join().unwrap();
    let shown = spool(&directory, &[]).await.expect(0);
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains("15 bytes of 2 keys"), "{shown}");
    assert!(shown.contains("bob & co"), "{shown}");
    let shown = spool(&directory, &["--json"]).await.expect(0).json();
    assert_eq!(shown["bytes"], 15);
    let keys = shown["keys"].as_array().unwrap();
    let names: Vec<_> = keys.iter().map(|key| &key["key"]).collect();
    assert_eq!(names, ["alice", "bob & co"]);
    assert_eq!(keys[1]["owner"], "oss://bucket/of-bob & co");
    let refused = send(&emulator, &directory, &[]).await.expect(2);
    assert!(
        refused.stderr.contains("the spools of 2 keys"),
        "{refused:?}"
    );
    for key in keys {
        let directory = key["directory"].as_str().unwrap();
        send(&emulator, directory, &["--json"]).await.expect(0);
    }
    assert_eq!(
        emulator.object("bucket", "of-alice").unwrap().bytes,
        "alice\n"
    );
    assert_eq!(
        emulator.object("bucket", "of-bob & co").unwrap().bytes,
        "bob & co\n"
    );
    let shown = spool(&directory, &[]).await.expect(0);
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains("nothing"), "{shown}");
}

#[tokio::test]
async fn what_an_object_does_not_take_can_go_in_another() {
    let emulator = emulator().await;
    let (_parent, directory) = directory();
    leave(&emulator, &directory, "first\n", "kept\n", &[TARGET]).await;
    emulator.seal("bucket", "a/object.log").unwrap();
    let refused = send(&emulator, &directory, &[]).await.expect(4);
    let remedy = format!("oss-append spool {directory} --send --to oss://BUCKET/KEY");
    assert!(refused.stderr.contains(&remedy), "{refused:?}");
    let to = ["--to", "oss://bucket/other", "--json"];
    let sent = send(&emulator, &directory, &to).await.expect(0).json();
    assert_eq!(sent["owner"], "oss://bucket/other");
    let other = emulator.object("bucket", "other").unwrap().bytes;
    assert!(other.ends_with(b"kept\n"), "{other:?}");
    let nothing = spool(&directory, &["--to", "oss://bucket/other"]).await;
    nothing.expect(2);
}
