//! The ways in which a request does not get through.

use std::error::Error as StdError;
use std::time::Duration;

use crate::error::{Error, TransportCause};

/// A request that got no complete answer.
pub(crate) fn transport(error: reqwest::Error) -> Error {
    let server = error.url().map(server);
    // The URL of a presigned request is a secret.
    let error = error.without_url();
    let reason = match server {
        Some(server) => format!("{server}: {}", innermost(&error)),
        None => innermost(&error),
    };
    let cause = if error.is_connect() {
        cause_of_no_connection(&error)
    } else if error.is_timeout() {
        TransportCause::Timeout
    } else if error.is_builder() {
        return Error::invalid_input(format!("the request could not be made: {reason}"));
    } else {
        TransportCause::Broken
    };
    Error::transport(cause, reason).with_source(error)
}

/// No connection to `server` could be made.
pub(crate) fn unconnected(server: &str, error: std::io::Error) -> Error {
    let reason = format!("{server}: {}", innermost(&error));
    Error::transport(cause_of_no_connection(&error), reason).with_source(error)
}

/// Nothing moved for as long as the timeout allows.
pub(crate) fn stalled(idle: Duration) -> Error {
    Error::transport(
        TransportCause::Timeout,
        format!("nothing moved for {:.1} s", idle.as_secs_f64()),
    )
}

/// Host and port of a URL.
fn server(url: &reqwest::Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

fn innermost(error: &(dyn StdError + 'static)) -> String {
    causes(error).last().unwrap_or(error).to_string()
}

fn cause_of_no_connection(error: &(dyn StdError + 'static)) -> TransportCause {
    // The TLS library is the build's choice, and the resolver hyper-util's: their errors are known by
    // their text alone.
    for cause in causes(error) {
        let said = cause.to_string().to_lowercase();
        if said.contains("certificate") {
            return TransportCause::Tls;
        }
        if said.starts_with("dns error") {
            return TransportCause::UnknownHost;
        }
    }
    TransportCause::Connect
}

fn causes<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> + use<'a> {
    std::iter::successors(Some(error), |error| StdError::source(*error))
}
