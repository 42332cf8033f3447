//! A front for connections whose requests are not carried out one after the other.
//!
//! hyper works on one request of a connection at a time. So the front takes the stream apart and
//! gives each request to a hyper of its own, through a pipe:
//!
//! ```text
//!            ┌────────┐   ┌──────┐ hyper ┌──────┐   ┌────────┐
//!  socket ──▶│ intake │──▶│ pipe │──────▶│ pipe │──▶│ outlet │──▶ socket
//!            └────────┘   └──────┘       └──────┘   └────────┘
//!             requests     one for each request      answers
//! ```

mod framing;
mod intake;
mod outlet;

use std::sync::Arc;

use bytes::BytesMut;
use tokio::io::{DuplexStream, ReadHalf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;

use self::intake::Intake;
use self::outlet::Outlet;
use super::server::Stop;
use super::shared::Shared;
use super::wire::{Link, Wire};

/// The most requests of a connection that are at work at once.
const MOST: usize = 64;

/// What a pipe holds in each direction.
const PIPE: usize = 64 * 1024;

/// An answer that has begun, or the end of a request that gets none.
struct Due {
    /// Counts the requests of the connection from 0.
    number: u64,
    /// What the request does to its connection.
    link: Arc<Link>,
    /// The answer's first bytes. None if there is no answer.
    first: BytesMut,
    /// The bytes behind these.
    answer: ReadHalf<DuplexStream>,
    slot: OwnedSemaphorePermit,
}

/// Serves a connection until it ends, and returns when all its requests are done with.
pub(super) async fn serve(shared: Arc<Shared>, link: Arc<Link>, wire: Wire, stop: Stop) {
    let (read, write) = tokio::io::split(wire);
    let (due, dues) = mpsc::channel(MOST);
    let slots = Arc::new(Semaphore::new(MOST));
    let outlet = Outlet::new(write, Arc::clone(&link), dues, &slots, shared.pipelining);
    let over = stop.token.child_token();
    let intake = Intake::new(shared, read, Arc::clone(&link), due, slots, &stop, &over);
    // They go on when the connection is gone: a request that was taken is carried out.
    let mut requests = JoinSet::new();
    tokio::select! {
        biased;
        () = link.ended() => {}
        () = stop.expired() => {}
        () = outlet.run() => {}
        () = async {
            intake.run(&mut requests).await;
            // There may be answers still.
            std::future::pending().await
        } => {}
    }
    over.cancel();
    while requests.join_next().await.is_some() {}
}
