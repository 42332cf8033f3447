#![cfg(test)]
//! Writers with a spool that live and die, one after the other, over one disk and one store. Each
//! schedule is drawn from a seed, on a store in memory under a paused clock.
//!
//! | variable | meaning | default |
//! |---|---|---|
//! | `OSS_APPEND_SPOOL_SCHEDULES` | how many schedules are run; 1: all that happens is told | 2000 |
//! | `OSS_APPEND_SEED` | the first seed | 1 |
//!
//! What a life writes is a text of numbered records that no other life writes. In the end the objects
//! together have to be a beginning of the text of each life, one behind the other, and each as long
//! as its life was told. Where a life has asked for a roll, one object ends.

use std::collections::{BTreeSet, HashSet};
use std::fmt::Write as _;
use std::future::poll_fn;
use std::io::{self, Read as _};
use std::ops::{Range, RangeInclusive};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use fastrand::Rng;
use futures::FutureExt as _;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use super::many::Many;
use super::options::{Spool, SpoolSync};
use crate::drive::thread::Inline;
use crate::error::{Error, ErrorKind, Result};
use crate::rolling::RollingWriter;
use crate::spool::SimulatedDisk;
use crate::stage::compression::Compression;
use crate::testing::{Fault, MemoryRequest, MemoryStore, On};
use crate::values::backoff::Backoff;
use crate::values::locks::MutexExt as _;
use crate::values::path::ObjectPath;
use crate::writer::{OssAppendWriter, Receipt, Written};

const MS: Duration = Duration::from_millis(1);

/// So long nothing takes that is not stuck.
const STUCK: Duration = Duration::from_secs(3600);

/// More than any schedule fills.
const PLENTY: u64 = 1 << 40;

/// The most bytes that a buffer holds.
const LARGEST: u64 = 600;

/// A block that each segment begins with.
const HEADER: u64 = 8192;

/// What stays the same in all lives.
#[derive(Debug)]
struct Settings {
    is_rolling: bool,
    /// The writer is that of one key among others, whose part of the memory changes.
    is_key: bool,
    compression: Option<Compression>,
    /// Lives compress at different levels. What an earlier one has sent never comes late or torn then,
    /// as nothing can be made of that.
    levels: bool,
    /// Each write is a record, and none is in two objects.
    whole: bool,
    keep_trying: bool,
    seal: bool,
    sync: SpoolSync,
    /// The disk is used by need alone. What a life has sent never comes late or torn then: as without a
    /// spool, the next would not know it.
    by_need: bool,
    segment_size: u64,
    max_size: u64,
    /// The most bytes that a record has.
    longest: u64,
    /// How many of a hundred requests fail.
    faults: u8,
}

impl Settings {
    fn draw(rng: &mut Rng) -> Self {
        let compression = match rng.u8(..6) {
            0 => Some(Compression::gzip()),
            1 => Some(Compression::zstd()),
            _ => None,
        };
        let segment_size = HEADER + rng.u64(1..700);
        Self {
            is_rolling: rng.u8(..5) < 2,
            is_key: rng.u8(..3) == 0,
            compression,
            levels: rng.u8(..4) == 0,
            whole: rng.u8(..4) > 0,
            keep_trying: rng.bool(),
            seal: rng.u8(..4) == 0,
            sync: match rng.u8(..3) {
                0 => SpoolSync::Never,
                1 => SpoolSync::Every(rng.u32(1..100) * MS),
                _ => SpoolSync::Always,
            },
            by_need: rng.u8(..3) == 0,
            segment_size,
            // What waits for the disk goes there in one piece, in a segment of its own.
            max_size: match rng.u8(..4) {
                0 => rng.u64(2..5) * (segment_size + 2 * LARGEST + 200),
                _ => PLENTY,
            },
            longest: rng.u64(6..60),
            faults: [0, 5, 20, 50][rng.usize(..4)],
        }
    }

    fn spool(&self, disk: &SimulatedDisk) -> Spool {
        let spool = Spool::on(disk)
            .segment_size(self.segment_size)
            .max_size(self.max_size)
            .sync(self.sync);
        match self.by_need {
            true => spool.only_overflow(),
            false => spool,
        }
    }

    fn syncs(&self) -> bool {
        self.sync != SpoolSync::Never
    }
}

/// What each life has for itself.
#[derive(Debug)]
struct Sizes {
    batch_size: u64,
    max_append_size: u64,
    buffer_capacity: u64,
    roll_size: u64,
    max_in_flight: u16,
}

impl Sizes {
    fn draw(rng: &mut Rng, settings: &Settings) -> Self {
        let max_append_size = rng.u64(settings.longest..120);
        Self {
            batch_size: rng.u64(1..=max_append_size),
            max_append_size,
            buffer_capacity: rng.u64(2 * max_append_size..=LARGEST),
            roll_size: rng.u64(20..500),
            max_in_flight: [1, rng.u16(2..6)][rng.usize(..2)],
        }
    }
}

/// What becomes of requests.
struct Weather {
    rng: Rng,
    faults: u8,
    disk: SimulatedDisk,
    /// Nobody is there until then.
    away: Option<Instant>,
    /// The process ends with the n-th request.
    end: Option<u64>,
    ended: Arc<Notify>,
    /// An append was torn.
    torn: bool,
    /// Nothing comes torn, or later than its answer.
    prompt: bool,
}

impl Weather {
    fn befalls(&mut self, request: &MemoryRequest) -> Fault {
        let fault = self.draw(request);
        match self.prompt && (fault.is_late() || fault.is_torn()) {
            true => Fault::lost_request(),
            false => fault,
        }
    }

    fn draw(&mut self, request: &MemoryRequest) -> Fault {
        if self.disk.has_ended() {
            return Fault::lost_request();
        }
        if let Some(left) = &mut self.end {
            *left -= 1;
            if *left == 0 {
                self.end = None;
                self.disk.end();
                self.ended.notify_one();
                return match self.rng.u8(..4) {
                    0 => Fault::never(),
                    1 => self.tears(),
                    2 => Fault::late(),
                    _ => Fault::lost_request(),
                };
            }
        }
        let delay = self.rng.u32(..20) * MS;
        if self.away.is_some_and(|end| end > Instant::now()) {
            return Fault::unreachable().delay(delay);
        }
        self.away = None;
        if self.rng.u8(..100) >= self.faults {
            return Fault::none().delay(delay);
        }
        if self.rng.u8(..40) == 0 {
            self.away = Some(Instant::now() + self.rng.u32(..3000) * MS);
        }
        let fault = match (request.on, self.rng.u8(..8)) {
            (On::Append, 0 | 1) => Fault::late(),
            (On::Append, 2) => self.tears(),
            (_, 0..3) => Fault::lost_answer(),
            (_, 3) => Fault::lost_request(),
            (_, 4) => Fault::throttled(),
            (_, 5) => Fault::unreachable(),
            (_, 6) => Fault::never(),
            _ => Fault::none().slow_answer(self.rng.u32(..600) * MS),
        };
        fault.delay(delay)
    }
}

impl Weather {
    fn tears(&mut self) -> Fault {
        self.torn = true;
        Fault::torn(self.rng.usize(..40))
    }
}

/// When a life ends that is not shut down.
#[derive(Clone, Copy, Debug)]
enum Moment {
    /// At an operation of the disk, of which so many bytes are written.
    Operation(u64, usize),
    /// At a request to the store.
    Request(u64),
    Time(Duration),
    /// After all that it does.
    Done,
}

impl Moment {
    fn draw(rng: &mut Rng) -> Self {
        // At the opening as often as later.
        let most = 1 << rng.u8(1..9);
        match rng.u8(..6) {
            0..3 => Self::Operation(rng.u64(1..=most), rng.usize(..100)),
            3 => Self::Request(rng.u64(1..=most.min(32))),
            4 => Self::Time(rng.u64(..most * 8) as u32 * MS),
            _ => Self::Done,
        }
    }
}

/// How a life goes.
#[derive(Clone, Copy, Debug)]
struct Fate {
    end: Option<Moment>,
    power_fails: bool,
    /// The n-th operation of the disk fails.
    fails: Option<u64>,
    steps: u32,
}

impl Fate {
    fn draw(rng: &mut Rng) -> Self {
        let end = (rng.u8(..5) > 0).then(|| Moment::draw(rng));
        let most = 1 << rng.u8(1..9);
        Self {
            end,
            power_fails: end.is_some() && rng.u8(..3) == 0,
            fails: (rng.u8(..6) == 0).then(|| rng.u64(1..=most)),
            steps: rng.u32(..30),
        }
    }

    const LAST: Self = Self {
        end: None,
        power_fails: false,
        fails: None,
        steps: 4,
    };
}

/// How a life has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    ShutDown,
    Killed,
    Failed,
    /// No later life can open the spool, or go on with the object.
    Stuck,
}

/// What one life has written, and what it was told of that.
struct Life {
    pen: Arc<Mutex<Pen>>,
    /// So much of it is durable.
    durable: usize,
    /// So much survives the process, and so much the machine.
    spooled: usize,
    synced: usize,
}

/// Writes the text of a life.
struct Pen {
    life: u8,
    text: Vec<u8>,
    records: usize,
    /// How long the text was when rolls were asked for.
    rolls: Vec<usize>,
    /// Where records begin and end that are no lines.
    pieces: BTreeSet<usize>,
}

impl Life {
    fn new(life: u8) -> Self {
        let pen = Pen {
            life,
            text: Vec::new(),
            records: 0,
            rolls: Vec::new(),
            pieces: BTreeSet::new(),
        };
        Self {
            pen: Arc::new(Mutex::new(pen)),
            durable: 0,
            spooled: 0,
            synced: 0,
        }
    }
}

impl Pen {
    /// The next record. No other life has its first byte.
    fn record(&mut self, rng: &mut Rng, longest: u64) -> Bytes {
        let mut record = format!("{}{}", char::from(b'A' + self.life), self.records);
        self.records += 1;
        let rest = (longest as usize).saturating_sub(record.len() + 1);
        let filler = char::from(b'a' + self.life);
        record.extend(std::iter::repeat_n(filler, rng.usize(..=rest)));
        record.push('\n');
        record.into()
    }
}

/// Writes `record`, and notes it at the same moment.
async fn noted<T>(
    pen: &Mutex<Pen>,
    record: &[u8],
    write: impl Future<Output = Result<T>>,
) -> Result<T> {
    let mut write = pin!(write);
    poll_fn(|cx| {
        let written = ready!(write.as_mut().poll(cx));
        if written.is_ok() {
            pen.locked().text.extend_from_slice(record);
        }
        Poll::Ready(written)
    })
    .await
}

/// Asks for a roll, and notes where.
async fn roll(pen: &Mutex<Pen>, rolling: &mut RollingWriter) -> Result<()> {
    let at = pen.locked().text.len();
    // With nothing before it there may be no object to end.
    let ends = at > 0 || rolling.stats().open.is_some_and(|open| open.position > 0);
    let mut roll = pin!(rolling.roll());
    let mut asked = false;
    poll_fn(|cx| {
        let rolled = roll.as_mut().poll(cx);
        if !std::mem::replace(&mut asked, true) && ends && !matches!(rolled, Poll::Ready(Err(_))) {
            pen.locked().rolls.push(at);
        }
        rolled
    })
    .await
}

/// A writer of any sort.
struct Handle {
    writer: OssAppendWriter,
    rolling: Option<RollingWriter>,
    many: Option<Many>,
    /// Where its own bytes begin.
    start: u64,
    receipts: Vec<(Receipt, Vec<u8>)>,
}

impl Handle {
    /// What other tasks do with the writer in the midst of an operation of the disk.
    fn others(&self, pen: Arc<Mutex<Pen>>, mut rng: Rng, longest: u64) -> impl FnMut() + use<> {
        let (mut writer, mut rolling) = (self.writer.clone(), self.rolling.clone());
        move || match rng.u8(..40) {
            0 => drop(writer.stats()),
            1 => drop(writer.sync().now_or_never()),
            2 => drop(writer.spooled().now_or_never()),
            3 => {
                if let Some(rolling) = &mut rolling {
                    let _ = roll(&pen, rolling).now_or_never();
                }
            }
            4..8 => {
                let record = pen.locked().record(&mut rng, longest);
                let write = writer.write_bytes(record.clone());
                let _ = noted(&pen, &record, write).now_or_never();
            }
            _ => {}
        }
    }

    fn offset(&self, position: u64) -> usize {
        position.saturating_sub(self.start) as usize
    }
}

struct Schedule {
    rng: Rng,
    settings: Settings,
    disk: SimulatedDisk,
    store: MemoryStore,
    weather: Arc<Mutex<Weather>>,
    lives: Vec<Life>,
    /// The power has failed: what was not synced may be garbage.
    power_failed: bool,
    /// A life had synced nothing when the power failed.
    lost: bool,
    /// What receipts have told of records.
    written: Vec<(Written, Vec<u8>)>,
    /// All that happens is told.
    is_told: bool,
}

/// Notes what happens, if it is to be told.
macro_rules! note {
    ($schedule:expr, $($arg:tt)*) => {
        if $schedule.is_told {
            eprintln!($($arg)*);
        }
    };
}

impl Schedule {
    fn new(seed: u64, is_told: bool) -> Self {
        // The jitter of waits is drawn from there.
        fastrand::seed(seed);
        let mut rng = Rng::with_seed(seed);
        let settings = Settings::draw(&mut rng);
        let disk = SimulatedDisk::new();
        let store = MemoryStore::new();
        let weather = Arc::new(Mutex::new(Weather {
            rng: rng.fork(),
            faults: settings.faults,
            disk: disk.clone(),
            away: None,
            end: None,
            ended: Arc::default(),
            torn: false,
            prompt: settings.by_need || settings.levels && settings.compression.is_some(),
        }));
        let befalls = Arc::clone(&weather);
        store.fail_by(move |request| {
            let fault = befalls.locked().befalls(request);
            if is_told {
                eprintln!("    {request:?}: {fault:?}");
            }
            Some(fault)
        });
        let schedule = Self {
            rng,
            settings,
            disk,
            store,
            weather,
            lives: Vec::new(),
            lost: false,
            power_failed: false,
            written: Vec::new(),
            is_told,
        };
        note!(schedule, "{:#?}", schedule.settings);
        schedule
    }

    fn run(&mut self) {
        for _ in 0..self.rng.u8(1..6) {
            let fate = Fate::draw(&mut self.rng);
            if self.live(fate) == End::Stuck {
                return self.check();
            }
            if self.rng.bool() {
                self.store.land_late();
            }
        }
        self.weather.locked().faults = 0;
        self.weather.locked().away = None;
        let mut end = self.live(Fate::LAST);
        if end == End::Failed && self.lost {
            end = self.live(Fate::LAST);
        }
        if end != End::Stuck {
            assert_eq!(end, End::ShutDown, "the last life");
            assert_eq!(self.disk.names(), Vec::<String>::new());
        }
        self.check();
        self.store.land_late();
        self.check();
    }

    fn life(&mut self) -> &mut Life {
        self.lives.last_mut().expect("a life")
    }

    fn live(&mut self, fate: Fate) -> End {
        let number = self.lives.len();
        let sizes = Sizes::draw(&mut self.rng, &self.settings);
        note!(self, "life {number}: {fate:?} {sizes:?}");
        self.lives.push(Life::new(number as u8));
        self.disk.set_free(PLENTY);
        let ended = Arc::new(Notify::new());
        {
            let mut weather = self.weather.locked();
            weather.ended = Arc::clone(&ended);
            weather.end = None;
            if let Some(Moment::Request(n)) = fate.end {
                weather.end = Some(n);
            }
        }
        if let Some(Moment::Operation(n, keep)) = fate.end {
            self.disk.end_at(n, keep);
        }
        if let Some(n) = fate.fails {
            self.disk.fail_at(n, io::ErrorKind::Other);
        }
        let limit = match fate.end {
            Some(Moment::Time(time)) => time,
            _ => 2 * STUCK,
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime");
        let mut handle = None;
        let end = runtime.block_on(async {
            self.lands_late();
            let live = self.act(fate, sizes, &mut handle);
            tokio::select! {
                biased;
                () = ended.notified() => End::Killed,
                () = tokio::time::sleep(limit) => End::Killed,
                end = live => end,
            }
        });
        self.disk.meanwhile(None);
        // Nothing that is dropped now reaches it.
        self.disk.end();
        drop(runtime);
        if let Some(handle) = handle {
            self.told(&handle);
            self.receipts(&handle);
            if end == End::Failed {
                self.given_back(handle);
            }
        }
        note!(self, "{end:?}: {:?}", self.disk);
        if end == End::ShutDown {
            let text = self.life().pen.locked().text.len();
            self.life().durable = text;
            self.check();
        }
        match fate.power_fails && end != End::ShutDown {
            true => self.lose_power(),
            false => self.disk.revive(),
        }
        end
    }

    fn lose_power(&mut self) {
        self.disk.power_loss(&mut self.rng);
        let syncs = self.settings.syncs();
        self.lost |= !syncs;
        self.power_failed = true;
        for life in &mut self.lives {
            life.spooled = match syncs {
                true => life.synced.max(life.durable),
                false => life.durable,
            };
        }
        note!(self, "the power fails: {:?}", self.disk);
    }

    /// What was sent by a life that is over, or was given up, lands at some time.
    fn lands_late(&mut self) {
        let (store, mut rng) = (self.store.clone(), self.rng.fork());
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(rng.u32(1..300) * MS).await;
                store.land_late();
            }
        });
    }

    async fn open(&mut self, sizes: Sizes) -> Result<Handle> {
        let settings = &self.settings;
        let compression = match settings.compression {
            Some(Compression::Gzip { .. }) if settings.levels => Some(Compression::Gzip {
                level: self.rng.u32(..10),
            }),
            Some(Compression::Zstd { .. }) if settings.levels => Some(Compression::Zstd {
                level: self.rng.i32(-3..4),
            }),
            compression => compression,
        };
        let mut spool = settings.spool(&self.disk);
        let many = settings.is_key.then(|| {
            let memory = self.rng.u64(..=LARGEST);
            Many::simulated(memory, self.rng.u64(1..=LARGEST))
        });
        spool.many.clone_from(&many);
        let linger = self.rng.u32(..100) * MS;
        let backoff = Backoff::new(MS, 50 * MS);
        let (attempt, delivery) = (500 * MS, self.rng.u32(500..20_000) * MS);
        let (writer, rolling) = if settings.is_rolling {
            let builder = RollingWriter::builder(self.store.clone(), "bucket", "log-{seq:4}")
                .writer(|writer| {
                    let writer = writer
                        .batch_size(sizes.batch_size)
                        .max_append_size(sizes.max_append_size)
                        .buffer_capacity(sizes.buffer_capacity)
                        .linger(linger)
                        .backoff(backoff)
                        .attempt_timeout(attempt)
                        .delivery_timeout(delivery);
                    match compression {
                        Some(compression) => writer.compression(compression),
                        None => writer,
                    }
                })
                .roll_size(sizes.roll_size)
                .keep_trying(settings.keep_trying)
                .seal_finished(settings.seal)
                .spool(spool);
            let rolling = match self.rng.bool() {
                true => builder.open().await?,
                false => builder.start()?,
            };
            (rolling.handle().clone(), Some(rolling))
        } else {
            let mut builder = OssAppendWriter::builder(self.store.clone(), object())
                .batch_size(sizes.batch_size)
                .max_append_size(sizes.max_append_size)
                .buffer_capacity(sizes.buffer_capacity)
                .linger(linger)
                .backoff(backoff)
                .attempt_timeout(attempt)
                .delivery_timeout(delivery)
                .max_in_flight(sizes.max_in_flight)
                .spool(spool);
            if let Some(compression) = compression {
                builder = builder.compression(compression);
            }
            (builder.open().await?, None)
        };
        Ok(Handle {
            start: writer.position(),
            writer,
            rolling,
            many,
            receipts: Vec::new(),
        })
    }

    /// All that a life does, unless it is killed.
    async fn act(&mut self, fate: Fate, sizes: Sizes, kept: &mut Option<Handle>) -> End {
        let opened = match timeout(STUCK, self.open(sizes)).await {
            Ok(opened) => opened,
            Err(_) => panic!("it is not opened"),
        };
        let handle = match opened {
            Ok(handle) => kept.insert(handle),
            Err(error) => return self.ended_by(&error, fate),
        };
        note!(self, "it begins at {}", handle.start);
        if self.settings.whole {
            let pen = Arc::clone(&self.life().pen);
            let others = handle.others(pen, self.rng.fork(), self.settings.longest);
            self.disk.meanwhile(Some(Box::new(others)));
        }
        for _ in 0..fate.steps {
            let done = self.step(handle).await;
            self.told(handle);
            if self.disk.has_ended() {
                return End::Killed;
            }
            if let Err(error) = done {
                return self.ended_by(&error, fate);
            }
        }
        if fate.end.is_some() {
            return End::Killed;
        }
        self.disk.set_free(PLENTY);
        let Ok(shut) = timeout(STUCK, handle.writer.shutdown()).await else {
            panic!("it is not shut down: {:?}", handle.writer.stats());
        };
        match shut {
            Ok(()) => {
                self.told(handle);
                let stats = handle.writer.stats();
                let spool = stats.spool.expect("a spool");
                assert_eq!(stats.accepted, stats.durable);
                assert_eq!((spool.bytes, spool.unspooled), (0, 0));
                End::ShutDown
            }
            Err(error) => self.ended_by(&error, fate),
        }
    }

    /// Whether a life may end with `error`.
    fn ended_by(&mut self, error: &Error, fate: Fate) -> End {
        note!(self, "it fails: {error}");
        if self.disk.has_ended() {
            return End::Killed;
        }
        let rough = self.weather.locked().faults > 0;
        match error.kind() {
            ErrorKind::Spool { .. } if fate.fails.is_some() => End::Failed,
            ErrorKind::Transport { .. }
            | ErrorKind::RetriesExhausted { .. }
            | ErrorKind::Service(_)
                if rough =>
            {
                End::Failed
            }
            // What was sent was not synced, and is not there as it was.
            ErrorKind::Spool { .. } if self.lost => End::Stuck,
            ErrorKind::Conflict(_)
            | ErrorKind::ReplayTooShort { .. }
            | ErrorKind::ReplayDiffers { .. }
                if self.lost && !self.settings.is_rolling =>
            {
                End::Stuck
            }
            // The same, and it has come when the object was open already.
            ErrorKind::ReplayDiffers { .. } if self.lost => End::Failed,
            _ => panic!("a life ends with {error}: {error:?}"),
        }
    }

    async fn step(&mut self, handle: &mut Handle) -> Result<()> {
        let patience = [Duration::ZERO, self.rng.u32(..50) * MS, 5000 * MS][self.rng.usize(..3)];
        match self.rng.u8(..20) {
            0..9 => {
                for _ in 0..self.rng.u8(1..6) {
                    self.write(handle, patience).await?;
                }
                Ok(())
            }
            9 | 10 => {
                let accepted = handle.offset(handle.writer.position());
                note!(self, "spooled {accepted}");
                match timeout(patience, handle.writer.spooled()).await {
                    Ok(Ok(())) => {
                        self.kept(accepted);
                        Ok(())
                    }
                    Ok(Err(error)) => Err(error),
                    Err(_) => Ok(()),
                }
            }
            11 => {
                let accepted = handle.offset(handle.writer.position());
                note!(self, "sync {accepted}");
                match timeout(patience, handle.writer.sync()).await {
                    Ok(Ok(())) => {
                        let durable = handle.offset(handle.writer.durable_position());
                        assert!(durable >= accepted, "{durable} of {accepted} are durable");
                        Ok(())
                    }
                    Ok(Err(error)) => Err(error),
                    Err(_) => Ok(()),
                }
            }
            12 => {
                note!(self, "flush");
                let flushed = timeout(patience, handle.writer.flush()).await;
                flushed.unwrap_or(Ok(()))
            }
            13 => {
                if let Some(many) = &handle.many {
                    let writers = self.rng.usize(1..20);
                    note!(self, "{writers} writers share the memory");
                    many.set_writers(writers);
                    handle.writer.has_less_memory();
                }
                Ok(())
            }
            14 => {
                let time = self.rng.u32(..200) * MS;
                tokio::time::sleep(time).await;
                Ok(())
            }
            15 => {
                tokio::task::yield_now().await;
                Ok(())
            }
            16 | 17 => match &mut handle.rolling {
                Some(rolling) => {
                    note!(
                        self,
                        "roll {}",
                        self.lives[self.lives.len() - 1].pen.locked().text.len()
                    );
                    let pen = Arc::clone(&self.lives[self.lives.len() - 1].pen);
                    let rolled = timeout(patience, roll(&pen, rolling)).await;
                    rolled.unwrap_or(Ok(()))
                }
                None => Ok(()),
            },
            18 => {
                note!(self, "the disk is full");
                self.disk.set_free(self.rng.u64(..300));
                Ok(())
            }
            _ => {
                self.disk.set_free(PLENTY);
                Ok(())
            }
        }
    }

    /// So much of the life's text is kept as the policy says.
    fn kept(&mut self, accepted: usize) {
        let syncs = self.settings.syncs();
        let life = self.life();
        life.spooled = life.spooled.max(accepted);
        if syncs {
            life.synced = life.synced.max(accepted);
        }
    }

    async fn write(&mut self, handle: &mut Handle, patience: Duration) -> Result<()> {
        let pen = Arc::clone(&self.life().pen);
        let record = pen.locked().record(&mut self.rng, self.settings.longest);
        note!(
            self,
            "write {}",
            String::from_utf8_lossy(&record).trim_end()
        );
        if !self.settings.whole {
            let (first, second) = record.split_at(self.rng.usize(..record.len()));
            for piece in [first, second] {
                self.write_piece(handle, piece, patience).await?;
            }
            return Ok(());
        }
        let writer = &mut handle.writer;
        let wrote = match self.rng.bool() {
            true => {
                let enqueued = noted(&pen, &record, writer.enqueue(record.clone()));
                let enqueued = timeout(patience, enqueued).await;
                enqueued.map(|receipt| {
                    receipt.map(|receipt| handle.receipts.push((receipt, record.to_vec())))
                })
            }
            false => {
                let write = noted(&pen, &record, writer.write_bytes(record.clone()));
                timeout(patience, write).await
            }
        };
        let accepted = handle.offset(handle.writer.position());
        assert_eq!(accepted, pen.locked().text.len(), "what is accepted");
        wrote.unwrap_or(Ok(()))
    }

    /// Writes a piece of a record, of which a part is written if that is given up.
    async fn write_piece(
        &mut self,
        handle: &mut Handle,
        piece: &[u8],
        patience: Duration,
    ) -> Result<()> {
        let pen = Arc::clone(&self.life().pen);
        let before = pen.locked().text.len();
        // A life that ends now may have written any part of it.
        pen.locked().text.extend_from_slice(piece);
        let wrote = match self.rng.bool() {
            true => timeout(patience, handle.writer.write_all(piece)).await,
            false => {
                let ends = [before, before + piece.len()];
                pen.locked().pieces.extend(ends);
                let piece = Bytes::copy_from_slice(piece);
                timeout(patience, handle.writer.write_bytes(piece)).await
            }
        };
        let accepted = handle.offset(handle.writer.position());
        let text = &mut pen.locked().text;
        assert!(
            (before..=text.len()).contains(&accepted),
            "{accepted} from {before} on"
        );
        assert!(!matches!(wrote, Ok(Ok(()))) || accepted == text.len());
        text.truncate(accepted);
        wrote.unwrap_or(Ok(()))
    }

    /// What a writer says of itself.
    fn told(&mut self, handle: &Handle) {
        let writer = &handle.writer;
        let stats = writer.stats();
        let counted = stats.durable + stats.buffered + stats.compared + stats.failed;
        assert_eq!(stats.accepted, counted, "{stats:?}");
        let spool = stats.spool.expect("a spool");
        let behind = spool.bytes + spool.unspooled;
        assert_eq!(stats.accepted - stats.durable, behind, "{spool:?}");
        assert!(spool.size <= self.settings.max_size, "{spool:?}");
        assert!(self.power_failed || spool.lost == 0, "{spool:?}");
        let positions = [
            writer.durable_position(),
            writer.spooled_position(),
            writer.position(),
        ];
        assert!(positions.is_sorted(), "{positions:?}");
        let durable = handle.offset(positions[0]);
        let spooled = handle.offset(positions[1]);
        let life = self.life();
        assert!(durable >= life.durable && spooled >= life.spooled.max(durable));
        (life.durable, life.spooled) = (durable, spooled);
    }

    fn receipts(&mut self, handle: &Handle) {
        for (receipt, record) in &handle.receipts {
            if let Some(Ok(written)) = receipt.written().now_or_never() {
                self.written.push((written, record.clone()));
            }
        }
    }

    /// What a failed writer gives back is what the spool does not keep.
    fn given_back(&mut self, handle: Handle) {
        let spooled = handle.offset(handle.writer.spooled_position());
        let offset = handle.start;
        drop(handle.receipts);
        let Ok(unsent) = handle.writer.into_unsent() else {
            return;
        };
        let rest = unsent.chunks.concat();
        let kept = unsent.spooled.end.saturating_sub(offset) as usize;
        assert_eq!(kept, spooled);
        let text = &self.life().pen.locked().text;
        assert_eq!(rest, text[spooled..], "{} bytes are given back", rest.len());
    }

    /// All objects in their order.
    fn objects(&self) -> Vec<(ObjectPath, Bytes)> {
        if !self.settings.is_rolling {
            let content = self.store.content(&object());
            return content
                .map(|content| (object(), content))
                .into_iter()
                .collect();
        }
        let mut objects = Vec::new();
        let mut missing = 0;
        for number in 1.. {
            let path = ObjectPath::unchecked("bucket", &format!("log-{number:04}"));
            match self.store.content(&path) {
                Some(content) => {
                    missing = 0;
                    objects.push((path, content));
                }
                None if missing == 3 => break,
                None => missing += 1,
            }
        }
        objects
    }

    fn plain(&self, content: &Bytes) -> Vec<u8> {
        let mut plain = Vec::new();
        let read = match self.settings.compression {
            None => return content.to_vec(),
            Some(Compression::Gzip { .. }) if content.is_empty() => Ok(0),
            Some(Compression::Gzip { .. }) => {
                flate2::read::MultiGzDecoder::new(&content[..]).read_to_end(&mut plain)
            }
            Some(Compression::Zstd { .. }) => zstd::Decoder::new(&content[..])
                .and_then(|mut decoder| decoder.read_to_end(&mut plain)),
        };
        if let Err(error) = read
            && !self.is_unfinished()
        {
            panic!("what is compressed cannot be read: {error}");
        }
        plain
    }

    /// A part of a member may be all that there is at the end of the object.
    fn is_unfinished(&self) -> bool {
        self.lost
    }

    /// Checks all that is in the store.
    fn check(&self) {
        let objects = self.objects();
        let (mut all, mut ends) = (Vec::new(), BTreeSet::new());
        for (path, content) in &objects {
            let plain = self.plain(content);
            let whole = plain.is_empty() || plain.ends_with(b"\n");
            // Without the spool's help a life may end when a part of a record is in the object.
            let may_be_cut = self.settings.by_need;
            assert!(
                !self.settings.whole || whole || may_be_cut || self.is_unfinished(),
                "{path} ends within a record"
            );
            all.extend(plain);
            ends.insert(all.len());
        }
        if self.lost {
            return self.check_lines(&all);
        }
        let mut rest = &all[..];
        for (number, life) in self.lives.iter().enumerate() {
            let pen = life.pen.locked();
            let same = rest.iter().zip(&pen.text);
            let same = same.take_while(|(a, b)| a == b).count();
            let kept = life.spooled;
            if same < kept {
                self.wrong(&format!(
                    "of life {number} {same} of {kept} bytes are there"
                ));
            }
            let begin = all.len() - rest.len();
            for roll in pen.rolls.iter().filter(|roll| **roll < same) {
                if let Some(range) = end_for(&all[..begin + same], begin + roll)
                    && ends.range(range.clone()).next().is_none()
                {
                    self.wrong(&format!(
                        "no object ends at {range:?}, {roll} of life {number}"
                    ));
                }
            }
            let text = begin..begin + same;
            let split = ends.range(text).find(|end| {
                let is_piece = || pen.pieces.contains(&(**end - begin));
                **end > begin && all[**end - 1] != b'\n' && !is_piece()
            });
            if let Some(split) = split
                && self.settings.is_rolling
            {
                let at = split - begin;
                self.wrong(&format!(
                    "an object ends within a record, {at} of life {number}"
                ));
            }
            rest = &rest[same..];
        }
        if !rest.is_empty() {
            self.wrong(&format!(
                "the last {} bytes do not belong there",
                rest.len()
            ));
        }
        for (written, record) in &self.written {
            if self.settings.compression.is_none() {
                let found = objects.iter().find(|(path, _)| *path == written.object);
                let Range { start, end } = written.range;
                let found =
                    found.and_then(|(_, content)| content.get(start as usize..end as usize));
                if found != Some(&record[..]) && written.earlier.is_empty() {
                    self.wrong(&format!(
                        "{written:?} is told of {:?}",
                        String::from_utf8_lossy(record)
                    ));
                }
            }
        }
    }

    /// What was sent is not known any more, and may have been sent again, if the spool was not synced:
    /// what was durable is there.
    fn check_lines(&self, all: &[u8]) {
        let has_lines = self.settings.is_rolling && self.settings.whole;
        if self.weather.locked().torn || !has_lines {
            return;
        }
        let lines = |text: &[u8]| -> HashSet<Vec<u8>> {
            let lines = text.split_inclusive(|byte| *byte == b'\n');
            lines.map(<[u8]>::to_vec).collect()
        };
        let found = lines(all);
        for (number, life) in self.lives.iter().enumerate() {
            let missing = lines(&life.pen.locked().text[..life.durable]);
            let missing = missing.difference(&found).count();
            assert_eq!(missing, 0, "durable records of life {number} are missing");
        }
    }

    fn wrong(&self, what: &str) -> ! {
        let mut text = String::new();
        for (path, content) in self.objects() {
            let plain = self.plain(&content);
            let _ = writeln!(text, "{path}:\n{}", String::from_utf8_lossy(&plain));
        }
        panic!("{what}\n{text}");
    }
}

/// Where in a text an object has to end for a roll that was asked for at `at`. A record that was not
/// whole then goes before it or behind it; `None` if that has no end, or nothing is behind it.
fn end_for(text: &[u8], at: usize) -> Option<RangeInclusive<usize>> {
    let is_end = |byte: &u8| *byte == b'\n';
    let begin = text[..at].iter().rposition(is_end);
    let begin = begin.map_or(0, |end| end + 1);
    let end = match begin == at {
        true => at,
        false => at + text[at..].iter().position(is_end)? + 1,
    };
    (begin > 0 && end < text.len()).then_some(begin..=end)
}

fn object() -> ObjectPath {
    ObjectPath::unchecked("bucket", "object")
}

fn from_env(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(number) => number.parse().expect(name),
        Err(_) => default,
    }
}

/// Runs every other schedule.
fn run(first: u64) {
    let seed = from_env("OSS_APPEND_SEED", 1);
    let count = from_env("OSS_APPEND_SPOOL_SCHEDULES", 2000);
    let seeds = match count {
        1 => seed..seed + 1 - first,
        _ => seed..seed + count,
    };
    let _inline = Inline::new();
    for seed in seeds.skip(first as usize).step_by(2) {
        let mut schedule = Schedule::new(seed, count == 1);
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| schedule.run())) {
            eprintln!(
                "reproduce: OSS_APPEND_SEED={seed} OSS_APPEND_SPOOL_SCHEDULES=1 cargo test --lib \
                 spooling::simulation -- --nocapture"
            );
            resume_unwind(panic);
        }
    }
}

// Two, so that two processors share them.

#[test]
fn what_was_kept_is_there_once_and_in_order() {
    run(0);
}

#[test]
fn what_was_kept_is_there_once_and_in_order_in_other_schedules() {
    run(1);
}
