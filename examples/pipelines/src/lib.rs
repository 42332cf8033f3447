//! What the examples of pipelines share: what they write, where to, and how they read it back.

mod columns;
mod compare;
mod event;
mod lines;
pub mod upload;

use std::error::Error;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use futures::TryStreamExt;
use oss_append::emulator::Emulator;
use oss_append::{ObjectPath, OssAppendWriter, OssAppendWriterBuilder, OssClient};

pub use self::columns::{record_batch, schema};
pub use self::compare::compare;
pub use self::event::Event;
pub use self::lines::newest_line;

pub type Result<T, E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;

const EMBEDDED_BUCKET: &str = "examplebucket";

/// A bucket to write to.
pub struct Oss {
    client: OssClient,
    bucket: String,
    _emulator: Option<Emulator>,
}

impl Oss {
    /// The bucket that OSS_BUCKET names (with OSS_REGION or OSS_ENDPOINT, OSS_ACCESS_KEY_ID and
    /// OSS_ACCESS_KEY_SECRET); else one of an embedded server, which ends with this value.
    pub async fn connect() -> Result<Self> {
        if let Ok(bucket) = std::env::var("OSS_BUCKET") {
            return Ok(Self {
                client: OssClient::from_env()?,
                bucket,
                _emulator: None,
            });
        }
        let emulator = Emulator::builder().bucket(EMBEDDED_BUCKET).start().await?;
        println!("no OSS_BUCKET: embedded server at {}", emulator.url());
        Ok(Self {
            client: emulator.client().build()?,
            bucket: EMBEDDED_BUCKET.into(),
            _emulator: Some(emulator),
        })
    }

    pub fn client(&self) -> OssClient {
        self.client.clone()
    }

    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// Prepares to write a new object.
    pub fn create(&self, key: &str) -> Result<OssAppendWriterBuilder<OssClient>> {
        let object = ObjectPath::new(&self.bucket, key)?;
        Ok(OssAppendWriter::builder(self.client(), object).create_new())
    }

    /// All of an object.
    pub async fn read(&self, object: &ObjectPath) -> oss_append::Result<Bytes> {
        let body = self.client.get_object(object).send().await?.body;
        let read = body.try_fold(BytesMut::new(), async |mut read, chunk| {
            read.extend_from_slice(&chunk);
            Ok(read)
        });
        Ok(read.await?.freeze())
    }
}

/// What a writer has done since `start`, in one line.
pub fn summary(writer: &OssAppendWriter, start: Instant) -> String {
    let stats = writer.stats();
    format!(
        "{}: {:.1} MB in {} appends, {:.2} s",
        writer.object(),
        stats.durable as f64 / 1e6,
        stats.appends,
        start.elapsed().as_secs_f64()
    )
}
