//! The page at `/_emulator`: what the server has, what was asked of it, and switches for faults.
//!
//! It is only there where the server listens on the loopback interface, and only for requests by an
//! address or `localhost`. It shows no secrets. What it polls is bounded, whatever the server has.

use std::ops::Bound;

use http::request::Parts;
use http::{Method, StatusCode};
use hyper::body::Incoming;
use serde::{Deserialize, Serialize};

use super::answer::Answer;
use super::body::Received;
use super::clock;
use super::fault::{Fault, ShownFault};
use super::origin;
use super::shared::Shared;
use super::storage::Step;

/// The most objects of a bucket that are shown.
const MOST_OBJECTS: usize = 100;

/// The most requests that are shown.
const MOST_REQUESTS: usize = 50;

/// The most bytes that the page sends.
const MOST_SENT: u64 = 64 * 1024;

/// Nothing from elsewhere is loaded, and nobody shows the page in one of their own.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

#[derive(Serialize)]
struct State {
    region: String,
    buckets: Vec<ShownBucket>,
    requests: Vec<ShownRequest>,
    faults: Vec<ShownFault>,
}

#[derive(Serialize)]
struct ShownBucket {
    name: String,
    acl: String,
    objects: Vec<ShownObject>,
    /// There are others behind these.
    more: bool,
}

#[derive(Serialize)]
struct ShownObject {
    key: String,
    length: u64,
    kind: &'static str,
    sealed: bool,
    modified: String,
}

#[derive(Serialize)]
struct ShownRequest {
    operation: String,
    bucket: Option<String>,
    key: Option<String>,
    position: Option<u64>,
    body_length: Option<u64>,
    status: Option<u16>,
    code: Option<String>,
    fault: Option<&'static str>,
}

/// What the page asks for.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Change {
    /// A fault by its textual form.
    Add(String),
    /// Whether a fault strikes, by its place.
    Switch { fault: usize, on: bool },
}

/// Whether a request is for the page.
pub(super) fn is_wanted(shared: &Shared, parts: &Parts, host: &str) -> bool {
    let path = parts.uri.path();
    let below = path.strip_prefix("/_emulator");
    below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        && shared.local
        && origin::is_address(host)
}

/// Answers a request for the page.
pub(super) async fn serve(
    shared: &Shared,
    parts: &Parts,
    host: &str,
    body: &mut Incoming,
) -> Answer {
    if origin::check(&parts.method, &parts.headers, host).is_err() {
        return plain(StatusCode::FORBIDDEN, "Not for pages of other origins.\n");
    }
    let answer = match (&parts.method, parts.uri.path()) {
        (&Method::GET, "/_emulator" | "/_emulator/") => Answer::with_body(
            StatusCode::OK,
            "text/html; charset=utf-8",
            include_str!("page.html"),
        ),
        (&Method::GET, "/_emulator/page.js") => Answer::with_body(
            StatusCode::OK,
            "text/javascript; charset=utf-8",
            include_str!("page.js"),
        ),
        (&Method::GET, "/_emulator/page.css") => Answer::with_body(
            StatusCode::OK,
            "text/css; charset=utf-8",
            include_str!("page.css"),
        ),
        (&Method::GET, "/_emulator/state") => match serde_json::to_vec(&state(shared)) {
            Ok(json) => Answer::with_body(StatusCode::OK, "application/json", json),
            Err(error) => plain(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
        },
        (&Method::POST, "/_emulator/faults") => match change(shared, body).await {
            Ok(()) => Answer::empty(StatusCode::NO_CONTENT),
            Err(reason) => plain(StatusCode::BAD_REQUEST, reason),
        },
        _ => plain(StatusCode::NOT_FOUND, "There is no such page.\n"),
    };
    answer
        .header("cache-control", "no-store")
        .header("content-security-policy", POLICY)
        .header("x-content-type-options", "nosniff")
}

fn plain(status: StatusCode, text: impl Into<bytes::Bytes>) -> Answer {
    Answer::with_body(status, "text/plain; charset=utf-8", text)
}

async fn change(shared: &Shared, body: &mut Incoming) -> Result<(), String> {
    let received = Received::receive(body, MOST_SENT, false, None)
        .await
        .map_err(|_| "The request is not whole, or too large.\n")?;
    let json = received.into_bytes().map_err(|error| error.to_string())?;
    match serde_json::from_slice(&json).map_err(|error| error.to_string())? {
        Change::Add(spec) => {
            let fault = spec.parse::<Fault>().map_err(|error| error.to_string())?;
            shared.faults.inject(fault);
        }
        Change::Switch { fault, on } => shared.faults.switch(fault, on),
    }
    Ok(())
}

fn state(shared: &Shared) -> State {
    let buckets = shared.storage.buckets().into_iter();
    let requests = shared.log.last(MOST_REQUESTS).into_iter();
    State {
        region: shared.region.clone(),
        buckets: buckets
            .filter_map(|(name, properties)| {
                let (objects, more) = objects(shared, &name)?;
                let acl = properties.acl;
                Some(ShownBucket {
                    name,
                    acl,
                    objects,
                    more,
                })
            })
            .collect(),
        requests: requests
            .map(|request| ShownRequest {
                operation: request.operation.to_string(),
                bucket: request.bucket,
                key: request.key,
                position: request.position,
                body_length: request.body_length,
                status: request.status,
                code: request.code,
                fault: request.fault,
            })
            .collect(),
        faults: shared.faults.shown(),
    }
}

/// The first objects of a bucket, and whether there are more.
fn objects(shared: &Shared, bucket: &str) -> Option<(Vec<ShownObject>, bool)> {
    let (mut objects, mut more) = (Vec::new(), false);
    shared
        .storage
        .bucket(bucket)?
        .scan(Bound::Unbounded, |key, object| {
            if objects.len() == MOST_OBJECTS {
                more = true;
                return Step::Stop;
            }
            objects.push(ShownObject {
                key: key.to_owned(),
                length: object.length,
                kind: object.kind.name(),
                sealed: object.sealed.is_some(),
                modified: clock::iso(object.modified),
            });
            Step::Next
        });
    Some((objects, more))
}
