//! The start of a sequence behind what an earlier process has left in a spool: how much of that is in
//! the object which it was meant for, and where to go on.

use std::sync::Arc;

use futures::StreamExt as _;
use jiff::Timestamp;

use super::roller::{Candidate, Roller, ends_the_object, is_hopeless};
use crate::drive::ask::ask;
use crate::error::{Error, ErrorKind, Result};
use crate::stage::compression::Compression;
use crate::store::AppendStore;
use crate::values::position::StreamPosition;
use crate::writer::spooling::{Plan, Recovered, Source, Spooled};

/// What there is to find out.
pub(super) struct Recovery {
    pub(super) spooled: Arc<Spooled>,
    /// How many bytes the process before has left.
    pub(super) on_disk: u64,
    /// What the process before meant to append last.
    pub(super) plan: Plan,
    pub(super) compression: Option<Compression>,
}

impl<S: AppendStore> Roller<S> {
    /// Finds out how many bytes of the spool, the first, are durable. Repeats that if told to.
    pub(super) async fn recover_spool(&mut self) -> Result<u64> {
        let Some(recovery) = self.recovery.take() else {
            return Ok(0);
        };
        let mut failures = 0;
        loop {
            let error = match self.recover_once(&recovery).await {
                Ok(passed) => return Ok(passed),
                Err(error) => error,
            };
            let mends = error.is_retryable() || is_refused(&error);
            let Some(backoff) = self
                .plan
                .keep_trying
                .filter(|_| mends && !is_hopeless(&error))
            else {
                self.recovery = Some(recovery);
                return Err(error);
            };
            self.kept(&recovery.plan.object, &error, true);
            failures += 1;
            self.pause(backoff, failures).await;
        }
    }

    async fn recover_once(&mut self, recovery: &Recovery) -> Result<u64> {
        let Recovery {
            spooled,
            on_disk,
            plan,
            compression,
        } = recovery;
        let appender = self.plan.appender.clone();
        let counters = Arc::clone(&self.counters);
        let found = spooled
            .recover(plan, appender, counters, *compression)
            .await;
        match found {
            Ok(Recovered { driver, passed }) => {
                let settled = StreamPosition::default() + passed;
                driver.found(settled, plan.number, plan.time).await?;
                let candidate = self.candidate_of(plan);
                let owed = passed < *on_disk;
                self.resume(candidate, driver, plan.proven.position, owed);
                Ok(passed)
            }
            Err(error) if changed(&error) => {
                self.counters.error(&error);
                let passed = self.common(spooled, plan).await?;
                // The number comes after that of this object.
                self.last = self.candidate_of(plan);
                Ok(passed)
            }
            Err(error) => Err(error),
        }
    }

    /// The object of `plan`, if the template still names it so.
    fn candidate_of(&self, plan: &Plan) -> Option<Candidate> {
        let time = Timestamp::from_second(plan.time?).ok()?;
        let names = self.plan.template.names(time, self.plan.utc_offset);
        let number = plan.number?;
        (names.key(number) == plan.object.key()).then_some(Candidate {
            names,
            number,
            time,
        })
    }

    /// How many bytes of the spool, the first, are in an object that takes no more of them, or that
    /// somebody else has changed: whole records that it has where they were to be.
    async fn common(&self, spooled: &Spooled, plan: &Plan) -> Result<u64> {
        let (object, options) = (&plan.object, &self.plan.appender.options);
        let store = &*self.plan.store;
        let counters = &self.counters;
        let seen = ask(object, options, counters, || store.head(object)).await?;
        let from = plan.proven.position.bytes();
        let Some(seen) = seen.filter(|seen| seen.length > from) else {
            return Ok(spooled.offset(plan.position));
        };
        if plan.packed.is_some() {
            // A member that others have appended something behind cannot be told by the object's
            // checksum, and not by its bytes, which are not kept.
            return Ok(spooled.offset(plan.position));
        }
        let range = from..seen.length;
        let mut body = ask(object, options, counters, || {
            store.read_range(object, range.clone())
        })
        .await?;
        let mut source = Source::new(spooled, plan.position);
        let (mut same, mut whole) = (0, 0);
        while let Some(chunk) = body.next().await {
            let chunk = chunk?;
            let mut rest = &chunk[..];
            while !rest.is_empty() {
                let Some(piece) = source.peek(rest.len()).await? else {
                    return Ok(spooled.offset(plan.position) + whole);
                };
                let equal = rest
                    .iter()
                    .zip(&piece[..])
                    .take_while(|(a, b)| a == b)
                    .count();
                let all = equal == piece.len();
                same += equal as u64;
                source.skip(equal);
                whole = source.whole_before(same).max(whole);
                if !all {
                    return Ok(spooled.offset(plan.position) + whole);
                }
                rest = &rest[equal..];
            }
        }
        Ok(spooled.offset(plan.position) + whole)
    }
}

/// Whether the object is not what the process before had appended to.
fn changed(error: &Error) -> bool {
    ends_the_object(error)
        || matches!(
            error.kind(),
            ErrorKind::ReplayDiffers { .. }
                | ErrorKind::ReplayTooShort { .. }
                | ErrorKind::Conflict(_)
                | ErrorKind::NotAppendable { .. }
        )
}

/// Whether somebody may allow it later.
fn is_refused(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Service(_) | ErrorKind::Credentials { .. }
    )
}
