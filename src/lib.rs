//! Stream bytes into Alibaba Cloud OSS objects with AppendObject, exactly once and in order.
//!
//! [`OssAppendWriter`] is a tokio `AsyncWrite`: it takes bytes of any size, gathers them into
//! batches, and issues one append when a batch is large or old enough, while the next is already
//! filling. It keeps the position, checks every answer by length and CRC-64, and after any failure,
//! a lost answer included, looks at the object to find out what really happened.
//!
//! ```no_run
//! use oss_append::{OssAppendWriter, OssClient};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let client = OssClient::from_env()?;
//! let object = "oss://my-bucket/logs/app.log".parse()?;
//! let mut writer = OssAppendWriter::builder(client, object).open().await?;
//! writer.write_all(b"hello\n").await?;
//! writer.shutdown().await?;
//! # Ok(())
//! # }
//! ```
//!
//! # The layers
//! | type | what it does |
//! |---|---|
//! | `KeyedWriter` | many objects, by keys, under one budget, with the feature `keyed` |
//! | `OssLogAppender` | logs: records from any thread, with the feature `tracing` |
//! | `RollingWriter` | *where* to append: a sequence of objects, with the feature `rolling` |
//! | [`OssAppendWriter`] | batching: *when* to append; back-pressure, flush, receipts of what is durable |
//! | [`ObjectReader`] | the way back: an object's bytes, resumed after failures and compared by CRC-64 |
//! | [`ObjectFollower`] | the same as the object grows: pieces, lines or items with their positions |
//! | `SequenceReader` | one object after the other, across rolls and restarts, with the feature `rolling` |
//! | [`Compaction`], [`Verification`] | finished objects: one Normal object of them; may a file be deleted? |
//! | [`ObjectAppender`] | exactness: *what happened* to an append; retries, reconciles, replay |
//! | [`AppendStore`] | the small trait between exactness and the wire, for stores of your own |
//! | [`OssClient`] | one signed HTTP request each |
//! | [`credentials`] | where access keys come from |
//! | `emulator` | an embedded OSS server, with the feature of that name |
//!
//! # The words
//! - *batch*: the bytes of one append, frozen from its first attempt until its fate is known
//! - *position*: the object's length as last proven
//! - *durable*: acknowledged by OSS, or proven by a look to be in the object
//! - *reconcile*: to settle an ambiguous failure or a position mismatch by looking at the object
//! - *foreign*: written to the same object by somebody else
//! - *linger*: the longest time that a byte waits in the buffer for its append
//! - *receipt*: a promise that resolves once given bytes are durable, with their place
//! - *roll*: to finish one object and go on in the next
//!
//! # Inside
//! Bytes go down through these modules, and what became of them comes up. None imports from one above
//! it (`tests/it/layers.rs` has the order of all).
//!
//! | module | what is decided or done there |
//! |---|---|
//! | `verify` | whether files are in objects, by lengths and checksums |
//! | `compact` | what appends have made becomes one Normal object |
//! | `reader` | reading: where to go on after a failure, whether it is the same object, whether the bytes are right |
//! | `keyed`, `log`, `rolling` | which writer a record goes to; sequences of objects (`rolling/roller.rs`) |
//! | `writer` | the buffer, its watermarks, who waits for what (`shared.rs`), and the worker that takes batches out |
//! | `stage` | what a batch passes on its way: which object, in which form |
//! | `drive` | requests for one object: [`ObjectAppender`] runs the actions of the engine |
//! | `engine` | all decisions about one object, without IO, clock or tokio; begin with `window.rs` and `machine.rs` |
//! | `client`, `credentials`, `wire` | signed requests; where keys come from; what both share of HTTP |
//! | `store`, `error`, `values` | the interface to a store; what goes wrong; paths, batches, positions, checksums |
//!
//! Where to look: what is accepted, in flight and durable is in `engine/window.rs`, in one struct. What
//! an answer of OSS proves is in `engine/answer.rs`, what a look at the object proves in
//! `engine/reconcile.rs`, what may be done after a failure in `engine/recovery.rs`. When a flush is
//! due is in `engine/flush.rs`, when an append is in `engine/schedule.rs`, and what the worker does
//! with that in `writer/decide.rs`. Several appends under way are rows of `engine/rows/ahead.rs`, and
//! how HTTP carries them is in `client/lane`. Who is woken is in
//! `writer/shared.rs`, and `writer/handoff.rs` checks all orders of it. Where a record went after a
//! roll is in `rolling/roller.rs`, and how its receipt knows in `engine/place.rs`. Whether it may follow
//! what an object holds already is in `engine/beginning.rs`.
//!
//! # Logging
//! Trouble with delivery is told to the `tracing` subscriber that is current where a writer is
//! opened, with the target `oss_append::delivery`: WARN when it begins and when the writer gives up,
//! INFO when it is over, DEBUG for each request that failed. [`DeliveryEvent`] has the details, for
//! programs without `tracing` too. [`OssAppendWriter::stats`] tells how a writer is doing. Dropping
//! one with undelivered bytes logs one warning, and so does a program that keeps waiting in small
//! flushes ([`FlushMode::Coalesced`]).
//!
//! An [`ObjectReader`] tells of its trouble in the same way, with the target `oss_append::read`.
//!
//! The HTTP of a writer's worker is not logged, so that a writer that carries logs never logs its
//! own work into itself. `OssLogAppender` logs nothing at all.
//!
//! # Metrics
//! With the feature `metrics` the same counts go, summed over all writers, to the recorder that the
//! program has installed for the crate `metrics`: the module `metrics` has their names.
#![forbid(unsafe_code)]
#![deny(missing_docs)]
#![warn(missing_debug_implementations, unreachable_pub)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod callback;
pub mod client;
mod compact;
pub mod credentials;
mod drive;
#[cfg(feature = "emulator")]
#[cfg_attr(docsrs, doc(cfg(feature = "emulator")))]
pub mod emulator;
mod engine;
mod error;
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod internals;
#[cfg(feature = "keyed")]
#[cfg_attr(docsrs, doc(cfg(feature = "keyed")))]
mod keyed;
#[cfg(feature = "tracing")]
#[cfg_attr(docsrs, doc(cfg(feature = "tracing")))]
mod log;
#[cfg(feature = "metrics")]
#[cfg_attr(docsrs, doc(cfg(feature = "metrics")))]
pub mod metrics;
#[cfg(not(feature = "metrics"))]
#[allow(dead_code, unreachable_pub, reason = "public with the feature")]
mod metrics;
mod reader;
#[cfg(feature = "rolling")]
#[cfg_attr(docsrs, doc(cfg(feature = "rolling")))]
mod rolling;
#[cfg_attr(
    not(feature = "spool"),
    allow(dead_code, reason = "public with the feature")
)]
mod spool;
mod stage;
mod store;
#[cfg(feature = "testing")]
#[cfg_attr(docsrs, doc(cfg(feature = "testing")))]
pub mod testing;
mod values;
mod verify;
mod wire;
mod writer;

pub use crate::client::{OssClient, OssClientBuilder};
pub use crate::compact::{Compacted, CompactedBy, Compaction};
pub use crate::drive::events::DeliveryEvent;
pub use crate::drive::rate::AppendLimit;
pub use crate::drive::stats::AppendStats;
pub use crate::drive::{AppendReceipt, ObjectAppender, ObjectAppenderBuilder};
pub use crate::engine::flush::FlushMode;
#[cfg(feature = "rolling")]
#[cfg_attr(docsrs, doc(cfg(feature = "rolling")))]
pub use crate::engine::period::Periods;
pub use crate::error::{
    Conflict, ConflictCause, Error, ErrorKind, Landed, Refusal, Result, ServiceError,
    TransportCause,
};
#[cfg(feature = "keyed")]
#[cfg_attr(docsrs, doc(cfg(feature = "keyed")))]
pub use crate::keyed::{
    FailedKey, KeyedError, KeyedRecordSink, KeyedStats, KeyedWriter, KeyedWriterBuilder,
};
#[cfg(feature = "tracing")]
#[cfg_attr(docsrs, doc(cfg(feature = "tracing")))]
pub use crate::log::{
    Dropped, LogEvent, LogGuard, LogOutage, LogReport, LogStats, LogTrouble, LogWriter,
    OssLogAppender, OssLogAppenderBuilder, WhenFull,
};
pub use crate::reader::{
    FollowHandle, Followed, FollowedItems, FollowedLines, ObjectFollower, ObjectFollowerBuilder,
    ObjectReader, ObjectReaderBuilder,
};
#[cfg(feature = "rolling")]
#[cfg_attr(docsrs, doc(cfg(feature = "rolling")))]
pub use crate::reader::{SequenceReader, SequenceReaderBuilder};
#[cfg(feature = "rolling")]
#[cfg_attr(docsrs, doc(cfg(feature = "rolling")))]
pub use crate::rolling::{
    FinishedObject, KeyNames, KeyTemplate, RollingStats, RollingWriter, RollingWriterBuilder,
};
#[cfg(feature = "rolling")]
#[cfg_attr(docsrs, doc(cfg(feature = "rolling")))]
pub use crate::stage::RollReason;
#[cfg(feature = "compression")]
#[cfg_attr(docsrs, doc(cfg(feature = "compression")))]
pub use crate::stage::compression::Compression;
pub use crate::store::AppendStore;
pub use crate::store::ability::{Evidence, StoreLimits};
pub use crate::store::ignored::IgnoredOption;
pub use crate::store::lane::Lane;
pub use crate::store::listing::{KeyPage, ListedKey};
pub use crate::store::options::{
    Encryption, ObjectAcl, ObjectOptions, RequestOptions, StorageClass,
};
pub use crate::store::request::{AppendAnswer, AppendRequest};
pub use crate::values::backoff::Backoff;
pub use crate::values::batch::Batch;
pub use crate::values::checkpoint::Checkpoint;
pub use crate::values::crc64;
pub use crate::values::defaults;
pub use crate::values::format::StoredFormat;
pub use crate::values::info::{ObjectInfo, ObjectKind, ObjectProperties};
pub use crate::values::path::{ObjectPath, ObjectPathError};
pub use crate::values::progress::Progress;
pub use crate::verify::{Verdict, Verification, Verified, VerifiedFile, VerifiedObject};
pub use crate::writer::{
    CopyProgress, DurablePositions, ManyObjects, OneObject, OssAppendWriter,
    OssAppendWriterBuilder, Receipt, RecordSink, SpoolStats, Unsent, WriterStats, Written,
    WrittenPart,
};
#[cfg(feature = "spool")]
#[cfg_attr(docsrs, doc(cfg(feature = "spool")))]
pub use crate::writer::{Spool, SpoolContents, SpoolOwner, SpoolSync};

/// Compiles and runs the README's examples.
#[cfg(all(doctest, feature = "emulator", feature = "tracing"))]
#[doc = include_str!("../README.md")]
mod readme {}
