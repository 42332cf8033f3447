//! Waits between attempts, which the end of a writer cuts short.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::engine::budget::MAX_ASKED;

/// The longest wait between attempts once the writer has been told to end.
const MAX_WAIT_AT_END: Duration = Duration::from_secs(1);

/// Waits as long as we want to, and as long as OSS has asked for, within reason. The end of the
/// writer cuts that short. Tells when the wait was to end.
pub(crate) async fn wait(own: Duration, asked: Duration, ending: &CancellationToken) -> Instant {
    let now = Instant::now();
    if ending.is_cancelled() {
        let end = now + own.min(MAX_WAIT_AT_END);
        tokio::time::sleep_until(end).await;
        return end;
    }
    let Some(end) = now.checked_add(own.max(asked.min(MAX_ASKED))) else {
        ending.cancelled().await;
        return Instant::now();
    };
    tokio::select! {
        biased;
        () = tokio::time::sleep_until(end) => end,
        () = ending.cancelled() => Instant::now(),
    }
}
