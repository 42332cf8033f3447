//! `oss-append append`: a file or standard input into an object, or a sequence of them.

mod batching;
mod properties;
mod rolling;
mod spooling;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::{ArgGroup, Args};
use futures::FutureExt as _;
use oss_append::{
    AppendStore, Checkpoint, Compression, DeliveryEvent, Error, FinishedObject, IgnoredOption,
    ObjectOptions, ObjectPath, OssAppendWriter, OssAppendWriterBuilder, OssClient, RollingWriter,
};
use tokio::sync::Notify;

use self::batching::Batching;
use self::properties::Properties;
pub(crate) use self::rolling::{ROLLS, Rolling};
use self::rolling::{TEMPLATES, template_field};
use self::spooling::Spooling;
use crate::connection::{self, Connection, ConnectionArguments};
use crate::failure::{self, Failure};
use crate::finished::Finished;
use crate::input::{Input, Stop};
use crate::outcome::{self, Outcome};
use crate::progress::{Progress, When};
use crate::signals::{Signals, Wish};
use crate::summary::{AtStart, Summary};
use crate::trouble::{Said, Trouble};
use crate::writer::Writer;
use crate::{lines, output};

/// Append a file or standard input to an object, exactly once and in order.
///
/// The object is continued at its end, or created by the first append. A failed request is repeated
/// for --delivery-timeout, after finding out what really happened, so that nothing is lost or
/// doubled. At the end, one line on standard error sums it up; with --json it is an object on
/// standard output.
///
/// With --roll-size or --roll it writes a sequence of objects, named by a template.
///
/// SIGINT (^C), SIGTERM and SIGHUP end the input: what was read until then is made durable, within
/// --shutdown-timeout, and the summary says that it was interrupted. The exit code is then 0 if the
/// input has no end of its own, such as a pipe or a terminal. It is 130 if the input is a file, or
/// if --seal or --replay could not be completed, which need the end of the input. A second signal
/// gives up at once. SIGHUP is ignored if it was ignored at the start, as with nohup.
///
/// With --spool, what was read is kept on disk until it is durable. After a signal the command then
/// waits for OSS for at most a second, and not at all while requests fail. What is not durable
/// stays in the spool for the next start, and the exit code is 7, unless a file was not read to its
/// end or --seal could not be completed.
#[derive(Args)]
#[command(
    allow_missing_positional = true,
    group = ArgGroup::new(ROLLS).multiple(true).args(["roll_size", "roll"]),
    after_long_help = format!(
        "{EXAMPLES}\n\n{TEMPLATES}\n\n{}\n\n{}\n\n{}",
        outcome::HELP,
        connection::HELP,
        failure::HELP
    )
)]
pub(crate) struct Arguments {
    /// The file to append; standard input if it is left out or -
    file: Option<PathBuf>,
    /// The object, as oss://BUCKET/KEY. KEY is taken literally, and nothing in it is decoded. Only
    /// with --roll-size or --roll is it a template, see Templates below
    #[arg(value_name = "oss://BUCKET/KEY")]
    target: ObjectPath,
    /// Take KEY as it is, even if it looks like a template
    #[arg(long, conflicts_with = ROLLS)]
    literal: bool,
    /// Create the object, empty at first, and fail if it exists [default: continue or create it]
    #[arg(long, conflicts_with_all = ["replay", "shared", ROLLS])]
    create_new: bool,
    /// Compare the input with the object from its start, and append only what is missing: running
    /// the same command again after a crash completes the object
    #[arg(long, conflicts_with_all = ["shared", ROLLS])]
    replay: bool,
    /// Let others append to the object at the same time. The input is split into lines, each
    /// including its line feed, and no line is torn. A line longer than --max-append-size ends the
    /// command with exit code 2 before any of it is written
    #[arg(long)]
    shared: bool,
    /// Compress each append to one gzip member or zstd frame, so that zcat or zstdcat (or cat
    /// --decompress) can read the object after each append, and the same command continues it. An
    /// object that already holds something else is refused with exit code 3, and skipped in a
    /// sequence. LEVEL is 0 to 9 (default 6), for zstd up to 22 (default 3). Sizes of batches and
    /// of the buffer are those of the input; sizes of objects are compressed
    #[arg(long, value_name = "gzip|zstd[:LEVEL]", conflicts_with = "replay")]
    compress: Option<Compression>,
    /// Seal the object, or the last of a sequence, at the end, so that nobody can append to it any
    /// more
    #[arg(long)]
    seal: bool,
    /// Print one JSON object on standard output: bucket, key, start, end (the object's proven
    /// length; both null if a spool took the input and the object was never reached), bytes (of the
    /// input, durable), with --compress stored (what they were compressed to), appends, retries, reconciles, crc64 (of the whole object, a decimal string or null),
    /// elapsed_ms, appends_per_second and appends_per_month (append requests, which are billed; null
    /// if it ran for less than 10 s), with --spool spool (an object: directory, found (bytes that an
    /// earlier start had left, with some that were in the object), delivered (how many of those are
    /// durable), bytes (not durable), size
    /// (on disk), age_ms (or null), lost (bytes that cannot be read any more)), interrupted, missing (bytes read and not durable), error (or
    /// null), ignored_options (of those for new objects name, asked and found, where the object
    /// existed and differs); after a failure before the object was opened they are missing. Of a
    /// sequence: key, end and crc64 are those of the last object, null if there is none; instead of
    /// start there are template,
    /// finished (how many objects) and objects: of the last 10000 that were finished key, start and
    /// end (where our bytes are), crc64 (of the whole object), reason (size, period, closed: it
    /// took no more appends, end), sealed, seal_error (or null). What every command tells beside that,
    /// see JSON below
    #[arg(long)]
    json: bool,
    /// Show on standard error how many bytes are durable and how many are buffered
    #[arg(long, value_name = "WHEN", value_enum, default_value = "auto")]
    progress: When,
    #[command(flatten)]
    rolling: Rolling,
    #[command(flatten)]
    spooling: Spooling,
    #[command(flatten)]
    batching: Batching,
    #[command(flatten)]
    properties: Properties,
    #[command(flatten)]
    connection: ConnectionArguments,
}

const EXAMPLES: &str = "\
Examples:
  oss-append append app.log oss://logs/2026/app.log
  tail -f app.log | oss-append append --linger 5s oss://logs/2026/app.log
  oss-append append --replay --json dump.sql oss://backup/dump.sql
  journalctl -f | oss-append append 'oss://logs/%Y/%m/%d/%H-{host}-{seq}.log' --roll hourly
  journalctl -f | oss-append append --compress zstd --linger 10s oss://logs/host.log.zst
  journalctl -f | oss-append append --spool /var/spool/host oss://logs/host.log
  oss-append append --roll-size 1GiB --align-lines big.log 'oss://logs/big-{seq:4}.log'

SIZE is a number of bytes, with a unit if need be: 64KiB, 8MiB, 1MB (1000000). DURATION is like
200ms, 5s or 2m.";

const PERMISSIONS: &str = "oss:PutObject and oss:GetObject (oss:PutObjectTagging for --tag, \
                           oss:SealAppendObject for --seal and --seal-finished)";

/// A request of an append that failed for good.
pub(crate) fn request_failed(error: &Error) -> Failure {
    Failure::of_request(error, PERMISSIONS)
}

/// What a writer calls for each event.
trait OnEvent: Fn(DeliveryEvent) + Send + Sync + 'static {}

impl<F: Fn(DeliveryEvent) + Send + Sync + 'static> OnEvent for F {}

/// All that is there before the first byte is read.
struct Opened {
    input: Input,
    writer: Writer,
    /// Else OSS is away, and the spool takes what is read.
    is_open: bool,
    finished: Finished,
    connection: Connection,
}

impl Arguments {
    async fn open(&self, on_event: impl OnEvent) -> Result<Opened, Failure> {
        self.check_key()?;
        self.spooling.check(self.batching.buffer())?;
        let options = self.properties.options()?;
        let input = Input::open(self.file.as_deref()).await?;
        let connection = self.connection.open(&self.target).await?;
        let (finished, tell) = Finished::new();
        let client = connection.client();
        let away = Arc::new(Notify::new());
        let on_event = self.noting_that(Arc::clone(&away), on_event);
        let opened = match self.rolling.is_asked_for() {
            true => {
                self.open_sequence(client, options, tell, on_event, &away)
                    .await
            }
            false => self.open_object(client, options, on_event, &away).await,
        };
        let (writer, is_open) = opened.map_err(|error| request_failed(&error))?;
        Ok(Opened {
            input,
            writer,
            is_open,
            finished,
            connection,
        })
    }

    /// Notes that OSS is `away` before it tells of it. A server whose name is not known has been
    /// reached before if there is something in the spool; else the name is likely to be wrong.
    fn noting_that(&self, away: Arc<Notify>, on_event: impl OnEvent) -> impl OnEvent {
        let is_known = self.spooling.holds_bytes();
        move |event| {
            if let DeliveryEvent::Failed { error, .. } = &event
                && (is_known || !failure::is_unknown_host(error))
            {
                away.notify_one();
            }
            on_event(event);
        }
    }

    /// Refuses a key that was meant as a template.
    fn check_key(&self) -> Result<(), Failure> {
        if self.literal || self.rolling.is_asked_for() {
            return Ok(());
        }
        match template_field(self.target.key()) {
            Some(field) => Err(Failure::usage(format!(
                "the key has {field}, as templates have, but no sequence of objects is asked for: \
                 add --roll or --roll-size, or --literal if {field} is to be in the object's name"
            ))),
            None => Ok(()),
        }
    }

    async fn open_object(
        &self,
        client: OssClient,
        options: ObjectOptions,
        on_event: impl OnEvent,
        away: &Notify,
    ) -> Result<(Writer, bool), Error> {
        let builder = OssAppendWriter::builder(client, self.target.clone()).on_event(on_event);
        let mut builder = self.configure(builder, options).seal_on_shutdown(self.seal);
        if let Some(appends) = self.batching.max_in_flight() {
            builder = builder.max_in_flight(appends);
        }
        if self.create_new {
            builder = builder.create_new();
        }
        if self.replay {
            builder = builder.replay(Checkpoint::start(self.target.clone()));
        }
        if let Some(spool) = self.spooling.spool() {
            builder = builder.spool(spool);
        }
        self.open_or_start(away, builder.clone().open(), || builder.start())
            .await
            .map(|(writer, is_open)| (Writer::Object(writer), is_open))
    }

    async fn open_sequence(
        &self,
        client: OssClient,
        options: ObjectOptions,
        tell: impl Fn(FinishedObject) + Send + Sync + 'static,
        on_event: impl OnEvent,
        away: &Notify,
    ) -> Result<(Writer, bool), Error> {
        let (bucket, template) = (self.target.bucket(), self.target.key());
        let builder = RollingWriter::builder(client, bucket, template)
            .writer(|writer| self.configure(writer.on_event(on_event), options))
            .seal_on_shutdown(self.seal)
            .on_finished(tell);
        let mut builder = self.rolling.set(builder, self.shared);
        if let Some(spool) = self.spooling.spool() {
            builder = builder.spool(spool);
        }
        self.open_or_start(away, builder.clone().open(), || builder.start())
            .await
            .map(|(writer, is_open)| (Writer::Sequence(writer), is_open))
    }

    /// Waits for `open`; with a spool no longer than OSS is there: then what is read is kept there.
    /// Tells whether it has been opened.
    async fn open_or_start<W>(
        &self,
        away: &Notify,
        open: impl Future<Output = Result<W, Error>>,
        start: impl FnOnce() -> Result<W, Error>,
    ) -> Result<(W, bool), Error> {
        tokio::select! {
            biased;
            opened = open => return opened.map(|writer| (writer, true)),
            () = away.notified(), if self.spooling.directory().is_some() => {}
        }
        start().map(|writer| (writer, false))
    }

    fn configure<S: AppendStore, O>(
        &self,
        builder: OssAppendWriterBuilder<S, O>,
        options: ObjectOptions,
    ) -> OssAppendWriterBuilder<S, O> {
        let builder = builder.object_options(options).shared(self.shared);
        let builder = match self.compress {
            Some(compression) => builder.compression(compression),
            None => builder,
        };
        self.batching.set(builder)
    }

    /// Writes all of the input, and finishes the object unless a signal has cut the input.
    async fn write(&self, writer: &mut Writer, input: &mut Input) -> Result<(), Failure> {
        if self.shared {
            lines::copy(writer, input, self.batching.max_append_size()).await?;
        } else {
            writer.copy(input).await?;
        }
        // No more comes, but more was to come: neither seal it nor take a replay as complete. A
        // spool is emptied all the same.
        if input.stop().has_cut() && (self.seal || self.spooling.directory().is_none()) {
            return Ok(());
        }
        writer.shutdown().await
    }

    /// Whether nothing remains to be done once all that was read of `input` is durable.
    fn is_done_early(&self, input: &Input) -> bool {
        !input.has_end() && !self.seal && !self.replay
    }

    /// Whether the next start with the same spool has nothing left to do but to deliver what is in
    /// it.
    fn is_left_to_spool(&self, input: &Input, summary: &Summary) -> bool {
        let is_read = input.has_end() && !input.stop().has_cut();
        summary.is_kept() && !self.seal && (is_read || !input.has_end())
    }

    /// What it is about, if it is to tell its outcome as a JSON object.
    pub(crate) fn json(&self) -> Option<String> {
        self.json.then(|| self.target.to_string())
    }

    /// Prints the summary of what has gone well so far, in the requested form.
    async fn print(&self, summary: &Summary, outcome: Outcome) -> Result<(), Failure> {
        if self.json {
            // The bytes are in the object, whether this is read or not.
            Failure::unless_unread(outcome.of(&self.target).print(summary).await)
        } else {
            output::note(summary);
            Ok(())
        }
    }
}

/// How long OSS is waited for after a signal when everything is in the spool. While all is well that
/// is enough to deliver what has gathered.
const GRACE: Duration = Duration::from_secs(1);

/// Returns when all that was read is in the spool and OSS has not taken it in a moment; does not if
/// that fails.
async fn kept(mut writer: Writer, stop: Stop) {
    stop.taken().await;
    if writer.spooled().await.is_err() {
        // Whoever writes says so.
        std::future::pending().await
    }
    let begun = Instant::now();
    loop {
        let stats = writer.stats();
        // When all is durable the end is near, if the object could be opened.
        let waits = stats.durable < stats.accepted && begun.elapsed() >= GRACE;
        if waits || stats.failing.is_some() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// How the writing came to its end.
enum Ended {
    Written(Result<(), Failure>),
    /// A signal has come, and all is in the spool.
    Kept,
    GivenUp(Wish),
}

pub(crate) async fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    let started = Instant::now();
    let bound = arguments.batching.shutdown_timeout();
    let directory = arguments.spooling.directory();
    let mut signals = Signals::new(bound)?;
    let (mut trouble, on_event) = Trouble::new(directory.is_some());
    let opened = {
        let mut open = std::pin::pin!(arguments.open(on_event));
        loop {
            tokio::select! {
                opened = &mut open => break opened,
                said = trouble.next(|| None) => match said {
                    Said::Line(line) => output::note(line),
                    Said::Nowhere(error) => break Err(request_failed(&error)),
                },
                _ = signals.next() => break Err(Failure::interrupted(
                    "interrupted before the object was opened; nothing was read",
                )),
            }
        }
    };
    let Opened {
        mut input,
        mut writer,
        is_open,
        mut finished,
        connection,
    } = opened.map_err(|failure| arguments.spooling.keeps(failure))?;

    let observer = writer.clone();
    let stats = observer.stats();
    let spool = AtStart {
        directory,
        found: stats.accepted,
    };
    note_ignored(&stats.ignored_options);
    let start = match &observer {
        Writer::Object(writer) => is_open.then(|| writer.checkpoint().position),
        Writer::Sequence(_) => None,
    };
    let stop = input.stop();
    let when = match output::is_quiet() {
        true => When::Never,
        false => arguments.progress,
    };
    let total = input.length().map(|length| spool.found + length);
    let progress = Progress::start(when, &writer, total);
    let ended = {
        let mut kept = std::pin::pin!(kept(observer.clone(), stop.clone()));
        let mut write = std::pin::pin!(arguments.write(&mut writer, &mut input));
        let mut signalled = false;
        loop {
            tokio::select! {
                written = &mut write => break Ended::Written(written),
                () = &mut kept, if signalled && directory.is_some() => break Ended::Kept,
                note = finished.next() => progress.note(&note),
                said = trouble.next(|| Some(observer.stats().buffered)) => {
                    if let Said::Line(line) = said {
                        progress.note(&line);
                    }
                }
                wish = signals.next() => match wish {
                    Wish::End => {
                        signalled = true;
                        stop.request();
                        progress.note(
                            "interrupted: what was read is being made durable; again to give up",
                        );
                    }
                    Wish::EndAtOnce | Wish::TooLate => break Ended::GivenUp(wish),
                },
            }
        }
    };
    // What is over by now is told too.
    while let Some(Said::Line(line)) = trouble.next(|| None).now_or_never() {
        progress.note(&line);
    }
    drop(progress);
    let given_up = !matches!(ended, Ended::Written(_));
    let is_given_up = matches!(ended, Ended::GivenUp(_));
    let interrupted = given_up || stop.has_cut();
    let elapsed = started.elapsed();
    let summary = Summary::new(
        &observer,
        &arguments.target,
        start,
        spool,
        stop.read(),
        elapsed,
    )
    .compressed(arguments.compress.is_some())
    .interrupted(interrupted);
    let last_error = observer.stats().last_error;
    if !given_up {
        // The last object is told of when the last handle is gone.
        drop((writer, observer));
        signals.unless_again(finished.take_all()).await;
        signals.unless_again(connection.close()).await;
    }
    finished.take_rest();
    let failure = match (ended, finished.seal_failure()) {
        (Ended::Written(Err(failure)), _) => Some(failure),
        (Ended::Written(Ok(())), seal_failure) => {
            seal_failure.or_else(|| summary.loss().map(Failure::local))
        }
        (Ended::GivenUp(Wish::TooLate), _) => Some(Failure::too_late(bound, last_error.as_ref())),
        (Ended::GivenUp(_) | Ended::Kept, _) => None,
    };
    let summary = summary.finished(finished);
    if let Some(failure) = failure {
        let failure = match summary.holding_spool() {
            Some(directory) if failure.takes_nothing() => {
                failure.and(summary.fate()).redirecting(directory)
            }
            _ => failure.and(summary.fate_and_advice()),
        };
        let summary = summary.error(failure.message());
        let outcome = Outcome::failed(&failure);
        if arguments.json
            && let Some(Err(unprinted)) = signals
                .unless_again(arguments.print(&summary, outcome))
                .await
        {
            unprinted.report();
        }
        return Err(failure.told());
    }
    let is_done =
        !interrupted || (!is_given_up && summary.is_whole() && arguments.is_done_early(&input));
    let is_kept = !is_done && given_up && arguments.is_left_to_spool(&input, &summary);
    let (outcome, code) = match (is_done, is_kept) {
        (true, _) => (Outcome::done(), ExitCode::SUCCESS),
        (_, true) => (Outcome::spooled(&summary), failure::spooled()),
        _ => (Outcome::interrupted(&summary), failure::interrupted()),
    };
    match signals
        .unless_again(arguments.print(&summary, outcome))
        .await
    {
        Some(printed) => printed.map_err(Failure::told)?,
        None if is_kept => return Ok(code),
        None => return Ok(failure::interrupted()),
    }
    Ok(code)
}

/// Says which options have no effect, since the object exists.
fn note_ignored(ignored: &[IgnoredOption]) {
    if !ignored.is_empty() {
        let ignored: Vec<_> = ignored.iter().map(ToString::to_string).collect();
        output::note(format_args!(
            "the object already exists, so it does not get {}",
            ignored.join(", ")
        ));
    }
}
