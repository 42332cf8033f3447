//! What a listing tells.

use crate::values::info::ObjectKind;

/// One page of the keys of a bucket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyPage {
    /// The objects, in the order of their keys' bytes.
    pub objects: Vec<ListedKey>,
    /// The key after which the next page begins; `None`: this is the last.
    pub next: Option<String>,
}

impl KeyPage {
    /// A page of these objects, in the order of their keys' bytes.
    pub fn new(objects: Vec<ListedKey>, next: Option<String>) -> Self {
        Self { objects, next }
    }
}

/// What a listing tells about an object.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListedKey {
    /// The key. A bucket may hold keys that [`ObjectPath`](crate::ObjectPath) does not accept.
    pub key: String,
    /// The length in bytes.
    pub length: u64,
    /// Whether the object is appendable.
    pub kind: ObjectKind,
}

impl ListedKey {
    /// An object by its key, length and type.
    pub fn new(key: impl Into<String>, length: u64, kind: ObjectKind) -> Self {
        Self {
            key: key.into(),
            length,
            kind,
        }
    }
}
