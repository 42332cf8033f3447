//! One rolling writer of its own, that keeps trying or not, seals or not, with and without `{seq}`,
//! for lines, for records and for bytes without either; lives that end well, that crash, and that
//! fail and are made up for with what they give back.
//!
//! It shows that a batch has one owner until its fate is known and goes to the next object only when
//! it cannot get into the one before (rule 2), that nothing forgets a request without an answer (rule
//! 1), that receipts answer wherever their records were split (rule 6), and that one object's end is
//! not the sequence's (rule 7).

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
        trouble(MIX, 18),
        options::rolling(),
        story::lives(3, 9, 150, true),
    )
        .prop_map(|(trouble, options, lives)| Plan {
            trouble,
            options,
            processes: vec![lives],
        })
}

#[test]
fn a_sequence_has_each_record_once_whatever_happens_to_its_objects() {
    runner::run(
        "a_sequence_has_each_record_once_whatever_happens_to_its_objects",
        9_000,
        plan(),
        story::run,
    );
}
