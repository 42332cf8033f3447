//! The new object by parts that are read and uploaded.

use bytes::{Bytes, BytesMut};
use futures::stream::{self, Stream, StreamExt as _, TryStreamExt as _};

use super::copy::Upload;
use super::run::{Run, Source, changed};
use crate::client::{MAX_PARTS, UploadedPart};
use crate::error::{Error, Result, TransportCause};
use crate::reader::ObjectReader;
use crate::values::batch::Batch;
use crate::values::path::ObjectPath;

impl Run {
    /// Reads an object whole, compared with its CRC-64.
    pub(super) async fn read(&self, object: &ObjectPath) -> Result<ObjectReader> {
        ObjectReader::builder(self.client.clone(), object.clone())
            .delivery_timeout(self.options.rules.delivery_timeout)
            .backoff(self.options.rules.backoff)
            .open()
            .await
    }

    /// Reads the source, if it is what it was.
    pub(super) async fn read_source(&self, source: &Source) -> Result<ObjectReader> {
        let reader = self.read(&self.options.source).await?;
        match reader.object_length() == source.content.length {
            true => Ok(reader),
            false => {
                let now = self.look(&self.options.source).await?;
                Err(changed(source.content.length, now.as_ref()))
            }
        }
    }

    /// Uploads the bytes as they are, and makes the object of them.
    pub(super) async fn upload_as_it_is(&self, upload: &Upload, source: &Source) -> Result<()> {
        let size = self.part_size(source.content.length);
        let reader = self.read_source(source).await?;
        let parts = self.upload_parts(upload, gathered(reader, size)).await?;
        self.complete(upload, parts, source, source.content).await
    }

    /// Uploads parts as they come.
    pub(super) async fn upload_parts(
        &self,
        upload: &Upload,
        parts: impl Stream<Item = Result<Bytes>>,
    ) -> Result<Vec<UploadedPart>> {
        let numbered = parts.zip(stream::iter(1..));
        let uploads = numbered.map(async |(part, number)| {
            let body = Batch::from(part?);
            if number > MAX_PARTS {
                return Err(Error::invalid_input(format!(
                    "more than {MAX_PARTS} parts would be needed: take a larger part_size"
                )));
            }
            let uploaded = self.again.ask(&self.target, || async {
                let request =
                    self.client
                        .upload_part(&self.target, &upload.id, number, body.clone());
                let part = request.send().await?;
                match part.crc64 {
                    Some(crc64) if crc64 != body.crc64() => Err(Error::transport(
                        TransportCause::Broken,
                        "the part that OSS has stored is not what was sent",
                    )),
                    _ => Ok(UploadedPart::new(number, part.etag)),
                }
            });
            uploaded.await
        });
        uploads.buffered(self.options.parallel).try_collect().await
    }
}

/// What comes in pieces of any length, in pieces of `size` bytes but for the last.
fn gathered(
    pieces: impl Stream<Item = Result<Bytes>> + Unpin,
    size: u64,
) -> impl Stream<Item = Result<Bytes>> {
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    stream::try_unfold(
        (pieces, BytesMut::new()),
        move |(mut pieces, mut gathered)| async move {
            while gathered.len() < size {
                match pieces.try_next().await? {
                    Some(piece) => gathered.extend_from_slice(&piece),
                    None => break,
                }
            }
            let part = gathered.split_to(size.min(gathered.len()));
            Ok((!part.is_empty()).then(|| (part.freeze(), (pieces, gathered))))
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::executor::block_on;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn pieces_are_gathered_whole_and_in_order(
            lengths in prop::collection::vec(0_usize..50, 0..20), size in 1_u64..40,
        ) {
            let mut next = 0_u8;
            let pieces: Vec<Bytes> = lengths.iter().map(|length| {
                (0..*length).map(|_| { next = next.wrapping_add(1); next }).collect()
            }).collect();
            let stream = stream::iter(pieces.clone()).map(Ok);
            let parts: Vec<Bytes> = block_on(gathered(stream, size).try_collect()).unwrap();
            prop_assert_eq!(parts.concat(), pieces.concat());
            for (at, part) in parts.iter().enumerate() {
                let is_last = at + 1 == parts.len();
                prop_assert!(part.len() as u64 == size || (is_last && !part.is_empty()));
            }
        }
    }
}
