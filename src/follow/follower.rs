//! The follower's type, with what it promises.

use super::builder::FileFollowerBuilder;
use crate::store::AppendStore;

/// Follows files that grow and are rotated, and appends their lines to objects, each exactly once.
///
/// ```no_run
/// # async fn example(client: oss_append::OssClient) -> Result<(), oss_append::Error> {
/// use oss_append::FileFollower;
///
/// let files = FileFollower::builder(client, "logs", "{host}/{file}-{seq}")
///     .file("/var/log/app/*.log")
///     .follow(async { drop(tokio::signal::ctrl_c().await) })
///     .await?;
/// for file in files {
///     println!("{}: {} bytes", file.path.display(), file.bytes);
/// }
/// # Ok(())
/// # }
/// ```
///
/// # The length of the object is the checkpoint
/// There is no state file. A start looks at the newest object of each file, and finds the file whose
/// first bytes have the length and the CRC-64 of it. So a follower may be killed at any moment and
/// started again, on this or another machine with the same files. An append of the process that was
/// killed may still land after that: what is there is compared then, and skipped.
///
/// For that the file, and each of its rotated files that is at least as long as the object, is read up
/// to that length, once at the start. A listing and two HEADs are sent
/// for each, and more where those do not decide.
///
/// With `{seq}` in the template each file that a rotation begins gets an object of its own, or
/// several if it is longer than an object may be. Without it the one object goes on growing. Its end is
/// found by its CRC-64 only as long as the files are there that it began with.
///
/// Where more than one file may be the right one, for instance since both begin with the same bytes,
/// the follower waits some seconds, since somebody may be just copying one. Then it stops with an
/// [`Ambiguous`](crate::FollowErrorKind::Ambiguous) error; it never guesses. Where no file is, that is a
/// [`Conflict`](crate::FollowErrorKind::Conflict), see
/// [`allow_gap`](crate::FileFollowerBuilder::allow_gap).
///
/// # Lines
/// Whole lines are sent, as bytes. The part of a line at the end of a file waits for the rest of it. It
/// is sent when the file was rotated, since the rest may stand in the next file, where only the bytes
/// themselves tell; and with [`once`](crate::FileFollowerBuilder::once). A line that is longer than
/// `max_append_size` is sent in pieces.
///
/// # Rotation
/// | what happens | what the follower does |
/// |---|---|
/// | renamed, and created at once or later | The old file is read from its open handle, also while its writer goes on in it. The next is begun when that has bytes and the old one was still for [`drain`](crate::FileFollowerBuilder::drain). What comes even later goes to the object of the old file; without `{seq}` it is told as lost |
/// | compressed or removed after that | the same; after a restart it is finished from the `.gz` |
/// | renamed back | nothing |
/// | copied and truncated | the rest is read from the copy, which is found by its content |
/// | truncated and filled again, to whatever length | told; the file is read from its beginning. 4096 bytes before the position are compared before each batch is sent |
/// | the same by a writer without `O_APPEND` | the zeros at the beginning are told, and left out |
/// | a link that leads to another file | as renamed. Files between two switches are found by name, or by [`rotated`](crate::FileFollowerBuilder::rotated) |
/// | while the follower was away | it finishes the file that it was in, then sends those that came after it |
///
/// What nothing can find: a file that was truncated and filled with the very bytes that were there
/// before; bytes that were truncated before they were read, of which there is no copy; files compressed
/// by other means than gzip, which are told. Zero bytes at the beginning of a file are always left out.
///
/// After a restart only the file that the newest object came from is finished, and those that came
/// after it are sent: what was written even later to an older one is not looked for. If the process was
/// killed after it had sent bytes that a copy does not have any more, that copy is found by reading the
/// object, as long as the file had one object; else it is a conflict.
///
/// Rotated files stand in the order of their numbers or dates; if not all of them have one, in that of
/// their last change.
///
/// # Memory and requests
/// A file is its own buffer: at most [`memory`](crate::FileFollowerBuilder::memory) bytes are read ahead
/// for all files, and 4 KiB are kept of each. While lines come one at a time there is an append each
/// [`linger`](crate::FileFollowerBuilder::linger). Each file is looked at every second; an event of the
/// system only brings that forward.
#[derive(Clone, Copy, Debug)]
pub struct FileFollower {}

impl FileFollower {
    /// Prepares to follow files into objects of `bucket`. In `template` `{file}` stands for the name of
    /// each file, `{dir}` for its directory without the first slash, `{host}` for the name of this
    /// host, and `{seq}` for the number of the object, from 1.
    ///
    /// A template has no fields of time, no `{pid}` and no `{uuid}`: a new start has to find the
    /// objects by it.
    pub fn builder<S: AppendStore>(
        store: S,
        bucket: impl Into<String>,
        template: impl Into<String>,
    ) -> FileFollowerBuilder<S> {
        FileFollowerBuilder::new(store, bucket.into(), template.into())
    }
}
