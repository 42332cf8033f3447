//! A sequence of objects: when it rolls, what it is named, and what it goes on with.

mod failures;
mod names;
mod options;
mod policies;
mod property;
mod records;
mod restart;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use oss_append::{FinishedObject, RollReason, RollingWriter, RollingWriterBuilder};

use crate::support::bucket::{SimBucket, WallClock};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);

/// 2026-03-01 10:30:00 UTC.
const HALF_PAST_TEN: u64 = 1_772_361_000;

/// A writer to `bucket` with a batch of 100 bytes.
fn rolling(bucket: &SimBucket, template: &str) -> RollingWriterBuilder<SimBucket> {
    RollingWriter::builder(bucket.clone(), "bucket", template).writer(|writer| {
        writer
            .batch_size(100)
            .max_append_size(200)
            .buffer_capacity(400)
    })
}

/// With a clock that begins at half past ten.
fn timed(bucket: &SimBucket, template: &str) -> (RollingWriterBuilder<SimBucket>, WallClock) {
    let clock = WallClock::at(HALF_PAST_TEN);
    let now = clock.clone();
    (rolling(bucket, template).clock(move || now.now()), clock)
}

/// What the callback was told.
#[derive(Clone, Default)]
struct Finished(Arc<Mutex<Vec<FinishedObject>>>);

impl Finished {
    fn of(builder: RollingWriterBuilder<SimBucket>) -> (RollingWriterBuilder<SimBucket>, Self) {
        let finished = Self::default();
        let told = finished.clone();
        let builder = builder.on_finished(move |object| told.0.lock().unwrap().push(object));
        (builder, finished)
    }

    fn all(&self) -> Vec<FinishedObject> {
        self.0.lock().unwrap().clone()
    }

    fn reasons(&self) -> Vec<RollReason> {
        self.all().iter().map(|object| object.reason).collect()
    }

    fn keys(&self) -> Vec<String> {
        let all = self.all();
        all.iter().map(|done| done.object.key().into()).collect()
    }
}

async fn write(writer: &mut RollingWriter, text: &str) {
    writer.write_all(text.as_bytes()).await.unwrap();
}

/// Writes and waits until it is durable.
async fn put(writer: &mut RollingWriter, text: &str) {
    write(writer, text).await;
    writer.sync().await.unwrap();
}
