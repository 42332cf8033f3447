//! A worker that moves messages from a NATS JetStream stream to OSS, by one of two recipes.
//!
//! `nats_worker shared`: **at least once**. Any number of workers share one durable consumer. Each
//! writes to objects of its own and acknowledges a message when its bytes are durable. No message
//! is ever missing. A message is there twice if a worker had written it but NATS had not seen the
//! acknowledgement when the worker was killed, or failed, or was cut off from NATS for longer than
//! the consumer's `ack_wait`: at most `max_ack_pending` messages each time. Both copies have the
//! same `seq`.
//!
//! `nats_worker partition`: **exactly once**, and in order. One worker per partition (a subject such
//! as `events.3`) writes to one object. There are no acknowledgements: the object itself tells how
//! far it is. A worker that starts finds the newest whole record, reads the stream again from the
//! next message on, and replays it: what the object holds already, such as the first half of a
//! record, is compared and skipped. There is no window: killed at any moment and started again, the
//! object becomes what it would have been. A second worker on the same partition does no harm: it
//! writes the same bytes, and OSS takes each only at its position.
//!
//! ```text
//! oss-append emulator --bucket my-bucket                # an OSS server, in place of OSS
//! export OSS_ENDPOINT=http://127.0.0.1:9000 OSS_REGION=cn-hangzhou OSS_BUCKET=my-bucket
//! export OSS_ACCESS_KEY_ID=emulator-id OSS_ACCESS_KEY_SECRET=emulator-secret
//! cargo run --release -p oss-append-pipelines --bin nats_worker -- --stream EVENTS shared
//! cargo run --release -p oss-append-pipelines --bin nats_worker -- --stream EVENTS \
//!     partition --subject events.3 --object partitions/3.ndjson
//! ```

mod connection;
mod failure;
mod object_end;
mod options;
mod ordered;
mod partition;
mod patience;
mod pulls;
mod record;
mod shared;
mod signals;

use std::process::ExitCode;

use clap::Parser;
use oss_append::OssClient;
use tokio_util::sync::CancellationToken;

use connection::Connection;
use failure::Failure;
use options::{Options, Recipe};
use signals::Signals;

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
    match run(options).await {
        Ok(summary) => {
            note(&summary);
            ExitCode::SUCCESS
        }
        Err(failure) => failure.report(),
    }
}

/// Works until a signal comes and what was begun is done, or a second signal, or a failure.
async fn run(options: Options) -> Result<String, Failure> {
    let mut signals = Signals::new()?;
    let stop = CancellationToken::new();
    let signalled = async {
        signals.next().await;
        note("ending: what was accepted becomes durable first; signal again to give up");
        stop.cancel();
        signals.next().await;
    };
    tokio::select! {
        ended = work(&options, &stop) => ended,
        () = signalled => Err(Failure::given_up()),
    }
}

async fn work(options: &Options, stop: &CancellationToken) -> Result<String, Failure> {
    let client = OssClient::from_env()?;
    let mut connection = Connection::open(&options.nats).await?;
    let stream = connection.stream(&options.nats.stream).await?;
    let working = async {
        match &options.recipe {
            Recipe::Shared(recipe) => shared::run(options, recipe, client, stream, stop).await,
            Recipe::Partition(recipe) => {
                partition::run(options, recipe, client, stream, stop).await
            }
        }
    };
    tokio::select! {
        ended = working => ended,
        failure = connection.lost(options.nats.nats_timeout) => Err(failure),
    }
}

/// A line for people.
fn note(line: &str) {
    eprintln!("nats_worker: {line}");
}
