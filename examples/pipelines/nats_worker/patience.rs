//! How long errors of NATS are borne with.

use std::fmt::Display;
use std::time::Duration;

use tokio::time::Instant;

use crate::failure::Failure;
use crate::note;

const PAUSE: Duration = Duration::from_millis(500);

/// Lets a request be tried again until nothing but errors has come for some time.
pub(crate) struct Patience {
    limit: Duration,
    failing_since: Option<Instant>,
    retry_at: Option<Instant>,
}

impl Patience {
    pub(crate) fn new(limit: Duration) -> Self {
        Self {
            limit,
            failing_since: None,
            retry_at: None,
        }
    }

    /// All is well.
    pub(crate) fn restart(&mut self) {
        self.failing_since = None;
    }

    /// A try has failed. Gives up if this has gone on for too long.
    pub(crate) fn failed(&mut self, what: &str, error: impl Display) -> Result<(), Failure> {
        let now = Instant::now();
        let since = *self.failing_since.get_or_insert(now);
        if now.duration_since(since) >= self.limit {
            return Err(Failure::nats(what, error));
        }
        note(&format!("NATS: {what}: {error}; trying again"));
        self.retry_at = Some(now + PAUSE);
        Ok(())
    }

    /// Waits until the next try is due. Goes on waiting where a dropped call had come to.
    pub(crate) async fn pause(&mut self) {
        if let Some(time) = self.retry_at {
            tokio::time::sleep_until(time).await;
            self.retry_at = None;
        }
    }
}
