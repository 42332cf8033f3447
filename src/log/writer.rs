//! The `std::io::Write` of a log: gathers pieces into records.

use std::fmt;
use std::io;

use super::appender::{OssLogAppender, Shared};

/// A plain writer to a log, for one thread or one logger: see
/// [`OssLogAppender`] for what a record is. It never fails: what cannot be taken is dropped and
/// counted. A flush does not wait for anything; a piece without a line break is a record when it is
/// flushed, or when the writer is dropped.
#[derive(Debug)]
pub struct LogWriter {
    appender: OssLogAppender,
    begun: Begun,
}

/// The writer of one event, made by the `MakeWriter` of [`OssLogAppender`].
pub struct LogEvent<'a> {
    shared: &'a Shared,
    begun: Begun,
}

/// The pieces of a record whose end has not come.
#[derive(Debug, Default)]
struct Begun {
    pieces: Vec<u8>,
    /// The length of a record that is too long to be taken, and is not kept.
    forgotten: usize,
}

impl LogWriter {
    pub(super) fn new(appender: OssLogAppender) -> Self {
        Self {
            appender,
            begun: Begun::default(),
        }
    }
}

/// The clone begins with no piece.
impl Clone for LogWriter {
    fn clone(&self) -> Self {
        Self::new(self.appender.clone())
    }
}

impl<'a> LogEvent<'a> {
    pub(super) fn new(shared: &'a Shared) -> Self {
        Self {
            shared,
            begun: Begun::default(),
        }
    }
}

impl fmt::Debug for LogEvent<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogEvent").finish_non_exhaustive()
    }
}

impl Begun {
    /// Logs `piece` if it ends a record, else keeps it.
    #[inline]
    fn take(&mut self, shared: &Shared, piece: &[u8]) {
        let ends = piece.last() == Some(&b'\n');
        let len = self.pieces.len() + piece.len();
        if ends && len == piece.len() && self.forgotten == 0 {
            return shared.record(piece);
        }
        if self.forgotten > 0 || len as u64 > shared.longest() {
            self.forgotten += len;
            self.pieces = Vec::new();
        } else {
            self.pieces.extend_from_slice(piece);
        }
        if ends {
            self.end(shared);
        }
    }

    /// What was begun is a record.
    fn end(&mut self, shared: &Shared) {
        match std::mem::take(&mut self.forgotten) {
            0 => shared.record(&self.pieces),
            len => shared.drop_record(len),
        }
        self.pieces.clear();
    }
}

impl io::Write for LogWriter {
    #[inline]
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        self.begun.take(&self.appender.shared, piece);
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.begun.end(&self.appender.shared);
        Ok(())
    }
}

impl Drop for LogWriter {
    fn drop(&mut self) {
        self.begun.end(&self.appender.shared);
    }
}

impl io::Write for LogEvent<'_> {
    #[inline]
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        self.begun.take(self.shared, piece);
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.begun.end(self.shared);
        Ok(())
    }
}

impl Drop for LogEvent<'_> {
    fn drop(&mut self) {
        self.begun.end(self.shared);
    }
}
