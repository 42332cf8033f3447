//! Several processes that share one object or one sequence of objects, with others who append there
//! too.
//!
//! It shows that a batch stays with its first attempts, also in a sequence that keeps trying (rules 1
//! and 2), that a definite mismatch is appended at the new end, once (rule 4), and that a sealed, full
//! or immutable object is not the end of a shared sequence (rule 7).

use proptest::collection::vec;
use proptest::prelude::*;

use crate::compositions::faults::{FATES, Mix, SHARING, trouble};
use crate::compositions::options::{self, Options};
use crate::compositions::story::{self, Plan};
use crate::runner;

const MIX: Mix = Mix {
    fates: FATES,
    meddling: SHARING,
    gzip: false,
};

fn plan() -> impl Strategy<Value = Plan> {
    let lives = || story::lives(2, 6, 60, true);
    let options = prop_oneof![options::sizes(), options::rolling()];
    (trouble(MIX, 18), options, vec(lives(), 1..4)).prop_map(|(trouble, options, processes)| Plan {
        trouble,
        options: Options {
            shared: true,
            ..options
        },
        processes,
    })
}

#[test]
fn shared_objects_have_each_record_once_and_whole() {
    runner::run(
        "shared_objects_have_each_record_once_and_whole",
        7_000,
        plan(),
        story::run,
    );
}
