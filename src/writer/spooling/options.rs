//! The options of a spool.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::many::Many;

/// Keeps what a writer has accepted in a directory until it is durable in OSS: across an outage of
/// any length, and across the end of the process.
///
/// A writer that is opened again with the same directory and for the same object or sequence finds
/// out by the object's length and CRC-64 how much of the spool is in it, sends the rest, and goes on:
/// every byte lands exactly once and in order, whatever killed the process.
///
/// ```no_run
/// # async fn example(client: oss_append::OssClient) -> oss_append::Result<()> {
/// use oss_append::{OssAppendWriter, Spool};
///
/// let object = "oss://logs/app.log".parse()?;
/// let spool = Spool::new("/var/spool/app").max_size(20 << 30);
/// let mut writer = OssAppendWriter::builder(client, object).spool(spool).open().await?;
/// writer.write_all(b"one line\n").await?;
/// writer.spooled().await?; // on disk: survives the process
/// writer.flush().await?; // in OSS
/// # Ok(())
/// # }
/// ```
///
/// While OSS is away [`start`](crate::OssAppendWriterBuilder::start) takes the place of `open`: what is
/// written then goes in the spool, behind what is there.
///
/// # What survives what
/// | what happens | [`Never`](SpoolSync::Never) | [`Every(t)`](SpoolSync::Every) | [`Always`](SpoolSync::Always) |
/// |---|---|---|---|
/// | OSS is away, for whatever time | all that was accepted | the same | the same |
/// | a panic, `process::exit`, SIGKILL, the memory is short (OOM) | all that was [spooled](crate::OssAppendWriter::spooled) | the same | the same |
/// | power loss, a crash of the kernel | what the kernel had written by itself, usually all but the last 30 s | all but the last `t` | all that was spooled |
/// | the disk is lost | what is durable in OSS | the same | the same |
///
/// What a call of a [log](crate::OssLogAppender) has returned for is spooled. What a writer has
/// accepted is within a moment: [`spooled`](crate::OssAppendWriter::spooled) waits for that.
///
/// # The directory
/// It belongs to one writer at a time, which holds a lock in it that goes with the process. Two pods
/// or two processes need a directory each. It must be on a local file system: on NFS and other shared
/// ones neither the lock nor the order of writes can be relied on. Nothing else should be in it. A
/// directory of another object, or of another version of the format, is refused and left as it is.
///
/// Files of 64 MiB are written, and deleted when all of them is durable. While OSS keeps up, that is
/// a copy through the page cache, of which little reaches the disk with `Never`. What is read back
/// was too much for the memory: the writer holds no more than
/// [`buffer_capacity`](crate::OssAppendWriterBuilder::buffer_capacity) and a half of that again.
///
/// A writer whose memory is full waits for OSS, as without a spool. When nothing has become durable
/// for 250 ms, the disk takes what comes, until the rest has been read back. A log does not wait: the
/// disk takes what comes as soon as half of its memory is in use.
///
/// # Its size
/// [`max_size`](Self::max_size) should be what is written in the longest outage that is to be bridged:
/// 1 MB a second are 86 GB a day. When it is reached, or the disk is full, writes wait (a log drops or
/// waits, by [`WhenFull`](crate::WhenFull)), what is in the spool is delivered, and
/// [`SpoolStats::problem`](crate::SpoolStats::problem) says so.
///
/// # Damage
/// Each frame in a file has a checksum. What is damaged, up to 1 MiB for a wrong byte, is lost, counted in
/// [`SpoolStats::lost`](crate::SpoolStats::lost) and named by a warning; all else is delivered. If an
/// earlier process may have sent a part of it, the object cannot be compared with it any more: then the
/// start fails with kind [`Spool`](crate::ErrorKind::Spool), and the spool stays as it is.
///
/// # Errors
/// Whatever else fails on the disk is the writer's failure, of kind
/// [`Spool`](crate::ErrorKind::Spool): what is on disk stays there for the next start.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "give it to the builder of a writer"]
pub struct Spool {
    pub(super) directory: PathBuf,
    pub(super) max_size: u64,
    pub(super) segment_size: u64,
    pub(super) sync: SpoolSync,
    /// The disk is used only when memory does not suffice.
    pub(super) by_need: bool,
    /// Whoever logs a record puts it on disk.
    pub(super) at_once: bool,
    /// The key of its records, in that of a keyed writer.
    pub(super) key: Option<Arc<str>>,
    /// It is one of many.
    pub(super) many: Option<Many>,
    /// What is in it goes in the writer's object, whichever it was for.
    pub(super) redirects: bool,
    /// In the place of the directory.
    #[cfg(test)]
    pub(super) disk: Option<crate::spool::SimulatedDisk>,
}

/// When what is in a [`Spool`] is synced to the disk, so that it survives a power loss.
///
/// But for `Never`, nothing is sent before it is synced: else OSS could hold what the spool has lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SpoolSync {
    /// Never: what is written survives the process, not the machine.
    Never,
    /// So long after it was written at the latest.
    Every(Duration),
    /// Each time that something is written: for a log, each record. It costs what `fsync` costs on
    /// the disk, often some milliseconds.
    Always,
}

impl Spool {
    /// A spool in `directory`, which is created if it is not there. By default it takes 10 GiB, and is
    /// synced [never](SpoolSync::Never).
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            max_size: 10 << 30,
            segment_size: 64 << 20,
            sync: SpoolSync::Never,
            by_need: false,
            at_once: false,
            key: None,
            many: None,
            redirects: false,
            #[cfg(test)]
            disk: None,
        }
    }

    /// The most bytes on disk, with all that the format adds; at least twice
    /// [`segment_size`](Self::segment_size). Default: 10 GiB.
    pub fn max_size(mut self, bytes: u64) -> Self {
        self.max_size = bytes;
        self
    }

    /// From this length on a file gets no more, and the next is begun. The space of a file is given
    /// back when all of it is durable. Default: 64 MiB.
    pub fn segment_size(mut self, bytes: u64) -> Self {
        self.segment_size = bytes;
        self
    }

    /// When it is synced. Default: [`Never`](SpoolSync::Never).
    pub fn sync(mut self, sync: SpoolSync) -> Self {
        self.sync = sync;
        self
    }

    /// Uses the disk only when memory does not suffice. Default: every byte is put on disk.
    ///
    /// While OSS keeps up, nothing is written to disk. When the buffer is full and nothing has become
    /// durable for 250 ms (for a log: when half of the buffer is in use), all that is not durable is
    /// put on disk, and what is written from then on goes there too. When everything is durable, the
    /// files are deleted and memory alone is used again.
    ///
    /// So an outage of any length costs nothing. But a process that is killed loses what is in memory
    /// alone: at most [`buffer_capacity`](crate::OssAppendWriterBuilder::buffer_capacity), and nothing
    /// once the disk is in use. [`spooled`](crate::OssAppendWriter::spooled) and the end of a writer
    /// that could not deliver everything put on disk what is in memory.
    ///
    /// ```no_run
    /// # async fn example(client: oss_append::OssClient) -> oss_append::Result<()> {
    /// use oss_append::{OssAppendWriter, Spool};
    ///
    /// let object = "oss://logs/app.log".parse()?;
    /// let spool = Spool::new("/var/spool/app").only_overflow();
    /// let mut writer = OssAppendWriter::builder(client, object).spool(spool).open().await?;
    /// writer.write_all(b"one line\n").await?; // in memory
    /// # Ok(())
    /// # }
    /// ```
    pub fn only_overflow(mut self) -> Self {
        self.by_need = true;
        self
    }

    /// It is that of this key of a [`KeyedWriter`](crate::KeyedWriter), and is to be delivered by a
    /// writer to the key's object: [`contents`](Self::contents) tells the key and the object.
    pub fn of_key(mut self, key: impl Into<Arc<str>>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Delivers what is in it to the object of the writer, whichever object it was for. This is for when
    /// that has been deleted, sealed, replaced or continued by somebody else, which
    /// [`open`](crate::OssAppendWriterBuilder::open) refuses otherwise.
    ///
    /// What the spool does not know to be durable goes in the new object, at its end. That is noted from
    /// time to time, when a file of the spool is deleted at the latest. So up to about a
    /// [`segment_size`](Self::segment_size) of what was sent last may be in both objects.
    ///
    /// The new object is noted in the spool before anything is sent to it. So if the process ends
    /// meanwhile, the same call goes on with the delivery, and nothing is twice in the new object. A
    /// spool of a sequence needs no such thing: it goes on in the next object by itself.
    ///
    /// ```no_run
    /// # async fn example(client: oss_append::OssClient) -> oss_append::Result<()> {
    /// use oss_append::{OssAppendWriter, Spool};
    ///
    /// let other = "oss://logs/app-2.log".parse()?;
    /// let spool = Spool::new("/var/spool/app").redirected();
    /// let mut writer = OssAppendWriter::builder(client, other).spool(spool).open().await?;
    /// writer.shutdown().await?; // the spool is empty
    /// # Ok(())
    /// # }
    /// ```
    pub fn redirected(mut self) -> Self {
        self.redirects = true;
        self
    }

    pub(crate) fn at_once(mut self) -> Self {
        self.at_once = true;
        self
    }

    /// In the place of a directory.
    #[cfg(test)]
    pub(in crate::writer) fn on(disk: &crate::spool::SimulatedDisk) -> Self {
        Self {
            disk: Some(disk.clone()),
            ..Self::new("/simulated")
        }
    }

    /// The directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }
}
