//! What a store can do, and what its answers prove: limits are not passed, and evidence that is
//! missing by design costs no requests.

use std::time::Duration;

use oss_append::testing::{Fault, MemoryRequest, MemoryStore, On};
use oss_append::{
    Compression, ConflictCause, ErrorKind, Evidence, Landed, ObjectAppender, OssAppendWriter,
    RollingWriter, StoreLimits,
};

use crate::support::{MS, conflict_cause, object};

async fn appender(store: &MemoryStore) -> ObjectAppender<MemoryStore> {
    let builder = ObjectAppender::builder(store.clone(), object());
    builder.open().await.unwrap()
}

fn with_limits(limits: StoreLimits) -> MemoryStore {
    MemoryStore::new().with_limits(limits)
}

/// How many appends, looks and reads there were.
fn requests(store: &MemoryStore) -> [usize; 3] {
    [On::Append, On::Head, On::Read].map(|on| store.count(on))
}

#[tokio::test(start_paused = true)]
async fn a_writer_makes_no_append_longer_than_the_store_takes() {
    let store = with_limits(StoreLimits::new().max_append(1000));
    let builder = OssAppendWriter::builder(store.clone(), object());
    let mut writer = builder.open().await.unwrap();
    writer.write_all(&[b'x'; 10_500]).await.unwrap();
    writer.shutdown().await.unwrap();
    let appends = store.requests().into_iter().filter(|r| r.on == On::Append);
    let lengths: Vec<_> = appends.map(|r| r.range.end - r.range.start).collect();
    assert!(lengths.iter().all(|len| *len <= 1000), "{lengths:?}");
    assert_eq!(lengths.iter().sum::<u64>(), 10_500);
}

#[tokio::test(start_paused = true)]
async fn an_appender_refuses_a_batch_that_the_store_does_not_take_at_once() {
    let store = with_limits(StoreLimits::new().max_append(5));
    let mut appender = appender(&store).await;
    let error = appender.append("123456").await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::InvalidInput { .. }));
    appender.append("12345").await.unwrap();
    assert_eq!(store.content(&object()).unwrap(), "12345");
}

#[tokio::test(start_paused = true)]
async fn the_smaller_limit_of_store_and_option_bounds_an_object() {
    for (of_store, option) in [(10, 20), (20, 10)] {
        let store = with_limits(StoreLimits::new().max_object(of_store));
        let builder = ObjectAppender::builder(store.clone(), object());
        let mut appender = builder.max_object_size(option).open().await.unwrap();
        appender.append("0123456789").await.unwrap();
        let error = appender.append("x").await.unwrap_err();
        let kind = error.kind();
        assert!(
            matches!(kind, ErrorKind::ObjectFull { limit: 10, .. }),
            "{kind:?}"
        );
        assert_eq!(store.count(On::Append), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn the_appends_to_an_object_are_counted_those_of_others_and_lost_ones_too() {
    let store = with_limits(StoreLimits::new().max_appends(4));
    store.grow(&object(), "theirs ");
    let mut appender = appender(&store).await;
    appender.append("1 ").await.unwrap();
    store.fail_next(On::Append, Fault::lost_answer());
    appender.append("2 ").await.unwrap();
    appender.append("3 ").await.unwrap();
    let error = appender.append("4 ").await.unwrap_err();
    let kind = error.kind();
    assert!(matches!(kind, ErrorKind::TooManyAppends { limit: 4, .. }));
    assert_eq!(error.landed(), Some(Landed::No));
    assert_eq!(store.count(On::Append), 3);
}

#[tokio::test(start_paused = true)]
async fn a_sequence_goes_on_in_a_new_object_when_one_has_had_its_appends() {
    let store = with_limits(StoreLimits::new().max_appends(2));
    let builder = RollingWriter::builder(store.clone(), "bucket", "{seq}");
    let mut writer = builder.open().await.unwrap();
    for record in ["one\n", "two\n", "three\n", "four\n", "five\n"] {
        writer.write_all(record.as_bytes()).await.unwrap();
        writer.sync().await.unwrap();
    }
    writer.shutdown().await.unwrap();
    let keys = store.requests().into_iter().filter(|r| r.on == On::Append);
    let mut keys: Vec<_> = keys.map(|r| r.key).collect();
    keys.dedup();
    assert_eq!(keys.len(), 3, "{keys:?}");
}

#[tokio::test(start_paused = true)]
async fn an_answer_without_a_promised_checksum_is_followed_by_a_look() {
    for (evidence, looks) in [
        (Evidence::Crc64, 1),
        (Evidence::Tag, 1),
        (Evidence::Length, 0),
    ] {
        let store = MemoryStore::new().with_evidence(evidence);
        let mut appender = appender(&store).await;
        store.fail_next(On::Append, Fault::none().without_evidence());
        appender.append("x").await.unwrap();
        assert_eq!(store.count(On::Head), 1 + looks, "{evidence:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn without_checksums_an_answered_append_costs_one_request_and_a_lost_one_is_read_back() {
    for evidence in [Evidence::Tag, Evidence::Length] {
        let store = MemoryStore::new().with_evidence(evidence);
        store.grow(&object(), "old ");
        let mut appender = appender(&store).await;
        for _ in 0..10 {
            appender.append("new ").await.unwrap();
        }
        assert_eq!(requests(&store), [10, 1, 0], "{evidence:?}");
        store.fail_next(On::Append, Fault::lost_answer());
        appender.append("lost").await.unwrap();
        assert_eq!(requests(&store), [11, 2, 1], "{evidence:?}");
        let content = store.content(&object()).unwrap();
        assert_eq!(content, format!("old {}lost", "new ".repeat(10)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_look_that_shows_the_right_length_proves_nothing_by_that() {
    for evidence in [Evidence::Tag, Evidence::Length] {
        let store = MemoryStore::new().with_evidence(evidence);
        let mut appender = appender(&store).await;
        appender.append("ours").await.unwrap();
        store.fail_next(On::Append, Fault::lost_request().foreign("them"));
        let error = appender.append("more").await.unwrap_err();
        assert_eq!(conflict_cause(&error), ConflictCause::Foreign);
        assert_eq!(error.landed(), Some(Landed::No));
    }
}

#[tokio::test(start_paused = true)]
async fn a_tag_finds_an_object_that_was_replaced_by_one_of_the_same_length() {
    for (evidence, is_found) in [(Evidence::Tag, true), (Evidence::Length, false)] {
        let store = MemoryStore::new().with_evidence(evidence);
        let mut appender = appender(&store).await;
        appender.append("ours").await.unwrap();
        store.remove(&object());
        store.grow(&object(), "them");
        store.fail_next(On::Append, Fault::lost_request());
        match appender.append("more").await {
            Ok(_) => assert!(!is_found, "{evidence:?}"),
            Err(error) => {
                assert_eq!(conflict_cause(&error), ConflictCause::Replaced);
                assert!(is_found, "{evidence:?}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_throttled_append_is_sent_again_without_a_look() {
    let store = MemoryStore::new();
    let mut appender = appender(&store).await;
    store.fail_next(On::Append, Fault::throttled());
    appender.append("x").await.unwrap();
    assert_eq!(requests(&store), [2, 1, 0]);
}

#[tokio::test(start_paused = true)]
async fn a_shared_object_is_continued_behind_others_whatever_a_wrong_position_is_called() {
    let store = MemoryStore::new()
        .with_evidence(Evidence::Tag)
        .position_refusal(412, "ConditionNotMet");
    let builder = ObjectAppender::builder(store.clone(), object());
    let mut appender = builder.shared(true).open().await.unwrap();
    appender.append("ours ").await.unwrap();
    store.grow(&object(), "theirs ");
    let start = tokio::time::Instant::now();
    appender.append("ours").await.unwrap();
    assert_eq!(store.content(&object()).unwrap(), "ours theirs ours");
    assert_eq!(start.elapsed(), Duration::ZERO, "at once");
}

#[tokio::test(start_paused = true)]
async fn a_compressed_append_is_no_longer_than_the_store_takes() {
    let store = with_limits(StoreLimits::new().max_append(1000));
    let builder = OssAppendWriter::builder(store.clone(), object());
    let builder = builder.compression(Compression::gzip());
    let mut writer = builder.open().await.unwrap();
    let mut random = fastrand::Rng::with_seed(1);
    let noise: Vec<u8> = (0..10_000).map(|_| random.u8(..)).collect();
    writer.write_all(&noise).await.unwrap();
    writer.shutdown().await.unwrap();
    let appends = store.requests().into_iter().filter(|r| r.on == On::Append);
    let longest = appends.map(|r| r.range.end - r.range.start).max();
    assert!(
        longest.is_some_and(|longest| longest <= 1000),
        "{longest:?}"
    );
}

/// What may go wrong with a request without anybody else at the object.
fn trouble(request: &MemoryRequest, random: &mut fastrand::Rng) -> Option<Fault> {
    let fault = match random.u8(..24) {
        0 => Fault::lost_answer(),
        1 => Fault::lost_request(),
        2 => Fault::unreachable(),
        3 => Fault::throttled(),
        4 if request.on == On::Append => Fault::late(),
        5 if request.on == On::Append => Fault::torn(random.usize(1..8)),
        6 => Fault::none().without_evidence(),
        _ => return None,
    };
    Some(fault.delay(random.u32(..20) * MS))
}

#[tokio::test(start_paused = true)]
async fn without_checksums_every_byte_is_there_once_whatever_goes_wrong() {
    for seed in 0..300 {
        let mut random = fastrand::Rng::with_seed(seed);
        let evidence = [Evidence::Tag, Evidence::Length][seed as usize % 2];
        let store = MemoryStore::new().with_evidence(evidence);
        let mut builder = OssAppendWriter::builder(store.clone(), object());
        builder = builder.batch_size(10).linger(MS);
        let mut writer = builder.open().await.unwrap();
        let mut faults = random.fork();
        store.fail_by(move |request| trouble(request, &mut faults));
        let (late, mut pauses) = (store.clone(), random.fork());
        let landing = tokio::spawn(async move {
            loop {
                tokio::time::sleep(pauses.u32(1..300) * MS).await;
                late.land_late();
            }
        });
        let mut expected = String::new();
        for number in 0..40 {
            let line = format!("line {number}\n");
            writer.write_all(line.as_bytes()).await.unwrap();
            expected.push_str(&line);
            if random.bool() {
                writer.sync().await.unwrap();
            }
        }
        writer.shutdown().await.unwrap();
        landing.abort();
        store.land_late();
        assert_eq!(store.content(&object()).unwrap(), expected, "seed {seed}");
    }
}
