//! The start: what is wrong shows in `main`.

use std::sync::Arc;
use std::time::Duration;

use oss_append::credentials::StaticCredentials;
use oss_append::emulator::{ACCESS_KEY_ID, Action, Emulator, Fault, Operation};
use oss_append::{
    Error, ErrorKind, OssClientBuilder, OssLogAppender, OssLogAppenderBuilder, RollingWriter,
    TransportCause,
};

use super::{WATCHDOG, bucket_that_is_down, come_back, eager, objects, until};
use crate::support::bucket::SimBucket;
use crate::support::store::service;
use crate::support::{SEC, emulated, nobody};

fn log(client: OssClientBuilder, bucket: &str) -> OssLogAppenderBuilder<oss_append::OssClient> {
    let client = client.build().unwrap();
    let objects = RollingWriter::builder(client, bucket, "app/{seq}.log").writer(eager);
    OssLogAppender::builder(objects)
}

/// The error of a start, in which nothing was written.
async fn refused(emulator: &Emulator, client: OssClientBuilder, bucket: &str) -> Error {
    emulator.clear_requests();
    let error = log(client, bucket).start().await.unwrap_err();
    // What is refused for its signature is unknown.
    let asks = [
        Operation::ListObjectsV2,
        Operation::HeadObject,
        Operation::Unknown,
    ];
    let requests = emulator.requests();
    assert!(requests.iter().all(|r| asks.contains(&r.operation)));
    assert!((1..5).contains(&requests.len()), "{requests:?}");
    error
}

#[tokio::test]
async fn a_wrong_key_bucket_or_region_is_an_error_that_says_what_to_do() {
    let emulator = emulated::start().await;
    let client = || emulator.client();
    let key = |id, secret| client().credentials(StaticCredentials::new(id, secret));
    for (client, bucket, code, advice) in [
        (
            key("nobody", "x"),
            "bucket",
            "InvalidAccessKeyId",
            "check the access key id",
        ),
        (
            key(ACCESS_KEY_ID, "x"),
            "bucket",
            "SignatureDoesNotMatch",
            "check the access key secret",
        ),
        (
            client(),
            "other",
            "NoSuchBucket",
            "check the name of the bucket",
        ),
        (
            client().region("cn-beijing"),
            "bucket",
            "InvalidArgument",
            "check the region",
        ),
    ] {
        let error = refused(&emulator, client, bucket).await;
        assert_eq!(error.service_error().unwrap().code, code);
        assert!(matches!(error.kind(), ErrorKind::Service(_)), "{error}");
        let text = error.to_string();
        let ec = error.service_error().unwrap().ec.clone().unwrap();
        let object = format!("oss://{bucket}/app/");
        for part in [&*object, code, &*ec, advice] {
            assert!(text.contains(part), "{part} is not in {text}");
        }
        assert!(format!("{error:?}").contains(advice));
    }
}

#[tokio::test]
async fn a_key_that_may_not_read_is_an_error_that_names_the_permissions() {
    let emulator = emulated::start().await;
    let denied = oss_append::emulator::ErrorAnswer::new(403).code("AccessDenied");
    emulator.inject(Fault::on_any(Action::Error(denied)).forever());
    let error = refused(&emulator, emulator.client(), "bucket").await;
    assert!(error.to_string().contains("oss:GetObject"), "{error}");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_an_error_in_time() {
    let emulator = emulated::start().await;
    let start = async |endpoint: String| {
        let client = emulator.client().endpoint(endpoint);
        let started = log(client, "bucket").start_timeout(SEC).start().await;
        started.unwrap_err()
    };
    let dead = start(format!("http://{}", nobody()));
    let unknown = start("http://oss.invalid".into());
    for error in <[Error; 2]>::from(futures::join!(dead, unknown)) {
        assert!(
            matches!(error.kind(), ErrorKind::Transport { .. }),
            "{error}"
        );
        let text = error.to_string();
        assert!(text.contains("oss://bucket/app/{seq}.log"), "{text}");
        assert!(text.contains("check the region or endpoint"), "{text}");
    }
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_an_error_in_time() {
    let emulator = emulated::start().await;
    emulator.inject(Fault::on_any(Action::Stall).forever());
    let log = log(emulator.client(), "bucket").start_timeout(Duration::from_millis(20));
    let error = log.start().await.unwrap_err();
    let timed_out = matches!(
        error.kind(),
        ErrorKind::Transport {
            cause: TransportCause::Timeout,
            ..
        }
    );
    assert!(timed_out, "{error}");
    assert!(
        error.to_string().contains("no answer within 20ms"),
        "{error}"
    );
}

#[tokio::test]
async fn the_last_failure_is_the_error_when_the_time_is_up() {
    let bucket = bucket_that_is_down();
    let log = OssLogAppender::builder(objects(&bucket));
    let error = log.start_timeout(SEC / 5).start().await.unwrap_err();
    assert!(error.to_string().contains("connection refused"), "{error}");
    assert!(bucket.requests() > 1, "it is asked again");
}

#[tokio::test]
async fn what_a_start_has_found_is_not_asked_for_again() {
    let emulator = emulated::start().await;
    emulator
        .append_foreign("bucket", "app/1.log", "before\n")
        .unwrap();
    let (appender, guard) = log(emulator.client(), "bucket").start().await.unwrap();
    let asked = emulator.requests().len();
    assert_eq!(appender.stats().rolling.open.unwrap().position, 7);
    appender.record(b"after\n");
    assert!(guard.close(WATCHDOG).await.is_complete());
    assert_eq!(emulator.requests().len(), asked + 1, "one append");
    let object = emulator.object("bucket", "app/1.log").unwrap();
    assert_eq!(object.bytes, "before\nafter\n");
}

#[tokio::test]
async fn a_start_makes_no_object() {
    let emulator = emulated::start().await;
    let (_appender, guard) = log(emulator.client(), "bucket").start().await.unwrap();
    assert!(guard.close(WATCHDOG).await.is_complete());
    assert_eq!(emulated::objects(&emulator, "").await.len(), 0);
}

/// Without async, on the one thread of this test.
#[tokio::test]
async fn a_start_can_block() {
    let emulator = emulated::start().await;
    let (appender, guard) = log(emulator.client(), "bucket").start_blocking().unwrap();
    appender.record(b"a line\n");
    assert!(guard.shutdown(WATCHDOG).is_complete());
    let object = emulator.object("bucket", "app/1.log").unwrap();
    assert_eq!(object.bytes, "a line\n");
    let error = log(emulator.client(), "other")
        .start_blocking()
        .unwrap_err();
    assert_eq!(error.service_error().unwrap().code, "NoSuchBucket");
}

/// Whatever tokio would have this task wait for.
#[tokio::test]
async fn a_start_that_blocks_in_a_task_whose_turn_is_over_returns() {
    while futures::poll!(std::pin::pin!(tokio::task::consume_budget())).is_ready() {}
    let bucket = SimBucket::new();
    for checked in [true, false] {
        let log = OssLogAppender::builder(objects(&bucket));
        let started = match checked {
            true => log.start_blocking(),
            false => log.start_unchecked(),
        };
        let (_appender, guard) = started.unwrap();
        assert!(guard.shutdown(WATCHDOG).is_complete());
    }
}

#[test]
fn a_start_and_an_end_can_be_awaited_without_tokio() {
    let bucket = SimBucket::new();
    futures::executor::block_on(async {
        let log = OssLogAppender::builder(objects(&bucket));
        let (appender, guard) = log.start().await.unwrap();
        appender.record(b"a line\n");
        assert!(guard.close(WATCHDOG).await.is_complete());
    });
    assert_eq!(bucket.text(), "a line\n");
}

#[tokio::test]
async fn a_server_that_comes_back_in_time_is_no_error() {
    let bucket = bucket_that_is_down();
    let log = OssLogAppender::builder(objects(&bucket)).start_timeout(WATCHDOG);
    let away = bucket.clone();
    let back = std::thread::spawn(move || {
        until("requests", || away.requests() > 3);
        come_back(&away);
    });
    let (appender, guard) = log.start().await.unwrap();
    back.join().unwrap();
    appender.record(b"a line\n");
    assert!(guard.close(WATCHDOG).await.is_complete());
    assert_eq!(bucket.text(), "a line\n");
}

/// What a refusal says is final at the start, and not once the log has started.
#[tokio::test]
async fn a_log_that_has_started_keeps_trying_what_would_have_failed_the_start() {
    let bucket = SimBucket::new();
    let log = || OssLogAppender::builder(objects(&bucket)).start_timeout(WATCHDOG);
    bucket
        .object("log-0001")
        .go_down(service(403, "InvalidAccessKeyId"));
    let error = log().start().await.unwrap_err();
    assert_eq!(error.service_error().unwrap().code, "InvalidAccessKeyId");
    come_back(&bucket);
    let (appender, guard) = log().start().await.unwrap();
    bucket
        .object("log-0001")
        .go_down(service(403, "InvalidAccessKeyId"));
    appender.record(b"a line\n");
    let asked = bucket.requests();
    until("more attempts", || bucket.requests() > asked + 5);
    come_back(&bucket);
    assert!(guard.close(WATCHDOG).await.is_complete());
    assert_eq!(bucket.text(), "a line\n");
}

#[tokio::test]
async fn a_start_that_is_given_up_ends() {
    let bucket = bucket_that_is_down();
    let alive = Arc::new(());
    let held = Arc::clone(&alive);
    let objects = objects(&bucket).on_finished(move |_| drop(Arc::clone(&held)));
    let log = OssLogAppender::builder(objects).start_timeout(Duration::MAX);
    {
        let mut start = std::pin::pin!(log.start());
        assert!(futures::poll!(&mut start).is_pending());
        until("requests", || bucket.requests() > 1);
        assert!(futures::poll!(&mut start).is_pending());
    }
    until("the end of its thread", || Arc::strong_count(&alive) == 1);
    assert_eq!(bucket.text(), "");
}
