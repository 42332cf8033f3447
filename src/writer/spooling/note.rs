//! What the header of a segment says of the objects that its bytes are for: the next start makes the
//! same objects end where they would have ended.

use jiff::Timestamp;

use crate::stage::RollReason;

/// The bytes from a position on go in another object than those before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Note {
    /// In the spool.
    pub(crate) at: u64,
    /// The period of what comes, where there are periods.
    pub(crate) period: Option<Timestamp>,
    /// Why the object before ends.
    pub(crate) reason: RollReason,
}

impl Note {
    pub(crate) fn to_bytes(self) -> Vec<u8> {
        let mut text = format!("at={}\n", self.at);
        if let Some(period) = self.period {
            text += &format!("period={}\n", period.as_second());
        }
        text += match self.reason {
            RollReason::Period => "reason=period\n",
            _ => "reason=asked\n",
        };
        text.into_bytes()
    }

    /// `None`: nothing ends there.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let value = |name: &str| {
            let mut lines = text.lines().filter_map(|line| line.split_once('='));
            lines
                .find(|(found, _)| *found == name)
                .map(|(_, value)| value)
        };
        let period = value("period").and_then(|second| second.parse().ok());
        Some(Self {
            at: value("at")?.parse().ok()?,
            period: period.and_then(|second| Timestamp::from_second(second).ok()),
            reason: match value("reason")? {
                "period" => RollReason::Period,
                _ => RollReason::Asked,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_noted_is_read_again() {
        for period in [None, Timestamp::from_second(1_796_000_400).ok()] {
            for reason in [RollReason::Period, RollReason::Asked] {
                let note = Note {
                    at: 1 << 40,
                    period,
                    reason,
                };
                assert_eq!(Note::from_bytes(&note.to_bytes()), Some(note));
            }
        }
        assert_eq!(Note::from_bytes(b""), None);
    }
}
