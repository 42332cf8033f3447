//! GetObject, whole or a range.
//!
//! <https://www.alibabacloud.com/help/en/oss/developer-reference/getobject>

use std::ops::{Bound, Range, RangeBounds};

use bytes::Bytes;
use http::Method;

use super::head::ObjectMeta;
use crate::client::OssClient;
use crate::client::request::{Call, Context};
use crate::client::response::{MAX_LENGTH, ObjectBody, decimal};
use crate::error::{Error, Result};
use crate::store::options::RequestOptions;
use crate::values::path::ObjectPath;

/// One read, made by [`OssClient::get_object`].
///
/// ```no_run
/// # async fn example(client: oss_append::OssClient, object: oss_append::ObjectPath)
/// # -> oss_append::Result<()> {
/// let got = client.get_object(&object).range(100..200).send().await?;
/// println!("bytes {:?} of {}", got.range, got.meta.length);
/// let bytes = got.bytes(1024).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "a request does nothing until it is sent"]
pub struct GetObjectRequest {
    client: OssClient,
    object: ObjectPath,
    range: (Bound<u64>, Bound<u64>),
    if_match: Option<String>,
    options: RequestOptions,
}

/// The answer to a read: what the object is, and its bytes as a stream.
#[derive(Debug)]
#[non_exhaustive]
pub struct GetObjectResult {
    /// The properties of the whole object.
    pub meta: ObjectMeta,
    /// Which bytes of the object the body has. It ends early if the object does.
    pub range: Range<u64>,
    /// The bytes.
    pub body: ObjectBody,
}

impl GetObjectResult {
    /// Reads the body into memory, if it is at most `limit` bytes, as [`ObjectBody::bytes`] does.
    ///
    /// # Errors
    /// As [`ObjectBody::bytes`].
    ///
    /// # Cancel safety
    /// What was read is lost with the future.
    pub async fn bytes(self, limit: u64) -> Result<Bytes> {
        self.body.bytes(limit).await
    }
}

impl GetObjectRequest {
    pub(in crate::client) fn new(client: OssClient, object: ObjectPath) -> Self {
        Self {
            client,
            object,
            range: (Bound::Unbounded, Bound::Unbounded),
            if_match: None,
            options: RequestOptions::default(),
        }
    }

    /// Reads these bytes alone.
    pub(crate) fn wanted(mut self, wanted: Wanted) -> Self {
        let end = wanted.end.map_or(Bound::Unbounded, Bound::Excluded);
        self.range = (Bound::Included(wanted.start), end);
        self
    }

    /// Reads what this tag is of alone, else OSS refuses (412).
    pub(crate) fn if_match(mut self, etag: Option<String>) -> Self {
        self.if_match = etag;
        self
    }

    /// Reads these bytes alone, such as `0..100` or `100..`. Default: all.
    pub fn range(mut self, range: impl RangeBounds<u64>) -> Self {
        self.range = (range.start_bound().cloned(), range.end_bound().cloned());
        self
    }

    /// Sets the traffic limit and who pays. Default: nothing.
    pub fn request_options(mut self, options: RequestOptions) -> Self {
        self.options = options;
        self
    }

    /// Sends the request, once, and returns as soon as the headers of the answer are there.
    ///
    /// # Errors
    /// As described at [`OssClient`]; `NoSuchKey` (404) if there is no such object, `InvalidRange`
    /// (416) if the range begins at its end or behind it, and
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for an empty range.
    ///
    /// # Cancel safety
    /// Nothing is lost: reading has no effect.
    pub async fn send(self) -> Result<GetObjectResult> {
        let context = Context::new("get", &self.object);
        let sent = self.send_get(context.clone()).await;
        sent.map_err(|error| context.wrap(error))
    }

    async fn send_get(self, context: Context) -> Result<GetObjectResult> {
        let wanted = Wanted::new(self.range)?;
        let mut call = Call::object("get", Method::GET, &self.object)
            // A cache on a custom domain would give an earlier state.
            .header("cache-control", "no-cache");
        if let Some(range) = wanted.header() {
            call = call
                .header("range", range)
                // Without it a range behind the end is answered with the whole object.
                .header("x-oss-range-behavior", "standard");
        }
        if let Some(etag) = self.if_match {
            call = call.header("if-match", etag);
        }
        call.headers.set_request(&self.options, None);
        let answer = call.send(&self.client).await?;
        let content_range = answer.text("content-range").unwrap_or_default();
        let content_length = answer.length("content-length")?;
        let (range, length) = wanted
            .granted(answer.status(), content_length, &content_range)
            .map_err(|reason| answer.bad(reason))?;
        let meta = ObjectMeta::read(&answer, length)?;
        let idle = self.client.inner.attempt_timeout;
        let body = ObjectBody::new(answer, range.end - range.start, idle, context);
        Ok(GetObjectResult { meta, range, body })
    }
}

/// The bytes that are asked for: from `start`, up to `end` if that is given.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Wanted {
    pub(crate) start: u64,
    pub(crate) end: Option<u64>,
}

impl Wanted {
    pub(crate) fn new(range: (Bound<u64>, Bound<u64>)) -> Result<Self> {
        let start = match range.0 {
            Bound::Unbounded => Some(0),
            Bound::Included(start) => Some(start),
            Bound::Excluded(before) => before.checked_add(1),
        };
        let end = match range.1 {
            Bound::Unbounded => None,
            Bound::Included(last) => last.checked_add(1),
            Bound::Excluded(end) => Some(end),
        };
        match start {
            Some(start) if end.is_none_or(|end| start < end) => Ok(Self { start, end }),
            _ => Err(Error::invalid_input("the range to read is empty")),
        }
    }

    fn header(self) -> Option<String> {
        match self {
            Self {
                start: 0,
                end: None,
            } => None,
            Self { start, end: None } => Some(format!("bytes={start}-")),
            Self {
                start,
                end: Some(end),
            } => Some(format!("bytes={start}-{}", end - 1)),
        }
    }

    /// The range that an answer with this status and these headers has, and the length of the whole
    /// object; else what is wrong with it.
    pub(crate) fn granted(
        self,
        status: u16,
        content_length: Option<u64>,
        content_range: &str,
    ) -> Result<(Range<u64>, u64), &'static str> {
        if status != 206 {
            let length = content_length.ok_or("it names no content length")?;
            if self.start > 0 {
                return Err("it is the whole object where a range was asked for");
            }
            return Ok((0..self.end.map_or(length, |end| end.min(length)), length));
        }
        let granted = parse_content_range(content_range);
        let (range, length) = granted.ok_or("its content range is malformed")?;
        let fits = range.start == self.start && self.end.is_none_or(|end| range.end <= end);
        match fits {
            true => Ok((range, length)),
            false => Err("its content range is not what was asked for"),
        }
    }
}

/// Reads `bytes FIRST-LAST/LENGTH`.
fn parse_content_range(text: &str) -> Option<(Range<u64>, u64)> {
    let (range, length) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last, length) = (decimal(first)?, decimal(last)?, decimal(length)?);
    (first <= last && last < length && length <= MAX_LENGTH).then(|| (first..last + 1, length))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ranges_are_asked_for_by_their_first_and_last_byte() {
        let header = |range: (Bound<u64>, Bound<u64>)| Wanted::new(range).unwrap().header();
        let bounds = |start, end| (Bound::Included(start), end);
        assert_eq!(header((Bound::Unbounded, Bound::Unbounded)), None);
        assert_eq!(header(bounds(5, Bound::Unbounded)).unwrap(), "bytes=5-");
        assert_eq!(header(bounds(0, Bound::Excluded(5))).unwrap(), "bytes=0-4");
        assert_eq!(header(bounds(5, Bound::Included(5))).unwrap(), "bytes=5-5");
        assert_eq!(
            header((Bound::Excluded(4), Bound::Excluded(6))).unwrap(),
            "bytes=5-5"
        );
        assert!(Wanted::new(bounds(5, Bound::Excluded(5))).is_err());
        assert!(Wanted::new((Bound::Excluded(u64::MAX), Bound::Unbounded)).is_err());
    }

    #[test]
    fn a_content_range_must_make_sense() {
        assert_eq!(parse_content_range("bytes 2-4/10"), Some((2..5, 10)));
        for text in [
            "",
            "bytes */10",
            "bytes 2-4/*",
            "bytes 4-2/10",
            "bytes 2-10/10",
            "2-4/10",
            "bytes 0-18446744073709551614/18446744073709551615",
            "bytes 0-18446744073709551615/18446744073709551616",
        ] {
            assert_eq!(parse_content_range(text), None, "{text:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_content_range_lies_within_a_length_that_can_be(
            text in "(bytes )?[0-9*-]{0,22}-[0-9]{0,22}/[0-9*]{0,22}", any: String,
        ) {
            for text in [text, any] {
                if let Some((range, length)) = parse_content_range(&text) {
                    prop_assert!(range.start < range.end && range.end <= length);
                    prop_assert!(length <= MAX_LENGTH);
                }
            }
        }
    }
}
