//! Option values at their ends: each is refused when it is given, or works.

use std::ops::Bound;
use std::time::Duration;

use futures::TryStreamExt as _;
use oss_append::client::PresignMethod;
use oss_append::emulator::Emulator;
use oss_append::{Error, ErrorKind, OssClientBuilder, RequestOptions};

use super::object;

const DURATIONS: [Duration; 6] = [
    Duration::ZERO,
    Duration::from_nanos(1),
    Duration::from_secs(i32::MAX as u64),
    Duration::from_secs(i64::MAX as u64),
    Duration::from_secs(u64::MAX),
    Duration::MAX,
];

async fn start() -> Emulator {
    let emulator = Emulator::builder().bucket("logs");
    emulator.start().await.unwrap()
}

#[track_caller]
fn assert_refused<T>(outcome: Result<T, Error>, what: &str) {
    match outcome {
        Ok(_) => panic!("{what} was taken"),
        Err(error) => {
            let refused = matches!(error.kind(), ErrorKind::InvalidInput { .. });
            assert!(refused, "{what}: {error}");
        }
    }
}

/// Appends and reads by a client with these options.
async fn use_it(emulator: &Emulator, builder: OssClientBuilder, what: &str) {
    let client = builder.build().unwrap();
    let _ = emulator.delete("logs", object().key());
    for position in [0, 5] {
        let append = client.append_object(&object(), "hello").position(position);
        let appended = append.send().await;
        let next = appended.unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(next.next_position, Some(position + 5), "{what}");
    }
    let got = client.get_object(&object()).send().await.unwrap();
    assert_eq!(got.body.bytes(u64::MAX).await.unwrap(), "hellohello");
    // An idle connection is looked after until it is dropped.
    tokio::task::yield_now().await;
    client.head_object(&object()).send().await.unwrap();
}

#[tokio::test]
async fn every_timeout_of_the_client_is_refused_or_works() {
    type Set = fn(OssClientBuilder, Duration) -> OssClientBuilder;
    let emulator = start().await;
    let options: [(&str, Set, bool); 3] = [
        ("attempt_timeout", OssClientBuilder::attempt_timeout, true),
        ("connect_timeout", OssClientBuilder::connect_timeout, true),
        (
            "pool_idle_timeout",
            OssClientBuilder::pool_idle_timeout,
            false,
        ),
    ];
    for (name, set, is_a_limit) in options {
        for duration in DURATIONS {
            let what = format!("{name} {duration:?}");
            let builder = set(emulator.client(), duration);
            match (is_a_limit, duration) {
                (true, Duration::ZERO) => assert_refused(builder.build(), &what),
                // Too short for most requests.
                (true, duration) if duration < Duration::from_secs(1) => {
                    let client = builder.build().unwrap();
                    if let Err(error) = client.head_object(&object()).send().await {
                        let refused = matches!(error.kind(), ErrorKind::InvalidInput { .. });
                        assert!(!refused, "{what}: {error}");
                    }
                }
                _ => use_it(&emulator, builder, &what).await,
            }
        }
    }
}

#[tokio::test]
async fn every_upload_rate_is_refused_or_works() {
    let emulator = start().await;
    assert_refused(emulator.client().max_upload_rate(0).build(), "a rate of 0");
    for rate in [100, u64::from(u32::MAX), u64::MAX - 1, u64::MAX] {
        let builder = emulator.client().max_upload_rate(rate);
        use_it(&emulator, builder, &format!("a rate of {rate}")).await;
    }
}

#[tokio::test]
async fn every_number_of_a_request_is_refused_or_works() {
    let emulator = start().await;
    let client = emulator.client().build().unwrap();
    for position in [1, i64::MAX as u64, u64::MAX] {
        let append = client.append_object(&object(), "x").position(position);
        let error = append.send().await.unwrap_err();
        let code = &error.service_error().unwrap().code;
        assert_eq!(code, "PositionNotEqualToLength");
        let seal = client.seal_append_object(&object(), position);
        seal.send().await.unwrap_err();
    }
    client
        .append_object(&object(), "hello")
        .send()
        .await
        .unwrap();
    for max_keys in [0, 1, 1000, 1001, u16::MAX] {
        let listed = client.list_objects("logs").max_keys(max_keys).send().await;
        match (1..=1000).contains(&max_keys) {
            true => assert_eq!(listed.unwrap().objects.len(), 1),
            false => assert_refused(listed, "max_keys"),
        }
    }
    for (range, found) in [
        (
            (Bound::Included(0), Bound::Included(u64::MAX)),
            Some("hello"),
        ),
        (
            (Bound::Included(1), Bound::Excluded(u64::MAX)),
            Some("ello"),
        ),
        ((Bound::Included(u64::MAX), Bound::Unbounded), None),
        ((Bound::Excluded(u64::MAX), Bound::Unbounded), None),
        ((Bound::Included(0), Bound::Excluded(0)), None),
    ] {
        let got = client.get_object(&object()).range(range).send().await;
        match (got, found) {
            (Ok(got), Some(found)) => {
                let body: Vec<_> = got.body.try_collect().await.unwrap();
                assert_eq!(body.concat(), found.as_bytes());
            }
            (got, found) => assert_eq!((got.is_ok(), found), (false, None), "{range:?}"),
        }
    }
    for life in DURATIONS {
        let presigned = client.presign(PresignMethod::Get, &object(), life).await;
        assert_refused(presigned, &format!("a life of {life:?}"));
    }
    for limit in [0, 1, u64::MAX] {
        assert_refused(
            RequestOptions::new().traffic_limit(limit),
            "a traffic limit",
        );
    }
}
