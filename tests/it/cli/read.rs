//! `stat` and `cat`.

use bytes::Bytes;
use oss_append::crc64;
use oss_append::emulator::{Action, Fault};
use serde_json::json;

use super::*;
use crate::support::proxy::{End, Fate, Proxy, page};

async fn cat(emulator: &Emulator, options: &[&str]) -> Ended {
    run(command(emulator, [&["cat", TARGET], options].concat()), "").await
}

#[tokio::test]
async fn stat_tells_what_the_object_is() {
    let emulator = emulator().await;
    let options = ["--meta=origin=here", "--content-type=text/x-test", "--seal"];
    append(&emulator, &options, "hello").await.expect(0);
    let stat = run(command(&emulator, ["stat", "--json", TARGET]), "").await;
    let mut stat = stat.expect(0).own();
    let creator = stat["metadata"]["oss-append-creator"].take();
    assert_eq!(creator.as_str().map(str::len), Some(32));
    let modified = stat["last_modified"].take();
    let modified = modified.as_str().unwrap();
    assert!(modified.ends_with('Z'), "{modified}");
    let object = emulator.object("bucket", KEY).unwrap();
    assert_eq!(
        stat,
        json!({
            "bucket": "bucket",
            "key": KEY,
            "length": 5,
            "type": "Appendable",
            "crc64": crc64::checksum(b"hello").to_string(),
            "etag": object.etag,
            "content_type": "text/x-test",
            "content_encoding": null,
            "sealed": true,
            "last_modified": null,
            "storage_class": "Standard",
            "metadata": { "origin": "here", "oss-append-creator": null },
            "next_append_position": 5,
        })
    );

    let text = run(command(&emulator, ["stat", TARGET]), "")
        .await
        .expect(0);
    let text = String::from_utf8(text.stdout).unwrap();
    for part in [TARGET, "Appendable", "text/x-test", "meta origin", "here"] {
        assert!(text.contains(part), "{text}");
    }
}

#[tokio::test]
async fn stat_of_a_normal_object_has_no_next_position() {
    let emulator = emulator().await;
    emulator.put("bucket", KEY, "normal").unwrap();
    let stat = run(command(&emulator, ["stat", "--json", TARGET]), "").await;
    let stat = stat.expect(0).json();
    assert_eq!(stat["type"], "Normal");
    assert_eq!(stat["next_append_position"], Value::Null);
}

#[tokio::test]
async fn stat_looks_again_where_there_was_no_answer() {
    let emulator = emulator().await;
    emulator.append_foreign("bucket", KEY, "hello").unwrap();
    for fault in [
        "head:error=503",
        "head:error=500,times=3",
        "head:drop",
        "head:drop-answer",
        "head:bad-gateway",
    ] {
        inject(&emulator, fault);
        let stat = run(command(&emulator, ["stat", "--json", TARGET]), "").await;
        let stat = stat.expect(0);
        assert_eq!(stat.json()["length"], 5, "{fault}");
        assert_eq!(emulator.faults().pending(), 0, "{fault}");
        let said = [TARGET, "; trying again for up to 120 s"];
        stat.says(&said);
    }
    inject(&emulator, "head:error=503,times=forever");
    let stat = ["stat", "--json", "--delivery-timeout=300ms", TARGET];
    let stat = run(command(&emulator, stat), "").await.expect(6);
    let told = stat.json();
    assert_eq!(told["kind"], "retries_exhausted");
    assert_eq!(
        (&told["status"], &told["object"]),
        (&503.into(), &TARGET.into())
    );
    stat.says_after_trying(&[TARGET, "gave up after", "503"]);
}

#[tokio::test]
async fn what_is_not_there_is_1_and_named() {
    let emulator = emulator().await;
    for name in ["stat", "cat"] {
        let missing = run(command(&emulator, [name, TARGET]), "").await;
        let missing = missing
            .expect(1)
            .says(&[TARGET, "NoSuchKey", "EC ", "request id "]);
        assert!(missing.stdout.is_empty());
    }
}

#[tokio::test]
async fn cat_writes_every_byte() {
    let emulator = emulator().await;
    let all = bytes(3 * MIB + 1);
    emulator.append_foreign("bucket", KEY, all.clone()).unwrap();
    let ended = cat(&emulator, &[]).await.expect(0);
    assert!(ended.stdout == all);
    assert_eq!(ended.stderr, "");
}

#[tokio::test]
async fn cat_writes_a_range_as_http_counts_it() {
    let emulator = emulator().await;
    emulator
        .append_foreign("bucket", KEY, "0123456789")
        .unwrap();
    for (range, part) in [
        ("2-4", "234"),
        ("0-0", "0"),
        ("7-", "789"),
        ("8-99", "89"),
        ("-3", "789"),
        ("-99", "0123456789"),
    ] {
        let ended = cat(&emulator, &["--range", range]).await.expect(0);
        assert_eq!(ended.stdout, part.as_bytes(), "{range}");
    }
    cat(&emulator, &["--range", "10-"])
        .await
        .expect(1)
        .says(&["InvalidRange"]);
    for range in ["4-2", "-0", "x", "1-2-3"] {
        cat(&emulator, &["--range", range]).await.expect(2);
    }
}

#[tokio::test]
async fn the_last_bytes_of_an_empty_object_are_none() {
    let emulator = emulator().await;
    append(&emulator, &["--create-new"], "").await.expect(0);
    let ended = cat(&emulator, &["--range=-5"]).await.expect(0);
    assert!(ended.stdout.is_empty());
}

#[tokio::test]
async fn cat_ends_quietly_when_nobody_reads_on() {
    let emulator = emulator().await;
    emulator
        .append_foreign("bucket", KEY, bytes(4 * MIB))
        .unwrap();
    let running = Running::start(command(&emulator, ["cat", TARGET]));
    running.ends_unread().await;
}

/// Injects a fault as `oss-append emulator --fault` takes it.
fn inject(emulator: &Emulator, fault: &str) {
    emulator.inject(fault.parse().unwrap());
}

#[tokio::test]
async fn cat_goes_on_where_an_answer_has_broken_off() {
    let emulator = emulator().await;
    let all = bytes(MIB);
    emulator.append_foreign("bucket", KEY, all.clone()).unwrap();
    for fault in [
        "get:drop",
        "get:error=503",
        "get:bad-gateway",
        "get:truncate=1000",
        "get:truncate=300000,times=3",
    ] {
        inject(&emulator, fault);
        let ended = cat(&emulator, &[]).await.expect(0);
        assert!(ended.stdout == all, "{fault}");
        assert_eq!(emulator.faults().pending(), 0, "{fault}");
        let lines: Vec<_> = ended.stderr.lines().collect();
        assert!(!lines.is_empty(), "{fault}");
        for (line, part) in lines.iter().zip(
            ["; trying again for up to ", "reading goes on after "]
                .iter()
                .cycle(),
        ) {
            assert!(line.contains(part), "{lines:?}");
        }
    }
    inject(&emulator, "head:error=500");
    inject(&emulator, "get:truncate=2000");
    let ended = cat(&emulator, &["--range=-5000"]).await.expect(0);
    assert!(ended.stdout == all[MIB - 5000..]);
}

#[tokio::test]
async fn cat_leaves_out_what_is_appended_meanwhile() {
    let emulator = emulator().await;
    let all = bytes(MIB);
    emulator.append_foreign("bucket", KEY, all.clone()).unwrap();
    inject(&emulator, "get:truncate=500000");
    inject(&emulator, "get:foreign-before=more");
    let ended = cat(&emulator, &[]).await.expect(0);
    assert!(ended.stdout == all);
    assert_eq!(emulator.length("bucket", KEY), Some(MIB as u64 + 4));
}

#[tokio::test]
async fn cat_that_gets_no_further_is_6() {
    let emulator = emulator().await;
    let all = bytes(MIB);
    emulator.append_foreign("bucket", KEY, all.clone()).unwrap();
    inject(&emulator, "get:truncate=1000");
    inject(&emulator, "get:error=503,times=forever");
    let ended = cat(&emulator, &["--delivery-timeout=300ms"])
        .await
        .expect(6);
    assert!(ended.stdout.len() < MIB && all.starts_with(&ended.stdout));
    ended.says_after_trying(&[TARGET, "at position", "gave up after", "503"]);
}

#[tokio::test]
async fn bytes_without_the_checksum_of_the_object_are_3() {
    let emulator = emulator().await;
    emulator.append_foreign("bucket", KEY, bytes(MIB)).unwrap();
    inject(&emulator, "get:wrong-crc");
    let ended = cat(&emulator, &[]).await.expect(3);
    assert!(ended.stdout.len() < MIB, "the last bytes are kept back");
    ended.says(&[TARGET, "CRC-64 should be", "read it again"]);
    // A range has no checksum.
    inject(&emulator, "get:wrong-crc");
    let ended = cat(&emulator, &["--range=1-2"]).await.expect(0);
    assert_eq!(ended.stdout, bytes(3)[1..]);
}

#[tokio::test]
async fn an_object_that_is_replaced_while_it_is_read_is_3() {
    for (shorter, said) in [(true, "has been replaced"), (false, "has been removed")] {
        let emulator = emulator().await;
        let all = bytes(MIB);
        emulator.append_foreign("bucket", KEY, all.clone()).unwrap();
        inject(&emulator, "get:truncate=500000");
        emulator.inject(Fault::new(Operation::GetObject, Action::Hold));
        let running = Running::start(command(&emulator, ["cat", TARGET]));
        let replace = async {
            struck(&emulator, "hold", 1).await;
            match shorter {
                true => emulator.put("bucket", KEY, "another").unwrap(),
                false => emulator.delete("bucket", KEY).unwrap(),
            }
            emulator.release().await;
        };
        let (ended, ()) = tokio::join!(running.end(), replace);
        let ended = ended.expect(3);
        assert!(all.starts_with(&ended.stdout));
        ended.says_after_trying(&[TARGET, "at position", said, "read it again"]);
    }
}

#[tokio::test]
async fn a_long_object_comes_whole_through_a_bad_link() {
    let emulator = emulator().await;
    let all = Bytes::from(bytes(300 * MIB));
    let digest = crc64::checksum(&all);
    emulator.append_foreign("bucket", KEY, all).unwrap();
    let proxy = Proxy::start(&emulator).await;
    let mut random = fastrand::Rng::with_seed(1);
    proxy.always(move |_| match random.u32(..8) {
        0 => Fate::Pass,
        1 => Fate::instead(page("502 Bad Gateway", ""), End::Keep),
        2 => Fate::lost(0, End::Reset),
        3 => Fate::cut(random.usize(..200), End::Close),
        4 => Fate::cut(random.usize(..64 * MIB), End::Reset),
        _ => Fate::cut(random.usize(..64 * MIB), End::Close),
    });
    let mut command = command(&emulator, ["cat", "--path-style", TARGET]);
    command.env("OSS_ENDPOINT", proxy.url());
    let mut child = command.spawn().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let (mut got, mut length, mut piece) = (0, 0, vec![0; MIB]);
    loop {
        let read = stdout.read(&mut piece).await.unwrap();
        if read == 0 {
            break;
        }
        got = crc64::combine(got, crc64::checksum(&piece[..read]), read as u64);
        length += read;
    }
    let output = child.wait_with_output().await.unwrap();
    let ended = Ended::new(output.status, Vec::new(), &output.stderr).expect(0);
    assert_eq!((length, got), (300 * MIB, digest), "{ended:?}");
    assert!(proxy.struck().len() > 5, "{:?}", proxy.struck());
}
