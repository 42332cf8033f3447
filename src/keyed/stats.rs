//! A snapshot of what a keyed writer has done and what it holds.

/// What a keyed writer has done so far. The bytes add up: `accepted` is always
/// `durable + buffered + failed`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyedStats {
    /// Keys that are open; never more than `max_open`.
    pub open: usize,
    /// Open keys of which everything is durable.
    pub idle: usize,
    /// Open keys that are being closed.
    pub closing: usize,
    /// Keys that have failed and were not [forgiven](crate::KeyedWriter::forgive).
    pub failed_keys: usize,
    /// Records taken from callers.
    pub records: u64,
    /// Bytes taken from callers, and of open keys also what an earlier process has left in their
    /// spools.
    pub accepted: u64,
    /// Bytes proven to be in their objects.
    pub durable: u64,
    /// Bytes in memory, or with a spool on disk: waiting, or in an append whose outcome is open.
    /// Without a spool never more than `buffer_capacity`.
    pub buffered: u64,
    /// How many of them are on disk.
    pub spooled: u64,
    /// Bytes of failed keys that were not durable when the key failed.
    pub failed: u64,
}
