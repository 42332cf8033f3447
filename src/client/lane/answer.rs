//! The answers on a lane, one after the other.

use bytes::{Buf as _, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::io::AsyncReadExt as _;

use super::connect::Reading;
use crate::client::failure::MAX_DOCUMENT;
use crate::client::response::{decimal, header_text};
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
pub(super) type Answer = http::Response<Bytes>;

/// How long the body of an answer is.
enum Length {
    Known(usize),
    Chunked,
    ToTheEnd,
}

struct Head {
    status: u16,
    headers: HeaderMap,
    /// The server closes the connection behind this answer.
    ends: bool,
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
        let length = match length(&head) {
            Some(length) => length,
            None => return Err(bad(head.status, "its length is none that can be read")),
        };
        let (body, mut ends) = match length {
            Length::Known(length) => self.known(length).await?,
            Length::Chunked => self.chunked(head.status).await?,
            Length::ToTheEnd => (self.until_the_end().await?, true),
        };
        ends |= head.ends;
        let mut response = Answer::new(body);
        *response.status_mut() = http::StatusCode::from_u16(head.status)
            .map_err(|_| bad(head.status, "its status is none"))?;
        *response.headers_mut() = head.headers;
        Ok((response, ends))
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
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut answer = httparse::Response::new(&mut headers);
    match answer.parse(bytes) {
        Ok(httparse::Status::Complete(len)) => Ok(Some((own(&answer)?, len))),
        Ok(httparse::Status::Partial) if bytes.len() < MAX_HEAD => Ok(None),
        Ok(httparse::Status::Partial) => Err(bad(0, "its headers do not end")),
        Err(error) => Err(bad(0, &format!("it is not HTTP: {error}"))),
    }
}

/// The head with values of its own.
fn own(answer: &httparse::Response<'_, '_>) -> Result<Head> {
    let status = answer.code.unwrap_or_default();
    let mut headers = HeaderMap::with_capacity(answer.headers.len());
    for header in answer.headers.iter() {
        let name = HeaderName::from_bytes(header.name.as_bytes());
        let value = HeaderValue::from_bytes(header.value);
        let (Ok(name), Ok(value)) = (name, value) else {
            return Err(bad(status, "it has a header that is none"));
        };
        headers.append(name, value);
    }
    let connection = header_text(&headers, "connection").unwrap_or_default();
    let has = |token: &str| {
        let mut tokens = connection.split(',');
        tokens.any(|found| found.trim().eq_ignore_ascii_case(token))
    };
    let ends = match answer.version {
        Some(1) => has("close"),
        _ => !has("keep-alive"),
    };
    Ok(Head {
        status,
        headers,
        ends,
    })
}

/// The length of the body (RFC 9112, section 6.3); `None` if the headers contradict each other.
fn length(head: &Head) -> Option<Length> {
    if matches!(head.status, 204 | 304) {
        return Some(Length::Known(0));
    }
    if let Some(coding) = header_text(&head.headers, "transfer-encoding") {
        return coding
            .eq_ignore_ascii_case("chunked")
            .then_some(Length::Chunked);
    }
    let mut lengths = head.headers.get_all("content-length").iter();
    let Some(first) = lengths.next() else {
        return Some(Length::ToTheEnd);
    };
    let same = lengths.all(|other| other == first);
    let length = decimal(first.to_str().ok()?.trim())?;
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
