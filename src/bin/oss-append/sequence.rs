//! The objects of a sequence, as `tail --template` comes to them one after the other.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use oss_append::{
    AppendStore as _, Error, KeyNames, KeyTemplate, ObjectKind, ObjectPath, OssClient,
};

use crate::failure::Failure;
use crate::period::UtcOffset;
use crate::tail::{Found, Sequence, Step};

/// In how many later periods is looked at a time, as long as nothing is found.
const PROBES: usize = 4;

/// How many periods are gone through at a time, when the clock has jumped.
const MOST_STEPS: usize = 100_000;

const NANOS_PER_SECOND: i128 = 1_000_000_000;

/// Nanoseconds since 1970-01-01.
type Moment = i128;

/// Periods of one length, counted from midnight of 1970-01-01 at the offset.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Periods {
    every: Moment,
    utc_offset: i32,
}

impl Periods {
    /// Without a length, each second may begin a period. Those of longer ones are found among them
    /// if their keys tell times no more finely than that.
    pub(crate) fn new(every: Option<Duration>, offset: UtcOffset) -> Result<Self, Failure> {
        let every = every.unwrap_or(Duration::from_secs(1));
        if every < Duration::from_millis(1) {
            return Err(Failure::usage("--roll must be at least 1ms"));
        }
        Ok(Self {
            every: i128::try_from(every.as_nanos()).unwrap_or(i128::MAX / 4),
            utc_offset: offset.seconds,
        })
    }

    /// The beginning of the period that `time` falls in.
    fn start(&self, time: SystemTime) -> Moment {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        let time = i128::try_from(since.as_nanos()).unwrap_or_default();
        let offset = Moment::from(self.utc_offset) * NANOS_PER_SECOND;
        time - (time + offset).rem_euclid(self.every)
    }

    fn names(&self, template: &KeyTemplate, start: Moment) -> KeyNames {
        let nanos = start.unsigned_abs();
        let apart = Duration::new(
            u64::try_from(nanos / NANOS_PER_SECOND.unsigned_abs()).unwrap_or(u64::MAX),
            (nanos % NANOS_PER_SECOND.unsigned_abs()) as u32,
        );
        let time = match start < 0 {
            true => UNIX_EPOCH.checked_sub(apart),
            false => UNIX_EPOCH.checked_add(apart),
        };
        template.names_at(time.unwrap_or(UNIX_EPOCH), self.utc_offset)
    }
}

/// A sequence of objects that are named by a template.
pub(crate) struct Template {
    client: OssClient,
    bucket: String,
    template: KeyTemplate,
    periods: Periods,
    now: Box<dyn Fn() -> SystemTime>,
    /// The object that is followed, or waited for.
    place: Place,
    /// The next one, once it has been seen. Since then the present one has not been looked at.
    next: Option<Place>,
    /// The periods behind that of the present object that have begun, by their starts; one of those
    /// that have the same keys.
    later: Vec<Moment>,
    /// The last period that was gone through for that.
    last: (Moment, KeyNames),
    /// Which of them was looked at last.
    turn: usize,
}

#[derive(Clone)]
struct Place {
    start: Moment,
    names: KeyNames,
    number: u64,
}

impl Place {
    /// The first object of the period that `time` falls in.
    fn first(template: &KeyTemplate, periods: Periods, time: SystemTime) -> Self {
        let start = periods.start(time);
        Self {
            start,
            names: periods.names(template, start),
            number: 1,
        }
    }
}

impl Template {
    pub(crate) fn new(
        client: OssClient,
        bucket: &str,
        template: KeyTemplate,
        periods: Periods,
    ) -> Self {
        Self::by_clock(client, bucket, template, periods, SystemTime::now)
    }

    fn by_clock(
        client: OssClient,
        bucket: &str,
        template: KeyTemplate,
        periods: Periods,
        now: impl Fn() -> SystemTime + 'static,
    ) -> Self {
        let place = Place::first(&template, periods, now());
        Self {
            client,
            bucket: bucket.into(),
            last: (place.start, place.names.clone()),
            place,
            template,
            periods,
            now: Box::new(now),
            next: None,
            later: Vec::new(),
            turn: 0,
        }
    }

    fn object(&self, names: &KeyNames, number: u64) -> Result<ObjectPath, Error> {
        Ok(ObjectPath::new(&self.bucket, names.key(number))?)
    }

    /// The highest number that is in use; by trying, the end of an unbroken sequence from 1 on.
    async fn newest(&self, names: &KeyNames) -> Result<Option<u64>, Error> {
        match self.listed(names).await {
            Ok(Some(newest)) => Ok(newest),
            Ok(None) => self.tried(names).await,
            Err(error) if is_forbidden(&error) => self.tried(names).await,
            Err(error) => Err(error),
        }
    }

    /// `None`: it cannot be listed.
    async fn listed(&self, names: &KeyNames) -> Result<Option<Option<u64>>, Error> {
        let (mut newest, mut after) = (None, None);
        loop {
            let listing = self
                .client
                .list(&self.bucket, names.prefix(), after.as_deref());
            let Some(page) = listing.await? else {
                return Ok(None);
            };
            let appendable = page
                .objects
                .iter()
                .filter(|object| object.kind == ObjectKind::Appendable);
            let numbers = appendable.filter_map(|object| names.number(&object.key));
            newest = newest.max(numbers.max());
            after = page.next;
            if after.is_none() {
                return Ok(Some(newest));
            }
        }
    }

    async fn tried(&self, names: &KeyNames) -> Result<Option<u64>, Error> {
        let exists = async |number| {
            let object = self.object(names, number)?;
            Ok::<_, Error>(self.client.head(&object).await?.is_some())
        };
        let (mut there, mut missing) = (0, 1_u64);
        while exists(missing).await? {
            there = missing;
            missing = missing.saturating_mul(2);
        }
        while missing - there > 1 {
            let middle = there + (missing - there) / 2;
            match exists(middle).await? {
                true => there = middle,
                false => missing = middle,
            }
        }
        Ok((there > 0).then_some(there))
    }

    /// The first object of a period from a number on. What is not appendable is not of the
    /// sequence: the writer has passed it over too.
    async fn first_from(
        &self,
        start: Moment,
        names: KeyNames,
        from: u64,
    ) -> Result<Option<Place>, Error> {
        for number in from..=u64::MAX {
            let object = self.object(&names, number)?;
            match self.client.head(&object).await? {
                Some(info) if info.kind == ObjectKind::Appendable => {
                    let place = Place {
                        start,
                        names,
                        number,
                    };
                    return Ok(Some(place));
                }
                Some(_) if names.is_numbered() => {}
                _ => break,
            }
        }
        Ok(None)
    }

    async fn first_of(&self, start: Moment) -> Result<Option<Place>, Error> {
        let names = self.periods.names(&self.template, start);
        self.first_from(start, names, 1).await
    }

    /// What comes behind the present object, if it is there already.
    async fn look_ahead(&mut self) -> Result<Option<Place>, Error> {
        let Place {
            start,
            names,
            number,
        } = self.place.clone();
        if names.is_numbered()
            && let Some(number) = number.checked_add(1)
            && let Some(next) = self.first_from(start, names, number).await?
        {
            return Ok(Some(next));
        }
        self.begin_periods();
        // The newest first, then the others in turn: an object may come late, when its period has
        // ended already.
        let count = self.later.len();
        for probe in 0..count.min(PROBES) {
            let index = match probe {
                0 => count - 1,
                _ => {
                    self.turn = (self.turn + 1) % count;
                    self.turn
                }
            };
            if self.first_of(self.later[index]).await?.is_none() {
                continue;
            }
            // Those before it have their objects by now, if they ever will.
            for index in 0..=index {
                if let Some(next) = self.first_of(self.later[index]).await? {
                    return Ok(Some(next));
                }
            }
        }
        Ok(None)
    }

    /// Notes the periods that have begun since it was asked last.
    fn begin_periods(&mut self) {
        let now = self.periods.start((self.now)());
        for _ in 0..MOST_STEPS {
            let start = self.last.0 + self.periods.every;
            if start > now {
                return;
            }
            self.last.0 = start;
            let names = self.periods.names(&self.template, start);
            if names != self.last.1 {
                self.last.1 = names;
                self.later.push(start);
            }
        }
    }
}

impl Sequence for Template {
    fn has_many(&self) -> bool {
        true
    }

    async fn first(&mut self) -> Result<ObjectPath, Error> {
        let mut place = Place::first(&self.template, self.periods, (self.now)());
        if place.names.is_numbered()
            && let Some(newest) = self.newest(&place.names).await?
        {
            place.number = newest;
        }
        self.last = (place.start, place.names.clone());
        self.place = place;
        self.object(&self.place.names, self.place.number)
    }

    async fn step(&mut self, _: &ObjectPath, found: Option<&Found>) -> Result<Step, Error> {
        let sealed = found.is_some_and(|found| found.sealed);
        let seen = self.next.take();
        if found.is_some_and(|found| found.grown) && !sealed {
            return Ok(Step::Stay);
        }
        let next = match seen {
            Some(seen) => seen,
            None => match self.look_ahead().await? {
                None => return Ok(Step::Stay),
                Some(next) if sealed => next,
                Some(next) => {
                    // What came before the next one was begun has to be written first.
                    self.next = Some(next);
                    return Ok(Step::LookAgain);
                }
            },
        };
        let object = self.object(&next.names, next.number)?;
        self.later.retain(|start| *start > next.start);
        self.place = next;
        Ok(Step::GoOn(object))
    }
}

fn is_forbidden(error: &Error) -> bool {
    error
        .service_error()
        .is_some_and(|answer| answer.status == 403 && answer.code == "AccessDenied")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use oss_append::emulator::{Action, Emulator, ErrorAnswer, Fault, Operation};

    use super::*;

    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;
    /// 2026-03-01 10:00:00 UTC.
    const TEN: u64 = 1_772_359_200;

    struct World {
        emulator: Emulator,
        clock: Arc<AtomicU64>,
    }

    impl World {
        /// At half past ten.
        async fn new() -> Self {
            Self {
                emulator: Emulator::builder().bucket("bucket").start().await.unwrap(),
                clock: Arc::new(AtomicU64::new(TEN + HOUR / 2)),
            }
        }

        fn set(&self, seconds: u64) {
            self.clock.store(seconds, Ordering::Relaxed);
        }

        fn make(&self, key: &str) {
            self.emulator.append_foreign("bucket", key, "x").unwrap();
        }

        fn follow(&self, template: &str, every: Option<u64>) -> Template {
            let every = every.map(Duration::from_secs);
            let clock = Arc::clone(&self.clock);
            Template::by_clock(
                self.emulator.client().build().unwrap(),
                "bucket",
                template.parse().unwrap(),
                Periods::new(every, UtcOffset::default()).unwrap(),
                move || UNIX_EPOCH + Duration::from_secs(clock.load(Ordering::Relaxed)),
            )
        }
    }

    async fn first(sequence: &mut Template) -> String {
        sequence.first().await.unwrap().key().into()
    }

    /// Steps as after looks that find nothing new: the object that is gone on with, if one is.
    async fn next(sequence: &mut Template) -> Option<String> {
        let nothing_new = Found {
            grown: false,
            sealed: false,
        };
        let present = ObjectPath::new("bucket", "present").unwrap();
        loop {
            match sequence.step(&present, Some(&nothing_new)).await.unwrap() {
                Step::Stay => return None,
                Step::LookAgain => {}
                Step::GoOn(object) => return Some(object.key().into()),
                Step::End => panic!("it never ends"),
            }
        }
    }

    #[tokio::test]
    async fn it_begins_with_the_newest_of_the_present_period() {
        let world = World::new().await;
        for key in ["09-7", "10-1", "10-2", "10-10", "10-x", "11-1"] {
            world.make(key);
        }
        world.emulator.put("bucket", "10-11", "normal").unwrap();
        assert_eq!(first(&mut world.follow("%H-{seq}", None)).await, "10-10");
        world.set(TEN + 2 * HOUR);
        assert_eq!(first(&mut world.follow("%H-{seq}", None)).await, "12-1");
        // As the period begins, not as the time is.
        world.set(TEN + 7 * MINUTE);
        let mut sequence = world.follow("%H%M", Some(10 * MINUTE));
        assert_eq!(first(&mut sequence).await, "1000");
    }

    #[tokio::test]
    async fn where_listing_is_forbidden_numbers_are_tried() {
        let world = World::new().await;
        let denied = Action::Error(ErrorAnswer::new(403));
        let fault = Fault::new(Operation::ListObjectsV2, denied).forever();
        world.emulator.inject(fault);
        for number in 1..=9 {
            let mut sequence = world.follow("log-{seq}", None);
            assert_eq!(
                first(&mut sequence).await,
                format!("log-{}", u64::max(number - 1, 1))
            );
            world.make(&format!("log-{number}"));
        }
    }

    #[tokio::test]
    async fn the_next_is_the_next_number_or_the_first_of_a_later_period() {
        let world = World::new().await;
        world.make("10-1");
        let mut sequence = world.follow("%H-{seq}", None);
        assert_eq!(first(&mut sequence).await, "10-1");
        assert_eq!(next(&mut sequence).await, None);
        world.make("10-2");
        world.make("12-1");
        assert_eq!(next(&mut sequence).await.unwrap(), "10-2");
        assert_eq!(next(&mut sequence).await, None, "twelve has not begun");
        world.set(TEN + 2 * HOUR);
        assert_eq!(next(&mut sequence).await.unwrap(), "12-1");
        world.make("12-2");
        assert_eq!(next(&mut sequence).await.unwrap(), "12-2");
        world.set(TEN + 3 * HOUR + 1);
        assert_eq!(next(&mut sequence).await, None);
        world.make("13-1");
        assert_eq!(next(&mut sequence).await.unwrap(), "13-1");
    }

    #[tokio::test]
    async fn no_period_is_left_out_after_a_long_time() {
        let world = World::new().await;
        world.make("01T10");
        let mut sequence = world.follow("%dT%H", None);
        first(&mut sequence).await;
        assert_eq!(next(&mut sequence).await, None);
        let later = ["01T13", "02T04", "02T05", "02T17"];
        later.iter().for_each(|key| world.make(key));
        world.set(TEN + 31 * HOUR);
        for key in later {
            // Not at once: a few are looked at a time.
            let found = loop {
                if let Some(found) = next(&mut sequence).await {
                    break found;
                }
            };
            assert_eq!(found, key);
        }
        assert_eq!(next(&mut sequence).await, None);
    }

    #[tokio::test]
    async fn an_object_that_comes_after_its_period_is_found() {
        let world = World::new().await;
        let mut sequence = world.follow("%dT%H", None);
        first(&mut sequence).await;
        world.set(TEN + 20 * HOUR);
        for _ in 0..10 {
            assert_eq!(next(&mut sequence).await, None);
        }
        world.make("01T12");
        let mut steps = 0;
        while next(&mut sequence).await.is_none() {
            steps += 1;
            assert!(steps < 20);
        }
    }

    #[tokio::test]
    async fn what_is_not_appendable_is_passed_over() {
        let world = World::new().await;
        world.make("log-1");
        let mut sequence = world.follow("log-{seq}", None);
        first(&mut sequence).await;
        world.emulator.put("bucket", "log-2", "normal").unwrap();
        assert_eq!(next(&mut sequence).await, None);
        world.make("log-3");
        assert_eq!(next(&mut sequence).await.unwrap(), "log-3");
    }

    #[tokio::test]
    async fn an_object_that_grows_is_not_left() {
        let world = World::new().await;
        world.make("log-1");
        let mut sequence = world.follow("log-{seq}", None);
        let present = sequence.first().await.unwrap();
        world.make("log-2");
        let found = |grown, sealed| Found { grown, sealed };
        let grown = found(true, false);
        let step = sequence.step(&present, Some(&grown)).await.unwrap();
        assert_eq!(step, Step::Stay);
        let not = found(false, false);
        let step = sequence.step(&present, Some(&not)).await.unwrap();
        assert_eq!(step, Step::LookAgain);
        let step = sequence.step(&present, Some(&grown)).await.unwrap();
        assert_eq!(step, Step::Stay);
        // Sealed, it cannot grow.
        let sealed = found(true, true);
        let step = sequence.step(&present, Some(&sealed)).await.unwrap();
        assert_eq!(step, Step::GoOn("oss://bucket/log-2".parse().unwrap()));
    }

    #[test]
    fn periods_begin_at_the_offset() {
        let start = |every, seconds, time: u64| {
            let every = Some(Duration::from_secs(every));
            let periods = Periods::new(every, UtcOffset { seconds }).unwrap();
            let start = periods.start(UNIX_EPOCH + Duration::from_secs(time));
            start / NANOS_PER_SECOND
        };
        let ten = i128::from(TEN);
        assert_eq!(start(HOUR, 0, TEN + 59 * MINUTE), ten);
        assert_eq!(start(24 * HOUR, 0, TEN), ten - 36_000);
        assert_eq!(start(24 * HOUR, 8 * 3600, TEN), ten - 18 * 3600);
        assert_eq!(start(24 * HOUR, 13 * 3600, TEN), ten - 23 * 3600);
        assert_eq!(start(24 * HOUR, 14 * 3600, TEN), ten);
        assert_eq!(start(24 * HOUR, 8 * 3600, 1), -8 * 3600);
        let too_short = Some(Duration::from_nanos(1));
        assert!(Periods::new(too_short, UtcOffset::default()).is_err());
    }
}
