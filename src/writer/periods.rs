//! The wall clock of a writer whose objects end with a period.

use std::collections::VecDeque;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::engine::period::Periods;

/// The longest that is slept before the clock is asked again: it may have been set, or the machine
/// have been suspended.
const LONGEST: Duration = Duration::from_secs(60);

/// What time it is.
#[derive(Clone)]
pub(crate) struct WallClock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl WallClock {
    pub(crate) fn new(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    pub(crate) fn now(&self) -> Timestamp {
        (self.0)()
    }
}

impl Default for WallClock {
    fn default() -> Self {
        Self::new(Timestamp::now)
    }
}

impl fmt::Debug for WallClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WallClock")
    }
}

/// Which period bytes belong to, by the time at which they were accepted.
#[derive(Clone, Debug)]
pub(crate) struct PeriodClock {
    periods: Periods,
    clock: WallClock,
    /// The periods that have begun and whose bytes have not all been issued, by their starts. New
    /// bytes belong to the last.
    begun: VecDeque<Timestamp>,
    /// The last that has begun ever.
    last: Range<Timestamp>,
}

impl PeriodClock {
    pub(crate) fn new(periods: Periods, clock: WallClock) -> Self {
        Self {
            periods,
            clock,
            begun: VecDeque::new(),
            last: Timestamp::MIN..Timestamp::MIN,
        }
    }

    /// What time it is by the clock, which may be the caller's: not to be asked under a lock.
    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// How long new bytes go on belonging to the same period at `now`, or at least until the clock
    /// has to be asked again; zero if the period has ended. The last period that can be told ends
    /// never.
    pub(super) fn left(&mut self, now: Timestamp) -> Duration {
        if self.begun.is_empty() {
            self.begin(now);
        }
        if self.last.end == Timestamp::MAX {
            return LONGEST;
        }
        let left = self.last.end.duration_since(now);
        Duration::try_from(left).unwrap_or_default().min(LONGEST)
    }

    /// New bytes belong to the period of `now`; but when the clock was set back to an earlier one,
    /// to the last: no period begins again.
    pub(super) fn begin(&mut self, now: Timestamp) {
        let period = self.periods.around(now);
        if period.start >= self.last.start {
            self.last = period;
        }
        self.begun.push_back(self.last.start);
    }

    /// The last period that has begun.
    pub(super) fn newest(&self) -> Option<Timestamp> {
        self.begun.back().copied()
    }

    /// Begins with bytes of earlier periods: `first`, and those behind it that have begun since.
    pub(crate) fn resume(&mut self, first: Timestamp, later: impl Iterator<Item = Timestamp>) {
        self.begun.clear();
        for period in std::iter::once(first).chain(later) {
            self.begin(period);
        }
    }

    /// The period of the first byte: that of this moment, if there is none yet.
    pub(crate) fn next(&mut self) -> Timestamp {
        if self.begun.is_empty() {
            self.begin(self.now());
        }
        self.begun.front().copied().unwrap_or(self.last.start)
    }

    /// The period of the next byte to be issued.
    pub(super) fn current(&self) -> Option<Timestamp> {
        self.begun.front().copied()
    }

    /// All bytes of that period have been issued.
    pub(super) fn ended(&mut self) {
        self.begun.pop_front();
    }

    /// There is no byte and no object: whenever the next byte comes, its period begins.
    pub(super) fn idle(&mut self) {
        self.begun.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_period_never_ends() {
        let hour = Duration::from_secs(3600);
        let clock = WallClock::new(|| Timestamp::MAX);
        let mut periods = PeriodClock::new(Periods::new(hour, 0).unwrap(), clock);
        assert_eq!(periods.left(periods.now()), LONGEST);
        assert_eq!(periods.left(periods.now()), LONGEST);
    }
}
