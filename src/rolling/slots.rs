//! The periods of a sequence as its keys tell them: from one to the next, and from a key to its own.

use std::time::Duration;

use jiff::Timestamp;

use crate::engine::period::Periods;
use crate::error::{Error, Result};

use super::template::{KeyNames, KeyTemplate};

/// How many periods are gone through for one question.
const MOST_STEPS: usize = 1_000_000;

/// The keys of one period.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    /// When it begins.
    pub(crate) start: Timestamp,
    pub(crate) names: KeyNames,
}

/// The periods that have keys of their own, in their order.
#[derive(Clone, Debug)]
pub(crate) struct Slots {
    template: KeyTemplate,
    /// No shorter than those of the writer, unless these are all that the keys tell.
    periods: Periods,
}

impl Slots {
    /// By the periods of the writer, or by what the keys tell of the time.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if nobody but the writer knows the keys.
    pub(crate) fn new(
        template: KeyTemplate,
        every: Option<Duration>,
        utc_offset: i32,
    ) -> Result<Self> {
        if !template.is_repeatable() {
            return Err(Error::invalid_input(format!(
                "key template {:?}: nobody but the writer knows what {{uuid}} and {{pid}} became, so \
                 its objects cannot be found; write the number of its process instead of {{pid}}",
                template.to_string()
            )));
        }
        let Some(every) = every.or_else(|| template.grain(utc_offset)) else {
            return Err(Error::invalid_input(format!(
                "key template {:?} tells times more finely than in seconds: the periods of its \
                 writer have to be known",
                template.to_string()
            )));
        };
        Ok(Self {
            periods: Periods::new(every, utc_offset)?,
            template,
        })
    }

    /// The period that `time` falls in.
    pub(crate) fn at(&self, time: Timestamp) -> Slot {
        let start = self.periods.around(time).start;
        Slot {
            start,
            names: self.template.names(start, self.periods.utc_offset()),
        }
    }

    /// The next periods after `slot` that have begun at `until`, so many at most. Where several in a
    /// row have the same keys, it is one.
    pub(crate) fn after(&self, slot: &Slot, until: Timestamp, most: usize) -> Vec<Slot> {
        let mut slots: Vec<Slot> = Vec::new();
        if !self.template.has_time() {
            return slots;
        }
        let mut end = self.periods.around(slot.start).end;
        for _ in 0..MOST_STEPS {
            if end > until || end == Timestamp::MAX || slots.len() == most {
                break;
            }
            let next = self.at(end);
            end = self.periods.around(next.start).end;
            if slots.last().unwrap_or(slot).names != next.names {
                slots.push(next);
            }
        }
        slots
    }

    /// The period and the number that give this key: the last that has begun at `until`, or that
    /// begins next.
    pub(crate) fn of(&self, key: &str, until: Timestamp) -> Option<(Slot, u64)> {
        let mut end = self.periods.around(until).end;
        for _ in 0..MOST_STEPS {
            let slot = self.at(end);
            if let Some(number) = slot.names.place(key) {
                return Some((slot, number));
            }
            let before = slot.start.checked_sub(Duration::from_nanos(1)).ok()?;
            if !self.template.has_time() {
                return None;
            }
            end = before;
        }
        None
    }

    /// Whether the keys of periods that follow each other begin alike.
    pub(crate) fn are_together(&self) -> bool {
        !self.template.is_hashed()
    }

    pub(crate) fn template(&self) -> &KeyTemplate {
        &self.template
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn slots(template: &str, every: Option<u64>, utc_offset: i32) -> Slots {
        let every = every.map(Duration::from_secs);
        Slots::new(template.parse().unwrap(), every, utc_offset).unwrap()
    }

    fn keys(slots: &[Slot]) -> Vec<String> {
        slots.iter().map(|slot| slot.names.key(1)).collect()
    }

    #[test]
    fn periods_are_those_that_have_keys_of_their_own() {
        let (from, until) = (time("2026-11-28T22:50:10Z"), time("2026-11-29T00:30:00Z"));
        for (template, every, utc_offset, later) in [
            ("%dT%H-{seq}", None, 0, &["28T23-1", "29T00-1"][..]),
            ("%dT%H-{seq}", Some(1), 0, &["28T23-1", "29T00-1"]),
            ("%d-{seq}", None, 0, &["29-1"]),
            ("%d-{seq}", None, 8 * 3600, &[]),
            ("%d %p-{seq}", None, 8 * 3600, &[]),
            ("%dT%H", None, 1800, &["29T00", "29T01"]),
            ("%H%M", Some(1800), 0, &["2300", "2330", "0000", "0030"]),
            ("%Y", None, 0, &[]),
            ("log-{seq}", None, 0, &[]),
        ] {
            let slots = slots(template, every, utc_offset);
            let found = slots.after(&slots.at(from), until, 99);
            assert_eq!(keys(&found), later, "{template}");
        }
        let seconds = slots("%H%M%S", None, 0);
        let found = seconds.after(&seconds.at(from), until, 3);
        assert_eq!(keys(&found), ["225011", "225012", "225013"]);
    }

    #[test]
    fn a_key_leads_back_to_its_period() {
        let until = time("2026-11-28T22:50:10Z");
        for (template, every) in [
            ("{hash}/%Y-%m-%d/%H-{seq:3}.log", None),
            ("%Y-%m-%d/%H%M-{seq}", Some(600)),
            ("%Y-%m-%d/%H.log", None),
            ("log-{seq}", None),
        ] {
            let slots = slots(template, every, -3600);
            for ago in [0, 3600, 30 * 24 * 3600] {
                let slot = slots.at(until - Duration::from_secs(ago));
                for number in [1, 2, 77] {
                    let found = slots.of(&slot.names.key(number), until);
                    let (found, its_number) = found.unwrap();
                    assert_eq!((found.names, its_number), (slot.names.clone(), number));
                }
            }
            assert_eq!(slots.of("other", until), None);
        }
    }

    #[test]
    fn what_only_the_writer_knows_is_refused() {
        for (template, every) in [
            ("{uuid}", None),
            ("{pid}-{seq}", None),
            ("%H%M%S%3f-{seq}", None),
            ("%H-{seq}", Some(0)),
        ] {
            let every = every.map(Duration::from_secs);
            assert!(Slots::new(template.parse().unwrap(), every, 0).is_err());
        }
        assert!(Slots::new("%S%3f".parse().unwrap(), Some(Duration::from_secs(1)), 0).is_ok());
    }
}
