//! `verify`: whether a file may be deleted.

use oss_append::Compression;
use oss_append::crc64::checksum;
use oss_append::emulator::{Action, Fault};
use serde_json::json;

use super::*;

async fn verify(emulator: &Emulator, arguments: &[&str]) -> Ended {
    let ended = run(command(emulator, [&["verify"], arguments].concat()), "").await;
    // Nothing is ever downloaded, and nothing changed.
    let asks = [Operation::HeadObject, Operation::ListObjectsV2];
    let mut verifying = emulator.requests();
    verifying.retain(|request| !asks.contains(&request.operation));
    assert!(verifying.is_empty(), "{verifying:?}");
    ended
}

fn verdicts(ended: &Ended) -> Vec<(String, u64)> {
    let own = ended.own();
    let files = own["files"].as_array().unwrap().iter();
    let verdict = |file: &Value| file["verdict"].as_str().unwrap().to_owned();
    files
        .map(|file| (verdict(file), file["proven"].as_u64().unwrap()))
        .collect()
}

#[tokio::test]
async fn each_relation_of_file_and_object_has_its_word_and_exit_code() {
    let emulator = emulator().await;
    let directory = tempfile::tempdir().unwrap();
    let all = bytes(3 * MIB + 5);
    let path = file(directory.path(), &all);
    let mut other = all.clone();
    other[MIB] ^= 1;
    let longer = [&all[..], b"!"].concat();
    for (content, code, verdict, proven, said) in [
        (Some(&all[..]), 0, "equal", all.len(), "are in oss://"),
        (
            Some(&all[..MIB]),
            8,
            "shorter",
            MIB,
            "has the first 1048576 of",
        ),
        (Some(&b""[..]), 8, "shorter", 0, "has the first 0 of"),
        (None, 8, "missing", 0, "there is no oss://"),
        (Some(&other[..]), 3, "differs", 0, "holds other bytes"),
        (
            Some(&other[..2 * MIB]),
            3,
            "differs",
            0,
            "holds other bytes",
        ),
        (Some(&longer[..]), 3, "longer", 0, "goes on behind"),
    ] {
        match content {
            Some(content) => emulator.put("bucket", KEY, content.to_vec()).unwrap(),
            None => emulator.delete("bucket", KEY).unwrap(),
        }
        let ended = verify(&emulator, &["--json", &path, TARGET])
            .await
            .expect(code);
        assert_eq!(verdicts(&ended), [(verdict.to_owned(), proven as u64)]);
        assert_eq!(ended.json()["object"], TARGET);
        let ended = verify(&emulator, &[&path, TARGET]).await.expect(code);
        let line = String::from_utf8(ended.stdout.clone()).unwrap();
        assert!(line.contains(&path) && line.contains(said), "{line}");
        if code != 0 {
            ended.says(&["keep what is not equal"]);
        }
    }
}

#[tokio::test]
async fn an_appendable_object_is_told_with_its_length_and_checksum() {
    let emulator = emulator().await;
    let directory = tempfile::tempdir().unwrap();
    let path = file(directory.path(), b"one\ntwo\n");
    emulator.append_foreign("bucket", KEY, "one\n").unwrap();
    emulator.append_foreign("bucket", KEY, "two\n").unwrap();
    let ended = verify(&emulator, &["--json", &path, TARGET])
        .await
        .expect(0);
    let crc64 = checksum(b"one\ntwo\n").to_string();
    assert_eq!(
        ended.own(),
        json!({ "files": [{
            "path": path, "verdict": "equal", "length": 8, "proven": 8, "grew": false,
            "problem": null, "objects": [{ "object": TARGET, "length": 8, "crc64": crc64 }],
        }] })
    );
}

#[tokio::test]
async fn the_objects_of_a_template_are_one_after_another() {
    let emulator = emulator().await;
    let directory = tempfile::tempdir().unwrap();
    let all = bytes(3 * MIB);
    let path = file(directory.path(), &all);
    let target = "oss://bucket/app-{seq:2}.log";
    let ended = verify(&emulator, &["--json", &path, target])
        .await
        .expect(8);
    assert_eq!(verdicts(&ended), [("missing".to_owned(), 0)]);
    // An earlier generation, and what is none of the template.
    emulator.put("bucket", "app-01.log", "earlier").unwrap();
    emulator.put("bucket", "app-1.log", "other").unwrap();
    emulator
        .put("bucket", "app-02.log", all[..MIB].to_vec())
        .unwrap();
    let ended = verify(&emulator, &["--json", &path, target])
        .await
        .expect(8);
    assert_eq!(verdicts(&ended), [("shorter".to_owned(), MIB as u64)]);
    emulator
        .put("bucket", "app-03.log", all[MIB..].to_vec())
        .unwrap();
    emulator.put("bucket", "app-04.log", "later").unwrap();
    let ended = verify(&emulator, &["--json", &path, target])
        .await
        .expect(0);
    assert_eq!(verdicts(&ended), [("equal".to_owned(), all.len() as u64)]);
    let objects = &ended.own()["files"][0]["objects"];
    let keys: Vec<_> = objects
        .as_array()
        .unwrap()
        .iter()
        .map(|o| &o["object"])
        .collect();
    assert_eq!(keys, ["oss://bucket/app-02.log", "oss://bucket/app-03.log"]);
    // One of the two was replaced by bytes of the same length.
    let mut other = all[MIB..].to_vec();
    other[MIB] ^= 1;
    emulator.put("bucket", "app-03.log", other).unwrap();
    let ended = verify(&emulator, &["--json", &path, target])
        .await
        .expect(3);
    assert_eq!(verdicts(&ended), [("differs".to_owned(), MIB as u64)]);
    let by_time = "oss://bucket/%Y-{seq}.log";
    verify(&emulator, &[&path, "oss://bucket/{seq}-{pid}"])
        .await
        .expect(2);
    verify(&emulator, &[&path, by_time]).await.expect(2);
    let literal = verify(&emulator, &["--literal", "--json", &path, target]).await;
    assert_eq!(verdicts(&literal.expect(8))[0].0, "missing");
}

#[tokio::test]
async fn several_files_are_one_after_another_or_each_in_its_object() {
    let emulator = emulator().await;
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let (old, new) = (path("app.log.1"), path("app.log"));
    std::fs::write(&old, "one\n").unwrap();
    std::fs::write(&new, "two\nthree\n").unwrap();
    emulator
        .append_foreign("bucket", KEY, "one\ntwo\n")
        .unwrap();
    let ended = verify(&emulator, &["--json", &old, &new, TARGET])
        .await
        .expect(8);
    let expected = [("equal".to_owned(), 4), ("shorter".to_owned(), 4)];
    assert_eq!(verdicts(&ended), expected);
    let ended = verify(&emulator, &["--json", &new, &old, TARGET])
        .await
        .expect(3);
    assert_eq!(verdicts(&ended)[0].0, "differs");

    emulator.put("bucket", "l/app.log.1", "one\n").unwrap();
    emulator.put("bucket", "l/app.log", "two\n").unwrap();
    let each = "oss://bucket/l/{file}";
    let ended = verify(&emulator, &["--json", &new, &old, each])
        .await
        .expect(8);
    let expected = [("shorter".to_owned(), 4), ("equal".to_owned(), 4)];
    assert_eq!(verdicts(&ended), expected);
    // What cannot be read hides nothing of the others.
    let gone = path("gone");
    let ended = verify(&emulator, &["--json", &gone, &old, each])
        .await
        .expect(1);
    let found = verdicts(&ended);
    assert_eq!((&*found[0].0, &*found[1].0), ("unreadable", "equal"));
    let folder = directory.path().to_str().unwrap();
    verify(&emulator, &[folder, TARGET]).await.expect(1);
}

#[tokio::test]
async fn what_is_compressed_cannot_be_told_unless_it_is_the_same() {
    let emulator = emulator().await;
    let directory = tempfile::tempdir().unwrap();
    let client = emulator.client().build().unwrap();
    let object: oss_append::ObjectPath = TARGET.parse().unwrap();
    let builder = oss_append::OssAppendWriter::builder(client, object);
    let mut writer = builder
        .compression(Compression::gzip())
        .open()
        .await
        .unwrap();
    writer
        .write_all(&b"hello hello hello hello"[..])
        .await
        .unwrap();
    writer.shutdown().await.unwrap();
    emulator.clear_requests();
    let path = file(directory.path(), b"hello hello hello hello");
    let ended = verify(&emulator, &["--json", &path, TARGET])
        .await
        .expect(3);
    assert_eq!(verdicts(&ended)[0].0, "compressed");
    let path = file(directory.path(), &content(&emulator));
    verify(&emulator, &[&path, TARGET]).await.expect(0);
}

#[tokio::test]
async fn a_growing_file_and_its_growing_object_are_never_equal_too_soon() {
    let emulator = emulator().await;
    let directory = tempfile::tempdir().unwrap();
    let path = file(directory.path(), b"");
    let all = bytes(4 * MIB);
    // The file is always ahead of the object by what was not appended yet.
    for end in (0..all.len()).step_by(MIB) {
        std::fs::write(&path, &all[..end + MIB]).unwrap();
        let fault = Fault::new(Operation::HeadObject, Action::Hold);
        emulator.inject(fault);
        let running = Running::start(command(&emulator, ["verify", "--json", &path, TARGET]));
        struck(&emulator, "hold", end / MIB + 1).await;
        // It grows before the answer, and so does the file.
        if end > 0 {
            let piece = all[end - MIB..end].to_vec();
            emulator.append_foreign("bucket", KEY, piece).unwrap();
        }
        emulator.release().await;
        let ended = running.end().await.expect(8);
        let expected = match end {
            0 => ("missing".to_owned(), 0),
            end => ("shorter".to_owned(), end as u64),
        };
        assert_eq!(verdicts(&ended), [expected]);
    }
    let last = all[3 * MIB..].to_vec();
    emulator.append_foreign("bucket", KEY, last).unwrap();
    let ended = run(command(&emulator, ["verify", &path, TARGET]), "").await;
    ended.expect(0);
}

#[tokio::test]
async fn failures_of_oss_are_overcome_or_have_their_codes() {
    let emulator = emulator().await;
    let directory = tempfile::tempdir().unwrap();
    let path = file(directory.path(), b"x");
    emulator.put("bucket", KEY, "x").unwrap();
    emulator.inject("head:error=503/ServiceUnavailable,times=2".parse().unwrap());
    emulator.inject("head:drop,skip=2".parse().unwrap());
    let ended = verify(&emulator, &[&path, TARGET]).await.expect(0);
    assert!(ended.stderr.contains("trying again"), "{ended:?}");
    emulator.inject("head:error=403/AccessDenied".parse().unwrap());
    let denied = verify(&emulator, &["--json", &path, TARGET])
        .await
        .expect(5);
    assert!(
        denied.json()["message"]
            .as_str()
            .unwrap()
            .contains("oss:GetObject")
    );
    emulator.inject("head:error=503,times=forever".parse().unwrap());
    let options = ["--delivery-timeout", "300ms", &path, TARGET];
    verify(&emulator, &options).await.expect(6);
    verify(&emulator, &[&path]).await.expect(2);
}
