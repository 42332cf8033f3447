//! The follower's options and its opening.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use super::follower::ObjectFollower;
use super::following::{Following, Start};
use super::pace::Pace;
use crate::client::OssClient;
use crate::drive::events::{DeliveryEvent, Events};
use crate::drive::stats::Counters;
use crate::engine::rules::Rules;
use crate::error::{Error, Result};
use crate::reader::source::Stored;
use crate::reader::transfer::Manner;
use crate::store::options::RequestOptions;
use crate::values::backoff::Backoff;
use crate::values::checkpoint::Checkpoint;
use crate::values::defaults;
use crate::values::path::ObjectPath;
use crate::values::proven::Proven;

/// Options for following an object by an [`ObjectFollower`].
#[derive(Clone, Debug)]
#[must_use = "call `open` to get the follower"]
pub struct ObjectFollowerBuilder {
    pub(in crate::reader) client: OssClient,
    pub(in crate::reader) object: ObjectPath,
    start: Start,
    checkpoint: Option<Checkpoint>,
    waits: bool,
    poll_interval: RangeInclusive<Duration>,
    request: RequestOptions,
    pub(in crate::reader) rules: Rules,
    pub(in crate::reader) events: Arc<Events>,
}

impl ObjectFollowerBuilder {
    pub(in crate::reader) fn new(client: OssClient, object: ObjectPath) -> Self {
        Self {
            client,
            object,
            start: Start::At(Proven::EMPTY),
            checkpoint: None,
            waits: false,
            poll_interval: defaults::POLL_MIN..=defaults::POLL_MAX,
            request: RequestOptions::default(),
            rules: Rules::default(),
            events: Arc::new(Events::of_reader()),
        }
    }

    /// Begins at this position, such as the [`end`](crate::Followed::end) of what was processed
    /// last. What is before it is not compared; a [`checkpoint`](Self::checkpoint) proves that too.
    /// Default: 0, all of the object.
    ///
    /// This, [`checkpoint`](Self::checkpoint) and [`last`](Self::last) take the place of each other.
    pub fn position(self, position: u64) -> Self {
        let from = Checkpoint::new(self.object.clone(), position);
        self.checkpoint(from)
    }

    /// Begins at this point. If it has a CRC-64, the object has to begin with the bytes that have
    /// it: it is compared at the first look, or with what is read then.
    pub fn checkpoint(mut self, from: Checkpoint) -> Self {
        self.start = Start::At(from.proven());
        self.checkpoint = Some(from);
        self
    }

    /// Begins so many bytes before the end of the object as it is at the first look, or at its start
    /// if it has fewer, or if it does not exist yet. With 0, only what is appended after that is
    /// given out.
    pub fn last(mut self, bytes: u64) -> Self {
        self.start = Start::Last(bytes);
        self.checkpoint = None;
        self
    }

    /// Waits for an object that does not exist yet, as for growth. Default: false, it is an error.
    ///
    /// An object that is followed from a later position has existed: it is an error if it is not
    /// there.
    pub fn wait_for_object(mut self, wait: bool) -> Self {
        self.waits = wait;
        self
    }

    /// How long to wait between two looks: the first of these when something has come, and twice as
    /// long each time while nothing comes, up to the last. Default: 200 ms to 5 s.
    pub fn poll_interval(mut self, bounds: RangeInclusive<Duration>) -> Self {
        self.poll_interval = bounds;
        self
    }

    /// Sets the traffic limit and who pays. Default: nothing.
    pub fn request_options(mut self, options: RequestOptions) -> Self {
        self.request = options;
        self
    }

    /// Gives a request up when nothing has moved for this long, and tries again. Default: 30 s. An
    /// [`OssClient`] has a limit of this kind too; the shorter one counts.
    pub fn attempt_timeout(mut self, timeout: Duration) -> Self {
        self.rules.attempt_timeout = timeout;
        self
    }

    /// Fails for good when requests have failed for this long, however often was retried until then.
    /// The time in which nothing was to be asked does not count. Default: 120 s;
    /// [`Duration::MAX`] is never.
    pub fn delivery_timeout(mut self, timeout: Duration) -> Self {
        self.rules.delivery_timeout = timeout;
        self
    }

    /// How long to wait between attempts. Default: base 100 ms, max 10 s, full jitter. What OSS asks
    /// for by `Retry-After` or `x-oss-qos-delay-time` is waited at least, up to 60 s.
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.rules.backoff = backoff;
        self
    }

    /// Calls this whenever a request fails that is tried again, when there is an answer again, and
    /// when following is given up after that, beside the events for `tracing`. It runs where the
    /// follower is polled, so it must not block. A panic in it ends nothing. Default: none.
    pub fn on_event(mut self, callback: impl Fn(DeliveryEvent) + Send + Sync + 'static) -> Self {
        Arc::make_mut(&mut self.events).call(Arc::new(callback));
        self
    }

    /// Looks at the object: returns as soon as it is known that it can be followed from there, or
    /// that it is waited for.
    ///
    /// # Errors
    /// What OSS said, such as `NoSuchKey` (404);
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for a checkpoint of another object, bounds of
    /// the poll interval that are zero or in the wrong order, or a timeout of zero;
    /// [`Conflict`](crate::ErrorKind::Conflict) if the object does not reach to the checkpoint, or
    /// ends there with another CRC-64;
    /// [`NotAppendable`](crate::ErrorKind::NotAppendable) if it cannot grow;
    /// [`RetriesExhausted`](crate::ErrorKind::RetriesExhausted) if there was no answer in time.
    ///
    /// # Cancel safety
    /// Nothing is lost: reading has no effect.
    pub async fn open(self) -> Result<ObjectFollower> {
        let pace = self.check()?;
        let mut following = self.following(&self.object, self.start, self.waits);
        let looked = following.look().await?;
        Ok(ObjectFollower::new(self.object, following, looked, pace))
    }

    /// Refuses what cannot be.
    pub(in crate::reader) fn check(&self) -> Result<Pace> {
        let checked = match &self.checkpoint {
            Some(from) if from.object != self.object => Err(Error::invalid_input(format!(
                "the checkpoint to follow from is of {}",
                from.object
            ))),
            _ => self.rules.check(),
        };
        let pace = checked.and_then(|()| Pace::new(&self.poll_interval));
        pace.map_err(|error| error.with_operation("follow").with_object(&self.object))
    }

    /// With these options, this object.
    pub(in crate::reader) fn following(
        &self,
        object: &ObjectPath,
        start: Start,
        waits: bool,
    ) -> Following<Stored> {
        let source = Stored {
            client: self.client.clone(),
            object: object.clone(),
            options: self.request.clone(),
        };
        Following::new(source, self.manner(object), start, waits)
    }

    /// How requests for this object are made.
    pub(in crate::reader) fn manner(&self, object: &ObjectPath) -> Manner {
        Manner {
            counters: Arc::new(Counters::new(object, &self.events)),
            rules: Arc::new(self.rules.clone()),
            object: object.clone(),
        }
    }
}
