//! Objects in a directory, so that they survive the server.
//!
//! ```text
//! DIR/lock                                held while a server uses the directory
//! DIR/spool/                              bodies under way; emptied at the start
//! DIR/buckets/BUCKET/bucket.json          the bucket's properties
//! DIR/buckets/BUCKET/HASH.json            an object: its key, properties and data file
//! DIR/buckets/BUCKET/HASH.NONCE.data      an object's bytes
//! ```
//!
//! `HASH` is the SHA-256 of the key, so any key is a safe file name. The JSON decides: data beyond
//! its length is no part of the object, and a data file that no JSON names is removed at the
//! start. A JSON that was cut or changed, or that names a key or a data file that is not its own,
//! is refused at the start. Data is written before the JSON that counts it, and the JSON is
//! replaced by renaming, so that a kill at any moment leaves the object as it was before or after a
//! request.

use std::fmt::Display;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::BucketProperties;
use crate::emulator::body::{Content, Received};
use crate::emulator::object::Properties;

/// The directory of a server.
#[derive(Debug)]
pub(super) struct Directory {
    root: PathBuf,
    lock: File,
}

/// A JSON file: a value, and the CRC-64 of its own JSON, so that no change of it goes unnoticed.
#[derive(Debug, Serialize, Deserialize)]
struct Checked<T> {
    crc64: u64,
    value: T,
}

/// The JSON of an object.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Sidecar {
    pub(super) key: String,
    pub(super) data: String,
    pub(super) properties: Properties,
}

impl Sidecar {
    /// Whether it is at its place, says nothing that a request could not have set, and names its
    /// own data file, which has all of the object's bytes.
    fn check(&self, path: &Path) -> io::Result<()> {
        let hash = hash(&self.key);
        if path.file_name() != Some(format!("{hash}.json").as_ref()) {
            return Err(invalid(path, "it is not named after its key"));
        }
        let nonce = self.data.strip_prefix(&hash);
        let nonce = nonce.and_then(|rest| rest.strip_prefix('.')?.strip_suffix(".data"));
        let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if !nonce.is_some_and(|nonce| nonce.len() == 16 && nonce.bytes().all(hex)) {
            return Err(invalid(path, "the data file is not its own"));
        }
        if !self.properties.attributes.are_sound() {
            return Err(invalid(path, "it sets headers that no object has"));
        }
        let data = fs::metadata(path.with_file_name(&self.data))
            .map_err(|error| invalid(path, format!("the data file {}: {error}", self.data)))?;
        let (stored, length) = (data.len(), self.properties.length);
        if stored < length {
            return Err(invalid(
                path,
                format!("the data file has {stored} of {length} bytes"),
            ));
        }
        Ok(())
    }
}

/// A bucket as it was found at the start.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) name: String,
    pub(super) properties: BucketProperties,
    pub(super) objects: Vec<Sidecar>,
}

impl Directory {
    /// Opens or creates a directory, for this server alone.
    pub(super) fn open(root: &Path) -> io::Result<Self> {
        fs::create_dir_all(root.join("buckets"))?;
        let lock = File::create(root.join("lock"))?;
        lock.try_lock().map_err(|error| {
            io::Error::new(
                io::ErrorKind::ResourceBusy,
                format!("{} is in use by another server: {error}", root.display()),
            )
        })?;
        let directory = Self {
            root: root.to_owned(),
            lock,
        };
        if let Err(error) = fs::remove_dir_all(directory.spool())
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(error);
        }
        fs::create_dir(directory.spool())?;
        Ok(directory)
    }

    /// Lets another server use the directory.
    pub(super) fn unlock(&self) {
        let _ = self.lock.unlock();
    }

    /// Where bodies under way are kept.
    pub(super) fn spool(&self) -> PathBuf {
        self.root.join("spool")
    }

    fn bucket(&self, bucket: &str) -> PathBuf {
        self.root.join("buckets").join(bucket)
    }

    fn sidecar(&self, bucket: &str, key: &str) -> PathBuf {
        self.bucket(bucket).join(format!("{}.json", hash(key)))
    }

    /// The path of a data file.
    pub(super) fn data(&self, bucket: &str, name: &str) -> PathBuf {
        self.bucket(bucket).join(name)
    }

    /// A name for a new data file.
    pub(super) fn new_data_name(key: &str) -> String {
        format!("{}.{:016x}.data", hash(key), fastrand::u64(..))
    }

    /// Reads all buckets, and removes what a killed server left behind.
    pub(super) fn load(&self) -> io::Result<Vec<Found>> {
        let mut buckets = Vec::new();
        for entry in fs::read_dir(self.root.join("buckets"))? {
            let path = entry?.path();
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
                continue;
            };
            let properties = path.join("bucket.json");
            if !properties.exists() {
                continue;
            }
            buckets.push(Found {
                name: name.to_owned(),
                properties: read_json(&properties)?,
                objects: load_objects(&path)?,
            });
        }
        Ok(buckets)
    }

    pub(super) fn create_bucket(
        &self,
        bucket: &str,
        properties: &BucketProperties,
    ) -> io::Result<()> {
        let path = self.bucket(bucket);
        fs::create_dir_all(&path)?;
        self.write_json(&path.join("bucket.json"), properties)
    }

    pub(super) fn delete_bucket(&self, bucket: &str) -> io::Result<()> {
        fs::remove_file(self.bucket(bucket).join("bucket.json"))?;
        fs::remove_dir_all(self.bucket(bucket))
    }

    /// Writes a body into a data file at `offset`. Moves a spooled body that is the whole file.
    pub(super) fn write(
        &self,
        bucket: &str,
        name: &str,
        offset: u64,
        body: &Received,
    ) -> io::Result<()> {
        let path = self.data(bucket, name);
        match &body.content {
            Content::File(spooled) if offset == 0 => fs::rename(spooled.path(), path),
            content => {
                let mut options = OpenOptions::new();
                let mut file = options
                    .write(true)
                    .create(true)
                    .truncate(false)
                    .open(path)?;
                file.seek(SeekFrom::Start(offset))?;
                match content {
                    Content::Memory(pieces) => {
                        pieces.iter().try_for_each(|piece| file.write_all(piece))
                    }
                    Content::File(spooled) => {
                        io::copy(&mut File::open(spooled.path())?, &mut file).map(drop)
                    }
                }
            }
        }
    }

    /// Makes an object what the sidecar says, at once.
    pub(super) fn commit(&self, bucket: &str, sidecar: &Sidecar) -> io::Result<()> {
        self.write_json(&self.sidecar(bucket, &sidecar.key), sidecar)
    }

    /// Removes an object's JSON. Its data file is then [removed](Self::remove_data).
    pub(super) fn remove(&self, bucket: &str, key: &str) -> io::Result<()> {
        fs::remove_file(self.sidecar(bucket, key))
    }

    /// Removes a data file that no JSON names any more; what fails is done at the next start.
    pub(super) fn remove_data(&self, bucket: &str, name: &str) {
        let _ = fs::remove_file(self.data(bucket, name));
    }

    fn write_json(&self, path: &Path, value: &impl Serialize) -> io::Result<()> {
        let crc64 = checksum(value)?;
        let temporary = self
            .spool()
            .join(format!("{:032x}.json", fastrand::u128(..)));
        fs::write(&temporary, serde_json::to_vec(&Checked { crc64, value })?)?;
        fs::rename(temporary, path)
    }
}

fn load_objects(bucket: &Path) -> io::Result<Vec<Sidecar>> {
    let mut objects = Vec::new();
    let mut data = Vec::new();
    for entry in fs::read_dir(bucket)? {
        let path = entry?.path();
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("data") => data.push(path),
            Some("json") if path.file_name().is_some_and(|name| name != "bucket.json") => {
                let sidecar: Sidecar = read_json(&path)?;
                sidecar.check(&path)?;
                objects.push(sidecar);
            }
            _ => {}
        }
    }
    let named: std::collections::HashSet<PathBuf> = objects
        .iter()
        .map(|sidecar| bucket.join(&sidecar.data))
        .collect();
    for path in data.iter().filter(|path| !named.contains(*path)) {
        fs::remove_file(path)?;
    }
    Ok(objects)
}

fn read_json<T: Serialize + DeserializeOwned>(path: &Path) -> io::Result<T> {
    let json = fs::read(path).map_err(|error| invalid(path, error))?;
    let Checked { crc64, value } =
        serde_json::from_slice::<Checked<T>>(&json).map_err(|error| invalid(path, error))?;
    if crc64 != checksum(&value)? {
        return Err(invalid(path, "its content is not that of its checksum"));
    }
    Ok(value)
}

fn checksum(value: &impl Serialize) -> io::Result<u64> {
    Ok(crate::values::crc64::checksum(&serde_json::to_vec(value)?))
}

fn invalid(path: &Path, reason: impl Display) -> io::Error {
    let text = format!("{}: {reason}", path.display());
    io::Error::new(io::ErrorKind::InvalidData, text)
}

fn hash(key: &str) -> String {
    hex::encode(Sha256::digest(key))
}
