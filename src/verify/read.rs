//! Reading the files once, one after another, with their CRC-64 at the positions that count.

use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::values::crc64::Crc64;

/// How much is read at a time.
const PIECE: usize = 1 << 20;

/// A file that was read.
#[derive(Debug)]
pub(super) struct FileRead {
    pub(super) path: PathBuf,
    /// At the end of reading.
    pub(super) length: u64,
    /// It has grown while it was read.
    pub(super) grew: bool,
    /// It is not the one any more that was read, or was written over.
    pub(super) changed: bool,
    pub(super) problem: Option<String>,
}

/// The CRC-64 of all bytes up to a position.
pub(super) type Sums = BTreeMap<u64, u64>;

/// Reads `files` up to the last of the `positions`, which ascend. Positions behind the end have no sum.
pub(super) fn read(files: Vec<PathBuf>, positions: &[u64]) -> (Vec<FileRead>, Sums) {
    let mut reading = Reading {
        positions,
        sums: Sums::from([(0, 0)]),
        crc: Crc64::new(),
        position: 0,
        piece: vec![0; PIECE],
    };
    let mut all: Vec<FileRead> = Vec::new();
    for path in files {
        let before = all.iter().find(|file| file.problem.is_some());
        let read = match before {
            None => reading.read(&path),
            Some(before) => Err(io::Error::other(format!(
                "{} comes before it and cannot be read",
                before.path.display()
            ))),
        };
        all.push(match read {
            Ok(read) => read,
            Err(error) => FileRead {
                path,
                length: 0,
                grew: false,
                changed: false,
                problem: Some(error.to_string()),
            },
        });
    }
    (all, reading.sums)
}

struct Reading<'a> {
    /// Those that were not reached.
    positions: &'a [u64],
    sums: Sums,
    crc: Crc64,
    position: u64,
    piece: Vec<u8>,
}

impl Reading<'_> {
    fn read(&mut self, path: &Path) -> io::Result<FileRead> {
        let mut file = File::open(path)?;
        let before = file.metadata()?;
        if !before.is_file() {
            return Err(io::Error::other("it is not a regular file"));
        }
        let start = self.position;
        let at_end = self.read_to_end(&mut file)?;
        let after = file.metadata()?;
        let read = self.position - start;
        // What is behind the last position is not read.
        self.position = start + if at_end { read } else { after.len().max(read) };
        Ok(FileRead {
            path: path.to_owned(),
            length: after.len(),
            grew: after.len() > before.len(),
            changed: after.len() < read
                || after.len() < before.len()
                || (after.len() == before.len() && written(&after) != written(&before))
                || !is_at(&after, path),
            problem: None,
        })
    }

    /// Reads up to the end, or the last position. Whether it was the end.
    fn read_to_end(&mut self, file: &mut File) -> io::Result<bool> {
        self.pass();
        while let Some(next) = self.positions.first() {
            let most = usize::try_from(next - self.position).unwrap_or(PIECE);
            let piece = &mut self.piece[..most.min(PIECE)];
            match file.read(piece) {
                Ok(0) => return Ok(true),
                Ok(length) => {
                    self.crc.update(&piece[..length]);
                    self.position += length as u64;
                    self.pass();
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }

    /// Notes the sum where one is wanted.
    fn pass(&mut self) {
        while let Some((first, rest)) = self.positions.split_first()
            && *first <= self.position
        {
            if *first == self.position {
                self.sums.insert(*first, self.crc.finish());
            }
            self.positions = rest;
        }
    }
}

fn written(file: &Metadata) -> Option<SystemTime> {
    file.modified().ok()
}

/// Whether the path leads to this file yet.
#[cfg(unix)]
fn is_at(file: &Metadata, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata(path).is_ok_and(|now| (now.dev(), now.ino()) == (file.dev(), file.ino()))
}

#[cfg(not(unix))]
fn is_at(_: &Metadata, path: &Path) -> bool {
    path.exists()
}
