//! What a program is told about delivery and about reading while it happens: trouble that begins,
//! lasts and ends.
//!
//! Trouble begins with a request that failed and that is tried again or looked into. It is over
//! when an append is proven, or a question is answered. Failures that are expected now and then do
//! not count: a position that another writer of a shared object has moved, an expired key that was
//! renewed.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tracing::Dispatch;

use crate::callback::caught;
use crate::error::Error;
use crate::values::path::ObjectPath;

/// What happens in the delivery to an object, for a program or its operator.
///
/// An `on_event` callback gets these, such as
/// [that of a writer](crate::OssAppendWriterBuilder::on_event). The same go to the `tracing`
/// subscriber that is current where the writer is opened, with the target `oss_append::delivery`:
/// the first [`Failed`](Self::Failed) in a row as WARN, each of them as DEBUG,
/// [`Recovered`](Self::Recovered) as INFO, and [`GaveUp`](Self::GaveUp) as WARN. Nothing goes to a
/// subscriber if there was none where the writer was opened, or for a log appender, which would log
/// its own trouble into itself.
///
/// An [`ObjectReader`](crate::ObjectReader) tells the same about reading, with the target
/// `oss_append::read`. What is delivered then is the object's bytes, to the program.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum DeliveryEvent {
    /// A request failed, and is tried again or looked into.
    #[non_exhaustive]
    Failed {
        /// The object that the request was about.
        object: ObjectPath,
        /// Why it failed.
        error: Error,
        /// How many requests have failed since the last success, with this one: 1 is where trouble
        /// begins.
        failures: u64,
        /// How long the trouble has lasted.
        failing: Duration,
        /// How much longer it is tried if nothing improves; `None`: forever.
        gives_up_in: Option<Duration>,
        /// How many bytes of the writer wait to become durable, including those in flight; `None`
        /// where that is not known, as while an object is opened or read.
        buffered: Option<u64>,
    },
    /// Delivery goes on.
    #[non_exhaustive]
    Recovered {
        /// The object that was delivered to.
        object: ObjectPath,
        /// How many requests had failed.
        failures: u64,
        /// How long it took from the first failure.
        failing: Duration,
    },
    /// Nothing more is tried: the writer, the key of a keyed writer, or the reader has failed.
    #[non_exhaustive]
    GaveUp {
        /// The object that could not be delivered to.
        object: ObjectPath,
        /// Why.
        error: Error,
        /// How many requests have failed since the last success.
        failures: u64,
        /// How long the trouble had lasted.
        failing: Duration,
    },
}

/// Tells the current subscriber. A target and a message have to be known when this is compiled.
macro_rules! trace {
    ($event:expr, $target:expr, $fails:literal, $goes_on:literal, $gave_up:literal) => {
        match $event {
            Self::Failed {
                object,
                error,
                failures,
                failing,
                gives_up_in,
                buffered,
            } => {
                let (failing, gives_up_in) = (Shown(Some(*failing)), Shown(*gives_up_in));
                if *failures == 1 {
                    tracing::warn!(
                        target: $target,
                        %object, error = %Whole(error), %gives_up_in, buffered,
                        $fails
                    );
                }
                tracing::debug!(
                    target: $target,
                    %object, error = %Whole(error), failures, %failing, %gives_up_in, buffered,
                    "a request failed"
                );
            }
            Self::Recovered {
                object,
                failures,
                failing,
            } => tracing::info!(
                target: $target,
                %object, failures, failing = %Shown(Some(*failing)),
                $goes_on
            ),
            Self::GaveUp {
                object,
                error,
                failures,
                failing,
            } => tracing::warn!(
                target: $target,
                %object, error = %Whole(error), failures, failing = %Shown(Some(*failing)),
                $gave_up
            ),
        }
    };
}

impl DeliveryEvent {
    /// The object that it is about.
    pub fn object(&self) -> &ObjectPath {
        match self {
            Self::Failed { object, .. }
            | Self::Recovered { object, .. }
            | Self::GaveUp { object, .. } => object,
        }
    }

    /// What went wrong, unless it is over.
    pub fn error(&self) -> Option<&Error> {
        match self {
            Self::Failed { error, .. } | Self::GaveUp { error, .. } => Some(error),
            Self::Recovered { .. } => None,
        }
    }

    fn trace(&self) {
        trace!(
            self,
            TARGET,
            "delivery fails; trying again",
            "delivery goes on",
            "gave up; what is not durable can be taken back"
        );
    }

    /// The same where bytes are read, of which none are buffered.
    fn trace_read(&self) {
        trace!(
            self,
            READ_TARGET, "reading fails; trying again", "reading goes on", "gave up reading"
        );
    }
}

/// The target of all events about reading.
const READ_TARGET: &str = "oss_append::read";

/// The target of all events about delivery.
pub(crate) const TARGET: &str = "oss_append::delivery";

/// An error with all its causes, each said once.
struct Whole<'a>(&'a Error);

impl fmt::Display for Whole<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut said = self.0.to_string();
        f.write_str(&said)?;
        let mut cause = std::error::Error::source(self.0);
        while let Some(error) = cause {
            let text = error.to_string();
            if !said.contains(&text) {
                write!(f, ": {text}")?;
                said += &text;
            }
            cause = error.source();
        }
        Ok(())
    }
}

/// A duration to a tenth of a second.
struct Shown(Option<Duration>);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(duration) => write!(f, "{:.1}s", duration.as_secs_f64()),
            None => f.write_str("never"),
        }
    }
}

type OnEvent = Arc<dyn Fn(DeliveryEvent) + Send + Sync>;

/// Who is told.
#[derive(Clone, Default)]
pub(crate) struct Events {
    /// `None`: the one that is current where the writer is opened.
    subscriber: Option<Dispatch>,
    callback: Option<OnEvent>,
    /// They are about reading.
    reads: bool,
}

impl Events {
    /// Those of a reader.
    pub(crate) fn of_reader() -> Self {
        Self {
            reads: true,
            ..Self::default()
        }
    }

    pub(crate) fn call(&mut self, callback: OnEvent) {
        self.callback = Some(callback);
    }

    /// For a writer that is opened here, and for all that it opens.
    pub(crate) fn here(self: &Arc<Self>) -> Arc<Self> {
        if self.subscriber.is_some() {
            return Arc::clone(self);
        }
        Arc::new(Self {
            subscriber: Some(tracing::dispatcher::get_default(Dispatch::clone)),
            callback: self.callback.clone(),
            reads: self.reads,
        })
    }

    /// Both belong to the program: a panic in them ends nothing. Must not be called under a lock.
    pub(super) fn tell(&self, event: DeliveryEvent) {
        self.trace(|| match self.reads {
            true => event.trace_read(),
            false => event.trace(),
        });
        if let Some(callback) = &self.callback {
            caught(|| callback(event));
        }
    }

    /// Lets the program's subscriber hear what `event` says, wherever this runs.
    pub(crate) fn trace(&self, event: impl FnOnce()) {
        if let Some(subscriber) = &self.subscriber {
            caught(|| tracing::dispatcher::with_default(subscriber, event));
        }
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").finish_non_exhaustive()
    }
}
