//! Requests that are sent again until they are answered, for whoever has no appender.

use std::future::Future;
use std::sync::Arc;

use tokio::time::{Instant, sleep};

use super::events::Events;
use super::stats::{Counters, Hope};
use crate::engine::budget::{Budget, MAX_ASKED, asked};
use crate::engine::flush::Time;
use crate::engine::rules::Rules;
use crate::error::Result;
use crate::values::path::ObjectPath;

/// How patiently is asked, and who is told of failures.
#[derive(Debug)]
pub(crate) struct Again {
    rules: Rules,
    counters: Counters,
}

impl Again {
    /// For requests about `object` and others of the same bucket.
    pub(crate) fn new(object: &ObjectPath, rules: Rules, events: &Arc<Events>) -> Self {
        Self {
            counters: Counters::new(object, events),
            rules,
        }
    }

    /// Sends a request about `object` until it is answered, for as long as the delivery timeout says.
    /// It must be safe to repeat.
    pub(crate) async fn ask<T, F>(
        &self,
        object: &ObjectPath,
        mut request: impl FnMut() -> F,
    ) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        let origin = Instant::now();
        let mut budget = Budget::new(Time::ZERO);
        loop {
            let error = match request().await {
                Ok(answer) => {
                    self.counters.succeeded(object, false);
                    return Ok(answer);
                }
                Err(error) => error,
            };
            let now = origin.elapsed();
            let (failure, asked) = (error.clone(), asked(&error));
            let paused = budget.pause(&self.rules, error, asked, fastrand::f64(), now);
            let paused = paused.map_err(|error| error.with_object(object));
            let paused = self.counters.told(object, paused)?;
            let hope = Hope::to_read(budget.left(&self.rules, now));
            self.counters.failed(object, &failure, hope);
            if let Some(wait) = paused {
                sleep(wait.own.max(wait.asked.min(MAX_ASKED))).await;
            }
        }
    }
}
