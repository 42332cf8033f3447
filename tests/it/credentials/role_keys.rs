//! A role that is assumed with another key.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use futures::future::BoxFuture;
use oss_append::credentials::{
    AssumeRole, CachedCredentials, Credentials, CredentialsProvider, StaticCredentials,
};
use oss_append::emulator::Emulator;
use oss_append::{Error, ErrorKind, OssAppendWriter};

use super::{
    SECRET, TOKEN, error, fetch, form, key_json_until, ok, redirecting, stalled, sts_key,
    temporary, wrong_answers,
};
use crate::support::emulated::{content, start_with};
use crate::support::server::{Play, ScriptedServer, answer};
use crate::support::{MS, object};

const ROLE: &str = "acs:ram::123456789012:role/append";

fn role(base: impl CredentialsProvider, server: &ScriptedServer) -> AssumeRole {
    AssumeRole::new(base, ROLE).endpoint(server.endpoint())
}

fn provider(server: &ScriptedServer) -> CachedCredentials {
    let base = StaticCredentials::with_session_token("base-id", SECRET, TOKEN);
    role(base, server).build().unwrap()
}

#[tokio::test]
async fn a_signed_request_gets_the_roles_key() {
    let server = ScriptedServer::start([ok(&sts_key("STS.1"))]).await;
    let base = StaticCredentials::new("base-id", SECRET);
    let role = role(base, &server).external_id("the other's").policy("{}");
    let got = fetch(&role.build().unwrap()).await;
    assert_eq!(got.access_key_id(), "STS.1");
    assert_eq!(got.session_token(), Some(TOKEN));
    assert!(got.expiration().is_some());

    let request = server.request();
    assert_eq!(request.line(), "POST /");
    assert_eq!(request.header("x-acs-action"), Some("AssumeRole"));
    assert_eq!(request.header("x-acs-version"), Some("2015-04-01"));
    assert_eq!(request.header("x-acs-security-token"), None);
    assert_eq!(request.header("accept"), Some("application/json"));
    let host = server.endpoint().replace("http://", "");
    assert_eq!(request.header("host"), Some(&*host));
    let authorization = request.header("authorization").unwrap();
    let begins = "ACS3-HMAC-SHA256 Credential=base-id,SignedHeaders=content-type;host;\
                  x-acs-action;x-acs-content-sha256;x-acs-date;x-acs-signature-nonce;\
                  x-acs-version,Signature=";
    assert!(authorization.starts_with(begins), "{authorization}");
    let form = form(&request);
    assert_eq!(form["RoleArn"], ROLE);
    assert_eq!(form["RoleSessionName"], "oss-append");
    assert_eq!(form["DurationSeconds"], "3600");
    assert_eq!(form["ExternalId"], "the other's");
    assert_eq!(form["Policy"], "{}");
    assert_eq!(form.len(), 5);
}

#[tokio::test]
async fn every_duration_of_a_session_is_refused_or_asked_for() {
    for duration in [Duration::ZERO, Duration::from_secs(899)] {
        let role = AssumeRole::new(Base::default(), ROLE).session_duration(duration);
        let refused = role.build().unwrap_err();
        assert!(matches!(refused.kind(), ErrorKind::InvalidInput { .. }));
    }
    let server = ScriptedServer::start([ok(&sts_key("STS.1"))]).await;
    let role = role(Base::default(), &server).session_duration(Duration::MAX);
    fetch(&role.build().unwrap()).await;
    let asked = &form(&server.request())["DurationSeconds"];
    assert_eq!(*asked, u64::MAX.to_string());
}

#[tokio::test]
async fn a_refused_time_is_corrected_once_by_that_of_the_answer() {
    let there = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(3);
    let date = there.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    let refusal = r#"{"Code":"InvalidTimeStamp.Expired","Message":"Specified time stamp or date value is expired."}"#;
    let refused = || Play::Send(answer("400 Bad Request", &[("Date", &date)], refusal));
    let expiration = (there + jiff::SignedDuration::from_hours(1)).to_string();
    let key = key_json_until("STS.1", &expiration);
    let key = format!(r#"{{"Credentials":{key}}}"#);
    let key = Play::Send(answer("200 OK", &[("Date", &date)], &key));
    let server = ScriptedServer::start([refused(), key]).await;
    let base = Arc::new(Base::default());
    let role = role(Arc::clone(&base), &server).build().unwrap();
    assert_eq!(fetch(&role).await.access_key_id(), "STS.1");
    assert_eq!(base.refused.load(Relaxed), 0, "the key was not wrong");
    let requests = server.requests();
    let signed: jiff::Timestamp = requests[1].header("x-acs-date").unwrap().parse().unwrap();
    let off = signed.duration_since(there).as_secs();
    assert!(off.abs() <= 10, "signed {off} s off");

    // A refusal that the time did not cause.
    let server = ScriptedServer::start([refused(), refused()]).await;
    error(&provider(&server)).await;
    assert_eq!(server.requests().len(), 2);
}

#[tokio::test]
async fn a_temporary_key_signs_with_its_token_and_no_request_is_like_another() {
    let play = ["STS.1", "STS.2"].map(|id| ok(&sts_key(id)));
    let server = ScriptedServer::start(play).await;
    let provider = provider(&server);
    provider.invalidate(&fetch(&provider).await);
    fetch(&provider).await;
    let requests = server.requests();
    for request in &requests {
        assert_eq!(request.header("x-acs-security-token"), Some(TOKEN));
        let authorization = request.header("authorization").unwrap();
        assert!(authorization.contains(";x-acs-security-token;"));
    }
    let nonce = |number: usize| requests[number].header("x-acs-signature-nonce");
    assert_ne!(nonce(0), nonce(1));
}

#[tokio::test]
async fn an_answer_without_a_usable_key_is_an_error_that_says_what_is_wrong() {
    for (play, says, again) in wrong_answers(true) {
        let server = ScriptedServer::start([play]).await;
        let error = error(&provider(&server)).await;
        assert!(error.to_string().contains(says), "{says}: {error}");
        assert_eq!(temporary(&error), again, "{error}");
    }
}

#[tokio::test]
async fn a_refusal_is_told_without_the_secrets_that_it_repeats() {
    let body = format!(
        r#"{{"RequestId":"AE21-1","Code":"SignatureDoesNotMatch",
            "Message":"server string to sign is:x-acs-security-token:{TOKEN}, {SECRET}"}}"#
    );
    let play = Play::Send(answer("400 No", &[], &body));
    let server = ScriptedServer::start([play]).await;
    let said = error(&provider(&server)).await.to_string();
    assert!(
        said.contains("SignatureDoesNotMatch: server string"),
        "{said}"
    );
    assert!(said.contains("x-acs-security-token:***, ***"), "{said}");
}

#[tokio::test]
async fn a_service_that_does_not_answer_is_given_up_after_15_s() {
    let server = ScriptedServer::start([Play::Stall]).await;
    let error = stalled(provider(&server), &server, 1).await;
    assert!(
        error
            .to_string()
            .contains("no complete answer within 15.0 s"),
        "{error}"
    );
    assert!(temporary(&error));
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let (server, target) = redirecting().await;
    let error = error(&provider(&server)).await;
    assert!(error.to_string().contains("answered 307"), "{error}");
    assert!(target.requests().is_empty());
}

/// Counts what it is asked and told.
#[derive(Debug, Default)]
struct Base {
    asked: AtomicUsize,
    refused: AtomicUsize,
    fails: bool,
}

impl CredentialsProvider for Base {
    fn credentials(&self) -> BoxFuture<'_, oss_append::Result<Credentials>> {
        let number = self.asked.fetch_add(1, Relaxed);
        Box::pin(async move {
            match self.fails {
                true => Err(Error::credentials_unavailable("the base is down")),
                false => Ok(Credentials::new(format!("base-{number}"), SECRET)),
            }
        })
    }

    fn invalidate(&self, refused: &Credentials) {
        assert!(refused.access_key_id().starts_with("base-"));
        self.refused.fetch_add(1, Relaxed);
    }
}

#[tokio::test]
async fn a_base_key_that_is_refused_is_replaced_once_and_the_fetch_goes_on() {
    let refusal = || Play::Send(answer("403 No", &[], "{}"));
    let server = ScriptedServer::start([refusal(), ok(&sts_key("STS.1"))]).await;
    let base = Arc::new(Base::default());
    let provider = role(base.clone(), &server).build().unwrap();
    assert_eq!(fetch(&provider).await.access_key_id(), "STS.1");
    assert_eq!(base.refused.load(Relaxed), 1);
    let requests = server.requests();
    let authorization = requests[1].header("authorization").unwrap();
    assert!(authorization.contains("Credential=base-1,"));

    // A refusal that the key did not cause.
    let server = ScriptedServer::start([refusal(), refusal()]).await;
    error(&role(Base::default(), &server).build().unwrap()).await;
    assert_eq!(server.requests().len(), 2);

    // There is no other key.
    let server = ScriptedServer::start([refusal()]).await;
    error(&self::provider(&server)).await;
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn the_base_is_asked_at_each_fetch_and_told_of_a_refusal_alone() {
    let busy = Play::Send(answer("503 Busy", &[], "{}"));
    let server = ScriptedServer::start([busy, ok(&sts_key("STS.1"))]).await;
    let base = Arc::new(Base::default());
    let provider = role(base.clone(), &server).build().unwrap();
    error(&provider).await;
    assert_eq!(base.refused.load(Relaxed), 0);
    let new = loop {
        // Until the pause after the failure is over.
        match provider.credentials().await {
            Ok(new) => break new,
            Err(_) => tokio::time::sleep(10 * MS).await,
        }
    };
    assert_eq!(new.access_key_id(), "STS.1");
    assert_eq!(base.asked.load(Relaxed), 2);
    let requests = server.requests();
    let authorization = requests[1].header("authorization").unwrap();
    assert!(authorization.contains("Credential=base-1,"));
}

#[tokio::test]
async fn the_error_of_the_base_is_the_error() {
    let server = ScriptedServer::start([]).await;
    let base = Base {
        fails: true,
        ..Base::default()
    };
    let error = error(&role(base, &server).build().unwrap()).await;
    assert!(error.to_string().contains("the base is down") && temporary(&error));
}

#[tokio::test]
async fn a_writer_goes_on_when_the_roles_key_expires() {
    let play = ["STS.1", "STS.2"].map(|id| ok(&sts_key(id)));
    let sts = ScriptedServer::start(play).await;
    let emulator = start_with(Emulator::builder().sts("STS.1", SECRET, TOKEN)).await;
    let client = emulator
        .client()
        .credentials(provider(&sts))
        .build()
        .unwrap();
    let builder = OssAppendWriter::builder(client, object());
    let mut writer = builder.open().await.unwrap();
    writer.write_all(b"before, ").await.unwrap();
    writer.sync().await.unwrap();
    emulator.add_sts("STS.2", SECRET, TOKEN);
    emulator.expire_sts("STS.1");
    writer.write_all(b"after").await.unwrap();
    writer.shutdown().await.unwrap();
    assert_eq!(content(&emulator), b"before, after");
    assert_eq!(sts.requests().len(), 2);
}
