//! The reader's options and its opening.

use std::future::poll_fn;
use std::ops::RangeBounds;
use std::sync::Arc;
use std::time::Duration;

use super::content::Content;
#[cfg(feature = "compression")]
use super::decompressing::Decompressing;
use super::object::ObjectReader;
use super::parts::ReadAhead;
use super::reading::Reading;
use super::source::Stored;
use super::span::Span;
use super::transfer::Manner;
use crate::client::OssClient;
use crate::drive::events::{DeliveryEvent, Events};
use crate::drive::stats::Counters;
use crate::engine::rules::Rules;
use crate::error::{Error, Result};
use crate::store::options::RequestOptions;
use crate::values::backoff::Backoff;
use crate::values::checkpoint::Checkpoint;
use crate::values::defaults;
use crate::values::path::ObjectPath;

/// Options for opening an [`ObjectReader`].
#[derive(Clone, Debug)]
#[must_use = "call `open` to get the reader"]
pub struct ObjectReaderBuilder {
    client: OssClient,
    object: ObjectPath,
    span: Span,
    checkpoint: Option<Checkpoint>,
    ahead: ReadAhead,
    #[cfg(feature = "compression")]
    decompress: bool,
    request: RequestOptions,
    rules: Rules,
    events: Arc<Events>,
}

impl ObjectReaderBuilder {
    pub(super) fn new(client: OssClient, object: ObjectPath) -> Self {
        Self {
            client,
            object,
            span: Span::ALL,
            checkpoint: None,
            ahead: ReadAhead {
                parts: defaults::READ_AHEAD,
                part_size: defaults::PART_SIZE,
            },
            #[cfg(feature = "compression")]
            decompress: false,
            request: RequestOptions::default(),
            rules: Rules::default(),
            events: Arc::new(Events::of_reader()),
        }
    }

    /// Reads these bytes alone, by their positions, such as `0..100` or `100..`. What is behind the
    /// object's end is left out. Nothing is compared, unless it is the whole object. Default: all.
    ///
    /// This, [`last`](Self::last) and [`checkpoint`](Self::checkpoint) take the place of each other.
    pub fn range(mut self, range: impl RangeBounds<u64>) -> Self {
        self.checkpoint = None;
        self.span = Span::Between(range.start_bound().cloned(), range.end_bound().cloned());
        self
    }

    /// Reads the last so many bytes, or all if there are fewer. It takes one HEAD more.
    pub fn last(mut self, bytes: u64) -> Self {
        self.checkpoint = None;
        self.span = Span::Last(bytes);
        self
    }

    /// Reads what was appended after this point. It is compared with the object's CRC-64 at the end
    /// if the checkpoint has one. It takes one HEAD more.
    pub fn checkpoint(mut self, from: Checkpoint) -> Self {
        self.span = Span::After(from.proven());
        self.checkpoint = Some(from);
        self
    }

    /// Reads so many parts of the span at a time, each by a request of its own, and gives them out in
    /// order. That many parts may be in memory: `parts` × [`part_size`](Self::part_size). All but the
    /// first are read by tasks, whether or not the reader is polled. Default: 1, one request for all,
    /// and nothing is kept in memory but what has just come.
    pub fn read_ahead(mut self, parts: usize) -> Self {
        self.ahead.parts = parts;
        self
    }

    /// The bytes of a part, where [several are read at a time](Self::read_ahead). Default: 8 MiB.
    pub fn part_size(mut self, bytes: u64) -> Self {
        self.ahead.part_size = bytes;
        self
    }

    /// Gives out what the object's gzip members and zstd frames hold, all of them one after another,
    /// as `zcat` and `zstdcat` do. The format of each is told by its first bytes, whatever the key or
    /// the headers say. Default: false, the bytes as they are stored.
    ///
    /// What is read has to begin where a member does, as each append of a writer with
    /// [`Compression`](crate::Compression) does, and has to end where one ends. Else it ends with
    /// [`Decompression`](crate::ErrorKind::Decompression), behind the content that there is, and so
    /// does what is damaged. The ranges and positions of the reader are those of the stored bytes, and
    /// those are what is compared.
    ///
    /// Each piece of up to 128 KiB is decompressed on a thread of the runtime for work that blocks,
    /// when it is asked for. A zstd frame may take as much memory as its window, up to 128 MiB; one
    /// with a larger window is refused.
    #[cfg(feature = "compression")]
    #[cfg_attr(docsrs, doc(cfg(feature = "compression")))]
    pub fn decompress(mut self, decompress: bool) -> Self {
        self.decompress = decompress;
        self
    }

    /// Sets the traffic limit and who pays. Default: nothing.
    pub fn request_options(mut self, options: RequestOptions) -> Self {
        self.request = options;
        self
    }

    /// Gives a request up when nothing has moved for this long, and reads on by another. An answer
    /// that still moves is never cut, and a pause of the program's does not count. Default: 30 s. An
    /// [`OssClient`] has a limit of this kind too; the shorter one counts.
    pub fn attempt_timeout(mut self, timeout: Duration) -> Self {
        self.rules.attempt_timeout = timeout;
        self
    }

    /// Fails for good when not a byte has come for this long, however often was retried until then.
    /// Default: 120 s.
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

    /// Calls this whenever a request fails that is tried again, when bytes come again, and when
    /// reading is given up after that, beside the events for `tracing`. It runs where the reader is
    /// polled, so it must not block. A panic in it ends nothing. Default: none.
    pub fn on_event(mut self, callback: impl Fn(DeliveryEvent) + Send + Sync + 'static) -> Self {
        Arc::make_mut(&mut self.events).call(Arc::new(callback));
        self
    }

    /// Asks for the object, and returns as soon as it is known what it is: a GET, of which the bytes
    /// are read later, or a HEAD.
    ///
    /// # Errors
    /// What OSS said, such as `NoSuchKey` (404), or `InvalidRange` (416) for a range that begins at
    /// the object's end or behind it; [`InvalidInput`](crate::ErrorKind::InvalidInput) for an empty
    /// range, a checkpoint of another object, or an option that is zero;
    /// [`Conflict`](crate::ErrorKind::Conflict) if the object does not reach to the checkpoint;
    /// [`RetriesExhausted`](crate::ErrorKind::RetriesExhausted) if there was no answer in time.
    ///
    /// # Cancel safety
    /// Nothing is lost: reading has no effect.
    pub async fn open(self) -> Result<ObjectReader> {
        let Self {
            client,
            object,
            span,
            checkpoint,
            ahead,
            #[cfg(feature = "compression")]
            decompress,
            request,
            rules,
            events,
        } = self;
        let checked = match checkpoint {
            Some(from) if from.object != object => Err(Error::invalid_input(format!(
                "the checkpoint to read from is of {}",
                from.object
            ))),
            _ if ahead.parts == 0 || ahead.part_size == 0 => Err(Error::invalid_input(
                "read_ahead must be at least one part, and part_size at least one byte",
            )),
            _ => rules.check(),
        };
        checked.map_err(|error| error.with_operation("read").with_object(&object))?;
        let source = Stored {
            client,
            object: object.clone(),
            options: request,
        };
        let manner = Manner {
            counters: Arc::new(Counters::new(&object, &events)),
            rules: Arc::new(rules),
            object: object.clone(),
        };
        let mut reading = Reading::new(source, manner, span, ahead);
        let (found, range) = poll_fn(|cx| reading.poll_open(cx)).await?;
        #[cfg(feature = "compression")]
        if decompress {
            let content = Decompressing::new(reading, object.clone(), range.start);
            let content = Content::Decompressed(Box::new(content));
            return Ok(ObjectReader::new(object, found, range, content));
        }
        let content = Content::Stored(Box::new(reading));
        Ok(ObjectReader::new(object, found, range, content))
    }
}
