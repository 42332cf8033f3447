//! Parquet: columns by arrow's `AsyncArrowWriter`. Reads the object back and compares.
//!
//! ```text
//! cargo run --release --example parquet
//! ```
//!
//! A row group is written when it is complete, so memory holds one of them beside the writer's
//! buffer. The list of row groups comes last: an object that was given up before is no Parquet
//! file. For one that can be read while it grows see `arrow_stream.rs`.

use std::time::Instant;

use arrow_array::RecordBatch;
use oss_append_pipelines::{Oss, Result, compare, record_batch, schema, summary};
use parquet::arrow::AsyncArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::properties::WriterProperties;

const BATCHES: u64 = 40;
const ROWS_PER_BATCH: u64 = 10_000;
const ROWS_PER_GROUP: u64 = 100_000;

#[tokio::main]
async fn main() -> Result<()> {
    let oss = Oss::connect().await?;
    let start = Instant::now();
    // `AsyncArrowWriter` flushes only at its end, so the flush mode does not matter.
    let writer = oss.create("events.parquet")?.open().await?;
    let object = writer.object().clone();

    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(ROWS_PER_GROUP as usize))
        .build();
    let mut rows = AsyncArrowWriter::try_new(writer, schema(), Some(properties))?;
    for batch in batches() {
        rows.write(&batch).await?;
    }
    // Writes the list of row groups and shuts the writer down: now all is durable.
    let groups = rows.finish().await?.num_row_groups();
    println!("{}", summary(&rows.into_inner(), start));

    let content = oss.read(&object).await?;
    let reader = ParquetRecordBatchReaderBuilder::try_new(content)?
        .with_batch_size(ROWS_PER_BATCH as usize)
        .build()?;
    let count = compare("batch", reader, batches())?;
    let rows = count as u64 * ROWS_PER_BATCH;
    println!("read back {rows} rows of {groups} row groups: equal");
    Ok(())
}

fn batches() -> impl Iterator<Item = RecordBatch> {
    (0..BATCHES).map(|n| record_batch(n * ROWS_PER_BATCH..(n + 1) * ROWS_PER_BATCH))
}
