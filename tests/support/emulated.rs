//! An embedded server with one bucket, and writers to it over real sockets.

use std::time::Duration;

use oss_append::emulator::{Emulator, EmulatorBuilder, StoredObject};
use oss_append::{Backoff, OssAppendWriter, OssAppendWriterBuilder, OssClient};

pub async fn start() -> Emulator {
    start_with(Emulator::builder()).await
}

pub async fn start_with(builder: EmulatorBuilder) -> Emulator {
    builder.bucket("bucket").start().await.unwrap()
}

/// A writer that loses no time between its attempts.
pub fn writer(emulator: &Emulator) -> OssAppendWriterBuilder<OssClient> {
    OssAppendWriter::builder(emulator.client().build().unwrap(), super::object()).backoff(
        Backoff::new(Duration::from_millis(1), Duration::from_millis(20)),
    )
}

pub fn stored(emulator: &Emulator) -> StoredObject {
    emulator.object("bucket", "object").expect("the object")
}

pub fn content(emulator: &Emulator) -> Vec<u8> {
    stored(emulator).bytes.to_vec()
}
