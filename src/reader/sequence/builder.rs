//! The options of a sequence's reader, and its opening.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use tokio::sync::Notify;

use super::bucket::Bucket;
use super::finder::{Candidate, Finder};
use super::reader::SequenceReader;
use super::turns::Turns;
use crate::client::OssClient;
use crate::engine::period::timestamp;
use crate::error::{Error, Result};
use crate::reader::follow::ObjectFollowerBuilder;
use crate::reader::follow::following::Start;
use crate::rolling::KeyTemplate;
use crate::rolling::find::{Directory, newest_to_read};
use crate::rolling::slots::{Slot, Slots};
use crate::values::checkpoint::Checkpoint;
use crate::values::path::ObjectPath;
use crate::values::proven::Proven;
use crate::writer::periods::WallClock;

/// Options for reading a sequence of objects by a [`SequenceReader`].
#[derive(Clone, Debug)]
#[must_use = "call `open` to get the reader"]
pub struct SequenceReaderBuilder {
    bucket: String,
    template: KeyTemplate,
    every: Option<Duration>,
    utc_offset: i32,
    begin: Begin,
    clock: WallClock,
    /// How each object is followed.
    follower: ObjectFollowerBuilder,
}

/// Where to begin.
#[derive(Clone, Debug)]
enum Begin {
    Newest { start: Start },
    Time(Timestamp),
    Number(u64),
    Key(String),
    Checkpoint(Checkpoint),
}

impl SequenceReaderBuilder {
    pub(super) fn new(client: OssClient, bucket: String, template: KeyTemplate) -> Self {
        let sequence = ObjectPath::unchecked(&bucket, &template.to_string());
        Self {
            bucket,
            template,
            every: None,
            utc_offset: 0,
            begin: Begin::Newest {
                start: Start::At(Proven::EMPTY),
            },
            clock: WallClock::default(),
            follower: ObjectFollowerBuilder::new(client, sequence),
        }
    }

    /// The period of the writer, [`roll_every`](crate::RollingWriterBuilder::roll_every). Needed
    /// only where the keys tell times more finely than in seconds, and of use where they tell them
    /// much more finely than in periods, such as `%H%M` with periods of a day: fewer periods are
    /// looked for. Default: as the keys tell times, which finds the objects of any periods.
    pub fn roll_every(mut self, period: Duration) -> Self {
        self.every = Some(period);
        self
    }

    /// The offset of the writer's keys in seconds to the east of UTC,
    /// [`utc_offset`](crate::RollingWriterBuilder::utc_offset). Default: 0.
    pub fn utc_offset(mut self, seconds: i32) -> Self {
        self.utc_offset = seconds;
        self
    }

    /// Begins with the first object of the period that `time` falls in, or the first after that.
    ///
    /// The periods are those of [`roll_every`](Self::roll_every). Without it, they are what the keys
    /// can tell: where the writer's are longer, such as `%H%M` with periods of ten minutes, give a
    /// time at which one has begun.
    ///
    /// This and the other methods that say where to begin take the place of each other.
    pub fn from_time(mut self, time: SystemTime) -> Self {
        self.begin = Begin::Time(timestamp(time));
        self
    }

    /// Begins with the object of the present period that has this number, or the first after that.
    /// Without times in the template, with 1 that is the beginning of the sequence.
    pub fn from_number(mut self, number: u64) -> Self {
        self.begin = Begin::Number(number);
        self
    }

    /// Begins with the object that has this key, at its start, or, if it does not exist any more,
    /// with the first after that.
    pub fn from_key(mut self, key: impl Into<String>) -> Self {
        self.begin = Begin::Key(key.into());
        self
    }

    /// Begins at the end of the newest object of the present period, as that is now: only what is
    /// appended from now on is given out. If there is none, with the first that comes.
    pub fn from_end(mut self) -> Self {
        self.begin = Begin::Newest {
            start: Start::Last(0),
        };
        self
    }

    /// Begins at this point, such as the
    /// [`checkpoint`](crate::Followed::checkpoint) of what was processed last. Its object has to be
    /// there, and, if the checkpoint has a CRC-64, to begin with the bytes that have it.
    ///
    /// Its period is found by going back from the present one through at most a million periods that
    /// have keys of their own: two years of those that tell minutes, or 11 days of those that tell
    /// seconds. [`roll_every`](Self::roll_every) makes it reach further.
    pub fn checkpoint(mut self, from: Checkpoint) -> Self {
        self.begin = Begin::Checkpoint(from);
        self
    }

    /// Sets how each object is followed: how often is looked, timeouts, retries and events. Where it
    /// begins, and whether an object is waited for, is of no effect.
    ///
    /// ```no_run
    /// # fn example(builder: oss_append::SequenceReaderBuilder) -> oss_append::SequenceReaderBuilder {
    /// use std::time::Duration;
    ///
    /// builder.follower(|follower| {
    ///     follower
    ///         .poll_interval(Duration::from_secs(1)..=Duration::from_secs(60))
    ///         .delivery_timeout(Duration::MAX)
    /// })
    /// # }
    /// ```
    pub fn follower(
        mut self,
        set: impl FnOnce(ObjectFollowerBuilder) -> ObjectFollowerBuilder,
    ) -> Self {
        self.follower = set(self.follower);
        self
    }

    /// Where the time comes from that tells which periods have begun. Default: the system's clock.
    pub fn clock(mut self, now: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        self.clock = WallClock::new(move || timestamp(now()));
        self
    }

    /// Finds where to begin: returns as soon as that is known and its object, if it is there, has
    /// been looked at.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for a template with `{uuid}` or `{pid}`, a
    /// bucket's name that is not valid, a key or checkpoint that the template does not name, keys
    /// that tell times more finely than in seconds without [`roll_every`](Self::roll_every), and
    /// what [`ObjectFollowerBuilder::open`] refuses;
    /// [`Conflict`](crate::ErrorKind::Conflict) if the checkpoint's object is not there or does not
    /// reach to it; what OSS said, where trying again would not help;
    /// [`RetriesExhausted`](crate::ErrorKind::RetriesExhausted) if there was no answer in time.
    ///
    /// # Cancel safety
    /// Nothing is lost: reading has no effect.
    pub async fn open(self) -> Result<SequenceReader> {
        // A bucket that cannot be is refused by any key in it.
        ObjectPath::new(&self.bucket, "key")?;
        let pace = self.follower.check()?;
        let slots = Slots::new(self.template.clone(), self.every, self.utc_offset)?;
        let follower = &self.follower;
        let directory = Bucket::new(
            follower.client.clone(),
            follower.object.clone(),
            follower.rules.clone(),
            &follower.events,
        );
        let now = self.clock.now();
        let begin = self.begin(&directory, &slots, now).await?;
        let (here, first) = match begin {
            (candidate, Some(start)) => (candidate.clone(), Some((candidate, start))),
            (candidate, None) => (candidate, None),
        };
        let follower = self.follower;
        let mut turns = Turns {
            bucket: self.bucket,
            finder: Finder::new(directory, slots, self.clock, here),
            open: Box::new(move |object, start| follower.following(object, start, true)),
            current: None,
            next: None,
            pace,
            bell: Arc::new(Notify::new()),
        };
        if let Some((candidate, start)) = first {
            turns.begin(candidate, start)?;
        }
        turns.look_first().await?;
        Ok(SequenceReader::new(turns))
    }

    /// The object to begin with and where in it, or what comes before it.
    async fn begin(
        &self,
        directory: &impl Directory,
        slots: &Slots,
        now: Timestamp,
    ) -> Result<(Candidate, Option<Start>)> {
        let before = |slot: Slot, number: u64| Candidate {
            slot,
            number: number.saturating_sub(1),
        };
        Ok(match &self.begin {
            Begin::Newest { start } => {
                let slot = slots.at(now);
                match newest_to_read(directory, &slot.names).await? {
                    Some(number) => (Candidate { slot, number }, Some(*start)),
                    None => (before(slot, 1), None),
                }
            }
            Begin::Time(time) => (before(slots.at(*time), 1), None),
            Begin::Number(number) => (before(slots.at(now), *number), None),
            Begin::Key(key) => {
                let Candidate { slot, number } = self.named(key, slots, now)?;
                (before(slot, number), None)
            }
            Begin::Checkpoint(from) => {
                if from.object.bucket() != self.bucket {
                    return Err(
                        self.refused(format!("the checkpoint to read from is of {}", from.object))
                    );
                }
                let candidate = self.named(from.object.key(), slots, now)?;
                (candidate, Some(Start::At(from.proven())))
            }
        })
    }

    fn named(&self, key: &str, slots: &Slots, now: Timestamp) -> Result<Candidate> {
        match slots.of(key, now) {
            Some((slot, number)) => Ok(Candidate { slot, number }),
            None => Err(self.refused(format!(
                "the template {:?} does not name {key:?} in any period that was looked at, up to the \
                 present one",
                self.template.to_string()
            ))),
        }
    }

    fn refused(&self, reason: String) -> Error {
        let error = Error::invalid_input(reason).with_operation("read");
        error.with_object(&self.follower.object)
    }
}
