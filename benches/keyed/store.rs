//! The server as a store that counts, and that takes no more requests at a time than a keyed writer
//! makes by default: so its rivals get the same.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use futures::stream::BoxStream;
use oss_append::{
    AppendAnswer, AppendRequest, AppendStore, ObjectInfo, ObjectPath, OssClient, Result,
};
use tokio::sync::Semaphore;

const REQUESTS: usize = 16;

#[derive(Clone)]
pub(crate) struct Store {
    client: OssClient,
    gate: Arc<Semaphore>,
    appends: Arc<AtomicUsize>,
}

impl Store {
    pub(crate) fn new(client: OssClient) -> Self {
        Self {
            client,
            gate: Arc::new(Semaphore::new(REQUESTS)),
            appends: Arc::default(),
        }
    }

    pub(crate) fn appends(&self) -> usize {
        self.appends.load(Ordering::Relaxed)
    }
}

impl AppendStore for Store {
    async fn append(&self, request: AppendRequest) -> Result<AppendAnswer> {
        let _permit = self.gate.acquire().await;
        self.appends.fetch_add(1, Ordering::Relaxed);
        self.client.append(request).await
    }

    async fn head(&self, object: &ObjectPath) -> Result<Option<ObjectInfo>> {
        let _permit = self.gate.acquire().await;
        self.client.head(object).await
    }

    async fn read_range(
        &self,
        object: &ObjectPath,
        range: Range<u64>,
    ) -> Result<BoxStream<'static, Result<Bytes>>> {
        self.client.read_range(object, range).await
    }

    async fn seal(&self, object: &ObjectPath, position: u64) -> Result<()> {
        self.client.seal(object, position).await
    }
}
