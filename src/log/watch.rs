//! Notices when nothing is delivered, and when delivery goes on.

use std::convert::Infallible;
use std::time::Duration;

use super::appender::Shared;
use super::stats::Dropped;
use super::teller::Teller;
use super::trouble::{LogOutage, LogTrouble};
use crate::error::Error;
use crate::writer::SpoolStats;

/// How often lasting trouble is reported.
const AGAIN: Duration = Duration::from_secs(60);

/// Time since the appender was set up.
type Time = Duration;

/// Looks at a log from time to time, and reports its trouble.
pub(super) struct Watcher<'a> {
    shared: &'a Shared,
    teller: &'a Teller,
    watch: Watch,
}

impl<'a> Watcher<'a> {
    pub(super) fn new(shared: &'a Shared, teller: &'a Teller, after: Duration) -> Self {
        let writer = shared.rolling.handle();
        Self {
            shared,
            teller,
            watch: Watch::new(after, writer.linger(), writer.capacity()),
        }
    }

    /// Looks until it is dropped.
    pub(super) async fn run(&mut self) -> Infallible {
        loop {
            tokio::time::sleep(self.look()).await;
        }
    }

    /// Looks, and gives the time until the next look is due.
    fn look(&mut self) -> Duration {
        let (age, sight) = self.see();
        let waits = sight.oldest.is_some();
        if let Some(trouble) = self.watch.look(age, sight) {
            self.tell(trouble);
        }
        self.watch.interval(waits)
    }

    /// The log has ended: what is lost is told by others.
    pub(super) fn end(mut self) {
        let (age, sight) = self.see();
        if let Some(over @ LogTrouble::Over(_)) = self.watch.look(age, sight) {
            self.tell(over);
        }
    }

    /// Tells, and names the sequence where a store has named no object.
    fn tell(&self, mut trouble: LogTrouble) {
        if let LogTrouble::Stalled(outage) | LogTrouble::Over(outage) = &mut trouble {
            let object = self.shared.rolling.handle().object();
            let error = outage.error.take();
            outage.error = error.map(|error| error.with_object(object));
        }
        self.teller.tell(trouble);
    }

    fn see(&self) -> (Time, Sight) {
        let stats = self.shared.stats();
        let writer = stats.rolling.writer;
        let sight = Sight {
            accepted: writer.accepted,
            durable: writer.durable,
            oldest: writer.oldest,
            buffered: writer.buffered,
            spool: writer.spool,
            records: stats.records,
            dropped: stats.dropped,
            error: writer.last_error,
            failure: self.shared.rolling.handle().failure(),
        };
        (writer.age, sight)
    }
}

/// What a look shows.
#[derive(Clone, Debug, Default)]
struct Sight {
    accepted: u64,
    durable: u64,
    /// How long the oldest byte has waited.
    oldest: Option<Duration>,
    buffered: u64,
    spool: Option<SpoolStats>,
    records: u64,
    dropped: Dropped,
    /// The last failure of a request.
    error: Option<Error>,
    /// Why the log is at its end.
    failure: Option<Error>,
}

/// Decides by what it is shown.
#[derive(Debug)]
struct Watch {
    after: Duration,
    linger: Duration,
    capacity: u64,
    /// What was seen when something had been delivered, or when nothing waited.
    good: Sight,
    good_at: Time,
    /// A request has failed since.
    failing: bool,
    last_error: Option<Error>,
    outage: Option<Outage>,
    has_failed: bool,
}

/// An outage that was reported.
#[derive(Debug)]
struct Outage {
    since: Time,
    told: Time,
    /// What was seen before it began.
    before: Sight,
    error: Option<Error>,
    /// It is over when this is delivered, as delivery goes on.
    end: Option<u64>,
}

impl Watch {
    fn new(after: Duration, linger: Duration, capacity: u64) -> Self {
        Self {
            after,
            linger,
            capacity,
            good: Sight::default(),
            good_at: Time::ZERO,
            failing: false,
            last_error: None,
            outage: None,
            has_failed: false,
        }
    }

    /// How long until the next look.
    fn interval(&self, waits: bool) -> Duration {
        const LEAST: Duration = Duration::from_millis(10);
        const MOST: Duration = Duration::from_secs(1);
        match waits {
            true => (self.after / 10).clamp(LEAST, MOST),
            false => self.after.max(LEAST),
        }
    }

    fn look(&mut self, now: Time, sight: Sight) -> Option<LogTrouble> {
        if let Some(failure) = &sight.failure {
            let is_news = !std::mem::replace(&mut self.has_failed, true);
            return is_news.then(|| LogTrouble::Failed(failure.clone()));
        }
        let moved = sight.durable > self.good.durable;
        let is_error_new = match (&self.last_error, &sight.error) {
            (_, None) => false,
            (None, Some(_)) => true,
            (Some(last), Some(error)) => !last.is_same(error),
        };
        self.last_error.clone_from(&sight.error);
        if moved || sight.oldest.is_none() {
            self.failing = false;
            self.good = sight.clone();
            self.good_at = now;
            return self.goes_on(now, sight);
        }
        self.failing |= is_error_new;
        self.stands_still(now, sight)
    }

    /// Something was delivered, or nothing waits.
    fn goes_on(&mut self, now: Time, sight: Sight) -> Option<LogTrouble> {
        let outage = self.outage.as_mut()?;
        let end = *outage.end.get_or_insert(sight.accepted);
        if sight.oldest.is_some() && sight.durable < end {
            return None;
        }
        let outage = self.outage.take()?;
        Some(LogTrouble::Over(self.told(&outage, now, sight)))
    }

    /// Nothing was delivered, and something waits.
    fn stands_still(&mut self, now: Time, sight: Sight) -> Option<LogTrouble> {
        let waits_since = now.saturating_sub(sight.oldest.unwrap_or_default());
        let since = self.good_at.max(waits_since);
        let still = now.saturating_sub(since);
        // A record may linger; but not once a request has failed for it.
        let lingers = !self.failing && still < self.after.saturating_add(self.linger);
        let is_due = |outage: &Outage| now.saturating_sub(outage.told) >= AGAIN;
        if still < self.after || lingers || !self.outage.as_ref().is_none_or(is_due) {
            return None;
        }
        let before = self.outage.take();
        let mut outage = before.unwrap_or_else(|| Outage {
            since,
            told: now,
            before: self.good.clone(),
            error: None,
            end: None,
        });
        outage.told = now;
        // What was gained meanwhile was not enough.
        outage.end = None;
        if self.failing {
            outage.error.clone_from(&sight.error);
        }
        let told = LogTrouble::Stalled(self.told(&outage, now, sight));
        self.outage = Some(outage);
        Some(told)
    }

    fn told(&self, outage: &Outage, now: Time, sight: Sight) -> LogOutage {
        LogOutage {
            lasted: now.saturating_sub(outage.since),
            records: sight.records - outage.before.records,
            dropped: sight.dropped.without(outage.before.dropped),
            buffered: sight.buffered,
            spool: sight.spool,
            capacity: self.capacity,
            error: outage.error.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{ErrorKind, ServiceError, TransportCause};

    const SEC: Duration = Duration::from_secs(1);

    /// A log that is looked at each second.
    struct Log {
        watch: Watch,
        now: Time,
        sight: Sight,
        waits_since: Option<Time>,
    }

    impl Log {
        fn new(linger: Duration) -> Self {
            Self {
                watch: Watch::new(10 * SEC, linger, 1000),
                now: Time::ZERO,
                sight: Sight::default(),
                waits_since: None,
            }
        }

        /// Takes records of a byte each.
        fn take(&mut self, records: u64) {
            self.sight.records += records;
            self.sight.accepted += records;
            self.sight.buffered += records;
            self.waits_since.get_or_insert(self.now);
        }

        fn deliver(&mut self, bytes: u64) {
            self.sight.durable += bytes;
            self.sight.buffered -= bytes;
            self.waits_since = (self.sight.buffered > 0).then_some(self.now);
        }

        fn fail(&mut self) {
            let error = Error::transport(TransportCause::Connect, "connection refused");
            self.sight.error = Some(error);
        }

        /// Looks each second, so often, and tells what was told when.
        fn pass(&mut self, seconds: u32) -> Vec<(u64, LogTrouble)> {
            let mut told = Vec::new();
            for _ in 0..seconds {
                self.now += SEC;
                self.sight.oldest = self.waits_since.map(|since| self.now - since);
                let trouble = self.watch.look(self.now, self.sight.clone());
                told.extend(trouble.map(|trouble| (self.now.as_secs(), trouble)));
            }
            told
        }
    }

    fn stalled(told: &[(u64, LogTrouble)]) -> Vec<u64> {
        let stalled = told.iter().map(|(at, trouble)| match trouble {
            LogTrouble::Stalled(outage) => {
                assert!(outage.lasted.as_secs() <= *at);
                *at
            }
            other => panic!("{other}"),
        });
        stalled.collect()
    }

    fn over(told: Vec<(u64, LogTrouble)>) -> LogOutage {
        match <[_; 1]>::try_from(told) {
            Ok([(_, LogTrouble::Over(outage))]) => outage,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_outage_is_told_after_ten_seconds_then_each_minute_and_when_it_is_over() {
        let mut log = Log::new(SEC);
        log.take(2);
        log.pass(1);
        log.deliver(2);
        assert!(log.pass(100).is_empty(), "nothing waits");
        log.take(3);
        log.fail();
        assert_eq!(stalled(&log.pass(200)), [111, 171, 231, 291]);
        log.take(4);
        log.sight.dropped.add(1);
        log.deliver(7);
        let outage = over(log.pass(1));
        assert_eq!(outage.lasted, 201 * SEC);
        assert_eq!((outage.records, outage.dropped.records), (7, 1));
        assert!(outage.error.is_some());
        assert!(log.pass(100).is_empty());
        // Each is told of anew.
        log.take(1);
        log.fail();
        let told = log.pass(30);
        assert_eq!(stalled(&told), [412]);
        let (_, LogTrouble::Stalled(outage)) = &told[0] else {
            panic!("{told:?}")
        };
        assert_eq!((outage.records, outage.dropped.records), (1, 0));
        assert_eq!(outage.buffered, 1);
    }

    #[test]
    fn a_failure_that_is_overcome_in_time_is_not_told() {
        let mut log = Log::new(SEC);
        for _ in 0..100 {
            log.take(2);
            log.fail();
            assert!(log.pass(9).is_empty());
            log.deliver(1);
        }
    }

    #[test]
    fn what_lingers_is_no_trouble_until_a_request_fails() {
        let mut log = Log::new(Duration::MAX);
        log.take(1);
        assert!(log.pass(1000).is_empty());
        log.fail();
        assert_eq!(stalled(&log.pass(30)), [1001]);
        // A silent server fails nothing.
        let mut log = Log::new(30 * SEC);
        log.take(1);
        let told = log.pass(60);
        assert_eq!(stalled(&told), [40]);
        assert!(told[0].1.to_string().contains("OSS has not answered"));
    }

    #[test]
    fn it_is_over_when_what_had_gathered_is_delivered() {
        let mut log = Log::new(SEC);
        log.take(100);
        log.fail();
        assert_eq!(stalled(&log.pass(20)), [10]);
        for _ in 0..9 {
            log.deliver(10);
            log.take(5);
            assert!(log.pass(5).is_empty());
        }
        log.deliver(20);
        assert_eq!(over(log.pass(1)).lasted, 66 * SEC);
        // A short success in between is no end.
        let mut log = Log::new(SEC);
        log.take(100);
        log.fail();
        log.pass(20);
        log.deliver(10);
        log.pass(1);
        log.fail();
        assert_eq!(stalled(&log.pass(60)), [70]);
    }

    #[test]
    fn the_end_for_good_is_told_once() {
        let mut log = Log::new(SEC);
        log.take(1);
        log.sight.failure = Some(Error::new(ErrorKind::WorkerLost));
        let told = log.pass(200);
        assert_eq!(told.len(), 1);
        assert!(matches!(told[0], (1, LogTrouble::Failed(_))));
    }

    #[test]
    fn the_same_failure_seen_twice_is_not_a_new_one() {
        let mut log = Log::new(Duration::MAX);
        log.take(1);
        log.sight.error = Some(Error::service(ServiceError::new(503, "")));
        log.pass(1);
        log.deliver(1);
        log.pass(1);
        log.take(1);
        assert!(log.pass(100).is_empty());
    }
}
