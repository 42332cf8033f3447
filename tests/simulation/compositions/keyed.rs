//! A keyed writer: several keys, each with an object or a sequence of its own, that are opened, closed
//! and opened again under one limit; keys that have failed are forgiven and written to again.
//!
//! It shows rules 1, 2 and 6 where writers come and go: nothing forgets a request without an answer,
//! neither the key that is closed nor the one that is forgiven, and every receipt answers.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use oss_append::{FailedKey, KeyedWriter, Receipt};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::compositions::faults::{ANYTHING, FATES, Mix, Trouble, trouble};
use crate::compositions::ledger::{self, Expected, Script, Told, must, show};
use crate::compositions::options::{self, BUDGET, Kind, Options, Records};
use crate::compositions::story::within;
use crate::compositions::world::Process;
use crate::runner;
use crate::support::MS;

const MIX: Mix = Mix {
    fates: FATES,
    meddling: ANYTHING,
    gzip: false,
};

const KEYS: usize = 3;

#[derive(Clone, Debug)]
struct Plan {
    trouble: Trouble,
    options: Options,
    max_open: usize,
    requests: usize,
    idle: u16,
    steps: Vec<Step>,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// A record for a key, of about so many bytes.
    Write(usize, usize),
    Sync,
    Flush,
    Pause(u16),
}

fn plan() -> impl Strategy<Value = Plan> {
    let step = (0..100_u8, 0..KEYS, 0..40_usize).prop_map(|(kind, key, len)| match kind {
        0..75 => Step::Write(key, len),
        75..85 => Step::Sync,
        85..90 => Step::Flush,
        _ => Step::Pause(len as u16 * 8),
    });
    let options = prop_oneof![options::sizes(), options::rolling()];
    let limits = (1..=KEYS, 1..4_usize, 1..300_u16);
    (trouble(MIX, 18), options, limits, vec(step, 1..16)).prop_map(
        |(trouble, mut options, (max_open, requests, idle), steps)| {
            if let Kind::Rolling(rolling) = &mut options.kind {
                rolling.records = Records::Writes;
                rolling.template = "{seq}";
                rolling.roll_size = Some(120);
            }
            Plan {
                trouble,
                options,
                max_open,
                requests,
                idle,
                steps,
            }
        },
    )
}

#[test]
fn keys_have_each_of_their_records_once() {
    runner::run("keys_have_each_of_their_records_once", 3_000, plan(), run);
}

struct Sent {
    key: usize,
    number: usize,
    receipt: Receipt,
}

async fn run(plan: Plan) -> Result<bool, String> {
    let first = Process::first(plan.trouble.clone());
    let outcome = play(&plan, &first).await;
    outcome.map_err(|what| {
        let world = first.world();
        let objects = world.in_order();
        let objects = objects
            .iter()
            .map(|(key, object)| format!("\n{key}: {}", show(&object.data)));
        what + &objects.collect::<String>() + "\n" + &world.story()
    })
}

/// The keys that have failed and were not looked at yet.
type Failures = Arc<Mutex<Vec<FailedKey>>>;

fn start(plan: &Plan, store: &Process) -> Result<(KeyedWriter, Failures), String> {
    let failed = Failures::default();
    let tell = Arc::clone(&failed);
    let options = plan.options.clone();
    let builder = KeyedWriter::builder(store.clone(), "bucket")
        .max_open(plan.max_open)
        .max_concurrent_appends(plan.requests)
        .idle_timeout(u32::from(plan.idle) * MS)
        .buffer_capacity(4 * options.max_append_size)
        .on_failed(move |key| tell.lock().expect("no panic").push(key));
    let clock = store.clone();
    let builder = match options.kind.clone() {
        Kind::Plain => builder.writer(move |_, writer| options.configure(writer)),
        Kind::Rolling(rolling) => builder
            .objects(|key| format!("{key}/{{seq}}"))
            .rolling(move |_, builder| options.configure_rolling(builder, &rolling, &clock)),
    };
    let writer = builder.start().map_err(|error| error.to_string())?;
    Ok((writer, failed))
}

async fn play(plan: &Plan, first: &Process) -> Result<bool, String> {
    let (writer, failed) = start(plan, &first.fork())?;
    let mut scripts: Vec<Script> = (0..KEYS).map(|key| Script::new(key.to_string())).collect();
    let mut sent = Vec::new();
    let mut failures: Vec<FailedKey> = Vec::new();
    for step in &plan.steps {
        match *step {
            Step::Write(key, len) => {
                let record = scripts[key].next_record(len);
                if record.len() as u64 > plan.options.max_append_size {
                    continue;
                }
                let name = format!("key{key}");
                match within(writer.write(&name, Bytes::from(record.clone()))).await? {
                    Ok(receipt) => {
                        let number = scripts[key].records.len();
                        scripts[key].took(&record, true, failures.len(), 0);
                        sent.push(Sent {
                            key,
                            number,
                            receipt,
                        });
                    }
                    Err(_) => drop(writer.forgive(&name)),
                }
            }
            // The keys that have failed are found by what is told of them.
            Step::Sync => drop(within(writer.sync()).await?),
            Step::Flush => drop(within(writer.flush()).await?),
            Step::Pause(ms) => tokio::time::sleep(Duration::from_millis(ms.into())).await,
        }
        failures.append(&mut failed.lock().expect("no panic"));
        let stats = writer.stats();
        must!(
            stats.accepted == stats.durable + stats.buffered + stats.failed,
            "they do not add up: {stats:?}"
        );
    }
    let _ = within(writer.shutdown()).await?;
    failures.append(&mut failed.lock().expect("no panic"));
    for sent in &sent {
        check_receipt(sent, &mut scripts, &failures, first).await?;
    }
    tokio::time::sleep(100 * BUDGET).await;
    let mut world = first.world();
    world.end();
    let expected = Expected {
        gzip: false,
        alone: false,
        roll_size: None,
    };
    ledger::audit(&world, &scripts, expected)?;
    Ok(failures.is_empty())
}

/// A record is durable and where its receipt tells, or it is handed back once.
async fn check_receipt(
    sent: &Sent,
    scripts: &mut [Script],
    failures: &[FailedKey],
    first: &Process,
) -> Result<(), String> {
    let script = &mut scripts[sent.key];
    let line = script.record(&script.records[sent.number]).to_vec();
    let told = within(sent.receipt.written())
        .await
        .map_err(|error| format!("the receipt of {}: {error}", show(&line)))?;
    let given_back = failures.iter().filter_map(|failed| {
        let bytes = failed.unsent.chunks.concat();
        let at = bytes
            .windows(line.len())
            .position(|window| window == line)?;
        Some(at as u64 >= failed.unsent.in_doubt)
    });
    let given_back: Vec<bool> = given_back.collect();
    script.records[sent.number].told = match (&told, &given_back[..]) {
        (Ok(written), []) => {
            let range = written.range.start as usize..written.range.end as usize;
            let world = first.world();
            let mut contents = world.contents(written.object.key());
            must!(
                contents.any(|data| data.get(range.clone()) == Some(&line[..])),
                "a receipt tells that {} is at {range:?} of {}",
                show(&line),
                written.object
            );
            Told::Durable
        }
        (Err(_), [true]) => Told::Missing,
        (Err(_), [false]) => Told::Doubt,
        (told, given_back) => {
            return Err(format!(
                "given back {} times with the receipt {told:?}: {}",
                given_back.len(),
                show(&line)
            ));
        }
    };
    Ok(())
}
