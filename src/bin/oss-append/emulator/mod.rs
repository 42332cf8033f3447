//! `oss-append emulator`: the embedded OSS server as a command.

mod account;
mod child;
mod keys;

use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::LazyLock;

use bytesize::ByteSize;
use clap::Args;
use oss_append::emulator::{Emulator, EmulatorBuilder, Fault, Fsync, Pipelining, REGION};

use self::account::AccountArguments;
use self::keys::{Key, KeyArguments};

use crate::failure::Failure;
use crate::output;
use crate::signals::{self, Signals};

/// Run an OSS server on this machine.
///
/// Prints its base URL on the first line of standard output as soon as it accepts connections, and
/// then lines for a shell that let clients use it. Logs to standard error (RUST_LOG sets how much);
/// of a log that is not read in time messages are dropped. Ends on SIGTERM, SIGINT and SIGHUP; on a
/// second signal without waiting for answers that are under way.
///
/// With a COMMAND it runs that instead of printing anything, with OSS_ENDPOINT, OSS_REGION,
/// OSS_ACCESS_KEY_ID and OSS_ACCESS_KEY_SECRET set (and OSS_BUCKET, if a bucket is created), on a
/// free port unless --listen is given, and ends when the command ends, with its exit code: 128 and
/// the number of the signal if one killed it, 127 if it was not found, 126 if it cannot be run. A
/// signal that asks for the end is passed on as SIGTERM.
///
/// While it listens on the loopback interface, http://ADDRESS/_emulator shows buckets, objects as they
/// grow and the last requests, and has switches for faults. Requests that a browser sends for a web
/// page of another origin are refused.
#[derive(Args)]
#[command(after_long_help = LONG_HELP.as_str())]
pub(crate) struct Arguments {
    /// The address to listen on; port 0 is any free port [default: 127.0.0.1:9000; with a COMMAND
    /// 127.0.0.1:0].
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    #[command(flatten)]
    account: AccountArguments,
    /// The region that signatures V4 must name.
    #[arg(long, default_value = REGION)]
    region: String,
    #[command(flatten)]
    keys: KeyArguments,
    /// The directory that keeps the objects, empty or made by an emulator; without it they are in
    /// memory.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// When what is in the directory is written through to the disk: never (a loss of power may cost
    /// the last half minute, and damage objects, which are set aside then) or always (it costs
    /// nothing that was acknowledged). A kill of the process costs nothing either way.
    #[arg(long, value_name = "WHEN", default_value = "never", requires = "dir")]
    fsync: Fsync,
    /// The most bytes of an object, such as 5MiB; 5GiB if not given.
    #[arg(long, value_name = "SIZE")]
    max_object_size: Option<ByteSize>,
    /// A delay of each answer, such as 20ms.
    #[arg(long, value_name = "DURATION")]
    latency: Option<humantime::Duration>,
    /// A limit of bytes per second in each direction, such as 10MiB.
    #[arg(long, value_name = "SIZE")]
    bandwidth: Option<ByteSize>,
    /// The most requests on one connection, as nginx's keepalive_requests; no limit if not given.
    #[arg(long, value_name = "N")]
    max_requests_per_connection: Option<u64>,
    /// What becomes of requests that come before the one ahead of them is answered: in-order,
    /// at-once (as Node.js), swapped (answered in the wrong order) or unanswered (as Bun).
    #[arg(long, value_name = "HOW", default_value = "in-order")]
    pipelining: Pipelining,
    /// A fault, such as append:drop-answer,skip=3,times=2; --help has the grammar. Repeatable.
    #[arg(long, value_name = "SPEC")]
    fault: Vec<Fault>,
    /// A command to run with the server, and its arguments.
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

static LONG_HELP: LazyLock<String> = LazyLock::new(|| {
    format!(
        "{}\n\nExamples:\n  oss-append emulator --bucket logs --dir ./oss\n  oss-append emulator \
         --bucket logs -- sh -c 'date | oss-append append oss://logs/today'",
        Fault::GRAMMAR
    )
});

impl Arguments {
    /// What is logged unless RUST_LOG says otherwise: one line a request, if that is not mixed with
    /// what a command says.
    pub(crate) fn default_log(&self) -> &'static str {
        match self.command.is_empty() {
            true => "info,oss_append::emulator=debug",
            false => "warn",
        }
    }

    fn listen(&self) -> SocketAddr {
        let port = match self.command.is_empty() {
            true => 9000,
            false => 0,
        };
        self.listen.unwrap_or((Ipv4Addr::LOCALHOST, port).into())
    }
}

pub(crate) async fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    let keys = arguments.keys.read()?;
    let listen = arguments.listen();
    let bucket = arguments.account.first_bucket();
    let command = arguments.command.clone();
    let builder = keys.add_to(builder(arguments, listen)?);

    // Before the URL is printed: whoever reads it may already send a signal.
    let mut signals = Signals::new(signals::BOUND)?;
    let emulator = builder.start().await.map_err(Failure::of_server)?;
    warn(&emulator, &keys);
    let key = keys.first();
    if let Some((program, arguments)) = command.split_first() {
        let mut child = child::Command::new(program);
        child.args(arguments);
        let mut variables = variables(&emulator, key);
        variables.push(("OSS_ACCESS_KEY_SECRET", key.secret.clone()));
        variables.extend(bucket.map(|bucket| ("OSS_BUCKET", bucket)));
        variables.extend(key.token.clone().map(|token| ("OSS_SESSION_TOKEN", token)));
        // A token of the user's does not belong to this key.
        child.env_remove("OSS_SESSION_TOKEN").envs(variables);
        let ended = child::run(child, &mut signals).await;
        signals.unless_again(emulator.shutdown()).await;
        return Ok(ended);
    }
    let serve = async {
        let block = format!("{}\n{}", emulator.url(), block(&emulator, key));
        Failure::unless_unread(output::print(block.trim_end()).await)?;
        std::future::pending().await
    };
    let ended = signals.unless(serve).await;
    signals.unless_again(emulator.shutdown()).await;
    ended.unwrap_or(Ok(ExitCode::SUCCESS))
}

/// What a client of the server needs in its environment, beside the secret.
fn variables(emulator: &Emulator, key: &Key) -> Vec<(&'static str, String)> {
    vec![
        ("OSS_ENDPOINT", emulator.url()),
        ("OSS_REGION", emulator.region().to_owned()),
        ("OSS_ACCESS_KEY_ID", key.id.clone()),
    ]
}

/// The same for a shell. A secret of the user's own is not shown.
fn block(emulator: &Emulator, key: &Key) -> String {
    let quoted = |text: &str| match text
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b"-_.:/[]".contains(&b))
    {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', "'\\''")),
    };
    let lines = variables(emulator, key).into_iter();
    let mut block: String = lines
        .map(|(name, value)| format!("export {name}={}\n", quoted(&value)))
        .collect();
    block += &match key.is_public() {
        true => format!("export OSS_ACCESS_KEY_SECRET={}\n", key.secret),
        false => "# export OSS_ACCESS_KEY_SECRET=... (the one that was given)\n".into(),
    };
    block
}

/// Says what is dangerous.
fn warn(emulator: &Emulator, keys: &keys::Keys) {
    let address = emulator.address();
    if !address.ip().is_loopback() {
        let known = match keys.first().is_public() {
            true => {
                ", with an access key that everybody knows; give one of your own: \
                 OSS_EMULATOR_ACCESS_KEY_ID and OSS_EMULATOR_ACCESS_KEY_SECRET, or --key-file"
            }
            false => "",
        };
        output::note(format_args!(
            "warning: whoever reaches {address} can use this server, over a connection that is not \
             encrypted{known}"
        ));
    }
    for warning in keys.warnings() {
        output::note(format_args!("warning: {warning}"));
    }
}

fn builder(arguments: Arguments, listen: SocketAddr) -> Result<EmulatorBuilder, Failure> {
    let builder = Emulator::builder()
        .listen(listen)
        .region(arguments.region)
        .pipelining(arguments.pipelining)
        .fsync(arguments.fsync)
        // What the page shows.
        .request_log(50);
    let mut builder = arguments.account.add_to(builder)?;
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
    if let Some(requests) = arguments.max_requests_per_connection {
        builder = builder.max_requests_per_connection(requests);
    }
    for fault in arguments.fault {
        builder = builder.fault(fault);
    }
    Ok(builder)
}
