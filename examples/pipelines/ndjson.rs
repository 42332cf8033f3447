//! NDJSON: one JSON value a line, by serde_json. Reads the object back and compares.
//!
//! ```text
//! cargo run --release --example ndjson
//! ```

use std::time::Instant;

use futures::{SinkExt, StreamExt, stream};
use oss_append_pipelines::{Event, Oss, Result, compare, summary};
use tokio_util::codec::LinesCodec;

const EVENTS: u64 = 100_000;

#[tokio::main]
async fn main() -> Result<()> {
    let oss = Oss::connect().await?;
    let start = Instant::now();
    let mut writer = oss.create("events.ndjson")?.open().await?;
    let object = writer.object().clone();

    // JSON has no line breaks of its own, so a line is a value.
    let mut lines = writer.records(LinesCodec::new());
    let events = stream::iter(0..EVENTS).map(Event::sample);
    let mut encoded =
        events.map(|event| Ok(serde_json::to_string(&event).map_err(std::io::Error::from)?));
    lines.send_all(&mut encoded).await?;
    writer.shutdown().await?;
    println!("{}", summary(&writer, start));

    let content = oss.read(&object).await?;
    let read = serde_json::Deserializer::from_slice(&content).into_iter::<Event>();
    let count = compare("event", read, (0..EVENTS).map(Event::sample))?;
    println!("read back {count} events: equal");
    Ok(())
}
