//! Which directories a server uses, and what it leaves alone in them.

use std::fs;
use std::path::Path;

use oss_append::emulator::{Emulator, Fsync};

use crate::support::raw::{BUCKET, Client, Request};

const MARKER: &str = "oss-append-emulator";

async fn start(path: &Path) -> oss_append::Result<Emulator> {
    let builder = Emulator::builder().bucket(BUCKET).directory(path);
    builder.start().await
}

/// A directory with one object.
async fn made() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let emulator = start(directory.path()).await.unwrap();
    let client = Client::new(emulator.address());
    assert_eq!(client.append("k", 0, b"content").await.status, 200);
    emulator.shutdown().await;
    directory
}

/// All files and links below a directory, with what is in them.
fn snapshot(path: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        let name = path.to_str().unwrap().to_owned();
        let kind = fs::symlink_metadata(&path).unwrap().file_type();
        if kind.is_symlink() {
            let goal = fs::read_link(&path).unwrap();
            found.push((name, goal.into_os_string().into_encoded_bytes()));
        } else if kind.is_dir() {
            found.push((name, Vec::new()));
            found.extend(snapshot(&path));
        } else {
            found.push((name, fs::read(&path).unwrap()));
        }
    }
    found.sort();
    found
}

async fn is_refused(path: &Path, reason: &str) {
    let before = snapshot(path);
    let error = start(path).await.unwrap_err().to_string();
    assert!(error.contains(reason), "{error}");
    assert_eq!(snapshot(path), before);
}

#[tokio::test]
async fn a_directory_that_is_somebody_elses_is_refused_and_left_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    for name in ["spool", "buckets"] {
        fs::create_dir(path.join(name)).unwrap();
        fs::write(path.join(name).join("thesis.txt"), "mine").unwrap();
    }
    fs::write(path.join("lock"), "mine too").unwrap();
    fs::write(path.join("Cargo.toml"), "[package]").unwrap();
    is_refused(
        path,
        "not empty, and not a directory of the embedded server",
    )
    .await;
}

#[tokio::test]
async fn a_directory_is_marked_when_it_is_made_and_used_again() {
    let directory = made().await;
    assert!(directory.path().join(MARKER).is_file());
    let emulator = start(directory.path()).await.unwrap();
    assert_eq!(emulator.object(BUCKET, "k").unwrap().bytes, "content");
    emulator.shutdown().await;
    let other = "Of a version to come.\n";
    fs::write(directory.path().join(MARKER), other).unwrap();
    is_refused(directory.path(), "another version").await;
}

#[tokio::test]
async fn a_directory_of_the_older_form_is_used_and_marked() {
    let directory = made().await;
    let marker = directory.path().join(MARKER);
    fs::remove_file(&marker).unwrap();
    let emulator = start(directory.path()).await.unwrap();
    assert_eq!(emulator.object(BUCKET, "k").unwrap().bytes, "content");
    assert!(marker.is_file());
    emulator.shutdown().await;
    // With anything else in it, it might be somebody else's.
    fs::remove_file(&marker).unwrap();
    fs::write(directory.path().join("notes.txt"), "x").unwrap();
    is_refused(directory.path(), "not empty").await;
}

#[tokio::test]
async fn files_that_are_not_the_servers_survive_it() {
    let directory = made().await;
    let bucket = directory.path().join("buckets").join(BUCKET);
    let mine = [
        directory.path().join("spool").join("thesis.txt"),
        bucket.join("thesis.data"),
        bucket.join("thesis.json"),
        directory.path().join("notes.txt"),
    ];
    for path in &mine {
        fs::write(path, "mine").unwrap();
    }
    let emulator = start(directory.path()).await.unwrap();
    let client = Client::new(emulator.address());
    client.send(Request::new("DELETE", "k")).await;
    // A bucket with somebody's files is not deleted, and works on.
    let delete = client.send(Request::new("DELETE", "")).await;
    assert_eq!(delete.summary(), "500 InternalError");
    assert_eq!(client.append("k", 0, b"again").await.status, 200);
    emulator.shutdown().await;
    for path in &mine {
        assert_eq!(fs::read(path).unwrap(), b"mine");
    }
}

#[cfg(unix)]
#[tokio::test]
async fn no_link_is_followed() {
    use std::os::unix::fs::symlink;
    let elsewhere = tempfile::tempdir().unwrap();
    let target = elsewhere.path().join("thesis.txt");
    fs::write(&target, "mine").unwrap();
    for name in ["lock", "spool", "buckets", "damaged", MARKER] {
        let directory = made().await;
        let path = directory.path().join(name);
        let goal = match fs::symlink_metadata(&path) {
            Ok(found) if found.is_file() => {
                fs::remove_file(&path).unwrap();
                &target
            }
            Ok(_) => {
                fs::remove_dir_all(&path).unwrap();
                &elsewhere.path().to_owned()
            }
            Err(_) => &elsewhere.path().to_owned(),
        };
        symlink(goal, &path).unwrap();
        is_refused(directory.path(), name).await;
        assert_eq!(fs::read(&target).unwrap(), b"mine", "{name}");
    }
    // Nor in a bucket: the object is damaged.
    let directory = made().await;
    let bucket = directory.path().join("buckets").join(BUCKET);
    let files = fs::read_dir(bucket)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let data = files.filter(|path| path.extension().is_some_and(|own| own == "data"));
    for path in data.collect::<Vec<_>>() {
        fs::remove_file(&path).unwrap();
        symlink(&target, &path).unwrap();
    }
    let emulator = start(directory.path()).await.unwrap();
    assert_eq!(emulator.damaged().len(), 1);
    assert_eq!(Client::new(emulator.address()).get("k").await.status, 404);
    assert_eq!(fs::read(&target).unwrap(), b"mine");
}

#[cfg(unix)]
#[tokio::test]
async fn what_a_server_makes_only_its_owner_can_read() {
    use std::os::unix::fs::PermissionsExt as _;
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("new").join("dir");
    let emulator = start(&path).await.unwrap();
    let client = Client::new(emulator.address());
    client.append("k", 0, &[7; 20_000_000]).await;
    client.append("l", 0, b"small").await;
    let everything = snapshot(parent.path());
    assert!(everything.len() > 8);
    for (path, _) in everything {
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{path}: {mode:o}");
    }
}

#[tokio::test]
async fn a_server_that_only_reads_changes_nothing() {
    let read = |path: &Path| {
        let builder = Emulator::builder().bucket("another").directory(path);
        builder.read_only(true).start()
    };
    let parent = tempfile::tempdir().unwrap();
    let missing = parent.path().join("missing");
    let error = read(&missing).await.unwrap_err().to_string();
    assert!(error.contains("nothing is stored there"), "{error}");
    assert!(!missing.exists());

    let directory = made().await;
    let before = snapshot(directory.path());
    let (first, second) = (read(directory.path()).await, read(directory.path()).await);
    let (first, _second) = (first.unwrap(), second.unwrap());
    let client = Client::new(first.address());
    assert_eq!(client.get("k").await.body, b"content");
    let refused = client.append("k", 7, b"x").await;
    assert_eq!(refused.summary(), "403 AccessDenied 0003-00000001");
    let error = start(directory.path()).await.unwrap_err().to_string();
    assert!(error.contains("another server"), "{error}");
    first.shutdown().await;
    assert_eq!(snapshot(directory.path()), before);
}

#[tokio::test]
async fn a_directory_is_free_when_its_server_is_dropped() {
    let directory = made().await;
    for round in 0..20 {
        // Slowly, so that some are at work in any moment.
        let builder = Emulator::builder().directory(directory.path());
        let emulator = builder.fsync(Fsync::Always).start().await.unwrap();
        let client = Client::new(emulator.address());
        let mut appending = tokio::task::JoinSet::new();
        for n in 0..8 {
            let (client, key) = (client.clone(), format!("{n}-{round}"));
            appending.spawn(async move {
                let mut length = 0;
                while client.append_if_there(&key, length).await {
                    length += 1000;
                }
            });
        }
        emulator
            .wait_for(|requests| requests.iter().any(|request| request.status == Some(200)))
            .await;
        drop(emulator);
        drop(start(directory.path()).await.unwrap());
        appending.join_all().await;
    }
    let emulator = start(directory.path()).await.unwrap();
    assert_eq!(emulator.damaged(), []);
}
