//! The JSON in a server's directory: cut, changed or forged, it is damaged, by the file's name, or
//! says what it said before. What it says reaches no file outside, and stops no server.

use std::fs;
use std::path::{Path, PathBuf};

use oss_append::emulator::{Emulator, StoredObject};
use proptest::prelude::*;
use proptest::sample::Index;

use crate::raw::{BUCKET, Client, Request, Signing, append};
use crate::{cases, panics, runtime};

const KEYS: [&str; 2] = ["one", "other"];

/// A directory that a server has left, with two objects.
struct Left {
    directory: tempfile::TempDir,
    objects: Vec<Option<StoredObject>>,
}

async fn start(path: &Path) -> oss_append::Result<Emulator> {
    Emulator::builder().directory(path).start().await
}

/// A server that only reads, and so leaves what is damaged where it is.
async fn look(path: &Path) -> Emulator {
    let builder = Emulator::builder().directory(path).read_only(true);
    builder.start().await.unwrap()
}

async fn leave() -> Left {
    panics::watch();
    let directory = tempfile::tempdir().unwrap();
    let builder = Emulator::builder().bucket(BUCKET);
    let emulator = builder.directory(directory.path()).start().await.unwrap();
    let client = Client::new(emulator.address());
    let first = append("one", 0, b"content of one")
        .header("x-oss-meta-a", "b")
        .header("x-oss-tagging", "c=d")
        .header("cache-control", "no-cache");
    client.send(first).await;
    client.append("one", 14, b", and more").await;
    let other = Request::new("PUT", "other").body("content of the other");
    assert_eq!(client.send(other).await.status, 200);
    let objects = objects(&emulator);
    emulator.shutdown().await;
    Left { directory, objects }
}

fn objects(emulator: &Emulator) -> Vec<Option<StoredObject>> {
    KEYS.map(|key| emulator.object(BUCKET, key)).into()
}

impl Left {
    fn bucket(&self) -> PathBuf {
        self.directory.path().join("buckets").join(BUCKET)
    }

    fn files(&self, extension: &str) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.bucket()).unwrap();
        let mut files: Vec<_> = entries
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|own| own == extension))
            .collect();
        files.sort();
        files
    }

    /// The JSON of `one`.
    fn sidecar(&self) -> PathBuf {
        let mut files = self.files("json").into_iter();
        files.find(|path| read(path).contains("\"one\"")).unwrap()
    }

    /// A server names this file as damaged, and serves what is not.
    async fn is_damaged(&self, file: &Path) -> String {
        let emulator = look(self.directory.path()).await;
        let damaged = emulator.damaged();
        assert_eq!(damaged.len(), 1, "{damaged:?}");
        assert_eq!(damaged[0].file, file);
        let is_ours = |key: &&str| damaged[0].key.as_deref() != Some(key);
        for (key, before) in KEYS
            .iter()
            .zip(&self.objects)
            .filter(|(key, _)| is_ours(key))
        {
            let now = emulator.object(BUCKET, key);
            // The key of what is damaged cannot always be told.
            assert!(now == *before || now.is_none(), "{key}");
        }
        let served = KEYS
            .iter()
            .filter(|key| emulator.object(BUCKET, key).is_some());
        let lost = usize::from(!file.ends_with("bucket.json"));
        assert_eq!(served.count(), KEYS.len() - lost);
        damaged[0].to_string()
    }
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

/// Replaces a part of a JSON, as somebody does who knows about its checksum.
fn forge(path: &Path, from: &str, to: &str) {
    let text = read(path);
    let mut found = false;
    let lines = text.lines().map(|line| {
        let (_, value) = line.split_once("\"value\":").unwrap();
        let value = value.strip_suffix('}').unwrap();
        found |= value.contains(from);
        let value = value.replacen(from, to, 1);
        let crc64 = oss_append::crc64::checksum(value.as_bytes());
        format!("{{\"crc64\":{crc64},\"value\":{value}}}\n")
    });
    let forged: String = lines.collect();
    assert!(found, "{from} in {text}");
    fs::write(path, forged).unwrap();
}

#[derive(Clone, Debug)]
enum Edit {
    Remove(Index, usize),
    Insert(Index, &'static str),
    Replace(Index, u8),
    Flip(Index, u8),
    Swap(Index, Index),
    Truncate(Index),
}

fn edit() -> impl Strategy<Value = Edit> {
    let at = any::<Index>;
    let words = prop::sample::select(vec![
        "\"", ",", ":", "{", "}", "[", "]", "0", "1", "-", "e9", ".", "null", "true", " ", "\n",
        "\\", "\\u0000", "\\ud800", "/", "../", "é", "\0", "\"a\":1,",
    ]);
    prop_oneof![
        (at(), 1..9usize).prop_map(|(at, count)| Edit::Remove(at, count)),
        (at(), words).prop_map(|(at, word)| Edit::Insert(at, word)),
        (at(), any::<u8>()).prop_map(|(at, byte)| Edit::Replace(at, byte)),
        (at(), 0..8u8).prop_map(|(at, bit)| Edit::Flip(at, bit)),
        (at(), at()).prop_map(|(one, other)| Edit::Swap(one, other)),
        at().prop_map(Edit::Truncate),
    ]
}

fn change(text: &mut Vec<u8>, edit: &Edit) {
    let length = text.len();
    if length == 0 {
        return;
    }
    match edit {
        Edit::Remove(at, count) => {
            let at = at.index(length);
            text.drain(at..length.min(at + count));
        }
        Edit::Insert(at, word) => {
            let at = at.index(length + 1);
            text.splice(at..at, word.bytes());
        }
        Edit::Replace(at, byte) => text[at.index(length)] = *byte,
        Edit::Flip(at, bit) => text[at.index(length)] ^= 1 << bit,
        Edit::Swap(one, other) => text.swap(one.index(length), other.index(length)),
        Edit::Truncate(at) => text.truncate(at.index(length)),
    }
}

#[test]
fn changed_json_is_refused_or_says_the_same() {
    let runtime = runtime();
    let left = runtime.block_on(leave());
    let files = left.files("json");
    let data = left.files("data");
    assert_eq!((files.len(), data.len()), (3, 2));
    let whole: Vec<Vec<u8>> = files.iter().map(|path| fs::read(path).unwrap()).collect();
    let plans = (0..files.len(), prop::collection::vec(edit(), 1..3));
    proptest::test_runner::TestRunner::new(cases(200))
        .run(&plans, |(file, edits)| {
            let mut text = whole[file].clone();
            edits.iter().for_each(|edit| change(&mut text, edit));
            fs::write(&files[file], &text).unwrap();
            runtime.block_on(async {
                let emulator = look(left.directory.path()).await;
                // The bucket is as private as it was.
                let anybody = Client::new(emulator.address()).signing(Signing::None);
                assert_eq!(anybody.get("one").await.status, 403);
                if !emulator.damaged().is_empty() {
                    assert_ne!(text, whole[file]);
                    left.is_damaged(&files[file]).await;
                } else if text.ends_with(b"\n") {
                    assert_eq!(objects(&emulator), left.objects);
                } else {
                    // The last line counts for nothing, as if writing it had been cut short.
                    let now = objects(&emulator).into_iter().zip(&left.objects);
                    for (now, before) in now {
                        let (now, before) = (now.unwrap().bytes, &before.as_ref().unwrap().bytes);
                        assert!(before.starts_with(&now));
                    }
                }
            });
            // Nothing of the objects was given up.
            assert!(data.iter().all(|path| path.exists()));
            fs::write(&files[file], &whole[file]).unwrap();
            Ok(())
        })
        .unwrap();
    assert_eq!(panics::count(), 0);
}

#[tokio::test]
async fn json_cut_anywhere_is_damaged() {
    let left = leave().await;
    for path in left.files("json") {
        let whole = fs::read(&path).unwrap();
        // Without the end of the line nothing is missing.
        let first = whole.iter().position(|byte| *byte == b'\n').unwrap();
        for length in (0..first).rev().step_by(7) {
            fs::write(&path, &whole[..length]).unwrap();
            left.is_damaged(&path).await;
        }
        fs::write(&path, &whole).unwrap();
    }
    assert!(start(left.directory.path()).await.is_ok());
}

#[tokio::test]
async fn what_is_no_json_of_ours_is_damaged() {
    let left = leave().await;
    let path = left.sidecar();
    for text in [
        "null",
        "[]",
        "{}",
        "{\"crc64\":0,\"value\":null}",
        "{\"crc64\":18446744073709551616,\"value\":{}}",
        &"[".repeat(1_000_000),
        &"{\"value\":".repeat(1_000_000),
    ] {
        fs::write(&path, text).unwrap();
        left.is_damaged(&path).await;
    }
}

#[tokio::test]
async fn a_data_file_is_the_objects_own() {
    let left = leave().await;
    let path = left.sidecar();
    let whole = read(&path);
    let outside = left.directory.path().join("outside.data");
    fs::write(&outside, "not to be served, and not to be changed").unwrap();
    let own = whole.split_once("\"data\":\"").unwrap().1;
    let own = own.split_once('"').unwrap().0;
    let names = left.files("data");
    let others = names.iter().find(|name| !name.ends_with(own)).unwrap();
    let others = others.file_name().unwrap().to_str().unwrap();
    for data in [
        outside.to_str().unwrap(),
        "../../outside.data",
        others,
        "",
        ".",
        "bucket.json",
        &format!("../{BUCKET}/{own}"),
        &format!("x/../{own}"),
        &own.replace(".data", ""),
        &own.to_uppercase(),
        "\\u0000",
    ] {
        forge(&path, &format!("\"{own}\""), &format!("\"{data}\""));
        left.is_damaged(&path).await;
        fs::write(&path, &whole).unwrap();
    }
    // One of the right form is missing, and its name is told.
    fs::rename(left.bucket().join(own), left.bucket().join("aside")).unwrap();
    let said = left.is_damaged(&path).await;
    assert!(said.contains(own), "{said}");
}

#[tokio::test]
async fn json_under_another_name_is_damaged() {
    let left = leave().await;
    let path = left.sidecar();
    // The same object twice, and another object in its place.
    let copy = left.bucket().join(format!("{}.json", "0".repeat(64)));
    fs::copy(&path, &copy).unwrap();
    let emulator = look(left.directory.path()).await;
    assert_eq!(emulator.damaged()[0].file, copy);
    assert_eq!(objects(&emulator), left.objects);
    drop(emulator);
    fs::remove_file(copy).unwrap();
    forge(&path, "\"key\":\"one\"", "\"key\":\"two\"");
    left.is_damaged(&path).await;
}

#[tokio::test]
async fn forged_properties_stop_no_server() {
    let left = leave().await;
    let path = left.sidecar();
    let whole = read(&path);
    let wild = "\\r\\n\\u0000 \\ufffe é\\u001b";
    let name = |name: &str| format!("\"{name}\":\"no-cache\"");
    for (from, to) in [
        ("\"length\":24", "\"length\":25".to_owned()),
        ("\"length\":24", "\"length\":18446744073709551615".into()),
        ("\"length\":24", "\"length\":3".into()),
        ("\"crc64\":", "\"crc64\":1".into()),
        ("\"kind\":\"Appendable\"", "\"kind\":\"Normal\"".into()),
        ("\"etag\":\"", format!("\"etag\":\"{wild}")),
        ("\"md5\":null", format!("\"md5\":\"{wild}\"")),
        ("\"content_type\":\"", format!("\"content_type\":\"{wild}")),
        ("\"acl\":\"default\"", format!("\"acl\":\"{wild}\"")),
        ("\"Standard\"", format!("\"{wild}\"")),
        ("\"a\":\"b\"", format!("\"{wild}\":\"{wild}\"")),
        ("\"c\":\"d\"", format!("\"{wild}\":\"{wild}\"")),
        ("\"cache-control\":\"no-cache\"", name("content-length")),
        (
            "\"cache-control\":\"no-cache\"",
            "\"content-length\":\"1\"".into(),
        ),
        ("\"cache-control\":\"no-cache\"", name("transfer-encoding")),
        ("\"cache-control\":\"no-cache\"", name("connection")),
        ("\"cache-control\":\"no-cache\"", name(wild)),
        (
            "\"encryption\":{",
            "\"encryption\":{\"content-length\":\"1\"".into(),
        ),
        (
            "\"sealed\":null",
            "\"sealed\":\"-009999-01-02T01:59:59Z\"".into(),
        ),
        (
            "\"sealed\":null",
            "\"sealed\":\"9999-12-30T22:00:00.999999999Z\"".into(),
        ),
    ] {
        forge(&path, from, &to);
        let is_damaged = !look(left.directory.path()).await.damaged().is_empty();
        if !is_damaged {
            let emulator = start(left.directory.path()).await.unwrap();
            let client = Client::new(emulator.address());
            let answer = client.get("one").await;
            assert!(
                b"content of one, and more".starts_with(&answer.body[..]),
                "{to}"
            );
            client.head("one").await;
            client
                .send(Request::new("GET", "one").query("objectMeta", ""))
                .await;
            client
                .send(Request::new("GET", "").query("list-type", "2"))
                .await;
            client.append("one", answer.body.len() as u64, b"").await;
            let other = client.get("other").await;
            assert_eq!(other.body, b"content of the other", "{to}");
            emulator.shutdown().await;
        } else {
            left.is_damaged(&path).await;
        }
        assert_eq!(panics::count(), 0, "{to}");
        fs::write(&path, &whole).unwrap();
    }
}
