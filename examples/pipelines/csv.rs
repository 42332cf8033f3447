//! CSV: rows by serde and csv-async. Reads the object back and compares.
//!
//! ```text
//! cargo run --release --example csv
//! ```

use std::convert::Infallible;
use std::time::Instant;

use csv_async::{AsyncDeserializer, AsyncSerializer};
use futures::TryStreamExt;
use oss_append::FlushMode;
use oss_append_pipelines::{Event, Oss, Result, compare, summary};

const EVENTS: u64 = 100_000;

#[tokio::main]
async fn main() -> Result<()> {
    let oss = Oss::connect().await?;
    let start = Instant::now();
    let writer = oss
        .create("events.csv")?
        // The serializer flushes only at its end; but one that is dropped before, because of an
        // error, flushes too and blocks its thread until that is done: for ever, if the writer's
        // worker needs this very thread.
        .flush_mode(FlushMode::Handoff)
        .open()
        .await?;
    let object = writer.object().clone();

    // The first row is preceded by the names of the columns.
    let mut rows = AsyncSerializer::from_writer(writer);
    for number in 0..EVENTS {
        rows.serialize(Event::sample(number)).await?;
    }
    let mut writer = rows.into_inner().await?;
    writer.shutdown().await?;
    println!("{}", summary(&writer, start));

    let content = oss.read(&object).await?;
    let rows = AsyncDeserializer::from_reader(&content[..]).into_deserialize::<Event>();
    let read: Vec<Event> = rows.try_collect().await?;
    let read = read.into_iter().map(Ok::<_, Infallible>);
    let count = compare("row", read, (0..EVENTS).map(Event::sample))?;
    println!("read back {count} rows: equal");
    Ok(())
}
