//! What is written of an object beside its bytes: JSON, one value a line.
//!
//! The first line has the key, the properties and the name of the data file. Each append adds a line
//! that says what the object has become, so that it costs one small write. Now and then all is
//! written anew as one line.
//!
//! Each line has the checksum of its own value. A last line without its end is one whose writing was
//! cut short: what it says was never acknowledged. Any other line that does not agree with its
//! checksum makes the object damaged.

use std::fs;
use std::path::Path;

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::names;
use crate::emulator::object::{Kind, Properties};

/// The most lines before all is written anew.
pub(super) const MOST_LINES: u32 = 1000;

/// A value, and the CRC-64 of its own JSON, so that no change of it goes unnoticed.
#[derive(Debug, Serialize, Deserialize)]
struct Checked<T> {
    crc64: u64,
    value: T,
}

/// An object in a directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::emulator::storage) struct Sidecar {
    pub(in crate::emulator::storage) key: String,
    pub(in crate::emulator::storage) data: String,
    pub(in crate::emulator::storage) properties: Properties,
}

/// What an append has made of an object.
#[derive(Debug, Serialize, Deserialize)]
struct Growth {
    length: u64,
    crc64: u64,
    modified: Timestamp,
}

/// A sidecar as it was found.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) sidecar: Sidecar,
    /// How many bytes of the file are whole lines.
    pub(super) length: u64,
    pub(super) lines: u32,
    /// There is a line behind them whose writing was cut short.
    pub(super) torn: bool,
}

/// A value as a line.
pub(super) fn line(value: &impl Serialize) -> serde_json::Result<Vec<u8>> {
    let json = serde_json::to_vec(value)?;
    let crc64 = crate::values::crc64::checksum(&json);
    let mut line = format!("{{\"crc64\":{crc64},\"value\":").into_bytes();
    line.extend_from_slice(&json);
    line.extend_from_slice(b"}\n");
    Ok(line)
}

/// The line for an append.
pub(super) fn growth(properties: &Properties) -> serde_json::Result<Vec<u8>> {
    line(&Growth {
        length: properties.length,
        crc64: properties.crc64,
        modified: properties.modified,
    })
}

/// Reads a line, with its end or without.
pub(super) fn parse<T: Serialize + DeserializeOwned>(line: &[u8]) -> Result<T, String> {
    let Checked { crc64, value } =
        serde_json::from_slice::<Checked<T>>(line).map_err(|error| error.to_string())?;
    let json = serde_json::to_vec(&value).map_err(|error| error.to_string())?;
    if crc64 != crate::values::crc64::checksum(&json) {
        return Err("its content is not that of its checksum".into());
    }
    Ok(value)
}

impl Found {
    /// Reads the content of a sidecar.
    pub(super) fn parse(text: &[u8]) -> Result<Self, String> {
        let end_of = |bytes: &[u8]| bytes.iter().position(|byte| *byte == b'\n');
        // The older form has one value, and no end of a line.
        let first = end_of(text).unwrap_or(text.len());
        let mut found = Self {
            sidecar: parse(&text[..first])?,
            length: first as u64,
            lines: 1,
            torn: first == text.len(),
        };
        let mut rest = text.get(first + 1..).unwrap_or_default();
        if !found.torn {
            found.length += 1;
        }
        while let Some(end) = end_of(rest) {
            let growth: Growth = parse(&rest[..end])?;
            let object = &mut found.sidecar.properties;
            if object.kind != Kind::Appendable || growth.length < object.length {
                return Err("an append does not follow on what is ahead of it".into());
            }
            object.become_grown(growth.length, growth.crc64, growth.modified);
            found.length += end as u64 + 1;
            found.lines = found.lines.saturating_add(1);
            rest = &rest[end + 1..];
        }
        found.torn |= !rest.is_empty();
        Ok(found)
    }

    /// Whether it is at its place, says nothing that a request could not have set, and names its
    /// own data file, which has all of the object's bytes.
    pub(super) fn check(&self, path: &Path) -> Result<(), String> {
        let Sidecar {
            key,
            data,
            properties,
        } = &self.sidecar;
        let hash = names::hash(key);
        if path.file_name() != Some(format!("{hash}.json").as_ref()) {
            return Err("it is not named after its key".into());
        }
        if names::hash_of_data(data) != Some(&hash) {
            return Err("the data file is not its own".into());
        }
        if !properties.attributes.are_sound() {
            return Err("it sets headers that no object has".into());
        }
        let stored = fs::symlink_metadata(path.with_file_name(data))
            .map_err(|error| format!("the data file {data}: {error}"))?;
        if !stored.is_file() {
            return Err(format!("the data file {data} is not a plain file"));
        }
        let (stored, length) = (stored.len(), properties.length);
        if stored < length {
            return Err(format!("the data file has {stored} of {length} bytes"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::emulator::object::Attributes;

    fn text(appends: u64) -> (Vec<u8>, Vec<Properties>) {
        let mut properties = Properties::empty(Attributes::plain(), Timestamp::UNIX_EPOCH);
        let sidecar = Sidecar {
            key: "k".into(),
            data: "d".into(),
            properties: properties.clone(),
        };
        let mut text = line(&sidecar).unwrap();
        let mut states = vec![properties.clone()];
        for n in 1..=appends {
            properties.grow(n, n, Timestamp::UNIX_EPOCH);
            text.extend(growth(&properties).unwrap());
            states.push(properties.clone());
        }
        (text, states)
    }

    #[test]
    fn appends_add_lines_that_read_the_same() {
        let (text, states) = text(3);
        let found = Found::parse(&text).unwrap();
        assert_eq!(Some(&found.sidecar.properties), states.last());
        assert_eq!(
            (found.length, found.lines, found.torn),
            (text.len() as u64, 4, false)
        );
    }

    #[test]
    fn a_line_that_was_cut_short_counts_for_nothing() {
        let (whole, states) = text(2);
        let (shorter, _) = text(1);
        for length in shorter.len() + 1..whole.len() {
            let found = Found::parse(&whole[..length]).unwrap();
            assert_eq!(found.sidecar.properties, states[1]);
            assert!(found.torn);
            assert_eq!(found.length, shorter.len() as u64);
        }
    }

    #[test]
    fn a_line_that_was_changed_makes_the_object_damaged_or_says_the_same() {
        let (whole, states) = text(3);
        for at in 0..whole.len() - 1 {
            let mut changed = whole.clone();
            changed[at] ^= 4;
            if let Ok(found) = Found::parse(&changed) {
                // The name of a field that is empty anyway.
                assert_eq!(Some(&found.sidecar.properties), states.last(), "{at}");
            }
        }
    }
}
