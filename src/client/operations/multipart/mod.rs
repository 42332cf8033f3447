//! Multipart uploads: an object is made of parts that are uploaded, or copied from other objects, one
//! request each, and appears at once when the upload is completed.
//!
//! <https://www.alibabacloud.com/help/en/oss/developer-reference/multipart-upload>
//!
//! What OSS's documents say of the limits: a part has at least 100 KB but for the last one, and at most
//! 5 GB; an upload has part numbers from 1 to 10,000, in ascending order and with gaps if that is
//! convenient. Sizes are checked when the upload is completed, not before. An upload that is neither
//! completed nor aborted is kept, and costs what its parts take.

pub(in crate::client) mod abort;
pub(in crate::client) mod complete;
mod document;
pub(in crate::client) mod initiate;
pub(in crate::client) mod list;
pub(in crate::client) mod part;

use crate::error::{Error, Result};

/// The most parts of an upload, and the highest number of one.
pub(crate) const MAX_PARTS: u16 = 10_000;

/// The least bytes of a part that is not the last: 100 KB, which OSS takes for 100 × 1024.
pub(crate) const MIN_PART_SIZE: u64 = 100 * 1024;

/// A part of an upload, as it is named to complete that.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UploadedPart {
    /// Where the part stands among the others, from 1 to 10,000.
    pub number: u16,
    /// The tag of its content, as OSS told it.
    pub etag: String,
}

impl UploadedPart {
    /// A part by its number and the tag that OSS told.
    pub fn new(number: u16, etag: impl Into<String>) -> Self {
        Self {
            number,
            etag: etag.into(),
        }
    }
}

fn check_number(number: u16) -> Result<()> {
    match (1..=MAX_PARTS).contains(&number) {
        true => Ok(()),
        false => Err(Error::invalid_input(format!(
            "the parts of an upload have the numbers 1 to {MAX_PARTS}, not {number}"
        ))),
    }
}

fn check_id(upload_id: &str) -> Result<()> {
    match upload_id.is_empty() {
        true => Err(Error::invalid_input("the id of the upload is empty")),
        false => Ok(()),
    }
}
