//! How much one append may carry so that it is answered in time, as far as that has been measured.
//!
//! An append takes a constant time plus some time for each byte. So an append of `n` bytes that
//! took `t` shows that `n * target / t` bytes can be answered within the target: with fewer bytes
//! the constant part weighs more. Buffers between client and server may take the whole request at
//! once and pass it on slowly. Then nothing moves for the client until the answer comes, and only
//! experience can tell a slow link from a dead one.

use std::time::Duration;

/// How many bytes one append may carry; 0 while nothing is known, and the most where there is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fit(u32);

const KIB: u64 = 1024;

/// What may be sent on a link of which nothing is known: a short append says little about a long one.
const UNPROVEN: u64 = 1024 * KIB;

/// The least that is ever sent in one append, if there is so much.
const LEAST: u64 = 4 * KIB;

/// A batch that was not answered in time is cut to this part.
const CUT: u64 = 8;

impl Fit {
    /// The share of the time without a sign of life within which an answer should come.
    pub(super) fn target(attempt_timeout: Duration) -> Duration {
        attempt_timeout / 3
    }

    /// The most bytes of the next append. `whole`: what has been sent once cannot be cut any more, so
    /// it begins with little.
    pub(crate) fn most(self, whole: bool) -> u64 {
        match self.0 {
            0 if whole => UNPROVEN,
            0 | u32::MAX => u64::MAX,
            bytes => bytes.into(),
        }
    }

    /// An append of so many bytes was answered after `took`.
    pub(super) fn answered(&mut self, bytes: u64, took: Duration, target: Duration) {
        let share = target.as_secs_f64() / took.as_secs_f64().max(1e-6);
        // What is too much for the number is enough.
        let most = (bytes as f64 * share) as u64;
        let most = match self.0 {
            0 if took <= target => most.max(UNPROVEN),
            0 => most,
            // A short one proves nothing of a long one, unless that it goes too.
            known => {
                let known = u64::from(known);
                if bytes < known / 2 && most < known {
                    return;
                }
                most
            }
        };
        self.set(most);
    }

    /// An append of so many bytes had no answer in time.
    pub(super) fn too_much(&mut self, bytes: u64) {
        self.set((bytes / CUT).min(self.most(false)));
    }

    fn set(&mut self, bytes: u64) {
        self.0 = u32::try_from(bytes.max(LEAST)).unwrap_or(u32::MAX);
    }

    /// As if that had been measured.
    #[cfg(test)]
    pub(super) fn of(bytes: u32) -> Self {
        Self(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGET: Duration = Duration::from_secs(10);
    const SEC: Duration = Duration::from_secs(1);
    const MIB: u64 = 1024 * KIB;

    fn after(answers: &[(u64, Duration)]) -> u64 {
        let mut fit = Fit::default();
        for (bytes, took) in answers {
            fit.answered(*bytes, *took, TARGET);
        }
        fit.most(false)
    }

    #[test]
    fn nothing_is_limited_before_anything_is_known_unless_it_must_stay_whole() {
        assert_eq!(Fit::default().most(false), u64::MAX);
        assert_eq!(Fit::default().most(true), MIB);
    }

    #[test]
    fn the_length_follows_the_rate() {
        assert_eq!(after(&[(MIB, 5 * SEC)]), 2 * MIB);
        assert_eq!(after(&[(MIB, 20 * SEC)]), MIB / 2);
        // Up and down.
        assert_eq!(after(&[(MIB, 20 * SEC), (MIB / 2, SEC)]), 5 * MIB);
        assert_eq!(after(&[(MIB, 5 * SEC), (2 * MIB, 40 * SEC)]), MIB / 2);
        assert!(after(&[(MIB, SEC / 100)]) > 900 * MIB);
    }

    #[test]
    fn a_short_append_does_not_slow_down_a_long_one() {
        let short = (100, SEC / 50);
        assert_eq!(after(&[short]), MIB);
        assert_eq!(after(&[(MIB, 5 * SEC), short]), 2 * MIB);
        // But by what it took on a link that was slow, it may raise what is known.
        assert_eq!(after(&[(MIB, 1000 * SEC), (8 * KIB, SEC)]), 80 * KIB);
    }

    #[test]
    fn what_was_too_much_is_cut_down_to_the_least() {
        let mut fit = Fit::default();
        let mut bytes = 8 * MIB;
        let mut lengths = Vec::new();
        for _ in 0..6 {
            fit.too_much(bytes);
            bytes = fit.most(false).min(bytes);
            lengths.push(bytes / KIB);
        }
        assert_eq!(lengths, [1024, 128, 16, 4, 4, 4]);
        // One that was shorter than what is known now does not raise it.
        let mut fit = Fit::of(16 * KIB as u32);
        fit.too_much(8 * MIB);
        assert_eq!(fit.most(false), 16 * KIB);
    }

    #[test]
    fn no_time_at_all_is_no_division_by_zero() {
        assert_eq!(after(&[(u64::MAX, Duration::ZERO)]), u64::MAX);
        assert_eq!(after(&[(0, Duration::ZERO)]), MIB);
    }
}
