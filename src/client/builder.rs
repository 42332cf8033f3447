//! How an [`OssClient`] is put together: every option, its default, and what is checked.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use zeroize::Zeroizing;

use super::endpoint::{Addressing, Destination, EndpointKind};
use super::observed::Observations;
use super::pace::Pace;
use super::renewal::Mismatch;
use super::tls::Identity;
use super::transport::{Proxy, Transport};
use super::{Inner, OssClient};
use crate::credentials::{CredentialsProvider, EnvironmentCredentials};
use crate::error::{Error, Result};
use crate::values::defaults;
use crate::wire::clock::Clock;
use crate::wire::plain::timer;
use crate::wire::variables::Variables;

const USER_AGENT: &str = concat!("oss-append/", env!("CARGO_PKG_VERSION"));

/// Builds an [`OssClient`].
///
/// A region, or an endpoint that names one, and credentials are required. A timeout of more than
/// 100 years is one of 100 years.
///
/// ```
/// use std::time::Duration;
/// use oss_append::client::{EndpointKind, OssClient};
/// use oss_append::credentials::EnvironmentCredentials;
///
/// let client = OssClient::builder()
///     .region("cn-hangzhou")
///     .endpoint_kind(EndpointKind::Internal)
///     .credentials(EnvironmentCredentials::new())
///     .attempt_timeout(Duration::from_secs(10))
///     .build()?;
/// # Ok::<(), oss_append::Error>(())
/// ```
#[derive(Clone)]
#[must_use = "a builder does nothing until it is built"]
pub struct OssClientBuilder {
    destination: Destination,
    credentials: Option<Arc<dyn CredentialsProvider>>,
    /// Set once an option of it is set.
    transport: Option<Transport>,
    attempt_timeout: Duration,
    user_agent_suffix: Option<String>,
    requester_pays: bool,
    max_upload_rate: Option<u64>,
    http_client: Option<reqwest::Client>,
}

impl OssClientBuilder {
    pub(super) fn new() -> Self {
        Self {
            destination: Destination::default(),
            credentials: None,
            transport: None,
            attempt_timeout: defaults::ATTEMPT_TIMEOUT,
            user_agent_suffix: None,
            requester_pays: false,
            max_upload_rate: None,
            http_client: None,
        }
    }

    /// Starts with what the environment says: the region from `OSS_REGION`, the endpoint from
    /// `OSS_ENDPOINT`, and [`EnvironmentCredentials`]. A variable that is unset or blank sets
    /// nothing, white space around a value is ignored, and what is called on the builder afterwards
    /// takes precedence. [`build`](Self::build) refuses a value with quotation marks around it or a
    /// line break in it, and names the variable.
    ///
    /// If the keys are somewhere else than in `OSS_ACCESS_KEY_ID` and `OSS_ACCESS_KEY_SECRET`, set
    /// [`credentials`](Self::credentials) to another provider, such as the
    /// [`DefaultChain`](crate::credentials) of Alibaba Cloud's SDKs.
    pub fn from_env() -> Self {
        let variables = Variables::default();
        let variable = |name| {
            let read = variables.read(name).map_err(Error::invalid_input);
            read.transpose()
        };
        let mut builder = Self::new().credentials(EnvironmentCredentials::new());
        builder.destination.region = variable("OSS_REGION");
        builder.destination.endpoint = variable("OSS_ENDPOINT");
        builder
    }

    /// Sets the region of the buckets, such as `cn-hangzhou` or `oss-cn-hangzhou`. Default: the
    /// region that the endpoint names.
    pub fn region(mut self, region: impl Into<String>) -> Self {
        self.destination.region = Some(Ok(region.into()));
        self
    }

    /// Sets the endpoint: `https://HOST`, `http://HOST:PORT`, or a bare host, which means https.
    /// Default: the region's, see [`endpoint_kind`](Self::endpoint_kind).
    pub fn endpoint(mut self, endpoint: impl Into<String>) -> Self {
        self.destination.endpoint = Some(Ok(endpoint.into()));
        self
    }

    /// Sets which of the region's endpoints is used. Default: [`EndpointKind::Public`]. Has no
    /// effect if [`endpoint`](Self::endpoint) is set.
    pub fn endpoint_kind(mut self, kind: EndpointKind) -> Self {
        self.destination.kind = kind;
        self
    }

    /// Sets how buckets are named in requests. Default: [`Addressing::Path`] if the endpoint is an
    /// IP address or `localhost`, else [`Addressing::VirtualHost`].
    pub fn addressing(mut self, addressing: Addressing) -> Self {
        self.destination.addressing = Some(addressing);
        self
    }

    /// Addresses a CloudBox by its id, such as `cb-123`, in the given region. Default: none.
    pub fn cloud_box(mut self, id: impl Into<String>) -> Self {
        self.destination.cloud_box = Some(id.into());
        self
    }

    /// Sets where credentials come from. No default.
    pub fn credentials(mut self, provider: impl CredentialsProvider) -> Self {
        self.credentials = Some(Arc::new(provider));
        self
    }

    fn transport(&mut self) -> &mut Transport {
        self.transport.get_or_insert_default()
    }

    /// Sets how long making a connection may take. Default: 5 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.transport().connect_timeout = timeout;
        self
    }

    /// Sets how long an idle connection is kept for the next request. Default: 15 s, which is less
    /// than OSS and most devices on the way keep it.
    pub fn pool_idle_timeout(mut self, timeout: Duration) -> Self {
        self.transport().pool_idle_timeout = timeout;
        self
    }

    /// Connects through a proxy: `http://HOST:PORT` or `http://USER:PASSWORD@HOST:PORT`, or the
    /// same with `https://`, `socks5://`, or `socks5h://` (the proxy resolves names). Requests to
    /// an https endpoint go through a tunnel (CONNECT), in which the proxy sees no more than the
    /// host. Default: what `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` say, in upper or
    /// lower case, but none to loopback. `NO_PROXY` has the forms of [`no_proxy`](Self::no_proxy).
    /// A variable that does not name a proxy is an error, unless it does not apply to the endpoint.
    pub fn proxy(mut self, url: impl Into<String>) -> Self {
        self.transport().proxy = Proxy::Through(Zeroizing::new(url.into()));
        self
    }

    /// Connects without a proxy to these hosts, separated by commas or white space. Default: none.
    ///
    /// | entry | connected to directly |
    /// |---|---|
    /// | `example.com`, `.example.com`, `*.example.com` | that name and all below it; the three are the same |
    /// | `10.0.0.1`, `::1`, `[::1]` | that address, where the endpoint is one |
    /// | `10.0.0.0/8`, `fd00::/8` | all addresses of that network |
    /// | `*` | everything |
    /// | `example.com:8443`, `10.0.0.1:9000`, `[::1]:9000`, `*:80` | the same, at that port alone |
    ///
    /// Names are not resolved for this. An entry of another form is an error; in `NO_PROXY` it is a
    /// warning in the log.
    pub fn no_proxy(mut self, hosts: impl Into<String>) -> Self {
        self.transport().no_proxy = Some(hosts.into());
        self
    }

    /// Connects without a proxy, whatever the environment says.
    pub fn without_proxy(mut self) -> Self {
        self.transport().proxy = Proxy::Direct;
        self
    }

    /// Connects to `host` at these addresses instead of resolving it; a port of 0 stands for that
    /// of the URL. With [`Addressing::VirtualHost`] that host is `BUCKET.ENDPOINT`. May be called
    /// for several hosts. Default: names are resolved by the system.
    pub fn resolve(
        mut self,
        host: impl Into<String>,
        addresses: impl IntoIterator<Item = SocketAddr>,
    ) -> Self {
        let addresses = addresses.into_iter().collect();
        self.transport().addresses.push((host.into(), addresses));
        self
    }

    /// Trusts these root certificates too, such as those of a company: one or more in PEM. May be
    /// called several times. Default: those of the platform.
    pub fn root_certificates(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.transport().certificates.roots.push(pem.into());
        self
    }

    /// Sets whether the platform's root certificates are trusted. They are read only if the endpoint,
    /// or a proxy on the way, is one of https. Default: yes.
    pub fn platform_roots(mut self, trusted: bool) -> Self {
        self.transport().certificates.platform_roots = trusted;
        self
    }

    /// Shows this certificate to servers and proxies that ask for one: in PEM, followed by the
    /// certificates between it and its root; and its key, in PEM as PKCS #8. Default: none.
    pub fn client_certificate(
        mut self,
        certificates: impl Into<Vec<u8>>,
        key: impl Into<Vec<u8>>,
    ) -> Self {
        self.transport().certificates.identity = Some(Identity {
            certificates: certificates.into(),
            key: Zeroizing::new(key.into()),
        });
        self
    }

    /// Sets how long a request may stand still: no byte sent, no byte received. Default: 30 s.
    /// A transfer that moves is never cut off, however slow it is.
    ///
    /// Bytes that a connection has accepted from the client but not yet delivered move unseen, so
    /// the timeout has to leave time for that.
    pub fn attempt_timeout(mut self, timeout: Duration) -> Self {
        self.attempt_timeout = timeout;
        self
    }

    /// Adds to the user agent `oss-append/VERSION`, such as `my-service/2.1`. Default: nothing.
    pub fn user_agent_suffix(mut self, suffix: impl Into<String>) -> Self {
        self.user_agent_suffix = Some(suffix.into());
        self
    }

    /// Lets the requester pay for every request (`x-oss-request-payer`). Default: the bucket's
    /// owner pays.
    pub fn requester_pays(mut self, pays: bool) -> Self {
        self.requester_pays = pays;
        self
    }

    /// Sends bodies no faster than this, in bytes per second, over all requests of this client and
    /// its clones. The time that a request waits for its turn does not count as standing still.
    /// Default: no limit. For one that OSS keeps, see
    /// [`RequestOptions::traffic_limit`](crate::RequestOptions::traffic_limit).
    pub fn max_upload_rate(mut self, bytes_per_second: u64) -> Self {
        self.max_upload_rate = Some(bytes_per_second);
        self
    }

    /// Sends through this HTTP client, for what the options of this builder do not offer. Options
    /// of connections, proxies and certificates cannot be combined with it. Default: a client of
    /// its own.
    ///
    /// The client must not follow redirects ([`Policy::none`](reqwest::redirect::Policy::none)),
    /// which would leave the signed request. It must not repeat requests
    /// ([`retry::never`](reqwest::retry::never)), since each outcome has to be seen, nor decompress
    /// answers. It should have no total timeout, speak HTTP/1.1, and drop pooled connections after
    /// about 15 s. If it follows a redirect all the same, that is an error.
    pub fn http_client(mut self, client: reqwest::Client) -> Self {
        self.http_client = Some(client);
        self
    }

    /// Checks the options and makes the client. Nothing is sent.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if the destination or credentials are
    /// missing or malformed, a timeout is zero, or the TLS library cannot be set up.
    pub fn build(self) -> Result<OssClient> {
        let endpoint = self.destination.resolve()?;
        let credentials = self.credentials.ok_or_else(|| {
            Error::invalid_input(
                "no credentials provider is given: EnvironmentCredentials reads the environment",
            )
        })?;
        if self.max_upload_rate == Some(0) {
            return Err(Error::invalid_input(
                "a max_upload_rate of zero lets no body through",
            ));
        }
        if self.attempt_timeout.is_zero() {
            return Err(Error::invalid_input(
                "a timeout of zero lets no request through",
            ));
        }
        let user_agent = match &self.user_agent_suffix {
            None => USER_AGENT.to_owned(),
            Some(suffix) if suffix.chars().any(char::is_control) => {
                return Err(Error::invalid_input(
                    "the user agent has a control character",
                ));
            }
            Some(suffix) => format!("{USER_AGENT} {suffix}"),
        };
        let (http, connections) = match (self.http_client, self.transport) {
            // How it connects is not known.
            (Some(client), None) => (client, None),
            (None, transport) => {
                let (client, lanes) = transport.unwrap_or_default().connect(&endpoint)?;
                (client, Some(lanes))
            }
            (Some(_), Some(_)) => {
                return Err(Error::invalid_input(
                    "options of connections, proxies or certificates are set, and an HTTP client \
                     that has its own",
                ));
            }
        };
        Ok(OssClient {
            inner: Arc::new(Inner {
                http,
                endpoint,
                credentials,
                clock: Clock::default(),
                mismatch: Mismatch::default(),
                observations: Observations::default(),
                connections: connections.map(Arc::new),
                pace: self.max_upload_rate.map(Pace::new).map(Arc::new),
                attempt_timeout: timer(self.attempt_timeout),
                user_agent,
                requester_pays: self.requester_pays,
            }),
        })
    }
}

/// Shows where the client will send to, but no credentials.
impl fmt::Debug for OssClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OssClientBuilder")
            .field("region", &self.destination.region)
            .field("kind", &self.destination.kind)
            .field("attempt_timeout", &self.attempt_timeout)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credentials::StaticCredentials;

    fn builder() -> OssClientBuilder {
        OssClient::builder()
            .region("cn-hangzhou")
            .credentials(StaticCredentials::new("LTAI-the-id", "the-secret"))
    }

    #[test]
    fn the_documented_defaults_hold() {
        let client = builder().build().unwrap();
        assert_eq!(client.attempt_timeout(), Duration::from_secs(30));
        let transport = Transport::default();
        assert_eq!(transport.connect_timeout, Duration::from_secs(5));
        assert_eq!(transport.pool_idle_timeout, Duration::from_secs(15));
        assert_eq!(
            client.inner.user_agent,
            format!("oss-append/{}", env!("CARGO_PKG_VERSION"))
        );
        assert_eq!(client.region(), "cn-hangzhou");
        assert!(!client.inner.requester_pays);
    }

    #[test]
    fn what_cannot_work_is_refused_when_it_is_built() {
        let without_credentials = OssClient::builder().region("cn-hangzhou").build();
        assert!(
            without_credentials
                .unwrap_err()
                .to_string()
                .contains("credentials")
        );
        assert!(builder().attempt_timeout(Duration::ZERO).build().is_err());
        assert!(builder().connect_timeout(Duration::ZERO).build().is_err());
        assert!(builder().user_agent_suffix("a\nb").build().is_err());
        assert!(builder().max_upload_rate(0).build().is_err());
    }

    #[test]
    fn debug_shows_the_destination_and_no_credentials() {
        let client = builder().user_agent_suffix("app/1").build().unwrap();
        let shown = format!("{client:?} {:?}", builder());
        assert!(
            shown.contains("https://oss-cn-hangzhou.aliyuncs.com"),
            "{shown}"
        );
        assert!(
            !shown.contains("the-id") && !shown.contains("the-secret"),
            "{shown}"
        );
        assert_eq!(client.inner.user_agent, format!("{USER_AGENT} app/1"));
    }
}
