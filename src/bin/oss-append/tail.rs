//! `oss-append tail`: the last part of an object on standard output, and what is appended to it.

use std::process::ExitCode;
use std::time::Duration;

use bytesize::ByteSize;
use clap::Args;
use futures::StreamExt as _;
use oss_append::{
    AppendStore as _, Error, ErrorKind, KeyTemplate, ObjectInfo, ObjectKind, ObjectPath, OssClient,
    crc64,
};
use tokio::io::{AsyncWriteExt, Stdout};

use crate::connection::{self, ConnectionArguments};
use crate::failure::{self, Failure};
use crate::period::{Period, UtcOffset};
use crate::sequence::{Periods, Template};
use crate::signals::Signals;
use crate::{logging, output};

/// Write the last part of an object to standard output, and with -f what is appended to it.
///
/// With -f the object is asked for its length again and again, less often while nothing comes.
/// Trouble in reaching OSS is waited out. An object that does not exist yet is waited for, and
/// written from its start. It ends with exit code 0 on SIGINT (^C) or SIGTERM, and when the object
/// is sealed and has been read to its end; with 3 if the object is removed, shortened or replaced,
/// which its checksum tells.
///
/// With --template it follows a sequence of objects as append --roll and --roll-size write it. It
/// begins with the newest object of the present period. When that has ended, it goes on with the
/// next one: the next number, or the first of a later period. One has ended when it is sealed, or
/// when there is a next and it does not grow any more. The end of the sequence is never known, so
/// only a signal or a failure ends it.
#[derive(Args)]
#[command(after_long_help = format!("{EXAMPLES}\n\n{}\n\n{}", connection::HELP, failure::HELP))]
pub(crate) struct Arguments {
    /// The object, as oss://BUCKET/KEY; KEY is taken literally, nothing in it is decoded, unless
    /// --template is given
    #[arg(value_name = "oss://BUCKET/KEY")]
    target: ObjectPath,
    /// KEY is a template, the same that append --roll was given. {host} becomes the name of this
    /// machine: write another machine's in its place, and likewise the number of a process for
    /// {pid}. {uuid} cannot be followed
    #[arg(long)]
    template: bool,
    /// With --template: the --roll of append. Needed where KEY tells times more finely than in
    /// periods, such as %H%M with --roll 10m; hourly with %H and daily with %d do without
    #[arg(long, value_name = "PERIOD", requires = "template")]
    roll: Option<Period>,
    /// With --template: the --utc-offset of append
    #[arg(
        long,
        value_name = "+HH:MM",
        requires = "template",
        allow_hyphen_values = true
    )]
    utc_offset: Option<UtcOffset>,
    /// Go on with what is appended. The object must be appendable
    #[arg(short, long)]
    follow: bool,
    /// Begin with the last N lines; a line may lack its line feed at the end of the object
    #[arg(short = 'n', long, value_name = "N", default_value = "10")]
    lines: u64,
    /// Begin with the last SIZE bytes
    #[arg(short = 'c', long, value_name = "SIZE", conflicts_with = "lines")]
    bytes: Option<ByteSize>,
    /// Begin with the byte at POSITION, from 0, such as the length that was read the last time;
    /// a shorter object is one that was replaced
    #[arg(long, value_name = "POSITION", conflicts_with_all = ["lines", "bytes", "template"])]
    from: Option<u64>,
    /// With -f: look again after this long when something has come; while nothing comes twice as
    /// long each time
    #[arg(
        long,
        value_name = "DURATION",
        default_value = "200ms",
        requires = "follow"
    )]
    poll_min: humantime::Duration,
    /// With -f: look again after this long at the latest
    #[arg(
        long,
        value_name = "DURATION",
        default_value = "5s",
        requires = "follow"
    )]
    poll_max: humantime::Duration,
    #[command(flatten)]
    connection: ConnectionArguments,
}

const EXAMPLES: &str = "\
Examples:
  oss-append tail --lines 100 oss://logs/2026/app.log
  oss-append tail -f oss://logs/2026/app.log
  oss-append tail -f --from 1048576 --poll-max 1m oss://logs/2026/app.log
  oss-append tail -f --template 'oss://logs/%Y/%m/%d/%H-{host}-{seq}.log'

SIZE is a number of bytes, with a unit if need be: 64KiB, 8MiB, 1MB (1000000). DURATION is like
200ms, 5s or 2m. The fields of templates are told by oss-append append --help. The newest object is
found by listing (oss:ListObjects), or where that is not allowed by trying the numbers.";

const PERMISSION: &str = "oss:GetObject";

/// The first and the largest piece that is searched backwards for the start of a line.
const FIRST_PIECE: u64 = 64 * 1024;
const LARGEST_PIECE: u64 = 4 * 1024 * 1024;

pub(crate) async fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    logging::init("off");
    let pause = Pause::new(*arguments.poll_min, *arguments.poll_max)?;
    let start = match (arguments.bytes, arguments.from) {
        (Some(size), _) => Start::LastBytes(size.as_u64()),
        (None, Some(position)) => Start::At(position),
        (None, None) => Start::LastLines(arguments.lines),
    };
    let template = arguments.template()?;
    let connection = arguments.connection.open(&arguments.target).await?;
    let pause = arguments.follow.then_some(pause);
    let tail = Tail::new(connection.client(), arguments.target, start);
    let result = match template {
        Some((template, periods)) => {
            let (client, bucket) = (connection.client(), tail.object.bucket());
            let sequence = Template::new(client, bucket, template, periods);
            go(tail, sequence, pause).await
        }
        None => {
            let single = Single(tail.object.clone());
            go(tail, single, pause).await
        }
    };
    connection.close().await;
    result.map(|()| ExitCode::SUCCESS)
}

impl Arguments {
    /// How the objects of the sequence are named, if it is to be one.
    fn template(&self) -> Result<Option<(KeyTemplate, Periods)>, Failure> {
        if !self.template {
            return Ok(None);
        }
        let template = KeyTemplate::new(self.target.key())?;
        if !template.is_repeatable() {
            return Err(Failure::usage(
                "nobody but the writer knows what {uuid} and {pid} became, so such objects cannot \
                 be followed; write the number of its process instead of {pid}",
            ));
        }
        let every = self.roll.map(|Period(every)| every);
        let periods = Periods::new(every, self.utc_offset.unwrap_or_default())?;
        Ok(Some((template, periods)))
    }
}

async fn go(tail: Tail, sequence: impl Sequence, pause: Option<Pause>) -> Result<(), Failure> {
    let Some(pause) = pause else {
        return print(tail, sequence).await;
    };
    let mut signals = Signals::new()?;
    let follow = follow(tail, sequence, pause);
    signals.unless(follow).await.unwrap_or(Ok(()))
}

/// Writes what is there.
async fn print(mut tail: Tail, mut sequence: impl Sequence) -> Result<(), Failure> {
    let first = sequence.first().await;
    tail.object = first.map_err(|error| Failure::of_request(&error, PERMISSION))?;
    match tail.look().await {
        Ok(Some(_)) => Ok(()),
        Ok(None) => Err(Failure::local(format!("{} does not exist", tail.object))),
        Err(end) => end.into(),
    }
}

/// Writes what is there and what comes, until a failure that does not pass, or until the sequence
/// of objects ends.
async fn follow(
    mut tail: Tail,
    mut sequence: impl Sequence,
    mut pause: Pause,
) -> Result<(), Failure> {
    tail.only_appendable = true;
    tail.names_objects = sequence.has_many();
    let (mut begun, mut waits, mut troubled) = (false, false, false);
    loop {
        let mut least = Duration::ZERO;
        match turn(&mut tail, &mut sequence, &mut begun).await {
            Ok(Turn::Ended) => return Ok(()),
            Ok(Turn::Missing) => {
                troubled = false;
                if !std::mem::replace(&mut waits, true) {
                    output::note(format_args!("{} does not exist yet: waiting", tail.object));
                }
            }
            Ok(Turn::Looked { grown }) => {
                troubled = false;
                if grown {
                    pause.reset();
                }
            }
            Err(End::Request(error)) if failure::may_pass(&error) => {
                if !std::mem::replace(&mut troubled, true) {
                    let failure = Failure::of_request(&error, PERMISSION);
                    output::note(failure.and("trying again").message());
                }
                let wanted = error.service_error().and_then(|answer| answer.retry_after);
                least = wanted.unwrap_or_default();
            }
            Err(end) => return end.into(),
        }
        tokio::time::sleep(pause.next().max(least)).await;
    }
}

enum Turn {
    /// There is no object yet.
    Missing,
    Looked {
        grown: bool,
    },
    /// No object has more to come.
    Ended,
}

/// Looks, and does what the sequence says, until there is nothing to do for the moment.
async fn turn(
    tail: &mut Tail,
    sequence: &mut impl Sequence,
    begun: &mut bool,
) -> Result<Turn, End> {
    if !*begun {
        tail.object = sequence.first().await?;
        *begun = true;
    }
    let mut grown = false;
    loop {
        let found = tail.look().await?;
        grown |= found.as_ref().is_some_and(|found| found.grown);
        match sequence.step(&tail.object, found.as_ref()).await? {
            Step::Stay if found.is_none() => return Ok(Turn::Missing),
            Step::Stay => return Ok(Turn::Looked { grown }),
            Step::LookAgain => {}
            Step::GoOn(object) => {
                tail.go_on(object);
                grown = true;
            }
            Step::End => return Ok(Turn::Ended),
        }
    }
}

/// Which objects are followed, one after the other.
pub(crate) trait Sequence {
    /// Whether there may be more than one.
    fn has_many(&self) -> bool;

    /// The object to begin with. It need not exist yet.
    async fn first(&mut self) -> Result<ObjectPath, Error>;

    /// What to do next, now that all has been written that was `found` in the `present` object.
    /// `None`: it does not exist yet.
    async fn step(&mut self, present: &ObjectPath, found: Option<&Found>) -> Result<Step, Error>;
}

#[derive(Debug, PartialEq)]
pub(crate) enum Step {
    /// Look at the present object again after a while.
    Stay,
    /// Look at the present object again at once.
    LookAgain,
    /// The present object has ended: take up this one, from its start.
    GoOn(ObjectPath),
    /// No more is to come.
    End,
}

/// One object, and no other.
struct Single(ObjectPath);

impl Sequence for Single {
    fn has_many(&self) -> bool {
        false
    }

    async fn first(&mut self) -> Result<ObjectPath, Error> {
        Ok(self.0.clone())
    }

    async fn step(&mut self, present: &ObjectPath, found: Option<&Found>) -> Result<Step, Error> {
        if found.is_none_or(|found| !found.sealed) {
            return Ok(Step::Stay);
        }
        output::note(format_args!(
            "{present} is sealed, and has been read to its end"
        ));
        Ok(Step::End)
    }
}

/// The time between two looks: twice as long each time, within bounds.
#[derive(Debug)]
struct Pause {
    min: Duration,
    max: Duration,
    next: Duration,
}

impl Pause {
    fn new(min: Duration, max: Duration) -> Result<Self, Failure> {
        if min.is_zero() || min > max {
            return Err(Failure::usage(
                "--poll-min must be more than 0 and at most --poll-max",
            ));
        }
        let next = min;
        Ok(Self { min, max, next })
    }

    fn next(&mut self) -> Duration {
        let now = self.next;
        self.next = now.saturating_mul(2).min(self.max);
        now
    }

    fn reset(&mut self) {
        self.next = self.min;
    }
}

/// Where to begin.
#[derive(Clone, Copy)]
enum Start {
    LastLines(u64),
    LastBytes(u64),
    At(u64),
}

/// What a look at an object has found and written.
pub(crate) struct Found {
    pub(crate) grown: bool,
    /// Whether what has been written is all that the object will ever have.
    pub(crate) sealed: bool,
}

/// Why no more is read.
enum End {
    Request(Error),
    Failed(Failure),
    /// Nobody reads what is written.
    NobodyReads,
}

impl From<Error> for End {
    fn from(error: Error) -> Self {
        Self::Request(error)
    }
}

impl From<End> for Result<(), Failure> {
    fn from(end: End) -> Self {
        match end {
            End::Request(error) => Err(Failure::of_request(&error, PERMISSION)),
            End::Failed(failure) => Err(failure),
            End::NobodyReads => Ok(()),
        }
    }
}

/// One object, from where it is begun to as far as it has been written out.
struct Tail {
    client: OssClient,
    object: ObjectPath,
    start: Start,
    only_appendable: bool,
    /// Say which object it is, before its first bytes.
    names_objects: bool,
    /// How far it has been read, once it has been begun.
    place: Option<Place>,
    stdout: Stdout,
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
    fn new(client: OssClient, object: ObjectPath, start: Start) -> Self {
        Self {
            client,
            object,
            start,
            only_appendable: false,
            names_objects: false,
            place: None,
            stdout: tokio::io::stdout(),
        }
    }

    /// Takes up another object, from its start.
    fn go_on(&mut self, object: ObjectPath) {
        self.object = object;
        self.start = Start::At(0);
        self.place = None;
    }

    /// Looks at the object, and writes what is new. `None`: it does not exist yet.
    async fn look(&mut self) -> Result<Option<Found>, End> {
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

    /// Finds where to begin, in an object that exists.
    async fn begin(&mut self, info: &ObjectInfo) -> Result<Place, End> {
        if self.only_appendable
            && let ObjectKind::Other(name) = &info.kind
        {
            let object_type = Some(name.clone()).filter(|name| !name.is_empty());
            let error = Error::new(ErrorKind::NotAppendable { object_type });
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
        let mut stream = self
            .client
            .read_range(&self.object, place.position..end)
            .await?;
        while let Some(chunk) = stream.next().await {
            let chunk = chunk?;
            let written = self.stdout.write_all(&chunk).await;
            let flushed = match written {
                Ok(()) => self.stdout.flush().await,
                failed => failed,
            };
            if let Err(error) = flushed {
                return Err(match output::failed(error) {
                    Ok(()) => End::NobodyReads,
                    Err(failure) => End::Failed(failure),
                });
            }
            place.advance(&chunk);
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

/// Searches for the start of the last lines, backwards piece by piece.
struct LastLines {
    /// How many line feeds are still to be found; the one that ends the last line not counted.
    left: u64,
    at_end: bool,
}

impl LastLines {
    fn new(count: u64) -> Self {
        Self {
            left: count,
            at_end: true,
        }
    }

    /// Where in this piece, which stands before the last one, the lines begin.
    fn search(&mut self, piece: &[u8]) -> Option<usize> {
        let last = piece.len().checked_sub(1)?;
        let at_end = std::mem::replace(&mut self.at_end, false);
        for (at, byte) in piece.iter().enumerate().rev() {
            if *byte != b'\n' || (at_end && at == last) {
                continue;
            }
            self.left -= 1;
            if self.left == 0 {
                return Some(at + 1);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn last(text: &str, count: u64, size: usize) -> &str {
        let mut lines = LastLines::new(count);
        let mut end = text.len();
        while end > 0 {
            let start = end.saturating_sub(size);
            if let Some(at) = lines.search(&text.as_bytes()[start..end]) {
                return &text[start + at..];
            }
            end = start;
        }
        text
    }

    #[test]
    fn the_last_lines_are_found_wherever_the_pieces_end() {
        for size in 1..12 {
            for (text, count, found) in [
                ("a\nbb\nccc\n", 1, "ccc\n"),
                ("a\nbb\nccc\n", 2, "bb\nccc\n"),
                ("a\nbb\nccc\n", 3, "a\nbb\nccc\n"),
                ("a\nbb\nccc\n", 99, "a\nbb\nccc\n"),
                ("a\nbb\nccc", 1, "ccc"),
                ("a\nbb\nccc", 2, "bb\nccc"),
                ("\n\n\n", 2, "\n\n"),
                ("no line feed", 1, "no line feed"),
                ("\n", 1, "\n"),
                ("", 1, ""),
            ] {
                assert_eq!(last(text, count, size), found, "{text:?} {count} {size}");
            }
        }
    }

    #[test]
    fn a_pause_doubles_until_something_comes() {
        let ms = Duration::from_millis;
        let mut pause = Pause::new(ms(200), ms(1000)).unwrap();
        let pauses: Vec<Duration> = (0..5).map(|_| pause.next()).collect();
        assert_eq!(pauses, [200, 400, 800, 1000, 1000].map(ms));
        pause.reset();
        assert_eq!(pause.next(), ms(200));
        for (min, max) in [(0, 1000), (2, 1)] {
            assert!(Pause::new(ms(min), ms(max)).is_err());
        }
        let mut longest = Pause::new(Duration::MAX, Duration::MAX).unwrap();
        for _ in 0..3 {
            assert_eq!(longest.next(), Duration::MAX);
        }
    }

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
