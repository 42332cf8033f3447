//! What an object was when reading began, and what a later answer may say of it.
//!
//! An appendable object grows while it is read, and its tag changes with each append. What does not
//! change are its first bytes: their number and their CRC-64 are fixed by the first answer, and those
//! alone are read. Each later answer has to be of the same object, as far as its headers tell. What
//! they do not tell is found by the CRC-64 at the end.

use std::ops::Range;

use crate::client::ObjectMeta;
use crate::error::{Conflict, ConflictCause};
use crate::store::options::ObjectOptions;
use crate::values::info::ObjectKind;

/// What an answer says of the whole object.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) length: u64,
    pub(super) crc64: Option<u64>,
    /// The name of the other type is empty where none was told.
    pub(super) kind: ObjectKind,
    pub(super) sealed: bool,
    pub(super) etag: Option<String>,
    pub(super) next_append_position: Option<u64>,
    /// The mark of who created it.
    pub(super) creator: Option<String>,
}

impl From<ObjectMeta> for Seen {
    fn from(mut meta: ObjectMeta) -> Self {
        Self {
            length: meta.length,
            crc64: meta.crc64,
            kind: meta.kind,
            sealed: meta.sealed,
            etag: meta.etag,
            next_append_position: meta.next_append_position,
            creator: meta.metadata.remove(ObjectOptions::CREATOR),
        }
    }
}

/// What the object was when reading began.
#[derive(Clone, Debug)]
pub(super) struct Fixed {
    seen: Seen,
}

impl Fixed {
    pub(super) fn new(seen: Seen) -> Self {
        Self { seen }
    }

    pub(super) fn length(&self) -> u64 {
        self.seen.length
    }

    /// The CRC-64 of the whole object, where known.
    pub(super) fn crc64(&self) -> Option<u64> {
        self.seen.crc64
    }

    /// What type of object it is.
    pub(super) fn kind(&self) -> &ObjectKind {
        &self.seen.kind
    }

    /// Whether it was sealed.
    pub(super) fn is_sealed(&self) -> bool {
        self.seen.sealed
    }

    /// Whether it can have become longer.
    fn grows(&self) -> bool {
        // What is behind a link may be appendable.
        let is_normal = |name: &str| {
            ["Normal", "Multipart"]
                .iter()
                .any(|known| name.eq_ignore_ascii_case(known))
        };
        let never = matches!(&self.seen.kind, ObjectKind::Other(name) if is_normal(name));
        !self.seen.sealed && !never
    }

    /// The tag that all further answers have to be of. That of an object that grows changes.
    pub(super) fn if_match(&self) -> Option<String> {
        let etag = self.seen.etag.clone();
        etag.filter(|etag| !self.grows() && !etag.is_empty())
    }

    /// Refuses what is said of another object than this, or of less of it.
    pub(super) fn check(&self, later: &Seen) -> Result<(), Conflict> {
        let fixed = &self.seen;
        let is_as_long = later.length == fixed.length;
        let same = later.length >= fixed.length
            && later
                .next_append_position
                .is_none_or(|next| next >= fixed.length)
            && !differ(kind(fixed), kind(later))
            && later.creator == fixed.creator
            && (self.grows() || (is_as_long && !differ(fixed.etag.as_ref(), later.etag.as_ref())))
            && (later.sealed || !fixed.sealed)
            && !(is_as_long && differ(fixed.crc64, later.crc64));
        match same {
            true => Ok(()),
            false => Err(self.replaced(Some(later.length))),
        }
    }

    /// Refuses `next`, what was found by a later look, if it is another object than this, or less of
    /// it.
    pub(super) fn check_next(&self, next: &Self) -> Result<(), Conflict> {
        self.check(&next.seen)
    }

    /// The object is another one now.
    pub(super) fn replaced(&self, found: Option<u64>) -> Conflict {
        Conflict::new(ConflictCause::Replaced, self.length(), found)
    }

    /// The object is not there any more.
    pub(super) fn gone(&self) -> Conflict {
        Conflict::new(ConflictCause::Gone, self.length(), None)
    }

    /// Whether `range` is all of it.
    pub(super) fn is_whole(&self, range: &Range<u64>) -> bool {
        *range == (0..self.length())
    }
}

/// The type, where it was told.
fn kind(seen: &Seen) -> Option<&ObjectKind> {
    Some(&seen.kind).filter(|kind| **kind != ObjectKind::Other(String::new()))
}

/// Whether both are known, and not the same.
fn differ<T: PartialEq>(one: Option<T>, other: Option<T>) -> bool {
    one.zip(other).is_some_and(|(one, other)| one != other)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn appendable(length: u64) -> Seen {
        Seen {
            length,
            crc64: Some(length),
            kind: ObjectKind::Appendable,
            sealed: false,
            etag: Some(format!("\"{length}\"")),
            next_append_position: Some(length),
            creator: Some("one".into()),
        }
    }

    fn normal(length: u64) -> Seen {
        Seen {
            kind: ObjectKind::Other("Normal".into()),
            next_append_position: None,
            creator: None,
            ..appendable(length)
        }
    }

    #[test]
    fn an_object_that_grows_stays_the_same() {
        let fixed = Fixed::new(appendable(10));
        assert_eq!(fixed.if_match(), None);
        for length in [10, 11, 1000] {
            assert_eq!(fixed.check(&appendable(length)), Ok(()));
        }
        let sealed = Seen {
            sealed: true,
            ..appendable(12)
        };
        assert_eq!(fixed.check(&sealed), Ok(()));
        let nothing_told = Seen {
            crc64: None,
            kind: ObjectKind::Other(String::new()),
            etag: None,
            next_append_position: None,
            ..appendable(10)
        };
        assert_eq!(fixed.check(&nothing_told), Ok(()));
    }

    #[test]
    fn what_cannot_be_the_same_object_is_refused() {
        let fixed = Fixed::new(appendable(10));
        let later = appendable(12);
        for other in [
            appendable(9),
            normal(12),
            Seen {
                crc64: Some(77),
                ..appendable(10)
            },
            Seen {
                next_append_position: Some(9),
                ..later.clone()
            },
            Seen {
                creator: Some("two".into()),
                ..later.clone()
            },
            Seen {
                creator: None,
                ..later
            },
        ] {
            let conflict = fixed.check(&other).unwrap_err();
            assert_eq!(conflict, fixed.replaced(Some(other.length)), "{other:?}");
        }
    }

    #[test]
    fn an_object_that_cannot_grow_has_one_tag_and_one_length() {
        let sealed = Seen {
            sealed: true,
            ..appendable(10)
        };
        for seen in [sealed, normal(10)] {
            let fixed = Fixed::new(seen.clone());
            assert_eq!(fixed.if_match().as_deref(), Some("\"10\""));
            assert_eq!(fixed.check(&seen), Ok(()));
            for other in [
                Seen {
                    length: 11,
                    ..seen.clone()
                },
                Seen {
                    etag: Some("\"11\"".into()),
                    ..seen
                },
            ] {
                assert!(fixed.check(&other).is_err(), "{other:?}");
            }
        }
        let sealed = Fixed::new(Seen {
            sealed: true,
            ..appendable(10)
        });
        assert!(sealed.check(&appendable(10)).is_err());
    }
}
