//! What one writer has accepted, and how far it has got: the one owner of everything undecided.
//!
//! # Invariants
//! - `accepted >= issued >= settled >= durable`, and none of them ever goes back.
//! - Accepted bytes that are not issued are in the buffer, whoever owns it.
//! - Issued bytes that are not settled are in the flights, in order and without gaps; the flights have
//!   exactly their length. A flight leaves the window only by proof.
//! - Settled bytes that are not durable have been compared with what the object holds, in a replay, and
//!   have not been proven. The last of them are kept, as far as there is room.
//!
//! All counts are of bytes as the caller gave them. Compressed bytes are settled when all of the
//! batch that they were compressed to is.

use std::collections::VecDeque;
use std::ops::Range;

use bytes::Bytes;

use super::compared::Compared;
use super::fit::Fit;
use super::flight::Flight;
use super::flush::{Flush, FlushTargets, Time};
use super::place::{Member, Place};
use super::schedule::{Due, Schedule, Waiting};
use crate::error::Landed;
use crate::values::batch::Batch;
use crate::values::path::ObjectPath;
use crate::values::position::StreamPosition;
use crate::values::proven::Proven;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Window {
    accepted: StreamPosition,
    issued: StreamPosition,
    settled: StreamPosition,
    durable: StreamPosition,
    /// In boxes, so that an idle window is small.
    pub(super) flights: VecDeque<Box<Flight>>,
    /// What was settled since somebody asked for it.
    landed: Vec<Settled>,
    compared: Compared,
    /// Of what is settled and not durable, something is compressed: how many bytes as the caller gave
    /// them are proven is not known before all of it is.
    packed: bool,
    /// What a predecessor has sent may still land.
    replaying: bool,
    /// The end of what is proven in the object.
    proven: Proven,
    flush: FlushTargets,
    /// Somebody waits for everything before this to be durable.
    wanted: StreamPosition,
    /// What is not durable has been taken back.
    taken: bool,
    /// The answers to those under way cannot be told apart.
    pub(super) mixed_up: bool,
    /// How much one append may carry.
    pub(super) fit: Fit,
}

/// Bytes that were settled together.
#[derive(Debug)]
pub(crate) struct Settled {
    /// Where they begin in the stream.
    pub(crate) start: StreamPosition,
    /// Where they are.
    pub(crate) place: Place,
    /// They are the first of these.
    pub(crate) batch: Batch,
}

/// What is taken back from a window.
#[derive(Debug)]
pub(crate) struct NotDurable {
    /// Where the first of them belongs.
    pub(crate) start: StreamPosition,
    /// How many of the first may be in the object, or land yet.
    pub(crate) in_doubt: u64,
    /// What is missing before them.
    pub(crate) missing: Range<StreamPosition>,
    pub(crate) chunks: Vec<Bytes>,
}

impl Window {
    /// The window of an object that is proven up to here; `replaying`: what a predecessor has sent
    /// may still land.
    pub(crate) fn new(proven: Proven, replaying: bool) -> Self {
        Self {
            proven,
            replaying,
            ..Self::default()
        }
    }

    pub(crate) fn accepted(&self) -> StreamPosition {
        self.accepted
    }

    pub(crate) fn issued(&self) -> StreamPosition {
        self.issued
    }

    pub(crate) fn settled(&self) -> StreamPosition {
        self.settled
    }

    pub(crate) fn durable(&self) -> StreamPosition {
        self.durable
    }

    /// Bytes that are not settled: in the buffer and in flights.
    pub(crate) fn held(&self) -> u64 {
        self.accepted - self.settled
    }

    /// How much one append may carry.
    pub(crate) fn fit(&self) -> Fit {
        self.fit
    }

    /// The end of what is proven in the object, in its own positions.
    pub(crate) fn proven(&self) -> Proven {
        self.proven
    }

    fn check(&self) {
        debug_assert!(self.accepted >= self.issued, "{self:?}");
        debug_assert!(self.issued >= self.settled, "{self:?}");
        debug_assert!(self.settled >= self.durable, "{self:?}");
        debug_assert!(
            self.taken || self.issued - self.settled == self.flying(),
            "{self:?}"
        );
    }

    /// Bytes in flights.
    fn flying(&self) -> u64 {
        self.flights.iter().map(|flight| flight.given().len()).sum()
    }

    /// So many bytes more are in the buffer.
    #[inline]
    pub(crate) fn accept(&mut self, len: u64) {
        self.accepted += len;
    }

    /// What comes next out of the buffer is a flight from now on. No byte of it is older than
    /// `since`.
    pub(crate) fn issue(&mut self, batch: Batch, since: Time, now: Time) {
        self.issued += batch.len();
        self.flights.push_back(Box::new(Flight::new(batch, since)));
        self.flush.issued(self.issued, now);
        self.check();
    }

    /// The next `len` bytes out of the buffer are not sent: they are durable already, or lost. Nothing
    /// may be in flight.
    pub(crate) fn pass_over(&mut self, len: u64) {
        debug_assert!(self.flights.is_empty() && self.settled == self.durable);
        self.issued += len;
        self.settled += len;
        self.durable += len;
        self.check();
    }

    /// A batch that is a flight at once.
    pub(crate) fn offer(&mut self, batch: Batch, now: Time) {
        self.accept(batch.len());
        self.issue(batch, now, now);
    }

    /// The flight that is settled next.
    pub(crate) fn first(&self) -> Option<&Flight> {
        self.flights.front().map(|flight| &**flight)
    }

    pub(super) fn first_mut(&mut self) -> Option<&mut Flight> {
        self.flights.front_mut().map(|flight| &mut **flight)
    }

    /// Makes two flights of one that is longer than `len`. What was sent of the whole is in doubt
    /// for both, until the first of them is proven to be in the object.
    pub(super) fn cut(&mut self, number: usize, len: u64) {
        let Some(first) = self.get_mut(number) else {
            return;
        };
        let rest = Flight {
            len: first.len,
            start: first.start,
            in_doubt: first.in_doubt,
            ..Flight::new(first.body.skip(len), first.since)
        };
        first.body = first.body.prefix(len);
        self.flights.insert(number + 1, Box::new(rest));
        self.check();
    }

    /// How many flights there are.
    pub(crate) fn flights(&self) -> usize {
        self.flights.len()
    }

    pub(super) fn get(&self, number: usize) -> Option<&Flight> {
        self.flights.get(number).map(|flight| &**flight)
    }

    pub(super) fn get_mut(&mut self, number: usize) -> Option<&mut Flight> {
        self.flights.get_mut(number).map(|flight| &mut **flight)
    }

    /// How many appends are under way.
    pub(super) fn under_way(&self) -> usize {
        let flights = self.flights.iter();
        flights.filter(|flight| flight.under_way).count()
    }

    /// The first append that was under way is not any more: which that was.
    pub(super) fn land(&mut self) -> Option<usize> {
        let number = self.flights.iter().position(|flight| flight.under_way)?;
        self.flights[number].under_way = false;
        Some(number)
    }

    /// Nobody waits for answers any more.
    pub(super) fn give_up(&mut self) {
        for flight in &mut self.flights {
            flight.under_way = false;
        }
    }

    /// Whether one more append may be sent behind those that are under way: none of them has been
    /// sent before, nor has that one, and none has failed.
    pub(super) fn is_clear(&self) -> bool {
        let sent = self.under_way();
        let mut before = self.flights.iter().take(sent);
        // What has been sent has to be looked at, whether it failed or is under way: where one has
        // failed, the next in number is one of them.
        before.all(|flight| !flight.was_in_doubt)
            && (self.get(sent)).is_some_and(|next| !next.in_doubt && !next.look)
    }

    /// An answer belongs to another append than to the one whose turn it was: nobody knows any more
    /// what the others said of which.
    pub(super) fn mix_up(&mut self) {
        self.mixed_up = true;
        let sent = self
            .flights
            .iter_mut()
            .filter(|flight| flight.first_attempt.is_some());
        sent.for_each(|flight| {
            flight.in_doubt = true;
            flight.may_be_twice = false;
        });
    }

    /// How many bytes are before a flight, as they are stored.
    pub(super) fn len_before(&self, number: usize) -> u64 {
        let before = self.flights.iter().take(number);
        before.map(|flight| flight.body.len()).sum()
    }

    /// The end of the object when all flights up to this one are in it, and it ended at `given`.
    pub(super) fn end_of(&self, number: usize, given: Proven) -> Proven {
        let through = self.flights.iter().take(number + 1);
        through.fold(given, |end, flight| end.after(&flight.body))
    }

    /// How many of the first flights have to be looked for: up to the last that is in doubt, and the
    /// first in any case.
    pub(super) fn doubtful(&self) -> usize {
        let last = self.flights.iter().rposition(|flight| flight.in_doubt);
        last.map_or(1, |last| last + 1)
    }

    /// Whether a flight is in doubt.
    pub(super) fn has_doubt(&self) -> bool {
        self.flights.iter().any(|flight| flight.in_doubt)
    }

    /// Whether a request was sent that OSS has not answered.
    pub(super) fn has_unanswered(&self) -> bool {
        let mut flights = self.flights.iter();
        flights.any(|flight| flight.in_doubt && !flight.may_be_twice)
    }

    /// So many of the first flights are in doubt from now on, or not any more.
    pub(super) fn set_doubt(&mut self, flights: usize, in_doubt: bool) {
        for flight in self.flights.iter_mut().take(flights) {
            flight.in_doubt = in_doubt;
        }
    }

    /// A look has reported the flights behind the first one too.
    pub(super) fn looked_at_those_behind(&mut self) {
        for flight in self.flights.iter_mut().skip(1) {
            flight.look = false;
        }
    }

    /// All that has to be looked for, as if it had been one append: each of them lands only behind
    /// the one before it.
    pub(super) fn doubtful_body(&self) -> Option<Batch> {
        match self.doubtful() {
            1 => self.body(),
            many => {
                let flights = self.flights.iter().take(many);
                Some(Batch::join(flights.map(|flight| &flight.body)))
            }
        }
    }

    /// How many bytes of the first flight are to be appended yet, as they are stored.
    #[cfg(feature = "rolling")]
    pub(crate) fn left(&self) -> Option<u64> {
        self.first().map(|flight| flight.body.len())
    }

    /// What is to be appended of the first flight yet.
    pub(crate) fn body(&self) -> Option<Batch> {
        self.first().map(|flight| flight.body.clone())
    }

    /// What is not settled of what was given, if there is any.
    pub(crate) fn given(&self) -> Option<Batch> {
        match self.flights.len() {
            0 => None,
            1 => self.first().map(|flight| flight.given().clone()),
            _ => {
                let given = self.flights.iter().map(|flight| flight.given());
                Some(given.flat_map(|given| given.chunks().to_vec()).collect())
            }
        }
    }

    /// What is to be appended of all flights yet.
    pub(crate) fn bodies(&self) -> Vec<Batch> {
        let flights = self.flights.iter();
        flights.map(|flight| flight.body.clone()).collect()
    }

    /// The first flight, if it is to be compressed and has not been.
    pub(crate) fn to_be_packed(&self) -> Option<Batch> {
        let flight = self.first().filter(|flight| !flight.is_packed())?;
        Some(flight.body.clone())
    }

    /// The first flight was compressed to this.
    pub(crate) fn pack(&mut self, stored: Batch) {
        if let Some(flight) = self.first_mut() {
            flight.pack(stored);
        }
    }

    /// Leaves a compressed flight in doubt of which a part is in the object, where it is worth
    /// nothing. Tells whether there is one.
    pub(crate) fn doubt_torn(&mut self) -> bool {
        match self.first_mut() {
            Some(flight) if flight.is_torn() => {
                flight.in_doubt = true;
                true
            }
            _ => false,
        }
    }

    /// The first `len` bytes of the flights are in `object`, as they are stored: between `before`
    /// and, if others have not appended behind them, `after`.
    pub(super) fn settle(
        &mut self,
        object: &ObjectPath,
        mut len: u64,
        mut before: Proven,
        after: Proven,
    ) {
        while let Some(first) = self.first()
            && first.body.len() < len
        {
            let (whole, end) = (first.body.len(), before.after(&first.body));
            self.settle_first(object, whole, before, end);
            (len, before) = (len - whole, end);
        }
        let is_whole = self.first().is_some_and(|first| first.body.len() == len);
        self.settle_first(object, len, before, after);
        if len == 0 {
            return;
        }
        // Where that ends within a flight, the object is longer than it was when that was sent, and
        // so it is for what was cut from what was sent: no earlier attempt can land any more.
        let mut left = self.flights.iter_mut();
        if !is_whole && let Some(part) = left.next() {
            part.in_doubt = false;
        }
        left.take_while(|flight| flight.is_rest())
            .for_each(|flight| flight.in_doubt = false);
    }

    fn settle_first(&mut self, object: &ObjectPath, len: u64, before: Proven, after: Proven) {
        let Some(flight) = self.first_mut() else {
            return;
        };
        let is_whole = len == flight.body.len();
        if !is_whole && flight.is_packed() {
            flight.body = flight.body.skip(len);
            return;
        }
        let start = flight.start.unwrap_or(before.position);
        let (batch, member) = match is_whole {
            true => {
                let Some(flight) = self.flights.pop_front() else {
                    return;
                };
                self.packed |= flight.is_packed();
                let end = before.position + len;
                let member = flight.is_packed().then(|| Member {
                    len: end - start,
                    crc64: after.crc.filter(|_| after.position == end),
                });
                (flight.into_given(), member)
            }
            false => {
                let rest = flight.body.skip(len);
                (std::mem::replace(&mut flight.body, rest), None)
            }
        };
        let place = Place {
            object: object.clone(),
            position: match member {
                Some(_) => start,
                None => before.position,
            },
            len: match is_whole {
                true => batch.len(),
                false => len,
            },
            before: before.crc.filter(|_| member.is_none()),
            member,
        };
        let at = self.settled;
        self.settled += place.len;
        self.landed.push(Settled {
            start: at,
            place,
            batch,
        });
    }

    /// The object is proven up to there, of what is settled so many bytes have only been compared,
    /// and what a predecessor has sent may still land, or not.
    pub(super) fn note(&mut self, proven: Proven, lag: u64, replaying: bool) {
        self.proven = proven;
        self.packed &= lag > 0;
        if !self.packed {
            self.durable = self.settled - lag;
        }
        self.replaying = replaying;
        self.check();
    }

    /// What was settled since this was called last. To be dropped where a caller's code may run.
    pub(crate) fn take_settled(&mut self) -> Vec<Settled> {
        std::mem::take(&mut self.landed)
    }

    /// Asks for everything before `target` to become durable, as a flush does. Tells whether that is
    /// [held up](FlushTargets::ask).
    pub(crate) fn ask(&mut self, target: StreamPosition, now: Time, flush: Flush) -> bool {
        if flush.waits {
            self.wanted = self.wanted.max(target);
        }
        match flush.interval {
            Some(interval) if target > self.issued => {
                let carried = target - self.issued;
                self.flush.ask(target, carried, now, interval)
            }
            _ => false,
        }
    }

    /// Notes that a flush was held up until `now`. Returns whether to report that.
    pub(crate) fn waited(&mut self, now: Time) -> bool {
        self.flush.waited(now)
    }

    /// Somebody waits for everything before this to be durable.
    pub(crate) fn wanted(&self) -> StreamPosition {
        self.wanted
    }

    /// Somebody waits for bytes that are only compared yet.
    pub(crate) fn must_verify(&self) -> bool {
        self.wanted > self.durable && self.wanted <= self.settled
    }

    /// What is to be done about the `bytes` that wait in the buffer, of which none is older than `since`;
    /// `closing`: no more bytes come.
    pub(crate) fn next(
        &self,
        schedule: &Schedule,
        bytes: u64,
        since: Time,
        closing: bool,
        now: Time,
    ) -> Due {
        let waiting = Waiting {
            bytes,
            since,
            flush_due: self.flush.due(),
            closing,
        };
        schedule.next(waiting, now)
    }

    /// No byte in flight is older; `None` if there is none.
    pub(crate) fn since(&self) -> Option<Time> {
        self.first().map(Flight::since)
    }

    /// Whether anything may land of which that is not known.
    pub(crate) fn is_in_doubt(&self) -> bool {
        let mut flights = self.flights.iter();
        flights.any(|flight| flight.in_doubt || self.replaying)
    }

    /// How many bytes are kept of what is only compared.
    pub(crate) fn compared(&self) -> u64 {
        self.compared.len()
    }

    /// Keeps what was `settled` and is only compared, within a quarter of `capacity`. Gives back what
    /// is let go, which has to be dropped where a caller's code may run.
    #[must_use]
    pub(crate) fn keep_compared(
        &mut self,
        settled: impl Iterator<Item = Batch>,
        capacity: u64,
    ) -> Vec<Batch> {
        let lag = self.settled - self.durable;
        self.compared.keep(settled, lag.min(capacity / 4))
    }

    /// Keeps nothing of what is only compared. To be dropped where a caller's code may run.
    #[must_use]
    pub(crate) fn take_compared(&mut self) -> VecDeque<Batch> {
        self.compared.take()
    }

    /// Keeps no memory for flights to come.
    pub(crate) fn give_back(&mut self) {
        self.flights.shrink_to_fit();
    }

    /// Takes out what is not durable, with the `rest` that is in the buffer, after a failure that
    /// says this of what it was about.
    pub(crate) fn take_not_durable(
        &mut self,
        rest: Vec<Bytes>,
        landed: Option<Landed>,
    ) -> NotDurable {
        self.taken = true;
        let start = self.settled - self.compared.len();
        let missing = self.durable..start;
        let compared = self.compared.take();
        let doubtful = self.flights.iter().rposition(|flight| flight.in_doubt);
        let doubtful = doubtful.map_or(0, |last| last + 1);
        let in_flight = self.flights.iter().take(doubtful);
        let in_flight = in_flight.map(|flight| flight.given().len()).sum();
        let flights = std::mem::take(&mut self.flights);
        let flights = flights.into_iter().map(|flight| flight.into_given());
        let batches = compared.into_iter().chain(flights);
        let mut chunks: Vec<Bytes> = batches.flat_map(|batch| batch.chunks().to_vec()).collect();
        chunks.extend(rest);
        let in_doubt = match landed {
            Some(Landed::No) => 0,
            // How much the predecessor's request carries is not known.
            _ if self.replaying => chunks.iter().map(|chunk| chunk.len() as u64).sum(),
            _ => in_flight,
        };
        NotDurable {
            start,
            in_doubt,
            missing,
            chunks,
        }
    }
}
