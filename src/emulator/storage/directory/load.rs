//! Reading a directory at the start. What is damaged is set aside, and all else is served.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::sidecar::{self, Found, Sidecar};
use super::{Files, Use, files, names, opening};
use crate::emulator::account::BucketRules;
use crate::emulator::damage::Damaged;
use crate::emulator::storage::BucketProperties;
use crate::values::crc64::Crc64;
use crate::values::path::check_bucket;

/// The properties of a bucket.
pub(super) const BUCKET: &str = "bucket.json";

/// What the name of a bucket ends in that is being made or deleted.
pub(super) const ASIDE: &str = ".bucket";

/// How much of a data file is read at once.
const PIECE: usize = 256 * 1024;

/// What was found in a directory.
#[derive(Debug, Default)]
pub(in crate::emulator::storage) struct Loaded {
    pub(in crate::emulator::storage) buckets: Vec<LoadedBucket>,
    pub(in crate::emulator::storage) damaged: Vec<Damaged>,
}

/// A bucket as it was found.
#[derive(Debug)]
pub(in crate::emulator::storage) struct LoadedBucket {
    pub(in crate::emulator::storage) name: String,
    pub(in crate::emulator::storage) properties: BucketProperties,
    pub(in crate::emulator::storage) objects: Vec<(Sidecar, Files)>,
}

/// Why an object is not served.
enum Trouble {
    /// It is not what was stored.
    Damage(String),
    /// It cannot be looked at.
    Io(io::Error),
}

/// Reads all buckets. Unless the last server ended in order, the objects' bytes are compared with
/// their checksums.
pub(super) fn load(root: &Path, wanted: Use, was_closed: bool) -> io::Result<Loaded> {
    let mut loaded = Loaded::default();
    let entries = match fs::read_dir(opening::buckets(root)) {
        Err(error) if wanted.read_only && error.kind() == io::ErrorKind::NotFound => {
            return Ok(loaded);
        }
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let Some(name) = name.to_str().filter(|name| check_bucket(name).is_ok()) else {
            continue;
        };
        if !entry.file_type()?.is_dir() {
            continue;
        }
        let mut loading = Loading {
            path: entry.path(),
            aside: opening::damaged(root).join(name),
            bucket: name,
            wanted,
            damaged: &mut loaded.damaged,
        };
        let bucket = loading.load(!was_closed)?;
        loaded.buckets.extend(bucket);
    }
    Ok(loaded)
}

/// The names of an object's files.
#[derive(Default)]
struct Own {
    sidecar: bool,
    data: Vec<String>,
}

struct Loading<'a> {
    path: PathBuf,
    /// Where what is damaged goes.
    aside: PathBuf,
    bucket: &'a str,
    wanted: Use,
    damaged: &'a mut Vec<Damaged>,
}

impl Loading<'_> {
    /// Reads the bucket. There is none if somebody else has made the directory.
    fn load(&mut self, compare: bool) -> io::Result<Option<LoadedBucket>> {
        let mut hashes: BTreeMap<String, Own> = BTreeMap::new();
        let (mut any, mut any_own) = (false, false);
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            let name = entry.file_name();
            any = true;
            any_own |= is_own(&name);
            let Some(name) = name.to_str() else { continue };
            if let Some(hash) = names::hash_of_sidecar(name) {
                hashes.entry(hash.to_owned()).or_default().sidecar = true;
            } else if let Some(hash) = names::hash_of_data(name) {
                let own = hashes.entry(hash.to_owned()).or_default();
                own.data.push(name.to_owned());
            }
        }
        if any && !any_own {
            return Ok(None);
        }
        let properties = self.properties()?;
        let mut objects = Vec::new();
        for (hash, own) in hashes {
            let sidecar = format!("{hash}.json");
            if !own.sidecar {
                self.remove(&own.data)?;
                continue;
            }
            match self.object(&sidecar, compare) {
                Ok(found) => {
                    let orphans = own.data.into_iter();
                    let orphans: Vec<_> = orphans.filter(|name| *name != found.0.data).collect();
                    self.remove(&orphans)?;
                    objects.push(found);
                }
                Err(Trouble::Io(error)) => return Err(self.failed(&sidecar, &error)),
                Err(Trouble::Damage(reason)) => {
                    let key = self.key(&sidecar);
                    self.set_aside(&sidecar, &own.data, key, reason)?;
                }
            }
        }
        Ok(Some(LoadedBucket {
            name: self.bucket.to_owned(),
            properties,
            objects,
        }))
    }

    /// Reads the bucket's properties. Where they are lost they are those of a private bucket.
    fn properties(&mut self) -> io::Result<BucketProperties> {
        let path = self.path.join(BUCKET);
        let reason = match read(&path).and_then(|text| {
            let line = text.strip_suffix(b"\n").unwrap_or(&text);
            sidecar::parse(line).map_err(Trouble::Damage)
        }) {
            Ok(properties) => return Ok(properties),
            Err(Trouble::Io(error)) => return Err(self.failed(BUCKET, &error)),
            Err(Trouble::Damage(reason)) => reason,
        };
        let reason = format!("{reason}; the bucket is private now");
        match fs::symlink_metadata(&path).is_ok() {
            true => self.set_aside(BUCKET, &[], None, reason)?,
            false => self.damaged.push(Damaged {
                bucket: self.bucket.to_owned(),
                key: None,
                file: path.clone(),
                reason,
                moved_to: None,
            }),
        }
        let properties = BucketProperties {
            acl: "private".into(),
            created: Timestamp::now(),
            rules: BucketRules::default(),
        };
        if !self.wanted.read_only {
            let root = self.path.ancestors().nth(2).unwrap_or(&self.path);
            let temporary = opening::spool(root).join(names::new_temporary(".json"));
            let line = sidecar::line(&properties)?;
            files::replace(&temporary, &path, &line, self.wanted.fsync)?;
        }
        Ok(properties)
    }

    fn object(&self, name: &str, compare: bool) -> Result<(Sidecar, Files), Trouble> {
        let path = self.path.join(name);
        let found = Found::parse(&read(&path)?).map_err(Trouble::Damage)?;
        found.check(&path).map_err(Trouble::Damage)?;
        let Found {
            sidecar,
            length,
            lines,
            torn,
        } = found;
        if compare {
            check_bytes(&self.path.join(&sidecar.data), &sidecar)?;
        }
        let files = Files {
            data: sidecar.data.clone(),
            sidecar_length: length,
            lines,
            unclear: torn,
        };
        Ok((sidecar, files))
    }

    /// The key of a damaged object, if its first line still tells.
    fn key(&self, name: &str) -> Option<String> {
        let text = read(&self.path.join(name)).ok()?;
        let line = text.split(|byte| *byte == b'\n').next()?;
        let found: Sidecar = sidecar::parse(line).ok()?;
        Some(found.key)
    }

    /// Moves the files of an object, or of the bucket, to where what is damaged goes.
    fn set_aside(
        &mut self,
        name: &str,
        data: &[String],
        key: Option<String>,
        reason: String,
    ) -> io::Result<()> {
        let mut moved_to = None;
        if !self.wanted.read_only {
            files::make_dirs(&self.aside)?;
            for file in data {
                fs::rename(self.path.join(file), self.free(file))?;
            }
            let place = self.free(name);
            fs::rename(self.path.join(name), &place)?;
            moved_to = Some(place);
        }
        self.damaged.push(Damaged {
            bucket: self.bucket.to_owned(),
            key,
            file: self.path.join(name),
            reason,
            moved_to,
        });
        Ok(())
    }

    /// A place for a damaged file where there is none yet.
    fn free(&self, name: &str) -> PathBuf {
        let mut place = self.aside.join(name);
        let mut number = 1;
        while fs::symlink_metadata(&place).is_ok() {
            number += 1;
            place = self.aside.join(format!("{name}.{number}"));
        }
        place
    }

    /// Removes data that belongs to no object.
    fn remove(&self, data: &[String]) -> io::Result<()> {
        for name in data {
            let path = self.path.join(name);
            if !self.wanted.read_only && fs::symlink_metadata(&path)?.is_file() {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }

    fn failed(&self, name: &str, error: &io::Error) -> io::Error {
        let text = format!("{}: {error}", self.path.join(name).display());
        io::Error::new(error.kind(), text)
    }
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            // The files may be as they were stored.
            io::ErrorKind::PermissionDenied => Self::Io(error),
            _ => Self::Damage(error.to_string()),
        }
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Trouble> {
    files::check_file(path)?;
    Ok(fs::read(path)?)
}

/// Compares an object's bytes with its checksum.
fn check_bytes(path: &Path, sidecar: &Sidecar) -> Result<(), Trouble> {
    let mut file = File::open(path)?.take(sidecar.properties.length);
    let mut crc = Crc64::new();
    let mut piece = vec![0; PIECE];
    loop {
        match file.read(&mut piece)? {
            0 => break,
            read => crc.update(&piece[..read]),
        }
    }
    match crc.finish() == sidecar.properties.crc64 {
        true => Ok(()),
        false => Err(Trouble::Damage(format!(
            "the bytes in {} are not those of the checksum",
            sidecar.data
        ))),
    }
}

/// A file in a bucket's directory that is not a server's, if there is one.
pub(super) fn foreign(bucket: &Path) -> io::Result<Option<PathBuf>> {
    for entry in fs::read_dir(bucket)? {
        let entry = entry?;
        if !(is_own(&entry.file_name()) && entry.file_type()?.is_file()) {
            return Ok(Some(entry.path()));
        }
    }
    Ok(None)
}

fn is_own(name: &std::ffi::OsStr) -> bool {
    let own = |name: &str| {
        let hash = names::hash_of_sidecar(name).or(names::hash_of_data(name));
        name == BUCKET || hash.is_some()
    };
    name.to_str().is_some_and(own)
}

/// Removes the directory of a bucket that has no objects.
pub(super) fn remove_bucket(path: &Path) -> io::Result<()> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if is_own(&entry.file_name()) && entry.file_type()?.is_file() {
            fs::remove_file(entry.path())?;
        }
    }
    fs::remove_dir(path)
}
