//! `oss-append tail`: the last part of an object on standard output, and what is appended to it.
//!
//! How one object is read is in `object.rs`, which object comes next in `sequence.rs` and, for a
//! sequence that is named by a template, in `template.rs`.

mod last_lines;
mod object;
mod pause;
mod sequence;
mod template;

use std::process::ExitCode;
use std::time::Duration;

use bytesize::ByteSize;
use clap::Args;
use oss_append::{KeyTemplate, ObjectPath, Periods};

use self::object::{End, Start, Tail};
use self::pause::Pause;
use self::sequence::{Sequence, Single, Step};
use self::template::Template;
use crate::connection::{self, ConnectionArguments};
use crate::failure::{self, Failure};
use crate::output;
use crate::period::{Period, UtcOffset};
use crate::signals::{self, Signals};

/// Write the last part of an object to standard output, and with -f what is appended to it.
///
/// With -f the object is asked for its length again and again, less often while nothing comes.
/// Trouble in reaching OSS is waited out. An object that does not exist yet is waited for, and
/// written from its start. It ends with exit code 0 on SIGINT (^C), SIGTERM or SIGHUP, and when the
/// object is sealed and has been read to its end; with 3 if the object is removed, shortened or
/// replaced, which its checksum tells; with 141 as soon as nobody reads what it writes, also while
/// nothing is appended.
///
/// Of an object that is compressed by gzip or zstd the last lines are not found, and a terminal is
/// not given any of it: it ends with exit code 1 then. With --bytes or --from its bytes are written
/// as they are, to a pipe or a file.
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
  oss-append tail -f --from 0 oss://logs/2026/app.log.gz | zcat
  oss-append tail -f --template 'oss://logs/%Y/%m/%d/%H-{host}-{seq}.log'

SIZE is a number of bytes, with a unit if need be: 64KiB, 8MiB, 1MB (1000000). DURATION is like
200ms, 5s or 2m. The fields of templates are told by oss-append append --help. The newest object is
found by listing (oss:ListObjects), or where that is not allowed by trying the numbers.";

const PERMISSION: &str = "oss:GetObject";

pub(crate) async fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
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
    let result = output::while_read(async {
        match template {
            Some((template, periods)) => {
                let (client, bucket) = (connection.client(), tail.object.bucket());
                let sequence = Template::new(client, bucket, template, periods);
                go(tail, sequence, pause).await
            }
            None => {
                let single = Single(tail.object.clone());
                go(tail, single, pause).await
            }
        }
    });
    let result = result.await;
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
        // Each second may begin a period: those of longer ones are found among them if their keys
        // tell times no more finely than that.
        let Period(every) = self.roll.unwrap_or(Period::SECOND);
        let offset = self.utc_offset.unwrap_or_default();
        let periods = Periods::new(every, offset.seconds)?;
        Ok(Some((template, periods)))
    }
}

async fn go(tail: Tail, sequence: impl Sequence, pause: Option<Pause>) -> Result<(), Failure> {
    let Some(pause) = pause else {
        return print(tail, sequence).await;
    };
    let mut signals = Signals::new(signals::BOUND)?;
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
        Err(end) => Err(end.into()),
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
            Err(end) => return Err(end.into()),
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
