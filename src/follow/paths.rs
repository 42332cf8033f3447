//! Which files are followed, and what their objects are called.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::order;
use crate::error::{Error, Result};
use crate::rolling::{KeyNames, KeyTemplate};

/// The paths and globs that were given, and what was found.
#[derive(Debug, Default)]
pub(super) struct Found {
    globs: Vec<String>,
    known: HashSet<PathBuf>,
}

impl Found {
    pub(super) fn new(globs: Vec<String>) -> Self {
        Self {
            globs,
            known: HashSet::new(),
        }
    }

    pub(super) fn has_globs(&self) -> bool {
        self.globs.iter().any(|glob| is_glob(glob))
    }

    /// The files that were not there at the call before, without those that are rotated files of
    /// others.
    pub(super) fn new_paths(&mut self) -> Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        for text in &self.globs {
            if !is_glob(text) {
                found.push(PathBuf::from(text));
                continue;
            }
            let paths = glob::glob(text)
                .map_err(|error| Error::invalid_input(format!("the glob {text:?}: {error}")))?;
            // A directory that cannot be read now may be readable later.
            found.extend(paths.flatten().filter(|path| path.is_file()));
        }
        found.sort();
        found.dedup();
        let all: Vec<PathBuf> = self.known.iter().chain(&found).cloned().collect();
        found.retain(|path| {
            !self.known.contains(path) && !all.iter().any(|other| is_rotated(other, path))
        });
        self.known.extend(found.iter().cloned());
        Ok(found)
    }
}

fn is_glob(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

fn is_rotated(path: &Path, other: &Path) -> bool {
    let name = |path: &Path| Some(path.file_name()?.to_str()?.to_owned());
    path.parent() == other.parent()
        && matches!((name(path), name(other)), (Some(name), Some(other)) if order::is_rotated(&name, &other))
}

/// The glob for the rotated files of `path`: `{file}` stands for its name, and a relative glob for
/// one in its directory.
pub(super) fn rotated_pattern(pattern: &str, path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let filled = pattern.replace("{file}", &glob::Pattern::escape(&name));
    if Path::new(&filled).is_absolute() {
        return filled;
    }
    let parent = path.parent().unwrap_or(Path::new(""));
    let parent = glob::Pattern::escape(&parent.to_string_lossy());
    match &*parent {
        "" => filled,
        parent => format!("{}/{filled}", parent.trim_end_matches('/')),
    }
}

/// Whether each file gets objects of its own.
pub(super) fn is_numbered(template: &str) -> Result<bool> {
    names(template, Path::new("/directory/file")).map(|names| names.is_numbered())
}

/// What the objects of `path` are called.
pub(super) fn names(template: &str, path: &Path) -> Result<KeyNames> {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.into());
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let parent = path.parent().unwrap_or(Path::new("")).to_string_lossy();
    let filled = template
        .replace("{dir}", &literal(parent.trim_start_matches('/')))
        .replace("{file}", &literal(&name));
    let bad = |what: &str| {
        Err(Error::invalid_input(format!(
            "key template {template:?}: {what}"
        )))
    };
    let filled = KeyTemplate::new(filled)?;
    let at = |seconds| filled.names_at(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds), 0);
    // 6 March 2026 03:04:05 and some other time that differs in each field.
    let (one, other) = (at(1_772_766_245), at(951_827_696));
    match one == other && filled.is_repeatable() {
        true => Ok(one),
        false => bad(
            "a new start finds the objects by it, so that it can have neither times nor {pid} nor \
             {uuid}",
        ),
    }
}

/// As it stands in a template for itself.
fn literal(text: &str) -> String {
    text.replace('%', "%%")
        .replace('{', "{{")
        .replace('}', "}}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_is_filled_with_the_path() {
        let key = |template, path: &str| names(template, Path::new(path)).unwrap().key(3);
        assert_eq!(
            key("logs/{file}-{seq}", "/var/log/app.log"),
            "logs/app.log-3"
        );
        assert_eq!(
            key("{dir}/{file}.{seq:4}", "/var/log/100%{x}.log"),
            "var/log/100%{x}.log.0003"
        );
        assert!(!is_numbered("{file}").unwrap());
        assert!(is_numbered("{file}-{seq}").unwrap());
        for bad in ["%Y/{seq}", "{pid}-{seq}", "{uuid}", "{other}-{seq}"] {
            assert!(names(bad, Path::new("/a")).is_err(), "{bad}");
        }
    }

    #[test]
    fn rotated_files_are_not_followed_for_themselves() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        for name in ["a.log", "a.log.1", "a.log.2.gz", "b.log"] {
            std::fs::write(path(name), "x").unwrap();
        }
        let glob = path("*").to_str().unwrap().to_owned();
        let mut found = Found::new(vec![glob]);
        assert_eq!(found.new_paths().unwrap(), [path("a.log"), path("b.log")]);
        std::fs::rename(path("b.log"), path("b.log.1")).unwrap();
        std::fs::write(path("c.log"), "x").unwrap();
        assert_eq!(found.new_paths().unwrap(), [path("c.log")]);
    }

    #[test]
    fn a_pattern_for_rotated_files_stands_in_the_directory_of_the_file() {
        let filled = rotated_pattern("old/{file}.*", Path::new("/var/log/a[1].log"));
        assert_eq!(filled, "/var/log/old/a[[]1[]].log.*");
        assert_eq!(rotated_pattern("/x/*", Path::new("/a/b")), "/x/*");
        assert_eq!(rotated_pattern("b-*", Path::new("b")), "b-*");
    }
}
