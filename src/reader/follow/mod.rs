//! Reading on as an object grows.
//!
//! `follower.rs` has what a program sees, and `items.rs` makes lines and other items of the bytes.
//! `following.rs` is one object from where it is begun: it looks, reads what the look has found, and
//! compares it. When the next look is due is in `pace.rs`.

mod builder;
mod followed;
mod follower;
pub(super) mod following;
mod items;
pub(super) mod pace;

pub use self::builder::ObjectFollowerBuilder;
pub use self::followed::Followed;
pub use self::follower::{FollowHandle, ObjectFollower};
#[cfg(feature = "rolling")]
pub(super) use self::items::{Event, Events};
pub use self::items::{FollowedItems, FollowedLines};
