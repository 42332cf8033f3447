//! The caller of an engine and the store, both by hand.

use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;

use super::super::action::{Action, Event, Goal};
use super::super::budget::Trip;
use super::super::flush::Time;
use super::super::machine::{Engine, Moment};
use super::super::replay::Ended;
use super::super::rules::Rules;
use super::super::window::{NotDurable, Window};
use super::{MARK, answer, broken, object};
use crate::error::{Error, ErrorKind, Landed};
use crate::store::request::AppendAnswer;
use crate::values::batch::Batch;
use crate::values::info::ObjectInfo;
use crate::values::path::ObjectPath;
use crate::values::position::StreamPosition;
use crate::values::proven::Proven;

/// The caller and the store in one, about one object.
pub(super) struct Row {
    pub(super) engine: Engine,
    pub(super) window: Window,
    pub(super) rules: Rules,
    pub(super) now: Time,
    /// How many bytes were told to be durable, by the engine or by the end of a replay.
    told: u64,
    /// Whether what is stored is as long as what was given.
    is_plain: bool,
}

/// The situation.
impl Row {
    pub(super) fn opened(seen: Option<ObjectInfo>, replay: Option<Proven>) -> Self {
        let path = ObjectPath::new("bucket", "object").unwrap();
        let mut engine = Engine::new(path, Some(MARK));
        engine.opened(seen, replay);
        let window = Window::new(engine.proven(), replay.is_some());
        Self {
            engine,
            window,
            rules: Rules::default(),
            now: Time::ZERO,
            told: 0,
            is_plain: true,
        }
    }

    /// The object holds this.
    pub(super) fn on(content: &str) -> Self {
        Self::opened(Some(object(content)), None)
    }

    /// There is no object yet.
    pub(super) fn on_nothing() -> Self {
        Self::opened(None, None)
    }

    /// The object holds this, and is written again from its beginning.
    pub(super) fn replaying(content: &str) -> Self {
        Self::opened(Some(object(content)), Some(Proven::EMPTY))
    }

    /// Others append to the object too.
    pub(super) fn shared(self) -> Self {
        self.with(|rules| rules.shared = true)
    }

    /// So many appends may be under way at a time.
    pub(super) fn ahead(self, appends: u16) -> Self {
        self.with(|rules| rules.max_in_flight = appends)
    }

    pub(super) fn with(mut self, change: impl FnOnce(&mut Rules)) -> Self {
        change(&mut self.rules);
        self
    }

    /// `world` is being appended to `hello `.
    pub(super) fn sent() -> Self {
        Self::on("hello ").sends()
    }

    pub(super) fn sends(self) -> Self {
        self.settles("world").appends(6, "world")
    }

    /// `world` was appended to `hello `, the answer was lost, and the object is looked at.
    pub(super) fn lost() -> Self {
        Self::on("hello ").loses()
    }

    pub(super) fn loses(self) -> Self {
        self.sends().append_fails(broken()).looks()
    }

    /// The answer to the append that creates an object with `batch` was lost, and it is looked for.
    pub(super) fn lost_while_creating(batch: &str) -> Self {
        Self::on_nothing()
            .settles(batch)
            .creates(batch)
            .append_fails(broken())
            .looks()
    }

    /// The same as `lost`, and since the look shows nothing, it is being appended again.
    pub(super) fn sent_again() -> Self {
        Self::on("hello ").sends_again()
    }

    pub(super) fn sends_again(self) -> Self {
        self.loses().shows("hello ").waits(100).appends(6, "world")
    }
}

/// What the caller does.
impl Row {
    pub(super) fn moment(&mut self) -> Moment<'_> {
        self.engine.at(&mut self.window, &self.rules, self.now)
    }

    pub(super) fn offers(mut self, batch: &str) -> Self {
        self.window.offer(Batch::from(batch.to_owned()), self.now);
        self
    }

    /// The first batch was compressed to this.
    pub(super) fn packs(mut self, stored: &str) -> Self {
        self.window.pack(Batch::from(stored.to_owned()));
        self.is_plain = false;
        self
    }

    pub(super) fn starts(mut self, goal: Goal) -> Self {
        self.moment().start(goal);
        self.checked()
    }

    pub(super) fn settles(self, batch: &str) -> Self {
        self.offers(batch).starts(Goal::Settle)
    }

    pub(super) fn resumes(mut self) -> Self {
        self.moment().resume();
        self.starts(Goal::Settle)
    }

    /// Goes on in another object, which is not there yet.
    pub(super) fn rolls(mut self) -> Self {
        self.window.release();
        self.engine = Self::on_nothing().engine;
        self.starts(Goal::Settle)
    }

    pub(super) fn passes(mut self, time: Duration) -> Self {
        self.now += time;
        self
    }

    /// The replay ends with a look that has shown this.
    pub(super) fn ends_replay(mut self, seen: Option<ObjectInfo>) -> (Self, Ended) {
        let ended = self.moment().end_replay(seen);
        if let Ended::Well(more) = ended {
            self.told += more;
        }
        (self.checked(), ended)
    }
}

/// What the engine wants done next.
impl Row {
    /// The next action. Waits are as long as they may be.
    pub(super) fn next(&mut self) -> Action {
        let action = self.moment().next(1.0);
        self.check();
        action
    }

    #[track_caller]
    fn appends_or_creates(mut self, at: u64, text: &str, is_new: bool) -> Self {
        match self.next() {
            Action::Append {
                position,
                body,
                creates,
            } => {
                let body = String::from_utf8(body.chunks().concat()).unwrap();
                assert_eq!((position.bytes(), &*body, creates), (at, text, is_new));
            }
            other => panic!("{other:?}"),
        }
        self
    }

    #[track_caller]
    pub(super) fn appends(self, at: u64, text: &str) -> Self {
        self.appends_or_creates(at, text, false)
    }

    #[track_caller]
    pub(super) fn creates(self, text: &str) -> Self {
        self.appends_or_creates(0, text, true)
    }

    #[track_caller]
    pub(super) fn awaits(mut self) -> Self {
        match self.next() {
            Action::Await => self,
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    pub(super) fn looks(mut self) -> Self {
        match self.next() {
            Action::Head => self,
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    pub(super) fn reads(mut self, range: Range<u64>) -> Self {
        match self.next() {
            Action::Read(read) => assert_eq!(read.start.bytes()..read.end.bytes(), range),
            other => panic!("{other:?}"),
        }
        self
    }

    #[track_caller]
    pub(super) fn reads_on(mut self) -> Self {
        match self.next() {
            Action::ReadOn => self,
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    pub(super) fn seals(mut self, at: u64) -> Self {
        match self.next() {
            Action::Seal(end) => assert_eq!(end.bytes(), at),
            other => panic!("{other:?}"),
        }
        self
    }

    /// A wait begins, and nothing is told about its end.
    #[track_caller]
    pub(super) fn waits_on(mut self) -> Self {
        match self.next() {
            Action::Wait(_) => self,
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    pub(super) fn waits_for(mut self, own: Duration, asked: Duration) -> Self {
        match self.next() {
            Action::Wait(wait) => assert_eq!((wait.own, wait.asked), (own, asked)),
            other => panic!("{other:?}"),
        }
        self.now += own.max(asked);
        let end = self.now;
        self.on_event(Event::Waited(end))
    }

    /// Waits so many milliseconds, for reasons of its own.
    #[track_caller]
    pub(super) fn waits(self, millis: u64) -> Self {
        self.waits_for(Duration::from_millis(millis), Duration::ZERO)
    }

    /// Waits for no other reason than that OSS has asked for it.
    #[track_caller]
    pub(super) fn waits_as_asked(self, asked: Duration) -> Self {
        self.waits_for(Duration::ZERO, asked)
    }

    #[track_caller]
    pub(super) fn succeeds(mut self) -> Self {
        match self.next() {
            Action::Done(Ok(())) => self,
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    pub(super) fn failure(&mut self) -> Error {
        match self.next() {
            Action::Done(Err(error)) => error,
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    pub(super) fn fails(mut self, kind: ErrorKind, landed: impl Into<Option<Landed>>) -> Self {
        let error = self.failure();
        assert_eq!((error.kind(), error.landed()), (&kind, landed.into()));
        self
    }
}

/// What happens.
impl Row {
    pub(super) fn on_event(mut self, event: Event) -> Self {
        self.moment().on(event);
        self.checked()
    }

    /// The append was answered: the object holds this.
    pub(super) fn answered(self, content: &str) -> Self {
        self.answers(answer(content))
    }

    pub(super) fn answers(self, answer: AppendAnswer) -> Self {
        self.on_event(Event::Answered(Ok(answer)))
    }

    pub(super) fn append_fails(self, error: Error) -> Self {
        self.on_event(Event::Answered(Err(error)))
    }

    /// The look shows an object that holds this.
    pub(super) fn shows(self, content: &str) -> Self {
        self.shows_object(object(content))
    }

    pub(super) fn shows_object(self, seen: ObjectInfo) -> Self {
        self.on_event(Event::Looked(Ok(Some(seen))))
    }

    pub(super) fn shows_nothing(self) -> Self {
        self.on_event(Event::Looked(Ok(None)))
    }

    pub(super) fn look_fails(self, error: Error) -> Self {
        self.on_event(Event::Looked(Err(error)))
    }

    /// The read brings this.
    pub(super) fn brings(self, part: &str) -> Self {
        self.on_event(Event::Read(Ok(Bytes::from(part.to_owned()))))
    }

    pub(super) fn read_fails(self, error: Error) -> Self {
        self.on_event(Event::Read(Err(error)))
    }

    pub(super) fn seal_is_answered(self) -> Self {
        self.on_event(Event::Sealed(Ok(())))
    }

    pub(super) fn seal_fails(self, error: Error) -> Self {
        self.on_event(Event::Sealed(Err(error)))
    }

    /// The request that was sent at `began` has ended, having moved so many bytes by `last_moved`.
    pub(super) fn ended(self, began: Time, moved: u64, last_moved: Time) -> Self {
        let patience = self.rules.attempt_timeout;
        self.on_event(Event::Ended(Trip {
            began,
            moved,
            last_moved,
            patience,
        }))
    }

    pub(super) fn dropped(self) -> Self {
        self.on_event(Event::Dropped)
    }
}

/// What is true afterwards.
impl Row {
    fn checked(mut self) -> Self {
        self.check();
        self
    }

    #[track_caller]
    fn check(&mut self) {
        self.told += self.engine.told().durable;
        let window = &self.window;
        assert!(window.accepted() >= window.issued(), "{window:?}");
        assert!(window.issued() >= window.settled(), "{window:?}");
        assert!(window.settled() >= window.durable(), "{window:?}");
        if self.is_plain {
            assert_eq!(window.durable(), StreamPosition::new(self.told));
        }
    }

    /// So many bytes of the stream are settled, and all of them are durable.
    #[track_caller]
    pub(super) fn has_durable(self, bytes: u64) -> Self {
        self.has_settled_and_durable(bytes, bytes)
    }

    /// So many bytes of the stream are settled, and only so many of them are durable.
    #[track_caller]
    pub(super) fn has_settled_and_durable(self, settled: u64, durable: u64) -> Self {
        let window = &self.window;
        let found = (window.settled().bytes(), window.durable().bytes());
        assert_eq!(found, (settled, durable));
        self
    }

    /// The runs of bytes that were settled since this was asked last: where each begins in the
    /// stream and in the object, and its length.
    #[track_caller]
    pub(super) fn has_placed(mut self, runs: &[(u64, u64, u64)]) -> Self {
        let settled = self.window.take_settled();
        let found = settled.iter().map(|run| {
            let place = &run.place;
            (run.start.bytes(), place.position.bytes(), place.len)
        });
        assert_eq!(found.collect::<Vec<_>>(), runs);
        self
    }

    /// What is not durable, after whatever has failed.
    pub(super) fn taken(mut self) -> NotDurable {
        let landed = self.engine.failed().and_then(Error::landed);
        self.window.take_not_durable(Vec::new(), landed)
    }

    /// This text is not durable, and its first `in_doubt` bytes are in doubt.
    #[track_caller]
    pub(super) fn gives_back(self, text: &str, in_doubt: u64) {
        let settled = self.window.settled();
        let taken = self.taken();
        let found = String::from_utf8(taken.chunks.concat()).unwrap();
        assert_eq!((taken.start, &*found), (settled, text));
        assert_eq!(taken.in_doubt, in_doubt);
    }

    /// Everything that was accepted is durable.
    #[track_caller]
    pub(super) fn keeps_nothing(self) {
        let accepted = self.window.accepted().bytes();
        self.has_durable(accepted).gives_back("", 0);
    }
}
