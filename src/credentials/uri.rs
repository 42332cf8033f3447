//! Credentials from a URI, such as that of a sidecar.

use std::time::Duration;

use futures::future::BoxFuture;

use super::document::{KeyDocument, Needs};
use super::http::{Http, server_url};
use super::{CachedCredentials, Credentials, CredentialsProvider};
use crate::error::{Error, Result};
use crate::wire::variables::Variables;

pub(super) const VARIABLE: &str = "ALIBABA_CLOUD_CREDENTIALS_URI";

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Credentials from a GET of a URI, which answers with JSON: `AccessKeyId`, `AccessKeySecret`,
/// `SecurityToken` and `Expiration`, and optionally `Code`, which must be `Success`.
///
/// The server gets 5 s for the connection and 10 s for the answer. A URI of `http` is never asked
/// through a proxy. No error shows more of the URI than scheme, host and port.
///
/// Source: <https://www.alibabacloud.com/help/en/sdk/developer-reference/v2-manage-go-access-credentials>
///
/// ```
/// use oss_append::credentials::CredentialsUri;
///
/// let provider = CredentialsUri::new("http://localhost:6666/?user=append").build()?;
/// # Ok::<(), oss_append::Error>(())
/// ```
#[derive(Clone)]
#[must_use = "it does nothing until it is built"]
pub struct CredentialsUri {
    uri: String,
}

impl CredentialsUri {
    /// Asks this URI.
    pub fn new(uri: impl Into<String>) -> Self {
        Self { uri: uri.into() }
    }

    /// Asks the URI in `ALIBABA_CLOUD_CREDENTIALS_URI`.
    ///
    /// # Errors
    /// [`Credentials`](crate::ErrorKind::Credentials) if it is unset or empty.
    pub fn from_env() -> Result<Self> {
        Ok(Self::new(Variables::default().require(VARIABLE)?))
    }

    /// Checks the URI. Nothing is sent.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if it is not a URL of `http` or `https`.
    pub fn build(self) -> Result<CachedCredentials> {
        Ok(CachedCredentials::new(self.source()?))
    }

    pub(super) fn source(&self) -> Result<UriSource> {
        let url = match self.uri.contains("://") {
            true => server_url(&self.uri)?,
            false => return Err(Error::invalid_input("the credentials URI has no scheme")),
        };
        Ok(UriSource {
            http: Http::new(url, CONNECT_TIMEOUT, ANSWER_TIMEOUT),
        })
    }
}

/// Does not show the URI, which may have a secret in it.
impl std::fmt::Debug for CredentialsUri {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CredentialsUri").finish_non_exhaustive()
    }
}

/// Fetches them each time.
#[derive(Debug)]
pub(super) struct UriSource {
    http: Http,
}

impl UriSource {
    async fn fetch(&self) -> Result<Credentials> {
        const WHAT: &str = "the key from the credentials URI";
        let answer = self.http.send(WHAT, self.http.get("")?).await?;
        if !answer.is_success() {
            return Err(self.http.refusal(WHAT, &answer, None));
        }
        let bad = |why: String| self.http.bad_answer(WHAT, &why);
        let document: KeyDocument = answer.json().map_err(bad)?;
        if document.code.as_deref().is_some_and(|c| c != "Success") {
            return Err(self.http.refusal(WHAT, &answer, None));
        }
        let credentials = document.credentials(Needs::TokenAndExpiration);
        Ok(answer.in_local_time(credentials.map_err(bad)?))
    }
}

impl CredentialsProvider for UriSource {
    fn credentials(&self) -> BoxFuture<'_, Result<Credentials>> {
        Box::pin(self.fetch())
    }
}
