//! How objects are opened, limits, and sealing.

use std::time::Duration;

use futures::FutureExt;
use oss_append::{Backoff, ConflictCause, ErrorKind, FlushMode, ObjectKind};
use proptest::prelude::*;
use tokio::io::AsyncWriteExt;
use tokio::time::Instant;

use crate::support::store::{Fault, Object, Op, SimStore, broken, service, unreachable};
use crate::support::{SEC, appender, cases, conflict_cause, object, writer};

#[tokio::test(start_paused = true)]
async fn a_missing_bucket_is_named_before_any_byte_is_accepted() {
    let store = SimStore::new();
    store.fail_head(service(404, "NoSuchBucket"));
    let error = writer(&store).open().await.unwrap_err();
    assert_eq!(error.service_error().unwrap().code, "NoSuchBucket");
    assert_eq!(error.operation(), Some("open"));
    assert_eq!(error.object().unwrap().bucket(), "bucket");
}

#[tokio::test(start_paused = true)]
async fn a_normal_object_is_refused_and_left_alone() {
    let store = SimStore::new();
    let mut normal = Object::appendable("precious");
    normal.kind = ObjectKind::Other("Normal".into());
    store.world().object = Some(normal.clone());
    let error = writer(&store).open().await.unwrap_err();
    let expected = oss_append::Error::not_appendable(Some("Normal".into()));
    assert_eq!(error.kind(), expected.kind());
    assert_eq!(store.world().object, Some(normal));
}

#[tokio::test(start_paused = true)]
async fn a_sealed_object_is_refused() {
    let store = SimStore::holding("x");
    store.world().object.as_mut().unwrap().sealed = true;
    let error = writer(&store).open().await.unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Sealed);
}

#[tokio::test(start_paused = true)]
async fn create_new_refuses_an_existing_object() {
    for content in ["", "x"] {
        let store = SimStore::holding(content);
        let error = writer(&store).create_new().open().await.unwrap_err();
        assert_eq!(conflict_cause(&error), ConflictCause::Exists);
        assert_eq!(store.text(), content);
        assert_eq!(store.ops(), [Op::Head]);
    }
}

#[tokio::test(start_paused = true)]
async fn create_new_creates_the_object_at_once_whatever_is_lost() {
    for fault in [
        Fault::none(),
        Fault::lost_answer(),
        Fault::lost_request(),
        Fault::error(503, "ServiceUnavailable"),
    ] {
        let store = SimStore::new();
        store.fault(fault);
        let mut writer = writer(&store).create_new().open().await.unwrap();
        assert_eq!(store.length(), Some(0));
        writer.write_all(b"x").await.unwrap();
        writer.shutdown().await.unwrap();
        assert_eq!(store.text(), "x");
    }
}

#[tokio::test(start_paused = true)]
async fn create_new_that_loses_the_race_is_a_conflict() {
    let store = SimStore::new();
    store.fault(Fault::none().foreign_before("theirs"));
    let error = writer(&store).create_new().open().await.unwrap_err();
    assert_eq!(conflict_cause(&error), ConflictCause::Foreign);
    assert_eq!(store.text(), "theirs");
}

#[tokio::test(start_paused = true)]
async fn nothing_written_creates_nothing_unless_asked() {
    let store = SimStore::new();
    let mut plain = writer(&store).open().await.unwrap();
    plain.shutdown().await.unwrap();
    assert_eq!(store.world().object, None);

    let mut new = writer(&store).create_new().open().await.unwrap();
    new.shutdown().await.unwrap();
    assert_eq!(store.length(), Some(0));
}

#[tokio::test(start_paused = true)]
async fn opening_is_retried_within_the_budget() {
    let store = SimStore::holding("x");
    store
        .fail_head(broken())
        .fail_head(unreachable())
        .fail_head(service(500, "InternalError"));
    assert_eq!(writer(&store).open().await.unwrap().position(), 1);

    store.go_down(unreachable());
    let start = Instant::now();
    let error = writer(&store)
        .delivery_timeout(5 * SEC)
        .open()
        .await
        .unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::RetriesExhausted { .. }));
    assert!(start.elapsed() <= 5 * SEC);
}

#[tokio::test(start_paused = true)]
async fn options_that_do_not_go_together_are_refused() {
    let store = SimStore::new();
    let builders = [
        writer(&store).batch_size(0),
        writer(&store).batch_size(10).max_append_size(9),
        writer(&store).max_append_size(10).buffer_capacity(19),
        writer(&store).delivery_timeout(Duration::ZERO),
        writer(&store).attempt_timeout(Duration::ZERO),
        writer(&store).max_object_size(0),
        writer(&store).shared(true).create_new(),
        writer(&store)
            .shared(true)
            .replay(oss_append::Checkpoint::start(object())),
    ];
    for builder in builders {
        let error = builder.open().await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::InvalidInput { .. }));
    }
    assert!(store.ops().is_empty(), "refused before anything is sent");
}

#[tokio::test(start_paused = true)]
async fn options_given_alone_adjust_their_neighbours() {
    let store = SimStore::new();
    for builder in [
        writer(&store).batch_size(32 << 20),
        writer(&store).max_append_size(64 << 20),
        writer(&store).max_append_size(1000),
    ] {
        builder.open().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn the_sizes_not_asked_for_are_those_documented() {
    let store = SimStore::new();
    let mut with_small_appends = writer(&store)
        .max_append_size(1 << 20)
        .open()
        .await
        .unwrap();
    let data = vec![1; 17 << 20];
    assert_eq!(with_small_appends.write(&data).await.unwrap(), 16 << 20);

    let store = SimStore::new();
    let mut writer = writer(&store).open().await.unwrap();
    writer.write_all(&data[..(1 << 20) - 1]).await.unwrap();
    tokio::time::sleep(SEC / 2).await;
    assert!(store.appends().is_empty());
    writer.write_all(b"x").await.unwrap();
    tokio::time::sleep(SEC / 4).await;
    assert_eq!(store.appends(), [(0, 1 << 20)]);
}

#[tokio::test(start_paused = true)]
async fn an_append_beyond_the_object_limit_is_refused_before_it_is_sent() {
    let store = SimStore::new();
    let mut writer = writer(&store)
        .max_object_size(10)
        .batch_size(4)
        .max_append_size(4)
        .open()
        .await
        .unwrap();
    writer.write_all(b"0123456789ab").await.unwrap();
    let error = writer.shutdown().await.unwrap_err();
    assert!(matches!(
        error.kind(),
        ErrorKind::ObjectFull {
            limit: 10,
            length: 8,
            batch: 4,
            ..
        }
    ));
    assert_eq!(store.text(), "01234567", "everything before it is durable");
    let unsent = writer.into_unsent().unwrap();
    assert_eq!(
        (unsent.position, unsent.chunks.concat()),
        (8, b"89ab".to_vec())
    );
    assert_eq!(unsent.in_doubt, 0);
}

#[tokio::test(start_paused = true)]
async fn an_object_may_be_filled_to_its_limit() {
    let store = SimStore::holding("01234");
    let mut writer = writer(&store).max_object_size(10).open().await.unwrap();
    writer.write_all(b"56789").await.unwrap();
    writer.shutdown().await.unwrap();
    assert_eq!(store.text(), "0123456789");
}

#[tokio::test(start_paused = true)]
async fn shutdown_seals_if_asked() {
    let store = SimStore::new();
    let mut writer = writer(&store).seal_on_shutdown(true).open().await.unwrap();
    writer.write_all(b"x").await.unwrap();
    writer.sync().await.unwrap();
    assert!(!store.world().object.as_ref().unwrap().sealed);
    writer.shutdown().await.unwrap();
    assert!(store.world().object.as_ref().unwrap().sealed);
    assert_eq!(store.ops().last(), Some(&Op::Seal(1)));
}

#[tokio::test(start_paused = true)]
async fn sealing_nothing_does_nothing() {
    let store = SimStore::new();
    let mut appender = appender(&store).open().await.unwrap();
    appender.seal().await.unwrap();
    assert_eq!(store.ops(), [Op::Head]);
}

#[tokio::test(start_paused = true)]
async fn sealing_is_refused_when_somebody_appended() {
    let store = SimStore::holding("x");
    let mut appender = appender(&store).open().await.unwrap();
    store.foreign("y");
    let error = appender.seal().await.unwrap_err();
    assert_eq!(conflict_cause(&error), ConflictCause::Foreign);
    assert!(!store.world().object.as_ref().unwrap().sealed);
}

#[tokio::test(start_paused = true)]
async fn sealing_twice_succeeds() {
    let store = SimStore::holding("x");
    let mut appender = appender(&store).open().await.unwrap();
    appender.seal().await.unwrap();
    appender.seal().await.unwrap();
    let error = appender.append("y").await.unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Sealed);
}

#[tokio::test(start_paused = true)]
async fn a_seal_whose_answer_is_lost_is_found_by_a_look() {
    let store = SimStore::holding("x");
    let mut appender = appender(&store).open().await.unwrap();
    store.fail_seal(true, broken());
    appender.seal().await.unwrap();
    assert_eq!(store.ops(), [Op::Head, Op::Seal(1), Op::Head]);

    let store = SimStore::holding("x");
    let mut appender = crate::support::appender(&store).open().await.unwrap();
    store.fail_seal(false, service(503, "ServiceUnavailable"));
    appender.seal().await.unwrap();
    assert!(store.world().object.as_ref().unwrap().sealed);
}

#[tokio::test(start_paused = true)]
async fn a_seal_that_is_not_enabled_fails_and_leaves_the_appender_well() {
    let store = SimStore::holding("x");
    let mut appender = appender(&store).open().await.unwrap();
    store.fail_seal(false, service(400, "OperationNotSupported"));
    let error = appender.seal().await.unwrap_err();
    assert_eq!(error.service_error().unwrap().code, "OperationNotSupported");
    assert_eq!(error.operation(), Some("seal"));
    appender.append("y").await.unwrap();
    assert_eq!(store.text(), "xy");
}

fn size() -> impl Strategy<Value = Option<u64>> {
    let sizes = [0, 1, 2, 3, 1000, u64::MAX / 2, u64::MAX - 1, u64::MAX];
    prop::option::of(prop::sample::select(sizes.to_vec()))
}

fn time() -> impl Strategy<Value = Duration> {
    let times = [Duration::ZERO, Duration::from_nanos(1), SEC, Duration::MAX];
    prop::sample::select(times.to_vec())
}

proptest! {
    #![proptest_config(cases(1000))]

    #[test]
    fn every_value_of_an_option_is_refused_or_works(
        (batch, append, capacity, object) in (size(), size(), size(), size()),
        (linger, attempt, delivery, interval) in (time(), time(), time(), time()),
        (backoff, shared) in ((time(), time()), any::<bool>()),
        mode in 0..3,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        let store = SimStore::new();
        let mut builder = writer(&store)
            .linger(linger)
            .attempt_timeout(attempt)
            .delivery_timeout(delivery)
            .backoff(Backoff::new(backoff.0, backoff.1))
            .shared(shared)
            .flush_mode(match mode {
                0 => FlushMode::Coalesced { min_interval: interval },
                1 => FlushMode::Durable,
                _ => FlushMode::Handoff,
            });
        if let Some(size) = batch {
            builder = builder.batch_size(size);
        }
        if let Some(size) = append {
            builder = builder.max_append_size(size);
        }
        if let Some(size) = capacity {
            builder = builder.buffer_capacity(size);
        }
        if let Some(size) = object {
            builder = builder.max_object_size(size);
        }
        let result: oss_append::Result<()> = runtime.block_on(async {
            let mut writer = builder.open().await?;
            for byte in [b"1", b"2"] {
                writer.write_all(byte).await?;
                // It may wait for as long as it was told to.
                if let Some(flushed) = writer.flush().now_or_never() {
                    flushed?;
                }
            }
            writer.write_all(b"3").await?;
            writer.sync().await?;
            writer.shutdown().await
        });
        match result {
            Ok(()) => prop_assert_eq!(store.text(), "123"),
            Err(error) => match error.kind() {
                ErrorKind::InvalidInput { .. } => prop_assert_eq!(error.operation(), Some("open")),
                ErrorKind::ObjectFull { limit, .. } => prop_assert!(*limit < 3),
                _ => prop_assert!(false, "{error}"),
            },
        }
    }
}
