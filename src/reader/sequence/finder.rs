//! Which object comes next.
//!
//! A writer of a sequence creates its objects in their order. So once one is seen, all that come
//! before it are there, and a listing that begins after that has them all. Of what is created while a
//! listing goes on, it may have a later one and not an earlier one. Therefore what a first listing
//! finds is only a reason to list once more, and of the second one counts what is not behind the last
//! that the first had.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use crate::error::Result;
use crate::rolling::find::{Directory, Found, objects};
use crate::rolling::slots::{Slot, Slots};
use crate::writer::periods::WallClock;

/// How many periods are looked through at a time, where one listing tells of many.
const MOST_PERIODS: usize = 1000;

/// The same where each takes a request.
const FEW_PERIODS: usize = 4;

/// How often the numbers of the present period are listed while nothing comes: the next may be more
/// than one higher, or a few that are in between may not be appendable.
const LIST_EVERY: Duration = Duration::from_secs(60);

/// An object of the sequence.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub(super) slot: Slot,
    pub(super) number: u64,
}

impl Candidate {
    pub(super) fn key(&self) -> String {
        self.slot.names.key(self.number)
    }
}

pub(super) struct Finder<D> {
    pub(super) directory: D,
    pub(super) slots: Slots,
    pub(super) clock: WallClock,
    /// The last object that was taken up, or what comes before the first: then its number is less by
    /// one.
    here: Candidate,
    /// An object has been taken up.
    begun: bool,
    /// What comes after it, as far as it is known, in order.
    queue: VecDeque<Candidate>,
    /// The period after `here` that was looked at last.
    turn: Option<Slot>,
    /// When the numbers of the present period were listed.
    listed: Option<Instant>,
}

impl<D: Directory> Finder<D> {
    pub(super) fn new(directory: D, slots: Slots, clock: WallClock, here: Candidate) -> Self {
        Self {
            directory,
            slots,
            clock,
            here,
            begun: false,
            queue: VecDeque::new(),
            turn: None,
            listed: None,
        }
    }

    /// The object that comes next, if it is there. It is told once.
    pub(super) async fn next(&mut self) -> Result<Option<Candidate>> {
        if let Some(next) = self.queue.pop_front() {
            return Ok(Some(next));
        }
        if self.begun
            && let Some(next) = self.next_number().await?
        {
            return Ok(Some(next));
        }
        if self.is_more_listed().await? || self.is_later().await? {
            self.fill().await?;
        }
        Ok(self.queue.pop_front())
    }

    /// The object with the next number. What is not appendable has a number, and is not of the
    /// sequence: it tells nothing of the object before it.
    async fn next_number(&self) -> Result<Option<Candidate>> {
        let slot = &self.here.slot;
        for before in self.here.number..u64::MAX {
            let key = slot.names.key(before + 1);
            match self.directory.kind(key).await? {
                None => break,
                Some(kind) if !self.directory.counts(&kind) => {}
                Some(_) => {
                    return Ok(Some(Candidate {
                        slot: slot.clone(),
                        number: before + 1,
                    }));
                }
            }
        }
        Ok(None)
    }

    /// `object` has been taken up.
    pub(super) fn went_on(&mut self, object: Candidate) {
        if object.slot != self.here.slot {
            self.turn = None;
            self.listed = None;
        }
        self.here = object;
        self.begun = true;
    }

    /// Whether the present period has a higher number, where that has not been asked for a while. As
    /// long as it has no object, the first may have any number.
    async fn is_more_listed(&mut self) -> Result<bool> {
        if self.begun && self.listed.is_some_and(|at| at.elapsed() < LIST_EVERY) {
            return Ok(false);
        }
        let found = self.objects(std::slice::from_ref(&self.here.slot)).await?;
        self.listed = Some(Instant::now());
        Ok(!found.is_empty())
    }

    /// Whether a later period has an object: the newest is looked at, and if that has none, some of
    /// the others in turn. An object may come late, when its period has ended already.
    async fn is_later(&mut self) -> Result<bool> {
        let now = self.clock.now();
        let newest = self.slots.at(now);
        if newest.start <= self.here.slot.start || newest.names == self.here.slot.names {
            return Ok(false);
        }
        if !self
            .later_objects(std::slice::from_ref(&newest))
            .await?
            .is_empty()
        {
            return Ok(true);
        }
        let from = self.turn.take().unwrap_or_else(|| self.here.slot.clone());
        let most = match self.slots.are_together() {
            true => MOST_PERIODS,
            false => FEW_PERIODS,
        };
        let some = self.slots.after(&from, now, most);
        // After the last, it begins again.
        self.turn = some
            .last()
            .filter(|last| last.start < newest.start)
            .cloned();
        Ok(!self.later_objects(&some).await?.is_empty())
    }

    /// Finds what comes next, after something has been seen that comes later.
    async fn fill(&mut self) -> Result<()> {
        let now = self.clock.now();
        let mut periods = self.slots.after(&self.here.slot, now, MOST_PERIODS);
        periods.insert(0, self.here.slot.clone());
        loop {
            let is_first = periods.first() == Some(&self.here.slot);
            let seen = self.objects_from(&periods, is_first).await?;
            if let Some(last) = seen.last() {
                let found = self.objects_from(&periods, is_first).await?;
                let found = found.into_iter().filter(|object| object <= last);
                self.queue.extend(found.map(|(slot, number)| Candidate {
                    slot: periods[slot].clone(),
                    number,
                }));
                return Ok(());
            }
            let Some(last) = periods.last() else {
                return Ok(());
            };
            periods = self.slots.after(last, now, MOST_PERIODS);
        }
    }

    /// The objects of periods that begin with the present one.
    async fn objects(&self, periods: &[Slot]) -> Result<Vec<Found>> {
        self.objects_from(periods, true).await
    }

    async fn later_objects(&self, periods: &[Slot]) -> Result<Vec<Found>> {
        self.objects_from(periods, false).await
    }

    async fn objects_from(&self, periods: &[Slot], is_here: bool) -> Result<Vec<Found>> {
        let after = if is_here { self.here.number } else { 0 };
        let together = self.slots.are_together();
        objects(&self.directory, periods, after, together).await
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Mutex;

    use super::*;
    use crate::store::listing::{KeyPage, ListedKey};
    use crate::values::info::ObjectKind;
    use crate::values::locks::MutexExt as _;

    /// Keys in memory. While a listing goes on, a writer creates two objects: one among the keys that
    /// have been given already, and one behind them.
    struct Busy {
        keys: Mutex<BTreeSet<String>>,
        pages: Mutex<u32>,
        /// During which page.
        at: u32,
    }

    impl Directory for Busy {
        async fn page(&self, prefix: &str, after: Option<&str>) -> Result<Option<KeyPage>> {
            let mut keys = self.keys.locked();
            let listed = keys.iter().filter(|key| key.starts_with(prefix));
            let listed = listed.filter(|key| after.is_none_or(|after| key.as_str() > after));
            let listed = listed.map(|key| ListedKey::new(key, 1, ObjectKind::Appendable));
            let listed = listed.collect();
            let mut pages = self.pages.locked();
            *pages += 1;
            let goes_on = *pages == self.at;
            if goes_on {
                keys.extend(["log-006".into(), "log-007".into()]);
            }
            Ok(Some(KeyPage::new(
                listed,
                goes_on.then(|| "log-006".into()),
            )))
        }

        async fn kind(&self, key: String) -> Result<Option<ObjectKind>> {
            let is_there = self.keys.locked().contains(&key);
            Ok(is_there.then_some(ObjectKind::Appendable))
        }

        fn counts(&self, _: &ObjectKind) -> bool {
            true
        }
    }

    #[tokio::test]
    async fn what_is_created_during_a_listing_is_told_in_order() {
        for at in 1..6 {
            let busy = Busy {
                keys: Mutex::new(["log-005".into()].into()),
                pages: Mutex::new(0),
                at,
            };
            let slots = Slots::new("log-{seq:3}".parse().unwrap(), None, 0).unwrap();
            let clock = WallClock::default();
            let slot = slots.at(clock.now());
            let here = Candidate { slot, number: 0 };
            let mut finder = Finder::new(busy, slots, clock, here);
            let mut found = Vec::new();
            while let Some(next) = finder.next().await.unwrap() {
                found.push(next.key());
                finder.went_on(next);
            }
            let all = ["log-005", "log-006", "log-007"];
            assert_eq!(found, all[..found.len()], "{at}");
            assert!(at > 3 || found.len() == 3, "{at}: {found:?}");
        }
    }
}
