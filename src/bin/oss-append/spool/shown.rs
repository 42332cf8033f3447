//! What is in a spool, for people and for programs.

use std::fmt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use oss_append::SpoolContents;
use serde::Serialize;

use crate::output;
use crate::summary::{Counted, milliseconds};

/// The JSON object of `--json`, and as [`Display`](fmt::Display) the lines without it.
#[derive(Serialize)]
pub(super) struct Shown {
    directory: String,
    owner: Option<String>,
    is_sequence: Option<bool>,
    compression: Option<String>,
    /// To be sent.
    bytes: u64,
    /// On disk.
    size: u64,
    age_ms: Option<u64>,
    last_object: Option<String>,
    damage: Vec<String>,
    /// That it is of.
    key: Option<String>,
    /// The spools of keys in it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    keys: Vec<Self>,
}

impl Shown {
    /// `found`: nothing, if there are no files.
    pub(super) fn new(directory: &Path, found: Option<SpoolContents>) -> Self {
        let directory = directory.display().to_string();
        let Some(found) = found else {
            return Self {
                directory,
                owner: None,
                is_sequence: None,
                compression: None,
                bytes: 0,
                size: 0,
                age_ms: None,
                last_object: None,
                damage: Vec::new(),
                key: None,
                keys: Vec::new(),
            };
        };
        let owner = found.owner.as_ref();
        let compression = owner.and_then(|owner| owner.compression);
        let age = |oldest| SystemTime::now().duration_since(oldest).ok();
        Self {
            directory,
            owner: owner.map(|owner| owner.name.to_string()),
            is_sequence: owner.map(|owner| owner.is_sequence),
            compression: compression.map(|format| format.to_string()),
            bytes: found.bytes,
            size: found.size,
            age_ms: found.oldest.and_then(age).map(milliseconds),
            last_object: found.object.map(|object| object.to_string()),
            damage: found.damage,
            key: owner.and_then(|owner| owner.key.clone()),
            keys: Vec::new(),
        }
    }

    /// With the spools of keys that are in it.
    pub(super) fn of_keys(self, keys: Vec<Self>) -> Self {
        let age = keys.iter().filter_map(|key| key.age_ms).max();
        Self {
            bytes: self.bytes + keys.iter().map(|key| key.bytes).sum::<u64>(),
            size: self.size + keys.iter().map(|key| key.size).sum::<u64>(),
            age_ms: self.age_ms.max(age),
            keys,
            ..self
        }
    }

    /// Whose it is, or where.
    pub(super) fn about(&self) -> &str {
        self.owner.as_ref().unwrap_or(&self.directory)
    }
}

/// One property a line.
impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.keys.is_empty() {
            let directory = output::one_line(&self.directory);
            let keys = Counted(self.keys.len() as u64, "key");
            let bytes = Counted(self.bytes, "byte");
            writeln!(f, "{directory}: {bytes} of {keys} to be sent")?;
            return self.keys.iter().try_for_each(|key| write!(f, "\n{key}"));
        }
        let Some(owner) = &self.owner else {
            let directory = output::one_line(&self.directory);
            return writeln!(f, "{directory}: nothing");
        };
        let mut line = |name: &str, value: &dyn fmt::Display| {
            let value = output::one_line(&value.to_string());
            writeln!(f, "{name:<22}{value}")
        };
        line("spool", &self.directory)?;
        match self.is_sequence {
            Some(true) => line("sequence", owner)?,
            _ => line("object", owner)?,
        }
        if let Some(key) = &self.key {
            line("key", key)?;
        }
        line("compression", &known(&self.compression))?;
        line("bytes to be sent", &self.bytes)?;
        line("size on disk", &self.size)?;
        // Milliseconds say nothing of files that are written for minutes.
        let age = self.age_ms.map(|age| Duration::from_secs(age / 1000));
        let age = age.map(|age| humantime::format_duration(age).to_string());
        line("oldest", &known(&age))?;
        line("last object", &known(&self.last_object))?;
        for damage in &self.damage {
            line("damage", damage)?;
        }
        Ok(())
    }
}

fn known(value: &Option<String>) -> &str {
    value.as_deref().unwrap_or("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_nothing_is_nothing_is_shown() {
        let shown = Shown::new(Path::new("/var/spool/a\nb"), None);
        assert_eq!(shown.to_string(), "/var/spool/a\\nb: nothing\n");
        assert_eq!(shown.about(), "/var/spool/a\nb");
    }
}
