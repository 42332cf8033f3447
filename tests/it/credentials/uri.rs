//! Credentials from a URI.

use oss_append::ErrorKind;
use oss_append::credentials::{CachedCredentials, CredentialsProvider, CredentialsUri};

use super::{
    SECRET, TOKEN, error, fetch, id, key_json, nobody, ok, redirecting, stalled, temporary,
    wrong_answers,
};
use crate::support::server::{Play, ScriptedServer};

fn provider(server: &ScriptedServer) -> CachedCredentials {
    CredentialsUri::new(server.endpoint()).build().unwrap()
}

#[tokio::test]
async fn the_uri_is_asked_as_it_is_given() {
    let server = ScriptedServer::start([ok(&key_json("STS.1"))]).await;
    let host = server.endpoint().replace("http://", "");
    let uri = format!("http://user:pass@{host}/a%20b?secret=MARKED&x=%2B");
    let got = fetch(&CredentialsUri::new(uri).build().unwrap()).await;
    assert_eq!(got.access_key_id(), "STS.1");
    assert_eq!(got.access_key_secret(), SECRET);
    assert_eq!(got.session_token(), Some(TOKEN));
    assert!(got.expiration().is_some());
    let request = server.request();
    assert_eq!(request.line(), "GET /a%20b?secret=MARKED&x=%2B");
    assert_eq!(request.header("authorization"), Some("Basic dXNlcjpwYXNz"));
}

#[tokio::test]
async fn a_code_is_not_needed() {
    let body = key_json("STS.1").replace("\"Code\":\"Success\",", "");
    let server = ScriptedServer::start([ok(&body)]).await;
    assert_eq!(id(&provider(&server)).await, "STS.1");
}

#[tokio::test]
async fn an_answer_without_a_usable_key_is_an_error_that_says_what_is_wrong() {
    for (play, says, again) in wrong_answers(false) {
        let server = ScriptedServer::start([play]).await;
        let error = error(&provider(&server)).await;
        assert!(error.to_string().contains(says), "{says}: {error}");
        assert_eq!(temporary(&error), again, "{error}");
    }
}

#[tokio::test]
async fn errors_and_debug_name_the_server_and_nothing_else_of_the_uri() {
    let place = nobody();
    let host = place.replace("http://", "");
    let uri = format!("http://MARKED-user:MARKED-pass@{host}/MARKED?token=MARKED#MARKED");
    let options = CredentialsUri::new(uri);
    let provider = options.clone().build().unwrap();
    let error = error(&provider).await;
    assert!(
        error.to_string().contains(&host) && temporary(&error),
        "{error}"
    );
    for shown in [format!("{options:?}"), format!("{provider:?}")] {
        assert!(!shown.contains("MARKED"), "{shown}");
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let (server, target) = redirecting().await;
    let error = error(&provider(&server)).await;
    assert!(error.to_string().contains("answered 307"), "{error}");
    assert!(target.requests().is_empty());
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_given_up_after_15_s() {
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
async fn a_refused_key_is_fetched_anew() {
    let play = ["STS.1", "STS.2"].map(|id| ok(&key_json(id)));
    let server = ScriptedServer::start(play).await;
    let provider = provider(&server);
    provider.invalidate(&fetch(&provider).await);
    assert_eq!(id(&provider).await, "STS.2");
}

#[test]
fn what_is_no_url_of_a_server_is_refused_and_not_shown() {
    for uri in ["", "MARKED:/x", "file:///MARKED", "http://MARKED:x@"] {
        let error = CredentialsUri::new(uri).build().unwrap_err();
        assert!(
            matches!(error.kind(), ErrorKind::InvalidInput { .. }),
            "{error}"
        );
        assert!(!format!("{error:?}").contains("MARKED"), "{error:?}");
    }
}
