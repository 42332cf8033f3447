//! What a second run, or a second process, goes on with.

use oss_append::ObjectKind;

use super::{HOUR, put, rolling, timed, write};
use crate::support::bucket::{Listing, SimBucket};
use crate::support::store::{Fault, Object, SimStore, broken, service};

fn holding(objects: &[(&str, &str)]) -> SimBucket {
    let bucket = SimBucket::new();
    for (key, text) in objects {
        bucket.object(key).world().object = Some(Object::appendable(*text));
    }
    bucket
}

async fn goes_on_in(bucket: &SimBucket) -> String {
    let mut writer = rolling(bucket, "log-{seq}")
        .roll_size(20)
        .open()
        .await
        .unwrap();
    put(&mut writer, "new\n").await;
    let object = writer.stats().open.unwrap().object;
    writer.shutdown().await.unwrap();
    let text = bucket.object(object.key()).text();
    assert!(text.ends_with("new\n"), "{text:?}");
    object.key().into()
}

#[tokio::test(start_paused = true)]
async fn the_newest_is_continued() {
    let bucket = holding(&[
        ("log-1", "a\n"),
        ("log-2", "b\n"),
        ("log-10", "c\n"),
        ("log-x", ""),
    ]);
    assert_eq!(goes_on_in(&bucket).await, "log-10");
    assert_eq!(bucket.object("log-10").text(), "c\nnew\n");
}

#[tokio::test(start_paused = true)]
async fn an_empty_bucket_begins_with_one() {
    assert_eq!(goes_on_in(&SimBucket::new()).await, "log-1");
}

#[tokio::test(start_paused = true)]
async fn what_takes_no_more_is_passed_over() {
    for spoil in [
        (|object| object.sealed = true) as fn(&mut Object),
        |object| object.kind = ObjectKind::Other("Normal".into()),
        |object| object.data = b"longer than 20 bytes, so full".into(),
    ] {
        let bucket = holding(&[("log-1", "a\n"), ("log-2", "b\n")]);
        spoil(bucket.object("log-2").world().object.as_mut().unwrap());
        assert_eq!(goes_on_in(&bucket).await, "log-3");
    }
}

#[tokio::test(start_paused = true)]
async fn without_listing_the_numbers_are_tried() {
    for last in [0, 1, 2, 3, 4, 5, 8, 9, 100] {
        for listing in [
            Listing::Unsupported,
            Listing::Fails(service(403, "AccessDenied")),
        ] {
            let bucket = SimBucket::new();
            for number in 1..=last {
                let object = bucket.object(&format!("log-{number}"));
                object.world().object = Some(Object::appendable("a\n"));
            }
            bucket.listing(listing);
            let key = format!("log-{}", last.max(1));
            assert_eq!(goes_on_in(&bucket).await, key);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_listing_that_fails_for_a_while_is_asked_again() {
    let bucket = holding(&[("log-4", "a\n")]);
    bucket.listing(Listing::Fails(broken()));
    let later = bucket.clone();
    tokio::spawn(async move {
        tokio::time::sleep(super::MINUTE).await;
        later.listing(Listing::Works);
    });
    assert_eq!(goes_on_in(&bucket).await, "log-4");
}

#[tokio::test(start_paused = true)]
async fn a_listing_that_is_refused_is_an_error() {
    let bucket = SimBucket::new();
    bucket.listing(Listing::Fails(service(404, "NoSuchBucket")));
    let error = rolling(&bucket, "log-{seq}").open().await.unwrap_err();
    assert!(error.to_string().contains("NoSuchBucket"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn only_the_present_period_is_looked_at() {
    let bucket = holding(&[("09-1", "a\n"), ("10-1", "b\n"), ("11-1", "c\n")]);
    let (builder, _) = timed(&bucket, "%H-{seq}");
    let mut writer = builder.hourly().open().await.unwrap();
    put(&mut writer, "ten\n").await;
    tokio::time::sleep(HOUR).await;
    // That one was made by somebody else, in this process's life.
    put(&mut writer, "eleven\n").await;
    writer.shutdown().await.unwrap();
    assert_eq!(bucket.object("10-1").text(), "b\nten\n");
    assert_eq!(bucket.object("11-1").text(), "c\n");
    assert_eq!(bucket.object("11-2").text(), "eleven\n");
}

#[tokio::test(start_paused = true)]
async fn two_processes_with_one_template_mix_nothing_up() {
    let bucket = SimBucket::new();
    let open = async || rolling(&bucket, "log-{seq}").open().await.unwrap();
    let mut first = open().await;
    put(&mut first, "first 1\n").await;
    let mut second = open().await;
    put(&mut second, "second 1\n").await;
    write(&mut first, "first 2\nfirst 3\n").await;
    first.sync().await.unwrap();
    put(&mut second, "second 2\n").await;
    put(&mut first, "first 4\n").await;
    first.shutdown().await.unwrap();
    second.shutdown().await.unwrap();
    assert_eq!(
        bucket.texts(),
        [
            "first 1\nsecond 1\nsecond 2\n",
            "first 2\nfirst 3\nfirst 4\n"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn two_processes_that_begin_together_have_their_own_objects() {
    let bucket = SimBucket::new();
    let open = async || {
        rolling(&bucket, "log-{seq}")
            .roll_size(20)
            .open()
            .await
            .unwrap()
    };
    let (mut first, mut second) = (open().await, open().await);
    for _ in 0..4 {
        tokio::join!(put(&mut first, "first\n"), put(&mut second, "second\n"));
    }
    tokio::try_join!(first.shutdown(), second.shutdown()).unwrap();
    for text in bucket.texts() {
        let alone = !(text.contains("first") && text.contains("second"));
        assert!(alone && text.len() <= 20, "{text:?}");
    }
    assert_eq!(bucket.text().matches("first\n").count(), 4);
    assert_eq!(bucket.text().matches("second\n").count(), 4);
}

#[tokio::test(start_paused = true)]
async fn the_equal_first_lines_of_two_processes_are_both_kept() {
    for without_metadata in [false, true] {
        let bucket = SimBucket::new();
        bucket.object("log-1").world().without_metadata = without_metadata;
        let open = async || rolling(&bucket, "log-{seq}").open().await.unwrap();
        let (mut first, mut second) = (open().await, open().await);
        tokio::join!(put(&mut first, "started\n"), put(&mut second, "started\n"));
        assert_eq!(bucket.texts(), ["started\n", "started\n"]);
    }
}

#[tokio::test(start_paused = true)]
async fn processes_may_share_the_objects() {
    let bucket = SimBucket::new();
    let open = async || {
        let builder = rolling(&bucket, "log-{seq}").roll_size(40);
        let shared = builder.writer(|writer| writer.shared(true));
        shared.open().await.unwrap()
    };
    let (mut first, mut second) = (open().await, open().await);
    for _ in 0..5 {
        put(&mut first, "from one\n").await;
        put(&mut second, "from two\n").await;
    }
    first.shutdown().await.unwrap();
    second.shutdown().await.unwrap();
    let texts = bucket.texts();
    assert!(texts.len() < 5, "{texts:?}");
    assert!(
        texts
            .iter()
            .any(|text| text.contains("one") && text.contains("two"))
    );
    assert_eq!(bucket.text().matches("from one\n").count(), 5);
    assert_eq!(bucket.text().matches("from two\n").count(), 5);
}

#[tokio::test(start_paused = true)]
async fn without_a_number_the_second_process_goes_on_in_an_object_of_its_own() {
    let bucket = SimBucket::new();
    let open = async || {
        timed(&bucket, "%Y-%m-%d-%H.log")
            .0
            .hourly()
            .open()
            .await
            .unwrap()
    };
    let (mut first, mut second) = (open().await, open().await);
    put(&mut first, "first\n").await;
    put(&mut second, "second\n").await;
    put(&mut first, "first\n").await;
    let keys = bucket.keys();
    let stem = keys[0].strip_suffix("-2.log").unwrap();
    assert_eq!(keys[1], format!("{stem}.log"));
    assert_eq!(bucket.object(&keys[0]).text(), "second\n");
    assert_eq!(bucket.object(&keys[1]).text(), "first\nfirst\n");
}

#[tokio::test(start_paused = true)]
async fn a_uuid_is_always_new() {
    let bucket = SimBucket::new();
    for _ in 0..2 {
        let mut writer = rolling(&bucket, "log-{uuid}")
            .roll_size(5)
            .open()
            .await
            .unwrap();
        write(&mut writer, "one\ntwo\n").await;
        writer.shutdown().await.unwrap();
    }
    assert_eq!(bucket.keys().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn without_a_number_the_end_of_an_object_is_not_the_end_of_its_period() {
    type End = fn(&SimStore);
    let ends: [(&str, End); 6] = [
        ("appended to", |object| object.foreign("theirs\n")),
        ("deleted", |object| object.world().object = None),
        ("sealed", |object| {
            object.world().object.as_mut().unwrap().sealed = true;
        }),
        ("replaced", |object| {
            object.world().object.as_mut().unwrap().kind = ObjectKind::Other("Normal".into());
        }),
        ("under retention", |object| {
            object.fault(Fault::error(409, "FileImmutable"));
        }),
        ("full", |_| {}),
    ];
    for (how, end) in ends {
        // To try finds only the end of an unbroken sequence.
        let listings = if how == "deleted" { 1 } else { 2 };
        for listed in [true, false].into_iter().take(listings) {
            let bucket = SimBucket::new();
            if !listed {
                bucket.forbid_listing();
            }
            let open = async || {
                let builder = timed(&bucket, "%Y-%m-%d.log").0.daily();
                let full = (how == "full").then_some(7);
                let builder = builder.writer(|writer| match full {
                    Some(limit) => writer
                        .batch_size(limit)
                        .max_append_size(limit)
                        .max_object_size(limit),
                    None => writer,
                });
                builder.open().await.unwrap()
            };
            let mut first = open().await;
            put(&mut first, "one\n").await;
            end(&bucket.object("2026-03-01.log"));
            put(&mut first, "two\n").await;
            end(&bucket.object("2026-03-01-2.log"));
            put(&mut first, "three\n").await;
            drop(first);

            // The next process goes on in the newest.
            let mut second = open().await;
            put(&mut second, "4\n").await;
            second.shutdown().await.unwrap();

            let last = match how {
                "full" => ["three\n", "4\n"],
                _ => ["three\n4\n", ""],
            };
            let texts = [3, 4].map(|n| bucket.object(&format!("2026-03-01-{n}.log")).text());
            assert_eq!(texts, last, "{how}, listed: {listed}");
        }
    }
}
