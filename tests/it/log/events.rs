//! Events of `tracing`.

use std::io::Write;

use oss_append::{OssLogAppender, WhenFull};
use tracing::info;
use tracing_subscriber::fmt::MakeWriter;

use super::{WATCHDOG, objects};
use crate::support::bucket::SimBucket;
use crate::support::log::with_default;

const EVENTS: usize = 2_000;

/// Nothing but the messages.
fn plain<M>(appender: M) -> impl tracing::Subscriber + Send + Sync
where
    M: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    tracing_subscriber::fmt()
        .with_writer(appender)
        .with_ansi(false)
        .with_level(false)
        .with_target(false)
        .without_time()
        .finish()
}

fn messages(numbers: std::ops::Range<usize>) -> String {
    numbers.map(|n| format!("event {n}\n")).collect()
}

/// Runs `log` with an appender that loses nothing; what is in the bucket afterwards.
fn logged(log: impl FnOnce(OssLogAppender)) -> String {
    let bucket = SimBucket::new();
    let (appender, guard) = OssLogAppender::builder(objects(&bucket).roll_size(5_000))
        .when_full(WhenFull::Block)
        .start_unchecked()
        .unwrap();
    log(appender.clone());
    let report = guard.shutdown(WATCHDOG);
    assert!(report.is_complete() && report.error.is_none(), "{report:?}");
    assert_eq!(report.dropped.records, 0);
    let text = bucket.text();
    assert_eq!(report.delivered, text.len() as u64);
    assert_eq!(appender.stats().rolling.writer.durable, text.len() as u64);
    text
}

#[test]
fn events_arrive_whole_and_in_order() {
    let text = logged(|appender| {
        with_default(plain(appender.clone()), || {
            (0..EVENTS).for_each(|n| info!("event {n}"));
        });
        assert_eq!(appender.stats().records, EVENTS as u64);
    });
    assert_eq!(text, messages(0..EVENTS));
}

#[test]
fn an_event_of_many_lines_is_one_record() {
    let text = logged(|appender| {
        let subscriber = tracing_subscriber::fmt()
            .pretty()
            .with_writer(appender.clone())
            .with_ansi(false)
            .finish();
        with_default(subscriber, || info!(answer = 42, "line\nbreaks\n"));
        assert_eq!(appender.stats().records, 1);
    });
    assert!(text.lines().count() > 3, "{text}");
}

#[test]
fn events_as_json() {
    let text = logged(|appender| {
        let subscriber = tracing_subscriber::fmt()
            .json()
            .with_writer(appender)
            .finish();
        with_default(subscriber, || {
            let _span = tracing::info_span!("span", of = "a\"b").entered();
            (0..EVENTS).for_each(|n| info!(n, "an\nevent"));
        });
    });
    let lines = text.lines().map(|line| {
        let event: serde_json::Value = serde_json::from_str(line).expect(line);
        assert_eq!(event["fields"]["message"], "an\nevent");
        assert_eq!(event["span"]["of"], "a\"b");
        event["fields"]["n"].as_u64().unwrap()
    });
    assert!(lines.eq(0..EVENTS as u64));
}

#[test]
fn from_a_runtime_with_one_thread() {
    let text = logged(|appender| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        with_default(plain(appender), || {
            runtime.block_on(async {
                for n in 0..EVENTS {
                    info!("event {n}");
                    tokio::task::yield_now().await;
                }
            });
        });
    });
    assert_eq!(text, messages(0..EVENTS));
}

#[test]
fn from_a_runtime_with_many_threads_and_after_its_end() {
    let text = logged(|appender| {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .build()
            .unwrap();
        let tasks = (0..4).map(|task| {
            let subscriber = tracing::Dispatch::new(plain(appender.clone()));
            runtime.spawn(async move {
                for n in 0..EVENTS {
                    with_default(subscriber.clone(), || info!("{task} event {n}"));
                    tokio::task::yield_now().await;
                }
            })
        });
        let tasks: Vec<_> = tasks.collect();
        runtime.block_on(async {
            for task in tasks {
                task.await.unwrap();
            }
        });
        drop(runtime);
        with_default(plain(appender), || info!("after the runtime"));
    });
    assert!(text.ends_with("\nafter the runtime\n"));
    for task in 0..4 {
        let mine = text
            .lines()
            .filter(|line| line.starts_with(&format!("{task} ")));
        assert!(mine.eq((0..EVENTS).map(|n| format!("{task} event {n}"))));
    }
    assert_eq!(text.lines().count(), 4 * EVENTS + 1);
}

#[test]
fn an_appender_started_within_a_runtime_outlives_it() {
    let bucket = SimBucket::new();
    let runtime = tokio::runtime::Builder::new_multi_thread().build().unwrap();
    let (appender, guard) = runtime
        .block_on(async { OssLogAppender::builder(objects(&bucket)).start_unchecked() })
        .unwrap();
    runtime.block_on(async { appender.record(b"before\n") });
    drop(runtime);
    appender.record(b"after\n");
    assert!(guard.shutdown(WATCHDOG).is_complete());
    assert_eq!(bucket.text(), "before\nafter\n");
}

#[test]
fn wrong_options_are_an_error_also_within_a_runtime() {
    let start = || {
        let objects = objects(&SimBucket::new()).roll_size(0);
        let error = OssLogAppender::builder(objects)
            .start_unchecked()
            .unwrap_err();
        assert!(error.to_string().contains("roll_size"), "{error}");
    };
    start();
    let runtime = tokio::runtime::Builder::new_current_thread();
    { runtime }.build().unwrap().block_on(async { start() });
}

#[test]
fn for_loggers_that_want_a_writer() {
    let text = logged(|appender| {
        // As `env_logger` and `fern` take it.
        let mut target: Box<dyn Write + Send + 'static> = Box::new(appender.writer());
        for n in 0..EVENTS {
            writeln!(target, "event {n}").unwrap();
        }
    });
    assert_eq!(text, messages(0..EVENTS));
}

#[test]
fn the_guard_can_be_kept_in_a_static() {
    fn check<T: Send + Sync + 'static>() {}
    check::<oss_append::LogGuard>();
    check::<OssLogAppender>();
    check::<oss_append::LogWriter>();
}
