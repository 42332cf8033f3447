//! The objects of a sequence that `append` has finished.

use std::collections::VecDeque;

use oss_append::{FinishedObject, RollReason};
use serde::Serialize;
use tokio::sync::mpsc;

use crate::append::request_failed;
use crate::failure::Failure;
use crate::output;

/// The most objects that are kept for the summary.
pub(crate) const MOST_OBJECTS: usize = 10_000;

/// What the writer has reported them.
pub(crate) struct Finished {
    told: mpsc::UnboundedReceiver<FinishedObject>,
    pub(crate) count: u64,
    /// The last of them, oldest first.
    pub(crate) objects: VecDeque<Entry>,
    /// Why one could not be sealed that should have been, the first time.
    seal_failure: Option<Failure>,
}

/// An object as it is in the summary.
#[derive(Clone, Serialize)]
pub(crate) struct Entry {
    pub(crate) key: String,
    start: u64,
    pub(crate) end: u64,
    /// More than a JSON number can hold.
    pub(crate) crc64: Option<String>,
    reason: &'static str,
    sealed: bool,
    seal_error: Option<String>,
}

impl Finished {
    /// With what the writer is to call for each.
    pub(crate) fn new() -> (Self, impl Fn(FinishedObject) + Send + Sync + 'static) {
        let (sender, told) = mpsc::unbounded_channel();
        let finished = Self {
            told,
            count: 0,
            objects: VecDeque::new(),
            seal_failure: None,
        };
        let tell = move |object| {
            // Nobody listens any more after an interrupt.
            let _ = sender.send(object);
        };
        (finished, tell)
    }

    /// Waits for the next that a roll has finished: a line about it. Never, if no more come.
    pub(crate) async fn next(&mut self) -> String {
        while let Some(object) = self.told.recv().await {
            if let Some(note) = self.take(object) {
                return note;
            }
        }
        std::future::pending().await
    }

    /// Takes in and notes all that have been told of.
    pub(crate) fn take_rest(&mut self) {
        while let Ok(object) = self.told.try_recv() {
            self.take(object).iter().for_each(output::note);
        }
    }

    /// Takes in and notes all until the writer has ended.
    pub(crate) async fn take_all(&mut self) {
        while let Some(object) = self.told.recv().await {
            self.take(object).iter().for_each(output::note);
        }
    }

    pub(crate) fn seal_failure(&mut self) -> Option<Failure> {
        self.seal_failure.take()
    }

    /// Takes it in: a line about it, unless the summary tells of it anyway.
    fn take(&mut self, object: FinishedObject) -> Option<String> {
        let noted = object.reason != RollReason::Shutdown;
        let failure = object.seal_error.as_ref().map(request_failed);
        let crc64 = object.crc64.map(|crc| crc.to_string());
        let note = format!(
            "{} is finished: {}; {} bytes from position {} on, CRC-64 {}{}",
            object.object,
            why(object.reason),
            object.range.end - object.range.start,
            object.range.start,
            crc64.as_deref().unwrap_or("unknown"),
            match &failure {
                Some(failure) => format!("; it was not sealed: {}", failure.message()),
                None => String::new(),
            },
        );
        if self.objects.len() == MOST_OBJECTS {
            self.objects.pop_front();
        }
        self.count += 1;
        self.objects.push_back(Entry {
            key: object.object.key().into(),
            start: object.range.start,
            end: object.range.end,
            crc64,
            reason: name(object.reason),
            sealed: object.sealed,
            seal_error: failure.as_ref().map(|failure| failure.message().into()),
        });
        self.seal_failure = self.seal_failure.take().or(failure);
        noted.then_some(note)
    }
}

fn name(reason: RollReason) -> &'static str {
    match reason {
        RollReason::Size => "size",
        RollReason::Period => "period",
        RollReason::Asked => "asked",
        RollReason::Closed => "closed",
        RollReason::Shutdown => "end",
        _ => "other",
    }
}

fn why(reason: RollReason) -> &'static str {
    match reason {
        RollReason::Size => "it has its size",
        RollReason::Period => "its period has ended",
        RollReason::Closed => "it takes no more appends",
        _ => "no more comes",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nothing_comes_where_nobody_tells() {
        let (mut finished, _) = Finished::new();
        finished.take_rest();
        finished.take_all().await;
        assert_eq!(finished.count, 0);
    }
}
