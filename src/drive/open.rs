//! Opening an object: what is there, and where to go on.

use std::sync::Arc;

use super::ObjectAppender;
use super::driver::Driver;
use super::events::TARGET;
use super::options::{AppenderOptions, OpenMode, appender_option_setters, open_mode_setters};
use super::stats::Counters;
use crate::engine::action::Goal;
use crate::engine::machine::Engine;
use crate::engine::window::Window;
use crate::error::{Conflict, ConflictCause, Error, ErrorKind, Result};
use crate::store::AppendStore;
use crate::values::batch::Batch;
use crate::values::info::{ObjectInfo, ObjectKind};
use crate::values::path::ObjectPath;
use crate::values::position::ObjectPosition;

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
        let mut options = AppenderOptions::default();
        options.rules.set_limits(store.limits());
        options.rules.evidence = store.evidence();
        Self {
            store,
            object,
            options: Arc::new(options),
        }
    }

    open_mode_setters!(options);
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
    /// does not reach to the replay's checkpoint, or is not compressed as what is to be appended
    /// ([`Format`](ConflictCause::Format)); what OSS said for a missing bucket or
    /// permission (the look is a HEAD and needs `oss:GetObject`).
    ///
    /// # Cancel safety
    /// Safe; with [`create_new`](Self::create_new) the empty object may have been created.
    pub async fn open(self) -> Result<ObjectAppender<S>> {
        let object = self.object.clone();
        let counters = Arc::new(Counters::new(&object, &self.options.events));
        let driver = self.open_driver(Arc::clone(&counters)).await;
        let driver = counters.told(&object, driver)?;
        counters.tell_ignored(&object);
        Ok(ObjectAppender::new(driver))
    }

    /// Opens the object for whoever has the window. Counts in `counters` what is done.
    pub(crate) async fn open_driver(self, counters: Arc<Counters>) -> Result<Driver<S>> {
        let Self {
            store,
            object,
            options,
        } = self;
        let mark = options
            .mark_creator
            .then(|| fastrand::u128(..).to_be_bytes());
        options
            .check()
            .and_then(|()| check_mode(&options, &object))
            .map_err(|error| error.with_operation("open").with_object(&object))?;
        if options.rules.max_in_flight > 1 && store.lane(&object).is_none() {
            counters.events().trace(|| {
                tracing::warn!(
                    target: TARGET,
                    %object,
                    "the store sends one append at a time, whatever max_in_flight is"
                );
            });
            counters.note_lane(false);
        }
        let mut driver = Driver {
            store,
            options,
            counters,
            engine: Engine::new(object, mark),
        };
        // What waits in the window of a writer is not settled by this.
        let mut window = Window::default();
        let looked = driver
            .run(Goal::Look(ObjectPosition::default()), &mut window)
            .await;
        let seen = looked
            .and_then(|looked| check_open(&driver.options, looked.seen.map(|seen| *seen)))
            .map_err(|error| error.with_operation("open").with_object(driver.object()))?;
        // In a box, since it is long, and over before anything else is begun.
        let beginning = Box::pin(driver.inspector().beginning(seen.as_ref())).await;
        driver.engine.beginning =
            beginning.map_err(|error| error.with_operation("open").with_object(driver.object()))?;
        let replay = match &driver.options.mode {
            OpenMode::Replay(from) => Some(from.proven()),
            OpenMode::Append | OpenMode::CreateNew => None,
        };
        let properties = seen.as_ref().and_then(|seen| seen.properties.as_deref());
        let ignored = properties.map(|found| driver.options.create.ignored_by(found));
        driver.counters.note_ignored(ignored.unwrap_or_default());
        driver.engine.opened(seen, replay);
        if driver.options.mode == OpenMode::CreateNew {
            window.offer(Batch::from(""), driver.now());
            driver.settle(&mut window).await?;
        }
        Ok(driver)
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
