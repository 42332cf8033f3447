//! What has come is compared with the object's CRC-64 before the last of it is given out.

use std::ops::Range;
use std::task::{Context, Poll, ready};

use bytes::Bytes;

use super::fixed::Fixed;
use super::parts::{Parts, ReadAhead};
use super::source::Source;
use super::span::Span;
use super::transfer::{BEGIN_AGAIN, Manner};
use crate::error::{Error, ErrorKind, Result};
use crate::values::crc64::Crc64;

pub(super) struct Reading<S> {
    parts: Parts<S>,
    manner: Manner,
    span: Span,
    /// `None` where there is nothing to compare with.
    comparison: Option<Comparison>,
    /// Why nothing more comes.
    failed: Option<Error>,
}

struct Comparison {
    /// Of all that is before the next chunk.
    crc: Crc64,
    /// What it has to be at the end.
    expected: u64,
    range: Range<u64>,
    position: u64,
}

impl<S: Source> Reading<S> {
    pub(super) fn new(source: S, manner: Manner, span: Span, ahead: ReadAhead) -> Self {
        Self {
            parts: Parts::new(source, manner.clone(), span, ahead),
            manner,
            span,
            comparison: None,
            failed: None,
        }
    }

    /// Ready once it is known what the object is.
    pub(super) fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<Result<(Fixed, Range<u64>)>> {
        let (object, range) = ready!(self.parts.poll_found(cx))?;
        let before = self.span.before(&object, &range);
        self.comparison = before.zip(object.crc64()).map(|(before, expected)| {
            let (crc, position) = (Crc64::behind(before), range.start);
            Comparison {
                crc,
                expected,
                range: range.clone(),
                position,
            }
        });
        Poll::Ready(Ok((object, range)))
    }

    /// Whether what comes is compared.
    pub(super) fn compares(&self) -> bool {
        self.comparison.is_some()
    }

    /// The next bytes; `None` behind the last. Once it has failed it stays so.
    pub(super) fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>>> {
        if let Some(error) = &self.failed {
            return Poll::Ready(Err(error.clone()));
        }
        let chunk = ready!(self.parts.poll_chunk(cx));
        let compared = chunk.and_then(|chunk| self.compared(chunk));
        Poll::Ready(compared.inspect_err(|error| self.failed = Some(error.clone())))
    }

    /// Compares at the end, before the last bytes are given out: who has as many as there are does
    /// not ask for more.
    fn compared(&mut self, chunk: Option<Bytes>) -> Result<Option<Bytes>> {
        let Some(comparison) = &mut self.comparison else {
            return Ok(chunk);
        };
        let bytes = chunk.as_deref().unwrap_or_default();
        comparison.crc.update(bytes);
        comparison.position += bytes.len() as u64;
        let Comparison {
            crc,
            expected,
            range,
            position,
        } = comparison;
        if *position < range.end {
            return Ok(chunk);
        }
        let found = crc.finish();
        if found == *expected {
            return Ok(chunk);
        }
        Err(Error::new(ErrorKind::ReadDiffers {
            start: range.start,
            end: range.end,
            expected_crc64: *expected,
            found_crc64: found,
        })
        .with_operation("read")
        .with_object(&self.manner.object)
        .with_advice(Some(BEGIN_AGAIN)))
    }
}
