//! An append-only log of bytes in a directory, in segments.
//!
//! Bytes are appended at one end, are read in order, and are released at the other end by
//! deleting whole files. All calls are synchronous. [`SegmentLog`] is the log, [`Reader`] reads it
//! on any thread, and [`Disk`] is what it is kept on, which is a [`Folder`] outside of tests.
//!
//! The bytes are one stream. A position is the number of bytes before it in the stream, as a
//! `u64`. Some positions are the end of a record. What a record is does not matter here.
//!
//! # The format on disk
//!
//! All numbers are unsigned and little endian. A checksum is a CRC-64/XZ: that of the nine bytes
//! `123456789` is `0x995dc9bbdf1939fa`.
//!
//! A directory holds a file `lock`, which is empty, and segments. The process that uses the
//! directory holds a lock on `lock`: `flock` on Unix, `LockFileEx` on Windows. A segment is named
//! by the position of its first byte, as a decimal number of 20 digits and `.segment`, like
//! `00000000000000065536.segment`. Sorted by name they are in the order of the stream. A segment
//! ends where the next one begins. Other files are ignored.
//!
//! ## Header block
//!
//! A segment begins with a block of 8192 bytes:
//!
//! | offset | size | content                                                             |
//! |-------:|-----:|---------------------------------------------------------------------|
//! |      0 |   16 | `oss-append spool`                                                  |
//! |     16 |    4 | version, 1                                                          |
//! |     20 |    4 | flags: 1 if the first byte goes on with a record, else 0             |
//! |     24 |    8 | base: position of the first byte                                    |
//! |     32 |    8 | base of the segment that was before it, or its own if there was none |
//! |     40 |    8 | created: milliseconds since the Unix epoch                          |
//! |     48 |    2 | length of the owner, `o`                                            |
//! |     50 |    2 | length of the note, `n`; `o + n` is at most 3800                    |
//! |     52 |  `o` | owner: who the bytes are for, the same in all segments              |
//! | 52+`o` |  `n` | note: why the segment was begun                                     |
//! | behind |    8 | checksum of all that                                                |
//! | behind |      | zeros                                                               |
//! |   4096 | 2048 | plan slot                                                           |
//! |   6144 | 2048 | plan slot                                                           |
//!
//! A plan slot is all zeros, or:
//!
//! | offset | size | content                                     |
//! |-------:|-----:|---------------------------------------------|
//! |      0 |    8 | sequence number, from 1 on                  |
//! |      8 |    8 | position                                    |
//! |     16 |    4 | length `l`, at most 1900                    |
//! |     20 |    8 | checksum of the 20 bytes before and the `l` behind |
//! |     28 |  `l` | the plan                                    |
//! | behind |      | anything                                    |
//!
//! The plan that counts is the valid one with the highest sequence number in all segments. A new
//! one is written to the last segment, to the slot whose valid plan is older, or is none. So a
//! write that is torn leaves the plan before it.
//!
//! ## Frames
//!
//! From 8192 on there are frames, one behind the other:
//!
//! | offset   | size  | content                                                          |
//! |---------:|------:|------------------------------------------------------------------|
//! |        0 |     4 | the bytes `f7 73 70 9c`                                          |
//! |        4 |     4 | length `l` of the payload, from 1 to 1048576                     |
//! |        8 |     4 | number `e` of record ends inside the payload, at most 65536      |
//! |       12 |     4 | flags: 1 if a record ends where the payload ends, else 0         |
//! |       16 |     8 | position of the first byte of the payload                        |
//! |       24 |     4 | age: milliseconds since the segment was created, at most 2^32 - 1 |
//! |       28 |     4 | 0                                                                |
//! |       32 |     8 | checksum of the 32 bytes before                                  |
//! |       40 | 4 `e` | record ends: ascending offsets in the payload, above 0, below `l` |
//! | 40+4 `e` |   `l` | payload                                                          |
//! |   behind |     8 | checksum of record ends and payload                              |
//!
//! The positions of the frames of a segment follow one another. No frame begins in a segment that
//! has reached its size.
//!
//! ## What may be found
//!
//! A process may end at any time. Then there may be an unfinished frame at the end of the last
//! segment, and it is cut off: its rest is missing. A frame that is all there and whose checksum is
//! wrong is damage, also at the end. The last segment may also be
//! shorter than its header block, or have no valid header, no plan and no frame. Then it was being
//! created, and is removed.
//!
//! Anything else that is wrong is damage. If the header of a frame is good then the frame is
//! skipped. If not then the next good header in the segment is searched, with a position that can
//! be right: not before the one that is expected, and not further behind it than the bytes that
//! were passed over. If a segment ends before the next one begins, then the rest is lost.

mod disk;
mod error;
pub(crate) mod format;
mod log;
mod owner;
mod reader;
mod segment;
#[cfg(test)]
mod simulated;
mod size;
mod sync;
#[cfg(test)]
mod tests;

pub(crate) use disk::{Disk, Folder};
pub(crate) use error::SpoolError;
pub(crate) use log::{Found, LogOptions, SegmentLog};
pub(crate) use owner::owner;
pub(crate) use reader::{Piece, Reader};
pub(crate) use segment::Damage;
#[cfg(test)]
pub(crate) use simulated::SimulatedDisk;
