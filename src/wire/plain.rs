//! The HTTP client below all others: it does nothing that was not asked for.

use std::time::Duration;

/// A time that never comes: longer than any program runs, and short enough to be added to the
/// present.
const NEVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// The duration that a timer is set to for this one, which may be too long for the clock.
pub(crate) fn timer(duration: Duration) -> Duration {
    duration.min(NEVER)
}

/// Sends each request once, by HTTP/1.1, and gives its answer as it is.
pub(crate) fn plain_client() -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .http1_only()
        // Another crate of the program may switch these on, and the bytes would not be those sent.
        .no_gzip()
        .no_brotli()
        .no_zstd()
        .no_deflate()
}
