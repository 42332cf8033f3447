//! Roles that are assumed through STS: the options that both ways have in common.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::oidc::OidcSource;
use super::role_keys::RoleKeySource;
use super::sts::{Place, Session};
use super::{CachedCredentials, CredentialsProvider};
use crate::error::{Error, Result};
use crate::wire::variables::Variables;

const ROLE_ARN: &str = "ALIBABA_CLOUD_ROLE_ARN";
const OIDC_PROVIDER_ARN: &str = "ALIBABA_CLOUD_OIDC_PROVIDER_ARN";
const OIDC_TOKEN_FILE: &str = "ALIBABA_CLOUD_OIDC_TOKEN_FILE";
const ROLE_SESSION_NAME: &str = "ALIBABA_CLOUD_ROLE_SESSION_NAME";

/// The credentials of a RAM role that is assumed through the Security Token Service: with another
/// key (`AssumeRole`), or with an OIDC token (`AssumeRoleWithOIDC`), such as a pod of ACK has with
/// RAM Roles for Service Accounts.
///
/// STS gets 5 s for the connection and 10 s for the answer. Which STS is asked, unless
/// [`endpoint`](Self::endpoint) or [`region`](Self::region) say it, the environment says:
///
/// | variable | such as |
/// |---|---|
/// | `ALIBABA_CLOUD_STS_ENDPOINT` | `sts-vpc.cn-hangzhou.aliyuncs.com`, also with `https://` or `http://` |
/// | `ALIBABA_CLOUD_STS_REGION`, if there is no endpoint | `cn-hangzhou` |
/// | `ALIBABA_CLOUD_VPC_ENDPOINT_ENABLED`, with a region | `true` |
///
/// ACK sets them in the pods of a service account with RRSA, where only that STS may be reachable.
/// Without them it is `sts.aliyuncs.com`.
///
/// Sources: <https://www.alibabacloud.com/help/en/ram/api-assumerole>,
/// <https://www.alibabacloud.com/help/en/ram/api-assumerolewithoidc>,
/// <https://www.alibabacloud.com/help/en/container-service-for-kubernetes/latest/ack-pod-identity-webhook>
///
/// ```
/// use oss_append::OssClient;
/// use oss_append::credentials::{AssumeRole, EnvironmentCredentials};
///
/// let role = AssumeRole::new(EnvironmentCredentials::new(), "acs:ram::1234:role/append")
///     .session_name("my-service")
///     .region("cn-hangzhou");
/// let client = OssClient::builder()
///     .region("cn-hangzhou")
///     .credentials(role.build()?)
///     .build()?;
/// # Ok::<(), oss_append::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "it does nothing until it is built"]
pub struct AssumeRole {
    identity: Identity,
    session: Session,
    place: Place,
}

/// What the role is assumed with.
#[derive(Clone)]
enum Identity {
    Key {
        base: Arc<dyn CredentialsProvider>,
        external_id: Option<String>,
    },
    Oidc {
        provider_arn: String,
        token_file: PathBuf,
    },
}

/// Does not show the external id, which some keep secret.
impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key { base, .. } => f.debug_tuple("Key").field(base).finish(),
            Self::Oidc { provider_arn, .. } => f.debug_tuple("Oidc").field(provider_arn).finish(),
        }
    }
}

impl AssumeRole {
    /// Assumes the role with the key of this provider, which is asked at each fetch.
    pub fn new(base: impl CredentialsProvider, role_arn: impl Into<String>) -> Self {
        let base = Arc::new(base);
        Self::by(
            Identity::Key {
                base,
                external_id: None,
            },
            role_arn,
        )
    }

    /// Assumes the role with the OIDC token in a file, which is read at each fetch.
    pub fn oidc(
        role_arn: impl Into<String>,
        provider_arn: impl Into<String>,
        token_file: impl Into<PathBuf>,
    ) -> Self {
        Self::by(
            Identity::Oidc {
                provider_arn: provider_arn.into(),
                token_file: token_file.into(),
            },
            role_arn,
        )
    }

    /// As [`oidc`](Self::oidc), by `ALIBABA_CLOUD_ROLE_ARN`, `ALIBABA_CLOUD_OIDC_PROVIDER_ARN` and
    /// `ALIBABA_CLOUD_OIDC_TOKEN_FILE`, which ACK sets in the pods of a service account with RRSA.
    /// `ALIBABA_CLOUD_ROLE_SESSION_NAME` sets the name of the session if it is there.
    ///
    /// # Errors
    /// [`Credentials`](crate::ErrorKind::Credentials) if one of the first three is unset or empty.
    pub fn oidc_from_env() -> Result<Self> {
        Self::oidc_from_variables(&Variables::default())
    }

    pub(super) fn oidc_from_variables(variables: &Variables) -> Result<Self> {
        let mut role = Self::oidc(
            variables.require(ROLE_ARN)?,
            variables.require(OIDC_PROVIDER_ARN)?,
            variables.require(OIDC_TOKEN_FILE)?,
        );
        if let Some(name) = variables.get(ROLE_SESSION_NAME)? {
            role.session.name = name;
        }
        Ok(role.with_variables(variables))
    }

    /// Looks the place of STS up there.
    pub(super) fn with_variables(mut self, variables: &Variables) -> Self {
        self.place.variables = variables.clone();
        self
    }

    fn by(identity: Identity, role_arn: impl Into<String>) -> Self {
        Self {
            identity,
            session: Session::new(role_arn),
            place: Place::default(),
        }
    }

    /// Sets the name of the session, which the audit trail shows: 2 to 64 letters, digits and
    /// `.@-_`. Default: `oss-append`.
    pub fn session_name(mut self, name: impl Into<String>) -> Self {
        self.session.name = name.into();
        self
    }

    /// Sets how long each key is valid: from 15 minutes to what the role allows, in whole seconds.
    /// Default: 1 h.
    pub fn session_duration(mut self, duration: Duration) -> Self {
        self.session.duration = duration;
        self
    }

    /// Sets a policy, in JSON, that restricts what the role may do. Default: none.
    pub fn policy(mut self, policy: impl Into<String>) -> Self {
        self.session.policy = Some(policy.into());
        self
    }

    /// Sets the external id that the role's trust policy asks for. Default: none. Has no effect
    /// with OIDC.
    pub fn external_id(mut self, id: impl Into<String>) -> Self {
        if let Identity::Key { external_id, .. } = &mut self.identity {
            *external_id = Some(id.into());
        }
        self
    }

    /// Sets the region whose STS is asked, such as `cn-hangzhou`. Default: what the environment says,
    /// else `sts.aliyuncs.com`.
    pub fn region(mut self, region: impl Into<String>) -> Self {
        self.place.region = Some(region.into());
        self
    }

    /// Whether the region's STS is reached inside of a VPC. Default: what the environment says,
    /// else no. Has no effect without a region.
    pub fn vpc(mut self, vpc: bool) -> Self {
        self.place.vpc = Some(vpc);
        self
    }

    /// Sets the address of STS: `https://HOST`, `http://HOST:PORT`, or a bare host, which means
    /// https. Default: by region and VPC, or what the environment says.
    pub fn endpoint(mut self, endpoint: impl Into<String>) -> Self {
        self.place.endpoint = Some(endpoint.into());
        self
    }

    /// Checks the options. Nothing is sent.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if an ARN is empty, or the session's name or
    /// duration, the region or the address is not allowed;
    /// [`Credentials`](crate::ErrorKind::Credentials) if the environment says what cannot be.
    pub fn build(self) -> Result<CachedCredentials> {
        Ok(CachedCredentials::new(self.source()?))
    }

    /// What fetches them each time.
    pub(super) fn source(self) -> Result<Box<dyn CredentialsProvider>> {
        self.session.check()?;
        let http = self.place.http()?;
        let session = self.session;
        Ok(match self.identity {
            Identity::Key { base, external_id } => Box::new(RoleKeySource {
                session,
                external_id,
                base,
                http,
            }),
            Identity::Oidc { provider_arn, .. } if provider_arn.is_empty() => {
                return Err(Error::invalid_input(
                    "the ARN of the OIDC provider is empty",
                ));
            }
            Identity::Oidc {
                provider_arn,
                token_file,
            } => Box::new(OidcSource {
                session,
                provider_arn,
                token_file,
                http,
            }),
        })
    }
}
