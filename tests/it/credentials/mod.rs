//! Where credentials come from: each provider, how they are kept and renewed, and what becomes of a
//! writer in the meantime.

mod cached;
mod chain;
mod day;
mod ecs_role;
mod environment;
mod expiry;
mod oidc;
mod process;
mod profile;
mod role_keys;
mod secrets;
mod uri;

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use oss_append::credentials::{CachedCredentials, Credentials, CredentialsProvider};
use oss_append::{Error, ErrorKind};

use crate::support::server::{Play, Recorded, ScriptedServer, answer, head};

const SECRET: &str = "MARKED-SECRET";
const TOKEN: &str = "MARKED-TOKEN";

async fn fetch(provider: &impl CredentialsProvider) -> Credentials {
    provider.credentials().await.unwrap()
}

async fn id(provider: &impl CredentialsProvider) -> String {
    fetch(provider).await.access_key_id().to_owned()
}

/// The error that there are none, which shows no secret.
#[track_caller]
fn checked(outcome: Result<Credentials, Error>) -> Error {
    let error = outcome.expect_err("an error");
    assert!(
        matches!(error.kind(), ErrorKind::Credentials { .. }),
        "{error}"
    );
    for shown in [error.to_string(), format!("{error:?}")] {
        assert!(!shown.contains("MARKED"), "{shown}");
    }
    error
}

async fn error(provider: &impl CredentialsProvider) -> Error {
    checked(provider.credentials().await)
}

/// Whether a writer that meets this tries again.
fn temporary(error: &Error) -> bool {
    match error.kind() {
        ErrorKind::Credentials { temporary, .. } => *temporary,
        other => panic!("not about credentials: {other:?}"),
    }
}

/// As services write a time.
fn iso(time: SystemTime) -> String {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let time = jiff::Timestamp::from_second(since.as_secs() as i64).unwrap();
    time.to_string()
}

fn in_an_hour() -> SystemTime {
    let hour = SystemTime::now() + Duration::from_secs(3600);
    let whole = hour
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap()
        .as_secs();
    SystemTime::UNIX_EPOCH + Duration::from_secs(whole)
}

/// A key as services write it, of an hour.
fn key_json(id: &str) -> String {
    key_json_until(id, &iso(in_an_hour()))
}

fn key_json_until(id: &str, expiration: &str) -> String {
    format!(
        r#"{{"Code":"Success","AccessKeyId":"{id}","AccessKeySecret":"{SECRET}",
            "SecurityToken":"{TOKEN}","Expiration":"{expiration}","LastUpdated":"x"}}"#
    )
}

/// A key as STS writes it, of an hour.
fn sts_key(id: &str) -> String {
    format!(
        r#"{{"RequestId":"AE21","AssumedRoleUser":{{}},"Credentials":{}}}"#,
        key_json(id)
    )
}

/// The decoded pairs of a form or query.
fn pairs(encoded: &str) -> HashMap<String, String> {
    let decode = |text: &str| {
        let text = percent_encoding::percent_decode_str(text);
        text.decode_utf8().unwrap().into_owned()
    };
    let pairs = encoded.split('&').map(|pair| pair.split_once('=').unwrap());
    pairs
        .map(|(name, value)| (decode(name), decode(value)))
        .collect()
}

fn form(request: &Recorded) -> HashMap<String, String> {
    pairs(std::str::from_utf8(&request.body).unwrap())
}

fn query(target: &str) -> HashMap<String, String> {
    pairs(target.strip_prefix("/?").unwrap())
}

fn ok(body: &str) -> Play {
    Play::Send(answer("200 OK", &[], body))
}

fn status(status: &str) -> Play {
    Play::Send(answer(status, &[], "<html>MARKED</html>"))
}

/// Ways in which a server answers no key where it should, what the error says, and whether a writer
/// tries again. Those of `sts` have the key within `Credentials`.
fn wrong_answers(sts: bool) -> Vec<(Play, &'static str, bool)> {
    let wrap = |text: &str| match sts {
        true => ok(&format!(r#"{{"RequestId":"AE21-1","Credentials":{text}}}"#)),
        false => ok(text),
    };
    let without = |field: &str| wrap(&key_json("id").replace(&format!("\"{field}\""), "\"other\""));
    let with = |field: &str, value: &str| {
        let mut key: serde_json::Value = serde_json::from_str(&key_json("id")).unwrap();
        key[field] = serde_json::from_str(value).unwrap();
        wrap(&key.to_string())
    };
    let refusal = r#"{"Code":"NoPermission","RequestId":"AE21-2","Message":"You may not."}"#;
    let busy = r#"{"Code":"Throttling.User","RequestId":"AE21-2"}"#;
    let mut wrong = vec![
        (ok(""), "not JSON", false),
        (
            ok("<html>MARKED</html>"),
            "not JSON (line 1, column 1)",
            false,
        ),
        (ok("\u{0}\u{1}"), "not JSON", false),
        (wrap("[\"MARKED\"]"), "another form", false),
        (wrap("\"MARKED\""), "another form", false),
        (wrap("{}"), "has no", false),
        (without("AccessKeyId"), "no AccessKeyId", false),
        (without("AccessKeySecret"), "no AccessKeySecret", false),
        (without("SecurityToken"), "no SecurityToken", false),
        (without("Expiration"), "no Expiration", false),
        (with("AccessKeyId", "\"\""), "no AccessKeyId", false),
        (with("AccessKeySecret", "\"\""), "no AccessKeySecret", false),
        (with("SecurityToken", "null"), "no SecurityToken", false),
        (
            with("AccessKeySecret", "[\"MARKED\"]"),
            "another form",
            false,
        ),
        (with("Expiration", "\"tomorrow\""), "not a time", false),
        (
            with("Expiration", "\"2001-09-09T01:46:40Z\""),
            "expired",
            true,
        ),
        (with("Expiration", "{}"), "another form", false),
        (status("400 Bad"), "answered 400", false),
        (status("401 No"), "answered 401", false),
        (status("403 No"), "answered 403", false),
        (status("404 None"), "answered 404", false),
        (status("204 Empty"), "answered 204", false),
        (status("302 Elsewhere"), "answered 302", false),
        (status("408 Late"), "answered 408", true),
        (status("429 Often"), "answered 429", true),
        (status("500 Broken"), "answered 500", true),
        (status("503 Busy"), "answered 503", true),
        (
            Play::Send(answer("403 No", &[], refusal)),
            "answered 403 NoPermission",
            false,
        ),
        (
            Play::Send(answer("400 No", &[], busy)),
            "answered 400 Throttling.User (request id AE21-2)",
            true,
        ),
        (ok(&"x".repeat(100_000)), "more than 65536 bytes", false),
        (
            Play::SendForever(head("200 OK", &[("content-length", "99999999")])),
            "more than 65536 bytes",
            false,
        ),
        (
            Play::SendAndClose(head("200 OK", &[("content-length", "99")])),
            "no answer from",
            true,
        ),
        (
            Play::SendAndClose(b"nonsense\r\n\r\n".to_vec()),
            "no answer from",
            true,
        ),
    ];
    if !sts {
        // Who knows what is in a message of somebody unknown.
        let message = r#"{"Code":"No","RequestId":"MARKED \n","Message":"MARKED"}"#;
        let refusal = Play::Send(answer("403 No", &[], message));
        wrong.push((refusal, "answered 403 No", false));
        let odd = Play::Send(answer("403 No", &[], r#"{"Code":"MARKED code"}"#));
        wrong.push((odd, "answered 403", false));
        wrong.push((with("Code", "\"Failed\""), "answered 200 Failed", false));
    }
    wrong
}

/// A server that sends on to another with a redirect, and that other.
async fn redirecting() -> (ScriptedServer, ScriptedServer) {
    let target = ScriptedServer::start([]).await;
    let location = [("location", &*target.endpoint())];
    let redirect = Play::Send(answer("307 Temporary Redirect", &location, ""));
    (ScriptedServer::start([redirect]).await, target)
}

/// The error of a provider whose server has the request and does not answer.
async fn stalled(provider: CachedCredentials, server: &ScriptedServer, requests: usize) -> Error {
    let asking = tokio::spawn(async move { provider.credentials().await });
    while server.requests().len() < requests {
        tokio::time::sleep(crate::support::MS).await;
    }
    // Nothing is left to do but to wait for the timeout.
    tokio::time::pause();
    checked(asking.await.unwrap())
}

/// An address where nobody listens.
fn nobody() -> String {
    format!("http://{}", crate::support::nobody())
}
