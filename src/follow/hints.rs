//! Hints that a file has changed, from the system. They may be missing, late or of the wrong file:
//! each file is looked at every second anyway.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;

use crate::values::locks::MutexExt as _;

type Paths = Arc<Mutex<HashMap<PathBuf, Arc<Notify>>>>;

/// Wakes who waits for a file.
pub(super) struct Hints {
    paths: Paths,
    watcher: Option<RecommendedWatcher>,
}

impl Hints {
    pub(super) fn new() -> Self {
        let paths = Paths::default();
        let woken = Arc::clone(&paths);
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            let Ok(event) = event else {
                return;
            };
            let paths = woken.locked();
            for waiting in event.paths.iter().filter_map(|path| paths.get(path)) {
                waiting.notify_one();
            }
        });
        Self {
            paths,
            watcher: watcher.ok(),
        }
    }

    /// What is notified when the file may have changed.
    pub(super) fn of(&mut self, path: &Path) -> Arc<Notify> {
        let hint = Arc::new(Notify::new());
        let parent = path
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty());
        let parent = parent.unwrap_or(Path::new("."));
        if let Some(watcher) = &mut self.watcher
            && watcher.watch(parent, RecursiveMode::NonRecursive).is_ok()
        {
            // Events name what stands in the directory as that was named.
            let named = parent.join(path.file_name().unwrap_or_default());
            self.paths.locked().insert(named, Arc::clone(&hint));
        }
        hint
    }
}
