//! NDJSON: one JSON value a line, by serde_json. Reads the object back and compares.
//!
//! ```text
//! cargo run --release --example ndjson
//! ```

use futures::{SinkExt, StreamExt, stream};
use oss_append::FlushMode;
use oss_append_pipelines::{Oss, Result};
use serde::{Deserialize, Serialize};
use tokio_util::codec::{FramedWrite, LinesCodec};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Event {
    number: u64,
    device: String,
    celsius: f64,
    note: Option<String>,
}

impl Event {
    fn sample(number: u64) -> Self {
        Self {
            number,
            device: format!("device-{}", number % 7),
            celsius: (number as f64).sin() * 40.0,
            note: number
                .is_multiple_of(5)
                .then(|| "\"quoted\", and\nin two lines: 温度".into()),
        }
    }
}

const EVENTS: u64 = 100_000;

#[tokio::main]
async fn main() -> Result<()> {
    let oss = Oss::connect().await?;
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
    println!("{:?}", lines.get_ref().stats());

    let content = oss.read(&object).await?;
    let mut count = 0;
    for (number, event) in serde_json::Deserializer::from_slice(&content)
        .into_iter::<Event>()
        .enumerate()
    {
        if event? != Event::sample(number as u64) {
            return Err(format!("event {number} is not what was written").into());
        }
        count += 1;
    }
    println!("read back {count} events: equal");
    if count != EVENTS {
        return Err("events are missing".into());
    }
    Ok(())
}
