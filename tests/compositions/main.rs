//! Random programs against random trouble, over what people run: not one writer of one object but what
//! stands on it, with several writers, several processes and several lives. Each from a seed, on a
//! store in memory under a paused clock.
//!
//! Whatever happens, every record that was accepted is in exactly one object, once, whole, and in its
//! writer's order; or it is given back. What was told to be durable is there, what was told to be
//! missing never comes, receipts tell the truth, counts add up, and nothing waits for ever.
//!
//! | variable | meaning | default |
//! |---|---|---|
//! | `OSS_APPEND_SCHEDULES` | how many schedules each test runs | see the tests |
//! | `OSS_APPEND_SEED` | the first seed | 1 |
//! | `OSS_APPEND_SURVEY` | if it is set, all schedules run, and each kind of failure is counted | not set |
//! | `OSS_APPEND_LOG` | if it is set, a failure tells all requests | not set |
//!
//! A failure is shrunk to the smallest plan that still fails, and names its seed. An own binary, to be
//! run for longer by itself, and in release.

#[path = "../support/mod.rs"]
#[allow(dead_code, reason = "these tests use a part of it")]
mod support;

#[path = "../simulation/runner.rs"]
mod runner;

mod faults;
mod ledger;
mod options;
mod story;
mod world;
mod writer;

mod compressed;
mod keyed;
mod log;
mod plain;
mod processes;
mod rolling;
mod shared;
mod twins;
