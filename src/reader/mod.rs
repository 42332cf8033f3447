//! The way back: an object's bytes, in order, whatever breaks while they come.
//!
//! `object.rs` has what a program sees. Below it `reading.rs` compares what has come with the
//! object's CRC-64, and `transfer.rs` makes the requests: it goes on where an answer has ended, as
//! long as the time allows. What a later answer may say of the object is in `fixed.rs`. Where the
//! answers come from is `source.rs`: OSS, or the simulation, which plays what can go wrong.

mod builder;
mod fixed;
mod idle;
mod object;
mod reading;
#[cfg(test)]
mod simulation;
mod source;
mod span;
mod transfer;

pub use self::builder::ObjectReaderBuilder;
pub use self::object::ObjectReader;
