//! Several processes that write exactly the same records, with no fault at all: each request arrives
//! and is answered.
//!
//! It shows that equal bytes are not the same bytes (rule 4): in a shared object each process's records
//! are there as often as it wrote them; of exclusive writers of one object at most one goes on, and
//! those of one template keep the lines of all.

use futures::future::join_all;
use oss_append::{Error, ErrorKind};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::compositions::faults::{Event, Fate, Lands, Trouble};
use crate::compositions::ledger::must;
use crate::compositions::options::{self, Kind, Options, Records};
use crate::compositions::story::within;
use crate::compositions::world::{Process, WorldOptions};
use crate::runner;

const LINE: &[u8] = b"tick\n";

#[derive(Clone, Debug)]
struct Plan {
    options: Options,
    without_crc: bool,
    /// How long the requests are under way.
    delays: Vec<u8>,
    processes: Vec<Vec<Step>>,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Write,
    Sync,
}

fn plan() -> impl Strategy<Value = Plan> {
    let step = (0..3_u8).prop_map(|kind| match kind {
        0 | 1 => Step::Write,
        _ => Step::Sync,
    });
    let processes = vec(vec(step, 1..7), 2..4);
    let options = prop_oneof![options::sizes(), options::rolling()];
    (options, processes, vec(0..4_u8, 0..20), 0..30_u8).prop_map(
        |(mut options, processes, delays, flags)| {
            options.shared = flags % 3 != 0;
            options.max_object_size = None;
            if let Kind::Rolling(rolling) = &mut options.kind {
                rolling.records = Records::Writes;
                // Whoever looks later finds what another has begun, and cannot tell it from its own.
                rolling.start = false;
                rolling.seal = false;
            }
            Plan {
                options,
                without_crc: flags >= 27,
                delays,
                processes,
            }
        },
    )
}

#[test]
fn twins_keep_all_of_their_equal_records() {
    runner::run("twins_keep_all_of_their_equal_records", 2_000, plan(), run);
}

async fn run(plan: Plan) -> Result<bool, String> {
    let delay = |delay: &u8| Event {
        delay: *delay,
        lands: Lands::None,
        meddling: None,
        fate: Fate::Good,
    };
    let first = Process::first(Trouble {
        events: plan.delays.iter().map(delay).collect(),
        options: WorldOptions {
            without_crc: plan.without_crc,
            without_metadata: false,
            without_listing: false,
            gzip: false,
        },
    });
    // All of them look before any of them writes: what they find is nobody's.
    let mut writers = Vec::new();
    for _ in &plan.processes {
        let opened = plan.options.open(&first.fork(), None).await;
        writers.push(opened.map_err(|error| error.to_string())?);
    }
    let written = writers.iter_mut().zip(&plan.processes);
    let results = join_all(written.map(async |(writer, steps)| {
        for step in steps {
            match step {
                Step::Write => within(writer.write_all(LINE)).await??,
                Step::Sync => within(writer.sync()).await??,
            }
        }
        within(writer.shutdown()).await??;
        Ok::<_, Failure>(())
    }));
    let results = results.await;
    let durable: u64 = writers.iter().map(|writer| writer.stats().durable).sum();
    let failed = results.iter().filter(|result| result.is_err()).count();
    for result in results {
        match result {
            Err(Failure::Broken(what)) => return Err(what),
            Err(Failure::Ended(error)) => must!(
                matches!(error.kind(), ErrorKind::Conflict(_)) && !plan.options.shared,
                "without a fault: {error}"
            ),
            Ok(()) => {}
        }
    }
    let world = first.world();
    let objects = world.in_order();
    let stored: usize = objects.iter().map(|(_, object)| object.data.len()).sum();
    must!(
        stored as u64 == durable,
        "{durable} bytes are durable, and {stored} there"
    );
    let lines = objects
        .iter()
        .flat_map(|(_, object)| object.data.chunks(LINE.len()));
    must!(lines.into_iter().all(|line| line == LINE), "a torn record");
    Ok(failed == 0)
}

enum Failure {
    /// A promise is broken.
    Broken(String),
    /// The writer has failed.
    Ended(Error),
}

impl From<String> for Failure {
    fn from(what: String) -> Self {
        Self::Broken(what)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Ended(error)
    }
}
