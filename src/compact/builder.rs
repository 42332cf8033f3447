//! The options of a compaction.

use std::sync::Arc;
use std::time::Duration;

use super::Compacted;
use super::run::Run;
use crate::client::{MIN_PART_SIZE, OssClient};
use crate::drive::events::{DeliveryEvent, Events};
use crate::engine::rules::Rules;
use crate::error::{Error, Result};
use crate::stage::compression::Compression;
use crate::store::options::StorageClass;
use crate::values::backoff::Backoff;
use crate::values::format::StoredFormat;
use crate::values::path::ObjectPath;

/// The prefix of the key of a compacted object, unless another key is asked for.
const PREFIX: &str = "compact/";

/// Makes one Normal object of a finished appendable one.
///
/// Appendable objects read more slowly, cannot move to every storage class, and what was compressed
/// append by append is read only up to the first member by many readers. The new object is made by a
/// multipart upload, whose parts OSS copies from the old one: nothing is downloaded. With
/// `recompress` the bytes are read, decompressed if they are compressed, and uploaded as one gzip
/// member or one zstd frame.
///
/// ```
/// use oss_append::{Compaction, ObjectPath};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> oss_append::Result<()> {
/// # let emulator = oss_append::emulator::Emulator::builder().bucket("logs").sealing(true).start().await?;
/// # emulator.append_foreign("logs", "app.log", "one\ntwo\n")?;
/// # let client = emulator.client().build()?;
/// let finished = ObjectPath::new("logs", "app.log")?;
/// let done = Compaction::new(client, finished).delete_source(true).run().await?;
/// assert_eq!(done.target.key(), "compact/app.log");
/// assert_eq!(done.length, 8);
/// # Ok(())
/// # }
/// ```
///
/// # What is promised
/// - The new object appears at once and whole, or not at all, and never takes the place of another
///   one: an object that is there and is not the result of this very compaction is a
///   [`Conflict`](crate::ErrorKind::Conflict).
/// - It is compared before the old one goes. A copy must have the length and the CRC-64 of the old
///   object. Of what was compressed anew, the object must have the CRC-64 of what was uploaded, and it
///   is read back and decompressed: its content must have the length and the CRC-64 of the old one's.
/// - The old object is kept unless [`delete_source`](Self::delete_source) is set. It is sealed then
///   before anything else, at the length that is compacted, so that nothing can be appended between
///   the comparison and its end.
/// - An object that grows or is replaced meanwhile is a [`Conflict`](crate::ErrorKind::Conflict), and
///   nothing is made of it. One that grows after that, when it is not sealed, is not noticed.
/// - Killed at any moment, and run again with the same options, it ends as if it had not been killed:
///   an unfinished upload is aborted and begun anew, a finished object is found by its CRC-64, an old
///   object that is still there is deleted. The same holds for a lost answer to the request that
///   completes the upload: a look at the object tells what became of it.
///
/// The new object has the old one's content type and encoding, cache control, disposition, expiry and
/// user metadata, but for the mark of its creator, and in addition the metadata
/// [`MARK`](Self::MARK). ACL, tags, encryption and storage class are those of a new object; only the
/// last can be [set](Self::storage_class).
///
/// Other uploads under way for the key of the new object are aborted: no one else should make objects
/// of that name. Without the permission to list uploads they are left, and cost what their parts take
/// until a lifecycle rule ends them.
///
/// # Where OSS's documents are silent
/// Whether UploadPartCopy takes an appendable source: see
/// [`UploadPartCopyRequest`](crate::client::UploadPartCopyRequest). Where OSS refuses, the bytes are
/// downloaded and uploaded, and [`CompactedBy::Upload`](crate::CompactedBy::Upload) says so.
///
/// # After a roll
/// A program compacts what a `RollingWriter` has finished in a task of its own, since the callback
/// must not block:
///
/// ```
/// # #[cfg(feature = "rolling")]
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let emulator = oss_append::emulator::Emulator::builder().bucket("logs").start().await?;
/// # let client = emulator.client().build()?;
/// use oss_append::{Compaction, RollingWriter};
/// use tokio::sync::mpsc;
///
/// let (sender, mut finished) = mpsc::unbounded_channel();
/// let compactor = tokio::spawn({
///     let client = client.clone();
///     async move {
///         while let Some(object) = finished.recv().await {
///             let compaction = Compaction::new(client.clone(), object);
///             if let Err(error) = compaction.run().await {
///                 // The old object is there yet: it can be tried again at any time.
///                 eprintln!("{error}");
///             }
///         }
///     }
/// });
/// # let size = 6;
/// # #[cfg(any())]
/// let size = 1_000_000_000;
/// let mut writer = RollingWriter::builder(client, "logs", "app-{seq:6}.log")
///     .roll_size(size)
///     .on_finished(move |done| {
///         let _ = sender.send(done.object);
///     })
///     .start()?;
/// writer.write_all(b"hello\n").await?;
/// # writer.sync().await?;
/// # writer.write_all(b"again\n").await?;
/// writer.shutdown().await?;
/// drop(writer);
/// compactor.await?;
/// # assert_eq!(emulator.object("logs", "compact/app-000001.log").unwrap().bytes, "hello\n");
/// # assert_eq!(emulator.object("logs", "compact/app-000002.log").unwrap().bytes, "again\n");
/// # Ok(())
/// # }
/// # #[cfg(not(feature = "rolling"))]
/// # fn main() {}
/// ```
///
/// The old objects are kept here, for a lifecycle rule to end: which number comes next is found by the
/// objects that are there. A writer whose finished objects are deleted needs a template with `{uuid}`,
/// or with the time of each roll.
///
/// A program that ends between a roll and its compaction leaves the object as it was; a later run
/// of `oss-append compact` does the rest.
#[derive(Clone, Debug)]
#[must_use = "nothing is done until `run` is called"]
pub struct Compaction {
    pub(super) client: OssClient,
    pub(super) source: ObjectPath,
    pub(super) target: Option<ObjectPath>,
    pub(super) recompress: Option<Compression>,
    pub(super) delete_source: bool,
    pub(super) seal: bool,
    pub(super) storage_class: Option<StorageClass>,
    pub(super) part_size: u64,
    pub(super) parallel: usize,
    pub(super) rules: Rules,
    pub(super) events: Arc<Events>,
}

impl Compaction {
    /// The user metadata of a compacted object: length and CRC-64 of what it was made of, as
    /// `LENGTH-CRC64` in decimal. By it a later run knows the object again.
    pub const MARK: &'static str = "oss-append-compacted";

    /// Prepares to compact `source`.
    pub fn new(client: OssClient, source: ObjectPath) -> Self {
        Self {
            client,
            source,
            target: None,
            recompress: None,
            delete_source: false,
            seal: true,
            storage_class: None,
            part_size: crate::values::defaults::PART_SIZE,
            parallel: 4,
            rules: Rules::default(),
            events: Arc::default(),
        }
    }

    /// Where the new object goes: another object of the same bucket. Default: the key of the old one
    /// behind `compact/`; if it is compressed anew, with the ending `.gz` or `.zst` that goes with
    /// that.
    pub fn to(mut self, target: ObjectPath) -> Self {
        self.target = Some(target);
        self
    }

    /// Compresses the content as one gzip member or zstd frame, whatever it was. Default: the bytes
    /// stay as they are.
    #[cfg(feature = "compression")]
    #[cfg_attr(docsrs, doc(cfg(feature = "compression")))]
    pub fn recompress(mut self, compression: Compression) -> Self {
        self.recompress = Some(compression);
        self
    }

    /// Deletes the old object once the new one has been compared with it. It is sealed before that. A
    /// writer of a sequence that is numbered by `{seq}` finds the next number by the objects that are
    /// there, so the newest of them should stay. Default: it is kept.
    pub fn delete_source(mut self, delete: bool) -> Self {
        self.delete_source = delete;
        self
    }

    /// Whether an old object that is to be deleted is sealed first. Without that, what is appended in
    /// the moment before it is deleted is lost: only for objects that nobody appends to any more, where
    /// sealing is not allowed ([`OperationNotSupported`][seal]). Default: `true`.
    ///
    /// [seal]: crate::client::SealAppendObjectRequest::send
    pub fn seal_source(mut self, seal: bool) -> Self {
        self.seal = seal;
        self
    }

    /// The storage class of the new object. One that is archived cannot be read back, so it does not go
    /// with `recompress`. Default: that of the bucket.
    pub fn storage_class(mut self, class: StorageClass) -> Self {
        self.storage_class = Some(class);
        self
    }

    /// The bytes of a part, at least 100 KiB. Larger ones are taken where more than 5,000 would be
    /// needed. Default: 8 MiB.
    pub fn part_size(mut self, bytes: u64) -> Self {
        self.part_size = bytes;
        self
    }

    /// So many parts are copied or uploaded at a time. Of what is uploaded so many are in memory, and
    /// two more. Default: 4.
    pub fn parallel(mut self, parts: usize) -> Self {
        self.parallel = parts;
        self
    }

    /// Fails for good when a request was not answered for this long, however often it was tried
    /// again. Default: 120 s.
    pub fn delivery_timeout(mut self, timeout: Duration) -> Self {
        self.rules.delivery_timeout = timeout;
        self
    }

    /// How long to wait between attempts. Default: base 100 ms, max 10 s, full jitter.
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.rules.backoff = backoff;
        self
    }

    /// Calls this whenever a request fails that is tried again, and when that is over. It must not
    /// block. Default: none.
    pub fn on_event(mut self, callback: impl Fn(DeliveryEvent) + Send + Sync + 'static) -> Self {
        Arc::make_mut(&mut self.events).call(Arc::new(callback));
        self
    }

    /// Does it.
    ///
    /// # Errors
    /// - [`InvalidInput`](crate::ErrorKind::InvalidInput): an option is not valid, the object is not
    ///   appendable, so that there is nothing to compact, or its content cannot be decompressed.
    /// - [`Conflict`](crate::ErrorKind::Conflict): the object grows or was replaced, or there is
    ///   another one where the new one should go.
    /// - [`Checksum`](crate::ErrorKind::Checksum): the new object is not what it should be. Both are
    ///   there.
    /// - [`RetriesExhausted`](crate::ErrorKind::RetriesExhausted), or what OSS said where trying again
    ///   would not help, such as `NoSuchKey` (404).
    ///
    /// After each of them the old object is there, perhaps sealed.
    ///
    /// # Cancel safety
    /// Dropping the future is as a kill: run it again. Parts that were uploaded stay until then.
    pub async fn run(self) -> Result<Compacted> {
        let source = self.source.clone();
        let failed = |error: Error| error.with_operation("compact").with_object(&source);
        let target = self.check().map_err(failed)?;
        Run::new(self, target).run().await.map_err(failed)
    }

    /// The form in which the content is compressed anew.
    pub(super) fn format(&self) -> Option<StoredFormat> {
        self.recompress.map(Compression::format)
    }

    /// Checks the options. Gives the target.
    fn check(&self) -> Result<ObjectPath> {
        self.rules.check()?;
        if let Some(compression) = self.recompress {
            compression.check()?;
        }
        let class = self.storage_class.map(StorageClass::as_str);
        if self.recompress.is_some() && class.is_some_and(|class| class.ends_with("Archive")) {
            return Err(Error::invalid_input(
                "what is compressed anew is read back, which an archived object cannot be: take \
                 another storage class, and let a lifecycle rule move the object later",
            ));
        }
        if self.part_size < MIN_PART_SIZE || self.parallel == 0 {
            return Err(Error::invalid_input(format!(
                "part_size must be at least {MIN_PART_SIZE} bytes, and parallel at least one part"
            )));
        }
        let target = match &self.target {
            Some(target) => target.clone(),
            None => self.usual_target()?,
        };
        if target == self.source {
            return Err(Error::invalid_input(
                "an object cannot be compacted in its own place: name another one for the result",
            ));
        }
        if target.bucket() != self.source.bucket() {
            return Err(Error::invalid_input(
                "an object is compacted to another one of the same bucket",
            ));
        }
        Ok(target)
    }

    fn usual_target(&self) -> Result<ObjectPath> {
        let mut key = format!("{PREFIX}{}", self.source.key());
        let ending = match self.format() {
            Some(StoredFormat::Gzip) => ".gz",
            Some(StoredFormat::Zstd) => ".zst",
            _ => "",
        };
        if !key.ends_with(ending) {
            let plain = [".gz", ".zst"].iter().find_map(|end| key.strip_suffix(end));
            key = format!("{}{ending}", plain.unwrap_or(&key));
        }
        Ok(ObjectPath::new(self.source.bucket(), key)?)
    }
}
