//! Options of a sequence of objects.

use bytesize::ByteSize;
use clap::Args;
use oss_append::{AppendStore, RollingWriterBuilder};

use crate::period::{Period, UtcOffset};

/// The options by which a sequence of objects is written, any of them.
pub(crate) const ROLLS: &str = "rolls";

/// How the key of a sequence is written, for `--help`.
pub(crate) const TEMPLATES: &str = "\
Templates:
  %Y %m %d %H %M %S %j and others of strftime
                     the time at which the object's period began, in UTC or by --utc-offset;
                     without --roll that at which the object was begun
  {seq}, {seq:4}     the object's number in its period, from 1; with zeros in front to 4 digits
  {host}, {pid}      this machine's name, this process's id
  {uuid}             a random UUID, new for each object
  {hash}             4 hexadecimal digits made of the rest of the key: at the beginning of keys
                     they spread many writers over OSS's partitions
  %% {{ }}           a %, { or }
The newest object of the present period is continued, unless it is sealed or has its size. It is
found by listing, or where that is not allowed by trying the numbers.";

/// What looks like a field of a template in a key.
pub(super) fn template_field(key: &str) -> Option<&str> {
    const NAMES: [&str; 6] = ["{seq}", "{seq:", "{host}", "{pid}", "{uuid}", "{hash}"];
    let names = NAMES.iter().filter_map(|name| {
        let start = key.find(name)?;
        let len = key[start..].find('}')? + 1;
        Some((start, len))
    });
    let times = key.match_indices('%').filter_map(|(start, _)| {
        let mut behind = key[start + 1..].chars();
        let is_field = match behind.next()? {
            'Y' | 'm' | 'H' | 'M' | 'S' | 'j' => true,
            // Of two hexadecimal digits it is an escaped byte.
            'd' => !behind.next().is_some_and(|next| next.is_ascii_hexdigit()),
            _ => false,
        };
        is_field.then_some((start, 2))
    });
    let (start, len) = names.chain(times).min()?;
    Some(&key[start..start + len])
}

#[derive(Args)]
#[command(next_help_heading = "Rolling: a sequence of objects")]
pub(crate) struct Rolling {
    /// Go on in the next object before one gets longer than this. KEY needs {seq} or {uuid}.
    /// Without it an object ends at 63/64 of --max-object-size if its KEY has {seq} or {uuid}
    #[arg(long, value_name = "SIZE")]
    roll_size: Option<ByteSize>,
    /// Go on in the next object when a period ends: hourly, daily (at midnight), or a DURATION such
    /// as 10m, counted from midnight. Bytes belong to the period in which they were read, and a
    /// period without bytes has no object. KEY needs time fields that tell periods apart, or {seq}
    /// or {uuid}
    #[arg(long, value_name = "PERIOD")]
    roll: Option<Period>,
    /// The offset from UTC of the times in KEY and of midnight, such as +08:00
    #[arg(
        long,
        value_name = "+HH:MM",
        requires = ROLLS,
        allow_hyphen_values = true
    )]
    utc_offset: Option<UtcOffset>,
    /// End objects only after whole lines: an incomplete line goes to the next object, or, if its
    /// beginning was already appended, is completed first. A line is torn only if an object
    /// suddenly takes no more appends. Without this, the input may be anything, and objects end at
    /// any byte. --shared implies it
    #[arg(long, requires = ROLLS)]
    align_lines: bool,
    /// Seal each object when the next one begins, so that nobody can append to it any more; see
    /// --seal for the last one. If an object cannot be sealed, that is reported at once, and is a
    /// failure at the end
    #[arg(long, requires = ROLLS)]
    seal_finished: bool,
}

impl Rolling {
    pub(crate) fn is_asked_for(&self) -> bool {
        self.roll_size.is_some() || self.roll.is_some()
    }

    pub(crate) fn set<S: AppendStore>(
        &self,
        mut builder: RollingWriterBuilder<S>,
        shared: bool,
    ) -> RollingWriterBuilder<S> {
        builder = builder
            .utc_offset(self.utc_offset.unwrap_or_default().seconds)
            .seal_finished(self.seal_finished);
        if let Some(size) = self.roll_size {
            builder = builder.roll_size(size.as_u64());
        }
        if let Some(Period(every)) = self.roll {
            builder = builder.roll_every(every);
        }
        match (shared, self.align_lines) {
            // Each line comes as one write.
            (true, _) => builder.record_per_write(),
            (false, true) => builder.delimiter(b'\n'),
            (false, false) => builder.unaligned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_templates_are_found_and_nothing_else() {
        for (key, field) in [
            ("logs/%Y/%m.log", Some("%Y")),
            ("a-%d.log", Some("%d")),
            ("{host}/app-{seq:4}.log", Some("{host}")),
            ("app-{seq:4}-%H", Some("{seq:4}")),
            ("100%", None),
            ("100% done", None),
            ("a%2Fb%d8%dA", None),
            ("{sequence}", None),
            ("{seq", None),
            ("{seq:", None),
            ("日%志", None),
        ] {
            assert_eq!(template_field(key), field, "{key}");
        }
    }
}
