//! What the worker does next. This only looks and decides; the worker carries it out.

use super::buffer::Buffer;
use super::shared::{Phase, Shared, State};
use crate::engine::flush::Time;
use crate::engine::schedule::Due;
use crate::metrics::Buffered;
use crate::stage::{RollReason, Space};

/// What the worker does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Opens an object for what waits.
    Open,
    /// Waits for the turn of the next append, while more gathers for it.
    Reserve,
    /// Issues this much of the buffer, and settles it.
    Issue(Portion),
    /// Proves bytes of a replay that somebody waits for and that are only compared yet.
    Verify,
    /// Finishes the object, since a cut is due.
    Cut(RollReason),
    /// Finishes the object, since what comes next does not fit in it.
    Full,
    WaitUntil(Time),
    Wait,
    /// Gives back the memory of a writer that has been idle for long enough.
    GiveBack,
    Finish {
        seal: bool,
    },
}

/// What one append takes out of the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Portion {
    /// Whole records, up to so many bytes. `continues`: the beginning of the first has been issued
    /// before.
    Records { most: u64, continues: bool },
    /// So many bytes of a record that is longer than that, or has not ended.
    Part { len: u64, continues: bool },
}

impl Portion {
    /// The most bytes that it may have.
    pub(super) fn most(self) -> u64 {
        match self {
            Self::Records { most, .. } => most,
            Self::Part { len, .. } => len,
        }
    }

    /// Whether it goes on with a record whose beginning has been issued.
    pub(super) fn continues(self) -> bool {
        match self {
            Self::Records { continues, .. } | Self::Part { continues, .. } => continues,
        }
    }
}

/// `space`: of the open object. `period_ends`: when the clock has to be asked again, where there are
/// periods.
pub(super) fn decide(
    shared: &Shared,
    state: &State,
    space: Option<Space>,
    period_ends: Option<Time>,
    now: Time,
) -> Next {
    let issued = state.window.issued();
    let mut to_cut = None;
    if let Some(cut) = state.cuts.front() {
        if cut.at > issued {
            to_cut = Some(cut.at - issued);
        } else if !state.buffer.is_mid_record() {
            return Next::Cut(cut.reason);
        }
    }
    let closing = match state.phase {
        Phase::Closing { seal } if issued == state.window.accepted() => {
            return Next::Finish { seal };
        }
        Phase::Closing { .. } => true,
        _ => to_cut.is_some(),
    };
    if state.window.must_verify() {
        return Next::Verify;
    }
    let since = state.buffer.since().unwrap_or(now);
    let mut schedule = shared.options.schedule;
    let waiting = match &state.spool {
        None => state.buffer.len(),
        Some(spool) => {
            schedule.batch_size = shared.batch_size();
            match spool.to_issue(&state.buffer, &state.window, &schedule) {
                Some(bytes) => bytes,
                None => return Next::Wait,
            }
        }
    };
    match state.window.next(&schedule, waiting, since, closing, now) {
        Due::Append(max) => {
            let Some(space) = space else {
                return Next::Open;
            };
            let gate = shared.options.gate.as_ref();
            if gate.is_some_and(|gate| !gate.is_reserved()) {
                return Next::Reserve;
            }
            let max = max.min(to_cut.unwrap_or(u64::MAX));
            let fit = state.window.fit().most(shared.options.whole);
            portion(&state.buffer, max, fit, space).map_or(Next::Full, Next::Issue)
        }
        Due::WaitUntil(time) => {
            let shown = Buffered::INTERVAL.map(|interval| now.saturating_add(interval));
            let others = period_ends.into_iter().chain(shown);
            Next::WaitUntil(others.fold(time, Time::min))
        }
        Due::Wait => {
            let spare = state.buffer.spare_since();
            let end = spare.map(|since| since.saturating_add(shared.options.keep_memory));
            if end.is_some_and(|end| end <= now) {
                return Next::GiveBack;
            }
            let wakes = period_ends.into_iter().chain(end);
            wakes.min().map_or(Next::Wait, Next::WaitUntil)
        }
    }
}

/// What the next append takes out of the buffer, `fit` bytes if a record is not longer; `None` if that
/// has to go in another object.
fn portion(buffer: &Buffer, max: u64, fit: u64, space: Space) -> Option<Portion> {
    let first = buffer.first_record();
    let continues = buffer.is_mid_record();
    // The end of a record belongs where its beginning is.
    if !continues && !space.empty && first.unwrap_or(buffer.len()) > space.bytes {
        return None;
    }
    Some(match first {
        Some(first) if first <= max => Portion::Records {
            most: match continues {
                true => first,
                false => max.min(space.most.min(fit).max(first)),
            },
            continues,
        },
        _ => Portion::Part {
            len: max.min(fit),
            continues,
        },
    })
}
