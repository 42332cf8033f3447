//! Which period a time falls in, when objects are rolled by time.

use std::ops::Range;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use jiff::tz::Offset;

use crate::error::{Error, Result};

const NANOS_PER_SECOND: i128 = 1_000_000_000;

/// Periods of one length that follow each other without a gap, for all time.
/// They are counted from midnight of 1970-01-01 at the offset, so that hours begin on the hour and
/// days at local midnight. A length that does not divide the day drifts through it. A
/// [`RollingWriter`](crate::RollingWriter) with the same
/// [`roll_every`](crate::RollingWriterBuilder::roll_every) and
/// [`utc_offset`](crate::RollingWriterBuilder::utc_offset) has these periods: with a
/// [`KeyTemplate`](crate::KeyTemplate) they tell which objects hold a given time.
///
/// ```
/// use std::time::{Duration, UNIX_EPOCH};
/// use oss_append::{KeyTemplate, Periods};
///
/// let hours = Periods::new(Duration::from_secs(60 * 60), 0)?;
/// let time = UNIX_EPOCH + Duration::from_secs(5_000);
/// assert_eq!(hours.containing(time).start, UNIX_EPOCH + Duration::from_secs(3_600));
///
/// let template: KeyTemplate = "app/%Y-%m-%d/%H%M-{seq}.log".parse()?;
/// assert_eq!(template.names_in(&hours, time).key(1), "app/1970-01-01/0100-1.log");
/// # Ok::<(), oss_append::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Periods {
    every: Duration,
    /// Seconds east of UTC.
    utc_offset: i32,
}

impl Periods {
    pub(crate) const SHORTEST: Duration = Duration::from_millis(1);
    pub(crate) const LONGEST: Duration = Duration::from_secs(366 * 24 * 60 * 60);

    /// Periods of this length, counted from midnight at this offset in seconds to the east of UTC.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if the length is not 1 ms to 366 days, or
    /// the offset is 26 hours or more.
    pub fn new(every: Duration, utc_offset: i32) -> Result<Self> {
        if every < Self::SHORTEST {
            return Err(Error::invalid_input(format!(
                "a period of {every:?} is too short: at least 1 ms is allowed"
            )));
        }
        if every > Self::LONGEST {
            return Err(Error::invalid_input(format!(
                "a period of {every:?} is too long: at most 366 days are allowed"
            )));
        }
        if Offset::from_seconds(utc_offset).is_err() {
            return Err(Error::invalid_input(format!(
                "a UTC offset of {utc_offset} s is not valid: it must be less than 26 hours"
            )));
        }
        Ok(Self { every, utc_offset })
    }

    /// The period that `time` falls in: from its first moment up to, but not including, the first
    /// of the next.
    ///
    /// Times end with the year 9999, and so does the last period: all later ones count as its end.
    pub fn containing(&self, time: SystemTime) -> Range<SystemTime> {
        let Range { start, end } = self.around(timestamp(time));
        start.into()..end.into()
    }

    /// The length of each period.
    pub(crate) fn every(&self) -> Duration {
        self.every
    }

    /// Seconds east of UTC.
    pub(crate) fn utc_offset(&self) -> i32 {
        self.utc_offset
    }

    /// The period that `time` falls in, as [`containing`](Self::containing) tells it.
    ///
    /// The first and the last period are cut at jiff's limits, so that alone the very last moment
    /// is in none.
    pub(crate) fn around(&self, time: Timestamp) -> Range<Timestamp> {
        // At most 2^65 or so: nothing here comes near the limits of i128.
        let every = i128::try_from(self.every.as_nanos()).unwrap_or(i128::MAX);
        let offset = i128::from(self.utc_offset) * NANOS_PER_SECOND;
        let local = time.as_nanosecond() + offset;
        let start = local - local.rem_euclid(every) - offset;
        clamped(start)..clamped(start + every)
    }
}

/// The same moment, or the nearest that jiff knows.
pub(crate) fn timestamp(time: SystemTime) -> Timestamp {
    Timestamp::try_from(time).unwrap_or(match time < SystemTime::UNIX_EPOCH {
        true => Timestamp::MIN,
        false => Timestamp::MAX,
    })
}

fn clamped(nanosecond: i128) -> Timestamp {
    Timestamp::from_nanosecond(nanosecond).unwrap_or(if nanosecond < 0 {
        Timestamp::MIN
    } else {
        Timestamp::MAX
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HOUR: u64 = 3600;
    const DAY: u64 = 24 * HOUR;

    fn containing(seconds: u64, utc_offset: i32, time: &str) -> String {
        let periods = Periods::new(Duration::from_secs(seconds), utc_offset).unwrap();
        let Range { start, end } = periods.around(time.parse().unwrap());
        format!("{start} {end}")
    }

    #[test]
    fn days_begin_at_local_midnight() {
        for (utc_offset, period) in [
            (0, "2026-03-14T00:00:00Z 2026-03-15T00:00:00Z"),
            (8 * 3600, "2026-03-14T16:00:00Z 2026-03-15T16:00:00Z"),
            (5 * 3600 + 1800, "2026-03-14T18:30:00Z 2026-03-15T18:30:00Z"),
            (
                -(3 * 3600 + 1800),
                "2026-03-14T03:30:00Z 2026-03-15T03:30:00Z",
            ),
        ] {
            let time = "2026-03-14T19:00:00Z";
            assert_eq!(containing(DAY, utc_offset, time), period, "{utc_offset}");
        }
    }

    #[test]
    fn hours_begin_on_the_local_hour() {
        for (utc_offset, period) in [
            (8 * 3600, "2026-03-14T19:00:00Z 2026-03-14T20:00:00Z"),
            (5 * 3600 + 1800, "2026-03-14T18:30:00Z 2026-03-14T19:30:00Z"),
            (
                -(3 * 3600 + 1800),
                "2026-03-14T18:30:00Z 2026-03-14T19:30:00Z",
            ),
        ] {
            let time = "2026-03-14T19:29:59.999999999Z";
            assert_eq!(containing(HOUR, utc_offset, time), period, "{utc_offset}");
        }
    }

    #[test]
    fn a_period_begins_where_the_one_before_ends() {
        let period = "2026-03-14T19:00:00Z 2026-03-14T20:00:00Z";
        assert_eq!(containing(HOUR, 0, "2026-03-14T19:00:00Z"), period);
        let before = "2026-03-14T18:00:00Z 2026-03-14T19:00:00Z";
        assert_eq!(
            containing(HOUR, 0, "2026-03-14T18:59:59.999999999Z"),
            before
        );
    }

    #[test]
    fn periods_before_1970_are_aligned_too() {
        assert_eq!(
            containing(DAY, 8 * 3600, "1969-12-31T15:59:59Z"),
            "1969-12-30T16:00:00Z 1969-12-31T16:00:00Z"
        );
        assert_eq!(
            containing(HOUR, 0, "1900-02-28T23:59:59.5Z"),
            "1900-02-28T23:00:00Z 1900-03-01T00:00:00Z"
        );
    }

    #[test]
    fn periods_are_cut_at_the_limits_of_time() {
        for seconds in [1, HOUR, DAY, 366 * DAY] {
            for utc_offset in [-93_599, 0, 93_599] {
                let periods = Periods::new(Duration::from_secs(seconds), utc_offset).unwrap();
                let first = periods.around(Timestamp::MIN);
                assert!(first.contains(&Timestamp::MIN), "{first:?}");
                let last = periods.around(Timestamp::MAX);
                assert!(last.start <= last.end && last.end == Timestamp::MAX);
            }
        }
    }

    #[test]
    fn lengths_and_offsets_that_make_no_sense_are_refused() {
        let new = |every, utc_offset| Periods::new(every, utc_offset).map(drop);
        for (every, reason) in [
            (
                Duration::ZERO,
                "a period of 0ns is too short: at least 1 ms is allowed",
            ),
            (
                Duration::from_micros(999),
                "a period of 999µs is too short: at least 1 ms is allowed",
            ),
            (
                Periods::LONGEST + Duration::from_nanos(1),
                "a period of 31622400.000000001s is too long: at most 366 days are allowed",
            ),
        ] {
            assert_eq!(new(every, 0).unwrap_err().kind().to_string(), reason);
        }
        assert!(new(Duration::MAX, 0).is_err());
        assert!(new(Periods::SHORTEST, 0).is_ok());
        assert!(new(Periods::LONGEST, 0).is_ok());
        for utc_offset in [i32::MIN, -93_600, 93_600, i32::MAX] {
            assert!(new(Periods::LONGEST, utc_offset).is_err(), "{utc_offset}");
        }
        assert!(new(Periods::LONGEST, 93_599).is_ok());
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_period_contains_its_time_and_touches_its_neighbours(
            nanosecond in Timestamp::MIN.as_nanosecond()..Timestamp::MAX.as_nanosecond(),
            every in prop_oneof![1u64..5_000, 1u64..Periods::LONGEST.as_millis() as u64],
            nanos in 0u32..1_000_000,
            utc_offset in -93_599i32..=93_599,
        ) {
            let every = Duration::from_millis(every) + Duration::from_nanos(nanos.into());
            let every = every.min(Periods::LONGEST);
            let periods = Periods::new(every, utc_offset).unwrap();
            let time = Timestamp::from_nanosecond(nanosecond).unwrap();
            let period = periods.around(time);
            prop_assert!(period.contains(&time), "{period:?}");
            prop_assert_eq!(&periods.around(period.start), &period);
            if period.end < Timestamp::MAX {
                prop_assert_eq!(periods.around(period.end).start, period.end);
                if period.start > Timestamp::MIN {
                    let length = period.end.as_nanosecond() - period.start.as_nanosecond();
                    prop_assert_eq!(length, every.as_nanos() as i128);
                }
            }
        }
    }
}
