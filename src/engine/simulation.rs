//! Random schedules for the engine alone: no runtime, no store, no clock. A world in a few bytes
//! answers each action, loses requests and answers, lets them arrive late, shows old states, and has
//! others who append, seal, remove and replace.
//!
//! Whatever happens, a batch is in the object at most once; if it was told to be durable it is there,
//! if it was told not to be there it never comes.
//!
//! | variable | meaning | default |
//! |---|---|---|
//! | `OSS_APPEND_ENGINE_SCHEDULES` | how many schedules each of the two tests runs | 110,000 |
//! | `OSS_APPEND_SEED` | the first seed | 1 |

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;

use super::action::{Action, Event, Goal};
use super::budget::Trip;
use super::fit::Fit;
use super::flush::Time;
use super::machine::Engine;
use super::mark::{Mark, shown};
use super::replay::Ended;
use super::rules::Rules;
use super::window::Window;
use crate::error::{Error, Landed, ServiceError, TransportCause};
use crate::store::request::AppendAnswer;
use crate::values::batch::Batch;
use crate::values::crc64;
use crate::values::info::ObjectInfo;
use crate::values::path::ObjectPath;
use crate::values::position::ObjectPosition;
use crate::values::proven::Proven;

/// What nobody of ours writes.
const FOREIGN: u8 = b'~';

/// More actions than any goal needs.
const MOST_ACTIONS: usize = 2_000;

#[derive(Clone, Default)]
struct Object {
    data: Vec<u8>,
    creator: Option<String>,
    sealed: bool,
}

impl Object {
    fn info(&self) -> ObjectInfo {
        let length = self.data.len() as u64;
        ObjectInfo {
            sealed: self.sealed,
            creator: self.creator.clone(),
            ..ObjectInfo::appendable(length, Some(crc64::checksum(&self.data)))
        }
    }
}

/// An append on its way.
#[derive(Clone)]
struct Sent {
    position: u64,
    body: Batch,
    mark: Option<Mark>,
}

struct World {
    rng: fastrand::Rng,
    now: Time,
    object: Option<Object>,
    /// What it was before its last change.
    before: Option<Object>,
    /// Requests that have not arrived yet.
    late: Vec<Sent>,
    /// Requests on one connection, which are carried out and answered one after the other, and the
    /// answers of those that were carried out before their turn.
    lane: VecDeque<(Sent, Option<Result<AppendAnswer, Error>>)>,
    /// The connection is broken: nobody answers what is left on it.
    lane_broken: bool,
    /// All that is written, while the object can be nothing but a beginning of it.
    stream: Option<Vec<u8>>,
    /// How much may go wrong yet.
    faults: u8,
    /// No request is answered any more.
    dead: bool,
    /// How often others have destroyed the content, and how often they had when something was proven
    /// last. A proof in the middle of that is none that can be checked.
    destroyed: u32,
    proven: Option<u32>,
    /// The parts of a batch were proven before and after that.
    mixed: bool,
    /// The last look has shown what was before.
    shown_old: bool,
    /// What others have appended that is ours as well.
    copies: Vec<Vec<u8>>,
    /// What is being appended.
    ours: Vec<u8>,
    /// Of some append nobody knows whether it was applied: from then on equal bytes are taken for ours.
    unknown: bool,
    shared: bool,
    /// How much fits in an append changes all the time.
    cuts: bool,
}

fn broken() -> Error {
    Error::transport(TransportCause::Broken, "reset")
}

fn service(status: u16, code: &str) -> Error {
    Error::service(ServiceError::new(status, code))
}

impl World {
    /// Whether something goes wrong now.
    fn fault(&mut self) -> bool {
        let wrong = self.faults > 0 && self.rng.u8(..4) == 0;
        self.faults -= u8::from(wrong);
        wrong
    }

    /// Does what OSS does.
    fn apply(&mut self, sent: &Sent) -> Result<AppendAnswer, Error> {
        let length = self.object.as_ref().map_or(0, |object| object.data.len());
        if self.object.as_ref().is_some_and(|object| object.sealed) {
            return Err(service(409, "AppendSealedObjectNotAllowed"));
        }
        if sent.position != length as u64 {
            let mut refusal = ServiceError::new(409, "PositionNotEqualToLength");
            refusal.next_append_position = Some(length as u64);
            return Err(Error::service(refusal));
        }
        self.before = self.object.clone();
        let object = self.object.get_or_insert_with(|| Object {
            creator: sent.mark.map(shown),
            ..Object::default()
        });
        for piece in sent.body.chunks() {
            object.data.extend_from_slice(piece);
        }
        if let Some(stream) = &self.stream {
            assert!(stream.starts_with(&object.data), "{:?}", object.data);
        }
        let next = object.data.len() as u64;
        Ok(AppendAnswer::new(next, crc64::checksum(&object.data)))
    }

    /// Answers the first append on the lane.
    fn answer(&mut self) -> Result<AppendAnswer, Error> {
        if !self.lane_broken && self.lane.len() > 1 && self.fault() {
            self.unknown = true;
            let other = self.rng.usize(1..self.lane.len());
            match self.rng.u8(..4) {
                // All are begun at once, and some other is done first.
                0 | 1 => self.carry_out(other),
                // Their answers are exchanged.
                2 => {
                    self.carry_out(0);
                    self.carry_out(other);
                    let first = self.lane[0].1.take();
                    self.lane[0].1 = std::mem::replace(&mut self.lane[other].1, first);
                }
                // A later one is refused ahead of the first, and the connection closed.
                _ => {
                    self.carry_out(0);
                    self.lane_broken = true;
                    self.lane.pop_front();
                    return Err(service(408, ""));
                }
            }
        }
        let Some((sent, done)) = self.lane.pop_front() else {
            return Err(broken());
        };
        if self.lane_broken {
            // It was dropped, or carried out and not answered, or is on its way yet.
            match self.rng.u8(..3) {
                0 => {}
                1 => {
                    let _ = self.apply(&sent);
                }
                _ => self.late.push(sent),
            }
            return Err(broken());
        }
        let answer = match done {
            Some(answer) => answer,
            None => self.append(sent),
        };
        let broke = answer.as_ref().err();
        self.lane_broken = broke.is_some_and(|error| error.service_error().is_none());
        answer
    }

    /// Carries out a request on the lane, unless it has been.
    fn carry_out(&mut self, number: usize) {
        if self.lane[number].1.is_none() {
            let sent = self.lane[number].0.clone();
            self.lane[number].1 = Some(self.apply(&sent));
        }
    }

    fn append(&mut self, sent: Sent) -> Result<AppendAnswer, Error> {
        if self.dead {
            return Err(broken());
        }
        if !self.fault() {
            return self.apply(&sent);
        }
        self.unknown = true;
        match self.rng.u8(..12) {
            0 | 1 => Err(broken()),
            2 | 3 => {
                let _ = self.apply(&sent);
                Err(broken())
            }
            4 | 5 => {
                self.late.push(sent);
                Err(broken())
            }
            6 => Err(service(403, "AccessDenied")),
            7 => {
                if self.rng.bool() {
                    let _ = self.apply(&sent);
                }
                let code = ["", "InternalError"][self.rng.usize(..2)];
                let status = [403, 503][self.rng.usize(..2)];
                Err(match (status, code) {
                    (403, _) => service(403, ""),
                    (_, code) => service(503, code),
                })
            }
            8 => self.apply(&sent).map(|answer| AppendAnswer {
                crc64: None,
                ..answer
            }),
            9 => Err(Error::transport(TransportCause::Connect, "refused")),
            10 => {
                // A byte is changed on its way.
                self.stream = None;
                let mut changed: Vec<u8> = sent.body.chunks().concat();
                let at = self.rng.usize(..changed.len());
                changed[at] ^= 0x80;
                let body = Batch::from(changed);
                self.apply(&Sent { body, ..sent })
            }
            _ if self.shared => Err(broken()),
            _ => {
                let torn = self.rng.u64(..=sent.body.len());
                let body = sent.body.prefix(torn);
                if torn > 0 {
                    let _ = self.apply(&Sent { body, ..sent });
                }
                Err(broken())
            }
        }
    }

    fn look(&mut self) -> Result<Option<ObjectInfo>, Error> {
        if self.dead {
            return Err(broken());
        }
        self.shown_old = false;
        if self.fault() {
            match self.rng.u8(..3) {
                0 => return Err(broken()),
                1 => return Err(service(403, "AccessDenied")),
                _ => {
                    self.shown_old = true;
                    return Ok(self.before.as_ref().map(Object::info));
                }
            }
        }
        Ok(self.object.as_ref().map(Object::info))
    }

    /// What happens without us.
    fn pass(&mut self, took: Duration) {
        self.now += took;
        if !self.late.is_empty() && self.rng.u8(..4) == 0 {
            let index = self.rng.usize(..self.late.len());
            let sent = self.late.swap_remove(index);
            let _ = self.apply(&sent);
        }
        if self.faults == 0 || self.rng.u8(..24) > 0 {
            return;
        }
        self.faults -= 1;
        self.before = self.object.clone();
        self.stream = None;
        match self.rng.u8(..8) {
            0..4 => {
                let len = self.rng.usize(1..6);
                // In a shared object others may say the same as we.
                let same = self.shared && !self.ours.is_empty() && self.rng.bool();
                let object = self.object.get_or_insert_with(Object::default);
                if object.sealed {
                    return;
                }
                match same {
                    true => {
                        object.data.extend_from_slice(&self.ours);
                        self.copies.push(self.ours.clone());
                    }
                    false => object.data.extend(std::iter::repeat_n(FOREIGN, len)),
                }
            }
            4 | 5 => {
                if let Some(object) = &mut self.object {
                    object.sealed = true;
                }
            }
            6 => {
                self.destroyed += u32::from(self.object.is_some());
                self.object = None;
            }
            _ => {
                if let Some(object) = &mut self.object {
                    self.destroyed += 1;
                    let len = match self.rng.bool() {
                        true => object.data.len(),
                        false => self.rng.usize(..=object.data.len()),
                    };
                    *object = Object {
                        data: vec![FOREIGN; len],
                        ..Object::default()
                    };
                }
            }
        }
    }

    /// Works on the goal; `None` if it was given up.
    fn work(&mut self, writer: &mut Writer, rules: &Rules, goal: Goal) -> Option<Worked> {
        let Writer { engine, window } = writer;
        engine.at(window, rules, self.now).start(goal);
        let mut reading = Bytes::new();
        let mut read_at = None;
        for _ in 0..MOST_ACTIONS {
            self.pass(Duration::from_millis(1));
            if self.cuts && self.rng.bool() {
                window.fit = Fit::of(self.rng.u32(1..8));
            }
            let action = engine.at(window, rules, self.now).next(self.rng.f64());
            let _ = engine.told();
            let gives_up = self.fault() && self.rng.u8(..4) == 0;
            let (event, moved) = match action {
                Action::Append {
                    position,
                    body,
                    creates,
                } => {
                    let mark = engine.mark().filter(|_| creates);
                    let moved = body.len();
                    let sent = Sent {
                        position: position.bytes(),
                        body,
                        mark,
                    };
                    if rules.max_in_flight == 1 {
                        (Event::Answered(self.append(sent)), moved)
                    } else {
                        if self.lane.is_empty() {
                            self.lane_broken = false;
                        }
                        self.lane.push_back((sent, None));
                        continue;
                    }
                }
                Action::Await => (Event::Answered(self.answer()), 0),
                Action::Head => (Event::Looked(self.look()), 0),
                Action::Read(range) => {
                    let data = self.object.as_ref().map_or(&[][..], |object| &object.data);
                    let end = data.len().min(range.end.bytes() as usize);
                    let start = end.min(range.start.bytes() as usize);
                    reading = Bytes::copy_from_slice(&data[start..end]);
                    read_at = Some(self.destroyed);
                    (Event::Read(self.read(&mut reading)), 0)
                }
                Action::ReadOn => (Event::Read(self.read(&mut reading)), 0),
                Action::Seal(_) => unreachable!("nobody asks for that"),
                Action::Wait(wait) => {
                    if gives_up {
                        self.hang_up();
                        engine.at(window, rules, self.now).on(Event::Dropped);
                        return None;
                    }
                    let end = self.now + wait.own.max(wait.asked);
                    self.pass(end - self.now);
                    engine.at(window, rules, self.now).on(Event::Waited(end));
                    continue;
                }
                Action::Done(result) => {
                    self.hang_up();
                    let seen = engine.finish().seen.map(|seen| *seen);
                    return Some(Worked { result, seen });
                }
            };
            if gives_up {
                self.unknown = true;
                self.hang_up();
                engine.at(window, rules, self.now).on(Event::Dropped);
                return None;
            }
            let trip = Trip {
                began: self.now,
                moved,
                last_moved: self.now,
                patience: engine.at(window, rules, self.now).patience(),
            };
            let mut moment = engine.at(window, rules, self.now);
            moment.on(Event::Ended(trip));
            moment.on(event);
            drop(window.take_settled());
            if engine.told().durable > 0 {
                let sound = !self.shown_old && read_at.is_none_or(|at| at == self.destroyed);
                // A part that was not proven soundly is not by what is proven behind it.
                self.mixed |= !sound || self.proven.is_some_and(|proven| proven != self.destroyed);
                self.proven = sound.then_some(self.destroyed);
            }
        }
        panic!("it goes on without end");
    }

    /// Nobody waits for answers any more.
    fn hang_up(&mut self) {
        self.lane_broken = true;
        while !self.lane.is_empty() {
            let _ = self.answer();
        }
    }

    fn read(&mut self, left: &mut Bytes) -> Result<Bytes, Error> {
        if left.is_empty() || self.dead || self.fault() {
            return Err(broken());
        }
        let len = self.rng.usize(1..=left.len());
        Ok(left.split_to(len))
    }
}

/// One life of a writer: what it knows of the object, and what it has to append.
struct Writer {
    engine: Engine,
    window: Window,
}

struct Worked {
    result: Result<(), Error>,
    seen: Option<ObjectInfo>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Nothing,
    Durable,
    Missing,
}

/// The bytes of batch `number`, which are nowhere else.
fn bytes(number: usize, len: usize) -> Vec<u8> {
    (0..len).map(|at| (1 + number * 8 + at) as u8).collect()
}

/// How often `own` is in `data`.
fn occurrences(data: &[u8], own: &[u8]) -> usize {
    data.windows(own.len())
        .filter(|window| *window == own)
        .count()
}

struct Schedule {
    world: World,
    rules: Rules,
    object: ObjectPath,
    batches: Vec<Vec<u8>>,
    told: Vec<Told>,
    /// How often the content had been destroyed when each was proven.
    proven: Vec<Option<u32>>,
}

impl Schedule {
    fn new(seed: u64, object: &ObjectPath) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let shared = rng.u8(..4) == 0;
        let max_in_flight = [1, rng.u16(2..9)][rng.usize(..2)];
        let batches: Vec<_> = (0..rng.usize(1..4 + usize::from(max_in_flight > 1) * 4))
            .map(|number| bytes(number, rng.usize(1..8)))
            .collect();
        let world = World {
            faults: rng.u8(..7),
            dead: rng.u8(..64) == 0,
            now: Duration::ZERO,
            object: None,
            before: None,
            late: Vec::new(),
            lane: VecDeque::new(),
            lane_broken: false,
            stream: (!shared).then(|| batches.concat()),
            destroyed: 0,
            proven: None,
            mixed: false,
            shown_old: false,
            copies: Vec::new(),
            ours: Vec::new(),
            unknown: false,
            shared,
            cuts: rng.u8(..3) == 0,
            rng,
        };
        Self {
            world,
            rules: Rules {
                shared,
                max_in_flight,
                ..Rules::default()
            },
            object: object.clone(),
            told: vec![Told::Nothing; batches.len()],
            proven: vec![None; batches.len()],
            batches,
        }
    }

    fn writer(&mut self) -> Writer {
        let mark = self.world.rng.u128(..).to_be_bytes();
        Writer {
            engine: Engine::new(self.object.clone(), Some(mark)),
            window: Window::default(),
        }
    }

    /// Opens the object and appends all batches, until that fails or the process ends.
    fn write(&mut self) {
        let mut writer = self.writer();
        let Some(looked) = self.world.work(
            &mut writer,
            &self.rules,
            Goal::Look(ObjectPosition::default()),
        ) else {
            return;
        };
        if looked.result.is_err() || looked.seen.as_ref().is_some_and(|seen| seen.sealed) {
            return;
        }
        writer.engine.opened(looked.seen, None);
        if self.rules.max_in_flight > 1 {
            return self.write_ahead(writer);
        }
        for number in 0..self.batches.len() {
            let batch = Batch::from(self.batches[number].clone());
            self.world.ours.clone_from(&self.batches[number]);
            (self.world.proven, self.world.mixed) = (None, false);
            writer.window.offer(batch, self.world.now);
            self.told[number] = self.settle(&mut writer);
            self.proven[number] = self.world.proven.filter(|_| !self.world.mixed);
            if writer.engine.failed().is_some() || self.world.rng.u8(..32) == 0 {
                return;
            }
        }
    }

    /// Appends all batches, several of them at a time.
    fn write_ahead(&mut self, mut writer: Writer) {
        for batch in &self.batches {
            writer
                .window
                .offer(Batch::from(batch.clone()), self.world.now);
        }
        (self.world.proven, self.world.mixed) = (None, false);
        let destroyed = self.world.destroyed;
        let told = self.settle(&mut writer);
        // They were proven one after the other, and others may have destroyed the first meanwhile.
        let sound = !self.world.mixed && self.world.destroyed == destroyed;
        let proven = self.world.proven.filter(|_| sound);
        let settled = writer.window.settled().bytes() as usize;
        let in_doubt = writer.window.is_in_doubt();
        assert!(told != Told::Missing || !in_doubt);
        let rest = match in_doubt {
            true => Told::Nothing,
            false => Told::Missing,
        };
        let mut end = 0;
        for (number, batch) in self.batches.iter().enumerate() {
            end += batch.len();
            self.proven[number] = proven;
            self.told[number] = match end <= settled {
                true => Told::Durable,
                false => rest,
            };
        }
    }

    /// Settles the pending batch, if need be by several goals.
    fn settle(&mut self, writer: &mut Writer) -> Told {
        let mut resumed = 0;
        loop {
            if writer.window.first().is_none() {
                return Told::Durable;
            }
            let error = match self.world.work(writer, &self.rules, Goal::Settle) {
                // A dropped future: the next call goes on with it.
                None => continue,
                Some(Worked { result: Ok(()), .. }) => return Told::Durable,
                Some(Worked {
                    result: Err(error), ..
                }) => error,
            };
            if resumed < 2 && self.world.rng.bool() {
                resumed += 1;
                let Writer { engine, window } = &mut *writer;
                engine.at(window, &self.rules, self.world.now).resume();
                continue;
            }
            // Its beginning may have been destroyed before its end was found.
            self.world.proven = None;
            return match error.landed() {
                Some(Landed::Yes) => Told::Durable,
                Some(Landed::No) => Told::Missing,
                _ => Told::Nothing,
            };
        }
    }

    /// Writes everything again from the beginning on, cut in another way.
    fn replay(&mut self) {
        let mut writer = self.writer();
        let Some(looked) = self.world.work(
            &mut writer,
            &self.rules,
            Goal::Look(ObjectPosition::default()),
        ) else {
            return;
        };
        if looked.result.is_err() {
            return;
        }
        writer.engine.opened(looked.seen, Some(Proven::EMPTY));
        let text = self.batches.concat();
        let len = self.world.rng.usize(1..10);
        for piece in text.chunks(len) {
            writer
                .window
                .offer(Batch::from(piece.to_vec()), self.world.now);
            if self.settle(&mut writer) != Told::Durable {
                return self.replayed(&writer.engine);
            }
        }
        let Some(length) = writer.engine.replayed() else {
            return self.replayed(&writer.engine);
        };
        let Some(looked) = self
            .world
            .work(&mut writer, &self.rules, Goal::Look(length))
        else {
            return;
        };
        let Writer { engine, window } = &mut writer;
        let mut moment = engine.at(window, &self.rules, self.world.now);
        if looked.result.is_ok() && matches!(moment.end_replay(looked.seen), Ended::Verify) {
            let _ = self.world.work(&mut writer, &self.rules, Goal::Verify);
        }
        self.replayed(&writer.engine);
    }

    /// A replay has ended: up to here it is proven.
    fn replayed(&mut self, engine: &Engine) {
        let durable = engine.durable_position().bytes() as usize;
        // Each part was proven at another time.
        self.proven.fill(None);
        let mut end = 0;
        for (batch, told) in self.batches.iter().zip(&mut self.told) {
            end += batch.len();
            if end <= durable {
                *told = Told::Durable;
            } else if *told == Told::Missing {
                // It was written again.
                *told = Told::Nothing;
            }
        }
    }

    fn run(&mut self) -> Result<(), String> {
        self.write();
        if !self.rules.shared && self.world.rng.bool() {
            self.replay();
        }
        for sent in std::mem::take(&mut self.world.late) {
            let _ = self.world.apply(&sent);
        }
        let destroyed = self.world.destroyed;
        let data = self.world.object.take().unwrap_or_default().data;
        let told = self.told.iter().zip(&self.proven);
        for (batch, (told, proven)) in self.batches.iter().zip(told) {
            let copies = self.world.copies.iter().filter(|copy| *copy == batch);
            let most = 1 + copies.count();
            let there = occurrences(&data, batch);
            let right = match told {
                // What is on its way may create again what others have removed.
                Told::Nothing | Told::Missing if destroyed > 0 => true,
                Told::Durable if *proven != Some(destroyed) && destroyed > 0 => true,
                Told::Nothing => there <= most,
                Told::Durable if destroyed > 0 => there >= 1,
                Told::Durable if self.world.unknown => (1..=most).contains(&there),
                Told::Durable => there == most,
                Told::Missing => there < most,
            };
            if !right {
                return Err(format!(
                    "{batch:?} was told {told:?} and is {there} times in {data:?}"
                ));
            }
        }
        Ok(())
    }
}

fn from_env(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(number) => number.parse().expect(name),
        Err(_) => default,
    }
}

/// Runs every other schedule.
fn run(first: u64) {
    let object = ObjectPath::new("bucket", "object").unwrap();
    let seed = from_env("OSS_APPEND_SEED", 1);
    let count = from_env("OSS_APPEND_ENGINE_SCHEDULES", 110_000);
    for seed in (seed + first..).step_by(2).take(count as usize) {
        let mut schedule = Schedule::new(seed, &object);
        if let Err(wrong) = schedule.run() {
            panic!("seed {seed}: {wrong}");
        }
    }
}

// Two, so that two processors share them.

#[test]
fn a_batch_is_there_as_it_was_told() {
    run(0);
}

#[test]
fn a_batch_is_there_as_it_was_told_in_other_schedules() {
    run(1);
}
