//! The files of one path: that which it leads to, and those which rotations have left.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::files::{Files, Identity, State};
use super::order::{self, Aged};
use super::source::Source;
use super::stop::Stop;

/// How often files are listed again because they were renamed meanwhile.
const TRIES: usize = 20;

/// An open file, with where it stands among the others.
pub(super) struct Sibling<F: Files> {
    pub(super) path: PathBuf,
    name: String,
    pub(super) source: Source<F>,
    pub(super) identity: Identity,
    modified: SystemTime,
    /// Of its content, without what it was compressed to.
    pub(super) len: u64,
    /// The followed path leads to it, so that it is the newest.
    pub(super) is_current: bool,
}

impl<F: Files> Aged for Sibling<F> {
    fn name(&self) -> &str {
        &self.name
    }

    fn modified(&self) -> SystemTime {
        self.modified
    }
}

/// All files at one moment, the oldest first.
pub(super) struct Listing<F: Files> {
    pub(super) files: Vec<Sibling<F>>,
    entries: Vec<Entry>,
}

/// One file at one moment.
#[derive(PartialEq, Eq)]
struct Entry {
    path: PathBuf,
    identity: Identity,
    is_current: bool,
}

/// All files, the oldest first. Those that cannot be read, because they are compressed in another way
/// than by gzip or not completely, go to `unreadable`.
pub(super) fn list<F: Files>(
    files: &F,
    path: &Path,
    unreadable: &mut Vec<PathBuf>,
) -> Result<Listing<F>, Stop> {
    for _ in 0..TRIES {
        unreadable.clear();
        let before = entries(files, path)?;
        let opened = before.iter().map(|entry| open(files, entry, unreadable));
        let opened: io::Result<Vec<Option<Sibling<F>>>> = opened.collect();
        let opened = match opened {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            opened => opened.map_err(|error| Stop::File(path.into(), error))?,
        };
        // Whatever was renamed meanwhile may not have been seen at either of its names.
        let same = before.len() == opened.len() && entries(files, path)? == before;
        let as_listed = before.iter().zip(&opened).all(|(entry, opened)| {
            opened
                .as_ref()
                .is_none_or(|opened| opened.identity == entry.identity)
        });
        if same && as_listed {
            return Ok(Listing {
                files: sorted(files, path, opened.into_iter().flatten().collect())?,
                entries: before,
            });
        }
    }
    Err(Stop::Unsteady(path.into()))
}

/// Whether the rotated files are still as they were listed. A copy that was not complete may be so now,
/// and the file that it is of may be truncated.
pub(super) fn are_unchanged<F: Files>(
    files: &F,
    path: &Path,
    listed: &Listing<F>,
) -> Result<bool, Stop> {
    for file in listed.files.iter().filter(|file| !file.is_current) {
        let state = file.source.state(files);
        let state = state.map_err(|error| Stop::File(file.path.clone(), error))?;
        if (state.len, state.modified) != (file.len, file.modified) {
            return Ok(false);
        }
    }
    Ok(entries(files, path)? == listed.entries)
}

fn entries<F: Files>(files: &F, path: &Path) -> Result<Vec<Entry>, Stop> {
    let failed = |error| Stop::File(path.into(), error);
    let mut rotated = match files.rotated(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        rotated => rotated.map_err(failed)?,
    };
    // Also one that is being compressed is there under its own name.
    let names: HashSet<PathBuf> = rotated.iter().cloned().collect();
    rotated.retain(|path| {
        let plain = path.extension().is_some().then(|| path.with_extension(""));
        !is_compressed(path) || plain.is_none_or(|plain| !names.contains(&plain))
    });
    rotated.sort();
    let mut seen = HashSet::new();
    let mut found = Vec::new();
    let paths = std::iter::once((path, true)).chain(rotated.iter().map(|path| (&**path, false)));
    for (path, is_current) in paths {
        let state: State = match files.look(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            state => state.map_err(failed)?,
        };
        if is_current && !state.is_file {
            return Err(Stop::NotAFile(path.into()));
        }
        if state.is_file && seen.insert(state.identity) {
            found.push(Entry {
                path: path.into(),
                identity: state.identity,
                is_current,
            });
        }
    }
    Ok(found)
}

fn open<F: Files>(
    files: &F,
    entry: &Entry,
    unreadable: &mut Vec<PathBuf>,
) -> io::Result<Option<Sibling<F>>> {
    let file = files.open(&entry.path)?;
    let source = match entry.is_current {
        true => Ok(Source::plain(file)),
        false if is_compressed(&entry.path) && !is_gzip(&entry.path) => {
            Err(io::ErrorKind::InvalidData.into())
        }
        false => Source::rotated(files, file),
    };
    let source = match source {
        Ok(source) => source,
        Err(error) if is_content(&error) => {
            unreadable.push(entry.path.clone());
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let state = source.state(files)?;
    let name = entry.path.file_name().unwrap_or_default();
    Ok(Some(Sibling {
        name: name.to_string_lossy().into_owned(),
        path: entry.path.clone(),
        source,
        identity: state.identity,
        modified: state.modified,
        len: state.len,
        is_current: entry.is_current,
    }))
}

/// Whether the file could be read, and does not hold what it should.
fn is_content(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidData, InvalidInput, UnexpectedEof};
    matches!(error.kind(), InvalidData | InvalidInput | UnexpectedEof)
}

fn is_gzip(path: &Path) -> bool {
    path.extension().is_some_and(|end| end == "gz")
}

fn is_compressed(path: &Path) -> bool {
    let end = path.extension().and_then(|end| end.to_str());
    matches!(end, Some("gz" | "bz2" | "xz" | "zst" | "lz4"))
}

/// The file that the path leads to is the newest, unless it leads there by a link: who writes may be
/// ahead of that.
fn sorted<F: Files>(
    files: &F,
    path: &Path,
    mut found: Vec<Sibling<F>>,
) -> Result<Vec<Sibling<F>>, Stop> {
    let (own, target) = (name(path), name(&files.target(path)));
    let mut current = None;
    if let Some(at) = found.iter().position(|file| file.is_current) {
        match own == target {
            true => current = Some(found.swap_remove(at)),
            false => found[at].name.clone_from(&target),
        }
    }
    let is_rotated =
        |file: &Sibling<F>| file.name == target || order::is_rotated(&target, &file.name);
    // By the name of the file that a link leads to, or by that of the link.
    let (by, current) = match found.iter().all(is_rotated) {
        true => (target, current.or_else(|| take_current(&mut found))),
        false => (own, current),
    };
    if let Err(same) = order::sort(&by, &mut found) {
        return Err(Stop::SameAge(
            found[same].path.clone(),
            found[same + 1].path.clone(),
        ));
    }
    found.extend(current);
    Ok(found)
}

fn take_current<F: Files>(found: &mut Vec<Sibling<F>>) -> Option<Sibling<F>> {
    let at = found.iter().position(|file| file.is_current)?;
    Some(found.swap_remove(at))
}

fn name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}
