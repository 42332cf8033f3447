//! The steps of a compaction. Each begins by looking at what is there, so that it does not matter after
//! which of them an earlier run was killed.

use crate::client::OssClient;
use crate::drive::again::Again;
use crate::error::{Conflict, ConflictCause, Error, ErrorKind, Refusal, Result};
use crate::store::AppendStore as _;
use crate::store::options::ObjectOptions;
use crate::values::format::StoredFormat;
use crate::values::info::{ObjectInfo, ObjectKind};
use crate::values::path::ObjectPath;

use super::builder::Compaction;
use super::{Compacted, CompactedBy};

/// A compaction under way.
pub(super) struct Run {
    pub(super) options: Compaction,
    pub(super) client: OssClient,
    pub(super) target: ObjectPath,
    pub(super) again: Again,
}

/// What an object has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Content {
    pub(super) length: u64,
    pub(super) crc64: u64,
}

/// The object that is compacted, as it was when that began.
pub(super) struct Source {
    pub(super) content: Content,
    pub(super) etag: Option<String>,
    info: ObjectInfo,
}

impl Run {
    pub(super) fn new(options: Compaction, target: ObjectPath) -> Self {
        Self {
            again: Again::new(&options.source, options.rules.clone(), &options.events),
            client: options.client.clone(),
            target,
            options,
        }
    }

    pub(super) async fn run(&self) -> Result<Compacted> {
        let Some(source) = self.look_at_source().await? else {
            return self.done_before().await;
        };
        let (made, made_by) = match self.look(&self.target).await? {
            Some(found) => (self.known(&source, &found).await?, CompactedBy::EarlierRun),
            None => self.make(&source).await?,
        };
        if self.options.delete_source {
            self.delete(&source).await?;
        }
        Ok(self.compacted(made, made_by, self.options.delete_source))
    }

    fn compacted(&self, made: Content, made_by: CompactedBy, source_deleted: bool) -> Compacted {
        Compacted {
            source: self.options.source.clone(),
            target: self.target.clone(),
            length: made.length,
            crc64: made.crc64,
            made_by,
            source_deleted,
        }
    }

    pub(super) async fn look(&self, object: &ObjectPath) -> Result<Option<ObjectInfo>> {
        self.again.ask(object, || self.client.head(object)).await
    }

    /// What is to be compacted: sealed, if it is to be deleted. `None`: it is not there.
    async fn look_at_source(&self) -> Result<Option<Source>> {
        let object = &self.options.source;
        let Some(mut info) = self.look(object).await? else {
            return Ok(None);
        };
        if info.kind != ObjectKind::Appendable && self.options.format().is_none() {
            return Err(Error::invalid_input(
                "it is not an appendable object, so there is nothing to compact",
            ));
        }
        let seals = self.options.delete_source && self.options.seal;
        if seals && info.kind == ObjectKind::Appendable && !info.sealed {
            let length = info.length;
            self.again.ask(object, || self.seal(length)).await?;
            match self.look(object).await? {
                Some(sealed) if sealed.length == length && sealed.crc64 == info.crc64 => {
                    info = sealed;
                }
                found => return Err(changed(length, found.as_ref())),
            }
        }
        let Some(crc64) = info.crc64 else {
            return Err(Error::bad_answer(
                200,
                "OSS names no CRC-64 of the object, so nothing could be compared with it",
            ));
        };
        let length = info.length;
        Ok(Some(Source {
            content: Content { length, crc64 },
            etag: info.etag.clone().filter(|etag| !etag.is_empty()),
            info,
        }))
    }

    /// Seals the old object, if it has this length.
    async fn seal(&self, length: u64) -> Result<()> {
        let object = &self.options.source;
        match self.client.seal(object, length).await {
            Err(error) if error.refusal() == Some(Refusal::Position) => {
                let now = self.client.head(object).await?;
                Err(changed(length, now.as_ref()).with_source(error))
            }
            sealed => sealed.map_err(|error| {
                error.with_advice(Some(
                    "an object that is to be deleted is sealed first, unless that is switched off (seal_source(false), \
                     --no-seal); nothing was done",
                ))
            }),
        }
    }

    /// The old object is not there: an earlier run may have deleted it.
    async fn done_before(&self) -> Result<Compacted> {
        if let Some(found) = self.look(&self.target).await?
            && mark(&found).is_some()
            && let Some(crc64) = found.crc64
        {
            let length = found.length;
            let made = Content { length, crc64 };
            return Ok(self.compacted(made, CompactedBy::EarlierRun, true));
        }
        // OSS says best that it is not there.
        let missing = self.client.head_object(&self.options.source).send().await;
        Err(match missing {
            Err(error) => error,
            Ok(found) => changed(0, Some(&found.into_info())),
        })
    }

    /// An object that is there already, if it is what an earlier run has made of this source.
    async fn known(&self, source: &Source, found: &ObjectInfo) -> Result<Content> {
        let there = Error::new(ErrorKind::Conflict(Conflict::new(
            ConflictCause::Exists,
            0,
            Some(found.length),
        )))
        .with_object(&self.target)
        .with_advice(Some(
            "it is not what this object was compacted to: remove it, or name another one for the \
             result",
        ));
        let Some(crc64) = found.crc64.filter(|_| found.kind != ObjectKind::Appendable) else {
            return Err(there);
        };
        let length = found.length;
        let content = Content { length, crc64 };
        let recompress = self.options.recompress;
        match recompress {
            None if content == source.content => Ok(content),
            #[cfg(feature = "compression")]
            Some(_) if mark(found).as_deref() == Some(&source.mark()) => {
                self.check_recompressed(source).await?;
                Ok(content)
            }
            _ => Err(there),
        }
    }

    /// Makes the new object, and compares it.
    async fn make(&self, source: &Source) -> Result<(Content, CompactedBy)> {
        let recompress = self.options.recompress;
        let (made, made_by) = match recompress {
            #[cfg(feature = "compression")]
            Some(compression) => (
                self.recompress(source, compression).await?,
                CompactedBy::Recompression,
            ),
            None => self.copy(source).await?,
        };
        let found = self.look(&self.target).await?;
        self.check(made, found.as_ref())?;
        Ok((made, made_by))
    }

    /// Refuses a new object that is not what it should be.
    fn check(&self, made: Content, found: Option<&ObjectInfo>) -> Result<()> {
        match found {
            Some(found) if made.is(found) => Ok(()),
            Some(found) => Err(Error::new(ErrorKind::Checksum {
                expected_position: made.length,
                found_position: found.length,
                expected_crc64: Some(made.crc64),
                found_crc64: found.crc64,
            })
            .with_object(&self.target)
            .with_advice(Some(
                "remove it, and compact again; the object that was compacted is kept",
            ))),
            None => Err(Error::new(ErrorKind::Conflict(Conflict::new(
                ConflictCause::Gone,
                made.length,
                None,
            )))
            .with_object(&self.target)),
        }
    }

    /// Refuses a source that is not what it was.
    pub(super) async fn check_source(&self, source: &Source) -> Result<()> {
        match self.look(&self.options.source).await? {
            Some(now) if source.content.is(&now) => Ok(()),
            now => Err(changed(source.content.length, now.as_ref())),
        }
    }

    /// Deletes the old object, if it is what was compacted.
    async fn delete(&self, source: &Source) -> Result<()> {
        let object = &self.options.source;
        self.again
            .ask(object, || async {
                match self.client.head(object).await? {
                    // An answer was lost.
                    None => Ok(()),
                    Some(now) if source.content.is(&now) => {
                        self.client.delete_object(object).send().await.map(drop)
                    }
                    now => Err(changed(source.content.length, now.as_ref())),
                }
            })
            .await
    }

    /// The properties of the new object.
    pub(super) fn properties(&self, source: &Source) -> ObjectOptions {
        let mut options = ObjectOptions::default();
        let seen = source.info.properties.as_deref().cloned();
        let seen = seen.unwrap_or_default();
        let is_coded = |name: &Option<String>| {
            let name = name.as_deref().and_then(StoredFormat::named);
            name.is_some()
        };
        options.meta = seen.metadata;
        options.meta.remove(ObjectOptions::CREATOR);
        options.content_type = seen.content_type;
        options.cache_control = seen.cache_control;
        options.content_disposition = seen.content_disposition;
        options.expires = seen.expires;
        options.storage_class = self.options.storage_class;
        match self.options.format() {
            None => options.content_encoding = seen.content_encoding,
            Some(format) => {
                let media = [StoredFormat::Gzip, StoredFormat::Zstd].map(StoredFormat::media_type);
                let of_form = |of: &mut String| media.contains(&Some(of.as_str()));
                options.content_type.take_if(of_form);
                if is_coded(&seen.content_encoding) {
                    options.content_encoding = format.name().map(str::to_owned);
                }
                options.compress(format);
            }
        }
        options.meta.insert(Compaction::MARK.into(), source.mark());
        options
    }
}

impl Source {
    /// By which a later run knows what the new object was made of.
    fn mark(&self) -> String {
        let Content { length, crc64 } = self.content;
        format!("{length}-{crc64}")
    }
}

impl Content {
    pub(super) fn is(&self, found: &ObjectInfo) -> bool {
        found.length == self.length && found.crc64 == Some(self.crc64)
    }
}

fn mark(found: &ObjectInfo) -> Option<String> {
    let properties = found.properties.as_deref()?;
    properties.metadata.get(Compaction::MARK).cloned()
}

/// The source is not what it was.
pub(super) fn changed(length: u64, now: Option<&ObjectInfo>) -> Error {
    let cause = match now {
        None => ConflictCause::Gone,
        Some(now) if now.length > length => ConflictCause::Foreign,
        Some(_) => ConflictCause::Replaced,
    };
    let conflict = Conflict::new(cause, length, now.map(|now| now.length));
    Error::new(ErrorKind::Conflict(conflict)).with_advice(Some(
        "it is not finished: compact it when nobody writes to it any more",
    ))
}
