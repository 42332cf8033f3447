//! Options of the spool.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use bytesize::ByteSize;
use clap::Args;
use oss_append::{Spool, SpoolSync};

use crate::failure::Failure;
use crate::spool;

/// A file of a spool has this length, unless the spool is too small for many of them.
const SEGMENT: u64 = 64 << 20;
/// At least so many files, so that space becomes free before the last byte is delivered.
const SEGMENTS: u64 = 16;
/// So many times the buffer it has to hold: what comes in at once, beside a file that is not free.
const BUFFERS: u64 = 4;

#[derive(Args)]
#[command(next_help_heading = "Spool: what is read survives outages and the end of the process")]
pub(super) struct Spooling {
    /// Keep what was read in the directory DIR until it is durable in OSS. The next append to the
    /// same target with the same DIR sends what is left there first, and so does oss-append spool
    /// DIR --send: every byte lands once and in order. DIR is created if it is missing; it has to be
    /// on a local disk, and serves one process at a time
    #[arg(long, value_name = "DIR", conflicts_with_all = ["shared", "replay"])]
    spool: Option<PathBuf>,
    /// The most bytes on disk, at least four times --buffer. When it is reached no more is read until
    /// some are delivered [default: 10GiB]
    #[arg(long, value_name = "SIZE", requires = "spool")]
    spool_size: Option<ByteSize>,
    /// When what is in DIR is synced to the disk, so that it survives a power loss: never, always
    /// (with each write, before it is sent), or at least once in DURATION. The end of the
    /// process, also by SIGKILL, loses none of it in any case [default: never]
    #[arg(long, value_name = "never|always|DURATION", requires = "spool")]
    spool_sync: Option<Sync>,
    /// Write to DIR only what memory cannot hold: nothing while OSS keeps up, everything that is not
    /// durable once it does not. A SIGKILL before that loses what is in memory, at most --buffer
    #[arg(long, requires = "spool")]
    spool_only_overflow: bool,
}

/// The value of `--spool-sync`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sync(SpoolSync);

impl FromStr for Sync {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "never" => Ok(Self(SpoolSync::Never)),
            "always" => Ok(Self(SpoolSync::Always)),
            _ => match humantime::parse_duration(text) {
                Ok(interval) => Ok(Self(SpoolSync::Every(interval))),
                Err(error) => Err(format!(
                    "it is neither never nor always nor a duration such as 1s: {error}"
                )),
            },
        }
    }
}

impl Spooling {
    /// The directory, if there is to be a spool.
    pub(super) fn directory(&self) -> Option<&Path> {
        self.spool.as_deref()
    }

    /// Refuses a spool that could not hold what comes in at once.
    pub(super) fn check(&self, buffer: u64) -> Result<(), Failure> {
        let least = ByteSize::b(buffer.saturating_mul(BUFFERS));
        match self.spool_size {
            Some(size) if size < least => Err(Failure::usage(format!(
                "--spool-size {size} is less than {least}, four times --buffer"
            ))),
            _ => Ok(()),
        }
    }

    pub(super) fn spool(&self) -> Option<Spool> {
        let mut spool = Spool::new(self.spool.as_ref()?);
        if let Some(size) = self.spool_size.map(|size| size.as_u64()) {
            let segment = (size / SEGMENTS).clamp(1, SEGMENT);
            spool = spool.max_size(size).segment_size(segment);
        }
        if let Some(Sync(sync)) = self.spool_sync {
            spool = spool.sync(sync);
        }
        if self.spool_only_overflow {
            spool = spool.only_overflow();
        }
        Some(spool)
    }

    /// Whether an earlier process has left something in the directory.
    pub(super) fn holds_bytes(&self) -> bool {
        self.directory().is_some_and(spool::has_files)
    }

    /// Says that what an earlier process has left in the directory is not lost.
    pub(super) fn keeps(&self, failure: Failure) -> Failure {
        match self.directory().filter(|_| self.holds_bytes()) {
            Some(directory) => failure.keeping(directory),
            None => failure,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn syncs_have_names_or_intervals() {
        let every = SpoolSync::Every(Duration::from_millis(500));
        for (text, sync) in [
            ("never", SpoolSync::Never),
            ("always", SpoolSync::Always),
            ("500ms", every),
        ] {
            assert_eq!(text.parse(), Ok(Sync(sync)));
        }
        for text in ["", "1", "Never", "-1s"] {
            assert!(text.parse::<Sync>().is_err(), "{text:?}");
        }
    }
}
