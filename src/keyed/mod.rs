//! Records for many objects, each routed by its key.

mod builder;
mod failed;
pub(crate) mod object;
mod pool;
mod record_sink;
mod spooled;
mod stats;
mod table;
mod template;
mod writer;

pub use self::builder::KeyedWriterBuilder;
pub use self::failed::{FailedKey, KeyedError};
pub use self::record_sink::KeyedRecordSink;
pub use self::stats::KeyedStats;
pub use self::writer::KeyedWriter;
