//! Where access keys come from: the value, the trait, and the providers, one a file.
//!
//! A client takes exactly one [`CredentialsProvider`] and asks it before each request, so rotated
//! keys are picked up. It never looks anywhere else: the program chooses the provider.
//!
//! | provider | where keys come from | feature |
//! |---|---|---|
//! | [`StaticCredentials`] | the program | |
//! | [`EnvironmentCredentials`] | environment variables | |
//! | [`from_fn`] | a function of the program | |
//! | `EcsRole` | the RAM role of an ECS instance, by its metadata service | `credentials` |
//! | `AssumeRole` | a role, assumed with an OIDC token (RRSA) or another key | `credentials` |
//! | `CredentialsUri` | a URI | `credentials` |
//! | `CredentialsProcess` | a program | `credentials` |
//! | `ProfileFile` | `~/.aliyun/config.json` or `~/.alibabacloud/credentials` | `credentials` |
//! | `DefaultChain` | the first of these that is configured | `credentials` |
//! | a [`CredentialsProvider`] of your own | anywhere; if slow, wrap it in a [`CachedCredentials`] | |
//!
//! What is fetched is kept and renewed before it expires, see [`CachedCredentials`].

#[cfg(feature = "credentials")]
mod assume_role;
mod cached;
#[cfg(feature = "credentials")]
mod chain;
#[cfg(feature = "credentials")]
mod cli_profile;
mod closure;
#[cfg(feature = "credentials")]
mod document;
#[cfg(feature = "credentials")]
mod ecs_role;
mod environment;
#[cfg(feature = "credentials")]
mod file;
mod fixed;
#[cfg(feature = "credentials")]
mod http;
#[cfg(feature = "credentials")]
mod ini_profile;
#[cfg(feature = "credentials")]
mod oidc;
#[cfg(feature = "credentials")]
mod process;
#[cfg(feature = "credentials")]
mod profile;
#[cfg(feature = "credentials")]
mod role_keys;
#[cfg(feature = "credentials")]
mod sts;
#[cfg(feature = "credentials")]
mod uri;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use futures::future::BoxFuture;
use zeroize::Zeroizing;

use crate::error::Result;
use crate::wire::hidden::Hidden;

#[cfg(feature = "credentials")]
#[cfg_attr(docsrs, doc(cfg(feature = "credentials")))]
pub use assume_role::AssumeRole;
pub use cached::CachedCredentials;
#[cfg(feature = "credentials")]
#[cfg_attr(docsrs, doc(cfg(feature = "credentials")))]
pub use chain::DefaultChain;
pub use closure::from_fn;
#[cfg(feature = "credentials")]
#[cfg_attr(docsrs, doc(cfg(feature = "credentials")))]
pub use ecs_role::EcsRole;
pub use environment::EnvironmentCredentials;
pub use fixed::StaticCredentials;
#[cfg(feature = "credentials")]
#[cfg_attr(docsrs, doc(cfg(feature = "credentials")))]
pub use process::CredentialsProcess;
#[cfg(feature = "credentials")]
#[cfg_attr(docsrs, doc(cfg(feature = "credentials")))]
pub use profile::ProfileFile;
#[cfg(feature = "credentials")]
#[cfg_attr(docsrs, doc(cfg(feature = "credentials")))]
pub use uri::CredentialsUri;

/// An access key, with a session token if it is a temporary one. Cheap to clone.
///
/// The secret and the token are wiped from memory with the last clone, and are never shown: `Debug`
/// prints only the first characters of the id.
///
/// ```
/// use oss_append::credentials::Credentials;
///
/// let credentials = Credentials::new("LTAIexample", "hush").with_session_token("also hush");
/// let shown = format!("{credentials:?}");
/// assert!(shown.contains("LTAI…") && !shown.contains("hush"));
/// ```
#[derive(Clone)]
pub struct Credentials {
    parts: Arc<Parts>,
}

#[derive(Clone)]
struct Parts {
    access_key_id: String,
    access_key_secret: Zeroizing<String>,
    session_token: Option<Zeroizing<String>>,
    expiration: Option<SystemTime>,
    origin: Option<Cow<'static, str>>,
}

impl Credentials {
    /// An access key that does not expire. White space around id and secret, such as a line break
    /// at the end of a file, is ignored.
    pub fn new(id: impl Into<String>, secret: impl Into<String>) -> Self {
        Self {
            parts: Arc::new(Parts {
                access_key_id: trimmed(id.into()),
                access_key_secret: Zeroizing::new(trimmed(secret.into())),
                session_token: None,
                expiration: None,
                origin: None,
            }),
        }
    }

    /// Adds the session token of a temporary key. An empty token counts as none.
    #[must_use]
    pub fn with_session_token(mut self, token: impl Into<String>) -> Self {
        let token = Zeroizing::new(trimmed(token.into()));
        Arc::make_mut(&mut self.parts).session_token = (!token.is_empty()).then_some(token);
        self
    }

    /// Says when the key expires. The client does not look at it: it is for providers that cache.
    #[must_use]
    pub fn with_expiration(mut self, expiration: SystemTime) -> Self {
        Arc::make_mut(&mut self.parts).expiration = Some(expiration);
        self
    }

    /// Says where the key was found, for diagnosis. It is shown, so it must not contain secrets.
    #[must_use]
    pub fn with_origin(mut self, origin: impl Into<Cow<'static, str>>) -> Self {
        Arc::make_mut(&mut self.parts).origin = Some(origin.into());
        self
    }

    /// Where the key was found, if its provider looks in several places.
    pub fn origin(&self) -> Option<&str> {
        self.parts.origin.as_deref()
    }

    /// The access key id.
    pub fn access_key_id(&self) -> &str {
        &self.parts.access_key_id
    }

    /// The secret of the access key.
    pub fn access_key_secret(&self) -> &str {
        &self.parts.access_key_secret
    }

    /// The session token of a temporary key.
    pub fn session_token(&self) -> Option<&str> {
        self.parts
            .session_token
            .as_ref()
            .map(|token| token.as_str())
    }

    /// Whether they are the same key and token.
    pub(crate) fn same(&self, other: &Self) -> bool {
        self.access_key_id() == other.access_key_id()
            && self.access_key_secret() == other.access_key_secret()
            && self.session_token() == other.session_token()
    }

    /// What an answer may repeat of a request with this signature, and nothing shows.
    pub(crate) fn hidden<'a>(&'a self, signature: &'a str) -> Hidden<'a> {
        Hidden::new([
            self.access_key_secret(),
            self.session_token().unwrap_or_default(),
            signature,
        ])
    }

    /// When the key expires, if it is known to.
    pub fn expiration(&self) -> Option<SystemTime> {
        self.parts.expiration
    }
}

/// Without white space around it, in place: a copy would be one more of a secret.
fn trimmed(mut text: String) -> String {
    text.truncate(text.trim_end().len());
    text.drain(..text.len() - text.trim_start().len());
    text
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = &self.parts.access_key_id;
        // The first four characters name the kind of key; a short id is not shown at all.
        let start: String = match id.chars().count() {
            0..8 => String::new(),
            _ => id.chars().take(4).collect(),
        };
        f.debug_struct("Credentials")
            .field("access_key_id", &format_args!("{start}…"))
            .field("temporary", &self.parts.session_token.is_some())
            .field("expiration", &self.parts.expiration)
            .field("origin", &self.parts.origin)
            .finish_non_exhaustive()
    }
}

/// Gives the client its credentials.
///
/// The client calls [`credentials`](Self::credentials) before every request, so a provider that
/// has to fetch them should cache them, most simply in a [`CachedCredentials`]. Several requests
/// may ask at the same time. A provider that panics fails the request that asked it, with
/// [`Credentials`](crate::ErrorKind::Credentials), and nothing else.
///
/// ```
/// use futures::future::BoxFuture;
/// use oss_append::credentials::{Credentials, CredentialsProvider};
///
/// #[derive(Debug)]
/// struct FromVault;
///
/// impl CredentialsProvider for FromVault {
///     fn credentials(&self) -> BoxFuture<'_, oss_append::Result<Credentials>> {
///         Box::pin(async { Ok(Credentials::new("id", "secret")) })
///     }
/// }
/// ```
pub trait CredentialsProvider: fmt::Debug + Send + Sync + 'static {
    /// The credentials to sign the next request with.
    ///
    /// # Errors
    /// [`Credentials`](crate::ErrorKind::Credentials) if there are none.
    ///
    /// # Cancel safety
    /// The client may drop the future at any await point; the next call must work.
    fn credentials(&self) -> BoxFuture<'_, Result<Credentials>>;

    /// OSS refused these credentials: they are expired, unknown or do not belong together, or the
    /// signature does not match, as when the secret of the id was replaced.
    ///
    /// A caching provider forgets them if they are the ones it holds, so that the next call
    /// fetches fresh ones. `refused` are those that the refused request was signed with, which
    /// another call may have replaced already. Does nothing by default.
    fn invalidate(&self, refused: &Credentials) {
        let _ = refused;
    }
}

impl<P: CredentialsProvider + ?Sized> CredentialsProvider for Arc<P> {
    fn credentials(&self) -> BoxFuture<'_, Result<Credentials>> {
        (**self).credentials()
    }

    fn invalidate(&self, refused: &Credentials) {
        (**self).invalidate(refused);
    }
}

impl<P: CredentialsProvider + ?Sized> CredentialsProvider for Box<P> {
    fn credentials(&self) -> BoxFuture<'_, Result<Credentials>> {
        (**self).credentials()
    }

    fn invalidate(&self, refused: &Credentials) {
        (**self).invalidate(refused);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_secret_and_no_short_id() {
        let credentials = Credentials::new("shortid", "s3cr3t").with_session_token("t0k3n");
        let shown = format!("{credentials:?}");
        for hidden in ["short", "s3cr3t", "t0k3n"] {
            assert!(!shown.contains(hidden), "{shown}");
        }
    }

    #[test]
    fn white_space_around_keys_and_tokens_is_left_out() {
        let credentials = Credentials::new(" id\r\n", "\tsecret\n").with_session_token("token\n");
        assert_eq!(credentials.access_key_id(), "id");
        assert_eq!(credentials.access_key_secret(), "secret");
        assert_eq!(credentials.session_token(), Some("token"));
        let none = Credentials::new("id", " \n").with_session_token("\n");
        assert_eq!((none.access_key_secret(), none.session_token()), ("", None));
    }

    #[test]
    fn an_empty_token_is_no_token() {
        let credentials = Credentials::new("id", "secret").with_session_token("");
        assert_eq!(credentials.session_token(), None);
    }
}
