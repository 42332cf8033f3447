//! What went wrong: the kinds that a caller acts on.

use std::fmt;
use std::io;
use std::time::Duration;

use super::conflict::{Conflict, OrUnknown};
use super::service::ServiceError;
use crate::values::format::StoredFormat;

/// The kinds of [`Error`](crate::Error) that a caller acts on differently.
///
/// Kinds and their fields may grow: match with a last arm, and with `..` after the fields. A store
/// or a test makes errors of these kinds with the constructors of [`Error`](crate::Error), such as
/// [`Error::not_appendable`](crate::Error::not_appendable).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// OSS answered with an error that is none of the other kinds.
    Service(ServiceError),
    /// The object is not what it was proven to be: somebody else appended to it, replaced it,
    /// removed it, or created it first. Or its compression differs from that of what is to be
    /// appended.
    Conflict(Conflict),
    /// The object exists and is not appendable. Holds OSS's object type.
    #[non_exhaustive]
    NotAppendable {
        /// The value of `x-oss-object-type`, where known.
        object_type: Option<String>,
    },
    /// The object is sealed and takes no more appends.
    Sealed,
    /// The append was refused before it was sent: it would pass the configured object size.
    #[non_exhaustive]
    ObjectFull {
        /// The configured limit in bytes.
        limit: u64,
        /// The object's length in bytes.
        length: u64,
        /// The length of the refused append in bytes.
        batch: u64,
    },
    /// The append was refused before it was sent: the object already consists of as many appends as
    /// the store allows.
    #[non_exhaustive]
    TooManyAppends {
        /// The most appends to an object.
        limit: u64,
    },
    /// OSS accepted an append, but its answer proves that the object does not hold what was sent. Or
    /// an object that was made by a [`Compaction`](crate::Compaction) is not what it should be; its
    /// length stands for the next position then.
    #[non_exhaustive]
    Checksum {
        /// The next position that the answer should have named.
        expected_position: u64,
        /// The next position that the answer named.
        found_position: u64,
        /// The CRC-64 that the answer should have named, where known.
        expected_crc64: Option<u64>,
        /// The CRC-64 that the answer named.
        found_crc64: Option<u64>,
    },
    /// What was written in a replay is not what the object already holds. Found before anything
    /// was appended, unless [`Error::landed`](crate::Error::landed) is in doubt.
    #[non_exhaustive]
    ReplayDiffers {
        /// Where the replay began.
        start: u64,
        /// The object's length: somewhere before it the contents differ.
        end: u64,
    },
    /// The replay ended before the object does.
    #[non_exhaustive]
    ReplayTooShort {
        /// Where the written bytes end.
        given: u64,
        /// The object's length.
        object: u64,
    },
    /// The bytes that were read do not match the CRC-64 of the object: they were damaged on the
    /// way, or the object was replaced while it was read, or before that by other bytes than those
    /// of the checkpoint that is read from.
    #[non_exhaustive]
    ReadDiffers {
        /// Where the bytes begin that were read.
        start: u64,
        /// Where they end.
        end: u64,
        /// The CRC-64 of the object up to the end, as OSS has named it.
        expected_crc64: u64,
        /// The CRC-64 up to the end, by the bytes that were read.
        found_crc64: u64,
    },
    /// What was read cannot be decompressed. The content before it was given out. The failure of the
    /// decoder is the source.
    #[non_exhaustive]
    Decompression {
        /// Where in the object the gzip member or zstd frame begins.
        start: u64,
        /// As what it begins; [`Other`](StoredFormat::Other): as neither of them.
        format: StoredFormat,
        /// It is not whole: what was read ends before it does.
        cut: bool,
    },
    /// There were no credentials.
    #[non_exhaustive]
    Credentials {
        /// What was tried and why it failed.
        reason: String,
        /// Asking again later may help: the source could not be reached, was busy, or failed
        /// itself.
        temporary: bool,
    },
    /// A key, option, header value or call was refused before anything was sent.
    #[non_exhaustive]
    InvalidInput {
        /// What is wrong with it and what would be right.
        reason: String,
    },
    /// The request did not get through, or no complete answer came back.
    #[non_exhaustive]
    Transport {
        /// How it failed.
        cause: TransportCause,
        /// One line about it.
        reason: String,
    },
    /// An answer that the protocol does not allow, such as a success without its next position.
    #[non_exhaustive]
    BadAnswer {
        /// The HTTP status of the answer.
        status: u16,
        /// What is wrong with it.
        reason: String,
        /// The request id, if the answer had one.
        request_id: Option<String>,
    },
    /// Retrying did not help within the delivery timeout. The last failure is the source.
    #[non_exhaustive]
    RetriesExhausted {
        /// How many requests were made for this batch.
        attempts: u32,
        /// How long there was no progress.
        stalled: Duration,
    },
    /// The writer was shut down before this call.
    Closed,
    /// The tokio runtime that ran the writer's worker ended before the writer did, or the worker or
    /// a callback that it called panicked. Then the source has the panic's text.
    WorkerLost,
    /// This process was forked from the one that opened the writer, and the writer's worker stayed
    /// there. What the writer had accepted before is delivered there. Open writers after the fork.
    Forked,
    /// So many keys of a keyed writer have failed that it opens no more until some are forgiven.
    /// The source is the error of one of them.
    #[non_exhaustive]
    TooManyFailedKeys {
        /// How many keys have failed.
        keys: usize,
    },
    /// The spool of a writer failed on disk. The failure is the source.
    #[non_exhaustive]
    Spool {
        /// What was done to which file, and why that failed.
        reason: String,
        /// There was no space, by its own limit or on the disk.
        out_of_space: bool,
    },
    /// The reader given to `copy_from` failed. Its error is the source.
    #[non_exhaustive]
    Reader {
        /// The kind of the reader's error.
        kind: io::ErrorKind,
    },
}

impl ErrorKind {
    /// A stable name for programs and for counting, such as `retries_exhausted`.
    ///
    /// ```
    /// use oss_append::Error;
    ///
    /// assert_eq!(Error::invalid_input("no").kind().name(), "invalid_input");
    /// ```
    pub fn name(&self) -> &'static str {
        match self {
            Self::Service(_) => "service",
            Self::Conflict(_) => "conflict",
            Self::NotAppendable { .. } => "not_appendable",
            Self::Sealed => "sealed",
            Self::ObjectFull { .. } => "object_full",
            Self::TooManyAppends { .. } => "too_many_appends",
            Self::Checksum { .. } => "checksum",
            Self::ReplayDiffers { .. } => "replay_differs",
            Self::ReplayTooShort { .. } => "replay_too_short",
            Self::ReadDiffers { .. } => "read_differs",
            Self::Decompression { .. } => "decompression",
            Self::Credentials { .. } => "credentials",
            Self::InvalidInput { .. } => "invalid_input",
            Self::Transport { .. } => "transport",
            Self::BadAnswer { .. } => "bad_answer",
            Self::RetriesExhausted { .. } => "retries_exhausted",
            Self::Closed => "closed",
            Self::WorkerLost => "worker_lost",
            Self::Forked => "forked",
            Self::TooManyFailedKeys { .. } => "too_many_failed_keys",
            Self::Spool { .. } => "spool",
            Self::Reader { .. } => "reader",
        }
    }
}

/// How a request failed to get through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TransportCause {
    /// No connection could be made, so nothing was sent.
    Connect,
    /// No address was found for the name of the server, so nothing was sent: its region or endpoint
    /// may be wrong, or the network is down.
    UnknownHost,
    /// The server's certificate was refused, so nothing was sent.
    Tls,
    /// Nothing moved for as long as the timeout allows.
    Timeout,
    /// The connection broke, or the answer could not be read to its end.
    Broken,
}

/// Whether the bytes of a failed append are in the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Landed {
    /// They are in the object: this has been proven.
    Yes,
    /// They are not in the object, and no request that could still put them there is under way.
    No,
    /// It could not be found out.
    InDoubt,
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service(answer) => answer.fmt(f),
            Self::Conflict(conflict) => conflict.fmt(f),
            Self::NotAppendable { object_type } => {
                f.write_str("the object is not appendable")?;
                match object_type {
                    Some(object_type) => write!(f, " (its type is {object_type})"),
                    None => Ok(()),
                }
            }
            Self::Sealed => f.write_str("the object is sealed and takes no more appends"),
            Self::ObjectFull {
                limit,
                length,
                batch,
            } => write!(
                f,
                "the object is full: {length} bytes and {batch} more pass the limit of {limit}; \
                 go on in a new object"
            ),
            Self::TooManyAppends { limit } => write!(
                f,
                "the object is full: it is made of {limit} appends, which is the most; go on in a \
                 new object"
            ),
            Self::Checksum {
                expected_position,
                found_position,
                expected_crc64,
                found_crc64,
            } => {
                f.write_str("the object does not hold what was sent: ")?;
                if expected_position != found_position {
                    write!(
                        f,
                        "its next position should be {expected_position} and is {found_position}"
                    )
                } else {
                    write!(
                        f,
                        "its CRC-64 should be {} and is {}",
                        OrUnknown(*expected_crc64),
                        OrUnknown(*found_crc64)
                    )
                }
            }
            Self::ReplayDiffers { start, end } => write!(
                f,
                "what was written is not what the object holds between {start} and {end}"
            ),
            Self::ReplayTooShort { given, object } => write!(
                f,
                "the replay ended at {given}, but the object has {object} bytes"
            ),
            Self::ReadDiffers {
                start,
                end,
                expected_crc64,
                found_crc64,
            } => write!(
                f,
                "the bytes that were read from {start} to {end} are not those of the object: the \
                 CRC-64 should be {expected_crc64} and is {found_crc64}; they were damaged on the \
                 way, or the object was replaced"
            ),
            Self::Decompression { start, format, cut } => match (format.member(), cut) {
                (None, _) => write!(
                    f,
                    "what begins at {start} is neither a gzip member nor a zstd frame"
                ),
                (Some(member), true) => {
                    write!(f, "the {member} that begins at {start} is cut")
                }
                (Some(member), false) => {
                    write!(f, "the {member} that begins at {start} is damaged")
                }
            },
            Self::Credentials { reason, .. } => write!(f, "no credentials: {reason}"),
            Self::InvalidInput { reason } => f.write_str(reason),
            Self::Transport { reason, .. } => f.write_str(reason),
            Self::BadAnswer {
                status,
                reason,
                request_id,
            } => {
                write!(f, "the answer ({status}) is not one of OSS: {reason}")?;
                match request_id {
                    Some(id) => write!(f, " (request id {id})"),
                    None => Ok(()),
                }
            }
            Self::RetriesExhausted { attempts, stalled } => write!(
                f,
                "gave up after {attempts} {} and {:.1} s without progress",
                if *attempts == 1 {
                    "attempt"
                } else {
                    "attempts"
                },
                stalled.as_secs_f64()
            ),
            Self::Closed => f.write_str("the writer has been shut down"),
            Self::WorkerLost => f.write_str(
                "the writer's worker was lost: its tokio runtime has ended, or it panicked",
            ),
            Self::Forked => f.write_str(
                "the writer was opened before a fork, and its worker runs in the other process \
                 alone: open a writer after the fork",
            ),
            Self::TooManyFailedKeys { keys } => write!(
                f,
                "{keys} keys have failed, and no more are opened until some are forgiven"
            ),
            Self::Spool { reason, .. } => write!(f, "the spool failed: {reason}"),
            Self::Reader { .. } => f.write_str("the reader failed"),
        }
    }
}
