//! Which servers are connected to directly: the entries of `NO_PROXY`, as users of curl, Go and
//! Python's requests write them.

use std::net::IpAddr;

use http::Uri;
use ipnet::IpNet;

/// The exceptions to a proxy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct NoProxy(Vec<Entry>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    hosts: Hosts,
    /// `None`: any.
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Hosts {
    All,
    /// This one and all below it.
    Domain(String),
    Network(IpNet),
}

impl NoProxy {
    /// The exceptions, and the entries that are none. Entries are divided by commas or white space.
    pub(crate) fn parse(text: &str) -> (Self, Vec<String>) {
        let (mut entries, mut unknown) = (Vec::new(), Vec::new());
        let words = text.split(|c: char| c == ',' || c.is_whitespace());
        for word in words.filter(|word| !word.is_empty()) {
            match Entry::parse(word) {
                Some(entry) => entries.push(entry),
                None => unknown.push(word.to_owned()),
            }
        }
        (Self(entries), unknown)
    }

    /// Whether this server is one of them.
    pub(crate) fn has(&self, server: &Uri) -> bool {
        let Some(host) = server.host() else {
            return false;
        };
        let host = bare(host).trim_end_matches('.').to_ascii_lowercase();
        let port = server.port_u16().or(match server.scheme_str() {
            Some("https") => Some(443),
            Some("http") => Some(80),
            _ => None,
        });
        let matches =
            |entry: &Entry| (entry.port.is_none() || entry.port == port) && entry.hosts.has(&host);
        self.0.iter().any(matches)
    }
}

impl Hosts {
    fn has(&self, host: &str) -> bool {
        match self {
            Self::All => true,
            Self::Domain(domain) => host
                .strip_suffix(domain)
                .is_some_and(|rest| rest.is_empty() || rest.ends_with('.')),
            Self::Network(network) => {
                let address = host.parse::<IpAddr>();
                address.is_ok_and(|address| network.contains(&address.to_canonical()))
            }
        }
    }
}

impl Entry {
    fn parse(word: &str) -> Option<Self> {
        if word.contains('/') {
            let hosts = Hosts::Network(word.parse::<IpNet>().ok()?);
            return Some(Self { hosts, port: None });
        }
        // An address of IPv6 has colons, and brackets where a port comes after it.
        if let Some(hosts) = address(word) {
            return Some(Self { hosts, port: None });
        }
        let (host, port) = match word.rsplit_once(':') {
            Some((host, port)) => (host, Some(port.parse().ok()?)),
            None => (word, None),
        };
        let hosts = match address(host) {
            Some(address) => address,
            None if host == "*" => Hosts::All,
            None => domain(host)?,
        };
        Some(Self { hosts, port })
    }
}

fn address(text: &str) -> Option<Hosts> {
    let address: IpAddr = bare(text).parse().ok()?;
    Some(Hosts::Network(address.to_canonical().into()))
}

/// `example.com`, `.example.com` and `*.example.com` are the same.
fn domain(text: &str) -> Option<Hosts> {
    let name = text.strip_prefix('*').unwrap_or(text);
    let below = name.strip_prefix('.');
    if text.starts_with('*') && below.is_none() {
        return None;
    }
    let name = below.unwrap_or(name).trim_end_matches('.');
    let allowed = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_');
    let valid = !name.is_empty() && !name.starts_with('.') && name.chars().all(allowed);
    valid.then(|| Hosts::Domain(name.to_ascii_lowercase()))
}

/// Without the brackets of an address in a URL.
fn bare(host: &str) -> &str {
    let inner = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    inner.unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn excepts(entry: &str, server: &str) -> bool {
        let (except, unknown) = NoProxy::parse(entry);
        assert!(unknown.is_empty(), "{entry}");
        except.has(&server.parse().unwrap())
    }

    #[test]
    fn every_form_excepts_what_its_users_expect() {
        for (entry, server, excepted) in [
            ("example.com", "https://example.com/", true),
            ("example.com", "https://a.b.example.com/", true),
            ("example.com", "https://notexample.com/", false),
            ("example.com", "https://example.com.evil/", false),
            (".example.com", "https://a.example.com/", true),
            (".example.com", "https://example.com/", true),
            ("*.example.com", "https://a.example.com/", true),
            ("*.example.com", "https://example.com/", true),
            ("*.example.com", "https://notexample.com/", false),
            ("EXAMPLE.com.", "https://a.Example.COM/", true),
            ("example.com", "https://example.com./", true),
            ("example.com:8443", "https://a.example.com:8443/", true),
            ("example.com:8443", "https://example.com/", false),
            ("example.com:443", "https://example.com/", true),
            ("example.com:80", "http://example.com/", true),
            ("example.com:80", "https://example.com/", false),
            ("*", "https://example.com/", true),
            ("*", "http://[::1]/", true),
            ("*:80", "http://example.com/", true),
            ("*:80", "https://example.com/", false),
            ("oss", "http://oss:9000/", true),
            ("10.0.0.1", "http://10.0.0.1:9000/", true),
            ("10.0.0.1", "http://10.0.0.11:9000/", false),
            ("10.0.0.1:9000", "http://10.0.0.1:9000/", true),
            ("10.0.0.1:9000", "http://10.0.0.1/", false),
            ("10.0.0.0/8", "http://10.200.0.1/", true),
            ("10.0.0.7/8", "http://10.200.0.1/", true),
            ("10.0.0.0/8", "http://11.0.0.1/", false),
            ("10.0.0.0/8", "http://10.example.com/", false),
            ("::1", "http://[::1]:9000/", true),
            ("[::1]", "http://[::1]:9000/", true),
            ("[::1]:9000", "http://[::1]:9000/", true),
            ("[::1]:9000", "http://[::1]/", false),
            ("fd00::/8", "http://[fd12::1]/", true),
            ("::ffff:10.0.0.1", "http://10.0.0.1/", true),
            ("10.0.0.1", "http://[::ffff:10.0.0.1]/", true),
            ("a, example.com ,b", "https://example.com/", true),
            ("a example.com\tb", "https://example.com/", true),
            (",,", "https://example.com/", false),
            ("", "https://example.com/", false),
        ] {
            assert_eq!(excepts(entry, server), excepted, "{entry} {server}");
        }
    }

    #[test]
    fn what_is_no_entry_is_told_and_the_others_count() {
        for entry in [
            "http://example.com",
            "10.0.0.0/33",
            "*example.com",
            "ex*mple.com",
            "example.com:",
            "example.com:99999",
            "example.com:http",
            "user@example.com",
            ".",
            "*.",
        ] {
            let (except, unknown) = NoProxy::parse(&format!("a,{entry},b"));
            assert_eq!(unknown, [entry]);
            for server in ["http://a/", "http://b/"] {
                assert!(except.has(&server.parse().unwrap()), "{entry}");
            }
        }
    }
}
