//! The limits that a writer's requests must respect.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until};

use super::rate::AppendLimit;
use crate::values::locks::MutexExt as _;
use crate::values::progress::Progress;

/// How long a request keeps its turn while nothing of it moves.
const STALLED: Duration = Duration::from_secs(5);

/// One writer's way through limits that it shares with others. Each request waits for its turn, in
/// the order in which they came, and each append for its place among so many a second.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    turns: Option<Arc<Semaphore>>,
    /// The turn of the next request, if it was waited for before the request was made.
    reserved: Mutex<Option<OwnedSemaphorePermit>>,
    /// In a box, since few have it.
    paced: Option<Box<Paced>>,
}

/// The limits on appends a second: that of the writers of one builder, and another one.
#[derive(Clone, Debug, Default)]
struct Limits {
    own: Option<AppendLimit>,
    common: Option<AppendLimit>,
}

/// One writer's place within these limits.
#[derive(Debug, Default)]
struct Paced {
    limits: Limits,
    /// The place of the next batch, if it was booked before that is made. It stays if nobody waits
    /// for it any more.
    booked: Mutex<Option<Instant>>,
    /// How many batches have their place that are not sent yet.
    placed: AtomicU32,
}

impl Gate {
    /// The same limits for a writer of its own, whose requests wait for one of `turns` too.
    pub(crate) fn of_writer(
        gate: Option<&Self>,
        turns: Option<Arc<Semaphore>>,
    ) -> Option<Arc<Self>> {
        let limits = gate.and_then(Self::limits);
        let turns = turns.or_else(|| gate.and_then(|gate| gate.turns.clone()));
        if limits.is_none() && turns.is_none() {
            return None;
        }
        Some(Arc::new(Self {
            turns,
            paced: limits.map(Paced::new),
            ..Self::default()
        }))
    }

    /// Adds a limit: that of the writers of one builder, or another one.
    pub(crate) fn limited(gate: Option<&Self>, is_own: bool, limit: AppendLimit) -> Arc<Self> {
        let mut limits = gate.and_then(Self::limits).unwrap_or_default();
        match is_own {
            true => limits.own = Some(limit),
            false => limits.common = Some(limit),
        }
        Arc::new(Self {
            paced: Some(Paced::new(limits)),
            ..Self::default()
        })
    }

    fn limits(&self) -> Option<Limits> {
        self.paced.as_ref().map(|paced| paced.limits.clone())
    }

    /// Waits for the turn of one request. `None`: there is no limit, or it is no more.
    pub(crate) async fn enter(&self) -> Option<OwnedSemaphorePermit> {
        let reserved = self.lock().take();
        match (reserved, &self.turns) {
            (Some(turn), _) => Some(turn),
            (None, Some(turns)) => Arc::clone(turns).acquire_owned().await.ok(),
            (None, None) => None,
        }
    }

    /// Waits for the place of one append, unless a batch has brought one.
    pub(crate) async fn pace(&self) {
        if let Some(paced) = &self.paced
            && !paced.take_placed()
            && let Some(place) = paced.book()
        {
            sleep_until(place).await;
        }
    }

    /// Gives the place that was reserved to a batch.
    pub(crate) fn place(&self) {
        if let Some(paced) = &self.paced
            && paced.booked.locked().take().is_some()
        {
            paced.placed.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits for the turn and the place of the next append, which then does not wait.
    pub(crate) async fn reserve(&self) {
        if let Some(paced) = &self.paced {
            let place = match &mut *paced.booked.locked() {
                Some(place) => Some(*place),
                none => {
                    *none = paced.book();
                    *none
                }
            };
            if let Some(place) = place {
                sleep_until(place).await;
            }
        }
        if let Some(turns) = self.turns.as_ref().filter(|_| !self.has_turn()) {
            let turn = Arc::clone(turns).acquire_owned().await;
            *self.lock() = turn.ok();
        }
    }

    /// Whether the next append does not wait.
    pub(crate) fn is_reserved(&self) -> bool {
        self.has_place() && self.has_turn()
    }

    fn has_place(&self) -> bool {
        let booked = |paced: &Paced| *paced.booked.locked();
        let paced = self.paced.as_deref();
        paced.is_none_or(|paced| booked(paced).is_some_and(|place| place <= Instant::now()))
    }

    fn has_turn(&self) -> bool {
        let turns = self.turns.as_ref();
        turns.is_none_or(|turns| turns.is_closed()) || self.lock().is_some()
    }

    /// Lets others have the turn that was reserved, if there is one.
    pub(crate) fn give_back(&self) {
        self.lock().take();
    }

    fn lock(&self) -> MutexGuard<'_, Option<OwnedSemaphorePermit>> {
        self.reserved.locked()
    }
}

impl Paced {
    fn new(limits: Limits) -> Box<Self> {
        Box::new(Self {
            limits,
            ..Self::default()
        })
    }

    fn take_placed(&self) -> bool {
        let less = |placed: u32| placed.checked_sub(1);
        let taken = self
            .placed
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        taken.is_ok()
    }

    /// Takes a place among those of each limit.
    fn book(&self) -> Option<Instant> {
        let limits = self.limits.own.iter().chain(&self.limits.common);
        limits.map(AppendLimit::book).max()
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
