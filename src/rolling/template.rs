//! How the objects of a sequence are named: a key with fields for time, number and origin.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use jiff::civil::{self, Date};
use jiff::fmt::strtime::{BrokenDownTime, Config};
use jiff::tz::{Offset, TimeZone};
use uuid::Uuid;

use crate::engine::period::Periods;
use crate::error::{Error, Result};
use crate::values::crc64;
use crate::values::path::check_key;

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

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    Text(String),
    /// One strftime field.
    Time(String),
    Seq {
        width: usize,
    },
    Host,
    Pid,
    Uuid,
    Hash,
    /// A field of a record, which a template of its own does not have.
    #[cfg_attr(not(feature = "keyed"), allow(dead_code, reason = "for `keyed`"))]
    Field(String),
}

/// As it is written in a template.
#[cfg(feature = "keyed")]
impl fmt::Display for Piece {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => text.chars().try_for_each(|c| match c {
                '%' | '{' | '}' => write!(f, "{c}{c}"),
                c => write!(f, "{c}"),
            }),
            Self::Time(field) => f.write_str(field),
            Self::Seq { width } => write!(f, "{{seq:{width}}}"),
            Self::Host => f.write_str("{host}"),
            Self::Pid => f.write_str("{pid}"),
            Self::Uuid => f.write_str("{uuid}"),
            Self::Hash => f.write_str("{hash}"),
            Self::Field(name) => write!(f, "{{{name}}}"),
        }
    }
}

/// The pieces of a template in which every name that has no other meaning is a field of a record.
#[cfg(feature = "keyed")]
pub(crate) fn parse_with_fields(text: &str) -> Result<Vec<Piece>, String> {
    let is_name = |field: &str| {
        let rest = |c: char| c.is_ascii_alphanumeric() || ['_', '-', '.'].contains(&c);
        field.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && field.chars().all(rest)
    };
    parse_by(text, |field| match brace_field(field) {
        Err(_) if is_name(field) => Ok(Piece::Field(field.into())),
        parsed => parsed,
    })
}

/// What `{host}` becomes.
pub(crate) fn host() -> String {
    cleaned(&gethostname::gethostname().to_string_lossy())
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
        // Beyond the year 9999 all times are the same.
        let time = Timestamp::try_from(time).unwrap_or(Timestamp::MAX);
        self.names(time, utc_offset_seconds)
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

    /// Refuses a template that gives two objects the same key when they are rolled like that.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput), by the rules in the type's documentation.
    pub(crate) fn check(
        &self,
        periods: Option<&Periods>,
        by_size: bool,
        utc_offset_seconds: i32,
    ) -> Result<()> {
        if self.is_numbered() || self.is_unique() {
            return Ok(());
        }
        let text = &self.text;
        let problem = if by_size {
            "objects that are rolled by size need a number in their key: add {seq} or {uuid}".into()
        } else if let Some(periods) = periods {
            let Some((one, other)) = self.repeats(periods, utc_offset_seconds) else {
                return Ok(());
            };
            let every = periods.every();
            let key = self.names_with(one, utc_offset_seconds, "").before;
            let local = |time: Timestamp| offset(utc_offset_seconds).to_datetime(time);
            format!(
                "periods of {every:?} can have the same key, such as {key:?} at {} and at {}: add \
                 time fields ({} tell them apart), {{seq}} or {{uuid}}",
                local(one),
                local(other),
                fields_to_tell_apart(every)
            )
        } else {
            "every object would have the same key: add {seq} or {uuid}".into()
        };
        Err(Error::invalid_input(format!(
            "key template {text:?}: {problem}"
        )))
    }

    /// Two times, at least one period apart, with the same key; `None` if there seem to be none.
    ///
    /// First it tries bare times. A key stays the same within some unit of time, such as an hour,
    /// and may come back after a larger one, such as a day. If the periods are shorter than the
    /// unit, sooner or later two begin in the same one; if they are not, and it comes back, then
    /// sooner or later to the beginning of a period. Either shows from where all units begin.
    ///
    /// Then it tries periods, many in a row, for what comes back irregularly: `%-m%-d` is 111 in
    /// January and in November.
    fn repeats(
        &self,
        periods: &Periods,
        utc_offset_seconds: i32,
    ) -> Option<(Timestamp, Timestamp)> {
        let every = periods.every();
        let key = |time| self.names_with(time, utc_offset_seconds, "").before;
        let starts = STARTS.iter().filter_map(|start| {
            let zone = TimeZone::fixed(offset(utc_offset_seconds));
            Some(start.to_zoned(zone).ok()?.timestamp())
        });
        for start in starts.clone() {
            let first = key(start);
            let longer = RETURNS.map(Duration::from_secs).into_iter();
            for apart in [every].into_iter().chain(longer.filter(|r| *r > every)) {
                let other = start.checked_add(apart).ok()?;
                if key(other) == first {
                    return Some((start, other));
                }
            }
        }

        let start = starts.min()?;
        let mut seen = HashMap::new();
        let mut last = None;
        for (step, steps) in WALKS {
            for n in 0..=steps {
                let time = start.checked_add(Duration::from_secs(n * step)).ok()?;
                let period = periods.containing(time).start;
                if last.replace(period) == Some(period) {
                    continue;
                }
                let other = *seen.entry(key(period)).or_insert(period);
                if other != period {
                    return Some((other.min(period), other.max(period)));
                }
            }
        }
        None
    }
}

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// A leap year from a Wednesday, a year from a Sunday, a leap year from a Monday, and its second
/// half, whose quarters are the longest.
const STARTS: [Date; 4] = [
    civil::date(2020, 1, 1),
    civil::date(2023, 1, 1),
    civil::date(2024, 1, 1),
    civil::date(2024, 7, 1),
];

/// In how many seconds time fields come back.
const RETURNS: [u64; 13] = [
    1,
    MINUTE,
    HOUR,
    12 * HOUR,
    DAY,
    7 * DAY,
    28 * DAY,
    29 * DAY,
    30 * DAY,
    31 * DAY,
    364 * DAY,
    365 * DAY,
    366 * DAY,
];

/// Steps of how many seconds, and how many of them.
const WALKS: [(u64, u64); 4] = [
    (1, HOUR),
    (MINUTE, 24 * 60),
    (HOUR, 62 * 24),
    (DAY, 2 * 366),
];

/// The time fields that tell periods of this length apart.
fn fields_to_tell_apart(every: Duration) -> &'static str {
    match every.as_secs() {
        86_400.. => "%Y-%m-%d",
        3_600.. => "%Y-%m-%d-%H",
        60.. => "%Y-%m-%d-%H%M",
        1.. => "%Y-%m-%d-%H%M%S",
        0 => "%Y-%m-%d-%H%M%S.%3f",
    }
}

fn parse(text: &str) -> Result<Vec<Piece>, String> {
    parse_by(text, brace_field)
}

fn parse_by(
    text: &str,
    brace_field: impl Fn(&str) -> Result<Piece, String>,
) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(['%', '{', '}']) {
        push_text(&mut pieces, &rest[..at]);
        rest = &rest[at..];
        if ["%%", "{{", "}}"]
            .iter()
            .any(|twice| rest.starts_with(twice))
        {
            push_text(&mut pieces, &rest[..1]);
            rest = &rest[2..];
        } else if rest.starts_with('%') {
            let (field, tail) = rest.split_at(time_field_len(rest));
            pieces.push(time_field(field)?);
            rest = tail;
        } else {
            let (field, tail) = rest
                .strip_prefix('{')
                .ok_or("a } has no { before it: write }} for a brace")?
                .split_once('}')
                .ok_or("a { has no } after it: write {{ for a brace")?;
            let field = brace_field(field)?;
            if matches!(field, Piece::Seq { .. })
                && pieces.iter().any(|p| matches!(p, Piece::Seq { .. }))
            {
                return Err("{seq} occurs twice: once is allowed".into());
            }
            pieces.push(field);
            rest = tail;
        }
    }
    push_text(&mut pieces, rest);
    Ok(pieces)
}

fn push_text(pieces: &mut Vec<Piece>, more: &str) {
    match pieces.last_mut() {
        _ if more.is_empty() => {}
        Some(Piece::Text(text)) => text.push_str(more),
        _ => pieces.push(Piece::Text(more.into())),
    }
}

/// How long the strftime field at the beginning of `text` is, by jiff's grammar: `%`, a flag, a
/// width, colons, a dot with a precision, a letter.
fn time_field_len(text: &str) -> usize {
    let rest = &text[1..];
    let rest = rest.strip_prefix(['_', '0', '-', '^', '#']).unwrap_or(rest);
    let rest = without_digits(rest);
    let colons = rest.bytes().take(3).take_while(|b| *b == b':').count();
    let rest = &rest[colons..];
    let rest = rest.strip_prefix('.').map_or(rest, without_digits);
    let letter = rest.chars().next().map_or(0, char::len_utf8);
    text.len() - rest.len() + letter
}

fn without_digits(text: &str) -> &str {
    text.trim_start_matches(|c: char| c.is_ascii_digit())
}

fn time_field(field: &str) -> Result<Piece, String> {
    let sample = moment(Timestamp::UNIX_EPOCH, 0);
    match sample.to_string(field) {
        Ok(_) => Ok(Piece::Time(field.into())),
        Err(error) => Err(format!(
            "{field:?} is not a time field ({error}): write %% for a percent sign"
        )),
    }
}

fn brace_field(field: &str) -> Result<Piece, String> {
    Ok(match field {
        "seq" => Piece::Seq { width: 1 },
        "host" => Piece::Host,
        "pid" => Piece::Pid,
        "uuid" => Piece::Uuid,
        "hash" => Piece::Hash,
        _ => {
            let width = field.strip_prefix("seq:").ok_or_else(|| {
                format!(
                    "unknown field {{{}}}: there are {{seq}}, {{seq:WIDTH}}, {{host}}, {{pid}}, \
                     {{uuid}} and {{hash}}; write {{{{ for a brace",
                    field.escape_debug()
                )
            })?;
            let digits = without_digits(width).is_empty();
            let width = width.parse().ok().filter(|width| (1..=20).contains(width));
            Piece::Seq {
                width: width.filter(|_| digits).ok_or_else(|| {
                    let field = field.escape_debug();
                    format!("{{{field}}} is not valid: the width must be 1 to 20")
                })?,
            }
        }
    })
}

/// A host's name with nothing in it that is special in a key, a URL or a shell.
fn cleaned(host: &str) -> String {
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

fn offset(seconds: i32) -> Offset {
    let seconds = seconds.clamp(Offset::MIN.seconds(), Offset::MAX.seconds());
    Offset::from_seconds(seconds).unwrap_or(Offset::UTC)
}

fn moment(time: Timestamp, utc_offset_seconds: i32) -> BrokenDownTime {
    let zone = TimeZone::fixed(offset(utc_offset_seconds));
    BrokenDownTime::from(&time.to_zoned(zone))
}

/// A strftime field at a moment. It has been tried when the template was made; should it fail at
/// another time nevertheless, the field shows as it was written.
fn shown(field: &str, moment: &BrokenDownTime) -> String {
    let config = Config::new().lenient(true);
    let text = moment.to_string_with_config(&config, field);
    text.unwrap_or_else(|_| field.into())
}

/// Times at which each field is at its longest or shortest: all months and weekdays, numbers of one
/// digit and two, whole seconds and fractions, the first and last years, short and long offsets.
fn sample_moments() -> Vec<BrokenDownTime> {
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

/// The keys of the objects of one period, by their numbers: what a [`KeyTemplate`] becomes at one
/// time. By these the objects of a sequence can be found and read.
///
/// ```
/// use std::time::UNIX_EPOCH;
///
/// let template: oss_append::KeyTemplate = "app/%Y-%m-%d-{seq:3}.log".parse()?;
/// let names = template.names_at(UNIX_EPOCH, 0);
/// assert_eq!(names.key(7), "app/1970-01-01-007.log");
/// // To list all of them, and to know them again:
/// assert_eq!(names.prefix(), "app/1970-01-01-");
/// assert_eq!(names.number("app/1970-01-01-007.log"), Some(7));
/// assert_eq!(names.number("app/1970-01-01-7.log"), None);
/// # Ok::<(), oss_append::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyNames {
    /// Everything before the number; the whole key if there is none.
    before: String,
    /// The least width of the number, and everything after it.
    number: Option<(usize, String)>,
}

impl KeyNames {
    /// The key of the object with this number.
    ///
    /// Without `{seq}` a period has one object, unless that takes no more appends. The key of the
    /// next one then has a number from 2 on before its extension: `app/2026-11-28-2.log` comes after
    /// `app/2026-11-28.log`.
    pub fn key(&self, number: u64) -> String {
        let before = &self.before;
        match &self.number {
            Some((width, after)) => format!("{before}{number:0width$}{after}"),
            None if number <= 1 => before.clone(),
            None => {
                let (stem, extension) = before.split_at(extension(before));
                format!("{stem}-{number}{extension}")
            }
        }
    }

    /// What stands before the number: the keys of the period begin with it. Without `{seq}` it is
    /// the whole key of the first object.
    pub fn prefix(&self) -> &str {
        &self.before
    }

    /// The number that gives this key, if one does. Without `{seq}` none is known.
    pub fn number(&self, key: &str) -> Option<u64> {
        let (width, after) = self.number.as_ref()?;
        let digits = key.strip_prefix(&self.before)?.strip_suffix(after)?;
        let number: u64 = digits.parse().ok()?;
        // Neither a sign nor more or fewer zeros than the key would have.
        (format!("{number:0width$}") == digits).then_some(number)
    }

    /// What the keys begin with that have a number, be it one that was added.
    pub(super) fn numbered_prefix(&self) -> String {
        let before = &self.before;
        match &self.number {
            Some(_) => before.clone(),
            None => format!("{}-", &before[..extension(before)]),
        }
    }

    /// The number that gives this key, be it one that was added.
    pub(super) fn any_number(&self, key: &str) -> Option<u64> {
        if self.is_numbered() {
            return self.number(key);
        }
        let (_, extension) = self.before.split_at(extension(&self.before));
        let digits = key.strip_prefix(&*self.numbered_prefix())?;
        let number = digits.strip_suffix(extension)?.parse().ok()?;
        (number > 1 && self.key(number) == key).then_some(number)
    }

    /// Whether the keys have a number, by `{seq}`.
    pub fn is_numbered(&self) -> bool {
        self.number.is_some()
    }
}

/// Where the extension of a key begins, with that of a compressed file both: `.log.gz`.
fn extension(key: &str) -> usize {
    let name = key.rfind('/').map_or(0, |slash| slash + 1);
    // A dot at the beginning of a name is part of it.
    let dot = |end: usize| key[name..end].rfind('.').filter(|dot| *dot > 0);
    let Some(last) = dot(key.len()) else {
        return key.len();
    };
    let is_compressed = [".gz", ".zst"].contains(&&key[name + last..]);
    let before = dot(name + last).filter(|_| is_compressed);
    name + before.unwrap_or(last)
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
mod tests {
    use super::*;
    use crate::{ErrorKind, ObjectPath};
    use proptest::prelude::*;

    const EAST: i32 = 8 * 3600;

    fn template(text: &str) -> KeyTemplate {
        KeyTemplate::with_host(text, "web-1".into()).unwrap()
    }

    fn refusal(text: &str) -> String {
        let error = KeyTemplate::with_host(text, "web-1".into()).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::InvalidInput { .. }));
        error.to_string()
    }

    fn names(text: &str) -> KeyNames {
        let time = "2026-03-04T17:06:07.089Z".parse().unwrap();
        template(text).names(time, EAST)
    }

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
    fn the_hash_never_changes() {
        // Objects are stored under these.
        assert_eq!(hash(""), "0000");
        assert_eq!(hash("/app/2026-03-05/01/web-1-.log"), "b462");
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

    #[test]
    fn what_is_wrong_is_named() {
        for (text, reason) in [
            ("a-%+", r#""%+" is not a time field"#),
            ("a-%J-%Y", r#""%J" is not a time field"#),
            ("a-%", r#""%" is not a time field"#),
            ("a-%{seq}", r#""%{" is not a time field"#),
            ("a-%-", r#""%-" is not a time field"#),
            ("a-%ü", r#""%ü" is not a time field"#),
            ("a-%00f", r#""%00f" is not a time field"#),
            ("{sequence}", "unknown field {sequence}"),
            ("{SEQ}", "unknown field {SEQ}"),
            ("{}", "unknown field {}"),
            ("{ seq }", "unknown field { seq }"),
            ("{host:3}", "unknown field {host:3}"),
            ("{seq:0}", "{seq:0} is not valid: the width must be 1 to 20"),
            ("{seq:21}", "the width must be 1 to 20"),
            ("{seq:}", "the width must be 1 to 20"),
            ("{seq:+6}", "the width must be 1 to 20"),
            ("{seq:99999999999999999999999}", "the width must be 1 to 20"),
            ("{seq}{seq:3}", "{seq} occurs twice"),
            ("{seq", "a { has no } after it"),
            ("seq}", "a } has no { before it"),
            ("{{seq}", "a } has no { before it"),
            ("", "object key is empty"),
            ("/{seq}", "begins with a slash"),
            ("\\{seq}", "begins with a slash"),
            ("a\n{seq}", "has a control character"),
            ("a%n{seq}", "has a control character"),
            ("..", "cannot be addressed over HTTP"),
            // Empty on the whole second.
            ("%.f", "object key is empty"),
            ("%.f/a", "begins with a slash"),
        ] {
            let refusal = refusal(text);
            assert!(
                refusal.contains(&format!("key template {text:?}: ")),
                "{refusal}"
            );
            assert!(refusal.contains(reason), "{text:?}: {refusal}");
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

    #[test]
    fn a_number_is_found_only_in_the_key_that_it_gives() {
        let names = names("log-%Y-{seq:3}.gz");
        assert_eq!(names.prefix(), "log-2026-");
        assert!(names.is_numbered());
        for (key, number) in [
            ("log-2026-001.gz", Some(1)),
            ("log-2026-1000.gz", Some(1000)),
            ("log-2026-18446744073709551615.gz", Some(u64::MAX)),
            ("log-2026-18446744073709551616.gz", None),
            ("log-2026-99999999999999999999999999.gz", None),
            ("log-2026-1.gz", None),
            ("log-2026-0001.gz", None),
            ("log-2026-+01.gz", None),
            ("log-2026--01.gz", None),
            ("log-2026-.gz", None),
            ("log-2026-001", None),
            ("log-2026-001.gz2", None),
            ("log-2025-001.gz", None),
            ("log-2026-٠٠١.gz", None),
            ("", None),
        ] {
            assert_eq!(names.number(key), number, "{key:?}");
        }
    }

    #[test]
    fn text_around_the_number_may_overlap() {
        let names = names("1{seq}1");
        assert_eq!(names.number("1"), None);
        assert_eq!(names.number("11"), None);
        assert_eq!(names.number("111"), Some(1));
    }

    #[test]
    fn without_a_number_the_key_is_the_prefix() {
        let names = names("app-%Y.log");
        assert!(!names.is_numbered());
        assert_eq!(names.key(1), "app-2026.log");
        assert_eq!(names.key(1), names.prefix());
        assert_eq!(names.number("app-2026.log"), None);
    }

    #[test]
    fn without_a_number_the_next_key_gets_one_before_its_extension() {
        for (text, second) in [
            ("app.d/%Y.log", "app.d/2026-2.log"),
            ("%Y.log.gz", "2026-2.log.gz"),
            ("%Y.gz", "2026-2.gz"),
            ("v1.2-%Y.log", "v1.2-2026-2.log"),
            ("app.d/%Y", "app.d/2026-2"),
            ("app/.log", "app/.log-2"),
            ("app/%Y/", "app/2026/-2"),
        ] {
            let names = names(text);
            assert_eq!(names.key(2), second);
            assert!(second.starts_with(&names.numbered_prefix()));
            for number in [2, 10, u64::MAX] {
                assert_eq!(names.any_number(&names.key(number)), Some(number));
            }
            assert_eq!(names.any_number(&names.key(1)), None);
        }
    }

    fn check(text: &str, every: Option<Duration>, by_size: bool) -> Result<()> {
        [0, EAST, -(3 * 3600 + 1800)]
            .into_iter()
            .try_for_each(|utc_offset| {
                let periods = every.map(|every| Periods::new(every, utc_offset).unwrap());
                template(text).check(periods.as_ref(), by_size, utc_offset)
            })
    }

    fn days(n: u64) -> Duration {
        Duration::from_secs(n * DAY)
    }

    fn hours(n: u64) -> Duration {
        Duration::from_secs(n * HOUR)
    }

    #[test]
    fn a_number_or_a_uuid_is_always_enough() {
        for text in ["a-{seq}", "a-{uuid}"] {
            for every in [None, Some(hours(1))] {
                check(text, every, false).unwrap();
                check(text, every, true).unwrap();
            }
        }
    }

    #[test]
    fn time_alone_is_not_enough_when_rolled_by_size() {
        for every in [None, Some(hours(1))] {
            let error = check("%Y%m%dT%H%M%S%N", every, true).unwrap_err();
            assert_eq!(
                error.to_string(),
                "key template \"%Y%m%dT%H%M%S%N\": objects that are rolled by size need a number \
                 in their key: add {seq} or {uuid}"
            );
        }
        let error = check("%s", None, false).unwrap_err().to_string();
        assert!(
            error.contains("every object would have the same key"),
            "{error}"
        );
    }

    #[test]
    fn time_that_tells_all_periods_apart_is_enough() {
        let ms = Duration::from_millis;
        for (text, every) in [
            ("%Y-%m-%d", days(1)),
            ("%Y-%m-%d", hours(36)),
            ("%F", days(7)),
            ("{hash}/%Y/%m/%d/%H", hours(1)),
            ("%Y-%m-%d %p", hours(12)),
            ("%Y-%m-%d-%I%p", hours(1)),
            ("%Y%m%d%H%M", ms(60_000)),
            ("%Y%m%d%H%M", ms(90_000)),
            ("%Y%m%d%H%M%S", ms(1_000)),
            ("%Y%m%d%H%M%S%3f", ms(1)),
            ("%s", ms(1_500)),
            ("%y%j", days(1)),
            ("%G-W%V", days(7)),
            ("%Y-%U", days(7)),
            ("%Y-%m", days(31)),
            ("%Y-Q%q", days(92)),
            ("%Y", days(366)),
            ("%Y-%-m-%-d", days(1)),
            // Always 0 hours: no day is mistaken for another.
            ("%Y-%m-%-d%-H", days(1)),
        ] {
            check(text, Some(every), false).unwrap_or_else(|error| panic!("{error}"));
        }
    }

    #[test]
    fn time_that_leaves_periods_with_the_same_key_is_refused() {
        let ms = Duration::from_millis;
        for (text, every) in [
            ("app.log", days(1)),
            ("{host}-{pid}-{hash}", days(1)),
            // Two in a row.
            ("%Y-%m-%d", hours(1)),
            ("%Y-%m-%d", hours(23)),
            ("%Y-%m-%d-%H", ms(3_599_999)),
            ("%Y-%m", days(30)),
            ("%Y-Q%q", days(91)),
            ("%Y", days(365)),
            ("%G", days(366)),
            ("%G-W%V", days(6)),
            ("%Y-%m-%d-%I", hours(12)),
            ("%s", ms(999)),
            // After a second, a minute, an hour, half a day, a day, a week, a month, a year.
            ("%3f", ms(100)),
            ("%S", ms(1_000)),
            ("%M%S", ms(1_000)),
            ("%Y-%m-%d-%I", hours(1)),
            ("%H", hours(1)),
            ("%H", hours(7)),
            ("%a", days(1)),
            ("%a-%d", days(1)),
            ("%Y-%d-%H", hours(1)),
            ("%m-%d", days(1)),
            ("%j-%H", hours(1)),
            ("%j", days(5)),
            // Not quite a year.
            ("%Y-%V", days(7)),
            ("%G-%m-%d", days(1)),
            // Ambiguous without zeros.
            ("%Y%-m%-d", days(1)),
            ("%Y-%m-%d-%-H%-M", ms(60_000)),
            ("%Y-%m-%-d%-H", hours(1)),
        ] {
            let error = check(text, Some(every), false).expect_err(text).to_string();
            assert!(error.contains("can have the same key"), "{error}");
        }
        assert_eq!(
            check("a-%H", Some(hours(1)), false)
                .unwrap_err()
                .to_string(),
            "key template \"a-%H\": periods of 3600s can have the same key, such as \"a-00\" at \
             2020-01-01T00:00:00 and at 2020-01-02T00:00:00: add time fields (%Y-%m-%d-%H tell \
             them apart), {seq} or {uuid}"
        );
    }

    /// Text that is mostly a template.
    fn any_text() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            4 => prop::sample::select(vec![
                "{seq}", "{seq:4}", "{host}", "{pid}", "{uuid}", "{hash}", "{{", "}}", "%%", "/", "-",
            ]).prop_map(String::from),
            4 => "%[YmdHMSjFfNsZzQpqAB]",
            2 => "%[_0^#-]?[0-9]{0,2}:{0,3}(\\.[0-9]?)?[A-Za-z]",
            2 => "[a-z0-9./]{0,3}",
            1 => ".{0,3}",
            1 => "[{}%]",
        ];
        prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
    }

    fn any_time() -> impl Strategy<Value = Timestamp> {
        let all = Timestamp::MIN.as_nanosecond()..=Timestamp::MAX.as_nanosecond();
        let whole = Timestamp::MIN.as_second()..=Timestamp::MAX.as_second();
        prop_oneof![
            all.prop_map(|nanos| Timestamp::from_nanosecond(nanos).unwrap()),
            whole.prop_map(|seconds| Timestamp::from_second(seconds).unwrap()),
        ]
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

        #[test]
        fn numbers_invert_keys(
            text in any_text(),
            width in 1usize..=20,
            time in any_time(),
            number: u64,
            shift in 0u32..64,
            other in "[0-9+]{0,22}",
        ) {
            let text = format!("{}{{seq:{width}}}", text.replace("{seq}", "").replace("{seq:4}", ""));
            let Ok(template) = KeyTemplate::new(&text) else { return Ok(()) };
            let names = template.names(time, 0);
            let number = number >> shift;
            prop_assert_eq!(names.number(&names.key(number)), Some(number));

            let (_, after) = names.number.as_ref().unwrap();
            let other = format!("{}{other}{after}", names.prefix());
            if let Some(number) = names.number(&other) {
                prop_assert_eq!(names.key(number), other);
            }
        }

        #[test]
        fn checking_never_panics(
            text in any_text(),
            every in 1u64..Periods::LONGEST.as_millis() as u64,
            utc_offset: i32,
        ) {
            let Ok(template) = KeyTemplate::new(&text) else { return Ok(()) };
            let every = Duration::from_millis(every);
            let periods = Periods::new(every, utc_offset % 90_000).unwrap();
            let _ = template.check(Some(&periods), false, utc_offset);
        }
    }
}
