//! The HTTP that the providers share: one bounded request at a time, no redirects, and errors that
//! say what was asked for, of whom, and what came back.

use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use http::{HeaderValue, StatusCode};
use jiff::{SignedDuration, Timestamp};
use reqwest::{RequestBuilder, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use super::Credentials;
use crate::error::{Error, ErrorKind, Result, TransportCause};
use crate::wire::clock::{MATERIAL_SECONDS, clock_ahead};
use crate::wire::failure;
use crate::wire::hidden::Hidden;
use crate::wire::plain::plain_client;
use crate::wire::proxies::Proxies;

/// The most bytes of an answer that are read.
const MAX_ANSWER: usize = 64 * 1024;

/// The longest code or request id that is shown.
const MAX_CODE: usize = 100;

/// Sends requests to one server.
pub(super) struct Http {
    server: Url,
    connect_timeout: Duration,
    /// For the rest, from the connection to the end of the answer.
    answer_timeout: Duration,
    client: OnceLock<Result<reqwest::Client>>,
    /// How many seconds the server's clock is ahead of this machine's, as far as that matters.
    ahead: AtomicI64,
}

/// A complete answer, whatever its status.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    request_id: Option<String>,
    /// How many seconds the server's clock is ahead of this machine's, by the header `Date`.
    ahead: Option<i64>,
    body: Zeroizing<Vec<u8>>,
}

impl Http {
    pub(super) fn new(server: Url, connect_timeout: Duration, answer_timeout: Duration) -> Self {
        Self {
            server,
            connect_timeout,
            answer_timeout,
            client: OnceLock::new(),
            ahead: AtomicI64::new(0),
        }
    }

    /// `scheme://host:port`, without what may be a secret.
    pub(super) fn server(&self) -> String {
        self.server.origin().ascii_serialization()
    }

    /// What the header `Host` will say.
    pub(super) fn host(&self) -> String {
        let host = self.server.host_str().unwrap_or_default();
        match self.server.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        }
    }

    pub(super) fn get(&self, path: &str) -> Result<RequestBuilder> {
        self.request(reqwest::Method::GET, path)
    }

    /// A POST to the root of the server.
    pub(super) fn post(&self, query: &str) -> Result<RequestBuilder> {
        let mut url = self.server.clone();
        url.set_path("/");
        url.set_query(Some(query).filter(|query| !query.is_empty()));
        Ok(self.client()?.post(url))
    }

    /// A request to a path of the server; with an empty path, to its URL.
    pub(super) fn request(&self, method: reqwest::Method, path: &str) -> Result<RequestBuilder> {
        let mut url = self.server.clone();
        if !path.is_empty() {
            url.set_path(path);
        }
        Ok(self.client()?.request(method, url))
    }

    fn client(&self) -> Result<&reqwest::Client> {
        let client = self.client.get_or_init(|| {
            let builder = plain_client()
                .connect_timeout(self.connect_timeout)
                // Fetches are hours apart.
                .pool_max_idle_per_host(0);
            let builder = match self.server.scheme() {
                // A proxy could read the keys; and the metadata service is behind none.
                "http" => builder.no_proxy(),
                _ => {
                    let proxies = Proxies::from_environment();
                    if let Ok(server) = self.server.as_str().parse() {
                        (proxies.check(&server))
                            .map_err(|error| Error::credentials(error.kind().to_string()))?;
                    }
                    Arc::new(proxies).apply(builder)
                }
            };
            builder.build().map_err(|error| {
                Error::credentials("the HTTP client could not be set up").with_source(error)
            })
        });
        client.as_ref().map_err(Error::clone)
    }

    /// The time to sign with: the server's, once that is known to be another.
    pub(super) fn timestamp(&self) -> String {
        let now = Timestamp::now();
        let ahead = SignedDuration::from_secs(self.ahead.load(Ordering::Relaxed));
        let time = now.checked_add(ahead).unwrap_or(now);
        time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
    }

    /// Does it once more if it failed because of a clock that only now is known to be wrong.
    pub(super) async fn by_right_clock<T, F>(&self, fetch: impl Fn() -> F) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        let before = self.ahead.load(Ordering::Relaxed);
        let fetched = fetch().await;
        let change = self.ahead.load(Ordering::Relaxed).saturating_sub(before);
        match fetched.is_err() && change.unsigned_abs() >= MATERIAL_SECONDS.unsigned_abs() {
            true => fetch().await,
            false => fetched,
        }
    }

    /// Sends the request once, to get `what`.
    ///
    /// # Errors
    /// There is no complete answer. [`is_unreachable`] tells whether nobody answered.
    pub(super) async fn send(&self, what: &str, request: RequestBuilder) -> Result<Answer> {
        let limit = self.connect_timeout + self.answer_timeout;
        let outcome = tokio::time::timeout(limit, read(request)).await;
        let transport = match outcome {
            Ok(Ok(Some(answer))) => {
                if let Some(ahead) = answer.ahead {
                    let material = if ahead.abs() >= MATERIAL_SECONDS {
                        ahead
                    } else {
                        0
                    };
                    self.ahead.store(material, Ordering::Relaxed);
                }
                return Ok(answer);
            }
            Ok(Ok(None)) => {
                return Err(Error::credentials(format!(
                    "{what}: {} answered with more than {MAX_ANSWER} bytes",
                    self.server()
                )));
            }
            Ok(Err(error)) => error,
            Err(_) => Error::transport(
                TransportCause::Timeout,
                format!(
                    "{}: no complete answer within {:.1} s",
                    self.server(),
                    limit.as_secs_f64()
                ),
            ),
        };
        let reason = format!("{what}: no answer from {transport}");
        let error = match transport.kind() {
            ErrorKind::Transport {
                cause: TransportCause::Tls,
                ..
            }
            | ErrorKind::InvalidInput { .. } => Error::credentials(reason),
            _ => Error::credentials_unavailable(reason),
        };
        Err(error.with_source(transport))
    }

    /// The error for an answer that is a refusal. Its message is shown only where the sender is
    /// known and what it may repeat is `hidden`.
    pub(super) fn refusal(
        &self,
        what: &str,
        answer: &Answer,
        hidden: Option<&Hidden<'_>>,
    ) -> Error {
        let status = answer.status;
        let document: Refusal = serde_json::from_slice(&answer.body).unwrap_or_default();
        let code = document.code.filter(|code| is_code(code));
        let mut reason = format!("{what}: {} answered {}", self.server(), status.as_u16());
        if let Some(code) = &code {
            reason = format!("{reason} {code}");
        }
        if let (Some(hidden), Some(message)) = (hidden, &document.message) {
            reason = format!("{reason}: {}", hidden.show(message).trim_end_matches('.'));
        }
        let id = document.request_id.as_ref().or(answer.request_id.as_ref());
        if let Some(id) = id.filter(|id| is_request_id(id)) {
            reason = format!("{reason} (request id {id})");
        }
        let busy = code.is_some_and(|code| {
            code.starts_with("Throttling")
                || matches!(&*code, "ServiceUnavailable" | "InternalError")
        });
        match status.as_u16() {
            408 | 429 | 500.. => Error::credentials_unavailable(reason),
            _ if busy => Error::credentials_unavailable(reason),
            _ => Error::credentials(reason),
        }
    }

    /// The error for an answer that is a success, but not the one that was asked for.
    pub(super) fn bad_answer(&self, what: &str, why: &str) -> Error {
        Error::credentials(format!("{what}: the answer of {} {why}", self.server()))
    }
}

/// Shows the server alone: a secret may be in the rest of the URL.
impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.server())
    }
}

impl Answer {
    pub(super) fn is_success(&self) -> bool {
        self.status == StatusCode::OK
    }

    /// The key with its expiry by this machine's clock, which may be wrong: the key would seem to
    /// live too long, or to be expired when it comes.
    pub(super) fn in_local_time(&self, credentials: Credentials) -> Credentials {
        let local = |expiration: SystemTime, ahead: i64| {
            let ahead_by = Duration::from_secs(ahead.unsigned_abs());
            match ahead > 0 {
                true => expiration.checked_sub(ahead_by),
                false => expiration.checked_add(ahead_by),
            }
        };
        let wrong = self.ahead.filter(|ahead| ahead.abs() >= MATERIAL_SECONDS);
        match (credentials.expiration(), wrong) {
            (Some(expiration), Some(ahead)) => match local(expiration, ahead) {
                Some(local) => credentials.with_expiration(local),
                None => credentials,
            },
            _ => credentials,
        }
    }

    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, String> {
        from_json(&self.body)
    }

    /// A body of one line of visible ASCII.
    pub(super) fn line(&self) -> Option<&str> {
        let line = std::str::from_utf8(&self.body).ok()?.trim();
        (!line.is_empty() && line.bytes().all(|byte| byte.is_ascii_graphic())).then_some(line)
    }
}

/// Reads JSON. What is wrong is told without what was read, which may be a secret.
pub(super) fn from_json<T: DeserializeOwned>(text: &[u8]) -> Result<T, String> {
    serde_json::from_slice(text).map_err(|error| {
        let what = match error.is_data() {
            true => "is JSON of another form than expected",
            false => "is not JSON",
        };
        format!("{what} (line {}, column {})", error.line(), error.column())
    })
}

/// Whether a failed request met nobody who could have answered.
pub(super) fn is_unreachable(error: &Error) -> bool {
    let cause = transport_cause(error);
    matches!(
        cause,
        Some(TransportCause::Connect | TransportCause::UnknownHost | TransportCause::Timeout)
    )
}

/// Whether there was no connection to send a request on.
pub(super) fn is_unconnected(error: &Error) -> bool {
    let cause = transport_cause(error);
    matches!(
        cause,
        Some(TransportCause::Connect | TransportCause::UnknownHost)
    )
}

fn transport_cause(error: &Error) -> Option<TransportCause> {
    let source = std::error::Error::source(error)?.downcast_ref::<Error>()?;
    match source.kind() {
        ErrorKind::Transport { cause, .. } => Some(*cause),
        _ => None,
    }
}

/// A header's value that is not shown in `Debug`.
pub(super) fn header_value(secret: &str) -> Result<HeaderValue> {
    let mut value = HeaderValue::from_str(secret).map_err(|_| {
        Error::credentials("a token has a character that cannot be sent, such as a line break")
    })?;
    value.set_sensitive(true);
    Ok(value)
}

/// A URL of a server, `https` where no scheme is given.
pub(super) fn server_url(text: &str) -> Result<Url> {
    let whole = match text.contains("://") {
        true => text.to_owned(),
        false => format!("https://{text}"),
    };
    let url = Url::parse(&whole).ok();
    url.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
        .ok_or_else(|| {
            // It is not shown: there may be a password in it.
            Error::invalid_input("the address to fetch credentials from is no HTTP URL")
        })
}

/// The answer; `None` if it is too long.
async fn read(request: RequestBuilder) -> Result<Option<Answer>> {
    let mut response = request.send().await.map_err(failure::transport)?;
    let request_id = response.headers().get("x-acs-request-id");
    let request_id = request_id.and_then(|id| Some(id.to_str().ok()?.to_owned()));
    let date = response.headers().get(http::header::DATE);
    let ahead = date.and_then(|date| clock_ahead(date, Timestamp::now()));
    let status = response.status();
    // Of its final size at once: growing would leave copies behind.
    let mut body = Zeroizing::new(Vec::with_capacity(MAX_ANSWER));
    while let Some(chunk) = response.chunk().await.map_err(failure::transport)? {
        if body.len() + chunk.len() > MAX_ANSWER {
            return Ok(None);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Some(Answer {
        status,
        request_id,
        ahead,
        body,
    }))
}

/// What a refusal of Alibaba Cloud's services says.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Refusal {
    code: Option<String>,
    message: Option<String>,
    request_id: Option<String>,
}

/// Such as `AuthenticationFail.OIDCToken.Expired`. No digits: a key that somebody returns in place of
/// a code is none.
fn is_code(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphabetic() || byte == b'.';
    (1..=MAX_CODE).contains(&text.len()) && text.bytes().all(allowed)
}

/// Such as `5E8F6A2B-0C1D-5E3F-9A7B-1C2D3E4F5A6B`.
fn is_request_id(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_hexdigit() || byte == b'-';
    (1..=MAX_CODE).contains(&text.len()) && text.bytes().all(allowed)
}
