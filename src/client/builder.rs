//! How an [`OssClient`] is put together: every option, its default, and what is checked.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::clock::Clock;
use super::endpoint::{Addressing, Destination, Endpoint, EndpointKind};
use super::{Inner, OssClient};
use crate::credentials::{CredentialsProvider, EnvironmentCredentials};
use crate::error::{Error, Result};

const USER_AGENT: &str = concat!("oss-append/", env!("CARGO_PKG_VERSION"));

/// A pooled connection that the server or a middlebox has dropped breaks the next request on it.
/// OSS keeps idle connections for longer than this.
const POOL_IDLE: Duration = Duration::from_secs(15);

/// An object has up to 8 KiB of user metadata, each entry a header of its own.
const MAX_HEADERS: usize = 1024;

const TCP_KEEPALIVE: Duration = Duration::from_secs(15);

/// Builds an [`OssClient`].
///
/// A region, or an endpoint that names one, and credentials are required.
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
    connect_timeout: Duration,
    attempt_timeout: Duration,
    user_agent_suffix: Option<String>,
    requester_pays: bool,
    http_client: Option<reqwest::Client>,
}

impl OssClientBuilder {
    pub(super) fn new() -> Self {
        Self {
            destination: Destination::default(),
            credentials: None,
            connect_timeout: Duration::from_secs(5),
            attempt_timeout: Duration::from_secs(30),
            user_agent_suffix: None,
            requester_pays: false,
            http_client: None,
        }
    }

    /// Starts with what the environment says: the region from `OSS_REGION`, the endpoint from
    /// `OSS_ENDPOINT`, and [`EnvironmentCredentials`]. A variable that is unset or empty sets
    /// nothing, and what is called on the builder afterwards counts more.
    pub fn from_env() -> Self {
        let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let mut builder = Self::new().credentials(EnvironmentCredentials::new());
        builder.destination.region = variable("OSS_REGION");
        builder.destination.endpoint = variable("OSS_ENDPOINT");
        builder
    }

    /// Sets the region of the buckets, such as `cn-hangzhou` or `oss-cn-hangzhou`. Default: the
    /// region that the endpoint names.
    pub fn region(mut self, region: impl Into<String>) -> Self {
        self.destination.region = Some(region.into());
        self
    }

    /// Sets the endpoint: `https://HOST`, `http://HOST:PORT`, or a bare host, which means https.
    /// Default: the region's, see [`endpoint_kind`](Self::endpoint_kind).
    pub fn endpoint(mut self, endpoint: impl Into<String>) -> Self {
        self.destination.endpoint = Some(endpoint.into());
        self
    }

    /// Sets which of the region's endpoints is used. Default: [`EndpointKind::Public`]. Of no
    /// effect where [`endpoint`](Self::endpoint) is set.
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

    /// Sets how long making a connection may take. Default: 5 s. Of no effect with
    /// [`http_client`](Self::http_client).
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Sets how long a request may stand still: no byte sent, no byte received. Default: 30 s.
    /// A transfer that moves is never cut off, however slow it is.
    ///
    /// What a connection has taken from the client but not yet delivered moves unseen, so the
    /// timeout has to leave time for that.
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

    /// Sends through this HTTP client, for a proxy, root certificates or name resolution of one's
    /// own. Default: a client of its own, which takes a proxy from the environment, except to
    /// loopback.
    ///
    /// The client must follow no redirects
    /// ([`Policy::none`](reqwest::redirect::Policy::none)): they would leave the signature's
    /// request. It must not repeat requests
    /// ([`retry::never`](reqwest::retry::never)), since each outcome has to be seen, nor decompress
    /// answers. It should have no total timeout, speak HTTP/1.1, and drop pooled connections after
    /// some 15 s. A redirect that was followed all the same is an error.
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
        if self.connect_timeout.is_zero() || self.attempt_timeout.is_zero() {
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
        let http = match self.http_client {
            Some(client) => client,
            None => http_client(&endpoint, self.connect_timeout)?,
        };
        Ok(OssClient {
            inner: Arc::new(Inner {
                http,
                endpoint,
                credentials,
                clock: Clock::default(),
                attempt_timeout: self.attempt_timeout,
                user_agent,
                requester_pays: self.requester_pays,
            }),
        })
    }
}

fn http_client(endpoint: &Endpoint, connect_timeout: Duration) -> Result<reqwest::Client> {
    let mut builder = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .http1_only()
        .http1_max_headers(MAX_HEADERS)
        // Another crate of the program may switch these on, and the bytes would not be the object's.
        .no_gzip()
        .no_brotli()
        .no_zstd()
        .no_deflate()
        .connect_timeout(connect_timeout)
        .pool_idle_timeout(POOL_IDLE)
        .tcp_nodelay(true)
        .tcp_keepalive(TCP_KEEPALIVE);
    if endpoint.is_loopback() {
        builder = builder.no_proxy();
    }
    builder.build().map_err(|error| {
        Error::invalid_input("the HTTP client could not be set up").with_source(error)
    })
}

/// Shows where the client will send to, no credentials.
impl fmt::Debug for OssClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OssClientBuilder")
            .field("region", &self.destination.region)
            .field("kind", &self.destination.kind)
            .field("connect_timeout", &self.connect_timeout)
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
        assert_eq!(
            OssClientBuilder::new().connect_timeout,
            Duration::from_secs(5)
        );
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
