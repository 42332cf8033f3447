//! The options of an appender, which the writer's builder offers too.

use std::sync::Arc;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::events::Events;
use super::gate::Gate;
use super::intent::Intents;
use crate::engine::rules::Rules;
use crate::error::{Error, Result};
use crate::store::options::{ObjectOptions, RequestOptions, StorageClass};
use crate::values::checkpoint::Checkpoint;
use crate::values::format::StoredFormat;

/// How the object is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum OpenMode {
    Append,
    CreateNew,
    /// In a box, since few do.
    Replay(Box<Checkpoint>),
}

#[derive(Clone, Debug)]
pub(crate) struct AppenderOptions {
    pub(crate) mode: OpenMode,
    pub(crate) rules: Rules,
    pub(crate) create: Arc<ObjectOptions>,
    /// What is appended is compressed to this.
    pub(crate) compresses: Option<StoredFormat>,
    pub(crate) request: RequestOptions,
    /// Each request waits for its turn, and each append for its place.
    pub(crate) gate: Option<Arc<Gate>>,
    /// Keeps what the appends are meant for.
    pub(crate) intents: Option<Arc<dyn Intents>>,
    /// Mark the objects that are created.
    pub(crate) mark_creator: bool,
    /// Who is told what happens.
    pub(crate) events: Arc<Events>,
    /// What has been given up is tried again by whoever uses the appender.
    pub(crate) keeps_trying: bool,
    /// The time from which engines count, and the writers before them.
    pub(crate) origin: Instant,
    /// Cancelled when the writer has been told to end: waits are cut short then.
    pub(crate) ending: CancellationToken,
}

impl Default for AppenderOptions {
    fn default() -> Self {
        Self {
            mode: OpenMode::Append,
            rules: Rules::default(),
            create: Arc::default(),
            compresses: None,
            request: RequestOptions::default(),
            gate: None,
            intents: None,
            mark_creator: true,
            events: Arc::default(),
            keeps_trying: false,
            origin: Instant::now(),
            ending: CancellationToken::new(),
        }
    }
}

impl AppenderOptions {
    pub(crate) fn check(&self) -> Result<()> {
        let refuse = |reason: &str| Err(Error::invalid_input(reason));
        if self.rules.shared && self.mode != OpenMode::Append {
            return refuse("a shared object can only be opened for append, not new or in replay");
        }
        if let Some(class @ (StorageClass::ColdArchive | StorageClass::DeepColdArchive)) =
            self.create.storage_class
        {
            return Err(Error::invalid_input(format!(
                "an appendable object cannot have the storage class {class}"
            )));
        }
        self.rules.check()?;
        self.create.check_meta(self.mark_creator)
    }
}

/// The setters for a builder that keeps an `Arc` of its [`AppenderOptions`] in the named field path.
macro_rules! appender_option_setters {
    ($($field:ident).+) => {
        /// Shares the object with other writers: an append by somebody else is not a conflict, and
        /// ours goes after it at once. Each append stays whole. Default: off, the object is ours
        /// alone.
        ///
        /// An append that OSS has refused because of its position is not in the object, and goes to
        /// the new end, even if others have appended the same bytes. After a lost answer the
        /// object's content decides whether our append is in it. Writers that append identical
        /// bytes at the same position cannot be told apart then, so let each record name its
        /// writer.
        pub fn shared(mut self, shared: bool) -> Self {
            ::std::sync::Arc::make_mut(&mut self.$($field).+).rules.shared = shared;
            self
        }

        /// The properties of the object if this creates it.
        pub fn object_options(mut self, options: $crate::store::options::ObjectOptions) -> Self {
            ::std::sync::Arc::make_mut(&mut self.$($field).+).create = ::std::sync::Arc::new(options);
            self
        }

        /// Marks each object that this creates with a random value, in the user metadata
        /// `oss-append-creator` ([`ObjectOptions::CREATOR`](crate::ObjectOptions::CREATOR)). If two
        /// writers create the same object with the same bytes, each knows from the mark whether the
        /// object is its own. The mark is compared whenever the object is looked at anyway, so it
        /// costs no request. Default: on.
        ///
        /// Without it, or with a store that keeps no metadata, a writer whose first append was not
        /// answered takes an object that somebody else created with the same bytes for its own.
        ///
        /// The mark does not tell apart writers that append to an existing object. If a second
        /// writer thinks that the object is its own, and appends the same bytes at the same
        /// position as the first, it is told that they are durable; they are there once. Open an
        /// object with one writer at a time, or with [`shared`](Self::shared) writers.
        pub fn mark_creator(mut self, mark: bool) -> Self {
            let options = ::std::sync::Arc::make_mut(&mut self.$($field).+);
            options.mark_creator = mark;
            options.rules.verify_creator &= mark;
            self
        }

        /// Checks that each object that this has created has our mark: one more HEAD for each. It
        /// finds empty objects that somebody else created, to which OSS lets us append at position
        /// 0: that is a [`Conflict`](crate::ErrorKind::Conflict). This needs the mark, and sets it.
        /// Default: off.
        pub fn verify_creator(mut self, verify: bool) -> Self {
            let options = ::std::sync::Arc::make_mut(&mut self.$($field).+);
            options.rules.verify_creator = verify;
            options.mark_creator |= verify;
            self
        }

        /// What is sent with each append.
        pub fn request_options(mut self, options: $crate::store::options::RequestOptions) -> Self {
            ::std::sync::Arc::make_mut(&mut self.$($field).+).request = options;
            self
        }

        /// Gives an attempt up when nothing has moved for this long. A transfer that still moves is
        /// never cut. What was given up is sent again in smaller appends; where appends have to
        /// stay whole, the next attempt gets twice the time. Default: 30 s. An
        /// [`OssClient`](crate::OssClient) has a limit of this kind too; the shorter one counts.
        pub fn attempt_timeout(mut self, timeout: ::std::time::Duration) -> Self {
            ::std::sync::Arc::make_mut(&mut self.$($field).+).rules.attempt_timeout = timeout;
            self
        }

        /// Fails for good when there has been no progress for this long, however many retries that
        /// took. Default: 120 s.
        pub fn delivery_timeout(mut self, timeout: ::std::time::Duration) -> Self {
            ::std::sync::Arc::make_mut(&mut self.$($field).+).rules.delivery_timeout = timeout;
            self
        }

        /// How long to wait between attempts. Default: base 100 ms, max 10 s, full jitter. The wait
        /// is at least what OSS asks for by `Retry-After` or `x-oss-qos-delay-time`, up to 60 s.
        /// The end of the writer (`shutdown`, a dropped log guard) ends the wait.
        pub fn backoff(mut self, backoff: $crate::values::backoff::Backoff) -> Self {
            ::std::sync::Arc::make_mut(&mut self.$($field).+).rules.backoff = backoff;
            self
        }

        /// Sends at most this many append requests a second, at least 1, evenly spaced: OSS bills
        /// each. Where the limit applies, more gathers for the next append, up to
        /// [`max_append_size`](crate::OssAppendWriterBuilder::max_append_size). Writers that come
        /// from one builder share the limit. Default: no limit.
        pub fn max_appends_per_second(mut self, appends: u32) -> Self {
            let limit = $crate::drive::rate::AppendLimit::per_second(appends);
            let gate = &mut ::std::sync::Arc::make_mut(&mut self.$($field).+).gate;
            *gate = Some($crate::drive::gate::Gate::limited(gate.as_deref(), true, limit));
            self
        }

        /// Adds a limit on appends a second that other writers may share, such as all writers of a
        /// process. It applies in addition to
        /// [`max_appends_per_second`](Self::max_appends_per_second). Default: none.
        pub fn append_limit(mut self, limit: &$crate::drive::rate::AppendLimit) -> Self {
            let gate = &mut ::std::sync::Arc::make_mut(&mut self.$($field).+).gate;
            *gate = Some($crate::drive::gate::Gate::limited(gate.as_deref(), false, limit.clone()));
            self
        }

        /// Calls this whenever [delivery](crate::DeliveryEvent) is in trouble, out of it, or given
        /// up, in addition to the events for `tracing`. It runs on the task that sends, so it must
        /// not block. A panic in it ends nothing. Default: none.
        ///
        /// ```no_run
        /// # async fn example(client: oss_append::OssClient) -> Result<(), oss_append::Error> {
        /// use oss_append::{DeliveryEvent, OssAppendWriter};
        ///
        /// let object = "oss://logs/app.log".parse()?;
        /// let writer = OssAppendWriter::builder(client, object)
        ///     .on_event(|event| match event {
        ///         DeliveryEvent::Failed { object, error, failures: 1, .. } => {
        ///             eprintln!("{object}: {error}; trying again");
        ///         }
        ///         DeliveryEvent::Recovered { object, failing, .. } => {
        ///             eprintln!("{object}: goes on after {failing:?}");
        ///         }
        ///         _ => {}
        ///     })
        ///     .open()
        ///     .await?;
        /// # Ok(())
        /// # }
        /// ```
        pub fn on_event(
            mut self,
            callback: impl Fn($crate::drive::events::DeliveryEvent) + Send + Sync + 'static,
        ) -> Self {
            let events = &mut ::std::sync::Arc::make_mut(&mut self.$($field).+).events;
            ::std::sync::Arc::make_mut(events).call(::std::sync::Arc::new(callback));
            self
        }

        /// Refuses an append that would make the object longer than this, in bytes as they are
        /// stored (compressed ones, if the writer compresses), before it is sent. Default:
        /// 5,000,000,000, the smaller of the two limits that OSS documents
        /// (<https://www.alibabacloud.com/help/en/oss/developer-reference/appendobject>). What the
        /// store allows ([`StoreLimits`](crate::StoreLimits)) is never passed.
        pub fn max_object_size(mut self, bytes: u64) -> Self {
            ::std::sync::Arc::make_mut(&mut self.$($field).+).rules.max_object_size = bytes;
            self
        }
    };
}
pub(crate) use appender_option_setters;

/// How one object is opened: not for a builder of many.
macro_rules! open_mode_setters {
    ($($field:ident).+) => {
        /// Creates the object at once, and fails with a [`Conflict`](crate::ErrorKind::Conflict) if
        /// it exists.
        ///
        /// Default: the object is continued at its end, or created by the first append.
        ///
        /// The object is looked at and then appended to. OSS accepts an append at position 0 both
        /// of an empty object and of one that does not exist. So an empty object that somebody else
        /// creates between the look and the first append goes unnoticed: the first bytes decide who
        /// may write, but the object may have the other's properties.
        pub fn create_new(mut self) -> Self {
            ::std::sync::Arc::make_mut(&mut self.$($field).+).mode = $crate::drive::options::OpenMode::CreateNew;
            self
        }

        /// Writes again from an earlier position: what the object already holds is compared by
        /// CRC-64 and skipped, what is missing is appended. This makes a source that can be read
        /// again exactly-once across a crash.
        ///
        /// A source that differs from the object is an error before anything is appended
        /// ([`ReplayDiffers`](crate::ErrorKind::ReplayDiffers)), and so is one that ends before the
        /// object does ([`ReplayTooShort`](crate::ErrorKind::ReplayTooShort)). An object that is
        /// gone, or too short for the checkpoint, is a [`Conflict`](crate::ErrorKind::Conflict) when
        /// it is opened, and a checkpoint of another object
        /// [`InvalidInput`](crate::ErrorKind::InvalidInput).
        pub fn replay(mut self, from: $crate::values::checkpoint::Checkpoint) -> Self {
            ::std::sync::Arc::make_mut(&mut self.$($field).+).mode = $crate::drive::options::OpenMode::Replay(::std::boxed::Box::new(from));
            self
        }
    };
}
pub(crate) use open_mode_setters;
