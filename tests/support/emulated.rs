//! An embedded server with one bucket, and writers to it over real sockets.

use std::time::Duration;

use oss_append::emulator::{Emulator, EmulatorBuilder, StoredObject};
use oss_append::{Backoff, OssAppendWriter, OssAppendWriterBuilder, OssClient};

pub async fn start() -> Emulator {
    start_with(Emulator::builder()).await
}

/// With sealing granted.
pub async fn start_with(builder: EmulatorBuilder) -> Emulator {
    let builder = builder.sealing(true);
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

/// The objects whose keys begin with `prefix`, in the order of their keys.
pub async fn objects(emulator: &Emulator, prefix: &str) -> Vec<StoredObject> {
    let client = emulator.client().build().unwrap();
    let mut request = client.list_objects("bucket").prefix(prefix);
    let mut objects = Vec::new();
    loop {
        let page = request.clone().send().await.unwrap();
        let keys = page.objects.iter().map(|found| &found.key);
        objects.extend(keys.map(|key| emulator.object("bucket", key).expect("it was listed")));
        let Some(token) = page.next_continuation_token else {
            return objects;
        };
        request = request.continuation_token(token);
    }
}
