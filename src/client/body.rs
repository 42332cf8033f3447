//! The body of a request: a batch, handed out in small frames without copying, each one reported
//! as progress.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::core::batch::Batch;
use crate::progress::Progress;

/// The most bytes of one frame. A frame is the unit of progress, so it is small against what a
/// slow link moves within a timeout.
const MAX_FRAME: usize = 64 * 1024;

/// A body of exactly known length over the chunks of a [`Batch`].
#[derive(Debug)]
pub(crate) struct BatchBody {
    batch: Batch,
    chunk: usize,
    offset: usize,
    left: u64,
    progress: Progress,
}

impl BatchBody {
    pub(crate) fn new(batch: Batch, progress: Progress) -> Self {
        Self {
            chunk: 0,
            offset: 0,
            left: batch.len(),
            batch,
            progress,
        }
    }

    fn next_frame(&mut self) -> Option<Bytes> {
        let chunk = self.batch.chunks().get(self.chunk)?;
        let end = chunk.len().min(self.offset + MAX_FRAME);
        let frame = chunk.slice(self.offset..end);
        if end == chunk.len() {
            self.chunk += 1;
            self.offset = 0;
        } else {
            self.offset = end;
        }
        self.left -= frame.len() as u64;
        Some(frame)
    }
}

impl Body for BatchBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.next_frame().map(|frame| {
            self.progress.advance(frame.len() as u64);
            Ok(Frame::data(frame))
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt as _;
    use http_body_util::BodyExt as _;

    #[test]
    fn frames_share_the_batch_and_report_progress() {
        let large = Bytes::from(vec![7; 2 * MAX_FRAME + 1]);
        let batch: Batch = [Bytes::from("head"), large.clone()].into_iter().collect();
        let progress = Progress::new();
        let mut body = BatchBody::new(batch.clone(), progress.clone());
        let mut frames = Vec::new();
        while let Some(frame) = body.frame().now_or_never().unwrap() {
            let data = frame.unwrap().into_data().unwrap();
            frames.push(data);
            let moved: usize = frames.iter().map(Bytes::len).sum();
            assert_eq!(progress.bytes(), moved as u64);
            assert_eq!(body.size_hint().exact(), Some(batch.len() - moved as u64));
        }
        assert!(body.is_end_stream());
        let sizes: Vec<usize> = frames.iter().map(Bytes::len).collect();
        assert_eq!(sizes, [4, MAX_FRAME, MAX_FRAME, 1]);
        assert_eq!(frames[1].as_ptr(), large.as_ptr(), "no copy was made");
    }

    #[test]
    fn an_empty_batch_is_at_its_end() {
        let body = BatchBody::new(Batch::from(""), Progress::new());
        assert!(body.is_end_stream());
        assert_eq!(body.size_hint().exact(), Some(0));
    }
}
