//! The window of a writer, as the worker's stages work on it: under the lock of the handles, which
//! learn at once what was settled.

use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::BytesMut;

use super::buffer::reuse::reclaim;
use super::receipt::checksums;
use super::shared::Shared;
use crate::drive::window::WindowAccess;
use crate::engine::window::{Settled, Window};

/// A writer's window, with everybody who waits for what is in it.
pub(super) struct Published<'a> {
    shared: &'a Shared,
    /// Memory of what was settled, to be used again; `None` if nothing was.
    segments: Option<Vec<BytesMut>>,
}

impl<'a> Published<'a> {
    pub(super) fn new(shared: &'a Shared) -> Self {
        Self {
            shared,
            segments: None,
        }
    }

    /// The memory of what was settled since this was called last.
    pub(super) fn take_segments(&mut self) -> Option<Vec<BytesMut>> {
        self.segments.take()
    }

    /// Tells where `settled` is, frees its memory, and wakes whoever waits.
    fn publish(&mut self, mut settled: Vec<Settled>) {
        let shared = self.shared;
        for part in &settled {
            note_place(shared, part);
        }
        let mut state = shared.lock();
        let window = &mut state.window;
        let mut let_go = Vec::new();
        if window.settled() > window.durable() || window.compared() > 0 {
            let parts = settled.drain(..).map(|part| match part.place.len {
                len if len == part.batch.len() => part.batch,
                len => part.batch.prefix(len),
            });
            let_go = window.keep_compared(parts, shared.options.buffer_capacity);
        }
        let (end, durable) = (window.settled(), window.durable());
        state.places.noted(end);
        let wake = state.wake();
        drop(state);
        if let Some(observer) = &shared.options.observer {
            observer.durable(durable.bytes());
        }
        wake.all();
        if let Some(spool) = &shared.spool {
            spool.settled();
        }
        drop(let_go);
        for part in settled {
            // An owner of `Bytes` that panics when it is dropped only costs us segments.
            let chunks = AssertUnwindSafe(part.batch.into_chunks());
            let segments = catch_unwind(|| reclaim({ chunks }.0)).unwrap_or_default();
            match &mut self.segments {
                Some(kept) => kept.extend(segments),
                None => self.segments = Some(segments),
            }
        }
        // With several flights, the worker may not be done with all of them for a long time.
        if shared.options.max_in_flight > 1
            && let Some(segments) = self.segments.take()
        {
            let now = shared.now();
            shared.lock().buffer.release(segments, now);
        }
    }
}

impl WindowAccess for Published<'_> {
    fn with<R>(&mut self, work: impl FnOnce(&mut Window) -> R) -> R {
        let mut state = self.shared.lock();
        let durable = state.window.durable();
        let done = work(&mut state.window);
        let settled = state.window.take_settled();
        let changed = !settled.is_empty() || state.window.durable() > durable;
        drop(state);
        if changed {
            self.publish(settled);
        }
        done
    }
}

/// Keeps where `settled` is, and the checksums in it, for those who may ask.
fn note_place(shared: &Shared, settled: &Settled) {
    let mut state = shared.lock();
    if !state.places.are_wanted() {
        return;
    }
    let (start, place) = (settled.start, &settled.place);
    let ends = state.places.wanted(start..start + place.len);
    let crc64 = place.member.as_ref().and_then(|member| member.crc64);
    let found = match (crc64, place.before) {
        (Some(crc64), _) => vec![crc64; ends.len()],
        (None, Some(before)) if !ends.is_empty() => {
            drop(state);
            let found = checksums(&settled.batch, start, before, &ends);
            state = shared.lock();
            found
        }
        (None, _) => Vec::new(),
    };
    for (end, crc64) in ends.into_iter().zip(found) {
        state.places.checksum(end, crc64);
    }
    state.places.push(start, place.clone());
}
