//! NDJSON: one JSON value a line, by serde_json. Reads the object back and compares.
//!
//! ```text
//! cargo run --release --example ndjson
//! ```

use std::time::Instant;

use futures::{SinkExt, StreamExt, stream};
use oss_append::FlushMode;
use oss_append_pipelines::{Event, Oss, Result, compare, summary};
use tokio_util::codec::{FramedWrite, LinesCodec};

const EVENTS: u64 = 100_000;

#[tokio::main]
async fn main() -> Result<()> {
    let oss = Oss::connect().await?;
    let start = Instant::now();
    let writer = oss
        .create("events.ndjson")?
        // `FramedWrite` flushes whenever its own 8 KiB are full: that shall not mean an append.
        .flush_mode(FlushMode::Handoff)
        .open()
        .await?;
    let object = writer.object().clone();

    // JSON has no line breaks of its own, so a line is a value.
    let mut lines = FramedWrite::new(writer, LinesCodec::new());
    let events = stream::iter(0..EVENTS).map(Event::sample);
    let mut encoded =
        events.map(|event| Ok(serde_json::to_string(&event).map_err(std::io::Error::from)?));
    lines.send_all(&mut encoded).await?;
    SinkExt::<String>::close(&mut lines).await?;
    println!("{}", summary(lines.get_ref(), start));

    let content = oss.read(&object).await?;
    let read = serde_json::Deserializer::from_slice(&content).into_iter::<Event>();
    let count = compare("event", read, (0..EVENTS).map(Event::sample))?;
    println!("read back {count} events: equal");
    Ok(())
}
