//! Files that grow and are rotated, into objects.
//!
//! Down from the program: `builder.rs` finds the files, `driver.rs` follows one path, `series.rs`
//! decides what goes to which object next, `place.rs` finds out where an earlier process has ended, and
//! `reading.rs` reads one file. `files.rs` is what all of them know of a file system, so that
//! `simulation.rs` can put another in its place.

mod builder;
mod driver;
mod error;
mod files;
mod follower;
mod hints;
mod lines;
mod order;
mod paths;
mod place;
mod reading;
mod remote;
mod report;
mod series;
mod siblings;
#[cfg(test)]
mod simulation;
mod source;
mod stop;

pub use self::builder::FileFollowerBuilder;
pub use self::error::{FollowError, FollowErrorKind};
pub use self::follower::FileFollower;
pub use self::report::{FollowEvent, FollowedFile};
