//! Logs: lines from any thread into a sequence of objects.

mod appender;
mod builder;
mod guard;
mod quiet;
mod record;
mod stats;
mod writer;

pub use self::appender::OssLogAppender;
pub use self::builder::{OssLogAppenderBuilder, WhenFull};
pub use self::guard::{LogGuard, LogReport};
pub use self::stats::{Dropped, LogStats};
pub use self::writer::{LogEvent, LogWriter};
