//! The URL of an object: exactly this object's, or none.

use reqwest::Url;

use super::endpoint::{Addressing, Endpoint};
use crate::error::{Error, Result};
use crate::wire::encoding::{encode_path, encode_strict};

impl Endpoint {
    /// The URL of an object, or of a bucket where `key` is `None`. `query` is canonical.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if no URL can be made that addresses just
    /// this object.
    pub(super) fn url(&self, bucket: &str, key: Option<&str>, query: &str) -> Result<Url> {
        let host = match self.addressing {
            Addressing::VirtualHost => format!("{bucket}.{}", self.host),
            Addressing::Path | Addressing::Cname => self.host.clone(),
        };
        let key = key.map(escape_key).unwrap_or_default();
        let path = match self.addressing {
            Addressing::Path => format!("/{bucket}/{key}"),
            Addressing::VirtualHost | Addressing::Cname => format!("/{key}"),
        };
        let port = self
            .port
            .map_or_else(String::new, |port| format!(":{port}"));
        let mark = if query.is_empty() { "" } else { "?" };
        let url = Url::parse(&format!(
            "{}://{host}{port}{path}{mark}{query}",
            self.scheme
        ))
        .map_err(|error| {
            Error::invalid_input(format!("bucket {bucket:?} has no host name: {error}"))
        })?;
        let exact = url.host_str() == Some(&*host)
            && url.path() == path
            && url.query().unwrap_or_default() == query
            && url.fragment().is_none();
        if !exact {
            return Err(Error::invalid_input(format!(
                "the path {path} on {host} cannot be sent unchanged"
            )));
        }
        Ok(url)
    }
}

/// The key as it stands in a URL. URL libraries fold segments that are `.` or `..`, which would
/// address another object: a key with such a segment becomes one segment, by escaping its slashes.
fn escape_key(key: &str) -> String {
    if key.split('/').any(|segment| matches!(segment, "." | "..")) {
        encode_strict(key)
    } else {
        encode_path(key)
    }
}

#[cfg(test)]
mod tests {
    use super::super::endpoint::Destination;
    use super::*;

    fn endpoint(name: Option<&str>) -> Endpoint {
        Destination {
            region: Some(Ok("cn-hangzhou".into())),
            endpoint: name.map(|name| Ok(name.to_owned())),
            ..Destination::default()
        }
        .resolve()
        .unwrap()
    }

    #[test]
    fn every_key_reaches_the_url_unchanged() {
        let virtual_host = endpoint(None);
        let path_style = endpoint(Some("http://127.0.0.1:9000"));
        for (key, escaped) in [
            ("a/b.log", "a/b.log"),
            ("a?b#c", "a%3Fb%23c"),
            ("100%", "100%25"),
            ("a%2Fb/%2e%2e", "a%252Fb/%252e%252e"),
            ("a+b c", "a%2Bb%20c"),
            (" ", "%20"),
            ("日志", "%E6%97%A5%E5%BF%97"),
            ("a//b", "a//b"),
            ("a///", "a///"),
            ("a/", "a/"),
            ("a\\..\\b", "a%5C..%5Cb"),
            ("a/../b", "a%2F..%2Fb"),
            ("./a", ".%2Fa"),
            ("../../x", "..%2F..%2Fx"),
            ("a/.", "a%2F."),
            ("a/..", "a%2F.."),
            (".../a", ".../a"),
            (
                "~a*b'(c)!@&=:;,$",
                "~a%2Ab%27%28c%29%21%40%26%3D%3A%3B%2C%24",
            ),
        ] {
            let url = virtual_host
                .url("logs", Some(key), "append&position=0")
                .unwrap();
            assert_eq!(url.path(), format!("/{escaped}"), "{key:?}");
            assert_eq!(url.query(), Some("append&position=0"));
            let decoded = percent_encoding::percent_decode_str(&url.path()[1..]);
            assert_eq!(decoded.decode_utf8().unwrap(), key);

            let url = path_style.url("logs", Some(key), "").unwrap();
            assert_eq!(url.path(), format!("/logs/{escaped}"), "{key:?}");
        }
    }

    #[test]
    fn a_path_that_a_url_cannot_hold_is_refused() {
        let endpoint = endpoint(None);
        for key in [".", ".."] {
            assert!(endpoint.url("logs", Some(key), "").is_err(), "{key:?}");
        }
    }
}
