//! `compact`: a finished object becomes one Normal object, whatever happens meanwhile.

use oss_append::crc64::checksum;
use oss_append::emulator::{Action, Fault, StoredObject};
use oss_append::{Compression, OssAppendWriter};
use serde_json::json;
use std::io::Read as _;

use super::*;

const COMPACTED: &str = "compact/a/object.log";

/// Parts of this size make several of the objects of these tests.
async fn compact(emulator: &Emulator, options: &[&str]) -> Ended {
    let arguments = [&["compact", "--json", TARGET], options].concat();
    run(command(emulator, arguments), "").await
}

fn inject(emulator: &Emulator, fault: &str) {
    emulator.inject(fault.parse().unwrap());
}

fn stored(emulator: &Emulator, key: &str) -> Option<StoredObject> {
    emulator.object("bucket", key)
}

/// The unfinished uploads.
async fn uploads(emulator: &Emulator) -> usize {
    let client = emulator.client().build().unwrap();
    let page = client
        .list_multipart_uploads("bucket")
        .send()
        .await
        .unwrap();
    page.uploads.len()
}

fn is_normal(object: &StoredObject) -> bool {
    object.info.kind == oss_append::ObjectKind::Other("Multipart".into())
}

/// An object of members of gzip, one an append.
async fn compressed(emulator: &Emulator, pieces: &[&[u8]]) {
    let client = emulator.client().build().unwrap();
    let builder = OssAppendWriter::builder(client, TARGET.parse().unwrap());
    let mut writer = builder
        .compression(Compression::gzip())
        .open()
        .await
        .unwrap();
    for piece in pieces {
        writer.write_all(piece).await.unwrap();
        writer.sync().await.unwrap();
    }
    writer.shutdown().await.unwrap();
}

#[tokio::test]
async fn oss_copies_it_and_nothing_is_downloaded() {
    let emulator = emulator().await;
    let all = bytes(20 * MIB + 3);
    let options = ["--meta=origin=here", "--content-type=text/x-test"];
    append(&emulator, &options, &all).await.expect(0);
    let done = compact(&emulator, &[]).await.expect(0).own();
    assert_eq!(
        done,
        json!({
            "source": TARGET,
            "target": format!("oss://bucket/{COMPACTED}"),
            "length": all.len(),
            "crc64": checksum(&all).to_string(),
            "made_by": "copy",
            "source_deleted": false,
        })
    );
    let made = stored(&emulator, COMPACTED).unwrap();
    assert!(is_normal(&made) && made.bytes == all);
    assert_eq!(made.content_type, "text/x-test");
    assert_eq!(made.metadata["origin"], "here");
    assert!(!made.metadata.contains_key("oss-append-creator"));
    assert!(content(&emulator) == all);
    assert!(!stored(&emulator, KEY).unwrap().info.sealed);
    assert_eq!(emulator.count(Operation::GetObject), 0);
    assert_eq!(emulator.count(Operation::UploadPartCopy), 3);
    // Once more, it is there.
    let again = compact(&emulator, &["--delete-source"])
        .await
        .expect(0)
        .own();
    assert_eq!(again["made_by"], "earlier_run");
    assert_eq!(again["source_deleted"], true);
    assert!(stored(&emulator, KEY).is_none());
    assert_eq!(emulator.count(Operation::UploadPartCopy), 3);
    // And once more, all is done.
    let again = compact(&emulator, &["--delete-source"])
        .await
        .expect(0)
        .own();
    assert_eq!(again["made_by"], "earlier_run");
    let text = run(command(&emulator, ["compact", TARGET]), "")
        .await
        .expect(0);
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.contains("made by an earlier run"), "{text}");
}

#[tokio::test]
async fn where_oss_does_not_copy_it_is_uploaded() {
    let emulator = emulator().await;
    let all = bytes(9 * MIB);
    emulator.append_foreign("bucket", KEY, all.clone()).unwrap();
    inject(
        &emulator,
        "copy-part:error=409/ObjectNotAppendable,times=forever",
    );
    let done = compact(&emulator, &["--storage-class=IA"])
        .await
        .expect(0)
        .own();
    assert_eq!(done["made_by"], "upload");
    let made = stored(&emulator, COMPACTED).unwrap();
    assert!(is_normal(&made) && made.bytes == all);
    assert_eq!(made.storage_class, "IA");
    assert_eq!(uploads(&emulator).await, 0);
}

#[tokio::test]
async fn an_empty_object_is_compacted_too() {
    let emulator = emulator().await;
    emulator.append_foreign("bucket", KEY, "").unwrap();
    inject(&emulator, "put:drop-answer");
    let done = compact(&emulator, &["--delete-source"])
        .await
        .expect(0)
        .own();
    assert_eq!(done["length"], 0);
    assert_eq!(emulator.length("bucket", COMPACTED), Some(0));
    assert!(stored(&emulator, KEY).is_none());
}

#[tokio::test]
async fn many_members_become_one() {
    for (format, key) in [
        ("gzip:9", "compact/a/object.log.gz"),
        ("zstd", "compact/a/object.log.zst"),
    ] {
        let emulator = emulator().await;
        let all = bytes(5 * MIB);
        compressed(
            &emulator,
            &[&all[..MIB], &all[MIB..2 * MIB], &all[2 * MIB..]],
        )
        .await;
        let options = ["--compress", format, "--delete-source"];
        let done = compact(&emulator, &options).await.expect(0).own();
        assert_eq!(done["made_by"], "recompression");
        let made = stored(&emulator, key).unwrap();
        assert!(is_normal(&made));
        assert_eq!(done["length"], made.bytes.len());
        let mut first = Vec::new();
        match format {
            // These stop at the first member or frame.
            "zstd" => {
                let decoder = zstd::Decoder::new(&made.bytes[..]).unwrap();
                decoder.single_frame().read_to_end(&mut first).unwrap();
                assert_eq!(made.content_type, "application/zstd");
                assert_eq!(made.metadata["oss-append-compression"], "zstd");
            }
            _ => {
                let mut decoder = flate2::read::GzDecoder::new(&made.bytes[..]);
                decoder.read_to_end(&mut first).unwrap();
            }
        }
        assert!(first == all);
        assert!(stored(&emulator, KEY).is_none());
        let again = compact(&emulator, &options).await.expect(0).own();
        assert_eq!(again["made_by"], "earlier_run");
    }
}

#[tokio::test]
async fn what_is_not_compressed_can_be_compressed() {
    let emulator = emulator().await;
    let all = bytes(3 * MIB);
    emulator.append_foreign("bucket", KEY, all.clone()).unwrap();
    let options = ["--compress", "zstd", "--to", "oss://bucket/new.zst"];
    compact(&emulator, &options).await.expect(0);
    let made = stored(&emulator, "new.zst").unwrap();
    assert!(zstd::decode_all(&made.bytes[..]).unwrap() == all);
    // It is compared again before the old one goes, by reading it.
    let read = emulator.count(Operation::GetObject);
    let again = [&options[..], &["--delete-source"]].concat();
    compact(&emulator, &again).await.expect(0);
    assert!(emulator.count(Operation::GetObject) > read);
    assert!(stored(&emulator, KEY).is_none());
}

#[tokio::test]
async fn an_object_that_only_says_that_it_is_the_same_is_read_before_the_old_one_goes() {
    let emulator = emulator().await;
    let all = bytes(MIB);
    emulator.append_foreign("bucket", KEY, all.clone()).unwrap();
    let mut other = all.clone();
    other[MIB / 2] ^= 1;
    let client = emulator.client().build().unwrap();
    let target = oss_append::ObjectPath::new("bucket", "compact/a/object.log.zst").unwrap();
    let mark = format!("{}-{}", all.len(), checksum(&all));
    let options = oss_append::ObjectOptions::new();
    let options = options.meta(oss_append::Compaction::MARK, mark).unwrap();
    let put = client.put_object(&target, zstd::encode_all(&other[..], 1).unwrap());
    put.options(options).send().await.unwrap();
    let options = ["--compress", "zstd", "--delete-source"];
    let refused = compact(&emulator, &options).await.expect(3).json();
    assert_eq!(refused["kind"], "checksum", "{refused}");
    assert!(content(&emulator) == all);
}

#[tokio::test]
async fn a_damaged_object_is_not_compressed_and_stays() {
    let emulator = emulator().await;
    compressed(&emulator, &[b"hello hello", b"world world"]).await;
    let mut damaged = content(&emulator);
    let middle = damaged.len() / 4;
    damaged[middle] ^= 0x55;
    for damaged in [damaged.clone(), damaged[..damaged.len() - 3].to_vec()] {
        emulator.delete("bucket", KEY).unwrap();
        emulator.append_foreign("bucket", KEY, damaged).unwrap();
        let failed = compact(&emulator, &["--compress", "zstd", "--delete-source"]).await;
        let failed = failed.expect(2).json();
        assert!(
            failed["message"]
                .as_str()
                .unwrap()
                .contains("cannot be decompressed")
        );
        assert!(stored(&emulator, KEY).is_some());
        assert!(stored(&emulator, "compact/a/object.log.zst").is_none());
        assert_eq!(uploads(&emulator).await, 0);
    }
}

#[tokio::test]
async fn another_object_is_never_replaced() {
    let emulator = emulator().await;
    let all = bytes(MIB);
    emulator.append_foreign("bucket", KEY, all.clone()).unwrap();
    let mut other = all.clone();
    other[5] ^= 1;
    // Shorter, longer, and of the same length.
    for other in [all[..10].to_vec(), [&all[..], b"!"].concat(), other] {
        for options in [
            &["--delete-source"][..],
            &[
                "--compress=gzip",
                "--to",
                "oss://bucket/compact/a/object.log",
            ],
        ] {
            emulator.put("bucket", COMPACTED, other.clone()).unwrap();
            let refused = compact(&emulator, options).await.expect(3).json();
            let message = refused["message"].as_str().unwrap();
            assert!(message.contains("exists already"), "{message}");
            assert!(message.contains("name another one"), "{message}");
            assert!(stored(&emulator, COMPACTED).unwrap().bytes == other);
            assert!(content(&emulator) == all);
        }
    }
    // Nor one that comes while it is made.
    emulator.delete("bucket", COMPACTED).unwrap();
    emulator.inject(Fault::new(Operation::CompleteMultipartUpload, Action::Hold));
    let running = Running::start(command(&emulator, ["compact", "--json", TARGET]));
    struck(&emulator, "hold", 1).await;
    emulator.put("bucket", COMPACTED, "another").unwrap();
    emulator.release().await;
    running.end().await.expect(3);
    assert_eq!(stored(&emulator, COMPACTED).unwrap().bytes, "another");
    assert_eq!(uploads(&emulator).await, 0);
}

#[tokio::test]
async fn an_object_that_grows_or_is_replaced_meanwhile_is_not_compacted() {
    // Before the parts, between them, and before they become an object.
    for (operation, action, skip) in [
        (Operation::InitiateMultipartUpload, Action::Hold, 0),
        (Operation::UploadPartCopy, Action::Hold, 0),
        (Operation::UploadPartCopy, Action::Hold, 1),
        (Operation::UploadPartCopy, Action::HoldAnswer, 2),
    ] {
        for change in ["grown", "replaced", "removed"] {
            let emulator = emulator().await;
            let all = bytes(20 * MIB);
            emulator.append_foreign("bucket", KEY, all.clone()).unwrap();
            emulator.inject(Fault::new(operation, action.clone()).skip(skip));
            let running = Running::start(command(&emulator, ["compact", "--json", TARGET]));
            let copied = |r: &RequestRecord| {
                r.operation == Operation::UploadPartCopy && r.status == Some(200)
            };
            emulator
                .wait_for(|requests| {
                    let copied = requests.iter().filter(|r| copied(r)).count();
                    requests.iter().any(|r| r.fault.is_some())
                        && copied >= usize::from(skip > 1) * 2
                })
                .await;
            match change {
                "grown" => drop(emulator.append_foreign("bucket", KEY, "!").unwrap()),
                "replaced" => emulator.put("bucket", KEY, bytes(20 * MIB - 1)).unwrap(),
                _ => emulator.delete("bucket", KEY).unwrap(),
            }
            emulator.release().await;
            let ended = running.end().await;
            let told = ended.json();
            assert_eq!(
                ended.code,
                if change == "removed" { ended.code } else { 3 },
                "{told}"
            );
            assert_ne!(ended.code, 0, "{told}");
            assert!(stored(&emulator, COMPACTED).is_none(), "{told}");
            assert_eq!(uploads(&emulator).await, 0);
        }
    }
}

#[tokio::test]
async fn nothing_is_appended_between_the_comparison_and_the_end() {
    let emulator = emulator().await;
    emulator.append_foreign("bucket", KEY, "hello").unwrap();
    // It has grown when it is to be sealed.
    inject(&emulator, "seal:foreign-before=!");
    let refused = compact(&emulator, &["--delete-source"])
        .await
        .expect(3)
        .json();
    let message = refused["message"].as_str().unwrap();
    assert!(
        message.contains("its length should be 5 and is 6"),
        "{message}"
    );
    assert_eq!(content(&emulator), b"hello!");
    // It is sealed when it is deleted.
    emulator.inject(Fault::new(Operation::DeleteObject, Action::Hold));
    let delete = ["compact", "--json", TARGET, "--delete-source"];
    let running = Running::start(command(&emulator, delete));
    struck(&emulator, "hold", 1).await;
    assert!(emulator.append_foreign("bucket", KEY, "lost").is_err());
    emulator.release().await;
    running.end().await.expect(0);
    assert_eq!(stored(&emulator, COMPACTED).unwrap().bytes, "hello!");

    // Without sealing, what has grown until then stays.
    emulator.append_foreign("bucket", KEY, "hello").unwrap();
    emulator.delete("bucket", COMPACTED).unwrap();
    emulator.inject(Fault::new(
        Operation::CompleteMultipartUpload,
        Action::HoldAnswer,
    ));
    let without = [&delete[..], &["--no-seal"]].concat();
    let running = Running::start(command(&emulator, without));
    struck(&emulator, "hold-answer", 1).await;
    emulator.append_foreign("bucket", KEY, "!").unwrap();
    emulator.release().await;
    running.end().await.expect(3);
    assert_eq!(content(&emulator), b"hello!");

    // Where sealing is not allowed, it says so and does nothing.
    emulator.delete("bucket", COMPACTED).unwrap();
    inject(&emulator, "seal:error=400/OperationNotSupported");
    let refused = compact(&emulator, &["--delete-source"])
        .await
        .expect(1)
        .json();
    assert!(
        refused["message"]
            .as_str()
            .unwrap()
            .contains("is sealed first"),
        "{refused}"
    );
    assert!(stored(&emulator, COMPACTED).is_none());
    compact(&emulator, &["--delete-source", "--no-seal"])
        .await
        .expect(0);
    assert!(stored(&emulator, KEY).is_none());
}

/// It ends well although a request fails in this way.
async fn overcomes(operation: &str, fault: &str, recompresses: bool) {
    let all = bytes(9 * MIB);
    let emulator = emulator().await;
    emulator.append_foreign("bucket", KEY, all.clone()).unwrap();
    inject(&emulator, &format!("{operation}:{fault}"));
    let (options, target) = match recompresses {
        true => (
            &["--delete-source", "--compress=zstd"][..],
            "compact/a/object.log.zst",
        ),
        false => (&["--delete-source"][..], COMPACTED),
    };
    let done = compact(&emulator, options).await;
    assert_eq!(done.code, 0, "{operation}:{fault}: {done:?}");
    let made = stored(&emulator, target).unwrap();
    let content = match recompresses {
        true => zstd::decode_all(&made.bytes[..]).unwrap(),
        false => made.bytes.to_vec(),
    };
    assert!(is_normal(&made) && content == all, "{operation}:{fault}");
    assert!(stored(&emulator, KEY).is_none(), "{operation}:{fault}");
    assert_eq!(uploads(&emulator).await, 0, "{operation}:{fault}");
}

#[tokio::test]
async fn every_lost_answer_is_found_out_about() {
    for (operation, recompresses) in [
        ("head", false),
        ("seal", false),
        ("list-uploads", false),
        ("initiate-upload", false),
        ("copy-part", false),
        ("complete-upload", false),
        ("delete", false),
        ("get", true),
        ("upload-part", true),
        ("complete-upload", true),
    ] {
        let faults = [
            "drop",
            "drop-answer",
            "error=503",
            "error-after=500/InternalError",
            "truncate=40",
        ];
        let tried = faults.map(|fault| overcomes(operation, fault, recompresses));
        futures::future::join_all(tried).await;
    }
}

#[tokio::test]
async fn a_completion_that_lands_late_makes_one_object() {
    let emulator = emulator().await;
    let all = bytes(MIB);
    emulator.append_foreign("bucket", KEY, all.clone()).unwrap();
    inject(&emulator, "complete-upload:apply-late=300ms");
    compact(&emulator, &["--delete-source"]).await.expect(0);
    assert!(stored(&emulator, COMPACTED).unwrap().bytes == all);
    assert!(stored(&emulator, KEY).is_none());
}

#[tokio::test]
async fn what_cannot_be_done_is_said_before_anything_is() {
    let emulator = emulator().await;
    compact(&emulator, &[]).await.expect(1).json();
    emulator.put("bucket", KEY, "normal").unwrap();
    let refused = compact(&emulator, &[]).await.expect(2).json();
    assert!(
        refused["message"]
            .as_str()
            .unwrap()
            .contains("not an appendable object")
    );
    for options in [
        &["--to", TARGET][..],
        &["--to", "oss://other/key"],
        &["--no-seal"],
        &["--compress", "lz4"],
    ] {
        compact(&emulator, options).await.expect(2);
    }
    inject(&emulator, "head:error=403/AccessDenied");
    let denied = compact(&emulator, &[]).await.expect(5).json();
    assert!(
        denied["message"]
            .as_str()
            .unwrap()
            .contains("oss:PutObject")
    );
}

#[cfg(unix)]
#[tokio::test]
async fn an_interrupt_is_told_and_the_same_command_goes_on() {
    let emulator = emulator().await;
    let all = bytes(MIB);
    emulator.append_foreign("bucket", KEY, all.clone()).unwrap();
    emulator.inject(Fault::new(Operation::CompleteMultipartUpload, Action::Hold));
    let running = Running::start(command(&emulator, ["compact", "--json", TARGET]));
    struck(&emulator, "hold", 1).await;
    running.signal(rustix::process::Signal::TERM);
    let ended = running.end().await.expect(130).json();
    assert!(
        ended["message"]
            .as_str()
            .unwrap()
            .contains("run the same command again")
    );
    assert!(content(&emulator) == all);
    compact(&emulator, &[]).await.expect(0);
    // What was sent before the interrupt takes the place of nothing.
    emulator.release().await;
    assert!(stored(&emulator, COMPACTED).unwrap().bytes == all);
    assert_eq!(uploads(&emulator).await, 0);
}

#[tokio::test]
async fn what_could_not_be_read_back_is_not_compressed() {
    let emulator = emulator().await;
    emulator.append_foreign("bucket", KEY, "hello").unwrap();
    let options = ["--compress", "gzip", "--storage-class", "ColdArchive"];
    let refused = compact(&emulator, &options).await.expect(2).json();
    assert!(
        refused["message"].as_str().unwrap().contains("read back"),
        "{refused}"
    );
    compact(&emulator, &options[2..]).await.expect(0);
    append(&emulator, &options[2..], "x").await.expect(2);
    assert_eq!(
        stored(&emulator, COMPACTED).unwrap().storage_class,
        "ColdArchive"
    );
}

/// Killed at random moments, and started again until it ends: the content is in one object, whole,
/// and in the old one as long as that is there.
#[tokio::test]
async fn killed_at_any_moment_nothing_is_lost_and_nothing_doubled() {
    let all = bytes(1600 * 1024);
    let mut random = fastrand::Rng::with_seed(7);
    let (mut kills, mut rounds) = (0, 0);
    while kills < 60 {
        let recompresses = rounds % 3 == 2;
        rounds += 1;
        let emulator = emulator().await;
        emulator.set_latency(std::time::Duration::from_millis(3));
        emulator.append_foreign("bucket", KEY, all.clone()).unwrap();
        let mut arguments = vec!["compact", "--json", TARGET, "--delete-source"];
        let target = match recompresses {
            true => "compact/a/object.log.zst",
            false => COMPACTED,
        };
        if recompresses {
            arguments.extend(["--compress", "zstd"]);
        }
        loop {
            let mut child = command(&emulator, &arguments).spawn().unwrap();
            // Any number of requests after the last kill.
            let seen = emulator.requests().len();
            let most = seen + random.usize(1..14);
            let reached = emulator.wait_for(|requests| requests.len() >= most);
            let killed = tokio::select! {
                status = child.wait() => {
                    assert!(status.unwrap().success());
                    false
                }
                _ = reached => true,
            };
            if !killed {
                break;
            }
            child.kill().await.unwrap();
            kills += 1;
            // What the killed process has sent may be under way yet: at each moment one of them is
            // there and whole.
            let content = |object: StoredObject| match recompresses {
                true => zstd::decode_all(&object.bytes[..]).unwrap(),
                false => object.bytes.to_vec(),
            };
            let made = stored(&emulator, target).map(content);
            let kept = stored(&emulator, KEY);
            assert!(made.is_none_or(|made| made == all));
            assert!(kept.is_none_or(|kept| kept.bytes == all));
            let one = stored(&emulator, target).is_some() || stored(&emulator, KEY).is_some();
            assert!(one, "the content is gone");
        }
        assert!(stored(&emulator, KEY).is_none());
        let made = stored(&emulator, target).unwrap();
        assert!(is_normal(&made));
        match recompresses {
            true => assert!(zstd::decode_all(&made.bytes[..]).unwrap() == all),
            false => assert!(made.bytes == all),
        }
        assert_eq!(uploads(&emulator).await, 0);
    }
    assert!(rounds >= 3, "{kills} kills in {rounds} rounds");
}
