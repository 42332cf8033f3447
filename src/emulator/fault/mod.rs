//! Faults: rules that make the server fail on purpose, exactly where and as often as they say.

mod grammar;

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;

use super::operation::Operation;

use crate::values::locks::MutexExt;

/// A rule: which requests fail, how often, and in which way.
///
/// A rule counts only requests that are well-formed and authorised. By default it strikes the
/// first of them and is then used up; see [`skip`](Fault::skip), [`times`](Fault::times),
/// [`forever`](Fault::forever) and [`probability`](Fault::probability). Of several rules that
/// match a request, the one injected first strikes.
///
/// It can be [parsed](Fault#impl-FromStr-for-Fault) from the form that `oss-append emulator
/// --fault` takes, see [`GRAMMAR`](Fault::GRAMMAR).
///
/// ```
/// use oss_append::emulator::{Action, Fault, Operation};
///
/// // The fourth and fifth append are applied, and their answers lost.
/// let fault = Fault::new(Operation::AppendObject, Action::DropAnswer).skip(3).times(2);
/// assert_eq!(fault, "append:drop-answer,skip=3,times=2".parse()?);
/// # Ok::<(), oss_append::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    operation: Option<Operation>,
    key: Option<String>,
    skip: u64,
    times: Option<u64>,
    chance: Option<Chance>,
    action: Action,
}

#[derive(Clone, Debug, PartialEq)]
struct Chance {
    probability: f64,
    seed: u64,
}

/// What a [`Fault`] does to a request.
///
/// "Applied" means that the request has its effect, if its own conditions hold: a faulty append at
/// a wrong position is refused as any other.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Action {
    /// Receive the request, close the connection, apply nothing.
    Drop,
    /// Apply the request and close the connection without an answer.
    DropAnswer,
    /// Close the connection without an answer, and apply the request later.
    ApplyLate(Late),
    /// Receive the request and wait for [`release`](super::Emulator::release); then go on as usual.
    Hold,
    /// Apply the request and wait for [`release`](super::Emulator::release) before the answer.
    HoldAnswer,
    /// Answer with an error, apply nothing.
    Error(ErrorAnswer),
    /// Apply the request, then answer with an error.
    ErrorAfter(ErrorAnswer),
    /// Append these bytes to the object just before the request is applied.
    ForeignBefore(Bytes),
    /// Append these bytes to the object just after the request is applied, before the answer.
    ForeignAfter(Bytes),
    /// Put the object, if it is there, under [retention](super::Emulator::retain) just before the
    /// request is applied.
    Retain,
    /// Apply the request, and answer with a CRC-64 that is wrong.
    WrongCrc,
    /// Apply the request, and answer without a CRC-64.
    NoCrc,
    /// Apply the request, and answer with a next position that is one too large.
    WrongPosition,
    /// Apply the request, and answer without a next position.
    NoPosition,
    /// Apply only this many bytes of the append's body, and close the connection.
    Torn(u64),
    /// Reset the connection once this many bytes of the body have been received; apply nothing.
    ResetBody(u64),
    /// Receive the request and never answer; apply nothing.
    Stall,
    /// Apply the request and never answer.
    StallAnswer,
    /// Apply the request and close the connection after this many bytes of the answer.
    Truncate(u64),
    /// Answer 502 with an HTML page, as a proxy would; apply nothing.
    BadGateway,
    /// Apply the request, and answer 502 with an HTML page.
    BadGatewayAfter,
    /// Answer 307 with this `Location`; apply nothing.
    Redirect(String),
    /// Wait this long before the request is applied.
    Delay(Duration),
    /// Answer 504 with an HTML page at once, as a proxy does that waits no longer; keep the
    /// connection, and apply the request later. Requests behind it may be applied before it.
    GatewayTimeout(Late),
    /// Apply the request, and answer with `Connection: close`.
    Close(Rest),
    /// Answer with an error before the body is read, and close the connection without announcing
    /// it; apply nothing, neither of this request nor of those behind it. A server that works
    /// [at once](super::Pipelining::AtOnce) may have begun these if the body is small.
    RefuseEarly(ErrorAnswer),
    /// Answer 408 and close the connection, as for a body that does not come; apply nothing. The
    /// answer goes ahead of those that are still owed, which are then lost, while their requests
    /// are applied. A server owes some only if it works
    /// [at once](super::Pipelining::AtOnce).
    RequestTimeout,
}

/// What becomes of the requests that were sent behind one whose answer announces that the
/// connection is [closed](Action::Close).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rest {
    /// They are dropped: the connection is closed behind the answer. A server that works
    /// [at once](super::Pipelining::AtOnce) has started some already, and these are applied.
    Drop,
    /// They are applied and never answered: the connection is closed behind the answer for one
    /// direction only, and read to its end.
    Apply,
    /// Those that have come by then are applied and answered on the same connection, which is
    /// closed behind the last of them.
    Answer,
}

/// When a request is applied that the server did not wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Late {
    /// This long after it was received.
    After(Duration),
    /// In the next [`release`](super::Emulator::release).
    Release,
}

/// An error answer to give.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ErrorAnswer {
    /// The HTTP status, from 300 to 599.
    pub status: u16,
    /// The code in the error document.
    pub code: String,
    /// The value of `Retry-After`, in whole seconds.
    pub retry_after: Option<Duration>,
    /// The value of `x-oss-qos-delay-time`, in milliseconds.
    pub qos_delay: Option<Duration>,
}

impl ErrorAnswer {
    /// An error with this status, and OSS's usual code for it.
    pub fn new(status: u16) -> Self {
        let code = match status {
            400 => "BadRequest",
            403 => "AccessDenied",
            404 => "NoSuchKey",
            409 => "OperationAborted",
            429 => "TooManyRequests",
            503 => "ServiceUnavailable",
            _ => "InternalError",
        };
        Self {
            status,
            code: code.into(),
            retry_after: None,
            qos_delay: None,
        }
    }

    /// Sets the code.
    #[must_use]
    pub fn code(mut self, code: impl Into<String>) -> Self {
        self.code = code.into();
        self
    }

    /// Sets `Retry-After`.
    #[must_use]
    pub fn retry_after(mut self, delay: Duration) -> Self {
        self.retry_after = Some(delay);
        self
    }

    /// Sets `x-oss-qos-delay-time`.
    #[must_use]
    pub fn qos_delay(mut self, delay: Duration) -> Self {
        self.qos_delay = Some(delay);
        self
    }
}

impl Fault {
    /// A rule that strikes the next request for `operation`, once.
    pub fn new(operation: Operation, action: Action) -> Self {
        Self {
            operation: Some(operation),
            ..Self::on_any(action)
        }
    }

    /// A rule that strikes the next request for any operation, once.
    pub fn on_any(action: Action) -> Self {
        Self {
            operation: None,
            key: None,
            skip: 0,
            times: Some(1),
            chance: None,
            action,
        }
    }

    /// Only requests for this key count.
    #[must_use]
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Lets the first `requests` that match go through. Default: 0.
    #[must_use]
    pub fn skip(mut self, requests: u64) -> Self {
        self.skip = requests;
        self
    }

    /// Strikes this many times. Default: once.
    #[must_use]
    pub fn times(mut self, times: u64) -> Self {
        self.times = Some(times);
        self
    }

    /// Strikes again and again.
    #[must_use]
    pub fn forever(mut self) -> Self {
        self.times = None;
        self
    }

    /// Strikes each matching request with this probability (0 to 1), by random numbers from
    /// `seed`. Strikes again and again, unless [`times`](Fault::times) is set after it.
    #[must_use]
    pub fn probability(mut self, probability: f64, seed: u64) -> Self {
        self.chance = Some(Chance { probability, seed });
        self.forever()
    }

    /// What it is about, in short.
    fn summary(&self) -> String {
        let operation = self.operation.map_or("any", Operation::short_name);
        let key = self.key.as_ref().map(|key| format!(" of {key}"));
        let action = self.action.name();
        format!("{operation}:{action}{}", key.unwrap_or_default())
    }

    fn matches(&self, operation: Operation, key: Option<&str>) -> bool {
        self.operation.is_none_or(|own| own == operation)
            && self.key.as_deref().is_none_or(|own| Some(own) == key)
    }
}

/// The rules of a running server. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    rules: Arc<Mutex<Vec<Rule>>>,
}

#[derive(Debug)]
struct Rule {
    fault: Fault,
    random: fastrand::Rng,
    skipped: u64,
    struck: u64,
    /// It strikes nothing for now.
    off: bool,
}

/// A rule as people see it.
#[derive(Debug, serde::Serialize)]
pub(super) struct ShownFault {
    rule: String,
    on: bool,
    struck: u64,
    used_up: bool,
}

impl Faults {
    /// Adds a rule behind those that are there.
    pub fn inject(&self, fault: Fault) {
        let seed = fault.chance.as_ref().map_or(0, |chance| chance.seed);
        self.lock().push(Rule {
            fault,
            random: fastrand::Rng::with_seed(seed),
            skipped: 0,
            struck: 0,
            off: false,
        });
    }

    /// All rules.
    pub(super) fn shown(&self) -> Vec<ShownFault> {
        let rules = self.lock();
        let shown = rules.iter().map(|rule| ShownFault {
            rule: rule.fault.summary(),
            on: !rule.off,
            struck: rule.struck,
            used_up: rule.used_up(),
        });
        shown.collect()
    }

    /// Lets a rule strike, or not. Nothing happens if there is no such rule any more.
    pub(super) fn switch(&self, number: usize, on: bool) {
        if let Some(rule) = self.lock().get_mut(number) {
            rule.off = !on;
        }
    }

    /// Removes all rules.
    pub fn clear(&self) {
        // The bytes of a fault may have an owner that asks the server when it is dropped.
        let rules = std::mem::take(&mut *self.lock());
        drop(rules);
    }

    /// How many rules are not used up.
    pub fn pending(&self) -> usize {
        self.lock().iter().filter(|rule| !rule.used_up()).count()
    }

    /// How often any of the rules has struck.
    pub fn struck(&self) -> u64 {
        self.lock().iter().map(|rule| rule.struck).sum()
    }

    /// The action that strikes this request, if any.
    pub(super) fn strike(&self, operation: Operation, key: Option<&str>) -> Option<Action> {
        self.lock()
            .iter_mut()
            .filter(|rule| rule.fault.matches(operation, key))
            .find_map(|rule| rule.turn())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Rule>> {
        self.rules.locked()
    }
}

impl Rule {
    fn used_up(&self) -> bool {
        self.fault.times.is_some_and(|times| self.struck >= times)
    }

    /// Counts a matching request and says what strikes it.
    fn turn(&mut self) -> Option<Action> {
        if self.off || self.used_up() {
            return None;
        }
        if self.skipped < self.fault.skip {
            self.skipped += 1;
            return None;
        }
        if let Some(chance) = &self.fault.chance
            && self.random.f64() >= chance.probability
        {
            return None;
        }
        self.struck += 1;
        Some(self.fault.action.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strikes(faults: &Faults, requests: usize) -> String {
        (0..requests)
            .map(
                |_| match faults.strike(Operation::AppendObject, Some("k")) {
                    Some(Action::Drop) => 'd',
                    Some(_) => 'x',
                    None => '.',
                },
            )
            .collect()
    }

    #[test]
    fn a_rule_skips_then_strikes_then_is_used_up() {
        let faults = Faults::default();
        faults.inject(
            Fault::new(Operation::AppendObject, Action::Drop)
                .skip(2)
                .times(2),
        );
        assert_eq!(strikes(&faults, 6), "..dd..");
        assert_eq!((faults.pending(), faults.struck()), (0, 2));
    }

    #[test]
    fn a_rule_that_is_off_neither_strikes_nor_counts() {
        let faults = Faults::default();
        faults.inject(Fault::on_any(Action::Drop).key("k").times(2));
        assert_eq!(strikes(&faults, 1), "d");
        faults.switch(0, false);
        assert_eq!(strikes(&faults, 3), "...");
        faults.switch(0, true);
        faults.switch(7, true);
        assert_eq!(strikes(&faults, 3), "d..");
        let shown = &faults.shown()[0];
        assert_eq!((&*shown.rule, shown.struck), ("any:drop of k", 2));
    }

    #[test]
    fn the_first_rule_that_matches_strikes() {
        let faults = Faults::default();
        faults.inject(Fault::new(Operation::HeadObject, Action::Stall));
        faults.inject(Fault::on_any(Action::Stall).key("other"));
        faults.inject(Fault::on_any(Action::Drop));
        faults.inject(Fault::on_any(Action::Stall).forever());
        assert_eq!(strikes(&faults, 3), "dxx");
    }

    #[test]
    fn chance_repeats_by_its_seed() {
        let run = |seed| {
            let faults = Faults::default();
            faults.inject(Fault::on_any(Action::Drop).probability(0.5, seed));
            strikes(&faults, 64)
        };
        assert_eq!(run(7), run(7));
        assert_ne!(run(7), run(8));
    }
}
