//! A key that fails fails alone, and nothing of it is lost without being told.

use std::sync::{Arc, Mutex};

use oss_append::{ErrorKind, FailedKey, KeyedWriter, KeyedWriterBuilder, Landed, ObjectKind};

use super::{HANGS, check, keyed, large, put, say};
use crate::support::SEC;
use crate::support::bucket::SimBucket;
use crate::support::store::{Fault, Object, service};

#[derive(Clone, Default)]
struct Failed(Arc<Mutex<Vec<FailedKey>>>);

impl Failed {
    fn of(builder: KeyedWriterBuilder<SimBucket>) -> (KeyedWriter, Self) {
        let failed = Self::default();
        let told = failed.clone();
        let builder = builder.on_failed(move |key| told.0.lock().unwrap().push(key));
        (builder.start().unwrap(), failed)
    }

    fn all(&self) -> Vec<FailedKey> {
        self.0.lock().unwrap().clone()
    }
}

fn unsent(failed: &FailedKey) -> String {
    String::from_utf8(failed.unsent.chunks.concat()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_key_without_permission_fails_its_own_records_only() {
    let bucket = SimBucket::new();
    bucket.object("bad").go_down(service(403, "AccessDenied"));
    let (writer, failed) = Failed::of(keyed(&bucket));
    let bad = [
        put(&writer, "bad", "one").await,
        put(&writer, "bad", "two").await,
    ];
    let good = put(&writer, "good", "three").await;
    good.written().await.unwrap();
    for receipt in &bad {
        let error = receipt.written().await.unwrap_err();
        assert_eq!(error.service_error().unwrap().status, 403);
    }
    let all = failed.all();
    let [only] = &all[..] else { panic!("one") };
    assert_eq!(
        (only.key.as_str(), unsent(only).as_str()),
        ("bad", "onetwo")
    );
    assert_eq!(only.error.service_error().unwrap().code, "AccessDenied");
    let stats = writer.stats();
    assert_eq!((stats.failed, stats.failed_keys, stats.buffered), (6, 1, 0));
    check(&writer);

    // Until it is forgiven, also by everything that speaks for all keys.
    let refused = writer.write("bad", "four".into()).await.unwrap_err();
    assert_eq!(refused.service_error().unwrap().status, 403);
    say(&writer, "good", "five").await;
    for result in [writer.flush().await, writer.sync().await] {
        let error = result.unwrap_err();
        assert_eq!(error.keys().len(), 1);
        assert!(error.get("bad").is_some() && error.get("good").is_none());
    }
    assert_eq!(bucket.texts(), ["threefive"]);

    bucket.object("bad").come_back();
    assert!(writer.forgive("bad").is_some() && writer.forgive("bad").is_none());
    say(&writer, "bad", &unsent(only)).await;
    writer.sync().await.unwrap();
    writer.shutdown().await.unwrap();
    assert_eq!(bucket.texts(), ["onetwo", "threefive"]);
    check(&writer);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_fails_in_mid_stream_gives_back_what_is_missing() {
    let bucket = SimBucket::new();
    let (writer, failed) = Failed::of(keyed(&bucket));
    put(&writer, "a", "first,").await.written().await.unwrap();
    bucket.object("a").fault(Fault::error(403, "AccessDenied"));
    bucket.object("a").world().latency = SEC;
    let second = put(&writer, "a", &"s".repeat(20)).await;
    tokio::time::sleep(SEC / 2).await;
    let third = put(&writer, "a", "third").await;
    assert!(second.written().await.is_err() && third.written().await.is_err());
    let all = failed.all();
    assert_eq!(unsent(&all[0]), format!("{}third", "s".repeat(20)));
    assert_eq!((all[0].unsent.position, all[0].unsent.in_doubt), (6, 0));
    assert_eq!(all[0].error.landed(), Some(Landed::No));
    assert_eq!(bucket.texts(), ["first,"]);
    check(&writer);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_fails_says_what_of_it_may_land_yet() {
    for refusal in [
        Fault::error(403, "AccessDenied"),
        Fault::error(403, ""),
        Fault::late(),
    ] {
        let bucket = SimBucket::new();
        let object = bucket.object("a");
        let (writer, failed) = Failed::of(keyed(&bucket));
        object.fault(Fault::late()).fault(refusal);
        for _ in 0..2 {
            object.fault(Fault::error(403, "AccessDenied"));
        }
        let receipt = put(&writer, "a", "payment").await;
        let error = receipt.written().await.unwrap_err();
        assert_eq!(error.landed(), Some(Landed::InDoubt));
        let all = failed.all();
        assert_eq!(
            (unsent(&all[0]).as_str(), all[0].unsent.in_doubt),
            ("payment", 7)
        );
        object.land_late();
        assert_eq!(bucket.texts(), ["payment"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_that_keeps_trying_has_what_was_in_doubt_once() {
    let bucket = SimBucket::new();
    let object = bucket.object("a-1");
    let builder = large(&bucket).objects(|key| format!("{key}-{{seq}}"));
    let builder = builder.rolling(|_, rolling| rolling.keep_trying(true));
    let writer = builder.start().unwrap();
    object
        .fault(Fault::late())
        .fail_head(service(403, "AccessDenied"));
    let receipt = put(&writer, "a", "one\n").await;
    while object.appends().is_empty() {
        tokio::time::sleep(SEC / 100).await;
    }
    object.land_late();
    assert_eq!(receipt.written().await.unwrap().range, 0..4);
    put(&writer, "a", "two\n").await.written().await.unwrap();
    writer.shutdown().await.unwrap();
    assert_eq!(bucket.texts(), ["one\ntwo\n"]);
}

#[tokio::test(start_paused = true)]
async fn an_object_that_is_not_appendable_stays_as_it_is() {
    let bucket = SimBucket::new();
    let normal = Object {
        kind: ObjectKind::Other("Normal".into()),
        ..Object::appendable("theirs")
    };
    bucket.object("normal").world().object = Some(normal.clone());
    let (writer, failed) = Failed::of(keyed(&bucket));
    let receipt = put(&writer, "normal", "x").await;
    say(&writer, "other", "y").await;
    let error = receipt.written().await.unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::NotAppendable { .. }),
        "{error}"
    );
    let error = writer.shutdown().await.unwrap_err();
    assert!(error.get("normal").is_some());
    assert_eq!(failed.all().len(), 1);
    assert_eq!(bucket.object("normal").world().object, Some(normal));
    assert_eq!(bucket.object("other").text(), "y");
}

#[tokio::test(start_paused = true)]
async fn a_key_that_cannot_be_named_so_is_refused_and_has_not_failed() {
    let bucket = SimBucket::new();
    let writer = keyed(&bucket).start().unwrap();
    for key in ["", "/slash", &"k".repeat(1024), "\\back"] {
        let error = writer.write(key, "x".into()).await.unwrap_err();
        assert!(
            matches!(error.kind(), ErrorKind::InvalidInput { .. }),
            "{error}"
        );
    }
    assert_eq!(writer.stats(), Default::default());
    writer.shutdown().await.unwrap();
    assert_eq!(bucket.requests(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_record_that_does_not_fit_in_its_object_fails_the_key_and_comes_back() {
    let bucket = SimBucket::new();
    let builder = large(&bucket).writer(|_, writer| writer.max_object_size(10));
    let (writer, failed) = Failed::of(builder);
    put(&writer, "a", "12345678").await.written().await.unwrap();
    let second = put(&writer, "a", "9abc").await;
    say(&writer, "b", "0123456789").await;
    let error = second.written().await.unwrap_err();
    assert!(matches!(
        error.kind(),
        ErrorKind::ObjectFull {
            limit: 10,
            length: 8,
            batch: 4,
            ..
        }
    ));
    let error = writer.shutdown().await.unwrap_err();
    assert_eq!(error.keys().len(), 1);
    assert_eq!(unsent(&failed.all()[0]), "9abc");
    assert_eq!(bucket.texts(), ["12345678", "0123456789"]);
}

#[tokio::test(start_paused = true)]
async fn a_receipt_tells_after_the_writer_is_gone() {
    let bucket = SimBucket::new();
    bucket.object("bad").go_down(service(403, "AccessDenied"));
    let writer = large(&bucket).max_open(1).start().unwrap();
    let first = put(&writer, "good", "one,").await;
    let bad = put(&writer, "bad", "two,").await;
    // The same key, opened again.
    let last = put(&writer, "good", "three,").await;
    writer.shutdown().await.unwrap_err();
    drop(writer);
    assert_eq!(first.written().await.unwrap().range, 0..4);
    assert_eq!(last.written().await.unwrap().range, 4..10);
    let error = bad.written().await.unwrap_err();
    assert_eq!(error.service_error().unwrap().code, "AccessDenied");
}

#[tokio::test(start_paused = true)]
async fn a_receipt_that_nobody_keeps_changes_nothing() {
    let bucket = SimBucket::new();
    bucket.object("a").world().latency = SEC;
    let writer = keyed(&bucket).start().unwrap();
    // Dropped before, during and after its append.
    for pause in [SEC / 10, SEC + SEC / 2, 3 * SEC] {
        let receipt = put(&writer, "a", "record,").await;
        let given_up = tokio::time::timeout(pause, receipt.written()).await;
        assert_eq!(given_up.is_ok(), pause == 3 * SEC);
    }
    writer.shutdown().await.unwrap();
    assert_eq!(bucket.texts(), ["record,record,record,"]);
    check(&writer);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_tells_of_every_key_that_failed() {
    let bucket = SimBucket::new();
    let (writer, failed) = Failed::of(keyed(&bucket).max_open(3));
    for number in 0..10 {
        let key = format!("key{number}");
        if number % 2 == 1 {
            bucket.object(&key).go_down(service(403, "AccessDenied"));
        }
        say(&writer, &key, "x").await;
    }
    let error = writer.shutdown().await.unwrap_err();
    let keys: Vec<_> = error.keys().iter().map(|(key, _)| key.clone()).collect();
    assert_eq!(keys, ["key1", "key3", "key5", "key7", "key9"]);
    assert!(
        error.to_string().starts_with("5 keys have failed"),
        "{error}"
    );
    assert_eq!(failed.all().len(), 5, "all have been told by now");
    let again = writer.shutdown().await.unwrap_err();
    assert_eq!(again.keys().len(), 5);
    assert_eq!(writer.failed_keys().len(), 5);
    assert_eq!(writer.stats().durable, 5);
    check(&writer);
}

#[tokio::test(start_paused = true)]
async fn no_more_keys_are_opened_when_too_many_have_failed() {
    let bucket = SimBucket::new();
    for key in 0..20 {
        let object = bucket.object(&key.to_string());
        object.go_down(service(403, "AccessDenied"));
    }
    let writer = large(&bucket).max_failed_keys(5).max_open(3).start();
    let writer = writer.unwrap();
    put(&writer, "open", "one,").await.written().await.unwrap();
    let mut refused = Vec::new();
    for key in 0..20 {
        let key = key.to_string();
        match writer.write(&key, "x".into()).await {
            Ok(receipt) => drop(receipt.written().await.unwrap_err()),
            Err(error) => refused.push(error),
        }
    }
    assert_eq!((writer.stats().failed_keys, refused.len()), (5, 15));
    let error = &refused[0];
    let kind = error.kind();
    assert!(matches!(kind, ErrorKind::TooManyFailedKeys { keys: 5, .. }));
    let source = std::error::Error::source(error).unwrap();
    assert!(source.to_string().contains("AccessDenied"), "{source}");

    // Each that failed still tells its own error, and what is open goes on.
    let of_key = writer.write("0", "x".into()).await.unwrap_err();
    assert_eq!(of_key.service_error().unwrap().code, "AccessDenied");
    put(&writer, "open", "two,").await.written().await.unwrap();
    // Nothing of what was refused is kept.
    assert_eq!(writer.stats().records, 7);
    check(&writer);

    assert!(writer.forgive("0").is_some());
    put(&writer, "new", "y").await.written().await.unwrap();
    let error = writer.shutdown().await.unwrap_err();
    assert_eq!(error.keys().len(), 4);
    assert_eq!(bucket.texts(), ["y", "one,two,"]);
}

#[tokio::test(start_paused = true)]
async fn keys_that_are_open_may_still_fail_when_too_many_have() {
    let bucket = SimBucket::new();
    let writer = large(&bucket).max_failed_keys(1).max_open(4).start();
    let writer = writer.unwrap();
    let mut receipts = Vec::new();
    for key in ["a", "b", "c"] {
        bucket.object(key).go_down(service(403, "AccessDenied"));
        receipts.push(put(&writer, key, "x").await);
    }
    for receipt in &receipts {
        receipt.written().await.unwrap_err();
    }
    let error = writer.write("d", "x".into()).await.unwrap_err();
    let kind = error.kind();
    assert!(matches!(kind, ErrorKind::TooManyFailedKeys { keys: 3, .. }));
    assert_eq!(writer.sync().await.unwrap_err().keys().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn thousands_of_failed_keys_are_told_in_short() {
    let bucket = SimBucket::new();
    let writer = large(&bucket).max_open(2000).start().unwrap();
    for key in 0..2000 {
        let key = key.to_string();
        bucket.object(&key).go_down(service(403, "AccessDenied"));
        say(&writer, &key, "x").await;
    }
    let error = writer.shutdown().await.unwrap_err();
    assert_eq!(error.keys().len(), 2000);
    let debug = format!("{error:?}");
    assert!(debug.contains("count: 2000"), "{debug}");
    assert!(debug.len() < 10_000, "{} characters", debug.len());
    assert!(error.to_string().len() < 500, "{error}");
}

#[tokio::test(start_paused = true)]
async fn what_failed_counts_as_buffered_until_it_has_been_told() {
    let bucket = SimBucket::new();
    bucket.object("a").go_down(service(403, "AccessDenied"));
    let seen = Arc::new(Mutex::new(None));
    let (told, handle) = (Arc::clone(&seen), Arc::new(Mutex::new(None::<KeyedWriter>)));
    let of = Arc::clone(&handle);
    let writer = keyed(&bucket).on_failed(move |failed| {
        let writer = of.lock().unwrap().take().unwrap();
        // It may call back.
        writer.forgive(&failed.key);
        *told.lock().unwrap() = Some(writer.stats());
    });
    let writer = writer.start().unwrap();
    *handle.lock().unwrap() = Some(writer.clone());
    let receipt = put(&writer, "a", "x").await;
    receipt.written().await.unwrap_err();
    let during = seen.lock().unwrap().unwrap();
    assert_eq!(
        (during.buffered, during.failed, during.failed_keys),
        (1, 0, 0)
    );
    let after = writer.stats();
    assert_eq!((after.buffered, after.failed, after.open), (0, 1, 0));
    writer.shutdown().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_on_failed_harms_nobody() {
    let bucket = SimBucket::new();
    let writer = keyed(&bucket).on_failed(|_| panic!("in on_failed"));
    let writer = writer.start().unwrap();
    bucket.object("bad").go_down(service(403, "AccessDenied"));
    let (receipt, sync) = (put(&writer, "bad", "one").await, writer.clone());
    let sync = tokio::spawn(async move { sync.sync().await });

    let told = tokio::time::timeout(HANGS, receipt.written()).await;

    let error = told.expect("it does not hang").unwrap_err();
    assert_eq!(error.service_error().unwrap().status, 403);
    assert_eq!(sync.await.unwrap().unwrap_err().keys().len(), 1);
    put(&writer, "good", "two").await.written().await.unwrap();
    let stats = writer.stats();
    assert_eq!((stats.failed, stats.buffered, stats.open), (3, 0, 1));
    check(&writer);
}

/// Asks the writer for its stats with each piece of text.
struct Asks<'a>(&'a KeyedWriter);

impl std::fmt::Write for Asks<'_> {
    fn write_str(&mut self, _: &str) -> std::fmt::Result {
        assert_eq!(self.0.stats().records, 0);
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_writer_can_be_used_by_what_shows_it() {
    let writer = keyed(&SimBucket::new()).start().unwrap();
    let shown = writer.clone();
    let (done, ended) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        std::fmt::Write::write_fmt(&mut Asks(&shown), format_args!("{shown:?}")).unwrap();
        done.send(()).unwrap();
    });
    let ended = ended.recv_timeout(std::time::Duration::from_secs(60));
    ended.expect("no lock is held");
}

#[tokio::test(start_paused = true)]
async fn failures_free_the_memory_that_others_wait_for() {
    let bucket = SimBucket::new();
    bucket.object("bad").go_down(service(403, "AccessDenied"));
    let writer = keyed(&bucket)
        .buffer_capacity(50)
        .max_open(1)
        .start()
        .unwrap();
    for _ in 0..10 {
        put(&writer, "bad", &"b".repeat(50))
            .await
            .written()
            .await
            .unwrap_err();
        say(&writer, "good", &"g".repeat(50)).await;
        writer.forgive("bad").unwrap();
    }
    writer.shutdown().await.unwrap();
    assert_eq!(bucket.texts(), ["g".repeat(500)]);
    check(&writer);
}

#[tokio::test(start_paused = true)]
async fn two_keys_with_one_object_conflict_and_lose_nothing_silently() {
    let bucket = SimBucket::new();
    let (writer, failed) = Failed::of(keyed(&bucket).objects(|_| "same".into()));
    let mut receipts = Vec::new();
    for record in ["a1,", "b1,", "a2,", "b2,"] {
        if let Ok(receipt) = writer.write(&record[..1], record.into()).await {
            let written = receipt.written().await;
            receipts.push((record, written.is_ok()));
        }
    }
    let error = writer.shutdown().await.unwrap_err();
    assert!(matches!(error.keys()[0].1.kind(), ErrorKind::Conflict(_)));
    let landed: String = receipts
        .iter()
        .filter(|(_, ok)| *ok)
        .map(|(r, _)| *r)
        .collect();
    assert_eq!(bucket.texts(), [landed]);
    assert!(!failed.all().is_empty());
}

#[test]
fn a_runtime_that_ends_fails_what_was_not_durable() {
    let bucket = SimBucket::new();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let (writer, failed, receipt) = runtime.block_on(async {
        let (writer, failed) = Failed::of(keyed(&bucket));
        let receipt = put(&writer, "a", "x").await;
        (writer, failed, receipt)
    });
    drop(runtime);
    let error = futures::executor::block_on(receipt.written()).unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::WorkerLost);
    assert_eq!(unsent(&failed.all()[0]), "x");
    let error = futures::executor::block_on(writer.shutdown()).unwrap_err();
    assert_eq!(error.keys().len(), 1);
    assert_eq!(writer.stats().open, 0);
    check(&writer);
}
