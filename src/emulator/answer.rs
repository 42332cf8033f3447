//! Answers under construction, and how they become HTTP.

use std::fs::File;
use std::io;
use std::ops::Range;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Empty, Full, StreamBody};

use super::object::Properties;
use super::storage::{Reading, read_file};

/// The body of an HTTP answer.
pub(super) type Body = UnsyncBoxBody<Bytes, io::Error>;

/// How much of a file is read at once.
const PIECE: u64 = 256 * 1024;

/// An answer before it has a request id and a date.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    content: Content,
}

#[derive(Debug)]
enum Content {
    Bytes(Bytes),
    /// One after the other.
    Readings {
        readings: Vec<Reading>,
        length: u64,
    },
}

impl Answer {
    /// An answer without a body.
    pub(super) fn empty(status: StatusCode) -> Self {
        Self {
            status,
            headers: HeaderMap::new(),
            content: Content::Bytes(Bytes::new()),
        }
    }

    /// An answer with a body.
    pub(super) fn with_body(
        status: StatusCode,
        content_type: &'static str,
        body: impl Into<Bytes>,
    ) -> Self {
        let mut answer = Self::empty(status);
        answer.content = Content::Bytes(body.into());
        answer.header("content-type", content_type)
    }

    /// A document in XML.
    pub(super) fn xml(document: Bytes) -> Self {
        Self::with_body(StatusCode::OK, "application/xml", document)
    }

    /// An answer with an object's bytes, `length` in all.
    pub(super) fn readings(status: StatusCode, readings: Vec<Reading>, length: u64) -> Self {
        let mut answer = Self::empty(status);
        answer.content = Content::Readings { readings, length };
        answer
    }

    /// Sets a header. A value that HTTP cannot carry is left out.
    pub(super) fn header(mut self, name: &'static str, value: impl ToString) -> Self {
        self.set(HeaderName::from_static(name), &value.to_string());
        self
    }

    pub(super) fn set(&mut self, name: HeaderName, value: &str) {
        if let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) {
            self.headers.insert(name, value);
        }
    }

    /// The headers that every answer about an object has.
    pub(super) fn identity(self, object: &Properties) -> Self {
        let mut answer = self
            .header("etag", format_args!("\"{}\"", object.etag))
            .header("x-oss-hash-crc64ecma", object.crc64);
        if let Some(version) = &object.attributes.version {
            answer = answer.header("x-oss-version-id", version);
        }
        for (name, value) in &object.attributes.encryption {
            if let Ok(name) = HeaderName::from_bytes(name.as_bytes()) {
                answer.set(name, value);
            }
        }
        answer
    }

    /// The HTTP answer. Of a HEAD it has no body, but its length.
    pub(super) fn into_response(mut self, head: bool) -> Response<Body> {
        let length = match &self.content {
            Content::Bytes(bytes) => bytes.len() as u64,
            Content::Readings { length, .. } => *length,
        };
        let bodiless = matches!(
            self.status,
            StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED
        );
        if !bodiless {
            self.headers
                .entry(CONTENT_LENGTH)
                .or_insert_with(|| length.into());
        }
        let body = if head || bodiless {
            Empty::new().map_err(|never| match never {}).boxed_unsync()
        } else {
            match self.content {
                Content::Bytes(bytes) => Full::new(bytes)
                    .map_err(|never| match never {})
                    .boxed_unsync(),
                Content::Readings { readings, .. } => {
                    let frames = stream::iter(readings).flat_map(frames);
                    StreamBody::new(frames).boxed_unsync()
                }
            }
        };
        let mut response = Response::new(body);
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        response
    }
}

fn frames(reading: Reading) -> BoxStream<'static, io::Result<Frame<Bytes>>> {
    match reading {
        Reading::Pieces(pieces) => {
            let frames = pieces.into_iter().map(|piece| Ok(Frame::data(piece)));
            stream::iter(frames).boxed()
        }
        Reading::File { file, range } => {
            stream::try_unfold((file, range), |(file, range)| async move {
                if range.is_empty() {
                    return Ok(None);
                }
                let end = range.end.min(range.start + PIECE);
                let (file, bytes) = read_piece(file, range.start..end).await?;
                Ok(Some((Frame::data(bytes), (file, end..range.end))))
            })
            .boxed()
        }
    }
}

async fn read_piece(file: File, range: Range<u64>) -> io::Result<(File, Bytes)> {
    tokio::task::spawn_blocking(move || {
        let bytes = read_file(&file, range)?;
        Ok((file, bytes.into()))
    })
    .await
    .map_err(io::Error::other)?
}
