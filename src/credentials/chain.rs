//! The default chain: the places where Alibaba Cloud's SDKs look for credentials, in their order.

use std::ffi::OsString;
use std::fmt;
use std::sync::OnceLock;

use futures::future::BoxFuture;

use super::environment::Names;
use super::http::is_unreachable;
use super::profile::{Found, Surroundings, reason};
use super::{
    AssumeRole, CachedCredentials, Credentials, CredentialsProvider, CredentialsUri, EcsRole,
    ProfileFile, StaticCredentials, uri,
};
use crate::error::{Error, ErrorKind, Result};
use crate::wire::variables::Variables;

/// Looks for credentials where Alibaba Cloud's SDKs do, in their order:
///
/// 1. the variables `OSS_ACCESS_KEY_ID` and so on, then `ALIBABA_CLOUD_ACCESS_KEY_ID` and so on,
///    see [`EnvironmentCredentials`](super::EnvironmentCredentials)
/// 2. a role by an OIDC token, if `ALIBABA_CLOUD_OIDC_PROVIDER_ARN` or
///    `ALIBABA_CLOUD_OIDC_TOKEN_FILE` is set, see [`AssumeRole::oidc_from_env`]
/// 3. the profile of the command line, unless `ALIBABA_CLOUD_CLI_PROFILE_DISABLED=true`, see
///    [`ProfileFile::cli`]
/// 4. the profile of the SDKs, see [`ProfileFile::ini`]
/// 5. the role of the ECS instance, unless `ALIBABA_CLOUD_ECS_METADATA_DISABLED=true`, see
///    [`EcsRole::from_env`]
/// 6. a URI, if `ALIBABA_CLOUD_CREDENTIALS_URI` is set, see [`CredentialsUri::from_env`]
///
/// The first place that works is used from then on. A place that is configured and does not work
/// ends the search with an error, where the SDKs would go on: another identity than the one that
/// was meant is never used silently. Only an ECS role that `ALIBABA_CLOUD_ECS_METADATA` does not
/// name is skipped. The error says for each place why there is no key.
///
/// No client looks here unless it is told to.
///
/// Source: <https://www.alibabacloud.com/help/en/sdk/developer-reference/v2-manage-go-access-credentials>
///
/// ```
/// use oss_append::OssClient;
/// use oss_append::credentials::DefaultChain;
///
/// let client = OssClient::builder()
///     .region("cn-hangzhou")
///     .credentials(DefaultChain::new().build())
///     .build()?;
/// # Ok::<(), oss_append::Error>(())
/// ```
#[derive(Clone, Default)]
#[must_use = "it does nothing until it is built"]
pub struct DefaultChain {
    surroundings: Surroundings,
}

impl DefaultChain {
    /// By the environment of the process.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets where environment variables are looked up, `HOME` included, for settings that are kept
    /// elsewhere. Default: the environment of the process.
    pub fn variables(
        mut self,
        lookup: impl Fn(&str) -> Option<OsString> + Send + Sync + 'static,
    ) -> Self {
        self.surroundings.variables = Variables::new(lookup);
        self
    }

    /// Sets the address of STS. Default: as for [`AssumeRole`].
    pub fn sts_endpoint(mut self, endpoint: impl Into<String>) -> Self {
        self.surroundings.sts = Some(endpoint.into());
        self
    }

    /// Sets the address of the metadata service. Default: `http://100.100.100.200`.
    pub fn metadata_endpoint(mut self, endpoint: impl Into<String>) -> Self {
        self.surroundings.metadata = Some(endpoint.into());
        self
    }

    /// The provider. Nothing is looked up until it is asked.
    pub fn build(self) -> CachedCredentials {
        CachedCredentials::new(Chain {
            options: self,
            used: OnceLock::new(),
        })
    }
}

/// Does not show the addresses, in whose URLs there may be a password.
impl fmt::Debug for DefaultChain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DefaultChain").finish_non_exhaustive()
    }
}

/// Looks each time, but at one place alone once that has worked.
struct Chain {
    options: DefaultChain,
    used: OnceLock<Link>,
}

/// A place, in the order of the search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    OssVariables,
    AlibabaCloudVariables,
    Oidc,
    CliProfile,
    IniProfile,
    Ecs,
    Uri,
}

impl Link {
    const ALL: [Self; 7] = [
        Self::OssVariables,
        Self::AlibabaCloudVariables,
        Self::Oidc,
        Self::CliProfile,
        Self::IniProfile,
        Self::Ecs,
        Self::Uri,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::OssVariables => "OSS variables",
            Self::AlibabaCloudVariables => "Alibaba Cloud variables",
            Self::Oidc => "OIDC role",
            Self::CliProfile => "CLI profile",
            Self::IniProfile => "ini profile",
            Self::Ecs => "ECS role",
            Self::Uri => "credentials URI",
        }
    }
}

impl Chain {
    async fn fetch(&self) -> Result<Credentials> {
        if let Some(link) = self.used.get() {
            return match self.options.find(*link).await? {
                Ok(provider) => {
                    let fetched = provider.credentials().await?;
                    Ok(fetched.with_origin(link.name()))
                }
                Err(why) => Err(Error::credentials(format!(
                    "{}, which was used so far: {why}",
                    link.name()
                ))),
            };
        }
        let mut tried = Vec::new();
        let mut temporary = false;
        for link in Link::ALL {
            let fetched = match self.options.find(link).await {
                Ok(Ok(provider)) => provider.credentials().await,
                Ok(Err(why)) => {
                    tried.push(format!("{}: {why}", link.name()));
                    continue;
                }
                Err(error) => Err(error),
            };
            let error = match fetched {
                Ok(credentials) => {
                    // Fetches come one at a time.
                    let _ = self.used.set(link);
                    tracing::debug!(link = link.name(), "found credentials");
                    return Ok(credentials.with_origin(link.name()));
                }
                Err(error) => error,
            };
            tried.push(format!("{}: {}", link.name(), reason(&error)));
            let passed_over = link == Link::Ecs && !self.options.names_ecs_role()?;
            // Away from ECS nobody answers there, and nobody will.
            temporary |= is_temporary(&error) && !(passed_over && is_unreachable(&error));
            if !passed_over {
                tried.push("what comes after it was not looked at, since it is configured".into());
                break;
            }
        }
        let reason = format!("the default chain has found none: {}", tried.join("; "));
        Err(match temporary {
            true => Error::credentials_unavailable(reason),
            false => Error::credentials(reason),
        })
    }
}

impl DefaultChain {
    /// What this place says to use.
    ///
    /// # Errors
    /// It is configured, and cannot be used.
    async fn find(&self, link: Link) -> Result<Found> {
        match link {
            Link::OssVariables => self.key(Names::Oss),
            Link::AlibabaCloudVariables => self.key(Names::AlibabaCloud),
            Link::Oidc => {
                let provider = self.known().get("ALIBABA_CLOUD_OIDC_PROVIDER_ARN")?;
                let file = self.known().get("ALIBABA_CLOUD_OIDC_TOKEN_FILE")?;
                if provider.is_none() && file.is_none() {
                    return Ok(Err("ALIBABA_CLOUD_OIDC_TOKEN_FILE is not set".into()));
                }
                let role = AssumeRole::oidc_from_variables(self.known())?;
                Ok(Ok(self.surroundings.of_role(role).source()?))
            }
            Link::CliProfile => {
                const DISABLED: &str = "ALIBABA_CLOUD_CLI_PROFILE_DISABLED";
                match self.known().is_true(DISABLED)? {
                    true => Ok(Err(format!("disabled by {DISABLED}"))),
                    false => self.profile(ProfileFile::cli()).find().await,
                }
            }
            Link::IniProfile => {
                let found = self.profile(ProfileFile::ini()).find().await?;
                match (found, self.known().get("ALIBABA_CLOUD_PROFILE")?) {
                    // It was meant, so that what comes after it was not.
                    (Err(why), Some(name)) => Err(Error::credentials(format!(
                        "{why}, and ALIBABA_CLOUD_PROFILE asks for {name:?}"
                    ))),
                    (found, _) => Ok(found),
                }
            }
            Link::Ecs => match EcsRole::from_variables(self.known()) {
                Ok(role) => Ok(Ok(Box::new(self.surroundings.of_ecs(role).source()?))),
                Err(disabled) => Ok(Err(reason(&disabled))),
            },
            Link::Uri => match self.known().get(uri::VARIABLE)? {
                Some(uri) => Ok(Ok(Box::new(CredentialsUri::new(uri).source()?))),
                None => Ok(Err(format!("{} is not set", uri::VARIABLE))),
            },
        }
    }

    fn known(&self) -> &Variables {
        &self.surroundings.variables
    }

    fn key(&self, names: Names) -> Result<Found> {
        let id = self.known().get(names.id())?;
        if id.is_none() && self.known().get(names.secret())?.is_none() {
            return Ok(Err(format!("{} is not set", names.id())));
        }
        let key = StaticCredentials::from(names.read(self.known())?);
        Ok(Ok(Box::new(key)))
    }

    fn profile(&self, mut file: ProfileFile) -> ProfileFile {
        file.surroundings = self.surroundings.clone();
        file
    }

    fn names_ecs_role(&self) -> Result<bool> {
        Ok(self.known().get("ALIBABA_CLOUD_ECS_METADATA")?.is_some())
    }
}

fn is_temporary(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Credentials {
            temporary: true,
            ..
        }
    )
}

impl CredentialsProvider for Chain {
    fn credentials(&self) -> BoxFuture<'_, Result<Credentials>> {
        Box::pin(self.fetch())
    }
}

/// Shows which place is used.
impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("DefaultChain")
            .field(&self.used.get())
            .finish()
    }
}
