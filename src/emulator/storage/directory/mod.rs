//! Objects in a directory, so that they survive the server.
//!
//! ```text
//! DIR/oss-append-emulator                 says that the directory is a server's
//! DIR/lock                                held while a server uses the directory
//! DIR/spool/                              what is under way; emptied at the start
//! DIR/damaged/BUCKET/                     what was found damaged, as it was
//! DIR/buckets/BUCKET/bucket.json          the bucket's properties
//! DIR/buckets/BUCKET/HASH.json            an object: its key, properties and data file
//! DIR/buckets/BUCKET/HASH.NONCE.data      an object's bytes
//! ```
//!
//! `HASH` is the SHA-256 of the key, so any key is a safe file name. The JSON decides: data beyond
//! its length is no part of the object, and a data file that no JSON names is removed at the
//! start. Data is written before the JSON that counts it, and the JSON is replaced by renaming or
//! gets a line more, so that a kill at any moment leaves the object as it was before or after a
//! request.
//!
//! A directory is only used if it is empty or a server's: it has the marker, or all that it has is
//! what servers made before there was one. No link is followed in it, and no file is changed or
//! deleted whose name is not of a server's form ([`names`]).

mod files;
mod load;
mod names;
mod opening;
mod sidecar;

use std::fs::{self, File};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use self::opening::Lock;
use self::sidecar::MOST_LINES;
use super::{BucketProperties, Fsync};
use crate::emulator::body::{Content, Received};

pub(in crate::emulator) use self::files::private;
pub(super) use self::load::Loaded;
pub(super) use self::sidecar::Sidecar;

/// How a directory is used.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::emulator) struct Use {
    pub(in crate::emulator) fsync: Fsync,
    /// Nothing is changed, and nothing made.
    pub(in crate::emulator) read_only: bool,
}

/// The directory of a server.
#[derive(Debug)]
pub(super) struct Directory {
    root: PathBuf,
    wanted: Use,
    lock: Lock,
}

/// The files of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Files {
    /// The name of the data file.
    pub(super) data: String,
    /// How many bytes of the sidecar count.
    sidecar_length: u64,
    lines: u32,
    /// The sidecar is to be written anew, since it may have more than counts.
    unclear: bool,
}

impl Files {
    /// Those of an object that is not stored yet.
    pub(super) fn new(key: &str) -> Self {
        Self {
            data: names::new_data(key),
            sidecar_length: 0,
            lines: 0,
            unclear: true,
        }
    }
}

impl Directory {
    /// Opens or creates a directory, for this server alone.
    pub(super) fn open(root: &Path, wanted: Use) -> io::Result<Self> {
        Ok(Self {
            lock: opening::open(root, wanted)?,
            root: root.to_owned(),
            wanted,
        })
    }

    /// Lets another server use the directory. Nothing is changed afterwards.
    pub(super) fn close(&self) {
        self.lock.release();
    }

    /// Where what is under way is kept.
    pub(super) fn spool(&self) -> PathBuf {
        opening::spool(&self.root)
    }

    fn bucket(&self, bucket: &str) -> PathBuf {
        opening::buckets(&self.root).join(bucket)
    }

    fn sidecar(&self, bucket: &str, key: &str) -> PathBuf {
        self.bucket(bucket)
            .join(format!("{}.json", names::hash(key)))
    }

    /// The path of a data file.
    pub(super) fn data(&self, bucket: &str, name: &str) -> PathBuf {
        self.bucket(bucket).join(name)
    }

    /// Reads all buckets, removes what a killed server left behind, and sets aside what is damaged.
    pub(super) fn load(&self) -> io::Result<Loaded> {
        load::load(&self.root, self.wanted, self.lock.was_closed())
    }

    pub(super) fn create_bucket(
        &self,
        bucket: &str,
        properties: &BucketProperties,
    ) -> io::Result<()> {
        let path = self.bucket(bucket);
        let line = sidecar::line(properties)?;
        if fs::symlink_metadata(&path).is_ok() {
            files::check_dir(&path)?;
            return self.replace(&path.join(load::BUCKET), &line);
        }
        // It is a bucket from the first moment on.
        let aside = self.spool().join(names::new_temporary(load::ASIDE));
        files::make_dir(&aside)?;
        let made = self
            .replace(&aside.join(load::BUCKET), &line)
            .and_then(|()| fs::rename(&aside, &path));
        if made.is_err() {
            let _ = load::remove_bucket(&aside);
            return made;
        }
        files::sync_dir(&opening::buckets(&self.root), self.wanted.fsync)
    }

    /// Deletes a bucket without objects: all of it, or nothing.
    pub(super) fn delete_bucket(&self, bucket: &str) -> io::Result<()> {
        let path = self.bucket(bucket);
        if let Some(foreign) = load::foreign(&path)? {
            return Err(files::not_ours(&foreign, "it is not the server's"));
        }
        let aside = self.spool().join(names::new_temporary(load::ASIDE));
        fs::rename(&path, &aside)?;
        if let Err(error) = files::sync_dir(&opening::buckets(&self.root), self.wanted.fsync) {
            fs::rename(&aside, &path)?;
            return Err(error);
        }
        // What is left of it is removed at the next start.
        let _ = load::remove_bucket(&aside);
        Ok(())
    }

    /// Writes a body into a data file at `offset`. Moves a spooled body that is the whole file. If
    /// it fails, the file is what it was before.
    pub(super) fn write(
        &self,
        bucket: &str,
        name: &str,
        offset: u64,
        body: &Received,
    ) -> io::Result<()> {
        let path = self.data(bucket, name);
        let fsync = self.wanted.fsync;
        if let (Content::File(spooled), 0) = (&body.content, offset) {
            files::sync_data(&File::open(spooled.path())?, fsync)?;
            return fs::rename(spooled.path(), path);
        }
        let mut file = match offset {
            0 => private().create(true).truncate(true).open(&path)?,
            _ => private().open(&path)?,
        };
        let written =
            put(&mut file, offset, &body.content).and_then(|()| files::sync_data(&file, fsync));
        if written.is_err() {
            // What stays is no part of the object, and written over by the next append.
            let _ = match offset {
                0 => fs::remove_file(&path),
                _ => file.set_len(offset),
            };
        }
        written
    }

    /// Makes an object what the sidecar says, at once.
    pub(super) fn commit(
        &self,
        bucket: &str,
        sidecar: &Sidecar,
        files: &mut Files,
    ) -> io::Result<()> {
        let line = sidecar::line(sidecar)?;
        self.replace(&self.sidecar(bucket, &sidecar.key), &line)?;
        files.sidecar_length = line.len() as u64;
        files.lines = 1;
        files.unclear = false;
        Ok(())
    }

    /// The same where all that has changed is that the object has grown.
    pub(super) fn commit_growth(
        &self,
        bucket: &str,
        sidecar: &Sidecar,
        files: &mut Files,
    ) -> io::Result<()> {
        if files.unclear || files.lines >= MOST_LINES {
            return self.commit(bucket, sidecar, files);
        }
        let line = sidecar::growth(&sidecar.properties)?;
        let mut file = private().open(self.sidecar(bucket, &sidecar.key))?;
        let written = put_bytes(&mut file, files.sidecar_length, &line)
            .and_then(|()| files::sync_data(&file, self.wanted.fsync));
        if let Err(error) = written {
            files.unclear = file.set_len(files.sidecar_length).is_err();
            return Err(error);
        }
        files.sidecar_length += line.len() as u64;
        files.lines += 1;
        Ok(())
    }

    /// Removes an object's JSON. Its data file is then [removed](Self::remove_data).
    pub(super) fn remove(&self, bucket: &str, key: &str) -> io::Result<()> {
        fs::remove_file(self.sidecar(bucket, key))?;
        files::sync_dir(&self.bucket(bucket), self.wanted.fsync)
    }

    /// Removes a data file that no JSON names; what fails is done at the next start.
    pub(super) fn remove_data(&self, bucket: &str, name: &str) {
        let _ = fs::remove_file(self.data(bucket, name));
    }

    fn replace(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        let temporary = self.spool().join(names::new_temporary(".json"));
        files::replace(&temporary, path, content, self.wanted.fsync)
    }
}

fn put(file: &mut File, offset: u64, content: &Content) -> io::Result<()> {
    match content {
        Content::Memory(pieces) => {
            file.seek(SeekFrom::Start(offset))?;
            pieces.iter().try_for_each(|piece| file.write_all(piece))
        }
        Content::File(spooled) => {
            file.seek(SeekFrom::Start(offset))?;
            io::copy(&mut File::open(spooled.path())?, file).map(drop)
        }
    }
}

fn put_bytes(file: &mut File, offset: u64, bytes: &[u8]) -> io::Result<()> {
    file.seek(SeekFrom::Start(offset))?;
    file.write_all(bytes)
}
