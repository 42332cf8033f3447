//! A record of a log, and how it comes into the buffer.

use bytes::Bytes;

use crate::writer::intake::{Admission, Intake};

/// A record of a log, in its parts.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct LogRecord<'a> {
    pub(super) head: &'a [u8],
    /// What comes after that. It is not copied.
    pub(super) rest: &'a [Bytes],
    /// The room that has been set aside for it.
    pub(super) reserved: u64,
}

impl LogRecord<'_> {
    pub(super) fn len(&self) -> u64 {
        let rest: usize = self.rest.iter().map(Bytes::len).sum();
        (self.head.len() + rest) as u64
    }

    /// Comes in behind `notice`, or none of the two. An empty one is left out. What was set aside for
    /// the record is used up if it comes in.
    pub(super) fn come_in(&self, intake: &mut Intake<'_>, notice: &[u8]) -> Admission {
        let (first, len) = (notice.len() as u64, self.len());
        intake.take_aside(self.reserved);
        let admission = intake.admit_both(first, len);
        if !matches!(admission, Admission::Now(_)) {
            intake.put_aside(self.reserved);
            return admission;
        }
        if first > 0 {
            intake.copy(notice);
            intake.end_record();
        }
        if len > 0 {
            intake.copy(self.head);
            for part in self.rest {
                intake.share(part);
            }
            intake.end_record();
        }
        admission
    }
}
