//! The time budget of a batch: how long to wait between attempts, and when to give up.

use std::time::Duration;

use super::flush::Time;
use super::recovery::{Mended, Recovery, recovery};
use super::rules::Rules;
use crate::error::{Error, ErrorKind};

/// The least time that an attempt gets to show a sign of life when the budget is nearly spent.
const LAST_CHANCE: Duration = Duration::from_secs(1);

/// The longest wait that a server is believed to want: one answer of something between must not
/// silence a writer for an hour.
pub(crate) const MAX_ASKED: Duration = Duration::from_secs(60);

/// An attempt that ends so much later than it was to be given up has not been worked at meanwhile:
/// the process was frozen, or its runtime blocked.
const FROZEN: Duration = Duration::from_millis(200);

/// How much patience is left for one batch, or for one question about the object.
#[derive(Debug)]
pub(crate) struct Budget {
    /// The last progress: bytes durable, or more of the batch moved than ever before.
    since: Time,
    /// The most bytes of the batch that any attempt has moved.
    high_water: u64,
    /// Append requests made.
    pub(crate) attempts: u32,
    /// Failures since the last progress.
    failures: u32,
    /// How often since the last progress there was no answer in time to what cannot be cut.
    slow: u32,
    /// What has been mended since the last progress.
    mended: [Option<Mended>; 3],
    /// Whether time in which nobody was at work has been given back since the last progress.
    thawed: bool,
}

/// How one request went by the clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Trip {
    /// When it was sent.
    pub(crate) began: Time,
    /// How many bytes it has moved, and when the last of them.
    pub(crate) moved: u64,
    pub(crate) last_moved: Time,
    /// How long it was to be given to show that it moves.
    pub(crate) patience: Duration,
}

/// A wait before the next attempt: as long as we want to, and as long as OSS has asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wait {
    pub(crate) own: Duration,
    pub(crate) asked: Duration,
}

/// How long OSS wants the next attempt to wait after `error`.
pub(crate) fn asked(error: &Error) -> Duration {
    let asked = error.service_error().and_then(|answer| answer.retry_after);
    asked.unwrap_or_default()
}

impl Budget {
    pub(crate) fn new(now: Time) -> Self {
        Self {
            since: now,
            high_water: 0,
            attempts: 0,
            failures: 0,
            slow: 0,
            mended: [None; 3],
            thawed: false,
        }
    }

    /// Starts the time anew, after something was achieved or after nobody was at work.
    pub(crate) fn restart(&mut self, now: Time) {
        self.since = now;
        self.failures = 0;
        self.slow = 0;
        self.mended = [None; 3];
        self.thawed = false;
    }

    /// How long there has been no progress.
    fn stalled(&self, now: Time) -> Duration {
        now.saturating_sub(self.since)
    }

    /// How long there is yet for progress.
    pub(crate) fn left(&self, rules: &Rules, now: Time) -> Duration {
        rules.delivery_timeout.saturating_sub(self.stalled(now))
    }

    /// Whether the time is up.
    pub(crate) fn is_spent(&self, rules: &Rules, now: Time) -> bool {
        self.stalled(now) >= rules.delivery_timeout
    }

    /// The failure of a batch for which there is no more time.
    pub(crate) fn exhausted(&self, error: Error, now: Time) -> Error {
        Error::new(ErrorKind::RetriesExhausted {
            attempts: self.attempts.max(self.failures),
            stalled: self.stalled(now),
        })
        .with_source(error)
    }

    /// Something that was to end at `time` has ended now. If that is far too late, the process was
    /// frozen: the time starts anew, once.
    pub(crate) fn ended_at(&mut self, time: Time, now: Time) {
        if now.saturating_sub(time) >= FROZEN && !self.thawed {
            self.thawed = true;
            self.since = now;
        }
    }

    /// The request has waited for its turn. That is nobody's failure, so it takes nothing off the
    /// time.
    pub(crate) fn queued(&mut self, waited: Duration) {
        self.since += waited;
    }

    /// How long a request that is sent now may go without moving.
    pub(crate) fn patience(&self, rules: &Rules, now: Time) -> Duration {
        let left = self.left(rules, now);
        let patience = left.max(LAST_CHANCE).min(rules.delivery_timeout);
        let timeout = rules.attempt_timeout.saturating_mul(1 << self.slow.min(16));
        timeout.min(patience)
    }

    /// The next attempt gets twice the time: the same was not answered, and may have been too much.
    pub(crate) fn be_patient(&mut self) {
        self.slow += 1;
    }

    /// A request has come to its end.
    pub(crate) fn ended(&mut self, trip: Trip, now: Time) {
        if trip.moved > self.high_water {
            self.high_water = trip.moved;
            self.since = self.since.max(trip.last_moved);
        }
        let due = trip.began.max(trip.last_moved).checked_add(trip.patience);
        if let Some(due) = due {
            self.ended_at(due, now);
        }
    }

    /// How to wait before the next attempt after `error`, if OSS has asked for a wait of `asked`;
    /// `None`: not at all. Fails with `error` if retrying cannot help, with
    /// [`RetriesExhausted`](ErrorKind::RetriesExhausted) if the time is up.
    pub(crate) fn pause(
        &mut self,
        rules: &Rules,
        error: Error,
        asked: Duration,
        random: f64,
        now: Time,
    ) -> Result<Option<Wait>, Error> {
        match recovery(&error) {
            Recovery::Fail | Recovery::Closed | Recovery::RefusedBetween => return Err(error),
            Recovery::RetryMended(what) => {
                // There is a place for each thing that can be mended.
                let known = self.mended.contains(&Some(what));
                let free = self.mended.iter_mut().find(|place| place.is_none());
                let Some(free) = free.filter(|_| !known) else {
                    return Err(error);
                };
                *free = Some(what);
                return Ok(None);
            }
            Recovery::Retry | Recovery::Mismatch | Recovery::Reconcile => {}
        }
        self.failures += 1;
        let left = self.left(rules, now);
        if left <= rules.backoff.base().min(rules.delivery_timeout / 10) {
            return Err(self.exhausted(error, now));
        }
        // Never sleeps through the end of the budget: the closer it is, the more often is tried.
        let most = left / 2;
        Ok(Some(Wait {
            own: rules.backoff.delay(self.failures, random).min(most),
            asked: asked.min(most),
        }))
    }
}
