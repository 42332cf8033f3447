//! `KeyedWriter`: the handle.

use std::sync::Arc;

use bytes::Bytes;

use super::builder::KeyedWriterBuilder;
use super::failed::KeyedError;
use super::pool::Pool;
use super::record_sink::KeyedRecordSink;
use super::stats::KeyedStats;
use super::template::FieldTemplate;
use crate::error::{Error, Result};
use crate::store::AppendStore;
use crate::writer::Receipt;

/// Writes each record to the object of its key, for hundreds of thousands of keys, with one limit
/// for the memory of all. Each key works like an [`OssAppendWriter`](crate::OssAppendWriter) or a
/// [`RollingWriter`](crate::RollingWriter).
///
/// The object of a key has the records that were accepted for it, whole and in order, exactly once.
/// A record is never split between two appends.
///
/// # Open keys
/// A key is opened by its first record. It is closed when it was not written to for a while, or
/// when its place is needed ([`idle_timeout`](KeyedWriterBuilder::idle_timeout),
/// [`max_open`](KeyedWriterBuilder::max_open)). A closed key takes no memory. Its next record opens
/// it again at the end of its object, which costs one look; so `max_open` should be larger than the
/// number of keys that are busy at a time.
///
/// An open key takes less than 4 KiB if everything in it is durable, and at least 4 KiB more while
/// it gathers records.
///
/// # Keys that are stuck
/// A key whose requests fail or are not answered does not hold up other keys, until it has failed
/// for good after its [`delivery_timeout`](crate::OssAppendWriterBuilder::delivery_timeout):
///
/// - It keeps its place among the [`max_open`](KeyedWriterBuilder::max_open) keys. If a place is needed,
///   another key is closed instead, after a second.
/// - It holds no more of the [memory](KeyedWriterBuilder::buffer_capacity) than it leaves free: one
///   stuck key up to half, two up to two thirds, and so on. Only a single record may be longer.
/// - A request that does not move gives its [turn](KeyedWriterBuilder::max_concurrent_appends) to
///   others after 5 s.
///
/// Writes that wait for memory get it in order of arrival. A record that is longer than what is
/// free therefore holds up later records that need memory too.
///
/// # Failure
/// A key that fails does not affect the others. All of its records that are not durable fail, and
/// their receipts return the same error. [`on_failed`](KeyedWriterBuilder::on_failed) gets their
/// bytes. From then on the key's writes, and every flush and shutdown, return its error until
/// [`forgive`](Self::forgive) is called: otherwise its object would go on with a gap that nobody
/// has noticed. Until then, each failed key takes the memory of its name and its error, so their
/// number is [limited](KeyedWriterBuilder::max_failed_keys); at that limit no more keys are opened.
///
/// # Clones
/// A clone is another handle to the same writer.
///
/// # Dropping
/// Dropping the last clone never blocks. What was accepted is still appended as long as the runtime
/// lives, but nobody except the receipts learns the outcome: call [`shutdown`](Self::shutdown) for
/// that. If not everything is durable, a drop logs one warning.
///
/// ```no_run
/// # async fn example(client: oss_append::OssClient) -> Result<(), Box<dyn std::error::Error>> {
/// use oss_append::KeyedWriter;
///
/// let writer = KeyedWriter::builder(client, "my-bucket")
///     .objects(|tenant| format!("tenants/{tenant}/events.log"))
///     .on_failed(|failed| eprintln!("{}: {}", failed.key, failed.error))
///     .start()?;
/// let receipt = writer.write("alice", "signed in\n".into()).await?;
/// let _ = writer.write("bob", "signed out\n".into()).await?;
/// println!("{:?}", receipt.written().await?.range);
/// writer.shutdown().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct KeyedWriter {
    pool: Arc<Pool>,
    template: Option<Arc<FieldTemplate>>,
}

impl KeyedWriter {
    /// Prepares to write to objects in `bucket`.
    pub fn builder<S: AppendStore>(store: S, bucket: impl Into<String>) -> KeyedWriterBuilder<S> {
        KeyedWriterBuilder::new(store, bucket.into())
    }

    pub(super) fn new(pool: Arc<Pool>, template: Option<FieldTemplate>) -> Self {
        let template = template.map(Arc::new);
        Self { pool, template }
    }

    /// Accepts `record` for the object of `key`, and returns a receipt that tells when it is
    /// durable and where. Copies it only if it is short. Waits while there is no memory, while the
    /// key holds its own `buffer_capacity` or its share of all memory, or, if the key is not open,
    /// while another is closed to make room for it.
    ///
    /// The receipt's [`position`](Receipt::position) counts from when the key was opened;
    /// [`written`](Receipt::written) tells where the record is in the object.
    ///
    /// # Errors
    /// The failure of the key, see [above](Self#failure); [`Closed`](crate::ErrorKind::Closed)
    /// after a shutdown; [`TooManyFailedKeys`](crate::ErrorKind::TooManyFailedKeys) for a key that
    /// is not open when too many others have failed;
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for an empty record, a record of more than
    /// [`buffer_capacity`](KeyedWriterBuilder::buffer_capacity) or `max_append_size` bytes, a key
    /// whose object cannot have that name, and options of a key that do not go together: then
    /// nothing is written, and the key has not failed.
    ///
    /// If an object is not appendable, or OSS refuses the credentials, the first append finds that
    /// out, and the receipt reports it.
    ///
    /// # Cancel safety
    /// Safe: a future that was dropped before it returned has accepted nothing.
    pub async fn write(&self, key: &str, record: Bytes) -> Result<Receipt> {
        // A producer that never has to wait lets others go on too.
        tokio::task::coop::consume_budget().await;
        self.pool.write(key, record).await
    }

    /// Accepts `record` for the object that the [`template`](KeyedWriterBuilder::template) gives to
    /// these fields. Fields that it does not name have no effect.
    ///
    /// The same as [`write`](Self::write) with the [`key_of`](Self::key_of) these fields.
    ///
    /// # Errors
    /// As [`write`](Self::write) and [`key_of`](Self::key_of).
    ///
    /// # Cancel safety
    /// Safe: a future that was dropped before it returned has accepted nothing.
    pub async fn write_fields(&self, fields: &[(&str, &str)], record: Bytes) -> Result<Receipt> {
        self.write(&self.key_of(fields)?, record).await
    }

    /// The key of records with these fields: the key that they are written to, fail with and are
    /// [forgiven](Self::forgive) by.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if a field of the template is missing,
    /// empty or there twice, and without a [`template`](KeyedWriterBuilder::template).
    pub fn key_of(&self, fields: &[(&str, &str)]) -> Result<String> {
        let key = match &self.template {
            Some(template) => template.key(fields),
            None => Err(Error::invalid_input(
                "no template makes a key of fields: give the builder one",
            )),
        };
        key.map_err(|error| error.with_operation("write"))
    }

    /// A `Sink` of items with their keys, `(key, item)`. Each item is one record as `encoder` makes
    /// it: any [`Encoder`](tokio_util::codec::Encoder) of tokio-util. Like a clone, it is another
    /// handle to this writer. It never flushes.
    pub fn records<E>(&self, encoder: E) -> KeyedRecordSink<E> {
        KeyedRecordSink::new(self.clone(), encoder)
    }

    /// Accepts `record` if that needs no waiting; tells whether it did.
    pub(super) fn try_write(&self, key: &str, record: &Bytes) -> Result<bool> {
        self.pool.try_write_now(key, record)
    }

    /// Runs `task` where the keys' workers are run.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.pool.spawn(task);
    }

    /// Waits until everything accepted before is durable, and issues it as the
    /// [`FlushMode`](crate::FlushMode) of each key says. Each key has an allowance of its own for
    /// small flushes, and a new one when it is opened again. To wait for one record of one key,
    /// await its [receipt](Receipt::written) instead, which no other key holds up.
    ///
    /// # Errors
    /// All keys that have failed, now or earlier, and were not [forgiven](Self::forgive).
    /// Everything accepted for the other keys is durable.
    ///
    /// # Cancel safety
    /// Safe: the appends stay on their way.
    pub async fn flush(&self) -> Result<(), KeyedError> {
        self.pool.flush(false).await
    }

    /// Makes everything accepted so far durable, at once and in every flush mode.
    ///
    /// # Errors
    /// As [`flush`](Self::flush).
    ///
    /// # Cancel safety
    /// Safe: the appends stay on their way.
    pub async fn sync(&self) -> Result<(), KeyedError> {
        self.pool.flush(true).await
    }

    /// Waits until everything accepted so far is in the spools of the keys, so that it survives the
    /// process; with a `SpoolSync` other than `Never`, until it is synced. Without spools (feature
    /// `spool`) it returns at once.
    ///
    /// # Errors
    /// As [`flush`](Self::flush).
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn spooled(&self) -> Result<(), KeyedError> {
        self.pool.spooled().await
    }

    /// Accepts nothing more, makes everything durable and closes all keys. Waiting writes fail at
    /// once.
    ///
    /// It takes as long as the keys do: a stuck key fails after its
    /// [`delivery_timeout`](crate::OssAppendWriterBuilder::delivery_timeout) (120 s unless set),
    /// counted from its last progress. With
    /// [`keep_trying`](crate::RollingWriterBuilder::keep_trying) a key never fails, and a shutdown
    /// waits for it without a limit: set your own, such as `tokio::time::timeout`, and see from
    /// [`stats`](Self::stats) what is missing.
    ///
    /// # Errors
    /// All keys that have failed, now or earlier, and were not [forgiven](Self::forgive). All
    /// others have been closed. Another call returns the same.
    ///
    /// # Cancel safety
    /// Safe: the shutdown goes on, and another call can wait for it.
    pub async fn shutdown(&self) -> Result<(), KeyedError> {
        self.pool.shutdown().await
    }

    /// Lets a failed key be written to again, and returns the error that it had: the next record
    /// looks at the object and goes on at its end. `None` if the key has not failed.
    ///
    /// Bytes that were not durable do not come back by themselves. Before you write them again,
    /// look at [`in_doubt`](crate::Unsent::in_doubt), or they may be there twice. What is in the
    /// key's spool does come back: its delivery starts again.
    pub fn forgive(&self, key: &str) -> Option<Error> {
        self.pool.forgive(key)
    }

    /// The keys that have failed and were not [forgiven](Self::forgive), in order.
    pub fn failed_keys(&self) -> Vec<(String, Error)> {
        let table = self.pool.lock();
        let failed = table.failed.iter();
        failed
            .map(|(key, error)| (key.to_string(), error.clone()))
            .collect()
    }

    /// What was done so far, and what is still held.
    pub fn stats(&self) -> KeyedStats {
        self.pool.lock().stats()
    }
}
