//! Looking at an object.

use std::cell::Cell;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::{Arc, MutexGuard};

use super::directory::Directory;
use super::{Data, Entry, Reading, Stored};
use crate::emulator::object::Properties;
use crate::values::locks::MutexExt;

/// One object at one moment.
#[derive(Debug)]
pub(in crate::emulator) struct View<'a> {
    directory: Option<&'a Directory>,
    bucket: &'a str,
    properties: Option<Arc<Properties>>,
    data: ViewData<'a>,
    /// The data file was not there.
    missing: Cell<bool>,
}

#[derive(Debug)]
enum ViewData<'a> {
    None,
    /// In memory. Held until the view is dropped, which is soon.
    Held(MutexGuard<'a, Option<Stored>>),
    /// The name of the data file.
    File(String),
}

impl<'a> View<'a> {
    pub(super) fn new(
        directory: Option<&'a Directory>,
        bucket: &'a str,
        entry: Option<&'a Entry>,
    ) -> Self {
        let stored = entry.map(|entry| entry.stored.locked());
        let object = stored.as_ref().and_then(|stored| stored.as_ref());
        let properties = object.map(|object| Arc::clone(&object.properties));
        let file = match object.map(|object| &object.data) {
            Some(Data::Files(files)) => Some(files.data.clone()),
            _ => None,
        };
        let data = match (file, stored) {
            (Some(name), _) => ViewData::File(name),
            (None, Some(stored)) => ViewData::Held(stored),
            (None, None) => ViewData::None,
        };
        Self {
            directory,
            bucket,
            properties,
            data,
            missing: Cell::new(false),
        }
    }

    pub(in crate::emulator) fn properties(&self) -> Option<&Properties> {
        self.properties.as_deref()
    }

    /// The bytes of a range, which must lie within the object.
    pub(in crate::emulator) fn read(&self, range: Range<u64>) -> io::Result<Reading> {
        match (&self.data, self.directory) {
            (ViewData::File(name), Some(directory)) => {
                let opened = File::open(directory.data(self.bucket, name));
                let gone = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
                self.missing.set(opened.as_ref().is_err_and(gone));
                Ok(Reading::File {
                    file: opened?,
                    range,
                })
            }
            (ViewData::Held(stored), _) => match stored.as_ref().map(|object| &object.data) {
                Some(Data::Rope(rope)) => Ok(Reading::Pieces(rope.slice(range))),
                _ => Err(io::ErrorKind::NotFound.into()),
            },
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// The data file, if it was not there: the object was replaced or removed before it was opened.
    pub(super) fn into_missing(self) -> Option<String> {
        match self.data {
            ViewData::File(name) if self.missing.get() => Some(name),
            _ => None,
        }
    }
}
