//! Runs the engine's actions against a store: the only place where an appender waits.

use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::future::join;
use futures::stream::BoxStream;
use tokio::time::Instant;

use super::ObjectAppender;
use super::attempt::{Timekeeper, attempt};
use super::options::AppenderOptions;
use super::stats::Counters;
use super::wait::wait;
use crate::engine::budget::{Trip, Wait};
use crate::engine::flush::Time;
use crate::engine::machine::{Action, Engine, Event, Finished, Goal, Mark};
use crate::engine::settle::shown;
use crate::error::{Error, Result, TransportCause};
use crate::store::AppendStore;
use crate::store::options::ObjectOptions;
use crate::store::request::{AppendAnswer, AppendRequest};
use crate::values::batch::{Batch, Sum};
use crate::values::progress::Progress;

/// A range of the object that is being read.
struct Reading {
    body: BoxStream<'static, Result<Bytes>>,
    progress: Progress,
}

impl<S: AppendStore> ObjectAppender<S> {
    /// Works until the goal is achieved, or cannot be.
    pub(super) async fn run(&mut self, goal: Goal) -> Result<Finished> {
        let (store, object) = (&self.store, self.engine.object().clone());
        let mut runner = Runner {
            engine: &mut self.engine,
            options: &self.options,
            counters: &self.counters,
            origin: self.origin,
        };
        runner.engine.start(goal, runner.now());
        let mut reading = None;
        loop {
            let event = match runner.next() {
                Action::Append {
                    position,
                    body,
                    creates,
                } => Event::Answered(runner.append(store, position, body, creates).await),
                Action::Head => {
                    let progress = Progress::new();
                    let looked = runner.attempt(&progress, store.head(&object));
                    Event::Looked(looked.await)
                }
                Action::Read(range) => {
                    let progress = Progress::new();
                    let body = runner.attempt(&progress, store.read_range(&object, range));
                    match body.await {
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
                    let sealed = runner.attempt(&progress, store.seal(&object, length));
                    Event::Sealed(sealed.await)
                }
                Action::Wait(for_what) => runner.wait(for_what).await,
                Action::Done(result) => {
                    let finished = runner.engine.finish();
                    return result.map(|()| finished);
                }
            };
            runner.on(event);
        }
    }
}

/// What runs actions, beside the store.
struct Runner<'a> {
    engine: &'a mut Engine,
    options: &'a AppenderOptions,
    counters: &'a Counters,
    origin: Instant,
}

impl Runner<'_> {
    fn now(&self) -> Time {
        self.origin.elapsed()
    }

    fn next(&mut self) -> Action {
        let (now, random) = (self.now(), fastrand::f64());
        let action = self.engine.next(&self.options.rules, now, random);
        self.counters.count(self.engine.told());
        action
    }

    fn on(&mut self, event: Event) {
        let now = self.now();
        self.engine.on(&self.options.rules, event, now);
        self.counters.count(self.engine.told());
    }

    async fn wait(&self, Wait { own, asked }: Wait) -> Event {
        if let Some(gate) = self.options.gate.as_ref().filter(|_| !asked.is_zero()) {
            gate.give_back();
        }
        let end = wait(own, asked, &self.options.ending).await;
        Event::Waited(end.saturating_duration_since(self.origin))
    }

    async fn append(
        &mut self,
        store: &impl AppendStore,
        position: u64,
        body: Batch,
        creates: bool,
    ) -> Result<AppendAnswer> {
        let progress = Progress::new();
        let mark = self.engine.mark();
        let request = AppendRequest {
            object: self.engine.object().clone(),
            position,
            body: body.clone(),
            create: creates.then(|| created_with(&self.options.create, mark)),
            options: self.options.request.clone(),
            progress: progress.clone(),
        };
        let append = async {
            // The answer cannot be judged without the checksum, but the bytes can be sent.
            let (outcome, ()) = join(store.append(request), sum_up(&body)).await;
            outcome
        };
        self.attempt(&progress, append).await
    }

    async fn read_on(&mut self, reading: &mut Reading) -> Result<Bytes> {
        let Reading { body, progress } = reading;
        let next = async { body.next().await.unwrap_or_else(|| Err(shrunk())) };
        let chunk = self.attempt(progress, next).await?;
        progress.advance(chunk.len() as u64);
        Ok(chunk)
    }

    /// Runs one request, giving it up when nothing moves any more.
    async fn attempt<T>(
        &mut self,
        progress: &Progress,
        request: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let (options, counters) = (self.options, self.counters);
        attempt(self, options, counters, progress, request).await
    }
}

impl Timekeeper for Runner<'_> {
    fn origin(&self) -> Instant {
        self.origin
    }

    fn queued(&mut self, waited: Duration) {
        self.on(Event::Queued(waited));
    }

    fn patience(&mut self, now: Time) -> Duration {
        self.engine.patience(&self.options.rules, now)
    }

    fn ended(&mut self, trip: Trip) {
        self.on(Event::Ended(trip));
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
