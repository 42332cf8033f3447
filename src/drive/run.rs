//! Runs the engine's actions against a store: the only place where an appender waits.

use std::future::{Future, poll_fn};
use std::ops::Range;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::future::{BoxFuture, join};
use futures::stream::{BoxStream, FuturesOrdered};
use tokio::time::Instant;

use super::attempt::{Timekeeper, attempt};
use super::beginning::Inspector;
use super::driver::Driver;
use super::options::AppenderOptions;
use super::stats::{Counters, Hope};
use super::wait::wait;
use super::window::WindowAccess;
use crate::engine::action::{Action, Event, Finished, Goal};
use crate::engine::beginning::Beginning;
use crate::engine::budget::{Trip, Wait};
use crate::engine::flush::Time;
use crate::engine::machine::{Engine, Moment};
use crate::engine::mark::{Mark, shown};
use crate::error::{Error, Landed, Result, TransportCause};
use crate::store::AppendStore;
use crate::store::lane::Lane;
use crate::store::options::ObjectOptions;
use crate::store::request::{AppendAnswer, AppendRequest};
use crate::values::batch::{Batch, Sum};
use crate::values::position::ObjectPosition;
use crate::values::progress::Progress;

/// A range of the object that is being read.
struct Reading {
    body: BoxStream<'static, Result<Bytes>>,
    progress: Progress,
}

impl<S: AppendStore> Driver<S> {
    /// Works until the goal is achieved, or cannot be.
    pub(super) async fn run(
        &mut self,
        goal: Goal,
        window: &mut impl WindowAccess,
    ) -> Result<Finished> {
        let (store, object) = (&self.store, self.engine.object().clone());
        let mut runner = Runner {
            engine: &mut self.engine,
            window,
            options: &self.options,
            counters: &self.counters,
            sent: Sent::default(),
            trip: None,
            is_over: false,
        };
        let mut action = runner.begin(goal);
        let mut reading = None;
        let mut lane = None;
        // It allocates when it is made.
        let mut flying = None;
        loop {
            let event = match action {
                Action::Append {
                    position,
                    body,
                    creates,
                } => {
                    let beginning = runner.engine.beginning;
                    if beginning != Beginning::Agrees && position > ObjectPosition::default() {
                        let inspector = Inspector {
                            store,
                            object: &object,
                            options: &self.options,
                            counters: &self.counters,
                        };
                        let follows = inspector.may_follow(beginning, position.bytes(), &body);
                        match Box::pin(follows).await {
                            Ok(beginning) => runner.engine.beginning = beginning,
                            Err(error) => {
                                let never_sent = Some(Landed::No);
                                let error =
                                    runner.decide(|moment| moment.failure(error, never_sent));
                                runner.finish();
                                return Err(error);
                            }
                        }
                    }
                    runner.pace().await;
                    if lane.is_none() && self.options.rules.most_in_flight() > 1 {
                        lane = store.lane(&object);
                        runner.counters.note_lane(lane.is_some());
                        runner.sent = Sent::default();
                    }
                    match &mut lane {
                        Some(lane) => {
                            let sent = runner.send(lane, position, body, creates);
                            (flying.get_or_insert_with(FuturesOrdered::new)).push_back(sent.end());
                            action = runner.go_on();
                            continue;
                        }
                        None => {
                            let answer = runner.append(store, position, body, creates).await;
                            if answer.is_ok() {
                                // It begins with this, or goes on from what agrees.
                                runner.engine.beginning = Beginning::Agrees;
                            }
                            Event::Answered(answer)
                        }
                    }
                }
                Action::Await => {
                    let Some((answer, trip)) = runner.answer(&mut flying).await else {
                        action = runner.go_on();
                        continue;
                    };
                    if answer.is_err() {
                        lane = None;
                    }
                    runner.trip = trip;
                    Event::Answered(answer)
                }
                Action::Head => {
                    // What comes on it from now on could be misread.
                    lane = None;
                    let progress = Progress::new();
                    let look = pin!(store.head(&object));
                    let looked = runner.attempt(&progress, look).await;
                    runner.sum_up().await;
                    Event::Looked(looked)
                }
                Action::Read(range) => {
                    let progress = Progress::new();
                    let read = pin!(store.read_range(&object, bytes(&range)));
                    match runner.attempt(&progress, read).await {
                        Ok(body) => {
                            let reading = reading.insert(Reading { body, progress });
                            Event::Read(runner.read_on(reading).await)
                        }
                        Err(error) => Event::Read(Err(error)),
                    }
                }
                Action::ReadOn => match &mut reading {
                    Some(reading) => Event::Read(runner.read_on(reading).await),
                    None => Event::Read(Err(shrunk())),
                },
                Action::Seal(length) => {
                    let progress = Progress::new();
                    let seal = pin!(store.seal(&object, length.bytes()));
                    Event::Sealed(runner.attempt(&progress, seal).await)
                }
                Action::Wait(for_what) => runner.wait(for_what).await,
                Action::Done(result) => {
                    let finished = runner.finish();
                    if result.is_ok() {
                        self.counters.succeeded(&object, false);
                    }
                    return result.map(|()| finished);
                }
            };
            action = runner.next(event);
        }
    }

    /// Computes the checksum of what is settled next, if it is needed before that is sent.
    pub(super) async fn sum_up(&self, window: &mut impl WindowAccess) {
        if self.engine.is_replaying()
            && let Some(body) = window.with(|window| window.body())
        {
            sum_up(&body).await;
        }
    }
}

/// What runs actions, beside the store. When it is dropped before its end, so was the future that
/// worked on the goal.
struct Runner<'a, W: WindowAccess> {
    engine: &'a mut Engine,
    window: &'a mut W,
    options: &'a Arc<AppenderOptions>,
    counters: &'a Arc<Counters>,
    /// What was sent on the present lane.
    sent: Sent,
    /// How the last request went by the clock, until the engine is told.
    trip: Option<Trip>,
    is_over: bool,
}

impl<W: WindowAccess> Runner<'_, W> {
    fn now(&self) -> Time {
        self.options.origin.elapsed()
    }

    /// Lets the engine decide.
    fn decide<R>(&mut self, decide: impl FnOnce(&mut Moment<'_>) -> R) -> R {
        let now = self.now();
        let (engine, rules) = (&mut *self.engine, &self.options.rules);
        let counters = &**self.counters;
        let (decided, told) = self.window.with(|window| {
            let decided = decide(&mut engine.at(window, rules, now));
            let told = engine.told();
            // Whoever sees in the window what is durable finds it counted.
            counters.count(&told);
            (decided, told)
        });
        counters.tell(self.engine.object(), told);
        decided
    }

    fn begin(&mut self, goal: Goal) -> Action {
        let random = fastrand::f64();
        self.decide(|moment| {
            moment.start(goal);
            moment.next(random)
        })
    }

    fn next(&mut self, event: Event) -> Action {
        let (trip, random) = (self.trip.take(), fastrand::f64());
        let failure = event.failure().cloned();
        let keeps_trying = self.options.keeps_trying;
        let (action, failed) = self.decide(|moment| {
            if let Some(trip) = trip {
                moment.on(Event::Ended(trip));
            }
            moment.on(event);
            let failed = failure.map(|error| {
                let delivering = moment.is_settling();
                let hope = Hope {
                    delivering,
                    gives_up_in: (!keeps_trying).then(|| moment.gives_up_in()),
                    buffered: delivering.then(|| moment.held()),
                    is_kept: false,
                };
                (error, hope)
            });
            (moment.next(random), failed)
        });
        // Only where something is tried yet: else the failure is told by who gives up.
        if let (Some((error, hope)), false) = (failed, matches!(action, Action::Done(_))) {
            self.counters.failed(self.engine.object(), &error, hope);
        }
        action
    }

    /// Decides what comes next while something is under way.
    fn go_on(&mut self) -> Action {
        let random = fastrand::f64();
        self.decide(|moment| moment.next(random))
    }

    fn finish(mut self) -> Finished {
        self.is_over = true;
        self.engine.finish()
    }

    /// Computes the checksums that a look is judged by, where no answer came before they were known.
    async fn sum_up(&mut self) {
        for body in self.window.with(|window| window.bodies()) {
            sum_up(&body).await;
        }
    }

    async fn wait(&self, Wait { own, asked }: Wait) -> Event {
        if let Some(gate) = self.options.gate.as_ref().filter(|_| !asked.is_zero()) {
            gate.give_back();
        }
        let end = wait(own, asked, &self.options.ending).await;
        Event::Waited(end.saturating_duration_since(self.options.origin))
    }

    /// Waits until the limits on appends a second let one more be sent.
    async fn pace(&mut self) {
        if let Some(gate) = &self.options.gate {
            let began = Instant::now();
            gate.pace().await;
            self.queued(began.elapsed());
        }
    }

    async fn append(
        &mut self,
        store: &impl AppendStore,
        position: ObjectPosition,
        body: Batch,
        creates: bool,
    ) -> Result<AppendAnswer> {
        let progress = Progress::new();
        let request = self.request(position, &body, creates, &progress);
        let answer = pin!(store.append(request));
        let append = pin!(answer_and_sum(answer, &body));
        self.attempt(&progress, append).await
    }

    /// Sends an append behind those that are under way.
    fn send(
        &mut self,
        lane: &mut Box<dyn Lane>,
        position: ObjectPosition,
        body: Batch,
        creates: bool,
    ) -> Sending {
        // One for all, since those behind do not move before the first.
        let progress = self.sent.progress.get_or_insert_default().clone();
        let before = self.sent.bytes;
        self.sent.bytes += body.len();
        let answer = lane.append(self.request(position, &body, creates, &progress));
        let keeper = Apart {
            origin: self.options.origin,
            patience: self.decide(|moment| moment.patience()),
            before,
            trip: None,
        };
        Sending {
            answer,
            body,
            keeper,
            options: Arc::clone(self.options),
            counters: Arc::clone(self.counters),
            progress,
        }
    }

    /// The answer to the first append that is under way. `None`: one more can be sent before.
    async fn answer<F>(&mut self, flying: &mut Option<FuturesOrdered<F>>) -> Option<Flown>
    where
        F: Future<Output = Flown>,
    {
        poll_fn(|cx| {
            if self.decide(|moment| moment.may_send_on()) {
                return Poll::Ready(None);
            }
            let flown = match flying {
                Some(flying) => ready!(flying.poll_next_unpin(cx)),
                None => None,
            };
            let lost = || Error::transport(TransportCause::Broken, "nothing is under way");
            Poll::Ready(Some(flown.unwrap_or_else(|| (Err(lost()), None))))
        })
        .await
    }

    fn request(
        &self,
        position: ObjectPosition,
        body: &Batch,
        creates: bool,
        progress: &Progress,
    ) -> AppendRequest {
        let mark = self.engine.mark();
        AppendRequest {
            object: self.engine.object().clone(),
            position: position.bytes(),
            body: body.clone(),
            create: creates.then(|| created_with(&self.options.create, mark)),
            options: self.options.request.clone(),
            progress: progress.clone(),
        }
    }

    async fn read_on(&mut self, reading: &mut Reading) -> Result<Bytes> {
        let Reading { body, progress } = reading;
        let next = pin!(async { body.next().await.unwrap_or_else(|| Err(shrunk())) });
        let chunk = self.attempt(progress, next).await?;
        progress.advance(chunk.len() as u64);
        Ok(chunk)
    }

    /// Runs one request, giving it up when nothing moves any more.
    async fn attempt<T>(
        &mut self,
        progress: &Progress,
        request: Pin<&mut impl Future<Output = Result<T>>>,
    ) -> Result<T> {
        let (options, counters) = (self.options, self.counters);
        attempt(self, options, counters, progress, request).await
    }
}

/// An append that was sent behind others has come to its end.
type Flown = (Result<AppendAnswer>, Option<Trip>);

/// An append that is sent behind others.
struct Sending {
    answer: BoxFuture<'static, Result<AppendAnswer>>,
    body: Batch,
    keeper: Apart,
    options: Arc<AppenderOptions>,
    counters: Arc<Counters>,
    progress: Progress,
}

impl Sending {
    async fn end(mut self) -> Flown {
        let append = pin!(answer_and_sum(self.answer, &self.body));
        let (options, counters) = (&self.options, &self.counters);
        let answer = attempt(&mut self.keeper, options, counters, &self.progress, append).await;
        (answer, self.keeper.trip)
    }
}

/// Keeps the time of one of several appends that are under way.
struct Apart {
    origin: Instant,
    patience: Duration,
    /// How many bytes were sent before it on its lane.
    before: u64,
    trip: Option<Trip>,
}

/// What was sent on one lane.
#[derive(Default)]
struct Sent {
    bytes: u64,
    /// How far all of it has come.
    progress: Option<Progress>,
}

impl Timekeeper for Apart {
    fn origin(&self) -> Instant {
        self.origin
    }

    fn queued(&mut self, _: Duration) {}

    fn patience(&mut self) -> Duration {
        self.patience
    }

    fn ended(&mut self, trip: Trip) {
        let moved = trip.moved.saturating_sub(self.before);
        self.trip = Some(Trip { moved, ..trip });
    }
}

/// The answer cannot be judged without the checksum, but the bytes can be sent.
async fn answer_and_sum<T>(answer: impl Future<Output = T> + Unpin, body: &Batch) -> T {
    let sum = pin!(sum_up(body));
    let (answer, ()) = join(answer, sum).await;
    answer
}

impl<W: WindowAccess> Timekeeper for Runner<'_, W> {
    fn origin(&self) -> Instant {
        self.options.origin
    }

    fn queued(&mut self, waited: Duration) {
        self.decide(|moment| moment.on(Event::Queued(waited)));
    }

    fn patience(&mut self) -> Duration {
        self.decide(|moment| moment.patience())
    }

    fn ended(&mut self, trip: Trip) {
        self.trip = Some(trip);
    }
}

impl<W: WindowAccess> Drop for Runner<'_, W> {
    fn drop(&mut self) {
        if !self.is_over {
            self.decide(|moment| moment.on(Event::Dropped));
        }
    }
}

/// The properties of a new object, with our mark.
fn created_with(options: &Arc<ObjectOptions>, mark: Option<Mark>) -> Arc<ObjectOptions> {
    let mut options = Arc::clone(options);
    if let Some(mark) = mark {
        Arc::make_mut(&mut options).mark(&shown(mark));
    }
    options
}

/// A range as it is asked for.
fn bytes(range: &Range<ObjectPosition>) -> Range<u64> {
    range.start.bytes()..range.end.bytes()
}

fn shrunk() -> Error {
    Error::transport(
        TransportCause::Broken,
        "the object ended before the range that was asked for",
    )
}

/// Computes the checksum of `batch`, a large one in turns with other tasks: that which sends it
/// comes first.
async fn sum_up(batch: &Batch) {
    let Some(mut sum) = batch.sum() else {
        return;
    };
    if batch.len() > Sum::PART as u64 {
        step_aside().await;
    }
    while !sum.add_part() {
        step_aside().await;
    }
}

/// Lets other tasks run, and another thread go on with this one meanwhile. `yield_now` of tokio
/// would leave it where it is until the task that sends has nothing more to do.
async fn step_aside() {
    let mut aside = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut aside, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
