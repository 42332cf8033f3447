//! Random programs against random faults, each from a seed, on a store in memory under a paused
//! clock. Success means that the object holds exactly what was accepted; failure means that durable
//! and unsent bytes together do. An own binary, to be run for longer by itself, and in release.
//!
//! | variable | meaning | default |
//! |---|---|---|
//! | `OSS_APPEND_SCHEDULES` | how many schedules each test runs | see the tests |
//! | `OSS_APPEND_SEED` | the first seed | 1 |
//! | `OSS_APPEND_SURVEY` | if it is set, all schedules run, and each kind of failure is counted | not set |
//! | `OSS_APPEND_LOG` | if it is set, a failure of a composition tells all requests | not set |
//!
//! A failure is shrunk to the smallest plan that still fails, and names its seed.

#[path = "../support/mod.rs"]
#[allow(dead_code, reason = "these tests use a part of it")]
mod support;

mod compositions;
mod exclusive;
mod faults;
mod runner;
mod shared;
