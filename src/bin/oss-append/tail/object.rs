//! One object, as far as it has been written out.

use std::io::{self, IsTerminal as _};

use futures::StreamExt as _;
use oss_append::{
    AppendStore as _, Error, ObjectInfo, ObjectKind, ObjectPath, ObjectReader, OssClient,
    StoredFormat, crc64,
};

use super::PERMISSION;
use super::last_lines::LastLines;
use crate::failure::Failure;
use crate::output::{self, Output};
use crate::stored;

/// The first and the largest piece that is searched backwards for the start of a line.
const FIRST_PIECE: u64 = 64 * 1024;
const LARGEST_PIECE: u64 = 4 * 1024 * 1024;

/// Where to begin.
#[derive(Clone, Copy)]
pub(super) enum Start {
    LastLines(u64),
    LastBytes(u64),
    At(u64),
}

/// What a look at an object has found and written.
pub(super) struct Found {
    pub(super) grown: bool,
    /// Whether what has been written is all that the object will ever have.
    pub(super) sealed: bool,
}

/// Why no more is read.
pub(super) enum End {
    Request(Error),
    Failed(Failure),
}

impl From<Error> for End {
    fn from(error: Error) -> Self {
        Self::Request(error)
    }
}

impl From<End> for Failure {
    fn from(end: End) -> Self {
        match end {
            End::Request(error) => Self::of_request(&error, PERMISSION),
            End::Failed(failure) => failure,
        }
    }
}

/// One object, from where it is begun to as far as it has been written out.
pub(super) struct Tail {
    client: OssClient,
    pub(super) object: ObjectPath,
    start: Start,
    pub(super) only_appendable: bool,
    /// Say which object it is, before its first bytes.
    pub(super) names_objects: bool,
    /// What is compressed is of no use: lines of it are wanted, or it goes to a terminal.
    only_plain: bool,
    /// The object is known to be of use.
    is_of_use: bool,
    /// How far it has been read, once it has been begun.
    place: Option<Place>,
    stdout: Output,
}

/// A position in an object, with the CRC-64 of what is before it where that is known.
#[derive(Clone, Copy)]
struct Place {
    position: u64,
    crc64: Option<u64>,
}

impl Place {
    fn at(position: u64) -> Self {
        let crc64 = (position == 0).then(|| crc64::checksum(b""));
        Self { position, crc64 }
    }

    fn advance(&mut self, bytes: &[u8]) {
        let length = bytes.len() as u64;
        self.position += length;
        let read = |before| crc64::combine(before, crc64::checksum(bytes), length);
        self.crc64 = self.crc64.map(read);
    }
}

impl Tail {
    pub(super) fn new(client: OssClient, object: ObjectPath, start: Start) -> Self {
        Self {
            client,
            object,
            start,
            only_appendable: false,
            names_objects: false,
            only_plain: matches!(start, Start::LastLines(1..)) || io::stdout().is_terminal(),
            is_of_use: false,
            place: None,
            stdout: Output::default(),
        }
    }

    /// Takes up another object, from its start.
    pub(super) fn go_on(&mut self, object: ObjectPath) {
        self.object = object;
        self.start = Start::At(0);
        self.is_of_use = false;
        self.place = None;
    }

    /// Looks at the object, and writes what is new. `None`: it does not exist yet.
    pub(super) async fn look(&mut self) -> Result<Option<Found>, End> {
        let Some(info) = self.client.head(&self.object).await? else {
            if let Some(place) = self.place {
                return Err(self.changed(&format!(
                    "has been removed: {} bytes of it were read",
                    place.position
                )));
            }
            if !matches!(self.start, Start::At(_)) {
                // When it comes, all of it is new.
                self.start = Start::At(0);
            }
            return Ok(None);
        };
        if self.only_plain && !self.is_of_use && info.length > 0 {
            self.refuse_compressed().await?;
            self.is_of_use = true;
        }
        let mut place = match self.place {
            Some(place) => place,
            None => {
                let place = self.begin(&info).await?;
                if self.names_objects {
                    output::note(format_args!("following {}", self.object));
                }
                *self.place.insert(place)
            }
        };
        self.check(place, &info)?;
        let grown = place.position < info.length;
        while place.position < info.length {
            self.write(&mut place, info.length).await?;
        }
        if let (Some(read), Some(told)) = (place.crc64, info.crc64)
            && read != told
        {
            return Err(self.replaced(place.position, info.length));
        }
        place.crc64 = info.crc64.or(place.crc64);
        self.place = Some(place);
        Ok(Some(Found {
            grown,
            sealed: info.sealed,
        }))
    }

    /// Refuses an object whose lines cannot be told, and which is nothing for a terminal.
    async fn refuse_compressed(&self) -> Result<(), End> {
        let object = &self.object;
        let reader = ObjectReader::builder(self.client.clone(), object.clone());
        let (format, tool) = match stored::format_of(reader).await? {
            format @ StoredFormat::Gzip => (format, "zcat"),
            format @ StoredFormat::Zstd => (format, "zstdcat"),
            _ => return Ok(()),
        };
        Err(End::Failed(Failure::local(format!(
            "{object} is compressed by {format}: its last lines are found by \
             oss-append cat --decompress {object} | tail, and it is followed by \
             oss-append tail -f --from 0 {object} | {tool}"
        ))))
    }

    /// Finds where to begin, in an object that exists.
    async fn begin(&mut self, info: &ObjectInfo) -> Result<Place, End> {
        if self.only_appendable
            && let ObjectKind::Other(name) = &info.kind
        {
            let object_type = Some(name.clone()).filter(|name| !name.is_empty());
            let error = Error::not_appendable(object_type);
            return Err(error.with_object(&self.object).into());
        }
        let position = match self.start {
            Start::At(position) if position > info.length => {
                return Err(self.changed(&format!(
                    "has only {} bytes: it has been replaced, or never had a position {position}",
                    info.length
                )));
            }
            Start::At(position) => position,
            Start::LastBytes(count) => info.length.saturating_sub(count),
            Start::LastLines(count) => self.start_of_lines(info.length, count).await?,
        };
        Ok(Place::at(position))
    }

    /// Whether the object can still be the one that was read up to `place`.
    fn check(&self, place: Place, info: &ObjectInfo) -> Result<(), End> {
        let appendable = info.kind == ObjectKind::Appendable;
        if place.position > info.length {
            return Err(self.changed(&format!(
                "has been shortened or replaced: {} bytes of it were read, and it has {}",
                place.position, info.length
            )));
        }
        match appendable || !self.only_appendable {
            true => Ok(()),
            false => Err(self.replaced(place.position, info.length)),
        }
    }

    fn replaced(&self, position: u64, length: u64) -> End {
        self.changed(&format!(
            "has been replaced: its first {position} bytes are not those that were read, its \
             length is {length}"
        ))
    }

    fn changed(&self, how: &str) -> End {
        End::Failed(Failure::conflict(format!("{} {how}", self.object)))
    }

    /// Writes what is between `place` and `end`. What was written before a failure counts.
    async fn write(&mut self, place: &mut Place, end: u64) -> Result<(), End> {
        let copied = self.copy(place, end).await;
        self.stdout.flush().await.map_err(End::Failed)?;
        copied
    }

    async fn copy(&mut self, place: &mut Place, end: u64) -> Result<(), End> {
        let mut stream = self
            .client
            .read_range(&self.object, place.position..end)
            .await?;
        while let Some(chunk) = stream.next().await {
            let chunk = chunk?;
            place.advance(&chunk);
            self.stdout.write(chunk).await.map_err(End::Failed)?;
            self.place = Some(*place);
        }
        match place.position < end {
            true => Err(self.changed("has been shortened or replaced while it was read")),
            false => Ok(()),
        }
    }

    /// Where the last `count` lines of the first `length` bytes begin. Reads backwards, and keeps
    /// one piece in memory.
    async fn start_of_lines(&self, length: u64, count: u64) -> Result<u64, End> {
        let mut lines = LastLines::new(count);
        let (mut end, mut size) = (length, FIRST_PIECE);
        while end > 0 && count > 0 {
            let start = end.saturating_sub(size);
            let piece = self.piece(start, end).await?;
            if let Some(at) = lines.search(&piece) {
                return Ok(start + at as u64);
            }
            (end, size) = (start, (size * 2).min(LARGEST_PIECE));
        }
        Ok(if count == 0 { length } else { 0 })
    }

    async fn piece(&self, start: u64, end: u64) -> Result<Vec<u8>, End> {
        let mut stream = self.client.read_range(&self.object, start..end).await?;
        let mut piece = Vec::new();
        while let Some(chunk) = stream.next().await {
            piece.extend_from_slice(&chunk?);
        }
        match piece.len() as u64 == end - start {
            true => Ok(piece),
            false => Err(self.changed("has been shortened or replaced while it was read")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checksum_is_continued_from_the_start_alone() {
        let mut place = Place::at(0);
        place.advance(b"hello ");
        place.advance(b"world");
        assert_eq!(place.crc64, Some(crc64::checksum(b"hello world")));
        let mut place = Place::at(6);
        place.advance(b"world");
        assert_eq!((place.position, place.crc64), (11, None));
    }
}
