//! How a request can fail to get through.

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
    let said = causes(error).last().unwrap_or(error).to_string();
    match is_out_of_time(&said) {
        true => format!("{said} (is this machine's clock right?)"),
        false => said,
    }
}

/// Whether a certificate is said to be expired or not yet valid, as all are for a wrong clock.
fn is_out_of_time(said: &str) -> bool {
    let said = said.to_lowercase();
    let time = ["expired", "not valid yet", "not yet valid"];
    said.contains("certificate") && time.iter().any(|words| said.contains(words))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_out_of_its_time_asks_for_the_clock() {
        let said = |text: &str| unconnected("host", std::io::Error::other(text)).to_string();
        for text in [
            "invalid peer certificate: certificate expired: verification time 4000000000 (UNIX)",
            "invalid peer certificate: certificate not valid yet: verification time 0 (UNIX)",
            "certificate verify failed: certificate is not yet valid",
        ] {
            assert!(said(text).contains("clock"), "{text}");
        }
        for text in [
            "invalid peer certificate: UnknownIssuer",
            "the token has expired",
        ] {
            assert!(!said(text).contains("clock"), "{text}");
        }
    }
}
