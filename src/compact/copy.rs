//! The new object by parts that OSS copies.

use std::ops::Range;

use futures::stream::{self, StreamExt as _, TryStreamExt as _};

use super::CompactedBy;
use super::run::{Content, Run, Source, changed};
use crate::client::{MAX_PARTS, UploadedPart};
use crate::error::{Error, Refusal, Result};
use crate::values::batch::Batch;

/// A multipart upload under way.
pub(super) struct Upload {
    pub(super) id: String,
}

impl Run {
    /// Makes the new object of the same bytes.
    pub(super) async fn copy(&self, source: &Source) -> Result<(Content, CompactedBy)> {
        if source.content.length == 0 {
            self.put_empty(source).await?;
            return Ok((source.content, CompactedBy::Copy));
        }
        let upload = self.initiate(source).await?;
        let made = match self.copy_parts(&upload, source).await {
            Ok(parts) => self.complete(&upload, parts, source, source.content).await,
            Err(error) if is_no_copy(&error) => {
                tracing::debug!(%error, "OSS does not copy the object: it is read and uploaded");
                let uploaded = self.upload_as_it_is(&upload, source).await;
                return self
                    .ended(&upload, uploaded)
                    .await
                    .map(|()| (source.content, CompactedBy::Upload));
            }
            Err(error) => Err(error),
        };
        self.ended(&upload, made).await?;
        Ok((source.content, CompactedBy::Copy))
    }

    /// The bytes of a part.
    pub(super) fn part_size(&self, length: u64) -> u64 {
        self.options
            .part_size
            .max(length.div_ceil(u64::from(MAX_PARTS / 2)))
    }

    async fn copy_parts(&self, upload: &Upload, source: &Source) -> Result<Vec<UploadedPart>> {
        let ranges = ranges(source.content.length, self.part_size(source.content.length));
        let copies = stream::iter((1..).zip(ranges)).map(async |(number, range)| {
            let copied = self
                .again
                .ask(&self.target, || {
                    let from = &self.options.source;
                    let request = self
                        .client
                        .upload_part_copy(&self.target, &upload.id, number, from)
                        .range(range.clone());
                    match &source.etag {
                        Some(etag) => request.if_match(etag).send(),
                        None => request.send(),
                    }
                })
                .await;
            match copied {
                Ok(copied) => Ok(UploadedPart::new(number, copied.etag)),
                Err(error) if status(&error) == Some(412) => {
                    let now = self.look(&self.options.source).await?;
                    Err(changed(source.content.length, now.as_ref()).with_source(error))
                }
                Err(error) => Err(error),
            }
        });
        copies.buffered(self.options.parallel).try_collect().await
    }

    /// Begins an upload, and aborts all others for the same object.
    pub(super) async fn initiate(&self, source: &Source) -> Result<Upload> {
        let properties = self.properties(source);
        // A lost answer leaves one that nobody knows: each attempt begins by removing that.
        let begun = self.again.ask(&self.target, || async {
            self.abort_all().await?;
            self.client
                .initiate_multipart_upload(&self.target)
                .options(properties.clone())
                .forbid_overwrite(true)
                .send()
                .await
        });
        let id = begun.await?.upload_id;
        Ok(Upload { id })
    }

    /// Aborts what earlier runs have left.
    async fn abort_all(&self) -> Result<()> {
        let mut request = self
            .client
            .list_multipart_uploads(self.target.bucket())
            .prefix(self.target.key());
        loop {
            let page = match request.clone().send().await {
                Err(error) if error.refusal() == Some(Refusal::Denied) => return Ok(()),
                page => page?,
            };
            for found in &page.uploads {
                if found.key == self.target.key() {
                    self.abort(&found.upload_id).await?;
                }
            }
            let Some(next) = page.next else {
                return Ok(());
            };
            request = request.after(next);
        }
    }

    async fn abort(&self, id: &str) -> Result<()> {
        let abort = self.client.abort_multipart_upload(&self.target, id);
        match abort.send().await {
            Err(error) if code(&error) == Some("NoSuchUpload") => Ok(()),
            aborted => aborted,
        }
    }

    /// Makes the object of the parts, unless the source has changed meanwhile. Whatever is answered,
    /// or whether nothing is, the object itself tells what became of it.
    pub(super) async fn complete(
        &self,
        upload: &Upload,
        parts: Vec<UploadedPart>,
        source: &Source,
        made: Content,
    ) -> Result<()> {
        self.check_source(source).await?;
        self.again
            .ask(&self.target, || async {
                let complete = self
                    .client
                    .complete_multipart_upload(&self.target, &upload.id, parts.clone())
                    .forbid_overwrite(true);
                match complete.send().await {
                    Ok(_) => Ok(()),
                    Err(error) => self.unless_made(made, error).await,
                }
            })
            .await
    }

    /// The error of the request that should have made the object, unless that is there.
    async fn unless_made(&self, made: Content, error: Error) -> Result<()> {
        use crate::store::AppendStore as _;
        match self.client.head(&self.target).await? {
            Some(found) if made.is(&found) => Ok(()),
            _ => Err(error),
        }
    }

    /// Removes the parts after a failure.
    pub(super) async fn ended<T>(&self, upload: &Upload, outcome: Result<T>) -> Result<T> {
        if outcome.is_err() {
            // Else the next run does it.
            let _ = self.abort(&upload.id).await;
        }
        outcome
    }

    /// An upload has at least one part, and a part at least one byte.
    async fn put_empty(&self, source: &Source) -> Result<()> {
        self.check_source(source).await?;
        let properties = self.properties(source);
        self.again
            .ask(&self.target, || async {
                let put = self
                    .client
                    .put_object(&self.target, Batch::from(Vec::<bytes::Bytes>::new()))
                    .options(properties.clone())
                    .forbid_overwrite(true);
                match put.send().await {
                    Ok(_) => Ok(()),
                    Err(error) => self.unless_made(source.content, error).await,
                }
            })
            .await
    }
}

/// Whether OSS has refused to copy from an object of this type.
fn is_no_copy(error: &Error) -> bool {
    let other = matches!(
        error.refusal(),
        Some(Refusal::NotAppendable | Refusal::Conflict | Refusal::Other)
    );
    other && !matches!(code(error), Some("NoSuchUpload" | "PreconditionFailed"))
}

fn code(error: &Error) -> Option<&str> {
    Some(&error.service_error()?.code)
}

fn status(error: &Error) -> Option<u16> {
    Some(error.service_error()?.status)
}

/// The ranges of the parts.
fn ranges(length: u64, size: u64) -> impl Iterator<Item = Range<u64>> {
    let starts = (0..length.div_ceil(size)).map(move |part| part * size);
    starts.map(move |start| start..length.min(start + size))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ServiceError;

    #[test]
    fn the_ranges_are_all_of_the_object_in_order() {
        for (length, size) in [(1, 10), (10, 10), (11, 10), (5_000_000_000, 8 << 20)] {
            let mut end = 0;
            for range in ranges(length, size) {
                assert_eq!(range.start, end);
                assert!(!range.is_empty() && range.end - range.start <= size);
                end = range.end;
            }
            assert_eq!(end, length);
        }
    }

    #[test]
    fn only_a_refusal_of_the_type_leads_to_an_upload() {
        let refused = |status, code| is_no_copy(&Error::service(ServiceError::new(status, code)));
        for (status, code) in [
            (400, "OperationNotSupported"),
            (409, "ObjectNotAppendable"),
            (400, "InvalidArgument"),
            (501, "NotImplemented"),
        ] {
            assert!(refused(status, code), "{code}");
        }
        for (status, code) in [
            (412, "PreconditionFailed"),
            (404, "NoSuchUpload"),
            (404, "NoSuchKey"),
            (403, "AccessDenied"),
            (503, "ServiceUnavailable"),
        ] {
            assert!(!refused(status, code), "{code}");
        }
    }
}
