//! Which proxy a server is reached through: decided here for requests, for lanes, and for services
//! that give credentials.

use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::Uri;
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use reqwest::Url;

use super::encoding::encode_strict;
use super::no_proxy::NoProxy;
use super::variables::Variables;
use crate::error::{Error, Result};

/// The proxies to servers of either scheme, with the exceptions.
pub(crate) struct Proxies {
    to: Matcher,
    except: NoProxy,
    /// Variables that name no proxy, by the scheme of the servers they are for.
    unusable: Vec<(&'static str, String)>,
}

impl Proxies {
    /// What `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` say, in upper or lower case; if
    /// none of the first three is set, what the system says.
    pub(crate) fn from_environment() -> Self {
        Self::from_variables(&Variables::default()).unwrap_or_else(|except| Self {
            to: Matcher::from_system(),
            except,
            unusable: Vec::new(),
        })
    }

    /// Without proxies in the variables, the exceptions alone.
    fn from_variables(variables: &Variables) -> Result<Self, NoProxy> {
        // Of two spellings the first that is set counts.
        let first = |names: [&'static str; 2]| {
            let mut read = names.into_iter().filter_map(|name| {
                let value = variables.read(name).transpose()?;
                Some((name, value))
            });
            read.next()
        };
        let except = match first(["NO_PROXY", "no_proxy"]) {
            Some((name, Ok(hosts))) => {
                let (except, unknown) = NoProxy::parse(&hosts);
                for entry in unknown {
                    tracing::warn!(entry, "{name} has an entry that excepts nothing");
                }
                except
            }
            Some((_, Err(why))) => {
                tracing::warn!("{why}; it excepts nothing");
                NoProxy::default()
            }
            None => NoProxy::default(),
        };
        // A server sets this for a program that it runs for a request, whose header `Proxy` would
        // come as HTTP_PROXY.
        let is_cgi = variables.read("REQUEST_METHOD") != Ok(None);
        let all = first(["ALL_PROXY", "all_proxy"]);
        let http = first(["HTTP_PROXY", "http_proxy"]).filter(|_| !is_cgi);
        let https = first(["HTTPS_PROXY", "https_proxy"]);
        if all.is_none() && http.is_none() && https.is_none() {
            return Err(except);
        }
        let mut unusable = Vec::new();
        let mut usable = |own: Option<(&'static str, Result<String, String>)>, scheme| {
            let (name, value) = own.or_else(|| all.clone())?;
            let value = value.and_then(|value| match is_proxy(&value) {
                true => Ok(value),
                // It may have a password in it.
                false => Err(format!(
                    "the environment variable {name} names no proxy: {FORMS}"
                )),
            });
            value.map_err(|why| unusable.push((scheme, why))).ok()
        };
        let mut to = Matcher::builder();
        if let Some(proxy) = usable(http, "http") {
            to = to.http(proxy);
        }
        if let Some(proxy) = usable(https, "https") {
            to = to.https(proxy);
        }
        Ok(Self {
            to: to.build(),
            except,
            unusable,
        })
    }

    /// This one to all servers but the exceptions.
    ///
    /// # Errors
    /// It names no proxy. Neither it nor what is said of it is repeated: it may hold a password.
    pub(crate) fn through(url: &str, except: NoProxy) -> Result<Self> {
        if !url.contains("://") || !is_proxy(url) {
            return Err(Error::invalid_input(format!("the proxy is none: {FORMS}")));
        }
        Ok(Self {
            to: Matcher::builder().all(url).build(),
            except,
            unusable: Vec::new(),
        })
    }

    /// The proxy on the way to this server.
    pub(crate) fn intercept(&self, server: &Uri) -> Option<Intercept> {
        match self.except.has(server) {
            true => None,
            false => self.to.intercept(server),
        }
    }

    /// Fails where a variable that counts for this server names no proxy: it would not be reached
    /// as it was meant to be.
    pub(crate) fn check(&self, server: &Uri) -> Result<()> {
        let counts = |scheme: &str| server.scheme_str() == Some(scheme);
        match self.unusable.iter().find(|(scheme, _)| counts(scheme)) {
            Some((_, why)) if !self.except.has(server) => Err(Error::invalid_input(why.clone())),
            _ => Ok(()),
        }
    }

    /// The same decisions for the HTTP client.
    pub(crate) fn apply(self: Arc<Self>, to: reqwest::ClientBuilder) -> reqwest::ClientBuilder {
        // Without those that it would look up itself.
        to.no_proxy().proxy(reqwest::Proxy::custom(move |server| {
            let proxy = self.intercept(&server.as_str().parse().ok()?)?;
            url(&proxy)
        }))
    }
}

/// What a proxy is given as.
const FORMS: &str = "http://HOST:PORT or http://USER:PASSWORD@HOST:PORT is right, or the same with \
                     https, socks5 or socks5h";

/// Whether it can be used.
fn is_proxy(text: &str) -> bool {
    let proxies = Matcher::builder().all(text).build();
    let proxy = proxies.intercept(&Uri::from_static("http://host/"));
    proxy.is_some_and(|proxy| url(&proxy).is_some())
}

/// The proxy with its user and password, as the HTTP client takes it.
fn url(proxy: &Intercept) -> Option<Url> {
    let mut url = Url::parse(&proxy.uri().to_string()).ok()?;
    let basic = proxy.basic_auth().map(|value| {
        let encoded = value.as_bytes().strip_prefix(b"Basic ")?;
        let pair = String::from_utf8(BASE64_STANDARD.decode(encoded).ok()?).ok()?;
        let (user, password) = pair.split_once(':')?;
        Some((user.to_owned(), password.to_owned()))
    });
    let raw = proxy.raw_auth();
    let raw = raw.map(|(user, password)| (user.to_owned(), password.to_owned()));
    let user = match basic {
        Some(basic) => Some(basic?),
        None => raw,
    };
    if let Some((user, password)) = user {
        url.set_username(&encode_strict(&user)).ok()?;
        let password = encode_strict(&password);
        url.set_password((!password.is_empty()).then_some(&*password))
            .ok()?;
    }
    Some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by(pairs: &'static [(&str, &str)]) -> Proxies {
        let variables = Variables::new(move |name| {
            let found = pairs.iter().find(|(known, _)| *known == name)?;
            Some(found.1.into())
        });
        let proxies = Proxies::from_variables(&variables);
        proxies.unwrap_or_else(|except| Proxies {
            to: Matcher::builder().build(),
            except,
            unusable: Vec::new(),
        })
    }

    fn way(proxies: &Proxies, server: &str) -> Option<String> {
        let proxy = proxies.intercept(&server.parse().unwrap())?;
        Some(url(&proxy).unwrap().to_string())
    }

    #[test]
    fn each_scheme_has_its_variable_and_one_is_for_all() {
        let proxies = by(&[
            ("https_proxy", "http://secure:1\n"),
            ("ALL_PROXY", "socks5h://id:hush@all:2"),
            ("no_proxy", ".direct.example"),
        ]);
        let expected = Some("http://secure:1/".into());
        assert_eq!(way(&proxies, "https://a.example/"), expected);
        let expected = Some("socks5h://id:hush@all:2/".into());
        assert_eq!(way(&proxies, "http://a.example/"), expected);
        assert_eq!(way(&proxies, "https://a.direct.example/"), None);
        assert_eq!(way(&by(&[]), "https://a.example/"), None);
    }

    #[test]
    fn a_users_name_and_password_are_passed_on_as_they_are() {
        for url in [
            "http://user:pass%2Fword%40@proxy:1/",
            "http://user@proxy:1/",
            "https://proxy/",
            "socks5://user:pass%2Fword@proxy:1/",
        ] {
            let proxies = Proxies::through(url, NoProxy::default()).unwrap();
            let expected = Some(url.into());
            assert_eq!(way(&proxies, "https://a.example/"), expected);
        }
    }

    #[test]
    fn a_variable_that_names_no_proxy_is_an_error_where_it_counts() {
        for value in [
            "ftp://hush@proxy",
            "\"http://proxy\"",
            "http://",
            "hush:hush@proxy:1:2",
        ] {
            let variables = Variables::new(move |name| match name {
                "HTTPS_PROXY" => Some(value.into()),
                "NO_PROXY" => Some("direct.example".into()),
                _ => None,
            });
            let Ok(proxies) = Proxies::from_variables(&variables) else {
                panic!("{value}");
            };
            let error = proxies.check(&Uri::from_static("https://a.example/"));
            let error = error.unwrap_err().to_string();
            assert!(error.contains("HTTPS_PROXY"), "{error}");
            assert!(!error.contains("hush"), "{error}");
            for server in ["http://a.example/", "https://direct.example/"] {
                proxies.check(&server.parse().unwrap()).unwrap();
            }
        }
    }

    #[test]
    fn a_request_to_a_server_sets_no_proxy_for_what_the_server_runs() {
        let proxies = by(&[("REQUEST_METHOD", "GET"), ("HTTP_PROXY", "http://evil:1")]);
        assert_eq!(way(&proxies, "http://a.example/"), None);
    }
}
