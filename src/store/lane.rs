//! Several appends in flight at a time.

use futures::future::BoxFuture;

use super::request::{AppendAnswer, AppendRequest};
use crate::error::Result;

/// A way to one object on which appends arrive in the order in which they are sent, without waiting
/// for the answer to the previous one: over HTTP/1.1, by pipelining on one connection (RFC 9112,
/// section 9.3.2).
///
/// What [`AppendStore::append`](crate::AppendStore::append) promises for one append holds here too.
/// In addition:
///
/// 1. No append is applied before those that were sent before it have been applied, or cannot be
///    any more on this lane.
/// 2. Each future gives the answer to its own append, whatever was answered to others.
/// 3. When one has failed without an answer of the store, the lane is done: everything sent after it
///    fails as well, and may or may not have been applied.
///
/// A lane that is dropped sends nothing more. What it has sent may still be applied.
pub trait Lane: Send {
    /// Sends an append after those that were sent before.
    ///
    /// It is on its way when this returns, and the future gives its answer. A future that is not
    /// polled may make no progress.
    fn append(&mut self, request: AppendRequest) -> BoxFuture<'static, Result<AppendAnswer>>;
}
