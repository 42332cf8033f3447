//! What is appended: a file or standard input, which a signal can end early.
//!
//! A thread of its own reads, so that nothing depends on what the descriptor is: a pipe, blocking or
//! not, a terminal, a socket, a file. It reads a little ahead. A stop ends its reading and nothing
//! else: what has been taken from the source comes out of the input all the same, because nobody
//! else can read it any more.

use std::fs::{File, Metadata};
use std::io::{self, Read, Seek};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::sync::{mpsc, watch};

use crate::failure::Failure;
use crate::stream::wait_to_read;

/// The most bytes that are read at once.
const PIECE: usize = 256 * 1024;

/// The bytes to append.
pub(crate) struct Input {
    /// What has been taken from the source.
    pieces: mpsc::Receiver<io::Result<Bytes>>,
    piece: Bytes,
    /// What begins to read, until the first byte is asked for.
    begin: Option<Begin>,
    /// How many bytes there are, where that is known.
    length: Option<u64>,
    has_end: bool,
    stop: Stop,
}

type Begin = Box<dyn FnOnce() -> io::Result<()> + Send>;

/// Ends an [`Input`] early. Clones do the same.
#[derive(Clone)]
pub(crate) struct Stop(Arc<Reading>);

/// What the thread that reads is told, and tells.
struct Reading {
    cut: AtomicBool,
    read: AtomicU64,
    stop: io::PipeWriter,
    /// Whether all that was read has come out of the input, and no more comes.
    taken: watch::Sender<bool>,
}

impl Stop {
    /// Lets the input end with what was read so far.
    pub(crate) fn request(&self) {
        use std::io::Write as _;
        // There is room for it, and somebody who reads until the input has ended.
        let _ = (&self.0.stop).write(b"!");
    }

    /// Whether the input ended by request, and not by itself.
    pub(crate) fn has_cut(&self) -> bool {
        self.0.cut.load(Ordering::Relaxed)
    }

    /// How many bytes have been taken from the source.
    pub(crate) fn read(&self) -> u64 {
        self.0.read.load(Ordering::Relaxed)
    }

    /// Waits until the input has ended and all of it has come out.
    pub(crate) async fn taken(&self) {
        let mut taken = self.0.taken.subscribe();
        // The sender is here.
        let _ = taken.wait_for(|taken| *taken).await;
    }
}

impl Input {
    /// Opens `file`, or standard input if there is none or it is `-`. Nothing is read before it is
    /// asked for.
    pub(crate) async fn open(file: Option<&Path>) -> Result<Self, Failure> {
        let path = file.filter(|path| *path != Path::new("-"));
        let failed = |error: io::Error| match path {
            Some(path) => Failure::local(format!("{} cannot be read: {error}", path.display())),
            None => Failure::local(format!("standard input cannot be read: {error}")),
        };
        let source = match path {
            // Waits for somebody who writes, if it is a named pipe.
            Some(path) => match tokio::fs::File::open(path).await {
                Ok(file) => Ok(file.into_std().await),
                Err(error) => Err(error),
            },
            None => stdin(),
        };
        source.and_then(Self::new).map_err(failed)
    }

    fn new(mut source: File) -> io::Result<Self> {
        let found = source.metadata()?;
        if found.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        // Standard input may have been read from before.
        let begun = match found.is_file() {
            true => source.stream_position()?,
            false => 0,
        };
        let (stopped, stop) = io::pipe()?;
        let reading = Arc::new(Reading {
            cut: AtomicBool::new(false),
            read: AtomicU64::new(0),
            stop,
            taken: watch::Sender::new(false),
        });
        let (sender, pieces) = mpsc::channel(1);
        let for_thread = Arc::clone(&reading);
        let read = move || for_thread.read(source, &stopped, &sender);
        let begin = move || {
            let thread = std::thread::Builder::new().name("input".into());
            thread.spawn(read).map(drop)
        };
        Ok(Self {
            pieces,
            piece: Bytes::new(),
            begin: Some(Box::new(begin)),
            // Files that the kernel makes up while they are read have the length 0.
            length: found.len().checked_sub(begun).filter(|length| *length > 0),
            has_end: has_end(&found),
            stop: Stop(reading),
        })
    }

    pub(crate) fn length(&self) -> Option<u64> {
        self.length
    }

    /// Whether it ends by itself, as a file does and a pipe need not.
    pub(crate) fn has_end(&self) -> bool {
        self.has_end
    }

    pub(crate) fn stop(&self) -> Stop {
        self.stop.clone()
    }
}

impl Reading {
    /// Reads until the end, a failure or a stop.
    fn read(
        &self,
        mut source: File,
        stopped: &io::PipeReader,
        pieces: &mpsc::Sender<io::Result<Bytes>>,
    ) {
        let mut buffer = vec![0; PIECE];
        loop {
            let piece = match wait_to_read(&source, stopped) {
                Ok(true) => source.read(&mut buffer),
                Ok(false) => return self.cut.store(!is_at_end(&source), Ordering::Relaxed),
                Err(error) => Err(error),
            };
            let piece = match piece {
                Ok(0) => return,
                Ok(length) => {
                    self.read.fetch_add(length as u64, Ordering::Relaxed);
                    Ok(Bytes::copy_from_slice(&buffer[..length]))
                }
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                    ) =>
                {
                    continue;
                }
                Err(error) => Err(error),
            };
            let failed = piece.is_err();
            if pieces.blocking_send(piece).is_err() || failed {
                return;
            }
        }
    }
}

impl AsyncRead for Input {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(begin) = self.begin.take() {
            begin()?;
        }
        if self.piece.is_empty() {
            self.piece = match ready!(self.pieces.poll_recv(cx)) {
                Some(piece) => piece?,
                None => {
                    self.stop.0.taken.send_replace(true);
                    return Poll::Ready(Ok(()));
                }
            };
        }
        let length = self.piece.len().min(buf.remaining());
        buf.put_slice(&self.piece.split_to(length));
        Poll::Ready(Ok(()))
    }
}

/// Standard input without std's buffer and lock.
fn stdin() -> io::Result<File> {
    #[cfg(unix)]
    let owned = std::os::fd::AsFd::as_fd(&io::stdin()).try_clone_to_owned();
    #[cfg(windows)]
    let owned = std::os::windows::io::AsHandle::as_handle(&io::stdin()).try_clone_to_owned();
    owned.map(File::from)
}

/// Whether all of a file has been read. Nobody can tell of anything else.
fn is_at_end(mut source: &File) -> bool {
    let found = source.metadata();
    let length = found.map_or(0, |found| if found.is_file() { found.len() } else { 0 });
    length > 0
        && source
            .stream_position()
            .is_ok_and(|position| position >= length)
}

fn has_end(found: &Metadata) -> bool {
    #[cfg(unix)]
    let is_disk = std::os::unix::fs::FileTypeExt::is_block_device(&found.file_type());
    #[cfg(not(unix))]
    let is_disk = false;
    found.is_file() || is_disk
}

pub(crate) fn unreadable(error: &io::Error) -> Failure {
    Failure::local(format!("the input cannot be read: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;
    use tokio::io::AsyncReadExt;

    fn pipe() -> (Input, io::PipeWriter) {
        let (reader, writer) = io::pipe().unwrap();
        let source = File::from(std::os::fd::OwnedFd::from(reader));
        (Input::new(source).unwrap(), writer)
    }

    #[tokio::test]
    async fn an_input_that_is_stopped_ends_although_its_source_does_not() {
        let (mut input, _never_written) = pipe();
        let stop = input.stop();
        let mut read = Vec::new();
        let (ended, ()) = tokio::join!(input.read_to_end(&mut read), async { stop.request() });
        assert_eq!(ended.unwrap(), 0);
        assert!(stop.has_cut());
    }

    #[tokio::test]
    async fn an_input_that_has_ended_is_not_cut_any_more() {
        let (mut input, mut source) = pipe();
        source.write_all(b"all of it").unwrap();
        drop(source);
        let stop = input.stop();
        let mut read = String::new();
        input.read_to_string(&mut read).await.unwrap();
        stop.request();
        input.read_to_string(&mut read).await.unwrap();
        assert_eq!(read, "all of it");
        assert!(!stop.has_cut());
    }

    #[tokio::test]
    async fn what_was_taken_before_a_stop_comes_out_after_it() {
        let (mut input, mut source) = pipe();
        source.write_all(b"hello").unwrap();
        assert_eq!(input.read_u8().await.unwrap(), b'h');
        let stop = input.stop();
        stop.request();
        // Nobody takes this any more, and the pipe may be closed already.
        let _ = source.write_all(b" world");
        let mut rest = String::new();
        input.read_to_string(&mut rest).await.unwrap();
        assert_eq!((&*rest, stop.read()), ("ello", 5));
        assert!(stop.has_cut());
        stop.taken().await;
    }

    #[tokio::test]
    async fn a_file_that_was_read_to_its_end_is_not_cut() {
        for (pieces, cut) in [(3, false), (4, true)] {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(&vec![b'x'; pieces * PIECE]).unwrap();
            file.rewind().unwrap();
            let mut input = Input::new(file).unwrap();
            assert_eq!(input.length(), Some((pieces * PIECE) as u64));
            let stop = input.stop();
            input.read_u8().await.unwrap();
            // One piece is being read, one waits, and for the third there is no room.
            while stop.read() < 3 * PIECE as u64 {
                tokio::task::yield_now().await;
            }
            stop.request();
            let mut rest = Vec::new();
            input.read_to_end(&mut rest).await.unwrap();
            assert_eq!((rest.len() + 1, stop.has_cut()), (3 * PIECE, cut));
        }
    }

    #[tokio::test]
    async fn nothing_is_taken_before_it_is_asked_for() {
        let (input, mut source) = pipe();
        source.write_all(b"hello").unwrap();
        assert_eq!(input.stop().read(), 0);
        assert!(input.begin.is_some() && !input.has_end());
    }
}
