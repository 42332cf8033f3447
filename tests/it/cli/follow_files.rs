//! `follow`: files that grow and are rotated, into objects.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use tempfile::TempDir;

use super::*;

const SEQUENCE: &str = "oss://bucket/{file}-{seq}";

/// A directory with a log.
struct Logs {
    directory: TempDir,
}

impl Logs {
    fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn log(&self) -> String {
        self.path("app.log").to_str().unwrap().to_owned()
    }

    /// Appends to a file, which is created if need be.
    fn append(&self, name: &str, text: &str) {
        let file = fs::File::options()
            .create(true)
            .append(true)
            .open(self.path(name));
        file.unwrap().write_all(text.as_bytes()).unwrap();
    }

    fn rename(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).unwrap();
    }
}

/// `follow` that waits for nothing.
fn following(emulator: &Emulator, arguments: &[&str]) -> Command {
    let quick = ["follow", "--linger", "1ms", "--drain", "1ms"];
    command(emulator, [&quick[..], arguments].concat())
}

async fn once(emulator: &Emulator, arguments: &[&str]) -> Ended {
    run(
        following(emulator, &[&["--once", "--json"], arguments].concat()),
        "",
    )
    .await
}

fn text(emulator: &Emulator, key: &str) -> Option<String> {
    let object = emulator.object("bucket", key)?;
    Some(String::from_utf8(object.bytes.to_vec()).unwrap())
}

/// Waits until an object holds this.
async fn holds(emulator: &Emulator, key: &str, expected: &str) {
    emulator
        .wait_for(|_| text(emulator, key).as_deref() == Some(expected))
        .await;
}

#[tokio::test]
async fn once_sends_what_is_there_and_a_second_time_what_is_new() {
    let (emulator, logs) = (emulator().await, Logs::new());
    logs.append("app.log", "one\ntwo\nthr");
    let ended = once(&emulator, &[&logs.log(), SEQUENCE]).await.expect(0);
    let told = ended.own();
    assert_eq!(told["bytes"], 11);
    assert_eq!(told["files"][0]["object"], "oss://bucket/app.log-1");
    assert_eq!(text(&emulator, "app.log-1").unwrap(), "one\ntwo\nthr");
    logs.append("app.log", "ee\n");
    let told = once(&emulator, &[&logs.log(), SEQUENCE])
        .await
        .expect(0)
        .own();
    assert_eq!(told["bytes"], 3);
    assert_eq!(text(&emulator, "app.log-1").unwrap(), "one\ntwo\nthree\n");
    let told = once(&emulator, &[&logs.log(), SEQUENCE])
        .await
        .expect(0)
        .own();
    assert_eq!((&told["bytes"], &told["appends"]), (&0.into(), &0.into()));
}

#[tokio::test]
async fn a_line_waits_for_its_end_and_goes_on_over_a_rotation() {
    let (emulator, logs) = (emulator().await, Logs::new());
    logs.append("app.log", "one\ntw");
    let mut running = Running::start(following(&emulator, &[&logs.log(), SEQUENCE]));
    running.hear("following").await;
    holds(&emulator, "app.log-1", "one\n").await;
    logs.append("app.log", "o\n");
    holds(&emulator, "app.log-1", "one\ntwo\n").await;
    // Its writer goes on in the renamed file.
    logs.rename("app.log", "app.log.1");
    running.hear("is not there").await;
    logs.append("app.log.1", "three\nfo");
    holds(&emulator, "app.log-1", "one\ntwo\nthree\n").await;
    logs.append("app.log", "five\n");
    holds(&emulator, "app.log-1", "one\ntwo\nthree\nfo").await;
    holds(&emulator, "app.log-2", "five\n").await;
    running.signal(rustix::process::Signal::TERM);
    running.end().await.expect(0);
}

#[tokio::test]
async fn what_was_rotated_meanwhile_is_sent_first() {
    let (emulator, logs) = (emulator().await, Logs::new());
    logs.append("app.log", "one\n");
    once(&emulator, &[&logs.log(), SEQUENCE]).await.expect(0);
    logs.append("app.log", "two\n");
    logs.rename("app.log", "app.log.2");
    logs.append("app.log.1", "three\n");
    logs.append("app.log", "four\n");
    once(&emulator, &[&logs.log(), SEQUENCE]).await.expect(0);
    let object = |number| text(&emulator, &format!("app.log-{number}"));
    assert_eq!(object(1).unwrap(), "one\ntwo\n");
    assert_eq!(object(2).unwrap(), "three\n");
    assert_eq!(object(3).unwrap(), "four\n");
    assert_eq!(object(4), None);
}

#[tokio::test]
async fn a_compressed_file_is_finished_too() {
    let (emulator, logs) = (emulator().await, Logs::new());
    logs.append("app.log", "one\n");
    once(&emulator, &[&logs.log(), SEQUENCE]).await.expect(0);
    let file = fs::File::create(logs.path("app.log.1.gz")).unwrap();
    let mut packed = flate2::write::GzEncoder::new(file, flate2::Compression::default());
    packed.write_all(b"one\ntwo\n").unwrap();
    packed.finish().unwrap();
    fs::write(logs.path("app.log"), "three\n").unwrap();
    once(&emulator, &[&logs.log(), SEQUENCE]).await.expect(0);
    assert_eq!(text(&emulator, "app.log-1").unwrap(), "one\ntwo\n");
    assert_eq!(text(&emulator, "app.log-2").unwrap(), "three\n");
}

#[tokio::test]
async fn one_object_grows_over_rotations_and_restarts() {
    let (emulator, logs) = (emulator().await, Logs::new());
    let target = "oss://bucket/all.log";
    logs.append("app.log", "one\n");
    once(&emulator, &[&logs.log(), target]).await.expect(0);
    logs.append("app.log", "two\n");
    logs.rename("app.log", "app.log.1");
    logs.append("app.log", "three\n");
    once(&emulator, &[&logs.log(), target]).await.expect(0);
    logs.append("app.log", "four\n");
    once(&emulator, &[&logs.log(), target]).await.expect(0);
    assert_eq!(
        text(&emulator, "all.log").unwrap(),
        "one\ntwo\nthree\nfour\n"
    );
}

#[tokio::test]
async fn a_truncated_file_is_finished_from_the_copy() {
    let (emulator, logs) = (emulator().await, Logs::new());
    logs.append("app.log", "one\n");
    let mut running = Running::start(following(&emulator, &[&logs.log(), SEQUENCE]));
    holds(&emulator, "app.log-1", "one\n").await;
    // As many bytes as before, and none that the follower has seen.
    fs::write(logs.path("app.log.1"), "one\ntwo\n").unwrap();
    fs::write(logs.path("app.log"), "six\n").unwrap();
    running
        .hear("was truncated after it was read up to byte 4")
        .await;
    holds(&emulator, "app.log-1", "one\ntwo\n").await;
    holds(&emulator, "app.log-2", "six\n").await;
    // Without a copy.
    fs::write(logs.path("app.log"), "refilled\n").unwrap();
    running.hear("cannot be had any more").await;
    holds(&emulator, "app.log-3", "refilled\n").await;
}

#[tokio::test]
async fn a_hole_is_told_and_not_sent() {
    let (emulator, logs) = (emulator().await, Logs::new());
    let mut writer = fs::File::create(logs.path("app.log")).unwrap();
    writer.write_all(b"one\n").unwrap();
    let mut running = Running::start(following(&emulator, &[&logs.log(), SEQUENCE]));
    holds(&emulator, "app.log-1", "one\n").await;
    fs::copy(logs.path("app.log"), logs.path("app.log.1")).unwrap();
    writer.set_len(0).unwrap();
    writer.write_all(b"two\n").unwrap();
    running.hear("begins with 4 zeros").await;
    holds(&emulator, "app.log-2", "two\n").await;
    drop(running);
    let told = once(&emulator, &[&logs.log(), SEQUENCE])
        .await
        .expect(0)
        .own();
    assert_eq!(told["bytes"], 0);
}

#[tokio::test]
async fn a_link_is_followed_from_file_to_file() {
    let (emulator, logs) = (emulator().await, Logs::new());
    let link = |to: &str| {
        std::os::unix::fs::symlink(logs.path(to), logs.path("new")).unwrap();
        logs.rename("new", "current");
    };
    logs.append("app-1.log", "one\n");
    link("app-1.log");
    let current = logs.path("current");
    let arguments = [
        "--rotated",
        "app-*.log",
        current.to_str().unwrap(),
        SEQUENCE,
    ];
    let running = Running::start(following(&emulator, &arguments));
    holds(&emulator, "current-1", "one\n").await;
    for (hours, name, text) in [(3, "app-1.log", "two\n"), (2, "app-2.log", "three\n")] {
        logs.append(name, text);
        let file = fs::File::options()
            .append(true)
            .open(logs.path(name))
            .unwrap();
        let modified = SystemTime::now() - Duration::from_secs(hours * 3600);
        file.set_modified(modified).unwrap();
    }
    logs.append("app-3.log", "four\n");
    link("app-3.log");
    holds(&emulator, "current-1", "one\ntwo\n").await;
    holds(&emulator, "current-2", "three\n").await;
    holds(&emulator, "current-3", "four\n").await;
    drop(running);
}

#[tokio::test]
async fn an_object_with_other_bytes_is_a_conflict_and_stays_as_it_is() {
    let (emulator, logs) = (emulator().await, Logs::new());
    emulator
        .append_foreign("bucket", "app.log-1", "other\n")
        .unwrap();
    logs.append("app.log", "mine\nmore\n");
    let ended = once(&emulator, &[&logs.log(), SEQUENCE]).await.expect(3);
    let message = ended.json()["message"].as_str().unwrap().to_owned();
    for part in [&*logs.log(), "oss://bucket/app.log-1", "position 6"] {
        assert!(message.contains(part), "{message}");
    }
    assert_eq!(text(&emulator, "app.log-1").unwrap(), "other\n");
    assert_eq!(text(&emulator, "app.log-2"), None);
    let arguments = ["--allow-gap", &logs.log(), SEQUENCE];
    once(&emulator, &arguments).await.expect(0);
    assert_eq!(text(&emulator, "app.log-2").unwrap(), "mine\nmore\n");
}

#[tokio::test]
async fn a_file_with_the_same_bytes_is_not_guessed_about() {
    let (emulator, logs) = (emulator().await, Logs::new());
    logs.append("app.log", "same\n");
    once(&emulator, &[&logs.log(), SEQUENCE]).await.expect(0);
    logs.append("app.log.1", "same\nand more\n");
    let ended = once(&emulator, &[&logs.log(), SEQUENCE]).await.expect(3);
    assert!(ended.stderr.contains("any of these files"), "{ended:?}");
    assert_eq!(text(&emulator, "app.log-1").unwrap(), "same\n");
}

#[tokio::test]
async fn a_directory_or_nothing_is_not_followed() {
    let (emulator, logs) = (emulator().await, Logs::new());
    let directory = logs.directory.path().to_str().unwrap();
    let ended = once(&emulator, &[directory, "oss://bucket/x-{seq}"]).await;
    assert!(ended.expect(1).stderr.contains("not a regular file"));
    once(&emulator, &[&logs.log(), SEQUENCE]).await.expect(1);
    once(&emulator, &[&logs.log(), "oss://bucket/%Y-{seq}"])
        .await
        .expect(2);
    logs.append("a.log", "a\n");
    logs.append("b.log", "b\n");
    let glob = logs.path("*.log");
    let ended = once(
        &emulator,
        &[glob.to_str().unwrap(), "oss://bucket/one-{seq}"],
    )
    .await;
    assert!(
        ended
            .expect(2)
            .stderr
            .contains("would go to the same object")
    );
    assert!(emulator.object("bucket", "one-1").is_none());
}

#[tokio::test]
async fn new_files_of_a_glob_are_picked_up() {
    let (emulator, logs) = (emulator().await, Logs::new());
    logs.append("a.log", "a\n");
    logs.append("a.log.1", "old\n");
    let glob = logs.path("*");
    let running = Running::start(following(&emulator, &[glob.to_str().unwrap(), SEQUENCE]));
    holds(&emulator, "a.log-1", "old\n").await;
    holds(&emulator, "a.log-2", "a\n").await;
    logs.append("b.log", "b\n");
    holds(&emulator, "b.log-1", "b\n").await;
    assert!(emulator.object("bucket", "a.log.1-1").is_none());
    drop(running);
}

#[tokio::test]
async fn a_long_file_takes_several_objects() {
    let (emulator, logs) = (emulator().await, Logs::new());
    let lines: String = (0..100).map(|n| format!("line {n}\n")).collect();
    for part in lines.as_bytes().chunks(300) {
        logs.append("app.log", str::from_utf8(part).unwrap());
        let arguments = ["--max-object-size", "200", &logs.log(), SEQUENCE];
        once(&emulator, &arguments).await.expect(0);
    }
    let objects = (1..).map_while(|n| text(&emulator, &format!("app.log-{n}")));
    let objects: Vec<String> = objects.collect();
    assert_eq!(objects.concat(), lines);
    assert!(
        objects.iter().all(|object| object.len() <= 200),
        "{objects:?}"
    );
}

#[tokio::test]
async fn an_object_that_is_full_is_said() {
    let (emulator, logs) = (emulator().await, Logs::new());
    logs.append("app.log", "0123456789\n0123456789\n");
    let arguments = ["--max-object-size", "15", &logs.log(), "oss://bucket/one"];
    let ended = once(&emulator, &arguments).await.expect(4);
    assert!(
        ended.stderr.contains("put {seq} into the template"),
        "{ended:?}"
    );
    assert_eq!(text(&emulator, "one").unwrap(), "0123456789\n");
}
