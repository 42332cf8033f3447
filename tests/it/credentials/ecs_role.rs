//! The RAM role of an ECS instance: what its metadata service is asked, and what is made of each of
//! its answers.

use std::time::SystemTime;

use oss_append::credentials::{CachedCredentials, CredentialsProvider, EcsRole};
use oss_append::emulator::Emulator;
use oss_append::{ErrorKind, OssAppendWriter};

use super::{
    SECRET, TOKEN, error, fetch, id, in_an_hour, key_json, key_json_until, nobody, ok, redirecting,
    stalled, status, temporary, wrong_answers,
};
use crate::support::emulated::{content, start_with};
use crate::support::server::{Play, Recorded, ScriptedServer, answer, head};
use crate::support::{SEC, object};

const ROLES: &str = "GET /latest/meta-data/ram/security-credentials/";
const METADATA_TOKEN: &str = "x-aliyun-ecs-metadata-token";

fn provider(server: &ScriptedServer) -> CachedCredentials {
    EcsRole::new().endpoint(server.endpoint()).build().unwrap()
}

fn hardened(server: &ScriptedServer) -> CachedCredentials {
    let role = EcsRole::new().endpoint(server.endpoint());
    role.require_token(true).build().unwrap()
}

fn of_role(server: &ScriptedServer, name: &str) -> CachedCredentials {
    let role = EcsRole::new().endpoint(server.endpoint()).role_name(name);
    role.build().unwrap()
}

fn lines(requests: &[Recorded]) -> Vec<String> {
    requests.iter().map(Recorded::line).collect()
}

#[tokio::test]
async fn the_hardened_mode_takes_a_token_then_the_roles_name_then_its_key() {
    let play = [
        ok("MARKED-metadata"),
        ok("my-role\n"),
        ok(&key_json("STS.1")),
    ];
    let server = ScriptedServer::start(play).await;
    let provider = provider(&server);
    let got = fetch(&provider).await;
    assert_eq!(got.access_key_id(), "STS.1");
    assert_eq!(got.access_key_secret(), SECRET);
    assert_eq!(got.session_token(), Some(TOKEN));
    let off = in_an_hour().duration_since(got.expiration().unwrap());
    assert!(off.unwrap() <= 10 * SEC);

    let requests = server.requests();
    let role = format!("{ROLES}my-role");
    assert_eq!(lines(&requests), ["PUT /latest/api/token", ROLES, &role]);
    let life = requests[0].header("x-aliyun-ecs-metadata-token-ttl-seconds");
    assert_eq!((life, &*requests[0].body), (Some("21600"), &b""[..]));
    for request in &requests[1..] {
        assert_eq!(request.header(METADATA_TOKEN), Some("MARKED-metadata"));
    }
    fetch(&provider).await;
    assert_eq!(server.requests().len(), 3, "it is kept");
}

#[tokio::test]
async fn a_key_lives_as_long_by_a_wrong_clock() {
    for hours in [-3_i64, 3] {
        // There it is so much later than here.
        let there = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap();
        let there = there.as_secs() as i64 + hours * 3600;
        let there = jiff::Timestamp::from_second(there).unwrap();
        let date = there.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
        let expiration = (there + jiff::SignedDuration::from_hours(1)).to_string();
        let key = key_json_until("STS.1", &expiration);
        let key = Play::Send(answer("200 OK", &[("Date", &date)], &key));
        let server = ScriptedServer::start([ok("t"), ok("my-role"), key]).await;
        let got = fetch(&provider(&server)).await.expiration().unwrap();
        let left = got.duration_since(SystemTime::now()).unwrap();
        let off = left.abs_diff(3600 * SEC);
        assert!(
            off <= 10 * SEC,
            "{left:?} left by a clock that is {hours} h off"
        );
    }
}

#[tokio::test]
async fn a_role_that_is_named_is_not_asked_for() {
    let server = ScriptedServer::start([ok("t"), ok(&key_json("STS.1"))]).await;
    assert_eq!(id(&of_role(&server, "named")).await, "STS.1");
    let role = format!("{ROLES}named");
    assert_eq!(lines(&server.requests()), ["PUT /latest/api/token", &role]);
}

#[tokio::test]
async fn without_a_token_the_normal_mode_is_used() {
    for no_token in [
        status("403 No"),
        status("404 None"),
        status("500 Broken"),
        ok(""),
        ok("two lines\nof it"),
        ok("<html> </html>"),
        Play::Stall,
    ] {
        let play = [no_token, ok("role"), ok(&key_json("STS.1"))];
        let server = ScriptedServer::start(play).await;
        assert_eq!(id(&provider(&server)).await, "STS.1");
        let requests = server.requests();
        assert_eq!(lines(&requests)[1..], [ROLES, &format!("{ROLES}role")]);
        for request in &requests[1..] {
            assert_eq!(request.header(METADATA_TOKEN), None);
        }
    }
}

#[tokio::test]
async fn the_normal_mode_is_not_used_where_the_token_is_required() {
    for (play, says, again) in [
        (
            status("403 No"),
            "the metadata token: http://127.0.0.1",
            false,
        ),
        (status("404 None"), "answered 404", false),
        (status("500 Broken"), "answered 500", true),
        (ok("two lines\nof it"), "is not a token", false),
    ] {
        let server = ScriptedServer::start([play]).await;
        let error = error(&hardened(&server)).await;
        assert!(error.to_string().contains(says), "{error}");
        assert_eq!(temporary(&error), again);
        assert_eq!(server.requests().len(), 1);
    }
}

#[tokio::test]
async fn another_role_is_noticed_at_the_next_fetch() {
    let of = |role, id| [ok("t"), ok(role), ok(&key_json(id))];
    let play = of("first", "STS.1")
        .into_iter()
        .chain(of("second", "STS.2"));
    let server = ScriptedServer::start(play).await;
    let provider = provider(&server);
    let first = fetch(&provider).await;
    provider.invalidate(&first);
    assert_eq!(id(&provider).await, "STS.2");
    let asked = lines(&server.requests());
    assert_eq!(asked[5], format!("{ROLES}second"));
}

#[tokio::test]
async fn an_answer_without_a_usable_key_is_an_error_that_says_what_is_wrong() {
    for (play, says, again) in wrong_answers(false) {
        let server = ScriptedServer::start([ok("t"), play]).await;
        let error = error(&of_role(&server, "role")).await;
        assert!(error.to_string().contains(says), "{says}: {error}");
        assert_eq!(temporary(&error), again, "{error}");
    }
    let no_code = key_json("STS.1").replace("\"Code\"", "\"other\"");
    let server = ScriptedServer::start([ok("t"), ok(&no_code)]).await;
    let error = error(&of_role(&server, "role")).await;
    assert!(error.to_string().contains("has no Code"), "{error}");
}

#[tokio::test]
async fn an_answer_that_names_no_role_is_an_error() {
    for (play, says, again) in [
        (status("404 None"), "no RAM role is attached", false),
        (status("403 No"), "answered 403", false),
        (status("503 Busy"), "answered 503", true),
        (ok(""), "is not the name of a role", false),
        (
            ok("<html>MARKED</html>"),
            "is not the name of a role",
            false,
        ),
        (ok("../../user-data"), "is not the name of a role", false),
        (ok("one\ntwo"), "is not the name of a role", false),
        (ok(&"x".repeat(65)), "is not the name of a role", false),
        (ok(&"x".repeat(100_000)), "more than 65536 bytes", false),
    ] {
        let server = ScriptedServer::start([ok("t"), play]).await;
        let error = error(&provider(&server)).await;
        assert!(error.to_string().contains(says), "{says}: {error}");
        assert_eq!(temporary(&error), again, "{error}");
        assert_eq!(server.requests().len(), 2);
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let (server, target) = redirecting().await;
    let error = error(&hardened(&server)).await;
    assert!(error.to_string().contains("answered 307"), "{error}");
    assert!(target.requests().is_empty());
}

#[tokio::test]
async fn where_nobody_listens_there_is_one_try_and_an_error_that_names_the_address() {
    let address = nobody();
    let provider = EcsRole::new().endpoint(&address).build().unwrap();
    let error = error(&provider).await;
    assert!(temporary(&error));
    let said = error.to_string();
    let place = address.trim_start_matches("http://");
    assert!(
        said.contains("metadata token: no answer from") && said.contains(place),
        "{said}"
    );
}

#[tokio::test]
async fn a_service_that_does_not_answer_is_given_up_after_two_seconds() {
    let server = ScriptedServer::start([ok("t"), Play::Stall]).await;
    let error = stalled(of_role(&server, "role"), &server, 2).await;
    let said = error.to_string();
    assert!(
        said.contains("the key of the instance's RAM role role: no answer"),
        "{said}"
    );
    assert!(said.contains("no complete answer within 2.0 s"), "{said}");
    assert!(temporary(&error));
}

#[tokio::test]
async fn an_answer_that_drips_is_given_up_after_two_seconds() {
    let head = head("200 OK", &[("content-length", "1000")]);
    let drip = Play::Drip(head, vec![b'x'; 1000], SEC / 5);
    let server = ScriptedServer::start([drip]).await;
    let began = std::time::Instant::now();
    let error = error(&hardened(&server)).await;
    assert!(
        error
            .to_string()
            .contains("no complete answer within 2.0 s"),
        "{error}"
    );
    assert!(temporary(&error));
    assert!((SEC..5 * SEC).contains(&began.elapsed()));
}

#[tokio::test]
async fn what_cannot_work_is_refused_when_it_is_built() {
    for role in [
        EcsRole::new().role_name(""),
        EcsRole::new().role_name("../user-data"),
        EcsRole::new().endpoint("ftp://100.100.100.200"),
        EcsRole::new().endpoint("http://"),
    ] {
        let error = role.build().unwrap_err();
        assert!(
            matches!(error.kind(), ErrorKind::InvalidInput { .. }),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_writer_goes_on_when_the_instances_key_changes() {
    let expiring = key_json("STS.1");
    let play = [ok("t"), ok(&expiring), ok("t"), ok(&key_json("STS.2"))];
    let metadata = ScriptedServer::start(play).await;
    let emulator = start_with(Emulator::builder().sts("STS.1", SECRET, TOKEN)).await;
    let provider = of_role(&metadata, "role");
    let client = emulator.client().credentials(provider).build().unwrap();
    let builder = OssAppendWriter::builder(client, object());
    let mut writer = builder.open().await.unwrap();
    writer.write_all(b"before, ").await.unwrap();
    writer.sync().await.unwrap();
    emulator.add_sts("STS.2", SECRET, TOKEN);
    emulator.expire_sts("STS.1");
    writer.write_all(b"after").await.unwrap();
    writer.shutdown().await.unwrap();
    assert_eq!(content(&emulator), b"before, after");
    assert_eq!(metadata.requests().len(), 4);
}

#[tokio::test]
async fn a_rate_limited_service_is_asked_less_and_less() {
    let busy = || [ok("t"), Play::Send(answer("429 Often", &[], ""))];
    let play = busy().into_iter().chain([ok("t"), ok(&key_json("STS.1"))]);
    let metadata = ScriptedServer::start(play).await;
    let emulator = start_with(Emulator::builder().sts("STS.1", SECRET, TOKEN)).await;
    let provider = of_role(&metadata, "role");
    let client = emulator.client().credentials(provider).build().unwrap();
    let began = SystemTime::now();
    let writer = OssAppendWriter::builder(client, object()).open().await;
    writer.unwrap().shutdown().await.unwrap();
    assert!(began.elapsed().unwrap() >= SEC / 2);
    assert_eq!(metadata.requests().len(), 4);
}
