//! `ObjectFollower`: what a program reads a growing object from.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures::Stream;
use futures::stream::{self, StreamExt as _};
use tokio::sync::Notify;
use tokio_util::codec::Decoder;

use super::builder::ObjectFollowerBuilder;
use super::followed::Followed;
use super::following::{Following, Looked};
use super::items::{Event, Events, FollowedItems, FollowedLines};
use super::pace::Pace;
use crate::client::OssClient;
use crate::error::Result;
use crate::reader::source::Source;
use crate::values::checkpoint::Checkpoint;
use crate::values::path::ObjectPath;
use crate::values::proven::Proven;

/// Reads an appendable object, and goes on as it grows, whatever breaks meanwhile: a [`Stream`] of
/// its bytes with their positions, or of [lines](Self::lines), or of the items of
/// [any decoder](Self::decode).
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # #[cfg(feature = "emulator")] {
/// # let emulator = oss_append::emulator::Emulator::builder().bucket("my-bucket").start().await?;
/// # emulator.append_foreign("my-bucket", "orders.log", "one\ntwo\n")?;
/// # emulator.seal("my-bucket", "orders.log")?;
/// # let client = emulator.client().build()?;
/// # let stored = oss_append::Checkpoint::start("oss://my-bucket/orders.log".parse()?);
/// use futures::StreamExt;
/// use oss_append::ObjectFollower;
///
/// // `stored` is where this program has got to the last time.
/// let builder = ObjectFollower::builder(client, stored.object.clone()).checkpoint(stored);
/// let mut lines = builder.open().await?.lines();
/// while let Some(line) = lines.next().await {
///     let line = line?;
///     println!("{}: {:?}", line.start, line.item);
///     // Store `line.checkpoint()` together with what you make of the line.
/// }
/// // The object is sealed, and has been read to its end.
/// # }
/// # Ok(())
/// # }
/// ```
///
/// # How it goes on
/// It looks at the object (HEAD), reads what is new (GET), and looks again after a while: after the
/// first of [`poll_interval`](ObjectFollowerBuilder::poll_interval) when something has come, and twice
/// as long each time while nothing comes, up to the last. A program that knows of an append says so
/// by [`FollowHandle::appended`], and the next look is at once.
///
/// The stream ends when the object is sealed and has been given out to its end, and then alone; an
/// object that is not sealed has no end. Nothing is asked for while the stream is not polled.
///
/// # What is compared
/// Each look has to show at least as many bytes as were given out, of the same object. When the
/// length that a look has told is reached, and before the last bytes up to it are given out, the CRC-64
/// of all bytes since the object's start has to be that which the look has told. So an object that was
/// replaced or shortened is an error, never a mixture. Where following begins at a position without
/// CRC-64, what is before it cannot be compared: the CRC-64 that the first look tells is taken for
/// right.
///
/// # Errors
/// A failure that may pass is retried, as patiently as an [`ObjectReader`](crate::ObjectReader) does.
/// The stream ends after an error.
///
/// - [`Conflict`](crate::ErrorKind::Conflict): the object was
///   [replaced](crate::ConflictCause::Replaced) or [removed](crate::ConflictCause::Gone).
/// - [`ReadDiffers`](crate::ErrorKind::ReadDiffers): the bytes do not have the object's CRC-64. What
///   was given out since the length that was compared before is not to be trusted.
/// - [`RetriesExhausted`](crate::ErrorKind::RetriesExhausted): there was no answer for as long as the
///   [`delivery_timeout`](ObjectFollowerBuilder::delivery_timeout) says.
/// - [`NotAppendable`](crate::ErrorKind::NotAppendable): the object cannot grow.
/// - What OSS said, where trying again would not help.
///
/// # Cancel safety
/// `next` that is dropped loses nothing: what has come stays in the follower, and a request that was
/// under way is waited for by the following `next`. Dropping the follower ends it.
///
/// # Cost
/// A look is one HEAD request, and what is new takes one GET. With the default bounds that is at most
/// 600 requests a minute for an object that grows all the time, and 12 for one that rests.
pub struct ObjectFollower {
    object: ObjectPath,
    bell: Arc<Notify>,
    /// How far it has been given out.
    place: Proven,
    sealed: bool,
    events: Events,
}

impl ObjectFollower {
    /// Prepares to follow `object`, from its start unless told otherwise.
    pub fn builder(client: OssClient, object: ObjectPath) -> ObjectFollowerBuilder {
        ObjectFollowerBuilder::new(client, object)
    }

    pub(super) fn new<S: Source>(
        object: ObjectPath,
        following: Following<S>,
        looked: Option<Looked>,
        pace: Pace,
    ) -> Self {
        let bell = Arc::new(Notify::new());
        let turns = Turns {
            place: following.proven(),
            following,
            looked,
            pace,
            bell: Arc::clone(&bell),
        };
        Self {
            object,
            bell,
            place: turns.place,
            sealed: false,
            events: stream::try_unfold(Some(turns), step).boxed(),
        }
    }

    /// The object.
    pub fn object(&self) -> &ObjectPath {
        &self.object
    }

    /// The position in the object of the next byte that is given out.
    pub fn position(&self) -> u64 {
        self.place.position.bytes()
    }

    /// The point up to which the object has been given out, to go on from there later.
    pub fn checkpoint(&self) -> Checkpoint {
        Checkpoint::at(self.object.clone(), self.place)
    }

    /// Whether the stream has ended because the object is sealed and has been given out to its end.
    pub fn is_sealed(&self) -> bool {
        self.sealed
    }

    /// A handle by which the program says that something was appended. It stays good when the
    /// follower is turned into lines or items.
    pub fn handle(&self) -> FollowHandle {
        FollowHandle {
            bell: Arc::clone(&self.bell),
        }
    }

    /// The lines of the object, without their line feeds. The last one may be
    /// [without](FollowedLines) where the object is sealed.
    pub fn lines(self) -> FollowedLines {
        FollowedLines::new(self.events)
    }

    /// The items that `decoder` makes of the object's bytes.
    pub fn decode<D: Decoder>(self, decoder: D) -> FollowedItems<D> {
        FollowedItems::new(self.events, decoder)
    }
}

/// The bytes as they come, never an empty piece.
impl Stream for ObjectFollower {
    type Item = Result<Followed<Bytes>>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            match ready!(self.events.poll_next_unpin(cx)) {
                Some(Ok(Event::Piece((_, piece)))) => {
                    self.place = piece.checkpoint().proven();
                    return Poll::Ready(Some(Ok(piece)));
                }
                Some(Ok(Event::End)) => self.sealed = true,
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
    }
}

impl fmt::Debug for ObjectFollower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObjectFollower")
            .field("object", &format_args!("{}", self.object))
            .field("position", &self.position())
            .field("sealed", &self.sealed)
            .finish_non_exhaustive()
    }
}

/// Says to a follower, such as an [`ObjectFollower`], that something was appended to what it
/// follows. Clones are of the same follower.
#[derive(Clone, Debug)]
pub struct FollowHandle {
    bell: Arc<Notify>,
}

impl FollowHandle {
    #[cfg(feature = "rolling")]
    pub(in crate::reader) fn new(bell: Arc<Notify>) -> Self {
        Self { bell }
    }

    /// Something was appended: the follower looks at once, or, if it is looking, once more after
    /// that. To say it too often costs a request each time at most.
    ///
    /// Call it after the append is durable, such as after a flush of the writer has returned.
    pub fn appended(&self) {
        self.bell.notify_one();
    }
}

/// What goes on from turn to turn.
struct Turns<S> {
    following: Following<S>,
    /// What the last look has found; `None`: no object yet.
    looked: Option<Looked>,
    pace: Pace,
    bell: Arc<Notify>,
    place: Proven,
}

/// What comes next; `None` after the end.
async fn step<S: Source>(turns: Option<Turns<S>>) -> Result<Option<(Event, Option<Turns<S>>)>> {
    let Some(mut turns) = turns else {
        return Ok(None);
    };
    loop {
        if let Some(piece) = turns.following.piece().await? {
            turns.pace.reset();
            return Ok(Some((Event::Piece(piece), Some(turns))));
        }
        if turns.looked.is_some_and(|looked| looked.sealed) {
            return Ok(Some((Event::End, None)));
        }
        turns.pace.rest(&turns.bell).await;
        turns.looked = turns.following.look().await?;
    }
}
