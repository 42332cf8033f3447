//! Whether the bytes to be appended may follow what an object already holds.
//!
//! The usual tools read consecutive gzip members or zstd frames as one file. They do not read
//! anything else after them, nor them after anything else. So where there is a sign that the two
//! forms might not agree, nothing is appended before they are known to:
//!
//! - A writer that compresses continues an object that was begun in the same form. The object's metadata
//!   tells the form if such a writer has created it
//!   ([`COMPRESSION`](crate::ObjectOptions::COMPRESSION)); otherwise its first bytes do, which are read.
//! - A writer that does not compress may append bytes that are compressed already. Its first bytes are
//!   checked if the object is compressed: by its metadata, or, where its key, content type or content
//!   encoding say so, by its first bytes. After whole members there has to be another member. An object
//!   by others may end in the middle of one, to be completed: only another form and text are refused.
//!
//! If the object cannot be read, for example because it is archived, the append is allowed.

use crate::error::{Conflict, ConflictCause, Error, ErrorKind, Result};
use crate::store::options::ObjectOptions;
use crate::values::batch::Batch;
use crate::values::format::{StoredFormat, TEXT_SAMPLE, is_text};
use crate::values::info::ObjectInfo;

/// What is known of how the object begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Beginning {
    /// What comes may follow.
    Agrees,
    /// There was nothing when it was opened, and others may begin it.
    Open,
    /// With this, and what comes is not known yet.
    Compressed {
        format: StoredFormat,
        /// It was made by a writer that compresses, of whole members.
        whole: bool,
    },
}

/// What the object's metadata and headers say.
pub(crate) enum Sign {
    Marked(StoredFormat),
    /// It may be compressed.
    Likely,
    None,
}

impl Beginning {
    /// What is known when an object is opened whose `length` bytes begin in this `format`, by who
    /// compresses, or does not.
    pub(crate) fn opened(
        length: u64,
        format: StoredFormat,
        whole: bool,
        compresses: Option<StoredFormat>,
    ) -> Result<Self> {
        match compresses {
            Some(own) => agree(length, format, own),
            None if format == StoredFormat::Other => Ok(Self::Agrees),
            None => Ok(Self::Compressed { format, whole }),
        }
    }

    /// What is known when `body` is to follow these bytes.
    pub(crate) fn followed_by(
        body: &Batch,
        length: u64,
        format: StoredFormat,
        whole: bool,
        compresses: Option<StoredFormat>,
    ) -> Result<Self> {
        let first = first_bytes(body);
        let given = StoredFormat::of(&first);
        let is_other = match compresses {
            Some(_) => true,
            None if format == StoredFormat::Other => false,
            None => whole || given != StoredFormat::Other || is_text(&first),
        };
        match is_other {
            true => agree(length, format, given),
            false => Ok(Self::Agrees),
        }
    }
}

fn agree(length: u64, found: StoredFormat, given: StoredFormat) -> Result<Beginning> {
    match found == given {
        true => Ok(Beginning::Agrees),
        false => Err(Error::new(ErrorKind::Conflict(Conflict::new(
            ConflictCause::Format { found, given },
            length,
            Some(length),
        )))),
    }
}

/// What the object's properties say about its form.
pub(crate) fn sign(key: &str, seen: &ObjectInfo) -> Sign {
    const EXTENSIONS: [&str; 5] = [".gz", ".gzip", ".tgz", ".zst", ".zstd"];
    const TYPES: [&str; 3] = ["application/gzip", "application/x-gzip", "application/zstd"];
    let properties = seen.properties.as_deref();
    if let Some(properties) = properties {
        let mark = properties.metadata.get(ObjectOptions::COMPRESSION);
        if let Some(format) = mark.and_then(|mark| StoredFormat::named(mark)) {
            return Sign::Marked(format);
        }
    }
    let key = key.to_ascii_lowercase();
    let by_key = EXTENSIONS.iter().any(|extension| key.ends_with(extension));
    let by_headers = properties.is_some_and(|properties| {
        let encoding = properties.content_encoding.as_deref();
        let media_type = properties.content_type.as_deref().unwrap_or_default();
        encoding.and_then(StoredFormat::named).is_some()
            || TYPES
                .iter()
                .any(|known| media_type.eq_ignore_ascii_case(known))
    });
    match by_key || by_headers {
        true => Sign::Likely,
        false => Sign::None,
    }
}

/// As many as tell what `body` is.
fn first_bytes(body: &Batch) -> Vec<u8> {
    let bytes = body.chunks().iter().flat_map(|chunk| chunk.iter());
    bytes.take(TEXT_SAMPLE).copied().collect()
}
