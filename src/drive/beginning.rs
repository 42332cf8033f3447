//! Whether what is to be appended may follow what an object holds already.
//!
//! Members of gzip or frames of zstd behind one another are read as one by the usual tools. Anything
//! else behind them is not, and neither are they behind anything else. So nothing is appended before
//! both forms are known to agree, where there is a sign that they might not:
//!
//! - A writer that compresses goes on with an object that was begun in the same form. That is told by
//!   the object's metadata if such a writer has made it
//!   ([`COMPRESSION`](crate::ObjectOptions::COMPRESSION)), else by its first bytes, which are read.
//! - Whoever does not compress may well append what is compressed already. Their bytes are asked for
//!   where the object is compressed: by its metadata, or, where its key, content type or content
//!   encoding say so, by its first bytes. Behind whole members there has to be another. What others
//!   have made may end in the midst of one, to be completed: there it is refused what begins another
//!   form, and what is text.
//!
//! What cannot be read, such as an object that is archived, is not held against anybody.

use bytes::Bytes;
use futures::StreamExt as _;

use super::ask::ask;
use super::options::AppenderOptions;
use super::stats::Counters;
use crate::error::{Conflict, ConflictCause, Error, ErrorKind, Result};
use crate::store::AppendStore;
use crate::store::options::ObjectOptions;
use crate::values::batch::Batch;
use crate::values::format::{StoredFormat, TEXT_SAMPLE, is_text};
use crate::values::info::ObjectInfo;
use crate::values::path::ObjectPath;

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
enum Sign {
    Marked(StoredFormat),
    /// It may be compressed.
    Likely,
    None,
}

/// Finds out what an object holds.
pub(super) struct Inspector<'a, S> {
    pub(super) store: &'a S,
    pub(super) object: &'a ObjectPath,
    pub(super) options: &'a AppenderOptions,
    pub(super) counters: &'a Counters,
}

impl<S: AppendStore> Inspector<'_, S> {
    /// What is known of the beginning of the object that was `seen` when it was opened.
    pub(super) async fn beginning(&self, seen: Option<&ObjectInfo>) -> Result<Beginning> {
        let Some(seen) = seen.filter(|seen| seen.length > 0) else {
            return Ok(match self.options.rules.shared {
                true => Beginning::Open,
                false => Beginning::Agrees,
            });
        };
        let (format, whole) = match (sign(self.object.key(), seen), self.options.compresses) {
            (Sign::Marked(format), _) => (format, true),
            (Sign::None, None) => return Ok(Beginning::Agrees),
            (Sign::Likely | Sign::None, _) => match self.read_format().await? {
                Some(format) => (format, false),
                None => return Ok(Beginning::Agrees),
            },
        };
        match self.options.compresses {
            Some(own) => agree(seen.length, format, own),
            None if format == StoredFormat::Other => Ok(Beginning::Agrees),
            None => Ok(Beginning::Compressed { format, whole }),
        }
    }

    /// Whether `body` may be appended to the object's first `length` bytes, of which there are some.
    pub(super) async fn may_follow(
        &self,
        beginning: Beginning,
        length: u64,
        body: &Batch,
    ) -> Result<Beginning> {
        let (format, whole) = match beginning {
            Beginning::Agrees => return Ok(beginning),
            Beginning::Compressed { format, whole } => (format, whole),
            Beginning::Open => match self.read_format().await? {
                Some(format) => (format, false),
                None => return Ok(Beginning::Agrees),
            },
        };
        let first = first_bytes(body);
        let given = StoredFormat::of(&first);
        let is_other = match self.options.compresses {
            Some(_) => true,
            None if format == StoredFormat::Other => false,
            None => whole || given != StoredFormat::Other || is_text(&first),
        };
        match is_other {
            true => agree(length, format, given),
            false => Ok(Beginning::Agrees),
        }
    }

    /// Reads the first bytes. `None`: they cannot be read.
    async fn read_format(&self) -> Result<Option<StoredFormat>> {
        let read = ask(self.object, self.options, self.counters, || async {
            let range = 0..StoredFormat::NEEDED as u64;
            let mut body = self.store.read_range(self.object, range).await?;
            let mut first = Vec::new();
            while first.len() < StoredFormat::NEEDED
                && let Some(chunk) = body.next().await
            {
                let chunk: Bytes = chunk?;
                first.extend_from_slice(&chunk);
            }
            Ok(first)
        });
        match read.await {
            Ok(first) => Ok(Some(StoredFormat::of(&first))),
            Err(error) if matches!(error.kind(), ErrorKind::Service(_)) => {
                tracing::debug!(
                    target: "oss_append::delivery",
                    object = %self.object,
                    %error,
                    "whether the object is compressed cannot be found out"
                );
                Ok(None)
            }
            Err(error) => Err(error.with_operation("open").with_object(self.object)),
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
fn sign(key: &str, seen: &ObjectInfo) -> Sign {
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
