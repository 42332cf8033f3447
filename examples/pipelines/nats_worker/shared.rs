//! At least once: workers share a durable consumer, and acknowledge what is durable.
//!
//! A message goes from NATS into `coming`, with its receipt into `held`, and leaves when the receipt
//! says that it is durable: only then is it acknowledged. All three are bounded by `--in-flight`.
//! While a message is here NATS is told that it is in work, or it would be delivered again during an
//! outage of OSS that is longer than `ack_wait`.

use std::collections::VecDeque;
use std::time::Duration;

use async_nats::jetstream::AckKind;
use async_nats::jetstream::consumer::{AckPolicy, PullConsumer, pull};
use async_nats::jetstream::message::Acker;
use async_nats::jetstream::stream::Stream;
use bytes::Bytes;
use oss_append::{Error, OssClient, Receipt, RollingWriter, Written};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::failure::Failure;
use crate::options::{Options, Shared};
use crate::patience::Patience;
use crate::pulls::Pulls;
use crate::{note, record};

/// An append has at least room for the longest record: NATS takes messages of 1 MiB unless told
/// otherwise, which JSON may make six times as long.
const MAX_APPEND_SIZE: u64 = 8 * 1024 * 1024;

/// A message that is written, and not yet known to be durable.
struct Held {
    receipt: Receipt,
    acker: Acker,
}

pub(crate) async fn run(
    options: &Options,
    recipe: &Shared,
    client: OssClient,
    stream: Stream,
    stop: &CancellationToken,
) -> Result<String, Failure> {
    let consumer = consumer(&stream, recipe).await?;
    let limits = &consumer.cached_info().config;
    // Three times, so that one may be late.
    let mut heard = tokio::time::interval((limits.ack_wait / 3).max(Duration::from_millis(1)));
    heard.set_missed_tick_behavior(MissedTickBehavior::Delay);
    note(&format!(
        "consumer {}: max_ack_pending {}, ack_wait {}",
        recipe.consumer,
        limits.max_ack_pending,
        humantime::format_duration(limits.ack_wait)
    ));
    let mut writer = writer(options, recipe, client).await?;
    let mut flusher = writer.clone();
    let mut pulls = Pulls::new(consumer.clone(), Patience::new(options.nats.nats_timeout));

    let in_flight = recipe.in_flight as usize;
    let mut coming: VecDeque<(Bytes, Acker)> = VecDeque::new();
    let mut held: VecDeque<Held> = VecDeque::new();
    let mut acknowledged: u64 = 0;
    loop {
        let stopping = stop.is_cancelled();
        if stopping && pulls.is_idle() && coming.is_empty() && held.is_empty() {
            break;
        }
        let room = in_flight - held.len() - coming.len();
        let pulling = room > 0 && !(stopping && pulls.is_idle());
        // Half of the room is for what comes while the other half is on its way.
        let hurry = stopping || held.len() * 2 >= in_flight;
        tokio::select! {
            written = oldest(&held), if !held.is_empty() => {
                written?;
                let durable = writer.durable_position();
                while let Some(first) = held.front().filter(|h| h.receipt.position() <= durable) {
                    acknowledge(&first.acker, AckKind::Ack).await?;
                    held.pop_front();
                    acknowledged += 1;
                }
            }
            receipt = writer.enqueue(first_record(&coming)), if !coming.is_empty() => {
                let receipt = receipt?;
                held.extend(coming.pop_front().map(|(_, acker)| Held { receipt, acker }));
            }
            message = pulls.next(room), if pulling => {
                if let Some(message) = message? {
                    let info = message.info().map_err(|error| Failure::nats("message", error))?;
                    let line = record::line(info.stream_sequence, &message)
                        .map_err(|error| Failure::nats("message", error))?;
                    coming.push_back((line, message.split().1));
                }
            }
            // Rather than wait for the linger with no room left.
            durable = flusher.sync(), if hurry && !held.is_empty() => durable?,
            _ = heard.tick() => {
                let held = held.iter().map(|held| &held.acker);
                for acker in held.chain(coming.iter().map(|(_, acker)| acker)) {
                    acknowledge(acker, AckKind::Progress).await?;
                }
            }
            () = stop.cancelled(), if !stopping => {}
        }
    }
    writer.shutdown().await?;
    // An answer to what was sent behind the acknowledgements: NATS has them.
    consumer
        .get_info()
        .await
        .map_err(|error| Failure::nats("the last acknowledgements may be missing", error))?;
    Ok(format!(
        "ended: {acknowledged} messages durable and acknowledged"
    ))
}

/// The shared consumer.
async fn consumer(stream: &Stream, recipe: &Shared) -> Result<PullConsumer, Failure> {
    let made = pull::Config {
        durable_name: Some(recipe.consumer.clone()),
        ack_policy: AckPolicy::Explicit,
        ack_wait: recipe.ack_wait,
        max_ack_pending: recipe.max_ack_pending.into(),
        filter_subject: recipe.subject.clone().unwrap_or_default(),
        ..Default::default()
    };
    let what = format!("the consumer {}", recipe.consumer);
    let consumer: PullConsumer = stream
        .get_or_create_consumer(&recipe.consumer, made)
        .await
        .map_err(|error| Failure::nats(&what, error))?;
    let found = &consumer.cached_info().config;
    if found.ack_policy != AckPolicy::Explicit || found.deliver_subject.is_some() {
        return Err(Failure::nats(
            &what,
            "it exists, but is not a pull consumer with explicit acknowledgement",
        ));
    }
    Ok(consumer)
}

async fn writer(
    options: &Options,
    recipe: &Shared,
    client: OssClient,
) -> Result<RollingWriter, Error> {
    let oss = &options.oss;
    RollingWriter::builder(client, &oss.bucket, &recipe.objects)
        .daily()
        .roll_size(recipe.roll_size)
        .writer(|writer| {
            writer
                .batch_size(oss.batch_size)
                .max_append_size(oss.batch_size.max(MAX_APPEND_SIZE))
                .linger(oss.linger)
                .delivery_timeout(oss.oss_timeout)
        })
        .open()
        .await
}

/// Waits for the oldest receipt: those behind it are not durable before.
async fn oldest(held: &VecDeque<Held>) -> Result<Written, Error> {
    match held.front() {
        Some(held) => held.receipt.written().await,
        None => std::future::pending().await,
    }
}

fn first_record(coming: &VecDeque<(Bytes, Acker)>) -> Bytes {
    coming
        .front()
        .map(|(line, _)| line.clone())
        .unwrap_or_default()
}

async fn acknowledge(acker: &Acker, kind: AckKind) -> Result<(), Failure> {
    acker
        .ack_with(kind)
        .await
        .map_err(|error| Failure::nats("acknowledgement", error))
}
