//! Whether a template gives each object of a sequence a key of its own.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::{self, Date};
use jiff::tz::TimeZone;

use crate::engine::period::Periods;
use crate::error::{Error, Result};

use super::KeyTemplate;
use super::fields::offset;

impl KeyTemplate {
    /// Refuses a template that gives two objects the same key when they are rolled like that.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput), by the rules in the type's documentation.
    pub(crate) fn check(
        &self,
        periods: Option<&Periods>,
        by_size: bool,
        utc_offset_seconds: i32,
    ) -> Result<()> {
        if self.is_numbered() || self.is_unique() {
            return Ok(());
        }
        let text = &self.text;
        let problem = if by_size {
            "objects that are rolled by size need a number in their key: add {seq} or {uuid}".into()
        } else if let Some(periods) = periods {
            let Some((one, other)) = self.repeats(periods, utc_offset_seconds) else {
                return Ok(());
            };
            let every = periods.every();
            let key = self.names_with(one, utc_offset_seconds, "").before;
            let local = |time: Timestamp| offset(utc_offset_seconds).to_datetime(time);
            format!(
                "periods of {every:?} can have the same key, such as {key:?} at {} and at {}: add \
                 time fields ({} tell them apart), {{seq}} or {{uuid}}",
                local(one),
                local(other),
                fields_to_tell_apart(every)
            )
        } else {
            "every object would have the same key: add {seq} or {uuid}".into()
        };
        Err(Error::invalid_input(format!(
            "key template {text:?}: {problem}"
        )))
    }

    /// Two times, at least one period apart, with the same key; `None` if there seem to be none.
    ///
    /// First it tries bare times. A key stays the same within some unit of time, such as an hour,
    /// and may come back after a larger one, such as a day. If the periods are shorter than the
    /// unit, sooner or later two begin in the same one; if they are not, and it comes back, then
    /// sooner or later to the beginning of a period. Either shows from where all units begin.
    ///
    /// Then it tries periods, many in a row, for what comes back irregularly: `%-m%-d` is 111 in
    /// January and in November.
    fn repeats(
        &self,
        periods: &Periods,
        utc_offset_seconds: i32,
    ) -> Option<(Timestamp, Timestamp)> {
        let every = periods.every();
        let key = |time| self.names_with(time, utc_offset_seconds, "").before;
        let starts = STARTS.iter().filter_map(|start| {
            let zone = TimeZone::fixed(offset(utc_offset_seconds));
            Some(start.to_zoned(zone).ok()?.timestamp())
        });
        for start in starts.clone() {
            let first = key(start);
            let longer = RETURNS.map(Duration::from_secs).into_iter();
            for apart in [every].into_iter().chain(longer.filter(|r| *r > every)) {
                let other = start.checked_add(apart).ok()?;
                if key(other) == first {
                    return Some((start, other));
                }
            }
        }

        let start = starts.min()?;
        let mut seen = HashMap::new();
        let mut last = None;
        for (step, steps) in WALKS {
            for n in 0..=steps {
                let time = start.checked_add(Duration::from_secs(n * step)).ok()?;
                let period = periods.around(time).start;
                if last.replace(period) == Some(period) {
                    continue;
                }
                let other = *seen.entry(key(period)).or_insert(period);
                if other != period {
                    return Some((other.min(period), other.max(period)));
                }
            }
        }
        None
    }
}

const MINUTE: u64 = 60;

const HOUR: u64 = 60 * MINUTE;

const DAY: u64 = 24 * HOUR;

/// A leap year from a Wednesday, a year from a Sunday, a leap year from a Monday, and its second
/// half, whose quarters are the longest.
const STARTS: [Date; 4] = [
    civil::date(2020, 1, 1),
    civil::date(2023, 1, 1),
    civil::date(2024, 1, 1),
    civil::date(2024, 7, 1),
];

/// In how many seconds time fields come back.
const RETURNS: [u64; 13] = [
    1,
    MINUTE,
    HOUR,
    12 * HOUR,
    DAY,
    7 * DAY,
    28 * DAY,
    29 * DAY,
    30 * DAY,
    31 * DAY,
    364 * DAY,
    365 * DAY,
    366 * DAY,
];

/// Steps of how many seconds, and how many of them.
const WALKS: [(u64, u64); 4] = [
    (1, HOUR),
    (MINUTE, 24 * 60),
    (HOUR, 62 * 24),
    (DAY, 2 * 366),
];

/// The time fields that tell periods of this length apart.
fn fields_to_tell_apart(every: Duration) -> &'static str {
    match every.as_secs() {
        86_400.. => "%Y-%m-%d",
        3_600.. => "%Y-%m-%d-%H",
        60.. => "%Y-%m-%d-%H%M",
        1.. => "%Y-%m-%d-%H%M%S",
        0 => "%Y-%m-%d-%H%M%S.%3f",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::{EAST, any_text, template};
    use super::*;

    fn check(text: &str, every: Option<Duration>, by_size: bool) -> Result<()> {
        [0, EAST, -(3 * 3600 + 1800)]
            .into_iter()
            .try_for_each(|utc_offset| {
                let periods = every.map(|every| Periods::new(every, utc_offset).unwrap());
                template(text).check(periods.as_ref(), by_size, utc_offset)
            })
    }

    fn days(n: u64) -> Duration {
        Duration::from_secs(n * DAY)
    }

    fn hours(n: u64) -> Duration {
        Duration::from_secs(n * HOUR)
    }

    #[test]
    fn a_number_or_a_uuid_is_always_enough() {
        for text in ["a-{seq}", "a-{uuid}"] {
            for every in [None, Some(hours(1))] {
                check(text, every, false).unwrap();
                check(text, every, true).unwrap();
            }
        }
    }

    #[test]
    fn time_alone_is_not_enough_when_rolled_by_size() {
        for every in [None, Some(hours(1))] {
            let error = check("%Y%m%dT%H%M%S%N", every, true).unwrap_err();
            assert_eq!(
                error.to_string(),
                "key template \"%Y%m%dT%H%M%S%N\": objects that are rolled by size need a number \
                 in their key: add {seq} or {uuid}"
            );
        }
        let error = check("%s", None, false).unwrap_err().to_string();
        assert!(
            error.contains("every object would have the same key"),
            "{error}"
        );
    }

    #[test]
    fn time_that_tells_all_periods_apart_is_enough() {
        let ms = Duration::from_millis;
        for (text, every) in [
            ("%Y-%m-%d", days(1)),
            ("%Y-%m-%d", hours(36)),
            ("%F", days(7)),
            ("{hash}/%Y/%m/%d/%H", hours(1)),
            ("%Y-%m-%d %p", hours(12)),
            ("%Y-%m-%d-%I%p", hours(1)),
            ("%Y%m%d%H%M", ms(60_000)),
            ("%Y%m%d%H%M", ms(90_000)),
            ("%Y%m%d%H%M%S", ms(1_000)),
            ("%Y%m%d%H%M%S%3f", ms(1)),
            ("%s", ms(1_500)),
            ("%y%j", days(1)),
            ("%G-W%V", days(7)),
            ("%Y-%U", days(7)),
            ("%Y-%m", days(31)),
            ("%Y-Q%q", days(92)),
            ("%Y", days(366)),
            ("%Y-%-m-%-d", days(1)),
            // Always 0 hours: no day is mistaken for another.
            ("%Y-%m-%-d%-H", days(1)),
        ] {
            check(text, Some(every), false).unwrap_or_else(|error| panic!("{error}"));
        }
    }

    #[test]
    fn time_that_leaves_periods_with_the_same_key_is_refused() {
        let ms = Duration::from_millis;
        for (text, every) in [
            ("app.log", days(1)),
            ("{host}-{pid}-{hash}", days(1)),
            // Two in a row.
            ("%Y-%m-%d", hours(1)),
            ("%Y-%m-%d", hours(23)),
            ("%Y-%m-%d-%H", ms(3_599_999)),
            ("%Y-%m", days(30)),
            ("%Y-Q%q", days(91)),
            ("%Y", days(365)),
            ("%G", days(366)),
            ("%G-W%V", days(6)),
            ("%Y-%m-%d-%I", hours(12)),
            ("%s", ms(999)),
            // After a second, a minute, an hour, half a day, a day, a week, a month, a year.
            ("%3f", ms(100)),
            ("%S", ms(1_000)),
            ("%M%S", ms(1_000)),
            ("%Y-%m-%d-%I", hours(1)),
            ("%H", hours(1)),
            ("%H", hours(7)),
            ("%a", days(1)),
            ("%a-%d", days(1)),
            ("%Y-%d-%H", hours(1)),
            ("%m-%d", days(1)),
            ("%j-%H", hours(1)),
            ("%j", days(5)),
            // Not quite a year.
            ("%Y-%V", days(7)),
            ("%G-%m-%d", days(1)),
            // Ambiguous without zeros.
            ("%Y%-m%-d", days(1)),
            ("%Y-%m-%d-%-H%-M", ms(60_000)),
            ("%Y-%m-%-d%-H", hours(1)),
        ] {
            let error = check(text, Some(every), false).expect_err(text).to_string();
            assert!(error.contains("can have the same key"), "{error}");
        }
        assert_eq!(
            check("a-%H", Some(hours(1)), false)
                .unwrap_err()
                .to_string(),
            "key template \"a-%H\": periods of 3600s can have the same key, such as \"a-00\" at \
             2020-01-01T00:00:00 and at 2020-01-02T00:00:00: add time fields (%Y-%m-%d-%H tell \
             them apart), {seq} or {uuid}"
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

        #[test]
        fn checking_never_panics(
            text in any_text(),
            every in 1u64..Periods::LONGEST.as_millis() as u64,
            utc_offset: i32,
        ) {
            let Ok(template) = KeyTemplate::new(&text) else { return Ok(()) };
            let every = Duration::from_millis(every);
            let periods = Periods::new(every, utc_offset % 90_000).unwrap();
            let _ = template.check(Some(&periods), false, utc_offset);
        }
    }
}
