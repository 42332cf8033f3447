//! Ranges and conditional requests.

use std::ops::Range;

use http::HeaderMap;
use http::StatusCode;

use super::clock::parse_http_date;
use super::object::Properties;
use super::refusal::Refusal;

/// The part of an object that a GET asks for; `None` is all of it.
///
/// By default OSS answers a range that does not lie within the object with the whole object. With
/// `x-oss-range-behavior: standard` it cuts a range at the end, and refuses one that begins
/// behind it.
pub(super) fn range(headers: &HeaderMap, length: u64) -> Result<Option<Range<u64>>, Refusal> {
    let value = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let standard = value("x-oss-range-behavior") == Some("standard");
    let Some(range) = value("range").and_then(parse_range) else {
        return Ok(None);
    };
    let (start, end) = match range {
        (Some(start), Some(last)) => (start, last.saturating_add(1)),
        (Some(start), None) => (start, length),
        (None, Some(suffix)) if suffix <= length => (length - suffix, length),
        (None, Some(_)) if standard => (0, length),
        (None, _) => return Ok(None),
    };
    if start >= length {
        if standard {
            return Err(Refusal::new(
                StatusCode::RANGE_NOT_SATISFIABLE,
                "InvalidRange",
                "The requested range cannot be satisfied.",
            )
            .header("content-range", format_args!("bytes */{length}")));
        }
        return Ok(None);
    }
    if end > length && !standard {
        return Ok(None);
    }
    Ok(Some(start..end.min(length)))
}

/// First and last byte, or the length of a suffix, of a single well-formed range.
fn parse_range(text: &str) -> Option<(Option<u64>, Option<u64>)> {
    let (start, end) = text.strip_prefix("bytes=")?.trim().split_once('-')?;
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| text.parse().unwrap_or(u64::MAX))
    };
    match (number(start), number(end)) {
        (None, Some(suffix)) if start.is_empty() => Some((None, Some(suffix))),
        (Some(start), None) if end.is_empty() => Some((Some(start), None)),
        (Some(start), Some(end)) if start <= end => Some((Some(start), Some(end))),
        _ => None,
    }
}

/// Checks `If-Match` and its like against an object.
pub(super) fn check(headers: &HeaderMap, object: &Properties) -> Result<(), Refusal> {
    let value = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let time = |name| value(name).and_then(parse_http_date);
    let modified = object.modified.as_second();
    let failed = |header: &'static str| {
        Refusal::new(
            StatusCode::PRECONDITION_FAILED,
            "PreconditionFailed",
            "At least one of the preconditions you specified did not hold.",
        )
        .element("Condition", header)
    };
    if let Some(tags) = value("if-match") {
        if !lists(tags, &object.etag) {
            return Err(failed("If-Match"));
        }
    } else if time("if-unmodified-since").is_some_and(|since| modified > since.as_second()) {
        return Err(failed("If-Unmodified-Since"));
    }
    let unchanged = match value("if-none-match") {
        Some(tags) => lists(tags, &object.etag),
        None => time("if-modified-since").is_some_and(|since| modified <= since.as_second()),
    };
    if unchanged {
        return Err(Refusal::new(
            StatusCode::NOT_MODIFIED,
            "NotModified",
            "Not Modified",
        ));
    }
    Ok(())
}

fn lists(tags: &str, etag: &str) -> bool {
    tags.split(',').any(|tag| {
        let tag = tag.trim();
        tag == "*" || tag.trim_matches('"') == etag
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use proptest::prelude::*;

    /// The range of a 10-byte object; an error is the status.
    fn of(text: &str, standard: bool) -> Result<Option<Range<u64>>, u16> {
        let mut headers = HeaderMap::new();
        headers.insert("range", HeaderValue::from_str(text).unwrap());
        if standard {
            headers.insert("x-oss-range-behavior", HeaderValue::from_static("standard"));
        }
        range(&headers, 10).map_err(|refusal| refusal.status.as_u16())
    }

    #[test]
    fn a_range_within_the_object_is_taken() {
        for standard in [false, true] {
            assert_eq!(of("bytes=0-0", standard), Ok(Some(0..1)));
            assert_eq!(of("bytes=2-9", standard), Ok(Some(2..10)));
            assert_eq!(of("bytes=2-", standard), Ok(Some(2..10)));
            assert_eq!(of("bytes=-3", standard), Ok(Some(7..10)));
        }
    }

    #[test]
    fn a_range_over_the_end_is_cut_only_by_the_standard() {
        assert_eq!(of("bytes=2-10", true), Ok(Some(2..10)));
        assert_eq!(of("bytes=-11", true), Ok(Some(0..10)));
        assert_eq!(of("bytes=10-", true), Err(416));
        assert_eq!(of("bytes=-0", true), Err(416));
        for text in ["bytes=2-10", "bytes=-11", "bytes=10-", "bytes=-0"] {
            assert_eq!(of(text, false), Ok(None), "{text}");
        }
    }

    #[test]
    fn a_malformed_range_is_ignored() {
        for text in [
            "bytes=5-2",
            "bytes=-",
            "bytes=a-b",
            "lines=1-2",
            "bytes=+1-2",
            "bytes=0-1,3-4",
        ] {
            for standard in [false, true] {
                assert_eq!(of(text, standard), Ok(None), "{text}");
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_range_lies_within_the_object(
            text in "(bytes=)?[0-9 +-]{0,24}-[0-9 ]{0,24}", length: u64, standard: bool,
        ) {
            let mut headers = HeaderMap::new();
            headers.insert("range", HeaderValue::from_str(&text).unwrap());
            if standard {
                headers.insert("x-oss-range-behavior", HeaderValue::from_static("standard"));
            }
            for length in [length, length % 16, 0, u64::MAX] {
                if let Ok(Some(range)) = range(&headers, length) {
                    prop_assert!(range.start < range.end && range.end <= length);
                }
            }
        }
    }
}
