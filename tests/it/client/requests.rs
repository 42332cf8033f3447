//! What the client sends, when it sends nothing, and with which time and credentials.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use oss_append::credentials::{
    self, CachedCredentials, Credentials, CredentialsProvider, StaticCredentials,
};
use oss_append::{
    AppendRequest, AppendStore, Batch, ErrorKind, ObjectAcl, ObjectOptions, ObjectPath, Progress,
    RequestOptions,
};

use super::{TOKEN, builder, client, error_document, object, ok};
use crate::support::server::{Play, Recorded, ScriptedServer, answer, head};

#[tokio::test]
async fn an_append_that_may_create_the_object_carries_its_properties_and_a_later_one_does_not() {
    let (client, server) = client([ok(), ok()]).await;
    let options = ObjectOptions::new()
        .acl(ObjectAcl::Private)
        .cache_control("no-cache")
        .meta("origin", "sensor")
        .and_then(|options| options.tag("team", "a b"))
        .unwrap();
    for position in [0, 11] {
        client
            .append_object(&object(), "hello world")
            .position(position)
            .options(options.clone())
            .send()
            .await
            .unwrap();
    }
    let [first, later] = <[_; 2]>::try_from(server.requests()).unwrap();
    assert_eq!(first.line(), "POST /logs/a/b.txt?append&position=0");
    assert_eq!(later.line(), "POST /logs/a/b.txt?append&position=11");
    for (name, value) in [
        ("x-oss-object-acl", "private"),
        ("cache-control", "no-cache"),
        ("x-oss-meta-origin", "sensor"),
        ("x-oss-tagging", "team=a%20b"),
    ] {
        assert_eq!(first.header(name), Some(value));
        assert_eq!(later.header(name), None, "{name}");
    }
    for request in [&first, &later] {
        assert_eq!(request.body, b"hello world");
        for (name, value) in [
            ("content-type", "text/plain"),
            ("content-length", "11"),
            ("x-oss-content-sha256", "UNSIGNED-PAYLOAD"),
            ("x-oss-security-token", TOKEN),
            (
                "user-agent",
                concat!("oss-append/", env!("CARGO_PKG_VERSION")),
            ),
        ] {
            assert_eq!(request.header(name), Some(value), "{name}");
        }
        let authorization = request.header("authorization").unwrap();
        assert!(authorization.starts_with("OSS4-HMAC-SHA256 Credential=LTAI-the-access-key-id/"));
        assert!(authorization.contains("/cn-hangzhou/oss/aliyun_v4_request,Signature="));
    }
}

#[tokio::test]
async fn a_store_append_that_creates_nothing_carries_no_properties() {
    let (client, server) = client([ok()]).await;
    let mut request = AppendRequest::new(object(), 0, "hello world");
    request.options = RequestOptions::new()
        .traffic_limit(819_200)
        .unwrap()
        .requester_pays(true)
        .content_md5(true);
    client.append(request).await.unwrap();
    let request = server.request();
    for (name, value) in [
        ("x-oss-traffic-limit", "819200"),
        ("x-oss-request-payer", "requester"),
        ("content-md5", "XrY7u+Ae7tCTyyK7j1rNww=="),
    ] {
        assert_eq!(request.header(name), Some(value));
    }
    assert!(
        !request
            .headers
            .iter()
            .any(|(name, _)| name.starts_with("x-oss-meta"))
    );
    assert_eq!(request.header("x-oss-tagging"), None);
}

#[tokio::test]
async fn a_body_has_its_exact_length_and_reports_its_progress() {
    let (client, server) = client([ok(), ok()]).await;
    let chunks: Batch = (0..100).map(|n| Bytes::from(vec![n; 3000])).collect();
    let progress = Progress::new();
    let append = client.append_object(&object(), chunks.clone());
    append.progress(progress.clone()).send().await.unwrap();
    client.append_object(&object(), "").send().await.unwrap();

    let [large, empty] = <[_; 2]>::try_from(server.requests()).unwrap();
    assert_eq!(large.header("content-length"), Some("300000"));
    assert_eq!(large.body, chunks.chunks().concat());
    assert_eq!(progress.bytes(), 300_000);
    assert_eq!(empty.header("content-length"), Some("0"));
    for request in [large, empty] {
        assert_eq!(request.header("transfer-encoding"), None);
    }
}

#[tokio::test]
async fn bodies_go_no_faster_than_the_client_allows() {
    let server = ScriptedServer::start([ok()]).await;
    let client = builder(&server).max_upload_rate(100_000).build().unwrap();
    let start = std::time::Instant::now();
    let append = client.append_object(&object(), vec![7; 20_000]);
    append.send().await.unwrap();
    // All but the last frame, which is a twentieth of a second's.
    assert!(start.elapsed() >= std::time::Duration::from_millis(150));
    assert_eq!(server.request().body.len(), 20_000);
}

#[tokio::test]
async fn keys_reach_the_wire_unchanged() {
    let keys = [
        ("a?b#c%d", "a%3Fb%23c%25d"),
        ("x/../y", "x%2F..%2Fy"),
        ("./+ é/", ".%2F%2B%20%C3%A9%2F"),
        ("a//b/", "a//b/"),
    ];
    let (client, server) = client(keys.map(|_| ok())).await;
    for (key, target) in keys {
        let object = ObjectPath::new("logs", key).unwrap();
        client.append_object(&object, "x").send().await.unwrap();
        let sent = server.requests().pop().unwrap();
        assert_eq!(sent.target, format!("/logs/{target}?append&position=0"));
    }
}

#[tokio::test]
async fn the_other_operations_have_their_own_requests() {
    let sealed = [("x-oss-sealed-time", "Sat, 16 Dec 2023 16:20:57 GMT")];
    let (client, server) = client([
        Play::Send(answer("200 OK", &sealed, "")),
        Play::Send(answer("200 OK", &[("x-oss-hash-crc64ecma", "7")], "")),
        Play::Send(head("204 No Content", &[("x-oss-delete-marker", "true")])),
        Play::Send(answer("200 OK", &[], "")),
    ])
    .await;
    let seal = client
        .seal_append_object(&object(), 7)
        .send()
        .await
        .unwrap();
    assert!(seal.sealed_time.is_some());
    let put = client.put_object(&object(), "x").forbid_overwrite(true);
    assert_eq!(put.send().await.unwrap().crc64, Some(7));
    assert!(
        client
            .delete_object(&object())
            .send()
            .await
            .unwrap()
            .delete_marker
    );
    client.create_bucket("logs").send().await.unwrap();

    let lines: Vec<String> = server.requests().iter().map(|r| r.line()).collect();
    assert_eq!(
        lines,
        [
            "POST /logs/a/b.txt?position=7&seal",
            "PUT /logs/a/b.txt",
            "DELETE /logs/a/b.txt",
            "PUT /logs/",
        ]
    );
    assert_eq!(
        server.requests()[1].header("x-oss-forbid-overwrite"),
        Some("true")
    );
    for (request, length) in server.requests().iter().zip(["0", "1", "", "0"]) {
        assert_eq!(request.header("content-length").unwrap_or_default(), length);
    }
}

#[tokio::test]
async fn what_asks_about_objects_asks_caches_for_nothing_and_what_changes_them_does_not() {
    let (client, server) = client((0..7).map(|_| ok())).await;
    // Not all of them get the answer that they need.
    let _ = client.head_object(&object()).send().await;
    let _ = client.get_object(&object()).send().await;
    let _ = client.list_objects("logs").send().await;
    let _ = client.append_object(&object(), "x").send().await;
    let _ = client.seal_append_object(&object(), 1).send().await;
    let _ = client.put_object(&object(), "x").send().await;
    let _ = client.delete_object(&object()).send().await;

    let requests = server.requests();
    let asked = |request: &Recorded| request.header("cache-control").map(str::to_owned);
    let asked: Vec<_> = requests.iter().map(asked).collect();
    let no_cache = Some("no-cache".to_owned());
    let expected = [
        no_cache.clone(),
        no_cache.clone(),
        no_cache,
        None,
        None,
        None,
        None,
    ];
    assert_eq!(asked, expected);
    for request in requests {
        let authorization = request.header("authorization").unwrap();
        let names = authorization.contains("AdditionalHeaders");
        assert!(!names, "caches may change it: {authorization}");
    }
}

#[tokio::test]
async fn what_cannot_be_sent_is_refused_before_it_is() {
    let (client, server) = client([]).await;
    let options = ObjectOptions::new().content_type("text/plain\r\nx-oss-object-acl: public-read");
    let error = client
        .append_object(&object(), "x")
        .options(options)
        .send()
        .await
        .unwrap_err();
    assert!(error.to_string().contains("content-type"), "{error}");
    let error = client.create_bucket("No_Bucket").send().await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::InvalidInput { .. }));
    let broken = StaticCredentials::new("i\nd", "secret");
    let client = builder(&server).credentials(broken).build().unwrap();
    let error = client.head_object(&object()).send().await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Credentials { .. }));
    let empty = StaticCredentials::new("id", "");
    let client = builder(&server).credentials(empty).build().unwrap();
    let error = client.head_object(&object()).send().await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Credentials { .. }));
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn a_refused_signing_time_corrects_the_clock_once() {
    let skewed = || {
        let time = "<ServerTime>2031-05-04T03:02:01.000Z</ServerTime>";
        let body = error_document("RequestTimeTooSkewed", time);
        Play::Send(answer("403 Forbidden", &[], &body))
    };
    let (client, server) = client([skewed(), skewed(), ok()]).await;
    let corrected = async || {
        let error = client
            .append_object(&object(), "x")
            .send()
            .await
            .unwrap_err();
        error.service_error().unwrap().clock_corrected
    };
    assert!(corrected().await);
    assert!(
        !corrected().await,
        "the time was right: signing again would change nothing"
    );
    client.append_object(&object(), "x").send().await.unwrap();
    let date = server.requests()[2]
        .header("x-oss-date")
        .unwrap()
        .to_owned();
    assert!(date.starts_with("20310504T0302"), "{date}");
}

#[derive(Debug, Default)]
struct Rotating {
    serial: Mutex<u32>,
    refused: Mutex<Vec<String>>,
}

impl CredentialsProvider for Rotating {
    fn credentials(&self) -> BoxFuture<'_, oss_append::Result<Credentials>> {
        Box::pin(async {
            let mut serial = self.serial.lock().unwrap();
            *serial += 1;
            Ok(Credentials::new(format!("id-{serial}"), "secret"))
        })
    }

    fn invalidate(&self, refused: &Credentials) {
        self.refused
            .lock()
            .unwrap()
            .push(refused.access_key_id().to_owned());
    }
}

#[tokio::test]
async fn the_provider_is_asked_for_each_request_and_after_a_refusal_and_told_what_was_refused() {
    let expired = answer(
        "403 Forbidden",
        &[],
        &error_document("SecurityTokenExpired", ""),
    );
    let denied = answer("403 Forbidden", &[], &error_document("AccessDenied", ""));
    let server = ScriptedServer::start([ok(), Play::Send(expired), Play::Send(denied)]).await;
    let provider = Arc::new(Rotating::default());
    let client = builder(&server)
        .credentials(provider.clone())
        .build()
        .unwrap();
    for _ in 0..3 {
        let _ = client.append_object(&object(), "x").send().await;
    }
    assert_eq!(*provider.refused.lock().unwrap(), ["id-2"]);
    assert!(
        server.requests()[2]
            .header("authorization")
            .unwrap()
            .contains("Credential=id-4/")
    );
}

fn refused(code: &str) -> Play {
    let body = error_document(code, "<ServerTime>2031-05-04T03:02:01.000Z</ServerTime>");
    Play::Send(answer("403 Forbidden", &[], &body))
}

#[tokio::test]
async fn a_wrong_clock_an_expired_token_and_a_replaced_secret_are_each_mended_in_any_order() {
    const CLOCK: &str = "RequestTimeTooSkewed";
    const TOKEN: &str = "SecurityTokenExpired";
    const SECRET: &str = "SignatureDoesNotMatch";
    for order in [
        [CLOCK, TOKEN, SECRET],
        [CLOCK, SECRET, TOKEN],
        [TOKEN, CLOCK, SECRET],
        [TOKEN, SECRET, CLOCK],
        [SECRET, CLOCK, TOKEN],
        [SECRET, TOKEN, CLOCK],
    ] {
        let plays = order.map(refused).into_iter().chain([ok()]);
        let server = ScriptedServer::start(plays).await;
        let source = Arc::new(Rotating::default());
        let provider = CachedCredentials::new(source.clone());
        let client = builder(&server).credentials(provider).build().unwrap();

        for code in order {
            let sent = client.append_object(&object(), "x").send().await;
            let error = sent.unwrap_err();
            let answer = error.service_error().unwrap();
            let mended = (answer.clock_corrected, answer.credentials_renewed);
            assert_eq!(mended, (code == CLOCK, code != CLOCK), "{code} {order:?}");
        }
        client.append_object(&object(), "x").send().await.unwrap();

        assert_eq!(*source.refused.lock().unwrap(), ["id-1", "id-2"]);
        let last = server.requests().pop().unwrap();
        assert!(last.header("x-oss-date").unwrap().starts_with("20310504"));
        let authorization = last.header("authorization").unwrap();
        assert!(authorization.contains("Credential=id-3/"), "{order:?}");
    }
}

#[tokio::test]
async fn a_secret_that_stays_wrong_is_fetched_anew_once_a_minute_and_told_as_it_is() {
    let mismatch = || refused("SignatureDoesNotMatch");
    let server = ScriptedServer::start([mismatch(), mismatch(), mismatch(), mismatch()]).await;
    let fetches = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&fetches);
    let provider = credentials::from_fn(move || {
        *counted.lock().unwrap() += 1;
        async { Ok(Credentials::new("id", "wrong")) }
    });
    let client = builder(&server).credentials(provider).build().unwrap();
    let is_renewed = async || {
        let sent = client.append_object(&object(), "x").send().await;
        let error = sent.unwrap_err();
        let answer = error.service_error().unwrap();
        assert_eq!(answer.code, "SignatureDoesNotMatch");
        answer.credentials_renewed
    };

    for _ in 0..3 {
        assert!(!is_renewed().await);
    }
    assert_eq!(*fetches.lock().unwrap(), 2);

    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(61)).await;
    tokio::time::resume();
    assert!(!is_renewed().await);
    assert_eq!(*fetches.lock().unwrap(), 3);
}

#[tokio::test]
async fn of_requests_with_a_replaced_secret_each_is_told_to_try_again_after_one_fetch() {
    let plays = (0..4).map(|_| refused("SignatureDoesNotMatch"));
    let server = ScriptedServer::start(plays).await;
    let source = Arc::new(Rotating::default());
    let provider = CachedCredentials::new(source.clone());
    let client = builder(&server).credentials(provider).build().unwrap();
    let object = object();
    let append = || client.append_object(&object, "x").send();
    let outcomes = futures::future::join_all((0..4).map(|_| append())).await;
    for outcome in outcomes {
        let error = outcome.unwrap_err();
        assert!(error.service_error().unwrap().credentials_renewed);
    }
    assert_eq!(*source.serial.lock().unwrap(), 2);
}

/// Panics where it is told to, the first time.
#[derive(Debug)]
struct Panicking {
    at: &'static str,
    panicked: AtomicBool,
}

impl Panicking {
    fn reach(&self, place: &str) {
        if place == self.at && !self.panicked.swap(true, Relaxed) {
            panic!("in {place}");
        }
    }
}

impl CredentialsProvider for Panicking {
    fn credentials(&self) -> BoxFuture<'_, oss_append::Result<Credentials>> {
        self.reach("the call");
        Box::pin(async {
            self.reach("the future");
            Ok(Credentials::new("id", "secret"))
        })
    }

    fn invalidate(&self, _: &Credentials) {
        self.reach("invalidate");
    }
}

#[tokio::test]
async fn a_provider_that_panics_fails_its_request_and_no_other() {
    for at in ["the call", "the future", "invalidate"] {
        let plays = [refused("SecurityTokenExpired"), ok()];
        let plays = plays.into_iter().skip(usize::from(at != "invalidate"));
        let server = ScriptedServer::start(plays).await;
        let panicked = AtomicBool::new(false);
        let provider = Arc::new(Panicking { at, panicked });
        let client = builder(&server).credentials(provider.clone());
        let client = client.build().unwrap();

        let failed = client
            .append_object(&object(), "x")
            .send()
            .await
            .unwrap_err();
        let of_provider = matches!(failed.kind(), ErrorKind::Credentials { .. });
        assert_eq!(of_provider, at != "invalidate", "{at}: {failed}");
        assert!(provider.panicked.load(Relaxed), "{at}");
        client.append_object(&object(), "x").send().await.unwrap();
    }
}
