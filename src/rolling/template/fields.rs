//! What the fields of a template become: parts of a time, the name of the host, the hash.

use jiff::Timestamp;
use jiff::civil;
use jiff::fmt::strtime::{BrokenDownTime, Config};
use jiff::tz::{Offset, TimeZone};

use crate::values::crc64;

/// What `{host}` becomes.
pub(crate) fn host() -> String {
    cleaned(&gethostname::gethostname().to_string_lossy())
}

/// A host's name with nothing in it that is special in a key, a URL or a shell.
pub(super) fn cleaned(host: &str) -> String {
    let good = |c: char| c.is_alphanumeric() || ['-', '_', '.'].contains(&c);
    // No system has longer ones.
    let host = host.chars().take(255);
    let host: String = host.map(|c| if good(c) { c } else { '_' }).collect();
    if host.is_empty() { "_".into() } else { host }
}

/// 4 digits that stay the same for ever, since they are part of the names of stored objects. The
/// multiplication lets the first digit depend on everything: a CRC alone is too regular for that.
pub(crate) fn hash(rest: &str) -> String {
    let mixed = crc64::checksum(rest.as_bytes()).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    format!("{:04x}", mixed >> 48)
}

pub(super) fn offset(seconds: i32) -> Offset {
    let seconds = seconds.clamp(Offset::MIN.seconds(), Offset::MAX.seconds());
    Offset::from_seconds(seconds).unwrap_or(Offset::UTC)
}

pub(super) fn moment(time: Timestamp, utc_offset_seconds: i32) -> BrokenDownTime {
    let zone = TimeZone::fixed(offset(utc_offset_seconds));
    BrokenDownTime::from(&time.to_zoned(zone))
}

/// A strftime field at a moment. It has been tried when the template was made; should it fail at
/// another time nevertheless, the field shows as it was written.
pub(super) fn shown(field: &str, moment: &BrokenDownTime) -> String {
    let config = Config::new().lenient(true);
    let text = moment.to_string_with_config(&config, field);
    text.unwrap_or_else(|_| field.into())
}

/// Times at which each field is at its longest or shortest: all months and weekdays, numbers of one
/// digit and two, whole seconds and fractions, the first and last years, short and long offsets.
pub(super) fn sample_moments() -> Vec<BrokenDownTime> {
    let months = (1..=12).map(|month| civil::date(2026, month, 28).at(23, 59, 59, 999_999_999));
    let weekdays = (1..=7).map(|day| civil::date(2026, 1, day).at(0, 0, 0, 0));
    let days = months
        .chain(weekdays)
        .filter_map(|time| Some(time.to_zoned(TimeZone::UTC).ok()?.timestamp()));
    let times = days.chain([Timestamp::MIN, Timestamp::UNIX_EPOCH, Timestamp::MAX]);
    times
        .flat_map(|time| [0, i32::MIN, i32::MAX].map(|offset| moment(time, offset)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::KeyTemplate;

    #[test]
    fn the_hash_never_changes() {
        // Objects are stored under these.
        assert_eq!(hash(""), "0000");
        assert_eq!(hash("/app/2026-03-05/01/web-1-.log"), "b462");
    }

    #[test]
    fn a_host_name_is_cleaned() {
        for (host, clean) in [
            ("web-1.example_x", "web-1.example_x"),
            ("a/b\\c\nd e{f}%?", "a_b_c_d_e_f___"),
            ("büro", "büro"),
            ("", "_"),
        ] {
            assert_eq!(cleaned(host), clean);
        }
        assert!(KeyTemplate::new("{host}").is_ok());
    }
}
