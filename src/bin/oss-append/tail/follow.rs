//! `tail -f`: what is there, and what comes, of one object or of a sequence.

use bytes::Bytes;
use futures::{FutureExt as _, Stream, StreamExt as _};
use oss_append::{
    Checkpoint, Error, Followed, ObjectFollower, ObjectFollowerBuilder, ObjectPath, ObjectReader,
    ObjectReaderBuilder, OssClient, SequenceReaderBuilder,
};

use super::start::{Failed, Start, refuse_compressed, start_of_lines};
use crate::failure::Failure;
use crate::output::{self, Output};
use crate::trouble::{Said, Trouble};

/// What is followed, and how.
pub(super) struct Follow {
    pub(super) client: OssClient,
    pub(super) start: Start,
    /// What is compressed is of no use: lines of it are wanted, or it goes to a terminal.
    pub(super) only_plain: bool,
    /// How each object is followed.
    pub(super) set: Box<dyn Fn(ObjectFollowerBuilder) -> ObjectFollowerBuilder + Send + Sync>,
    /// How its last lines are looked for.
    pub(super) read: Box<dyn Fn(ObjectReaderBuilder) -> ObjectReaderBuilder + Send + Sync>,
}

impl Follow {
    /// Follows one object until it is sealed.
    pub(super) async fn object(self, object: ObjectPath) -> Result<(), Failed> {
        let builder = || {
            let builder = ObjectFollower::builder(self.client.clone(), object.clone());
            (self.set)(builder)
        };
        let begun = async {
            let builder = match self.start {
                Start::At(position) => builder().position(position),
                Start::LastBytes(bytes) => builder().last(bytes),
                Start::LastLines(count) => builder().position(self.lines(&object, count).await?),
            };
            Ok(builder.open().await?)
        };
        let follower = match begun.await {
            Err(failed @ Failed::Request(_)) if failed.is_missing() => {
                output::note(format_args!("{object} does not exist yet: waiting"));
                builder().wait_for_object(true).open().await?
            }
            begun => begun?,
        };
        self.write(follower, None).await?;
        output::note(format_args!(
            "{object} is sealed, and has been read to its end"
        ));
        Ok(())
    }

    /// Follows a sequence for ever. `begins`: at a time, which the builder knows.
    pub(super) async fn sequence(
        self,
        builder: SequenceReaderBuilder,
        begins: bool,
        name: &ObjectPath,
    ) -> Result<(), Failed> {
        let builder = builder.follower(&self.set);
        if begins {
            let reader = builder.open().await?;
            return self.write(reader, Some(None)).await;
        }
        let at_end = builder.clone().from_end().open().await?;
        let Some(end) = at_end.checkpoint().cloned() else {
            output::note(format_args!("no object of {name} exists yet: waiting"));
            return self.write(at_end, Some(None)).await;
        };
        let object = end.object;
        let position = match self.start {
            Start::At(position) => position,
            Start::LastBytes(bytes) => end.position.saturating_sub(bytes),
            Start::LastLines(count) => self.lines(&object, count).await?,
        };
        output::note(format_args!("following {object}"));
        let from = Checkpoint::new(object.clone(), position);
        let reader = builder.checkpoint(from).open().await?;
        self.write(reader, Some(Some(object))).await
    }

    /// Where the last lines begin.
    async fn lines(&self, object: &ObjectPath, count: u64) -> Result<u64, Failed> {
        let reader = self.reader_of(object);
        if self.only_plain {
            refuse_compressed(&reader, object).await?;
        }
        start_of_lines(&reader, object, count).await
    }

    fn reader_of(&self, object: &ObjectPath) -> ObjectReaderBuilder {
        (self.read)(ObjectReader::builder(self.client.clone(), object.clone()))
    }

    /// Writes what comes. `names`: says which object it is, if it is not this one.
    async fn write(
        &self,
        mut pieces: impl Stream<Item = Result<Followed<Bytes>, Error>> + Unpin,
        names: Option<Option<ObjectPath>>,
    ) -> Result<(), Failed> {
        let mut stdout = Output::default();
        let mut present: Option<ObjectPath> = None;
        let mut named = names.clone().flatten();
        let written = async {
            loop {
                let next = match pieces.next().now_or_never() {
                    Some(next) => next,
                    None => {
                        // While nothing comes, it is known whether what came could be written.
                        stdout.flush().await?;
                        pieces.next().await
                    }
                };
                let Some(piece) = next.transpose()? else {
                    return Ok(());
                };
                if present.as_ref() != Some(&piece.object) {
                    if self.only_plain {
                        refuse_compressed(&self.reader_of(&piece.object), &piece.object).await?;
                    }
                    if names.is_some() && named.as_ref() != Some(&piece.object) {
                        output::note(format_args!("following {}", piece.object));
                        named = Some(piece.object.clone());
                    }
                    present = Some(piece.object);
                }
                stdout.write(piece.item).await?;
            }
        };
        let written = written.await;
        stdout.flush().await?;
        written
    }
}

/// Does `work`, and says what trouble there is meanwhile.
pub(super) async fn hearing(
    mut trouble: Trouble,
    work: impl Future<Output = Result<(), Failed>>,
) -> Result<(), Failure> {
    let mut work = std::pin::pin!(work);
    loop {
        tokio::select! {
            biased;
            done = &mut work => return Ok(done?),
            said = trouble.next(|| Some(0)) => match said {
                Said::Line(line) => output::note(line),
                Said::Nowhere(error) => {
                    return Err(Failure::of_request(&error, super::PERMISSION));
                }
            },
        }
    }
}
