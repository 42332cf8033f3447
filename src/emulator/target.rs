//! What a request addresses: the bucket and key from host and path, and the query's parameters.

use std::net::IpAddr;

use percent_encoding::percent_decode_str;

use super::refusal::Refusal;
use crate::values::path::check_bucket;

/// The longest key in bytes.
const MAX_KEY: usize = 1023;

/// Bucket and key of a request, decoded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) bucket: Option<String>,
    pub(super) key: Option<String>,
}

impl Target {
    /// Reads the target from the `Host` header and the undecoded path.
    ///
    /// A host whose first label names a bucket is virtual-hosted, unless the host is an IP address
    /// or the path names a bucket that exists.
    pub(super) fn parse(
        host: &str,
        path: &str,
        exists: impl Fn(&str) -> bool,
    ) -> Result<Self, Refusal> {
        let path = path.strip_prefix('/').unwrap_or(path);
        let (first, rest) = match path.split_once('/') {
            Some((first, rest)) => (first, Some(rest)),
            None => (path, None),
        };
        if let Some(label) = host_bucket(host)
            && (exists(label) || !decode(first).is_ok_and(|first| exists(&first)))
        {
            return Ok(Self {
                bucket: Some(label.into()),
                key: non_empty(decode_key(path)?),
            });
        }
        if first.is_empty() && rest.is_none() {
            return Ok(Self::default());
        }
        let bucket = decode(first).map_err(|()| invalid_uri())?;
        if check_bucket(&bucket).is_err() {
            return Err(Refusal::invalid_bucket_name(&bucket));
        }
        Ok(Self {
            bucket: Some(bucket),
            key: match rest {
                Some(rest) => non_empty(decode_key(rest)?),
                None => None,
            },
        })
    }

    /// The key, checked by the rules for new objects.
    pub(super) fn checked_key(&self) -> Result<&str, Refusal> {
        let key = self.key.as_deref().unwrap_or_default();
        if key.is_empty() {
            return Err(Refusal::invalid_object_name(key, "0016-00000001"));
        }
        if key.len() > MAX_KEY {
            return Err(Refusal::invalid_object_name(key, "0016-00000002"));
        }
        if key.starts_with(['/', '\\']) {
            return Err(Refusal::invalid_object_name(key, "0016-00000005"));
        }
        Ok(key)
    }
}

/// The bucket that a virtual-hosted request's host may name.
fn host_bucket(host: &str) -> Option<&str> {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    if name.starts_with('[') || name.parse::<IpAddr>().is_ok() {
        return None;
    }
    let (label, rest) = name.split_once('.')?;
    let service = label.starts_with("oss-") && rest == "aliyuncs.com";
    (!service && !rest.is_empty() && check_bucket(label).is_ok()).then_some(label)
}

fn non_empty(key: String) -> Option<String> {
    (!key.is_empty()).then_some(key)
}

fn decode_key(raw: &str) -> Result<String, Refusal> {
    if !well_escaped(raw) {
        return Err(invalid_uri());
    }
    decode(raw).map_err(|()| Refusal::invalid_object_name("", "0016-00000002"))
}

fn invalid_uri() -> Refusal {
    Refusal::bad_request("InvalidURI", "The specified URI could not be parsed.")
}

fn decode(raw: &str) -> Result<String, ()> {
    if !well_escaped(raw) {
        return Err(());
    }
    match percent_decode_str(raw).decode_utf8() {
        Ok(text) => Ok(text.into_owned()),
        Err(_) => Err(()),
    }
}

/// Whether every `%` begins an escape.
fn well_escaped(raw: &str) -> bool {
    let mut bytes = raw.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let hex = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_hexdigit());
            if !(hex(bytes.next()) && hex(bytes.next())) {
                return false;
            }
        }
    }
    true
}

/// The parameters of a query in their order, decoded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads an undecoded query, where `+` is a space.
    pub(super) fn parse(raw: &str) -> Result<Self, Refusal> {
        raw.split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                let decode = |text: &str| decode(&text.replace('+', "%20"));
                match (decode(name), decode(value)) {
                    (Ok(name), Ok(value)) => Ok((name, value)),
                    _ => Err(invalid_uri()),
                }
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Whether the parameter is there, with or without a value.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(n, _)| n == name)
    }

    /// The first value of a parameter.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let (_, value) = self.0.iter().find(|(n, _)| n == name)?;
        Some(value)
    }

    /// The value of a parameter that may be there once.
    pub(super) fn get_once(&self, name: &'static str) -> Result<Option<&str>, Refusal> {
        let mut values = self.0.iter().filter(|(n, _)| n == name);
        match (values.next(), values.next()) {
            (first, None) => Ok(first.map(|(_, value)| value.as_str())),
            (_, Some((_, second))) => Err(Refusal::invalid_value(
                name,
                second,
                "The parameter is given more than once.",
            )),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(n, v)| (n.as_str(), v.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn target(host: &str, path: &str) -> (Option<String>, Option<String>) {
        let target = Target::parse(host, path, |bucket| bucket == "known").unwrap();
        (target.bucket, target.key)
    }

    fn some(bucket: &str, key: &str) -> (Option<String>, Option<String>) {
        (Some(bucket.into()), non_empty(key.into()))
    }

    #[test]
    fn ip_hosts_are_path_style() {
        for host in ["127.0.0.1:9000", "[::1]:9000", "127.0.0.1", "localhost:1"] {
            assert_eq!(target(host, "/known/a%2Fb/c"), some("known", "a/b/c"));
            assert_eq!(target(host, "/known"), some("known", ""));
            assert_eq!(target(host, "/known/"), some("known", ""));
            assert_eq!(target(host, "/"), (None, None));
        }
    }

    #[test]
    fn the_first_label_of_a_name_is_the_bucket() {
        for host in [
            "known.oss-cn-hangzhou.aliyuncs.com",
            "known.localhost:9000",
            "known.example",
        ] {
            assert_eq!(target(host, "/a/b"), some("known", "a/b"));
            assert_eq!(target(host, "/known/b"), some("known", "known/b"));
        }
        assert_eq!(target("fresh.localhost", "/a"), some("fresh", "a"));
        assert_eq!(target("oss.localhost", "/known/a"), some("known", "a"));
        assert_eq!(target("oss-cn-hangzhou.aliyuncs.com", "/"), (None, None));
    }

    #[test]
    fn malformed_escapes_are_refused() {
        for path in ["/known/%zz", "/known/%4", "/%zz/a", "/known/%ff"] {
            assert!(
                Target::parse("127.0.0.1", path, |_| true).is_err(),
                "{path}"
            );
        }
        assert!(Query::parse("a=%f").is_err());
    }

    #[test]
    fn a_query_is_decoded() {
        let query = Query::parse("append=&position=7&a+b=%2B&&x").unwrap();
        assert!(query.has("append") && query.has("x"));
        assert_eq!(query.get("position"), Some("7"));
        assert_eq!(query.get("a b"), Some("+"));
        assert!(Query::parse("p=1&p=2").unwrap().get_once("p").is_err());
    }

    #[test]
    fn keys_for_new_objects_are_checked() {
        for (key, ec) in [
            (String::new(), "0016-00000001"),
            ("k".repeat(1024), "0016-00000002"),
            ("/k".into(), "0016-00000005"),
            ("\\k".into(), "0016-00000005"),
        ] {
            let target = Target {
                bucket: None,
                key: Some(key),
            };
            assert_eq!(target.checked_key().unwrap_err().ec, Some(ec));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn no_host_path_or_query_whatever_panics(any: String, other: String, raw in "[%a-fé/&=+.]{0,20}") {
            for (host, path) in [(&any, &other), (&raw, &any), (&other, &raw)] {
                let _ = Target::parse(host, path, |bucket| bucket.len() == 3);
                let _ = Query::parse(path);
            }
        }

        #[test]
        fn a_key_is_what_was_escaped(key: String, strictly: bool) {
            use crate::wire::encoding::{encode_path, encode_strict};
            let escaped = if strictly { encode_strict(&key) } else { encode_path(&key) };
            let found = Target::parse("127.0.0.1", &format!("/known/{escaped}"), |_| true).unwrap();
            prop_assert_eq!(found.key.unwrap_or_default(), key);
        }
    }
}
