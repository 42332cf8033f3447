#![cfg(test)]
//! Writers that roll, live and die at one end, and readers that live and die at the other, over one
//! store in memory under a paused clock. Each schedule is drawn from a seed.
//!
//! Lives of a writer follow each other: each writes numbered lines to a sequence that rolls by size, by
//! time, by both or when it is told to, and ends in order or is killed. Its requests and those of the
//! readers fail, come late or are not answered. Objects that are not appendable take numbers, and
//! objects that have been read are removed, unless listing is not allowed: then numbers are tried.
//!
//! What the readers give out together, each from the checkpoint of the one before, has to be what the
//! objects hold, one after the other, once; and all that a writer was told to be durable has to be in
//! it, in the order in which it was written.
//!
//! | variable | meaning | default |
//! |---|---|---|
//! | `OSS_APPEND_SEQUENCE_SCHEDULES` | how many schedules are run; 1: what happens is told | 500 |
//! | `OSS_APPEND_SEED` | the first seed | 1 |

use std::collections::BTreeMap;
use std::future::pending;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use fastrand::Rng;
use futures::StreamExt as _;
use futures::future::{BoxFuture, FutureExt as _};
use futures::stream::BoxStream;
use jiff::Timestamp;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::bucket::Bucket;
use super::finder::{Candidate, Finder};
use super::turns::{Turn, Turns};
use crate::client::Wanted;
use crate::drive::events::Events;
use crate::drive::stats::Counters;
use crate::engine::rules::Rules;
use crate::error::{Error, Result, ServiceError, TransportCause};
use crate::reader::fixed::Seen;
use crate::reader::follow::following::{Following, Start};
use crate::reader::follow::pace::Pace;
use crate::reader::source::{Part, Source};
use crate::reader::transfer::Manner;
use crate::rolling::RollingWriter;
use crate::rolling::slots::Slots;
use crate::store::AppendStore;
use crate::store::listing::KeyPage;
use crate::store::options::ObjectOptions;
use crate::store::request::{AppendAnswer, AppendRequest};
use crate::testing::{Fault, MemoryRequest, MemoryStore, On};
use crate::values::backoff::Backoff;
use crate::values::checkpoint::Checkpoint;
use crate::values::info::{ObjectInfo, ObjectKind};
use crate::values::locks::MutexExt as _;
use crate::values::path::ObjectPath;
use crate::writer::periods::WallClock;

const BUCKET: &str = "bucket";
const MS: Duration = Duration::from_millis(1);
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(2);
/// So long nothing takes that is not stuck.
const STUCK: Duration = Duration::from_secs(1000);

/// What stays the same in a schedule.
#[derive(Clone, Debug)]
struct Settings {
    template: &'static str,
    every: Option<Duration>,
    size: Option<u64>,
    seal: bool,
    keep_trying: bool,
    lists: bool,
}

impl Settings {
    fn draw(rng: &mut Rng) -> Self {
        let mut settings = Self {
            template: "",
            every: rng.bool().then(|| MS * rng.u32(1_000..20_000)),
            size: rng.bool().then(|| rng.u64(10..150)),
            seal: rng.bool(),
            keep_trying: rng.bool(),
            lists: rng.u32(..8) > 0,
        };
        let numbered = [
            "log-{seq}",
            "log/{seq:3}",
            "%H%M%S-{seq}",
            "{hash}-%H%M%S-{seq:2}",
        ];
        settings.template = match settings.every {
            Some(every) if settings.size.is_none() && every.subsec_nanos() == 0 => "%H%M%S.log",
            Some(_) => numbered[rng.usize(2..4)],
            None => numbered[rng.usize(..2)],
        };
        if settings.template == "%H%M%S.log" {
            settings.size = None;
        }
        settings
    }

    fn slots(&self) -> Slots {
        Slots::new(self.template.parse().unwrap(), None, 0).unwrap()
    }
}

/// All that a schedule is about.
struct World {
    settings: Settings,
    slots: Slots,
    store: MemoryStore,
    zero: Instant,
    /// What is asked is for the test itself: nothing goes wrong.
    is_asking: Arc<AtomicBool>,
    /// The lines that were written, and how many of them, from the start of each life, were told to
    /// be durable.
    durable: Mutex<Vec<String>>,
    /// What was read.
    read: Mutex<Vec<u8>>,
    /// Where the next reader goes on.
    stored: Mutex<Option<Checkpoint>>,
    /// What was removed after it had been read.
    removed: Mutex<BTreeMap<(Timestamp, u64), Bytes>>,
    tells: bool,
}

impl World {
    fn now(&self) -> Timestamp {
        let start: Timestamp = "2026-11-28T10:20:30Z".parse().unwrap();
        start + self.zero.elapsed()
    }

    fn clock(self: &Arc<Self>) -> WallClock {
        let world = Arc::clone(self);
        WallClock::new(move || world.now())
    }

    fn tell(&self, what: impl FnOnce() -> String) {
        if self.tells {
            println!("{}: {}", self.now(), what());
        }
    }

    fn place(&self, key: &str) -> Option<(Timestamp, u64)> {
        let (slot, number) = self.slots.of(key, self.now())?;
        Some((slot.start, number))
    }

    /// All appendable objects that are there, in their order.
    async fn objects(&self) -> BTreeMap<(Timestamp, u64), ObjectPath> {
        self.is_asking.store(true, Ordering::Relaxed);
        let mut objects = BTreeMap::new();
        let mut after: Option<String> = None;
        loop {
            let page = self.store.list(BUCKET, "", after.as_deref()).await;
            let page = page.unwrap().unwrap();
            for found in page.objects {
                if found.kind == ObjectKind::Appendable {
                    let place = self.place(&found.key).expect("a key of the sequence");
                    objects.insert(place, ObjectPath::new(BUCKET, found.key).unwrap());
                }
            }
            after = page.next;
            if after.is_none() {
                self.is_asking.store(false, Ordering::Relaxed);
                return objects;
            }
        }
    }

    /// What was and is in the objects, in their order.
    async fn expected(&self) -> Vec<u8> {
        let mut all = self.removed.locked().clone();
        for (place, object) in self.objects().await {
            all.insert(place, self.store.content(&object).unwrap());
        }
        all.into_values().flatten().collect()
    }

    /// Removes what has been read, but for the object that is.
    async fn remove_read(&self) {
        let stored = self.stored.locked().clone();
        let Some(here) = stored.and_then(|stored| self.place(stored.object.key())) else {
            return;
        };
        for (place, object) in self.objects().await {
            if place < here {
                self.tell(|| format!("{object} is removed"));
                let content = self.store.content(&object).unwrap();
                self.removed.locked().insert(place, content);
                self.store.remove(&object);
            }
        }
    }
}

/// A store as one process sees it, as long as it lives. What it has sent and was not applied is not
/// applied after that.
#[derive(Clone)]
struct Life {
    store: MemoryStore,
    killed: CancellationToken,
    lists: bool,
}

impl Life {
    async fn lives<T>(&self, request: impl Future<Output = T>) -> T {
        tokio::select! {
            biased;
            () = self.killed.cancelled() => pending().await,
            done = request => done,
        }
    }
}

impl AppendStore for Life {
    async fn append(&self, request: AppendRequest) -> Result<AppendAnswer> {
        self.lives(self.store.append(request)).await
    }

    async fn head(&self, object: &ObjectPath) -> Result<Option<ObjectInfo>> {
        self.lives(self.store.head(object)).await
    }

    async fn read_range(
        &self,
        object: &ObjectPath,
        range: Range<u64>,
    ) -> Result<BoxStream<'static, Result<Bytes>>> {
        self.lives(self.store.read_range(object, range)).await
    }

    async fn seal(&self, object: &ObjectPath, position: u64) -> Result<()> {
        self.lives(self.store.seal(object, position)).await
    }

    async fn list(
        &self,
        bucket: &str,
        prefix: &str,
        after: Option<&str>,
    ) -> Result<Option<KeyPage>> {
        match self.lists {
            true => self.lives(self.store.list(bucket, prefix, after)).await,
            false => Err(Error::service(ServiceError::new(403, "AccessDenied"))),
        }
    }
}

/// An object as it is read.
#[derive(Clone)]
struct InStore {
    store: MemoryStore,
    object: ObjectPath,
}

impl Source for InStore {
    fn look(&self) -> BoxFuture<'static, Result<Seen>> {
        let Self { store, object } = self.clone();
        async move {
            let missing = || Error::service(ServiceError::new(404, "NoSuchKey"));
            let info = store.head(&object).await?.ok_or_else(missing)?;
            let is_appendable = info.kind == ObjectKind::Appendable;
            Ok(Seen {
                length: info.length,
                crc64: info.crc64,
                kind: info.kind,
                sealed: info.sealed,
                etag: info.etag,
                next_append_position: is_appendable.then_some(info.length),
                creator: info
                    .properties
                    .and_then(|seen| seen.metadata.get(ObjectOptions::CREATOR).cloned()),
            })
        }
        .boxed()
    }

    fn read(&self, wanted: Wanted, _: Option<String>) -> BoxFuture<'static, Result<Part>> {
        let Self { store, object } = self.clone();
        let look = self.look();
        async move {
            let seen = look.await?;
            if wanted.start >= seen.length {
                return Err(Error::service(ServiceError::new(416, "InvalidRange")));
            }
            let end = wanted.end.map_or(seen.length, |end| end.min(seen.length));
            let range = wanted.start..end;
            let body = store.read_range(&object, range.clone()).await?;
            Ok(Part {
                seen,
                range,
                body: body.boxed(),
            })
        }
        .boxed()
    }
}

/// What goes wrong with requests.
fn faults(
    mut rng: Rng,
    is_asking: Arc<AtomicBool>,
) -> impl FnMut(&MemoryRequest) -> Option<Fault> + Send + 'static {
    let mut left = rng.u32(..25);
    let one_in = rng.u32(3..20);
    move |request| {
        if is_asking.load(Ordering::Relaxed) {
            return None;
        }
        // All take some time, also those that do not fail.
        let delay = MS * rng.u32(..30);
        let fails = left > 0 && rng.u32(..one_in) == 0;
        if !fails {
            return Some(Fault::none().delay(delay));
        }
        left -= 1;
        let fault = match (rng.u32(..6), request.on) {
            (0, On::Append) => Fault::lost_answer(),
            (0, _) => Fault::never(),
            (1, _) => Fault::lost_request(),
            (2, _) => Fault::unreachable(),
            (3, _) => Fault::throttled(),
            (4, _) => Fault::refused(Error::transport(TransportCause::Broken, "reset")),
            _ => Fault::none().slow_answer(MS * rng.u32(..1500)),
        };
        Some(fault.delay(delay))
    }
}

/// Lives of a writer, one after the other.
async fn write(world: &Arc<World>, rng: &mut Rng) {
    let settings = &world.settings;
    for life in 0..rng.u32(1..5) {
        let killed = CancellationToken::new();
        let store = Life {
            store: world.store.clone(),
            killed: killed.clone(),
            lists: settings.lists,
        };
        let at = Arc::clone(world);
        let mut builder = RollingWriter::builder(store, BUCKET, settings.template)
            .clock(move || at.now().into())
            .seal_finished(settings.seal)
            .keep_trying(settings.keep_trying)
            .writer(|writer| {
                writer
                    .batch_size(rng.u64(1..60))
                    .max_append_size(200)
                    .buffer_capacity(600)
                    .linger(MS * rng.u32(..2000))
                    .attempt_timeout(ATTEMPT_TIMEOUT)
                    .backoff(Backoff::new(MS, 200 * MS))
            });
        if let Some(size) = settings.size {
            builder = builder.roll_size(size);
        }
        if let Some(every) = settings.every {
            builder = builder.roll_every(every);
        }
        let mut writer = match builder.open().await {
            Ok(writer) => writer,
            Err(error) => panic!("life {life}: {error:?}"),
        };
        let is_killed = rng.bool();
        let mut lines = Vec::new();
        let mut is_durable = 0;
        let end = rng.u32(1..25);
        for number in 0..end {
            match rng.u32(..12) {
                0 => {
                    if writer.sync().await.is_ok() {
                        is_durable = lines.len();
                    }
                }
                1 if settings.template != "%H%M%S.log" => drop(writer.roll().await),
                2 | 3 => sleep(MS * rng.u32(..10_000)).await,
                4 => drop(writer.flush().await),
                // Without listings a writer begins anew then.
                5 if settings.lists => world.remove_read().await,
                6 if rng.u32(..3) == 0 => {
                    // Takes a number that the writer has not come to.
                    let open = writer.stats().open.map(|open| open.object);
                    let here = open.and_then(|open| world.slots.of(open.key(), world.now()));
                    if let Some((slot, number)) = here.filter(|(slot, _)| slot.names.is_numbered())
                    {
                        let next = ObjectPath::new(BUCKET, slot.names.key(number + 1)).unwrap();
                        if world.store.content(&next).is_none() {
                            world.tell(|| format!("{next} is put"));
                            world.store.put(&next, "not of the sequence");
                        }
                    }
                }
                _ => {
                    let pad = "x".repeat(rng.usize(..40));
                    let line = format!("{life}.{number} {pad}\n");
                    let written = writer.write_all(line.as_bytes()).await;
                    written.unwrap_or_else(|error| panic!("life {life}: {error:?}"));
                    lines.push(line);
                }
            }
        }
        if is_killed {
            killed.cancel();
            world.tell(|| format!("the writer {life} is killed"));
        } else {
            writer.shutdown().await.unwrap();
            is_durable = lines.len();
        }
        drop(writer);
        world.durable.locked().extend(lines.drain(..is_durable));
        if rng.bool() {
            sleep(MS * rng.u32(..30_000)).await;
        }
    }
}

/// Lives of a reader, one after the other, for ever.
async fn read(world: &Arc<World>, rng: &mut Rng) {
    let mut rules = Rules::default();
    rules.attempt_timeout = ATTEMPT_TIMEOUT;
    rules.backoff = Backoff::new(MS, 200 * MS);
    let events = Arc::new(Events::of_reader());
    let sequence = ObjectPath::unchecked(BUCKET, world.settings.template);
    loop {
        let store = Life {
            store: world.store.clone(),
            killed: CancellationToken::new(),
            lists: world.settings.lists,
        };
        let directory = Bucket::new(store, sequence.clone(), rules.clone(), &events);
        let stored = world.stored.locked().clone();
        let first = stored.map(|stored| {
            let (slot, number) = world.slots.of(stored.object.key(), world.now()).unwrap();
            (Candidate { slot, number }, Start::At(stored.proven()))
        });
        let start = world.slots.at("2026-11-28T10:20:00Z".parse().unwrap());
        let here = match &first {
            Some((candidate, _)) => candidate.clone(),
            None => Candidate {
                slot: start,
                number: 0,
            },
        };
        let (memory, manner_rules, manner_events) = (
            world.store.clone(),
            Arc::new(rules.clone()),
            Arc::clone(&events),
        );
        let mut turns = Turns {
            bucket: BUCKET.into(),
            finder: Finder::new(directory, world.slots.clone(), world.clock(), here),
            open: Box::new(move |object, start| {
                let manner = Manner {
                    counters: Arc::new(Counters::new(object, &manner_events)),
                    rules: Arc::clone(&manner_rules),
                    object: object.clone(),
                };
                let source = InStore {
                    store: memory.clone(),
                    object: object.clone(),
                };
                Following::new(source, manner, start, true)
            }),
            current: None,
            next: None,
            pace: Pace::new(&(100 * MS..=1000 * MS)).unwrap(),
            bell: Arc::new(Notify::new()),
        };
        if let Some((candidate, start)) = first {
            turns.begin(candidate, start).unwrap();
        }
        world.tell(|| format!("a reader begins after {:?}", world.stored.locked()));
        let life = Instant::now() + MS * rng.u32(..20_000);
        let pieces = rng.u32(1..20);
        for _ in 0..pieces {
            let Ok(turn) = tokio::time::timeout_at(life, turns.next()).await else {
                break;
            };
            match turn {
                Ok(Turn::Piece((_, piece))) => {
                    world
                        .tell(|| format!("{} {:?}: {:?}", piece.object, piece.range(), piece.item));
                    world.read.locked().extend_from_slice(&piece.item);
                    let mut end = piece.checkpoint();
                    if rng.u32(..4) == 0 {
                        end.crc64 = None;
                    }
                    *world.stored.locked() = Some(end);
                }
                Ok(Turn::End) => {}
                Err(error) => panic!("{error:?}"),
            }
            if rng.u32(..8) == 0 {
                sleep(MS * rng.u32(..3000)).await;
            }
        }
    }
}

async fn run(seed: u64, tells: bool) -> (usize, usize) {
    fastrand::seed(seed);
    let mut rng = Rng::with_seed(seed);
    let settings = Settings::draw(&mut rng);
    let store = MemoryStore::new().page_size(rng.usize(1..6));
    let is_asking = Arc::new(AtomicBool::new(false));
    store.fail_by(faults(rng.fork(), Arc::clone(&is_asking)));
    let world = Arc::new(World {
        slots: settings.slots(),
        settings,
        store,
        zero: Instant::now(),
        is_asking,
        durable: Mutex::default(),
        read: Mutex::default(),
        stored: Mutex::default(),
        removed: Mutex::default(),
        tells,
    });
    world.tell(|| format!("{:?}", world.settings));
    let (mut writing, mut reading) = (rng.fork(), rng.fork());
    let play = async {
        write(&world, &mut writing).await;
        let expected = world.expected().await;
        let caught_up = async {
            while world.read.locked().len() < expected.len() {
                sleep(Duration::from_secs(1)).await;
            }
        };
        let caught = timeout(STUCK, caught_up).await;
        // More must not come.
        sleep(Duration::from_secs(30)).await;
        assert!(
            *world.read.locked() == expected && caught.is_ok(),
            "read:\n{}\nin the objects:\n{}",
            String::from_utf8_lossy(&world.read.locked()),
            String::from_utf8_lossy(&expected),
        );
        expected
    };
    let expected = tokio::select! {
        biased;
        expected = play => expected,
        () = read(&world, &mut reading) => unreachable!("it reads for ever"),
    };
    let text = String::from_utf8(expected).unwrap();
    let mut lines = text.split_inclusive('\n');
    for line in world.durable.locked().iter() {
        assert!(
            lines.any(|read| read == line),
            "{line:?} is missing in\n{text}"
        );
    }
    let objects = world.objects().await.len() + world.removed.locked().len();
    (objects, text.len())
}

fn from_env(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

#[test]
fn what_comes_out_is_what_went_in_once_and_in_order() {
    let schedules = from_env("OSS_APPEND_SEQUENCE_SCHEDULES", 500);
    let first = from_env("OSS_APPEND_SEED", 1);
    let sums: Vec<_> = std::thread::scope(|scope| {
        let threads = [0, 1].map(|thread| {
            let seeds = (first..first + schedules).filter(move |seed| (seed - first) % 2 == thread);
            scope.spawn(move || run_all(seeds, schedules == 1))
        });
        threads.map(|thread| thread.join()).into_iter().collect()
    });
    let (mut objects, mut bytes) = (0, 0);
    for sum in sums {
        let (its_objects, its_bytes) = sum.expect("a schedule has failed; its seed is above");
        objects += its_objects;
        bytes += its_bytes;
    }
    println!("{schedules} schedules, {objects} objects, {bytes} bytes");
    if schedules >= 500 {
        assert!(objects as u64 > 3 * schedules, "{objects}");
    }
}

fn run_all(seeds: impl Iterator<Item = u64>, tells: bool) -> (usize, usize) {
    let mut sum = (0, 0);
    for seed in seeds {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = builder.enable_time().start_paused(true).build().unwrap();
        let reproduce = Reproduce(seed);
        let (objects, bytes) = runtime.block_on(run(seed, tells));
        drop(reproduce);
        sum = (sum.0 + objects, sum.1 + bytes);
    }
    sum
}

/// Says how a schedule is repeated, if it fails.
struct Reproduce(u64);

impl Drop for Reproduce {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "reproduce: OSS_APPEND_SEED={} OSS_APPEND_SEQUENCE_SCHEDULES=1 cargo test --lib \
                 reader::sequence::simulation -- --nocapture",
                self.0
            );
        }
    }
}
