//! How the objects of a sequence are named: a key with fields for time, number and origin.
//!
//! A template is parsed once (`pieces.rs`) and tried at the times when its keys are longest and
//! shortest, so that filling it in later (`fields.rs`) can't fail. What it becomes in one period is
//! in `names.rs`, how finely its keys tell times in `grain.rs`, whether two periods could get the same key in `repeats.rs`.

mod fields;
mod grain;
mod names;
mod pieces;
mod repeats;

use std::fmt;
use std::str::FromStr;
use std::time::SystemTime;

use jiff::Timestamp;
use uuid::Uuid;

use crate::engine::period::{Periods, timestamp};
use crate::error::{Error, Result};
use crate::values::path::check_key;

use self::fields::{moment, sample_moments, shown};
use self::pieces::parse;

pub(crate) use self::fields::{hash, host};
pub use self::names::KeyNames;
pub(crate) use self::pieces::Piece;
#[cfg(feature = "keyed")]
pub(crate) use self::pieces::parse_with_fields;

/// A pattern for the keys of a sequence of objects, such as `app/%Y-%m-%d/{host}-{seq:6}.log`.
///
/// | field | what it becomes |
/// |---|---|
/// | `%Y`, `%m`, `%d`, `%H`, `%M`, `%S`, `%j` and the others of [`jiff::fmt::strtime`] | a part of the time at which the object's period began, or, without periods, at which it was named |
/// | `{seq}` | the object's number within its period, from 1; at most once |
/// | `{seq:6}` | the same with zeros in front, to 6 digits (1 to 20 may be asked for) |
/// | `{host}` | the name of this host when the template was made; what is not a letter, a digit, `-`, `_` or `.` becomes `_` |
/// | `{pid}` | the id of this process |
/// | `{uuid}` | a random UUID, new for each object |
/// | `{hash}` | 4 hexadecimal digits that follow from the rest of the key, without `{seq}` and `{uuid}` |
/// | `%%`, `{{`, `}}` | a `%`, `{` or `}` |
///
/// # Why to begin with `{hash}`
/// OSS keeps keys in order and partitions them by their beginnings. Keys that begin with the time,
/// or with the same text and then the time, all come to the same partition, and above [2,000
/// requests a second][limit] OSS throttles it. With `{hash}-` or `{hash}/` first, periods, hosts
/// and processes spread over the partitions. A single writer hardly comes near that limit; many
/// that write to one bucket do. The hash is the same for all objects of one writer in one period,
/// so that they can still be listed by one prefix, and it never changes from run to run.
///
/// [limit]: https://www.alibabacloud.com/help/en/oss/user-guide/oss-performance-and-scalability-best-practices
///
/// # Which fields are needed
/// No two objects of a sequence may have the same key. A template with `{seq}` or `{uuid}` is
/// always good for that. One without either is refused by a writer that rolls by size, or that does
/// not roll by time, or where two periods can have the same key: two that follow each other, or two
/// that are a second, a minute, an hour, 12 hours, a day, a week, a month (28 to 31 days) or a year
/// (364 to 366 days) apart. This also finds `%G-%m-%d` and `%Y-%V`, which mix the year of the week
/// with that of the date, and `%-m%-d`, which is 111 twice a year. What comes back only after more
/// than a year, as `%y` does after a century, is allowed.
///
/// The objects of a period are found by what stands before `{seq}`: put the time there, and between
/// the two something that is not a digit.
///
/// Without `{seq}` and `{uuid}`, a writer whose object takes no more appends goes on in one with a
/// number added to its key, see [`KeyNames::key`].
///
/// ```
/// use oss_append::KeyTemplate;
///
/// let template: KeyTemplate = "{hash}/app/%Y-%m-%d/%H/{host}-{seq:6}.log".parse()?;
/// assert_eq!(template.to_string(), "{hash}/app/%Y-%m-%d/%H/{host}-{seq:6}.log");
///
/// let error = KeyTemplate::new("app/{sequence}.log").unwrap_err();
/// assert!(error.to_string().contains("unknown field {sequence}"));
/// # Ok::<(), oss_append::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyTemplate {
    text: String,
    pieces: Vec<Piece>,
    host: String,
}

impl KeyTemplate {
    /// A template from its text.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if a field is not known, a brace has no
    /// partner, `{seq}` occurs twice, or a key of it would not be one that
    /// [`ObjectPath::new`](crate::ObjectPath::new) allows, at whatever time and number.
    pub fn new(text: impl AsRef<str>) -> Result<Self> {
        Self::with_host(text.as_ref(), host())
    }

    fn with_host(text: &str, host: String) -> Result<Self> {
        let bad = |what| Error::invalid_input(format!("key template {text:?}: {what}"));
        let template = Self {
            text: text.into(),
            pieces: parse(text).map_err(bad)?,
            host,
        };
        match template.problem() {
            None => Ok(template),
            Some(problem) => Err(bad(problem)),
        }
    }

    /// What is wrong with the keys, if anything, at the times when they are longest or shortest.
    fn problem(&self) -> Option<String> {
        let mut moments = sample_moments();
        if !self
            .pieces
            .iter()
            .any(|piece| matches!(piece, Piece::Time(_)))
        {
            moments.truncate(1);
        }
        let of = |names: KeyNames| {
            let number = if names.is_numbered() { u64::MAX } else { 1 };
            let key = check_key(&names.key(number));
            key.err().map(|error| error.to_string())
        };
        let uuid = Uuid::nil().to_string();
        moments
            .iter()
            .find_map(|moment| of(self.fill(|field| shown(field, moment), u32::MAX, &uuid)))
            .or_else(|| {
                // A year and a weekday are not longest at the same time; taking each at its longest
                // asks for a byte or two more than is needed.
                let longest = |field: &str| {
                    let all = moments.iter().map(|moment| shown(field, moment));
                    all.max_by_key(String::len).unwrap_or_default()
                };
                of(self.fill(longest, u32::MAX, &uuid))
            })
    }

    /// The keys of the objects of the period that begins at `time`, as a writer with this
    /// [`utc_offset`](crate::RollingWriterBuilder::utc_offset) names them. With `{uuid}`, each call
    /// gives other ones.
    pub fn names_at(&self, time: SystemTime, utc_offset_seconds: i32) -> KeyNames {
        self.names(timestamp(time), utc_offset_seconds)
    }

    /// The keys of the objects of the period that `time` falls in. With `{uuid}`, each call gives
    /// other ones.
    pub fn names_in(&self, periods: &Periods, time: SystemTime) -> KeyNames {
        let start = periods.around(timestamp(time)).start;
        self.names(start, periods.utc_offset())
    }

    /// Whether another process on this host gives its objects the same keys, so that they can be
    /// found by the template: it has neither `{pid}` nor `{uuid}`.
    pub fn is_repeatable(&self) -> bool {
        !self.is_unique() && !self.pieces.contains(&Piece::Pid)
    }

    /// Everything but the number, for the period that begins at `time`, with a new UUID.
    ///
    /// An offset that jiff does not know is taken for the nearest that it does.
    pub(crate) fn names(&self, time: Timestamp, utc_offset_seconds: i32) -> KeyNames {
        let uuid = if self.is_unique() {
            Uuid::new_v4().to_string()
        } else {
            String::new()
        };
        self.names_with(time, utc_offset_seconds, &uuid)
    }

    fn names_with(&self, time: Timestamp, utc_offset_seconds: i32, uuid: &str) -> KeyNames {
        let moment = moment(time, utc_offset_seconds);
        self.fill(|field| shown(field, &moment), std::process::id(), uuid)
    }

    fn fill(&self, time: impl Fn(&str) -> String, pid: u32, uuid: &str) -> KeyNames {
        let pid = pid.to_string();
        let parts: Vec<String> = self
            .pieces
            .iter()
            .map(|piece| match piece {
                Piece::Text(text) => text.clone(),
                Piece::Time(field) => time(field),
                Piece::Host => self.host.clone(),
                Piece::Pid => pid.clone(),
                Piece::Seq { .. } | Piece::Uuid | Piece::Hash | Piece::Field(_) => String::new(),
            })
            .collect();
        let hash = hash(&parts.concat());

        let mut names = KeyNames {
            before: String::new(),
            number: None,
        };
        for (piece, part) in self.pieces.iter().zip(&parts) {
            let part = match piece {
                Piece::Seq { width } => {
                    names.number = Some((*width, String::new()));
                    continue;
                }
                Piece::Uuid => uuid,
                Piece::Hash => &hash,
                _ => part,
            };
            match &mut names.number {
                None => names.before.push_str(part),
                Some((_, after)) => after.push_str(part),
            }
        }
        names
    }

    /// Whether it has `{seq}`.
    pub(crate) fn is_numbered(&self) -> bool {
        let numbered = |piece: &Piece| matches!(piece, Piece::Seq { .. });
        self.pieces.iter().any(numbered)
    }

    /// Whether it has `{uuid}`.
    pub(crate) fn is_unique(&self) -> bool {
        self.pieces.contains(&Piece::Uuid)
    }
}

impl FromStr for KeyTemplate {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::new(text)
    }
}

impl fmt::Display for KeyTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod testing;

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::fields::cleaned;
    use super::testing::{EAST, any_text, any_time, names, refusal, template};
    use super::*;
    use crate::ObjectPath;

    #[test]
    fn every_field_is_filled() {
        let key = |text| names(text).key(7);
        assert_eq!(key("%Y-%m-%d/%H%M%S-%j-{seq}"), "2026-03-05/010607-064-7");
        let key = |text| names(text).key(1);
        assert_eq!(
            key("%-d %_d %3f %.f %:z %s"),
            "5  5 089 .089 +08:00 1772643967"
        );
        let key = |text| names(text).key(7);
        assert_eq!(key("{seq}-{host}"), "7-web-1");
        assert_eq!(key("a{seq:6}b"), "a000007b");
        assert_eq!(key("{seq:020}"), "00000000000000000007");
        assert_eq!(key("{pid}-{seq}"), format!("{}-7", std::process::id()));
        assert_eq!(key("100%% {{seq}} {{{seq}}}"), "100% {seq} {7}");
    }

    #[test]
    fn a_uuid_is_new_for_each_names_and_the_same_within() {
        let template = template("{uuid}/{seq}/{uuid}");
        let names = || template.names(Timestamp::UNIX_EPOCH, 0);
        let (one, other) = (names(), names());
        assert_ne!(one, other);
        let key = one.key(1);
        let (first, rest) = key.split_once("/1/").unwrap();
        assert_eq!(first, rest);
        let uuid = Uuid::parse_str(first).unwrap();
        assert_eq!(uuid.get_version_num(), 4);
        assert_eq!(one.prefix(), format!("{first}/"));
    }

    #[test]
    fn names_at_a_time_are_those_of_its_period() {
        let template = template("{hash}/%Y-%m-%dT%H/{host}-{seq}");
        let time: Timestamp = "2026-03-04T17:06:07.089Z".parse().unwrap();
        let names = template.names(time, EAST);
        assert_eq!(template.names_at(time.into(), EAST), names);
        assert!(names.prefix().ends_with("/2026-03-05T01/web-1-"));
        // As far as a system's time may reach.
        let far = SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 40);
        assert_eq!(template.names_at(far, 0), template.names(Timestamp::MAX, 0));
    }

    #[test]
    fn only_what_others_cannot_know_is_not_repeatable() {
        for (text, repeatable) in [
            ("%H-{seq}", true),
            ("{hash}/{host}-{seq}", true),
            ("{{pid}}-{{uuid}}-{seq}", true),
            ("{pid}-{seq}", false),
            ("{uuid}", false),
        ] {
            assert_eq!(template(text).is_repeatable(), repeatable, "{text}");
        }
    }

    #[test]
    fn the_hash_is_that_of_the_rest_without_number_and_uuid() {
        let names = names("{hash}/app-%Y-%m-%d-{seq}-{uuid}");
        let expected = hash("/app-2026-03-05--");
        assert!(names.prefix().starts_with(&format!("{expected}/app-")));
        assert!(names.key(1).starts_with(names.prefix()));
        assert!(names.key(9).starts_with(names.prefix()));
    }

    #[test]
    fn hours_and_days_spread_over_the_first_digit_of_the_hash() {
        let template = template("{hash}/app/%Y-%m-%d/%H/{host}-{seq}.log");
        for step in [3600, 86_400] {
            let mut counts = HashMap::new();
            for n in 0..16 * 64 {
                let time = Timestamp::from_second(1_770_000_000 + n * step).unwrap();
                let key = template.names(time, 0).key(1);
                *counts.entry(key.as_bytes()[0]).or_insert(0) += 1;
            }
            assert_eq!(counts.len(), 16, "{counts:?}");
            assert!(
                counts.values().all(|n| (32..=128).contains(n)),
                "{counts:?}"
            );
        }
    }

    #[test]
    fn keys_are_never_too_long() {
        let longest = |text: &str, len| {
            let pad = "k".repeat(ObjectPath::MAX_KEY_LEN - len);
            assert!(KeyTemplate::with_host(&format!("{pad}{text}"), "web-1".into()).is_ok());
            let refusal = refusal(&format!("{pad}k{text}"));
            assert!(
                refusal.ends_with("1024 bytes: at most 1023 are allowed"),
                "{refusal}"
            );
        };
        longest("", 0);
        longest("{seq}", 20);
        longest("{seq:3}", 20);
        longest("{pid}", 10);
        longest("{hash}{host}", 9);
        longest("{uuid}", 36);
        // Year -9999.
        longest("%Y", 5);
        longest("%A%B", 18);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

        #[test]
        fn any_text_is_refused_or_shown_as_it_was_given(text: String) {
            if let Ok(template) = text.parse::<KeyTemplate>() {
                prop_assert_eq!(template.to_string(), text);
            }
        }

        #[test]
        fn a_template_gives_only_good_keys_or_is_refused(
            text in any_text(),
            host: String,
            time in any_time(),
            utc_offset: i32,
            number: u64,
        ) {
            let Ok(template) = KeyTemplate::with_host(&text, cleaned(&host)) else { return Ok(()) };
            let names = template.names(time, utc_offset);
            let key = names.key(number);
            prop_assert!(ObjectPath::new("bucket", &key).is_ok(), "{text:?}: {key:?}");
            let is_first = names.is_numbered() || number <= 1;
            prop_assert!(key.starts_with(names.prefix()) || !is_first);
            prop_assert_eq!(names.is_numbered(), template.is_numbered());
        }
    }
}
