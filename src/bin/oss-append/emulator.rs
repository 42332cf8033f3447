//! `oss-append emulator`: the embedded OSS server as a command.

use std::error::Error;
use std::io::{IsTerminal as _, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;

use bytesize::ByteSize;
use clap::Args;
use oss_append::emulator::{ACCESS_KEY_ID, ACCESS_KEY_SECRET, Emulator, Fault, REGION};
use tracing_subscriber::EnvFilter;

/// Run an OSS server on this machine.
///
/// Prints its base URL on the first line of standard output as soon as it accepts connections,
/// and logs to standard error (RUST_LOG sets how much). Ends on SIGTERM and SIGINT.
#[derive(Args)]
#[command(after_long_help = Fault::GRAMMAR)]
pub(crate) struct Arguments {
    /// The address to listen on; port 0 is any free port.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9000")]
    listen: SocketAddr,
    /// A bucket to create at the start, unless it exists. Repeatable.
    #[arg(long, value_name = "NAME")]
    bucket: Vec<String>,
    /// The region that signatures V4 must name.
    #[arg(long, default_value = REGION)]
    region: String,
    /// The access key id that works.
    #[arg(long, value_name = "ID", default_value = ACCESS_KEY_ID)]
    access_key_id: String,
    /// The secret of the access key.
    #[arg(long, value_name = "SECRET", default_value = ACCESS_KEY_SECRET)]
    access_key_secret: String,
    /// A temporary access key with its token. Repeatable.
    #[arg(long, value_name = "ID:SECRET:TOKEN")]
    sts: Vec<String>,
    /// A temporary access key whose token has expired. Repeatable.
    #[arg(long, value_name = "ID:SECRET:TOKEN")]
    expired_sts: Vec<String>,
    /// The directory that keeps the objects; without it they are in memory.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// The most bytes of an object, such as 5MiB; 5GiB if not given.
    #[arg(long, value_name = "SIZE")]
    max_object_size: Option<ByteSize>,
    /// A delay of each answer, such as 20ms.
    #[arg(long, value_name = "DURATION")]
    latency: Option<humantime::Duration>,
    /// A limit of bytes per second in each direction, such as 10MiB.
    #[arg(long, value_name = "SIZE")]
    bandwidth: Option<ByteSize>,
    /// A fault, such as append:drop-answer,skip=3,times=2; --help has the grammar. Repeatable.
    #[arg(long, value_name = "SPEC")]
    fault: Vec<Fault>,
}

/// What is logged unless RUST_LOG says otherwise: one line a request.
const DEFAULT_LOG: &str = "info,oss_append::emulator=debug";

/// Splits `ID:SECRET:TOKEN`. The error does not repeat it, unlike one of clap would.
fn temporary_key(text: &str) -> Result<(&str, &str, &str), &'static str> {
    let mut parts = text.splitn(3, ':');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(id), Some(secret), Some(token)) => Ok((id, secret, token)),
        _ => Err("a temporary key is not of the form ID:SECRET:TOKEN"),
    }
}

pub(crate) async fn run(arguments: Arguments) -> Result<(), Box<dyn Error>> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(DEFAULT_LOG));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();

    let mut builder = Emulator::builder()
        .listen(arguments.listen)
        .region(arguments.region)
        .credentials(arguments.access_key_id, arguments.access_key_secret);
    for bucket in arguments.bucket {
        builder = builder.bucket(bucket);
    }
    for key in &arguments.sts {
        let (id, secret, token) = temporary_key(key)?;
        builder = builder.sts(id, secret, token);
    }
    for key in &arguments.expired_sts {
        let (id, secret, token) = temporary_key(key)?;
        builder = builder.expired_sts(id, secret, token);
    }
    if let Some(directory) = arguments.dir {
        builder = builder.directory(directory);
    }
    if let Some(size) = arguments.max_object_size {
        builder = builder.max_object_size(size.as_u64());
    }
    if let Some(latency) = arguments.latency {
        builder = builder.latency(latency.into());
    }
    if let Some(bandwidth) = arguments.bandwidth {
        builder = builder.bandwidth(bandwidth.as_u64());
    }
    for fault in arguments.fault {
        builder = builder.fault(fault);
    }

    // Before the URL is printed: whoever reads it may already send a signal.
    let ended = end()?;
    let emulator = builder.start().await?;
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{}", emulator.url())?;
    stdout.flush()?;
    drop(stdout);
    ended.await;
    emulator.shutdown().await;
    Ok(())
}

/// Waits for the wish to end.
#[cfg(unix)]
fn end() -> std::io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Waits for the wish to end.
#[cfg(not(unix))]
fn end() -> std::io::Result<impl Future<Output = ()>> {
    Ok(async {
        // Without a handler the process ends anyway.
        let _ = tokio::signal::ctrl_c().await;
    })
}
