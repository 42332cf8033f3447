//! Compressed objects, one or a sequence of them, whose members are read back to see what they hold.
//!
//! It shows rules 1, 2 and 6 where an append is a gzip member: what is in doubt is in doubt as a whole,
//! and no second cut of it is ever sent.

use proptest::prelude::*;

use crate::compositions::faults::{ANYTHING, FATES, Mix, trouble};
use crate::compositions::options::{self, Options};
use crate::compositions::story::{self, Plan};
use crate::runner;

const MIX: Mix = Mix {
    fates: FATES,
    meddling: ANYTHING,
    gzip: true,
};

fn plan() -> impl Strategy<Value = Plan> {
    let options = prop_oneof![options::sizes(), options::rolling()];
    let options = options.prop_map(|options| Options {
        gzip: true,
        max_object_size: options.max_object_size.map(|size| 2 * size),
        ..options
    });
    (trouble(MIX, 12), options, story::lives(2, 6, 100, true)).prop_map(
        |(trouble, options, lives)| Plan {
            trouble,
            options,
            processes: vec![lives],
        },
    )
}

#[test]
fn compressed_objects_hold_each_record_once() {
    runner::run(
        "compressed_objects_hold_each_record_once",
        3_000,
        plan(),
        story::run,
    );
}
