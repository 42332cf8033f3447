//! The messages of a subject in order, each once, from a given one on.
//!
//! async-nats has an ordered consumer of its own; but when it has to begin anew before its first
//! message came, it begins with the first message of the stream, whatever it was told. Here the
//! number of the last message is kept from the start.

use std::time::Duration;

use async_nats::Error;
use async_nats::jetstream::Message;
use async_nats::jetstream::consumer::pull::Batch;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, PullConsumer, pull};
use async_nats::jetstream::stream::Stream;
use futures::StreamExt;

use crate::failure::Failure;
use crate::patience::Patience;

/// The most messages of one pull, and so the most that wait here.
const MOST: usize = 500;
const EXPIRES: Duration = Duration::from_secs(1);

/// When the server forgets a consumer that nobody pulls from. A longer stall of OSS does no harm:
/// the next consumer begins behind the last message.
const INACTIVE: Duration = Duration::from_secs(60);

pub(crate) struct Ordered {
    stream: Stream,
    subject: String,
    /// The number of the last message that was given, in the stream.
    last: u64,
    reading: Option<Reading>,
    patience: Patience,
}

/// A consumer that lives as long as nothing goes wrong.
struct Reading {
    consumer: PullConsumer,
    /// How many messages it has given.
    given: u64,
    pull: Option<Batch>,
}

impl Ordered {
    /// The messages behind number `last`.
    pub(crate) fn after(last: u64, stream: Stream, subject: &str, patience: Patience) -> Self {
        Self {
            stream,
            subject: subject.into(),
            last,
            reading: None,
            patience,
        }
    }

    /// The next message, and its number in the stream.
    ///
    /// # Cancel safety
    /// Safe: no message is lost. A consumer may be left behind, which the server forgets in time.
    pub(crate) async fn next(&mut self) -> Result<(u64, Message), Failure> {
        loop {
            self.patience.pause().await;
            match self.try_next().await {
                Ok(Some(message)) => {
                    self.patience.restart();
                    return Ok(message);
                }
                Ok(None) => self.patience.restart(),
                Err(error) => {
                    self.reading = None;
                    self.patience.failed("pull", error)?;
                }
            }
        }
    }

    async fn try_next(&mut self) -> Result<Option<(u64, Message)>, Error> {
        let reading = match &mut self.reading {
            Some(reading) => reading,
            None => {
                let begun = Reading::begin(&self.stream, &self.subject, self.last + 1).await?;
                self.reading.insert(begun)
            }
        };
        let Some(message) = reading.next().await? else {
            return Ok(None);
        };
        let info = message.info()?;
        let (number, sequence) = (info.consumer_sequence, info.stream_sequence);
        if number != reading.given + 1 || sequence <= self.last {
            return Err("messages were lost on the way".into());
        }
        reading.given = number;
        self.last = sequence;
        Ok(Some((sequence, message)))
    }
}

impl Reading {
    async fn begin(stream: &Stream, subject: &str, first: u64) -> Result<Self, Error> {
        let config = pull::Config {
            deliver_policy: DeliverPolicy::ByStartSequence {
                start_sequence: first,
            },
            filter_subject: subject.into(),
            ack_policy: AckPolicy::None,
            inactive_threshold: INACTIVE,
            memory_storage: true,
            num_replicas: 1,
            ..Default::default()
        };
        Ok(Self {
            consumer: stream.create_consumer(config).await?,
            given: 0,
            pull: None,
        })
    }

    /// The next message; `None` at the end of a pull.
    async fn next(&mut self) -> Result<Option<Message>, Error> {
        let pull = match &mut self.pull {
            Some(pull) => pull,
            None => {
                let batch = self.consumer.batch().max_messages(MOST);
                self.pull.insert(batch.expires(EXPIRES).messages().await?)
            }
        };
        if let Some(message) = pull.next().await.transpose()? {
            return Ok(Some(message));
        }
        // What a broken connection has swallowed is not sent again by itself; and silence is all that
        // comes from a consumer that is gone.
        let delivered = self.consumer.get_info().await?.delivered.consumer_sequence;
        if delivered != self.given {
            return Err("messages were lost on the way".into());
        }
        self.pull = None;
        Ok(None)
    }
}
