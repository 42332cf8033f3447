//! What a spool notes before the first append to an object: where the bytes from a position on go.
//! The next start finds out by that how much of them is in the object.
//!
//! It is text, lines of `name=value`, so that a person can read it in a damaged spool.

use std::fmt::Write as _;

use crate::drive::intent::{Intent, Packed};
use crate::values::path::ObjectPath;
use crate::values::position::ObjectPosition;
use crate::values::proven::Proven;

/// Everything before `position` in the spool is durable, and what comes from there on is in this
/// object from there on, as far as it has been appended.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Plan {
    /// In the spool.
    pub(crate) position: u64,
    pub(crate) object: ObjectPath,
    /// The object before it.
    pub(crate) proven: Proven,
    /// With compression, what was made of the next bytes.
    pub(crate) packed: Option<Packed>,
    /// In a sequence: which object it is.
    pub(crate) number: Option<u64>,
    /// In a sequence: the time that its name was made of, in seconds since the Unix epoch.
    pub(crate) time: Option<i64>,
    /// In a sequence: where, in the spool, the last object had to end that was ended before this one
    /// was chosen. The [notes](super::note::Note) that come behind that have yet to be heeded.
    pub(crate) cut: Option<u64>,
    /// So many bytes from `position` on were in memory alone when the disk came into use. With fewer on
    /// disk, the process ended before all of them were there, and those that are there count for
    /// nothing: what was sent of the others is not known.
    pub(crate) moved: Option<u64>,
}

impl Plan {
    pub(super) fn of(intent: &Intent, base: u64, cut: Option<u64>) -> Self {
        Self {
            position: base + intent.settled.bytes(),
            object: intent.object.clone(),
            proven: intent.proven,
            packed: intent.packed,
            number: intent.number,
            time: intent.time,
            cut,
            moved: None,
        }
    }

    /// Whether what was in memory when the disk came into use did not get there as a whole. `end` is that
    /// of what is on disk.
    pub(super) fn is_unfinished(&self, end: u64) -> bool {
        let moved = self.moved.unwrap_or(0);
        end.saturating_sub(self.position) < moved
    }

    /// The same for a later position, where what is before `start` is gone, and this is not: without
    /// syncs a loss of power can do that. What was deleted was durable, in the same object.
    pub(super) fn not_before(self, start: u64) -> Self {
        match self.position >= start {
            true => self,
            false => Self {
                proven: Proven::unknown(self.proven.position + (start - self.position)),
                position: start,
                packed: None,
                ..self
            },
        }
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut text = format!(
            "bucket={}\nkey={}\nat={}\n",
            self.object.bucket(),
            self.object.key(),
            self.proven.position
        );
        let mut line = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                // Writing to a string does not fail.
                let _ = writeln!(text, "{name}={value}");
            }
        };
        line("crc64", self.proven.crc.map(|crc| crc.to_string()));
        line("number", self.number.map(|number| number.to_string()));
        line("time", self.time.map(|time| time.to_string()));
        line("cut", self.cut.map(|cut| cut.to_string()));
        line("moved", self.moved.map(|moved| moved.to_string()));
        if let Some(packed) = self.packed {
            line("given", Some(packed.given.to_string()));
            line("stored", Some(packed.stored.to_string()));
            line("end_crc64", packed.crc64.map(|crc| crc.to_string()));
        }
        text.into_bytes()
    }

    /// `None`: no such plan could have been written.
    pub(crate) fn from_bytes(position: u64, bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let value = |name: &str| {
            let mut lines = text.lines().filter_map(|line| line.split_once('='));
            lines
                .find(|(found, _)| *found == name)
                .map(|(_, value)| value)
        };
        let number = |name: &str| value(name).and_then(|value| value.parse::<u64>().ok());
        let packed = number("given").zip(number("stored"));
        Some(Self {
            position,
            object: ObjectPath::new(value("bucket")?, value("key")?).ok()?,
            proven: Proven {
                position: ObjectPosition::new(number("at")?),
                crc: number("crc64"),
            },
            packed: packed.map(|(given, stored)| Packed {
                given,
                stored,
                crc64: number("end_crc64"),
            }),
            number: number("number"),
            time: value("time").and_then(|time| time.parse().ok()),
            cut: number("cut"),
            moved: number("moved"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_noted_is_read_again() {
        let object = ObjectPath::new("bucket", "a/b=c-0001.log").unwrap();
        let plain = Plan {
            position: 7,
            object,
            proven: Proven::EMPTY,
            packed: None,
            number: None,
            time: None,
            cut: None,
            moved: None,
        };
        let full = Plan {
            proven: Proven {
                position: ObjectPosition::new(u64::MAX - 3),
                crc: Some(u64::MAX),
            },
            packed: Some(Packed {
                given: 100,
                stored: 20,
                crc64: Some(9),
            }),
            number: Some(3),
            time: Some(-5),
            cut: Some(6),
            moved: Some(11),
            ..plain.clone()
        };
        for plan in [plain, full] {
            assert_eq!(Plan::from_bytes(7, &plan.to_bytes()), Some(plan));
        }
        assert_eq!(Plan::from_bytes(7, b"bucket=b\n"), None);
    }
}
