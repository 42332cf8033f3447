//! When to look again: soon after something has come, and less often while nothing comes.

use std::ops::RangeInclusive;
use std::time::Duration;

use tokio::sync::Notify;

use crate::error::{Error, Result};

/// The time between two looks: twice as long each time, within bounds.
#[derive(Clone, Debug)]
pub(in crate::reader) struct Pace {
    min: Duration,
    max: Duration,
    next: Duration,
}

impl Pace {
    pub(in crate::reader) fn new(bounds: &RangeInclusive<Duration>) -> Result<Self> {
        let (min, max) = (*bounds.start(), *bounds.end());
        match min.is_zero() || min > max {
            true => Err(Error::invalid_input(format!(
                "poll_interval({min:?}..={max:?}): the first must be more than zero and at most the \
                 last"
            ))),
            false => Ok(Self {
                min,
                max,
                next: min,
            }),
        }
    }

    /// Something has come: the next look is soon.
    pub(in crate::reader) fn reset(&mut self) {
        self.next = self.min;
    }

    /// Waits until the next look is due: for the time of this turn, or until `bell` rings. A ring
    /// from before counts.
    pub(in crate::reader) async fn rest(&mut self, bell: &Notify) {
        let wait = self.next;
        self.next = wait.saturating_mul(2).min(self.max);
        tokio::select! {
            () = bell.notified() => self.reset(),
            () = tokio::time::sleep(wait) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    async fn waited(pace: &mut Pace, bell: &Notify) -> Duration {
        let began = Instant::now();
        pace.rest(bell).await;
        began.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_doubles_until_something_comes() {
        let bell = Notify::new();
        let mut pace = Pace::new(&(200 * MS..=1000 * MS)).unwrap();
        for expected in [200, 400, 800, 1000, 1000] {
            assert_eq!(waited(&mut pace, &bell).await, expected * MS);
        }
        pace.reset();
        assert_eq!(waited(&mut pace, &bell).await, 200 * MS);
        assert_eq!(waited(&mut pace, &bell).await, 400 * MS);
    }

    #[tokio::test(start_paused = true)]
    async fn the_bell_ends_a_wait_and_what_was_rung_before_counts_once() {
        let bell = Notify::new();
        let mut pace = Pace::new(&(200 * MS..=1000 * MS)).unwrap();
        for _ in 0..5 {
            waited(&mut pace, &bell).await;
        }
        let ring = async {
            tokio::time::sleep(3 * MS).await;
            bell.notify_one();
        };
        let (waited_, ()) = tokio::join!(waited(&mut pace, &bell), ring);
        assert_eq!(waited_, 3 * MS);
        bell.notify_one();
        bell.notify_one();
        assert_eq!(waited(&mut pace, &bell).await, Duration::ZERO);
        assert_eq!(waited(&mut pace, &bell).await, 200 * MS);
    }

    #[test]
    fn bounds_that_are_none_are_refused() {
        for (min, max) in [(0, 1000), (2, 1)] {
            assert!(Pace::new(&(min * MS..=max * MS)).is_err());
        }
        assert!(Pace::new(&(Duration::MAX..=Duration::MAX)).is_ok());
    }
}
