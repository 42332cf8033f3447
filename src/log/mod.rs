//! Logs: lines from any thread into a sequence of objects.

mod advice;
mod appender;
mod builder;
mod guard;
mod quiet;
mod record;
mod report;
mod stats;
mod teller;
mod thread;
mod trouble;
mod watch;
mod writer;

pub use self::appender::OssLogAppender;
pub use self::builder::{OssLogAppenderBuilder, WhenFull};
pub use self::guard::LogGuard;
pub use self::report::LogReport;
pub use self::stats::{Dropped, LogStats};
pub use self::trouble::{LogOutage, LogTrouble};
pub use self::writer::{LogEvent, LogWriter};
