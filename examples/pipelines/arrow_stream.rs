//! Arrow IPC: a stream of record batches, by arrow's `StreamWriter`. Reads the object back, once
//! while it grows and once at its end, and compares.
//!
//! ```text
//! cargo run --release --example arrow_stream
//! ```

use std::mem;
use std::time::Instant;

use arrow_array::RecordBatch;
use arrow_ipc::reader::StreamReader;
use arrow_ipc::writer::StreamWriter;
use oss_append_pipelines::{Oss, Result, compare, record_batch, schema, summary};

const BATCHES: u64 = 40;
const ROWS_PER_BATCH: u64 = 10_000;

#[tokio::main]
async fn main() -> Result<()> {
    let oss = Oss::connect().await?;
    let start = Instant::now();
    let mut writer = oss.create("events.arrows")?.open().await?;
    let object = writer.object().clone();

    // `StreamWriter` knows no async: it encodes in memory, and each batch is handed on as one
    // record. Its receipt tells when the stream can be read up to there.
    let mut encoder = StreamWriter::try_new(Vec::new(), &schema())?;
    for (number, batch) in (1..).zip(batches(BATCHES)) {
        encoder.write(&batch)?;
        let encoded = mem::take(encoder.get_mut());
        let receipt = writer.enqueue(encoded.into()).await?;

        if number == BATCHES / 2 {
            let end = receipt.written().await?.range.end;
            let begun = oss.read(&object).await?.slice(..end as usize);
            let reader = StreamReader::try_new(&begun[..], None)?;
            let count = compare("batch", reader, batches(number))?;
            println!("{count} batches are durable, and can be read already: equal");
        }
    }
    encoder.finish()?;
    let end_mark = mem::take(encoder.get_mut());
    writer.write_all(&end_mark).await?;
    writer.shutdown().await?;
    println!("{}", summary(&writer, start));

    let content = oss.read(&object).await?;
    let reader = StreamReader::try_new(&content[..], None)?;
    let count = compare("batch", reader, batches(BATCHES))?;
    println!("read back {count} batches of {ROWS_PER_BATCH} rows: equal");
    Ok(())
}

fn batches(count: u64) -> impl Iterator<Item = RecordBatch> {
    (0..count).map(|n| record_batch(n * ROWS_PER_BATCH..(n + 1) * ROWS_PER_BATCH))
}
