//! `OssAppendWriter`: a thin handle, a shared buffer, and one worker.

#[cfg(feature = "tracing")]
mod aside;
pub(crate) mod buffer;
pub(crate) mod builder;
mod copy;
#[cfg(feature = "rolling")]
mod cut;
mod decide;
#[cfg(test)]
mod forked;
#[cfg(all(test, feature = "spool"))]
mod handoff;
pub(crate) mod intake;
mod io;
pub(crate) mod later;
#[cfg(feature = "keyed")]
mod managed;
pub(crate) mod observer;
pub(crate) mod parts;
#[cfg_attr(
    not(feature = "rolling"),
    allow(dead_code, reason = "only objects of a sequence end by the clock")
)]
pub(crate) mod periods;
mod published;
pub(crate) mod receipt;
pub(crate) mod record_sink;
mod shared;
mod sink;
mod slim;
#[cfg_attr(
    not(all(feature = "spool", feature = "tracing")),
    allow(
        dead_code,
        unreachable_pub,
        unused_imports,
        reason = "public with the feature"
    )
)]
pub(crate) mod spooling;
mod stats;
mod sync;
mod unsent;
pub(crate) mod waiter;
mod watermark;
pub(crate) mod worker;
#[allow(clippy::module_inception)]
mod writer;

pub use self::builder::{ManyObjects, OneObject, OssAppendWriterBuilder};
pub use self::copy::CopyProgress;
pub use self::receipt::{Receipt, Written, WrittenPart};
pub use self::record_sink::RecordSink;
pub use self::spooling::SpoolStats;
#[cfg(feature = "spool")]
pub use self::spooling::{Spool, SpoolContents, SpoolOwner, SpoolSync};
pub use self::stats::WriterStats;
pub use self::unsent::Unsent;
pub use self::watermark::DurablePositions;
pub use self::writer::OssAppendWriter;
