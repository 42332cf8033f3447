//! Reading the objects of a sequence, one after the other.
//!
//! `reader.rs` has what a program sees. `turns.rs` decides when an object is finished and the next
//! begins, `finder.rs` which that is: by the same search by which a rolling writer finds the newest
//! (`rolling/find.rs`).

mod bucket;
mod builder;
mod finder;
mod reader;
#[cfg(all(test, feature = "testing"))]
mod simulation;
mod turns;

pub use self::builder::SequenceReaderBuilder;
pub use self::reader::SequenceReader;
