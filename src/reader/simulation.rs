//! Random schedules for reading: no sockets, no client, a clock that does not wait. A world in a few
//! bytes answers each request: late, not at all, with errors, with other bytes than were asked for,
//! with too few or too many, from an earlier state, while others append, seal, replace and remove.
//!
//! Whatever happens, the bytes are those of the object as the first answer has told it, or what those
//! hold, if it is compressed, or there is an error. Where nothing worse happens than failures that pass, the bytes come.
//!
//! | variable | meaning | default |
//! |---|---|---|
//! | `OSS_APPEND_READER_SCHEDULES` | how many schedules are run; 1: each answer is told | 100,000 |
//! | `OSS_APPEND_SEED` | the first seed | 1 |

mod compressed;

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::ops::{Bound, Range};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures::future::{self, BoxFuture, FutureExt as _};
use futures::stream::{self, BoxStream, StreamExt as _};

use self::compressed::Held;
use super::content::Content;
use super::decompressing::Decompressing;
use super::fixed::Seen;
use super::parts::ReadAhead;
use super::reading::Reading;
use super::source::{Part, Source};
use super::span::Span;
use super::transfer::Manner;
use crate::client::Wanted;
use crate::drive::events::Events;
use crate::drive::stats::Counters;
use crate::drive::thread::Inline;
use crate::engine::rules::Rules;
use crate::error::{Error, ErrorKind, Result, ServiceError, TransportCause};
use crate::values::checkpoint::Checkpoint;
use crate::values::crc64;
use crate::values::info::ObjectKind;
use crate::values::locks::MutexExt as _;
use crate::values::path::ObjectPath;

/// More requests than any reading needs.
const MOST_REQUESTS: u32 = 10_000;

const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(1);
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(120);

/// The object at one time.
#[derive(Clone, Debug, PartialEq)]
struct Object {
    /// Another number is another object under the same name.
    life: u32,
    data: Vec<u8>,
    normal: bool,
    sealed: bool,
    creator: Option<String>,
}

impl Object {
    fn length(&self) -> u64 {
        self.data.len() as u64
    }

    fn etag(&self) -> String {
        let Self { life, sealed, .. } = self;
        format!("\"{life}-{}-{sealed}\"", self.length())
    }

    fn seen(&self) -> Seen {
        let kind = match self.normal {
            true => ObjectKind::Other("Normal".into()),
            false => ObjectKind::Appendable,
        };
        Seen {
            length: self.length(),
            crc64: Some(crc64::checksum(&self.data)),
            kind,
            sealed: self.sealed,
            etag: Some(self.etag()),
            next_append_position: (!self.normal).then_some(self.length()),
            creator: self.creator.clone(),
        }
    }
}

struct World {
    rng: fastrand::Rng,
    /// All that it was, and at the end what it is; `None`: it was removed.
    states: Vec<Option<Object>>,
    lives: u32,
    /// What is stored are gzip members and zstd frames, and what those hold is read.
    compressed: bool,
    /// How many failures there are to come.
    failures: u32,
    /// From which request on all fail.
    hopeless: Option<u32>,
    /// Whether others change the object, and caches show earlier states.
    changes: bool,
    /// What the object was by the first answer, and what that has told of it.
    told: Option<Object>,
    headers: Option<Seen>,
    span: Span,
    /// The first life, and where in it the bytes begin that are read.
    planned: (u32, u64),
    /// The reader has something to compare with.
    has_checksum: bool,
    /// Something has happened that only a checksum can tell.
    hidden: bool,
    /// Something has happened that may be an error for good.
    fatal: bool,
    requests: u32,
    tells: bool,
}

impl World {
    fn chance(&mut self, one_in: u32) -> bool {
        self.rng.u32(..one_in) == 0
    }

    fn bytes(&mut self, most: usize) -> Vec<u8> {
        if self.compressed {
            return compressed::draw(&mut self.rng);
        }
        let length = self.rng.usize(..=most);
        (0..length).map(|_| self.rng.u8(..)).collect()
    }

    fn object(&mut self) -> Object {
        self.lives += 1;
        let normal = self.chance(4);
        Object {
            life: self.lives,
            data: self.bytes(40),
            normal,
            sealed: !normal && self.chance(4),
            creator: self.chance(2).then(|| format!("life {}", self.lives)),
        }
    }

    fn now(&self) -> Option<&Object> {
        self.states.last()?.as_ref()
    }

    /// Somebody else does something.
    fn change(&mut self) {
        let Some(mut object) = self.now().cloned() else {
            let object = self.object();
            return self.states.push(Some(object));
        };
        let next = match self.rng.u32(..8) {
            0 => None,
            1 => Some(self.object()),
            2 => {
                // As long, so that nothing else tells.
                let other = self.object();
                object.data = object.data.iter().map(|byte| !byte).collect();
                Some(Object {
                    data: object.data,
                    ..other
                })
            }
            3 => {
                // Longer, and of the same type.
                self.lives += 1;
                object.life = self.lives;
                object.data = object.data.iter().map(|byte| !byte).collect();
                object.data.push(0);
                Some(object)
            }
            4 if !object.normal => {
                object.sealed = true;
                Some(object)
            }
            _ if object.normal || object.sealed => return,
            _ => {
                let more = self.bytes(20);
                object.data.extend(more);
                Some(object)
            }
        };
        self.states.push(next);
    }

    /// The state that is shown, of the request's time or of an earlier one.
    fn shown(&mut self) -> Option<Object> {
        let state = match self.changes && self.chance(16) {
            true => self.rng.usize(..self.states.len()),
            false => self.states.len() - 1,
        };
        let mut shown = self.states[state].clone();
        self.fatal |= shown.is_none();
        if let Some(told) = &self.told {
            match &mut shown {
                // It grew, or nothing has changed.
                Some(shown)
                    if shown.life == told.life
                        && shown.length() >= told.length()
                        && (shown.sealed || !told.sealed) => {}
                Some(shown) => {
                    self.fatal = true;
                    if !self
                        .headers
                        .as_ref()
                        .is_some_and(|seen| can_be_told(told, seen, shown))
                    {
                        match self.has_checksum {
                            true => self.hidden = true,
                            false => shown.creator = Some(format!("another life {}", shown.life)),
                        }
                    }
                }
                None => {}
            }
        }
        shown
    }

    /// What is stored there, as the first answer has told it.
    fn stored(&self, range: Range<u64>) -> &[u8] {
        let told = self.told.as_ref().expect("it was told what the object is");
        &told.data[range.start as usize..range.end as usize]
    }

    /// Checks that what is before `position` was given out.
    fn check_position(&self, start: u64, position: u64, given: &[u8]) {
        let before = Held::by(self.stored(start..position));
        assert!(before.whole || self.hidden, "{position} is in a member");
        assert!(given.starts_with(&before.content) || self.hidden);
    }

    /// Whether one more failure happens here.
    fn fails(&mut self, one_in: u32) -> bool {
        let fails = self.failures > 0 && self.chance(one_in);
        self.failures -= u32::from(fails);
        fails
    }

    fn failure(&mut self) -> Error {
        match self.rng.u32(..6) {
            0 => Error::transport(TransportCause::Connect, "refused"),
            1 => Error::transport(TransportCause::Broken, "reset"),
            2 => Error::service(ServiceError::new(500, "InternalError")),
            3 => {
                let mut busy = ServiceError::new(503, "ServiceUnavailable");
                busy.retry_after = Some(Duration::from_secs(2));
                Error::service(busy)
            }
            4 => Error::service(ServiceError::new(502, "")),
            _ => Error::bad_answer(200, "it names no content length"),
        }
    }

    /// Notes what an answer tells that the reader takes.
    fn tell(&mut self, object: Object, seen: &Seen) {
        if self.told.is_none() {
            let length = object.length();
            let is_compared = match self.span {
                Span::Between(start, end) => {
                    let is_start = matches!(start, Bound::Unbounded | Bound::Included(0));
                    is_start && !matches!(end, Bound::Excluded(end) if end < length)
                }
                Span::Last(count) => count >= length,
                Span::After(known) => {
                    let (life, start) = self.planned;
                    self.fatal |= object.life != life || length < start;
                    known.crc.is_some()
                }
            };
            self.has_checksum = is_compared && seen.crc64.is_some();
            if seen
                .crc64
                .is_some_and(|crc| crc != crc64::checksum(&object.data))
            {
                self.fatal = true;
            }
            self.told = Some(object);
            self.headers = Some(seen.clone());
        }
    }

    /// What the headers of an answer tell; not all of them are always there.
    fn headers(&mut self, object: &Object) -> Seen {
        let mut seen = object.seen();
        let told = self.told.as_ref().zip(self.headers.as_ref());
        let is_fixed = told.is_some_and(|(told, seen)| never_changes(told, seen));
        let is_shorter = told.is_some_and(|(told, _)| object.length() < told.length());
        let tells_all = told.is_some() && !is_fixed && !self.has_checksum;
        // The request for one tag, or the length, tells enough.
        if (is_fixed || is_shorter) && self.chance(4) {
            seen.crc64 = None;
            seen.kind = ObjectKind::Other(String::new());
            seen.next_append_position = None;
            seen.etag = None;
        }
        // What neither a checksum nor the tag can tell is told.
        if !tells_all && self.fails(16) {
            // What is left out may be all that tells of a replaced object.
            self.hidden |= (self.told.as_ref()).is_some_and(|told| told.life != object.life);
            match self.rng.u32(..5) {
                0 => seen.crc64 = None,
                1 => seen.kind = ObjectKind::Other(String::new()),
                2 => seen.next_append_position = None,
                3 => seen.etag = None,
                _ => {
                    seen.crc64 = Some(self.rng.u64(..));
                    self.fatal = true;
                }
            }
        }
        seen
    }

    fn arrive(&mut self) -> Result<Option<Object>> {
        self.requests += 1;
        assert!(self.requests < MOST_REQUESTS, "it goes on for ever");
        if self.changes && self.chance(4) {
            self.change();
        }
        let is_hopeless = self.hopeless.is_some_and(|from| self.requests >= from);
        match is_hopeless || self.fails(4) {
            true => Err(self.failure()),
            false => Ok(self.shown()),
        }
    }

    fn look(&mut self) -> Result<Seen> {
        let object = self.arrive()?.ok_or_else(no_such_key)?;
        let seen = self.headers(&object);
        self.tell(object, &seen);
        Ok(seen)
    }

    fn read(&mut self, wanted: Wanted, etag: Option<String>) -> Result<Part> {
        let object = self.arrive()?.ok_or_else(no_such_key)?;
        if etag.is_some_and(|etag| etag != object.etag()) {
            return Err(Error::service(ServiceError::new(412, "PreconditionFailed")));
        }
        let length = object.length();
        let whole = wanted.start == 0 && wanted.end.is_none();
        if !whole && wanted.start >= length {
            return Err(Error::service(ServiceError::new(416, "InvalidRange")));
        }
        let mut first = wanted.start;
        let mut end = wanted.end.map_or(length, |end| end.min(length));
        let mut status = if whole { 200 } else { 206 };
        let mut content_range = format!("bytes {first}-{}/{length}", end.saturating_sub(1));
        if !whole && self.fails(8) {
            match self.rng.u32(..4) {
                // The range is ignored.
                0 => (status, first, end) = (200, 0, length),
                // Another range.
                1 if first + 1 < end => {
                    first += 1;
                    content_range = format!("bytes {first}-{}/{length}", end - 1);
                }
                1 if first > 0 => {
                    first -= 1;
                    content_range = format!("bytes {first}-{}/{length}", end - 1);
                }
                // Less than was asked for.
                2 if first + 1 < end => {
                    end -= 1;
                    content_range = format!("bytes {first}-{}/{length}", end - 1);
                }
                _ => content_range = "bytes */0".into(),
            }
        }
        let content_length = Some(end - first);
        let granted = wanted.granted(status, content_length, &content_range);
        let (range, length) = granted.map_err(|reason| Error::bad_answer(status, reason))?;
        let mut seen = self.headers(&object);
        seen.length = length;
        let content = object.data[first as usize..end as usize].to_vec();
        self.tell(object, &seen);
        let body = self.body(content);
        Ok(Part { seen, range, body })
    }

    fn body(&mut self, mut content: Vec<u8>) -> BoxStream<'static, Result<Bytes>> {
        if self.has_checksum && !content.is_empty() && self.fails(16) {
            // Damaged on the way: nothing but the checksum tells.
            let byte = self.rng.usize(..content.len());
            content[byte] ^= 1 << self.rng.u32(..8);
            (self.hidden, self.fatal) = (true, true);
        }
        let mut last = None;
        if self.fails(3) {
            let kept = self.rng.usize(..=content.len());
            match self.rng.u32(..4) {
                0 => content.truncate(kept),
                1 => {
                    content.truncate(kept);
                    last = Some(stream::iter([Err(self.failure())]).boxed());
                }
                2 => {
                    content.truncate(kept);
                    last = Some(stream::pending().boxed());
                }
                _ => content.extend([7; 9]),
            }
        }
        let mut pieces = Vec::new();
        while !content.is_empty() {
            let rest = content.split_off(self.rng.usize(..=content.len()));
            pieces.push(Ok(Bytes::from(std::mem::replace(&mut content, rest))));
        }
        stream::iter(pieces)
            .chain(last.unwrap_or_else(|| stream::empty().boxed()))
            .boxed()
    }
}

/// Whether the headers tell that it is another object.
fn can_be_told(told: &Object, seen: &Seen, shown: &Object) -> bool {
    let had_type = seen.kind != ObjectKind::Other(String::new());
    shown.life == told.life
        || shown.length() < told.length()
        || (shown.length() == told.length() && seen.crc64.is_some() && shown.data != told.data)
        || (shown.normal != told.normal && had_type)
        || shown.creator != told.creator
        || never_changes(told, seen)
}

/// Whether it is asked for by its tag.
fn never_changes(told: &Object, seen: &Seen) -> bool {
    let had_type = seen.kind != ObjectKind::Other(String::new());
    (told.sealed || (told.normal && had_type)) && seen.etag.is_some()
}

fn no_such_key() -> Error {
    Error::service(ServiceError::new(404, "NoSuchKey"))
}

/// The world as what is read from.
#[derive(Clone)]
struct Simulated(Arc<Mutex<World>>);

impl Simulated {
    fn answer<T: Send + 'static>(
        &self,
        what: &str,
        answer: impl FnOnce(&mut World) -> Result<T>,
    ) -> BoxFuture<'static, Result<T>> {
        let mut world = self.0.locked();
        if world.fails(12) {
            return future::pending().boxed();
        }
        let answer = answer(&mut world);
        if world.tells {
            let outcome = answer
                .as_ref()
                .map_or_else(Error::to_string, |_| "ok".into());
            println!("{what}: {outcome}");
        }
        match world.chance(8) {
            true => async {
                tokio::time::sleep(ATTEMPT_TIMEOUT / 2).await;
                answer
            }
            .boxed(),
            false => future::ready(answer).boxed(),
        }
    }
}

impl Source for Simulated {
    fn look(&self) -> BoxFuture<'static, Result<Seen>> {
        self.answer("look", World::look)
    }

    fn read(&self, wanted: Wanted, etag: Option<String>) -> BoxFuture<'static, Result<Part>> {
        let what = format!("read {wanted:?}");
        self.answer(&what, |world| world.read(wanted, etag))
    }
}

/// What is to be read.
fn span(world: &mut World) -> Span {
    let (length, data) = match world.now() {
        Some(object) => (object.length(), object.data.clone()),
        None => (0, Vec::new()),
    };
    let starts = Held::by(&data).starts;
    let start = match world.compressed && !world.chance(8) {
        true => starts[world.rng.usize(..starts.len())] as u64,
        false => world.rng.u64(..=length),
    };
    match world.rng.u32(..8) {
        0 => {
            let end = world.rng.u64(start..=length + 3) + 1;
            Span::Between(Bound::Included(start), Bound::Excluded(end))
        }
        1 => Span::Between(Bound::Included(start), Bound::Unbounded),
        2 => Span::Last(length - start),
        3 | 4 => {
            let object = ObjectPath::new("bucket", "object").unwrap();
            let mut from = Checkpoint::new(object, start);
            if world.chance(2) {
                from = from.crc64(crc64::checksum(&data[..start as usize]));
            }
            world.planned.1 = start;
            Span::After(from.proven())
        }
        _ => Span::ALL,
    }
}

/// How a schedule has ended.
async fn run(seed: u64, tells: bool) -> &'static str {
    fastrand::seed(seed);
    let mut world = World {
        rng: fastrand::Rng::with_seed(seed),
        states: Vec::new(),
        lives: 0,
        compressed: false,
        failures: 0,
        hopeless: None,
        changes: false,
        told: None,
        headers: None,
        span: Span::ALL,
        planned: (1, 0),
        has_checksum: false,
        hidden: false,
        fatal: false,
        requests: 0,
        tells,
    };
    world.failures = match world.chance(10) {
        true => 0,
        false => world.rng.u32(..12),
    };
    world.hopeless = match world.chance(20) {
        true => Some(world.rng.u32(1..5)),
        false => None,
    };
    world.changes = world.chance(2);
    world.compressed = world.chance(3);
    let object = world.object();
    world.states.push(Some(object));
    let span = span(&mut world);
    world.span = span;
    let mut pauses = fastrand::Rng::with_seed(!seed);
    let source = Simulated(Arc::new(Mutex::new(world)));

    let object = ObjectPath::new("bucket", "object").unwrap();
    let mut rules = Rules::default();
    rules.attempt_timeout = ATTEMPT_TIMEOUT;
    rules.delivery_timeout = DELIVERY_TIMEOUT;
    let manner = Manner {
        counters: Arc::new(Counters::new(&object, &Arc::new(Events::of_reader()))),
        rules: Arc::new(rules),
        object,
    };
    let ahead = ReadAhead {
        parts: pauses.usize(1..4),
        part_size: pauses.u64(1..20),
    };
    let compressed = source.0.locked().compressed;
    let mut reading = Reading::new(source.clone(), manner, span, ahead);
    let (mut given, mut range) = (Vec::new(), None);
    let read = async {
        let (_, found) = poll_fn(|cx| reading.poll_open(cx)).await?;
        let start = found.start;
        range = Some(found);
        assert_eq!(reading.compares(), source.0.locked().has_checksum);
        let mut content = match compressed {
            true => {
                let object = ObjectPath::new("bucket", "object").unwrap();
                let content = Decompressing::new(reading, object, start);
                Content::Decompressed(Box::new(content))
            }
            false => Content::Stored(Box::new(reading)),
        };
        loop {
            if pauses.u32(..16) == 0 {
                tokio::time::sleep(2 * DELIVERY_TIMEOUT).await;
            }
            match poll_fn(|cx| content.poll_piece(cx)).await? {
                Some(piece) => {
                    assert!(!piece.bytes.is_empty());
                    given.extend_from_slice(&piece.bytes);
                    if let Some(position) = piece.position {
                        source.0.locked().check_position(start, position, &given);
                    }
                }
                None => return Ok::<(), Error>(()),
            }
        }
    };
    let read = read.await;
    let world = source.0.locked();
    if tells {
        println!("{read:?}, {given:?} of {:?}", world.told);
    }
    let stored = range.map_or(&[][..], |range| world.stored(range));
    let held = compressed.then(|| Held::by(stored));
    match read {
        Ok(()) => {
            let right = match &held {
                Some(held) => &held.content[..],
                None => stored,
            };
            assert!(given == right, "wrong and silent: {given:?}, not {right:?}");
            assert!(held.is_none_or(|held| held.whole), "cut and silent");
            "read"
        }
        Err(error) => {
            let begun = match &held {
                Some(held) => held.begins_with(&given),
                None => stored.starts_with(&given),
            };
            assert!(begun || world.hidden, "wrong before: {error:?}");
            let whole = held.is_none_or(|held| held.whole);
            let is_right = match error.kind() {
                ErrorKind::Decompression { .. } => !whole || world.hidden,
                _ => world.fatal || world.hopeless.is_some() || is_bad_range(&error),
            };
            assert!(is_right, "{error:?}");
            error.kind().name()
        }
    }
}

/// The range begins at the end of an object that has just become known.
fn is_bad_range(error: &Error) -> bool {
    error
        .service_error()
        .is_some_and(|answer| answer.status == 416)
}

fn from_env(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

#[test]
fn the_bytes_are_right_or_there_is_an_error() {
    let schedules = from_env("OSS_APPEND_READER_SCHEDULES", 100_000);
    let first = from_env("OSS_APPEND_SEED", 1);
    let ends: Vec<_> = std::thread::scope(|scope| {
        let threads = [0, 1].map(|thread| {
            scope.spawn(move || {
                let seeds = (first..first + schedules).filter(|seed| (seed - first) % 2 == thread);
                run_all(seeds, schedules == 1)
            })
        });
        threads.map(|thread| thread.join()).into_iter().collect()
    });
    let mut ended = BTreeMap::new();
    for ends in ends {
        for (end, count) in ends.expect("a schedule has failed; its seed is above") {
            *ended.entry(end).or_insert(0) += count;
        }
    }
    println!("{ended:?}");
    if schedules >= 10_000 {
        for (end, least) in [
            ("read", schedules / 2),
            ("conflict", schedules / 50),
            ("decompression", schedules / 100),
            ("read_differs", schedules / 50),
            ("retries_exhausted", schedules / 100),
        ] {
            assert!(ended.get(end) >= Some(&least), "{end}: {ended:?}");
        }
    }
}

fn run_all(seeds: impl Iterator<Item = u64>, tells: bool) -> BTreeMap<&'static str, u64> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let _inline = Inline::new();
    let runtime = builder.enable_time().start_paused(true).build().unwrap();
    let mut ended = BTreeMap::new();
    for seed in seeds {
        let reproduce = Reproduce(seed);
        *ended.entry(runtime.block_on(run(seed, tells))).or_insert(0) += 1;
        drop(reproduce);
    }
    ended
}

/// Says how a schedule is repeated, if it fails.
struct Reproduce(u64);

impl Drop for Reproduce {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "reproduce: OSS_APPEND_SEED={} OSS_APPEND_READER_SCHEDULES=1 cargo test --lib \
                 reader::simulation -- --nocapture",
                self.0
            );
        }
    }
}
