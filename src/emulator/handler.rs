//! The way of one request: read, authorise, receive the body, apply, answer; and where faults
//! strike on it.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Instant;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

use super::access::{self, Access};
use super::answer::{Answer, Body};
use super::auth::Signed;
use super::body::{Broken, Received, discard};
use super::clock;
use super::fault::{Action, ErrorAnswer, Late, Rest};
use super::log::{Entry, RequestRecord};
use super::operation::Operation;
use super::operations::{self, Arguments, Call};
use super::origin;
use super::page;
use super::pipelining::Pipelining;
use super::refusal::Refusal;
use super::shared::Shared;
use super::target::{Query, Target};
use super::wire::{Ending, Link};

use crate::values::locks::RwLockExt;

/// Of a request that is refused, so much is received and forgotten, so that the connection can go on.
const MOST_DISCARDED: u64 = 1024 * 1024;

/// Answers one request.
pub(super) async fn serve(
    shared: Arc<Shared>,
    link: Arc<Link>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    if !link.takes_requests() {
        return close(&link).await;
    }
    let last = link.count_request();
    let arrived = Instant::now();
    let (parts, mut body) = request.into_parts();
    let head = parts.method == Method::HEAD;
    let host = host(&parts);
    if page::is_wanted(&shared, &parts, &host) {
        let answer = page::serve(&shared, &parts, &host, &mut body).await;
        return Ok(answer.into_response(head));
    }
    let request_id = format!("{:024X}", fastrand::u128(..) >> 32);
    let continues = parts.headers.contains_key("expect");

    let (entry, call) = read(&shared, parts, &host);
    let mut ending = last.then_some(Ending::Announced(Rest::Drop));
    let outcome = match call {
        Ok(call) => match run(&shared, &link, &entry, call, &mut body).await {
            Fate::Answered(outcome) => outcome,
            Fate::Last(outcome, struck) => {
                ending = Some(struck);
                outcome
            }
            Fate::Closed => return close(&link).await,
            Fate::Stalled => return link.stall().await,
        },
        Err(refusal) => Err(refusal),
    };
    let unread = matches!(
        ending,
        Some(Ending::Silent | Ending::Overtaking | Ending::Lingering)
    );
    if outcome.is_err() && !continues && !unread {
        // A front passes requests on one by one, and each to its end.
        let most = match shared.pipelining {
            Pipelining::InOrder => MOST_DISCARDED,
            _ => u64::MAX,
        };
        if !discard(&mut body, most).await {
            ending = Some(Ending::Lingering);
        }
    }
    let latency = shared.latency();
    if !latency.is_zero() {
        tokio::time::sleep(latency).await;
    }
    let mut answer = match outcome {
        Ok(answer) => answer,
        Err(refusal) => {
            refusal.log();
            entry.update(|record| record.code = Some(refusal.code.clone().into_owned()));
            refuse(&refusal, &request_id, &host, head)
        }
    };
    let status = answer.status.as_u16();
    entry.update(|record| record.status = Some(status));
    if tracing::enabled!(tracing::Level::DEBUG) {
        let record = entry.record();
        tracing::debug!(
            operation = %record.operation,
            bucket = record.bucket,
            key = record.key,
            position = record.position,
            body_length = record.body_length,
            status,
            code = record.code,
            request_id,
            "answered"
        );
    }
    answer = answer
        .header("server", "AliyunOSS")
        .header("date", clock::http_date(shared.clock.now()))
        .header("x-oss-request-id", request_id)
        .header("x-oss-server-time", arrived.elapsed().as_millis());
    if let Some(ending) = ending {
        link.end(ending);
    }
    if matches!(
        link.ending(),
        Some(Ending::Announced(_) | Ending::Overtaking | Ending::Lingering)
    ) {
        answer = answer.header("connection", "close");
    }
    Ok(answer.into_response(head))
}

fn host(parts: &Parts) -> String {
    let header = parts
        .headers
        .get("host")
        .and_then(|host| host.to_str().ok());
    match (parts.uri.authority(), header) {
        (Some(authority), _) => authority.as_str().to_owned(),
        (None, header) => header.unwrap_or_default().to_owned(),
    }
}

/// Reads and authorises a request's head, and notes it in the log.
fn read(shared: &Shared, parts: Parts, host: &str) -> (Entry, Result<Call, Refusal>) {
    let mut record = RequestRecord {
        operation: Operation::Unknown,
        bucket: None,
        key: None,
        position: None,
        body_length: None,
        status: None,
        code: None,
        fault: None,
    };
    let call = read_call(shared, parts, host, &mut record);
    (shared.log.begin(record), call)
}

fn read_call(
    shared: &Shared,
    parts: Parts,
    host: &str,
    record: &mut RequestRecord,
) -> Result<Call, Refusal> {
    origin::check(&parts.method, &parts.headers, host)?;
    let exists = |name: &str| shared.storage.bucket(name).is_some();
    let target = Target::parse(host, parts.uri.path(), exists)?;
    record.bucket.clone_from(&target.bucket);
    record.key.clone_from(&target.key);
    access::check_endpoint(host, &target, &shared.region)?;
    let query = Query::parse(parts.uri.query().unwrap_or_default())?;
    let sender = {
        let keys = shared.keys.read_locked();
        Signed {
            method: parts.method.as_str(),
            target: &target,
            query: &query,
            headers: &parts.headers,
            keys: &keys,
            region: &shared.region,
            v1: shared.traits.v1_signatures,
            now: shared.clock.now(),
        }
        .sender()
    }?;
    let operation = Operation::of(&parts.method, &target, &query, &parts.headers)?;
    record.operation = operation;
    if let (Some(bucket), true) = (&target.bucket, operation != Operation::PutBucket)
        && shared.storage.bucket(bucket).is_none()
    {
        return Err(Refusal::no_such_bucket(bucket));
    }
    if shared.read_only && !matches!(parts.method, Method::GET | Method::HEAD) {
        return Err(Refusal::access_denied(
            "The emulator only reads its directory.",
        ));
    }
    let access = Access {
        shared,
        sender,
        operation,
        target: &target,
        query: &query,
        headers: &parts.headers,
    };
    access.check()?;
    operations::check_common(operation, &query, &parts)?;
    let arguments = Arguments::read(operation, &target, &query, &parts)?;
    record.position = arguments.position();
    let needs_length = matches!(
        operation,
        Operation::AppendObject | Operation::PutObject | Operation::UploadPart
    );
    let has = |name| parts.headers.contains_key(name);
    if needs_length && !has("content-length") && !has("transfer-encoding") {
        return Err(Refusal::missing_content_length());
    }
    if let Some(md5) = parts.headers.get("content-md5") {
        let decoded = BASE64_STANDARD.decode(md5.as_bytes());
        if !decoded.is_ok_and(|md5| md5.len() == 16) {
            return Err(invalid_digest("0017-00000502"));
        }
    }
    Ok(Call {
        operation,
        target,
        query,
        parts,
        arguments,
    })
}

fn invalid_digest(ec: &'static str) -> Refusal {
    Refusal::bad_request(
        "InvalidDigest",
        "The Content-MD5 you specified was invalid.",
    )
    .ec(ec)
}

/// How a request ends.
#[derive(Debug)]
enum Fate {
    Answered(Result<Answer, Refusal>),
    /// Answered, and the connection ends behind it.
    Last(Result<Answer, Refusal>, Ending),
    /// The connection is closed without an answer.
    Closed,
    /// There is never an answer.
    Stalled,
}

/// Receives the body and applies the call, struck by a fault or not.
async fn run(
    shared: &Arc<Shared>,
    link: &Arc<Link>,
    entry: &Entry,
    call: Call,
    body: &mut Incoming,
) -> Fate {
    let action = shared
        .faults
        .strike(call.operation, call.target.key.as_deref());
    if let Some(action) = &action {
        entry.update(|record| record.fault = Some(action.name()));
        tracing::debug!(fault = action.name(), operation = %call.operation, "fault strikes");
    }
    match &action {
        Some(Action::ResetBody(bytes)) => return reset_body(link, body, *bytes).await,
        Some(Action::RefuseEarly(error)) => {
            return Fate::Last(Err(error_refusal(error)), Ending::Silent);
        }
        Some(Action::RequestTimeout) => {
            let timeout = Answer::empty(StatusCode::REQUEST_TIMEOUT);
            return Fate::Last(Ok(timeout), Ending::Overtaking);
        }
        _ => {}
    }
    let received = match receive(shared, &call, body).await {
        Ok(received) => received,
        Err(fate) => return fate,
    };
    entry.update(|record| record.body_length = Some(received.length));
    let Some(action) = action else {
        return Fate::Answered(apply(shared, call, received, None).await);
    };
    // A task of its own, which goes on if the client goes away while the fault lets it wait.
    let struck = strike(Arc::clone(shared), Arc::clone(link), call, received, action);
    tokio::spawn(struck).await.unwrap_or(Fate::Closed)
}

/// What a fault makes of a request that has been received.
async fn strike(
    shared: Arc<Shared>,
    link: Arc<Link>,
    call: Call,
    mut received: Received,
    action: Action,
) -> Fate {
    match &action {
        Action::Drop => return Fate::Closed,
        Action::Stall => return Fate::Stalled,
        Action::Hold if !shared.gate.wait().await => return Fate::Closed,
        Action::Delay(delay) => tokio::time::sleep(*delay).await,
        Action::Error(error) => return Fate::Answered(Err(error_refusal(error))),
        Action::BadGateway => return Fate::Answered(Ok(bad_gateway())),
        Action::GatewayTimeout(late) => {
            apply_late(&shared, *late, call, received);
            return Fate::Answered(Ok(gateway_timeout()));
        }
        Action::Redirect(location) => return Fate::Answered(Err(redirect(location))),
        Action::ApplyLate(late) => {
            apply_late(&shared, *late, call, received);
            return Fate::Closed;
        }
        Action::Torn(bytes) => match received.cut(*bytes) {
            Ok(cut) => received = cut,
            Err(error) => return Fate::Answered(Err(error.into())),
        },
        _ => {}
    }
    let mut outcome = apply(&shared, call, received, Some(action.clone())).await;
    match &action {
        Action::DropAnswer | Action::Torn(_) => return Fate::Closed,
        Action::StallAnswer => return Fate::Stalled,
        Action::HoldAnswer => {
            if !shared.gate.wait().await {
                return Fate::Closed;
            }
        }
        // A request that is refused anyway says so: the fault is about what was applied.
        Action::ErrorAfter(error) if outcome.is_ok() => outcome = Err(error_refusal(error)),
        Action::BadGatewayAfter => outcome = Ok(bad_gateway()),
        Action::Close(rest) => return Fate::Last(outcome, Ending::Announced(*rest)),
        Action::Truncate(bytes) => link.truncate(*bytes),
        action => {
            if let Ok(answer) = &mut outcome {
                falsify(&mut answer.headers, action);
            }
        }
    }
    Fate::Answered(outcome)
}

async fn close<T>(link: &Link) -> T {
    link.close();
    std::future::pending().await
}

/// Reads `bytes` of the body, then resets the connection.
async fn reset_body(link: &Link, body: &mut Incoming, bytes: u64) -> Fate {
    let mut received = 0;
    while received < bytes {
        match body.frame().await {
            Some(Ok(frame)) => received += frame.data_ref().map_or(0, Bytes::len) as u64,
            Some(Err(_)) | None => break,
        }
    }
    link.reset();
    Fate::Closed
}

/// Receives the body, or says how the request ends without it.
async fn receive(shared: &Shared, call: &Call, body: &mut Incoming) -> Result<Received, Fate> {
    let wanted = call.parts.headers.get("content-md5");
    let is_put = matches!(call.operation, Operation::PutObject | Operation::UploadPart);
    let spool = shared.storage.spool();
    let most = call.most_of_body(shared);
    let want_md5 = wanted.is_some() || is_put;
    let received = Received::receive(body, most, want_md5, spool.as_deref())
        .await
        .map_err(|broken| match broken {
            Broken::Short => Fate::Answered(Err(Refusal::bad_request(
                "IncompleteBody",
                "You did not provide the number of bytes specified by the Content-Length HTTP \
                 header.",
            ))),
            Broken::Long => Fate::Answered(Err(call.too_large(shared))),
            Broken::Stalled => Fate::Last(Err(Refusal::request_timeout()), Ending::Lingering),
            Broken::Spool(error) => Fate::Answered(Err(Refusal::internal(error))),
        })?;
    if let (Some(wanted), Some(md5)) = (wanted, received.md5)
        && BASE64_STANDARD.encode(md5).as_bytes() != wanted.as_bytes()
    {
        return Err(Fate::Answered(Err(invalid_digest("0017-00000503"))));
    }
    Ok(received)
}

/// Applies a call, with the foreign appends that a fault puts around it.
async fn apply(
    shared: &Arc<Shared>,
    call: Call,
    received: Received,
    action: Option<Action>,
) -> Result<Answer, Refusal> {
    let target = call.target.clone();
    shared
        .work(move |shared| {
            let bucket = target.bucket.as_deref().unwrap_or_default();
            let key = target.key.as_deref().unwrap_or_default();
            let foreign = |bytes: Bytes| {
                if let Err(refusal) = shared.append_foreign(bucket, key, &bytes) {
                    refusal.log();
                    tracing::warn!(code = %refusal.code, "foreign append refused");
                }
            };
            match &action {
                Some(Action::ForeignBefore(bytes)) => foreign(bytes.clone()),
                Some(Action::Retain) => shared.retain(bucket, key)?,
                _ => {}
            }
            let answer = call.apply(shared, received);
            if let Some(Action::ForeignAfter(bytes)) = action {
                foreign(bytes);
            }
            answer
        })
        .await
}

fn apply_late(shared: &Arc<Shared>, late: Late, call: Call, received: Received) {
    let work = {
        let shared = Arc::clone(shared);
        async move {
            match apply(&shared, call, received, None).await {
                Ok(_) => tracing::debug!("applied late"),
                Err(refusal) => {
                    refusal.log();
                    tracing::debug!(code = %refusal.code, "refused late");
                }
            }
        }
    };
    match late {
        Late::Release => shared.gate.defer(work),
        Late::After(delay) => {
            let closed = shared.closed.clone();
            let running = shared.tasks.begin();
            tokio::spawn(async move {
                tokio::select! {
                    () = closed.cancelled() => {}
                    () = tokio::time::sleep(delay) => work.await,
                }
                drop(running);
            });
        }
    }
}

/// Makes an answer's headers wrong.
fn falsify(headers: &mut HeaderMap, action: &Action) {
    const CRC: &str = "x-oss-hash-crc64ecma";
    const NEXT: &str = "x-oss-next-append-position";
    let number = |headers: &HeaderMap, name| -> Option<u64> {
        headers.get(name)?.to_str().ok()?.parse().ok()
    };
    match action {
        Action::NoCrc => drop(headers.remove(CRC)),
        Action::NoPosition => drop(headers.remove(NEXT)),
        Action::WrongCrc => {
            if let Some(crc) = number(headers, CRC) {
                headers.insert(CRC, (crc ^ 1).into());
            }
        }
        Action::WrongPosition => {
            if let Some(next) = number(headers, NEXT) {
                headers.insert(NEXT, next.saturating_add(1).into());
            }
        }
        _ => {}
    }
}

fn error_refusal(error: &ErrorAnswer) -> Refusal {
    let status = StatusCode::from_u16(error.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut refusal = Refusal::new(
        status,
        error.code.clone(),
        "This error was injected into the emulator.",
    );
    if let Some(delay) = error.retry_after {
        let seconds = delay
            .as_secs()
            .saturating_add(u64::from(delay.subsec_nanos() > 0));
        refusal = refusal.header("retry-after", seconds);
    }
    if let Some(delay) = error.qos_delay {
        refusal = refusal.header("x-oss-qos-delay-time", delay.as_millis());
    }
    refusal
}

fn redirect(location: &str) -> Refusal {
    Refusal::new(
        StatusCode::TEMPORARY_REDIRECT,
        "TemporaryRedirect",
        "Please send your request to the location given.",
    )
    .header("location", location)
}

fn bad_gateway() -> Answer {
    page(StatusCode::BAD_GATEWAY, "502 Bad Gateway")
}

fn gateway_timeout() -> Answer {
    page(StatusCode::GATEWAY_TIMEOUT, "504 Gateway Time-out")
}

/// What a proxy says.
fn page(status: StatusCode, title: &str) -> Answer {
    let page =
        format!("<html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>");
    Answer::with_body(status, "text/html", page)
}

/// The HTTP form of an error. A HEAD has the document in a header instead of a body.
fn refuse(refusal: &Refusal, request_id: &str, host: &str, head: bool) -> Answer {
    let mut answer = if refusal.status == StatusCode::NOT_MODIFIED {
        Answer::empty(refusal.status)
    } else {
        let document = refusal.document(request_id, host);
        if head {
            Answer::empty(refusal.status).header("x-oss-err", BASE64_STANDARD.encode(document))
        } else {
            Answer::with_body(refusal.status, "application/xml", document)
        }
    };
    if let Some(ec) = refusal.ec {
        answer = answer.header("x-oss-ec", ec);
    }
    for (name, value) in &refusal.headers {
        answer = answer.header(name, value);
    }
    answer
}
