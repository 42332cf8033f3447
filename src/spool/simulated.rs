//! A disk in memory for tests, which can lose power, run full and fail.
//!
//! It keeps two states: what a running process sees, and what is durable. Every change is put in
//! one list, in the order in which it was made, until a sync makes it durable. A sync of a file
//! takes the writes to that file from the list, a sync of the disk takes the names. Whatever a
//! random generator decides is repeatable, since the caller gives the generator.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::io::{self, IoSlice};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::disk::{Disk, DiskFile};

/// A simulated disk. Clones are the same disk.
#[derive(Clone, Default)]
pub(crate) struct SimulatedDisk(Arc<Mutex<State>>);

type FileId = u64;

/// What others do in the midst of an operation.
type Meanwhile = Box<dyn FnMut() + Send>;

#[derive(Default)]
struct State {
    names: BTreeMap<String, FileId>,
    contents: HashMap<FileId, Vec<u8>>,
    durable_names: BTreeMap<String, FileId>,
    durable_contents: HashMap<FileId, Vec<u8>>,
    /// What is not durable yet.
    changes: Vec<Change>,
    files: FileId,
    /// Files opened before the last crash cannot be used.
    boots: u64,
    /// Free bytes, if the disk is limited.
    free: Option<u64>,
    fail: Option<(u64, io::ErrorKind)>,
    tear: Option<usize>,
    /// The process ends at the n-th operation, of which so many bytes are written.
    end: Option<(u64, usize)>,
    dead: bool,
    meanwhile: Option<Meanwhile>,
    operations: u64,
    bytes_read: u64,
}

#[derive(Debug)]
enum Change {
    Create {
        name: String,
        file: FileId,
    },
    Remove {
        name: String,
    },
    Write {
        file: FileId,
        offset: u64,
        bytes: Vec<u8>,
    },
    SetLen {
        file: FileId,
        len: u64,
    },
}

impl Change {
    fn file(&self) -> Option<FileId> {
        match self {
            Self::Write { file, .. } | Self::SetLen { file, .. } => Some(*file),
            Self::Create { .. } | Self::Remove { .. } => None,
        }
    }
}

fn write(contents: &mut Vec<u8>, offset: u64, bytes: &[u8]) {
    let offset = offset as usize;
    let end = offset + bytes.len();
    if contents.len() < end {
        contents.resize(end, 0);
    }
    contents[offset..end].copy_from_slice(bytes);
}

impl State {
    /// Whether the process ends with this operation. A write is torn then.
    fn ends_now(&mut self) -> bool {
        let Some((left, keep)) = &mut self.end else {
            return false;
        };
        *left -= 1;
        let ends = *left == 0;
        if ends {
            self.tear = Some(*keep);
            self.end = None;
        }
        ends
    }

    fn operation(&mut self) -> io::Result<()> {
        self.start(false)
    }

    /// Counts an operation and lets it fail if it is to.
    fn start(&mut self, writes: bool) -> io::Result<()> {
        self.operations += 1;
        if self.dead || self.ends_now() && !writes {
            self.dead = true;
            return Err(io::Error::other("the process was killed"));
        }
        if let Some((left, kind)) = &mut self.fail {
            *left -= 1;
            if *left == 0 {
                let kind = *kind;
                self.fail = None;
                return Err(kind.into());
            }
        }
        Ok(())
    }

    fn contents(&mut self, file: FileId) -> &mut Vec<u8> {
        self.contents.entry(file).or_default()
    }

    fn make_durable(&mut self, change: Change) {
        match change {
            Change::Create { name, file } => {
                self.durable_names.insert(name, file);
            }
            Change::Remove { name } => {
                self.durable_names.remove(&name);
            }
            Change::Write {
                file,
                offset,
                bytes,
            } => {
                write(
                    self.durable_contents.entry(file).or_default(),
                    offset,
                    &bytes,
                );
            }
            Change::SetLen { file, len } => {
                let contents = self.durable_contents.entry(file).or_default();
                contents.resize(len as usize, 0);
            }
        }
    }

    fn sync(&mut self, synced: impl Fn(&Change) -> bool) {
        for change in std::mem::take(&mut self.changes) {
            if synced(&change) {
                self.make_durable(change);
            } else {
                self.changes.push(change);
            }
        }
    }

    fn boot(&mut self) {
        self.boots += 1;
        self.dead = false;
        self.tear = None;
        self.end = None;
        self.fail = None;
    }
}

impl SimulatedDisk {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets others do something before an operation.
    fn enter(&self) -> MutexGuard<'_, State> {
        let taken = self.state().meanwhile.take();
        let Some(mut meanwhile) = taken else {
            return self.state();
        };
        meanwhile();
        let mut state = self.state();
        state.meanwhile = Some(meanwhile);
        state
    }

    /// Calls this in the midst of each operation. It must not use the disk.
    pub(crate) fn meanwhile(&self, meanwhile: Option<Meanwhile>) {
        let before = std::mem::replace(&mut self.state().meanwhile, meanwhile);
        drop(before);
    }

    /// Ends the process: what it wrote stays, its open files are of no use any more.
    pub(crate) fn kill(&self) {
        self.state().boot();
    }

    /// Ends the process after the next write, of which only the first bytes are kept.
    ///
    /// All operations after that fail until [`Self::revive`].
    pub(crate) fn tear_next_write(&self, keep: usize) {
        self.state().tear = Some(keep);
    }

    /// Ends the process at the n-th operation from now on, the next one being the first. If that is
    /// a write then the first bytes of it are kept.
    pub(crate) fn end_at(&self, n: u64, keep: usize) {
        self.state().end = Some((n, keep));
    }

    /// Ends the process at once, until [`Self::revive`].
    pub(crate) fn end(&self) {
        self.state().dead = true;
    }

    /// Whether the process that used the disk has ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.state().dead
    }

    /// Lets a new process use the disk.
    pub(crate) fn revive(&self) {
        self.kill();
    }

    /// Loses power: what is durable stays, and what is not up to a random change. Of that one
    /// change, if it is a write, only a part stays, or zeros are in its place.
    pub(crate) fn power_loss(&self, random: &mut fastrand::Rng) {
        let mut state = self.state();
        let mut changes = std::mem::take(&mut state.changes);
        let kept = random.usize(..=changes.len());
        let mut lost = changes.drain(kept..);
        let torn = lost.next();
        drop(lost);
        for change in changes {
            state.make_durable(change);
        }
        if let Some(Change::Write {
            file,
            offset,
            mut bytes,
        }) = torn
        {
            let keep = random.usize(..=bytes.len());
            if random.bool() {
                bytes.truncate(keep);
            } else {
                // The new length is durable and the bytes are not. Old bytes stay old.
                let old = state.durable_contents.entry(file).or_default();
                for (at, byte) in bytes.iter_mut().enumerate().skip(keep) {
                    *byte = old.get(offset as usize + at).copied().unwrap_or(0);
                }
            }
            state.make_durable(Change::Write {
                file,
                offset,
                bytes,
            });
        }
        let State {
            names,
            contents,
            durable_names,
            durable_contents,
            ..
        } = &mut *state;
        *names = durable_names.clone();
        *contents = durable_contents.clone();
        contents.retain(|file, _| names.values().any(|named| named == file));
        state.boot();
    }

    /// Limits the free space.
    pub(crate) fn set_free(&self, bytes: u64) {
        self.state().free = Some(bytes);
    }

    /// Lets the n-th operation from now on fail. The next one is the first.
    pub(crate) fn fail_at(&self, n: u64, kind: io::ErrorKind) {
        self.state().fail = Some((n, kind));
    }

    /// How many operations there were so far.
    pub(crate) fn operations(&self) -> u64 {
        self.state().operations
    }

    /// How many bytes were read so far.
    pub(crate) fn bytes_read(&self) -> u64 {
        self.state().bytes_read
    }

    /// The names of all files, in order.
    pub(crate) fn names(&self) -> Vec<String> {
        self.state().names.keys().cloned().collect()
    }

    /// What is in a file.
    pub(crate) fn contents(&self, name: &str) -> Vec<u8> {
        let mut state = self.state();
        let file = state.names[name];
        state.contents(file).clone()
    }

    /// Changes a file behind the back of those who use it.
    pub(crate) fn change(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.state();
        let file = state.names[name];
        change(state.contents(file));
    }

    /// Puts a file there that nobody created.
    pub(crate) fn put(&self, name: &str, bytes: &[u8]) {
        let mut state = self.state();
        state.files += 1;
        let file = state.files;
        state.names.insert(name.to_owned(), file);
        state.contents.insert(file, bytes.to_vec());
        state.durable_names.insert(name.to_owned(), file);
        state.durable_contents.insert(file, bytes.to_vec());
    }

    fn file(&self, id: FileId, boots: u64) -> Arc<dyn DiskFile> {
        Arc::new(SimulatedFile {
            disk: self.clone(),
            id,
            boots,
        })
    }
}

impl PartialEq for SimulatedDisk {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for SimulatedDisk {}

impl fmt::Debug for SimulatedDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SimulatedDisk").field(&self.names()).finish()
    }
}

impl Disk for SimulatedDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        self.enter().operation()?;
        Ok(self.names())
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.enter();
        state.operation()?;
        if state.names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        state.files += 1;
        let (file, boots) = (state.files, state.boots);
        let name = name.to_owned();
        state.names.insert(name.clone(), file);
        state.changes.push(Change::Create { name, file });
        drop(state);
        Ok(self.file(file, boots))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.enter();
        state.operation()?;
        let Some(file) = state.names.get(name).copied() else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let boots = state.boots;
        drop(state);
        Ok(self.file(file, boots))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.enter();
        state.operation()?;
        let Some(file) = state.names.remove(name) else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let freed = state.contents(file).len() as u64;
        if let Some(free) = &mut state.free {
            *free += freed;
        }
        state.changes.push(Change::Remove {
            name: name.to_owned(),
        });
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.enter();
        state.operation()?;
        state.sync(|change| change.file().is_none());
        Ok(())
    }

    fn describe(&self, name: &str) -> String {
        format!("/simulated/{name}")
    }
}

struct SimulatedFile {
    disk: SimulatedDisk,
    id: FileId,
    boots: u64,
}

impl SimulatedFile {
    fn operation(&self) -> io::Result<MutexGuard<'_, State>> {
        self.start(false)
    }

    fn start(&self, writes: bool) -> io::Result<MutexGuard<'_, State>> {
        let mut state = self.disk.enter();
        state.start(writes)?;
        if state.boots != self.boots {
            return Err(io::Error::other(
                "the file was opened by a process that is gone",
            ));
        }
        Ok(state)
    }
}

impl DiskFile for SimulatedFile {
    fn write_at(&self, offset: u64, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut state = self.start(true)?;
        let mut bytes = Vec::new();
        bufs.iter().for_each(|buf| bytes.extend_from_slice(buf));
        let len = state.contents(self.id).len() as u64;
        if let Some(free) = state.free {
            let room = (len + free).saturating_sub(offset);
            if room == 0 && !bytes.is_empty() {
                return Err(io::ErrorKind::StorageFull.into());
            }
            bytes.truncate(room.min(bytes.len() as u64) as usize);
        }
        let torn = state.tear.take();
        if let Some(keep) = torn {
            bytes.truncate(keep);
            state.dead = true;
        }
        let grown = (offset + bytes.len() as u64).saturating_sub(len);
        if !bytes.is_empty() {
            if let Some(free) = &mut state.free {
                *free -= grown;
            }
            write(state.contents(self.id), offset, &bytes);
        }
        let written = bytes.len();
        state.changes.push(Change::Write {
            file: self.id,
            offset,
            bytes,
        });
        if torn.is_some() {
            return Err(io::Error::other("the process was killed"));
        }
        Ok(written)
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let mut state = self.operation()?;
        let contents = state.contents(self.id);
        let start = contents.len().min(offset as usize);
        let read = buf.len().min(contents.len() - start);
        buf[..read].copy_from_slice(&contents[start..start + read]);
        state.bytes_read += read as u64;
        Ok(read)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.operation()?.contents(self.id).len() as u64)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.operation()?;
        let before = state.contents(self.id).len() as u64;
        if let Some(free) = &mut state.free {
            let room = *free + before;
            *free = room.checked_sub(len).ok_or(io::ErrorKind::StorageFull)?;
        }
        state.contents(self.id).resize(len as usize, 0);
        state.changes.push(Change::SetLen { file: self.id, len });
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.operation()?;
        let file = self.id;
        state.sync(|change| change.file() == Some(file));
        Ok(())
    }
}

mod tests {
    use super::*;

    fn slices(bytes: &[u8]) -> [IoSlice<'_>; 1] {
        [IoSlice::new(bytes)]
    }

    #[test]
    fn a_loss_of_power_keeps_what_is_durable_and_a_beginning_of_the_rest() {
        for seed in 0..200 {
            let disk = SimulatedDisk::new();
            let file = disk.create("a").unwrap();
            file.write_at(0, &slices(b"durable")).unwrap();
            file.sync().unwrap();
            disk.sync().unwrap();
            file.write_at(7, &slices(b"first")).unwrap();
            let other = disk.create("b").unwrap();
            other.write_at(0, &slices(b"second")).unwrap();
            disk.power_loss(&mut fastrand::Rng::with_seed(seed));
            let kept = disk.contents("a");
            assert!(kept.starts_with(b"durable"));
            if disk.names().len() == 2 {
                assert_eq!(kept, b"durablefirst");
            }
            assert!(file.len().is_err());
        }
    }

    #[test]
    fn a_file_whose_name_is_not_durable_is_lost_with_the_power() {
        let disk = SimulatedDisk::new();
        let file = disk.create("a").unwrap();
        file.write_at(0, &slices(b"bytes")).unwrap();
        file.sync().unwrap();
        let seeds = 0..50;
        let lost = seeds.map(|seed| {
            let copy = SimulatedDisk::new();
            let file = copy.create("a").unwrap();
            file.sync().unwrap();
            copy.power_loss(&mut fastrand::Rng::with_seed(seed));
            copy.names().is_empty()
        });
        assert!(lost.into_iter().any(|lost| lost));
    }

    #[test]
    fn space_that_is_removed_can_be_used_again() {
        let disk = SimulatedDisk::new();
        disk.set_free(10);
        let file = disk.create("a").unwrap();
        assert_eq!(file.write_at(0, &slices(&[1; 12])).unwrap(), 10);
        let error = file.write_at(10, &slices(&[1; 2])).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert_eq!(file.write_at(3, &slices(&[2; 7])).unwrap(), 7);
        disk.remove("a").unwrap();
        let file = disk.create("a").unwrap();
        assert_eq!(file.write_at(0, &slices(&[1; 10])).unwrap(), 10);
    }

    #[test]
    fn a_process_ends_at_any_operation() {
        let kept = ["", "abc", "abcdefabc", "abcdefabcdef"];
        for (n, kept) in (1..).zip(kept) {
            let disk = SimulatedDisk::new();
            disk.put("a", b"");
            disk.end_at(n, 3);
            if let Ok(file) = disk.open("a") {
                let writes = [0, 6].map(|at| file.write_at(at, &slices(b"abcdef")).is_ok());
                assert_eq!(writes, [n > 2, n > 3]);
                file.len().unwrap_err();
            }
            assert!(disk.has_ended());
            disk.revive();
            assert_eq!(disk.contents("a"), kept.as_bytes());
        }
    }

    #[test]
    fn a_torn_write_keeps_its_beginning_and_is_the_last() {
        let disk = SimulatedDisk::new();
        let file = disk.create("a").unwrap();
        disk.tear_next_write(3);
        file.write_at(0, &slices(b"abcdef")).unwrap_err();
        disk.list().unwrap_err();
        disk.revive();
        assert_eq!(disk.contents("a"), b"abc");
        disk.fail_at(2, io::ErrorKind::PermissionDenied);
        disk.list().unwrap();
        assert_eq!(
            disk.list().unwrap_err().kind(),
            io::ErrorKind::PermissionDenied
        );
        disk.list().unwrap();
    }
}
