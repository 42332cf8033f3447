//! How a log ended.

use std::fmt;

use super::appender::Shared;
use super::stats::Dropped;
use crate::error::{Error, TransportCause};

/// How a log ended.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct LogReport {
    /// Bytes that are durable, over the whole life of the appender.
    pub delivered: u64,
    /// Bytes that were taken and are not proven to be durable.
    pub undelivered: u64,
    /// Records that were dropped, over the whole life.
    pub dropped: Dropped,
    /// How many of them no line in the log reports.
    pub unannounced: Dropped,
    /// Why not everything was delivered: what the appender failed for, or the last failure of a
    /// request.
    pub error: Option<Error>,
}

impl LogReport {
    /// Of what the log has done until now.
    pub(super) fn of(shared: &Shared, failure: Option<Error>) -> Self {
        let stats = shared.stats();
        let writer = stats.rolling.writer;
        let undelivered = writer.accepted - writer.durable;
        let why = || failure.or(writer.last_error).unwrap_or_else(no_answer);
        Self {
            delivered: writer.durable,
            undelivered,
            dropped: stats.dropped,
            unannounced: shared.unannounced(),
            error: (undelivered > 0).then(why),
        }
    }

    /// Whether everything that was logged is durable, or reported as dropped in the log.
    pub fn is_complete(&self) -> bool {
        self.undelivered == 0 && self.unannounced.is_empty()
    }
}

/// Nothing has failed, and yet it was not done in time.
fn no_answer() -> Error {
    Error::transport(
        TransportCause::Timeout,
        "there was no answer within the time that the end may take",
    )
}

impl fmt::Display for LogReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes of log were delivered", self.delivered)?;
        if self.undelivered > 0 {
            write!(f, ", {} were not", self.undelivered)?;
        }
        let Dropped { records, bytes } = self.dropped;
        if records > 0 {
            write!(f, ", {records} records ({bytes} bytes) were dropped")?;
        }
        match &self.error {
            Some(error) if self.undelivered > 0 => write!(f, ": {error}"),
            _ => Ok(()),
        }
    }
}
