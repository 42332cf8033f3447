//! Flush targets: which position has to become durable, and when the append for it is due.

use std::time::Duration;

use crate::values::defaults;
use crate::values::position::StreamPosition;

/// A point in time, counted from the opening of the writer.
pub(crate) type Time = Duration;

/// What `poll_flush` promises, and how soon it acts.
///
/// What it promises of the writes of other clones is said at
/// [`OssAppendWriter`](crate::OssAppendWriter#clones).
///
/// Why the default is coalesced: `tokio::io::copy` and `FramedWrite` flush after nearly every
/// write when their source trickles. A flush that appends each time would make a request per line;
/// one that does nothing would lose the tail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FlushMode {
    /// Everything written before the flush is durable when it returns. Its append is issued at
    /// once if no flush forced one within `min_interval`, else when that interval ends.
    Coalesced {
        /// The least time between two appends that flushes force.
        min_interval: Duration,
    },
    /// Everything written before the flush is durable when it returns; its append is issued at
    /// once.
    Durable,
    /// A flush returns at once and forces nothing: appends are issued by size and time alone.
    /// `sync` and `shutdown` (a sink's `close`) still make everything durable.
    ///
    /// The mode for bulk through an adapter that flushes on its own account: `FramedWrite` does
    /// whenever its own 8 KiB are full, and so moves 40 KB/s in the default mode.
    Handoff,
}

/// The default: [`FlushMode::Coalesced`] with 200 ms.
impl Default for FlushMode {
    fn default() -> Self {
        Self::Coalesced {
            min_interval: defaults::FLUSH_INTERVAL,
        }
    }
}

/// What a flush does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Flush {
    /// It forces an append, no sooner than so long after the last one that was forced; `None`: it
    /// forces none.
    pub(crate) forces_after: Option<Duration>,
    /// It returns when everything before it is durable, and not at once.
    pub(crate) waits: bool,
}

impl Flush {
    /// Makes everything durable, at once.
    pub(crate) const SYNC: Self = Self {
        forces_after: Some(Duration::ZERO),
        waits: true,
    };
}

impl FlushMode {
    /// What a flush does in this mode: the only place that tells the modes apart.
    pub(crate) fn flush(self) -> Flush {
        match self {
            Self::Coalesced { min_interval } => Flush {
                forces_after: Some(min_interval),
                waits: true,
            },
            Self::Durable => Flush::SYNC,
            Self::Handoff => Flush {
                forces_after: None,
                waits: false,
            },
        }
    }
}

/// The flushes that wait for an append.
#[derive(Clone, Debug, Default)]
pub(crate) struct FlushTargets {
    /// The highest position that somebody waits for.
    target: StreamPosition,
    /// When its append is due; `None` if nobody waits for one.
    due: Option<Time>,
    /// When a flush forced an append last.
    last_forced: Option<Time>,
}

impl FlushTargets {
    /// Asks for everything before `target`, no sooner than `min_interval` after the last append
    /// that a flush forced. An append that is due already is never put off by this.
    pub(crate) fn ask(&mut self, target: StreamPosition, now: Time, min_interval: Duration) {
        let earliest = match self.last_forced {
            Some(last) => now.max(last.saturating_add(min_interval)),
            None => now,
        };
        self.due = Some(self.due.map_or(earliest, |due| due.min(earliest)));
        self.target = self.target.max(target);
    }

    /// When an append has to be issued for a flush.
    pub(crate) fn due(&self) -> Option<Time> {
        self.due
    }

    /// Notes that an append was issued at `now` which ends at `end`.
    pub(crate) fn issued(&mut self, end: StreamPosition, now: Time) {
        let Some(due) = self.due else { return };
        if due <= now {
            self.last_forced = Some(now);
        }
        if self.target <= end {
            self.due = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const INTERVAL: Duration = Duration::from_millis(200);

    #[test]
    fn the_first_flush_is_due_at_once_and_the_next_after_the_interval() {
        let mut flush = FlushTargets::default();
        flush.ask(StreamPosition::new(10), 5 * MS, INTERVAL);
        assert_eq!(flush.due(), Some(5 * MS));
        flush.issued(StreamPosition::new(10), 5 * MS);
        assert_eq!(flush.due(), None);

        flush.ask(StreamPosition::new(20), 6 * MS, INTERVAL);
        assert_eq!(flush.due(), Some(205 * MS));
    }

    #[test]
    fn a_later_target_does_not_postpone_the_append_that_is_due() {
        let mut flush = FlushTargets::default();
        flush.ask(StreamPosition::new(10), Time::ZERO, INTERVAL);
        flush.issued(StreamPosition::new(10), Time::ZERO);
        flush.ask(StreamPosition::new(20), 10 * MS, INTERVAL);
        flush.ask(StreamPosition::new(30), 190 * MS, INTERVAL);
        assert_eq!(flush.due(), Some(200 * MS));
    }

    #[test]
    fn a_sync_is_due_at_once_in_every_interval() {
        let mut flush = FlushTargets::default();
        flush.ask(StreamPosition::new(10), Time::ZERO, INTERVAL);
        flush.issued(StreamPosition::new(10), Time::ZERO);
        flush.ask(StreamPosition::new(20), 10 * MS, INTERVAL);
        flush.ask(StreamPosition::new(20), 11 * MS, Duration::ZERO);
        assert_eq!(flush.due(), Some(11 * MS));
    }

    #[test]
    fn an_append_that_ends_before_the_target_leaves_it_due() {
        let mut flush = FlushTargets::default();
        flush.ask(StreamPosition::new(100), Time::ZERO, INTERVAL);
        flush.issued(StreamPosition::new(60), Time::ZERO);
        assert_eq!(flush.due(), Some(Time::ZERO));
        flush.issued(StreamPosition::new(100), MS);
        assert_eq!(flush.due(), None);
    }

    #[test]
    fn an_append_issued_by_size_does_not_start_an_interval() {
        let mut flush = FlushTargets::default();
        flush.ask(StreamPosition::new(10), Time::ZERO, INTERVAL);
        flush.issued(StreamPosition::new(10), Time::ZERO);
        flush.ask(StreamPosition::new(20), 50 * MS, INTERVAL);
        flush.issued(StreamPosition::new(20), 60 * MS);
        flush.ask(StreamPosition::new(30), 250 * MS, INTERVAL);
        assert_eq!(flush.due(), Some(250 * MS));
    }
}
