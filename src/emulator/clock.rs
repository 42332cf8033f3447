//! The server's clock, which can be set wrong on purpose, and the formats of its times.

use std::sync::atomic::{AtomicI64, Ordering};

use jiff::fmt::rfc2822;
use jiff::fmt::temporal::DateTimePrinter;
use jiff::{SignedDuration, Timestamp};

/// The system's clock plus an offset.
#[derive(Debug, Default)]
pub(super) struct Clock {
    offset_seconds: AtomicI64,
}

impl Clock {
    pub(super) fn set_offset(&self, seconds: i64) {
        self.offset_seconds.store(seconds, Ordering::Relaxed);
    }

    pub(super) fn now(&self) -> Timestamp {
        let offset = SignedDuration::from_secs(self.offset_seconds.load(Ordering::Relaxed));
        let now = Timestamp::now();
        now.checked_add(offset).unwrap_or(now)
    }
}

/// As in `Date` and `Last-Modified`.
pub(super) fn http_date(time: Timestamp) -> String {
    rfc2822::DateTimePrinter::new()
        .timestamp_to_rfc9110_string(&time)
        .unwrap_or_else(|_| "Thu, 01 Jan 1970 00:00:00 GMT".into())
}

/// Reads `Date`, `If-Modified-Since` and their like.
pub(super) fn parse_http_date(text: &str) -> Option<Timestamp> {
    rfc2822::DateTimeParser::new().parse_timestamp(text).ok()
}

/// `YYYYMMDDTHHMMSSZ`, as in `x-oss-date`.
pub(super) fn compact(time: Timestamp) -> String {
    time.strftime("%Y%m%dT%H%M%SZ").to_string()
}

/// Reads `YYYYMMDDTHHMMSSZ`, in exactly this form.
pub(super) fn parse_compact(text: &str) -> Option<Timestamp> {
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if text.len() != 16 || !text.is_ascii() || !digits(&text[..8]) || !digits(&text[9..15]) {
        return None;
    }
    let civil = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", text).ok()?;
    Some(civil.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp())
}

/// `2026-11-22T19:05:35.000Z`, as in XML. OSS shows whole seconds, and SDKs rely on that.
pub(super) fn iso(time: Timestamp) -> String {
    const PRINTER: DateTimePrinter = DateTimePrinter::new().precision(Some(0));
    let mut text = PRINTER.timestamp_to_string(&time);
    text.truncate(text.len() - 1);
    text + ".000Z"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_format_is_read_back() {
        let time = Timestamp::from_second(1_702_743_657).unwrap();
        assert_eq!(compact(time), "20231216T162057Z");
        assert_eq!(parse_compact("20231216T162057Z"), Some(time));
        assert_eq!(http_date(time), "Sat, 16 Dec 2023 16:20:57 GMT");
        assert_eq!(parse_http_date("Sat, 16 Dec 2023 16:20:57 GMT"), Some(time));
        assert_eq!(iso(time), "2023-12-16T16:20:57.000Z");
    }

    #[test]
    fn malformed_times_are_refused() {
        for text in [
            "",
            "20231216T162057",
            "20231316T162057Z",
            "2023-12-16T16:20Z",
            "+0231216T162057Z",
            "20231216T1620é7Z",
        ] {
            assert_eq!(parse_compact(text), None, "{text}");
        }
    }
}
