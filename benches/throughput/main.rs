//! How fast bytes get from a producer to the server, beside a bare loop of POSTs of bodies that are
//! ready, and back, beside a bare GET: what no client can do without.
//!
//! ```text
//! cargo bench --bench throughput -- --help
//! ```

#![allow(dead_code, reason = "modules that other benchmarks use too")]

mod bare;
mod cases;
mod contest;
mod many;
#[path = "../support/numbers.rs"]
mod numbers;
mod ours;
mod produce;
#[cfg(unix)]
mod proxies;
mod reading;
mod records;
mod spooled;

use std::process::ExitCode;

fn main() -> ExitCode {
    contest::main("cargo bench --bench throughput --", cases::all())
}
