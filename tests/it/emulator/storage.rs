//! Objects in a directory.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use oss_append::emulator::Emulator;

use super::objects::{append_all, strange_keys};
use crate::support::bytes;
use crate::support::raw::{BUCKET, Client, Request, append};

async fn open(path: &Path) -> (Emulator, Client) {
    let builder = Emulator::builder().bucket(BUCKET).directory(path);
    let emulator = builder.start().await.unwrap();
    let client = Client::new(emulator.address());
    (emulator, client)
}

fn files(path: &Path, extension: &str) -> Vec<PathBuf> {
    fs::read_dir(path.join("buckets").join(BUCKET))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|own| own == extension))
        .collect()
}

#[tokio::test]
async fn objects_survive_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let keys = strange_keys();
    let (emulator, client) = open(directory.path()).await;
    append_all(&client, &keys).await;
    client
        .send(append("meta", 0, b"x").header("x-oss-meta-a", "b"))
        .await;
    let before = client.head("meta").await;
    emulator.shutdown().await;

    let (emulator, client) = open(directory.path()).await;
    for key in &keys {
        let object = emulator.object(BUCKET, key).unwrap();
        assert_eq!(object.bytes, key.as_bytes());
        let answer = client.append(key, key.len() as u64, b"!").await;
        assert_eq!(answer.status, 200);
        assert_eq!(client.get(key).await.body, format!("{key}!").as_bytes());
    }
    let after = client.head("meta").await;
    for name in [
        "etag",
        "last-modified",
        "x-oss-meta-a",
        "x-oss-hash-crc64ecma",
    ] {
        assert_eq!(before.header(name), after.header(name), "{name}");
    }
}

#[tokio::test]
async fn retention_survives_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let (emulator, client) = open(directory.path()).await;
    client.append("k", 0, b"x").await;
    emulator.retain(BUCKET, "k").unwrap();
    emulator.shutdown().await;

    let (_emulator, client) = open(directory.path()).await;
    let answer = client.append("k", 1, b"y").await;
    assert_eq!(answer.summary(), "409 FileImmutable 0026-00000005");
}

#[tokio::test]
async fn data_that_a_killed_server_did_not_count_is_no_part_of_the_object() {
    let directory = tempfile::tempdir().unwrap();
    let (emulator, client) = open(directory.path()).await;
    client.append("k", 0, b"counted").await;
    emulator.shutdown().await;
    // As a server leaves it that is killed after writing data, before writing its JSON.
    let data = &files(directory.path(), "data")[0];
    let mut file = fs::OpenOptions::new().append(true).open(data).unwrap();
    file.write_all(b"torn, and longer than what comes").unwrap();
    let name = data.file_name().unwrap().to_str().unwrap();
    let orphan = data.with_file_name(format!("{}.{:016x}.data", &name[..64], 1));
    fs::write(&orphan, "x").unwrap();
    let left = directory.path().join("spool").join("0".repeat(32));
    fs::write(&left, "x").unwrap();

    let (emulator, client) = open(directory.path()).await;
    assert_eq!(emulator.object(BUCKET, "k").unwrap().bytes, "counted");
    assert_eq!(client.append("k", 7, b" on").await.status, 200);
    assert_eq!(client.get("k").await.body, b"counted on");
    assert!(!orphan.exists());
    assert!(!left.exists());
}

#[tokio::test]
async fn replaced_and_deleted_objects_leave_no_files() {
    let directory = tempfile::tempdir().unwrap();
    let (_emulator, client) = open(directory.path()).await;
    client.append("k", 0, b"old").await;
    client.send(Request::new("PUT", "k").body("new")).await;
    assert_eq!(files(directory.path(), "data").len(), 1);
    assert_eq!(client.get("k").await.body, b"new");
    client.send(Request::new("DELETE", "k")).await;
    assert_eq!(files(directory.path(), "data").len(), 0);
    assert_eq!(client.append("k", 0, b"newer").await.status, 200);
}

#[tokio::test]
async fn large_bodies_go_through_files() {
    let directory = tempfile::tempdir().unwrap();
    let (_emulator, client) = open(directory.path()).await;
    let body = bytes(20_000_000);
    assert_eq!(client.append("k", 0, &body).await.status, 200);
    let twice = client.append("k", body.len() as u64, &body).await;
    let crc = oss_append::crc64::checksum(&[&*body, &*body].concat()).to_string();
    assert_eq!(twice.header("x-oss-hash-crc64ecma"), Some(&*crc));
    let range = Request::new("GET", "k").header("range", "bytes=19999990-20000009");
    let expected = [&body[19_999_990..], &body[..10]].concat();
    assert_eq!(client.send(range).await.body, expected);
    assert!(client.get("k").await.body == [&*body, &*body].concat());
    let spool = directory.path().join("spool");
    assert_eq!(fs::read_dir(spool).unwrap().count(), 0);
}

#[tokio::test]
async fn a_directory_belongs_to_one_server() {
    let directory = tempfile::tempdir().unwrap();
    let (emulator, _) = open(directory.path()).await;
    let again = Emulator::builder()
        .directory(directory.path())
        .start()
        .await;
    assert!(again.unwrap_err().to_string().contains("another server"));
    emulator.shutdown().await;
    open(directory.path()).await;
}
