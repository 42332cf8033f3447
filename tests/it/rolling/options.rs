//! Templates and options that do not go together are refused before anything is sent.

use std::time::{Duration, SystemTime};

use oss_append::{ErrorKind, RollingWriter, RollingWriterBuilder};
use proptest::prelude::*;

use super::rolling;
use crate::support::bucket::SimBucket;
use crate::support::cases;

async fn refused(builder: RollingWriterBuilder<SimBucket>) -> String {
    let error = builder.open().await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::InvalidInput { .. }));
    assert_eq!(error.operation(), Some("open"));
    error.to_string()
}

#[tokio::test]
async fn what_cannot_be_is_refused() {
    let bucket = SimBucket::new();
    let refusals = [
        (rolling(&bucket, "log").roll_size(10), "{seq}"),
        (rolling(&bucket, "log"), "{seq}"),
        (rolling(&bucket, "%Y-%m-%d").hourly(), "{seq}"),
        (rolling(&bucket, "%H").hourly().roll_size(10), "{seq}"),
        (rolling(&bucket, "{sequence}"), "{sequence}"),
        (rolling(&bucket, "/{seq}"), "slash"),
        (rolling(&bucket, "{seq}").roll_size(0), "roll_size 0"),
        (
            rolling(&bucket, "{seq}").roll_size(5_000_000_001),
            "max_object_size 5000000000",
        ),
        (
            rolling(&bucket, "{seq}").roll_every(Duration::ZERO),
            "period",
        ),
        (
            rolling(&bucket, "{seq}").daily().utc_offset(1_000_000),
            "offset",
        ),
        (
            rolling(&bucket, "{seq}").writer(|writer| writer.max_object_size(199)),
            "max_append_size 200",
        ),
        (
            rolling(&bucket, "{seq}").writer(|writer| writer.batch_size(0)),
            "batch_size 0",
        ),
    ];
    for (builder, reason) in refusals {
        let error = refused(builder).await;
        assert!(error.contains(reason), "{reason:?} is not in {error:?}");
    }
    assert_eq!(bucket.requests(), 0);
}

#[test]
fn a_runtime_is_needed() {
    let error = rolling(&SimBucket::new(), "{seq}").start().unwrap_err();
    assert!(error.to_string().contains("tokio runtime"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_template_without_another_key_cannot_be_rolled_by_hand() {
    let bucket = SimBucket::new();
    let mut writer = rolling(&bucket, "%Y-%m-%d").daily().open().await.unwrap();
    let error = writer.roll().await.unwrap_err();
    assert!(error.to_string().contains("{seq}"), "{error}");
    super::put(&mut writer, "still good\n").await;
}

fn size() -> impl Strategy<Value = Option<u64>> {
    let sizes = [0, 1, 2, 3, 1000, u64::MAX / 2, u64::MAX - 1, u64::MAX];
    prop::option::of(prop::sample::select(sizes.to_vec()))
}

proptest! {
    #![proptest_config(cases(1000))]

    #[test]
    fn every_value_of_an_option_is_refused_or_works(
        (roll, append, capacity, object) in (size(), size(), size(), size()),
        every in prop::option::of(prop::sample::select(vec![
            Duration::ZERO,
            Duration::from_nanos(1),
            Duration::from_millis(1),
            Duration::from_secs(366 * 24 * 3600),
            Duration::MAX,
        ])),
        utc_offset in prop::sample::select(vec![0, 1, -93_599, 93_600, i32::MIN, i32::MAX]),
        now in prop::sample::select(vec![
            SystemTime::UNIX_EPOCH,
            SystemTime::UNIX_EPOCH - Duration::from_secs(1 << 40),
            SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 40),
        ]),
        (keep_trying, seal, records) in (any::<bool>(), any::<bool>(), 0..3),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        let bucket = SimBucket::new();
        let mut builder = RollingWriter::builder(bucket.clone(), "bucket", "%Y/{seq}")
            .utc_offset(utc_offset)
            .keep_trying(keep_trying)
            .seal_finished(seal)
            .clock(move || now)
            .writer(|mut writer| {
                if let Some(size) = append {
                    writer = writer.batch_size(size).max_append_size(size);
                }
                if let Some(size) = capacity {
                    writer = writer.buffer_capacity(size);
                }
                if let Some(size) = object {
                    writer = writer.max_object_size(size);
                }
                writer
            });
        builder = match records {
            0 => builder.unaligned(),
            1 => builder.record_per_write(),
            _ => builder,
        };
        if let Some(size) = roll {
            builder = builder.roll_size(size);
        }
        if let Some(every) = every {
            builder = builder.roll_every(every);
        }
        let result: oss_append::Result<()> = runtime.block_on(async {
            let mut writer = builder.open().await?;
            for byte in [b"1", b"\n", b"2"] {
                writer.write_all(byte).await?;
            }
            writer.sync().await?;
            writer.roll().await?;
            writer.write_all(b"\n").await?;
            writer.shutdown().await
        });
        match result {
            Ok(()) => prop_assert_eq!(bucket.text(), "1\n2\n"),
            Err(error) => {
                let refused = matches!(error.kind(), ErrorKind::InvalidInput { .. });
                prop_assert!(refused && error.operation() == Some("open"), "{error}");
            }
        }
    }
}
