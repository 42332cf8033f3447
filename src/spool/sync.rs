//! Making a log durable, also without holding it up meanwhile.
//!
//! A sync can take long, and what is appended does not wait for it: [`SegmentLog::begin_sync`] says
//! what is to be synced, [`Syncing::run`] does that by itself, and [`SegmentLog::end_sync`] notes what is
//! durable then. What was written in between is not.

use std::sync::Arc;

use super::disk::Disk;
use super::error::SpoolError;
use super::log::{Plan, SegmentLog};
use super::segment::Segment;

/// What is to be synced.
#[derive(Debug)]
#[must_use = "nothing is synced before it is run"]
pub(crate) struct Syncing {
    disk: Arc<dyn Disk>,
    /// In the order of the stream, so that a loss of power never leaves a gap in it.
    parts: Vec<Part>,
    /// The number of the newest plan, if that is not durable.
    plan: Option<u64>,
    /// How often the directory had changed, if it is to be synced.
    changes: Option<u64>,
}

#[derive(Debug)]
struct Part {
    segment: Arc<Segment>,
    writes: u64,
}

/// What has been synced.
#[derive(Debug)]
#[must_use = "the log does not know of it yet"]
pub(crate) struct Synced {
    of: Syncing,
    /// Of the parts, up to the first that failed.
    parts: Vec<Result<(), SpoolError>>,
    /// Of the directory, if it came to that.
    directory: Option<Result<(), SpoolError>>,
}

impl Syncing {
    pub(crate) fn run(self) -> Synced {
        let mut parts = Vec::with_capacity(self.parts.len());
        for part in &self.parts {
            let synced = part.segment.sync();
            let has_failed = synced.is_err();
            parts.push(synced);
            if has_failed {
                break;
            }
        }
        let is_done = parts.iter().all(Result::is_ok);
        let directory = (is_done && self.changes.is_some()).then(|| sync_directory(&*self.disk));
        Synced {
            of: self,
            parts,
            directory,
        }
    }
}

fn sync_directory(disk: &dyn Disk) -> Result<(), SpoolError> {
    disk.sync()
        .map_err(|error| SpoolError::io(error, "sync the directory", disk.describe("")))
}

impl SegmentLog {
    /// Makes all that was appended durable.
    ///
    /// An operating system may drop what it could not write, and report that only once. So if a
    /// file could not be synced, this fails until that file is released. What is appended later
    /// goes to another file.
    pub(crate) fn sync(&mut self) -> Result<(), SpoolError> {
        let synced = self.begin_sync()?.run();
        self.end_sync(synced)
    }

    /// What is to be done so that all that was appended is durable.
    pub(crate) fn begin_sync(&mut self) -> Result<Syncing, SpoolError> {
        if let Some(error) = self.held.iter().find_map(|held| held.doubtful.as_ref()) {
            return Err(error.clone());
        }
        self.rewrite_plan()?;
        let newest = self.newest.as_ref().filter(|newest| !newest.durable);
        let of_plan = newest.map(|newest| newest.base);
        let held = self.held.iter();
        let unsynced = held.filter(|held| held.unsynced || of_plan == Some(held.segment.base));
        Ok(Syncing {
            disk: Arc::clone(&self.disk),
            parts: unsynced
                .map(|held| Part {
                    segment: Arc::clone(&held.segment),
                    writes: held.writes,
                })
                .collect(),
            plan: of_plan.map(|_| self.sequence),
            changes: self.unsynced.then_some(self.changes),
        })
    }

    /// Notes what is durable.
    pub(crate) fn end_sync(&mut self, synced: Synced) -> Result<(), SpoolError> {
        let Syncing {
            parts,
            plan,
            changes,
            ..
        } = synced.of;
        let mut failed = None;
        for (part, result) in parts.into_iter().zip(synced.parts) {
            let base = part.segment.base;
            let at = self.held.partition_point(|held| held.segment.base < base);
            let found = self.held.get(at);
            // It may have been released, and what was in it was durable elsewhere.
            if found.is_none_or(|held| !Arc::ptr_eq(&held.segment, &part.segment)) {
                continue;
            }
            let is_newest = plan == Some(self.sequence);
            if let Err(error) = self.segment_synced(at, result, part.writes, is_newest) {
                failed = Some(error);
            }
        }
        match synced.directory {
            Some(Ok(())) if changes == Some(self.changes) => self.unsynced = false,
            Some(Err(error)) => failed = Some(error),
            _ => {}
        }
        failed.map_or(Ok(()), Err)
    }

    /// Writes the newest plan again, if it was lost by a sync that failed.
    fn rewrite_plan(&mut self) -> Result<(), SpoolError> {
        let newest = self.newest.as_ref();
        match newest.filter(|newest| newest.rewrite && !newest.durable) {
            Some(newest) => {
                let Plan { position, bytes } = newest.plan.clone();
                self.write_plan(position, &bytes)
            }
            None => Ok(()),
        }
    }

    /// Makes the newest plan durable, and all that was appended before it to that file. The first
    /// `gone` segments are not needed any more.
    pub(super) fn sync_plan(&mut self, gone: usize) -> Result<(), SpoolError> {
        self.rewrite_plan()?;
        let newest = self.newest.as_ref().filter(|newest| !newest.durable);
        let Some(base) = newest.map(|newest| newest.base) else {
            return Ok(());
        };
        let at = self.held.partition_point(|held| held.segment.base < base);
        // What is before it comes first, so that a loss of power never leaves a gap in the stream.
        for earlier in gone..at {
            let held = &self.held[earlier];
            if let Some(error) = &held.doubtful {
                return Err(error.clone());
            }
            if held.unsynced {
                self.sync_segment(earlier)?;
            }
        }
        self.sync_segment(at)
    }

    fn sync_segment(&mut self, at: usize) -> Result<(), SpoolError> {
        let held = &self.held[at];
        let (writes, result) = (held.writes, held.segment.sync());
        self.segment_synced(at, result, writes, true)
    }

    /// Notes that a file was synced that had been written to so often. If that has failed then what was
    /// written to it may never be durable. `has_plan`: the newest plan was written before.
    fn segment_synced(
        &mut self,
        at: usize,
        result: Result<(), SpoolError>,
        writes: u64,
        has_plan: bool,
    ) -> Result<(), SpoolError> {
        let held = &mut self.held[at];
        let newest = self.newest.as_mut();
        let newest = newest.filter(|newest| newest.base == held.segment.base && !newest.durable);
        match result {
            Ok(()) => {
                if held.writes == writes {
                    held.unsynced = held.doubtful.is_some();
                }
                if let Some(newest) = newest.filter(|_| has_plan) {
                    newest.durable = !newest.rewrite;
                }
                Ok(())
            }
            Err(error) => {
                if held.unsynced {
                    held.doubtful = Some(error.clone());
                }
                if let Some(newest) = newest
                    && !newest.rewrite
                {
                    newest.rewrite = true;
                    // Whether the newer slot holds it is not known, so that slot is used again.
                    if let Some(slot) = held.plans.iter_mut().max() {
                        *slot = 0;
                    }
                }
                Err(error)
            }
        }
    }

    /// Syncs which files there are, if that has changed.
    pub(crate) fn sync_disk(&mut self) -> Result<(), SpoolError> {
        if self.unsynced {
            sync_directory(&*self.disk)?;
            self.unsynced = false;
        }
        Ok(())
    }
}
