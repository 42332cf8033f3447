//! What the examples of logging share: OSS beside a program that need not know tokio, and a look at
//! what arrived there.

use std::ops::RangeBounds;

use futures::StreamExt;
use oss_append::emulator::Emulator;
use oss_append::{ObjectPath, OssClient, Result};
use tokio::runtime::Runtime;

const EMBEDDED_BUCKET: &str = "examplebucket";

/// OSS, and a runtime to talk to it.
pub struct Oss {
    emulator: Option<Emulator>,
    runtime: Runtime,
    bucket: String,
}

impl Oss {
    /// The bucket that OSS_BUCKET names (with OSS_REGION or OSS_ENDPOINT, OSS_ACCESS_KEY_ID and
    /// OSS_ACCESS_KEY_SECRET); else one of an embedded server, which runs on a thread of its own.
    pub fn connect() -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("oss")
            .enable_all()
            .build()
            .expect("a runtime");
        if let Ok(bucket) = std::env::var("OSS_BUCKET") {
            return Ok(Self {
                emulator: None,
                runtime,
                bucket,
            });
        }
        let builder = Emulator::builder().bucket(EMBEDDED_BUCKET);
        let emulator = runtime.block_on(builder.start())?;
        println!("no OSS_BUCKET: embedded server at {}", emulator.url());
        Ok(Self {
            emulator: Some(emulator),
            runtime,
            bucket: EMBEDDED_BUCKET.into(),
        })
    }

    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// A client with connections of its own.
    pub fn client(&self) -> Result<OssClient> {
        match &self.emulator {
            Some(emulator) => emulator.client().build(),
            None => OssClient::from_env(),
        }
    }

    /// Does this on the runtime.
    pub fn wait_for<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }
}

/// Reads part of an object and hands on one line at a time, without its line break. Holds no more
/// of it than a chunk.
pub async fn lines(
    client: &OssClient,
    object: &ObjectPath,
    range: impl RangeBounds<u64>,
    mut each: impl FnMut(&[u8]),
) -> Result<()> {
    let mut body = client.get_object(object).range(range).send().await?.body;
    let mut begun = Vec::new();
    while let Some(chunk) = body.next().await {
        let chunk = chunk?;
        let mut rest = &chunk[..];
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            begun.extend_from_slice(&rest[..end]);
            each(&begun);
            begun.clear();
            rest = &rest[end + 1..];
        }
        begun.extend_from_slice(rest);
    }
    if !begun.is_empty() {
        each(&begun);
    }
    Ok(())
}
