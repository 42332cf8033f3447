//! Random programs against random trouble, over what people run: not one writer of one object but what
//! stands on it, with several writers, several processes and several lives. Each from a seed, on a
//! store in memory under a paused clock.
//!
//! Whatever happens, every record that was accepted is in exactly one object, once, whole, and in its
//! writer's order; or it is given back. What was told to be durable is there, what was told to be
//! missing never comes, receipts tell the truth, counts add up, and nothing waits for ever.

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
