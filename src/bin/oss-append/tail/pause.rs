//! How long to wait between two looks.

use std::time::Duration;

use crate::failure::Failure;

/// The time between two looks: twice as long each time, within bounds.
#[derive(Debug)]
pub(super) struct Pause {
    min: Duration,
    max: Duration,
    next: Duration,
}

impl Pause {
    pub(super) fn new(min: Duration, max: Duration) -> Result<Self, Failure> {
        if min.is_zero() || min > max {
            return Err(Failure::usage(
                "--poll-min must be more than 0 and at most --poll-max",
            ));
        }
        let next = min;
        Ok(Self { min, max, next })
    }

    pub(super) fn next(&mut self) -> Duration {
        let now = self.next;
        self.next = now.saturating_mul(2).min(self.max);
        now
    }

    pub(super) fn reset(&mut self) {
        self.next = self.min;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_doubles_until_something_comes() {
        let ms = Duration::from_millis;
        let mut pause = Pause::new(ms(200), ms(1000)).unwrap();
        let pauses: Vec<Duration> = (0..5).map(|_| pause.next()).collect();
        assert_eq!(pauses, [200, 400, 800, 1000, 1000].map(ms));
        pause.reset();
        assert_eq!(pause.next(), ms(200));
        for (min, max) in [(0, 1000), (2, 1)] {
            assert!(Pause::new(ms(min), ms(max)).is_err());
        }
        let mut longest = Pause::new(Duration::MAX, Duration::MAX).unwrap();
        for _ in 0..3 {
            assert_eq!(longest.next(), Duration::MAX);
        }
    }
}
