//! Where a request ends and the next one begins.

use httparse::{EMPTY_HEADER, Header, Status};

use crate::emulator::connection::MAX_HEADERS;

/// The most bytes of a head, or of another part that is read whole. hyper takes fewer.
pub(super) const MAX_PART: usize = 512 * 1024;

/// What a request's head says about where the request ends.
#[derive(Debug, PartialEq)]
pub(super) struct Head {
    /// The bytes of the head itself.
    pub(super) length: usize,
    pub(super) body: Body,
    /// The client sends nothing behind it, or nothing that can be read.
    pub(super) last: bool,
}

#[derive(Debug, PartialEq)]
pub(super) enum Body {
    Length(u64),
    Chunked,
}

/// Reads the head that begins `bytes`, if it is all there. One that makes no sense is all of
/// `bytes`: hyper, which gets them, knows how to refuse it.
pub(super) fn head(bytes: &[u8]) -> Option<Head> {
    let mut headers = vec![EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    let parsed = request.parse(bytes);
    if parsed == Ok(Status::Partial) && bytes.len() < MAX_PART {
        return None;
    }
    let keeps = |length| {
        let body = body(request.headers)?;
        let last = ends(request.version, request.headers);
        Some(Head { length, body, last })
    };
    let refused = Head {
        length: bytes.len(),
        body: Body::Length(0),
        last: true,
    };
    let length = parsed.ok().and_then(|parsed| match parsed {
        Status::Complete(length) => Some(length),
        Status::Partial => None,
    });
    Some(length.and_then(keeps).unwrap_or(refused))
}

/// What follows the head, if that can be told.
fn body(headers: &[Header<'_>]) -> Option<Body> {
    if let Some(coding) = values(headers, "transfer-encoding").next() {
        return coding
            .eq_ignore_ascii_case("chunked")
            .then_some(Body::Chunked);
    }
    let mut lengths = values(headers, "content-length");
    let length = lengths.next().unwrap_or("0");
    let agreed = lengths.all(|other| other == length);
    let digits = length.bytes().all(|byte| byte.is_ascii_digit());
    let length = length.parse().ok().filter(|_| agreed && digits)?;
    Some(Body::Length(length))
}

/// Whether the client ends the connection with this request.
fn ends(version: Option<u8>, headers: &[Header<'_>]) -> bool {
    let says = |wanted: &str| {
        values(headers, "connection")
            .flat_map(|value| value.split(','))
            .any(|option| option.trim().eq_ignore_ascii_case(wanted))
    };
    says("close") || (version == Some(0) && !says("keep-alive"))
}

fn values<'a>(headers: &'a [Header<'_>], name: &'a str) -> impl Iterator<Item = &'a str> {
    headers
        .iter()
        .filter(move |header| header.name.eq_ignore_ascii_case(name))
        // What is no text agrees with nothing that is looked for.
        .map(|header| str::from_utf8(header.value).unwrap_or("?").trim())
}

/// Reads the line ahead of a chunk: its own length, and that of the chunk.
pub(super) fn chunk(bytes: &[u8]) -> httparse::Result<(usize, u64)> {
    httparse::parse_chunk_size(bytes).map_err(|_| httparse::Error::Token)
}

/// Reads what is behind the last chunk, and tells its length.
pub(super) fn trailers(bytes: &[u8]) -> httparse::Result<usize> {
    let mut headers = vec![EMPTY_HEADER; MAX_HEADERS];
    let parsed = httparse::parse_headers(bytes, &mut headers)?;
    Ok(match parsed {
        Status::Complete((length, _)) => Status::Complete(length),
        Status::Partial => Status::Partial,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_tells_where_its_request_ends() {
        let length = |body, last| Some((Body::Length(body), last));
        let chunked = Some((Body::Chunked, false));
        for (text, expected) in [
            ("POST / HTTP/1.1\r\n", None),
            ("GET / HTTP/1.1\r\n\r\n", length(0, false)),
            ("\r\nGET / HTTP/1.1\r\n\r\n", length(0, false)),
            (
                "POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\n",
                length(5, false),
            ),
            (
                "POST / HTTP/1.1\r\ncontent-length: 5\r\ncontent-length: 5\r\n\r\n",
                length(5, false),
            ),
            (
                "POST / HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n",
                chunked,
            ),
            ("GET / HTTP/1.0\r\n\r\n", length(0, true)),
            (
                "GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n",
                length(0, false),
            ),
            (
                "GET / HTTP/1.1\r\nConnection: x, Close\r\n\r\n",
                length(0, true),
            ),
        ] {
            let found = head(text.as_bytes());
            let ends = found.as_ref().map(|head| head.length);
            assert!(ends.is_none_or(|end| end == text.len()), "{text}");
            assert_eq!(found.map(|head| (head.body, head.last)), expected, "{text}");
        }
    }

    #[test]
    fn a_head_that_makes_no_sense_is_the_last_one_with_all_that_follows() {
        for text in [
            "no HTTP\r\n\r\n",
            "POST / HTTP/1.1\r\ncontent-length: x\r\n\r\nabc",
            "POST / HTTP/1.1\r\ncontent-length: +3\r\n\r\nabc",
            "POST / HTTP/1.1\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabc",
            "POST / HTTP/1.1\r\ntransfer-encoding: gzip\r\n\r\nabc",
        ] {
            let refused = Head {
                length: text.len(),
                body: Body::Length(0),
                last: true,
            };
            assert_eq!(head(text.as_bytes()), Some(refused), "{text}");
        }
    }

    #[test]
    fn the_parts_of_a_chunked_body_tell_their_lengths() {
        assert_eq!(chunk(b"1a;x=y\r\nabc"), Ok(Status::Complete((8, 26))));
        assert_eq!(chunk(b"1a"), Ok(Status::Partial));
        assert!(chunk(b"x\r\n").is_err());
        assert_eq!(trailers(b"\r\nPOST"), Ok(Status::Complete(2)));
        assert_eq!(trailers(b"a: b\r\n\r\nPOST"), Ok(Status::Complete(8)));
        assert_eq!(trailers(b"a: b\r\n"), Ok(Status::Partial));
    }
}
