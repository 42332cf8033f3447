//! Templates and options that do not go together are refused before anything is sent.

use std::time::Duration;

use oss_append::{Checkpoint, ErrorKind, RollingWriterBuilder};

use crate::rolling;
use crate::support::bucket::SimBucket;

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
            rolling(&bucket, "{seq}").writer(|writer| writer.create_new()),
            "create_new",
        ),
        (
            rolling(&bucket, "{seq}").writer(|writer| {
                writer.replay(Checkpoint::start("oss://bucket/1".parse().unwrap()))
            }),
            "replay",
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
    crate::put(&mut writer, "still good\n").await;
}
