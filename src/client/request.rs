//! One signed request: from its parts to the answer or the error.

use std::borrow::Cow;
use std::panic::AssertUnwindSafe;

use futures::FutureExt as _;
use http::Method;
use jiff::Timestamp;

use super::OssClient;
use super::body::BatchBody;
use super::failure::{self, qos_wait};
use super::headers::{self, Headers};
use super::lane::{Route, Success, Target, write_head};
use super::renewal::renew;
use super::response::{Answer, read_bounded};
use super::sign::{self, CanonicalRequest, Query, Signer};
use crate::credentials::Credentials;
use crate::error::{Error, ErrorKind, Result};
use crate::store::request::AppendAnswer;
use crate::values::batch::Batch;
use crate::values::path::ObjectPath;
use crate::values::progress::Progress;
use crate::wire::clock::SigningTime;
use crate::wire::dates;
use crate::wire::failure::{stalled, transport};

/// What an error names: the operation, and what it was done to.
#[derive(Clone, Debug)]
pub(super) struct Context {
    operation: &'static str,
    object: Option<ObjectPath>,
    position: Option<u64>,
}

impl Context {
    pub(super) fn new(operation: &'static str, object: &ObjectPath) -> Self {
        Self {
            operation,
            object: Some(object.clone()),
            position: None,
        }
    }

    pub(super) fn without_object(operation: &'static str) -> Self {
        Self {
            operation,
            object: None,
            position: None,
        }
    }

    pub(super) fn at(mut self, position: u64) -> Self {
        self.position = Some(position);
        self
    }

    pub(super) fn wrap(&self, error: Error) -> Error {
        let mut error = error.with_operation(self.operation);
        if let Some(object) = &self.object {
            error = error.with_object(object);
        }
        if let Some(position) = self.position {
            error = error.with_position(position);
        }
        error
    }
}

/// A request to be.
pub(super) struct Call<'a> {
    operation: &'static str,
    method: Method,
    bucket: &'a str,
    key: Option<&'a str>,
    query: Query,
    pub(super) headers: Headers<'a>,
    body: Option<Batch>,
    /// Of the body.
    progress: Option<Progress>,
}

impl<'a> Call<'a> {
    pub(super) fn object(operation: &'static str, method: Method, object: &'a ObjectPath) -> Self {
        Self {
            key: Some(object.key()),
            ..Self::bucket(operation, method, object.bucket())
        }
    }

    pub(super) fn bucket(operation: &'static str, method: Method, bucket: &'a str) -> Self {
        Self {
            operation,
            method,
            bucket,
            key: None,
            query: Query::default(),
            headers: Headers::default(),
            body: None,
            progress: None,
        }
    }

    pub(super) fn query(mut self, name: &str, value: &str) -> Self {
        self.query.add(name, value);
        self
    }

    pub(super) fn header(mut self, name: &'static str, value: impl Into<Cow<'a, str>>) -> Self {
        self.headers.set(name, value);
        self
    }

    pub(super) fn body(mut self, body: Batch, progress: Progress) -> Self {
        self.body = Some(body);
        self.progress = Some(progress);
        self
    }

    /// Sends the request once.
    ///
    /// # Errors
    /// Every status but success is an error, redirects included.
    pub(super) async fn send(mut self, client: &OssClient) -> Result<Answer> {
        let progress = self.progress.get_or_insert_default().clone();
        let (call, signed) = self.signed(client).await?;
        let request = call.into_request(client)?;
        let url = request.url().clone();
        let idle = client.inner.attempt_timeout;
        let response = progress
            .guard(idle, client.inner.http.execute(request))
            .await
            .ok_or_else(|| stalled(idle))?
            .map_err(transport)?;
        if *response.url() != url {
            return Err(Error::new(ErrorKind::BadAnswer {
                status: response.status().as_u16(),
                reason: "the HTTP client followed a redirect, which it must not".into(),
                request_id: None,
            }));
        }
        signed.judge(client, response).await
    }

    /// Signs the request.
    async fn signed(mut self, client: &OssClient) -> Result<(Self, Signed)> {
        let credentials = credentials(client).await?;
        let time = client.inner.clock.signing_time(Timestamp::now());
        let signed = Signed {
            operation: self.operation,
            signature: self.sign(client, &credentials, time),
            credentials,
            time,
        };
        Ok((self, signed))
    }

    /// Signs the request, which goes over a lane: its head.
    pub(super) async fn signed_head(
        self,
        client: &OssClient,
        target: &Target,
        route: &Route,
    ) -> Result<(Vec<u8>, Signed)> {
        let (call, signed) = self.signed(client).await?;
        call.headers.check()?;
        let head = write_head(
            call.method.as_str(),
            target,
            call.query.as_str(),
            &client.inner.user_agent,
            call.headers.list(),
            route,
        );
        Ok((head, signed))
    }

    /// Adds what is left of the headers. Gives the signature.
    pub(super) fn sign(
        &mut self,
        client: &OssClient,
        credentials: &Credentials,
        signed: SigningTime,
    ) -> String {
        let inner = &*client.inner;
        if inner.requester_pays {
            self.headers.set_requester_pays();
        }
        let datetime = dates::iso8601_basic(signed.time);
        self.headers.set(headers::DATE, datetime);
        self.headers
            .set("x-oss-content-sha256", sign::UNSIGNED_PAYLOAD);
        if let Some(token) = credentials.session_token() {
            self.headers.set(headers::SECURITY_TOKEN, token.to_owned());
        }
        let signer = Signer {
            access_key_id: credentials.access_key_id(),
            access_key_secret: credentials.access_key_secret(),
            region: &inner.endpoint.region,
            product: inner.endpoint.product,
            datetime: self.headers.get(headers::DATE),
        };
        let (authorization, signature) = signer.authorize(&CanonicalRequest {
            method: self.method.as_str(),
            uri: &sign::canonical_uri(Some(self.bucket), self.key),
            query: self.query.as_str(),
            headers: self.headers.list(),
            additional: &[],
            payload: sign::UNSIGNED_PAYLOAD,
        });
        self.headers.set(headers::AUTHORIZATION, authorization);
        if matches!(self.method, Method::POST | Method::PUT) {
            let length = self.body.as_ref().map_or(0, Batch::len);
            self.headers.set("content-length", length.to_string());
        }
        signature
    }

    /// The request, which has been signed.
    pub(super) fn into_request(mut self, client: &OssClient) -> Result<reqwest::Request> {
        let inner = &*client.inner;
        let url = (inner.endpoint).url(self.bucket, self.key, self.query.as_str())?;
        self.headers.set("user-agent", inner.user_agent.clone());
        let mut request = reqwest::Request::new(self.method, url);
        *request.headers_mut() = self.headers.into_map()?;
        if let Some(body) = self.body {
            let progress = self.progress.unwrap_or_default();
            let body = BatchBody::new(body, progress, inner.pace.clone());
            *request.body_mut() = Some(reqwest::Body::wrap(body));
        }
        Ok(request)
    }
}

/// How a request was signed, which tells what its answer means.
pub(super) struct Signed {
    operation: &'static str,
    credentials: Credentials,
    signature: String,
    time: SigningTime,
}

impl Signed {
    /// What a success on a lane says of the append.
    pub(super) fn applied(self, client: &OssClient, success: Success) -> AppendAnswer {
        let Success {
            status,
            next_position,
            crc64,
            etag,
            version_id,
            request_id,
            delay,
            date,
        } = success;
        client.inner.observations.date(date, Timestamp::now());
        tracing::trace!(operation = self.operation, status, "answered");
        let hidden = self.credentials.hidden(&self.signature);
        AppendAnswer {
            next_position,
            crc64,
            etag,
            version_id,
            request_id: request_id.map(|id| hidden.fit(id)),
            delay: delay.map(qos_wait),
        }
    }

    /// Every status but success is an error, redirects included.
    pub(super) async fn judge(
        self,
        client: &OssClient,
        response: reqwest::Response,
    ) -> Result<Answer> {
        let observations = &client.inner.observations;
        observations.answer(&response, Timestamp::now());
        let status = response.status();
        tracing::trace!(
            operation = self.operation,
            status = status.as_u16(),
            "answered"
        );
        if !status.is_success() {
            return Err(refused(client, response, &self).await);
        }
        Ok(Answer {
            response,
            credentials: self.credentials,
            signature: self.signature,
        })
    }
}

/// The credentials for the next request, within the attempt timeout.
pub(super) async fn credentials(client: &OssClient) -> Result<Credentials> {
    let limit = client.inner.attempt_timeout;
    let asked = AssertUnwindSafe(async { client.inner.credentials.credentials().await });
    let credentials = tokio::time::timeout(limit, asked.catch_unwind())
        .await
        .map_err(|_| {
            Error::credentials_unavailable(format!(
                "the provider gave none within {:.1} s",
                limit.as_secs_f64()
            ))
        })?
        .map_err(|_| Error::credentials("the provider has panicked"))??;
    if credentials.access_key_id().is_empty() || credentials.access_key_secret().is_empty() {
        return Err(Error::credentials("the access key id or secret is empty"));
    }
    // It would only be told that the signature does not match.
    if credentials
        .access_key_secret()
        .contains(char::is_whitespace)
    {
        return Err(Error::credentials(
            "the access key secret has white space in it: something else was taken for it, or two \
             lines",
        ));
    }
    Ok(credentials)
}

async fn refused(client: &OssClient, response: reqwest::Response, signed: &Signed) -> Error {
    let credentials = &signed.credentials;
    let hidden = credentials.hidden(&signed.signature);
    let inner = &*client.inner;
    let timeout = inner.attempt_timeout;
    let status = response.status().as_u16();
    let headers = response.headers().clone();
    let body = read_bounded(response, failure::MAX_DOCUMENT, timeout).await;
    let local = Timestamp::now();
    let now = inner.clock.signing_time(local).time;
    let mut refusal = failure::refusal(status, &headers, &body, now, &hidden);
    if let Some(server) = refusal.clock_refused {
        refusal.error.clock_corrected = inner.clock.correct(signed.time, server, local);
    }
    refusal.error.credentials_renewed = renew(client, &refusal.error, credentials).await;
    Error::service(refusal.error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credentials::StaticCredentials;
    use crate::wire::clock::Clock;

    #[test]
    fn what_is_sent_is_what_is_signed() {
        let client = OssClient::builder()
            .region("cn-hangzhou")
            .credentials(StaticCredentials::new("ak", "sk"))
            .build()
            .unwrap();
        let object = ObjectPath::new("bucket", "object").unwrap();
        let signed = Clock::default().signing_time(Timestamp::from_second(1_702_743_657).unwrap());
        let mut call = Call::object("append", Method::POST, &object)
            .query("append", "")
            .query("position", "0")
            .header("content-type", "text/plain")
            .body(Batch::from("abc"), Progress::new());
        call.sign(&client, &Credentials::new("ak", "sk"), signed);
        let request = call.into_request(&client).unwrap();
        assert_eq!(
            request.url().as_str(),
            "https://bucket.oss-cn-hangzhou.aliyuncs.com/object?append&position=0"
        );
        let authorization = &request.headers()["authorization"];
        assert!(authorization.is_sensitive());
        // Known answer V6 of the signature.
        assert_eq!(
            authorization,
            "OSS4-HMAC-SHA256 Credential=ak/20231216/cn-hangzhou/oss/aliyun_v4_request,\
             Signature=f7a645f23a0434ea90d5e2bb2bca90d0fda9ef4bc54a9c5008b2134e7c9023f2"
        );
    }
}
