//! Many objects in memory, and requests of many processes to them that fail as a plan says. It keeps
//! OSS's rule: an append is applied whole, and only at the object's length.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use oss_append::{
    AppendAnswer, AppendRequest, AppendStore, Error, KeyPage, ListedKey, ObjectInfo, ObjectKind,
    ObjectPath, Result, ServiceError, crc64,
};

use crate::compositions::faults::{Event, Fate, Lands, Meddling, Size, Trouble};
use tokio::time::Instant;

use crate::support::MS;
use crate::support::store::{broken, creator, service, unreachable};

/// What foreign writers append: no writer of the tests uses this byte.
pub const FOREIGN: u8 = b'~';
/// How long a frozen process stands still: longer than any patience of the writers.
const FROZEN: Duration = Duration::from_secs(300);
/// More requests than any plan needs: whoever makes them goes round in circles.
const MOST_REQUESTS: usize = 2_000;
/// How many requests a failure tells.
const MOST_TOLD: usize = 80;
/// How many earlier states of an object a cache may show.
const MOST_PAST: usize = 4;

/// The store as one process sees it.
#[derive(Clone)]
pub struct Process {
    world: Arc<Mutex<World>>,
    id: usize,
}

pub struct World {
    pub objects: BTreeMap<String, Stored>,
    /// What was destroyed, as it was then.
    pub graves: Vec<(String, Vec<u8>)>,
    /// Bytes of ours that somebody else has appended too.
    pub imitated: Vec<Bytes>,
    /// How often something was destroyed, or an earlier state was shown.
    tricks: usize,
    /// How often that was when a process last looked.
    looked: BTreeMap<usize, usize>,
    /// The processes that have appended something.
    appended: BTreeSet<usize>,
    requests: usize,
    start: Instant,
    events: std::vec::IntoIter<Event>,
    options: WorldOptions,
    processes: usize,
    dead: BTreeSet<usize>,
    late: Vec<OnItsWay>,
    has_shown_stale: bool,
    has_refused_listing: bool,
    log: Option<Vec<String>>,
}

/// What the store does and does not tell.
#[derive(Clone, Copy, Debug)]
pub struct WorldOptions {
    pub without_crc: bool,
    /// The metadata of objects is lost.
    pub without_metadata: bool,
    /// Listing is refused.
    pub without_listing: bool,
    /// Foreign bytes are a gzip member, so that the object can still be read.
    pub gzip: bool,
}

#[derive(Default)]
pub struct Stored {
    pub now: Option<Object>,
    past: Vec<Option<Object>>,
    /// The body of the last append that was sent, as a measure for those who meddle.
    last_body: Bytes,
    shown_stale: bool,
}

#[derive(Clone)]
pub struct Object {
    pub data: Vec<u8>,
    pub kind: ObjectKind,
    pub sealed: bool,
    /// Under retention.
    pub immutable: bool,
    creator: Option<String>,
    crc64: u64,
}

impl Object {
    fn holding(data: Vec<u8>) -> Self {
        Self {
            crc64: crc64::checksum(&data),
            data,
            kind: ObjectKind::Appendable,
            sealed: false,
            immutable: false,
            creator: None,
        }
    }
}

/// An append that has not arrived yet.
#[derive(Clone)]
struct OnItsWay {
    key: String,
    position: u64,
    body: Bytes,
    creator: Option<String>,
}

impl Process {
    /// A world in which this trouble waits, and the first process in it.
    pub fn first(trouble: Trouble) -> Self {
        let world = World {
            objects: BTreeMap::new(),
            graves: Vec::new(),
            imitated: Vec::new(),
            tricks: 0,
            looked: BTreeMap::new(),
            appended: BTreeSet::new(),
            requests: 0,
            start: Instant::now(),
            events: trouble.events.into_iter(),
            options: trouble.options,
            processes: 0,
            dead: BTreeSet::new(),
            late: Vec::new(),
            has_shown_stale: false,
            has_refused_listing: false,
            log: std::env::var_os("OSS_APPEND_LOG").map(|_| Vec::new()),
        };
        Self {
            world: Arc::new(Mutex::new(world)),
            id: 0,
        }
    }

    /// Another process in the same world.
    pub fn fork(&self) -> Self {
        let mut world = self.world();
        world.processes += 1;
        let id = world.processes;
        drop(world);
        let world = Arc::clone(&self.world);
        Self { world, id }
    }

    /// Ends the process: what it has sent may arrive later, it learns of nothing any more.
    pub fn kill(&self) {
        self.world().dead.insert(self.id);
    }

    /// Whether its last look showed how things stand now.
    pub fn has_seen_the_truth(&self) -> bool {
        let world = self.world();
        world.looked.get(&self.id) == Some(&world.tricks)
    }

    pub fn has_appended(&self) -> bool {
        self.world().appended.contains(&self.id)
    }

    pub fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().expect("no panic while it is locked")
    }

    /// A wall clock that goes with tokio's, 500,000 times as fast.
    pub fn clock(&self) -> impl Fn() -> SystemTime + Send + Sync + 'static {
        let start = self.world().start;
        let zero = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        move || zero + 500_000 * start.elapsed()
    }

    /// Takes a request to its arrival, where the trouble that waits for it happens.
    async fn arrive(&self, key: &str, append: Option<&OnItsWay>) -> Result<Event> {
        let event = {
            let world = &mut *self.world();
            world.requests += 1;
            if world.dead.contains(&self.id) {
                return Err(dead());
            }
            if world.requests > MOST_REQUESTS {
                return Err(Error::invalid_input("the world has had enough"));
            }
            if let Some(append) = append {
                let stored = world.objects.entry(key.to_owned()).or_default();
                stored.last_body = append.body.clone();
            }
            world.events.next().unwrap_or(Event::NONE)
        };
        travel(event.delay).await;
        if matches!(event.fate, Fate::Frozen { .. }) {
            tokio::time::advance(FROZEN).await;
        }
        let world = &mut *self.world();
        if world.dead.contains(&self.id) {
            if event.fate.may_apply() {
                world.late.extend(append.cloned());
            }
            return Err(dead());
        }
        world.land(event.lands);
        if let (Some(meddling), false) = (event.meddling, key.is_empty()) {
            world.meddle(key, meddling);
        }
        Ok(event)
    }

    fn log(&self, line: impl FnOnce() -> String) {
        let id = self.id;
        if let Some(log) = &mut self.world().log {
            log.push(format!("process {id}: {}", line()));
        }
    }

    async fn append_once(&self, request: &AppendRequest) -> Result<AppendAnswer> {
        let append = OnItsWay {
            key: request.object.key().to_owned(),
            position: request.position,
            body: request.body.chunks().concat().into(),
            creator: creator(request),
        };
        let event = self.arrive(&append.key, Some(&append)).await?;
        let answer = self.world().answer(&append, event.fate, self.id);
        let Some(answer) = answer else {
            return std::future::pending().await;
        };
        travel(event.delay).await;
        answer
    }
}

async fn travel(delay: u8) {
    match delay {
        0 => tokio::task::yield_now().await,
        delay => tokio::time::sleep(u32::from(delay) * MS).await,
    }
}

fn dead() -> Error {
    Error::invalid_input("the process has ended")
}

fn mismatch(length: u64) -> Error {
    let mut answer = ServiceError::new(409, "PositionNotEqualToLength");
    answer.next_append_position = Some(length);
    Error::service(answer)
}

/// The numbers in a key.
fn numbers(key: &str) -> Vec<u64> {
    let digits = key.split(|c: char| !c.is_ascii_digit());
    digits.filter_map(|digits| digits.parse().ok()).collect()
}

impl World {
    /// Everything that was on its way arrives, and nothing bad happens any more.
    pub fn end(&mut self) {
        self.events = Vec::new().into_iter();
        self.land(Lands::All);
    }

    /// What it was asked, if that is kept.
    pub fn story(&self) -> String {
        let log = self.log.as_deref().unwrap_or_default();
        log[..log.len().min(MOST_TOLD)].join("\n")
    }

    pub fn had_enough(&self) -> bool {
        self.requests > MOST_REQUESTS
    }

    /// The objects that exist, in the order of their sequence: by period and number. Another process
    /// may have begun a period before ours has ended the one before.
    pub fn in_order(&self) -> Vec<(&str, &Object)> {
        let mut objects: Vec<_> = self
            .objects
            .iter()
            .filter_map(|(key, stored)| Some((key.as_str(), stored.now.as_ref()?)))
            .collect();
        objects.sort_by_cached_key(|(key, _)| numbers(key));
        objects
    }

    /// Whether the end of a sequence may not be found any more: it is looked for by trying numbers,
    /// and one of them has gone, or seemed to be missing.
    pub fn hides_the_end(&self) -> bool {
        self.has_refused_listing && (self.has_shown_stale || !self.graves.is_empty())
    }

    /// Whether a look has shown an object older than it was.
    pub fn has_shown_stale(&self) -> bool {
        self.has_shown_stale
    }

    /// The contents that the object has and had.
    pub fn contents(&self, key: &str) -> impl Iterator<Item = &[u8]> {
        let now = self
            .objects
            .get(key)
            .and_then(|stored| stored.now.as_ref())
            .map(|object| &object.data[..]);
        let graves = self.graves.iter().filter(move |(buried, _)| buried == key);
        now.into_iter().chain(graves.map(|(_, data)| &data[..]))
    }

    /// Whether `bytes` are in an object that exists, with nothing but foreign bytes between them.
    pub fn shows(&self, bytes: &[u8]) -> bool {
        let objects = self.objects.values();
        let mut existing = objects.filter_map(|stored| stored.now.as_ref());
        existing.any(|object| find_ours(&object.data, bytes))
    }

    /// The same, or in one that was destroyed.
    pub fn held(&self, bytes: &[u8]) -> bool {
        self.shows(bytes) || self.graves.iter().any(|(_, data)| find_ours(data, bytes))
    }

    fn land(&mut self, lands: Lands) {
        let late = &mut self.late;
        let landing = match lands {
            _ if late.is_empty() => return,
            Lands::None => return,
            Lands::First => vec![late.remove(0)],
            Lands::Last => vec![late.remove(late.len() - 1)],
            Lands::All => std::mem::take(late),
            Lands::Backwards => late.drain(..).rev().collect(),
        };
        for append in landing {
            let landed = self.apply(&append).is_ok();
            if let Some(log) = &mut self.log {
                let OnItsWay { key, position, .. } = &append;
                log.push(format!("  late {key}@{position} lands: {landed}"));
            }
        }
    }

    fn apply(&mut self, append: &OnItsWay) -> Result<AppendAnswer> {
        let stored = self.objects.entry(append.key.clone()).or_default();
        match &stored.now {
            None if append.position > 0 => return Err(mismatch(0)),
            None => {}
            Some(object) if object.kind != ObjectKind::Appendable => {
                return Err(service(409, "ObjectNotAppendable"));
            }
            Some(object) if object.sealed => {
                return Err(service(400, "AppendSealedObjectNotAllowed"));
            }
            Some(object) if object.immutable => return Err(service(409, "FileImmutable")),
            Some(object) if object.data.len() as u64 != append.position => {
                return Err(mismatch(object.data.len() as u64));
            }
            Some(_) => {}
        }
        stored.keep_past();
        let object = stored.now.get_or_insert_with(|| Object {
            creator: append.creator.clone(),
            ..Object::holding(Vec::new())
        });
        object.grow(&append.body);
        let mut answer = AppendAnswer::new(object.data.len() as u64, object.crc64);
        if self.options.without_crc {
            answer.crc64 = None;
        }
        Ok(answer)
    }

    /// What is answered to an append; `None`: nothing, ever.
    fn answer(
        &mut self,
        append: &OnItsWay,
        fate: Fate,
        process: usize,
    ) -> Option<Result<AppendAnswer>> {
        let applied = match fate.may_apply() && !fate.is_late() {
            true => self.apply(append),
            false => Ok(AppendAnswer::default()),
        };
        if applied
            .as_ref()
            .is_ok_and(|answer| answer.next_position.is_some())
        {
            self.appended.insert(process);
        }
        if fate.is_late() || matches!(fate, Fate::Twice) {
            self.late.push(append.clone());
        }
        match fate.error() {
            _ if fate.hangs() => None,
            Some(error) => Some(Err(error)),
            None => Some(applied.map(|mut answer| {
                if matches!(fate, Fate::WithoutPosition) {
                    answer.next_position = None;
                }
                answer
            })),
        }
    }

    fn meddle(&mut self, key: &str, meddling: Meddling) {
        let (gzip, without_crc) = (self.options.gzip, self.options.without_crc);
        let stored = self.objects.entry(key.to_owned()).or_default();
        let measure = stored.last_body.len().max(1);
        let exists = stored.now.is_some();
        let foreign = |size: Size| match (gzip, size) {
            (true, _) => crate::compositions::ledger::gzip(&[FOREIGN; 3]),
            (_, Size::Shorter) => vec![FOREIGN; (measure - 1).max(1)],
            (_, Size::Equal) => vec![FOREIGN; measure],
            (_, Size::Longer) => vec![FOREIGN; measure + 7],
        };
        let body = match meddling {
            Meddling::Append(size) => foreign(size),
            Meddling::AppendOurs if !stored.last_body.is_empty() => stored.last_body.to_vec(),
            Meddling::Seal | Meddling::Retain => {
                stored.keep_past();
                if let Some(object) = &mut stored.now {
                    object.sealed |= matches!(meddling, Meddling::Seal);
                    object.immutable |= matches!(meddling, Meddling::Retain);
                }
                return;
            }
            // Nobody can notice these without checksums.
            Meddling::Delete | Meddling::Recreate | Meddling::Shorten if without_crc => return,
            Meddling::Delete => return self.destroy(key, None),
            Meddling::PutOver if exists => {
                let mut normal = Object::holding(foreign(Size::Longer));
                normal.kind = ObjectKind::Other("Normal".into());
                return self.destroy(key, Some(normal));
            }
            Meddling::Recreate | Meddling::Shorten => {
                let len = stored.now.as_ref().map_or(0, |object| object.data.len());
                let len = len - usize::from(matches!(meddling, Meddling::Shorten) && len > 0);
                // A gzip member of a wished length is not to be had.
                if len == 0 || gzip {
                    return;
                }
                return self.destroy(key, Some(Object::holding(vec![FOREIGN; len])));
            }
            Meddling::AppendOurs | Meddling::PutOver => return,
        };
        let append = OnItsWay {
            key: key.to_owned(),
            position: stored.now.as_ref().map_or(0, |o| o.data.len() as u64),
            body: body.into(),
            creator: None,
        };
        if self.apply(&append).is_ok() && matches!(meddling, Meddling::AppendOurs) {
            self.imitated.push(append.body);
        }
    }

    /// Nothing protects from an append that arrives at an object made anew: those on their way are
    /// lost with it.
    fn destroy(&mut self, key: &str, by: Option<Object>) {
        self.late.retain(|append| append.key != key);
        let stored = self.objects.entry(key.to_owned()).or_default();
        stored.keep_past();
        if let Some(object) = std::mem::replace(&mut stored.now, by) {
            self.tricks += 1;
            self.graves.push((key.to_owned(), object.data));
        }
    }

    /// The object as a look shows it.
    fn look(&mut self, key: &str, fate: Fate, process: usize) -> Option<ObjectInfo> {
        self.looked.insert(process, self.tricks);
        let options = self.options;
        let stored = self.objects.entry(key.to_owned()).or_default();
        let mut seen = &stored.now;
        match fate {
            Fate::Stale(back) if !stored.shown_stale && !stored.past.is_empty() => {
                stored.shown_stale = true;
                self.has_shown_stale = true;
                self.tricks += 1;
                seen = &stored.past[stored.past.len().saturating_sub(1 + usize::from(back))];
            }
            // A cache does not forget for longer than one look.
            _ => stored.shown_stale = false,
        }
        seen.as_ref().map(|object| {
            let crc64 = (!options.without_crc).then_some(object.crc64);
            let mut info = ObjectInfo::appendable(object.data.len() as u64, crc64);
            info.kind = object.kind.clone();
            info.sealed = object.sealed;
            if !options.without_metadata {
                info.creator.clone_from(&object.creator);
            }
            info
        })
    }

    fn seal(&mut self, key: &str, position: u64) -> Result<()> {
        let stored = self.objects.entry(key.to_owned()).or_default();
        stored.keep_past();
        match &mut stored.now {
            None => Err(service(404, "NoSuchKey")),
            Some(object) if object.kind != ObjectKind::Appendable => {
                Err(service(409, "ObjectNotAppendable"))
            }
            Some(object) if object.data.len() as u64 != position => {
                Err(mismatch(object.data.len() as u64))
            }
            Some(object) => {
                object.sealed = true;
                Ok(())
            }
        }
    }
}

impl Object {
    fn grow(&mut self, bytes: &[u8]) {
        self.data.extend_from_slice(bytes);
        self.crc64 = crc64::checksum(&self.data);
    }
}

impl Stored {
    fn keep_past(&mut self) {
        if self.past.len() == MOST_PAST {
            self.past.remove(0);
        }
        self.past.push(self.now.clone());
    }
}

fn find_ours(data: &[u8], part: &[u8]) -> bool {
    let ours: Vec<u8> = data
        .iter()
        .copied()
        .filter(|byte| *byte != FOREIGN)
        .collect();
    find(&ours, part)
}

/// Whether `part` is in `data`.
pub fn find(data: &[u8], part: &[u8]) -> bool {
    data.windows(part.len().max(1)).any(|window| window == part)
}

impl AppendStore for Process {
    async fn append(&self, request: AppendRequest) -> Result<AppendAnswer> {
        let answer = self.append_once(&request).await;
        self.log(|| {
            let AppendRequest {
                object,
                position,
                body,
                ..
            } = &request;
            format!(
                "append {}@{position}+{}: {}",
                object.key(),
                body.len(),
                told(&answer)
            )
        });
        answer
    }

    async fn head(&self, object: &ObjectPath) -> Result<Option<ObjectInfo>> {
        let event = self.arrive(object.key(), None).await?;
        let seen = match event.fate.error() {
            _ if event.fate.hangs() => std::future::pending().await,
            Some(error) => Err(error),
            None => Ok(self.world().look(object.key(), event.fate, self.id)),
        };
        self.log(|| format!("head {}: {}", object.key(), told(&seen)));
        travel(event.delay).await;
        seen
    }

    async fn read_range(
        &self,
        object: &ObjectPath,
        range: Range<u64>,
    ) -> Result<BoxStream<'static, Result<Bytes>>> {
        let event = self.arrive(object.key(), None).await?;
        self.log(|| format!("read {} {range:?}: {:?}", object.key(), event.fate));
        if event.fate.hangs() {
            return std::future::pending().await;
        }
        if let Some(error) = event.fate.error() {
            return Err(error);
        }
        let world = self.world();
        let stored = world.objects.get(object.key());
        let data = stored
            .and_then(|stored| stored.now.as_ref())
            .map_or(&[][..], |object| &object.data);
        let end = data.len().min(range.end as usize);
        let part = data.get(range.start as usize..end).unwrap_or_default();
        // In small pieces that agree with nobody's batches.
        let pieces: Vec<_> = part
            .chunks(17)
            .map(|piece| Ok(Bytes::copy_from_slice(piece)))
            .collect();
        Ok(stream::iter(pieces).boxed())
    }

    async fn seal(&self, object: &ObjectPath, position: u64) -> Result<()> {
        let event = self.arrive(object.key(), None).await?;
        if event.fate.hangs() {
            return std::future::pending().await;
        }
        let sealed = match event.fate.may_apply() && !event.fate.is_late() {
            true => self.world().seal(object.key(), position),
            false => Ok(()),
        };
        let sealed = event.fate.error().map_or(sealed, Err);
        self.log(|| format!("seal {}@{position}: {}", object.key(), told(&sealed)));
        sealed
    }

    async fn list(&self, _: &str, prefix: &str, after: Option<&str>) -> Result<Option<KeyPage>> {
        let event = self.arrive("", None).await?;
        if event.fate.hangs() {
            return std::future::pending().await;
        }
        let mut world = self.world();
        if let Some(error) = event.fate.error() {
            world.has_refused_listing = true;
            return Err(error);
        }
        if world.options.without_listing {
            world.has_refused_listing = true;
            return Err(service(403, "AccessDenied"));
        }
        let found = world.objects.iter().filter_map(|(key, stored)| {
            let object = stored.now.as_ref()?;
            let wanted = key.starts_with(prefix) && after.is_none_or(|after| &key[..] > after);
            let length = object.data.len() as u64;
            wanted.then(|| ListedKey::new(key, length, object.kind.clone()))
        });
        Ok(Some(KeyPage::new(found.collect(), None)))
    }
}

fn told<T: fmt::Debug>(answer: &Result<T>) -> String {
    match answer {
        Ok(answer) => format!("{answer:?}"),
        Err(error) => error.to_string(),
    }
}

impl Fate {
    /// What the caller is told in place of the truth.
    fn error(self) -> Option<Error> {
        match self {
            Self::Good
            | Self::Twice
            | Self::Stale(_)
            | Self::WithoutPosition
            | Self::Hang
            | Self::AppliedHang
            | Self::LateHang
            | Self::Frozen { lost: false } => None,
            Self::Lost | Self::LostAnswer | Self::Late | Self::Frozen { lost: true } => {
                Some(broken())
            }
            Self::Unreachable => Some(unreachable()),
            Self::Refused(status, code) => Some(service(status, code)),
            Self::Between(status) | Self::AppliedBetween(status) | Self::LateBetween(status) => {
                Some(service(status, ""))
            }
            Self::Busy(seconds) => {
                let mut busy = ServiceError::new(503, "ServiceUnavailable");
                busy.retry_after = Some(Duration::from_secs(seconds.into()));
                Some(Error::service(busy))
            }
            Self::ClockWrong => {
                let mut skewed = ServiceError::new(403, "RequestTimeTooSkewed");
                skewed.clock_corrected = true;
                Some(Error::service(skewed))
            }
        }
    }
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Process").field("id", &self.id).finish()
    }
}
