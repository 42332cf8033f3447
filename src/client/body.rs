//! The body of a request: a batch, handed out in small frames without copying, each one reported
//! as progress.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};

use super::pace::Pace;
use crate::values::batch::{Batch, BatchCursor};
use crate::values::progress::Progress;

/// The most bytes of one frame. A frame is the unit of progress, so it is small against what a
/// slow link moves within a timeout.
const MAX_FRAME: usize = 64 * 1024;

/// How often a body that has to wait reports that it has not come to a standstill.
const LOOK: Duration = Duration::from_secs(1);

/// A body of exactly known length over the chunks of a [`Batch`].
#[derive(Debug)]
pub(crate) struct BatchBody {
    rest: BatchCursor,
    progress: Progress,
    pace: Option<Arc<Pace>>,
    /// When the next frame may go, once its time is reserved.
    turn: Option<Turn>,
}

#[derive(Debug)]
struct Turn {
    begins: Instant,
    sleep: Pin<Box<Sleep>>,
}

impl BatchBody {
    pub(crate) fn new(batch: Batch, progress: Progress, pace: Option<Arc<Pace>>) -> Self {
        Self {
            rest: batch.cursor(),
            progress,
            pace,
            turn: None,
        }
    }

    /// What is left and how it is told, where nothing has to wait for its turn.
    pub(super) fn unpaced(self) -> Result<(BatchCursor, Progress), Self> {
        match self.pace {
            None => Ok((self.rest, self.progress)),
            Some(_) => Err(self),
        }
    }

    /// The most bytes of the next frame.
    fn most(&self) -> usize {
        let most = self.pace.as_ref().map_or(MAX_FRAME, |pace| pace.frame());
        most.min(MAX_FRAME)
    }

    /// Waits until the next frame may go.
    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let len = self.rest.chunk().len().min(self.most());
        let Some(pace) = self.pace.as_ref().filter(|_| len > 0) else {
            return Poll::Ready(());
        };
        let turn = match &mut self.turn {
            Some(turn) => turn,
            None => {
                let begins = pace.reserve(len);
                let sleep = Box::pin(sleep_until(begins.min(Instant::now() + LOOK)));
                self.turn.insert(Turn { begins, sleep })
            }
        };
        loop {
            ready!(turn.sleep.as_mut().poll(cx));
            // It would move if it were let.
            self.progress.advance(0);
            let now = Instant::now();
            if turn.begins <= now {
                self.turn = None;
                return Poll::Ready(());
            }
            turn.sleep.as_mut().reset(turn.begins.min(now + LOOK));
        }
    }
}

impl Body for BatchBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        ready!(self.poll_turn(cx));
        let most = self.most();
        Poll::Ready(self.rest.next_piece(most).map(|frame| {
            self.progress.advance(frame.len() as u64);
            Ok(Frame::data(frame))
        }))
    }

    fn is_end_stream(&self) -> bool {
        !self.rest.has_remaining()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.remaining() as u64)
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
        let mut body = BatchBody::new(batch.clone(), progress.clone(), None);
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
        let body = BatchBody::new(Batch::from(""), Progress::new(), None);
        assert!(body.is_end_stream());
        assert_eq!(body.size_hint().exact(), Some(0));
    }

    async fn sent(body: BatchBody) -> usize {
        body.collect().await.unwrap().to_bytes().len()
    }

    #[tokio::test(start_paused = true)]
    async fn bodies_share_their_pace() {
        let pace = Arc::new(Pace::new(1000));
        let body = |len| {
            let batch = Batch::from(vec![7; len]);
            BatchBody::new(batch, Progress::new(), Some(Arc::clone(&pace)))
        };
        let start = Instant::now();
        assert_eq!(sent(body(5000)).await, 5000);
        // The last frame of 50 bytes has just gone.
        assert_eq!(start.elapsed(), Duration::from_millis(4950));

        let (one, two) = tokio::join!(sent(body(2000)), sent(body(3000)));
        assert_eq!((one, two), (2000, 3000));
        assert_eq!(start.elapsed(), Duration::from_millis(9950));

        // What was not used before is not made up for.
        tokio::time::sleep(Duration::from_secs(10)).await;
        let start = Instant::now();
        sent(body(1050)).await;
        assert_eq!(start.elapsed(), Duration::from_secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_waits_for_its_turn_does_not_stand_still() {
        let pace = Arc::new(Pace::new(1000));
        pace.reserve(1_000_000);
        let progress = Progress::new();
        let body = BatchBody::new(Batch::from("x"), progress.clone(), Some(pace));
        let sent = progress.guard(Duration::from_secs(2), sent(body)).await;
        assert_eq!(sent, Some(1));
    }
}
