//! Several processes that each take one object or one template for their own.
//!
//! It shows that a writer that meets another's object fails with what is certain, or goes on in an
//! object of its own, and that both keep every record (rules 2, 4 and 7).

use proptest::collection::vec;
use proptest::prelude::*;

use crate::compositions::faults::{ANYTHING, FATES, Mix, trouble};
use crate::compositions::options::{self, Kind, Records};
use crate::compositions::story::{self, Plan};
use crate::runner;

const MIX: Mix = Mix {
    fates: FATES,
    meddling: ANYTHING,
    gzip: false,
};

fn plan() -> impl Strategy<Value = Plan> {
    // What is cut by a roll cannot be told from what another process has cut.
    let aligned = options::rolling().prop_map(|mut options| {
        if let Kind::Rolling(rolling) = &mut options.kind {
            rolling.records = Records::Writes;
        }
        options
    });
    (
        trouble(MIX, 18),
        aligned,
        vec(story::lives(2, 6, 60, true), 2..4),
    )
        .prop_map(|(trouble, options, processes)| Plan {
            trouble,
            options,
            processes,
        })
}

#[test]
fn processes_with_one_template_keep_all_records_of_each() {
    runner::run(
        "processes_with_one_template_keep_all_records_of_each",
        3_000,
        plan(),
        story::run,
    );
}
