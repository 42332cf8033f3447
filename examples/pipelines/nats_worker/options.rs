//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::failure;

/// Moves messages from a NATS JetStream stream to OSS objects, a line of JSON each.
///
/// It works until ^C or SIGTERM; then everything accepted becomes durable first. OSS is given by
/// OSS_REGION, OSS_ENDPOINT (if it is not the region's own), OSS_ACCESS_KEY_ID,
/// OSS_ACCESS_KEY_SECRET and OSS_SESSION_TOKEN.
#[derive(Parser)]
#[command(name = "nats_worker", after_help = failure::HELP)]
pub(crate) struct Options {
    #[command(flatten)]
    pub(crate) nats: Nats,

    #[command(flatten)]
    pub(crate) oss: Oss,

    #[command(subcommand)]
    pub(crate) recipe: Recipe,
}

#[derive(Args)]
pub(crate) struct Nats {
    /// The server; several with commas between. User, password or token may be in it.
    #[arg(long, env = "NATS_URL", hide_env_values = true)]
    #[arg(value_name = "URL", default_value = "nats://127.0.0.1:4222")]
    pub(crate) server: String,

    /// A file with a JWT and an nkey to log in with.
    #[arg(long, value_name = "FILE")]
    pub(crate) credentials: Option<PathBuf>,

    /// The JetStream stream, which must exist.
    #[arg(long)]
    pub(crate) stream: String,

    /// How long NATS may be away, or answer with nothing but errors, before the worker gives up.
    #[arg(long, value_name = "DURATION", default_value = "60s")]
    #[arg(value_parser = humantime::parse_duration)]
    pub(crate) nats_timeout: Duration,
}

#[derive(Args)]
pub(crate) struct Oss {
    /// The bucket.
    #[arg(long, env = "OSS_BUCKET")]
    pub(crate) bucket: String,

    /// An append starts when so many bytes have gathered.
    #[arg(long, value_name = "BYTES", default_value_t = 1024 * 1024)]
    pub(crate) batch_size: u64,

    /// The longest that a message waits for its append.
    #[arg(long, value_name = "DURATION", default_value = "1s")]
    #[arg(value_parser = humantime::parse_duration)]
    pub(crate) linger: Duration,

    /// How long OSS may be away before the worker gives up.
    #[arg(long, value_name = "DURATION", default_value = "2m")]
    #[arg(value_parser = humantime::parse_duration)]
    pub(crate) oss_timeout: Duration,
}

#[derive(Subcommand)]
pub(crate) enum Recipe {
    Shared(Shared),
    Partition(Partition),
}

/// At least once, by any number of workers that share a durable consumer.
///
/// Each worker writes to objects of its own, and acknowledges a message when it is durable. When a
/// worker is killed, or fails, or is cut off from NATS for longer than the consumer's ack_wait,
/// messages that it had written but that NATS had no acknowledgement of are written again by others:
/// at most max_ack_pending of them. The copies have the same "seq".
#[derive(Args)]
pub(crate) struct Shared {
    /// The durable consumer. It is made if it is missing; else it is taken as it is.
    #[arg(long, value_name = "NAME", default_value = "oss")]
    pub(crate) consumer: String,

    /// Which messages a consumer is made for. Default: all of the stream.
    #[arg(long)]
    pub(crate) subject: Option<String>,

    /// For a consumer that is made: the most messages that are delivered and not acknowledged, over
    /// all workers.
    #[arg(long, value_name = "COUNT", default_value_t = 10_000)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_ack_pending: u32,

    /// For a consumer that is made: a message is delivered again when nothing was heard of it for so
    /// long. While a worker has it and NATS can be reached, it lets itself be heard.
    #[arg(long, value_name = "DURATION", default_value = "30s")]
    #[arg(value_parser = humantime::parse_duration)]
    pub(crate) ack_wait: Duration,

    /// The most messages that this worker has and has not acknowledged.
    #[arg(long, value_name = "COUNT", default_value_t = 2_000)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) in_flight: u32,

    /// The names of the objects, with the fields of a key template. With {uuid}, or {host}, {pid}
    /// and {seq}, each worker has its own.
    #[arg(long, value_name = "TEMPLATE")]
    #[arg(default_value = "events/%Y-%m-%d/{host}-{pid}-{uuid}.ndjson")]
    pub(crate) objects: String,

    /// The length at which the next object begins; it begins at midnight (UTC) too.
    #[arg(long, value_name = "BYTES", default_value_t = 1024 * 1024 * 1024)]
    pub(crate) roll_size: u64,
}

/// Exactly once and in order: one partition of the stream in one object.
///
/// Run one worker per partition. It finds out from the object itself where to go on, and compares
/// what the object has beyond its newest whole record, so that it may be killed at any moment and
/// started again. When a second one runs by mistake, one of the two ends with exit code 3, or they
/// find that they write the same; the object is right in any case.
///
/// The stream must keep the messages until they are durable. An object ends at 5 GB.
#[derive(Args)]
pub(crate) struct Partition {
    /// The partition: which messages of the stream, such as events.3.
    #[arg(long)]
    pub(crate) subject: String,

    /// The key of its object, such as partitions/3.ndjson. Nothing else may write to it.
    #[arg(long, value_name = "KEY")]
    pub(crate) object: String,
}
