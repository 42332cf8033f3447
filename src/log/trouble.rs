//! What a log appender reports about itself: not in the log, which cannot be delivered.

use std::fmt;
use std::time::Duration;

use super::advice::advice;
use super::report::LogReport;
use super::stats::Dropped;
use crate::error::Error;
use crate::writer::SpoolStats;

/// What a log appender reports about its own trouble, on standard error or to
/// [`on_trouble`](super::OssLogAppenderBuilder::on_trouble).
///
/// `Display` writes it as one line: what failed, on which object, what OSS said, what to do, how
/// much is waiting, and what happens to it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum LogTrouble {
    /// Nothing has been delivered for
    /// [`trouble_after`](super::OssLogAppenderBuilder::trouble_after), although something waits.
    /// Reported again every minute while it lasts. The appender goes on trying.
    Stalled(LogOutage),
    /// Everything is delivered that was waiting when delivery resumed.
    Over(LogOutage),
    /// The appender has failed for good, as described at
    /// [`keep_trying`](crate::RollingWriterBuilder::keep_trying): whatever waits is lost, and all
    /// that is logged from now on is dropped.
    Failed(Error),
    /// The guard was dropped, and not everything was delivered within the deadline.
    Lost(LogReport),
}

/// A time in which nothing was delivered.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct LogOutage {
    /// How long it has lasted: since the last delivery, or since the oldest waiting record arrived.
    pub lasted: Duration,
    /// Records that were accepted meanwhile. This is checked once a second: records of the second
    /// before it began may or may not be among them.
    pub records: u64,
    /// Records that were dropped meanwhile.
    pub dropped: Dropped,
    /// Bytes that wait: in the buffer, or on disk where there is a spool.
    pub buffered: u64,
    /// The most bytes that the buffer can hold.
    pub capacity: u64,
    /// The state of its spool; `None` without one.
    pub spool: Option<SpoolStats>,
    /// The last failure of a request meanwhile; `None` if none has failed, as when OSS does not
    /// answer.
    pub error: Option<Error>,
}

impl fmt::Display for LogTrouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stalled(outage) => {
                let seconds = outage.lasted.as_secs();
                write!(f, "no log record was delivered for {seconds} s: ")?;
                match &outage.error {
                    Some(error) => advised(f, error)?,
                    None => f.write_str("OSS has not answered")?,
                }
                let LogOutage {
                    records,
                    buffered,
                    capacity,
                    ..
                } = outage;
                write!(f, "; {records} records came meanwhile, ")?;
                match &outage.spool {
                    None => write!(f, "{buffered} of the buffer's {capacity} bytes are in use")?,
                    Some(spool) => write!(f, "{} bytes are in the spool", spool.bytes)?,
                }
                if let Some(problem) = outage
                    .spool
                    .as_ref()
                    .and_then(|spool| spool.problem.as_ref())
                {
                    write!(f, ", which takes no more: {problem}")?;
                }
                write!(
                    f,
                    ", {}; the log goes on trying until it ends",
                    WereDropped(outage.dropped)
                )
            }
            Self::Over(outage) => write!(
                f,
                "log records are delivered again after {} s: {} records came meanwhile, {}",
                outage.lasted.as_secs(),
                outage.records,
                WereDropped(outage.dropped)
            ),
            Self::Failed(error) => {
                f.write_str("the log has failed for good, and takes no more records: ")?;
                advised(f, error)
            }
            Self::Lost(report) => report.fmt(f),
        }
    }
}

fn advised(f: &mut fmt::Formatter<'_>, error: &Error) -> fmt::Result {
    write!(f, "{error}")?;
    match advice(error) {
        Some(advice) => write!(f, "; {advice}"),
        None => Ok(()),
    }
}

/// As a part of a sentence.
struct WereDropped(Dropped);

impl fmt::Display for WereDropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            none if none.is_empty() => f.write_str("none were dropped"),
            Dropped { records, bytes } => write!(f, "{records} ({bytes} bytes) were dropped"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ServiceError;
    use crate::values::path::ObjectPath;

    fn outage() -> LogOutage {
        let mut answer = ServiceError::new(403, "InvalidAccessKeyId");
        answer.ec = Some("0002-00000902".into());
        let object = ObjectPath::new("logs", "app/{seq}.log").unwrap();
        let error = Error::service(answer)
            .with_operation("open")
            .with_object(&object);
        LogOutage {
            lasted: Duration::from_millis(75_900),
            records: 12,
            dropped: Dropped::default(),
            buffered: 340,
            capacity: 1000,
            spool: None,
            error: Some(error),
        }
    }

    #[test]
    fn an_outage_is_one_line_with_all_that_its_reader_needs() {
        assert_eq!(
            LogTrouble::Stalled(outage()).to_string(),
            "no log record was delivered for 75 s: open of oss://logs/app/{seq}.log: OSS answered \
             403 InvalidAccessKeyId (EC 0002-00000902); check the access key id: it is wrong, \
             disabled or deleted; 12 records came meanwhile, 340 of the buffer's 1000 bytes are in \
             use, none were dropped; the log goes on trying until it ends"
        );
        let silent = LogOutage {
            error: None,
            ..outage()
        };
        let told = LogTrouble::Stalled(silent).to_string();
        assert!(
            told.contains("for 75 s: OSS has not answered; 12 "),
            "{told}"
        );
    }

    #[test]
    fn an_outage_with_a_spool_tells_what_is_there_and_what_is_wrong_with_it() {
        let told = |problem: Option<Error>| {
            let spool = SpoolStats {
                bytes: 5_000,
                problem,
                ..SpoolStats::default()
            };
            let outage = LogOutage {
                spool: Some(spool),
                ..outage()
            };
            LogTrouble::Stalled(outage).to_string()
        };
        let well = told(None);
        let part = "; 12 records came meanwhile, 5000 bytes are in the spool, none were dropped; ";
        assert!(well.contains(part), "{well}");
        let full = told(Some(Error::invalid_input("it is full")));
        assert!(full.contains("the spool, which takes no more: "), "{full}");
    }

    #[test]
    fn its_end_is_one_line_with_what_was_dropped() {
        let dropped = Dropped {
            records: 3,
            bytes: 99,
        };
        let over = LogTrouble::Over(LogOutage {
            dropped,
            ..outage()
        });
        assert_eq!(
            over.to_string(),
            "log records are delivered again after 75 s: 12 records came meanwhile, 3 (99 bytes) \
             were dropped"
        );
    }
}
