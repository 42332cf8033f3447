//! Credentials for an identity token: RAM Roles for Service Accounts (RRSA) and other OIDC.

use std::path::PathBuf;

use bytes::Bytes;
use futures::future::BoxFuture;

use super::file;
use super::http::Http;
use super::sts::{self, Session};
use super::{Credentials, CredentialsProvider};
use crate::error::{Error, Result};

/// STS accepts none that is longer.
const MAX_TOKEN: u64 = 20_000;

/// Assumes a role with the token in a file, each time.
#[derive(Debug)]
pub(super) struct OidcSource {
    pub(super) session: Session,
    pub(super) provider_arn: String,
    pub(super) token_file: PathBuf,
    pub(super) http: Http,
}

impl OidcSource {
    async fn fetch(&self) -> Result<Credentials> {
        let file = file::read(&self.token_file, "the OIDC token", MAX_TOKEN).await?;
        let token = file.trim();
        if token.is_empty() {
            return Err(Error::credentials(format!(
                "the OIDC token: the file {} is empty",
                self.token_file.display()
            )));
        }
        let seconds = self.session.seconds();
        let mut form = self.session.form();
        form.extend([
            ("OIDCProviderArn", &*self.provider_arn),
            ("OIDCToken", token),
            ("DurationSeconds", &*seconds),
        ]);
        let timestamp = self.http.timestamp();
        let nonce = format!("{:032x}", fastrand::u128(..));
        let query = sts::encode(&[
            ("Action", "AssumeRoleWithOIDC"),
            ("Format", "JSON"),
            ("Version", sts::VERSION),
            ("Timestamp", &timestamp),
            ("SignatureNonce", &nonce),
        ]);
        let request = self
            .http
            .post(&query)?
            .header("content-type", sts::FORM)
            .body(Bytes::from_owner(sts::encode(&form)));
        sts::assume(&self.http, &self.session.role_arn, request, &[token]).await
    }
}

impl CredentialsProvider for OidcSource {
    fn credentials(&self) -> BoxFuture<'_, Result<Credentials>> {
        Box::pin(async { self.http.by_right_clock(|| self.fetch()).await })
    }
}
