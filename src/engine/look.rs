//! What a look at the object tells about the flights, and what follows from it.

use std::ops::Range;
use std::time::Duration;

use super::action::Goal;
use super::job::{Step, Task, Then};
use super::machine::Moment;
use super::mark::shown;
use super::reconcile::{Creator, Question, Verdict, by_content, by_head};
use super::recovery::{Recovery, closes_the_object, recovery};
use crate::error::{
    Conflict, ConflictCause, Error, ErrorKind, Landed, Refusal, Result, TransportCause,
};
use crate::store::ability::Evidence;
use crate::values::batch::BatchCursor;
use crate::values::info::ObjectInfo;
use crate::values::position::ObjectPosition;

/// A range of the object that is compared with what is looked for.
#[derive(Debug)]
pub(super) struct Compare {
    seen: ObjectInfo,
    /// One for each flight that is looked for, as far as the object reaches.
    parts: Vec<ComparePart>,
    /// The part that comes next.
    next: usize,
}

#[derive(Debug)]
struct ComparePart {
    ours: BatchCursor,
    range: Range<ObjectPosition>,
    /// How many bytes of it come yet.
    left: u64,
    equal: bool,
    /// Nothing of the flight is beyond the object's end.
    whole: bool,
}

impl Compare {
    /// Takes the next bytes of the object.
    fn take(&mut self, mut chunk: &[u8]) {
        while let Some(part) = self.parts.get_mut(self.next)
            && !chunk.is_empty()
        {
            let len = usize::try_from(part.left).map_or(chunk.len(), |left| left.min(chunk.len()));
            let (own, rest) = chunk.split_at(len);
            part.equal = part.equal && part.ours.matches(own);
            part.left -= len as u64;
            self.next += usize::from(part.left == 0);
            chunk = rest;
        }
    }

    /// Whether nothing more has to be read: if there is one flight, a difference decides.
    fn is_over(&self) -> bool {
        let lone = self.parts.len() == 1;
        self.next == self.parts.len() || (lone && !self.parts[0].equal)
    }

    /// How many flights are there, from the first one on, and where those are that are there behind
    /// one that is not.
    fn found(&self) -> (usize, Vec<Range<u64>>) {
        let there = |part: &&ComparePart| part.equal && part.whole;
        let first = self.parts.iter().take_while(there).count();
        let apart = self.parts[first..].iter().filter(there);
        let apart = apart.map(|part| part.range.start.bytes()..part.range.end.bytes());
        (first, apart.collect())
    }
}

impl Moment<'_> {
    /// A look was answered, or failed.
    pub(super) fn looked(&mut self, looked: Result<Option<ObjectInfo>>) {
        let Some(job) = &mut self.engine.job else {
            return;
        };
        let then = match (&job.task, job.goal) {
            (Task::Main, Goal::Settle) => Then::Look,
            _ => Then::Goal,
        };
        job.step = Step::Next;
        let seen = match looked {
            Ok(seen) => seen,
            Err(error) => {
                self.pause(error, then);
                return;
            }
        };
        let now = self.now;
        if then == Then::Goal
            && let Some(budget) = self.budget()
        {
            // Another look, if there is one, has its own time.
            budget.restart(now);
        }
        let Some(job) = &self.engine.job else { return };
        match (&job.task, job.goal) {
            (Task::Created, _) => self.check_created(seen),
            (Task::Unsealed(..), _) => self.looked_at_sealed(seen),
            (_, Goal::Look(known)) => {
                if !self.looks_again(known, None, seen.as_ref()) {
                    if let Some(job) = &mut self.engine.job {
                        job.finished.seen = seen.map(Box::new);
                    }
                    self.done(Ok(()));
                }
            }
            _ => self.reconcile(seen),
        }
    }

    /// Looks at an object that we have just created, if that is asked for: whether it has our mark.
    fn check_created(&mut self, seen: Option<ObjectInfo>) {
        self.engine.unchecked_mark = false;
        let mark = self.engine.mark.map(shown);
        let creator = seen.as_ref().and_then(|seen| seen.creator.as_deref());
        if creator.is_none_or(|creator| mark.as_deref() == Some(creator)) {
            if let Some(job) = &mut self.engine.job {
                job.task = Task::Main;
            }
            return;
        }
        let found = seen.map(|seen| seen.length);
        let conflict = Conflict::new(ConflictCause::Exists, 0, found);
        let error = Error::new(ErrorKind::Conflict(conflict)).with_landed(Landed::Yes);
        self.fail(error, None);
    }

    /// Decides about the pending batch by a look, where that is enough.
    fn reconcile(&mut self, seen: Option<ObjectInfo>) {
        let named = self.window.first().and_then(|p| p.named_length());
        if self.looks_again(self.engine.given.position, named, seen.as_ref()) {
            return;
        }
        let verdict = self.ask(|question| by_head(question, seen.as_ref()));
        let Some(verdict) = verdict else { return };
        self.engine.exists = seen.is_some();
        if self.engine.creator.is_none() {
            self.engine.creator = seen.as_ref().and_then(|seen| seen.creator.clone());
        }
        let given = self.engine.given.position;
        match (verdict, seen) {
            (Verdict::ReadBack(range), Some(seen)) => self.read_content(seen, range),
            // Of several, some may be there all the same: behind what is not ours, and is as long
            // as what should be before them.
            (Verdict::Fail(_, Some(Landed::No)), Some(seen))
                if self.window.doubtful() > 1 && seen.end() > given =>
            {
                let most = given + self.window.len_before(self.window.doubtful());
                let range = given..seen.end().min(most);
                self.read_content(seen, range);
            }
            (verdict, seen) => self.act_on(verdict, seen),
        }
    }

    /// Reads `range` and compares it with the flights that are looked for.
    fn read_content(&mut self, seen: ObjectInfo, range: Range<ObjectPosition>) {
        let mut parts = Vec::new();
        let mut start = range.start;
        for number in 0..self.window.doubtful() {
            let Some(flight) = self.window.get(number) else {
                break;
            };
            let end = start + flight.body.len();
            let left = end.min(range.end) - start.min(range.end);
            if left > 0 {
                parts.push(ComparePart {
                    ours: flight.body.cursor(),
                    range: start..end,
                    left,
                    equal: true,
                    whole: end <= range.end,
                });
            }
            start = end;
        }
        if let Some(job) = &mut self.engine.job {
            job.task = Task::Content(Box::new(Compare {
                seen,
                parts,
                next: 0,
            }));
            job.step = Step::Read(range);
        }
    }

    /// More of the range came that is compared with the flights that are looked for.
    pub(super) fn compare_content(&mut self, mut compare: Box<Compare>, chunk: &[u8]) {
        compare.take(chunk);
        let Some(job) = &mut self.engine.job else {
            return;
        };
        if !compare.is_over() {
            job.task = Task::Content(compare);
            job.step = Step::ReadOn;
            return;
        }
        job.task = Task::Main;
        let lone = self.window.doubtful() == 1;
        let equal = compare.parts.iter().all(|part| part.equal);
        let verdict = self.ask(|question| by_content(question, &compare.seen, equal));
        match verdict {
            Some(Verdict::Fail(kind, _)) if !lone && !equal => self.is_mixed(kind, *compare),
            Some(verdict) => self.act_on(verdict, Some(compare.seen)),
            None => {}
        }
    }

    /// Some of several flights are in the object, and something that is not ours.
    fn is_mixed(&mut self, mut kind: ErrorKind, compare: Compare) {
        let (there, apart) = compare.found();
        if there > 0 {
            let end = self.window.end_of(there - 1, self.engine.given);
            self.engine.appends = None;
            self.applied(there, end);
        }
        // What was sent for a position within the object does not land any more.
        let last = self.window.len_before(self.window.doubtful() - 1);
        let may_land = self.engine.given.position + last >= compare.seen.end();
        let landed = match apart.is_empty() && !may_land {
            true => Landed::No,
            false => Landed::InDoubt,
        };
        if let ErrorKind::Conflict(conflict) = &mut kind {
            conflict.apart = apart;
        }
        self.step(Step::Next);
        self.is_over(kind, Some(landed), Some(compare.seen));
    }

    /// What the rules say of the pending batch.
    fn ask(&self, judge: impl FnOnce(Question<'_>) -> Verdict) -> Option<Verdict> {
        let body = self.window.doubtful_body()?;
        let sharing = self.sharing();
        let own = self.engine.mark.filter(|_| self.creates()).map(shown);
        let creator = match (self.engine.replay.is_some(), &own, &self.engine.creator) {
            (true, ..) => Creator::Anybody,
            (_, Some(mark), _) => Creator::Us(mark),
            (.., Some(seen)) => Creator::Seen(seen),
            _ => Creator::Anybody,
        };
        Some(judge(Question {
            proven: self.engine.given,
            batch: &body,
            sharing,
            in_doubt: self.window.has_unanswered(),
            creator,
            tag: self
                .engine
                .tag()
                .filter(|_| self.rules.evidence == Evidence::Tag),
        }))
    }

    fn act_on(&mut self, verdict: Verdict, seen: Option<ObjectInfo>) {
        let counted = match verdict {
            Verdict::Applied(_) => {
                let more = self.window.doubtful() as u64;
                self.engine.appends.map(|own| own + more)
            }
            Verdict::Torn(_) if self.window.doubtful() > 1 => None,
            Verdict::Torn(_) => self.engine.appends.map(|own| own + 1),
            // How many appends the others have made is not known.
            Verdict::Rebase(_) => None,
            _ => self.engine.appends,
        };
        self.engine.appends = seen.as_ref().and_then(|seen| seen.appends).or(counted);
        let tag = match (&verdict, &seen) {
            (Verdict::Fail(..), _) | (_, None) => None,
            (_, Some(seen)) => Some((seen.end(), seen.etag.clone())),
        };
        self.act_on_verdict(verdict, seen);
        if let Some((end, tag)) = tag
            && end == self.engine.given.position
        {
            self.engine.remember_tag(tag);
        }
    }

    fn act_on_verdict(&mut self, verdict: Verdict, seen: Option<ObjectInfo>) {
        self.step(Step::Next);
        let Some(body) = self.window.doubtful_body() else {
            return;
        };
        // It has reported all of them.
        self.window.looked_at_those_behind();
        let Some(flight) = self.window.first_mut() else {
            return;
        };
        match verdict {
            Verdict::Applied(end) => self.applied(self.window.doubtful(), end),
            Verdict::Torn(len) => {
                let end = self.engine.given.after_prefix(&body, len);
                self.told_mut(|told| told.durable += len);
                self.settle_part(len, end);
                if let Some(flight) = self.window.first_mut() {
                    flight.look = false;
                }
            }
            Verdict::Compare(end) => {
                flight.look = false;
                if let Some(replay) = &mut self.engine.replay {
                    replay.extend(end);
                }
            }
            Verdict::NotApplied | Verdict::Rebase(_) if flight.refused => {
                let cause = flight.cause.take();
                // Where the object takes no more, or is longer than it was, nothing can land.
                let is_over = matches!(verdict, Verdict::Rebase(_))
                    || cause.as_ref().is_some_and(closes_the_object);
                let landed = is_over.then_some(Landed::No);
                self.fail(refusal(cause), landed);
            }
            Verdict::NotApplied => self.send_again(),
            Verdict::Rebase(end) => {
                // The object is longer than our position: no earlier attempt can land any more.
                flight.in_doubt = false;
                flight.start = Some(end.position);
                self.engine.given = end;
                self.go_after_others();
            }
            Verdict::Fail(kind, landed) => self.is_over(kind, landed, seen),
            Verdict::ReadBack(_) => unreachable!("the range has been read"),
        }
    }

    /// Others have appended before us: ours goes after theirs, at once, unless there was a failure.
    fn go_after_others(&mut self) {
        let Some(flight) = self.window.first_mut() else {
            return;
        };
        match flight.cause.take() {
            Some(cause) if recovery(&cause) == Recovery::Mismatch => {
                flight.look = false;
                if flight.budget.is_spent(self.rules, self.now) {
                    let error = flight.budget.exhausted(cause, self.now);
                    self.fail(error, None);
                }
            }
            cause => {
                flight.cause = cause;
                self.send_again();
            }
        }
    }

    /// The object is not what it was proven to be, or takes no more appends.
    fn is_over(&mut self, kind: ErrorKind, landed: Option<Landed>, seen: Option<ObjectInfo>) {
        let Some(flight) = self.window.first_mut() else {
            return;
        };
        let mut error = Error::new(kind);
        if let Some(cause) = flight.cause.take() {
            error = error.with_source(cause);
        }
        let Some(seen) = seen else {
            self.fail(error, landed);
            return;
        };
        let may_land =
            landed.is_none() && flight.in_doubt && seen.end() == self.engine.given.position;
        if !(self.rules.settles_in_place && may_land) {
            self.fail(error, landed);
            return;
        }
        flight.look = false;
        self.engine.given.crc = seen.crc64;
        self.engine.remember_tag(seen.etag);
        self.engine.creator = seen.creator;
        self.engine.lost = Some(error);
    }

    /// Pauses after a look that showed that the batch was not applied, then lets it be sent again.
    fn send_again(&mut self) {
        let Some(flight) = self.window.first_mut() else {
            return;
        };
        let cause = flight.cause.take().unwrap_or_else(|| {
            Error::transport(
                TransportCause::Broken,
                "the append was given up before its answer came",
            )
        });
        // The wait that OSS asked for with the cause was over before the look.
        self.step(Step::Pause(cause, Duration::ZERO, Then::SendAgain));
    }
}

/// What OSS refused for good, as the kind that callers match on.
fn refusal(cause: Option<Error>) -> Error {
    let kind = match cause.as_ref().and_then(Error::refusal) {
        Some(Refusal::Sealed) => ErrorKind::Sealed,
        Some(Refusal::NotAppendable) => ErrorKind::NotAppendable { object_type: None },
        _ => match cause {
            Some(cause) => return cause,
            None => ErrorKind::NotAppendable { object_type: None },
        },
    };
    let error = Error::new(kind);
    match cause {
        Some(cause) => error.with_source(cause),
        None => error,
    }
}
