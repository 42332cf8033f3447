//! What `append` has done, for people and for programs.

use std::fmt;
use std::time::Duration;

use oss_append::{Error, Landed, OssAppendWriter};
use serde::Serialize;

/// The JSON object of `--json`, and as [`Display`](fmt::Display) the line without it.
#[derive(Serialize)]
pub(crate) struct Summary {
    bucket: String,
    key: String,
    /// Where the writing began.
    start: u64,
    /// The object's length as last proven.
    end: u64,
    /// Bytes of the input that are proven to be in the object.
    bytes: u64,
    appends: u64,
    retries: u64,
    reconciles: u64,
    /// The CRC-64 of the object up to `end`: more than a JSON number can hold.
    crc64: Option<String>,
    elapsed_ms: u64,
    /// The input was ended early by a signal.
    interrupted: bool,
    /// Bytes that were read and are not proven to be in the object.
    missing: u64,
    error: Option<String>,
    /// The append that was under way may be in the object nevertheless.
    #[serde(skip)]
    in_doubt: bool,
}

impl Summary {
    pub(crate) fn new(writer: &OssAppendWriter, start: u64, elapsed: Duration) -> Self {
        let stats = writer.stats();
        let checkpoint = writer.checkpoint();
        let landed = stats.last_error.as_ref().and_then(Error::landed);
        let settled = stats.failed > 0 && landed != Some(Landed::InDoubt);
        Self {
            bucket: writer.object().bucket().into(),
            key: writer.object().key().into(),
            start,
            end: checkpoint.position,
            bytes: stats.durable,
            appends: stats.appends,
            retries: stats.retries,
            reconciles: stats.reconciles,
            crc64: checkpoint.crc64.map(|crc| crc.to_string()),
            elapsed_ms: u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
            interrupted: false,
            missing: stats.accepted - stats.durable,
            error: None,
            in_doubt: !settled,
        }
    }

    pub(crate) fn interrupted(mut self, interrupted: bool) -> Self {
        self.interrupted = interrupted;
        self
    }

    pub(crate) fn error(mut self, error: &str) -> Self {
        self.error = Some(error.to_owned());
        self
    }

    /// What became of the bytes that were read.
    pub(crate) fn fate(&self) -> String {
        let durable = Counted(self.bytes, "byte");
        let end = self.end;
        let are = if self.in_doubt { "may be" } else { "are" };
        match self.missing {
            0 => format!("{durable} durable, up to position {end}"),
            missing => format!(
                "{durable} durable, {missing} more that were read {are} missing from position \
                 {end} on"
            ),
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let interrupted = if self.interrupted {
            "interrupted: "
        } else {
            ""
        };
        write!(
            f,
            "oss://{}/{}: {interrupted}{}, by {} ({}, {}), CRC-64 {}, in {:.3} s",
            self.bucket,
            self.key,
            self.fate(),
            Counted(self.appends, "append"),
            Counted(self.retries, "retry"),
            Counted(self.reconciles, "reconcile"),
            self.crc64.as_deref().unwrap_or("unknown"),
            self.elapsed_ms as f64 / 1000.0,
        )
    }
}

/// A number of things.
struct Counted(u64, &'static str);

impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(number, thing) = self;
        match (number, thing.strip_suffix('y')) {
            (1, _) => write!(f, "1 {thing}"),
            (_, Some(stem)) => write!(f, "{number} {stem}ies"),
            (_, None) => write!(f, "{number} {thing}s"),
        }
    }
}
