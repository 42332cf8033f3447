//! Whether files are in objects: by lengths and checksums, without a download.
//!
//! The files are read once, one after another, and their CRC-64 is noted at each position where an object
//! may end (`read.rs`). What that proves is decided in `judge.rs`, without IO.

mod judge;
mod read;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{self, StreamExt as _, TryStreamExt as _};

use self::judge::{Object, judge, positions};
use crate::client::OssClient;
use crate::drive::again::Again;
use crate::drive::events::{DeliveryEvent, Events};
use crate::drive::thread::in_thread;
use crate::engine::rules::Rules;
use crate::error::{Error, Result};
use crate::store::AppendStore as _;
use crate::values::backoff::Backoff;
use crate::values::path::ObjectPath;

/// How many objects are asked for at a time.
const LOOKS: usize = 8;

/// The most objects that are compared. Each may be the one that the files begin with.
const MAX_OBJECTS: usize = 1000;

/// Compares local files with objects, by length and CRC-64: may the files be deleted?
///
/// Nothing is downloaded, so only whole objects can be compared, with as many bytes of the files. Several
/// files are one after another, as they were shipped; and so are several objects, of which those count
/// that begin as the files do. A file is [`Equal`](Verdict::Equal) if each of its bytes is in an object
/// whose CRC-64 proves it.
///
/// ```
/// use oss_append::{ObjectPath, Verdict, Verification};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let emulator = oss_append::emulator::Emulator::builder().bucket("logs").start().await?;
/// # emulator.append_foreign("logs", "app.log", "one\n")?;
/// # let client = emulator.client().build()?;
/// # let directory = tempfile::tempdir()?;
/// # let file = directory.path().join("app.log");
/// std::fs::write(&file, "one\ntwo\n")?;
/// let object = ObjectPath::new("logs", "app.log")?;
/// let verified = Verification::new(client, [object]).file(&file).run().await?;
/// // The object has the first four bytes of eight.
/// assert_eq!(verified.files[0].verdict, Verdict::Shorter);
/// assert_eq!(verified.files[0].proven, 4);
/// assert!(!verified.is_equal());
/// # Ok(())
/// # }
/// ```
///
/// Objects of all types have a CRC-64 at OSS, but for some old ones. What counts is the moment at which
/// an object was asked for, which is before the files are read.
#[derive(Clone, Debug)]
#[must_use = "nothing is compared until `run` is called"]
pub struct Verification {
    client: OssClient,
    objects: Vec<ObjectPath>,
    files: Vec<PathBuf>,
    rules: Rules,
    events: Arc<Events>,
}

/// What files and objects are to each other.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verified {
    /// The files, in the order in which they were given.
    pub files: Vec<VerifiedFile>,
    /// The objects that were compared with them, in their order: where several were given, the run of
    /// them that begins as the files do.
    pub objects: Vec<VerifiedObject>,
}

impl Verified {
    /// Whether each byte of each file is proven to be in an object.
    pub fn is_equal(&self) -> bool {
        self.files.iter().all(|file| file.verdict == Verdict::Equal)
    }
}

/// What is proven of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct VerifiedFile {
    /// The file.
    pub path: PathBuf,
    /// What is proven of it.
    pub verdict: Verdict,
    /// The length of the file in bytes, at the end of reading; 0 if it could not be read.
    pub length: u64,
    /// How many of its first bytes are proven to be in the objects.
    pub proven: u64,
    /// Whether it has grown while it was read.
    pub grew: bool,
    /// Why it could not be read.
    pub problem: Option<String>,
}

/// An object that was compared.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct VerifiedObject {
    /// The object.
    pub object: ObjectPath,
    /// Its length in bytes; `None` if there is no such object.
    pub length: Option<u64>,
    /// Its CRC-64, where OSS tells one.
    pub crc64: Option<u64>,
}

/// What is proven of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Verdict {
    /// Each of its bytes is in an object. It may be deleted.
    Equal,
    /// The objects end before the file does. What they hold are its bytes, as far as they go.
    Shorter,
    /// The object goes on behind the end of the file. Whether it begins with its bytes cannot be told
    /// without a download.
    Longer,
    /// The object holds other bytes.
    Differs,
    /// There is no such object.
    Missing,
    /// The object says that it is compressed, and is not the same as the file. What is in it cannot be
    /// told without a download.
    Compressed,
    /// OSS tells no CRC-64 of the object, so that nothing is proven.
    NoChecksum,
    /// The file was replaced, cut or written over while it was read.
    Changed,
    /// The file, or one before it, cannot be read.
    Unreadable,
}

impl Verdict {
    /// The name, such as `equal` or `no_checksum`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Equal => "equal",
            Self::Shorter => "shorter",
            Self::Longer => "longer",
            Self::Differs => "differs",
            Self::Missing => "missing",
            Self::Compressed => "compressed",
            Self::NoChecksum => "no_checksum",
            Self::Changed => "changed",
            Self::Unreadable => "unreadable",
        }
    }
}

impl Verification {
    /// Prepares to compare with these objects, one after another.
    pub fn new(client: OssClient, objects: impl IntoIterator<Item = ObjectPath>) -> Self {
        Self {
            client,
            objects: objects.into_iter().collect(),
            files: Vec::new(),
            rules: Rules::default(),
            events: Arc::new(Events::of_reader()),
        }
    }

    /// Compares this file, behind those that were given before.
    pub fn file(mut self, path: impl Into<PathBuf>) -> Self {
        self.files.push(path.into());
        self
    }

    /// Fails when OSS has not answered for this long, however often it was asked. Default: 120 s.
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

    /// Asks for the objects, reads the files, and compares. Files are read by a thread that may block.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) without files or objects, or with more than
    /// 1,000 of these;
    /// [`RetriesExhausted`](crate::ErrorKind::RetriesExhausted), or what OSS said where trying again
    /// would not help. A missing object is a [verdict](Verdict::Missing), and so is a file that cannot
    /// be read.
    ///
    /// # Cancel safety
    /// Nothing is lost: comparing has no effect.
    pub async fn run(self) -> Result<Verified> {
        let Some(first) = self.objects.first() else {
            return Err(Error::invalid_input("there is no object to compare with"));
        };
        if self.objects.len() > MAX_OBJECTS {
            return Err(Error::invalid_input(format!(
                "at most {MAX_OBJECTS} objects are compared, not {}",
                self.objects.len()
            )));
        }
        if self.files.is_empty() {
            return Err(Error::invalid_input("there is no file to compare"));
        }
        self.rules.check()?;
        let again = Again::new(first, self.rules.clone(), &self.events);
        let looks = stream::iter(&self.objects).map(async |path| {
            let found = again.ask(path, || self.client.head(path)).await;
            let found = found.map_err(|error| error.with_operation("verify").with_object(path))?;
            Ok::<_, Error>(Object::new(path.clone(), found))
        });
        let objects: Vec<Object> = looks.buffered(LOOKS).try_collect().await?;
        let files = self.files;
        let (files, sums, objects) = in_thread(move || {
            let length = files.iter().filter_map(|file| std::fs::metadata(file).ok());
            let length = length.map(|file| file.len()).sum();
            let positions = positions(&objects, length);
            let (files, sums) = read::read(files, &positions);
            (files, sums, objects)
        })
        .await;
        Ok(judge(files, &sums, &objects))
    }
}
