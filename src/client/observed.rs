//! What answers tell beside what was asked: where they came from, and what time it is there.

use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard};

use http::HeaderValue;
use http::header::DATE;
use jiff::Timestamp;

use crate::values::locks::MutexExt;
use crate::wire::clock::clock_ahead;

/// What the last answer told about the connection and the clock, given by
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

/// The last answer of a client.
#[derive(Debug, Default)]
pub(super) struct Observations(Mutex<Option<Seen>>);

/// What is kept of each answer: it is read when somebody asks.
#[derive(Clone, Debug)]
struct Seen {
    address: Option<SocketAddr>,
    date: Option<HeaderValue>,
    at: Timestamp,
}

impl Observations {
    pub(super) fn answer(&self, response: &reqwest::Response, now: Timestamp) {
        let date = response.headers().get(DATE).cloned();
        self.note(response.remote_addr(), date, now);
    }

    /// The same of an answer on a lane, which does not tell where it came from.
    pub(super) fn date(&self, date: Option<HeaderValue>, now: Timestamp) {
        self.note(None, date, now);
    }

    fn note(&self, address: Option<SocketAddr>, date: Option<HeaderValue>, at: Timestamp) {
        let mut last = self.lock();
        let before = last.as_ref().and_then(|seen| seen.address);
        let address = address.or(before);
        *last = Some(Seen { address, date, at });
    }

    pub(super) fn last(&self) -> Observed {
        let Some(seen) = self.lock().clone() else {
            return Observed::default();
        };
        Observed {
            address: seen.address,
            clock_ahead: seen.date.and_then(|date| clock_ahead(&date, seen.at)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Seen>> {
        self.0.locked()
    }
}
