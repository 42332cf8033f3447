//! Credentials of a role that is assumed with another key, by a request to STS that is signed with
//! `ACS3-HMAC-SHA256`.
//!
//! Source: <https://www.alibabacloud.com/help/en/sdk/product-overview/v3-request-structure-and-signature>

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use super::http::{Http, header_value};
use super::sts::{self, Session};
use super::{Credentials, CredentialsProvider};
use crate::error::{Error, ErrorKind, Result};

const ALGORITHM: &str = "ACS3-HMAC-SHA256";

/// Assumes a role with the key of another provider, each time.
pub(super) struct RoleKeySource {
    pub(super) session: Session,
    pub(super) external_id: Option<String>,
    pub(super) base: Arc<dyn CredentialsProvider>,
    pub(super) http: Http,
}

impl RoleKeySource {
    async fn fetch(&self) -> Result<Credentials> {
        let base = self.base.credentials().await?;
        let error = match self.http.by_right_clock(|| self.assume(&base)).await {
            Err(error) if is_final(&error) => error,
            outcome => return outcome,
        };
        // The key may be what is wrong, and its provider may have another by now.
        self.base.invalidate(&base);
        let other = self.base.credentials().await?;
        match other.same(&base) {
            true => Err(error),
            false => self.http.by_right_clock(|| self.assume(&other)).await,
        }
    }

    async fn assume(&self, base: &Credentials) -> Result<Credentials> {
        let seconds = self.session.seconds();
        let mut form = self.session.form();
        form.push(("DurationSeconds", &seconds));
        if let Some(id) = &self.external_id {
            form.push(("ExternalId", id));
        }
        let body = sts::encode(&form);

        let mut request = self.http.post("")?;
        let host = self.http.host();
        let date = self.http.timestamp();
        let nonce = format!("{:032x}", fastrand::u128(..));
        let payload = hex::encode(Sha256::digest(body.as_bytes()));
        let mut headers = vec![
            ("content-type", sts::FORM),
            ("host", &*host),
            ("x-acs-action", "AssumeRole"),
            ("x-acs-content-sha256", &*payload),
            ("x-acs-date", &*date),
            ("x-acs-signature-nonce", &*nonce),
            ("x-acs-version", sts::VERSION),
        ];
        headers.extend(base.session_token().map(|t| ("x-acs-security-token", t)));
        headers.sort_unstable();
        let authorization = authorization(base, "POST", "", &headers, &payload);
        for (name, value) in &headers {
            request = request.header(*name, header_value(value)?);
        }
        request = request
            .header("accept", "application/json")
            .header("authorization", header_value(&authorization)?)
            .body(Bytes::from_owner(body));
        let signature = authorization.rsplit('=').next().unwrap_or_default();
        let secrets = [
            base.access_key_secret(),
            base.session_token().unwrap_or_default(),
            signature,
            self.external_id.as_deref().unwrap_or_default(),
        ];
        sts::assume(&self.http, &self.session.role_arn, request, &secrets).await
    }
}

fn is_final(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Credentials {
            temporary: false,
            ..
        }
    )
}

impl CredentialsProvider for RoleKeySource {
    fn credentials(&self) -> BoxFuture<'_, Result<Credentials>> {
        Box::pin(self.fetch())
    }
}

/// Does not show the external id, which some keep secret.
impl fmt::Debug for RoleKeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RoleKeySource")
            .field("session", &self.session)
            .field("base", &self.base)
            .field("http", &self.http)
            .finish_non_exhaustive()
    }
}

/// The value of `Authorization` for a request to the path `/` with these headers, which are sorted.
fn authorization(
    key: &Credentials,
    method: &str,
    query: &str,
    headers: &[(&str, &str)],
    payload: &str,
) -> String {
    let names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
    let names = names.join(";");
    let lines = headers
        .iter()
        .map(|(name, value)| format!("{name}:{value}\n"));
    let lines: String = lines.collect();
    let request = format!("{method}\n/\n{query}\n{lines}\n{names}\n{payload}");
    let to_sign = format!("{ALGORITHM}\n{}", hex::encode(Sha256::digest(request)));
    let mut mac = Hmac::<Sha256>::new_from_slice(key.access_key_secret().as_bytes())
        .expect("HMAC takes keys of any length");
    mac.update(to_sign.as_bytes());
    let signature = hex::encode(mac.finalize().into_bytes());
    format!(
        "{ALGORITHM} Credential={},SignedHeaders={names},Signature={signature}",
        key.access_key_id()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signature(
        key: &Credentials,
        query: &str,
        headers: &[(&str, &str)],
        payload: &str,
    ) -> String {
        let value = authorization(key, "POST", query, headers, payload);
        value.rsplit_once('=').unwrap().1.to_owned()
    }

    /// The example with fixed values on the page that is this file's source.
    #[test]
    fn the_published_example_is_met() {
        let payload = hex::encode(Sha256::digest(""));
        let headers = [
            ("host", "ecs.cn-shanghai.aliyuncs.com"),
            ("x-acs-action", "RunInstances"),
            ("x-acs-content-sha256", &*payload),
            ("x-acs-date", "2023-10-26T10:22:32Z"),
            ("x-acs-signature-nonce", "3156853299f313e23d1673dc12e1703d"),
            ("x-acs-version", "2014-05-26"),
        ];
        let query = "ImageId=win2019_1809_x64_dtc_zh-cn_40G_alibase_20230811.vhd\
                     &RegionId=cn-shanghai";
        let key = Credentials::new("YourAccessKeyId", "YourAccessKeySecret");
        assert_eq!(
            authorization(&key, "POST", query, &headers, &payload),
            "ACS3-HMAC-SHA256 Credential=YourAccessKeyId,SignedHeaders=host;x-acs-action;\
             x-acs-content-sha256;x-acs-date;x-acs-signature-nonce;x-acs-version,\
             Signature=06563a9e1b43f5dfe96b81484da74bceab24a1d853912eee15083a6f0f3283c0"
        );
    }

    /// What `alibabacloud-tea-openapi` 0.4.6 for Python sent for the same form.
    #[test]
    fn the_signatures_of_the_official_sdk_are_met() {
        let body = "DurationSeconds=3600&Policy=%7B%22Version%22%3A+%221%22%2C+%22Statement%22%3A+\
                    %5B%22%2A%22%2C+%22~a+b%2Bc%2F%C3%BC%22%5D%7D\
                    &RoleArn=acs%3Aram%3A%3A123456789012%3Arole%2Fappend\
                    &RoleSessionName=oss-append";
        let payload = hex::encode(Sha256::digest(body));
        let mut headers = vec![
            ("accept", "application/json"),
            ("content-type", sts::FORM),
            ("host", "127.0.0.1:34621"),
            (
                "user-agent",
                "AlibabaCloud (Linux; x86_64) Python/3.11.7 Core/0.4.3 TeaDSL/2",
            ),
            ("x-acs-action", "AssumeRole"),
            ("x-acs-content-sha256", &*payload),
            ("x-acs-credentials-provider", "static_ak"),
            ("x-acs-date", "2026-11-23T01:45:03Z"),
            ("x-acs-signature-nonce", "75da5e01087b93462dc302761dc1b438"),
            ("x-acs-version", sts::VERSION),
        ];
        let key = Credentials::new("testid", "testsecret");
        assert_eq!(
            signature(&key, "", &headers, &payload),
            "580190a5f5c889eff43c8cfee4abdc4cf50453967d5908390d4a745edc61e9f9"
        );

        let token = "the-session-token";
        headers[6].1 = "static_sts";
        headers[8].1 = "d1a8b6602291849e698d8d5cdf56de2d";
        headers.extend([
            ("x-acs-accesskey-id", "testid"),
            ("x-acs-security-token", token),
        ]);
        headers.sort_unstable();
        let key = key.with_session_token(token);
        assert_eq!(
            signature(&key, "", &headers, &payload),
            "d4f25f77f394cb445c74744b4802de385d6267684e2c3b635403ff37ee85a262"
        );
    }
}
