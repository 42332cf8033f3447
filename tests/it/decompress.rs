//! Reading compressed objects back: what their members hold, and what happens in between.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::{StreamExt as _, TryStreamExt as _};
use oss_append::emulator::{Emulator, Operation};
use oss_append::{
    Backoff, Checkpoint, Compression, Error, ErrorKind, ObjectReader, ObjectReaderBuilder,
    StoredFormat, crc64,
};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _};

use crate::support::emulated::{content, start, writer};
use crate::support::{MS, object, ours};

const MIB: usize = 1024 * 1024;

/// A reader of what members hold that loses no time between its attempts.
fn reader(emulator: &Emulator) -> ObjectReaderBuilder {
    let client = emulator.client().build().unwrap();
    ObjectReader::builder(client, object())
        .backoff(Backoff::new(MS, 20 * MS))
        .decompress(true)
}

async fn with(stored: impl Into<Vec<u8>>) -> Emulator {
    let emulator = start().await;
    let stored: Vec<u8> = stored.into();
    emulator.append_foreign("bucket", "object", stored).unwrap();
    emulator
}

fn inject(emulator: &Emulator, fault: &str) {
    emulator.inject(fault.parse().unwrap());
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

/// What cannot be compressed.
fn noise(length: usize) -> Vec<u8> {
    let mut rng = fastrand::Rng::with_seed(1);
    (0..length).map(|_| rng.u8(..)).collect()
}

async fn all(builder: ObjectReaderBuilder) -> Result<Vec<u8>, Error> {
    let chunks: Vec<_> = builder.open().await?.try_collect().await?;
    Ok(chunks.concat())
}

/// What was given out before an error, and that.
async fn until_error(builder: ObjectReaderBuilder) -> (Vec<u8>, Error) {
    let mut reader = builder.open().await.unwrap();
    let mut given = Vec::new();
    let error = reader.read_to_end(&mut given).await.unwrap_err();
    let again = reader.read_to_end(&mut given).await.unwrap_err();
    assert_eq!(ours(again).to_string(), error.to_string(), "it stays so");
    (given, ours(error))
}

#[tokio::test]
async fn what_was_written_compressed_is_read_from_any_append_on() {
    for compression in [Compression::gzip(), Compression::zstd()] {
        let emulator = start().await;
        let mut writer = writer(&emulator)
            .compression(compression)
            .open()
            .await
            .unwrap();
        let text: Vec<String> = (0..20).map(|n| format!("line {n}\n").repeat(n)).collect();
        let mut starts = vec![Checkpoint::start(object())];
        for piece in &text {
            writer.write_all(piece.as_bytes()).await.unwrap();
            writer.sync().await.unwrap();
            starts.push(writer.checkpoint());
        }
        writer.shutdown().await.unwrap();
        assert_eq!(
            all(reader(&emulator)).await.unwrap(),
            text.concat().as_bytes()
        );
        for (n, start) in starts.into_iter().enumerate() {
            let rest = text[n..].concat();
            let ranged = reader(&emulator).range(start.position..);
            if n < text.len() {
                assert_eq!(all(ranged).await.unwrap(), rest.as_bytes());
            }
            let after = reader(&emulator).checkpoint(start);
            let after = after.open().await.unwrap();
            assert!(after.is_compared());
            let given: Vec<_> = after.try_collect().await.unwrap();
            assert_eq!(given.concat(), rest.as_bytes());
        }
    }
}

#[tokio::test]
async fn whatever_breaks_off_the_content_is_whole() {
    let content = noise(3 * MIB);
    let members: Vec<_> = content.chunks(100_000).map(gzip).collect();
    let emulator = with(members.concat()).await;
    inject(&emulator, "get:truncate=1000");
    inject(&emulator, "get:error=503");
    inject(&emulator, "get:truncate=400000,times=3");
    assert!(all(reader(&emulator)).await.unwrap() == content);
    assert_eq!(emulator.faults().pending(), 0);

    inject(
        &emulator,
        "get:truncate=50000,probability=0.5,seed=1,times=10",
    );
    emulator.clear_requests();
    let ahead = reader(&emulator).read_ahead(3).part_size(256 * 1024);
    assert!(all(ahead).await.unwrap() == content);
    assert!(emulator.count(Operation::GetObject) > 12);
}

#[tokio::test]
async fn a_position_is_the_start_of_a_member_before_which_all_was_given_out() {
    let members = ["one\n", "two\n", "", "three\n"].map(|text| gzip(text.as_bytes()));
    let starts: Vec<u64> = members
        .iter()
        .scan(0, |end, member| {
            let start = *end;
            *end += member.len() as u64;
            Some(start)
        })
        .collect();
    let stored = members.concat();
    let emulator = with(stored.clone()).await;
    let mut reader_ = reader(&emulator).open().await.unwrap();
    assert_eq!(
        (reader_.position(), reader_.range()),
        (0, 0..stored.len() as u64)
    );
    let mut given = String::new();
    loop {
        let position = reader_.position();
        assert!(position == stored.len() as u64 || starts.contains(&position));
        let mut rest = String::new();
        let builder = reader(&emulator).checkpoint(Checkpoint::new(object(), position));
        let from_there = builder.open().await.unwrap();
        tokio::pin!(from_there);
        from_there.read_to_string(&mut rest).await.unwrap();
        let needed = "one\ntwo\nthree\n".strip_prefix(&given).unwrap();
        assert!(rest.ends_with(needed), "{position}: {rest:?} of {needed:?}");
        if reader_.read_line(&mut given).await.unwrap() == 0 {
            break;
        }
    }
    assert_eq!(reader_.position(), stored.len() as u64);
    let end = Checkpoint::new(object(), stored.len() as u64).crc64(crc64::checksum(&stored));
    assert_eq!(reader_.checkpoint(), end);
}

#[tokio::test]
async fn stored_bytes_without_the_checksum_of_the_object_are_an_error() {
    let content = noise(MIB);
    let members: Vec<_> = content.chunks(100_000).map(gzip).collect();
    let emulator = with(members.concat()).await;
    inject(&emulator, "get:wrong-crc");
    let (given, error) = until_error(reader(&emulator)).await;
    assert!(
        matches!(error.kind(), ErrorKind::ReadDiffers { .. }),
        "{error}"
    );
    assert!(given.len() < MIB && content.starts_with(&given));
}

#[tokio::test]
async fn what_cannot_be_decompressed_is_told_with_its_place_behind_what_can() {
    let (first, second) = (gzip(b"first"), gzip(b"second"));
    let start = first.len() as u64;
    let whole = [&first[..], &second].concat();
    let mut damaged = whole.clone();
    *damaged.last_mut().unwrap() ^= 1;
    let text = [&first[..], b"a line\n"].concat();
    for (stored, format, cut, said) in [
        (
            &whole[..whole.len() - 3],
            StoredFormat::Gzip,
            true,
            "is cut",
        ),
        (&damaged, StoredFormat::Gzip, false, "is damaged"),
        (&text, StoredFormat::Other, false, "neither a gzip member"),
    ] {
        let emulator = with(stored).await;
        let (given, error) = until_error(reader(&emulator)).await;
        assert!(given.starts_with(b"first") && b"firstsecond".starts_with(&given[..]));
        match error.kind() {
            ErrorKind::Decompression {
                start: at,
                format: as_,
                cut: is_cut,
                ..
            } => assert_eq!((*at, *as_, *is_cut), (start, format, cut)),
            other => panic!("{other:?}"),
        }
        assert!(!error.is_retryable());
        assert_eq!(error.object(), Some(&object()));
        let said = [said, &format!("begins at {start}"), "reading it again"]
            .iter()
            .all(|part| error.to_string().contains(part));
        assert!(said, "{error}");
        // A range that ends in a member is cut too.
        let (given, error) = until_error(reader(&emulator).range(..start - 1)).await;
        assert!(b"first".starts_with(&given[..]));
        assert!(matches!(
            error.kind(),
            ErrorKind::Decompression { cut: true, .. }
        ));
    }
}

#[tokio::test]
async fn an_empty_object_holds_nothing() {
    let emulator = with("").await;
    assert_eq!(all(reader(&emulator)).await.unwrap(), b"");
}

#[tokio::test]
async fn what_is_packed_tightly_is_not_unpacked_before_it_is_asked_for() {
    let emulator = with(gzip(&vec![0; 64 * MIB])).await;
    let turns = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&turns);
    let other = tokio::spawn(async move {
        loop {
            counted.fetch_add(1, Ordering::Relaxed);
            tokio::task::yield_now().await;
        }
    });
    let mut reader = reader(&emulator).open().await.unwrap();
    let (mut length, mut pieces) = (0, 0);
    while let Some(piece) = reader.next().await {
        let piece = piece.unwrap();
        assert!(piece.len() <= 128 * 1024 && piece.iter().all(|byte| *byte == 0));
        length += piece.len();
        pieces += 1;
    }
    other.abort();
    assert_eq!(length, 64 * MIB);
    // Others have had their turns, on the one thread of this runtime.
    assert!(turns.load(Ordering::Relaxed) > pieces / 2);
}

#[tokio::test]
async fn the_stored_bytes_are_given_unless_it_was_asked_for() {
    let emulator = with(gzip(b"content")).await;
    let given = all(reader(&emulator).decompress(false)).await.unwrap();
    assert_eq!(given, content(&emulator));
}
