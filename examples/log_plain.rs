//! Logs to OSS from a program without tokio: through `tracing`, and through a plain
//! `std::io::Write`. Then prints what arrived.
//!
//! ```text
//! cargo run --release --example log_plain
//! ```
//!
//! It runs an embedded OSS server unless OSS_BUCKET is set.

#[path = "support/oss.rs"]
mod oss;

use std::error::Error;
use std::io::Write;
use std::sync::mpsc::channel;

use oss::Oss;
use oss_append::{OssLogAppender, RollingWriter};

fn main() -> Result<(), Box<dyn Error>> {
    let oss = Oss::connect()?;
    let (finished, objects) = channel();

    // This is all that a program needs to log to OSS.
    let log = RollingWriter::builder(oss.client()?, oss.bucket(), "log_plain/%Y-%m-%d/{seq}.log")
        .daily()
        .on_finished(move |object| {
            // Nobody may listen any more.
            let _ = finished.send(object);
        });
    let (appender, guard) = OssLogAppender::builder(log).start_blocking()?;
    tracing_subscriber::fmt()
        .with_writer(appender.clone())
        .with_ansi(false)
        .init();

    work();

    // A logger that knows no tracing takes an `io::Write`: `env_logger`'s `Target::Pipe`, for one.
    let mut other = appender.writer();
    for (n, door) in ["front", "back"].into_iter().enumerate() {
        writeln!(other, "{n},{door} door,open")?;
    }

    // Here `main` would end. Dropping the guard delivers what is left.
    drop(guard);

    let client = oss.client()?;
    for done in objects {
        println!("{}, bytes {:?}:", done.object, done.range);
        oss.wait_for(oss::lines(&client, &done.object, done.range, |line| {
            println!("    {}", String::from_utf8_lossy(line));
        }))?;
    }
    Ok(())
}

fn work() {
    tracing::info!("started");
    let threads = ["ada", "bob"].map(|name| {
        std::thread::spawn(move || {
            for step in 1..=3 {
                tracing::info!(name, step, "at work");
            }
        })
    });
    for thread in threads {
        if thread.join().is_err() {
            tracing::error!("a worker has panicked");
        }
    }
    tracing::warn!("nothing more to do");
}
