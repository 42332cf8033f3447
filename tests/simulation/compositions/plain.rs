//! One writer of one object at a time, over several lives: after a crash the source is replayed from
//! the last checkpoint, after a failure what was given back is written again as the guide `failures` says.
//!
//! It shows that nothing forgets a request without an answer, neither a refusal that comes later nor
//! `into_unsent` nor a replay (rule 1), that what was only compared is not durable and is given back
//! (rule 3), and that receipts answer for what is durable whatever fails later (rule 6).

use proptest::prelude::*;

use crate::compositions::faults::{ANYTHING, FATES, Mix, trouble};
use crate::compositions::options;
use crate::compositions::story::{self, Plan};
use crate::runner;

const MIX: Mix = Mix {
    fates: FATES,
    meddling: ANYTHING,
    gzip: false,
};

fn plan() -> impl Strategy<Value = Plan> {
    (
        trouble(MIX, 16),
        options::sizes(),
        story::lives(4, 7, 120, true),
    )
        .prop_map(|(trouble, options, lives)| Plan {
            trouble,
            options,
            processes: vec![lives],
        })
}

#[test]
fn an_object_has_each_record_once_through_all_lives_of_its_writer() {
    runner::run(
        "an_object_has_each_record_once_through_all_lives_of_its_writer",
        12_000,
        plan(),
        story::run,
    );
}
