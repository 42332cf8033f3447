//! One request, given up when nothing moves for too long.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use tokio::time::Instant;

use super::gate::in_turn;
use super::options::AppenderOptions;
use super::stats::Counters;
use crate::engine::budget::Trip;
use crate::error::{Error, Result, TransportCause};
use crate::values::progress::Progress;

/// Who decides how long a request may take.
pub(super) trait Timekeeper {
    /// The time from which it counts.
    fn origin(&self) -> Instant;

    /// The request has waited so long for its turn.
    fn queued(&mut self, waited: Duration);

    /// How long a request that is sent now may go without moving.
    fn patience(&mut self) -> Duration;

    /// The request has come to its end.
    fn ended(&mut self, trip: Trip);
}

/// Runs one request, in its turn, and gives it up when nothing moves any more.
///
/// The request is pinned by the caller: a future takes the room of all futures that are moved through
/// it, once for each function that they pass.
pub(super) async fn attempt<T>(
    keeper: &mut impl Timekeeper,
    options: &AppenderOptions,
    counters: &Counters,
    progress: &Progress,
    request: Pin<&mut impl Future<Output = Result<T>>>,
) -> Result<T> {
    let origin = keeper.origin();
    let turn = match &options.gate {
        Some(gate) => {
            let began = Instant::now();
            let permit = gate.enter().await;
            keeper.queued(began.elapsed());
            progress.advance(0);
            permit
        }
        None => None,
    };
    let began = origin.elapsed();
    let patience = keeper.patience();
    let request = in_turn(turn, progress, request);
    let result = progress.guard(patience, request).await.unwrap_or_else(|| {
        Err(Error::transport(
            TransportCause::Timeout,
            format!("nothing moved for {:.1} s", patience.as_secs_f64()),
        ))
    });
    keeper.ended(Trip {
        began,
        moved: progress.bytes(),
        last_moved: progress.last_change().saturating_duration_since(origin),
        patience,
    });
    result.inspect_err(|error| counters.failed_request(error))
}
