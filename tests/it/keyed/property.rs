//! Whatever is written by whoever, with whatever faults and pauses: each object is what was accepted
//! for its key, in order, and receipts tell where.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::join_all;
use oss_append::{ErrorKind, FailedKey, KeyedWriter, Receipt};
use proptest::prelude::*;

use super::{HANGS, check, found, keyed};
use crate::support::bucket::SimBucket;
use crate::support::cases;
use crate::support::store::Fault;

const KEYS: usize = 6;

#[derive(Clone, Debug)]
enum Op {
    Write(usize, usize),
    /// A write that is given up after so many milliseconds.
    GiveUp(usize, usize, u64),
    Pause(u64),
    Sync,
    Flush,
    LostAnswer(usize),
    LostRequest(usize),
    Late(usize),
    Busy(usize),
    Denied(usize),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        12 => (0..KEYS, 1..50_usize).prop_map(|(key, len)| Op::Write(key, len)),
        1 => (0..KEYS, 1..50_usize, 0..2000_u64).prop_map(|(key, len, ms)| Op::GiveUp(key, len, ms)),
        2 => (0..3000_u64).prop_map(Op::Pause),
        1 => Just(Op::Sync),
        1 => Just(Op::Flush),
        1 => (0..KEYS).prop_map(Op::LostAnswer),
        1 => (0..KEYS).prop_map(Op::LostRequest),
        1 => (0..KEYS).prop_map(Op::Late),
        1 => (0..KEYS).prop_map(Op::Busy),
        1 => (0..KEYS).prop_map(Op::Denied),
    ]
}

#[derive(Clone, Debug)]
struct Plan {
    producers: Vec<Vec<Op>>,
    max_open: usize,
    capacity: u64,
    requests: usize,
    latency: u64,
    linger: Option<u64>,
    idle: u64,
    rolling: bool,
}

fn plan() -> impl Strategy<Value = Plan> {
    (
        prop::collection::vec(prop::collection::vec(op(), 1..25), 1..5),
        1..6_usize,
        50..200_u64,
        1..4_usize,
        0..300_u64,
        prop::option::of(0..2000_u64),
        1..5000_u64,
        any::<bool>(),
    )
        .prop_map(
            |(producers, max_open, capacity, requests, latency, linger, idle, rolling)| Plan {
                producers,
                max_open,
                capacity,
                requests,
                latency,
                linger,
                idle,
                rolling,
            },
        )
}

fn object(key: usize, rolling: bool) -> String {
    match rolling {
        true => format!("key{key}/000001"),
        false => format!("key{key}"),
    }
}

struct Sent {
    key: usize,
    record: String,
    receipt: Receipt,
}

async fn produce(
    number: usize,
    ops: Vec<Op>,
    writer: KeyedWriter,
    bucket: SimBucket,
    plan: &Plan,
) -> Vec<Sent> {
    let mut sent = Vec::new();
    for (index, op) in ops.into_iter().enumerate() {
        let fault = |key, fault| {
            bucket.object(&object(key, plan.rolling)).fault(fault);
        };
        match op {
            Op::Write(key, len) | Op::GiveUp(key, len, _) => {
                let record = format!("{number}:{index}{}", "x".repeat(len));
                let record: String = record.chars().take(len.max(1)).collect();
                let name = format!("key{key}");
                let written = writer.write(&name, record.clone().into());
                let patience = match op {
                    Op::GiveUp(_, _, ms) => Duration::from_millis(ms),
                    _ => HANGS,
                };
                match tokio::time::timeout(patience, written).await {
                    Ok(Ok(receipt)) => sent.push(Sent {
                        key,
                        record,
                        receipt,
                    }),
                    Ok(Err(error)) => {
                        let denied = error.service_error().is_some_and(|e| e.status == 403);
                        let conflict = matches!(error.kind(), ErrorKind::Conflict(_));
                        assert!(denied || conflict, "{error}");
                        writer.forgive(&name);
                    }
                    Err(_) => assert!(matches!(op, Op::GiveUp(..)), "it hangs"),
                }
            }
            Op::Pause(millis) => tokio::time::sleep(Duration::from_millis(millis)).await,
            Op::Sync => drop(writer.sync().await),
            Op::Flush => drop(writer.flush().await),
            Op::LostAnswer(key) => fault(key, Fault::lost_answer()),
            Op::LostRequest(key) => fault(key, Fault::lost_request()),
            Op::Late(key) => {
                fault(key, Fault::late());
                bucket.object(&object(key, plan.rolling)).land_late();
            }
            Op::Busy(key) => fault(key, Fault::error(503, "ServiceUnavailable")),
            Op::Denied(key) => fault(key, Fault::error(403, "AccessDenied")),
        }
        let stats = writer.stats();
        assert!(stats.buffered <= plan.capacity, "{stats:?}");
        assert!(stats.open <= plan.max_open, "{stats:?}");
        check(&writer);
    }
    sent
}

async fn play(plan: Plan) -> Result<(), TestCaseError> {
    let bucket = SimBucket::new();
    for key in 0..KEYS {
        let object = bucket.object(&object(key, plan.rolling));
        object.world().latency = Duration::from_millis(plan.latency);
    }
    let failed: Arc<Mutex<Vec<FailedKey>>> = Arc::default();
    let told = Arc::clone(&failed);
    let linger = plan.linger.map_or(Duration::MAX, Duration::from_millis);
    let builder = keyed(&bucket).writer(move |_, writer| {
        writer
            .batch_size(30)
            .max_append_size(50)
            .buffer_capacity(100)
            .linger(linger)
    });
    let builder = match plan.rolling {
        false => builder,
        true => builder
            .objects(|key| format!("{key}/{{seq:6}}"))
            .rolling(move |_, rolling| {
                rolling.writer(|writer| {
                    writer
                        .batch_size(30)
                        .max_append_size(50)
                        .buffer_capacity(100)
                        .linger(linger)
                })
            }),
    };
    let writer = builder
        .max_open(plan.max_open)
        .buffer_capacity(plan.capacity)
        .max_concurrent_appends(plan.requests)
        .idle_timeout(Duration::from_millis(plan.idle))
        .on_failed(move |key| told.lock().unwrap().push(key))
        .start()
        .unwrap();
    let producers = plan.producers.iter().cloned().enumerate();
    let producers =
        producers.map(|(number, ops)| produce(number, ops, writer.clone(), bucket.clone(), &plan));
    let sent = tokio::time::timeout(HANGS, join_all(producers)).await;
    let sent = sent.expect("it does not hang");
    let shutdown = tokio::time::timeout(HANGS, writer.shutdown()).await;
    let _ = shutdown.expect("it does not hang");

    let mut lost: BTreeMap<usize, u64> = BTreeMap::new();
    let mut accepted = 0;
    // By key and place, each exactly once.
    let mut contents: BTreeMap<(usize, String), BTreeMap<u64, String>> = BTreeMap::new();
    for sent in sent {
        let mut last: BTreeMap<(usize, String), u64> = BTreeMap::new();
        for Sent {
            key,
            record,
            receipt,
        } in sent
        {
            accepted += record.len() as u64;
            match receipt.written().await {
                Ok(written) => {
                    prop_assert_eq!(found(&bucket, &written), record.clone());
                    let object = (key, written.object.key().to_owned());
                    let before = last.insert(object.clone(), written.range.start);
                    prop_assert!(before < Some(written.range.start), "out of order");
                    let old = contents
                        .entry(object)
                        .or_default()
                        .insert(written.range.start, record);
                    prop_assert_eq!(old, None, "two records in one place");
                }
                Err(_) => *lost.entry(key).or_default() += record.len() as u64,
            }
        }
    }
    let doubtful: Vec<String> = failed
        .lock()
        .unwrap()
        .iter()
        .filter(|failed| failed.unsent.in_doubt > 0)
        .map(|failed| failed.key.clone())
        .collect();
    for key in 0..KEYS {
        let name = format!("key{key}");
        // What is in doubt may be there.
        if doubtful.contains(&name) {
            continue;
        }
        let of_key = contents.range((key, String::new())..(key + 1, String::new()));
        let all: BTreeMap<String, String> = of_key
            .map(|((_, object), records)| (object.clone(), records.values().cloned().collect()))
            .collect();
        let there: BTreeMap<String, String> = bucket
            .objects()
            .into_iter()
            .filter(|(object, _)| object.starts_with(&name))
            .collect();
        prop_assert_eq!(there, all);
    }
    let mut told: BTreeMap<usize, u64> = BTreeMap::new();
    for failed in failed.lock().unwrap().iter() {
        let key = failed.key.strip_prefix("key").unwrap().parse().unwrap();
        *told.entry(key).or_default() += failed.unsent.len();
    }
    lost.retain(|_, bytes| *bytes > 0);
    told.retain(|_, bytes| *bytes > 0);
    prop_assert_eq!(&told, &lost);
    let stats = writer.stats();
    check(&writer);
    prop_assert_eq!(stats.accepted, accepted);
    prop_assert_eq!(stats.failed, lost.values().sum::<u64>());
    prop_assert_eq!((stats.open, stats.buffered), (0, 0));
    Ok(())
}

proptest! {
    #![proptest_config(cases(200))]

    #[test]
    fn each_object_is_what_was_accepted_for_its_key(plan in plan()) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(play(plan))?;
    }
}
