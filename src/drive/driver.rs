//! The engine of one object with the store that it works on.
//!
//! The window of bytes to be appended is elsewhere, and is passed to each call: an
//! [`ObjectAppender`](super::ObjectAppender) has its own, and that of a writer is with its handles.

use std::sync::Arc;

use super::beginning::Inspector;
use super::intent::{Intent, Packed};
use super::options::AppenderOptions;
use super::stats::Counters;
use super::window::WindowAccess;
use crate::engine::action::{Finished, Goal};
use crate::engine::flush::Time;
use crate::engine::machine::{Engine, Moment};
use crate::engine::replay::Ended;
use crate::engine::window::Window;
use crate::error::{Error, Result};
use crate::store::AppendStore;
use crate::values::batch::Batch;
use crate::values::path::ObjectPath;
use crate::values::position::{ObjectPosition, StreamPosition};

#[derive(Debug)]
pub(crate) struct Driver<S> {
    pub(super) store: S,
    pub(super) options: Arc<AppenderOptions>,
    pub(super) counters: Arc<Counters>,
    pub(super) engine: Engine,
}

impl<S: AppendStore> Driver<S> {
    pub(crate) fn object(&self) -> &ObjectPath {
        self.engine.object()
    }

    /// The position of the next append.
    pub(crate) fn position(&self) -> ObjectPosition {
        self.engine.given().position
    }

    /// The most appends that are under way at a time.
    pub(crate) fn max_in_flight(&self) -> u16 {
        self.options.rules.most_in_flight()
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    pub(crate) fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    pub(super) fn inspector(&self) -> Inspector<'_, S> {
        Inspector {
            store: &self.store,
            object: self.engine.object(),
            options: &self.options,
            counters: &self.counters,
        }
    }

    pub(crate) fn now(&self) -> Time {
        self.options.origin.elapsed()
    }

    /// Lets the engine decide.
    fn decide<R>(
        &mut self,
        window: &mut impl WindowAccess,
        decide: impl FnOnce(&mut Moment<'_>) -> R,
    ) -> R {
        let now = self.now();
        let (engine, rules) = (&mut self.engine, &self.options.rules);
        window.with(|window| decide(&mut engine.at(window, rules, now)))
    }

    /// Has it kept what the next bytes of `window` are meant for, before they are sent. `number` and
    /// `time` say which object of a sequence this is.
    pub(crate) async fn intend(
        &self,
        window: &mut impl WindowAccess,
        number: Option<u64>,
        time: Option<i64>,
    ) -> Result<()> {
        let Some(intents) = &self.options.intents else {
            return Ok(());
        };
        let proven = self.engine.given();
        let next = window.with(|window| {
            // A part of what was compressed stays what it was meant for.
            let first = window.first().filter(|first| !first.is_torn())?;
            let packed = first.packed_whole().map(|(given, stored)| Packed {
                given,
                stored: stored.len(),
                crc64: proven.after(stored).crc,
            });
            Some((window.settled(), packed))
        });
        let Some((settled, packed)) = next else {
            return Ok(());
        };
        let intent = Intent {
            settled,
            object: self.object().clone(),
            proven,
            packed,
            number,
            time,
        };
        intents.keep(intent).await
    }

    /// Has it kept that everything before `settled` was found to be durable, and that what comes from
    /// there on is meant for this object.
    pub(crate) async fn found(
        &self,
        settled: StreamPosition,
        number: Option<u64>,
        time: Option<i64>,
    ) -> Result<()> {
        let Some(intents) = &self.options.intents else {
            return Ok(());
        };
        let intent = Intent {
            settled,
            object: self.object().clone(),
            proven: self.engine.given(),
            packed: None,
            number,
            time,
        };
        intents.keep(intent).await
    }

    /// How many bytes the object has that a replay has to compare yet.
    pub(crate) fn left_to_replay(&self) -> Option<u64> {
        self.engine.left_to_replay()
    }

    /// Ends the comparison of a replay, if the object has this checksum.
    pub(crate) fn pass_replay(&mut self, crc64: Option<u64>) -> bool {
        self.engine.pass_replay(crc64)
    }

    /// Refuses a batch that is longer than one append may be.
    pub(super) fn check_append(&self, batch: &Batch) -> Result<()> {
        match self.options.rules.limits().max_append {
            Some(most) if batch.len() > most => Err(Error::invalid_input(format!(
                "an append of {} bytes is longer than the store takes at once, {most}",
                batch.len()
            ))
            .with_operation("append")
            .with_object(self.object())),
            _ => Ok(()),
        }
    }

    /// Finds out the fate of all flights in the window: appends what is not in the object yet.
    pub(crate) async fn settle(&mut self, window: &mut impl WindowAccess) -> Result<Finished> {
        if let Some(error) = self.engine.failed() {
            return Err(error.clone());
        }
        if window.with(|window| window.first().is_none()) {
            return Ok(Finished::default());
        }
        self.sum_up(window).await;
        self.run(Goal::Settle, window).await
    }

    /// Proves what a replay has only compared.
    pub(crate) async fn verify(&mut self, window: &mut impl WindowAccess) -> Result<()> {
        self.settle(window).await?;
        self.run(Goal::Verify, window).await.map(drop)
    }

    /// Reads back what was only compared, once and although the engine has failed, so that as much
    /// as possible of it is known to be durable.
    pub(crate) async fn prove_compared(&mut self, window: &mut impl WindowAccess) {
        if self.engine.lag() > 0 {
            let _ = self.run(Goal::Prove, window).await;
        }
    }

    /// Ends a replay, if there is one: the object must end where the written bytes do, and be what
    /// is known of it.
    pub(crate) async fn end_replay(&mut self, window: &mut impl WindowAccess) -> Result<()> {
        self.settle(window).await?;
        let Some(length) = self.engine.replayed() else {
            return Ok(());
        };
        // An append of the predecessor may have landed since the object was opened.
        let seen = match self.run(Goal::Look(length), window).await {
            Ok(looked) => looked.seen.map(|seen| *seen),
            Err(error) => return Err(self.fail(error, window)),
        };
        let ended = self.decide(window, |moment| moment.end_replay(seen));
        match ended {
            Ended::Well(more) => {
                self.counters.durable(more);
                Ok(())
            }
            Ended::Verify => self.verify(window).await,
            Ended::Badly(error) => Err(self.fail(error, window)),
        }
    }

    fn fail(&mut self, error: Error, window: &mut impl WindowAccess) -> Error {
        let error = self.decide(window, |moment| moment.failure(error, None));
        self.counters.error(&error);
        error
    }

    /// Seals the object at its present length, of which everything is settled.
    pub(crate) async fn seal(&mut self) -> Result<()> {
        match self.engine.exists() {
            // What waits in a writer's window may be for another object.
            true => self.run(Goal::Seal, &mut Window::default()).await.map(drop),
            false => Ok(()),
        }
    }

    /// Takes a failure back: the next call goes on with what is in the window.
    #[cfg(feature = "rolling")]
    pub(crate) fn resume(&mut self, window: &mut impl WindowAccess) {
        self.decide(window, |moment| moment.resume());
    }
}
