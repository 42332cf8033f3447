//! When an append is issued, and how much goes in it.

use std::time::Duration;

use super::flush::Time;

/// The thresholds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schedule {
    pub(crate) batch_size: u64,
    pub(crate) max_append_size: u64,
    pub(crate) linger: Duration,
}

/// What waits in the buffer while no append is in flight.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waiting {
    /// Bytes not yet in an append.
    pub(crate) bytes: u64,
    /// No byte is older than this.
    pub(crate) since: Time,
    /// When a flush wants an append.
    pub(crate) flush_due: Option<Time>,
    /// No more bytes will come: everything goes out now.
    pub(crate) closing: bool,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// Issue an append of up to this many bytes.
    Append(u64),
    /// Ask again at this time, or when something changes.
    WaitUntil(Time),
    /// Ask again when something changes.
    Wait,
}

impl Schedule {
    pub(crate) fn next(&self, waiting: Waiting, now: Time) -> Due {
        if waiting.bytes == 0 {
            return Due::Wait;
        }
        let lingered = waiting.since.saturating_add(self.linger);
        let due = waiting.flush_due.map_or(lingered, |due| due.min(lingered));
        if waiting.closing || waiting.bytes >= self.batch_size || due <= now {
            Due::Append(waiting.bytes.min(self.max_append_size))
        } else {
            Due::WaitUntil(due)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    const SCHEDULE: Schedule = Schedule {
        batch_size: 100,
        max_append_size: 800,
        linger: Duration::from_secs(1),
    };

    fn waiting(bytes: u64) -> Waiting {
        Waiting {
            bytes,
            since: 5 * MS,
            flush_due: None,
            closing: false,
        }
    }

    #[test]
    fn nothing_is_never_appended() {
        let nothing = Waiting {
            flush_due: Some(Time::ZERO),
            closing: true,
            ..waiting(0)
        };
        assert_eq!(SCHEDULE.next(nothing, 9000 * MS), Due::Wait);
    }

    #[test]
    fn an_append_starts_at_the_batch_size() {
        assert_eq!(
            SCHEDULE.next(waiting(99), 6 * MS),
            Due::WaitUntil(1005 * MS)
        );
        assert_eq!(SCHEDULE.next(waiting(100), 6 * MS), Due::Append(100));
    }

    #[test]
    fn everything_gathered_goes_in_one_append_up_to_the_maximum() {
        assert_eq!(SCHEDULE.next(waiting(700), 6 * MS), Due::Append(700));
        assert_eq!(SCHEDULE.next(waiting(900), 6 * MS), Due::Append(800));
    }

    #[test]
    fn a_single_byte_goes_when_it_has_lingered() {
        assert_eq!(
            SCHEDULE.next(waiting(1), 1004 * MS),
            Due::WaitUntil(1005 * MS)
        );
        assert_eq!(SCHEDULE.next(waiting(1), 1005 * MS), Due::Append(1));
    }

    #[test]
    fn no_linger_appends_as_soon_as_idle() {
        let eager = Schedule {
            linger: Duration::ZERO,
            ..SCHEDULE
        };
        assert_eq!(eager.next(waiting(1), 5 * MS), Due::Append(1));
    }

    #[test]
    fn a_flush_that_is_due_does_not_wait_for_the_linger() {
        let flushed = Waiting {
            flush_due: Some(7 * MS),
            ..waiting(1)
        };
        assert_eq!(SCHEDULE.next(flushed, 6 * MS), Due::WaitUntil(7 * MS));
        assert_eq!(SCHEDULE.next(flushed, 7 * MS), Due::Append(1));
    }

    #[test]
    fn closing_waits_for_nothing() {
        let closing = Waiting {
            closing: true,
            ..waiting(1)
        };
        assert_eq!(SCHEDULE.next(closing, 5 * MS), Due::Append(1));
    }

    #[test]
    fn an_endless_linger_never_overflows() {
        let patient = Schedule {
            linger: Duration::MAX,
            ..SCHEDULE
        };
        assert_eq!(
            patient.next(waiting(1), 5 * MS),
            Due::WaitUntil(Duration::MAX)
        );
    }
}
