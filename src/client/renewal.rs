//! What happens when OSS refuses credentials: their provider is told, and asked for others.

use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

use super::OssClient;
use super::request::credentials;
use crate::callback::caught;
use crate::credentials::Credentials;
use crate::error::{ErrorKind, Refusal, ServiceError};
use crate::values::locks::MutexExt;

/// How long a key whose signatures do not match is not fetched again, once that gave the same key.
const PAUSE: Duration = Duration::from_secs(60);

/// The key whose signature did not match last, and when it was fetched again for that.
#[derive(Debug, Default)]
pub(super) struct Mismatch(Mutex<Option<(Credentials, Instant)>>);

impl Mismatch {
    /// Whether this key is to be fetched again. A wrong signature may also be the work of something
    /// between that changes requests: then each of them would else fetch the key.
    fn is_new(&self, refused: &Credentials) -> bool {
        let now = Instant::now();
        let mut last = self.0.locked();
        let known = last
            .as_ref()
            .is_some_and(|(key, at)| key.same(refused) && now.duration_since(*at) < PAUSE);
        if !known {
            *last = Some((refused.clone(), now));
        }
        !known
    }
}

/// Tells the provider that these credentials were refused, if that is what the answer says, and
/// whether the next request may be signed with others.
pub(super) async fn renew(
    client: &OssClient,
    answer: &ServiceError,
    refused: &Credentials,
) -> bool {
    let forget = match answer.refusal {
        Refusal::Token | Refusal::Key => true,
        // The secret of an id may have been replaced.
        _ if answer.code == "SignatureDoesNotMatch" => client.inner.mismatch.is_new(refused),
        _ => return false,
    };
    if forget {
        caught(|| client.inner.credentials.invalidate(refused));
    }
    match credentials(client).await {
        Ok(held) => !held.same(refused),
        Err(error) => matches!(
            error.kind(),
            ErrorKind::Credentials {
                temporary: true,
                ..
            }
        ),
    }
}
