//! How a client connects: proxies, certificates, name resolution, and how long connections are kept.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use zeroize::Zeroizing;

use super::endpoint::Endpoint;
use super::lane::{Connections, Connector};
use super::tls::{Certificates, Tls};
use crate::error::{Error, Result};
use crate::values::defaults;
use crate::wire::no_proxy::NoProxy;
use crate::wire::plain::{plain_client, timer};
use crate::wire::proxies::Proxies;

/// An object has up to 8 KiB of user metadata, each entry a header of its own.
pub(super) const MAX_HEADERS: usize = 1024;

const TCP_KEEPALIVE: Duration = Duration::from_secs(15);

#[derive(Clone)]
pub(super) struct Transport {
    pub(super) connect_timeout: Duration,
    pub(super) pool_idle_timeout: Duration,
    pub(super) proxy: Proxy,
    /// Which hosts are connected to directly, as in `NO_PROXY`.
    pub(super) no_proxy: Option<String>,
    pub(super) addresses: Vec<(String, Vec<SocketAddr>)>,
    pub(super) certificates: Certificates,
}

#[derive(Clone)]
pub(super) enum Proxy {
    /// What the environment says, but none to loopback.
    Environment,
    Direct,
    /// May hold a password.
    Through(Zeroizing<String>),
}

impl Default for Transport {
    fn default() -> Self {
        Self {
            connect_timeout: defaults::CONNECT_TIMEOUT,
            pool_idle_timeout: defaults::POOL_IDLE_TIMEOUT,
            proxy: Proxy::Environment,
            no_proxy: None,
            addresses: Vec::new(),
            certificates: Certificates::default(),
        }
    }
}

impl Transport {
    pub(super) fn check(&self) -> Result<()> {
        if self.connect_timeout.is_zero() {
            return Err(Error::invalid_input(
                "a timeout of zero lets no request through",
            ));
        }
        if self.no_proxy.is_some() && !matches!(self.proxy, Proxy::Through(_)) {
            return Err(Error::invalid_input(
                "no_proxy makes exceptions to a proxy, and none is set",
            ));
        }
        Ok(())
    }

    /// The HTTP client, and the connections of lanes, made in the same way.
    pub(super) fn connect(&self, endpoint: &Endpoint) -> Result<(reqwest::Client, Connections)> {
        self.check()?;
        let mut builder = plain_client()
            .http1_max_headers(MAX_HEADERS)
            .connect_timeout(timer(self.connect_timeout))
            .pool_idle_timeout(timer(self.pool_idle_timeout))
            .tcp_nodelay(true)
            .tcp_keepalive(TCP_KEEPALIVE);
        let proxies = match &self.proxy {
            Proxy::Environment if !endpoint.is_loopback() => Some(Proxies::from_environment()),
            Proxy::Environment | Proxy::Direct => None,
            Proxy::Through(url) => Some(Proxies::through(url, self.exceptions()?)?),
        };
        let proxies = proxies.map(Arc::new);
        builder = match &proxies {
            Some(proxies) => {
                if let Ok(server) = endpoint.to_string().parse() {
                    proxies.check(&server)?;
                }
                Arc::clone(proxies).apply(builder)
            }
            None => builder.no_proxy(),
        };
        // What nobody needs is not read: small images have no root certificates.
        let tls = match self.certificates.are_none() && !uses_tls(endpoint, proxies.as_deref()) {
            true => Tls::new(&Certificates::unused())?,
            false => {
                self.certificates.check()?;
                Tls::new(&self.certificates)?
            }
        };
        for (host, addresses) in &self.addresses {
            builder = builder.resolve_to_addrs(host, addresses);
        }
        let client = (tls.apply(builder)?.build())
            .map_err(|error| refused("the HTTP client could not be set up", error))?;
        let connector = Connector::new(
            self.addresses.clone(),
            proxies,
            tls,
            timer(self.connect_timeout),
            TCP_KEEPALIVE,
        );
        let connections = Connections::new(connector, timer(self.pool_idle_timeout));
        Ok((client, connections))
    }

    fn exceptions(&self) -> Result<NoProxy> {
        let (except, unknown) = NoProxy::parse(self.no_proxy.as_deref().unwrap_or_default());
        match unknown.first() {
            None => Ok(except),
            Some(entry) => Err(Error::invalid_input(format!(
                "no_proxy has {entry:?}, which excepts nothing: example.com, *.example.com, \
                 10.0.0.1, 10.0.0.0/8, *, and the same but networks with :PORT, are right"
            ))),
        }
    }
}

/// Whether there is TLS on the way, to the endpoint or to a proxy.
fn uses_tls(endpoint: &Endpoint, proxies: Option<&Proxies>) -> bool {
    let is_secure = |uri: &http::Uri| uri.scheme_str() != Some("http");
    let to_proxy = |server: http::Uri| {
        let proxy = proxies.and_then(|proxies| proxies.intercept(&server));
        proxy.is_some_and(|proxy| is_secure(proxy.uri()))
    };
    // Which hosts of buckets go through a proxy is not known yet.
    let servers = [
        endpoint.to_string(),
        format!("{}://bucket.{}", endpoint.scheme, endpoint.host),
    ];
    endpoint.scheme != "http"
        || servers
            .iter()
            .any(|server| server.parse().is_ok_and(to_proxy))
}

fn refused(what: &str, error: reqwest::Error) -> Error {
    Error::invalid_input(what).with_source(error)
}
