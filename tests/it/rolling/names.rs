//! A reader finds the objects of a sequence by its template.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use oss_append::emulator::{Action, Emulator, ErrorAnswer, Fault, Operation};
use oss_append::{KeyNames, KeyTemplate, Periods};

use super::{HALF_PAST_TEN, MINUTE, put, timed};
use crate::support::bucket::SimBucket;

async fn emulator(keys: &[&str]) -> Emulator {
    let emulator = Emulator::builder().bucket("bucket").start().await.unwrap();
    for key in keys {
        emulator.append_foreign("bucket", key, "x").unwrap();
    }
    emulator
}

fn forbid_listing(emulator: &Emulator) {
    let denied = Action::Error(ErrorAnswer::new(403));
    emulator.inject(Fault::new(Operation::ListObjectsV2, denied).forever());
}

fn names(template: &str) -> KeyNames {
    let template: KeyTemplate = template.parse().unwrap();
    template.names_at(SystemTime::UNIX_EPOCH, 0)
}

async fn newest(emulator: &Emulator, template: &str) -> Option<u64> {
    let client = emulator.client().build().unwrap();
    names(template).newest(&client, "bucket").await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_names_in_a_period_are_those_that_the_writer_gave() {
    let bucket = SimBucket::new();
    let template = "%Y-%m-%dT%H%M-{seq}";
    let utc_offset = 5 * 3600 + 1800;
    let (builder, _) = timed(&bucket, template);
    let builder = builder.roll_every(20 * MINUTE).utc_offset(utc_offset);
    let mut writer = builder.open().await.unwrap();
    put(&mut writer, "one\n").await;
    tokio::time::sleep(25 * MINUTE).await;
    put(&mut writer, "two\n").await;

    let template: KeyTemplate = template.parse().unwrap();
    let periods = Periods::new(20 * MINUTE, utc_offset).unwrap();
    let written = UNIX_EPOCH + Duration::from_secs(HALF_PAST_TEN);
    let keys = [written, written + 25 * MINUTE].map(|time| {
        let names = template.names_in(&periods, time);
        names.key(1)
    });

    assert_eq!(keys, ["2026-03-01T1600-1", "2026-03-01T1620-1"]);
    assert_eq!(bucket.keys(), keys, "{:?}", bucket.texts());
}

#[test]
fn periods_follow_each_other_without_a_gap() {
    let periods = Periods::new(7 * MINUTE, -3600).unwrap();
    let mut period = periods.containing(UNIX_EPOCH - Duration::from_nanos(1));
    assert!(period.start < UNIX_EPOCH);
    for _ in 0..10 {
        let next = periods.containing(period.end);
        assert_eq!(next.start, period.end);
        assert_eq!(next.end, next.start + 7 * MINUTE);
        period = next;
    }
}

#[tokio::test]
async fn the_newest_is_the_highest_number_in_the_listing() {
    let emulator = emulator(&["log-1", "log-2", "log-10", "log-x", "log-03", "log-11x"]).await;
    emulator.put("bucket", "log-12", "not appendable").unwrap();
    assert_eq!(newest(&emulator, "log-{seq}").await, Some(10));
    assert_eq!(newest(&emulator, "other-{seq}").await, None);
}

#[tokio::test]
async fn where_listing_is_forbidden_the_newest_is_found_by_trying() {
    let emulator = emulator(&[]).await;
    forbid_listing(&emulator);
    assert_eq!(newest(&emulator, "log-{seq}").await, None);
    for number in 1..=9 {
        let key = format!("log-{number}");
        emulator.append_foreign("bucket", &key, "x").unwrap();
        assert_eq!(newest(&emulator, "log-{seq}").await, Some(number));
    }
}

#[tokio::test]
async fn without_seq_the_first_object_counts_as_number_one() {
    for forbidden in [false, true] {
        let emulator = emulator(&[]).await;
        if forbidden {
            forbid_listing(&emulator);
        }
        for (key, number) in [
            (None, None),
            (Some("app.log"), Some(1)),
            (Some("app-2.log"), Some(2)),
            (Some("app-3.log"), Some(3)),
        ] {
            if let Some(key) = key {
                emulator.append_foreign("bucket", key, "x").unwrap();
            }
            assert_eq!(newest(&emulator, "app.log").await, number, "{forbidden}");
        }
    }
}

#[tokio::test]
async fn a_failure_is_told_and_not_repeated() {
    let emulator = emulator(&["log-1"]).await;
    let busy = Action::Error(ErrorAnswer::new(503));
    emulator.inject(Fault::new(Operation::ListObjectsV2, busy));
    let client = emulator.client().build().unwrap();
    let error = names("log-{seq}").newest(&client, "bucket").await;
    assert_eq!(error.unwrap_err().operation(), Some("list"));
    assert_eq!(newest(&emulator, "log-{seq}").await, Some(1));
}
