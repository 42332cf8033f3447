//! A role that is assumed with an OIDC token: what STS is asked, and what is made of its answers.

use std::path::PathBuf;
use std::time::Duration;

use oss_append::ErrorKind;
use oss_append::credentials::{AssumeRole, CachedCredentials, CredentialsProvider};
use tempfile::TempDir;

use super::{
    SECRET, TOKEN, error, fetch, form, id, key_json, nobody, ok, query, redirecting, stalled,
    sts_key, temporary, wrong_answers,
};
use crate::support::log::{Log, set_default};
use crate::support::server::{Play, ScriptedServer, answer};

const ROLE: &str = "acs:ram::123456789012:role/append";
const PROVIDER: &str = "acs:ram::123456789012:oidc-provider/ack-rrsa";
const OIDC_TOKEN: &str = "MARKED.OIDC+token/=";

/// A file with a token.
struct TokenFile {
    _directory: TempDir,
    path: PathBuf,
}

impl TokenFile {
    fn new(content: impl AsRef<[u8]>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        std::fs::write(&path, content).unwrap();
        Self {
            _directory: directory,
            path,
        }
    }

    fn role(&self, endpoint: impl Into<String>) -> AssumeRole {
        AssumeRole::oidc(ROLE, PROVIDER, &self.path).endpoint(endpoint)
    }

    fn provider(&self, server: &ScriptedServer) -> CachedCredentials {
        self.role(server.endpoint()).build().unwrap()
    }
}

#[tokio::test]
async fn the_token_is_exchanged_for_a_key() {
    let server = ScriptedServer::start([ok(&sts_key("STS.1"))]).await;
    let file = TokenFile::new(format!("{OIDC_TOKEN}\n"));
    let got = fetch(&file.provider(&server)).await;
    assert_eq!(got.access_key_id(), "STS.1");
    assert_eq!(got.access_key_secret(), SECRET);
    assert_eq!(got.session_token(), Some(TOKEN));
    assert!(got.expiration().is_some());

    let request = server.request();
    assert_eq!(request.method, "POST");
    let content_type = request.header("content-type");
    assert_eq!(content_type, Some("application/x-www-form-urlencoded"));
    assert_eq!(request.header("authorization"), None, "it is not signed");
    let query = query(&request.target);
    assert_eq!(query["Action"], "AssumeRoleWithOIDC");
    assert_eq!(query["Version"], "2015-04-01");
    assert_eq!(query["Format"], "JSON");
    let time: jiff::Timestamp = query["Timestamp"].parse().unwrap();
    let age = jiff::Timestamp::now().duration_since(time);
    assert!(age.as_secs() < 60, "{age}");
    let form = form(&request);
    assert_eq!(form["RoleArn"], ROLE);
    assert_eq!(form["OIDCProviderArn"], PROVIDER);
    assert_eq!(form["OIDCToken"], OIDC_TOKEN);
    assert_eq!(form["RoleSessionName"], "oss-append");
    assert_eq!(form["DurationSeconds"], "3600");
    assert_eq!(form.len(), 5);
    assert!(!request.target.contains("MARKED"));
}

#[tokio::test]
async fn the_options_are_sent() {
    let server = ScriptedServer::start([ok(&sts_key("STS.1"))]).await;
    let file = TokenFile::new(OIDC_TOKEN);
    let role = file.role(server.endpoint());
    let role = role.session_name("my-service@1").policy("{\"a\": \"+ &\"}");
    let role = role.session_duration(Duration::from_secs(900));
    fetch(&role.build().unwrap()).await;
    let form = form(&server.request());
    assert_eq!(form["RoleSessionName"], "my-service@1");
    assert_eq!(form["Policy"], "{\"a\": \"+ &\"}");
    assert_eq!(form["DurationSeconds"], "900");
}

#[tokio::test]
async fn a_token_that_was_replaced_in_its_file_is_sent_at_the_next_fetch() {
    let play = ["STS.1", "STS.2"].map(|id| ok(&sts_key(id)));
    let server = ScriptedServer::start(play).await;
    let file = TokenFile::new("first");
    let provider = file.provider(&server);
    let first = fetch(&provider).await;
    std::fs::write(&file.path, "second").unwrap();
    provider.invalidate(&first);
    assert_eq!(id(&provider).await, "STS.2");
    let sent = server.requests();
    assert_eq!(form(&sent[0])["OIDCToken"], "first");
    assert_eq!(form(&sent[1])["OIDCToken"], "second");
}

#[tokio::test]
async fn an_answer_without_a_usable_key_is_an_error_that_says_what_is_wrong() {
    let file = TokenFile::new(OIDC_TOKEN);
    for (play, says, again) in wrong_answers(true) {
        let server = ScriptedServer::start([play]).await;
        let error = error(&file.provider(&server)).await;
        assert!(error.to_string().contains(says), "{says}: {error}");
        let expired = says == "expired";
        assert!(expired || error.to_string().contains(ROLE), "{error}");
        assert_eq!(temporary(&error), again, "{error}");
    }
    let server = ScriptedServer::start([ok(&key_json("not within Credentials"))]).await;
    let error = error(&file.provider(&server)).await;
    assert!(error.to_string().contains("no Credentials"), "{error}");
}

#[tokio::test]
async fn a_refusal_is_told_with_its_message_and_without_the_token_that_it_repeats() {
    let escaped = "MARKED.OIDC%2Btoken%2F%3D";
    let twice = "MARKED.OIDC%252Btoken%252F%253D";
    let body = format!(
        r#"{{"RequestId":"AE21-1","Code":"AuthenticationFail.OIDCToken.Invalid","HostId":"sts",
            "Message":"This OIDC token is invalid: {OIDC_TOKEN} {escaped} {twice}."}}"#
    );
    let play = Play::Send(answer("400 No", &[], &body));
    let server = ScriptedServer::start([play]).await;
    let file = TokenFile::new(OIDC_TOKEN);
    let error = error(&file.provider(&server)).await;
    let said = error.to_string();
    let ends = "answered 400 AuthenticationFail.OIDCToken.Invalid: This OIDC token is invalid: \
                *** *** *** (request id AE21-1)";
    assert!(said.ends_with(ends), "{said}");
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let (server, target) = redirecting().await;
    let error = error(&TokenFile::new(OIDC_TOKEN).provider(&server)).await;
    assert!(error.to_string().contains("answered 307"), "{error}");
    assert!(target.requests().is_empty());
}

#[tokio::test]
async fn a_service_that_does_not_answer_is_given_up_after_15_s() {
    let server = ScriptedServer::start([Play::Stall]).await;
    let file = TokenFile::new(OIDC_TOKEN);
    let error = stalled(file.provider(&server), &server, 1).await;
    assert!(
        error
            .to_string()
            .contains("no complete answer within 15.0 s"),
        "{error}"
    );
    assert!(temporary(&error));
}

#[tokio::test]
async fn where_nobody_listens_is_said() {
    let address = nobody();
    let file = TokenFile::new(OIDC_TOKEN);
    let error = error(&file.role(&address).build().unwrap()).await;
    let place = address.trim_start_matches("http://");
    assert!(error.to_string().contains(place), "{error}");
    assert!(temporary(&error));
}

#[tokio::test]
async fn a_file_without_a_token_is_an_error_that_names_it() {
    let server = ScriptedServer::start([]).await;
    let absent = TokenFile::new("");
    std::fs::remove_file(&absent.path).unwrap();
    let folder = TokenFile::new("");
    std::fs::remove_file(&folder.path).unwrap();
    std::fs::create_dir(&folder.path).unwrap();
    for (file, says) in [
        (absent, "not found"),
        (folder, "not a regular file"),
        (TokenFile::new(""), "is empty"),
        (TokenFile::new(" \n\t"), "is empty"),
        (TokenFile::new(b"MARKED\xff"), "UTF-8"),
        (TokenFile::new("MARKED".repeat(4000)), "longer than 20000"),
    ] {
        let error = error(&file.provider(&server)).await;
        let said = error.to_string();
        let path = file.path.display().to_string();
        assert!(said.contains(says) && said.contains(&path), "{said}");
        assert!(!temporary(&error));
    }
    assert!(server.requests().is_empty());
}

#[cfg(unix)]
#[tokio::test]
async fn a_file_that_we_may_not_read_is_an_error_and_one_that_others_may_is_none() {
    use std::os::unix::fs::PermissionsExt as _;
    let set = |file: &TokenFile, mode| {
        std::fs::set_permissions(&file.path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    // So Kubernetes mounts it.
    let log = Log::default();
    let _guard = set_default(log.subscriber(tracing::Level::WARN));
    let server = ScriptedServer::start([ok(&sts_key("STS.1"))]).await;
    let file = TokenFile::new(OIDC_TOKEN);
    set(&file, 0o644);
    assert_eq!(id(&file.provider(&server)).await, "STS.1");
    assert_eq!(log.text(), "");

    let file = TokenFile::new(OIDC_TOKEN);
    set(&file, 0o000);
    if std::fs::read(&file.path).is_err() {
        // Else this is root, who may read everything.
        let server = ScriptedServer::start([]).await;
        let error = error(&file.provider(&server)).await;
        assert!(error.to_string().contains("permission denied"), "{error}");
    }
}

#[test]
fn what_cannot_work_is_refused_when_it_is_built() {
    let role = || AssumeRole::oidc(ROLE, PROVIDER, "token");
    for role in [
        AssumeRole::oidc("", PROVIDER, "token"),
        AssumeRole::oidc(ROLE, "", "token"),
        role().session_name(""),
        role().session_name("x"),
        role().session_name("x".repeat(65)),
        role().session_name("a b"),
        role().session_duration(Duration::from_secs(899)),
        role().region("evil.example/"),
        role().region(""),
        role().endpoint("ftp://sts.aliyuncs.com"),
    ] {
        let error = role.build().unwrap_err();
        assert!(
            matches!(error.kind(), ErrorKind::InvalidInput { .. }),
            "{error}"
        );
    }
}

#[test]
fn the_endpoint_goes_by_region_and_vpc() {
    let role = || AssumeRole::oidc(ROLE, PROVIDER, "token");
    for (role, host) in [
        (role(), "sts.aliyuncs.com"),
        (role().vpc(true), "sts.aliyuncs.com"),
        (role().region("cn-hangzhou"), "sts.cn-hangzhou.aliyuncs.com"),
        (
            role().region("cn-hangzhou").vpc(true),
            "sts-vpc.cn-hangzhou.aliyuncs.com",
        ),
        (role().endpoint("sts.example.com"), "sts.example.com"),
    ] {
        let shown = format!("{:?}", role.build().unwrap());
        let url = format!("http: https://{host} }}");
        assert!(shown.contains(&url), "{shown}");
    }
}
