//! The life of one batch: attempts and looks at the object in turn, until its fate is known.
//!
//! A request that was sent and that OSS itself has not answered is in doubt: it may land until the
//! object is proven to be longer than its position, or takes no more appends. Nothing else ends
//! that, least of all the refusal of a later attempt.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures::StreamExt;
use futures::future::join;
use tokio::time::Instant;

use super::options::AppenderOptions;
use super::replay::Compared;
use super::retry::{Budget, MAX_ASKED, wait};
use super::{AppendReceipt, ObjectAppender};
use crate::engine::answer::{Answered, judge_answer};
use crate::engine::reconcile::{Creator, Question, Sharing, Verdict, by_content, by_head};
use crate::engine::recovery::{Recovery, closes_the_object, recovery};
use crate::error::{Conflict, ConflictCause, Error, ErrorKind, Landed, Result, TransportCause};
use crate::store::AppendStore;
use crate::store::options::ObjectOptions;
use crate::store::request::{AppendAnswer, AppendRequest};
use crate::values::batch::{Batch, Sum};
use crate::values::info::ObjectInfo;
use crate::values::progress::Progress;
use crate::values::proven::Proven;

/// How often an object is looked at again that seems to be older than what is proven of it, as a
/// cache on the way may show it; and how long to wait before the first of these times.
pub(super) const LOOKS_AGAIN: u32 = 3;
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// A batch whose fate is not known yet. It outlives a dropped future.
#[derive(Debug)]
pub(super) struct Pending {
    /// What of it is not proven to be in the object.
    batch: Batch,
    /// Where its first byte is, or is to be.
    start: u64,
    /// Its length when it was given.
    len: u64,
    budget: Budget,
    /// When the first attempt was made.
    first_attempt: Option<Instant>,
    /// A request for it was sent that OSS has not answered: it may have landed, or land later.
    in_doubt: bool,
    /// The object must be looked at before the next attempt.
    look: bool,
    /// The failure that made us look.
    cause: Option<Error>,
    /// It was refused for good; the look only tells whether an earlier attempt landed.
    refused: bool,
    /// How many looks in a row have shown the object older than it was proven to be.
    stale_looks: u32,
}

impl Pending {
    pub(super) fn new(batch: Batch, start: u64) -> Self {
        Self {
            len: batch.len(),
            batch,
            start,
            budget: Budget::new(),
            first_attempt: None,
            in_doubt: false,
            look: false,
            cause: None,
            refused: false,
            stale_looks: 0,
        }
    }

    /// Takes it up again after it was given up.
    pub(super) fn resume(&mut self) {
        self.refused = false;
        self.stale_looks = 0;
        self.cause = None;
        self.look = self.in_doubt;
    }

    pub(super) fn batch(&self) -> &Batch {
        &self.batch
    }

    /// Whether a request for it may have landed, or may land yet.
    pub(super) fn is_in_doubt(&self) -> bool {
        self.in_doubt
    }

    /// The object's length that a position mismatch named.
    fn named_length(&self) -> Option<u64> {
        self.cause.as_ref()?.service_error()?.next_append_position
    }
}

impl<S: AppendStore> ObjectAppender<S> {
    /// Drives the pending batch until its fate is known.
    pub(super) async fn settle_pending(&mut self) -> Result<AppendReceipt> {
        if let Some(pending) = &mut self.pending {
            // Nobody was at work on it in between.
            pending.budget.restart();
        }
        loop {
            let Some(pending) = &self.pending else {
                return Ok(self.receipt(self.given.position, 0));
            };
            let len = pending.len;
            let start = pending.start;
            if pending.look {
                self.reconcile().await?;
            } else if !self.skip_compared().await? {
                self.attempt().await?;
            }
            if self.pending.is_none() {
                self.check_created().await?;
                self.check_lost()?;
                return Ok(self.receipt(start, len));
            }
        }
    }

    /// In a replay, takes off the pending batch what the object holds already. False if there was
    /// nothing to take off.
    async fn skip_compared(&mut self) -> Result<bool> {
        let Some(pending) = &self.pending else {
            return Ok(false);
        };
        let batch = pending.batch.clone();
        match self.compare(&batch) {
            Ok(Compared::AtEnd) => return Ok(false),
            Ok(Compared::Skip(len)) => self.advance(len),
            Err(differs) => {
                // As much as possible is known to be durable then.
                self.prove_compared().await;
                return Err(self.fail(differs, None));
            }
        }
        if self.must_read_back() {
            self.read_back_compared().await?;
        }
        Ok(true)
    }

    /// The first `len` bytes of the pending batch are dealt with.
    fn advance(&mut self, len: u64) {
        let Some(pending) = &mut self.pending else {
            return;
        };
        pending.budget.restart();
        pending.batch = pending.batch.skip(len);
        if pending.batch.is_empty() {
            self.pending = None;
        }
    }

    async fn attempt(&mut self) -> Result<()> {
        if let Err(full) = self.check_room() {
            return Err(self.fail(full, None));
        }
        self.wait_as_asked().await;
        let creates = self.creates();
        let Some(pending) = &mut self.pending else {
            return Ok(());
        };
        let progress = Progress::new();
        let mut request = AppendRequest::new(
            self.object.clone(),
            self.given.position,
            pending.batch.clone(),
        );
        request.progress = progress.clone();
        request.options = self.options.request.clone();
        if creates {
            request.create = Some(created_with(&self.options.create, self.mark));
        }
        if pending.budget.attempts > 0 {
            self.counters.retry();
        }
        pending.budget.attempts += 1;
        pending.first_attempt.get_or_insert_with(Instant::now);
        // Until the answer is here, and if this future is dropped, nobody knows.
        let in_doubt_before = std::mem::replace(&mut pending.in_doubt, true);
        pending.look = true;
        let batch = pending.batch.clone();
        let append = async {
            // The answer cannot be judged without the checksum, but the bytes can be sent.
            let (outcome, ()) = join(self.store.append(request), sum_up(&batch)).await;
            outcome
        };
        let outcome = pending
            .budget
            .attempt(&self.options, &self.counters, &progress, append)
            .await;
        match outcome {
            Ok(answer) => self.judge(answer),
            Err(error) => self.after_failure(error, in_doubt_before).await,
        }
    }

    /// Whether the next append creates the object.
    fn creates(&self) -> bool {
        self.given.position == 0 && !self.exists
    }

    /// Waits as long as OSS has asked us to.
    async fn wait_as_asked(&mut self) {
        if let Some(time) = self.not_before {
            if let Some(gate) = &self.options.gate {
                gate.give_back();
            }
            let asked = time.saturating_duration_since(Instant::now());
            wait(Duration::ZERO, asked, &self.options.ending).await;
            self.not_before = None;
        }
    }

    fn note_wish(&mut self, delay: Option<Duration>) {
        let most = MAX_ASKED.min(self.options.delivery_timeout / 2);
        self.not_before = delay.and_then(|delay| Instant::now().checked_add(delay.min(most)));
    }

    fn check_room(&self) -> Result<()> {
        let Some(pending) = &self.pending else {
            return Ok(());
        };
        let (limit, length) = (self.options.max_object_size, self.given.position);
        let batch = pending.batch.len();
        if length.saturating_add(batch) <= limit {
            return Ok(());
        }
        Err(Error::new(ErrorKind::ObjectFull {
            limit,
            length,
            batch,
        }))
    }

    /// A success answer counts only if it names the expected position and checksum.
    fn judge(&mut self, answer: AppendAnswer) -> Result<()> {
        self.note_wish(answer.delay);
        let Some(pending) = &mut self.pending else {
            return Ok(());
        };
        let expected = self.given.after(&pending.batch);
        match judge_answer(expected, answer.next_position, answer.crc64) {
            Answered::Proven => {
                self.applied(expected);
                Ok(())
            }
            Answered::Unproven => {
                pending.cause = Some(Error::new(ErrorKind::BadAnswer {
                    status: 200,
                    reason: "it names no next position or no CRC-64 to check".into(),
                    request_id: answer.request_id,
                }));
                Ok(())
            }
            Answered::Wrong => {
                let error = Error::new(ErrorKind::Checksum {
                    expected_position: expected.position,
                    found_position: answer.next_position.unwrap_or(expected.position),
                    expected_crc64: expected.crc,
                    found_crc64: answer.crc64,
                });
                Err(self.fail(error, Some(Landed::InDoubt)))
            }
        }
    }

    async fn after_failure(&mut self, error: Error, in_doubt_before: bool) -> Result<()> {
        self.note_wish(error.service_error().and_then(|answer| answer.retry_after));
        let Some(pending) = &mut self.pending else {
            return Ok(());
        };
        let recovery = recovery(&error);
        if !matches!(recovery, Recovery::Reconcile | Recovery::RefusedBetween) {
            // OSS has said that this attempt was not applied.
            pending.in_doubt = in_doubt_before;
        }
        match recovery {
            Recovery::Reconcile | Recovery::Mismatch => {
                self.counters.error(&error);
                pending.cause = Some(error);
                return Ok(());
            }
            Recovery::Closed | Recovery::RefusedBetween => {
                self.counters.error(&error);
                pending.cause = Some(error);
                pending.refused = true;
                return Ok(());
            }
            Recovery::Fail | Recovery::Retry | Recovery::RetryMended(_) => {
                pending.look = pending.in_doubt;
            }
        }
        let paused = pending
            .budget
            .pause(&self.options, &self.counters, error)
            .await;
        match paused {
            Err(error) if pending.in_doubt && !is_exhausted(&error) => {
                // An earlier attempt may have landed.
                pending.cause = Some(error);
                pending.refused = true;
                Ok(())
            }
            paused => paused.map_err(|error| self.fail(error, None)),
        }
    }

    /// Looks at the object and acts on what that proves.
    async fn reconcile(&mut self) -> Result<()> {
        self.counters.reconcile();
        self.wait_as_asked().await;
        let looked = self.look().await;
        let Some(pending) = &mut self.pending else {
            return Ok(());
        };
        let (seen, verdict) = match looked {
            Ok(looked) => looked,
            Err(error) => {
                let paused = pending
                    .budget
                    .pause(&self.options, &self.counters, error)
                    .await;
                let Err(mut error) = paused else {
                    return Ok(());
                };
                // Why the look was needed at all.
                if let Some(cause) = pending.cause.take()
                    && std::error::Error::source(&error).is_none()
                {
                    error = error.with_source(cause);
                }
                return Err(self.fail(error, None));
            }
        };
        if is_stale(self.given.position, pending.named_length(), seen.as_ref())
            && pending.stale_looks < LOOKS_AGAIN
        {
            let time = pending.stale_looks;
            pending.stale_looks += 1;
            look_again(time, &self.options).await;
            return Ok(());
        }
        pending.stale_looks = 0;
        self.exists = seen.is_some();
        if self.creator.is_none() {
            self.creator = seen.as_ref().and_then(|seen| seen.creator.clone());
        }
        match verdict {
            Verdict::Applied(end) => self.applied(end),
            Verdict::Torn(len) => {
                self.given = self.given.after_prefix(&pending.batch, len);
                self.counters.durable(len);
                // The object is longer than it was: no earlier attempt can land any more.
                pending.in_doubt = false;
                pending.look = false;
                self.advance(len);
            }
            Verdict::Compare(end) => {
                pending.look = false;
                if let Some(replay) = &mut self.replay {
                    replay.extend(end);
                }
            }
            Verdict::NotApplied | Verdict::Rebase(_) if pending.refused => {
                let cause = pending.cause.take();
                // Where the object takes no more, or is longer than it was, nothing can land.
                let is_over = matches!(verdict, Verdict::Rebase(_))
                    || cause.as_ref().is_some_and(closes_the_object);
                let landed = is_over.then_some(Landed::No);
                return Err(self.fail(refusal(cause), landed));
            }
            Verdict::NotApplied => self.try_again().await?,
            Verdict::Rebase(end) => {
                // The object is longer than our position: no earlier attempt can land any more.
                pending.in_doubt = false;
                pending.start = end.position;
                self.given = end;
                self.go_after_others().await?;
            }
            Verdict::Fail(kind, landed) => return self.is_over(kind, landed, seen),
            Verdict::ReadBack(_) => unreachable!("`look` has read back"),
        }
        Ok(())
    }

    /// Others have appended before us: ours goes after theirs, at once, unless there was a failure.
    async fn go_after_others(&mut self) -> Result<()> {
        let Some(pending) = &mut self.pending else {
            return Ok(());
        };
        match pending.cause.take() {
            Some(cause) if recovery(&cause) == Recovery::Mismatch => {
                let in_time = pending.budget.check(&self.options, &cause);
                pending.look = false;
                in_time.map_err(|error| self.fail(error, None))
            }
            cause => {
                pending.cause = cause;
                self.try_again().await
            }
        }
    }

    /// The object is not what it was proven to be, or takes no more appends.
    fn is_over(
        &mut self,
        kind: ErrorKind,
        landed: Option<Landed>,
        seen: Option<ObjectInfo>,
    ) -> Result<()> {
        let cause = self
            .pending
            .as_mut()
            .and_then(|pending| pending.cause.take());
        let mut error = Error::new(kind);
        if let Some(cause) = cause {
            error = error.with_source(cause);
        }
        let (Some(pending), Some(seen)) = (&mut self.pending, seen) else {
            return Err(self.fail(error, landed));
        };
        let may_land = landed.is_none() && pending.in_doubt && seen.length == self.given.position;
        if !(self.options.settles_in_place && may_land) {
            return Err(self.fail(error, landed));
        }
        pending.look = false;
        self.given.crc = seen.crc64;
        self.creator = seen.creator;
        self.lost = Some(error);
        Ok(())
    }

    /// Fails if the object was replaced before the batch that was in doubt had settled in it.
    fn check_lost(&mut self) -> Result<()> {
        match self.lost.take() {
            Some(error) => Err(self.fail(error.with_landed(Landed::Yes), None)),
            None => Ok(()),
        }
    }

    /// Looks at an object that we have just created, if that is asked for: whether it has our mark.
    async fn check_created(&mut self) -> Result<()> {
        let (true, Some(mark)) = (self.unchecked_mark, self.mark) else {
            return Ok(());
        };
        let seen = match self.head(&mut Budget::new()).await {
            Ok(seen) => seen,
            Err(error) => return Err(self.fail(error.with_landed(Landed::Yes), None)),
        };
        self.unchecked_mark = false;
        let creator = seen.as_ref().and_then(|seen| seen.creator.as_deref());
        if creator.is_none_or(|creator| creator == shown(mark)) {
            return Ok(());
        }
        let found = seen.map(|seen| seen.length);
        let conflict = Conflict::new(ConflictCause::Exists, 0, found);
        let error = Error::new(ErrorKind::Conflict(conflict)).with_landed(Landed::Yes);
        Err(self.fail(error, None))
    }

    /// Pauses after a look that showed that the batch was not applied, then lets it be sent again.
    async fn try_again(&mut self) -> Result<()> {
        let Some(pending) = &mut self.pending else {
            return Ok(());
        };
        let cause = pending.cause.take().unwrap_or_else(|| {
            Error::transport(
                TransportCause::Broken,
                "the append was given up before its answer came",
            )
        });
        // The wait that OSS asked for with the cause was over before the look.
        let paused = pending
            .budget
            .pause_at_least(Duration::ZERO, &self.options, &self.counters, cause)
            .await;
        if let Err(error) = paused {
            return Err(self.fail(error, None));
        }
        pending.look = false;
        Ok(())
    }

    /// One look: HEAD, and the range itself where HEAD cannot decide.
    async fn look(&mut self) -> Result<(Option<ObjectInfo>, Verdict)> {
        let sharing = self.sharing();
        let own = self.mark.filter(|_| self.creates()).map(shown);
        let creator = match (sharing, &own, &self.creator) {
            (Sharing::Replay, ..) => Creator::Anybody,
            (_, Some(mark), _) => Creator::Us(mark),
            (.., Some(seen)) => Creator::Seen(seen),
            _ => Creator::Anybody,
        };
        let Some(pending) = &mut self.pending else {
            return Err(Error::invalid_input("nothing is in question"));
        };
        let request = self.store.head(&self.object);
        let seen = pending
            .budget
            .attempt(&self.options, &self.counters, &Progress::new(), request)
            .await?;
        let question = Question {
            proven: self.given,
            batch: &pending.batch,
            sharing,
            in_doubt: pending.in_doubt,
            creator,
        };
        let verdict = by_head(question, seen.as_ref());
        let (Verdict::ReadBack(range), Some(info)) = (&verdict, &seen) else {
            return Ok((seen, verdict));
        };
        let progress = Progress::new();
        let request = self.store.read_range(&self.object, range.clone());
        let mut body = pending
            .budget
            .attempt(&self.options, &self.counters, &progress, request)
            .await?;
        let mut left = range.end - range.start;
        let mut ours = pending.batch.cursor();
        let mut equal = true;
        while left > 0 && equal {
            let next = async { body.next().await.unwrap_or_else(|| Err(shrunk())) };
            let chunk = pending
                .budget
                .attempt(&self.options, &self.counters, &progress, next)
                .await?;
            progress.advance(chunk.len() as u64);
            let take = chunk.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            equal = ours.matches(&chunk[..take]);
            left -= take as u64;
        }
        let verdict = by_content(question, info, equal);
        Ok((seen, verdict))
    }

    fn sharing(&self) -> Sharing {
        if self.replay.is_some() {
            Sharing::Replay
        } else if self.options.shared {
            Sharing::Shared
        } else {
            Sharing::Exclusive
        }
    }

    /// The pending batch is proven to be in the object, which is proven up to `end`.
    fn applied(&mut self, end: Proven) {
        if let Some(pending) = &self.pending {
            // What was only compared yet is proven with it.
            let compared = self.given.position - self.durable_position();
            self.counters.durable(compared + pending.batch.len());
            let took = pending.first_attempt.map(|first| first.elapsed());
            self.counters.append(took.unwrap_or_default());
        }
        if self.creates() && self.options.verify_creator {
            self.unchecked_mark = true;
        }
        self.given = end;
        self.exists = true;
        // What is proven now is our own append: no predecessor's can land behind it.
        self.replay = None;
        self.pending = None;
    }
}

/// A mark as it is in the metadata.
fn shown(mark: u128) -> String {
    format!("{mark:032x}")
}

/// The properties of a new object, with our mark.
fn created_with(options: &Arc<ObjectOptions>, mark: Option<u128>) -> Arc<ObjectOptions> {
    let mut options = Arc::clone(options);
    if let Some(mark) = mark {
        Arc::make_mut(&mut options).mark(&shown(mark));
    }
    options
}

/// Whether the object seems to be older than what is known of it: shorter than it was proven to be,
/// or than the last refusal said. A refusal that says the same as the look is believed.
pub(super) fn is_stale(proven: u64, named: Option<u64>, seen: Option<&ObjectInfo>) -> bool {
    let length = seen.map_or(0, |seen| seen.length);
    match named {
        Some(named) => length < named,
        None => length < proven,
    }
}

/// Waits before an object that seems to be too old is looked at again, the `time`-th time from 0.
pub(super) async fn look_again(time: u32, options: &AppenderOptions) {
    wait(
        LOOK_AGAIN_AFTER * (1 << time),
        Duration::ZERO,
        &options.ending,
    )
    .await;
}

fn is_exhausted(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::RetriesExhausted { .. })
}

pub(super) fn shrunk() -> Error {
    Error::transport(
        TransportCause::Broken,
        "the object ended before the range that was asked for",
    )
}

/// Computes the checksum of `batch`, a large one in turns with other tasks: that which sends it
/// comes first.
async fn sum_up(batch: &Batch) {
    let Some(mut sum) = batch.sum() else {
        return;
    };
    if batch.len() > Sum::PART as u64 {
        step_aside().await;
    }
    while !sum.add_part() {
        step_aside().await;
    }
}

/// Lets other tasks run, and another thread go on with this one meanwhile. `yield_now` of tokio
/// would leave it where it is until the task that sends has nothing more to do.
async fn step_aside() {
    let mut aside = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut aside, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// What OSS refused for good, as the kind that callers match on.
fn refusal(cause: Option<Error>) -> Error {
    let code = cause
        .as_ref()
        .and_then(Error::service_error)
        .map(|answer| answer.code.as_str());
    let kind = match code {
        Some("AppendSealedObjectNotAllowed") => ErrorKind::Sealed,
        Some("ObjectNotAppendable") => ErrorKind::NotAppendable { object_type: None },
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
