//! Ranges and conditional requests.

use std::ops::Range;

use http::HeaderMap;
use http::StatusCode;

use super::clock::parse_http_date;
use super::object::Properties;
use super::refusal::Refusal;

/// What of an object a GET asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Whole,
    Range(Range<u64>),
    Ranges(Vec<Range<u64>>),
}

/// The most ranges of one request.
const MOST_RANGES: usize = 50;

/// The part of an object that a GET asks for.
///
/// By default OSS answers a range that does not lie within the object with the whole object. With
/// `x-oss-range-behavior: standard` it cuts a range at the end, and refuses one that begins
/// behind it. Of several ranges it takes the first, unless `x-oss-multi-range-behavior: multi-range`
/// asks for all.
///
/// Sources: <https://help.aliyun.com/document_detail/39571.htm>,
/// <https://www.alibabacloud.com/help/en/oss/user-guide/0016-00000110>
pub(super) fn part(headers: &HeaderMap, length: u64) -> Result<Part, Refusal> {
    let value = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let standard = value("x-oss-range-behavior") == Some("standard");
    let Some(listed) = value("range").and_then(|text| text.strip_prefix("bytes=")) else {
        return Ok(Part::Whole);
    };
    let listed: Vec<&str> = listed.split(',').collect();
    if listed.len() == 1 || value("x-oss-multi-range-behavior") != Some("multi-range") {
        let first = listed.first().and_then(|text| parse_range(text));
        let Some(first) = first else {
            return Ok(Part::Whole);
        };
        return match within(first, length, standard) {
            Some(range) => Ok(Part::Range(range)),
            None if standard => Err(unsatisfiable(length)),
            None => Ok(Part::Whole),
        };
    }
    if listed.len() > MOST_RANGES {
        return Err(Refusal::new(
            StatusCode::RANGE_NOT_SATISFIABLE,
            "MultiRangeFailed",
            "Exceed multi range max interval count.",
        )
        .ec("0016-00000110"));
    }
    let wanted: Option<Vec<_>> = listed.iter().map(|text| parse_range(text)).collect();
    let Some(wanted) = wanted else {
        return Ok(Part::Whole);
    };
    let mut found: Vec<_> = wanted
        .into_iter()
        .filter_map(|range| within(range, length, standard))
        .collect();
    match found.len() {
        0 if standard => Err(unsatisfiable(length)),
        0 => Ok(Part::Whole),
        1 => Ok(Part::Range(found.remove(0))),
        _ => Ok(Part::Ranges(found)),
    }
}

fn unsatisfiable(length: u64) -> Refusal {
    Refusal::new(
        StatusCode::RANGE_NOT_SATISFIABLE,
        "InvalidRange",
        "The requested range cannot be satisfied.",
    )
    .header("content-range", format_args!("bytes */{length}"))
}

/// What there is of a range in an object of this length.
fn within(range: Wanted, length: u64, standard: bool) -> Option<Range<u64>> {
    let (start, end) = match range {
        (Some(start), Some(last)) => (start, last.saturating_add(1)),
        (Some(start), None) => (start, length),
        (None, Some(suffix)) if suffix <= length => (length - suffix, length),
        (None, Some(_)) if standard => (0, length),
        (None, _) => return None,
    };
    if start >= length || (end > length && !standard) {
        return None;
    }
    Some(start..end.min(length))
}

/// First and last byte, or the length of a suffix.
type Wanted = (Option<u64>, Option<u64>);

/// Reads a single well-formed range.
fn parse_range(text: &str) -> Option<Wanted> {
    let (start, end) = text.trim().split_once('-')?;
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
            "At least one of the pre-conditions you specified did not hold.",
        )
        .ec("0017-00001001")
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
        match part_of(text, standard, 10)? {
            Part::Whole => Ok(None),
            Part::Range(range) => Ok(Some(range)),
            Part::Ranges(_) => panic!("several ranges"),
        }
    }

    fn part_of(text: &str, standard: bool, length: u64) -> Result<Part, u16> {
        let mut headers = HeaderMap::new();
        headers.insert("range", HeaderValue::from_str(text).unwrap());
        if standard {
            headers.insert("x-oss-range-behavior", HeaderValue::from_static("standard"));
        }
        part(&headers, length).map_err(|refusal| refusal.status.as_u16())
    }

    #[test]
    fn of_several_ranges_the_first_counts_unless_all_are_asked_for() {
        assert_eq!(of("bytes=0-1,3-4", false), Ok(Some(0..2)));
        assert_eq!(of("bytes=0-10,3-4", false), Ok(None));
        let all = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("range", HeaderValue::from_str(text).unwrap());
            let all = HeaderValue::from_static("multi-range");
            headers.insert("x-oss-multi-range-behavior", all);
            part(&headers, 10).map_err(|refusal| refusal.code)
        };
        assert_eq!(all("bytes=0-1, 3-4"), Ok(Part::Ranges(vec![0..2, 3..5])));
        assert_eq!(all("bytes=0-1,30-40"), Ok(Part::Range(0..2)));
        assert_eq!(all("bytes=0-1,x"), Ok(Part::Whole));
        assert_eq!(all("bytes=3-4"), Ok(Part::Range(3..5)));
        let many = |count| format!("bytes={}", vec!["1-1"; count].join(","));
        assert_eq!(all(&many(50)), Ok(Part::Ranges(vec![1..2; 50])));
        assert_eq!(all(&many(51)), Err("MultiRangeFailed".into()));
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
            for length in [length, length % 16, 0, u64::MAX] {
                if let Ok(Part::Range(range)) = part_of(&text, standard, length) {
                    prop_assert!(range.start < range.end && range.end <= length);
                }
            }
        }
    }
}
