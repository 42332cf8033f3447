//! No secret shows in whatever `Debug`, errors and logs tell of any provider, at any level.

use std::fmt::{Debug, Write as _};

use oss_append::OssAppendWriter;
use oss_append::credentials::{
    self, AssumeRole, CachedCredentials, Credentials, CredentialsProcess, CredentialsProvider,
    CredentialsUri, DefaultChain, EcsRole, EnvironmentCredentials, ProfileFile, StaticCredentials,
};
use oss_append::emulator::Emulator;
use tracing::Level;

use super::{SECRET, TOKEN, key_json, nobody, ok, redirecting, sts_key, wrong_answers};
use crate::support::emulated::start_with;
use crate::support::log::{Log, set_default};
use crate::support::object;
use crate::support::server::{Play, ScriptedServer, answer, head};

const OIDC: &str = "MARKED+OIDC/token=";
const ROLE: &str = "acs:ram::123456789012:role/append";

/// Everything that was shown.
#[derive(Default)]
struct Shown(String);

impl Shown {
    fn debug(&mut self, shown: &impl Debug) {
        let _ = writeln!(self.0, "{shown:?} {shown:#?}");
    }

    fn error(&mut self, error: &oss_append::Error) {
        let mut cause: Option<&dyn std::error::Error> = Some(error);
        while let Some(error) = cause {
            let _ = writeln!(self.0, "{error} {error:?} {error:#?}");
            cause = error.source();
        }
    }

    /// Asks, shows what came, refuses it, and asks again.
    async fn ask(&mut self, options: &impl Debug, provider: &impl CredentialsProvider) {
        self.debug(options);
        self.debug(provider);
        for _ in 0..2 {
            match provider.credentials().await {
                Ok(credentials) => {
                    self.debug(&credentials);
                    provider.invalidate(&credentials);
                }
                Err(error) => self.error(&error),
            }
            self.debug(provider);
        }
    }

    #[track_caller]
    fn has_no_secret(&self) {
        for line in self.0.lines() {
            assert!(!line.contains("MARKED"), "{line}");
            for after in line.split("Signature=").skip(1) {
                assert!(after.starts_with("***"), "{line}");
            }
        }
    }
}

const OIDC_FORMS: [&str; 3] = [
    OIDC,
    "MARKED%2BOIDC%2Ftoken%3D",
    "MARKED%252BOIDC%252Ftoken%253D",
];

/// Refusals and successes that repeat one of these, which they were sent.
fn echoes(texts: &[&str]) -> Vec<Play> {
    let mut plays = Vec::new();
    for &text in texts {
        let body = format!(
            r#"{{"Code":"{text}","Message":"Refused {text}.","RequestId":"{text}",
                "HostId":"{text}","Recommend":"{text}"}}"#
        );
        let headers = [("x-acs-request-id", text), ("location", text)];
        for status in ["200 OK", "302 Found", "400 MARKED", "403 No", "503 Busy"] {
            plays.push(Play::Send(answer(status, &headers, &body)));
        }
        plays.push(Play::SendAndClose(head(
            "200 OK",
            &[("content-length", "9")],
        )));
        plays.push(Play::SendAndClose(
            format!("HTTP/1.1 {text}\r\n\r\n").into_bytes(),
        ));
    }
    plays
}

/// Every way in which a server can disappoint, repeating what it was sent, and a key.
fn plays(sts: bool, sent: &[&str]) -> Vec<Play> {
    let wrong = wrong_answers(sts).into_iter().map(|(play, ..)| play);
    let key = match sts {
        true => sts_key("STS.1"),
        false => key_json("STS.1"),
    };
    wrong.chain(echoes(sent)).chain([ok(&key)]).collect()
}

/// A server that answers these, then plays, then hangs up.
async fn server(before: &[&str], play: Play) -> ScriptedServer {
    let before: Vec<Play> = before.iter().map(|text| ok(text)).collect();
    let after = (0..9).map(|_| Play::SendAndClose(Vec::new()));
    ScriptedServer::start(before.into_iter().chain([play]).chain(after)).await
}

fn log() -> (Log, tracing::subscriber::DefaultGuard) {
    let log = Log::default();
    let guard = set_default(log.subscriber(Level::TRACE));
    (log, guard)
}

/// What the log has from a real fetch, so that it was listened to.
#[track_caller]
fn finish(mut shown: Shown, log: &Log, proves: &str) {
    shown.0.push_str(&log.text());
    assert!(shown.0.contains(proves), "{}", shown.0);
    assert!(
        shown.0.contains("hyper_util"),
        "other crates were listened to"
    );
    shown.has_no_secret();
}

#[tokio::test]
async fn no_secret_shows_of_an_instances_role() {
    let (log, _guard) = log();
    let mut shown = Shown::default();
    for play in plays(false, &[TOKEN]) {
        let server = server(&["MARKED-metadata-token"], play).await;
        let role = EcsRole::new().role_name("role").endpoint(server.endpoint());
        shown.ask(&role, &role.clone().build().unwrap()).await;
    }
    for play in echoes(&[TOKEN]) {
        let server = server(&[], play).await;
        let role = EcsRole::new()
            .endpoint(server.endpoint())
            .require_token(true);
        shown.ask(&role, &role.clone().build().unwrap()).await;
    }
    finish(shown, &log, "answered 403");
}

#[tokio::test]
async fn no_secret_shows_of_an_oidc_role() {
    let (log, _guard) = log();
    let mut shown = Shown::default();
    let directory = tempfile::tempdir().unwrap();
    let token = directory.path().join("token");
    std::fs::write(&token, OIDC).unwrap();
    let role = AssumeRole::oidc(ROLE, "provider", &token);
    for play in plays(true, &OIDC_FORMS) {
        let server = server(&[], play).await;
        let role = role.clone().endpoint(server.endpoint());
        shown.ask(&role, &role.clone().build().unwrap()).await;
    }
    for content in [&b"MARKED\xff"[..], &b"MARKED".repeat(9000)] {
        std::fs::write(&token, content).unwrap();
        shown.ask(&role, &role.clone().build().unwrap()).await;
    }
    finish(
        shown,
        &log,
        "answered 403 NoPermission: You may not (request id AE21-2)",
    );
}

#[tokio::test]
async fn no_secret_shows_of_a_role_by_another_key() {
    let (log, _guard) = log();
    let mut shown = Shown::default();
    let base = || StaticCredentials::with_session_token("base-id", SECRET, TOKEN);
    let role = AssumeRole::new(base(), ROLE).external_id("MARKED-external");
    for play in plays(true, &[SECRET, TOKEN, "MARKED-external"]) {
        let server = server(&[], play).await;
        let role = role.clone().endpoint(server.endpoint());
        shown.ask(&role, &role.clone().build().unwrap()).await;
    }
    let line_break = StaticCredentials::with_session_token("id", SECRET, "MARKED\nTOKEN");
    let role = AssumeRole::new(line_break, ROLE).endpoint(nobody());
    shown.ask(&role, &role.clone().build().unwrap()).await;
    finish(
        shown,
        &log,
        "answered 403 NoPermission: You may not (request id AE21-2)",
    );
}

#[tokio::test]
async fn no_secret_shows_of_a_uri() {
    let (log, _guard) = log();
    let mut shown = Shown::default();
    let secretive = |endpoint: String| {
        let host = endpoint.replace("http://", "");
        CredentialsUri::new(format!("http://MARKED:MARKED@{host}/MARKED?MARKED#MARKED"))
    };
    for play in plays(false, &[SECRET]) {
        let server = server(&[], play).await;
        let uri = secretive(server.endpoint());
        shown.ask(&uri, &uri.clone().build().unwrap()).await;
    }
    let uri = secretive(nobody());
    shown.ask(&uri, &uri.clone().build().unwrap()).await;
    let (server, _target) = redirecting().await;
    let uri = secretive(server.endpoint());
    shown.ask(&uri, &uri.clone().build().unwrap()).await;
    // To a server without TLS.
    let uri = secretive(nobody());
    let https = CredentialsUri::new("https://MARKED:MARKED@127.0.0.1:1/MARKED?MARKED");
    shown.ask(&uri, &https.build().unwrap()).await;
    for bad in ["MARKED", "ftp://MARKED", "http://MARKED:MARKED@"] {
        shown.error(&CredentialsUri::new(bad).build().unwrap_err());
    }
    finish(shown, &log, "answered 403");
}

#[cfg(unix)]
#[tokio::test]
async fn no_secret_shows_of_a_program() {
    let (log, _guard) = log();
    let mut shown = Shown::default();
    for line in [
        "sh -c 'echo MARKED; echo MARKED >&2'",
        "sh -c 'echo MARKED; echo MARKED >&2; exit 1'",
        "sh -c 'printf %0100000d 7' MARKED",
        "no-such-program MARKED",
        &format!("echo '{}'", key_json("STS.1")),
        &format!(
            "echo '{}'",
            key_json("STS.1").replace("Expiration", "MARKED")
        ),
    ] {
        let process = CredentialsProcess::new(line);
        shown.ask(&process, &process.clone().build().unwrap()).await;
    }
    shown.error(&CredentialsProcess::new("sh 'MARKED").build().unwrap_err());
    shown.0.push_str(&log.text());
    assert!(shown.0.contains("exit status: 1"));
    shown.has_no_secret();
}

#[tokio::test]
async fn no_secret_shows_of_profiles_and_the_chain() {
    let (log, _guard) = log();
    let mut shown = Shown::default();
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("profiles");
    let server = server(&["MARKED-t"], ok(&key_json("STS.1"))).await;
    let key =
        format!(r#""access_key_id":"AK","access_key_secret":"{SECRET}","sts_token":"{TOKEN}""#);
    let cli = |settings: &str| {
        format!(
            r#"{{"current":"p","profiles":[{{"name":"p",{key},"external_id":"MARKED",{settings}}}]}}"#
        )
    };
    let role = format!(r#""ram_role_arn":"{ROLE}""#);
    for content in [
        "MARKED".to_owned(),
        "{\"profiles\": \"MARKED\"}".to_owned(),
        "[default]\nMARKED".to_owned(),
        format!(
            "[default]\ntype=sts\naccess_key_id=AK\naccess_key_secret={SECRET}\nsecurity_token={TOKEN}"
        ),
        format!("[default]\ntype={SECRET}"),
        format!(
            "[default]\ntype=ram_role_arn\naccess_key_id=AK\naccess_key_secret={SECRET}\nrole_arn=r"
        ),
        cli(r#""mode":"StsToken""#),
        cli(r#""mode":"MARKED""#),
        cli(&format!(r#""mode":"RamRoleArn",{role}"#)),
        cli(&format!(
            r#""mode":"ChainableRamRoleArn","source_profile":"p",{role}"#
        )),
        cli(r#""mode":"CredentialsURI","credentials_uri":"http://MARKED:MARKED@127.0.0.1:1/""#),
        cli(r#""mode":"CredentialsURI","credentials_uri":"MARKED""#),
        cli(r#""mode":"External","process_command":"sh 'MARKED""#),
        cli(r#""mode":"External","process_command":"false MARKED""#),
        cli(r#""mode":"EcsRamRole","ram_role_name":"role""#),
    ] {
        std::fs::write(&path, content).unwrap();
        let secretive = server
            .endpoint()
            .replace("http://", "http://MARKED:MARKED@");
        for file in [ProfileFile::cli(), ProfileFile::ini()] {
            let file = file
                .path(&path)
                .metadata_endpoint(&secretive)
                .sts_endpoint(&secretive);
            shown.ask(&file, &file.clone().build()).await;
        }
        for name in [
            "ALIBABA_CLOUD_CONFIG_FILE",
            "ALIBABA_CLOUD_CREDENTIALS_FILE",
        ] {
            let path = path.clone();
            let chain = DefaultChain::new()
                .variables(move |asked| (asked == name).then(|| path.clone().into()))
                .metadata_endpoint(&secretive)
                .sts_endpoint(&secretive);
            shown.ask(&chain, &chain.clone().build()).await;
        }
    }
    let chain =
        DefaultChain::new().variables(|name| name.ends_with("SECRET").then(|| "MARKED".into()));
    shown.ask(&chain, &chain.clone().build()).await;
    finish(shown, &log, "was not looked at, since it is configured");
}

#[tokio::test]
async fn no_secret_shows_of_a_writer_whose_key_comes_from_a_function() {
    let (log, _guard) = log();
    let mut shown = Shown::default();
    let emulator = start_with(Emulator::builder().expired_sts("id", SECRET, TOKEN)).await;
    let key = || Credentials::new("id", SECRET).with_session_token(TOKEN);
    let provider = credentials::from_fn(move || async move { Ok(key()) });
    shown.ask(&EnvironmentCredentials::new(), &provider).await;
    shown.debug(&CachedCredentials::new(StaticCredentials::from(key())));
    let client = emulator.client().credentials(provider).build().unwrap();
    shown.debug(&client);
    let opened = OssAppendWriter::builder(client, object()).open().await;
    match opened {
        Err(error) => shown.error(&error),
        Ok(mut writer) => {
            let _ = writer.write_all(b"x").await;
            let error = writer.shutdown().await.unwrap_err();
            shown.error(&error);
        }
    }
    finish(shown, &log, "SecurityTokenExpired");
}
