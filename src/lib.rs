//! Stream bytes into Alibaba Cloud OSS objects with AppendObject, exactly once and in order.
//!
//! [`OssAppendWriter`] is a tokio `AsyncWrite`. It accepts bytes of any size, gathers them into batches, and
//! issues an append when a batch is large or old enough, while the next batch is already filling. It
//! keeps the position and checks every answer by length and CRC-64. After any failure, including a lost
//! answer, it looks at the object to find out what really happened.
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
//! # Where to start
//! | you have | take | guide |
//! |---|---|---|
//! | bytes from anything that is async | [`OssAppendWriter`] | [`guide::pipelines`] |
//! | records, and offsets to commit at their source | [`OssAppendWriter::enqueue`], or [`records`](OssAppendWriter::records) | [`guide::pipelines`] |
//! | more than one object holds, or one object an hour | `RollingWriter`, feature `rolling` | [`guide::pipelines`] |
//! | records of many tenants or devices | `KeyedWriter`, feature `keyed` | [`guide::pipelines`] |
//! | logs, by `tracing` or not | `OssLogAppender`, feature `tracing` | [`guide::logging`] |
//! | outages that are longer than memory | `Spool`, feature `spool` | [`guide::spool`] |
//! | an object to read back | [`ObjectReader`] | [`guide::pipelines`] |
//! | single requests | [`OssClient`] | [`client`] |
//! | tests to write | the embedded server, feature `emulator` | [`guide::testing`] |
//! | a service to run | the command, options, credentials, metrics | [`guide::operations`] |
//! | doubts | what is promised, and what happens when something fails | [`guide::failures`] |
//! | sizes to choose | what was measured | [`guide::performance`] |
//!
//! # Features
//! | feature | what it adds |
//! |---|---|
//! | `rustls` (default) | TLS by rustls, with the platform's root certificates |
//! | `native-tls` | TLS by the platform's own library |
//! | `rolling` | `RollingWriter`: a sequence of objects, named by a template, rolled by size and time |
//! | `keyed` | `KeyedWriter`: many objects by keys, with one limit for memory and requests |
//! | `tracing` | `OssLogAppender`: log lines from any thread |
//! | `spool` | `Spool`: accepted bytes are kept on disk until they are durable |
//! | `compression` | `Compression`: gzip members or zstd frames |
//! | `follow` | `FileFollower`: files that grow and are rotated, into objects (Unix) |
//! | `credentials` | access keys from metadata services, STS, URIs, programs and profiles |
//! | `metrics` | counters, gauges and histograms through the `metrics` facade |
//! | `serde` | `Checkpoint` and `ObjectPath` as data |
//! | `emulator` | the embedded OSS server |
//! | `testing` | a store in memory with faults, and a suite for stores of your own |
//! | `cli` | the command `oss-append` |
//!
//! The default value of each option is in [`defaults`] and in the option's documentation.
//!
//! # Versions
//! The crate follows semantic versioning. Before 1.0, a change of the minor version may break code, and a
//! change of the patch version does not. Enums and structs that may grow are `non_exhaustive`. What is
//! hidden from this documentation, the exact text of messages and of logs, and the feature `internals`
//! are not part of the interface. A higher `rust-version` is a change of the minor version.
//!
//! Types and traits of these crates are part of the interface: `bytes`, `futures`, `tokio`, `tokio-util`,
//! `reqwest` (in [`OssClientBuilder::http_client`]), and with their features `serde` and
//! `tracing-subscriber`.
//!
//! # Layers
//! | type | what it does |
//! |---|---|
//! | `FileFollower` | files that grow and are rotated (feature `follow`) |
//! | `KeyedWriter` | many objects, by keys, under one budget (feature `keyed`) |
//! | `OssLogAppender` | logs: records from any thread (feature `tracing`) |
//! | `RollingWriter` | *where* to append: a sequence of objects (feature `rolling`) |
//! | [`OssAppendWriter`] | *when* to append: batching, backpressure, flushes, receipts |
//! | [`ObjectReader`] | reading back: resumes after failures, and compares the CRC-64 |
//! | [`ObjectFollower`] | the same as the object grows: pieces, lines or items with their positions |
//! | `SequenceReader` | one object after the other, across rolls and restarts (feature `rolling`) |
//! | [`Compaction`], [`Verification`] | finished objects: make one Normal object of them; may a file be deleted? |
//! | [`ObjectAppender`] | *what happened* to an append: retries, reconciling, replay |
//! | [`AppendStore`] | the trait between these and the wire, for stores of your own |
//! | [`OssClient`] | one signed HTTP request per call |
//! | [`credentials`] | where access keys come from |
//! | `emulator` | the embedded OSS server (feature `emulator`) |
//!
//! # Terms
//! - *batch*: the bytes of one append, frozen from its first attempt until its fate is known
//! - *position*: the object's length as last proven
//! - *durable*: acknowledged by OSS, or proven by a look at the object to be in it
//! - *reconcile*: settle an ambiguous failure or a position mismatch by looking at the object
//! - *foreign*: written to the same object by somebody else
//! - *linger*: the longest time that a byte waits in the buffer for its append
//! - *receipt*: a promise that resolves once given bytes are durable, and tells where they are
//! - *roll*: finish one object and go on in the next
//!
//! # Inside
//! Bytes go down through these modules, and their outcomes come up. No module imports from one above it
//! (`tests/it/layers.rs` has the order of all).
//!
//! | module | what is decided or done there |
//! |---|---|
//! | `follow` | files that grow: which bytes of which file go to which object (`follow/series.rs`) |
//! | `verify` | whether files are in objects, by lengths and checksums |
//! | `compact` | what appends have made becomes one Normal object |
//! | `reader` | reading: where to go on after a failure, whether it is the same object, whether the bytes are right |
//! | `keyed`, `log`, `rolling` | which writer a record goes to; sequences of objects (`rolling/roller.rs`) |
//! | `writer` | the buffer, its watermarks, who waits for what (`shared.rs`), and the worker that takes batches out |
//! | `stage` | the stages of a batch on its way: which object, in which form |
//! | `drive` | requests for one object: [`ObjectAppender`] runs the actions of the engine |
//! | `engine` | all decisions about one object, without IO, clock or tokio; start with `window.rs` and `machine.rs` |
//! | `client`, `credentials`, `wire` | signed requests; where keys come from; what both share of HTTP |
//! | `store`, `error`, `values` | the interface to a store; what goes wrong; paths, batches, positions, checksums |
//!
//! | question | file |
//! |---|---|
//! | what is accepted, in flight and durable? | `engine/window.rs`, in one struct |
//! | what does an answer of OSS prove? | `engine/answer.rs` |
//! | what does a look at the object prove? | `engine/reconcile.rs` |
//! | what may be done after a failure? | `engine/recovery.rs` |
//! | when is a flush due, and when an append? | `engine/flush.rs`, `engine/schedule.rs`; the worker acts on it in `writer/decide.rs` |
//! | how do several appends in flight work? | `engine/rows/ahead.rs`; `client/lane` carries them over HTTP |
//! | who is woken? | `writer/shared.rs`; `writer/handoff.rs` checks all orders |
//! | where did a record go after a roll? | `rolling/roller.rs`; its receipt knows by `engine/place.rs` |
//! | may it follow what an object holds already? | `engine/beginning.rs` |
//!
//! # Logging
//! A writer logs delivery problems to the `tracing` subscriber that is current where it is opened, with
//! the target `oss_append::delivery`: WARN when they begin and when the writer gives up, INFO when they
//! are over, DEBUG for each request that failed. [`DeliveryEvent`] has the details, also for programs
//! without `tracing`. [`OssAppendWriter::stats`] tells how a writer is doing. Dropping a writer with
//! undelivered bytes logs one warning. So does a program that keeps waiting in small flushes
//! ([`FlushMode::Coalesced`]).
//!
//! An [`ObjectReader`] logs its problems in the same way, with the target `oss_append::read`.
//!
//! The HTTP requests of a writer's worker are not logged, so that a writer that carries logs never logs
//! its own work into itself. `OssLogAppender` logs nothing at all.
//!
//! # Metrics
//! With the feature `metrics` the same counts, summed over all writers, go to the recorder that the
//! program has installed for the crate `metrics`. The module `metrics` has their names.
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
#[cfg(all(feature = "follow", unix))]
#[cfg_attr(docsrs, doc(cfg(feature = "follow")))]
mod follow;
pub mod guide;
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
#[cfg(all(feature = "follow", unix))]
#[cfg_attr(docsrs, doc(cfg(feature = "follow")))]
pub use crate::follow::{
    FileFollower, FileFollowerBuilder, FollowError, FollowErrorKind, FollowEvent, FollowedFile,
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

/// Compiles the README's examples.
#[cfg(all(doctest, feature = "tracing"))]
#[doc = include_str!("../README.md")]
mod readme {}
