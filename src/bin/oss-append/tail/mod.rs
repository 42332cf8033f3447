//! `oss-append tail`: the last part of an object on standard output, and what is appended to it.
//!
//! Where it begins is in `start.rs`. With -f it stands on the followers of the library, in
//! `follow.rs`.

mod follow;
mod last_lines;
mod start;

use std::io::{self, IsTerminal as _};
use std::pin::pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use bytesize::ByteSize;
use clap::Args;
use futures::StreamExt as _;
use oss_append::{
    Checkpoint, DeliveryEvent, KeyTemplate, ObjectPath, ObjectReader, OssClient, SequenceReader,
    SequenceReaderBuilder,
};

use self::follow::{Follow, hearing};
use self::start::{Failed, From, Start, refuse_compressed, start_of_lines};
use crate::connection::{self, ConnectionArguments};
use crate::failure::{self, Failure};
use crate::output::{self, Output};
use crate::period::{Period, UtcOffset};
use crate::signals::{self, Signals};
use crate::trouble::Trouble;

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
/// begins with the newest object of the present period, or with --from TIME at the start of the first
/// object of the period that TIME falls in. When that has ended, it goes on with the next one: the
/// next number, or the first of a later period. One has ended when it is sealed, or when there is a
/// next and it does not grow any more. The end of the sequence is never known, so only a signal or a
/// failure ends it.
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
    /// With --template: the --roll of append. Of use where KEY tells times more finely than in
    /// periods, such as %H%M with --roll 1d, since fewer periods are looked for; needed where it tells
    /// them more finely than in seconds
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
    /// a shorter object is one that was replaced. With -f --template: begin with the period of TIME,
    /// such as 2026-11-28, 2026-11-28T10:00 (at --utc-offset) or 2026-11-28T10:00Z
    #[arg(long, value_name = "POSITION|TIME", conflicts_with_all = ["lines", "bytes"])]
    from: Option<From>,
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
  oss-append tail -f --template --from 2026-11-28T10:00 'oss://logs/%Y/%m/%d/%H-{seq}.log'

SIZE is a number of bytes, with a unit if need be: 64KiB, 8MiB, 1MB (1000000). DURATION is like
200ms, 5s or 2m. The fields of templates are told by oss-append append --help. The newest object is
found by listing (oss:ListObjects), or where that is not allowed by trying the numbers.";

const PERMISSION: &str = "oss:GetObject";

pub(crate) async fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    let plan = arguments.plan()?;
    let connection = arguments.connection.open_to_read(&arguments.target).await?;
    let client = connection.client();
    let result = output::while_read(async {
        match arguments.follow {
            true => {
                let mut signals = Signals::new(signals::BOUND)?;
                let follow = arguments.follow(client, plan);
                signals.unless(follow).await.unwrap_or(Ok(()))
            }
            false => {
                let (trouble, on_event) = Trouble::reading();
                hearing(trouble, arguments.print(client, plan, on_event)).await
            }
        }
    });
    let result = result.await;
    connection.close().await;
    result.map(|()| ExitCode::SUCCESS)
}

/// What the arguments say.
struct Plan {
    start: Start,
    /// What is compressed is of no use.
    only_plain: bool,
    /// How the objects of the sequence are named, if it is to be one.
    template: Option<KeyTemplate>,
    /// The time at which the sequence is begun.
    from: Option<jiff::Timestamp>,
}

impl Arguments {
    fn plan(&self) -> Result<Plan, Failure> {
        let (min, max) = (*self.poll_min, *self.poll_max);
        if min.is_zero() || min > max {
            return Err(Failure::usage(
                "--poll-min must be more than 0 and at most --poll-max",
            ));
        }
        let template = match self.template {
            true => Some(KeyTemplate::new(self.target.key())?),
            false => None,
        };
        let utc_offset = self.utc_offset.unwrap_or_default();
        let from = self
            .from
            .map(|from| from.time(utc_offset))
            .transpose()?
            .flatten();
        if from.is_some() && !(self.template && self.follow) {
            return Err(Failure::usage("--from TIME needs -f and --template"));
        }
        let start = match (self.bytes, self.from) {
            (_, Some(From::Position(_))) if self.template => {
                return Err(Failure::usage(
                    "--from POSITION is one in an object, and --template names many: give a TIME",
                ));
            }
            (_, Some(From::Position(position))) => Start::At(position),
            (_, Some(_)) => Start::At(0),
            (Some(size), None) => Start::LastBytes(size.as_u64()),
            (None, None) => Start::LastLines(self.lines),
        };
        Ok(Plan {
            start,
            only_plain: start.wants_lines() || io::stdout().is_terminal(),
            template,
            from,
        })
    }

    fn sequence(&self, client: OssClient, template: KeyTemplate) -> SequenceReaderBuilder {
        let offset = self.utc_offset.unwrap_or_default();
        let builder = SequenceReader::builder(client, self.target.bucket(), template);
        let builder = builder.utc_offset(offset.seconds);
        match self.roll {
            Some(Period(every)) => builder.roll_every(every),
            None => builder,
        }
    }

    /// Writes what is there and what comes, until a failure that does not pass, or until an object
    /// has ended.
    async fn follow(&self, client: OssClient, plan: Plan) -> Result<(), Failure> {
        let (trouble, on_event) = Trouble::reading();
        let tell: Arc<dyn Fn(DeliveryEvent) + Send + Sync> = Arc::new(on_event);
        let told = Arc::clone(&tell);
        let poll_interval = *self.poll_min..=*self.poll_max;
        let follow = Follow {
            client: client.clone(),
            start: plan.start,
            only_plain: plan.only_plain,
            set: Box::new(move |builder| {
                let tell = Arc::clone(&tell);
                builder
                    .poll_interval(poll_interval.clone())
                    .delivery_timeout(Duration::MAX)
                    .on_event(move |event| tell(event))
            }),
            read: Box::new(move |builder| {
                let tell = Arc::clone(&told);
                builder
                    .delivery_timeout(Duration::MAX)
                    .on_event(move |event| tell(event))
            }),
        };
        let object = self.target.clone();
        match plan.template {
            None => hearing(trouble, follow.object(object)).await,
            Some(template) => {
                let builder = self.sequence(client, template);
                let builder = match plan.from {
                    Some(time) => builder.from_time(time.into()),
                    None => builder,
                };
                let begins = plan.from.is_some();
                hearing(trouble, follow.sequence(builder, begins, &object)).await
            }
        }
    }

    /// Writes what is there.
    async fn print(
        &self,
        client: OssClient,
        plan: Plan,
        on_event: impl Fn(DeliveryEvent) + Send + Sync + 'static,
    ) -> Result<(), Failed> {
        let tell: Arc<dyn Fn(DeliveryEvent) + Send + Sync> = Arc::new(on_event);
        let object = match plan.template {
            None => self.target.clone(),
            Some(template) => {
                let sequence = self.sequence(client.clone(), template).from_end();
                let tell = Arc::clone(&tell);
                let sequence = sequence.follower(|set| set.on_event(move |event| tell(event)));
                let at_end = sequence.open().await?;
                match at_end.checkpoint() {
                    Some(end) => end.object.clone(),
                    None => {
                        let none = format!("no object of {} exists in this period", self.target);
                        return Err(Failure::local(none).into());
                    }
                }
            }
        };
        let reader =
            ObjectReader::builder(client, object.clone()).on_event(move |event| tell(event));
        let printed = async {
            if plan.only_plain {
                refuse_compressed(&reader, &object).await?;
            }
            let reader = match plan.start {
                Start::LastBytes(bytes) => reader.last(bytes),
                Start::At(position) => reader.checkpoint(Checkpoint::new(object.clone(), position)),
                Start::LastLines(count) => {
                    let position = start_of_lines(&reader, &object, count).await?;
                    reader.checkpoint(Checkpoint::new(object.clone(), position))
                }
            };
            let mut pieces = pin!(reader.open().await?);
            let mut stdout = Output::default();
            let written = async {
                while let Some(piece) = pieces.next().await {
                    stdout.write(piece?).await?;
                }
                Ok(())
            };
            let written = written.await;
            stdout.flush().await?;
            written
        };
        match printed.await {
            Err(failed @ Failed::Request(_)) if failed.is_missing() => {
                Err(Failure::local(format!("{object} does not exist")).into())
            }
            printed => printed,
        }
    }
}
