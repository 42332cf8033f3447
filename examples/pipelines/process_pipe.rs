//! The output of another program, such as `pg_dump`, streamed into an object. Reads it back and
//! compares; then once more with a program that fails in the middle.
//!
//! ```text
//! cargo run --release --example process_pipe
//! ```
//!
//! The end of a pipe does not tell whether the program was done or died: its exit status does. The
//! object of one that died holds what was written until then. It looks like any other, and cannot
//! be renamed, so its name cannot tell. Here a second object does, `KEY.complete`, which is written
//! only after a success and has the length and the CRC-64 of the first.

use std::io::{BufWriter, Write};
use std::process::{ExitCode, Stdio};
use std::time::Instant;

use oss_append::{ObjectPath, crc64};
use oss_append_pipelines::{Event, Oss, Result, compare, summary};
use tokio::process::Command;

const ROWS: u64 = 100_000;
/// Where the program that fails does so.
const FAILURE: u64 = 60_000;

fn main() -> Result<ExitCode> {
    // The example is the other program too, so that there always is one.
    match std::env::args().nth(1).as_deref() {
        None => show()?,
        Some("--produce") => produce(ROWS)?,
        Some("--fail") => {
            produce(FAILURE)?;
            eprintln!("producer: lost the database");
            return Ok(ExitCode::from(3));
        }
        Some(other) => return Err(format!("unknown argument {other}").into()),
    }
    Ok(ExitCode::SUCCESS)
}

#[tokio::main]
async fn show() -> Result<()> {
    let oss = Oss::connect().await?;
    let this = std::env::current_exe()?;

    let key = "dump.ndjson";
    dump(&oss, key, Command::new(&this).arg("--produce")).await?;
    let count = check(&oss, key, ROWS, true).await?;
    println!("read back {count} rows: equal and complete");

    let key = "cut-off.ndjson";
    let Err(error) = dump(&oss, key, Command::new(&this).arg("--fail")).await else {
        return Err("nobody noticed that the program failed".into());
    };
    println!("{error}");
    let count = check(&oss, key, FAILURE, false).await?;
    println!("read back {count} rows: equal, and not complete");
    Ok(())
}

/// Streams the program's output into the object `key`, then says in `key.complete` that this was
/// all of it.
async fn dump(oss: &Oss, key: &str, command: &mut Command) -> Result<()> {
    let start = Instant::now();
    let mut writer = oss.create(key)?.open().await?;
    // If its output cannot be stored any more, the program ends too.
    let mut program = command.stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
    let mut output = program.stdout.take().expect("a pipe");

    writer.copy_from(&mut output).await?;
    writer.shutdown().await?;
    println!("{}", summary(&writer, start));

    let status = program.wait().await?;
    let stored = writer.checkpoint();
    if !status.success() {
        let object = writer.object();
        let length = stored.position;
        return Err(
            format!("the program failed ({status}): {object} ends after {length} bytes").into(),
        );
    }
    let crc64 = stored.crc64.ok_or("the endpoint tells no CRC-64")?;
    let line = completion(stored.position, crc64);
    let client = oss.client();
    client.put_object(&marker(oss, key)?, line).send().await?;
    Ok(())
}

/// Compares the object `key` with what the program should have written, and looks whether it is
/// known to be complete.
async fn check(oss: &Oss, key: &str, rows: u64, complete: bool) -> Result<usize> {
    let content = oss.read(&ObjectPath::new(oss.bucket(), key)?).await?;
    let marked = match oss.read(&marker(oss, key)?).await {
        Ok(line) => line == completion(content.len() as u64, crc64::checksum(&content)),
        Err(error) if error.service_error().is_some_and(|e| e.status == 404) => false,
        Err(error) => return Err(error.into()),
    };
    if marked != complete {
        return Err(format!("is {key} complete? {marked}").into());
    }
    let read = serde_json::Deserializer::from_slice(&content).into_iter::<Event>();
    compare("row", read, (0..rows).map(Event::sample))
}

fn marker(oss: &Oss, key: &str) -> Result<ObjectPath> {
    Ok(ObjectPath::new(oss.bucket(), format!("{key}.complete"))?)
}

fn completion(length: u64, crc64: u64) -> String {
    format!("{length} bytes, CRC-64 {crc64}\n")
}

fn produce(rows: u64) -> Result<()> {
    let mut output = BufWriter::new(std::io::stdout().lock());
    for number in 0..rows {
        serde_json::to_writer(&mut output, &Event::sample(number))?;
        output.write_all(b"\n")?;
    }
    Ok(output.flush()?)
}
