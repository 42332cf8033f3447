//! Receiving a request's body whole before anything is done with it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use md5::{Digest, Md5};
use tokio::io::AsyncWriteExt as _;

use crate::values::crc64::Crc64;

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

    /// Receives a body. Large ones go to a new file in `spool`, if there is such a directory.
    pub(super) async fn receive(
        body: &mut Incoming,
        want_md5: bool,
        spool: Option<&Path>,
    ) -> Result<Self, Broken> {
        let mut crc = Crc64::new();
        let mut md5 = want_md5.then(Md5::new);
        let mut pieces = Vec::new();
        let mut length = 0;
        let mut file: Option<(SpoolFile, tokio::fs::File)> = None;
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(|_| Broken::Short)?.into_data() else {
                continue;
            };
            crc.update(&data);
            if let Some(md5) = &mut md5 {
                md5.update(&data);
            }
            length += data.len() as u64;
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
    let file = tokio::fs::File::create_new(spooled.path()).await?;
    Ok((spooled, file))
}

/// Receives and forgets what is left of a body, so that the client gets to read its answer.
pub(super) async fn discard(body: &mut Incoming) {
    while let Some(Ok(_)) = body.frame().await {}
}
