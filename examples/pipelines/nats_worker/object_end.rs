//! How far an object is: its newest whole record.

use futures::TryStreamExt;
use oss_append::{AppendStore, Checkpoint, ObjectPath, OssClient};
use oss_append_pipelines::newest_line;

use crate::failure::Failure;
use crate::record::{self, Origin};

/// How much of the end is read at first.
const TAIL: u64 = 64 * 1024;

/// A record is not longer than this: no message of NATS is.
const LONGEST: u64 = 512 * 1024 * 1024;

/// Where to go on.
pub(crate) struct ObjectEnd {
    /// Behind the newest whole record. A part of the next may be there already, if the worker before
    /// was killed.
    pub(crate) checkpoint: Checkpoint,
    /// The newest whole record; `None`: there is none.
    pub(crate) newest: Option<Origin>,
}

/// Looks at the end of `object`.
pub(crate) async fn find(client: &OssClient, object: &ObjectPath) -> Result<ObjectEnd, Failure> {
    let found = client.head(object).await?;
    let length = found.map_or(0, |found| found.length);
    let mut window = TAIL;
    loop {
        let start = length.saturating_sub(window);
        let tail = read(client, object, start, length).await?;
        if let Some((begin, end)) = newest_line(&tail, start == 0) {
            let origin = record::origin(&tail[begin..end]).map_err(|error| {
                Failure::object(format!(
                    "{object} has something at position {} that is not a record: {error}",
                    start + begin as u64
                ))
            })?;
            return Ok(ObjectEnd {
                checkpoint: Checkpoint::new(object.clone(), start + end as u64),
                newest: Some(origin),
            });
        }
        if start == 0 {
            return Ok(ObjectEnd {
                checkpoint: Checkpoint::start(object.clone()),
                newest: None,
            });
        }
        if window >= LONGEST {
            return Err(Failure::object(format!(
                "{object} has no record in its last {window} bytes"
            )));
        }
        window *= 8;
    }
}

async fn read(
    client: &OssClient,
    object: &ObjectPath,
    start: u64,
    end: u64,
) -> Result<Vec<u8>, Failure> {
    if start == end {
        return Ok(Vec::new());
    }
    let body = client.read_range(object, start..end).await?;
    let append = async |mut read: Vec<u8>, chunk: bytes::Bytes| {
        read.extend_from_slice(&chunk);
        Ok(read)
    };
    let read = body.try_fold(Vec::new(), append).await?;
    if read.len() as u64 != end - start {
        return Err(Failure::object(format!(
            "{object} became shorter while it was read"
        )));
    }
    Ok(read)
}
