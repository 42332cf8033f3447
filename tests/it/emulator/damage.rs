//! A directory after a loss of power: what is damaged is set aside and named, the rest is served.

use std::fs;
use std::path::{Path, PathBuf};

use oss_append::emulator::{Damaged, Emulator, Fsync};

use crate::support::raw::{BUCKET, Client, Request, Signing};

/// A directory whose server has been killed, with some objects.
async fn killed(keys: &[&str]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let builder = Emulator::builder().bucket(BUCKET);
    let builder = builder.directory(directory.path()).fsync(Fsync::Always);
    let emulator = builder.start().await.unwrap();
    let client = Client::new(emulator.address());
    for key in keys {
        let put = client.append(key, 0, b"content of ").await;
        assert_eq!(put.status, 200);
        assert_eq!(client.append(key, 11, key.as_bytes()).await.status, 200);
    }
    emulator.shutdown().await;
    fs::write(directory.path().join("lock"), "in use\n").unwrap();
    directory
}

/// The file of an object that ends in this.
fn file(directory: &Path, key: &str, end: &str) -> PathBuf {
    let bucket = directory.join("buckets").join(BUCKET);
    let files = fs::read_dir(bucket)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = files.collect();
    files.sort();
    let named = format!("\"key\":\"{key}\"");
    let sidecar = files.iter().find(|path| {
        path.extension().is_some_and(|own| own == "json")
            && fs::read_to_string(path).unwrap().contains(&named)
    });
    let stem = sidecar.unwrap().file_stem().unwrap().to_str().unwrap();
    let own = |path: &&PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap();
        name.starts_with(stem) && name.ends_with(end)
    };
    files.iter().find(own).unwrap().clone()
}

async fn open(path: &Path) -> (Emulator, Client) {
    let builder = Emulator::builder().bucket(BUCKET).directory(path);
    let emulator = builder.start().await.unwrap();
    let client = Client::new(emulator.address());
    (emulator, client)
}

fn only(damaged: &[Damaged]) -> &Damaged {
    assert_eq!(damaged.len(), 1, "{damaged:?}");
    &damaged[0]
}

#[tokio::test]
async fn a_damaged_object_is_set_aside_and_named_and_the_rest_is_served() {
    let whole = |bytes: &[u8]| bytes.to_vec();
    let shorter = |bytes: &[u8]| bytes[..bytes.len() - 1].to_vec();
    let zeros = |bytes: &[u8]| vec![0; bytes.len()];
    let nothing = |_: &[u8]| Vec::new();
    type Damage<'a> = &'a dyn Fn(&[u8]) -> Vec<u8>;
    let cases: [(&str, Damage<'_>, bool); 5] = [
        (".data", &shorter, true),
        (".data", &zeros, true),
        (".data", &nothing, true),
        (".json", &zeros, false),
        (".json", &nothing, false),
    ];
    for (end, damage, tells_key) in cases {
        let directory = killed(&["a", "b", "c"]).await;
        let broken = file(directory.path(), "b", end);
        let sidecar = file(directory.path(), "b", ".json");
        let before = fs::read(&broken).unwrap();
        fs::write(&broken, damage(&before)).unwrap();

        let (emulator, client) = open(directory.path()).await;
        let damaged = only(emulator.damaged()).clone();
        assert_eq!(damaged.file, sidecar);
        assert_eq!(damaged.key.as_deref(), tells_key.then_some("b"));
        let place = damaged.moved_to.as_ref().unwrap();
        assert!(place.exists() && !sidecar.exists() && !broken.exists());
        let said = damaged.to_string();
        assert!(said.contains(place.to_str().unwrap()), "{said}");
        for key in ["a", "c"] {
            let expected = whole(format!("content of {key}").as_bytes());
            assert_eq!(client.get(key).await.body, expected);
        }
        // Its place is free, and what was set aside stays.
        assert_eq!(client.get("b").await.status, 404);
        assert_eq!(client.append("b", 0, b"new").await.status, 200);
        emulator.shutdown().await;
        assert!(place.exists());
        let (emulator, client) = open(directory.path()).await;
        assert_eq!(emulator.damaged(), []);
        assert_eq!(client.get("b").await.body, b"new");
    }
}

#[tokio::test]
async fn damage_is_only_named_by_who_only_reads() {
    let directory = killed(&["a", "b"]).await;
    let broken = file(directory.path(), "b", ".data");
    fs::write(&broken, "short").unwrap();
    let builder = Emulator::builder().directory(directory.path());
    let emulator = builder.read_only(true).start().await.unwrap();
    assert_eq!(only(emulator.damaged()).moved_to, None);
    assert!(broken.exists());
}

#[tokio::test]
async fn a_lost_bucket_json_is_noticed() {
    for lost in [true, false] {
        let directory = killed(&["a"]).await;
        let json = directory
            .path()
            .join("buckets")
            .join(BUCKET)
            .join("bucket.json");
        match lost {
            true => fs::remove_file(&json).unwrap(),
            false => fs::write(&json, "").unwrap(),
        }
        let (emulator, client) = open(directory.path()).await;
        let damaged = only(emulator.damaged());
        assert_eq!((&damaged.file, damaged.key.as_ref()), (&json, None));
        assert!(damaged.reason.contains("private"), "{damaged}");
        assert_eq!(client.get("a").await.body, b"content of a");
        let anybody = client.signing(Signing::None);
        assert_eq!(anybody.get("a").await.status, 403);
        emulator.shutdown().await;
        let (emulator, _) = open(directory.path()).await;
        assert_eq!(emulator.damaged(), []);
    }
}

#[tokio::test]
async fn an_append_whose_noting_was_cut_short_is_not_counted() {
    let directory = killed(&["a"]).await;
    let sidecar = file(directory.path(), "a", ".json");
    let text = fs::read(&sidecar).unwrap();
    fs::write(&sidecar, &text[..text.len() - 5]).unwrap();
    let (emulator, client) = open(directory.path()).await;
    assert_eq!(emulator.damaged(), []);
    assert_eq!(client.get("a").await.body, b"content of ");
    // What comes behind it is noted in whole lines again.
    assert_eq!(client.append("a", 11, b"x").await.status, 200);
    assert_eq!(client.append("a", 12, b"y").await.status, 200);
    emulator.shutdown().await;
    let (emulator, client) = open(directory.path()).await;
    assert_eq!(emulator.damaged(), []);
    assert_eq!(client.get("a").await.body, b"content of xy");
}

#[tokio::test]
async fn what_an_append_has_cost_does_not_grow_with_their_number() {
    let directory = killed(&["a"]).await;
    let (emulator, client) = open(directory.path()).await;
    for n in 0..1500 {
        assert_eq!(client.append("a", 12 + n, b"x").await.status, 200);
    }
    emulator.shutdown().await;
    let sidecar = file(directory.path(), "a", ".json");
    let lines = fs::read_to_string(sidecar).unwrap().lines().count();
    assert!((2..=1000).contains(&lines), "{lines}");
    let (emulator, client) = open(directory.path()).await;
    assert_eq!(emulator.length(BUCKET, "a"), Some(1512));
    let deleted = client.send(Request::new("DELETE", "a")).await;
    assert_eq!(deleted.status, 204);
}
