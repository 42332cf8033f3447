//! Presigned URLs: requests that somebody without credentials may send for a while.

use std::time::Duration;

use jiff::Timestamp;

use super::OssClient;
use super::request::{Context, credentials};
use super::sign::{self, ALGORITHM, CanonicalRequest, Signer, UNSIGNED_PAYLOAD};
use crate::error::{Error, Result};
use crate::values::path::ObjectPath;
use crate::wire::dates;

/// The longest life of a presigned URL.
const MAX_LIFE: Duration = Duration::from_secs(7 * 24 * 3600);

/// What a presigned URL allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PresignMethod {
    /// To read the object, by `GET`.
    Get,
    /// To ask for its properties, by `HEAD`.
    Head,
    /// To write it as a whole, by `PUT`.
    Put,
    /// To append to it once, by `POST`.
    Append {
        /// The object's length before the append.
        position: u64,
    },
    /// To delete it, by `DELETE`.
    Delete,
}

impl OssClient {
    /// Makes a URL that allows anybody who has it to do one thing with one object, until it
    /// expires in `life`, or until the temporary credentials that signed it do. Keep it secret.
    /// Nothing is sent.
    ///
    /// The request must carry neither `Content-Type` nor `Content-MD5` nor any `x-oss-` header:
    /// they would have to be signed.
    ///
    /// ```no_run
    /// use std::time::Duration;
    /// use oss_append::client::PresignMethod;
    /// # async fn example(client: oss_append::OssClient, object: oss_append::ObjectPath)
    /// # -> oss_append::Result<()> {
    /// let minutes = Duration::from_secs(15 * 60);
    /// let url = client.presign(PresignMethod::Get, &object, minutes).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for a life of less than one second or more
    /// than 7 days, [`Credentials`](crate::ErrorKind::Credentials) if there are none.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn presign(
        &self,
        method: PresignMethod,
        object: &ObjectPath,
        life: Duration,
    ) -> Result<String> {
        let context = Context::new("presign", object);
        let signed = async {
            if life < Duration::from_secs(1) || life > MAX_LIFE {
                return Err(Error::invalid_input(
                    "a presigned URL lives for 1 second to 7 days",
                ));
            }
            let credentials = credentials(self).await?;
            let time = self.inner.clock.signing_time(Timestamp::now()).time;
            let datetime = dates::iso8601_basic(time);
            let signer = Signer {
                access_key_id: credentials.access_key_id(),
                access_key_secret: credentials.access_key_secret(),
                region: &self.inner.endpoint.region,
                product: self.inner.endpoint.product,
                datetime: &datetime,
            };
            self.presigned(method, object, life, &signer, credentials.session_token())
        };
        signed.await.map_err(|error| context.wrap(error))
    }

    fn presigned(
        &self,
        method: PresignMethod,
        object: &ObjectPath,
        life: Duration,
        signer: &Signer<'_>,
        token: Option<&str>,
    ) -> Result<String> {
        let credential = signer.credential();
        let expires = life.as_secs().to_string();
        let position;
        let mut query = vec![
            ("x-oss-signature-version", ALGORITHM),
            ("x-oss-date", signer.datetime),
            ("x-oss-expires", &*expires),
            ("x-oss-credential", &*credential),
        ];
        query.extend(token.map(|token| ("x-oss-security-token", token)));
        let method = match method {
            PresignMethod::Get => "GET",
            PresignMethod::Head => "HEAD",
            PresignMethod::Put => "PUT",
            PresignMethod::Delete => "DELETE",
            PresignMethod::Append { position: at } => {
                position = at.to_string();
                query.extend([("append", ""), ("position", &*position)]);
                "POST"
            }
        };
        if self.inner.requester_pays {
            query.push(("x-oss-request-payer", "requester"));
        }
        let signature = signer.sign(&CanonicalRequest {
            method,
            uri: &sign::canonical_uri(Some(object.bucket()), Some(object.key())),
            query: &sign::canonical_query(query.iter().copied()),
            headers: &[],
            additional: &[],
            payload: UNSIGNED_PAYLOAD,
        });
        query.push(("x-oss-signature", &*signature));
        let query = sign::canonical_query(query);
        let url = self
            .inner
            .endpoint
            .url(object.bucket(), Some(object.key()), &query)?;
        Ok(url.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credentials::StaticCredentials;

    fn client() -> OssClient {
        OssClient::builder()
            .region("cn-hangzhou")
            .credentials(StaticCredentials::with_session_token(
                "ak", "sk", "a+token/",
            ))
            .build()
            .unwrap()
    }

    #[tokio::test]
    async fn the_url_carries_everything_but_the_secret() {
        let object = ObjectPath::new("logs", "a b/../c").unwrap();
        let method = PresignMethod::Append { position: 7 };
        let life = Duration::from_secs(599);
        let url = client().presign(method, &object, life).await.unwrap();
        let (address, query) = url.split_once('?').unwrap();
        assert_eq!(
            address,
            "https://logs.oss-cn-hangzhou.aliyuncs.com/a%20b%2F..%2Fc"
        );
        for part in [
            "append",
            "position=7",
            "x-oss-signature-version=OSS4-HMAC-SHA256",
            "x-oss-expires=599",
            "x-oss-security-token=a%2Btoken%2F",
        ] {
            assert!(
                query.split('&').any(|pair| pair == part),
                "{part} in {query}"
            );
        }
        assert!(query.contains("x-oss-credential=ak%2F"), "{query}");
        assert!(query.contains("x-oss-signature="), "{query}");
        assert!(!url.contains("sk"), "{url}");
    }

    #[tokio::test]
    async fn a_life_is_one_second_to_seven_days() {
        let object = ObjectPath::new("logs", "a").unwrap();
        let presign = async |life| client().presign(PresignMethod::Get, &object, life).await;
        assert!(presign(Duration::from_secs(1)).await.is_ok());
        assert!(presign(MAX_LIFE).await.is_ok());
        assert!(presign(Duration::from_millis(999)).await.is_err());
        assert!(presign(MAX_LIFE + Duration::from_secs(1)).await.is_err());
    }
}
