//! Messages of a durable consumer, never more than there is room for.

use std::time::Duration;

use async_nats::jetstream::Message;
use async_nats::jetstream::consumer::PullConsumer;
use async_nats::jetstream::consumer::pull::Batch;
use futures::StreamExt;

use crate::failure::Failure;
use crate::patience::Patience;

/// The most messages of one pull.
const MOST: usize = 500;

/// How long a pull waits for messages, and so how long the worker takes to end at most.
const EXPIRES: Duration = Duration::from_secs(1);

pub(crate) struct Pulls {
    consumer: PullConsumer,
    pull: Option<Batch>,
    /// Whether the pull under way has brought something.
    fruitful: bool,
    patience: Patience,
}

impl Pulls {
    pub(crate) fn new(consumer: PullConsumer, patience: Patience) -> Self {
        Self {
            consumer,
            pull: None,
            fruitful: false,
            patience,
        }
    }

    /// Whether no message is on its way.
    pub(crate) fn is_idle(&self) -> bool {
        self.pull.is_none()
    }

    /// The next message of the pull under way. If none is, one for `room` messages is begun. `None`:
    /// it has ended.
    ///
    /// A pull asks for no more than there is room for, so that no delivered message lies where
    /// nobody keeps it from being delivered again.
    ///
    /// # Cancel safety
    /// Safe: no message is lost.
    pub(crate) async fn next(&mut self, room: usize) -> Result<Option<Message>, Failure> {
        self.patience.pause().await;
        match self.try_next(room).await {
            Ok(message) => {
                self.patience.restart();
                Ok(message)
            }
            Err(error) => {
                self.pull = None;
                self.patience.failed("pull", error)?;
                Ok(None)
            }
        }
    }

    async fn try_next(&mut self, room: usize) -> Result<Option<Message>, async_nats::Error> {
        let pull = match &mut self.pull {
            Some(pull) => pull,
            None => {
                self.fruitful = false;
                let batch = self.consumer.batch().max_messages(room.min(MOST));
                self.pull.insert(batch.expires(EXPIRES).messages().await?)
            }
        };
        let next = pull.next().await.transpose()?;
        if next.is_some() {
            self.fruitful = true;
            return Ok(next);
        }
        // Silence is all that comes from a consumer that is gone.
        if !self.fruitful {
            self.consumer.get_info().await?;
        }
        self.pull = None;
        Ok(None)
    }
}
