//! Streams bytes into an object on an embedded OSS server that loses an answer on the way, continues the
//! object, and compares it with what was written.
//!
//! ```text
//! cargo run -p quickstart [FILE]
//! ```
//!
//! Without FILE it streams 64 MiB of random bytes.

use std::error::Error;

use oss_append::crc64::Crc64;
use oss_append::emulator::{Action, Emulator, Fault, Operation};
use oss_append::{ObjectPath, ObjectReader, OssAppendWriter};
use tokio::fs::File;
use tokio::io::{AsyncRead, AsyncReadExt};

const RANDOM_BYTES: usize = 64 * 1024 * 1024;
const LINE: &[u8] = b"and one more line\n";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let emulator = Emulator::builder().bucket("quickstart").start().await?;
    let client = emulator.client().build()?;
    let object = ObjectPath::new("quickstart", "first.bin")?;
    println!("an OSS server is embedded at {}", emulator.url());

    // 1. Stream into an object. The first append is stored, but its answer never arrives.
    emulator.inject(Fault::new(Operation::AppendObject, Action::DropAnswer));
    let mut writer = OssAppendWriter::builder(client.clone(), object.clone())
        .open()
        .await?;
    let mut written = Crc64::new();
    let mut source = open_source().await?;
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let length = source.read(&mut buffer).await?;
        if length == 0 {
            break;
        }
        written.update(&buffer[..length]);
        writer.write_all(&buffer[..length]).await?;
    }
    writer.shutdown().await?; // everything is in the object now, or this is the error
    let stats = writer.stats();
    println!("wrote      {} bytes to {object}", stats.durable);
    println!(
        "           {} appends, {} lost answer, found out by {} look at the object",
        stats.appends, stats.failed_requests, stats.reconciles,
    );

    // 2. Open it again: it is continued at its end.
    let mut writer = OssAppendWriter::builder(client.clone(), object.clone())
        .open()
        .await?;
    written.update(LINE);
    writer.write_all(LINE).await?;
    writer.shutdown().await?;
    println!("continued  it with a line of {} bytes", LINE.len());

    // 3. Read it back, and compare.
    let mut reader = ObjectReader::builder(client, object).open().await?;
    let (mut length, mut read) = (0, Crc64::new());
    loop {
        let n = reader.read(&mut buffer).await?;
        if n == 0 {
            break;
        }
        length += n;
        read.update(&buffer[..n]);
    }
    let (read, written) = (read.finish(), written.finish());
    println!("read back  {length} bytes");
    println!("CRC-64     {written:016x} written, {read:016x} read");
    emulator.shutdown().await;
    if read != written {
        return Err("what was read back is not what was written".into());
    }
    println!("every byte is there once, and in order");
    Ok(())
}

/// The file that is named by the first argument, or random bytes.
async fn open_source() -> Result<Box<dyn AsyncRead + Unpin>, Box<dyn Error>> {
    if let Some(path) = std::env::args_os().nth(1) {
        return Ok(Box::new(File::open(path).await?));
    }
    let mut bytes = vec![0; RANDOM_BYTES];
    fastrand::Rng::with_seed(64).fill(&mut bytes);
    Ok(Box::new(std::io::Cursor::new(bytes)))
}
