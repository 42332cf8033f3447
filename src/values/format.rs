//! The form of stored bytes, as their beginning tells it.

use std::fmt;

/// Whether stored bytes are compressed, as their first bytes tell.
///
/// ```
/// use oss_append::StoredFormat;
///
/// assert_eq!(StoredFormat::of(b"\x1f\x8b\x08\0"), StoredFormat::Gzip);
/// assert_eq!(StoredFormat::of(b"a line\n"), StoredFormat::Other);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StoredFormat {
    /// Members of gzip ([RFC 1952](https://www.rfc-editor.org/rfc/rfc1952)).
    Gzip,
    /// Frames of Zstandard ([RFC 8878](https://www.rfc-editor.org/rfc/rfc8878)).
    Zstd,
    /// Anything else, such as text.
    Other,
}

/// The most bytes that are looked at to tell text from anything else.
pub(crate) const TEXT_SAMPLE: usize = 256;

impl StoredFormat {
    /// How many bytes tell the format.
    pub const NEEDED: usize = 4;

    /// The format of what begins with `first`, of which [`NEEDED`](Self::NEEDED) bytes are enough.
    pub fn of(first: &[u8]) -> Self {
        match first {
            // The only method of compression that there is.
            [0x1f, 0x8b, 8, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            // A frame to be skipped.
            [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            _ => Self::Other,
        }
    }

    /// The format of this name, as in `Content-Encoding`.
    pub(crate) fn named(name: &str) -> Option<Self> {
        let is = |known: &str| name.trim().eq_ignore_ascii_case(known);
        if is("gzip") || is("x-gzip") {
            Some(Self::Gzip)
        } else {
            is("zstd").then_some(Self::Zstd)
        }
    }

    /// Its name, as in `Content-Encoding`, where it has one.
    pub(crate) fn name(self) -> Option<&'static str> {
        match self {
            Self::Gzip => Some("gzip"),
            Self::Zstd => Some("zstd"),
            Self::Other => None,
        }
    }

    /// What an object of this form is made of.
    pub(crate) fn member(self) -> Option<&'static str> {
        match self {
            Self::Gzip => Some("gzip member"),
            Self::Zstd => Some("zstd frame"),
            Self::Other => None,
        }
    }

    /// Its media type, where it has one of its own.
    pub(crate) fn media_type(self) -> Option<&'static str> {
        match self {
            Self::Gzip => Some("application/gzip"),
            Self::Zstd => Some("application/zstd"),
            Self::Other => None,
        }
    }
}

impl fmt::Display for StoredFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name().unwrap_or("uncompressed"))
    }
}

/// Whether what begins with `first` is text: UTF-8 without control characters other than those of
/// text. The middle of compressed bytes is not, except for a few bytes of it.
pub(crate) fn is_text(first: &[u8]) -> bool {
    let sample = &first[..first.len().min(TEXT_SAMPLE)];
    let text = match std::str::from_utf8(sample) {
        Ok(text) => text,
        // It is cut in a character.
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(&sample[..error.valid_up_to()]).unwrap_or_default()
        }
        Err(_) => return false,
    };
    let is_of_text = |c: char| !c.is_control() || matches!(c, '\t' | '\n' | '\r' | '\x0c' | '\x1b');
    !text.is_empty() && text.chars().all(is_of_text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_tell_the_format() {
        for (first, format) in [
            (&[0x1f, 0x8b, 8, 0][..], StoredFormat::Gzip),
            (&[0x1f, 0x8b, 8], StoredFormat::Gzip),
            (&[0x1f, 0x8b, 7, 0], StoredFormat::Other),
            (&[0x28, 0xb5, 0x2f, 0xfd], StoredFormat::Zstd),
            (&[0x50, 0x2a, 0x4d, 0x18], StoredFormat::Zstd),
            (&[0x5f, 0x2a, 0x4d, 0x18, 0], StoredFormat::Zstd),
            (&[0x60, 0x2a, 0x4d, 0x18], StoredFormat::Other),
            (b"text", StoredFormat::Other),
            (b"", StoredFormat::Other),
        ] {
            assert_eq!(StoredFormat::of(first), format, "{first:x?}");
        }
    }

    #[test]
    fn names_are_those_of_content_encodings() {
        for (name, format) in [
            ("gzip", Some(StoredFormat::Gzip)),
            ("X-Gzip", Some(StoredFormat::Gzip)),
            (" zstd", Some(StoredFormat::Zstd)),
            ("identity", None),
            ("", None),
        ] {
            assert_eq!(StoredFormat::named(name), format, "{name:?}");
        }
    }

    #[test]
    fn text_is_told_from_what_is_compressed() {
        let long = "ü".repeat(TEXT_SAMPLE);
        for text in [
            "second\n",
            "日志\t1\r\n",
            "\x1b[31mred",
            &long,
            &format!("a{long}"),
        ] {
            assert!(is_text(text.as_bytes()), "{text:?}");
        }
        for bytes in [
            &b""[..],
            b"\0",
            b"a\0b",
            b"\x1f\x8b",
            b"\xc3\x28",
            b"ab\xff",
            b"\xe6",
        ] {
            assert!(!is_text(bytes), "{bytes:?}");
        }
        let mut rng = fastrand::Rng::with_seed(1);
        for _ in 0..10_000 {
            let noise: Vec<u8> = (0..20).map(|_| rng.u8(..)).collect();
            assert!(!is_text(&noise), "{noise:?}");
        }
    }
}
