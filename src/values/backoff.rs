//! Exponential back-off with full jitter.

use std::time::Duration;

use super::defaults;

/// How long to wait between attempts: a random time below `base × 2ⁿ`, at most `max`.
///
/// Default: base 100 ms, max 10 s. Full jitter, so that many writers that failed together do not
/// come back together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    base: Duration,
    max: Duration,
}

impl Backoff {
    /// Waits of up to `base` after the first failure, doubling up to `max`.
    pub fn new(base: Duration, max: Duration) -> Self {
        Self { base, max }
    }

    /// The wait after the `failures`-th failure in a row (from 1). `random` is in `[0, 1)`.
    pub(crate) fn delay(&self, failures: u32, random: f64) -> Duration {
        let doublings = failures.saturating_sub(1).min(31);
        let ceiling = self.base.saturating_mul(1 << doublings).min(self.max);
        ceiling.mul_f64(random)
    }

    pub(crate) fn base(&self) -> Duration {
        self.base
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self::new(defaults::BACKOFF_BASE, defaults::BACKOFF_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ceiling_doubles_up_to_the_maximum() {
        let backoff = Backoff::default();
        let ceilings: Vec<u128> = (1..=9).map(|n| backoff.delay(n, 1.0).as_millis()).collect();
        assert_eq!(
            ceilings,
            [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]
        );
        assert_eq!(backoff.delay(u32::MAX, 1.0), Duration::from_secs(10));
    }

    #[test]
    fn the_jitter_is_full() {
        let backoff = Backoff::default();
        assert_eq!(backoff.delay(3, 0.0), Duration::ZERO);
        assert_eq!(backoff.delay(3, 0.25), Duration::from_millis(100));
    }
}
