//! The `std::io::Write` of a log: gathers pieces into records.

use std::fmt;
use std::io;

use bytes::{Bytes, BytesMut};

use super::appender::{OssLogAppender, Shared};
use super::record::LogRecord;

/// The most bytes of a record that do not count against the buffer, and whose memory is kept for the
/// next one.
const KEPT: usize = 4 * 1024;

/// By how much a longer record grows.
const SEGMENT: usize = 16 * 1024;

/// A plain writer to a log, for one thread or one logger: see
/// [`OssLogAppender`] for what a record is. It never fails: what cannot be taken is dropped and
/// counted. A flush does not wait for anything; a piece without a line break is a record when it is
/// flushed, or when the writer is dropped.
///
/// What is begun counts against `buffer_capacity`, see [`OssLogAppender`](OssLogAppender#memory).
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
#[derive(Default)]
struct Begun {
    /// The first [`KEPT`] bytes.
    head: Vec<u8>,
    /// What comes after them: full segments, and the one that is being filled.
    rest: Vec<Bytes>,
    tail: BytesMut,
    /// The bytes of all segments, for which room is set aside.
    reserved: usize,
    /// The length of all pieces.
    len: u64,
    /// The record is too long, or found no room: its pieces are not kept.
    forgotten: bool,
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

impl fmt::Debug for Begun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Begun")
            .field("len", &self.len)
            .field("reserved", &self.reserved)
            .finish_non_exhaustive()
    }
}

impl Begun {
    /// Logs `piece` if it ends a record, else keeps it.
    #[inline]
    fn take(&mut self, shared: &Shared, piece: &[u8]) {
        let ends = piece.last() == Some(&b'\n');
        if ends && self.len == 0 {
            return shared.record(piece);
        }
        self.keep(shared, piece);
        if ends {
            self.end(shared);
        }
    }

    fn keep(&mut self, shared: &Shared, piece: &[u8]) {
        self.len += piece.len() as u64;
        if self.forgotten {
            return;
        }
        if self.len > shared.longest() || !self.gather(shared, piece) {
            self.forgotten = true;
            self.let_go();
            shared.give_back(std::mem::take(&mut self.reserved) as u64);
        }
    }

    /// False: there is no room.
    fn gather(&mut self, shared: &Shared, piece: &[u8]) -> bool {
        let (head, mut piece) = piece.split_at(piece.len().min(KEPT - self.head.len()));
        self.head.extend_from_slice(head);
        while !piece.is_empty() {
            let gathered = self.len as usize - self.head.len() - piece.len();
            let mut free = self.reserved - gathered;
            if free == 0 {
                // No more than the longest record needs, which always finds room alone.
                let longest = usize::try_from(shared.longest()).unwrap_or(usize::MAX);
                free = SEGMENT.min(longest - KEPT - gathered);
                if !shared.reserve(free as u64) {
                    return false;
                }
                self.reserved += free;
                let full = std::mem::replace(&mut self.tail, BytesMut::with_capacity(free));
                self.rest.extend((!full.is_empty()).then(|| full.freeze()));
            }
            let (now, later) = piece.split_at(piece.len().min(free));
            self.tail.extend_from_slice(now);
            piece = later;
        }
        true
    }

    /// What was begun is a record.
    fn end(&mut self, shared: &Shared) {
        let len = std::mem::take(&mut self.len);
        if std::mem::take(&mut self.forgotten) {
            return shared.drop_record(len);
        }
        match std::mem::take(&mut self.reserved) {
            0 => shared.record(&self.head),
            reserved => {
                self.rest.push(std::mem::take(&mut self.tail).freeze());
                shared.record_begun(LogRecord {
                    head: &self.head,
                    rest: &self.rest,
                    reserved: reserved as u64,
                });
            }
        }
        self.let_go();
    }

    /// Keeps no pieces, and no more memory than is free of charge.
    fn let_go(&mut self) {
        self.head.clear();
        (self.rest, self.tail) = (Vec::new(), BytesMut::new());
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
