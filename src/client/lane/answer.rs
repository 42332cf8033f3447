//! The answers on a lane, one after the other.

use bytes::{Buf as _, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::io::AsyncReadExt as _;

use super::connect::Reading;
use crate::client::failure::MAX_DOCUMENT;
use crate::client::response::{MAX_LENGTH, decimal};
use crate::client::transport::MAX_HEADERS;
use crate::error::{Error, ErrorKind, Result, TransportCause};

/// The most bytes of the headers of an answer.
const MAX_HEAD: usize = 256 * 1024;

/// What is read of a connection.
pub(super) struct Answers {
    read: Reading,
    /// What has come and does not belong to an answer yet.
    rest: BytesMut,
}

/// An answer, with its whole body.
pub(super) enum Answer {
    Success(Success),
    /// Any that is not a success, or that has something else in it than those have.
    Other(http::Response<Bytes>),
}

/// What the headers of a success say.
#[derive(Default)]
pub(in crate::client) struct Success {
    pub(in crate::client) status: u16,
    pub(in crate::client) next_position: Option<u64>,
    pub(in crate::client) crc64: Option<u64>,
    pub(in crate::client) etag: Option<String>,
    pub(in crate::client) version_id: Option<String>,
    pub(in crate::client) request_id: Option<String>,
    pub(in crate::client) delay: Option<u64>,
    pub(in crate::client) date: Option<HeaderValue>,
}

/// How long the body of an answer is.
enum Length {
    Known(usize),
    Chunked,
    ToTheEnd,
}

struct Head {
    status: u16,
    content: Content,
    /// `None`: the headers contradict each other.
    length: Option<Length>,
    /// The server closes the connection behind this answer.
    ends: bool,
}

enum Content {
    Success(Success),
    Other(HeaderMap),
}

impl Answers {
    pub(super) fn new(read: Reading) -> Self {
        Self {
            read,
            rest: BytesMut::new(),
        }
    }

    /// Waits for what nobody has asked for, or the end.
    pub(super) async fn unasked(&mut self) {
        if self.rest.is_empty() {
            // Whatever it is, the connection is of no more use.
            let _ = self.read.read_buf(&mut self.rest).await;
        }
    }

    /// The next answer, and whether it is the last on this connection.
    pub(super) async fn next(&mut self) -> Result<(Answer, bool)> {
        let head = loop {
            let head = self.head().await?;
            // Informational answers are none.
            if head.status >= 200 {
                break head;
            }
        };
        let length = head
            .length
            .ok_or_else(|| bad(head.status, "its length is none that can be read"))?;
        let (body, mut ends) = match length {
            Length::Known(length) => self.known(length).await?,
            Length::Chunked => self.chunked(head.status).await?,
            Length::ToTheEnd => (self.until_the_end().await?, true),
        };
        ends |= head.ends;
        let answer = match head.content {
            Content::Success(success) => Answer::Success(success),
            Content::Other(headers) => {
                let mut response = http::Response::new(body);
                *response.status_mut() = http::StatusCode::from_u16(head.status)
                    .map_err(|_| bad(head.status, "its status is none"))?;
                *response.headers_mut() = headers;
                Answer::Other(response)
            }
        };
        Ok((answer, ends))
    }

    async fn head(&mut self) -> Result<Head> {
        loop {
            if let Some((head, len)) = parse(&self.rest)? {
                self.rest.advance(len);
                return Ok(head);
            }
            self.more().await?;
        }
    }

    /// Reads on. The end is an error: something is missing.
    async fn more(&mut self) -> Result<()> {
        match self.read.read_buf(&mut self.rest).await {
            Ok(0) => Err(broken("the server closed the connection")),
            Ok(_) => Ok(()),
            Err(error) => Err(broken(&error.to_string()).with_source(error)),
        }
    }

    /// A body of known length. Of one that is too long the beginning is read, and the connection
    /// given up.
    async fn known(&mut self, length: usize) -> Result<(Bytes, bool)> {
        if length == 0 {
            return Ok((Bytes::new(), false));
        }
        let wanted = length.min(MAX_DOCUMENT);
        while self.rest.len() < wanted {
            self.more().await?;
        }
        Ok((self.rest.split_to(wanted).freeze(), wanted < length))
    }

    async fn until_the_end(&mut self) -> Result<Bytes> {
        while self.rest.len() < MAX_DOCUMENT {
            match self.read.read_buf(&mut self.rest).await {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) => return Err(broken(&error.to_string()).with_source(error)),
            }
        }
        Ok(self.rest.split().freeze())
    }

    /// A body in chunks (RFC 9112, section 7.1).
    async fn chunked(&mut self, status: u16) -> Result<(Bytes, bool)> {
        let mut body = BytesMut::new();
        loop {
            let (start, len) = loop {
                match httparse::parse_chunk_size(&self.rest) {
                    Ok(httparse::Status::Complete(found)) => break found,
                    Ok(httparse::Status::Partial) if self.rest.len() < MAX_DOCUMENT => {
                        self.more().await?;
                    }
                    _ => return Err(bad(status, "its chunks cannot be read")),
                }
            };
            self.rest.advance(start);
            if len == 0 {
                self.trailers(status).await?;
                return Ok((body.freeze(), false));
            }
            let len = usize::try_from(len).unwrap_or(usize::MAX);
            if len > MAX_DOCUMENT - body.len() {
                return Ok((body.freeze(), true));
            }
            // With the end of its line.
            while self.rest.len() < len + 2 {
                self.more().await?;
            }
            body.extend_from_slice(&self.rest.split_to(len));
            if *self.rest.split_to(2) != *b"\r\n" {
                return Err(bad(status, "its chunks cannot be read"));
            }
        }
    }

    /// The lines behind the last chunk, up to an empty one.
    async fn trailers(&mut self, status: u16) -> Result<()> {
        loop {
            let Some(end) = self.rest.windows(2).position(|two| two == b"\r\n") else {
                if self.rest.len() > MAX_HEAD {
                    return Err(bad(status, "its trailers do not end"));
                }
                self.more().await?;
                continue;
            };
            self.rest.advance(end + 2);
            if end == 0 {
                return Ok(());
            }
        }
    }
}

/// The head that `bytes` begin with, and its length; `None` if it has not come whole.
fn parse(bytes: &[u8]) -> Result<Option<(Head, usize)>> {
    // Few have many, and room for those takes time to make.
    let mut headers = [httparse::EMPTY_HEADER; 32];
    match parse_into(&mut headers, bytes) {
        Err(httparse::Error::TooManyHeaders) => {
            let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
            judge(parse_into(&mut headers, bytes), bytes)
        }
        parsed => judge(parsed, bytes),
    }
}

type Parsed<'h, 'b> = httparse::Result<(httparse::Response<'h, 'b>, usize)>;

fn parse_into<'h, 'b>(headers: &'h mut [httparse::Header<'b>], bytes: &'b [u8]) -> Parsed<'h, 'b> {
    let mut answer = httparse::Response::new(headers);
    Ok(match answer.parse(bytes)? {
        httparse::Status::Complete(len) => httparse::Status::Complete((answer, len)),
        httparse::Status::Partial => httparse::Status::Partial,
    })
}

fn judge(parsed: Parsed<'_, '_>, bytes: &[u8]) -> Result<Option<(Head, usize)>> {
    match parsed {
        Ok(httparse::Status::Complete((answer, len))) => Ok(Some((own(&answer)?, len))),
        Ok(httparse::Status::Partial) if bytes.len() < MAX_HEAD => Ok(None),
        Ok(httparse::Status::Partial) => Err(bad(0, "its headers do not end")),
        Err(error) => Err(bad(0, &format!("it is not HTTP: {error}"))),
    }
}

/// The head with values of its own.
fn own(answer: &httparse::Response<'_, '_>) -> Result<Head> {
    let status = answer.code.unwrap_or_default();
    let has = |token: &str| {
        let connection = value(answer, "connection").unwrap_or_default();
        let mut tokens = connection.split(|byte| *byte == b',');
        tokens.any(|found| found.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
    };
    let ends = match answer.version {
        Some(1) => has("close"),
        _ => !has("keep-alive"),
    };
    let content = match success(answer) {
        Some(success) => Content::Success(success),
        None => Content::Other(headers(answer)?),
    };
    Ok(Head {
        status,
        content,
        length: length(answer),
        ends,
    })
}

fn headers(answer: &httparse::Response<'_, '_>) -> Result<HeaderMap> {
    let mut headers = HeaderMap::with_capacity(answer.headers.len());
    for header in answer.headers.iter() {
        let name = HeaderName::from_bytes(header.name.as_bytes());
        let value = HeaderValue::from_bytes(header.value);
        let (Ok(name), Ok(value)) = (name, value) else {
            let status = answer.code.unwrap_or_default();
            return Err(bad(status, "it has a header that is none"));
        };
        headers.append(name, value);
    }
    Ok(headers)
}

/// The values of a header.
fn values<'a>(
    answer: &'a httparse::Response<'_, '_>,
    name: &'static str,
) -> impl Iterator<Item = &'a [u8]> {
    let headers = answer.headers.iter();
    let found = headers.filter(move |header| header.name.eq_ignore_ascii_case(name));
    found.map(|header| header.value.trim_ascii())
}

fn value<'a>(answer: &'a httparse::Response<'_, '_>, name: &'static str) -> Option<&'a [u8]> {
    values(answer, name).next()
}

/// What a success says, without a copy of all its headers. `None`: it is none, or a header in it is
/// not as it should be.
fn success(answer: &httparse::Response<'_, '_>) -> Option<Success> {
    let status = answer.code.filter(|status| (200..300).contains(status))?;
    let text = |name| match value(answer, name) {
        Some(value) => str::from_utf8(value).ok().map(|text| Some(text.to_owned())),
        None => Some(None),
    };
    let number = |name| match value(answer, name) {
        Some(value) => decimal(str::from_utf8(value).ok()?).map(Some),
        None => Some(None),
    };
    Some(Success {
        status,
        next_position: number("x-oss-next-append-position")?.map_or(Some(None), |next| {
            (next <= MAX_LENGTH).then_some(Some(next))
        })?,
        crc64: number("x-oss-hash-crc64ecma")?,
        etag: text("etag")?,
        version_id: text("x-oss-version-id")?,
        request_id: text("x-oss-request-id")?,
        delay: number("x-oss-qos-delay-time")?,
        date: match value(answer, "date") {
            Some(date) => Some(HeaderValue::from_bytes(date).ok()?),
            None => None,
        },
    })
}

/// The length of the body (RFC 9112, section 6.3); `None` if the headers contradict each other.
fn length(answer: &httparse::Response<'_, '_>) -> Option<Length> {
    if matches!(answer.code, Some(204 | 304)) {
        return Some(Length::Known(0));
    }
    if let Some(coding) = value(answer, "transfer-encoding") {
        return coding
            .eq_ignore_ascii_case(b"chunked")
            .then_some(Length::Chunked);
    }
    let mut lengths = values(answer, "content-length");
    let Some(first) = lengths.next() else {
        return Some(Length::ToTheEnd);
    };
    let same = lengths.all(|other| other == first);
    let length = decimal(str::from_utf8(first).ok()?)?;
    same.then(|| Length::Known(usize::try_from(length).unwrap_or(usize::MAX)))
}

fn bad(status: u16, reason: &str) -> Error {
    Error::new(ErrorKind::BadAnswer {
        status,
        reason: reason.into(),
        request_id: None,
    })
}

fn broken(reason: &str) -> Error {
    Error::transport(TransportCause::Broken, reason)
}
