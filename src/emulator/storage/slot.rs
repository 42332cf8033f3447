//! Changing an object.

use std::io;
use std::sync::{Arc, MutexGuard};

use super::directory::{Directory, Files, Sidecar};
use super::rope::Rope;
use super::{Bucket, BucketDeleted, Data, Entry, State, Stored, ended};
use crate::emulator::body::{Content, Received};
use crate::emulator::object::Properties;
use crate::values::locks::MutexExt;

/// The place of one object, which nobody else changes.
#[derive(Debug)]
pub(in crate::emulator) struct Slot<'a> {
    directory: Option<&'a Directory>,
    bucket: &'a Bucket,
    state: State,
    key: &'a str,
    entry: &'a Entry,
    _alone: MutexGuard<'a, ()>,
    /// Of the object as it is stored.
    properties: Option<Arc<Properties>>,
}

impl<'a> Slot<'a> {
    /// Waits until nobody else changes the object.
    pub(super) fn new(
        directory: Option<&'a Directory>,
        bucket: &'a Bucket,
        state: State,
        key: &'a str,
        entry: &'a Entry,
    ) -> Self {
        let alone = entry.change.locked();
        Self {
            directory,
            bucket,
            state,
            key,
            entry,
            _alone: alone,
            properties: entry.properties(),
        }
    }

    pub(in crate::emulator) fn properties(&self) -> Option<&Properties> {
        self.properties.as_deref()
    }

    /// Puts a body behind the object's bytes and gives it `properties`. Makes the object if it is
    /// missing.
    pub(in crate::emulator) fn append(
        &mut self,
        body: Received,
        properties: Properties,
    ) -> io::Result<()> {
        self.check()?;
        let Some(directory) = self.directory else {
            return self.store_in_memory(body, properties, false);
        };
        let offset = self.properties.as_ref().map_or(0, |object| object.length);
        let Some(mut files) = self.files() else {
            return self.make(directory, &body, properties);
        };
        directory.write(&self.bucket.name, &files.data, offset, &body)?;
        let sidecar = self.sidecar(&files, properties);
        let grown = directory.commit_growth(&self.bucket.name, &sidecar, &mut files);
        self.keep_if(grown, files, sidecar.properties)
    }

    /// Makes the object anew from a body.
    pub(in crate::emulator) fn replace(
        &mut self,
        body: Received,
        properties: Properties,
    ) -> io::Result<()> {
        self.check()?;
        let Some(directory) = self.directory else {
            return self.store_in_memory(body, properties, true);
        };
        let old = self.files();
        self.make(directory, &body, properties)?;
        if let Some(old) = old {
            directory.remove_data(&self.bucket.name, &old.data);
        }
        Ok(())
    }

    /// Gives the object other properties.
    pub(in crate::emulator) fn set_properties(&mut self, properties: Properties) -> io::Result<()> {
        self.check()?;
        let (Some(directory), Some(mut files)) = (self.directory, self.files()) else {
            if let Some(object) = &mut *self.entry.stored.locked() {
                object.properties = Arc::new(properties);
                self.properties = Some(Arc::clone(&object.properties));
            }
            return Ok(());
        };
        let sidecar = self.sidecar(&files, properties);
        let committed = directory.commit(&self.bucket.name, &sidecar, &mut files);
        self.keep_if(committed, files, sidecar.properties)
    }

    /// Removes the object, if it is there.
    pub(in crate::emulator) fn remove(&mut self) -> io::Result<()> {
        self.check()?;
        if let (Some(directory), Some(files)) = (self.directory, self.files()) {
            directory.remove(&self.bucket.name, self.key)?;
            directory.remove_data(&self.bucket.name, &files.data);
        }
        self.keep(None);
        Ok(())
    }

    /// Whether changes are still wanted.
    fn check(&self) -> io::Result<()> {
        match self.state {
            State::Open => Ok(()),
            State::Deleted => Err(io::Error::other(BucketDeleted(self.bucket.name.clone()))),
            State::Closed => Err(ended()),
        }
    }

    /// Puts a body behind what is stored, or `anew` in its place.
    fn store_in_memory(
        &mut self,
        body: Received,
        properties: Properties,
        anew: bool,
    ) -> io::Result<()> {
        let pieces = match body.content {
            Content::Memory(pieces) => pieces,
            Content::File(_) => vec![body.into_bytes()?],
        };
        let properties = Arc::new(properties);
        self.properties = Some(Arc::clone(&properties));
        let mut stored = self.entry.stored.locked();
        if anew {
            *stored = None;
        }
        let object = stored.get_or_insert_with(|| Stored {
            properties: Arc::clone(&properties),
            data: Data::Rope(Rope::default()),
        });
        object.properties = properties;
        if let Data::Rope(rope) = &mut object.data {
            pieces.into_iter().for_each(|piece| rope.push(piece));
        }
        Ok(())
    }

    /// Stores the object in a new data file. If it fails none is left.
    fn make(
        &mut self,
        directory: &Directory,
        body: &Received,
        properties: Properties,
    ) -> io::Result<()> {
        let mut files = Files::new(self.key);
        directory.write(&self.bucket.name, &files.data, 0, body)?;
        let sidecar = self.sidecar(&files, properties);
        if let Err(error) = directory.commit(&self.bucket.name, &sidecar, &mut files) {
            directory.remove_data(&self.bucket.name, &files.data);
            return Err(error);
        }
        self.keep_if(Ok(()), files, sidecar.properties)
    }

    fn sidecar(&self, files: &Files, properties: Properties) -> Sidecar {
        Sidecar {
            key: self.key.to_owned(),
            data: files.data.clone(),
            properties,
        }
    }

    fn files(&self) -> Option<Files> {
        match &self.entry.stored.locked().as_ref()?.data {
            Data::Files(files) => Some(files.clone()),
            Data::Rope(_) => None,
        }
    }

    /// Keeps what a change has led to: in the files anyway, in the object if it is `done`.
    fn keep_if(
        &mut self,
        done: io::Result<()>,
        files: Files,
        properties: Properties,
    ) -> io::Result<()> {
        let properties = match (&done, &self.properties) {
            (Err(_), Some(before)) => Arc::clone(before),
            _ => Arc::new(properties),
        };
        let data = Data::Files(files);
        self.keep(Some(Stored { properties, data }));
        done
    }

    fn keep(&mut self, object: Option<Stored>) {
        self.properties = object.as_ref().map(|object| Arc::clone(&object.properties));
        // Dropped when nothing is locked.
        let _before = std::mem::replace(&mut *self.entry.stored.locked(), object);
    }
}
