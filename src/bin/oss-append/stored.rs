//! In which form an object is stored.

use futures::TryStreamExt as _;
use oss_append::{Error, ObjectReaderBuilder, StoredFormat};

/// The form of the object that `reader` is to read, by its first bytes.
pub(crate) async fn format_of(reader: ObjectReaderBuilder) -> Result<StoredFormat, Error> {
    let first = reader.range(..StoredFormat::NEEDED as u64).open().await?;
    let first: Vec<_> = first.try_collect().await?;
    Ok(StoredFormat::of(&first.concat()))
}
