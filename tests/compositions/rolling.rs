//! One rolling writer of its own, that keeps trying or not, seals or not, with and without `{seq}`,
//! for lines, for records and for bytes without either; lives that end well, that crash, and that
//! fail and are made up for with what they give back.
//!
//! It shows that a batch has one owner until its fate is known and goes to the next object only when
//! it cannot get into the one before (rule 2), that nothing forgets a request without an answer (rule
//! 1), that receipts answer wherever their records were split (rule 6), and that one object's end is
//! not the sequence's (rule 7).

use proptest::prelude::*;

use crate::faults::{ANYTHING, FATES, Mix, trouble};
use crate::runner;
use crate::story::{self, Kind, Options, Plan, Records, Rolling};

const MIX: Mix = Mix {
    fates: FATES,
    meddling: ANYTHING,
    gzip: false,
};

fn options() -> impl Strategy<Value = Options> {
    (0..64_u8, 60..200_u64, 10..40_u64, 0..60_u64, 0..40_u8).prop_map(
        |(flags, roll_size, batch_size, more, linger)| {
            let flag = |bit: u8| flags & (1 << bit) != 0;
            let max_append_size = batch_size + more;
            let records = match flags & 3 {
                0 | 1 => Records::Lines,
                2 => Records::Writes,
                _ => Records::Unaligned,
            };
            let template = match flags >> 2 & 3 {
                0 => "log-%H%M",
                _ => "log-{seq}",
            };
            let numbered = template.contains("{seq}");
            Options {
                kind: Kind::Rolling(Rolling {
                    template,
                    roll_size: numbered.then_some(roll_size.max(max_append_size)),
                    records,
                    keep_trying: flag(4),
                    for_ever: false,
                    seal: flag(5),
                    start: flag(0),
                }),
                shared: false,
                gzip: false,
                batch_size,
                max_append_size,
                linger,
                max_object_size: Some(300),
            }
        },
    )
}

fn plan() -> impl Strategy<Value = Plan> {
    (trouble(MIX, 18), options(), story::lives(3, 9, 150, true)).prop_map(
        |(trouble, options, lives)| Plan {
            trouble,
            options,
            processes: vec![lives],
        },
    )
}

#[test]
fn a_sequence_has_each_record_once_whatever_happens_to_its_objects() {
    runner::run(
        "a_sequence_has_each_record_once_whatever_happens_to_its_objects",
        10_000,
        plan(),
        story::run,
    );
}
