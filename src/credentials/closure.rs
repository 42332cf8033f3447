//! Credentials from a function of the program.

use std::fmt;
use std::future::Future;

use futures::future::BoxFuture;

use super::{CachedCredentials, Credentials, CredentialsProvider};
use crate::error::Result;

/// Credentials from a function, kept until the expiry that they have, see [`CachedCredentials`].
///
/// The function is called when there are no credentials, when they are about to expire, and when
/// OSS has refused them. An error that it makes with
/// [`Error::credentials`](crate::Error::credentials) is final for the writer that gets it. With
/// [`Error::credentials_unavailable`](crate::Error::credentials_unavailable) the writer asks again
/// until its delivery timeout. The error should not contain secrets.
///
/// ```
/// use oss_append::credentials::{self, Credentials};
///
/// let provider = credentials::from_fn(|| async { Ok(Credentials::new("id", "secret")) });
/// ```
pub fn from_fn<F, Fut>(fetch: F) -> CachedCredentials
where
    F: Fn() -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Credentials>> + Send + 'static,
{
    CachedCredentials::new(FromFn(fetch))
}

struct FromFn<F>(F);

impl<F, Fut> CredentialsProvider for FromFn<F>
where
    F: Fn() -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Credentials>> + Send + 'static,
{
    fn credentials(&self) -> BoxFuture<'_, Result<Credentials>> {
        Box::pin((self.0)())
    }
}

impl<F> fmt::Debug for FromFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a function")
    }
}
