//! How much of a link is used, by the size of appends: what the defaults were chosen by.
//!
//! ```text
//! cargo bench --bench sweep -- --json > sweep.json
//! python3 benches/sweep/plot.py sweep.json benches/sweep/curve.svg
//! ```

#![allow(dead_code, reason = "modules of another benchmark")]

#[path = "../throughput/contest/mod.rs"]
mod contest;
#[path = "../support/numbers.rs"]
mod numbers;
#[path = "../throughput/ours.rs"]
mod ours;
#[path = "../throughput/produce.rs"]
mod produce;

use std::process::ExitCode;

use contest::{Case, Link, Run};
use ours::{MIB, of_size};
use produce::Producer;

const KIB: u64 = 1024;
const SIZES: [u64; 7] = [
    256 * KIB,
    MIB,
    2 * MIB,
    4 * MIB,
    8 * MIB,
    16 * MIB,
    32 * MIB,
];

/// How many appends each run makes.
const APPENDS: u64 = 12;

fn main() -> ExitCode {
    let links = [1, 10].map(|gigabits| [1, 10, 50].map(|ms| Link::new(ms, gigabits)));
    let cases = links.into_iter().flatten().map(case).collect();
    contest::main("cargo bench --bench sweep --", cases)
}

fn case(link: Link) -> Case {
    let run = |name: String, size: u64, buffer: u64| {
        Run::new(name, move |ground| {
            let options = move |builder| of_size(size)(builder).buffer_capacity(buffer * size);
            let bytes = APPENDS * size;
            ours::write(ground, options, Producer::Ready, bytes, 64 * 1024)
        })
    };
    let first = run(SIZES[0].to_string(), SIZES[0], 2);
    let mut case = Case::new(format!("appends by size, {link}"), link, first);
    for size in &SIZES[1..] {
        case = case.against(run(size.to_string(), *size, 2));
    }
    // Whether a larger buffer helps.
    case.against(run(
        format!("{} with twice the buffer", 8 * MIB),
        8 * MIB,
        4,
    ))
}
