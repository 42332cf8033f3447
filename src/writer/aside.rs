//! How the records of a log come in, some of them announced before they are complete.

use super::intake::{Admission, Intake};
use super::writer::OssAppendWriter;
use crate::error::Error;

impl OssAppendWriter {
    /// Copies `record` in as a whole, if nothing stands in the way.
    #[inline]
    pub(crate) fn try_copy(&self, record: &[u8]) -> bool {
        self.shared.try_copy(record)
    }

    /// Puts what has come in on disk, if it has a spool and its callers do that.
    #[inline]
    pub(crate) fn write_through(&self) {
        self.shared.write_through();
    }

    /// Has what has come in put on disk, if there is a spool.
    pub(crate) fn tend_spool(&self) {
        if let Some(spool) = &self.shared.spool {
            spool.settled();
        }
    }
}

impl Intake<'_> {
    /// Whether two records may come in together, whole.
    pub(crate) fn admit_both(&mut self, first: u64, second: u64) -> Admission {
        match self
            .check(first, true)
            .and_then(|()| self.check(second, true))
        {
            Ok(()) => self.fit(first + second, true),
            Err(error) => Admission::Never(error),
        }
    }

    /// Sets room for `len` bytes aside, for a record whose end has not come. At most half of the
    /// buffer is, which no append frees: the other half is enough for any record, so nobody who
    /// waits for room waits for the end of another's record.
    pub(crate) fn set_aside(&mut self, len: u64) -> Admission {
        let most = self.shared.options.buffer_capacity / 2;
        if let Err(error) = self.state.check_open() {
            return Admission::Never(error);
        }
        if self.state.reserved.saturating_add(len) > most {
            return Admission::Never(Error::invalid_input(
                "records that have been begun take half of the buffer",
            ));
        }
        if self.room() < len {
            return Admission::Wait;
        }
        self.state.reserved += len;
        Admission::Now(len)
    }

    /// What was set aside for a record is for whatever comes in next.
    pub(crate) fn take_aside(&mut self, len: u64) {
        self.state.reserved -= len;
    }

    /// Takes that back.
    pub(crate) fn put_aside(&mut self, len: u64) {
        self.state.reserved += len;
    }

    /// Lets others have what was set aside for a record that does not come.
    pub(crate) fn give_back(mut self, len: u64) {
        self.state.reserved -= len;
        let wake = self.state.wake();
        drop(self);
        wake.all();
    }

    /// How many bytes are set aside.
    pub(crate) fn aside(&self) -> u64 {
        self.state.reserved
    }

    /// How many records have come in.
    pub(crate) fn records(&self) -> u64 {
        self.state.records
    }
}
