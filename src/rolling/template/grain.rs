//! How finely the keys of a template tell times.

use std::time::Duration;

use jiff::civil;
use jiff::tz::TimeZone;

use super::KeyTemplate;
use super::fields::offset;
use super::pieces::Piece;

/// A day, an hour, a minute and a second.
const UNITS: [u64; 4] = [24 * 60 * 60, 60 * 60, 60, 1];

impl KeyTemplate {
    /// The longest of a day, an hour, a minute and a second within which the keys are the same,
    /// counted from midnight. `None`: they tell times more finely.
    pub(crate) fn grain(&self, utc_offset_seconds: i32) -> Option<Duration> {
        let zone = TimeZone::fixed(offset(utc_offset_seconds));
        // The first seconds of units of each length, in the midst of those that are longer.
        let starts = [
            civil::datetime(2026, 2, 3, 0, 0, 0, 0),
            civil::datetime(2026, 11, 28, 0, 0, 0, 0),
        ];
        let is_same = |unit: &u64| {
            starts.iter().all(|start| {
                let Ok(start) = start.to_zoned(zone.clone()) else {
                    return false;
                };
                let key = |nanos: u64| {
                    let time = start.timestamp() + Duration::from_nanos(nanos);
                    self.names_with(time, utc_offset_seconds, "")
                        .before_and_after()
                };
                let nanos = unit * 1_000_000_000;
                // Also at odd moments: a field may be the same at both ends.
                [nanos / 7, nanos / 3, nanos / 2, nanos - 1]
                    .into_iter()
                    .all(|later| key(later) == key(0))
            })
        };
        UNITS.into_iter().find(is_same).map(Duration::from_secs)
    }

    /// Whether its keys tell times.
    pub(crate) fn has_time(&self) -> bool {
        let time = |piece: &Piece| matches!(piece, Piece::Time(_));
        self.pieces.iter().any(time)
    }

    /// Whether its keys have a hash, which spreads those of different periods.
    pub(crate) fn is_hashed(&self) -> bool {
        self.pieces.contains(&Piece::Hash)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{EAST, template};
    use super::*;

    #[test]
    fn the_grain_is_that_of_the_finest_field() {
        for (text, seconds) in [
            ("log-{seq}", Some(86_400)),
            ("%Y/%m-{seq}", Some(86_400)),
            ("{hash}/%F-{seq}", Some(86_400)),
            ("%j", Some(86_400)),
            ("%F %p", Some(3600)),
            ("%F/%H-{seq}", Some(3600)),
            ("%F/%I%p-{seq}", Some(3600)),
            ("%M", Some(60)),
            ("%R", Some(60)),
            ("%T", Some(1)),
            ("%s", Some(1)),
            ("{seq}-%S", Some(1)),
            ("%3f", None),
            ("%S%N", None),
        ] {
            for utc_offset in [0, EAST, -(3 * 3600 + 1800)] {
                let grain = template(text).grain(utc_offset);
                assert_eq!(grain, seconds.map(Duration::from_secs), "{text}");
            }
        }
    }
}
