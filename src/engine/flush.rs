//! Flush targets: which position has to become durable, and when the append for it is due.
//!
//! A program that flushes much is served at once. Only trickles of small flushes are held back, by
//! an allowance that saves up for occasional ones.

use std::time::Duration;

use crate::values::defaults;
use crate::values::position::StreamPosition;

/// A point in time, counted from the opening of the writer.
pub(crate) type Time = Duration;

/// A flush that carries so many bytes is issued at once.
const LARGE: u64 = 4 * 1024;

/// How many appends of small flushes can be saved up.
const SAVED: u32 = 20;

/// No interval is longer, so that sums of intervals do not overflow.
const LONGEST_INTERVAL: Duration = Duration::from_secs(u32::MAX as u64);

/// How many flushes have to be held up within [`WAITS_WITHIN`] before that is told.
const MANY_WAITS: u32 = 50;
const WAITS_WITHIN: Duration = Duration::from_secs(60);

/// What is logged then.
pub(crate) const SLOWED_DOWN: &str = "this program keeps waiting for flushes of less than 4 KiB, \
    which FlushMode::Coalesced lets through one each min_interval; write more before each flush, \
    give records to `records` or `enqueue` and wait for the receipts of some, use `feed` instead of \
    `send`, or take FlushMode::Handoff and call `sync` where it matters";

/// What `poll_flush` promises, and how soon it acts.
///
/// What it promises about the writes of other clones is described at
/// [`OssAppendWriter`](crate::OssAppendWriter#clones).
///
/// Why the default is coalesced: `tokio::io::copy` and `FramedWrite` flush after nearly every
/// write when their source trickles. A flush that appends each time would make a request per line;
/// one that does nothing would lose the tail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FlushMode {
    /// Everything written before the flush is durable when it returns. How soon its append is
    /// issued depends on how much it carries: the bytes that were written before it and are in no
    /// append yet.
    ///
    /// - 4 KiB or more: at once.
    /// - Less: at once too, as long as the allowance lasts, else when the next one falls due. The
    ///   allowance is one append each `min_interval`; up to 20 that were not used are saved up, and
    ///   a new writer has all of them.
    ///
    /// So an occasional flush never waits, and a trickle of 100 bytes every 5 ms, with a flush
    /// after each, makes 5 appends a second after the first 20. A program that waits for each small
    /// flush before it writes on is slowed down to the same rate. It should write more before it
    /// flushes, or use [`records`](crate::OssAppendWriter::records), which does not flush. A writer
    /// that keeps waiting like that logs it once, as an event of `tracing` at the level WARN with
    /// the target `oss_append::flush`.
    ///
    /// Each writer has one allowance, shared by its clones; a rolling writer has one for all of its
    /// objects, a keyed writer one for each open key. `sync` uses none of it.
    Coalesced {
        /// The time in which the allowance grows by one append.
        min_interval: Duration,
    },
    /// Everything written before the flush is durable when it returns; its append is issued at
    /// once.
    Durable,
    /// A flush returns at once and forces nothing: appends are issued by size and time alone.
    /// `sync` and `shutdown` (a sink's `close`) still make everything durable.
    ///
    /// Use it for bulk through an adapter that flushes by itself: `FramedWrite` does so whenever
    /// its own 8 KiB are full, and in the other modes waits for a round trip then.
    Handoff,
    /// Everything written before the flush is on disk when it returns, in the writer's
    /// [spool](crate::SpoolStats), and synced as the spool's options say. Forces no append: `sync`
    /// and `shutdown` still make everything durable in OSS. Only for writers that have a spool.
    Spooled,
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
    /// It forces an append: at once if it is large, else by an allowance of one each so long;
    /// `None`: it forces none.
    pub(crate) interval: Option<Duration>,
    /// It returns when everything before it is durable, and not at once.
    pub(crate) waits: bool,
}

impl Flush {
    /// Makes everything durable, at once.
    pub(crate) const SYNC: Self = Self {
        interval: Some(Duration::ZERO),
        waits: true,
    };
}

impl FlushMode {
    /// What a flush does in this mode: the only place that tells the modes apart.
    pub(crate) fn flush(self) -> Flush {
        match self {
            Self::Coalesced { min_interval } => Flush {
                interval: Some(min_interval),
                waits: true,
            },
            Self::Durable => Flush::SYNC,
            Self::Handoff | Self::Spooled => Flush {
                interval: None,
                waits: false,
            },
        }
    }
}

/// The flushes that wait for an append. What comes and goes is in boxes, so that an idle writer is
/// small.
#[derive(Debug, Default)]
pub(crate) struct FlushTargets {
    /// The append that has to be issued; `None` if nobody waits for one.
    forced: Option<Box<Forced>>,
    /// When the allowance is whole again. Each append that it was used for puts that off by an
    /// interval.
    whole_at: Time,
    waits: Option<Box<Waits>>,
}

/// An append that flushes force.
#[derive(Debug)]
struct Forced {
    /// The highest position that somebody waits for.
    target: StreamPosition,
    due: Time,
    /// By how much it puts off the time when the allowance is whole again.
    costs: Duration,
}

impl FlushTargets {
    /// Asks for everything before `target`, of which `carried` bytes are in no append yet. An append
    /// that is due already is never put off by this. Tells whether the flush is held up: whether the
    /// allowance lets it wait for half an interval or longer.
    pub(crate) fn ask(
        &mut self,
        target: StreamPosition,
        carried: u64,
        now: Time,
        interval: Duration,
    ) -> bool {
        let interval = interval.min(LONGEST_INTERVAL);
        let turn = self.whole_at.saturating_sub(interval * (SAVED - 1));
        let forced = self.forced.get_or_insert_with(|| {
            Box::new(Forced {
                target,
                due: now.max(turn),
                costs: interval,
            })
        });
        forced.target = forced.target.max(target);
        if carried >= LARGE || interval.is_zero() {
            forced.due = forced.due.min(now);
            forced.costs = Duration::ZERO;
        }
        let wait = forced.due.saturating_sub(now);
        !wait.is_zero() && wait >= interval / 2
    }

    /// When an append has to be issued for a flush.
    pub(crate) fn due(&self) -> Option<Time> {
        self.forced.as_ref().map(|forced| forced.due)
    }

    /// Notes that an append was issued at `now` which ends at `end`.
    pub(crate) fn issued(&mut self, end: StreamPosition, now: Time) {
        let Some(forced) = &mut self.forced else {
            return;
        };
        if forced.due <= now {
            // Once, if it takes several appends.
            let costs = std::mem::take(&mut forced.costs);
            self.whole_at = self.whole_at.max(now) + costs;
        }
        if forced.target <= end {
            self.forced = None;
        }
    }

    /// Notes that a flush was held up until `now`. Returns whether to report that.
    pub(crate) fn waited(&mut self, now: Time) -> bool {
        self.waits.get_or_insert_default().note(now)
    }
}

/// Counts the flushes that were held up, to tell once of a program that keeps waiting in them.
#[derive(Debug, Default)]
pub(crate) struct Waits {
    since: Time,
    count: u32,
    told: bool,
}

impl Waits {
    /// Notes one more at `now`. Returns whether to report it.
    pub(crate) fn note(&mut self, now: Time) -> bool {
        if self.count == 0 || now.saturating_sub(self.since) > WAITS_WITHIN {
            self.since = now;
            self.count = 0;
        }
        self.count += 1;
        self.count >= MANY_WAITS && !std::mem::replace(&mut self.told, true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const INTERVAL: Duration = Duration::from_millis(200);

    fn at(position: u64) -> StreamPosition {
        StreamPosition::new(position)
    }

    /// A writer that is flushed, without a writer.
    #[derive(Default)]
    struct Row {
        flush: FlushTargets,
        accepted: u64,
        issued: u64,
    }

    impl Row {
        /// All of the allowance is used up at the time zero.
        fn used_up() -> Self {
            let mut row = Self::default();
            for _ in 0..SAVED {
                row.flushes(1, Time::ZERO).issues(Time::ZERO);
            }
            row
        }

        fn asks(&mut self, bytes: u64, now: Time, interval: Duration) -> bool {
            self.accepted += bytes;
            let carried = self.accepted - self.issued;
            self.flush.ask(at(self.accepted), carried, now, interval)
        }

        /// Writes so many bytes and flushes.
        fn flushes(&mut self, bytes: u64, now: Time) -> &mut Self {
            self.asks(bytes, now, INTERVAL);
            self
        }

        fn syncs(&mut self, now: Time) -> &mut Self {
            self.asks(1, now, Duration::ZERO);
            self
        }

        /// An append takes all there is.
        fn issues(&mut self, now: Time) -> &mut Self {
            self.issued = self.accepted;
            self.flush.issued(at(self.issued), now);
            self
        }

        #[track_caller]
        fn is_due(&mut self, due: Time) -> &mut Self {
            assert_eq!(self.flush.due(), Some(due));
            self
        }

        #[track_caller]
        fn is_done(&mut self) -> &mut Self {
            assert_eq!(self.flush.due(), None);
            self
        }
    }

    #[test]
    fn the_first_small_flushes_are_due_at_once_and_the_next_after_an_interval() {
        let mut row = Row::default();
        for number in 0..SAVED {
            let now = number * MS;
            row.flushes(100, now).is_due(now).issues(now).is_done();
        }
        row.flushes(100, 20 * MS).is_due(200 * MS);
        row.issues(200 * MS).is_done();
        row.flushes(100, 201 * MS).is_due(400 * MS);
    }

    #[test]
    fn a_trickle_makes_one_append_an_interval_after_the_first_twenty() {
        let mut row = Row::default();
        let mut appends = 0;
        for tick in 0..2000 {
            let now = tick * 5 * MS;
            row.flushes(100, now);
            if row.flush.due().is_some_and(|due| due <= now) {
                row.issues(now);
                appends += 1;
            }
        }
        // Ten seconds: five a second, and those that were saved up.
        assert_eq!(appends, SAVED + 49);
    }

    #[test]
    fn a_large_flush_is_due_at_once_and_uses_no_allowance() {
        let mut row = Row::used_up();
        for number in 1..100 {
            let now = number * MS;
            row.flushes(LARGE, now).is_due(now).issues(now).is_done();
        }
        row.flushes(LARGE - 1, 100 * MS).is_due(200 * MS);
    }

    #[test]
    fn a_flush_counts_what_was_written_before_it_and_is_in_no_append() {
        let mut row = Row::used_up();
        row.flushes(LARGE - 1, MS).is_due(200 * MS);
        row.flushes(1, 2 * MS).is_due(2 * MS);
        row.issues(2 * MS).flushes(1, 3 * MS).is_due(200 * MS);
    }

    #[test]
    fn the_allowance_grows_back_to_twenty_and_no_further() {
        let mut row = Row::used_up();
        let later = SAVED * INTERVAL * 100;
        for _ in 0..SAVED {
            row.flushes(1, later).is_due(later).issues(later);
        }
        row.flushes(1, later).is_due(later + INTERVAL);

        let mut row = Row::used_up();
        for number in 0..3 {
            row.flushes(1, 601 * MS).is_due(601 * MS).issues(601 * MS);
            assert!(row.flush.due().is_none(), "{number}");
        }
        row.flushes(1, 601 * MS).is_due(800 * MS);
    }

    #[test]
    fn a_later_target_does_not_postpone_the_append_that_is_due() {
        let mut row = Row::used_up();
        row.flushes(10, 10 * MS).flushes(10, 190 * MS);
        row.is_due(200 * MS);
    }

    #[test]
    fn a_sync_is_due_at_once_and_uses_no_allowance() {
        let mut row = Row::used_up();
        row.flushes(10, 10 * MS).syncs(11 * MS).is_due(11 * MS);
        row.issues(11 * MS).is_done();
        row.flushes(10, 12 * MS).is_due(200 * MS);

        let mut row = Row::default();
        for _ in 0..100 {
            row.syncs(MS).is_due(MS).issues(MS);
        }
        row.flushes(10, MS).is_due(MS);
    }

    #[test]
    fn a_small_flush_does_not_postpone_what_is_due_at_once() {
        let mut row = Row::used_up();
        row.syncs(MS).flushes(10, 2 * MS).is_due(MS);
        row.issues(2 * MS).flushes(10, 3 * MS).is_due(200 * MS);
    }

    #[test]
    fn an_append_that_ends_before_the_target_leaves_it_due_and_is_paid_for_once() {
        let mut flush = FlushTargets::default();
        flush.ask(at(100), 100, Time::ZERO, INTERVAL);
        flush.issued(at(60), Time::ZERO);
        assert_eq!(flush.due(), Some(Time::ZERO));
        flush.issued(at(100), Time::ZERO);
        assert_eq!(flush.due(), None);
        assert_eq!(flush.whole_at, INTERVAL);
    }

    #[test]
    fn an_append_issued_by_size_uses_no_allowance() {
        let mut row = Row::used_up();
        row.flushes(10, 50 * MS).issues(60 * MS).is_done();
        row.flushes(10, 250 * MS).is_due(250 * MS);
    }

    #[test]
    fn an_endless_interval_lets_twenty_pass_and_no_more() {
        let mut row = Row::default();
        for _ in 0..SAVED {
            row.asks(1, MS, Duration::MAX);
            row.is_due(MS).issues(MS);
        }
        row.asks(1, MS, Duration::MAX);
        assert!(row.flush.due() > Some(LONGEST_INTERVAL));
    }

    #[test]
    fn a_flush_is_held_up_that_waits_for_half_an_interval() {
        let mut row = Row::default();
        for _ in 0..SAVED {
            assert!(!row.asks(1, Time::ZERO, INTERVAL));
            row.issues(Time::ZERO);
        }
        assert!(row.asks(1, 100 * MS, INTERVAL));
        assert!(!row.asks(1, 101 * MS, INTERVAL));
        assert!(!row.asks(1, 102 * MS, Duration::ZERO));
        row.issues(102 * MS);
        assert!(!row.asks(LARGE, 103 * MS, INTERVAL));
    }

    #[test]
    fn fifty_waits_within_a_minute_are_told_once() {
        let mut waits = Waits::default();
        for number in 0..120 {
            assert!(!waits.note(number * 1250 * MS), "48 a minute");
        }
        let mut waits = Waits::default();
        let told = (0..500u32).filter(|number| waits.note(number * 1200 * MS));
        assert_eq!(told.count(), 1);
        let mut waits = Waits::default();
        let first = (1..).find(|number: &u32| waits.note(*number * INTERVAL));
        assert_eq!(first, Some(MANY_WAITS));
    }
}
