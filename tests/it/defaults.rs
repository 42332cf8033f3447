//! The default values: those in the docs, in the guides and in the help are the ones that are used.

use std::time::Duration;

use futures::poll;
use oss_append::defaults::*;
use oss_append::{Backoff, FlushMode};
use tokio::io::AsyncWriteExt;
use tokio::time::Instant;

use crate::support::store::{Fault, Op, SimStore, unreachable};
use crate::support::writer;

const LOGGING: &str = include_str!("../../src/guide/logging.md");
const OPERATIONS: &str = include_str!("../../src/guide/operations.md");
const PIPELINES: &str = include_str!("../../src/guide/pipelines.md");
const WRITER: &str = include_str!("../../src/writer/builder.rs");
const APPENDER: &str = include_str!("../../src/drive/options.rs");
const CLIENT: &str = include_str!("../../src/client/builder.rs");
const KEYED: &str = include_str!("../../src/keyed/builder.rs");
const READER: &str = include_str!("../../src/reader/builder.rs");
const FOLLOWER: &str = include_str!("../../src/reader/follow/builder.rs");
const LOG: &str = include_str!("../../src/log/builder.rs");
const COMMAND: &str = include_str!("../../src/bin/oss-append/append/batching.rs");

fn mib(bytes: u64) -> String {
    assert_eq!(bytes % (1024 * 1024), 0);
    format!("{} MiB", bytes / (1024 * 1024))
}

fn s(time: Duration) -> String {
    assert_eq!(time.subsec_nanos(), 0);
    format!("{} s", time.as_secs())
}

fn ms(time: Duration) -> String {
    format!("{} ms", time.as_millis())
}

/// A number with commas between the thousands.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().collect();
    String::from_utf8(groups.join(&b","[..])).unwrap()
}

/// The docs of what is declared so, in one line.
fn docs(source: &str, declaration: &str) -> String {
    let (before, _) = source.split_once(declaration).expect(declaration);
    let lines = before.lines().rev().map(str::trim);
    let mut docs: Vec<_> = lines
        .skip_while(|line| !line.starts_with("///"))
        .map_while(|line| line.strip_prefix("///"))
        .map(str::trim)
        .collect();
    docs.reverse();
    docs.join(" ")
}

#[test]
fn the_docs_of_each_option_tell_its_default() {
    for (source, option, default) in [
        (WRITER, "batch_size", mib(BATCH_SIZE)),
        (WRITER, "max_append_size", mib(MAX_APPEND_SIZE)),
        (WRITER, "buffer_capacity", mib(BUFFER_CAPACITY)),
        (WRITER, "linger", s(LINGER)),
        (WRITER, "max_in_flight", MAX_IN_FLIGHT.to_string()),
        (
            WRITER,
            "flush_mode",
            format!("[`FlushMode::Coalesced`] with {}", ms(FLUSH_INTERVAL)),
        ),
        (APPENDER, "attempt_timeout", s(ATTEMPT_TIMEOUT)),
        (APPENDER, "delivery_timeout", s(DELIVERY_TIMEOUT)),
        (
            APPENDER,
            "backoff",
            format!("base {}, max {},", ms(BACKOFF_BASE), s(BACKOFF_MAX)),
        ),
        (APPENDER, "max_object_size", grouped(MAX_OBJECT_SIZE)),
        (CLIENT, "connect_timeout", s(CONNECT_TIMEOUT)),
        (CLIENT, "pool_idle_timeout", s(POOL_IDLE_TIMEOUT)),
        (CLIENT, "attempt_timeout", s(ATTEMPT_TIMEOUT)),
        (KEYED, "max_open", grouped(MAX_OPEN as u64)),
        (KEYED, "idle_timeout", s(IDLE_TIMEOUT)),
        (KEYED, "buffer_capacity", mib(KEYED_BUFFER_CAPACITY)),
        (
            KEYED,
            "max_concurrent_appends",
            MAX_CONCURRENT_APPENDS.to_string(),
        ),
        (KEYED, "max_failed_keys", grouped(MAX_FAILED_KEYS as u64)),
        (READER, "read_ahead", READ_AHEAD.to_string()),
        (READER, "part_size", mib(PART_SIZE)),
        (READER, "attempt_timeout", s(ATTEMPT_TIMEOUT)),
        (READER, "delivery_timeout", s(DELIVERY_TIMEOUT)),
        (
            FOLLOWER,
            "poll_interval",
            format!("{} to {}", ms(POLL_MIN), s(POLL_MAX)),
        ),
        (FOLLOWER, "attempt_timeout", s(ATTEMPT_TIMEOUT)),
        (FOLLOWER, "delivery_timeout", s(DELIVERY_TIMEOUT)),
        (LOG, "start_timeout", s(START_TIMEOUT)),
        (LOG, "shutdown_timeout", s(SHUTDOWN_TIMEOUT)),
        (LOG, "trouble_after", s(TROUBLE_AFTER)),
    ] {
        let docs = docs(source, &format!("pub fn {option}("));
        let told = docs.contains(&format!("Default: {default}"));
        assert!(told, "{option} is {default}: {docs}");
    }
}

#[test]
fn the_guides_tell_the_defaults() {
    let options = [
        format!("| `batch_size` | {} |", mib(BATCH_SIZE)),
        format!("| `max_append_size` | {} |", mib(MAX_APPEND_SIZE)),
        format!("| `buffer_capacity` | {} |", mib(BUFFER_CAPACITY)),
        format!("| `linger` | {} |", s(LINGER)),
        format!("| `max_in_flight` | {MAX_IN_FLIGHT} |"),
        format!("| `flush_mode` | `Coalesced`, {} |", ms(FLUSH_INTERVAL)),
        format!("| `attempt_timeout` | {} |", s(ATTEMPT_TIMEOUT)),
        format!("| `delivery_timeout` | {} |", s(DELIVERY_TIMEOUT)),
        format!(
            "| `backoff` | {} to {}, full jitter |",
            ms(BACKOFF_BASE),
            s(BACKOFF_MAX)
        ),
        format!("| `max_object_size` | {} bytes |", grouped(MAX_OBJECT_SIZE)),
        format!(
            "| `connect_timeout`, `attempt_timeout` | {}, {} |",
            s(CONNECT_TIMEOUT),
            s(ATTEMPT_TIMEOUT)
        ),
        format!("| `pool_idle_timeout` | {} |", s(POOL_IDLE_TIMEOUT)),
    ];
    let of_logs = [
        format!("| `start_timeout` | {} |", s(START_TIMEOUT)),
        format!("| `shutdown_timeout` | {} |", s(SHUTDOWN_TIMEOUT)),
        format!("| `trouble_after` | {} |", s(TROUBLE_AFTER)),
    ];
    let of_keys = [
        format!(
            "At most {} keys are open at a time",
            grouped(MAX_OPEN as u64)
        ),
        format!("All keys share {} of memory", mib(KEYED_BUFFER_CAPACITY)),
        format!("{MAX_CONCURRENT_APPENDS} concurrent requests"),
        format!("When {} keys have failed", grouped(MAX_FAILED_KEYS as u64)),
    ];
    for (guide, all) in [
        (OPERATIONS, &options[..]),
        (LOGGING, &of_logs),
        (PIPELINES, &of_keys),
    ] {
        for told in all {
            assert!(guide.contains(told), "{told}");
        }
    }
}

#[test]
fn the_help_of_the_command_tells_the_defaults() {
    for (option, told) in [
        ("batch_size", format!("[default: {}]", mib(BATCH_SIZE))),
        (
            "max_append_size",
            format!("[default: {},", mib(MAX_APPEND_SIZE)),
        ),
        ("max_in_flight", format!("[default: {MAX_IN_FLIGHT}]")),
        ("buffer", format!("[default: {},", mib(BUFFER_CAPACITY))),
        (
            "max_object_size",
            format!("[default: {MAX_OBJECT_SIZE} bytes,"),
        ),
    ] {
        let docs = docs(COMMAND, &format!("    {option}: "));
        assert!(docs.contains(&told.replace(" MiB", "MiB")), "{docs}");
    }
    for time in [LINGER, DELIVERY_TIMEOUT] {
        let told = format!("default_value = {:?}", s(time).replace(' ', ""));
        assert!(COMMAND.contains(&told), "{told}");
    }
}

#[test]
fn default_values_are_those_of_the_types() {
    let coalesced = FlushMode::Coalesced {
        min_interval: FLUSH_INTERVAL,
    };
    assert_eq!(FlushMode::default(), coalesced);
    assert_eq!(Backoff::default(), Backoff::new(BACKOFF_BASE, BACKOFF_MAX));
}

#[tokio::test(start_paused = true)]
async fn a_writer_gathers_by_the_default_sizes() {
    let store = SimStore::new();
    let slow = Fault::none().moving(10, Duration::from_millis(100));
    store.fault(slow);
    let mut writer = writer(&store).open().await.unwrap();

    // The first append is under way, and the rest gathers.
    let first = vec![0; BATCH_SIZE as usize];
    writer.write_all(&first[1..]).await.unwrap();
    tokio::task::yield_now().await;
    assert_eq!(store.appends(), []);
    writer.write_all(&first[..1]).await.unwrap();
    let mut accepted = BATCH_SIZE;
    let piece = vec![0; 64 * 1024];
    tokio::task::yield_now().await;
    while let std::task::Poll::Ready(written) = poll!(std::pin::pin!(writer.write(&piece))) {
        accepted += written.unwrap() as u64;
    }
    writer.sync().await.unwrap();

    assert_eq!(accepted, BUFFER_CAPACITY);
    let rest = BUFFER_CAPACITY - BATCH_SIZE - MAX_APPEND_SIZE;
    let appends = [
        (0, BATCH_SIZE),
        (BATCH_SIZE, MAX_APPEND_SIZE),
        (BATCH_SIZE + MAX_APPEND_SIZE, rest),
    ];
    assert_eq!(store.appends(), appends);
}

#[tokio::test(start_paused = true)]
async fn defaults_follow_the_sizes_that_are_set() {
    for (batch_size, buffer_capacity, length, appends) in [
        // An append is never more than half of the buffer.
        (None, Some(100), 50, vec![(0, 50)]),
        (Some(20), Some(100), 20, vec![(0, 20)]),
        // Nor less than what starts it.
        (
            Some(MAX_APPEND_SIZE + 1),
            None,
            MAX_APPEND_SIZE + 1,
            vec![(0, MAX_APPEND_SIZE + 1)],
        ),
    ] {
        let store = SimStore::new();
        let mut builder = writer(&store);
        if let Some(bytes) = batch_size {
            builder = builder.batch_size(bytes);
        }
        if let Some(bytes) = buffer_capacity {
            builder = builder.buffer_capacity(bytes);
        }
        let mut writer = builder.open().await.unwrap();

        let start = Instant::now();
        writer.write_all(&vec![0; length as usize]).await.unwrap();
        writer.wait_durable(length).await.unwrap();

        assert_eq!(store.appends(), appends);
        assert_eq!(start.elapsed(), Duration::ZERO, "it did not linger");
    }
}

#[tokio::test(start_paused = true)]
async fn a_writer_waits_by_the_default_times() {
    let store = SimStore::new();
    let mut writer = writer(&store).open().await.unwrap();
    let start = Instant::now();
    let at = |op: fn(&Op) -> bool| {
        let world = store.world();
        let last = world.requests.iter().rev().find(|request| op(&request.op));
        last.unwrap().at - start
    };

    store.fault(Fault::never());
    writer.write_all(b"x").await.unwrap();
    writer.wait_durable(1).await.unwrap();
    assert_eq!(at(|op| *op == Op::Head), LINGER + ATTEMPT_TIMEOUT);

    store.go_down(unreachable());
    let start = Instant::now();
    writer.write_all(b"x").await.unwrap();
    writer.sync().await.unwrap_err();
    let gave_up = start.elapsed();
    assert!(gave_up <= DELIVERY_TIMEOUT, "{gave_up:?}");
    assert!(gave_up > DELIVERY_TIMEOUT - BACKOFF_MAX, "{gave_up:?}");
}
