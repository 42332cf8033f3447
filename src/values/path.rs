//! The address of an object, and the rules for its parts.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The address of an object: a bucket and a key, both checked. Cheap to clone.
///
/// Displayed as `oss://BUCKET/KEY` and parsed from it; the key is taken literally, without
/// percent-decoding.
///
/// ```
/// use oss_append::ObjectPath;
///
/// let object: ObjectPath = "oss://logs/2026/app.log".parse()?;
/// assert_eq!((object.bucket(), object.key()), ("logs", "2026/app.log"));
/// assert!(ObjectPath::new("logs", "/leading-slash").is_err());
/// # Ok::<(), oss_append::ObjectPathError>(())
/// ```
///
/// With the feature `serde` it is that text.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(into = "String", try_from = "String"))]
pub struct ObjectPath {
    bucket: Arc<str>,
    key: Arc<str>,
}

/// Why a name is not one of an object or a bucket, and what would be right. As an
/// [`Error`](crate::Error) it is [`InvalidInput`](crate::ErrorKind::InvalidInput).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectPathError(String);

impl fmt::Display for ObjectPathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ObjectPathError {}

impl ObjectPath {
    /// The longest key in bytes.
    pub const MAX_KEY_LEN: usize = 1023;

    /// An object by bucket and key.
    ///
    /// # Errors
    /// If the bucket is not 3 to 63 characters
    /// of `a-z0-9-`, neither beginning nor ending with `-`; or the key is not 1 to 1023 bytes, or
    /// begins with `/` or `\`, or has a control character, or is `.` or `..` alone (no URL
    /// library can send those two unchanged).
    pub fn new(bucket: impl AsRef<str>, key: impl AsRef<str>) -> Result<Self, ObjectPathError> {
        let (bucket, key) = (bucket.as_ref(), key.as_ref());
        check_bucket(bucket)?;
        check_key(key)?;
        Ok(Self {
            bucket: bucket.into(),
            key: key.into(),
        })
    }

    /// A name that is shown and never sent.
    pub(crate) fn unchecked(bucket: &str, key: &str) -> Self {
        Self {
            bucket: bucket.into(),
            key: key.into(),
        }
    }

    /// The bucket's name.
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// The bucket's name, not copied.
    pub(crate) fn shared_bucket(&self) -> &Arc<str> {
        &self.bucket
    }

    /// The object's key.
    pub fn key(&self) -> &str {
        &self.key
    }
}

/// Checks a bucket's name by OSS's rule.
pub(crate) fn check_bucket(bucket: &str) -> Result<(), ObjectPathError> {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let good = (3..=63).contains(&bucket.len())
        && bucket.bytes().all(allowed)
        && !bucket.starts_with('-')
        && !bucket.ends_with('-');
    if good {
        return Ok(());
    }
    Err(ObjectPathError(format!(
        "bucket name {bucket:?} is not valid: 3 to 63 of a-z, 0-9 and -, neither first nor last a -"
    )))
}

pub(crate) fn check_key(key: &str) -> Result<(), ObjectPathError> {
    let problem = if key.is_empty() {
        "is empty".into()
    } else if key.len() > ObjectPath::MAX_KEY_LEN {
        format!(
            "has {} bytes: at most {} are allowed",
            key.len(),
            ObjectPath::MAX_KEY_LEN
        )
    } else if key.starts_with(['/', '\\']) {
        format!("{key:?} begins with a slash or backslash")
    } else if key.chars().any(char::is_control) {
        format!("{key:?} has a control character")
    } else if key == "." || key == ".." {
        format!("{key:?} cannot be addressed over HTTP")
    } else {
        return Ok(());
    };
    Err(ObjectPathError(format!("object key {problem}")))
}

impl FromStr for ObjectPath {
    type Err = ObjectPathError;

    fn from_str(target: &str) -> Result<Self, ObjectPathError> {
        let malformed =
            || ObjectPathError(format!("{target:?} is not of the form oss://BUCKET/KEY"));
        let (bucket, key) = target
            .strip_prefix("oss://")
            .and_then(|rest| rest.split_once('/'))
            .ok_or_else(malformed)?;
        Self::new(bucket, key)
    }
}

impl TryFrom<String> for ObjectPath {
    type Error = ObjectPathError;

    fn try_from(target: String) -> Result<Self, ObjectPathError> {
        target.parse()
    }
}

impl From<ObjectPath> for String {
    fn from(object: ObjectPath) -> Self {
        object.to_string()
    }
}

impl fmt::Display for ObjectPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "oss://{}/{}", self.bucket, self.key)
    }
}

impl fmt::Debug for ObjectPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn paths_are_taken_literally() {
        let object: ObjectPath = "oss://bucket/a%20b?c=d/../ü".parse().unwrap();
        assert_eq!(object.key(), "a%20b?c=d/../ü");
        assert_eq!(object.to_string(), "oss://bucket/a%20b?c=d/../ü");
    }

    #[test]
    fn malformed_paths_are_refused() {
        for target in [
            "bucket/key",
            "oss://bucket",
            "oss://bucket/",
            "oss:///key",
            "oss://Bucket/key",
            "oss://ab/key",
            "oss://-ab/key",
            "oss://bucket//key",
            "oss://bucket/\\key",
            "oss://bucket/a\nb",
            "oss://bucket/a\u{7f}b",
            "oss://bucket/..",
            "oss://bucket/.",
        ] {
            assert!(target.parse::<ObjectPath>().is_err(), "{target:?}");
        }
    }

    #[test]
    fn the_longest_key_has_1023_bytes() {
        assert!(ObjectPath::new("bucket", "k".repeat(1023)).is_ok());
        assert!(ObjectPath::new("bucket", "k".repeat(1024)).is_err());
        assert!(ObjectPath::new("bucket", "é".repeat(512)).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_target_is_shown_as_it_was_given_or_refused(any: String, key in any::<String>()) {
            for target in [any, format!("oss://bucket/{key}"), format!("oss://{key}/bucket")] {
                if let Ok(object) = target.parse::<ObjectPath>() {
                    prop_assert_eq!(object.to_string(), target);
                }
            }
        }
    }
}
