//! One writer at a time: a program of several lives, the later ones opened by append or replay.

use std::io::IoSlice;
use std::ops::Range;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use futures::SinkExt;
use oss_append::crc64::checksum;
use oss_append::{
    Backoff, Checkpoint, Error, ErrorKind, FlushMode, OssAppendWriter, Receipt, WriterStats,
};
use proptest::collection::vec;
use proptest::prelude::*;
use tokio::io::AsyncWriteExt;
use tokio::time::Instant;

use crate::faults::{BUDGET, FOREIGN, Harm, Trouble, for_exclusive};
use crate::runner;
use crate::support::store::SimStore;
use crate::support::{MS, SEC, ours, writer};

#[derive(Clone, Debug)]
struct Plan {
    /// The object's length at the beginning; none if it does not exist.
    exists: Option<usize>,
    trouble: Trouble,
    lives: Vec<Life>,
}

/// What one writer does, from its opening to its end.
#[derive(Clone, Debug)]
struct Life {
    /// Opened by a replay of everything, if it is not the first.
    replay: bool,
    batch_size: u64,
    more_append_size: u64,
    more_capacity: u64,
    linger: u16,
    flush_mode: FlushMode,
    max_in_flight: u16,
    steps: Vec<Step>,
    /// Ends by being dropped in place of a shutdown.
    dropped: bool,
}

#[derive(Clone, Debug)]
struct Step {
    act: Act,
    /// The call is dropped if it takes longer, in ms.
    patience: Option<u16>,
}

#[derive(Clone, Debug)]
enum Act {
    Write(usize),
    Vectored(usize, usize),
    Bytes(usize),
    Copy(usize),
    Feed(usize),
    Enqueue(usize),
    Flush,
    Sync,
    WaitDurable,
    Pause,
}

fn step() -> impl Strategy<Value = Step> {
    let len = || prop_oneof![4 => 0..60usize, 1 => 0..500usize];
    let act = prop_oneof![
        3 => len().prop_map(Act::Write),
        1 => (len(), len()).prop_map(|(a, b)| Act::Vectored(a, b)),
        2 => len().prop_map(Act::Bytes),
        1 => len().prop_map(Act::Copy),
        1 => len().prop_map(Act::Feed),
        2 => (1..60usize).prop_map(Act::Enqueue),
        1 => Just(Act::Flush),
        1 => Just(Act::Sync),
        1 => Just(Act::WaitDurable),
        1 => Just(Act::Pause),
    ];
    (act, prop::option::weighted(0.4, 0..100u16)).prop_map(|(act, patience)| Step { act, patience })
}

fn life() -> impl Strategy<Value = Life> {
    let flush_mode = prop_oneof![
        Just(FlushMode::default()),
        Just(FlushMode::Durable),
        Just(FlushMode::Handoff),
    ];
    (
        any::<bool>(),
        (1..50u64, 0..100u64, 0..100u64, 0..100u16),
        (flush_mode, prop_oneof![Just(1), 2..9u16]),
        vec(step(), 0..20),
        prop::bool::weighted(0.1),
    )
        .prop_map(
            |(replay, sizes, (flush_mode, max_in_flight), steps, dropped)| Life {
                replay,
                batch_size: sizes.0,
                more_append_size: sizes.1,
                more_capacity: sizes.2,
                linger: sizes.3,
                flush_mode,
                max_in_flight,
                steps,
                dropped,
            },
        )
}

fn plan() -> impl Strategy<Value = Plan> {
    (
        prop::option::of(0..10usize),
        for_exclusive(),
        vec(life(), 1..4),
    )
        .prop_map(|(exists, trouble, lives)| Plan {
            exists,
            trouble,
            lives,
        })
}

#[test]
fn success_means_exact_and_failure_loses_nothing() {
    runner::run(
        "success_means_exact_and_failure_loses_nothing",
        11_000,
        plan(),
        live,
    );
}

/// Everything that must hold, as an error that says what does not.
macro_rules! must {
    ($condition:expr, $($what:tt)*) => {
        if !$condition {
            return Err(format!($($what)*));
        }
    };
}

/// What was written so far, and what the object has to hold.
struct Script {
    /// The bytes of the stream, from the object's first.
    text: Vec<u8>,
    /// How far the writer of this life has taken them in.
    given: usize,
    /// The receipts of this life, with the ends of their records in the stream.
    receipts: Vec<(Range<usize>, Receipt)>,
}

impl Script {
    /// The next bytes to write: in a replay those that were written before.
    fn next(&self, len: usize) -> Vec<u8> {
        (self.given..self.given + len)
            .map(|at| match self.text.get(at) {
                Some(byte) => *byte,
                None => b'a' + (at % 23) as u8,
            })
            .collect()
    }

    /// The writer has taken in the first `len` of these bytes.
    fn took(&mut self, piece: &[u8], len: usize) {
        let known = self.text.len().saturating_sub(self.given).min(len);
        self.text.extend_from_slice(&piece[known..len]);
        self.given += len;
    }

    fn taken(&self) -> &[u8] {
        &self.text[..self.given]
    }
}

async fn live(plan: Plan) -> Result<bool, String> {
    let store = match plan.exists {
        Some(len) => SimStore::holding(&"=".repeat(len)),
        None => SimStore::new(),
    };
    let harm = plan.trouble.befall(&store);
    let mut script = Script {
        text: store.content(),
        given: 0,
        receipts: Vec::new(),
    };
    for (number, life) in plan.lives.iter().enumerate() {
        let replay = life.replay && number > 0;
        let lived = live_once(life, replay, &store, &mut script, &harm).await?;
        // A dropped writer may have failed although all is there.
        let all_resolve = lived && !life.dropped;
        check_receipts(&mut script, &store, &harm, all_resolve).await?;
        if !lived {
            return Ok(false);
        }
    }
    store.world().chaos = None;
    store.land_late();
    must!(
        store.content() == script.text,
        "a late append has changed the object:\n{}\n{}",
        show(&store.content()),
        show(&script.text)
    );
    Ok(true)
}

async fn live_once(
    life: &Life,
    replay: bool,
    store: &SimStore,
    script: &mut Script,
    harm: &Harm,
) -> Result<bool, String> {
    let max_append_size = life.batch_size + life.more_append_size;
    let capacity = 2 * max_append_size + life.more_capacity;
    let mut builder = writer(store)
        .batch_size(life.batch_size)
        .max_append_size(max_append_size)
        .buffer_capacity(capacity)
        .linger(u32::from(life.linger) * MS)
        .backoff(Backoff::new(MS, 50 * MS))
        .attempt_timeout(SEC)
        .delivery_timeout(BUDGET)
        .flush_mode(life.flush_mode)
        .max_in_flight(life.max_in_flight);
    if replay {
        builder = builder.replay(Checkpoint::start(crate::support::object()));
    }
    let Ok(mut writer) = builder.open().await else {
        return Ok(false);
    };
    script.given = if replay { 0 } else { script.text.len() };
    must!(
        writer.position() == script.given as u64,
        "opened at {} in place of {}",
        writer.position(),
        script.given
    );
    let mut result = Ok(());
    for step in &life.steps {
        result = act(&mut writer, step, store, script).await?;
        check_stats(&writer.stats(), capacity)?;
        if result.is_err() {
            break;
        }
    }
    if result.is_ok() && replay && script.given < script.text.len() {
        // A replay has to go on at least to where the object ends.
        let rest = script.text[script.given..].to_vec();
        let start = writer.position();
        result = writer.write_all(&rest).await;
        let taken = (writer.position() - start) as usize;
        script.took(&rest, taken);
    }
    if result.is_ok() && life.dropped {
        drop(writer);
        // Long enough for everything that still can be tried.
        tokio::time::sleep(100 * BUDGET).await;
        return Ok(store.content() == script.text);
    }
    if result.is_ok() {
        let start = Instant::now();
        result = writer.shutdown().await;
        must!(
            start.elapsed() < 1000 * BUDGET,
            "the shutdown took {:?}",
            start.elapsed()
        );
    }
    let stats = writer.stats();
    check_stats(&stats, capacity)?;
    match result {
        Ok(()) => {
            must!(
                store.content() == script.text,
                "success, and yet not exact:\n{}\n{}",
                show(&store.content()),
                show(&script.text)
            );
            must!(stats.durable == stats.accepted, "{stats:?}");
            Ok(true)
        }
        Err(error) => {
            failed(writer, &error, store, script, harm, replay)?;
            Ok(false)
        }
    }
}

/// After the end of a life: a receipt that resolves tells where its record is.
async fn check_receipts(
    script: &mut Script,
    store: &SimStore,
    harm: &Harm,
    all_resolve: bool,
) -> Result<(), String> {
    for (range, receipt) in script.receipts.drain(..) {
        let written = match receipt.written().await {
            Ok(written) => written,
            Err(error) => {
                must!(
                    !all_resolve,
                    "success, but not for the receipt of {range:?}: {error}"
                );
                continue;
            }
        };
        let content = store.content();
        let told = written.range.start as usize..written.range.end as usize;
        must!(told == range, "{told:?} is told of {range:?}");
        let spoilt = harm.destroyed.load(Ordering::Relaxed);
        must!(
            spoilt || content.get(..told.end) == Some(&script.text[..told.end]),
            "a receipt tells that {told:?} is there:\n{}\n{}",
            show(&content),
            show(&script.text)
        );
        must!(
            spoilt
                || written
                    .crc64
                    .is_none_or(|crc| crc == checksum(&content[..told.end])),
            "the checksum told of {told:?} is not the object's"
        );
    }
    Ok(())
}

fn check_stats(stats: &WriterStats, capacity: u64) -> Result<(), String> {
    must!(stats.buffered <= capacity, "{stats:?} over {capacity}");
    must!(
        stats.accepted == stats.durable + stats.buffered + stats.compared + stats.failed,
        "they do not add up: {stats:?}"
    );
    Ok(())
}

/// After a failure: what is durable is in the object, and what is not is given back.
fn failed(
    writer: OssAppendWriter,
    error: &Error,
    store: &SimStore,
    script: &Script,
    harm: &Harm,
    replay: bool,
) -> Result<(), String> {
    let durable = writer.durable_position() as usize;
    let unsent = writer
        .into_unsent()
        .map_err(|_| "a failed writer keeps its bytes".to_owned())?;
    let position = unsent.position as usize;
    must!(
        script.taken().get(position..) == Some(&unsent.chunks.concat()),
        "{error}: {} bytes from {position} are not what was taken in:\n{}",
        unsent.len(),
        show(script.taken())
    );
    // What a replay had compared before it failed is not kept.
    must!(
        durable == position || (replay && durable < position),
        "{error}: durable to {durable}, unsent from {position}"
    );
    let content = store.content();
    let spoilt = harm.destroyed.load(Ordering::Relaxed);
    must!(
        spoilt || content.starts_with(&script.taken()[..durable]),
        "{error}: not durable after all:\n{}\n{}",
        show(&content),
        show(script.taken())
    );
    // What is said to be certainly missing is not there.
    let imitated = harm.imitated.load(Ordering::Relaxed);
    let behind = content.get(durable..).unwrap_or_default();
    let missing = &script.taken()[durable..];
    must!(
        spoilt
            || imitated
            || replay
            || unsent.in_doubt > 0
            || missing.is_empty()
            || behind.is_empty()
            || behind[0] == FOREIGN
            || !behind.starts_with(missing),
        "{error}: said to be missing and yet there"
    );
    Ok(())
}

/// One step. The outer error is a broken promise, the inner one the writer's failure.
async fn act(
    writer: &mut OssAppendWriter,
    step: &Step,
    store: &SimStore,
    script: &mut Script,
) -> Result<Result<(), Error>, String> {
    let limit = step.patience.map_or(1000 * BUDGET, |ms| u32::from(ms) * MS);
    let start = writer.position();
    let count = |writer: &OssAppendWriter| (writer.position() - start) as usize;
    let (piece, done) = match step.act {
        Act::Write(len) => {
            let piece = script.next(len);
            let done = within(limit, async { writer.write_all(&piece).await });
            let done = done.await;
            (piece, done)
        }
        Act::Vectored(a, b) => {
            let piece = script.next(a + b);
            let slices = [IoSlice::new(&piece[..a]), IoSlice::new(&piece[a..])];
            let done = within(limit, async {
                writer.write_vectored(&slices).await.map(drop).map_err(ours)
            });
            let done = done.await;
            (piece, done)
        }
        Act::Bytes(len) => {
            let piece = script.next(len);
            let done = within(limit, writer.write_bytes(Bytes::from(piece.clone()))).await;
            (piece, done)
        }
        Act::Copy(len) => {
            let piece = script.next(len);
            let mut reader = &piece[..];
            let copied = async { writer.copy_from(&mut reader).await.map(drop) };
            let done = within(limit, copied).await;
            let read = len - reader.len();
            return Ok(held(writer, script, &piece, read, start).await.and(done));
        }
        Act::Feed(len) => {
            let piece = script.next(len);
            let fed = writer.feed(Bytes::from(piece.clone())).await;
            let taken = if fed.is_ok() { len } else { 0 };
            return Ok(held(writer, script, &piece, taken, start).await.and(fed));
        }
        Act::Enqueue(len) => {
            let piece = script.next(len);
            let (record, receipts) = (Bytes::from(piece.clone()), &mut script.receipts);
            let range = script.given..script.given + len;
            let enqueued = async {
                match writer.enqueue(record).await {
                    Ok(receipt) => receipts.push((range, receipt.with_crc64())),
                    // Longer than the buffer.
                    Err(error) if matches!(error.kind(), ErrorKind::InvalidInput { .. }) => {}
                    Err(error) => return Err(error),
                }
                Ok(())
            };
            let done = within(limit, enqueued).await;
            (piece, done)
        }
        Act::Flush => {
            let flush = writer.flush();
            return Ok(within(limit, flush).await);
        }
        Act::Sync => {
            let mut complete = false;
            let done = within(limit, async {
                writer.sync().await?;
                complete = true;
                Ok(())
            })
            .await;
            let content = store.content();
            must!(
                !complete || content.starts_with(script.taken()),
                "a sync succeeded, and yet:\n{}\n{}",
                show(&content),
                show(script.taken())
            );
            return Ok(done);
        }
        Act::WaitDurable => {
            return Ok(within(limit, writer.wait_durable(start)).await);
        }
        Act::Pause => {
            tokio::time::sleep(limit.min(SEC)).await;
            return Ok(Ok(()));
        }
    };
    script.took(&piece, count(writer));
    Ok(done)
}

/// Runs a call, and drops it after `limit`.
async fn within(
    limit: Duration,
    call: impl Future<Output = Result<(), Error>>,
) -> Result<(), Error> {
    tokio::time::timeout(limit, call).await.unwrap_or(Ok(()))
}

/// The handle has taken in `len` bytes of `piece`, perhaps without room for all of them: waits for
/// that room. If the writer has failed, it gives all of them back.
async fn held(
    writer: &mut OssAppendWriter,
    script: &mut Script,
    piece: &[u8],
    len: usize,
    start: u64,
) -> Result<(), Error> {
    if len == 0 {
        return Ok(());
    }
    let room =
        std::future::poll_fn(|cx| futures::Sink::<Bytes>::poll_ready(Pin::new(&mut *writer), cx))
            .await;
    if room.is_ok() {
        debug_assert_eq!(writer.position() - start, len as u64);
    }
    script.took(piece, len);
    room
}

fn show(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
