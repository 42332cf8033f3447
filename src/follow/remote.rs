//! The objects of one path in the store, looked at from the thread that reads files.

use std::future::Future;
use std::ops::Range;
use std::sync::Arc;

use futures::TryStreamExt as _;
use tokio::runtime::Handle;

use super::place::Objects;
use super::reading::Head;
use crate::drive::ask::ask;
use crate::drive::options::AppenderOptions;
use crate::drive::stats::Counters;
use crate::error::{Error, Result};
use crate::rolling::KeyNames;
use crate::store::AppendStore;
use crate::values::info::ObjectKind;
use crate::values::path::ObjectPath;

/// The objects of one path. Each request is tried again as patiently as an append.
pub(super) struct Remote<S> {
    pub(super) store: Arc<S>,
    pub(super) bucket: String,
    pub(super) names: KeyNames,
    pub(super) options: Arc<AppenderOptions>,
    pub(super) runtime: Handle,
}

impl<S: AppendStore> Remote<S> {
    pub(super) fn object(&self, number: u64) -> Result<ObjectPath> {
        Ok(ObjectPath::new(&self.bucket, self.names.key(number))?)
    }

    fn ask<T, F>(&self, object: &ObjectPath, request: impl FnMut() -> F) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        let counters = Counters::new(object, &self.options.events);
        let asked = ask(object, &self.options, &counters, request);
        self.runtime.block_on(asked)
    }
}

impl<S: AppendStore> Objects for Remote<S> {
    fn newest(&mut self) -> Result<Option<Head>> {
        if !self.names.is_numbered() {
            return self.numbered(1);
        }
        let first = self.object(1)?;
        let newest = self.ask(&first, || self.names.newest(&*self.store, &self.bucket))?;
        match newest {
            Some(number) => self.numbered(number),
            None => Ok(None),
        }
    }

    fn numbered(&mut self, number: u64) -> Result<Option<Head>> {
        let object = self.object(number)?;
        let seen = self.ask(&object, || self.store.head(&object));
        let seen = seen.map_err(|error| error.with_operation("head").with_object(&object))?;
        let Some(info) = seen else {
            return Ok(None);
        };
        if let ObjectKind::Other(kind) = info.kind {
            return Err(Error::not_appendable(Some(kind)).with_object(&object));
        }
        let crc64 = match info.crc64 {
            Some(crc64) => crc64,
            None if info.length == 0 => 0,
            None => {
                let missing =
                    "it does not tell the CRC-64 of the object, which proves what it holds";
                return Err(Error::bad_answer(200, missing).with_object(&object));
            }
        };
        Ok(Some(Head {
            number,
            length: info.length,
            crc64,
        }))
    }

    fn read(&mut self, number: u64, range: Range<u64>) -> Result<Vec<u8>> {
        let object = self.object(number)?;
        let read = self.ask(&object, || async {
            let mut bytes = Vec::new();
            let mut stream = self.store.read_range(&object, range.clone()).await?;
            while let Some(piece) = stream.try_next().await? {
                bytes.extend_from_slice(&piece);
            }
            Ok(bytes)
        });
        read.map_err(|error| error.with_operation("get").with_object(&object))
    }
}
