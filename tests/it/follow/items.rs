//! Lines and other items: whole ones, with places from which can be gone on.

use std::io;

use bytes::{Buf as _, Bytes, BytesMut};
use futures::{StreamExt as _, TryStreamExt as _};
use oss_append::{Checkpoint, Error, ErrorKind, Followed, crc64};
use tokio_util::codec::{Decoder, LengthDelimitedCodec, LinesCodec};

use super::*;
use crate::support::emulated::start;

/// What a place has to be, of this whole object.
fn check<T>(item: &Followed<T>, whole: &[u8]) {
    let crc = crc64::checksum(&whole[..item.end as usize]);
    assert_eq!(item.crc64, Some(crc));
    assert_eq!(
        item.checkpoint(),
        Checkpoint::new(object(), item.end).crc64(crc)
    );
}

#[tokio::test]
async fn a_line_comes_when_it_is_whole() {
    let emulator = start().await;
    grow(&emulator, "one\ntw");
    let mut lines = follower(&emulator).open().await.unwrap().lines();
    let whole = b"one\ntwo\n\nnot UTF-8: \xff\nrest";
    let line = next(&mut lines).await.unwrap();
    assert_eq!((&line.item[..], line.range()), (&b"one"[..], 0..4));
    check(&line, whole);
    nothing(&emulator, &mut lines).await;
    grow(&emulator, "o\n\nnot UTF-8: ");
    for (text, range) in [("two", 4..8), ("", 8..9)] {
        let line = next(&mut lines).await.unwrap();
        assert_eq!((&line.item[..], line.range()), (text.as_bytes(), range));
        check(&line, whole);
    }
    grow(&emulator, b"\xff\nrest");
    let line = next(&mut lines).await.unwrap();
    assert_eq!(
        (&line.item[..], line.range()),
        (&b"not UTF-8: \xff"[..], 9..22)
    );
    nothing(&emulator, &mut lines).await;
    emulator.seal("bucket", "object").unwrap();
    let line = next(&mut lines).await.unwrap();
    assert_eq!((&line.item[..], line.range()), (&b"rest"[..], 22..26));
    check(&line, whole);
    assert!(lines.next().await.is_none());
}

#[tokio::test]
async fn each_item_is_processed_once_however_often_it_is_gone_on() {
    let emulator = start().await;
    let text: String = (0..50).map(|number| format!("line {number}\n")).collect();
    for piece in text.as_bytes().chunks(7) {
        grow(&emulator, piece);
    }
    emulator.seal("bucket", "object").unwrap();
    let mut stored = Checkpoint::start(object());
    let mut seen = Vec::new();
    for run in 1.. {
        let builder = follower(&emulator).checkpoint(stored.clone());
        let mut lines = builder.open().await.unwrap().lines();
        let mut left = run % 5;
        while left > 0
            && let Some(line) = lines.next().await
        {
            let line = line.unwrap();
            check(&line, text.as_bytes());
            stored = line.checkpoint();
            seen.push(line.item);
            left -= 1;
        }
        if left > 0 {
            break;
        }
    }
    let expected: Vec<_> = text
        .lines()
        .map(|line| Bytes::from(line.to_owned()))
        .collect();
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn any_decoder_has_places() {
    let emulator = start().await;
    let mut whole = Vec::new();
    for text in ["one", "", "three"] {
        whole.extend((text.len() as u32).to_be_bytes());
        whole.extend(text.as_bytes());
    }
    // The decoder takes a length before the bytes are there.
    grow(&emulator, &whole[..5]);
    let codec = LengthDelimitedCodec::new();
    let mut items = follower(&emulator).open().await.unwrap().decode(codec);
    nothing(&emulator, &mut items).await;
    grow(&emulator, &whole[5..]);
    for (text, range) in [("one", 0..7), ("", 7..11), ("three", 11..20)] {
        let item = next(&mut items).await.unwrap();
        assert_eq!((&item.item[..], item.range()), (text.as_bytes(), range));
        check(&item, &whole);
    }
    // A cut item is the decoder's error.
    grow(&emulator, &whole[..5]);
    emulator.seal("bucket", "object").unwrap();
    let error = next(&mut items).await.unwrap_err();
    assert!(Error::from_io(&error).is_none(), "{error}");
    assert!(items.next().await.is_none());
}

#[tokio::test]
async fn an_error_of_reading_is_inside_that_of_the_decoder() {
    let emulator = start().await;
    grow(&emulator, "one\ntwo\n");
    let follower = follower(&emulator).open().await.unwrap();
    let mut lines = follower.decode(LinesCodec::new());
    assert_eq!(next(&mut lines).await.unwrap().item, "one");
    assert_eq!(next(&mut lines).await.unwrap().item, "two");
    emulator.delete("bucket", "object").unwrap();
    let error = match next(&mut lines).await.unwrap_err() {
        tokio_util::codec::LinesCodecError::Io(error) => error,
        error => panic!("{error}"),
    };
    let error = Error::from_io(&error).unwrap();
    assert!(matches!(error.kind(), ErrorKind::Conflict(_)));
    assert!(lines.next().await.is_none());
}

#[tokio::test]
async fn a_line_without_an_end_does_not_fill_the_memory() {
    let emulator = start().await;
    grow(&emulator, "short\n");
    grow(&emulator, vec![b'x'; oss_append::defaults::MAX_LINE + 1]);
    let mut lines = follower(&emulator).open().await.unwrap().lines();
    assert_eq!(next(&mut lines).await.unwrap().item, "short");
    let error = next(&mut lines).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::InvalidInput { .. }));
    assert_eq!(
        (error.object(), error.position()),
        (Some(&object()), Some(6))
    );
    assert!(lines.next().await.is_none());
}

/// Takes a byte at a time, and gives what it has at the end.
struct Reversed(Vec<u8>);

impl Decoder for Reversed {
    type Item = Vec<u8>;
    type Error = io::Error;

    fn decode(&mut self, from: &mut BytesMut) -> io::Result<Option<Vec<u8>>> {
        while from.has_remaining() {
            self.0.insert(0, from.get_u8());
        }
        Ok(None)
    }

    fn decode_eof(&mut self, from: &mut BytesMut) -> io::Result<Option<Vec<u8>>> {
        self.decode(from)?;
        Ok(Some(std::mem::take(&mut self.0)).filter(|all| !all.is_empty()))
    }
}

#[tokio::test]
async fn a_decoder_is_asked_at_the_end_for_what_it_has_kept() {
    let emulator = start().await;
    grow(&emulator, "abc");
    grow(&emulator, "def");
    emulator.seal("bucket", "object").unwrap();
    let follower = follower(&emulator).open().await.unwrap();
    let items: Vec<_> = follower
        .decode(Reversed(Vec::new()))
        .try_collect()
        .await
        .unwrap();
    assert_eq!(items.len(), 1);
    assert_eq!(
        (&items[0].item[..], items[0].range()),
        (&b"fedcba"[..], 0..6)
    );
    check(&items[0], b"abcdef");
}
