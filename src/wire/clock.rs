//! The time that requests are signed with: this machine's, corrected by what the server says.

use std::sync::atomic::{AtomicI64, Ordering};

use http::HeaderValue;
use jiff::Timestamp;

use super::dates::parse_http_date;

/// A correction smaller than this is none: OSS tolerates 15 minutes, so a clock that is less wrong
/// was not the reason for a refusal.
pub(crate) const MATERIAL_SECONDS: i64 = 60;

/// When a server's clock can be: from 2020 to 2100. One that is elsewhere is wrong itself. How far
/// this machine's is from it says nothing: without a battery it begins in 1970.
const PLAUSIBLE: std::ops::Range<i64> = 1_577_836_800..4_102_444_800;

/// A clock with an offset that is learned from refusals. The time of the machine comes in as an
/// argument.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    offset_seconds: AtomicI64,
}

/// The time of one signature, and the offset that it was taken with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SigningTime {
    pub(crate) time: Timestamp,
    offset_seconds: i64,
}

impl Clock {
    /// The server's time, as far as it is known, when this machine's is `local`.
    pub(crate) fn signing_time(&self, local: Timestamp) -> SigningTime {
        let offset_seconds = self.offset_seconds.load(Ordering::Relaxed);
        let time = Timestamp::from_second(local.as_second() + offset_seconds).unwrap_or(local);
        SigningTime {
            time,
            offset_seconds,
        }
    }

    /// Learns from the refusal of a request that was signed at `signed`. Answers whether signing
    /// again would now give a materially different time.
    ///
    /// The comparison is with the offset that the refused request used, not with the current one:
    /// of several requests that were signed wrongly at the same time, each may be sent again.
    pub(crate) fn correct(&self, signed: SigningTime, server: Timestamp, local: Timestamp) -> bool {
        let offset = server.as_second() - local.as_second();
        if !PLAUSIBLE.contains(&server.as_second())
            || (offset - signed.offset_seconds).abs() < MATERIAL_SECONDS
        {
            return false;
        }
        self.offset_seconds.store(offset, Ordering::Relaxed);
        true
    }
}

/// How many seconds the sender of an answer with this header `Date` is ahead of `now`.
pub(crate) fn clock_ahead(date: &HeaderValue, now: Timestamp) -> Option<i64> {
    let date = parse_http_date(date.to_str().ok()?)?;
    Some(date.as_second() - now.as_second())
}

#[cfg(test)]
mod tests {
    use super::super::dates::{iso_time, iso8601_basic, system_time};
    use super::*;
    use proptest::prelude::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    const NOW: i64 = 1_702_743_657;

    #[test]
    fn a_wrong_clock_is_corrected_by_the_servers_time() {
        let clock = Clock::default();
        let signed = clock.signing_time(at(NOW));
        assert!(clock.correct(signed, at(NOW + 86_400), at(NOW + 1)));
        assert_eq!(clock.signing_time(at(NOW + 2)).time, at(NOW + 86_401));
    }

    #[test]
    fn each_of_several_requests_signed_wrongly_may_be_sent_again() {
        let clock = Clock::default();
        let (one, two) = (clock.signing_time(at(NOW)), clock.signing_time(at(NOW)));
        assert!(clock.correct(one, at(NOW - 7200), at(NOW)));
        assert!(clock.correct(two, at(NOW - 7200), at(NOW)));
    }

    #[test]
    fn a_refusal_that_a_new_time_would_not_change_corrects_nothing() {
        let clock = Clock::default();
        let signed = clock.signing_time(at(NOW));
        assert!(clock.correct(signed, at(NOW + 7200), at(NOW)));
        let again = clock.signing_time(at(NOW));
        assert!(!clock.correct(again, at(NOW + 7201), at(NOW)));
    }

    #[test]
    fn a_clock_is_corrected_however_wrong_it_is() {
        for local in [0, 1_000_000_000, 4_000_000_000, 200_000_000_000] {
            let clock = Clock::default();
            let signed = clock.signing_time(at(local));
            assert!(clock.correct(signed, at(NOW), at(local)), "{local}");
            assert_eq!(clock.signing_time(at(local + 1)).time, at(NOW + 1));
        }
    }

    #[test]
    fn an_absurd_server_time_is_ignored() {
        for server in [0, 1_577_836_799, 4_102_444_800, 253_370_764_800] {
            let clock = Clock::default();
            let signed = clock.signing_time(at(NOW));
            assert!(!clock.correct(signed, at(server), at(NOW)), "{server}");
            assert_eq!(clock.signing_time(at(NOW)).time, at(NOW));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn no_date_whatever_panics_or_moves_the_clock_to_where_no_server_is(
            any: String,
            date in "[SM][au][tn], [0-9]{1,2} (Dec|Feb|Xyz) [0-9]{1,6} [0-9]{2}:[0-9]{2}:[0-9]{2} (GMT|Z|[+-][0-9]{4})",
            second in -377_705_023_201_i64..=253_402_207_200,
        ) {
            let clock = Clock::default();
            let dates = [parse_http_date(&any), parse_http_date(&date), Some(at(second))];
            for server in dates.into_iter().flatten() {
                let _ = (system_time(&date), iso_time(&any));
                let signed = clock.signing_time(at(NOW));
                clock.correct(signed, server, at(NOW));
                let now = clock.signing_time(at(NOW)).time;
                prop_assert!(PLAUSIBLE.contains(&now.as_second()));
                prop_assert_eq!(iso8601_basic(now).len(), 16);
            }
        }
    }
}
