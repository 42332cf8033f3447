//! What a log appender runs: a sequence of records that starts without looking, keeps trying and
//! never gives up; one process or two, sharing their objects or not, with and without `{seq}`.
//!
//! It shows that a log never gives up, whatever becomes of its objects (rules 7 and 8), and that it
//! neither loses nor doubles a record meanwhile (rules 1 and 2).

use proptest::collection::vec;
use proptest::prelude::*;

use crate::compositions::faults::{ANYTHING, FATES, Mix, SHARING, trouble};
use crate::compositions::options::{self, Kind, Records, Rolling};
use crate::compositions::story::{self, Plan};
use crate::runner;

const MIX: Mix = Mix {
    fates: FATES,
    meddling: ANYTHING,
    gzip: false,
};

const SHARED: Mix = Mix {
    meddling: SHARING,
    ..MIX
};

fn plan() -> impl Strategy<Value = Plan> {
    let plans = |mix, shared| {
        let lives = vec(story::lives(2, 8, 60, true), 1..3);
        (trouble(mix, 18), options::rolling(), lives, 0..32_u8).prop_map(
            move |(trouble, mut options, processes, name)| {
                options.shared = shared;
                if let Kind::Rolling(rolling) = &mut options.kind {
                    *rolling = Rolling {
                        template: match name {
                            0..26 => "{seq}",
                            26..31 => "%Y-{seq}",
                            _ => "%Y",
                        },
                        roll_size: rolling.roll_size.filter(|_| name < 31),
                        records: Records::Writes,
                        keep_trying: true,
                        for_ever: true,
                        start: true,
                        ..*rolling
                    };
                }
                Plan {
                    trouble,
                    options,
                    processes,
                }
            },
        )
    };
    prop_oneof![2 => plans(MIX, false), 1 => plans(SHARED, true)]
}

/// A log has no failures: this counts those that were shut down.
async fn run(plan: Plan) -> Result<bool, String> {
    let crashes = plan.processes.iter().flatten().any(|life| life.crashes);
    story::run(plan)
        .await
        .map(|succeeded| succeeded && !crashes)
}

#[test]
fn a_log_never_gives_up_and_has_each_record_once() {
    runner::run(
        "a_log_never_gives_up_and_has_each_record_once",
        3_000,
        plan(),
        run,
    );
}
