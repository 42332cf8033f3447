//! The objects of a sequence, as `tail --template` comes to them one after the other.

use std::time::SystemTime;

use oss_append::{
    AppendStore as _, Error, KeyNames, KeyTemplate, ObjectKind, ObjectPath, OssClient, Periods,
};

use super::object::Found;
use super::sequence::{Sequence, Step};

/// In how many later periods is looked at a time, as long as nothing is found.
const PROBES: usize = 4;

/// How many periods are gone through at a time, when the clock has jumped.
const MOST_STEPS: usize = 100_000;

/// A sequence of objects that are named by a template.
pub(super) struct Template {
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
    later: Vec<SystemTime>,
    /// The last period that was gone through for that.
    last: (SystemTime, KeyNames),
    /// Which of them was looked at last.
    turn: usize,
}

#[derive(Clone)]
struct Place {
    start: SystemTime,
    names: KeyNames,
    number: u64,
}

impl Place {
    /// The first object of the period that `time` falls in.
    fn first(template: &KeyTemplate, periods: Periods, time: SystemTime) -> Self {
        Self {
            start: periods.containing(time).start,
            names: template.names_in(&periods, time),
            number: 1,
        }
    }
}

impl Template {
    pub(super) fn new(
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

    /// The first object of a period from a number on. What is not appendable is not of the
    /// sequence: the writer has passed it over too.
    async fn first_from(
        &self,
        start: SystemTime,
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

    async fn first_of(&self, start: SystemTime) -> Result<Option<Place>, Error> {
        let names = self.template.names_in(&self.periods, start);
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
        let now = self.periods.containing((self.now)()).start;
        for _ in 0..MOST_STEPS {
            let start = self.periods.containing(self.last.0).end;
            if start > now {
                return;
            }
            self.last.0 = start;
            let names = self.template.names_in(&self.periods, start);
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
            && let Some(newest) = place.names.newest(&self.client, &self.bucket).await?
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::{Duration, UNIX_EPOCH};

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
            let every = Duration::from_secs(every.unwrap_or(1));
            let clock = Arc::clone(&self.clock);
            Template::by_clock(
                self.emulator.client().build().unwrap(),
                "bucket",
                template.parse().unwrap(),
                Periods::new(every, 0).unwrap(),
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
}
