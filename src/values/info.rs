//! What an object is at one moment.

use std::collections::BTreeMap;

use super::position::ObjectPosition;

/// What an object is at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ObjectInfo {
    /// The length in bytes.
    pub length: u64,
    /// The CRC-64 of the whole object, if known.
    pub crc64: Option<u64>,
    /// Whether the object is appendable.
    pub kind: ObjectKind,
    /// Whether it has been sealed.
    pub sealed: bool,
    /// Who created it: the value of the user metadata
    /// [`ObjectOptions::CREATOR`](crate::ObjectOptions::CREATOR), if the store keeps metadata and the
    /// object has it.
    pub creator: Option<String>,
    /// The object's opaque tag, where the store has one.
    pub etag: Option<String>,
    /// How many appends it is made of, where the store tells.
    pub appends: Option<u64>,
    /// What it was created with, where the store tells.
    pub properties: Option<Box<ObjectProperties>>,
}

impl ObjectInfo {
    /// Where the next append goes.
    pub(crate) fn end(&self) -> ObjectPosition {
        ObjectPosition::new(self.length)
    }

    /// An appendable object that is not sealed.
    pub fn appendable(length: u64, crc64: Option<u64>) -> Self {
        Self {
            length,
            crc64,
            kind: ObjectKind::Appendable,
            sealed: false,
            creator: None,
            etag: None,
            appends: None,
            properties: None,
        }
    }
}

/// What an object was created with, as far as a look at it tells. What nobody set is `None`, or the
/// store's default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ObjectProperties {
    /// `Content-Type`.
    pub content_type: Option<String>,
    /// `Cache-Control`.
    pub cache_control: Option<String>,
    /// `Content-Disposition`.
    pub content_disposition: Option<String>,
    /// `Content-Encoding`.
    pub content_encoding: Option<String>,
    /// `Expires`.
    pub expires: Option<String>,
    /// The storage class by OSS's name for it.
    pub storage_class: Option<String>,
    /// The encryption on the server by OSS's name for it.
    pub encryption: Option<String>,
    /// The user metadata, without `x-oss-meta-` before the names.
    pub metadata: BTreeMap<String, String>,
}

/// The type of an object, by `x-oss-object-type`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ObjectKind {
    /// Made by AppendObject: can be appended to.
    Appendable,
    /// Any other type, by OSS's name for it, such as `Normal`.
    Other(String),
}

impl ObjectKind {
    /// The type with this name of OSS.
    pub(crate) fn named(name: String) -> Self {
        match name.eq_ignore_ascii_case("Appendable") {
            true => Self::Appendable,
            false => Self::Other(name),
        }
    }
}
