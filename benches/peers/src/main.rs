//! Other crates' appends beside this one's: see README.md.

#![allow(dead_code, reason = "modules of another benchmark")]

mod cases;
#[path = "../../throughput/contest/mod.rs"]
mod contest;
mod loops;
#[path = "../../support/numbers.rs"]
mod numbers;
mod opendal;
#[path = "../../throughput/ours.rs"]
mod ours;
#[path = "../../throughput/produce.rs"]
mod produce;

use std::process::ExitCode;

fn main() -> ExitCode {
    contest::main("cargo run --release -- --bench", cases::all())
}
