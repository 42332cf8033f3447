//! Opening an object: what is there, and where to go on.

use std::sync::Arc;

use super::ObjectAppender;
use super::attempt::{LOOKS_AGAIN, Pending, is_stale, look_again};
use super::options::{AppenderOptions, OpenMode, appender_option_setters};
use super::replay::Replay;
use super::retry::Budget;
use super::stats::Counters;
use crate::error::{Conflict, ConflictCause, Error, ErrorKind, Result};
use crate::store::AppendStore;
use crate::values::batch::Batch;
use crate::values::info::{ObjectInfo, ObjectKind};
use crate::values::path::ObjectPath;
use crate::values::progress::Progress;
use crate::values::proven::Proven;

/// Options for opening an [`ObjectAppender`].
#[derive(Clone, Debug)]
#[must_use = "call `open` to get the appender"]
pub struct ObjectAppenderBuilder<S> {
    store: S,
    object: ObjectPath,
    /// Shared with the appenders that it opens.
    pub(crate) options: Arc<AppenderOptions>,
}

impl<S: AppendStore> ObjectAppenderBuilder<S> {
    pub(super) fn new(store: S, object: ObjectPath) -> Self {
        Self {
            store,
            object,
            options: Arc::default(),
        }
    }

    appender_option_setters!(options);

    /// The object to be opened.
    pub fn object(&self) -> &ObjectPath {
        &self.object
    }

    /// The same options for another object.
    pub(crate) fn for_object(mut self, object: ObjectPath) -> Self {
        self.object = object;
        self
    }

    /// Looks at the object and opens it.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) for options that do not go together,
    /// [`NotAppendable`](ErrorKind::NotAppendable) and [`Sealed`](ErrorKind::Sealed) for an object
    /// that takes no appends, [`Conflict`](ErrorKind::Conflict) for one that exists and should not,
    /// or does not reach to the replay's checkpoint; what OSS said for a missing bucket or
    /// permission (the look is a HEAD and needs `oss:GetObject`).
    ///
    /// # Cancel safety
    /// Safe; with [`create_new`](Self::create_new) the empty object may have been created.
    pub async fn open(self) -> Result<ObjectAppender<S>> {
        let counters = Arc::new(Counters::new(self.object.bucket()));
        self.open_counting(counters).await
    }

    /// The same, and counts in `counters` what it does.
    pub(crate) async fn open_counting(self, counters: Arc<Counters>) -> Result<ObjectAppender<S>> {
        let Self {
            store,
            object,
            options,
        } = self;
        let mark = options.mark_creator.then(|| fastrand::u128(..));
        options
            .check()
            .and_then(|()| check_mode(&options, &object))
            .map_err(|error| error.with_operation("open").with_object(&object))?;
        let mut appender = ObjectAppender {
            store,
            object,
            options,
            counters,
            given: Proven::EMPTY,
            exists: false,
            mark,
            creator: None,
            unchecked_mark: false,
            replay: None,
            pending: None,
            lost: None,
            failed: None,
            not_before: None,
        };
        let context = |error: Error, object| error.with_operation("open").with_object(object);
        let seen = appender
            .head(&mut Budget::new())
            .await
            .and_then(|seen| check_open(&appender.options, seen))
            .map_err(|error| context(error, &appender.object))?;
        appender.take_up(seen);
        if appender.options.mode == OpenMode::CreateNew {
            appender.pending = Some(Box::new(Pending::new(Batch::from(""), 0)));
            appender.settle().await?;
        }
        Ok(appender)
    }
}

/// Whether the checkpoint to replay from is of `object`.
fn check_mode(options: &AppenderOptions, object: &ObjectPath) -> Result<()> {
    match &options.mode {
        OpenMode::Replay(from) if from.object != *object => Err(Error::invalid_input(format!(
            "the checkpoint to replay from is of {}",
            from.object
        ))),
        _ => Ok(()),
    }
}

/// Whether an object in this state may be opened.
fn check_open(options: &AppenderOptions, seen: Option<ObjectInfo>) -> Result<Option<ObjectInfo>> {
    let conflict = |cause, expected, found| {
        Err(Error::new(ErrorKind::Conflict(Conflict::new(
            cause, expected, found,
        ))))
    };
    let Some(info) = &seen else {
        return match options.mode {
            OpenMode::Replay(ref from) if from.position > 0 => {
                conflict(ConflictCause::Gone, from.position, None)
            }
            _ => Ok(None),
        };
    };
    if options.mode == OpenMode::CreateNew {
        return conflict(ConflictCause::Exists, 0, Some(info.length));
    }
    if let ObjectKind::Other(object_type) = &info.kind {
        return Err(Error::new(ErrorKind::NotAppendable {
            object_type: Some(object_type.clone()),
        }));
    }
    if let OpenMode::Replay(from) = &options.mode {
        let differs =
            info.length == from.position && from.proven().has_crc(info.crc64) == Some(false);
        if info.length < from.position || differs {
            let found = Some(info.length);
            return conflict(ConflictCause::Replaced, from.position, found);
        }
    } else if info.sealed {
        return Err(Error::new(ErrorKind::Sealed));
    }
    Ok(seen)
}

impl<S: AppendStore> ObjectAppender<S> {
    fn take_up(&mut self, seen: Option<ObjectInfo>) {
        self.exists = seen.is_some();
        self.creator = seen.as_ref().and_then(|seen| seen.creator.clone());
        let end = seen.map_or(Proven::EMPTY, |seen| Proven {
            position: seen.length,
            crc: seen.crc64.or((seen.length == 0).then_some(0)),
        });
        match &self.options.mode {
            OpenMode::Replay(from) => {
                let from = from.proven();
                let at_end = end.position == from.position;
                self.given = Proven {
                    crc: from.crc.or(end.crc.filter(|_| at_end)),
                    ..from
                };
                self.replay = Some(Box::new(Replay::new(from.position, end)));
            }
            OpenMode::Append | OpenMode::CreateNew => self.given = end,
        }
    }

    /// Looks at the object, with retries, until it is at least `length` bytes long. One that seems
    /// to be shorter, as a cache on the way may show it, is looked at again.
    pub(super) async fn head_of(&self, length: u64) -> Result<Option<ObjectInfo>> {
        for time in 0..LOOKS_AGAIN {
            let seen = self.head(&mut Budget::new()).await?;
            if !is_stale(length, None, seen.as_ref()) {
                return Ok(seen);
            }
            look_again(time, &self.options).await;
        }
        self.head(&mut Budget::new()).await
    }

    /// Looks at the object, with retries.
    pub(super) async fn head(&self, budget: &mut Budget) -> Result<Option<ObjectInfo>> {
        loop {
            let request = self.store.head(&self.object);
            match budget
                .attempt(&self.options, &self.counters, &Progress::new(), request)
                .await
            {
                Ok(seen) => return Ok(seen),
                Err(error) => budget.pause(&self.options, &self.counters, error).await?,
            }
        }
    }
}
