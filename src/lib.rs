//! Stream bytes into Alibaba Cloud OSS objects with AppendObject.
#![forbid(unsafe_code)]
#![deny(missing_docs)]
#![warn(missing_debug_implementations, unreachable_pub)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod appender;
pub mod client;
mod core;
pub mod credentials;
#[cfg(feature = "emulator")]
#[cfg_attr(docsrs, doc(cfg(feature = "emulator")))]
pub mod emulator;
mod error;
mod options;
mod progress;
mod store;
mod writer;

pub use crate::appender::replay::Checkpoint;
pub use crate::appender::stats::AppendStats;
pub use crate::appender::{AppendReceipt, ObjectAppender, ObjectAppenderBuilder};
pub use crate::client::{OssClient, OssClientBuilder};
pub use crate::core::backoff::Backoff;
pub use crate::core::batch::Batch;
pub use crate::core::crc64;
pub use crate::core::flush::FlushMode;
pub use crate::error::{
    Conflict, ConflictCause, Error, ErrorKind, Landed, Result, ServiceError, TransportCause,
};
pub use crate::options::{Encryption, ObjectAcl, ObjectOptions, RequestOptions, StorageClass};
pub use crate::progress::Progress;
pub use crate::store::{
    AppendAnswer, AppendRequest, AppendStore, ObjectInfo, ObjectKind, ObjectPath,
};
pub use crate::writer::{
    CopyProgress, LazyOssAppendWriter, OssAppendWriter, OssAppendWriterBuilder, Unsent, WriterStats,
};
