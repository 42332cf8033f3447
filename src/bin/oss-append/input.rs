//! What is appended: a file or standard input, which a signal can end early.

use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, ReadBuf};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::failure::Failure;

/// The bytes to append.
pub(crate) struct Input {
    source: Pin<Box<dyn AsyncRead + Send>>,
    /// How many there are, where that is known.
    length: Option<u64>,
    stop: Stop,
    stopped: Pin<Box<WaitForCancellationFutureOwned>>,
    /// The source has ended by itself.
    ended: bool,
}

/// Ends an [`Input`] early. Clones do the same.
#[derive(Clone, Default)]
pub(crate) struct Stop {
    token: CancellationToken,
    cut: Arc<AtomicBool>,
}

impl Stop {
    /// Lets the input end with what was read so far.
    pub(crate) fn request(&self) {
        self.token.cancel();
    }

    pub(crate) fn requested(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Whether the input ended by request, and not by itself.
    pub(crate) fn has_cut(&self) -> bool {
        self.cut.load(Ordering::Relaxed)
    }
}

impl Input {
    /// Opens `file`, or standard input if there is none or it is `-`.
    pub(crate) async fn open(file: Option<&Path>) -> Result<Self, Failure> {
        let Some(path) = file.filter(|path| *path != Path::new("-")) else {
            return Ok(Self::new(tokio::io::stdin(), None));
        };
        let failed = |error: io::Error| {
            Failure::local(format!("{} cannot be read: {error}", path.display()))
        };
        let file = tokio::fs::File::open(path).await.map_err(failed)?;
        let found = file.metadata().await.map_err(failed)?;
        if found.is_dir() {
            return Err(failed(io::ErrorKind::IsADirectory.into()));
        }
        let length = found.is_file().then_some(found.len());
        Ok(Self::new(file, length))
    }

    fn new(source: impl AsyncRead + Send + 'static, length: Option<u64>) -> Self {
        let stop = Stop::default();
        Self {
            source: Box::pin(source),
            // Files that the kernel makes up while they are read have the length 0.
            length: length.filter(|length| *length > 0),
            stopped: Box::pin(stop.token.clone().cancelled_owned()),
            stop,
            ended: false,
        }
    }

    pub(crate) fn length(&self) -> Option<u64> {
        self.length
    }

    pub(crate) fn stop(&self) -> Stop {
        self.stop.clone()
    }
}

impl AsyncRead for Input {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.ended {
            return Poll::Ready(Ok(()));
        }
        if self.stopped.as_mut().poll(cx).is_ready() {
            self.stop.cut.store(true, Ordering::Relaxed);
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        let read = self.source.as_mut().poll_read(cx, buf);
        if matches!(read, Poll::Ready(Ok(()))) && buf.filled().len() == before {
            self.ended = buf.remaining() > 0;
        }
        read
    }
}

pub(crate) fn unreadable(error: &io::Error) -> Failure {
    Failure::local(format!("the input cannot be read: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt;

    #[tokio::test]
    async fn an_input_that_is_stopped_ends_although_its_source_does_not() {
        let (source, _never_written) = tokio::io::simplex(16);
        let mut input = Input::new(source, None);
        let stop = input.stop();
        let mut read = Vec::new();
        let (ended, ()) = tokio::join!(input.read_to_end(&mut read), async { stop.request() });
        assert_eq!(ended.unwrap(), 0);
        assert!(stop.has_cut());
    }

    #[tokio::test]
    async fn an_input_that_has_ended_is_not_cut_any_more() {
        let mut input = Input::new(&b"all of it"[..], None);
        let stop = input.stop();
        let mut read = String::new();
        input.read_to_string(&mut read).await.unwrap();
        stop.request();
        input.read_to_string(&mut read).await.unwrap();
        assert_eq!(read, "all of it");
        assert!(!stop.has_cut());
    }
}
