//! The options of a follower, and its run over all files.

use std::collections::HashMap;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::driver::{Follow, Shared};
use super::hints::Hints;
use super::paths::{self, Found};
use super::report::{FollowEvent, FollowedFile};
use super::series::Rules;
use crate::drive::ObjectAppender;
use crate::drive::ObjectAppenderBuilder;
use crate::drive::options::appender_option_setters;
use crate::error::{Error, Result};
use crate::store::AppendStore;
use crate::values::path::ObjectPath;

/// Options for a [`FileFollower`](crate::FileFollower).
#[must_use = "call `follow` to run it"]
pub struct FileFollowerBuilder<S> {
    store: Arc<S>,
    bucket: String,
    template: String,
    appender: ObjectAppenderBuilder<Arc<S>>,
    files: Vec<String>,
    patterns: Vec<String>,
    once: bool,
    skip_rotated: bool,
    allow_gap: bool,
    drain: Duration,
    linger: Duration,
    batch_size: u64,
    max_append_size: u64,
    memory: u64,
    on_event: Arc<dyn Fn(FollowEvent) + Send + Sync>,
}

impl<S> std::fmt::Debug for FileFollowerBuilder<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileFollowerBuilder")
            .field("bucket", &self.bucket)
            .field("template", &self.template)
            .field("files", &self.files)
            .field("patterns", &self.patterns)
            .field("once", &self.once)
            .finish_non_exhaustive()
    }
}

impl<S: AppendStore> FileFollowerBuilder<S> {
    pub(super) fn new(store: S, bucket: String, template: String) -> Self {
        let store = Arc::new(store);
        // Each file has another one.
        let object = ObjectPath::unchecked(&bucket, &template);
        Self {
            appender: ObjectAppender::builder(Arc::clone(&store), object),
            store,
            bucket,
            template,
            files: Vec::new(),
            patterns: Vec::new(),
            once: false,
            skip_rotated: false,
            allow_gap: false,
            drain: Duration::from_secs(5),
            linger: Duration::from_secs(1),
            batch_size: 1 << 20,
            max_append_size: 8 << 20,
            memory: 64 << 20,
            on_event: Arc::new(|_| {}),
        }
    }

    appender_option_setters!(appender.options);

    /// Follows this file, or all that match this glob, also those that appear later. A path without
    /// `*`, `?` and `[` is taken as it is, and may appear later too.
    pub fn file(mut self, path_or_glob: impl Into<String>) -> Self {
        self.files.push(path_or_glob.into());
        self
    }

    /// Where rotated files are found beside the usual names: a glob, relative to the directory of each
    /// followed file, in which `{file}` stands for its name. Default: names as logrotate and kubelet
    /// give them, in the directory of the file and of what it links to: `app.log.1`,
    /// `app.log-20261128`, `app-20261128.log`, `app.log.old`, each also with `.gz`.
    pub fn rotated(mut self, glob: impl Into<String>) -> Self {
        self.patterns.push(glob.into());
        self
    }

    /// Ends when all is durable that the files hold at the start, with the part of a line at their
    /// ends. Default: goes on.
    pub fn once(mut self, once: bool) -> Self {
        self.once = once;
        self
    }

    /// Where there is no object yet, begins with the file itself. Default: with the oldest of those
    /// that a rotation has left, so that nothing is lost if it is killed before the first append.
    pub fn skip_rotated(mut self, skip: bool) -> Self {
        self.skip_rotated = skip;
        self
    }

    /// Where no file begins with the bytes of the newest object, takes its file for lost, and goes on
    /// in the next object with the files that no object has come from. Needs `{seq}`. Default: that is
    /// a [`Conflict`](crate::FollowErrorKind::Conflict).
    pub fn allow_gap(mut self, allow: bool) -> Self {
        self.allow_gap = allow;
        self
    }

    /// How long a file that was renamed has to be still until the next one is begun, once that has
    /// bytes: its writer may not have noticed. Default: 5 s.
    pub fn drain(mut self, still: Duration) -> Self {
        self.drain = still;
        self
    }

    /// How long lines gather for the next append to the same object, unless there is a batch of them.
    /// Default: 1 s.
    pub fn linger(mut self, linger: Duration) -> Self {
        self.linger = linger;
        self
    }

    /// So many bytes are appended without waiting for more. Default: 1 MiB.
    pub fn batch_size(mut self, bytes: u64) -> Self {
        self.batch_size = bytes;
        self
    }

    /// The most bytes of one append, and of a line that is not sent in pieces. Default: 8 MiB.
    pub fn max_append_size(mut self, bytes: u64) -> Self {
        self.max_append_size = bytes;
        self
    }

    /// The most bytes in memory for all files together; at least one append has room. Default: 64
    /// MiB.
    pub fn memory(mut self, bytes: u64) -> Self {
        self.memory = bytes;
        self
    }

    /// Calls this for what is noticed of files. It must not block. Default: nothing.
    pub fn on_file_event(mut self, callback: impl Fn(FollowEvent) + Send + Sync + 'static) -> Self {
        self.on_event = Arc::new(callback);
        self
    }

    /// Follows until `stop` is ready, or, with [`once`](Self::once), until all is durable, or no file
    /// can be followed any further. What is under way when `stop` is ready is waited for. The result
    /// tells what became of each file.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if the template is not valid or gives two
    /// files the same key, a glob is not valid, or nothing is to be followed. Why a file was not
    /// followed to the end is in [`FollowedFile::failure`].
    ///
    /// # Cancel safety
    /// To drop the future is as to kill the process: appends that are under way may still be applied,
    /// and a new start goes on exactly behind them.
    pub async fn follow(self, stop: impl Future<Output = ()>) -> Result<Vec<FollowedFile>> {
        self.check()?;
        let most = usize::try_from(self.max_append_size).unwrap_or(usize::MAX);
        let permits = (self.memory / self.max_append_size.max(1)).clamp(1, 1 << 20);
        let rules = &self.appender.options.rules;
        let (globs, template) = (self.files, self.template);
        let numbered = paths::is_numbered(&template)?;
        let shared = Arc::new(Shared {
            rules: Rules {
                numbered,
                most,
                max_object_size: rules
                    .max_object_size
                    .min(rules.limits().max_object.unwrap_or(u64::MAX)),
                drain: self.drain,
                once: self.once,
                skip_rotated: self.skip_rotated,
                allow_gap: self.allow_gap,
            },
            store: self.store,
            appender: self.appender,
            bucket: self.bucket,
            patterns: self.patterns,
            linger: self.linger,
            batch_size: usize::try_from(self.batch_size).unwrap_or(usize::MAX),
            memory: Semaphore::new(usize::try_from(permits).unwrap_or(1)),
            stop: CancellationToken::new(),
            on_event: self.on_event,
            started: Instant::now(),
        });
        let run = Run {
            once: self.once,
            hints: Hints::new(),
            tasks: JoinSet::new(),
            keys: HashMap::new(),
            found: Found::new(globs),
            template,
            ended: Vec::new(),
            shared,
        };
        run.run(stop).await
    }

    fn check(&self) -> Result<()> {
        if self.files.is_empty() {
            return Err(Error::invalid_input("there is no file to follow"));
        }
        if self.appender.options.rules.shared {
            return Err(Error::invalid_input(
                "the length of an object is where it goes on, so that it cannot be shared",
            ));
        }
        if self.max_append_size == 0 || self.batch_size == 0 {
            return Err(Error::invalid_input(
                "batch_size and max_append_size must be at least one byte",
            ));
        }
        if self.allow_gap && !paths::is_numbered(&self.template)? {
            return Err(Error::invalid_input(
                "after a gap the next object is begun, which needs {seq} in the template",
            ));
        }
        self.appender.options.check()
    }
}

/// All files under way.
struct Run<S> {
    shared: Arc<Shared<S>>,
    template: String,
    found: Found,
    once: bool,
    hints: Hints,
    tasks: JoinSet<FollowedFile>,
    /// Which file has which first key.
    keys: HashMap<String, PathBuf>,
    ended: Vec<FollowedFile>,
}

impl<S: AppendStore> Run<S> {
    async fn run(mut self, stop: impl Future<Output = ()>) -> Result<Vec<FollowedFile>> {
        let mut stop = std::pin::pin!(stop);
        let mut look = interval(Duration::from_secs(1));
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut is_stopped = false;
        loop {
            tokio::select! {
                () = &mut stop, if !is_stopped => {
                    is_stopped = true;
                    self.shared.stop.cancel();
                }
                _ = look.tick(), if !is_stopped && (self.found.has_globs() || self.keys.is_empty()) => {
                    self.find().await?;
                }
                Some(ended) = self.tasks.join_next(), if !self.tasks.is_empty() => {
                    self.ended(ended);
                }
            }
            // More may come, unless that is over.
            let waits = self.found.has_globs() && !self.once && !is_stopped;
            if self.tasks.is_empty() && !waits {
                return Ok(self.ended);
            }
        }
    }

    fn ended(&mut self, ended: std::result::Result<FollowedFile, tokio::task::JoinError>) {
        let ended = match ended {
            Ok(ended) => ended,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // All are aborted, with this future.
                Err(_) => return,
            },
        };
        if let Some(failure) = &ended.failure {
            let event = FollowEvent::Failed {
                path: ended.path.clone(),
                reason: failure.to_string(),
            };
            crate::callback::caught(|| (self.shared.on_event)(event));
        }
        self.ended.push(ended);
    }

    /// Begins with files that are new.
    async fn find(&mut self) -> Result<()> {
        let mut found = std::mem::take(&mut self.found);
        let looked = tokio::task::spawn_blocking(move || {
            let new = found.new_paths();
            (found, new)
        });
        let (found, new) = looked
            .await
            .map_err(|error| Error::from(std::io::Error::other(error)))?;
        self.found = found;
        for path in new? {
            let names = paths::names(&self.template, &path)?;
            if let Some(other) = self.keys.insert(names.key(1), path.clone()) {
                return Err(Error::invalid_input(format!(
                    "{} and {} would go to the same object: put {{file}} or {{dir}} into the \
                     template",
                    other.display(),
                    path.display()
                )));
            }
            let hint = self.hints.of(&path);
            let follow = Follow::new(Arc::clone(&self.shared), names, path, hint);
            self.tasks.spawn(follow.run());
        }
        if self.once && self.keys.is_empty() {
            return Err(Error::invalid_input("no file matches"));
        }
        Ok(())
    }
}
