//! `oss-append emulator`: the embedded OSS server as a command.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use bytesize::ByteSize;
use clap::Args;
use oss_append::emulator::{
    ACCESS_KEY_ID, ACCESS_KEY_SECRET, Account, BucketRules, Emulator, Fault, Pipelining, REGION,
};

use crate::failure::Failure;
use crate::output;
use crate::signals::{self, Signals};

/// Run an OSS server on this machine.
///
/// Prints its base URL on the first line of standard output as soon as it accepts connections,
/// and logs to standard error (RUST_LOG sets how much); of a log that is not read in time messages
/// are dropped. Ends on SIGTERM, SIGINT and SIGHUP; on a second signal without waiting for answers
/// that are under way.
#[derive(Args)]
#[command(after_long_help = Fault::GRAMMAR)]
pub(crate) struct Arguments {
    /// The address to listen on; port 0 is any free port.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9000")]
    listen: SocketAddr,
    /// A bucket to create at the start, unless it exists. Repeatable. Rules of the bucket follow
    /// its name, as in logs:versioning,requester-pays: retention (BucketWorm), object-worm,
    /// versioning and requester-pays.
    #[arg(long, value_name = "NAME[:RULE,...]")]
    bucket: Vec<String>,
    /// What the account is like: 2026, which refuses signatures V1, public ACLs and sealing, or
    /// legacy, which allows them.
    #[arg(long, value_name = "legacy|2026", default_value_t)]
    account: Account,
    /// Accept signatures V1, whatever the account [default: as the account].
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    v1_signatures: Option<bool>,
    /// Refuse public ACLs, as OSS does while Block Public Access is on [default: as the account].
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    block_public_access: Option<bool>,
    /// Grant SealAppendObject, as OSS does if a ticket asks for it [default: as the account].
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    sealing: Option<bool>,
    /// Let archived objects be read without being restored.
    #[arg(long)]
    archive_direct_read: bool,
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
    /// An access key of another account, for buckets whose requesters pay. Repeatable.
    #[arg(long, value_name = "ID:SECRET")]
    requester: Vec<String>,
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
}

/// What is logged unless RUST_LOG says otherwise: one line a request.
pub(crate) const DEFAULT_LOG: &str = "info,oss_append::emulator=debug";

/// Splits `ID:SECRET:TOKEN`. The error does not repeat it, unlike one of clap would.
fn temporary_key(text: &str) -> Result<(&str, &str, &str), Failure> {
    let mut parts = text.splitn(3, ':');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(id), Some(secret), Some(token)) => Ok((id, secret, token)),
        _ => Err(Failure::usage(
            "a temporary key is not of the form ID:SECRET:TOKEN",
        )),
    }
}

pub(crate) async fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    let mut builder = Emulator::builder()
        .listen(arguments.listen)
        .region(arguments.region)
        .pipelining(arguments.pipelining)
        .account(arguments.account)
        .archive_direct_read(arguments.archive_direct_read)
        .credentials(arguments.access_key_id, arguments.access_key_secret);
    if let Some(accepted) = arguments.v1_signatures {
        builder = builder.v1_signatures(accepted);
    }
    if let Some(blocked) = arguments.block_public_access {
        builder = builder.block_public_access(blocked);
    }
    if let Some(granted) = arguments.sealing {
        builder = builder.sealing(granted);
    }
    for bucket in arguments.bucket {
        builder = match bucket.split_once(':') {
            None => builder.bucket(bucket),
            Some((name, rules)) => {
                let rules: BucketRules = rules
                    .parse()
                    .map_err(|error: oss_append::Error| Failure::usage(error.to_string()))?;
                builder.bucket_with(name, rules)
            }
        };
    }
    for key in &arguments.requester {
        let (id, secret) = key
            .split_once(':')
            .ok_or_else(|| Failure::usage("a requester is not of the form ID:SECRET"))?;
        builder = builder.requester(id, secret);
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
    if let Some(requests) = arguments.max_requests_per_connection {
        builder = builder.max_requests_per_connection(requests);
    }
    for fault in arguments.fault {
        builder = builder.fault(fault);
    }

    // Before the URL is printed: whoever reads it may already send a signal.
    let mut signals = Signals::new(signals::BOUND)?;
    let emulator = builder.start().await.map_err(Failure::of_server)?;
    let serve = async {
        Failure::unless_unread(output::print(emulator.url()).await)?;
        std::future::pending().await
    };
    let ended = signals.unless(serve).await;
    signals.unless_again(emulator.shutdown()).await;
    ended.unwrap_or(Ok(ExitCode::SUCCESS))
}
