//! The way back: an object's bytes, in order, whatever breaks while they come.
//!
//! `object.rs` has what a program sees: the bytes as they are stored, or what they hold, which
//! `decompressing.rs` has read and `members.rs` finds out. Below that `reading.rs` compares what has come with the
//! object's CRC-64, `parts.rs` reads several parts at a time if it is asked to, and `transfer.rs` makes
//! the requests: it goes on where an answer has ended, as long as the time allows. What a later answer
//! may say of the object is in `fixed.rs`. Where the answers come from is `source.rs`: OSS, or the
//! simulation, which plays what can go wrong.
//!
//! `follow` goes on as an object grows: it reads again and again from where it has got to.
//! `sequence` does so with one object of a sequence after the other.

mod builder;
mod content;
#[cfg(feature = "compression")]
mod decompressing;
mod fixed;
mod follow;
mod idle;
#[cfg(feature = "compression")]
mod members;
mod object;
mod parts;
mod reading;
#[cfg(feature = "rolling")]
mod sequence;
// In the published package the tests of the library have no features of their own.
#[cfg(all(test, feature = "compression"))]
mod simulation;
mod source;
mod span;
mod transfer;

pub use self::builder::ObjectReaderBuilder;
pub use self::follow::{
    FollowHandle, Followed, FollowedItems, FollowedLines, ObjectFollower, ObjectFollowerBuilder,
};
pub use self::object::ObjectReader;
#[cfg(feature = "rolling")]
pub use self::sequence::{SequenceReader, SequenceReaderBuilder};
