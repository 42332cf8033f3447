//! The operations of OSS that the client speaks, one file a group.

pub(super) mod append;
pub(super) mod bucket;
pub(super) mod delete;
pub(super) mod get;
pub(super) mod head;
pub(super) mod list;
pub(crate) mod multipart;
pub(super) mod put;
