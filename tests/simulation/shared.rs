//! Several writers on one object: every accepted record is in it whole, once, and in its writer's
//! order.

use std::time::Duration;

use bytes::Bytes;
use oss_append::{Backoff, Error, Written, crc64};
use proptest::collection::vec;
use proptest::prelude::*;
use tokio::io::AsyncWriteExt;

use crate::faults::{BUDGET, FOREIGN, Trouble, for_shared};
use crate::runner;
use crate::support::store::SimStore;
use crate::support::{MS, SEC, ours, writer};

#[derive(Clone, Debug)]
struct Plan {
    trouble: Trouble,
    writers: Vec<Vec<Step>>,
}

#[derive(Clone, Debug)]
enum Step {
    /// A record of about this length, by `write`.
    Write(usize),
    /// The same, by `write_bytes`.
    Bytes(usize),
    /// The same, by `enqueue`.
    Enqueue(usize),
    Flush,
    /// A sync that is dropped after so many ms.
    Sync(u8),
    Pause(u8),
}

fn plan() -> impl Strategy<Value = Plan> {
    let step = prop_oneof![
        3 => (0..40usize).prop_map(Step::Write),
        3 => (0..40usize).prop_map(Step::Bytes),
        3 => (0..40usize).prop_map(Step::Enqueue),
        1 => Just(Step::Flush),
        1 => any::<u8>().prop_map(Step::Sync),
        1 => any::<u8>().prop_map(Step::Pause),
    ];
    (for_shared(), vec(vec(step, 0..15), 1..4))
        .prop_map(|(trouble, writers)| Plan { trouble, writers })
}

#[test]
fn shared_records_are_whole_once_and_in_order() {
    runner::run(
        "shared_records_are_whole_once_and_in_order",
        11_000,
        plan(),
        live,
    );
}

/// What became of one writer.
struct Outcome {
    /// Its records that were accepted, in order.
    accepted: Vec<String>,
    /// Where receipts tell that records are.
    written: Vec<(String, Written)>,
    /// How many of their bytes are durable, and how many of the next may be.
    durable: usize,
    in_doubt: usize,
    failure: Option<Error>,
}

async fn live(plan: Plan) -> Result<bool, String> {
    let store = SimStore::new();
    plan.trouble.befall(&store);
    let tasks: Vec<_> = plan
        .writers
        .iter()
        .enumerate()
        .map(|(id, steps)| tokio::spawn(write(store.clone(), id, steps.clone())))
        .collect();
    let mut outcomes = Vec::new();
    for task in tasks {
        outcomes.push(task.await.map_err(|error| error.to_string())??);
    }
    store.world().chaos = None;
    store.land_late();

    // Foreign bytes stand between records, never within one.
    let content = store.text();
    let records: Vec<&str> = content
        .split(FOREIGN as char)
        .flat_map(|part| part.split_inclusive('\n'))
        .collect();
    for (id, outcome) in outcomes.iter().enumerate() {
        let own: Vec<&str> = records
            .iter()
            .filter(|record| record.starts_with(&format!("{id}:")))
            .copied()
            .collect();
        check(outcome, &own)
            .and_then(|()| check_written(outcome, &content))
            .map_err(|what| format!("writer {id}: {what}\n{content}"))?;
    }
    let foreign_names = records
        .iter()
        .filter(|record| !record.is_empty())
        .find(|record| !record.starts_with(|c: char| c.is_ascii_digit()));
    if let Some(torn) = foreign_names {
        return Err(format!("a torn record {torn:?} in\n{content}"));
    }
    Ok(outcomes.iter().all(|outcome| outcome.failure.is_none()))
}

fn check(outcome: &Outcome, own: &[&str]) -> Result<(), String> {
    let landed: String = own.concat();
    let accepted: String = outcome.accepted.concat();
    let certain = &accepted[..outcome.durable];
    if !landed.starts_with(certain) || !accepted.starts_with(&landed) {
        return Err(format!("landed {landed:?} of {accepted:?}"));
    }
    if landed.len() > outcome.durable + outcome.in_doubt {
        return Err(format!(
            "{} bytes landed, durable are {}, in doubt {}: {:?}",
            landed.len(),
            outcome.durable,
            outcome.in_doubt,
            outcome.failure
        ));
    }
    match &outcome.failure {
        None if landed != accepted => Err("success, and yet not everything landed".into()),
        _ => Ok(()),
    }
}

fn check_written(outcome: &Outcome, content: &str) -> Result<(), String> {
    for (record, written) in &outcome.written {
        let told = written.range.start as usize..written.range.end as usize;
        if content.get(told.clone()) != Some(record) {
            return Err(format!("a receipt tells that {record:?} is at {told:?}"));
        }
        let crc64 = crc64::checksum(&content.as_bytes()[..told.end]);
        if written.crc64.is_some_and(|told| told != crc64) {
            return Err(format!(
                "the checksum told of {record:?} is not the object's"
            ));
        }
    }
    Ok(())
}

async fn write(store: SimStore, id: usize, steps: Vec<Step>) -> Result<Outcome, String> {
    let builder = writer(&store)
        .shared(true)
        .batch_size(30)
        .max_append_size(100)
        .buffer_capacity(250)
        .linger(20 * MS)
        .backoff(Backoff::new(MS, 50 * MS))
        .attempt_timeout(SEC)
        .delivery_timeout(BUDGET);
    let mut accepted = Vec::new();
    let mut receipts = Vec::new();
    let mut writer = match builder.open().await {
        Ok(writer) => writer,
        Err(error) => {
            return Ok(Outcome {
                accepted,
                written: Vec::new(),
                durable: 0,
                in_doubt: 0,
                failure: Some(error),
            });
        }
    };
    let start = writer.position();
    let mut result = Ok(());
    for (number, step) in steps.into_iter().enumerate() {
        let record = |len: usize| format!("{id}:{number}:{}\n", "x".repeat(len));
        result = match step {
            Step::Write(len) => {
                let record = record(len);
                match writer.write(record.as_bytes()).await {
                    Ok(written) if written == record.len() => {
                        accepted.push(record);
                        Ok(())
                    }
                    Ok(written) => return Err(format!("{written} bytes of {record:?} accepted")),
                    Err(error) => Err(ours(error)),
                }
            }
            Step::Bytes(len) => {
                let record = record(len);
                let written = writer.write_bytes(Bytes::from(record.clone())).await;
                written.map(|()| accepted.push(record))
            }
            Step::Enqueue(len) => {
                let record = record(len);
                let enqueued = writer.enqueue(Bytes::from(record.clone())).await;
                enqueued.map(|receipt| {
                    accepted.push(record.clone());
                    receipts.push((record, receipt.with_crc64()));
                })
            }
            Step::Flush => writer.flush().await,
            Step::Sync(ms) => {
                let limit = Duration::from_millis(ms.into());
                tokio::time::timeout(limit, writer.sync())
                    .await
                    .unwrap_or(Ok(()))
            }
            Step::Pause(ms) => {
                tokio::time::sleep(u32::from(ms) * MS).await;
                Ok(())
            }
        };
        if result.is_err() {
            break;
        }
    }
    if result.is_ok() {
        result = writer.shutdown().await;
    }
    let durable = (writer.durable_position() - start) as usize;
    let in_doubt = match &result {
        Ok(()) => 0,
        Err(_) => {
            let unsent = writer
                .into_unsent()
                .map_err(|_| "a failed writer keeps its bytes".to_owned())?;
            let rest = accepted.concat().split_off(durable);
            if unsent.chunks.concat() != rest.as_bytes() {
                return Err(format!("not given back: {rest:?}"));
            }
            unsent.in_doubt as usize
        }
    };
    let mut written = Vec::new();
    for (record, receipt) in receipts {
        match receipt.written().await {
            Ok(told) => written.push((record, told)),
            Err(error) if result.is_ok() => {
                return Err(format!(
                    "success, but not for the receipt of {record:?}: {error}"
                ));
            }
            Err(_) => {}
        }
    }
    Ok(Outcome {
        accepted,
        written,
        durable,
        in_doubt,
        failure: result.err(),
    })
}
