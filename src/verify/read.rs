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
        // To open a pipe would wait for its writer.
        if !std::fs::metadata(path)?.is_file() {
            return Err(io::Error::other("it is not a regular file"));
        }
        let mut file = File::open(path)?;
        let before = file.metadata()?;
        let start = self.position;
        let at_end = self.read_to_end(&mut file)?;
        let after = file.metadata()?;
        let read = self.position - start;
        // What is behind the last position is not read.
        self.position = start + if at_end { read } else { after.len().max(read) };
        let (grew, changed) = compare(&before, &after, read, path);
        Ok(FileRead {
            path: path.to_owned(),
            length: after.len(),
            grew,
            changed,
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

/// Whether a file of which so many bytes were read has grown meanwhile, and whether it is another one
/// now, or has other bytes.
fn compare(before: &Metadata, after: &Metadata, read: u64, path: &Path) -> (bool, bool) {
    let grew = after.len() > before.len();
    let is_shorter = after.len() < before.len() || after.len() < read;
    let is_written_over = !grew && written(after) != written(before);
    (grew, is_shorter || is_written_over || !is_at(after, path))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::crc64::checksum;
    use std::fs;
    use std::io::Write as _;
    use std::time::Duration;

    fn file(directory: &Path, name: &str, content: &str) -> PathBuf {
        let path = directory.join(name);
        fs::write(&path, content).unwrap();
        path
    }

    #[test]
    fn sums_are_those_of_all_files_up_to_the_positions() {
        let directory = tempfile::tempdir().unwrap();
        let files = ["abc", "", "defgh"].iter().zip(["1", "2", "3"]);
        let files = files.map(|(content, name)| file(directory.path(), name, content));
        let files: Vec<_> = files.collect();
        let sums = |positions: &[u64]| read(files.clone(), positions).1.into_iter().collect();
        let found: Vec<(u64, u64)> = sums(&[0, 2, 3, 5, 8, 9, 100]);
        let expected = [0, 2, 3, 5, 8].map(|end| (end, checksum(&b"abcdefgh"[..end as usize])));
        assert_eq!(found, expected);
        // What is behind the last position is not read, and counts nevertheless.
        let (read, sums) = read(files, &[4]);
        assert_eq!(sums[&4], checksum(b"abcd"));
        let lengths: Vec<_> = read
            .iter()
            .map(|file| (file.length, file.changed))
            .collect();
        assert_eq!(lengths, [(3, false), (0, false), (5, false)]);
    }

    #[test]
    fn what_comes_behind_a_file_that_cannot_be_read_is_not_read() {
        let directory = tempfile::tempdir().unwrap();
        let last = file(directory.path(), "last", "abc");
        let (read, _) = read(vec![directory.path().into(), last], &[3]);
        let problems: Vec<_> = read
            .iter()
            .filter_map(|file| file.problem.clone())
            .collect();
        assert!(problems[0].contains("not a regular file"), "{problems:?}");
        assert!(problems[1].contains("comes before it"), "{problems:?}");
    }

    #[test]
    fn a_file_that_is_not_the_same_any_more_is_noticed() {
        let directory = tempfile::tempdir().unwrap();
        let path = file(directory.path(), "file", "abcdef");
        let open = File::options().append(true).open(&path).unwrap();
        let at = |open: &File| open.metadata().unwrap();
        let before = at(&open);
        let compare = |open: &File| compare(&before, &at(open), 6, &path);
        assert_eq!(compare(&open), (false, false));
        // Written over, by as many bytes.
        let later = before.modified().unwrap() + Duration::from_secs(1);
        open.set_modified(later).unwrap();
        assert_eq!(compare(&open), (false, true));
        (&open).write_all(b"g").unwrap();
        assert_eq!(compare(&open), (true, false));
        open.set_len(5).unwrap();
        assert_eq!(compare(&open), (false, true));
        open.set_len(7).unwrap();
        let other = file(directory.path(), "other", "abcdef");
        fs::rename(other, &path).unwrap();
        assert_eq!(compare(&open), (true, true));
    }
}
