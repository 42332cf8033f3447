//! The formats of times on the wire.

use std::fmt::Write as _;
use std::time::SystemTime;

use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;

/// `YYYYMMDDTHHMMSSZ`, the form of `x-oss-date`.
pub(crate) fn iso8601_basic(time: Timestamp) -> String {
    let mut text = String::with_capacity(16);
    let _ = write!(text, "{}", time.strftime("%Y%m%dT%H%M%SZ"));
    text
}

/// Reads an HTTP date, such as `Sun, 06 Nov 1994 08:49:37 GMT`.
pub(crate) fn parse_http_date(text: &str) -> Option<Timestamp> {
    DateTimeParser::new().parse_timestamp(text.trim()).ok()
}

/// Reads an HTTP date; `None` for one that this system has no form for.
pub(crate) fn system_time(text: &str) -> Option<SystemTime> {
    to_system_time(parse_http_date(text)?)
}

/// Reads a time as documents have it, such as `2012-02-24T08:43:07.000Z`; `None` for one that this
/// system has no form for.
pub(crate) fn iso_time(text: &str) -> Option<SystemTime> {
    to_system_time(text.trim().parse().ok()?)
}

fn to_system_time(time: Timestamp) -> Option<SystemTime> {
    let since = time.duration_since(Timestamp::UNIX_EPOCH);
    match since.is_negative() {
        true => SystemTime::UNIX_EPOCH.checked_sub(since.unsigned_abs()),
        false => SystemTime::UNIX_EPOCH.checked_add(since.unsigned_abs()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    const NOW: i64 = 1_702_743_657;

    #[test]
    fn times_are_written_and_read_in_the_wire_forms() {
        assert_eq!(iso8601_basic(at(NOW)), "20231216T162057Z");
        let parsed = parse_http_date("Sat, 16 Dec 2023 16:20:57 GMT").unwrap();
        assert_eq!(parsed, at(NOW));
        assert_eq!(parse_http_date("yesterday"), None);
    }

    #[test]
    fn dates_before_1970_and_far_away_are_read() {
        let day = std::time::Duration::from_secs(24 * 3600);
        assert_eq!(
            system_time("Wed, 31 Dec 1969 00:00:00 GMT"),
            SystemTime::UNIX_EPOCH.checked_sub(day)
        );
        assert_eq!(
            iso_time("1970-01-02T00:00:00.000Z"),
            SystemTime::UNIX_EPOCH.checked_add(day)
        );
        assert_eq!(iso_time("yesterday"), None);
        assert!(system_time("Thu, 31 Dec 9998 00:00:00 GMT").is_some());
        // Not on every system.
        let _ = system_time("Sat, 01 Jan 0000 00:00:00 GMT");
    }
}
