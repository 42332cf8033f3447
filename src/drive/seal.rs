//! Sealing: the object takes no more appends, from anybody.

use std::time::Duration;

use tokio::time::Instant;

use super::ObjectAppender;
use super::retry::Budget;
use crate::engine::reconcile::{Creator, Question, Sharing, Verdict, by_head};
use crate::engine::recovery::{Recovery, recovery};
use crate::error::{Error, ErrorKind, Landed, Result};
use crate::store::AppendStore;
use crate::values::batch::Batch;
use crate::values::progress::Progress;

/// How long it is tried to seal an object, within the delivery timeout: what comes next waits for
/// that, and nothing is lost without the seal.
const MAX_SEALING: Duration = Duration::from_secs(60);

impl<S: AppendStore> ObjectAppender<S> {
    /// Seals the object at its present length. Sealing it again succeeds; an object that was never
    /// created is left alone.
    ///
    /// Needs the permission `oss:SealAppendObject`, and the account must be allowed to seal
    /// (<https://www.alibabacloud.com/help/en/oss/developer-reference/sealappendobject>).
    ///
    /// # Errors
    /// [`Conflict`](ErrorKind::Conflict) if the object is not as long as it should be;
    /// [`Service`](ErrorKind::Service) with the code `OperationNotSupported` if sealing is not
    /// enabled. The appended bytes stay durable either way.
    ///
    /// # Cancel safety
    /// Safe: the object may have been sealed, and the next call finds that out.
    pub async fn seal(&mut self) -> Result<()> {
        self.end_replay().await?;
        if !self.exists {
            return Ok(());
        }
        let mut budget = Budget::new();
        let began = Instant::now();
        loop {
            let request = self.store.seal(&self.object, self.given.position);
            let Err(error) = budget
                .attempt(&self.options, &self.counters, &Progress::new(), request)
                .await
            else {
                return Ok(());
            };
            let error = error
                .with_operation("seal")
                .with_object(&self.object)
                .with_position(self.given.position);
            let asked = match recovery(&error) {
                Recovery::Mismatch
                | Recovery::Reconcile
                | Recovery::Closed
                | Recovery::RefusedBetween => self.sealed_as_it_should_be().await,
                _ => Ok(false),
            };
            match asked {
                Ok(true) => return Ok(()),
                Ok(false) => {
                    if began.elapsed() >= MAX_SEALING {
                        return Err(error);
                    }
                    budget.pause(&self.options, &self.counters, error).await?;
                }
                Err(conflict) => return Err(conflict.with_source(error)),
            }
        }
    }

    async fn sealed_as_it_should_be(&mut self) -> Result<bool> {
        let seen = self.head_of(self.given.position).await?;
        let nothing = Batch::from("");
        let question = Question {
            proven: self.given,
            batch: &nothing,
            sharing: Sharing::Exclusive,
            in_doubt: false,
            creator: Creator::Anybody,
        };
        match by_head(question, seen.as_ref()) {
            Verdict::Fail(ErrorKind::Sealed, Some(Landed::Yes)) => Ok(true),
            Verdict::Fail(kind, _) => Err(Error::new(kind)
                .with_operation("seal")
                .with_object(&self.object)
                .with_position(self.given.position)),
            _ => Ok(false),
        }
    }
}
