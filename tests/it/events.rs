//! Trouble with delivery is told while it lasts: to a callback, to the program's `tracing`
//! subscriber, and in the statistics.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use oss_append::credentials::StaticCredentials;
use oss_append::{
    DeliveryEvent, ErrorKind, KeyedWriter, OssAppendWriter, OssClient, RollingWriter,
    TransportCause,
};
use tracing::Level;

use crate::support::bucket::SimBucket;
use crate::support::log::{Log, set_default};
use crate::support::store::{Fault, SimStore, service, unreachable};
use crate::support::{SEC, appender, writer};

/// What was told, a word each with the number of failures.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<DeliveryEvent>>>);

impl Told {
    fn callback(&self) -> impl Fn(DeliveryEvent) + Send + Sync + 'static {
        let told = self.clone();
        move |event| told.0.lock().unwrap().push(event)
    }

    fn all(&self) -> Vec<DeliveryEvent> {
        self.0.lock().unwrap().clone()
    }

    fn words(&self) -> Vec<(&'static str, u64)> {
        let word = |event: &DeliveryEvent| match event {
            DeliveryEvent::Failed { failures, .. } => ("failed", *failures),
            DeliveryEvent::Recovered { failures, .. } => ("recovered", *failures),
            DeliveryEvent::GaveUp { failures, .. } => ("gave up", *failures),
            other => panic!("{other:?}"),
        };
        self.all().iter().map(word).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn trouble_is_told_when_it_begins_and_while_it_lasts_and_when_it_is_over() {
    let log = Log::default();
    let _guard = set_default(log.subscriber(Level::DEBUG));
    let store = SimStore::new();
    let told = Told::default();
    let builder = writer(&store).batch_size(4).on_event(told.callback());
    let mut writer = builder.open().await.unwrap();
    writer.write_all(b"good").await.unwrap();
    writer.sync().await.unwrap();
    assert!(told.all().is_empty() && log.text().is_empty());

    for _ in 0..3 {
        store.fault(Fault::error(503, "ServiceUnavailable"));
    }
    writer.write_all(b"later").await.unwrap();
    writer.sync().await.unwrap();
    let words = [
        ("failed", 1),
        ("failed", 2),
        ("failed", 3),
        ("recovered", 3),
    ];
    assert_eq!(told.words(), words);
    let DeliveryEvent::Failed {
        object,
        error,
        failing,
        gives_up_in,
        buffered,
        ..
    } = &told.all()[0]
    else {
        unreachable!()
    };
    assert_eq!(object.to_string(), "oss://bucket/object");
    assert_eq!(error.service_error().unwrap().code, "ServiceUnavailable");
    assert_eq!((*failing, *buffered), (Duration::ZERO, Some(5)));
    assert_eq!(*gives_up_in, Some(120 * SEC));

    let text = log.text();
    let lines: Vec<_> = text.lines().collect();
    let levels = lines.iter().map(|line| {
        assert!(line.contains(" oss_append::delivery: "), "{line}");
        line.split_whitespace().nth(1).unwrap()
    });
    let expected = ["WARN", "DEBUG", "DEBUG", "DEBUG", "INFO"];
    assert_eq!(levels.collect::<Vec<_>>(), expected, "{text}");
    for part in ["oss://bucket/object", "503 ServiceUnavailable", "120.0s"] {
        assert!(lines[0].contains(part), "{part}: {text}");
    }
}

#[tokio::test(start_paused = true)]
async fn giving_up_is_told_once() {
    let log = Log::default();
    let _guard = set_default(log.subscriber(Level::WARN));
    let store = SimStore::new();
    let told = Told::default();
    let builder = writer(&store).batch_size(4).on_event(told.callback());
    let mut writer = builder.delivery_timeout(20 * SEC).open().await.unwrap();
    store.go_down(unreachable());
    writer.write_all(b"lost").await.unwrap();
    writer.sync().await.unwrap_err();
    let words = told.words();
    let failures = words.len() as u64 - 1;
    assert_eq!(words.last(), Some(&("gave up", failures)));
    assert!(
        words[..words.len() - 1]
            .iter()
            .all(|(word, _)| *word == "failed")
    );
    let text = log.text();
    assert_eq!(text.lines().count(), 2, "{text}");
    assert!(
        text.lines().last().unwrap().contains("gave up after"),
        "{text}"
    );
    let stats = writer.stats();
    assert_eq!((stats.failing, stats.failed_requests), (None, failures + 1));

    // Of what is refused at once too, and of no trouble before.
    let store = SimStore::new();
    let told = Told::default();
    let builder = crate::support::writer(&store).on_event(told.callback());
    let mut writer = builder.batch_size(4).open().await.unwrap();
    store.go_down(service(403, "AccessDenied"));
    writer.write_all(b"lost").await.unwrap();
    writer.sync().await.unwrap_err();
    assert_eq!(told.words(), [("gave up", 0)]);
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_that_a_look_settles_is_told_too() {
    let store = SimStore::new();
    let told = Told::default();
    let mut writer = writer(&store)
        .batch_size(4)
        .on_event(told.callback())
        .open()
        .await
        .unwrap();
    store.fault(Fault::lost_answer());
    store.fail_head(service(500, "InternalError"));
    writer.write_all(b"good").await.unwrap();
    writer.sync().await.unwrap();
    let words = [("failed", 1), ("failed", 2), ("recovered", 2)];
    assert_eq!(told.words(), words);
    assert_eq!(writer.stats().failed_requests, 2);
}

#[tokio::test(start_paused = true)]
async fn the_ordinary_is_no_trouble() {
    let store = SimStore::new();
    let told = Told::default();
    let builder = writer(&store).shared(true).on_event(told.callback());
    let mut writer = builder.batch_size(4).open().await.unwrap();
    store.fault(Fault::none().foreign_before("theirs"));
    writer.write_all(b"ours").await.unwrap();
    writer.sync().await.unwrap();
    assert_eq!(store.text(), "theirsours");
    store.fault(Fault::error(403, "SecurityTokenExpired"));
    writer.write_all(b"more").await.unwrap();
    writer.sync().await.unwrap();
    assert!(told.all().is_empty(), "{:?}", told.all());
    assert_eq!(writer.stats().failed_requests, 2);
}

#[tokio::test(start_paused = true)]
async fn the_statistics_know_since_when_nothing_is_delivered() {
    let store = SimStore::new();
    let mut writer = writer(&store).batch_size(4).open().await.unwrap();
    store.go_down(unreachable());
    writer.write_all(b"late").await.unwrap();
    while writer.stats().failed_requests < 4 {
        tokio::time::sleep(SEC).await;
    }
    let failing = writer.stats().failing.expect("it fails");
    assert!(failing >= SEC && failing < 60 * SEC, "{failing:?}");
    store.come_back();
    writer.sync().await.unwrap();
    assert_eq!(writer.stats().failing, None);
}

#[tokio::test(start_paused = true)]
async fn questions_that_fail_are_told_and_counted() {
    let store = SimStore::new();
    let told = Told::default();
    store.fail_head(unreachable()).fail_head(unreachable());
    let builder = appender(&store).on_event(told.callback());
    let appender = builder.open().await.unwrap();
    let words = [("failed", 1), ("failed", 2), ("recovered", 2)];
    assert_eq!(told.words(), words);
    assert_eq!(appender.stats().failed_requests, 2);

    // Those of an appender that gives up, whose caller has the error, only after they were told of.
    let told = Told::default();
    store.go_down(service(403, "AccessDenied"));
    let builder = crate::support::appender(&store).on_event(told.callback());
    builder.open().await.unwrap_err();
    assert!(told.all().is_empty());
    store.go_down(unreachable());
    let builder = crate::support::appender(&store).on_event(told.callback());
    builder.delivery_timeout(SEC).open().await.unwrap_err();
    assert_eq!(told.words().last().unwrap().0, "gave up");
}

#[tokio::test(start_paused = true)]
async fn a_rolling_writer_tells_of_its_lists_and_does_not_give_up_what_it_keeps_trying() {
    let bucket = SimBucket::new();
    let told = Told::default();
    let callback = told.callback();
    let denied = service(403, "AccessDenied");
    bucket.object("log-1").go_down(denied);
    let mut writer = RollingWriter::builder(bucket.clone(), "bucket", "log-{seq}")
        .writer(|writer| writer.batch_size(4).on_event(callback))
        .keep_trying(true)
        .start()
        .unwrap();
    writer.write_all(b"good").await.unwrap();
    while told.all().len() < 3 {
        tokio::time::sleep(SEC).await;
    }
    let stats = writer.stats().writer;
    assert!(
        stats.failing.is_some() && stats.failed_requests >= 3,
        "{stats:?}"
    );
    bucket.object("log-1").come_back();
    writer.sync().await.unwrap();
    let words = told.words();
    let (last, before) = words.split_last().unwrap();
    assert_eq!(*last, ("recovered", before.len() as u64));
    for event in &told.all()[..before.len()] {
        let DeliveryEvent::Failed { gives_up_in, .. } = event else {
            panic!("{event:?}")
        };
        assert_eq!(*gives_up_in, None);
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_tells_of_its_own_object() {
    let bucket = SimBucket::new();
    bucket.object("bad").go_down(service(403, "AccessDenied"));
    let log = Log::default();
    let _guard = set_default(log.subscriber(Level::WARN));
    let told = Told::default();
    let callback = Arc::new(told.callback());
    let writer = KeyedWriter::builder(bucket.clone(), "bucket")
        .writer(move |_, writer| {
            let callback = Arc::clone(&callback);
            writer.on_event(move |event| callback(event))
        })
        .start()
        .unwrap();
    let bad = writer.write("bad", "record\n".into()).await.unwrap();
    bad.written().await.unwrap_err();
    assert_eq!(told.words(), [("gave up", 0)]);
    assert_eq!(told.all()[0].object().key(), "bad");
    assert!(log.text().contains("oss://bucket/bad"), "{}", log.text());
}

#[tokio::test(start_paused = true)]
async fn a_callback_that_panics_ends_nothing() {
    let store = SimStore::new();
    let mut writer = writer(&store)
        .on_event(|_| panic!("in the callback"))
        .open()
        .await
        .unwrap();
    store.fault(Fault::lost_request());
    writer.write_all(b"good").await.unwrap();
    writer.shutdown().await.unwrap();
    assert_eq!(store.text(), "good");
}

#[tokio::test]
async fn a_name_that_is_not_known_is_told_as_that() {
    let client = OssClient::builder()
        .endpoint("http://oss.corp.invalid:9000")
        .region("cn-hangzhou")
        .credentials(StaticCredentials::new("id", "secret"))
        .build()
        .unwrap();
    let told = Told::default();
    let builder = OssAppendWriter::builder(client, crate::support::object());
    let opened = builder.delivery_timeout(SEC / 10).on_event(told.callback());
    opened.open().await.unwrap_err();
    let error = told.all()[0].error().unwrap().clone();
    let ErrorKind::Transport { cause, reason, .. } = error.kind() else {
        panic!("{error}")
    };
    assert_eq!(*cause, TransportCause::UnknownHost, "{reason}");
}
