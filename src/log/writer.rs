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
    begun: Vec<u8>,
}

/// The writer of one event, made by the `MakeWriter` of [`OssLogAppender`].
pub struct LogEvent<'a> {
    shared: &'a Shared,
    begun: Vec<u8>,
}

impl LogWriter {
    pub(super) fn new(appender: OssLogAppender) -> Self {
        Self {
            appender,
            begun: Vec::new(),
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
            begun: Vec::new(),
        }
    }
}

impl fmt::Debug for LogEvent<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogEvent").finish_non_exhaustive()
    }
}

/// Logs `piece` if it ends a record, else keeps it.
#[inline]
fn take(shared: &Shared, begun: &mut Vec<u8>, piece: &[u8]) {
    let ends = piece.last() == Some(&b'\n');
    if ends && begun.is_empty() {
        return shared.record(piece);
    }
    begun.extend_from_slice(piece);
    if ends {
        end(shared, begun);
    }
}

/// What was begun is a record.
fn end(shared: &Shared, begun: &mut Vec<u8>) {
    if !begun.is_empty() {
        shared.record(begun);
        begun.clear();
    }
}

impl io::Write for LogWriter {
    #[inline]
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        take(&self.appender.shared, &mut self.begun, piece);
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        end(&self.appender.shared, &mut self.begun);
        Ok(())
    }
}

impl Drop for LogWriter {
    fn drop(&mut self) {
        end(&self.appender.shared, &mut self.begun);
    }
}

impl io::Write for LogEvent<'_> {
    #[inline]
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        take(self.shared, &mut self.begun, piece);
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        end(self.shared, &mut self.begun);
        Ok(())
    }
}

impl Drop for LogEvent<'_> {
    fn drop(&mut self) {
        end(self.shared, &mut self.begun);
    }
}
