//! What is between the contestants and the sink.

use std::fmt;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// How far behind the schedule a transfer may be and catch up: timers have milliseconds.
const SLACK: Duration = Duration::from_millis(3);

/// A round trip, and a bandwidth that all connections share.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Link {
    pub(crate) round_trip: Duration,
    /// In bits a second; zero for what the machine can do.
    pub(crate) bandwidth: u64,
}

impl Link {
    pub(crate) const LOOPBACK: Self = Self {
        round_trip: Duration::ZERO,
        bandwidth: 0,
    };

    pub(crate) const fn new(round_trip_ms: u64, gigabits: u64) -> Self {
        Self::of_megabits(round_trip_ms, gigabits * 1000)
    }

    pub(crate) const fn of_megabits(round_trip_ms: u64, megabits: u64) -> Self {
        Self {
            round_trip: Duration::from_millis(round_trip_ms),
            bandwidth: megabits * 1_000_000,
        }
    }

    pub(crate) fn bytes_per_second(self) -> f64 {
        self.bandwidth as f64 / 8.0
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let round_trip = self.round_trip.as_millis();
        match self.bandwidth {
            0 if round_trip == 0 => f.write_str("loopback"),
            0 => write!(f, "{round_trip} ms"),
            bandwidth => {
                let gigabits = bandwidth as f64 / 1e9;
                write!(f, "{round_trip} ms, {gigabits} Gbit/s")
            }
        }
    }
}

/// `ROUND_TRIP_MICROSECONDS:BITS_A_SECOND`
impl FromStr for Link {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once(':').ok_or("no colon")?;
        let number = |text: &str| text.parse::<u64>().map_err(|error| error.to_string());
        Ok(Self {
            round_trip: Duration::from_micros(number(parts.0)?),
            bandwidth: number(parts.1)?,
        })
    }
}

impl Link {
    pub(super) fn argument(self) -> String {
        format!("{}:{}", self.round_trip.as_micros(), self.bandwidth)
    }
}

/// The link at work.
pub(super) struct Wire {
    link: Link,
    /// When what was sent so far has got through.
    free_at: Mutex<Instant>,
}

impl Wire {
    pub(super) fn new(link: Link) -> Self {
        Self {
            link,
            free_at: Mutex::new(Instant::now()),
        }
    }

    /// Takes as long as `bytes` need, behind all others.
    pub(super) async fn carry(&self, bytes: usize) {
        if self.link.bandwidth == 0 {
            return;
        }
        let takes = Duration::from_secs_f64(bytes as f64 / self.link.bytes_per_second());
        let now = Instant::now();
        let until = {
            let mut free_at = self.free_at.lock().unwrap_or_else(PoisonError::into_inner);
            *free_at = (*free_at).max(now - SLACK) + takes;
            *free_at
        };
        if until > now {
            sleep_until(until).await;
        }
    }

    /// When an answer is there that is given now: after a round trip.
    pub(super) fn turn(&self) -> Instant {
        Instant::now() + self.link.round_trip
    }
}
