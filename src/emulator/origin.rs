//! Refusing what web pages ask for.
//!
//! A browser on this machine reaches a server on the loopback interface, and the default access key
//! is known to everybody. So a request that a page of another origin makes is refused, and one that
//! comes by a host name that anybody could let point here (DNS rebinding). Clients that are not
//! browsers send none of the headers that are looked at.

use std::net::IpAddr;

use http::{HeaderMap, Method};

use super::refusal::Refusal;

/// What only browsers send of themselves.
const OF_BROWSERS: [&str; 4] = [
    "origin",
    "sec-fetch-site",
    "sec-fetch-mode",
    "accept-language",
];

/// Refuses a request that a foreign web page makes.
pub(super) fn check(method: &Method, headers: &HeaderMap, host: &str) -> Result<(), Refusal> {
    let value = |name| headers.get(name).map(|value| value.as_bytes());
    if let Some(origin) = value("origin")
        && origin.strip_prefix(b"http://") != Some(host.as_bytes())
    {
        return Err(foreign());
    }
    // Following a link is harmless: the page it is on does not get the answer.
    let follows = matches!(*method, Method::GET | Method::HEAD)
        && value("sec-fetch-mode") == Some(b"navigate");
    if let Some(b"cross-site" | b"same-site") = value("sec-fetch-site")
        && !follows
    {
        return Err(foreign());
    }
    let browser = OF_BROWSERS.iter().any(|name| headers.contains_key(*name));
    if browser && !is_own(host) {
        return Err(foreign());
    }
    Ok(())
}

fn foreign() -> Refusal {
    Refusal::access_denied("The emulator takes no requests of web pages of other origins.")
}

/// Whether a host is an address, or `localhost`.
pub(super) fn is_address(host: &str) -> bool {
    is_own(host)
        && !without_port(host)
            .to_ascii_lowercase()
            .ends_with(".localhost")
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    }
}

/// Whether a host is an address, or a name that always means this machine.
fn is_own(host: &str) -> bool {
    let name = without_port(host);
    let address = name
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'));
    let name = name.to_ascii_lowercase();
    address.unwrap_or(&name).parse::<IpAddr>().is_ok()
        || name == "localhost"
        || name.ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderName, HeaderValue};

    fn refused(method: &Method, host: &str, headers: &[(&'static str, &'static str)]) -> bool {
        let headers = headers.iter().map(|(name, value)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        });
        check(method, &headers.collect(), host).is_err()
    }

    #[test]
    fn requests_of_foreign_pages_are_refused() {
        let host = "127.0.0.1:9000";
        let (get, post) = (Method::GET, Method::POST);
        for (method, headers) in [
            (&post, &[("origin", "https://evil.example")][..]),
            (&post, &[("origin", "null")]),
            (&post, &[("origin", "http://127.0.0.1:9001")]),
            (&get, &[("sec-fetch-site", "cross-site")]),
            (
                &post,
                &[
                    ("sec-fetch-site", "cross-site"),
                    ("sec-fetch-mode", "navigate"),
                ],
            ),
        ] {
            assert!(refused(method, host, headers), "{headers:?}");
        }
        for (method, headers) in [
            (&post, &[][..]),
            (&post, &[("origin", "http://127.0.0.1:9000")]),
            (&get, &[("sec-fetch-site", "none")]),
            (
                &get,
                &[
                    ("sec-fetch-site", "cross-site"),
                    ("sec-fetch-mode", "navigate"),
                ],
            ),
        ] {
            assert!(!refused(method, host, headers), "{headers:?}");
        }
    }

    #[test]
    fn a_browser_comes_by_a_name_that_means_this_machine() {
        let page = [("accept-language", "en")];
        for host in ["rebound.example:9000", "evil.example", "localhost.example"] {
            assert!(refused(&Method::GET, host, &page), "{host}");
            // Other clients may have their own names for it.
            assert!(!refused(&Method::GET, host, &[]), "{host}");
        }
        for host in ["127.0.0.1:9000", "[::1]:9000", "localhost", "b.localhost:1"] {
            assert!(!refused(&Method::GET, host, &page), "{host}");
        }
    }
}
