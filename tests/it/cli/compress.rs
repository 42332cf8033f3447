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
    assert_eq!(object.headers["content-encoding"], "gzip");
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
