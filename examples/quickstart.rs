//! Streams a file into an object on an embedded OSS server, appends to it again, and reads it back.
//!
//! ```text
//! cargo run --release --example quickstart [FILE]
//! ```
//!
//! Without FILE it makes one of 64 MiB.

use std::error::Error;
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use futures::StreamExt;
use oss_append::crc64::Crc64;
use oss_append::emulator::Emulator;
use oss_append::{ObjectPath, OssAppendWriter, OssClient};

const MIB: f64 = 1024.0 * 1024.0;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let file = match std::env::args_os().nth(1) {
        Some(file) => PathBuf::from(file),
        None => make_file(directory.path().join("input"))?,
    };

    let emulator = Emulator::builder().bucket("quickstart").start().await?;
    let client = emulator.client().build()?;
    let object = ObjectPath::new("quickstart", "copy-of-the-file")?;
    println!("embedded OSS server at {}", emulator.url());

    // 1. Stream the file in.
    let mut writer = OssAppendWriter::builder(client.clone(), object.clone())
        .open()
        .await?;
    let mut reader = tokio::fs::File::open(&file).await?;
    let start = Instant::now();
    let copied = writer.copy_from(&mut reader).await?;
    writer.shutdown().await?;
    println!("streamed {} into {object}", file.display());
    report(&writer, start.elapsed());

    // 2. Open the object again: it is continued at its end.
    let mut writer = OssAppendWriter::builder(client.clone(), object.clone())
        .open()
        .await?;
    let start = Instant::now();
    writer.write_all(b"and one more line\n").await?;
    writer.shutdown().await?;
    println!("reopened at {copied} and appended a line");
    report(&writer, start.elapsed());

    // 3. Read it back and compare.
    let mut expected = file_crc(&file).await?;
    expected.update(b"and one more line\n");
    let (length, crc64) = read_back(&client, &object).await?;
    if crc64 != expected.finish() || length != writer.position() {
        return Err("what was read back is not what was written".into());
    }
    println!("read back {length} bytes: equal, CRC-64 {crc64}");
    emulator.shutdown().await;
    Ok(())
}

fn report(writer: &OssAppendWriter, elapsed: Duration) {
    let stats = writer.stats();
    println!(
        "  {} bytes in {:.3} s ({:.1} MiB/s), {} appends, {} retries, position {}",
        stats.durable,
        elapsed.as_secs_f64(),
        stats.durable as f64 / MIB / elapsed.as_secs_f64(),
        stats.appends,
        stats.retries,
        writer.durable_position(),
    );
}

fn make_file(path: PathBuf) -> std::io::Result<PathBuf> {
    let mut file = std::io::BufWriter::new(std::fs::File::create(&path)?);
    let mut random = fastrand::Rng::with_seed(64);
    let mut block = [0; 64 * 1024];
    for _ in 0..1024 {
        random.fill(&mut block);
        file.write_all(&block)?;
    }
    file.flush()?;
    Ok(path)
}

async fn file_crc(path: &PathBuf) -> std::io::Result<Crc64> {
    let mut crc = Crc64::new();
    let file = tokio::fs::File::open(path).await?;
    let mut chunks = tokio_util::io::ReaderStream::with_capacity(file, 1 << 20);
    while let Some(chunk) = chunks.next().await {
        crc.update(&chunk?);
    }
    Ok(crc)
}

async fn read_back(client: &OssClient, object: &ObjectPath) -> oss_append::Result<(u64, u64)> {
    let mut body = client.get_object(object).send().await?.body;
    let (mut length, mut crc) = (0, Crc64::new());
    while let Some(chunk) = body.next().await {
        let chunk = chunk?;
        length += chunk.len() as u64;
        crc.update(&chunk);
    }
    Ok((length, crc.finish()))
}
