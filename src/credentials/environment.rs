//! Credentials from environment variables: those of the official OSS SDKs, or those of all other
//! Alibaba Cloud SDKs.

use futures::future::BoxFuture;

use super::{Credentials, CredentialsProvider};
use crate::error::{Error, Result};
use crate::wire::variables::Variables;

/// Credentials from `OSS_ACCESS_KEY_ID`, `OSS_ACCESS_KEY_SECRET` and, for a temporary key,
/// `OSS_SESSION_TOKEN`; or, with [`alibaba_cloud`](Self::alibaba_cloud), from
/// `ALIBABA_CLOUD_ACCESS_KEY_ID`, `ALIBABA_CLOUD_ACCESS_KEY_SECRET` and
/// `ALIBABA_CLOUD_SECURITY_TOKEN`.
///
/// The variables are read for each request, and the two sets of names are never mixed. If an id or
/// secret is unset or blank, the error names the variable. White space around a value, such as a
/// line break at the end of a file, is ignored. Quotation marks around it, or characters in it that
/// no key has, are an error that names the variable and does not show the value.
///
/// The first names are those of the OSS SDKs of the second generation, the others those of
/// <https://www.alibabacloud.com/help/en/sdk/developer-reference/v2-manage-go-access-credentials>.
///
/// ```
/// use oss_append::OssClient;
/// use oss_append::credentials::EnvironmentCredentials;
///
/// let client = OssClient::builder()
///     .region("cn-hangzhou")
///     .credentials(EnvironmentCredentials::alibaba_cloud())
///     .build()?;
/// # Ok::<(), oss_append::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct EnvironmentCredentials {
    names: Names,
}

impl EnvironmentCredentials {
    /// A provider that reads `OSS_ACCESS_KEY_ID` and so on when it is asked.
    pub fn new() -> Self {
        Self { names: Names::Oss }
    }

    /// A provider that reads `ALIBABA_CLOUD_ACCESS_KEY_ID` and so on when it is asked.
    pub fn alibaba_cloud() -> Self {
        Self {
            names: Names::AlibabaCloud,
        }
    }
}

impl CredentialsProvider for EnvironmentCredentials {
    fn credentials(&self) -> BoxFuture<'_, Result<Credentials>> {
        let read = self.names.read(&Variables::default());
        Box::pin(std::future::ready(read))
    }
}

/// What the variables are called.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum Names {
    #[default]
    Oss,
    AlibabaCloud,
}

impl Names {
    pub(super) fn id(self) -> &'static str {
        match self {
            Self::Oss => "OSS_ACCESS_KEY_ID",
            Self::AlibabaCloud => "ALIBABA_CLOUD_ACCESS_KEY_ID",
        }
    }

    pub(super) fn secret(self) -> &'static str {
        match self {
            Self::Oss => "OSS_ACCESS_KEY_SECRET",
            Self::AlibabaCloud => "ALIBABA_CLOUD_ACCESS_KEY_SECRET",
        }
    }

    fn token(self) -> &'static str {
        match self {
            Self::Oss => "OSS_SESSION_TOKEN",
            Self::AlibabaCloud => "ALIBABA_CLOUD_SECURITY_TOKEN",
        }
    }

    pub(super) fn read(self, variables: &Variables) -> Result<Credentials> {
        if variables.get(self.id())?.is_none() && variables.get(self.secret())?.is_none() {
            return Err(Error::credentials(format!(
                "the environment variables {} and {} are not set, and nothing else is looked at: \
                 a DefaultChain also takes a role by an OIDC token, the profiles of the command \
                 line and of the SDKs, the role of the ECS instance, and a URI",
                self.id(),
                self.secret()
            )));
        }
        let id = variables.require_word(self.id())?;
        let secret = variables.require_word(self.secret())?;
        let token = variables.word(self.token())?;
        Ok(Credentials::new(id, secret).with_session_token(token.unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Names; 2] = [Names::Oss, Names::AlibabaCloud];

    fn variables(pairs: &[(&str, &str)]) -> Variables {
        let pairs: Vec<_> = pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        Variables::new(move |name| {
            let (_, value) = pairs.iter().find(|(known, _)| known == name)?;
            Some(value.into())
        })
    }

    #[test]
    fn key_and_token_are_read_under_either_names() {
        let both = variables(&[
            ("OSS_ACCESS_KEY_ID", "id"),
            ("OSS_ACCESS_KEY_SECRET", "secret"),
            ("OSS_SESSION_TOKEN", "token"),
            ("ALIBABA_CLOUD_ACCESS_KEY_ID", "other-id"),
            ("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "other-secret"),
            ("ALIBABA_CLOUD_SECURITY_TOKEN", "other-token"),
        ]);
        for (names, prefix) in ALL.into_iter().zip(["", "other-"]) {
            let read = names.read(&both).unwrap();
            assert_eq!(read.access_key_id(), format!("{prefix}id"));
            assert_eq!(read.access_key_secret(), format!("{prefix}secret"));
            assert_eq!(read.session_token(), Some(&*format!("{prefix}token")));
        }
    }

    #[test]
    fn an_empty_variable_is_an_error_that_names_it() {
        for names in ALL {
            let (id, secret) = (names.id(), names.secret());
            for (pairs, culprit) in [
                (&[(secret, "s")][..], id),
                (&[(id, ""), (secret, "s")], id),
                (&[(id, "i")], secret),
                (&[(id, "i"), (secret, "")], secret),
            ] {
                let error = names.read(&variables(pairs)).unwrap_err();
                assert!(error.to_string().contains(culprit), "{error}");
            }
        }
    }

    #[test]
    fn a_token_is_not_required() {
        for names in ALL {
            let pairs = [
                (names.id(), "i"),
                (names.secret(), "s"),
                (names.token(), ""),
            ];
            let read = names.read(&variables(&pairs)).unwrap();
            assert_eq!(read.session_token(), None);
        }
    }

    #[test]
    fn the_names_are_not_mixed() {
        let mixed = variables(&[
            ("OSS_ACCESS_KEY_ID", "id"),
            ("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "secret"),
        ]);
        for names in ALL {
            names.read(&mixed).unwrap_err();
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_value_that_is_no_text_is_an_error_that_does_not_show_it() {
        use std::os::unix::ffi::OsStringExt as _;
        let bytes = || std::ffi::OsString::from_vec(b"hush\xff".to_vec());
        let variables = Variables::new(move |_| Some(bytes()));
        let error = Names::Oss.read(&variables).unwrap_err().to_string();
        assert!(
            error.contains("UTF-8") && !error.contains("hush"),
            "{error}"
        );
    }
}
