//! How soon a follower has what is durable, and how many requests that takes: a trickle of 10 lines a
//! second, each synced on its own, followed by an `ObjectFollower` and by a `SequenceReader`.
//!
//! ```text
//! cargo bench --bench follow [-- SECONDS]
//! ```
//!
//! The time is that from the return of `sync` to the line in the follower's hands, both in this process
//! and against the embedded server on loopback, so that no network is in it. A row has the least, the
//! median and the 99th percentile, and the requests of the follower alone, which the
//! server counts. The last row says `appended()` after each sync.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use oss_append::emulator::{Emulator, Operation};
use oss_append::{
    Error, FollowHandle, Followed, KeyTemplate, ObjectFollower, OssAppendWriter, Result,
    SequenceReader, defaults,
};

const EVERY: Duration = Duration::from_millis(100);

#[tokio::main]
async fn main() -> Result<()> {
    let seconds = std::env::args()
        .skip(1)
        .find_map(|argument| argument.parse().ok())
        .unwrap_or(20);
    println!(
        "10 lines a second for {seconds} s; poll_interval {:?} to {:?}",
        defaults::POLL_MIN,
        defaults::POLL_MAX
    );
    println!("| follower | least | p50 | p99 | requests a minute | HEAD | GET | list |");
    println!("|---|---|---|---|---|---|---|---|");
    for (name, is_sequence, knows) in [
        ("ObjectFollower", false, false),
        ("SequenceReader", true, false),
        ("ObjectFollower, told by appended()", false, true),
    ] {
        row(name, is_sequence, knows, seconds).await?;
    }
    Ok(())
}

type Lines = BoxStream<'static, Result<Followed<bytes::Bytes>>>;

async fn follower(emulator: &Emulator, is_sequence: bool) -> Result<(FollowHandle, Lines)> {
    let client = emulator.client().build()?;
    Ok(match is_sequence {
        false => {
            let object = "oss://bucket/log-1".parse()?;
            let follower = ObjectFollower::builder(client, object);
            let follower = follower.wait_for_object(true).open().await?;
            (follower.handle(), follower.lines().boxed())
        }
        true => {
            let template: KeyTemplate = "log-{seq}".parse()?;
            let reader = SequenceReader::builder(client, "bucket", template);
            let reader = reader.open().await?;
            (reader.handle(), reader.lines().boxed())
        }
    })
}

async fn row(name: &str, is_sequence: bool, knows: bool, seconds: u64) -> Result<()> {
    let emulator = Emulator::builder().bucket("bucket").start().await?;
    let object = "oss://bucket/log-1".parse()?;
    let client = emulator.client().build()?;
    let mut writer = OssAppendWriter::builder(client, object).open().await?;
    writer.write_all(b"first\n").await?;
    writer.sync().await?;
    let (handle, lines) = follower(&emulator, is_sequence).await?;
    let mut lines = lines;
    expect(&mut lines).await?;
    let count = seconds * 10;
    let durable = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&durable);
    let before = Counts::of(&emulator);
    let began = Instant::now();
    let write = tokio::spawn(async move {
        let mut next = tokio::time::interval(EVERY);
        for number in 0..count {
            next.tick().await;
            writer.write_all(format!("{number}\n").as_bytes()).await?;
            writer.sync().await?;
            told.lock().unwrap().push(Instant::now());
            if knows {
                handle.appended();
            }
        }
        writer.shutdown().await
    });
    let mut delivered = Vec::new();
    for _ in 0..count {
        expect(&mut lines).await?;
        delivered.push(Instant::now());
    }
    let minutes = began.elapsed().as_secs_f64() / 60.0;
    write.await.expect("the writer does not panic")?;
    // A line can be read before the writer has its answer: then it took no time.
    let durable = std::mem::take(&mut *durable.lock().unwrap());
    let mut times: Vec<_> = (delivered.iter().zip(&durable))
        .map(|(delivered, durable)| delivered.saturating_duration_since(*durable))
        .collect();
    times.sort();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100];
    let used = Counts::of(&emulator).since(&before);
    let a_minute = |count: usize| (count as f64 / minutes).round();
    println!(
        "| {name} | {:.1?} | {:.1?} | {:.1?} | {} | {} | {} | {} |",
        at(0),
        at(50),
        at(99),
        a_minute(used.head + used.get + used.list),
        a_minute(used.head),
        a_minute(used.get),
        a_minute(used.list),
    );
    emulator.shutdown().await;
    Ok(())
}

async fn expect(
    lines: &mut (impl Stream<Item = Result<Followed<bytes::Bytes>>> + Unpin),
) -> Result<()> {
    match lines.next().await {
        Some(line) => line.map(drop),
        None => Err(Error::invalid_input("the follower has ended")),
    }
}

/// Requests so far. The writer makes none of these while it appends.
struct Counts {
    head: usize,
    get: usize,
    list: usize,
}

impl Counts {
    fn of(emulator: &Emulator) -> Self {
        Self {
            head: emulator.count(Operation::HeadObject),
            get: emulator.count(Operation::GetObject),
            list: emulator.count(Operation::ListObjectsV2),
        }
    }

    fn since(self, before: &Self) -> Self {
        Self {
            head: self.head - before.head,
            get: self.get - before.get,
            list: self.list - before.list,
        }
    }
}
