//! Counters of an appender, readable while it works and told to the metrics.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::events::{DeliveryEvent, Events, TARGET};
use crate::engine::action::Told;
use crate::engine::recovery::is_trouble;
use crate::error::{Error, Result};
use crate::metrics;
use crate::store::ignored::IgnoredOption;
use crate::values::locks::MutexExt as _;
use crate::values::path::ObjectPath;

/// What an appender has done so far.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct AppendStats {
    /// Bytes proven to be in the object: appended, or in a replay found there.
    pub durable: u64,
    /// Appends that are proven to be in the object.
    pub appends: u64,
    /// Append requests beyond the first of each batch.
    pub retries: u64,
    /// Looks at the object to find out what happened.
    pub reconciles: u64,
    /// Requests of any sort that failed, overcome or not.
    pub failed_requests: u64,
    /// How long the current trouble has lasted: requests fail, and since the first failure no
    /// append was proven. `None` while all is well.
    pub failing: Option<Duration>,
    /// The last failure of a request, whether it was overcome or not.
    pub last_error: Option<Error>,
    /// When an append was last proven.
    pub last_success: Option<SystemTime>,
    /// Options for new objects that have no effect, since the object already existed and differs.
    pub ignored_options: Vec<IgnoredOption>,
}

#[derive(Debug)]
pub(crate) struct Counters {
    bucket: Arc<str>,
    events: Arc<Events>,
    durable: AtomicU64,
    appends: AtomicU64,
    retries: AtomicU64,
    reconciles: AtomicU64,
    /// The store sends one append at a time now.
    has_no_lane: AtomicBool,
    last: Mutex<Last>,
}

#[derive(Debug, Default)]
struct Last {
    /// As microseconds since 1970, which takes half the room; 0: never.
    success: u64,
    /// In a box, since few have any.
    notes: Option<Box<Notes>>,
}

#[derive(Debug, Default)]
struct Notes {
    failed_requests: u64,
    error: Option<Error>,
    trouble: Option<Trouble>,
    /// What the object that was opened last lacks.
    ignored: Vec<IgnoredOption>,
}

/// What is still tried after a failure.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hope {
    /// It was on the way to deliver something.
    pub(super) delivering: bool,
    /// `None`: never.
    pub(super) gives_up_in: Option<Duration>,
    /// How many bytes wait, where that is known.
    pub(super) buffered: Option<u64>,
    /// It is tried again whatever the failure is.
    pub(super) is_kept: bool,
}

impl Hope {
    /// Something is read, and that is given up after so long.
    pub(crate) fn to_read(gives_up_in: Duration) -> Self {
        Self {
            delivering: false,
            gives_up_in: Some(gives_up_in),
            buffered: None,
            is_kept: false,
        }
    }

    /// What was given up is tried again endlessly.
    #[cfg(feature = "rolling")]
    pub(crate) fn without_end(delivering: bool) -> Self {
        Self {
            delivering,
            gives_up_in: None,
            buffered: None,
            is_kept: true,
        }
    }
}

/// Requests fail, and nothing is delivered.
#[derive(Clone, Copy, Debug)]
struct Trouble {
    since: Instant,
    failures: u64,
    /// An append is what fails, or finding out about one: no answer to another question ends that.
    delivering: bool,
}

impl Last {
    fn notes(&mut self) -> &mut Notes {
        self.notes.get_or_insert_default()
    }

    fn end_trouble(&mut self, delivered: bool) -> Option<Trouble> {
        let trouble = &mut self.notes.as_mut()?.trouble;
        trouble.take_if(|trouble| delivered || !trouble.delivering)
    }
}

impl Counters {
    /// Of a writer to `object`, or to a sequence of them, that is opened here.
    pub(crate) fn new(object: &ObjectPath, events: &Arc<Events>) -> Self {
        metrics::describe();
        Self {
            bucket: Arc::clone(object.shared_bucket()),
            events: events.here(),
            durable: AtomicU64::default(),
            appends: AtomicU64::default(),
            retries: AtomicU64::default(),
            reconciles: AtomicU64::default(),
            has_no_lane: AtomicBool::new(false),
            last: Mutex::default(),
        }
    }

    /// Counts what an engine has told. Runs under a lock.
    pub(super) fn count(&self, told: &Told) {
        let count = |counter: &AtomicU64, more: u64| {
            if more > 0 {
                counter.fetch_add(more, Ordering::Relaxed);
            }
        };
        count(&self.durable, told.durable);
        count(&self.appends, told.appended.is_some().into());
        count(&self.retries, told.retried.into());
        count(&self.reconciles, told.reconciles.into());
    }

    /// Tells the metrics and the program what an engine has told.
    pub(super) fn tell(&self, object: &ObjectPath, told: Told) {
        if told.reconciles {
            metrics::reconcile(&self.bucket);
        }
        if told.retried {
            metrics::retry(&self.bucket);
        }
        if told.durable > 0 {
            metrics::durable_bytes(&self.bucket, told.durable);
            self.succeeded(object, true);
        }
        if let Some(took) = told.appended {
            metrics::append(&self.bucket, took);
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
            let micros = now.unwrap_or_default().as_micros();
            self.last().success = u64::try_from(micros).unwrap_or(u64::MAX);
        }
        if let Some(error) = told.error {
            self.error(&error);
        }
    }

    /// Bytes were proven to be in the object without an append.
    pub(super) fn durable(&self, bytes: u64) {
        self.durable.fetch_add(bytes, Ordering::Relaxed);
        metrics::durable_bytes(&self.bucket, bytes);
    }

    /// A request failed: once for each, overcome or not.
    pub(crate) fn failed_request(&self, error: &Error) {
        metrics::failed_request(&self.bucket, error.kind());
        self.last().notes().failed_requests += 1;
    }

    /// What is told as the last failure.
    pub(crate) fn error(&self, error: &Error) {
        self.last().notes().error = Some(error.clone());
    }

    /// A request failed that is tried again or looked into. Out of trouble, only
    /// [some failures](is_trouble) are worth telling.
    pub(crate) fn failed(&self, object: &ObjectPath, error: &Error, hope: Hope) {
        let trouble = {
            let mut last = self.last();
            let notes = last.notes();
            if notes.trouble.is_none() && !(hope.is_kept || is_trouble(error)) {
                return;
            }
            let trouble = notes.trouble.get_or_insert_with(|| Trouble {
                since: Instant::now(),
                failures: 0,
                delivering: false,
            });
            trouble.failures += 1;
            trouble.delivering |= hope.delivering;
            *trouble
        };
        self.events.tell(DeliveryEvent::Failed {
            object: object.clone(),
            error: error.clone(),
            failures: trouble.failures,
            failing: trouble.since.elapsed(),
            gives_up_in: hope.gives_up_in,
            buffered: hope.buffered,
        });
    }

    /// Something was `delivered` to `object`, or else found out about it.
    pub(crate) fn succeeded(&self, object: &ObjectPath, delivered: bool) {
        let Some(trouble) = self.last().end_trouble(delivered) else {
            return;
        };
        self.events.tell(DeliveryEvent::Recovered {
            object: object.clone(),
            failures: trouble.failures,
            failing: trouble.since.elapsed(),
        });
    }

    /// A writer to `object` has failed.
    pub(crate) fn gave_up(&self, object: &ObjectPath, error: &Error) {
        let trouble = self.last().end_trouble(true);
        let object = error.object().unwrap_or(object);
        self.events.tell(DeliveryEvent::GaveUp {
            object: object.clone(),
            error: error.clone(),
            failures: trouble.map_or(0, |trouble| trouble.failures),
            failing: trouble.map_or(Duration::ZERO, |trouble| trouble.since.elapsed()),
        });
    }

    /// The same for one whose caller gets the error: only after trouble that was reported.
    pub(crate) fn told<T>(&self, object: &ObjectPath, result: Result<T>) -> Result<T> {
        if let Err(error) = &result
            && self.is_failing()
        {
            self.gave_up(object, error);
        }
        result
    }

    fn is_failing(&self) -> bool {
        let last = self.last();
        let notes = last.notes.as_ref();
        notes.is_some_and(|notes| notes.trouble.is_some())
    }

    /// Those who are told what happens.
    pub(crate) fn events(&self) -> &Events {
        &self.events
    }

    /// The object was opened, and lacks these options.
    pub(super) fn note_ignored(&self, options: Vec<IgnoredOption>) {
        let mut last = self.last();
        if !options.is_empty() || last.notes.is_some() {
            last.notes().ignored = options;
        }
    }

    /// Reports the options that have no effect on the object that is used from now on.
    pub(crate) fn tell_ignored(&self, object: &ObjectPath) {
        // Whoever is told may ask for the counts.
        let options = self.snapshot().ignored_options;
        if !options.is_empty() {
            let options: Vec<_> = options.iter().map(ToString::to_string).collect();
            let options = options.join(", ");
            self.events.trace(|| {
                tracing::warn!(
                    target: TARGET,
                    %object,
                    "the object already exists, so it does not get {options}"
                );
            });
        }
    }

    pub(crate) fn snapshot(&self) -> AppendStats {
        let last = self.last();
        let notes = last.notes.as_deref();
        let trouble = notes.and_then(|notes| notes.trouble);
        AppendStats {
            durable: self.durable.load(Ordering::Relaxed),
            appends: self.appends.load(Ordering::Relaxed),
            retries: self.retries.load(Ordering::Relaxed),
            reconciles: self.reconciles.load(Ordering::Relaxed),
            failed_requests: notes.map_or(0, |notes| notes.failed_requests),
            failing: trouble.map(|trouble| trouble.since.elapsed()),
            last_error: notes.and_then(|notes| notes.error.clone()),
            last_success: (last.success > 0)
                .then(|| SystemTime::UNIX_EPOCH + Duration::from_micros(last.success)),
            ignored_options: notes.map(|notes| notes.ignored.clone()).unwrap_or_default(),
        }
    }

    /// Whether the store has a lane to the object at present.
    pub(super) fn note_lane(&self, has: bool) {
        self.has_no_lane.store(!has, Ordering::Relaxed);
    }

    /// How many of `most` appends may be under way at a time at present.
    pub(crate) fn in_flight(&self, most: u16) -> u16 {
        match self.has_no_lane.load(Ordering::Relaxed) {
            true => 1,
            false => most,
        }
    }

    fn last(&self) -> std::sync::MutexGuard<'_, Last> {
        self.last.locked()
    }
}
