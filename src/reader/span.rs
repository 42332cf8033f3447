//! Which bytes of an object are read.

use std::ops::{Bound, Range};

use super::fixed::Fixed;
use crate::client::Wanted;
use crate::error::{Conflict, ConflictCause, Error, ErrorKind, Result};
use crate::values::proven::Proven;

/// Which bytes are read.
#[derive(Clone, Copy, Debug)]
pub(super) enum Span {
    /// By their positions.
    Between(Bound<u64>, Bound<u64>),
    /// So many at the end.
    Last(u64),
    /// What comes after what is known.
    After(Proven),
}

/// The first request.
#[derive(Clone, Copy, Debug)]
pub(super) enum First {
    /// What the object is has to be known before anything is read.
    Look,
    Read(Wanted),
}

impl Span {
    pub(super) const ALL: Self = Self::Between(Bound::Unbounded, Bound::Unbounded);

    /// It asks for no more bytes than `most`.
    pub(super) fn first(self, most: u64) -> Result<First> {
        Ok(match self {
            Self::Between(start, end) => {
                let Wanted { start, end } = Wanted::new((start, end))?;
                let cut = start.checked_add(most);
                let end = [end, cut].into_iter().flatten().min();
                First::Read(Wanted { start, end })
            }
            Self::Last(_) | Self::After(_) => First::Look,
        })
    }

    /// The bytes of an object of this length.
    pub(super) fn of(self, object: &Fixed) -> Result<Range<u64>> {
        let length = object.length();
        match self {
            Self::Between(start, end) => {
                let wanted = Wanted::new((start, end))?;
                let end = wanted.end.map_or(length, |end| end.min(length));
                Ok(wanted.start.min(end)..end)
            }
            Self::Last(count) => Ok(length.saturating_sub(count)..length),
            Self::After(known) => {
                let start = known.position.bytes();
                let differs = start == length && known.has_crc(object.crc64()) == Some(false);
                if start > length || differs {
                    let conflict = Conflict::new(ConflictCause::Replaced, start, Some(length));
                    return Err(Error::new(ErrorKind::Conflict(conflict)));
                }
                Ok(start..length)
            }
        }
    }

    /// The CRC-64 of all that is before the bytes, if that and they are the whole object.
    pub(super) fn before(self, object: &Fixed, range: &Range<u64>) -> Option<u64> {
        match self {
            Self::After(known) => known.crc,
            _ => object.is_whole(range).then_some(0),
        }
    }
}
