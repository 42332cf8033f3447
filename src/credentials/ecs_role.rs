//! Credentials of the RAM role of an ECS instance, from its metadata service.

use std::fmt;
use std::time::Duration;

use futures::future::BoxFuture;
use http::StatusCode;
use reqwest::Method;
use zeroize::Zeroizing;

use super::document::{KeyDocument, Needs};
use super::http::{Answer, Http, header_value, is_unconnected, server_url};
use super::{CachedCredentials, Credentials, CredentialsProvider};
use crate::error::{Error, Result};
use crate::wire::variables::Variables;

const SERVER: &str = "http://100.100.100.200";
const TOKEN_PATH: &str = "/latest/api/token";
const ROLE_PATH: &str = "/latest/meta-data/ram/security-credentials/";
const TOKEN: &str = "x-aliyun-ecs-metadata-token";
const TOKEN_LIFE: &str = "x-aliyun-ecs-metadata-token-ttl-seconds";

/// The metadata service is on the machine itself: it answers within milliseconds.
const TIMEOUT: Duration = Duration::from_secs(1);

/// The credentials of the RAM role that is attached to this ECS instance.
///
/// They come from the metadata service `http://100.100.100.200`, in the hardened mode (IMDSv2):
/// first a token, then the name of the role, then its key, with 2 s for each. If there is no token,
/// the normal mode is used, unless [`require_token`](Self::require_token) forbids it. Instances of
/// ECI, and containers on such an instance, have the same service.
///
/// Source: <https://www.alibabacloud.com/help/en/ecs/user-guide/view-instance-metadata>
///
/// ```
/// use oss_append::OssClient;
/// use oss_append::credentials::EcsRole;
///
/// let client = OssClient::builder()
///     .region("cn-hangzhou")
///     .credentials(EcsRole::new().require_token(true).build()?)
///     .build()?;
/// # Ok::<(), oss_append::Error>(())
/// ```
#[derive(Clone, Default)]
#[must_use = "it does nothing until it is built"]
pub struct EcsRole {
    role_name: Option<String>,
    token_required: bool,
    endpoint: Option<String>,
}

impl EcsRole {
    /// Whatever role is attached, by either mode.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the role's name from `ALIBABA_CLOUD_ECS_METADATA`, if it is set;
    /// `ALIBABA_CLOUD_IMDSV1_DISABLED=true` requires the token.
    ///
    /// # Errors
    /// [`Credentials`](crate::ErrorKind::Credentials) with
    /// `ALIBABA_CLOUD_ECS_METADATA_DISABLED=true`.
    pub fn from_env() -> Result<Self> {
        Self::from_variables(&Variables::default())
    }

    pub(super) fn from_variables(variables: &Variables) -> Result<Self> {
        const DISABLED: &str = "ALIBABA_CLOUD_ECS_METADATA_DISABLED";
        if variables.is_true(DISABLED)? {
            return Err(Error::credentials(format!("disabled by {DISABLED}")));
        }
        Ok(Self {
            role_name: variables.get("ALIBABA_CLOUD_ECS_METADATA")?,
            token_required: variables.is_true("ALIBABA_CLOUD_IMDSV1_DISABLED")?,
            endpoint: None,
        })
    }

    /// Sets the name of the role. Default: the metadata service is asked for it at each fetch.
    pub fn role_name(mut self, name: impl Into<String>) -> Self {
        self.role_name = Some(name.into());
        self
    }

    /// Whether only the hardened mode (IMDSv2) is used. Default: no.
    pub fn require_token(mut self, required: bool) -> Self {
        self.token_required = required;
        self
    }

    /// Sets the address of the metadata service. Default: `http://100.100.100.200`.
    pub fn endpoint(mut self, endpoint: impl Into<String>) -> Self {
        self.endpoint = Some(endpoint.into());
        self
    }

    /// Checks the options. Nothing is sent.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if the role's name or the address is
    /// malformed.
    pub fn build(self) -> Result<CachedCredentials> {
        Ok(CachedCredentials::new(self.source()?))
    }

    pub(super) fn source(self) -> Result<EcsSource> {
        if self.role_name.as_deref().is_some_and(|name| !is_role(name)) {
            return Err(Error::invalid_input("the name of the RAM role is none"));
        }
        let server = server_url(self.endpoint.as_deref().unwrap_or(SERVER))?;
        Ok(EcsSource {
            role_name: self.role_name,
            token_required: self.token_required,
            http: Http::new(server, TIMEOUT, TIMEOUT),
        })
    }
}

/// Does not show the address, whose URL may have a password in it.
impl fmt::Debug for EcsRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EcsRole")
            .field("role_name", &self.role_name)
            .field("token_required", &self.token_required)
            .finish_non_exhaustive()
    }
}

/// Fetches them each time.
#[derive(Debug)]
pub(super) struct EcsSource {
    role_name: Option<String>,
    token_required: bool,
    http: Http,
}

impl EcsSource {
    async fn fetch(&self) -> Result<Credentials> {
        let token = match self.token().await {
            Ok(token) => Some(token),
            // The other mode would not get through either.
            Err(error) if self.token_required || is_unconnected(&error) => {
                return Err(error);
            }
            Err(error) => {
                tracing::debug!(%error, "using the metadata service without a token");
                None
            }
        };
        let token = token.as_ref().map(|token| token.as_str());
        let role = match &self.role_name {
            Some(name) => name.clone(),
            None => self.role(token).await?,
        };
        self.key(&role, token).await
    }

    async fn token(&self) -> Result<Zeroizing<String>> {
        const WHAT: &str = "the metadata token";
        let request = self.http.request(Method::PUT, TOKEN_PATH)?;
        let answer = self.http.send(WHAT, request.header(TOKEN_LIFE, "21600"));
        let answer = answer.await?;
        if !answer.is_success() {
            return Err(self.http.refusal(WHAT, &answer, None));
        }
        let token = answer.line().map(|line| Zeroizing::new(line.to_owned()));
        token.ok_or_else(|| self.http.bad_answer(WHAT, "is not a token"))
    }

    async fn role(&self, token: Option<&str>) -> Result<String> {
        const WHAT: &str = "the name of the instance's RAM role";
        let answer = self.get(WHAT, ROLE_PATH, token).await?;
        if answer.status == StatusCode::NOT_FOUND {
            return Err(Error::credentials(format!(
                "{WHAT}: {} answered 404: no RAM role is attached to this instance",
                self.http.server()
            )));
        }
        if !answer.is_success() {
            return Err(self.http.refusal(WHAT, &answer, None));
        }
        let role = answer.line().filter(|line| is_role(line));
        role.map(ToOwned::to_owned)
            .ok_or_else(|| self.http.bad_answer(WHAT, "is not the name of a role"))
    }

    async fn key(&self, role: &str, token: Option<&str>) -> Result<Credentials> {
        let what = format!("the key of the instance's RAM role {role}");
        let answer = self
            .get(&what, &format!("{ROLE_PATH}{role}"), token)
            .await?;
        if !answer.is_success() {
            return Err(self.http.refusal(&what, &answer, None));
        }
        let bad = |why: String| self.http.bad_answer(&what, &why);
        let document: KeyDocument = answer.json().map_err(bad)?;
        match document.code.as_deref() {
            Some("Success") => {}
            Some(_) => return Err(self.http.refusal(&what, &answer, None)),
            None => return Err(bad("has no Code".into())),
        }
        let credentials = document.credentials(Needs::TokenAndExpiration);
        Ok(answer.in_local_time(credentials.map_err(bad)?))
    }

    async fn get(&self, what: &str, path: &str, token: Option<&str>) -> Result<Answer> {
        let mut request = self.http.get(path)?;
        if let Some(token) = token {
            request = request.header(TOKEN, header_value(token)?);
        }
        self.http.send(what, request).await
    }
}

impl CredentialsProvider for EcsSource {
    fn credentials(&self) -> BoxFuture<'_, Result<Credentials>> {
        Box::pin(self.fetch())
    }
}

fn is_role(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=64).contains(&name.len()) && name.bytes().all(allowed)
}
