//! Where bytes are.

use crate::values::path::ObjectPath;
use crate::values::position::ObjectPosition;

/// A run of bytes that are together in one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) object: ObjectPath,
    /// Where the run begins there.
    pub(crate) position: ObjectPosition,
    pub(crate) len: u64,
    /// The CRC-64 of the object before it, where known.
    pub(crate) before: Option<u64>,
    /// What the run was compressed to, if it was.
    pub(crate) member: Option<Member>,
}

/// A compressed run, as it is in the object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) len: u64,
    /// The CRC-64 of the object up to its end, where known.
    pub(crate) crc64: Option<u64>,
}

impl Place {
    /// Where the run's byte `at` is, as well as that can be told: what is compressed begins with
    /// its member.
    pub(crate) fn begin(&self, at: u64) -> ObjectPosition {
        match self.member {
            Some(_) => self.position,
            None => self.position + at,
        }
    }

    /// Where the run's first `len` bytes end, with the member if it is one.
    pub(crate) fn end(&self, len: u64) -> ObjectPosition {
        match &self.member {
            Some(member) => self.position + member.len,
            None => self.position + len,
        }
    }
}
