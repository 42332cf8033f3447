//! One path: reads on a thread for blocking work, appends, and waits.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{Notify, Semaphore};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::error::FollowError;
use super::files::Disk;
use super::reading::Head;
use super::remote::Remote;
use super::report::{FollowEvent, FollowedFile};
use super::series::{Rules, Series, Step};
use super::stop::Stop;
use crate::callback::caught;
use crate::drive::{ObjectAppender, ObjectAppenderBuilder};
use crate::error::Error;
use crate::rolling::KeyNames;
use crate::store::AppendStore;
use crate::values::checkpoint::Checkpoint;
use crate::values::path::ObjectPath;

/// How often a file is looked at without a hint.
const LOOK: Duration = Duration::from_secs(1);

/// How often it is tried again to understand the files, while somebody renames or copies them.
const TRIES: u32 = 10;

/// What all paths share.
pub(super) struct Shared<S> {
    pub(super) store: Arc<S>,
    pub(super) appender: ObjectAppenderBuilder<Arc<S>>,
    pub(super) bucket: String,
    pub(super) rules: Rules,
    pub(super) patterns: Vec<String>,
    pub(super) linger: Duration,
    pub(super) batch_size: usize,
    /// A permit is the memory of one append.
    pub(super) memory: Semaphore,
    pub(super) stop: CancellationToken,
    pub(super) on_event: Arc<dyn Fn(FollowEvent) + Send + Sync>,
    pub(super) started: Instant,
}

/// One path that is followed.
pub(super) struct Follow<S> {
    shared: Arc<Shared<S>>,
    names: KeyNames,
    path: PathBuf,
    hint: Arc<Notify>,
    appender: Option<(u64, ObjectAppender<Arc<S>>)>,
    report: FollowedFile,
    tries: u32,
    is_told: bool,
}

impl<S: AppendStore> Follow<S> {
    pub(super) fn new(
        shared: Arc<Shared<S>>,
        names: KeyNames,
        path: PathBuf,
        hint: Arc<Notify>,
    ) -> Self {
        Self {
            shared,
            names,
            report: FollowedFile::new(path.clone()),
            path,
            hint,
            appender: None,
            tries: 0,
            is_told: false,
        }
    }

    /// Follows until it is told to stop, all is sent that was to be, or it cannot go on.
    pub(super) async fn run(mut self) -> FollowedFile {
        let ended = self.follow().await;
        self.report.failure = ended.err();
        self.report
    }

    async fn follow(&mut self) -> Result<(), FollowError> {
        let shared = Arc::clone(&self.shared);
        let disk = Disk {
            patterns: shared.patterns.clone(),
        };
        let mut series = Series::new(disk, self.path.clone(), shared.rules.clone());
        while !shared.stop.is_cancelled() {
            let permit = shared.memory.acquire().await;
            let (looked, step) = self.look(series).await?;
            series = looked;
            for notice in series.notices() {
                self.tell(FollowEvent::from(&self.path, notice));
            }
            match step {
                Ok(Step::Append { head, bytes }) => {
                    let len = bytes.len();
                    self.append(head, bytes).await?;
                    series.sent();
                    (self.tries, self.is_told) = (0, false);
                    drop(permit);
                    if len < shared.batch_size && !shared.rules.once {
                        self.wait(shared.linger, false).await;
                    }
                }
                Ok(Step::Done) => return self.settle().await,
                Ok(Step::Idle) => {
                    drop(permit);
                    if series.is_placed() {
                        (self.tries, self.is_told) = (0, false);
                    } else if shared.rules.once {
                        let missing = std::io::ErrorKind::NotFound.into();
                        return Err(self.failed(&Stop::File(self.path.clone(), missing)));
                    }
                    self.wait(LOOK, true).await;
                }
                Err(stop) => {
                    drop(permit);
                    self.may_go_on(&stop)?;
                    self.wait(LOOK, false).await;
                }
            }
        }
        self.settle().await
    }

    /// Reads on a thread of its own.
    async fn look(
        &self,
        mut series: Series<Disk>,
    ) -> Result<(Series<Disk>, Result<Step, Stop>), FollowError> {
        let shared = &self.shared;
        let mut remote = Remote {
            store: Arc::clone(&shared.store),
            bucket: shared.bucket.clone(),
            names: self.names.clone(),
            options: Arc::clone(&shared.appender.options),
            runtime: Handle::current(),
        };
        let now = shared.started.elapsed();
        let looked = tokio::task::spawn_blocking(move || {
            let step = match series.is_placed() {
                true => series.look(now, &mut remote),
                false => match series.place(&mut remote) {
                    Ok(()) if series.is_placed() => series.look(now, &mut remote),
                    placed => placed.map(|()| Step::Idle),
                },
            };
            (series, step)
        });
        looked.await.map_err(|error| {
            let error = Error::from(std::io::Error::other(error));
            FollowError::of_request(&self.path, error)
        })
    }

    async fn append(&mut self, head: Head, bytes: bytes::Bytes) -> Result<(), FollowError> {
        let is_open = |(number, appender): &(u64, ObjectAppender<_>)| {
            *number == head.number && appender.position() == head.length
        };
        if !self.appender.as_ref().is_some_and(is_open) {
            self.settle().await?;
            let opened = self.open(head).await;
            self.appender = Some((head.number, opened.map_err(|error| self.refused(error))?));
        }
        if let Some((_, appender)) = &mut self.appender {
            let len = bytes.len() as u64;
            let appended = appender.append(bytes).await;
            self.report.object = Some(appender.object().clone());
            appended.map_err(|error| FollowError::of_request(&self.path, error))?;
            self.report.bytes += len;
            self.report.appends += 1;
        }
        Ok(())
    }

    /// An append of a process that was killed may still land: what is there is compared then.
    async fn open(&self, head: Head) -> Result<ObjectAppender<Arc<S>>, Error> {
        let object = self.object(head.number)?;
        let from = Checkpoint::new(object.clone(), head.length).crc64(head.crc64);
        let builder = self.shared.appender.clone().for_object(object);
        builder.replay(from).open().await
    }

    /// Proves what was only compared so far.
    async fn settle(&mut self) -> Result<(), FollowError> {
        if let Some((_, mut appender)) = self.appender.take() {
            let proven = appender.verify().await;
            proven.map_err(|error| self.refused(error))?;
        }
        Ok(())
    }

    /// Whether it may be over at the next look.
    fn may_go_on(&mut self, stop: &Stop) -> Result<(), FollowError> {
        self.tries += 1;
        let is_unreadable = matches!(stop, Stop::File(..));
        let waits_forever = is_unreadable && !self.shared.rules.once;
        if !stop.may_pass() || (self.tries > TRIES && !waits_forever) {
            return Err(self.failed(stop));
        }
        if is_unreadable && !std::mem::replace(&mut self.is_told, true) {
            self.tell(FollowEvent::Waiting {
                file: self.path.clone(),
                reason: stop.to_string(),
            });
        }
        Ok(())
    }

    async fn wait(&self, time: Duration, is_hinted: bool) {
        let hinted = async {
            match is_hinted {
                true => self.hint.notified().await,
                false => std::future::pending().await,
            }
        };
        tokio::select! {
            () = sleep(time) => {}
            () = hinted => {}
            () = self.shared.stop.cancelled() => {}
        }
    }

    fn object(&self, number: u64) -> Result<ObjectPath, Error> {
        let key = self.names.key(number);
        Ok(ObjectPath::new(&self.shared.bucket, key)?)
    }

    fn failed(&self, stop: &Stop) -> FollowError {
        FollowError::new(&self.path, |number| self.object(number).ok(), stop)
    }

    fn refused(&self, error: Error) -> FollowError {
        FollowError::of_request(&self.path, error)
    }

    fn tell(&self, event: FollowEvent) {
        caught(|| (self.shared.on_event)(event));
    }
}
