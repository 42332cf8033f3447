//! Questions to the store that are asked until there is an answer.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use tokio::time::Instant;

use super::attempt::{Timekeeper, attempt};
use super::options::AppenderOptions;
use super::stats::{Counters, Hope};
use super::wait::wait;
use crate::engine::budget::{Budget, Trip, Wait, asked};
use crate::engine::flush::Time;
use crate::error::{Error, Result};
use crate::values::path::ObjectPath;
use crate::values::progress::Progress;

/// Asks about `object`, or a sequence of them, until there is an answer, as patiently as for an
/// append.
pub(crate) async fn ask<T, F>(
    object: &ObjectPath,
    options: &AppenderOptions,
    counters: &Counters,
    mut request: impl FnMut() -> F,
) -> Result<T>
where
    F: Future<Output = Result<T>>,
{
    let mut question = Asking {
        origin: Instant::now(),
        budget: Budget::new(Time::ZERO),
        options,
    };
    loop {
        let progress = Progress::new();
        let request = pin!(request());
        match attempt(&mut question, options, counters, &progress, request).await {
            Ok(answer) => {
                counters.succeeded(object, false);
                return Ok(answer);
            }
            Err(error) => question.pause(object, counters, error).await?,
        }
    }
}

struct Asking<'a> {
    origin: Instant,
    budget: Budget,
    options: &'a AppenderOptions,
}

impl Asking<'_> {
    async fn pause(
        &mut self,
        object: &ObjectPath,
        counters: &Counters,
        error: Error,
    ) -> Result<()> {
        counters.error(&error);
        let (rules, now) = (&self.options.rules, self.origin.elapsed());
        let (failure, asked) = (error.clone(), asked(&error));
        let paused = (self.budget).pause(rules, error, asked, fastrand::f64(), now)?;
        let left = self.budget.left(rules, now);
        let hope = Hope {
            delivering: false,
            gives_up_in: (!self.options.keeps_trying).then_some(left),
            buffered: None,
            is_kept: false,
        };
        counters.failed(object, &failure, hope);
        if let Some(Wait { own, asked }) = paused {
            let end = wait(own, asked, &self.options.ending).await;
            let end = end.saturating_duration_since(self.origin);
            self.budget.ended_at(end, self.origin.elapsed());
        }
        Ok(())
    }
}

impl Timekeeper for Asking<'_> {
    fn origin(&self) -> Instant {
        self.origin
    }

    fn queued(&mut self, waited: Duration) {
        self.budget.queued(waited);
    }

    fn patience(&mut self) -> Duration {
        self.budget
            .patience(&self.options.rules, self.origin.elapsed())
    }

    fn ended(&mut self, trip: Trip) {
        self.budget.ended(trip, self.origin.elapsed());
    }
}
