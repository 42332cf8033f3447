//! Where `tail` begins: by what was asked for, and in an object that is there.

use std::str::FromStr;

use futures::TryStreamExt as _;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone};
use oss_append::{Error, ObjectPath, ObjectReaderBuilder, Refusal, StoredFormat};

use super::last_lines::LastLines;
use crate::failure::Failure;
use crate::period::UtcOffset;

/// The first and the largest piece that is searched backwards for the start of a line.
const FIRST_PIECE: u64 = 64 * 1024;
const LARGEST_PIECE: u64 = 4 * 1024 * 1024;

/// How far back lines are searched for: no appendable object is longer, whatever a server claims.
const MOST_SEARCHED: u64 = 5 * 1024 * 1024 * 1024;

/// Where to begin.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Start {
    LastLines(u64),
    LastBytes(u64),
    At(u64),
}

impl Start {
    /// Whether what is compressed is of no use, since lines of it are wanted.
    pub(super) fn wants_lines(self) -> bool {
        matches!(self, Self::LastLines(1..))
    }
}

/// The value of `--from`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum From {
    Position(u64),
    /// At an offset that was given with it.
    Moment(Timestamp),
    /// At the offset of the keys.
    Local(DateTime),
}

impl FromStr for From {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            let position = text.parse().map(Self::Position);
            return position.map_err(|_| "there is no such position");
        }
        let moment = || text.parse().map(Self::Moment);
        let local = |_| text.parse().map(Self::Local);
        moment().or_else(local).map_err(|_| {
            "it is neither a position nor a time such as 2026-11-28, 2026-11-28T10:00 or \
             2026-11-28T10:00Z"
        })
    }
}

impl From {
    /// The time, if it is one.
    pub(super) fn time(self, utc_offset: UtcOffset) -> Result<Option<Timestamp>, Failure> {
        match self {
            Self::Position(_) => Ok(None),
            Self::Moment(time) => Ok(Some(time)),
            Self::Local(time) => {
                let offset = Offset::from_seconds(utc_offset.seconds);
                let zoned = offset.and_then(|offset| time.to_zoned(TimeZone::fixed(offset)));
                let zoned = zoned.map_err(|error| Failure::usage(format!("--from: {error}")))?;
                Ok(Some(zoned.timestamp()))
            }
        }
    }
}

/// Where the last `count` lines of an object begin. Reads backwards, and keeps one piece in memory.
///
/// `reader` reads the object.
pub(super) async fn start_of_lines(
    reader: &ObjectReaderBuilder,
    object: &ObjectPath,
    count: u64,
) -> Result<u64, Failed> {
    search_back(reader, object, count, MOST_SEARCHED).await
}

/// The same, but no further back than so many bytes.
async fn search_back(
    reader: &ObjectReaderBuilder,
    object: &ObjectPath,
    count: u64,
    most: u64,
) -> Result<u64, Failed> {
    let last = reader.clone().last(FIRST_PIECE).open().await?;
    let length = last.object_length();
    if count == 0 {
        return Ok(length);
    }
    let (mut start, mut size) = (last.range().start, FIRST_PIECE);
    let mut lines = LastLines::new(count);
    let mut piece = last.try_collect::<Vec<_>>().await?.concat();
    loop {
        if let Some(at) = lines.search(&piece) {
            return Ok(start + at as u64);
        }
        if start == 0 {
            return Ok(0);
        }
        if length - start >= most {
            return Err(Failed::Command(too_long(object, length, most)));
        }
        size = (size * 2).min(LARGEST_PIECE);
        let end = start;
        start = end.saturating_sub(size);
        let read = reader.clone().range(start..end).open().await?;
        piece = read.try_collect::<Vec<_>>().await?.concat();
        if piece.len() as u64 != end - start {
            return Err(Failed::Command(Failure::conflict(format!(
                "{object} has been shortened or replaced while it was read"
            ))));
        }
    }
}

fn too_long(object: &ObjectPath, length: u64, most: u64) -> Failure {
    Failure::local(format!(
        "{object} has {length} bytes, and its last lines do not begin in the last {most}: \
         begin with --bytes SIZE or --from POSITION"
    ))
}

/// Refuses an object whose lines cannot be told, or which is nothing for a terminal.
pub(super) async fn refuse_compressed(
    reader: &ObjectReaderBuilder,
    object: &ObjectPath,
) -> Result<(), Failed> {
    let first = reader.clone().range(0..StoredFormat::NEEDED as u64);
    let first = first.open().await?.try_collect::<Vec<_>>().await?;
    let (format, tool) = match StoredFormat::of(&first.concat()) {
        format @ StoredFormat::Gzip => (format, "zcat"),
        format @ StoredFormat::Zstd => (format, "zstdcat"),
        _ => return Ok(()),
    };
    Err(Failed::Command(Failure::local(format!(
        "{object} is compressed by {format}: its last lines are found by \
         oss-append cat --decompress {object} | tail, and it is followed by \
         oss-append tail -f --from 0 {object} | {tool}"
    ))))
}

/// Why nothing more is read.
#[derive(Debug)]
pub(super) enum Failed {
    Request(Error),
    Command(Failure),
}

impl Failed {
    /// Whether there is no such object.
    pub(super) fn is_missing(&self) -> bool {
        matches!(self, Self::Request(error) if error.refusal() == Some(Refusal::NoSuchObject))
    }
}

impl std::convert::From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self::Request(error)
    }
}

impl std::convert::From<Failure> for Failed {
    fn from(failure: Failure) -> Self {
        Self::Command(failure)
    }
}

impl std::convert::From<Failed> for Failure {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Request(error) => Self::of_request(&error, super::PERMISSION),
            Failed::Command(failure) => failure,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use oss_append::ObjectReader;
    use oss_append::emulator::{Emulator, Operation};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn it_begins_at_a_position_or_a_time() {
        let utc_offset = UtcOffset { seconds: 8 * 3600 };
        for (text, time) in [
            ("0", None),
            ("18446744073709551615", None),
            ("2026-11-28", Some("2026-11-27T16:00:00Z")),
            ("2026-11-28T10:00", Some("2026-11-28T02:00:00Z")),
            ("2026-11-28 10:00:30", Some("2026-11-28T02:00:30Z")),
            ("2026-11-28T10:00Z", Some("2026-11-28T10:00:00Z")),
            ("2026-11-28T10:00+01:00", Some("2026-11-28T09:00:00Z")),
        ] {
            let from: From = text.parse().unwrap();
            let time: Option<Timestamp> = time.map(|time| time.parse().unwrap());
            assert_eq!(from.time(utc_offset).unwrap(), time, "{text}");
        }
        for text in [
            "",
            "-1",
            "+1",
            "18446744073709551616",
            "10:00",
            "2026-13-01",
            "noon",
        ] {
            assert!(text.parse::<From>().is_err(), "{text:?}");
        }
    }

    #[tokio::test]
    async fn lines_are_found_by_as_little_as_is_needed() {
        let emulator = Emulator::builder().bucket("bucket").start().await.unwrap();
        let client = emulator.client().build().unwrap();
        let object: ObjectPath = "oss://bucket/object".parse().unwrap();
        let text = ["first\n", &"x".repeat(200_000), "\nlast\n"].concat();
        emulator.put("bucket", "object", text.clone()).unwrap();
        let reader = ObjectReader::builder(client, object.clone());
        let length = text.len() as u64;
        for (count, position) in [(0, length), (1, length - 5), (2, 6), (3, 0), (9, 0)] {
            let found = start_of_lines(&reader, &object, count).await.unwrap();
            assert_eq!(found, position, "{count}");
        }
        // 0 and 1: the last piece, of 64 KiB; 2: all, by pieces of twice the size each.
        let reads = |count| count_reads(&emulator) == count;
        assert!(reads(1 + 3 + 3 + 3), "{}", count_reads(&emulator));
    }

    fn count_reads(emulator: &Emulator) -> usize {
        emulator.count(Operation::GetObject)
    }

    /// A server that claims an object of any length, which has no lines.
    #[tokio::test]
    async fn a_claim_of_no_end_is_not_searched_without_end() {
        const CLAIMED: u64 = 1 << 50;
        const MOST: u64 = 3 * LARGEST_PIECE;
        const { assert!(MOST_SEARCHED >= oss_append::defaults::MAX_OBJECT_SIZE) };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(u64::MAX));
        let least = Arc::clone(&asked);
        tokio::spawn(async move {
            let piece = vec![b'x'; LARGEST_PIECE as usize];
            loop {
                let (mut socket, _) = listener.accept().await.unwrap();
                let (piece, least) = (piece.clone(), Arc::clone(&least));
                tokio::spawn(async move {
                    let mut head = Vec::new();
                    while let Ok(byte) = socket.read_u8().await {
                        head.push(byte);
                        if !head.ends_with(b"\r\n\r\n") {
                            continue;
                        }
                        let text = String::from_utf8(std::mem::take(&mut head)).unwrap();
                        let range = text.lines().find_map(|line| {
                            let range = line.to_lowercase();
                            let range = range.strip_prefix("range: bytes=")?.to_owned();
                            let (first, last) = range.split_once('-')?;
                            Some((first.parse::<u64>().ok()?, last.parse::<u64>().ok()?))
                        });
                        let (status, length, content_range) = match range {
                            None => (200, CLAIMED, String::new()),
                            Some((first, last)) => {
                                let mut least = least.lock().unwrap();
                                *least = (*least).min(first);
                                let range =
                                    format!("content-range: bytes {first}-{last}/{CLAIMED}\r\n");
                                (206, last + 1 - first, range)
                            }
                        };
                        let answer = format!(
                            "HTTP/1.1 {status} OK\r\nx-oss-request-id: 1\r\nx-oss-object-type: \
                             Normal\r\netag: \"x\"\r\ncontent-length: {length}\r\n{content_range}\r\n"
                        );
                        socket.write_all(answer.as_bytes()).await.unwrap();
                        if range.is_some()
                            && socket.write_all(&piece[..length as usize]).await.is_err()
                        {
                            return;
                        }
                    }
                });
            }
        });
        let client = oss_append::OssClient::builder()
            .endpoint(format!("http://{address}"))
            .region("cn-hangzhou")
            .credentials(oss_append::credentials::StaticCredentials::new(
                "key", "secret",
            ))
            .build()
            .unwrap();
        let object: ObjectPath = "oss://bucket/object".parse().unwrap();
        let reader = ObjectReader::builder(client, object.clone());
        let failed = search_back(&reader, &object, 1, MOST).await.unwrap_err();
        let failure = Failure::from(failed);
        assert!(failure.message().contains("--bytes"), "{failure:?}");
        let searched = CLAIMED - *asked.lock().unwrap();
        assert!((MOST..MOST + LARGEST_PIECE).contains(&searched));
    }
}
