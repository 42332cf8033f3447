//! Which file an object has come from: its length and CRC-64 are compared with the beginnings of the
//! files. This is the checkpoint; nothing else is kept anywhere.

use std::ops::Range;

use super::files::Files;
use super::reading::Head;
use super::siblings::Sibling;
use super::source::combined;
use super::stop::Stop;
use crate::error::Error;
use crate::values::crc64::Crc64;

/// The objects of one path.
pub(super) trait Objects {
    /// The newest one.
    fn newest(&mut self) -> Result<Option<Head>, Error>;

    /// One with a lower number.
    fn numbered(&mut self, number: u64) -> Result<Option<Head>, Error>;

    /// Bytes of one, fewer if it ends before.
    fn read(&mut self, number: u64, range: Range<u64>) -> Result<Vec<u8>, Error>;
}

/// What the objects tell.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// The file that the newest object came from, and how many of its bytes are in objects.
    At { file: usize, sent: u64, crc64: u64 },
    /// All of this file is in objects, with more behind it: a copy that was made before the last bytes
    /// were written.
    Behind { file: usize },
    /// An older object has to be known too.
    Older,
    /// No file begins with it.
    Nowhere,
}

/// A file with its beginning.
pub(super) struct Beginning<'a, F: Files> {
    files: &'a F,
    sibling: &'a Sibling<F>,
    start: u64,
}

impl<'a, F: Files> Beginning<'a, F> {
    pub(super) fn of(files: &'a F, sibling: &'a Sibling<F>) -> Result<Self, Stop> {
        let start = sibling.source.start(files);
        let start = start.map_err(|error| Stop::File(sibling.path.clone(), error))?;
        Ok(Self {
            files,
            sibling,
            start: start.unwrap_or(sibling.len),
        })
    }

    fn len(&self) -> u64 {
        self.sibling.len.saturating_sub(self.start)
    }

    fn crc64(&self, len: u64) -> Result<Option<u64>, Stop> {
        if len > self.len() {
            return Ok(None);
        }
        let crc64 = self.sibling.source.crc64(self.files, self.start, len);
        crc64.map_err(|error| Stop::File(self.sibling.path.clone(), error))
    }

    fn begins_with(&self, head: &Head) -> Result<bool, Stop> {
        Ok(self.crc64(head.length)? == Some(head.crc64))
    }

    fn is(&self, head: &Head) -> Result<bool, Stop> {
        Ok(self.len() == head.length && self.begins_with(head)?)
    }

    /// Whether all of it is the beginning of the other.
    fn begins(&self, other: &Self) -> Result<bool, Stop> {
        let len = self.len();
        Ok(len > 0 && len <= other.len() && self.crc64(len)? == other.crc64(len)?)
    }
}

/// Finds where an object of a numbered sequence has come from. `heads` are the newest objects, the
/// newest first; of one file came several where all but the last have at least `full` bytes.
pub(super) fn numbered<F: Files>(
    files: &[Beginning<'_, F>],
    heads: &[Head],
    has_older: bool,
    full: u64,
) -> Result<Found, Stop> {
    let newest = heads[0];
    let parts = 1 + heads[1..]
        .iter()
        .take_while(|head| head.length >= full)
        .count();
    // The file may have begun in the object before.
    if has_older && parts == heads.len() {
        return Ok(Found::Older);
    }
    let mut matches = Vec::new();
    for (file, beginning) in files.iter().enumerate() {
        // A short object may hold what the file begins with and be the end of it nevertheless.
        for parts in (1..=parts).rev() {
            let taken = heads[..parts].iter().rev();
            let sent: u64 = taken.clone().map(|head| head.length).sum();
            let crc64 = combined(taken.map(|head| (head.length, head.crc64)));
            if beginning.crc64(sent)? == Some(crc64) {
                matches.push((file, sent, crc64));
                break;
            }
        }
    }
    if matches.len() > 1 {
        // The file before it is then that which the object before it has come from.
        if let Some(before) = heads.get(1) {
            let mut follows = Vec::new();
            for found in &matches {
                if found.0 > 0 && files[found.0 - 1].is(before)? {
                    follows.push(*found);
                }
            }
            if follows.len() == 1 {
                matches = follows;
            }
        }
    }
    match matches[..] {
        [] => Ok(Found::Nowhere),
        [(file, sent, crc64)] => Ok(Found::At { file, sent, crc64 }),
        _ => Err(Stop::Ambiguous {
            number: newest.number,
            files: matches
                .iter()
                .map(|found| files[found.0].sibling.path.clone())
                .collect(),
        }),
    }
}

/// Finds where the end of the one object has come from, which goes on over rotations: it is made of
/// one file or several, all but the last of them whole.
pub(super) fn single<F: Files>(files: &[Beginning<'_, F>], head: &Head) -> Result<Found, Stop> {
    let mut matches = Vec::new();
    for first in 0..files.len() {
        let (mut before, mut crc) = (0_u64, 0);
        for (last, beginning) in files.iter().enumerate().skip(first) {
            let sent = head.length - before;
            if beginning.len() == 0 {
                continue;
            }
            if let Some(own) = beginning.crc64(sent)?
                && sent > 0
                && combined([(before, crc), (sent, own)]) == head.crc64
            {
                matches.push((last, sent, own));
            }
            let len = beginning.len();
            if len >= sent {
                break;
            }
            let Some(whole) = beginning.crc64(len)? else {
                break;
            };
            crc = combined([(before, crc), (len, whole)]);
            before += len;
        }
    }
    match matches[..] {
        [] => Ok(Found::Nowhere),
        [(file, sent, crc64)] => Ok(Found::At { file, sent, crc64 }),
        _ => Err(Stop::Ambiguous {
            number: head.number,
            files: matches
                .iter()
                .map(|found| files[found.0].sibling.path.clone())
                .collect(),
        }),
    }
}

/// Refuses files of which one may be a copy of the beginning of the next ones: it would be sent twice.
pub(super) fn no_copies<F: Files>(files: &[Beginning<'_, F>]) -> Result<(), Stop> {
    for (n, file) in files.iter().enumerate() {
        for other in &files[n + 1..] {
            if file.begins(other)? {
                return Err(Stop::Copy {
                    file: file.sibling.path.clone(),
                    of: other.sibling.path.clone(),
                });
            }
        }
    }
    Ok(())
}

/// The first file behind the last that one of these objects has come from; `None`: none has.
pub(super) fn unsent<F: Files>(
    files: &[Beginning<'_, F>],
    heads: &[Head],
) -> Result<Option<usize>, Stop> {
    for (n, file) in files.iter().enumerate().rev() {
        for head in heads {
            if head.length > 0 && file.begins_with(head)? {
                return Ok(Some(n + 1));
            }
        }
    }
    Ok(None)
}

/// How much of an object is read at a time.
const PIECE: u64 = 1024 * 1024;

/// Finds the newest file that is the beginning of the object: a copy to which the bytes were not
/// copied any more that were written before the truncation.
pub(super) fn shorter<F: Files>(
    files: &[Beginning<'_, F>],
    head: &Head,
    objects: &mut dyn Objects,
) -> Result<Found, Stop> {
    for (file, beginning) in files.iter().enumerate().rev() {
        let len = beginning.len();
        if beginning.sibling.is_current || len == 0 || len >= head.length {
            continue;
        }
        // Few bytes are enough to refuse most.
        if equals(
            beginning,
            head.number,
            len.saturating_sub(4096)..len,
            objects,
        )? && equals(beginning, head.number, 0..len, objects)?
        {
            return Ok(Found::Behind { file });
        }
    }
    Ok(Found::Nowhere)
}

/// Whether file and object hold the same bytes in this range.
fn equals<F: Files>(
    beginning: &Beginning<'_, F>,
    number: u64,
    range: Range<u64>,
    objects: &mut dyn Objects,
) -> Result<bool, Stop> {
    let (mut at, mut crc) = (range.start, Crc64::new());
    while at < range.end {
        let piece = objects.read(number, at..range.end.min(at + PIECE));
        let piece = piece.map_err(|error| Stop::Object(Box::new(error)))?;
        if piece.is_empty() {
            return Ok(false);
        }
        crc.update(&piece);
        at += piece.len() as u64;
    }
    let from = beginning.start + range.start;
    let own = beginning
        .sibling
        .source
        .crc64(beginning.files, from, range.end - range.start);
    let own = own.map_err(|error| Stop::File(beginning.sibling.path.clone(), error))?;
    Ok(own == Some(crc.finish()))
}
