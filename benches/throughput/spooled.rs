//! A writer with a spool.

use std::future::pending;
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use futures::stream::BoxStream;
use oss_append::{
    AppendAnswer, AppendRequest, AppendStore, ObjectInfo, ObjectPath, OssAppendWriter, Result,
    Spool,
};
use tempfile::TempDir;

use crate::contest::{BUCKET, Ground, Measured, Timer};
use crate::ours::{self, Builder};
use crate::produce::{self, Producer};

fn spool(directory: &Path) -> Spool {
    Spool::new(directory).max_size(u64::MAX)
}

/// Writes pieces of `piece` bytes, with a spool in a new folder.
pub(crate) async fn write(
    ground: Ground,
    options: impl Fn(Builder) -> Builder,
    bytes: u64,
    piece: usize,
) -> Measured {
    let directory = tempfile::tempdir().unwrap();
    let options = |builder| options(builder).spool(spool(directory.path()));
    ours::write(ground, options, Producer::Ready, bytes, piece).await
}

/// Delivers what an earlier writer has left in a spool. The time of that writer does not count.
pub(crate) async fn catch_up(
    ground: Ground,
    options: impl Fn(Builder) -> Builder,
    bytes: u64,
) -> Measured {
    let bytes = ground.bytes(bytes);
    let directory = filled(&ground, bytes).await;
    let timer = Timer::start();
    let options = |builder| options(builder).spool(spool(directory.path()));
    let mut writer = ours::open(&ground, options).await;
    writer.shutdown().await.unwrap();
    assert_eq!(writer.position(), bytes);
    timer.stop(bytes)
}

/// Opens a spool of so many bytes, and looks at what is in it: no writer needs more to start.
pub(crate) async fn look(ground: Ground, bytes: u64) -> Measured {
    let bytes = ground.bytes(bytes);
    let directory = filled(&ground, bytes).await;
    let timer = Timer::start();
    let found = Spool::new(directory.path()).contents().await.unwrap();
    assert_eq!(found.bytes, bytes);
    timer.stop(bytes)
}

/// A directory with a spool of so many bytes.
async fn filled(ground: &Ground, bytes: u64) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_path_buf();
    let object = format!("oss://{BUCKET}/{}", ground.object).parse().unwrap();
    tokio::task::spawn_blocking(move || fill(&path, object, bytes))
        .await
        .unwrap();
    directory
}

/// Leaves so many bytes in a spool.
fn fill(directory: &Path, object: ObjectPath, bytes: u64) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut writer = OssAppendWriter::builder(Away, object)
            .max_object_size(u64::MAX)
            .spool(spool(directory))
            .open()
            .await
            .unwrap();
        let data = Bytes::from(produce::piece(1 << 20));
        let mut left = bytes;
        while left > 0 {
            let len = left.min(data.len() as u64);
            writer
                .write_bytes(data.slice(..len as usize))
                .await
                .unwrap();
            left -= len;
        }
        writer.spooled().await.unwrap();
    });
    runtime.shutdown_timeout(Duration::from_secs(10));
}

/// A store that answers no append.
struct Away;

impl AppendStore for Away {
    async fn append(&self, _: AppendRequest) -> Result<AppendAnswer> {
        pending().await
    }

    async fn head(&self, _: &ObjectPath) -> Result<Option<ObjectInfo>> {
        Ok(None)
    }

    async fn read_range(
        &self,
        _: &ObjectPath,
        _: Range<u64>,
    ) -> Result<BoxStream<'static, Result<Bytes>>> {
        unreachable!("nothing is ever in question")
    }

    async fn seal(&self, _: &ObjectPath, _: u64) -> Result<()> {
        Ok(())
    }
}
