//! A process that was forked from the one that opened a writer: waiting there returns an error.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::executor::block_on;
use futures::stream::BoxStream;
use futures::{SinkExt, StreamExt};
use tokio::io::AsyncWriteExt;

use super::OssAppendWriter;
use super::sync::forked;
use crate::error::{Error, ErrorKind, Landed, Result};
use crate::store::AppendStore;
use crate::store::request::{AppendAnswer, AppendRequest};
use crate::values::info::ObjectInfo;
use crate::values::path::ObjectPath;

/// An empty bucket. Nothing of it is asked for: the worker has no time to run.
struct Store;

impl AppendStore for Store {
    async fn append(&self, _: AppendRequest) -> Result<AppendAnswer> {
        unreachable!()
    }

    async fn head(&self, _: &ObjectPath) -> Result<Option<ObjectInfo>> {
        Ok(None)
    }

    async fn read_range(
        &self,
        _: &ObjectPath,
        _: Range<u64>,
    ) -> Result<BoxStream<'static, Result<Bytes>>> {
        unreachable!()
    }

    async fn seal(&self, _: &ObjectPath, _: u64) -> Result<()> {
        unreachable!()
    }
}

/// Makes the `call` as if after a fork: its error.
async fn after_a_fork(call: impl AsyncFnOnce(&mut OssAppendWriter) -> Result<()>) -> Error {
    let object = ObjectPath::new("bucket", "object").unwrap();
    let builder = OssAppendWriter::builder(Arc::new(Store), object)
        .batch_size(2)
        .max_append_size(2)
        .buffer_capacity(4);
    let mut writer = builder.open().await.unwrap();
    writer.write_bytes("123".into()).await.unwrap();
    forked(|| block_on(call(&mut writer))).unwrap_err()
}

#[tokio::test]
async fn whoever_would_wait_after_a_fork_is_told() {
    let errors = [
        after_a_fork(async |writer| writer.sync().await).await,
        after_a_fork(async |writer| Ok(AsyncWriteExt::flush(writer).await?)).await,
        after_a_fork(async |writer| Ok(AsyncWriteExt::shutdown(writer).await?)).await,
        after_a_fork(async |writer| Ok(AsyncWriteExt::write_all(writer, b"45").await?)).await,
        after_a_fork(async |writer| writer.write_bytes("45".into()).await.map(drop)).await,
        after_a_fork(async |writer| SinkExt::send(writer, "45".into()).await).await,
        after_a_fork(async |writer| writer.wait_durable(3).await.map(drop)).await,
        after_a_fork(async |writer| {
            let mut durable = writer.durable();
            durable.next().await.unwrap()?;
            durable.next().await.unwrap().map(drop)
        })
        .await,
        after_a_fork(async |writer| {
            let receipt = writer.enqueue("4".into()).await?;
            receipt.written().await.map(drop)
        })
        .await,
    ];
    for error in errors {
        assert_eq!(error.kind(), &ErrorKind::Forked);
        assert_eq!(error.landed(), Some(Landed::InDoubt));
        assert!(error.to_string().contains("oss://bucket/object"), "{error}");
    }
}

#[tokio::test]
async fn what_needs_no_waiting_is_as_before() {
    let error = after_a_fork(async |writer| {
        writer.write_bytes("4".into()).await?;
        assert_eq!(writer.position(), 4);
        writer.sync().await
    });
    assert_eq!(error.await.kind(), &ErrorKind::Forked);
}
