//! The answer to a request that succeeded: its headers, read strictly, and its body, as a stream.

use std::fmt;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::stream::{BoxStream, Stream, StreamExt as _};
use http::HeaderMap;

use super::request::Context;
use crate::credentials::Credentials;
use crate::error::{Error, ErrorKind, Result, TransportCause};
use crate::wire::failure::{stalled, transport};

/// The most bytes of a body that nobody wants, read so that its connection can be used again.
const MAX_DRAINED: usize = 64 * 1024;

/// More than any object has.
pub(super) const MAX_LENGTH: u64 = i64::MAX as u64;

/// The longest time that is spent on a body that nobody wants.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);

/// A header's value as text, without whitespace around it.
pub(super) fn header_text(headers: &HeaderMap, name: &str) -> Option<String> {
    let value = headers.get(name)?.as_bytes();
    Some(String::from_utf8_lossy(value).trim().to_owned())
}

/// An answer with a status of success.
pub(super) struct Answer {
    pub(super) response: reqwest::Response,
    /// What the request was signed with, which the answer may repeat.
    pub(super) credentials: Credentials,
    pub(super) signature: String,
}

impl Answer {
    pub(super) fn status(&self) -> u16 {
        self.response.status().as_u16()
    }

    pub(super) fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    pub(super) fn text(&self, name: &str) -> Option<String> {
        header_text(self.headers(), name)
    }

    /// A header that has to be a decimal number if it is there.
    pub(super) fn number(&self, name: &str) -> Result<Option<u64>> {
        let Some(text) = self.text(name) else {
            return Ok(None);
        };
        match decimal(&text) {
            Some(number) => Ok(Some(number)),
            None => Err(self.bad(format!("the value of {name} is not a number"))),
        }
    }

    /// A length or position. One that no object can have is an error: what is added to it must not
    /// wrap.
    pub(super) fn length(&self, name: &str) -> Result<Option<u64>> {
        match self.number(name)? {
            Some(length) if length > MAX_LENGTH => {
                Err(self.bad(format!("the value of {name} is not a length")))
            }
            length => Ok(length),
        }
    }

    /// A header's value, fit for an error or a log.
    pub(super) fn shown(&self, name: &str) -> Option<String> {
        Some(
            self.credentials
                .hidden(&self.signature)
                .show(&self.text(name)?),
        )
    }

    /// The id of the request, fit for a log.
    pub(super) fn request_id(&self) -> Option<String> {
        self.shown("x-oss-request-id")
    }

    /// An error about an answer that the protocol does not allow.
    pub(super) fn bad(&self, reason: impl Into<String>) -> Error {
        Error::new(ErrorKind::BadAnswer {
            status: self.status(),
            reason: reason.into(),
            request_id: self.request_id(),
        })
    }

    /// Reads the whole body, which must be at most `limit` bytes, with no pause longer than `idle`.
    pub(super) async fn document(&mut self, limit: usize, idle: Duration) -> Result<Bytes> {
        let mut body = BytesMut::new();
        loop {
            match next_chunk(&mut self.response, idle).await? {
                None => return Ok(body.freeze()),
                Some(chunk) if chunk.len() > limit - body.len() => {
                    return Err(self.bad(format!("it has more than {limit} bytes")));
                }
                Some(chunk) => body.extend_from_slice(&chunk),
            }
        }
    }

    /// Reads what is left of a body that says nothing. The headers have told the outcome, so a
    /// failure to read it is none.
    pub(super) async fn finish(self) {
        if self.response.content_length() != Some(0) {
            let _ = read_bounded(self.response, MAX_DRAINED, DRAIN_TIMEOUT).await;
        }
    }
}

/// Reads up to `limit` bytes, for at most `timeout` in all. What has come until then counts.
pub(super) async fn read_bounded(
    mut response: reqwest::Response,
    limit: usize,
    timeout: Duration,
) -> Bytes {
    let mut body = BytesMut::new();
    let read = async {
        while let Ok(Some(chunk)) = response.chunk().await {
            body.extend_from_slice(&chunk[..chunk.len().min(limit - body.len())]);
            if body.len() == limit {
                break;
            }
        }
    };
    // A body that trickles forever is progress, but not towards anything: the time is bounded.
    let _ = tokio::time::timeout(timeout, read).await;
    body.freeze()
}

/// A decimal number of digits alone.
pub(super) fn decimal(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

/// The bytes of an object, or of a range of it, as they arrive.
///
/// A stream of [`Bytes`]. It ends after exactly the bytes that the answer promised; if fewer
/// arrive, or none for the client's attempt timeout, its last item is an error. Dropping it closes
/// the connection.
///
/// To read it as a [`tokio::io::AsyncRead`], map its errors to `io::Error`:
///
/// ```no_run
/// use futures::TryStreamExt as _;
/// use tokio_util::io::StreamReader;
/// # async fn example(client: oss_append::OssClient, object: oss_append::ObjectPath)
/// # -> std::io::Result<()> {
/// let got = client.get_object(&object).send().await?;
/// let mut reader = StreamReader::new(got.body.map_err(std::io::Error::from));
/// tokio::io::copy(&mut reader, &mut tokio::io::stdout()).await?;
/// # Ok(())
/// # }
/// ```
pub struct ObjectBody {
    stream: BoxStream<'static, Result<Bytes>>,
    left: u64,
}

impl ObjectBody {
    /// The next `length` bytes of the answer. What is behind them is not read.
    pub(super) fn new(answer: Answer, length: u64, idle: Duration, context: Context) -> Self {
        let state = Some((answer.response, length, context));
        let stream = futures::stream::unfold(state, move |state| async move {
            let (mut response, left, context) = state?;
            if left == 0 {
                return None;
            }
            let chunk = next_chunk(&mut response, idle).await;
            match chunk.and_then(|chunk| chunk.ok_or_else(|| ended_early(left))) {
                Ok(mut chunk) => {
                    chunk.truncate(usize::try_from(left).unwrap_or(usize::MAX));
                    let left = left - chunk.len() as u64;
                    Some((Ok(chunk), Some((response, left, context))))
                }
                Err(error) => Some((Err(context.wrap(error)), None)),
            }
        });
        Self {
            stream: stream.boxed(),
            left: length,
        }
    }

    /// How many bytes are still to come.
    pub fn remaining(&self) -> u64 {
        self.left
    }

    /// Reads the rest into memory, if it is at most `limit` bytes.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if there is more than `limit`, before
    /// anything is read; else what the stream fails with.
    ///
    /// # Cancel safety
    /// What was read is lost with the future.
    pub async fn bytes(mut self, limit: u64) -> Result<Bytes> {
        if self.left > limit {
            return Err(Error::invalid_input(format!(
                "{} bytes are more than the limit of {limit}",
                self.left
            )));
        }
        let mut all = BytesMut::new();
        while let Some(chunk) = self.stream.next().await {
            let chunk = chunk?;
            if all.is_empty() && chunk.len() as u64 == self.left {
                return Ok(chunk);
            }
            all.extend_from_slice(&chunk);
        }
        Ok(all.freeze())
    }
}

fn ended_early(left: u64) -> Error {
    Error::transport(
        TransportCause::Broken,
        format!("the answer ended {left} bytes early"),
    )
}

/// What comes next of a body; `None` at its end. It may not stand still for longer than `idle`.
async fn next_chunk(response: &mut reqwest::Response, idle: Duration) -> Result<Option<Bytes>> {
    match tokio::time::timeout(idle, response.chunk()).await {
        Err(_) => Err(stalled(idle)),
        Ok(chunk) => chunk.map_err(transport),
    }
}

impl Stream for ObjectBody {
    type Item = Result<Bytes>;

    fn poll_next(
        mut self: Pin<&mut Self>,
        cx: &mut TaskContext<'_>,
    ) -> Poll<Option<Result<Bytes>>> {
        let item = std::task::ready!(self.stream.poll_next_unpin(cx));
        if let Some(Ok(chunk)) = &item {
            self.left -= chunk.len() as u64;
        }
        Poll::Ready(item)
    }
}

impl fmt::Debug for ObjectBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObjectBody")
            .field("remaining", &self.left)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_digits_alone() {
        assert_eq!(decimal("18446744073709551615"), Some(u64::MAX));
        for text in ["", "+1", "-1", "1.0", "0x1", "18446744073709551616", "1 2"] {
            assert_eq!(decimal(text), None, "{text:?}");
        }
    }
}
