//! How a client connects: proxies, certificates, name resolution, and how long connections are kept.

use std::net::SocketAddr;
use std::time::Duration;

use zeroize::Zeroizing;

use super::endpoint::Endpoint;
use super::lane::Connections;
use crate::error::{Error, Result};
use crate::values::defaults;
use crate::wire::plain::{plain_client, timer};

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
    pub(super) roots: Vec<Vec<u8>>,
    pub(super) platform_roots: bool,
    pub(super) identity: Option<Identity>,
}

#[derive(Clone)]
pub(super) enum Proxy {
    /// What the environment says, but none to loopback.
    Environment,
    Direct,
    /// May hold a password.
    Through(Zeroizing<String>),
}

/// What the client shows of itself, in PEM.
#[cfg_attr(
    not(any(feature = "rustls", feature = "native-tls")),
    allow(dead_code, reason = "nothing reads it without TLS")
)]
#[derive(Clone)]
pub(super) struct Identity {
    pub(super) certificates: Vec<u8>,
    pub(super) key: Zeroizing<Vec<u8>>,
}

impl Default for Transport {
    fn default() -> Self {
        Self {
            connect_timeout: defaults::CONNECT_TIMEOUT,
            pool_idle_timeout: defaults::POOL_IDLE_TIMEOUT,
            proxy: Proxy::Environment,
            no_proxy: None,
            addresses: Vec::new(),
            roots: Vec::new(),
            platform_roots: true,
            identity: None,
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
        if self.roots.is_empty() && !self.platform_roots {
            return Err(Error::invalid_input(
                "without platform_roots, and with no root_certificates, no server is trusted",
            ));
        }
        Ok(())
    }

    pub(super) fn client(&self, endpoint: &Endpoint) -> Result<reqwest::Client> {
        self.check()?;
        let mut builder = plain_client()
            .http1_max_headers(MAX_HEADERS)
            .connect_timeout(timer(self.connect_timeout))
            .pool_idle_timeout(timer(self.pool_idle_timeout))
            .tcp_nodelay(true)
            .tcp_keepalive(TCP_KEEPALIVE);
        match &self.proxy {
            Proxy::Environment if endpoint.is_loopback() => builder = builder.no_proxy(),
            Proxy::Environment => {}
            Proxy::Direct => builder = builder.no_proxy(),
            Proxy::Through(url) => builder = builder.proxy(self.proxy_to(url)?),
        }
        for (host, addresses) in &self.addresses {
            builder = builder.resolve_to_addrs(host, addresses);
        }
        self.trust(builder)?
            .build()
            .map_err(|error| refused("the HTTP client could not be set up", error))
    }

    /// The connections of lanes, where they can be made as the client makes its own: without TLS, and
    /// without a proxy.
    pub(super) fn connections(&self, endpoint: &Endpoint) -> Option<Connections> {
        let is_direct = match &self.proxy {
            Proxy::Environment => endpoint.is_loopback(),
            Proxy::Direct => true,
            Proxy::Through(_) => false,
        };
        (is_direct && endpoint.is_plain()).then(|| {
            Connections::new(
                self.connect_timeout,
                self.pool_idle_timeout,
                self.addresses.clone(),
            )
        })
    }

    fn proxy_to(&self, url: &str) -> Result<reqwest::Proxy> {
        // Neither the URL nor what is said of it is repeated: it may hold a password.
        let known = ["http://", "https://"]
            .iter()
            .any(|scheme| url.starts_with(scheme));
        let proxy = known.then(|| reqwest::Proxy::all(url).ok()).flatten();
        let proxy = proxy.ok_or_else(|| {
            Error::invalid_input(
                "the proxy is not of the form http://HOST:PORT or http://USER:PASSWORD@HOST:PORT",
            )
        })?;
        let except = self.no_proxy.as_deref();
        Ok(proxy.no_proxy(except.and_then(reqwest::NoProxy::from_string)))
    }

    #[cfg(any(feature = "rustls", feature = "native-tls"))]
    fn trust(&self, mut builder: reqwest::ClientBuilder) -> Result<reqwest::ClientBuilder> {
        let mut roots = Vec::new();
        for pem in &self.roots {
            let found = reqwest::Certificate::from_pem_bundle(pem)
                .map_err(|error| refused("the root certificates are no PEM", error))?;
            if found.is_empty() {
                return Err(Error::invalid_input(
                    "the root certificates have no PEM block of type CERTIFICATE",
                ));
            }
            roots.extend(found);
        }
        builder = match self.platform_roots {
            true => builder.tls_certs_merge(roots),
            false => builder.tls_certs_only(roots),
        };
        if let Some(identity) = &self.identity {
            builder = builder.identity(identity.read()?);
        }
        Ok(builder)
    }

    #[cfg(not(any(feature = "rustls", feature = "native-tls")))]
    fn trust(&self, builder: reqwest::ClientBuilder) -> Result<reqwest::ClientBuilder> {
        match self.roots.is_empty() && self.platform_roots && self.identity.is_none() {
            true => Ok(builder),
            false => Err(Error::invalid_input(
                "certificates need one of the features rustls and native-tls",
            )),
        }
    }
}

impl Identity {
    // With both features reqwest takes native-tls.
    #[cfg(feature = "native-tls")]
    fn read(&self) -> Result<reqwest::Identity> {
        reqwest::Identity::from_pkcs8_pem(&self.certificates, &self.key)
            .map_err(|_| Self::malformed())
    }

    #[cfg(all(feature = "rustls", not(feature = "native-tls")))]
    fn read(&self) -> Result<reqwest::Identity> {
        let mut pem = Zeroizing::new(self.key.to_vec());
        pem.push(b'\n');
        pem.extend_from_slice(&self.certificates);
        reqwest::Identity::from_pem(&pem).map_err(|_| Self::malformed())
    }

    /// What the library says of it is not repeated: it may show the key.
    #[cfg(any(feature = "rustls", feature = "native-tls"))]
    fn malformed() -> Error {
        Error::invalid_input(
            "the client certificate is not what is needed: PEM blocks of type CERTIFICATE, the \
             client's own first, and a key in a PEM block of type PRIVATE KEY (PKCS #8)",
        )
    }
}

fn refused(what: &str, error: reqwest::Error) -> Error {
    Error::invalid_input(what).with_source(error)
}
