//! Promise 3: a writer that fails for good says why, stays failed, and gives back what is not
//! durable, with the position from which it is missing.

use bytes::Bytes;
use oss_append::{Backoff, Checkpoint, ErrorKind, Landed, TransportCause};
use tokio::io::AsyncWriteExt;
use tokio::time::Instant;

use crate::support::store::{Fault, SimStore, service, unreachable};
use crate::support::{MS, SEC, conflict_cause, object, ours, writer};

#[tokio::test(start_paused = true)]
async fn what_is_not_durable_can_be_taken_back() {
    let store = SimStore::holding("old ");
    let mut writer = writer(&store).batch_size(4).open().await.unwrap();
    writer.write_all(b"good").await.unwrap();
    writer.sync().await.unwrap();
    store.fault(Fault::none().foreign_before("?"));
    writer.write_all(b"lost").await.unwrap();
    writer.write_all(b", and the rest").await.unwrap();
    let error = writer.flush().await.unwrap_err();
    assert_eq!(error.landed(), Some(Landed::No));

    let stats = writer.stats();
    assert_eq!(stats.accepted, 22);
    assert_eq!((stats.durable, stats.buffered, stats.failed), (4, 0, 18));
    let unsent = writer.into_unsent().unwrap();
    assert_eq!((unsent.position, unsent.in_doubt), (8, 0));
    assert_eq!(unsent.chunks.concat(), b"lost, and the rest");
    assert_eq!(&store.content()[..unsent.position as usize], b"old good");
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_landed_is_not_given_back() {
    let store = SimStore::new();
    let mut writer = writer(&store).batch_size(4).open().await.unwrap();
    store.fault(Fault::lost_answer().foreign_after("?"));
    writer.write_all(b"good").await.unwrap();
    let error = writer.flush().await.unwrap_err();
    assert_eq!(error.landed(), Some(Landed::Yes));
    assert_eq!(writer.durable_position(), 4);
    let unsent = writer.into_unsent().unwrap();
    assert!(unsent.is_empty());
    assert_eq!(unsent.position, 4);
}

#[tokio::test(start_paused = true)]
async fn a_torn_batch_gives_back_its_missing_rest() {
    let store = SimStore::new();
    let mut writer = writer(&store).batch_size(4).open().await.unwrap();
    store.fault(Fault::torn(3));
    store.fault(Fault::error(403, "AccessDenied"));
    writer.write_all(b"good").await.unwrap();
    let error = writer.flush().await.unwrap_err();
    assert_eq!(error.service_error().unwrap().code, "AccessDenied");
    let unsent = writer.into_unsent().unwrap();
    assert_eq!(
        (unsent.position, unsent.chunks.concat()),
        (3, b"d".to_vec())
    );
}

#[tokio::test(start_paused = true)]
async fn after_a_failure_every_call_returns_it_and_none_panics() {
    let store = SimStore::new();
    let mut writer = writer(&store).open().await.unwrap();
    store.fault(Fault::error(403, "AccessDenied"));
    writer.write_all(b"x").await.unwrap();
    let message = writer.flush().await.unwrap_err().to_string();
    for _ in 0..2 {
        for error in [
            ours(writer.write(b"y").await.unwrap_err()),
            writer.write_all(b"y").await.unwrap_err(),
            writer.flush().await.unwrap_err(),
            writer.shutdown().await.unwrap_err(),
            writer.sync().await.unwrap_err(),
            writer.write_bytes(Bytes::from("z")).await.unwrap_err(),
            writer.wait_durable(1).await.unwrap_err(),
            writer.copy_from(&mut &b"more"[..]).await.unwrap_err(),
        ] {
            assert_eq!(error.to_string(), message);
        }
    }
    writer.wait_durable(0).await.unwrap();
    assert_eq!(store.appends().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_dead_server_fails_the_writer_within_its_budget() {
    for down in [
        unreachable(),
        crate::support::store::broken(),
        service(503, "ServiceUnavailable"),
    ] {
        let store = SimStore::new();
        let mut writer = writer(&store).open().await.unwrap();
        writer.write_all(b"kept").await.unwrap();
        store.go_down(down.clone());
        let start = Instant::now();
        let error = writer.flush().await.unwrap_err();
        assert!(start.elapsed() <= 120 * SEC, "{:?}", start.elapsed());
        assert!(start.elapsed() >= 110 * SEC, "{:?}", start.elapsed());
        assert!(matches!(error.kind(), ErrorKind::RetriesExhausted { .. }));
        let cause = std::error::Error::source(&error).unwrap();
        assert_eq!(cause.to_string(), down.to_string());
        let unsent = writer.into_unsent().unwrap();
        assert_eq!(unsent.chunks.concat(), b"kept");
        let refused = matches!(
            down.kind(),
            ErrorKind::Transport {
                cause: TransportCause::Connect,
                ..
            }
        );
        // A refused connection has sent nothing; of the others nobody knows.
        assert_eq!(unsent.in_doubt, if refused { 0 } else { 4 });
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_never_answers_fails_the_writer_within_its_budget() {
    let store = SimStore::new();
    let mut writer = writer(&store).open().await.unwrap();
    for _ in 0..100 {
        store.fault(Fault::never());
    }
    writer.write_all(b"kept").await.unwrap();
    let start = Instant::now();
    let error = writer.flush().await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::RetriesExhausted { .. }));
    assert!(start.elapsed() <= 121 * SEC, "{:?}", start.elapsed());
    assert!(store.appends().len() >= 4);
}

#[tokio::test(start_paused = true)]
async fn an_outage_within_the_budget_loses_nothing() {
    let store = SimStore::new();
    let mut writer = writer(&store).open().await.unwrap();
    writer.write_all(b"before ").await.unwrap();
    writer.sync().await.unwrap();
    store.go_down(unreachable());
    writer.write_all(b"meanwhile ").await.unwrap();
    tokio::time::sleep(20 * SEC).await;
    writer.write_all(b"still ").await.unwrap();
    store.come_back();
    writer.write_all(b"after").await.unwrap();
    writer.shutdown().await.unwrap();
    assert_eq!(store.text(), "before meanwhile still after");
}

#[tokio::test(start_paused = true)]
async fn a_transfer_that_moves_is_not_cut_and_counts_as_progress() {
    let store = SimStore::new();
    let mut writer = writer(&store).open().await.unwrap();
    // Five minutes on the way, and then lost.
    store.fault(Fault::lost_request().moving(30, 10 * SEC));
    writer.write_all(b"slow").await.unwrap();
    writer.shutdown().await.unwrap();
    assert_eq!(store.text(), "slow");
    assert_eq!(store.appends().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn moving_no_further_than_before_is_no_progress() {
    for window in [1, 4] {
        let store = SimStore::new();
        let builder = writer(&store).max_in_flight(window);
        let mut writer = builder.open().await.unwrap();
        for _ in 0..100 {
            store.fault(Fault::lost_request().moving(3, 5 * SEC));
        }
        writer.write_all(b"slow").await.unwrap();
        let start = Instant::now();
        let error = writer.shutdown().await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::RetriesExhausted { .. }));
        assert!(start.elapsed() <= 150 * SEC, "{:?}", start.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn the_budget_does_not_run_while_nobody_is_at_work() {
    let store = SimStore::new();
    let mut appender = crate::support::appender(&store).open().await.unwrap();
    store.fault(Fault::never());
    let dropped = tokio::time::timeout(SEC, appender.append("x")).await;
    assert!(dropped.is_err());
    tokio::time::sleep(300 * SEC).await;
    store.fault(Fault::refused());
    appender.settle().await.unwrap();
    assert_eq!(store.text(), "x");
}

#[tokio::test(start_paused = true)]
async fn an_object_that_takes_no_appends_is_not_tried_again() {
    // The look shows an object that could be appended to, and yet OSS refuses.
    for (status, code) in [
        (409, "ObjectNotAppendable"),
        (400, "AppendSealedObjectNotAllowed"),
        (409, "FileImmutable"),
    ] {
        let store = SimStore::new();
        let mut writer = writer(&store).open().await.unwrap();
        for _ in 0..100 {
            store.fault(Fault::error(status, code));
        }
        writer.write_all(b"x").await.unwrap();
        let error = writer.shutdown().await.unwrap_err();
        let expected = match error.kind() {
            ErrorKind::NotAppendable { .. } => code == "ObjectNotAppendable",
            ErrorKind::Sealed => code == "AppendSealedObjectNotAllowed",
            ErrorKind::Service(_) => code == "FileImmutable",
            _ => false,
        };
        assert!(expected, "{error}");
        assert_eq!(error.service_error().unwrap().code, code);
        assert_eq!(error.landed(), Some(Landed::No));
        assert_eq!(store.appends().len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn retries_are_bounded_by_time_and_not_by_count() {
    let store = SimStore::new();
    let mut writer = writer(&store)
        .backoff(Backoff::new(MS, MS))
        .open()
        .await
        .unwrap();
    for _ in 0..1000 {
        store.fault(Fault::refused());
    }
    writer.write_all(b"x").await.unwrap();
    writer.shutdown().await.unwrap();
    assert_eq!(store.text(), "x");
    assert_eq!(writer.stats().retries, 1000);
}

#[tokio::test(start_paused = true)]
async fn the_pauses_between_attempts_grow() {
    fastrand::seed(1);
    let store = SimStore::new();
    let mut writer = writer(&store).open().await.unwrap();
    for _ in 0..9 {
        store.fault(Fault::refused());
    }
    writer.write_all(b"x").await.unwrap();
    let start = Instant::now();
    writer.shutdown().await.unwrap();
    assert!(
        start.elapsed() > 9 * 100 * MS,
        "no pause of the first length at most: {:?}",
        start.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn a_budget_shorter_than_the_first_pause_still_retries() {
    let store = SimStore::new();
    let mut writer = writer(&store)
        .delivery_timeout(50 * MS)
        .backoff(Backoff::new(100 * MS, SEC))
        .open()
        .await
        .unwrap();
    store.fault(Fault::refused());
    writer.write_all(b"x").await.unwrap();
    writer.shutdown().await.unwrap();
    assert_eq!(store.text(), "x");
}

#[tokio::test(start_paused = true)]
async fn the_wait_that_oss_asks_for_is_honoured() {
    let store = SimStore::new();
    let mut writer = writer(&store).open().await.unwrap();
    let mut busy = oss_append::ServiceError::new(503, "ServiceUnavailable");
    busy.retry_after = Some(7 * SEC);
    store.fault(Fault::answered(oss_append::Error::service(busy)));
    writer.write_all(b"x").await.unwrap();
    let start = Instant::now();
    writer.sync().await.unwrap();
    assert!(start.elapsed() >= 7 * SEC);
    let times: Vec<Instant> = store.world().requests.iter().map(|r| r.at).collect();
    assert!(
        times
            .iter()
            .all(|at| *at == start || *at >= start + 7 * SEC),
        "nothing is sent in between"
    );
}

#[tokio::test(start_paused = true)]
async fn the_wait_that_oss_asks_for_is_waited_once() {
    // Whether OSS says so of the append, of the look after it, or of both.
    let no_wait = std::time::Duration::ZERO;
    for (looks, seconds) in [(0, 7), (1, 14)] {
        let store = SimStore::new();
        let mut writer = writer(&store)
            .backoff(Backoff::new(no_wait, no_wait))
            .open()
            .await
            .unwrap();
        let mut busy = oss_append::ServiceError::new(503, "ServiceUnavailable");
        busy.retry_after = Some(7 * SEC);
        let busy = oss_append::Error::service(busy);
        store.fault(Fault::answered(busy.clone()));
        for _ in 0..looks {
            store.fail_head(busy.clone());
        }
        writer.write_all(b"x").await.unwrap();
        let start = Instant::now();
        writer.sync().await.unwrap();
        assert_eq!((store.text().as_str(), store.appends().len()), ("x", 2));
        assert_eq!(start.elapsed(), seconds * SEC);
    }
}

#[tokio::test(start_paused = true)]
async fn a_delay_named_by_a_success_is_honoured_too() {
    let store = SimStore::new();
    let mut writer = writer(&store).open().await.unwrap();
    store.fault(Fault::none().edit(|answer| answer.delay = Some(3 * SEC)));
    writer.write_all(b"x").await.unwrap();
    writer.sync().await.unwrap();
    let start = Instant::now();
    writer.write_all(b"y").await.unwrap();
    writer.sync().await.unwrap();
    assert!(start.elapsed() >= 3 * SEC);
}

#[tokio::test(start_paused = true)]
async fn no_wait_that_oss_asks_for_uses_up_the_budget() {
    let store = SimStore::new();
    let mut writer = writer(&store).open().await.unwrap();
    store.fault(Fault::none().edit(|answer| answer.delay = Some(3600 * SEC)));
    writer.write_all(b"x").await.unwrap();
    writer.sync().await.unwrap();
    let start = Instant::now();
    writer.write_all(b"y").await.unwrap();
    writer.sync().await.unwrap();
    assert_eq!(start.elapsed(), 60 * SEC, "half of the delivery timeout");
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_asks_for_an_hour_gets_a_minute() {
    let store = SimStore::new();
    let mut writer = writer(&store)
        .delivery_timeout(10 * 3600 * SEC)
        .open()
        .await
        .unwrap();
    store.fault(Fault::answered(asks_for_an_hour()));
    writer.write_all(b"x").await.unwrap();
    let start = Instant::now();
    writer.sync().await.unwrap();
    let took = start.elapsed();
    assert!((60 * SEC..62 * SEC).contains(&took), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_ends_the_wait_that_an_answer_asked_for() {
    let store = SimStore::new();
    let mut writer = writer(&store).open().await.unwrap();
    store.fault(Fault::answered(asks_for_an_hour()));
    writer.write_all(b"x").await.unwrap();
    assert!(tokio::time::timeout(SEC, writer.sync()).await.is_err());
    let start = Instant::now();
    writer.shutdown().await.unwrap();
    assert!(start.elapsed() <= 2 * SEC, "{:?}", start.elapsed());
    assert_eq!(store.text(), "x");
}

fn asks_for_an_hour() -> oss_append::Error {
    let mut busy = oss_append::ServiceError::new(503, "ServiceUnavailable");
    busy.retry_after = Some(3600 * SEC);
    oss_append::Error::service(busy)
}

#[tokio::test(start_paused = true)]
async fn a_process_that_was_frozen_gets_a_second_attempt() {
    // While the first attempt is under way, and in the pause after it.
    for fault in [Fault::lost_request as fn() -> Fault, Fault::refused] {
        for frozen_after in [10 * MS, 21 * MS] {
            let store = SimStore::new();
            let mut writer = writer(&store)
                .backoff(Backoff::new(SEC, SEC))
                .open()
                .await
                .unwrap();
            store.world().latency = 20 * MS;
            store.fault(fault());
            writer.write_all(b"x").await.unwrap();
            let ended = tokio::spawn(async move { writer.sync().await });
            tokio::time::sleep(frozen_after).await;
            tokio::time::advance(1000 * SEC).await;
            ended.await.unwrap().unwrap();
            assert_eq!(store.text(), "x");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_corrected_clock_and_new_credentials_are_tried_once() {
    let mut skewed = oss_append::ServiceError::new(403, "RequestTimeTooSkewed");
    skewed.clock_corrected = true;
    let skewed = oss_append::Error::service(skewed);
    let expired = service(403, "SecurityTokenExpired");
    for mended in [skewed, expired] {
        let store = SimStore::new();
        let mut good = writer(&store).open().await.unwrap();
        store.fault(Fault::answered(mended.clone()));
        good.write_all(b"x").await.unwrap();
        let start = Instant::now();
        good.shutdown().await.unwrap();
        assert_eq!(start.elapsed(), std::time::Duration::ZERO);
        assert_eq!(store.text(), "x");

        let store = SimStore::new();
        let mut bad = writer(&store).open().await.unwrap();
        store
            .fault(Fault::answered(mended.clone()))
            .fault(Fault::answered(mended));
        bad.write_all(b"x").await.unwrap();
        let error = bad.shutdown().await.unwrap_err();
        assert_eq!(error.landed(), Some(Landed::No));
        assert_eq!(store.appends().len(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_wrong_clock_an_old_token_and_an_unknown_key_are_each_mended_in_any_order() {
    let mut skewed = oss_append::ServiceError::new(403, "RequestTimeTooSkewed");
    skewed.clock_corrected = true;
    let skewed = oss_append::Error::service(skewed);
    let [token, key] =
        ["SecurityTokenExpired", "InvalidAccessKeyId"].map(|code| service(403, code));
    for order in [
        [&skewed, &token, &key],
        [&skewed, &key, &token],
        [&token, &skewed, &key],
        [&token, &key, &skewed],
        [&key, &skewed, &token],
        [&key, &token, &skewed],
    ] {
        let store = SimStore::new();
        let mut writer = writer(&store).open().await.unwrap();
        for error in order {
            store.fault(Fault::answered(error.clone()));
        }
        writer.write_all(b"x").await.unwrap();
        let start = Instant::now();
        writer.shutdown().await.unwrap();
        assert!(start.elapsed().is_zero(), "{order:?}");
        assert_eq!((store.text().as_str(), store.appends().len()), ("x", 4));
    }
}

#[tokio::test(start_paused = true)]
async fn a_page_of_something_between_is_not_the_word_of_oss() {
    let store = SimStore::new();
    let mut writer = writer(&store).open().await.unwrap();
    store.fault(Fault::error(501, ""));
    writer.write_all(b"x").await.unwrap();
    writer.shutdown().await.unwrap();
    assert_eq!((store.text().as_str(), store.appends().len()), ("x", 2));
}

#[tokio::test(start_paused = true)]
async fn a_final_refusal_is_not_retried() {
    for (status, code) in [
        (403, "AccessDenied"),
        (403, "SignatureDoesNotMatch"),
        (404, "NoSuchBucket"),
        (400, "InvalidArgument"),
        (451, "NobodyKnowsThis"),
        (501, "NotImplemented"),
    ] {
        let store = SimStore::new();
        let mut writer = writer(&store).open().await.unwrap();
        store.fault(Fault::error(status, code));
        writer.write_all(b"x").await.unwrap();
        let error = writer.shutdown().await.unwrap_err();
        assert_eq!(error.service_error().unwrap().code, code);
        assert_eq!(error.landed(), Some(Landed::No));
        assert_eq!(store.appends().len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_after_an_ambiguous_attempt_leaves_it_in_doubt() {
    let store = SimStore::new();
    let mut writer = writer(&store).open().await.unwrap();
    store
        .fault(Fault::late())
        .fault(Fault::error(403, "AccessDenied"));
    store.fail_head(service(500, "InternalError"));
    writer.write_all(b"x").await.unwrap();
    let error = writer.shutdown().await.unwrap_err();
    assert_eq!(error.landed(), Some(Landed::InDoubt));
    assert_eq!(writer.into_unsent().unwrap().in_doubt, 1);
}

#[tokio::test(start_paused = true)]
async fn no_refusal_of_a_later_attempt_says_what_became_of_the_first() {
    type Refuse = fn(&SimStore);
    let refusals: [Refuse; 4] = [
        |store| _ = store.fault(Fault::error(403, "AccessDenied")),
        |store| _ = store.fault(Fault::error(403, "")),
        |store| _ = store.fail_head(service(403, "AccessDenied")),
        |store| _ = store.fail_head(service(407, "")),
    ];
    for refuse in refusals {
        let store = SimStore::new();
        let mut writer = writer(&store)
            .batch_size(4)
            .max_append_size(4)
            .open()
            .await
            .unwrap();
        store.fault(Fault::late());
        refuse(&store);
        writer.write_all(b"good, and the rest").await.unwrap();
        let error = writer.shutdown().await.unwrap_err();
        assert_eq!(error.landed(), Some(Landed::InDoubt), "{error}");
        let unsent = writer.into_unsent().unwrap();
        assert_eq!((unsent.position, unsent.in_doubt), (0, 4), "{error}");
        assert_eq!(unsent.chunks.concat(), b"good, and the rest");
        store.land_late();
        assert_eq!(store.text(), "good");
    }
}

#[tokio::test(start_paused = true)]
async fn a_throttled_append_may_have_been_applied() {
    // Found by simulation: 429 after the append was applied, then a refusal for good.
    let store = SimStore::new();
    let mut writer = writer(&store).open().await.unwrap();
    store.fault(Fault::applied_error(429, ""));
    store.fault(Fault::error(403, "AccessDenied"));
    writer.write_all(b"x").await.unwrap();
    writer.shutdown().await.unwrap();
    assert_eq!(store.text(), "x");
    assert_eq!(store.appends().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_in_doubt_is_written_again_in_a_replay_and_not_doubled() {
    for fault in [Fault::lost_answer(), Fault::lost_request()] {
        let store = SimStore::holding("old ");
        let mut failed = writer(&store).batch_size(4).open().await.unwrap();
        store.fault(fault).fail_head(service(403, "AccessDenied"));
        failed.write_all(b"good, and the rest").await.unwrap();
        failed.flush().await.unwrap_err();
        let unsent = failed.into_unsent().unwrap();
        assert!(unsent.in_doubt > 0);

        let mut writer = writer(&store)
            .replay(Checkpoint::new(object(), unsent.position))
            .open()
            .await
            .unwrap();
        for chunk in unsent.chunks {
            writer.write_bytes(chunk).await.unwrap();
        }
        writer.shutdown().await.unwrap();
        assert_eq!(store.text(), "old good, and the rest");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_of_something_between_does_not_say_that_nothing_landed() {
    // A proxy passed the append on, and then answered with a page of its own.
    let store = SimStore::new();
    let mut writer = writer(&store).open().await.unwrap();
    store.fault(Fault::applied_error(403, ""));
    writer.write_all(b"x").await.unwrap();
    writer.shutdown().await.unwrap();
    assert_eq!((store.text().as_str(), store.appends().len()), ("x", 1));

    let store = SimStore::new();
    let mut writer = crate::support::writer(&store).open().await.unwrap();
    store
        .fault(Fault::applied_error(407, ""))
        .fail_head(service(407, ""));
    writer.write_all(b"x").await.unwrap();
    let error = writer.shutdown().await.unwrap_err();
    assert_eq!(error.landed(), Some(Landed::InDoubt));
}

#[tokio::test(start_paused = true)]
async fn a_working_writer_does_not_give_its_bytes_back() {
    let store = SimStore::new();
    let mut writer = writer(&store).open().await.unwrap();
    writer.write_all(b"x").await.unwrap();
    let mut writer = writer.into_unsent().unwrap_err();
    writer.shutdown().await.unwrap();
    assert_eq!(store.text(), "x");
}

#[tokio::test(start_paused = true)]
async fn an_error_names_object_position_and_cause() {
    let store = SimStore::holding("1234");
    let mut writer = writer(&store).open().await.unwrap();
    store.fault(Fault::none().foreign_before("?"));
    writer.write_all(b"xy").await.unwrap();
    let error = writer.flush().await.unwrap_err();
    assert_eq!(conflict_cause(&error), oss_append::ConflictCause::Foreign);
    assert_eq!(
        error.to_string(),
        "append of oss://bucket/object at position 4: another writer has appended to the object: \
         its length should be 6 and is 5; this append is not in the object"
    );
    assert_eq!(
        std::error::Error::source(&error).unwrap().to_string(),
        "OSS answered 409 PositionNotEqualToLength"
    );
}

#[tokio::test(start_paused = true)]
async fn statistics_add_up_at_every_moment() {
    let store = SimStore::new();
    store.world().latency = 10 * MS;
    let mut writer = writer(&store)
        .batch_size(8)
        .max_append_size(16)
        .buffer_capacity(64)
        .open()
        .await
        .unwrap();
    let watcher = writer.clone();
    let adds_up = || {
        let stats = watcher.stats();
        assert_eq!(
            stats.accepted,
            stats.durable + stats.buffered + stats.compared + stats.failed
        );
        stats
    };
    for round in 0..50 {
        if round == 30 {
            store.fault(Fault::lost_request());
        }
        writer.write_all(b"12345").await.unwrap();
        adds_up();
        tokio::time::sleep(3 * MS).await;
        adds_up();
    }
    store.fault(Fault::error(403, "AccessDenied"));
    writer.write_all(b"12345").await.unwrap();
    writer.sync().await.unwrap_err();
    let stats = adds_up();
    assert!(stats.failed > 0 && stats.durable > 0);
    assert!(stats.last_error.is_some() && stats.last_success.is_some());
}

#[tokio::test(start_paused = true)]
async fn an_appender_counts_what_it_does() {
    let store = SimStore::new();
    let mut appender = crate::support::appender(&store).open().await.unwrap();
    let stats = appender.stats();
    assert_eq!((stats.appends, stats.retries, stats.reconciles), (0, 0, 0));
    assert!(stats.last_error.is_none() && stats.last_success.is_none());

    store.fault(Fault::lost_request());
    appender.append("first").await.unwrap();
    appender.append("second").await.unwrap();
    let stats = appender.stats();
    assert_eq!((stats.appends, stats.retries, stats.reconciles), (2, 1, 1));
    assert!(stats.last_error.is_some() && stats.last_success.is_some());
}
