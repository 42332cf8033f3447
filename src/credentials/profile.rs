//! Credentials from a profile in a file of the user: which file, which profile, and what becomes of
//! it.

use std::fmt;
use std::path::PathBuf;

use futures::future::BoxFuture;
use zeroize::Zeroizing;

use super::{
    AssumeRole, CachedCredentials, Credentials, CredentialsProvider, EcsRole, StaticCredentials,
};
use super::{cli_profile, file, ini_profile};
use crate::error::{Error, ErrorKind, Result};
use crate::wire::variables::Variables;

/// The most bytes of a file of profiles.
const MAX_FILE: u64 = 1 << 20;

/// The credentials of a profile, from one of two files:
///
/// | | [`cli`](Self::cli) | [`ini`](Self::ini) |
/// |---|---|---|
/// | file | `ALIBABA_CLOUD_CONFIG_FILE`, else `~/.aliyun/config.json` | `ALIBABA_CLOUD_CREDENTIALS_FILE`, else `~/.alibabacloud/credentials`, else `~/.alibabacloud/credentials.ini` |
/// | profile | `ALIBABA_CLOUD_PROFILE`, else the file's `current` | `ALIBABA_CLOUD_PROFILE`, else `default` |
/// | a key | mode `AK`, `StsToken` | type `access_key`, `sts` |
/// | a role, assumed with a key | `RamRoleArn`, and with that of another profile `ChainableRamRoleArn` | `ram_role_arn` |
/// | a role, assumed with an OIDC token | `OIDC` | `oidc_role_arn` |
/// | the instance's role | `EcsRamRole` | `ecs_ram_role` |
/// | a URI | `CredentialsURI` | |
/// | a program | `External` | |
///
/// The file is read when there is no key, when the key is about to expire, and when OSS has refused
/// it, so that a key that was replaced in the file is found. If others may read the file, it is
/// used, and the log has a warning.
///
/// Sources: <https://www.alibabacloud.com/help/en/cli/configure-credentials>,
/// <https://www.alibabacloud.com/help/en/sdk/developer-reference/v2-manage-go-access-credentials>
///
/// ```
/// use oss_append::OssClient;
/// use oss_append::credentials::ProfileFile;
///
/// let client = OssClient::builder()
///     .region("cn-hangzhou")
///     .credentials(ProfileFile::cli().profile("production").build())
///     .build()?;
/// # Ok::<(), oss_append::Error>(())
/// ```
#[derive(Clone)]
#[must_use = "it does nothing until it is built"]
pub struct ProfileFile {
    kind: Kind,
    path: Option<PathBuf>,
    profile: Option<String>,
    pub(super) surroundings: Surroundings,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Cli,
    Ini,
}

/// The variables, and addresses to use instead of the usual ones.
#[derive(Clone, Default)]
pub(super) struct Surroundings {
    pub(super) variables: Variables,
    pub(super) sts: Option<String>,
    pub(super) metadata: Option<String>,
}

impl Surroundings {
    pub(super) fn of_role(&self, role: AssumeRole) -> AssumeRole {
        let role = role.with_variables(&self.variables);
        match &self.sts {
            Some(endpoint) => role.endpoint(endpoint),
            None => role,
        }
    }

    pub(super) fn of_ecs(&self, role: EcsRole) -> EcsRole {
        match &self.metadata {
            Some(endpoint) => role.endpoint(endpoint),
            None => role,
        }
    }
}

/// A provider, or why there is none configured.
pub(super) type Found = std::result::Result<Box<dyn CredentialsProvider>, String>;

impl ProfileFile {
    /// A profile of the command line of Alibaba Cloud, in JSON.
    pub fn cli() -> Self {
        Self::of(Kind::Cli)
    }

    /// A profile of the file that all SDKs share, in the ini format.
    pub fn ini() -> Self {
        Self::of(Kind::Ini)
    }

    fn of(kind: Kind) -> Self {
        Self {
            kind,
            path: None,
            profile: None,
            surroundings: Surroundings::default(),
        }
    }

    /// Sets the file. Default: see the table.
    pub fn path(mut self, path: impl Into<PathBuf>) -> Self {
        self.path = Some(path.into());
        self
    }

    /// Sets the name of the profile. Default: see the table.
    pub fn profile(mut self, name: impl Into<String>) -> Self {
        self.profile = Some(name.into());
        self
    }

    /// Sets the address of STS for profiles with a role. Default: the profile's own or that of
    /// its region, else as for [`AssumeRole`].
    pub fn sts_endpoint(mut self, endpoint: impl Into<String>) -> Self {
        self.surroundings.sts = Some(endpoint.into());
        self
    }

    /// Sets the address of the metadata service for profiles with the role of an instance. Default:
    /// `http://100.100.100.200`.
    pub fn metadata_endpoint(mut self, endpoint: impl Into<String>) -> Self {
        self.surroundings.metadata = Some(endpoint.into());
        self
    }

    /// The provider. Nothing is read until it is asked.
    pub fn build(self) -> CachedCredentials {
        CachedCredentials::new(self)
    }

    /// What the profile says to use.
    ///
    /// # Errors
    /// It is there and cannot be used.
    pub(super) async fn find(&self) -> Result<Found> {
        let path = match self.locate().await? {
            Ok(path) => path,
            Err(why) => return Ok(Err(why)),
        };
        let text = file::read(&path, "the profile", MAX_FILE).await?;
        file::warn_of_readers(&path).await;
        let given = match &self.profile {
            Some(name) => Some(name.clone()),
            None => self.surroundings.variables.get("ALIBABA_CLOUD_PROFILE")?,
        };
        let found = match self.kind {
            Kind::Cli => cli_profile::find(&text, given.as_deref(), &self.surroundings),
            Kind::Ini => ini_profile::find(&text, given.as_deref(), &self.surroundings),
        };
        let place = |reason: &str| format!("the file {} {reason}", path.display());
        match found {
            Ok(Ok(provider)) => Ok(Ok(provider)),
            Ok(Err(why)) => Ok(Err(place(&why))),
            Err(error) => Err(Error::credentials(place(&reason(&error)))),
        }
    }

    /// The file, or why there is none.
    async fn locate(&self) -> Result<std::result::Result<PathBuf, String>> {
        let (variable, candidates): (_, &[_]) = match self.kind {
            Kind::Cli => ("ALIBABA_CLOUD_CONFIG_FILE", &[".aliyun/config.json"]),
            Kind::Ini => (
                "ALIBABA_CLOUD_CREDENTIALS_FILE",
                &[".alibabacloud/credentials", ".alibabacloud/credentials.ini"],
            ),
        };
        if let Some(path) = &self.path {
            return Ok(Ok(path.clone()));
        }
        if let Some(path) = self.surroundings.variables.get(variable)? {
            return Ok(Ok(path.into()));
        }
        let home = match self.surroundings.variables.get("HOME")? {
            Some(home) => Some(home),
            None => self.surroundings.variables.get("USERPROFILE")?,
        };
        let Some(home) = home.map(PathBuf::from) else {
            return Ok(Err("there is no home directory to look for it in".into()));
        };
        for candidate in candidates {
            let path = home.join(candidate);
            match tokio::fs::try_exists(&path).await {
                Ok(false) => {}
                // What is wrong with it is found when it is read.
                Ok(true) | Err(_) => return Ok(Ok(path)),
            }
        }
        let path = home.join(candidates[0]);
        Ok(Err(format!("there is no file {}", path.display())))
    }
}

impl CredentialsProvider for ProfileFile {
    fn credentials(&self) -> BoxFuture<'_, Result<Credentials>> {
        Box::pin(async {
            let provider = self.find().await?.map_err(Error::credentials)?;
            provider.credentials().await
        })
    }
}

/// Does not show the addresses, in whose URLs there may be a password.
impl fmt::Debug for ProfileFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProfileFile")
            .field("kind", &self.kind)
            .field("path", &self.path)
            .field("profile", &self.profile)
            .finish_non_exhaustive()
    }
}

/// What is wrong, without the words that every error of its kind begins with.
pub(super) fn reason(error: &Error) -> String {
    match error.kind() {
        ErrorKind::Credentials { reason, .. } | ErrorKind::InvalidInput { reason } => {
            reason.clone()
        }
        _ => error.to_string(),
    }
}

/// A key in a profile.
pub(super) fn key(
    id: &str,
    secret: &Zeroizing<String>,
    token: Option<&Zeroizing<String>>,
) -> StaticCredentials {
    let token = token.map_or("", |token| token.as_str());
    let key = Credentials::new(id, secret.as_str());
    StaticCredentials::from(key.with_session_token(token))
}
