//! A limit on the requests of many writers at a time.

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::values::locks::MutexExt as _;
use crate::values::progress::Progress;

/// How long a request keeps its turn while nothing of it moves.
const STALLED: Duration = Duration::from_secs(5);

/// One writer's way through a limit that it shares with others: each request waits for its turn,
/// in the order in which they came.
#[derive(Debug)]
pub(crate) struct Gate {
    turns: Arc<Semaphore>,
    /// The turn of the next request, if it was waited for before the request was made.
    reserved: Mutex<Option<OwnedSemaphorePermit>>,
}

impl Gate {
    #[cfg(feature = "keyed")]
    pub(crate) fn new(turns: Arc<Semaphore>) -> Self {
        Self {
            turns,
            reserved: Mutex::default(),
        }
    }

    /// Waits for the turn of one request. `None`: the limit is no more.
    pub(crate) async fn enter(&self) -> Option<OwnedSemaphorePermit> {
        let reserved = self.lock().take();
        match reserved {
            Some(permit) => Some(permit),
            None => Arc::clone(&self.turns).acquire_owned().await.ok(),
        }
    }

    /// Waits for the turn of the next request, which then does not wait.
    pub(crate) async fn reserve(&self) {
        let permit = Arc::clone(&self.turns).acquire_owned().await;
        *self.lock() = permit.ok();
    }

    /// Whether the next request does not wait.
    pub(crate) fn is_reserved(&self) -> bool {
        self.lock().is_some() || self.turns.is_closed()
    }

    /// Lets others have the turn that was reserved, if there is one.
    pub(crate) fn give_back(&self) {
        self.lock().take();
    }

    fn lock(&self) -> MutexGuard<'_, Option<OwnedSemaphorePermit>> {
        self.reserved.locked()
    }
}

/// Runs `request` with its `turn`. When nothing has moved for a while, others get the turn and the
/// request goes on without: a few objects that do not answer would keep all others waiting.
pub(crate) async fn in_turn<T>(
    turn: Option<OwnedSemaphorePermit>,
    progress: &Progress,
    request: impl Future<Output = T>,
) -> T {
    let Some(turn) = turn else {
        return request.await;
    };
    let mut request = pin!(request);
    match progress.guard(STALLED, &mut request).await {
        Some(output) => output,
        None => {
            drop(turn);
            request.await
        }
    }
}

/// Gives a turn that was not used back, at the latest when it is dropped.
pub(crate) struct Unused<'a>(pub(crate) Option<&'a Gate>);

impl Unused<'_> {
    pub(crate) fn give_back(&self) {
        if let Some(gate) = self.0 {
            gate.give_back();
        }
    }
}

impl Drop for Unused<'_> {
    fn drop(&mut self) {
        self.give_back();
    }
}
