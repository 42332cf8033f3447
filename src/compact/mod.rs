//! Finished objects: what appends have made becomes one Normal object.
//!
//! `builder.rs` has the options, and says what is promised. `run.rs` has the steps, each of which can be
//! the last one before a kill. How the new object is made is in `copy.rs` (OSS copies ranges), and in
//! `upload.rs` (the bytes are read and uploaded). `recode.rs` decompresses and compresses, on threads.

mod builder;
mod copy;
#[cfg(feature = "compression")]
mod recode;
mod run;
mod upload;

use crate::values::path::ObjectPath;

pub use self::builder::Compaction;

/// What a [`Compaction`] has done.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Compacted {
    /// The object that was compacted.
    pub source: ObjectPath,
    /// The Normal object that has its content.
    pub target: ObjectPath,
    /// The length of the new object in bytes.
    pub length: u64,
    /// The CRC-64 of the new object.
    pub crc64: u64,
    /// How it came to be.
    pub made_by: CompactedBy,
    /// Whether the old object has been deleted.
    pub source_deleted: bool,
}

/// How a compacted object came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CompactedBy {
    /// OSS has copied it, without a download.
    Copy,
    /// It was downloaded and uploaded as it is, since OSS refused to copy it.
    Upload,
    /// It was downloaded, compressed anew, and uploaded.
    Recompression,
    /// It was there already, made by an earlier run, and was compared again.
    EarlierRun,
}
