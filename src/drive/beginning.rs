//! Finds out what an object already holds, where the bytes to be appended might not fit it.
//! [`engine/beginning.rs`](crate::engine::beginning) decides what follows.

use bytes::Bytes;
use futures::StreamExt as _;

use super::ask::ask;
use super::events::TARGET;
use super::options::AppenderOptions;
use super::stats::Counters;
use crate::engine::beginning::{Beginning, Sign, sign};
use crate::error::{ErrorKind, Result};
use crate::store::AppendStore;
use crate::values::batch::Batch;
use crate::values::format::StoredFormat;
use crate::values::info::ObjectInfo;
use crate::values::path::ObjectPath;

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
        Beginning::opened(seen.length, format, whole, self.options.compresses)
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
        Beginning::followed_by(body, length, format, whole, self.options.compresses)
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
                self.counters.events().trace(|| {
                    tracing::debug!(
                        target: TARGET,
                        object = %self.object,
                        %error,
                        "whether the object is compressed cannot be found out"
                    );
                });
                Ok(None)
            }
            Err(error) => Err(error.with_operation("open").with_object(self.object)),
        }
    }
}
