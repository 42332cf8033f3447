//! What answers tell beside what was asked: where they came from, and what time it is there.

use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use http::HeaderMap;
use jiff::Timestamp;

use super::clock::parse_http_date;
use super::response::header_text;

/// What the last answer told of the connection and the clock, given by
/// [`OssClient::observed`](super::OssClient::observed).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Observed {
    /// The address that was connected to: that of the server, or of the proxy.
    pub address: Option<SocketAddr>,
    /// How many seconds the server's clock is ahead of this machine's, by the header `Date`; to
    /// within about a second.
    pub clock_ahead: Option<i64>,
}

/// The last observation of a client.
#[derive(Debug, Default)]
pub(super) struct Observations(Mutex<Observed>);

impl Observations {
    pub(super) fn answer(&self, response: &reqwest::Response, now: Timestamp) {
        *self.lock() = Observed {
            address: response.remote_addr(),
            clock_ahead: clock_ahead(response.headers(), now),
        };
    }

    pub(super) fn last(&self) -> Observed {
        *self.lock()
    }

    fn lock(&self) -> MutexGuard<'_, Observed> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How many seconds the sender of an answer with these headers is ahead of `now`.
pub(crate) fn clock_ahead(headers: &HeaderMap, now: Timestamp) -> Option<i64> {
    let date = parse_http_date(&header_text(headers, "date")?)?;
    Some(date.as_second() - now.as_second())
}
