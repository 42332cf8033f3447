//! Credentials that the program was given.

use futures::future::BoxFuture;

use super::{Credentials, CredentialsProvider};
use crate::error::Result;

/// Always the same credentials.
///
/// ```
/// use oss_append::OssClient;
/// use oss_append::credentials::StaticCredentials;
///
/// let client = OssClient::builder()
///     .region("cn-hangzhou")
///     .credentials(StaticCredentials::new("id", "secret"))
///     .build()?;
/// # Ok::<(), oss_append::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct StaticCredentials {
    credentials: Credentials,
}

impl StaticCredentials {
    /// A long-lived access key.
    pub fn new(id: impl Into<String>, secret: impl Into<String>) -> Self {
        Credentials::new(id, secret).into()
    }

    /// A temporary access key with its session token.
    pub fn with_session_token(
        id: impl Into<String>,
        secret: impl Into<String>,
        token: impl Into<String>,
    ) -> Self {
        Credentials::new(id, secret)
            .with_session_token(token)
            .into()
    }
}

impl From<Credentials> for StaticCredentials {
    fn from(credentials: Credentials) -> Self {
        Self { credentials }
    }
}

impl CredentialsProvider for StaticCredentials {
    fn credentials(&self) -> BoxFuture<'_, Result<Credentials>> {
        Box::pin(std::future::ready(Ok(self.credentials.clone())))
    }
}
