//! Opening a directory: whether it is a server's, and that only one server uses it.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use super::files::{self, check_dir, check_file, not_ours, private};
use super::{Use, load, names};

/// The file that says that a directory is a server's.
const MARKER: &str = "oss-append-emulator";

/// What is in the marker. The number counts the forms that directories have had.
const MARKED: &str = "This directory is kept by the embedded OSS server of oss-append. Form 2.\n";

/// What the directories of servers had in them before there was a marker.
const UNMARKED: [&str; 3] = ["buckets", "lock", "spool"];

const LOCK: &str = "lock";

/// What the lock says while a server is at work.
const IN_USE: &str = "in use\n";

pub(super) fn spool(root: &Path) -> PathBuf {
    root.join("spool")
}

pub(super) fn buckets(root: &Path) -> PathBuf {
    root.join("buckets")
}

pub(super) fn damaged(root: &Path) -> PathBuf {
    root.join("damaged")
}

/// Holds a directory until it is released.
#[derive(Debug)]
pub(super) struct Lock {
    /// `None` if there was none, and none is made.
    file: Option<File>,
    /// The last server ended in order, and the machine has been up since.
    was_closed: bool,
    read_only: bool,
    released: AtomicBool,
}

impl Lock {
    /// Whether all is as the last server left it in the end.
    pub(super) fn was_closed(&self) -> bool {
        self.was_closed
    }

    pub(super) fn release(&self) {
        if self.released.swap(true, Ordering::Relaxed) {
            return;
        }
        if let Some(file) = &self.file {
            if !self.read_only {
                // If it does not say so, all is looked at again at the next start.
                let _ = say(file, &closed());
            }
            let _ = file.unlock();
        }
    }
}

/// What the lock says when no server is at work. It goes by the machine's start: a machine that has
/// lost power may not have written what was stored before.
fn closed() -> String {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    format!("closed {}\n", boot.trim())
}

fn say(mut file: &File, text: &str) -> io::Result<()> {
    use std::io::Seek as _;
    file.rewind()?;
    file.set_len(0)?;
    file.write_all(text.as_bytes())
}

/// Opens a directory, or makes one of what is empty or not there.
pub(super) fn open(root: &Path, wanted: Use) -> io::Result<Lock> {
    let form = form(root)?;
    if wanted.read_only {
        if let Form::Empty = form {
            let text = format!("{}: nothing is stored there", root.display());
            return Err(io::Error::new(io::ErrorKind::NotFound, text));
        }
        return lock(root, true);
    }
    if let Form::Empty = form {
        files::make_dirs(root)?;
        mark(root)?;
    }
    let lock = lock(root, false)?;
    if let Form::Unmarked = form {
        mark(root)?;
    }
    files::make_dir(&buckets(root))?;
    files::make_dir(&spool(root))?;
    clear(&spool(root))?;
    files::sync_dir(root, wanted.fsync)?;
    Ok(lock)
}

enum Form {
    /// There is nothing, or an empty directory.
    Empty,
    /// It is a server's, from before there was a marker.
    Unmarked,
    Marked,
}

/// What is at `root`. Fails, without having changed anything, if it is not for a server.
fn form(root: &Path) -> io::Result<Form> {
    let entries = match fs::read_dir(root) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Form::Empty),
        entries => entries.map_err(|error| named(root, &error))?,
    };
    let names: Vec<OsString> = entries
        .map(|entry| Ok(entry?.file_name()))
        .collect::<io::Result<_>>()?;
    if names.is_empty() {
        return Ok(Form::Empty);
    }
    let marked = names.iter().any(|name| name == MARKER);
    let unmarked = || {
        names
            .iter()
            .all(|name| UNMARKED.iter().any(|own| name == own))
    };
    if !marked && !unmarked() {
        return Err(not_ours(
            root,
            "it is not empty, and not a directory of the embedded server; nothing in it was \
             changed; use one that is empty or does not exist",
        ));
    }
    for name in &names {
        let path = root.join(name);
        match name.to_str() {
            Some("buckets" | "spool" | "damaged") => check_dir(&path)?,
            Some(LOCK) => check_file(&path)?,
            Some(MARKER) => check_marker(&path)?,
            _ => {}
        }
    }
    Ok(match marked {
        true => Form::Marked,
        false => Form::Unmarked,
    })
}

fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

fn check_marker(path: &Path) -> io::Result<()> {
    check_file(path)?;
    let mut text = String::new();
    let file = File::open(path).map_err(|error| named(path, &error))?;
    file.take(1024).read_to_string(&mut text)?;
    // A machine that lost power may have left it cut.
    match MARKED.starts_with(&text) {
        true => Ok(()),
        false => Err(not_ours(path, "it is of another version of the server")),
    }
}

fn mark(root: &Path) -> io::Result<()> {
    match private().create_new(true).open(root.join(MARKER)) {
        // Another server was faster. Which of the two goes on, the lock decides.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        opened => {
            let mut file = opened?;
            file.write_all(MARKED.as_bytes())?;
            file.sync_all()
        }
    }
}

fn lock(root: &Path, read_only: bool) -> io::Result<Lock> {
    let path = root.join(LOCK);
    let opened = match read_only {
        true => File::open(&path),
        false => open_lock(&path),
    };
    let mut file = match opened {
        Err(error) if read_only && error.kind() == io::ErrorKind::NotFound => {
            return Ok(Lock {
                file: None,
                was_closed: false,
                read_only,
                released: AtomicBool::new(false),
            });
        }
        opened => opened.map_err(|error| named(&path, &error))?,
    };
    let locked = match read_only {
        true => file.try_lock_shared(),
        false => file.try_lock(),
    };
    locked.map_err(|error| {
        let text = format!("{} is in use by another server: {error}", root.display());
        io::Error::new(io::ErrorKind::ResourceBusy, text)
    })?;
    let mut said = String::new();
    // What is no text is not what a server says in the end.
    let _ = (&mut file).take(1024).read_to_string(&mut said);
    if !read_only {
        say(&file, IN_USE)?;
    }
    Ok(Lock {
        file: Some(file),
        was_closed: said == closed(),
        read_only,
        released: AtomicBool::new(false),
    })
}

fn open_lock(path: &Path) -> io::Result<File> {
    let mut options: OpenOptions = private();
    options.read(true).create(true).truncate(false).open(path)
}

/// Removes what was under way when a server was killed.
fn clear(spool: &Path) -> io::Result<()> {
    for entry in fs::read_dir(spool)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        let kind = entry.file_type()?;
        if kind.is_file() && names::is_temporary(name, &["", ".json"]) {
            fs::remove_file(entry.path())?;
        } else if kind.is_dir() && names::is_temporary(name, &[load::ASIDE]) {
            load::remove_bucket(&entry.path())?;
        }
    }
    Ok(())
}
