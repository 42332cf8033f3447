//! How requests are treated that come before the one ahead of them is answered.

use std::str::FromStr;

use crate::error::Error;

/// What the server does with requests that a client sends on one connection without waiting for
/// the answers.
///
/// HTTP wants such pipelined requests to be answered in their order. Not all servers and proxies
/// do it, and some of those that do carry them out in another order.
///
/// It can be parsed from the form that `oss-append emulator --pipelining` takes: `in-order`,
/// `at-once`, `swapped` or `unanswered`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Pipelining {
    /// One after the other: a request is begun when the one ahead of it has been answered. Most
    /// servers do this.
    #[default]
    InOrder,
    /// All are begun as soon as they have come, up to 64, and answered in their order. A request
    /// that a fault [delays](super::Action::Delay) is carried out behind those that follow it.
    /// Node.js does this.
    AtOnce,
    /// As [`AtOnce`](Self::AtOnce), but each is answered as soon as it is done. A client that
    /// counts the answers off takes some for those of other requests.
    Swapped,
    /// One at a time. When another one comes meanwhile, the connection is closed without an
    /// answer; the one at work is carried out, the other is not. Bun does this.
    Unanswered,
}

impl FromStr for Pipelining {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        match name {
            "in-order" => Ok(Self::InOrder),
            "at-once" => Ok(Self::AtOnce),
            "swapped" => Ok(Self::Swapped),
            "unanswered" => Ok(Self::Unanswered),
            _ => Err(Error::invalid_input(format!(
                "pipelining {name:?} is none; use in-order, at-once, swapped or unanswered"
            ))),
        }
    }
}
