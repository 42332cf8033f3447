//! The tests of the public interface and of the command, in one binary: what most tests need is
//! compiled and linked once. A module is a subject: `cargo test --test it flush::`.
//!
//! All of it runs in the threads of one process. What counts the memory, the panics or the wake-ups of
//! a process has a binary of its own, and what changes a process, such as its environment or its global
//! logger, happens in a child process (see `log/processes.rs`).

#[path = "../support/mod.rs"]
mod support;

mod abilities;
mod account;
mod adapters;
mod ahead;
mod cancel;
mod checkpoint;
mod cli;
mod client;
mod compression;
mod conformance;
mod copy;
mod crash;
mod credentials;
mod decompress;
mod defaults;
mod drop;
mod emulator;
mod end_to_end;
mod events;
mod failure;
mod fallback;
mod flush;
mod follow;
mod holds;
mod holes;
mod in_order;
mod keyed;
mod lane;
mod layers;
mod limits;
mod log;
mod log_exit;
mod log_outage;
mod memory;
mod metrics;
mod open;
mod proxy;
mod reader;
mod readme;
mod receipts;
mod reconcile;
mod records;
mod replay;
mod rolling;
mod secrets;
mod shared;
mod sink;
mod slow;
mod sockets;
mod spool;
mod threads;
mod tls;
