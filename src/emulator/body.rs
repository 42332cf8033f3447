//! Receiving a request's body whole before anything is done with it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Frame, Incoming};
use md5::{Digest, Md5};
use tokio::io::AsyncWriteExt as _;
use tokio::time::timeout;

use super::storage::private;
use crate::values::crc64::Crc64;

/// How long a body may stall. OSS's documents do not say it.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// From this size on a body goes to a file, if there is a directory to put it in.
const SPOOL_FROM: u64 = 16 * 1024 * 1024;

/// A body that has been received to its end.
#[derive(Debug, Default)]
pub(super) struct Received {
    pub(super) content: Content,
    pub(super) length: u64,
    pub(super) crc64: u64,
    /// Of the whole body, if it was asked for.
    pub(super) md5: Option<[u8; 16]>,
}

/// Where a received body is.
#[derive(Debug)]
pub(super) enum Content {
    Memory(Vec<Bytes>),
    File(SpoolFile),
}

impl Default for Content {
    fn default() -> Self {
        Self::Memory(Vec::new())
    }
}

/// A temporary file, removed when dropped.
#[derive(Debug)]
pub(super) struct SpoolFile {
    path: PathBuf,
}

impl SpoolFile {
    fn new_in(directory: &Path) -> Self {
        Self {
            path: directory.join(format!("{:032x}", fastrand::u128(..))),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for SpoolFile {
    fn drop(&mut self) {
        // Gone already if it was renamed into place.
        let _ = fs::remove_file(&self.path);
    }
}

/// Why a body was not received.
#[derive(Debug)]
pub(super) enum Broken {
    /// The client went away, or its framing is wrong.
    Short,
    /// It is longer than it may be.
    Long,
    /// Nothing of it came for a while.
    Stalled,
    /// The spool file could not be written.
    Spool(io::Error),
}

impl Received {
    /// A body that is in memory.
    pub(super) fn from_bytes(bytes: Bytes, want_md5: bool) -> Self {
        Self {
            length: bytes.len() as u64,
            crc64: crate::values::crc64::checksum(&bytes),
            md5: want_md5.then(|| Md5::digest(&bytes).into()),
            content: Content::Memory(vec![bytes]),
        }
    }

    /// Receives a body of at most `most` bytes. Large ones go to a new file in `spool`, if there is
    /// such a directory.
    pub(super) async fn receive(
        body: &mut Incoming,
        most: u64,
        want_md5: bool,
        spool: Option<&Path>,
    ) -> Result<Self, Broken> {
        // What the Content-Length says.
        if body.size_hint().lower() > most {
            return Err(Broken::Long);
        }
        let mut crc = Crc64::new();
        let mut md5 = want_md5.then(Md5::new);
        let mut pieces = Vec::new();
        let mut length = 0;
        let mut file: Option<(SpoolFile, tokio::fs::File)> = None;
        while let Some(frame) = next(body).await? {
            let Ok(data) = frame.into_data() else {
                continue;
            };
            length += data.len() as u64;
            if length > most {
                return Err(Broken::Long);
            }
            crc.update(&data);
            if let Some(md5) = &mut md5 {
                md5.update(&data);
            }
            match (&mut file, spool) {
                (Some((_, file)), _) => file.write_all(&data).await.map_err(Broken::Spool)?,
                (None, Some(directory)) if length >= SPOOL_FROM => {
                    let mut opened = create_spool(directory).await.map_err(Broken::Spool)?;
                    for piece in pieces.drain(..).chain([data]) {
                        opened.1.write_all(&piece).await.map_err(Broken::Spool)?;
                    }
                    file = Some(opened);
                }
                (None, _) => pieces.push(data),
            }
        }
        let content = match file {
            None => Content::Memory(pieces),
            Some((spooled, mut file)) => {
                file.flush().await.map_err(Broken::Spool)?;
                Content::File(spooled)
            }
        };
        Ok(Self {
            content,
            length,
            crc64: crc.finish(),
            md5: md5.map(|md5| md5.finalize().into()),
        })
    }

    /// All bodies as one, in a new file in `spool` if there is such a directory.
    pub(super) fn join(bodies: Vec<Self>, spool: Option<&Path>) -> io::Result<Self> {
        let mut joined = Self::default();
        let mut pieces = Vec::new();
        let mut file = match spool {
            Some(directory) => {
                let spooled = SpoolFile::new_in(directory);
                let file = fs::File::create_new(spooled.path())?;
                Some((spooled, file))
            }
            None => None,
        };
        for body in bodies {
            joined.length += body.length;
            joined.crc64 = crate::values::crc64::combine(joined.crc64, body.crc64, body.length);
            match (&mut file, body.content) {
                (Some((_, file)), Content::File(spooled)) => {
                    io::copy(&mut fs::File::open(spooled.path())?, file)?;
                }
                (Some((_, file)), Content::Memory(pieces)) => {
                    use std::io::Write as _;
                    pieces.iter().try_for_each(|piece| file.write_all(piece))?;
                }
                (None, Content::Memory(more)) => pieces.extend(more),
                (None, Content::File(spooled)) => pieces.push(fs::read(spooled.path())?.into()),
            }
        }
        joined.content = match file {
            Some((spooled, _)) => Content::File(spooled),
            None => Content::Memory(pieces),
        };
        Ok(joined)
    }

    /// Leaves only the first `length` bytes, for a torn append.
    pub(super) fn cut(self, length: u64) -> io::Result<Self> {
        let mut bytes = match &self.content {
            Content::Memory(pieces) => pieces.concat(),
            Content::File(file) => fs::read(file.path())?,
        };
        bytes.truncate(usize::try_from(length).unwrap_or(usize::MAX));
        Ok(Self::from_bytes(bytes.into(), false))
    }

    /// The body as one piece. For small bodies only.
    pub(super) fn into_bytes(self) -> io::Result<Bytes> {
        Ok(match self.content {
            Content::Memory(pieces) => pieces.concat().into(),
            Content::File(file) => fs::read(file.path())?.into(),
        })
    }
}

async fn create_spool(directory: &Path) -> io::Result<(SpoolFile, tokio::fs::File)> {
    let spooled = SpoolFile::new_in(directory);
    let options = private().create_new(true).to_owned();
    let file = tokio::fs::OpenOptions::from(options)
        .open(spooled.path())
        .await?;
    Ok((spooled, file))
}

/// The next piece of a body.
async fn next(body: &mut Incoming) -> Result<Option<Frame<Bytes>>, Broken> {
    let frame = timeout(PATIENCE, body.frame()).await;
    let frame = frame.map_err(|_| Broken::Stalled)?;
    frame.transpose().map_err(|_| Broken::Short)
}

/// Receives and forgets what is left of a body, if that is at most `most` bytes. Whether there is
/// nothing more to come.
pub(super) async fn discard(body: &mut Incoming, most: u64) -> bool {
    let mut received = 0;
    while body.size_hint().lower().saturating_add(received) <= most {
        match next(body).await {
            Ok(Some(frame)) => received += frame.data_ref().map_or(0, Bytes::len) as u64,
            Ok(None) => return true,
            Err(_) => return false,
        }
    }
    false
}
