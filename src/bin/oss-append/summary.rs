//! What `append` has done, for people and for programs.

use std::collections::VecDeque;
use std::fmt;
use std::path::Path;
use std::time::Duration;

use oss_append::{Error, Landed, ObjectPath};
use serde::Serialize;

use crate::finished::{Entry, Finished};
use crate::writer::Writer;

/// In a shorter time, the number of appends a second says little.
const RATE_AFTER: Duration = Duration::from_secs(10);

/// The JSON object of `--json`, and as [`Display`](fmt::Display) the line without it.
#[derive(Serialize)]
pub(crate) struct Summary {
    bucket: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    template: Option<String>,
    /// The object, or the last of a sequence. `None`: there is none yet.
    key: Option<String>,
    /// Where the writing began in the one object; null if that was never reached.
    #[serde(skip_serializing_if = "Option::is_none")]
    start: Option<Option<u64>>,
    /// The object's length as last proven.
    end: Option<u64>,
    /// Bytes of the input that are proven to be in the object.
    bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    spool: Option<InSpool>,
    /// What they were compressed to.
    #[serde(skip_serializing_if = "Option::is_none")]
    stored: Option<u64>,
    appends: u64,
    retries: u64,
    reconciles: u64,
    /// The CRC-64 of the object up to `end`: more than a JSON number can hold.
    crc64: Option<String>,
    elapsed_ms: u64,
    /// Of requests, with those that were repeated. `None`: it did not run for long enough to tell.
    appends_per_second: Option<f64>,
    /// In 30 days.
    appends_per_month: Option<u64>,
    /// The input was ended early by a signal.
    interrupted: bool,
    /// Bytes that were read and are not proven to be in the object.
    missing: u64,
    error: Option<String>,
    /// Options for new objects that the object does not have, since it existed.
    ignored_options: Vec<Ignored>,
    #[serde(flatten)]
    sequence: Option<Sequence>,
    /// The append that was in flight may be in the object all the same.
    #[serde(skip)]
    in_doubt: bool,
}

/// What a writer begins with: nothing, unless there are bytes in its spool.
#[derive(Clone, Copy)]
pub(crate) struct AtStart<'a> {
    /// Of the spool.
    pub(crate) directory: Option<&'a Path>,
    /// Bytes in it. The first of them may be in the object already.
    pub(crate) found: u64,
}

/// What is reported about a spool.
#[derive(Serialize)]
struct InSpool {
    directory: String,
    /// Bytes that an earlier start had left there.
    found: u64,
    /// How many of those are durable.
    delivered: u64,
    /// Bytes that are not durable.
    bytes: u64,
    /// What its files take on disk.
    size: u64,
    /// No byte in it is older. `None`: there are none.
    age_ms: Option<u64>,
    /// Bytes that cannot be read any more.
    lost: u64,
}

/// An option for new objects that has no effect.
#[derive(Serialize)]
struct Ignored {
    name: String,
    asked: String,
    found: Option<String>,
}

/// What is reported about a sequence of objects.
#[derive(Serialize)]
struct Sequence {
    /// How many have been finished.
    finished: u64,
    /// The last of them.
    objects: VecDeque<Entry>,
}

impl Summary {
    /// What was written to `target`, which is an object or the template of a sequence,
    /// from an input of which so many bytes were `read`, behind those in a spool. `start`: where an
    /// object ended then, if that was known.
    pub(crate) fn new(
        writer: &Writer,
        target: &ObjectPath,
        start: Option<u64>,
        spool: AtStart<'_>,
        read: u64,
        elapsed: Duration,
    ) -> Self {
        let mut stats = writer.stats();
        let AtStart { directory, found } = spool;
        let spool = directory.zip(stats.spool.take());
        let open = match writer {
            // Before that nothing is known of it.
            Writer::Object(_) if start.is_none() && stats.durable == 0 => None,
            Writer::Object(writer) => Some(writer.checkpoint()),
            Writer::Sequence(writer) => writer.stats().open,
        };
        let end = open.as_ref().map(|open| open.position);
        let start = start.or_else(|| end?.checked_sub(stats.stored));
        let single = matches!(writer, Writer::Object(_));
        let landed = stats.last_error.as_ref().and_then(Error::landed);
        let is_long = stats.age >= RATE_AFTER;
        let settled = stats.failed > 0 && landed != Some(Landed::InDoubt);
        Self {
            bucket: target.bucket().into(),
            template: (!single).then(|| target.key().into()),
            key: match single {
                true => Some(target.key().into()),
                false => open.as_ref().map(|open| open.object.key().into()),
            },
            start: single.then_some(start),
            end,
            bytes: stats.durable.saturating_sub(found),
            spool: spool.map(|(directory, spool)| InSpool {
                directory: directory.display().to_string(),
                found,
                delivered: found.min(stats.durable),
                bytes: spool.bytes,
                size: spool.size,
                age_ms: spool.oldest.map(milliseconds),
                lost: spool.lost,
            }),
            stored: Some(stats.stored),
            appends: stats.appends,
            retries: stats.retries,
            reconciles: stats.reconciles,
            crc64: open.and_then(|open| open.crc64).map(|crc| crc.to_string()),
            elapsed_ms: milliseconds(elapsed),
            appends_per_second: is_long.then(|| (stats.appends_per_second() * 1e3).round() / 1e3),
            appends_per_month: is_long.then(|| stats.appends_per_month() as u64),
            interrupted: false,
            missing: (found + read).saturating_sub(stats.durable),
            error: None,
            ignored_options: (stats.ignored_options.into_iter())
                .map(|option| Ignored {
                    name: option.name,
                    asked: option.asked,
                    found: option.found,
                })
                .collect(),
            sequence: None,
            in_doubt: stats.accepted > stats.durable && !settled,
        }
    }

    /// Only what was compressed is told apart.
    pub(crate) fn compressed(mut self, compressed: bool) -> Self {
        self.stored = self.stored.filter(|_| compressed);
        self
    }

    pub(crate) fn interrupted(mut self, interrupted: bool) -> Self {
        self.interrupted = interrupted;
        self
    }

    /// Adds the objects of a sequence.
    pub(crate) fn finished(mut self, finished: Finished) -> Self {
        if self.template.is_none() {
            return self;
        }
        if let (None, Some(last)) = (&self.key, finished.objects.back()) {
            self.key = Some(last.key.clone());
            self.end = Some(last.end);
            self.crc64.clone_from(&last.crc64);
        }
        self.sequence = Some(Sequence {
            finished: finished.count,
            objects: finished.objects,
        });
        self
    }

    /// Whether all that was read is durable.
    pub(crate) fn is_whole(&self) -> bool {
        self.missing == 0
    }

    /// Whether all that is not durable is in the spool.
    pub(crate) fn is_kept(&self) -> bool {
        self.missing <= self.in_spool()
    }

    fn in_spool(&self) -> u64 {
        self.spool.as_ref().map_or(0, |spool| spool.bytes)
    }

    /// Why it is not done although all else is durable.
    pub(crate) fn loss(&self) -> Option<String> {
        let spool = self.spool.as_ref().filter(|spool| spool.lost > 0)?;
        Some(lost(spool.lost, &spool.directory))
    }

    pub(crate) fn error(mut self, error: &str) -> Self {
        self.error = Some(error.to_owned());
        self
    }

    /// What became of the bytes that were read.
    pub(crate) fn fate(&self) -> String {
        let found = self.spool.as_ref().filter(|spool| spool.found > 0);
        if self.appends == 0 && self.bytes == 0 && self.missing == 0 && found.is_none() {
            // An object of no bytes is not made by an append of none.
            return match self.end {
                Some(1..) => "nothing was read, and nothing was appended".into(),
                _ => "nothing was read, and no object was created".into(),
            };
        }
        let mut fate = format!("{} durable", Counted(self.bytes, "byte"));
        if let Some(spool) = found {
            fate += &format!(", and {} of an earlier start", spool.delivered);
        }
        if let Some(stored) = self.stored {
            fate += &format!(" as {} compressed", Counted(stored, "byte"));
        }
        if let Some(sequence) = &self.sequence {
            fate += &format!(", {} finished", Counted(sequence.finished, "object"));
        }
        let position = match (self.end, &self.key, &self.sequence) {
            (Some(end), Some(key), Some(_)) => {
                format!("position {end} of oss://{}/{key}", self.bucket)
            }
            (Some(end), _, None) => format!("position {end}"),
            (None, _, None) => "where the object ends".into(),
            _ => "the first object".into(),
        };
        let are = if self.in_doubt { "may be" } else { "are" };
        let missing = self.missing.saturating_sub(self.in_spool());
        match (missing, self.spool.as_ref().filter(|spool| spool.bytes > 0)) {
            (0, None) if self.end.is_none() => fate,
            (0, None) => format!("{fate}, up to {position}"),
            (0, Some(spool)) if self.end.is_none() => format!("{fate}, and {}", spool.kept()),
            (0, Some(spool)) => format!("{fate}, up to {position}, and {}", spool.kept()),
            (_, None) => {
                format!("{fate}, {missing} more that were read {are} missing from {position} on")
            }
            (_, Some(spool)) => format!(
                "{fate}, up to {position}, and {}; {missing} more that were read are in neither",
                spool.kept()
            ),
        }
    }

    /// The same, and what delivers what is in the spool.
    pub(crate) fn fate_and_advice(&self) -> String {
        let fate = self.fate();
        match self.advice() {
            Some(advice) => format!("{fate}; {advice}"),
            None => fate,
        }
    }

    /// The directory of the spool, if something is left in it.
    pub(crate) fn holding_spool(&self) -> Option<&Path> {
        let spool = self.spool.as_ref().filter(|spool| spool.bytes > 0)?;
        Some(Path::new(&spool.directory))
    }

    fn advice(&self) -> Option<String> {
        let directory = self.holding_spool()?.display();
        Some(format!(
            "the next append with --spool {directory}, or oss-append spool {directory} --send, \
             delivers what is there"
        ))
    }
}

impl InSpool {
    fn kept(&self) -> String {
        kept(self.bytes, &self.directory)
    }
}

/// Says where bytes are that are not durable.
pub(crate) fn kept(bytes: u64, directory: impl fmt::Display) -> String {
    let are = if bytes == 1 { "is" } else { "are" };
    format!(
        "{} more {are} in the spool at {directory}",
        Counted(bytes, "byte")
    )
}

/// Says that bytes of a spool are gone.
pub(crate) fn lost(bytes: u64, directory: impl fmt::Display) -> String {
    format!(
        "the spool at {directory} is damaged: {} of it cannot be read and did not get to the object",
        Counted(bytes, "byte")
    )
}

pub(crate) fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
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
            self.template
                .as_ref()
                .or(self.key.as_ref())
                .map_or("", |key| key),
            self.fate(),
            Counted(self.appends, "append"),
            Counted(self.retries, "retry"),
            Counted(self.reconciles, "reconcile"),
            self.crc64.as_deref().unwrap_or("unknown"),
            self.elapsed_ms as f64 / 1000.0,
        )?;
        if let (Some(second), Some(month)) = (self.appends_per_second, self.appends_per_month) {
            write!(
                f,
                "; {second} append requests a second, {} a month",
                Rounded(month)
            )?;
        }
        match self.advice() {
            Some(advice) => write!(f, "; {advice}"),
            None => Ok(()),
        }
    }
}

/// A large number, to three digits.
pub(crate) struct Rounded(pub(crate) u64);

impl fmt::Display for Rounded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, name) = match self.0 {
            ..10_000 => return self.0.fmt(f),
            10_000..1_000_000 => (1e3, "thousand"),
            1_000_000..1_000_000_000 => (1e6, "million"),
            _ => (1e9, "billion"),
        };
        let number = self.0 as f64 / unit;
        let digits = 2_usize.saturating_sub(number.log10() as usize);
        write!(f, "{number:.digits$} {name}")
    }
}

/// A number of things.
pub(crate) struct Counted(pub(crate) u64, pub(crate) &'static str);

impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(number, thing) = self;
        let stem = thing.strip_suffix('y');
        match (number, stem.filter(|stem| !stem.ends_with('e'))) {
            (1, _) => write!(f, "1 {thing}"),
            (_, Some(stem)) => write!(f, "{number} {stem}ies"),
            (_, None) => write!(f, "{number} {thing}s"),
        }
    }
}
