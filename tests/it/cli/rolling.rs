//! `append` with `--roll-size` and `--roll`: a sequence of objects.

use oss_append::emulator::{Action, ErrorAnswer, Fault};
use oss_append::{AppendStore as _, crc64};
use serde_json::json;

use super::*;

const SEQUENCE: &str = "oss://bucket/log-{seq}";
const BUDGET: &str = "--delivery-timeout=300ms";

/// The keys and contents of all objects, in the order of the keys.
async fn objects(emulator: &Emulator) -> Vec<(String, String)> {
    let client = emulator.client().build().unwrap();
    let listed = client.list("bucket", "", None).await.unwrap().unwrap();
    assert_eq!(listed.next, None);
    let keys = listed.objects.into_iter().map(|object| object.key);
    keys.map(|key| {
        let bytes = emulator.object("bucket", &key).unwrap().bytes;
        (key, String::from_utf8(bytes.to_vec()).unwrap())
    })
    .collect()
}

async fn texts(emulator: &Emulator) -> Vec<String> {
    let objects = objects(emulator).await;
    objects.into_iter().map(|(_, text)| text).collect()
}

async fn roll(emulator: &Emulator, options: &[&str], input: &str) -> Ended {
    let arguments = [&["append", "--json", SEQUENCE], options].concat();
    run(command(emulator, arguments), input).await
}

fn start(emulator: &Emulator, options: &[&str]) -> Running {
    let arguments = [&["append", "--json", "--linger=1ms", SEQUENCE], options].concat();
    Running::start(command(emulator, arguments))
}

#[tokio::test]
async fn objects_have_exactly_their_size_and_are_summed_up() {
    let emulator = emulator().await;
    let ended = roll(&emulator, &["--roll-size=8"], "0123456\n89\nabcd\nefg").await;
    let ended = ended.expect(0);
    let entry = |number: u32, text: &str, reason| {
        json!({
            "key": format!("log-{number}"),
            "start": 0,
            "end": text.len(),
            "crc64": crc64::checksum(text.as_bytes()).to_string(),
            "reason": reason,
            "sealed": false,
            "seal_error": null,
        })
    };
    let summary = ended.own();
    assert_eq!(
        summary,
        json!({
            "bucket": "bucket",
            "template": "log-{seq}",
            "key": "log-3",
            "end": 3,
            "bytes": 19,
            "appends": 3,
            "retries": 0,
            "reconciles": 0,
            "crc64": crc64::checksum(b"efg").to_string(),
            "elapsed_ms": summary["elapsed_ms"],
            "appends_per_second": null,
            "appends_per_month": null,
            "interrupted": false,
            "ignored_options": [],
            "missing": 0,
            "error": null,
            "finished": 3,
            "objects": [
                entry(1, "0123456\n", "size"),
                entry(2, "89\nabcd\n", "size"),
                entry(3, "efg", "end"),
            ],
        })
    );
    assert_eq!(texts(&emulator).await, ["0123456\n", "89\nabcd\n", "efg"]);
    let notes: Vec<&str> = ended.stderr.lines().collect();
    assert_eq!(notes.len(), 2, "{notes:?}");
    for (note, number) in notes.iter().zip(1..) {
        assert!(note.contains(&format!("oss://bucket/log-{number} is finished")));
        assert!(note.contains("it has its size; 8 bytes from position 0"));
    }
}

#[tokio::test]
async fn lines_are_kept_whole_if_asked() {
    let emulator = emulator().await;
    let options = ["--roll-size=10", "--align-lines"];
    let input = "a\n8 bytes\nmore than ten bytes\nb\nc\nno end";
    roll(&emulator, &options, input).await.expect(0);
    assert_eq!(
        texts(&emulator).await,
        ["a\n8 bytes\n", "more than ten bytes\n", "b\nc\nno end"]
    );
}

#[tokio::test]
async fn without_json_the_last_line_on_standard_error_sums_up() {
    let emulator = emulator().await;
    let arguments = ["append", SEQUENCE, "--roll-size=4"];
    let ended = run(command(&emulator, arguments), "123456").await.expect(0);
    assert!(ended.stdout.is_empty());
    let summary = ended.stderr.lines().last().unwrap();
    for part in [
        SEQUENCE,
        "6 bytes durable, 2 objects finished",
        "up to position 2 of oss://bucket/log-2",
        "by 2 appends",
    ] {
        assert!(summary.contains(part), "{part:?} in {summary}");
    }
}

#[tokio::test]
async fn an_empty_input_makes_no_object() {
    let emulator = emulator().await;
    let summary = roll(&emulator, &["--roll=daily"], "")
        .await
        .expect(0)
        .json();
    assert_eq!(summary["finished"], 0);
    assert_eq!(summary["objects"], json!([]));
    assert!(objects(&emulator).await.is_empty());
}

#[tokio::test]
async fn an_hour_has_its_object() {
    let emulator = emulator().await;
    let target = "oss://bucket/logs/%Y/%m/%d/%H-{host}-{seq}.log";
    let command = command(&emulator, ["append", target, "--roll", "hourly"]);
    run(command, "one\ntwo\n").await.expect(0);
    let objects = objects(&emulator).await;
    let (keys, texts): (Vec<_>, Vec<_>) = objects.into_iter().unzip();
    // Unless the hour ended in between.
    assert_eq!(texts.concat(), "one\ntwo\n");
    let key = &keys[0];
    assert!(
        key.starts_with("logs/20") && key.ends_with("-1.log"),
        "{key}"
    );
    assert_eq!(key.find('-'), Some("logs/YYYY/MM/DD/HH".len()), "{key}");
}

#[tokio::test]
async fn what_comes_after_a_period_goes_to_the_next() {
    let emulator = emulator().await;
    let target = "oss://bucket/%Y%m%dT%H%M%S-{seq}";
    let arguments = ["append", "--linger=1ms", target, "--roll=1s"];
    let mut running = Running::start(command(&emulator, arguments));
    for (count, line) in ["one\n", "two\n"].into_iter().enumerate() {
        running.write(line).await;
        appended(&emulator, count + 1).await;
        running.hear("its period has ended").await;
    }
    running.close_input();
    running.end().await.expect(0);
    assert_eq!(texts(&emulator).await, ["one\n", "two\n"]);
}

#[tokio::test]
async fn times_are_those_of_the_offset() {
    let emulator = emulator().await;
    for (offset, key) in [("+13:45", "+13:45/1"), ("-03:30", "-03:30/1")] {
        let target = "oss://bucket/%:z/{seq}";
        let arguments = ["append", target, "--roll=daily", "--utc-offset", offset];
        run(command(&emulator, arguments), "x").await.expect(0);
        assert!(emulator.object("bucket", key).is_some(), "{key}");
    }
}

#[tokio::test]
async fn the_next_run_continues_the_newest() {
    let emulator = emulator().await;
    let denied = Action::Error(ErrorAnswer::new(403));
    for forbidden in [false, true] {
        if forbidden {
            emulator.inject(Fault::new(Operation::ListObjectsV2, denied.clone()).forever());
        }
        let summary = roll(&emulator, &["--roll-size=6"], "1234")
            .await
            .expect(0)
            .json();
        assert_eq!(summary["finished"], if forbidden { 2 } else { 1 });
    }
    emulator.faults().clear();
    assert_eq!(texts(&emulator).await, ["123412", "34"]);
}

#[tokio::test]
async fn a_key_that_looks_like_a_template_needs_a_word_about_it() {
    let emulator = emulator().await;
    let target = "oss://bucket/%Y-{seq}.log";
    run(command(&emulator, ["append", target]), "hello")
        .await
        .expect(2)
        .says(&["%Y", "--roll", "--literal"]);
    assert!(emulator.requests().is_empty());
    let literal = command(&emulator, ["append", "--literal", target]);
    run(literal, "hello").await.expect(0);
    assert_eq!(
        emulator.object("bucket", "%Y-{seq}.log").unwrap().bytes,
        "hello"
    );
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_before_anything_is_sent() {
    let emulator = emulator().await;
    for options in [
        &[SEQUENCE, "--roll-size=1MB", "--create-new"][..],
        &[SEQUENCE, "--roll=hourly", "--replay"],
        &[SEQUENCE, "--align-lines"],
        &[SEQUENCE, "--seal-finished"],
        &[SEQUENCE, "--utc-offset=+08:00"],
        &[SEQUENCE, "--roll=weekly"],
        &[SEQUENCE, "--roll=0s"],
        &[SEQUENCE, "--roll=400days"],
        &[SEQUENCE, "--roll=hourly", "--utc-offset=8"],
        &[SEQUENCE, "--roll-size=0"],
        &[SEQUENCE, "--roll-size=9MB", "--max-object-size=8MB"],
        &["oss://bucket/{sequence}", "--roll-size=1MB"],
        &["oss://bucket/{seq", "--roll=hourly"],
        &["oss://bucket/a.log", "--roll-size=1MB"],
        &["oss://bucket/%Y-%m-%d.log", "--roll=hourly"],
    ] {
        let arguments = [&["append"], options].concat();
        let ended = run(command(&emulator, arguments), "x").await;
        assert_eq!(ended.code, 2, "{options:?} {ended:?}");
        assert!(ended.stdout.is_empty());
    }
    assert!(emulator.requests().is_empty());
}

#[tokio::test]
async fn a_sealed_object_is_left_for_the_next() {
    let emulator = emulator().await;
    let mut running = start(&emulator, &["--roll-size=1MB"]);
    running.write("one\n").await;
    appended(&emulator, 1).await;
    emulator.seal("bucket", "log-1").unwrap();
    running.write("two\n").await;
    running.hear("it takes no more appends").await;
    running.close_input();
    let summary = running.end().await.expect(0).json();
    assert_eq!(summary["objects"][0]["reason"], "closed");
    assert_eq!(texts(&emulator).await, ["one\n", "two\n"]);
}

#[tokio::test]
async fn objects_are_sealed_if_asked() {
    for (options, sealed) in [
        (&["--seal-finished"][..], [true, false]),
        (&["--seal"], [false, true]),
        (&["--seal-finished", "--seal"], [true, true]),
    ] {
        let emulator = emulator().await;
        let options = [options, &["--roll-size=4"]].concat();
        let summary = roll(&emulator, &options, "123456").await.expect(0).json();
        for (key, index, expected) in [("log-1", 0, sealed[0]), ("log-2", 1, sealed[1])] {
            let object = emulator.object("bucket", key).unwrap();
            assert_eq!(object.info.sealed, expected, "{options:?} {key}");
            assert_eq!(summary["objects"][index]["sealed"], expected);
        }
    }
}

#[tokio::test]
async fn an_object_that_cannot_be_sealed_is_a_failure_at_the_end() {
    let emulator = emulator().await;
    let denied = Action::Error(ErrorAnswer::new(403));
    emulator.inject(Fault::new(Operation::SealAppendObject, denied));
    let options = ["--roll-size=4", "--seal-finished"];
    let ended = roll(&emulator, &options, "1234567890").await.expect(5);
    let summary = ended.json();
    assert_eq!(summary["bytes"], 10);
    assert_eq!(summary["missing"], 0);
    let error = summary["objects"][0]["seal_error"].as_str().unwrap();
    assert!(error.contains("AccessDenied"), "{error}");
    assert_eq!(summary["objects"][1]["sealed"], true);
    let said = ended.stderr.lines().last().unwrap();
    for part in ["oss://bucket/log-1", "SealAppendObject", "10 bytes durable"] {
        assert!(said.contains(part), "{part:?} in {said}");
    }
    assert_eq!(texts(&emulator).await, ["1234", "5678", "90"]);
}

#[tokio::test]
async fn a_failure_names_the_object() {
    let emulator = emulator().await;
    let busy = Action::Error(ErrorAnswer::new(503));
    emulator.inject(
        Fault::new(Operation::AppendObject, busy)
            .key("log-2")
            .forever(),
    );
    let options = ["--roll-size=4", BUDGET];
    let ended = roll(&emulator, &options, "123456").await.expect(6);
    let said = ended.stderr.lines().last().unwrap();
    for part in [
        "append of oss://bucket/log-2",
        "4 bytes durable, 1 object finished",
        "2 more that were read",
        "missing from position 0 of oss://bucket/log-2",
    ] {
        assert!(said.contains(part), "{part:?} in {said}");
    }
    let summary = ended.json();
    assert_eq!(
        (&summary["key"], &summary["end"]),
        (&json!("log-2"), &json!(0))
    );
    assert_eq!(summary["missing"], 2);
    assert!(summary["error"].is_string());
}

#[tokio::test]
async fn lines_of_two_that_share_a_sequence_are_whole() {
    let emulator = emulator().await;
    let input = |id: &str| -> String { (0..500).map(|n| format!("{id} {n}\n")).collect() };
    let options = ["--roll-size=1000", "--shared", "--batch-size=100"];
    let (first, second) = (input("one"), input("two"));
    let (one, two) = tokio::join!(
        roll(&emulator, &options, &first),
        roll(&emulator, &options, &second)
    );
    for ended in [one, two] {
        ended.expect(0);
    }
    let mut objects = objects(&emulator).await;
    assert!(objects.iter().all(|(_, text)| text.ends_with('\n')));
    objects.sort_by_key(|(key, _)| key["log-".len()..].parse::<u32>().unwrap());
    let all: String = objects.into_iter().map(|(_, text)| text).collect();
    for id in ["one", "two"] {
        let own = all
            .split_inclusive('\n')
            .filter(|line| line.starts_with(id));
        assert!(own.collect::<String>() == input(id), "{id}");
    }
}

#[tokio::test]
async fn a_directory_can_hold_a_sequence() {
    let directory = tempfile::tempdir().unwrap();
    let embedded = ["--embedded", directory.path().to_str().unwrap()];
    let command = |arguments: &[&str]| bare([arguments, &embedded].concat());
    let append = ["append", "--json", SEQUENCE, "--roll-size=4"];
    for last in ["log-2", "log-3"] {
        let ended = run(command(&append), "123456").await.expect(0);
        assert_eq!(ended.json()["key"], last);
    }
    let cat = run(command(&["cat", "oss://bucket/log-2"]), "").await;
    assert_eq!(cat.expect(0).stdout, b"5612");
    let tail = run(command(&["tail", "--template", SEQUENCE]), "").await;
    assert_eq!(tail.expect(0).stdout, b"3456");
}

#[cfg(unix)]
mod signals {
    use super::*;
    use rustix::process::Signal;

    const AGAIN: &str = "again to give up";

    #[tokio::test]
    async fn an_interrupt_makes_what_was_read_durable() {
        for signal in [Signal::INT, Signal::TERM] {
            let emulator = emulator().await;
            let options = ["--roll-size=4", "--align-lines", "--seal"];
            let mut running = start(&emulator, &options);
            running.write("one\ntwo\nhalf a li").await;
            appended(&emulator, 3).await;
            running.signal(signal);
            let summary = running.end().await.expect(130).json();
            assert_eq!(summary["interrupted"], true);
            assert_eq!(summary["bytes"], 17);
            assert_eq!(summary["missing"], 0);
            assert_eq!(summary["finished"], 3);
            assert_eq!(summary["key"], "log-3");
            assert_eq!(texts(&emulator).await, ["one\n", "two\n", "half a li"]);
            let last = emulator.object("bucket", "log-3").unwrap();
            assert!(!last.info.sealed, "more was to come");
        }
    }

    #[tokio::test]
    async fn a_second_interrupt_gives_up_and_tells_where() {
        let emulator = emulator().await;
        emulator.inject(Fault::new(Operation::AppendObject, Action::Stall).key("log-2"));
        let mut running = start(&emulator, &["--roll-size=4"]);
        running.write("123456").await;
        struck(&emulator, "stall", 1).await;
        emulator.pause().await;
        running.signal(Signal::INT);
        running.hear(AGAIN).await;
        running.signal(Signal::INT);
        let summary = running.end().await.expect(130).json();
        assert_eq!(summary["interrupted"], true);
        assert_eq!(
            (&summary["bytes"], &summary["missing"]),
            (&json!(4), &json!(2))
        );
        assert_eq!(
            (&summary["key"], &summary["end"]),
            (&json!("log-2"), &json!(0))
        );
        assert_eq!(summary["finished"], 1);
    }
}
