//! Whether what is behind an endpoint takes pipelined requests.
//!
//! Some servers and proxies carry such requests out of order, answer them in another, or close the
//! connection on them. Nothing is lost by that, since the object tells what has landed, but each time
//! costs more than pipelining gains. So a client that has seen it several times, with requests that
//! went well one at a time in between, sends one at a time for some minutes, and tries again then.
//!
//! A connection that breaks once is no such case, nor is an outage, a limit of requests a connection,
//! or a close after a refusal.

use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;
use tracing::dispatcher::{self, Dispatch};

use crate::values::locks::MutexExt as _;

/// How often it has to go wrong, without a success of requests that were sent together in between.
const MOST_STRIKES: u32 = 3;

/// How often another order has to be seen. Successes in between say nothing: the order is another only
/// where one request takes longer than the next.
const MOST_MISORDERED: u32 = 2;

/// How long requests are sent one at a time then.
pub(super) const REST: Duration = Duration::from_secs(300);

/// A connection that has answered so many requests ends for other reasons.
pub(super) const MANY_ANSWERS: u64 = 16;

#[derive(Debug)]
pub(super) struct Pipelining {
    state: Mutex<State>,
    /// Who listened when the client was made: what writers do is logged nowhere.
    listener: Dispatch,
}

impl Default for Pipelining {
    fn default() -> Self {
        Self {
            state: Mutex::default(),
            listener: dispatcher::get_default(Dispatch::clone),
        }
    }
}

#[derive(Debug, Default)]
struct State {
    strikes: u32,
    misordered: u32,
    /// Nothing has gone well since it last went wrong.
    is_down: bool,
    rests_until: Option<Instant>,
}

impl Pipelining {
    /// Whether requests are to be sent one at a time now.
    pub(super) fn rests(&self) -> bool {
        let mut state = self.state.locked();
        let now = Instant::now();
        if state.rests_until.is_some_and(|end| end <= now) {
            // Once more is enough to rest again.
            *state = State {
                strikes: MOST_STRIKES - 1,
                misordered: MOST_MISORDERED - 1,
                ..State::default()
            };
        }
        state.rests_until.is_some()
    }

    /// A request that was sent behind an unanswered one has succeeded.
    pub(super) fn worked(&self) {
        let mut state = self.state.locked();
        (state.strikes, state.is_down) = (0, false);
    }

    /// A request has succeeded that was alone.
    pub(super) fn worked_alone(&self) {
        self.state.locked().is_down = false;
    }

    /// Requests that were sent together got no answers, as `what` says.
    pub(super) fn failed(&self, what: &str) {
        self.note(what, |state| state.strikes += 1);
    }

    /// Requests that were sent together were carried out or answered in another order.
    pub(super) fn misordered(&self, what: &str) {
        self.note(what, |state| state.misordered += 1);
    }

    fn note(&self, what: &str, count: impl FnOnce(&mut State)) {
        let mut state = self.state.locked();
        if std::mem::replace(&mut state.is_down, true) || state.rests_until.is_some() {
            return;
        }
        count(&mut state);
        if state.strikes < MOST_STRIKES && state.misordered < MOST_MISORDERED {
            return;
        }
        state.rests_until = Instant::now().checked_add(REST);
        drop(state);
        dispatcher::with_default(&self.listener, || {
            tracing::warn!(
                target: "oss_append::delivery",
                reason = what,
                "several appends at a time do not get through, and one does: it is one at a time for \
                 {} s",
                REST.as_secs()
            );
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tracing::Metadata;
    use tracing::span::{Attributes, Id, Record};

    use super::*;

    fn fail(pipelining: &Pipelining) {
        pipelining.failed("a test");
        pipelining.worked_alone();
    }

    /// Counts events.
    struct Listener(Arc<AtomicUsize>);

    impl tracing::Subscriber for Listener {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }

        fn new_span(&self, _: &Attributes<'_>) -> Id {
            Id::from_u64(1)
        }

        fn record(&self, _: &Id, _: &Record<'_>) {}

        fn record_follows_from(&self, _: &Id, _: &Id) {}

        fn event(&self, event: &tracing::Event<'_>) {
            if event.metadata().target() == "oss_append::delivery" {
                self.0.fetch_add(1, Ordering::Relaxed);
            }
        }

        fn enter(&self, _: &Id) {}

        fn exit(&self, _: &Id) {}
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_listened_when_it_was_made_is_told_once() {
        let told = Arc::new(AtomicUsize::new(0));
        let listener = Dispatch::new(Listener(Arc::clone(&told)));
        let pipelining = dispatcher::with_default(&listener, Pipelining::default);
        for _ in 0..10 {
            fail(&pipelining);
        }
        assert_eq!(told.load(Ordering::Relaxed), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn after_three_failures_it_rests_and_then_tries_once() {
        let pipelining = Pipelining::default();
        for _ in 0..3 {
            assert!(!pipelining.rests());
            fail(&pipelining);
        }
        assert!(pipelining.rests());
        tokio::time::advance(REST).await;
        assert!(!pipelining.rests());
        fail(&pipelining);
        assert!(pipelining.rests());
        tokio::time::advance(REST).await;
        assert!(!pipelining.rests());
        pipelining.worked();
        fail(&pipelining);
        fail(&pipelining);
        assert!(!pipelining.rests());
    }

    #[tokio::test(start_paused = true)]
    async fn another_order_is_not_made_good_by_a_success() {
        let pipelining = Pipelining::default();
        pipelining.misordered("a test");
        pipelining.worked();
        assert!(!pipelining.rests());
        pipelining.misordered("a test");
        assert!(pipelining.rests());
    }

    #[tokio::test(start_paused = true)]
    async fn an_outage_is_one_failure() {
        let pipelining = Pipelining::default();
        for _ in 0..10 {
            pipelining.failed("a test");
        }
        assert!(!pipelining.rests());
    }
}
