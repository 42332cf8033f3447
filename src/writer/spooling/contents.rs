//! What is in a spool that nobody works with.

use std::fmt;
use std::time::SystemTime;

use percent_encoding::percent_decode_str;

use super::disk::error_of;
use super::open::OpenSpool;
use super::options::Spool;
use crate::drive::thread::in_thread;
use crate::error::{Error, ErrorKind, Result};
use crate::spool::owner;
use crate::values::format::StoredFormat;
use crate::values::path::ObjectPath;
use crate::wire::encoding::strict;

/// Who the bytes of a spool are for: its writer, and no other, may go on with them.
///
/// It is shown as `object oss://bucket/key` or `sequence oss://bucket/template`, with the name of the
/// format behind it if it is compressed. In the spool of a [`KeyedWriter`](crate::KeyedWriter) the key
/// follows in a line of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SpoolOwner {
    /// The object; of a sequence the template, in the place of a key.
    pub name: ObjectPath,
    /// It is a sequence of objects.
    pub is_sequence: bool,
    /// How it is compressed.
    pub compression: Option<StoredFormat>,
    /// The key of the records, if they were written by a [`KeyedWriter`](crate::KeyedWriter).
    pub key: Option<String>,
}

/// What [`Spool::contents`] has found.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SpoolContents {
    /// Who the bytes are for; `None` if there are no files.
    pub owner: Option<SpoolOwner>,
    /// How many bytes may have to be sent yet. A part of them may be in the object: that is found out
    /// when they are sent.
    pub bytes: u64,
    /// What all files take on disk, in bytes.
    pub size: u64,
    /// No byte in it is older.
    pub oldest: Option<SystemTime>,
    /// The object that the first of them were meant for, as far as one was chosen.
    pub object: Option<ObjectPath>,
    /// What is damaged, with files and offsets. Inside of all but the last file damage is only found
    /// when it is read.
    pub damage: Vec<String>,
}

impl SpoolOwner {
    pub(crate) fn object(name: &ObjectPath, compression: Option<StoredFormat>) -> Self {
        Self {
            name: name.clone(),
            is_sequence: false,
            compression,
            key: None,
        }
    }

    pub(crate) fn sequence(name: &ObjectPath, compression: Option<StoredFormat>) -> Self {
        Self {
            is_sequence: true,
            ..Self::object(name, compression)
        }
    }

    pub(super) fn with_key(&self, key: &str) -> Self {
        Self {
            key: Some(key.to_owned()),
            ..self.clone()
        }
    }

    /// The owner that is named so in a spool.
    pub(super) fn of(found: &[u8]) -> Result<Self> {
        let text = String::from_utf8_lossy(found);
        Self::from_text(&text).ok_or_else(|| {
            Error::new(ErrorKind::Spool {
                reason: format!("its bytes are for {text:?}, which this version does not know"),
                out_of_space: false,
            })
        })
    }

    fn from_text(text: &str) -> Option<Self> {
        let (text, of_key) = match text.rsplit_once("\nkey ") {
            Some((text, key)) => {
                let key = percent_decode_str(key).decode_utf8().ok()?;
                (text, Some(key.into_owned()))
            }
            None => (text, None),
        };
        let (kind, rest) = text.split_once(" oss://")?;
        let formats = [StoredFormat::Gzip, StoredFormat::Zstd];
        let compressed = formats.into_iter().find_map(|format| {
            let name = rest.strip_suffix(&format!(" ({format})"))?;
            Some((name, format))
        });
        let (name, compression) = match compressed {
            Some((name, format)) => (name, Some(format)),
            None => (rest, None),
        };
        let (bucket, key) = name.split_once('/')?;
        Some(Self {
            name: ObjectPath::unchecked(bucket, key),
            is_sequence: match kind {
                "object" => false,
                "sequence" => true,
                _ => return None,
            },
            compression,
            key: of_key,
        })
    }
}

impl fmt::Display for SpoolOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.is_sequence {
            true => "sequence",
            false => "object",
        };
        write!(f, "{kind} {}", self.name)?;
        if let Some(format) = self.compression {
            write!(f, " ({format})")?;
        }
        match &self.key {
            Some(key) => write!(f, "\nkey {}", strict(key)),
            None => Ok(()),
        }
    }
}

impl Spool {
    /// Looks at what is in the directory. Nothing is asked of OSS, and nothing changed, but that the
    /// rest of a torn write is cut off.
    ///
    /// ```no_run
    /// # async fn example() -> oss_append::Result<()> {
    /// let found = oss_append::Spool::new("/var/spool/app").contents().await?;
    /// if let Some(owner) = &found.owner {
    ///     println!("{} bytes for {owner}", found.bytes);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Spool`](ErrorKind::Spool) if the directory cannot be read, is in use, or holds files of
    /// another version.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn contents(&self) -> Result<SpoolContents> {
        let spool = self.clone();
        in_thread(move || spool.contents_now()).await
    }

    fn contents_now(&self) -> Result<SpoolContents> {
        if !self.directory.is_dir() {
            return Err(Error::new(ErrorKind::Spool {
                reason: format!("{} is no directory", self.directory.display()),
                out_of_space: false,
            }));
        }
        let Some(owner) = self.owner_now()? else {
            return Ok(SpoolContents {
                owner: None,
                bytes: 0,
                size: 0,
                oldest: None,
                object: None,
                damage: Vec::new(),
            });
        };
        let open = self.open_now(&owner)?;
        Ok(open.contents(owner))
    }

    /// Who its bytes are for; `None` if there are no files, or they are nobody's.
    fn owner_now(&self) -> Result<Option<SpoolOwner>> {
        match self.open_as(Vec::new()) {
            Ok(_) => Ok(None),
            Err(error) => match error.other_owner() {
                Some(found) => SpoolOwner::of(found).map(Some),
                None => Err(error_of(error)),
            },
        }
    }

    /// The key that its bytes are of, if they are of one. Whoever has the directory may work with it
    /// meanwhile.
    pub(crate) fn key_now(&self) -> Result<Option<String>> {
        match owner(&self.directory).map_err(error_of)? {
            Some(found) => Ok(SpoolOwner::of(&found)?.key),
            None => Ok(None),
        }
    }
}

impl OpenSpool {
    fn contents(&self, owner: SpoolOwner) -> SpoolContents {
        SpoolContents {
            owner: Some(owner),
            bytes: self.on_disk,
            size: self.size,
            oldest: self.oldest,
            object: self.plan.as_ref().map(|plan| plan.object.clone()),
            damage: self.damage.iter().map(ToString::to_string).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_is_read_as_it_is_shown() {
        let name = ObjectPath::unchecked("bucket", "a b/%Y (x)-{seq}.log");
        for compression in [None, Some(StoredFormat::Gzip), Some(StoredFormat::Zstd)] {
            for owner in [
                SpoolOwner::object(&name, compression),
                SpoolOwner::sequence(&name, compression),
            ] {
                for key in ["", "a b", "ü\nkey 1", "a/b (gzip)"] {
                    let owner = owner.with_key(key);
                    assert_eq!(SpoolOwner::from_text(&owner.to_string()), Some(owner));
                }
                assert_eq!(SpoolOwner::from_text(&owner.to_string()), Some(owner));
            }
        }
        assert_eq!(SpoolOwner::from_text("queue oss://bucket/a"), None);
        assert_eq!(SpoolOwner::from_text("object bucket/a"), None);
    }
}
