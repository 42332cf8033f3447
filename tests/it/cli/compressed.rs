//! Objects that hold compressed bytes, read by `cat`, `tail` and `doctor`.

use std::io::Write as _;

use super::*;

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn zstd(text: &str) -> Vec<u8> {
    zstd::encode_all(text.as_bytes(), 3).unwrap()
}

/// A frame that is to be skipped.
fn skippable() -> Vec<u8> {
    [&[0x51, 0x2a, 0x4d, 0x18, 4, 0, 0, 0][..], b"skip"].concat()
}

async fn with(stored: impl AsRef<[u8]>) -> Emulator {
    let emulator = emulator().await;
    let stored = stored.as_ref().to_vec();
    emulator.append_foreign("bucket", KEY, stored).unwrap();
    emulator
}

async fn decompressed(stored: &[u8], options: &[&str]) -> Ended {
    let emulator = with(stored).await;
    let arguments = [&["cat", "--decompress", TARGET], options].concat();
    run(command(&emulator, arguments), "").await
}

#[tokio::test]
async fn cat_decompresses_all_of_an_object() {
    let long = "a line that is there very often\n".repeat(100_000);
    for stored in [
        [gzip("one\n"), gzip(""), gzip(&long)].concat(),
        [zstd("one\n"), zstd(""), zstd(&long)].concat(),
        [gzip("one\n"), zstd(&long)].concat(),
        [skippable(), zstd("one\n"), skippable(), zstd(&long)].concat(),
    ] {
        let ended = decompressed(&stored, &[]).await.expect(0);
        assert!(ended.stdout == format!("one\n{long}").as_bytes());
        assert_eq!(ended.stderr, "");
    }
}

#[tokio::test]
async fn cat_decompresses_what_append_has_compressed() {
    for compression in ["--compress=gzip", "--compress=zstd"] {
        let emulator = emulator().await;
        for text in ["one\n", "two\n", "three\n"] {
            append(&emulator, &[compression], text).await.expect(0);
        }
        let cat = command(&emulator, ["cat", "--decompress", TARGET]);
        assert_eq!(run(cat, "").await.expect(0).stdout, b"one\ntwo\nthree\n");
    }
}

#[tokio::test]
async fn cat_decompresses_from_a_member_on() {
    let (first, second) = (gzip("one\n"), gzip("two\n"));
    let stored = [&first[..], &second].concat();
    let range = format!("--range={}-", first.len());
    let ended = decompressed(&stored, &[&range]).await.expect(0);
    assert_eq!(ended.stdout, b"two\n");
    let range = format!("--range=-{}", second.len());
    let ended = decompressed(&stored, &[&range]).await.expect(0);
    assert_eq!(ended.stdout, b"two\n");
}

#[tokio::test]
async fn what_is_cut_or_damaged_is_told_with_its_place_after_what_is_before_it() {
    let text = "a line of the log\n".repeat(100);
    for compress in [gzip, zstd] {
        let (first, second) = (compress("one\n"), compress(&text));
        let (start, whole) = (first.len(), [&first[..], &second].concat());
        for cut in [start + 4, start + second.len() / 2, whole.len() - 1] {
            let ended = decompressed(&whole[..cut], &[]).await.expect(1);
            assert!(ended.stdout.starts_with(b"one\n"), "{ended:?}");
            let said = format!("begins at {start} is cut");
            ended.says(&[TARGET, &format!("at position {cut}: "), &said]);
        }
        let mut damaged = whole.clone();
        let checksum = damaged.len() - 5;
        damaged[checksum.min(whole.len() - 4)] ^= 1;
        let ended = decompressed(&damaged, &[]).await.expect(1);
        assert!(ended.stdout.starts_with(b"one\n"), "{ended:?}");
        let said = format!("begins at {start} is damaged");
        ended.says(&[TARGET, &said, "what is before that was written"]);
        let more = [&first[..], b"text behind it\n"].concat();
        let ended = decompressed(&more, &[]).await.expect(1);
        assert_eq!(ended.stdout, b"one\n");
        let said = format!("what begins at {start} is neither a gzip member nor a zstd frame");
        ended.says(&[TARGET, &said]);
    }
}

#[tokio::test]
async fn an_object_that_is_not_compressed_is_told_and_an_empty_one_is_nothing() {
    let ended = decompressed(b"a line\n", &[]).await.expect(1);
    assert!(ended.stdout.is_empty());
    ended.says(&[
        TARGET,
        "what begins at 0 is neither a gzip member nor a zstd frame",
    ]);
    let ended = decompressed(b"", &[]).await.expect(0);
    assert_eq!((ended.stdout, ended.stderr), (Vec::new(), String::new()));
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_no_damage() {
    let noise: String = bytes(MIB).iter().map(|byte| format!("{byte:x}")).collect();
    let emulator = with(gzip(&noise)).await;
    emulator.inject("get:truncate=2000".parse().unwrap());
    let cat = || command(&emulator, ["cat", "--decompress", TARGET]);
    assert!(run(cat(), "").await.expect(0).stdout == noise.as_bytes());

    emulator.inject("get:truncate=2000".parse().unwrap());
    emulator.inject("get:drop,times=forever".parse().unwrap());
    let mut cat = cat();
    cat.arg("--delivery-timeout=300ms");
    let ended = run(cat, "").await.expect(6);
    ended.says_after_trying(&["read of", "gave up after"]);
}

#[tokio::test]
async fn what_is_decompressed_is_right_or_3_says_that_it_is_not() {
    let members = ["one\n", "two\n", "three\n"].map(gzip);
    let emulator = with(members.concat()).await;
    let cat = || command(&emulator, ["cat", "--decompress", TARGET]);
    for fault in [
        "get:drop",
        "get:error=500",
        "get:truncate=30",
        "get:truncate=1",
    ] {
        emulator.inject(fault.parse().unwrap());
        let ended = run(cat(), "").await.expect(0);
        assert_eq!(ended.stdout, b"one\ntwo\nthree\n", "{fault}");
        assert_eq!(emulator.faults().pending(), 0, "{fault}");
    }
    emulator.inject("get:wrong-crc".parse().unwrap());
    let ended = run(cat(), "").await.expect(3);
    assert!(b"one\ntwo\nthree\n".starts_with(&ended.stdout[..]) && ended.stdout.len() < 14);
    ended.says(&[TARGET, "CRC-64 should be"]);
}

#[tokio::test]
async fn decompression_ends_quietly_when_nobody_reads_on() {
    let emulator = with(gzip(&"a line\n".repeat(1_000_000))).await;
    let running = Running::start(command(&emulator, ["cat", "--decompress", TARGET]));
    running.ends_unread().await;
}

#[tokio::test]
async fn tail_does_not_look_for_lines_in_what_is_compressed() {
    for (stored, tool) in [(gzip("one\n"), "zcat"), (zstd("one\n"), "zstdcat")] {
        let emulator = with(&stored).await;
        for options in [&[][..], &["-n", "1"], &["-f"]] {
            let tail = command(&emulator, [&["tail", TARGET], options].concat());
            let ended = run(tail, "").await.expect(1);
            assert!(ended.stdout.is_empty());
            ended.says(&[TARGET, "cat --decompress", tool]);
        }
        // The bytes as they are, for who asks for bytes.
        for options in [["--from", "0"], ["--bytes", "1MiB"]] {
            let tail = command(&emulator, [&["tail", TARGET], &options[..]].concat());
            let ended = run(tail, "").await.expect(0);
            assert_eq!(ended.stdout, stored);
        }
    }
}

#[tokio::test]
async fn tail_tells_of_an_object_that_becomes_a_compressed_one() {
    let emulator = emulator().await;
    let mut running = Running::start(command(&emulator, ["tail", "-f", TARGET]));
    running.hear("does not exist yet").await;
    append(&emulator, &["--compress=gzip"], "one\n")
        .await
        .expect(0);
    let ended = running.ends(1).await;
    assert!(ended.stderr.contains("cat --decompress"), "{ended:?}");
}

/// Runs it with a terminal as standard output: the exit code, and what was shown there.
#[cfg(unix)]
async fn on_a_terminal(mut command: Command) -> (i32, Vec<u8>, String) {
    use std::io::Read as _;

    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    let path = ptsname(&terminal, Vec::new()).unwrap();
    let end = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(path.to_str().unwrap())
        .unwrap();
    let child = command.stdout(end).spawn().unwrap();
    // It has the terminal too.
    drop(command);
    let shown = tokio::task::spawn_blocking(move || {
        let mut shown = Vec::new();
        // Ends with an error when nobody has the other end any more.
        let _ = std::fs::File::from(terminal).read_to_end(&mut shown);
        shown
    });
    let output = child.wait_with_output().await.unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    (output.status.code().unwrap(), shown.await.unwrap(), stderr)
}

#[cfg(unix)]
#[tokio::test]
async fn a_terminal_is_given_nothing_that_is_compressed() {
    for stored in [gzip("one\n"), zstd("one\n")] {
        let emulator = with(&stored).await;
        for arguments in [
            &["cat", TARGET][..],
            &["cat", "--range=4-", TARGET],
            &["cat", "--range=-4", TARGET],
            &["tail", TARGET],
            &["tail", "--from=0", TARGET],
            &["tail", "--bytes=4", TARGET],
        ] {
            let ended = on_a_terminal(command(&emulator, arguments)).await;
            assert_eq!((ended.0, &ended.1[..]), (1, &b""[..]), "{arguments:?}");
            assert!(ended.2.contains("--decompress"), "{}", ended.2);
        }
        let cat = command(&emulator, ["cat", "--decompress", TARGET]);
        let (code, shown, _) = on_a_terminal(cat).await;
        assert_eq!((code, &shown[..]), (0, &b"one\r\n"[..]));
    }
    // The look at its first bytes is tried again too.
    let emulator = with(gzip("one\n")).await;
    for fault in ["get:drop", "get:truncate=2", "get:error=503"] {
        emulator.inject(fault.parse().unwrap());
        let (code, shown, said) = on_a_terminal(command(&emulator, ["cat", TARGET])).await;
        assert_eq!((code, &shown[..]), (1, &b""[..]), "{fault}: {said}");
        assert!(
            said.contains("; trying again for up to "),
            "{fault}: {said}"
        );
        assert!(said.contains("--decompress"), "{fault}: {said}");
    }
    emulator.inject("get:error=503,times=forever".parse().unwrap());
    let cat = ["cat", "--delivery-timeout=300ms", TARGET];
    let (code, _, said) = on_a_terminal(command(&emulator, cat)).await;
    assert!(
        code == 6 && said.contains("gave up after"),
        "{code}: {said}"
    );

    let emulator = with("one\n").await;
    for name in ["cat", "tail"] {
        let (code, shown, _) = on_a_terminal(command(&emulator, [name, TARGET])).await;
        assert_eq!((code, &shown[..]), (0, &b"one\r\n"[..]));
    }
}

#[tokio::test]
async fn doctor_tells_of_objects_that_clients_decode() {
    let emulator = emulator().await;
    let options = ["--compress=gzip", "--content-encoding=gzip"];
    append(&emulator, &options, "one\n").await.expect(0);
    let others = "oss://bucket/a/other.log";
    run(command(&emulator, ["append", others]), "one\n")
        .await
        .expect(0);
    let doctor = command(&emulator, ["doctor", "--json", "oss://bucket/a/"]);
    let report = run(doctor, "").await.expect(0).json();
    let encoded = serde_json::json!([{ "key": KEY, "content_encoding": "gzip" }]);
    assert_eq!(report["encoded"], encoded);
    let doctor = command(&emulator, ["doctor", "oss://bucket/a/"]);
    let text = String::from_utf8(run(doctor, "").await.expect(0).stdout).unwrap();
    assert!(
        text.contains(KEY) && text.contains("cat --decompress"),
        "{text}"
    );
}
