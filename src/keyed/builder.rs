//! The options of a keyed writer.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use super::failed::{FailedKey, OnFailed};
use super::object::{self, Surroundings};
use super::pool::{Limits, Open, Pool};
use super::template::FieldTemplate;
use super::writer::KeyedWriter;
use crate::drive::events::Events;
use crate::error::{Error, Result};
use crate::rolling::RollingWriterBuilder;
use crate::store::AppendStore;
use crate::values::defaults;
use crate::values::path::{ObjectPath, check_bucket};
use crate::writer::spooling::Spool;
use crate::writer::spooling::many::KeySpools;
use crate::writer::{ManyObjects, OssAppendWriterBuilder};

type Function = Arc<dyn Fn(&str) -> String + Send + Sync>;
type EachObject<S> = OssAppendWriterBuilder<Arc<S>, ManyObjects>;
type Plain<S> = dyn Fn(&str, EachObject<S>) -> EachObject<S> + Send + Sync;
type Rolling<S> = dyn Fn(&str, RollingWriterBuilder<S>) -> RollingWriterBuilder<S> + Send + Sync;

/// Options for starting a [`KeyedWriter`].
#[must_use = "call `start` to get the writer"]
pub struct KeyedWriterBuilder<S> {
    store: Arc<S>,
    bucket: String,
    names: Names,
    kind: Kind<S>,
    limits: Limits,
    max_concurrent_appends: usize,
    on_failed: Option<OnFailed>,
    spool: Option<Spool>,
}

/// What gives a key its object, or the template of its objects.
#[derive(Clone)]
enum Names {
    Function(Function),
    /// The keys are made by it, and are those names themselves.
    Template(String),
}

/// What the writer of a key is.
enum Kind<S> {
    Plain(Arc<Plain<S>>),
    Rolling(Arc<Rolling<S>>),
}

impl<S: AppendStore> KeyedWriterBuilder<S> {
    pub(super) fn new(store: S, bucket: String) -> Self {
        Self {
            store: Arc::new(store),
            bucket,
            names: Names::Function(Arc::new(str::to_owned)),
            kind: Kind::Plain(Arc::new(|_, writer| writer)),
            limits: Limits {
                max_open: defaults::MAX_OPEN,
                ahead: 0,
                idle_timeout: defaults::IDLE_TIMEOUT,
                buffer_capacity: defaults::KEYED_BUFFER_CAPACITY,
                max_failed_keys: defaults::MAX_FAILED_KEYS,
            },
            max_concurrent_appends: defaults::MAX_CONCURRENT_APPENDS,
            on_failed: None,
            spool: None,
        }
    }

    /// Names the object of each key; with [`rolling`](Self::rolling) the
    /// [template](crate::KeyTemplate) of its objects. Default: the key itself.
    ///
    /// Each key must have an object or a template of its own: of two keys with the same one, at
    /// least one fails with a [`Conflict`](crate::ErrorKind::Conflict). A key goes into the name as
    /// `name` puts it there. If others choose the keys, as tenants do, a
    /// [`template`](Self::template) keeps them apart, whatever is in them.
    ///
    /// This replaces a [`template`](Self::template).
    ///
    /// ```
    /// # fn example(client: oss_append::OssClient) {
    /// let builder = oss_append::KeyedWriter::builder(client, "my-bucket")
    ///     .objects(|tenant| format!("tenants/{tenant}/events.log"));
    /// # }
    /// ```
    pub fn objects(mut self, name: impl Fn(&str) -> String + Send + Sync + 'static) -> Self {
        self.names = Names::Function(Arc::new(name));
        self
    }

    /// Names the object of each record by its fields, for
    /// [`write_fields`](KeyedWriter::write_fields): `tenants/{tenant}/{kind}.log`. The key of
    /// a record is the name that this gives. `{host}`, `{pid}` and `{hash}` are as in a
    /// [`KeyTemplate`](crate::KeyTemplate), `%%`, `{{` and `}}` too; any other name of ASCII
    /// letters, digits, `_`, `-` and `.` is a field.
    ///
    /// With [`rolling`](Self::rolling) it may also have everything that a `KeyTemplate` has: the
    /// key is then the template of the objects, with the fields filled in.
    ///
    /// No value can leave its place. Characters other than ASCII letters, digits, `-`, `_` and `.`
    /// are percent-encoded as UTF-8, including slashes and percent signs, and so are the dots of a
    /// value that has nothing else. So records with different values have different objects, and
    /// the values can be read from the name. An empty value is refused.
    ///
    /// [`start`](Self::start) checks the template. It must have a field; between two fields, a
    /// character that no value has, such as `/`; and between a field and `{seq}`, a character that
    /// is not a digit.
    ///
    /// This replaces [`objects`](Self::objects).
    ///
    /// ```
    /// # async fn example(client: oss_append::OssClient) -> Result<(), Box<dyn std::error::Error>> {
    /// let writer = oss_append::KeyedWriter::builder(client, "my-bucket")
    ///     .template("tenants/{tenant}/{kind}/%Y-%m-%d-{seq}.log")
    ///     .rolling(|_, rolling| rolling.daily())
    ///     .start()?;
    /// let fields = [("tenant", "alice & co"), ("kind", "audit")];
    /// let receipt = writer.write_fields(&fields, "signed in\n".into()).await?;
    /// // tenants/alice%20%26%20co/audit/2026-03-04-1.log
    /// println!("{}", receipt.written().await?.object.key());
    /// # Ok(())
    /// # }
    /// ```
    pub fn template(mut self, template: impl Into<String>) -> Self {
        self.names = Names::Template(template.into());
        self
    }

    /// Sets the options of the writer of each key: batch size, linger, timeouts, object options and
    /// so on. Its `buffer_capacity` is the most memory that one key may use, in addition to the
    /// [share](KeyedWriter#keys-that-are-stuck) that limits it anyway. A write to a key that has
    /// reached it waits, and does not hold up other keys.
    ///
    /// Each key then writes to one object, and this replaces [`rolling`](Self::rolling).
    pub fn writer(
        mut self,
        configure: impl Fn(
            &str,
            OssAppendWriterBuilder<Arc<S>, ManyObjects>,
        ) -> OssAppendWriterBuilder<Arc<S>, ManyObjects>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        self.kind = Kind::Plain(Arc::new(configure));
        self
    }

    /// Writes a sequence of objects for each key, as a [`RollingWriter`](crate::RollingWriter)
    /// does, with these options. [`objects`](Self::objects) gives the template. This replaces
    /// [`writer`](Self::writer); use that of the `RollingWriterBuilder`.
    ///
    /// Closing a key finishes its object, as a shutdown of its writer does; the object is continued
    /// when the next record arrives for the key. So `seal_on_shutdown` is refused when the key is
    /// written to.
    ///
    /// ```
    /// # fn example(client: oss_append::OssClient) {
    /// let builder = oss_append::KeyedWriter::builder(client, "my-bucket")
    ///     .objects(|tenant| format!("tenants/{tenant}/%Y-%m-%d-{{seq}}.log"))
    ///     .rolling(|_, rolling| rolling.daily().writer(|writer| writer.batch_size(1 << 18)));
    /// # }
    /// ```
    pub fn rolling(
        mut self,
        configure: impl Fn(&str, RollingWriterBuilder<S>) -> RollingWriterBuilder<S>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        self.kind = Kind::Rolling(Arc::new(configure));
        self
    }

    /// The most keys that are open at a time. When another is needed, the least recently written
    /// keys are closed first, which makes what they hold durable. If that takes longer than a
    /// second, further ones are closed. Default: 1,000.
    pub fn max_open(mut self, keys: usize) -> Self {
        self.limits.max_open = keys;
        self
    }

    /// Closes a key that was not written to for this long. Default: 60 s.
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.limits.idle_timeout = timeout;
        self
    }

    /// The most bytes in memory for all keys together, buffered and in flight. When it is reached,
    /// a write waits, and keys that hold much are appended, even below their thresholds. A key that
    /// holds something takes no more than it leaves free, so that none can take all. No record may
    /// be longer. Default: 64 MiB.
    ///
    /// This counts the bytes of records. A key that gathers short ones takes at least 4 KiB for
    /// them.
    pub fn buffer_capacity(mut self, bytes: u64) -> Self {
        self.limits.buffer_capacity = bytes;
        self
    }

    /// The most requests at a time: appends, looks at objects, and with [`rolling`](Self::rolling)
    /// listings and seals. Further ones wait in order of arrival, so each waiting key gets its turn
    /// before another gets its next. What gathers for a key meanwhile goes into the same append. A
    /// request that fails gives its turn up until it is tried again. A request that has not moved
    /// for 5 s goes on without a turn, so there can be more requests than this if OSS does not
    /// answer. Default: 16.
    pub fn max_concurrent_appends(mut self, requests: usize) -> Self {
        self.max_concurrent_appends = requests;
        self
    }

    /// The most keys that may have failed before no more keys are opened: a write to a key that is
    /// not open is then refused with [`TooManyFailedKeys`](crate::ErrorKind::TooManyFailedKeys),
    /// until failed keys are [forgiven](KeyedWriter::forgive). Open keys go on, so at most this
    /// many and [`max_open`](Self::max_open) together can have failed. Default: 10,000.
    ///
    /// This is for failures that hit all keys, such as revoked credentials: each failed key takes
    /// the memory of its name and its error, about a kilobyte.
    pub fn max_failed_keys(mut self, keys: usize) -> Self {
        self.limits.max_failed_keys = keys;
        self
    }

    /// Calls `tell` with each key that fails, and with its bytes that are not durable. Without
    /// this, those bytes are gone, and counted as [`failed`](crate::KeyedStats::failed).
    ///
    /// The bytes count as buffered until it returns. The key's worker calls it without any lock. It
    /// must not block (send the bytes through a channel), but may call
    /// [`forgive`](KeyedWriter::forgive) and everything else that does not wait. If it panics, the
    /// bytes are gone, and nothing else happens.
    pub fn on_failed(mut self, tell: impl Fn(FailedKey) + Send + Sync + 'static) -> Self {
        self.on_failed = Some(OnFailed::new(tell));
        self
    }

    /// Keeps accepted bytes on disk until they are durable, across outages of any length and the
    /// end of the process. Each key has a directory of its own inside that of `spool`. Default:
    /// only in memory.
    ///
    /// [`start`](Self::start) finds what an earlier process has left. It opens those keys and
    /// delivers their records along with new ones, exactly once and in order. So after a crash, no
    /// key has to be written to again before its records arrive.
    ///
    /// Some things differ from what is said elsewhere:
    ///
    /// - [`max_size`](Spool::max_size) is for all open keys together. When it is reached, writes wait.
    /// - [`buffer_capacity`](Self::buffer_capacity) is divided: each open key may use an equal part, but
    ///   at least 64 KiB, and a record or an append that is longer. What does not fit in goes by the
    ///   disk when nothing has become durable for 250 ms. So keys do not wait for each other's memory,
    ///   and an append carries half of a key's part at most, except for a longer record.
    /// - While OSS is away, keys that hold records stay open, and take more. So
    ///   [`max_open`](Self::max_open) should be the number of keys that are written to in an outage: a
    ///   record for another key waits.
    /// - A key that has failed keeps what is in its spool. It is delivered after
    ///   [`forgive`](KeyedWriter::forgive), or by the next start. To bridge an outage, set a
    ///   [`delivery_timeout`](OssAppendWriterBuilder::delivery_timeout) that is longer, or
    ///   [`keep_trying`](RollingWriterBuilder::keep_trying).
    /// - Each open key has up to three open files. With the default of `max_open` that is more than
    ///   many systems allow a process by default (`ulimit -n`).
    ///
    /// ```no_run
    /// # async fn example(client: oss_append::OssClient) -> Result<(), Box<dyn std::error::Error>> {
    /// use oss_append::{KeyedWriter, Spool};
    ///
    /// let writer = KeyedWriter::builder(client, "my-bucket")
    ///     .objects(|tenant| format!("tenants/{tenant}/%Y-%m-%d-{{seq}}.log"))
    ///     .rolling(|_, rolling| rolling.daily().keep_trying(true))
    ///     .spool(Spool::new("/var/spool/events"))
    ///     .start()?;
    /// let _ = writer.write("alice", "signed in\n".into()).await?;
    /// writer.spooled().await?; // on disk: survives the process
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(feature = "spool")]
    #[cfg_attr(docsrs, doc(cfg(feature = "spool")))]
    pub fn spool(mut self, spool: Spool) -> Self {
        self.spool = Some(spool);
        self
    }

    /// Starts the writer on the current tokio runtime. Sends no request.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for options or a template that are not
    /// valid, or outside of a tokio runtime; kind [`Spool`](crate::ErrorKind::Spool) if the
    /// directory cannot be used: looking at it takes some blocking system calls. Options of a key
    /// that are not valid are reported when the key is written to.
    pub fn start(self) -> Result<KeyedWriter> {
        let Self {
            store,
            bucket,
            names,
            kind,
            mut limits,
            max_concurrent_appends,
            on_failed,
            spool,
        } = self;
        let context = |error: Error| error.with_operation("open");
        check_bucket(&bucket).map_err(|error| context(error.into()))?;
        for (name, value) in [
            ("max_open", limits.max_open as u64),
            ("max_concurrent_appends", max_concurrent_appends as u64),
            ("buffer_capacity", limits.buffer_capacity),
            ("max_failed_keys", limits.max_failed_keys as u64),
            ("idle_timeout", u64::from(!limits.idle_timeout.is_zero())),
        ] {
            if value == 0 {
                return Err(context(Error::invalid_input(format!(
                    "{name} must be more than zero"
                ))));
            }
        }
        let runtime = Handle::try_current().map_err(|error| {
            context(Error::invalid_input("a writer needs a tokio runtime").with_source(error))
        })?;
        let most = Semaphore::MAX_PERMITS;
        limits.max_open = limits.max_open.min(most);
        limits.buffer_capacity = limits.buffer_capacity.min(most as u64);
        limits.ahead = max_concurrent_appends.min(limits.max_open / 4);
        let rolling = matches!(kind, Kind::Rolling(_));
        let template = match &names {
            Names::Function(_) => None,
            Names::Template(text) => Some(FieldTemplate::new(text, rolling).map_err(context)?),
        };
        let gate = Arc::new(Semaphore::new(max_concurrent_appends.min(most)));
        let on = runtime.clone();
        let events = Arc::new(Events::default()).here();
        let spools = match spool {
            Some(spool) => Some(KeySpools::open(spool, limits.buffer_capacity).map_err(context)?),
            None => None,
        };
        let left = spools.as_ref().map(KeySpools::left);
        let left = left.transpose().map_err(context)?;
        let open: Open = Box::new(move |key: &str, observer, spool| {
            let _context = on.enter();
            let name = match &names {
                Names::Function(name) => name(key),
                Names::Template(_) => key.to_owned(),
            };
            let surroundings = Surroundings {
                gate: Arc::clone(&gate),
                observer,
                spool,
                runtime: on.clone(),
            };
            let store = Arc::clone(&store);
            let events = Arc::clone(&events);
            match &kind {
                Kind::Plain(configure) => {
                    let object = ObjectPath::new(&bucket, name)?;
                    let builder = OssAppendWriterBuilder::new(store, object).events(events);
                    object::prepare(configure(key, builder), surroundings)
                }
                Kind::Rolling(configure) => {
                    let builder = RollingWriterBuilder::new(store, bucket.clone(), name)
                        .writer(|writer| writer.events(events));
                    object::prepare_sequence(configure(key, builder), surroundings)
                }
            }
        });
        let pool = Pool::start(open, limits, on_failed, spools, &runtime);
        if let Some(left) = left {
            pool.deliver_left(left);
        }
        Ok(KeyedWriter::new(pool, template))
    }
}

impl<S> Clone for KeyedWriterBuilder<S> {
    fn clone(&self) -> Self {
        Self {
            store: Arc::clone(&self.store),
            bucket: self.bucket.clone(),
            names: self.names.clone(),
            kind: match &self.kind {
                Kind::Plain(configure) => Kind::Plain(Arc::clone(configure)),
                Kind::Rolling(configure) => Kind::Rolling(Arc::clone(configure)),
            },
            limits: self.limits,
            max_concurrent_appends: self.max_concurrent_appends,
            on_failed: self.on_failed.clone(),
            spool: self.spool.clone(),
        }
    }
}

impl<S> fmt::Debug for KeyedWriterBuilder<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedWriterBuilder")
            .field("bucket", &self.bucket)
            .field("rolling", &matches!(self.kind, Kind::Rolling(_)))
            .field("limits", &self.limits)
            .field("max_concurrent_appends", &self.max_concurrent_appends)
            .field("on_failed", &self.on_failed)
            .field("spool", &self.spool)
            .finish_non_exhaustive()
    }
}
