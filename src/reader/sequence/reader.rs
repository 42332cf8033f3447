//! `SequenceReader`: what a program reads a sequence of objects from.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures::Stream;
use futures::stream::{self, StreamExt as _};
use tokio::sync::Notify;
use tokio_util::codec::Decoder;

use super::builder::SequenceReaderBuilder;
use super::turns::{Turn, Turns};
use crate::client::OssClient;
use crate::error::Result;
use crate::reader::follow::{Event, Events, FollowHandle, Followed, FollowedItems, FollowedLines};
use crate::reader::source::Source;
use crate::rolling::KeyTemplate;
use crate::rolling::find::Directory;
use crate::values::checkpoint::Checkpoint;
use crate::values::path::ObjectPath;

/// Reads the objects of a sequence in their order, as a
/// [`RollingWriter`](crate::RollingWriter) writes them, and follows the newest, across rolls, restarts
/// and gaps: a [`Stream`] of their bytes with their places, or of [lines](Self::lines), or of the
/// items of [any decoder](Self::decode).
///
/// ```no_run
/// use futures::StreamExt;
/// use oss_append::{Checkpoint, KeyTemplate, OssClient, SequenceReader};
///
/// # async fn example(client: OssClient, stored: Option<Checkpoint>) -> Result<(), Box<dyn std::error::Error>> {
/// // What the writer was given: RollingWriter::builder(client, "logs", "app/%Y-%m-%d/%H-{seq}.log")
/// let template: KeyTemplate = "app/%Y-%m-%d/%H-{seq}.log".parse()?;
/// let mut builder = SequenceReader::builder(client, "logs", template);
/// if let Some(stored) = stored {
///     builder = builder.checkpoint(stored);
/// }
/// let mut lines = builder.open().await?.lines();
/// while let Some(line) = lines.next().await {
///     let line = line?;
///     println!("{} {}: {:?}", line.object, line.start, line.item);
///     // Store `line.checkpoint()` together with what you make of the line.
/// }
/// # Ok(())
/// # }
/// ```
///
/// # Which objects
/// Those that the template names, by their periods and then by their numbers. They are found by
/// listing (`oss:ListObjects`), by as few listings as the beginnings of the keys allow; where that is
/// not allowed, by trying keys (`oss:GetObject` alone), and then the numbers of a period have to begin
/// at 1 and be without gaps. Objects that are not appendable are passed over, as a writer does. A
/// `{hash}` at the start of the keys costs a listing for each period.
///
/// A period's objects are looked for once it has begun by this host's clock. `{host}` in the template
/// is this host's name: write another's in its place.
///
/// # When an object is finished
/// An object that is sealed is finished when it has been given out to its end. Another one is
/// finished when there is a next one, and a look after that was seen has found nothing new. A
/// [`RollingWriter`](crate::RollingWriter) begins an object only after all that it has sent to the one
/// before is settled, so that nothing is missed. **What somebody appends to an older object after that
/// is not read**, such as a second writer that has the same template and a clock that is late.
///
/// The stream has no end: there may always be a next object.
///
/// # Errors
/// Those of an [`ObjectFollower`](crate::ObjectFollower), of the object that is read, and those of
/// listing. The stream ends after an error.
///
/// # Cancel safety
/// `next` that is dropped loses nothing: what has come stays in the reader, and a request that was
/// under way is waited for by the following `next`. Dropping the reader ends it.
///
/// # Cost
/// A look is one HEAD of the object that is followed, one of the next number, and, when a period has
/// begun since, a listing or a few. While nothing comes, the numbers of the period are listed once a
/// minute. With the default
/// [`poll_interval`](crate::ObjectFollowerBuilder::poll_interval) that is about 25 to 50 requests a
/// minute for a sequence that rests.
pub struct SequenceReader {
    bucket: String,
    template: KeyTemplate,
    bell: Arc<Notify>,
    place: Option<Checkpoint>,
    events: Events,
}

impl SequenceReader {
    /// Prepares to read the objects that `template` names in `bucket`. Unless told otherwise, it
    /// begins with the newest object of the present period, at its start.
    pub fn builder(
        client: OssClient,
        bucket: impl Into<String>,
        template: KeyTemplate,
    ) -> SequenceReaderBuilder {
        SequenceReaderBuilder::new(client, bucket.into(), template)
    }

    pub(super) fn new<S: Source, D: Directory + 'static>(turns: Turns<S, D>) -> Self {
        let place = turns.place().and_then(|(candidate, proven)| {
            let object = ObjectPath::new(&turns.bucket, candidate.key()).ok()?;
            Some(Checkpoint::at(object, proven))
        });
        Self {
            bucket: turns.bucket.clone(),
            template: turns.finder.slots.template().clone(),
            bell: Arc::clone(&turns.bell),
            place,
            events: stream::try_unfold(turns, async |mut turns| {
                let event = match turns.next().await? {
                    Turn::Piece(piece) => Event::Piece(piece),
                    Turn::End => Event::End,
                };
                Ok(Some((event, turns)))
            })
            .boxed(),
        }
    }

    /// The point up to which the sequence has been given out, to go on from there later. `None`:
    /// nothing was, and no object has been taken up.
    pub fn checkpoint(&self) -> Option<&Checkpoint> {
        self.place.as_ref()
    }

    /// A handle by which the program says that something was appended. It stays good when the reader
    /// is turned into lines or items.
    pub fn handle(&self) -> FollowHandle {
        FollowHandle::new(Arc::clone(&self.bell))
    }

    /// The lines of the objects, without their line feeds. No line goes over the end of an object:
    /// a writer that keeps [records whole](crate::RollingWriterBuilder::delimiter) splits none.
    pub fn lines(self) -> FollowedLines {
        FollowedLines::new(self.events)
    }

    /// The items that `decoder` makes of the objects' bytes. No item goes over the end of an object.
    pub fn decode<D: Decoder>(self, decoder: D) -> FollowedItems<D> {
        FollowedItems::new(self.events, decoder)
    }
}

/// The bytes as they come, never an empty piece.
impl Stream for SequenceReader {
    type Item = Result<Followed<Bytes>>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            match ready!(self.events.poll_next_unpin(cx)) {
                Some(Ok(Event::Piece((_, piece)))) => {
                    self.place = Some(piece.checkpoint());
                    return Poll::Ready(Some(Ok(piece)));
                }
                Some(Ok(Event::End)) => {}
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
    }
}

impl fmt::Debug for SequenceReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SequenceReader")
            .field("bucket", &self.bucket)
            .field("template", &format_args!("{}", self.template))
            .field("place", &self.place)
            .finish_non_exhaustive()
    }
}
