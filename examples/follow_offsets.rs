//! Two programs: one writes lines to a sequence of objects, the other follows it with an offset of its
//! own and makes something of each line. The second is killed again and again, at any moment, and
//! started again: each line is in its results once.
//!
//! ```text
//! cargo run --release --example follow_offsets [-- KILLS]
//! ```
//!
//! What makes it exact is that an offset is stored together with what was made of the lines before
//! it, in one step: here both are in one file, which is replaced by a rename.

use std::error::Error;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use futures::StreamExt;
use oss_append::emulator::Emulator;
use oss_append::{Checkpoint, KeyTemplate, OssClient, RollingWriter, SequenceReader};
use serde_json::{Value, json};

const BUCKET: &str = "examplebucket";
const TEMPLATE: &str = "orders/{seq:4}.log";
const LINES: u64 = 5_000;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments
        .iter()
        .map(|argument| &**argument)
        .collect::<Vec<_>>()[..]
    {
        ["follow", state] => follow(OssClient::from_env()?, Path::new(state)).await,
        [kills] => both(kills.parse()?).await,
        _ => both(20).await,
    }
}

/// The second program: adds up the amounts of the orders, and counts them.
async fn follow(client: OssClient, state: &Path) -> Result<(), Box<dyn Error>> {
    let template: KeyTemplate = TEMPLATE.parse()?;
    let reader = SequenceReader::builder(client, BUCKET, template).follower(|follower| {
        follower.poll_interval(Duration::from_millis(5)..=Duration::from_millis(50))
    });
    let (reader, mut count, mut sum) = match std::fs::read(state) {
        Ok(stored) => {
            let stored: Value = serde_json::from_slice(&stored)?;
            let from: Checkpoint = serde_json::from_value(stored["from"].clone())?;
            let number = |name: &str| stored[name].as_u64().ok_or(format!("no {name}"));
            (reader.checkpoint(from), number("count")?, number("sum")?)
        }
        Err(_) => (reader.from_number(1), 0, 0),
    };
    let mut lines = reader.open().await?.lines();
    while let Some(line) = lines.next().await {
        let line = line?;
        count += 1;
        sum += std::str::from_utf8(&line.item)?.parse::<u64>()?;
        // The results and the offset, or neither.
        let new = state.with_extension("new");
        let stored = json!({ "from": line.checkpoint(), "count": count, "sum": sum });
        std::fs::write(&new, stored.to_string())?;
        std::fs::rename(&new, state)?;
        println!("{count}");
    }
    Ok(())
}

/// The first program, and one that starts and kills the second.
async fn both(kills: u64) -> Result<(), Box<dyn Error>> {
    let emulator = Emulator::builder().bucket(BUCKET).start().await?;
    let directory = tempfile::tempdir()?;
    let state = directory.path().join("state.json");

    let client = emulator.client().build()?;
    let write = tokio::spawn(async move {
        let builder = RollingWriter::builder(client, BUCKET, TEMPLATE).roll_size(4_000);
        let mut writer = builder.open().await?;
        for number in 1..=LINES {
            writer.write_all(format!("{number}\n").as_bytes()).await?;
            if number % 50 == 0 {
                writer.sync().await?;
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        writer.shutdown().await?;
        Ok::<u64, oss_append::Error>(writer.stats().finished)
    });

    let (url, region) = (emulator.url(), emulator.region().to_owned());
    let followed = tokio::task::spawn_blocking(move || -> Result<Value, String> {
        for killed in 0..=kills {
            let follower = start(&url, &region, &state).map_err(|error| error.to_string())?;
            // Some of the last is left for the one that is not killed.
            let until = (LINES - 1) * (killed + 1) / (kills + 1);
            let until = if killed == kills { LINES } else { until };
            wait_and_kill(follower, until)?;
        }
        let stored = std::fs::read(&state).map_err(|error| error.to_string())?;
        serde_json::from_slice(&stored).map_err(|error| error.to_string())
    });
    let stored = followed.await??;
    let objects = write.await??;
    emulator.shutdown().await;

    println!(
        "written: {LINES} lines in {objects} objects, sum {}",
        LINES * (LINES + 1) / 2
    );
    println!(
        "followed, with {kills} kills: {} lines, sum {}",
        stored["count"], stored["sum"]
    );
    if stored["count"] != LINES || stored["sum"] != LINES * (LINES + 1) / 2 {
        return Err("lines are missing or were processed twice".into());
    }
    println!("each line was processed once");
    Ok(())
}

fn start(url: &str, region: &str, state: &Path) -> std::io::Result<Child> {
    Command::new(std::env::current_exe()?)
        .arg("follow")
        .arg(state)
        .env("OSS_ENDPOINT", url)
        .env("OSS_REGION", region)
        .env("OSS_ACCESS_KEY_ID", oss_append::emulator::ACCESS_KEY_ID)
        .env(
            "OSS_ACCESS_KEY_SECRET",
            oss_append::emulator::ACCESS_KEY_SECRET,
        )
        .stdout(Stdio::piped())
        .spawn()
}

/// Kills the follower once it has counted so far, wherever it is by then.
fn wait_and_kill(mut follower: Child, count: u64) -> Result<(), String> {
    let stdout = follower.stdout.take().ok_or("no standard output")?;
    for line in BufReader::new(stdout).lines() {
        let line = line.map_err(|error| error.to_string())?;
        if line.parse::<u64>().is_ok_and(|counted| counted >= count) {
            follower.kill().map_err(|error| error.to_string())?;
            follower.wait().map_err(|error| error.to_string())?;
            return Ok(());
        }
    }
    let status = follower.wait().map_err(|error| error.to_string())?;
    Err(format!("the follower has ended: {status}"))
}
