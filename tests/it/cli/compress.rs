//! `append --compress`.

use std::io::Read;

use oss_append::crc64;
use serde_json::json;

use super::*;

fn gunzip(stored: &[u8]) -> String {
    let mut text = String::new();
    let mut decoder = flate2::read::MultiGzDecoder::new(stored);
    decoder.read_to_string(&mut text).unwrap();
    text
}

#[tokio::test]
async fn the_object_is_compressed_and_the_summary_tells_both_lengths() {
    let emulator = emulator().await;
    let text = "the same line again and again\n".repeat(1000);
    for run in 1..=2_usize {
        let before = emulator.length("bucket", KEY).unwrap_or(0) as usize;
        let ended = append(&emulator, &["--compress", "gzip:9"], &text).await;
        let summary = ended.expect(0).json();
        let stored = content(&emulator);
        assert_eq!(gunzip(&stored), text.repeat(run));
        for (name, expected) in [
            ("start", json!(before)),
            ("end", json!(stored.len())),
            ("bytes", json!(text.len())),
            ("stored", json!(stored.len() - before)),
            ("crc64", json!(crc64::checksum(&stored).to_string())),
            ("missing", json!(0)),
        ] {
            assert_eq!(summary[name], expected, "{name} of run {run}");
        }
    }
    let object = emulator.object("bucket", KEY).unwrap();
    assert_eq!(object.headers.get("content-encoding"), None);
    assert_eq!(object.content_type, "application/gzip");
}

#[tokio::test]
async fn the_line_tells_both_lengths_too() {
    let emulator = emulator().await;
    let arguments = ["append", "--compress=zstd", TARGET];
    let ended = run(command(&emulator, arguments), "hello").await.expect(0);
    let stored = content(&emulator);
    assert_eq!(zstd::decode_all(&stored[..]).unwrap(), b"hello");
    let told = format!("5 bytes durable as {} bytes compressed", stored.len());
    ended.says(&[&told]);
}

#[tokio::test]
async fn a_sequence_rolls_by_compressed_bytes() {
    let emulator = emulator().await;
    let text: String = (0..3000_u64)
        .map(|number| format!("{:x}\n", number.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
        .collect();
    let arguments = [
        "append",
        "--json",
        "--compress=gzip",
        "--roll-size=8KiB",
        "--batch-size=4KiB",
        "--max-append-size=4KiB",
        "--align-lines",
        "oss://bucket/log-{seq:2}.gz",
    ];
    let ended = run(command(&emulator, arguments), &text).await.expect(0);
    let summary = ended.json();
    let objects = summary["objects"].as_array().unwrap();
    assert!(objects.len() > 2, "{summary}");
    let (mut found, mut stored) = (String::new(), 0);
    for object in objects {
        let key = object["key"].as_str().unwrap();
        let bytes = emulator.object("bucket", key).unwrap().bytes;
        assert_eq!(object["end"], bytes.len());
        assert!(bytes.len() <= 8 * 1024);
        found += &gunzip(&bytes);
        assert!(found.ends_with('\n'), "a line was torn");
        stored += bytes.len();
    }
    assert_eq!(found, text);
    assert_eq!(summary["bytes"], text.len());
    assert_eq!(summary["stored"], stored);
}

#[tokio::test]
async fn what_cannot_be_is_refused() {
    let emulator = emulator().await;
    for options in [
        &["--compress=gzip", "--replay"][..],
        &["--compress=lz4"],
        &["--compress=gzip:10"],
        &["--compress=zstd:x"],
    ] {
        append(&emulator, options, "text").await.expect(2);
    }
    assert_eq!(emulator.length("bucket", KEY), None);
}

/// Appends `input` to `key` with these options.
async fn append_to(emulator: &Emulator, key: &str, options: &[&str], input: &[u8]) -> Ended {
    let target = format!("oss://bucket/{key}");
    let arguments = [&["append", target.as_str()], options].concat();
    run(command(emulator, arguments), input).await
}

fn stored(emulator: &Emulator, key: &str) -> Vec<u8> {
    emulator.object("bucket", key).unwrap().bytes.to_vec()
}

#[tokio::test]
async fn an_object_is_not_continued_in_another_form() {
    let emulator = emulator().await;
    let (none, gzip, zstd) = (&[][..], &["--compress=gzip"][..], &["--compress=zstd"][..]);
    let named = &["--compress=gzip", "--content-type=text/plain"][..];
    for (number, (first, second, code)) in [
        (none, gzip, 3),
        (gzip, none, 3),
        (gzip, zstd, 3),
        (gzip, gzip, 0),
        (none, none, 0),
        (none, zstd, 3),
        (zstd, none, 3),
        (zstd, gzip, 3),
        (zstd, zstd, 0),
        (named, none, 3),
        (named, gzip, 0),
        (gzip, &["--shared"], 3),
        (gzip, &["--replay"], 3),
        (none, &["--shared", "--compress=gzip"], 3),
        (gzip, &["--max-in-flight=4"], 3),
    ]
    .into_iter()
    .enumerate()
    {
        for extension in ["log", "gz"] {
            let key = format!("{number}.{extension}");
            append_to(&emulator, &key, first, b"first\n")
                .await
                .expect(0);
            let before = stored(&emulator, &key);
            let ended = append_to(&emulator, &key, second, b"second\n").await;
            assert_eq!(ended.code, code, "{first:?} {second:?}: {ended:?}");
            let after = stored(&emulator, &key);
            assert_eq!(
                after.len() > before.len(),
                code == 0,
                "{first:?} {second:?}"
            );
            if code == 3 {
                ended.says(&[&format!("oss://bucket/{key}")]);
            }
        }
    }
}

#[tokio::test]
async fn what_is_compressed_by_others_goes_on() {
    let emulator = emulator().await;
    for key in ["a.gz", "a.log"] {
        let member = emulated_member("a line\n");
        for piece in [&member[..], &member, &member[..9], &member[9..]] {
            append_to(&emulator, key, &[], piece).await.expect(0);
        }
        append_to(&emulator, key, &["--compress=gzip"], b"ours\n")
            .await
            .expect(0);
        let stored = stored(&emulator, key);
        assert_eq!(gunzip(&stored), "a line\n".repeat(3) + "ours\n");
    }
    append_to(&emulator, "a.gz", &[], b"text\n")
        .await
        .expect(3)
        .says(&["gzip"]);
}

fn emulated_member(text: &str) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn a_sequence_goes_on_in_the_next_object_when_compression_changes() {
    let emulator = emulator().await;
    for (options, key) in [
        (&["--compress=gzip"][..], "1.log"),
        (&[], "2.log"),
        (&["--compress=zstd"], "3.log"),
        (&["--compress=zstd"], "3.log"),
    ] {
        let options = [&["--roll-size=1MiB", "--json"], options].concat();
        let ended = append_to(&emulator, "{seq}.log", &options, b"a line\n").await;
        assert_eq!(ended.expect(0).json()["key"], key);
    }
}

#[tokio::test]
async fn a_content_encoding_is_what_was_asked_for() {
    let emulator = emulator().await;
    let options = ["--compress=zstd", "--content-encoding=zstd"];
    append_to(&emulator, "a.txt", &options, b"text")
        .await
        .expect(0);
    let object = emulator.object("bucket", "a.txt").unwrap();
    assert_eq!(object.headers["content-encoding"], "zstd");
    assert_eq!(object.content_type, "text/plain");
    let stat = ["stat", "--json", "oss://bucket/a.txt"];
    let stat = run(command(&emulator, stat), "").await.expect(0).json();
    assert_eq!(stat["content_encoding"], "zstd");
    assert_eq!(stat["content_type"], "text/plain");
    let stat = run(command(&emulator, ["stat", "oss://bucket/a.txt"]), "").await;
    let text = String::from_utf8(stat.expect(0).stdout).unwrap();
    assert!(text.contains("content encoding      zstd"), "{text}");
    let options = [
        "--compress=zstd:20",
        "--content-encoding=zstd",
        "--max-append-size=9MiB",
    ];
    append_to(&emulator, "b.txt", &options, b"text")
        .await
        .expect(2)
        .says(&["8388608"]);
}

#[tokio::test]
async fn options_that_come_too_late_are_told() {
    let emulator = emulator().await;
    append(&emulator, &[], "first\n").await.expect(0);
    let options = [
        "--content-type=text/csv",
        "--storage-class=IA",
        "--meta=a=b",
        "--acl=private",
    ];
    let ended = append(&emulator, &options, "second\n").await.expect(0);
    let told = [
        "Content-Type text/csv",
        "x-oss-storage-class IA",
        "x-oss-meta-a b",
    ];
    let summary = ended.json();
    let asked: Vec<_> = summary["ignored_options"]
        .as_array()
        .unwrap()
        .iter()
        .collect();
    assert_eq!(asked.len(), 3, "{summary}");
    assert_eq!(
        *asked[1],
        json!({ "name": "x-oss-storage-class", "asked": "IA", "found": "Standard" })
    );
    ended.says(&told);
    // It is what the object has.
    let ended = append(&emulator, &["--storage-class=Standard"], "third\n")
        .await
        .expect(0);
    assert_eq!(ended.stderr, "");
}
