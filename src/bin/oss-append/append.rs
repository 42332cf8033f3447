//! `oss-append append`: a file or standard input into an object.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use bytesize::ByteSize;
use clap::{ArgGroup, Args};
use oss_append::{
    AppendStore, Checkpoint, Compression, Error, FinishedObject, ObjectAcl, ObjectOptions,
    ObjectPath, OssAppendWriter, OssAppendWriterBuilder, OssClient, RollingWriter,
    RollingWriterBuilder, StorageClass,
};

use crate::connection::{self, Connection, ConnectionArguments};
use crate::failure::{self, Failure};
use crate::finished::Finished;
use crate::input::Input;
use crate::period::{Period, UtcOffset};
use crate::progress::{Progress, When};
use crate::signals::Signals;
use crate::summary::Summary;
use crate::writer::Writer;
use crate::{lines, logging, output};

/// Append a file or standard input to an object, exactly once and in order.
///
/// The object is continued at its end, or created by the first append. Requests that fail are
/// repeated for --delivery-timeout, after finding out what really happened, so nothing is lost or
/// doubled. When it is done, one line on standard error sums it up; with --json it is an object on
/// standard output.
///
/// With --roll-size or --roll it is a sequence of objects instead of one, named by a template.
///
/// SIGINT (^C) and SIGTERM end the input: what was read until then is made durable, the summary
/// says that it was interrupted, and the exit code is 130. A second signal gives up at once.
#[derive(Args)]
#[command(
    allow_missing_positional = true,
    group = ArgGroup::new(ROLLS).multiple(true).args(["roll_size", "roll"]),
    after_long_help = format!(
        "{EXAMPLES}\n\n{TEMPLATES}\n\n{}\n\n{}",
        connection::HELP,
        failure::HELP
    )
)]
pub(crate) struct Arguments {
    /// The file to append; standard input if it is absent or -
    file: Option<PathBuf>,
    /// The object, as oss://BUCKET/KEY; KEY is taken literally, nothing in it is decoded. With
    /// --roll-size or --roll, and only then, KEY is a template, see Templates below
    #[arg(value_name = "oss://BUCKET/KEY")]
    target: ObjectPath,
    /// Create the object, empty at first, and fail if it exists [default: continue or create it]
    #[arg(long, conflicts_with_all = ["replay", "shared", ROLLS])]
    create_new: bool,
    /// Compare the input with the object from its start, and append only what is missing: running
    /// the same command again after a crash completes the object
    #[arg(long, conflicts_with_all = ["shared", ROLLS])]
    replay: bool,
    /// Let others append to the object at the same time. The input is taken as lines, each up to
    /// and including its line feed, and no line is torn; one longer than --max-append-size ends
    /// the command with exit code 2 before anything of it is written
    #[arg(long)]
    shared: bool,
    /// Compress each append to one gzip member or zstd frame, so that zcat or zstdcat can read the
    /// object after each of them, and the same command continues it. LEVEL is 0 to 9 (usually 6),
    /// of zstd up to 22 (usually 3). The object gets the Content-Encoding gzip or zstd. The sizes
    /// of batches and of the buffer are those of the input, those of objects are compressed
    #[arg(long, value_name = "gzip|zstd[:LEVEL]", conflicts_with = "replay")]
    compress: Option<Compression>,
    /// Seal the object, or the last of a sequence, at the end, so that nobody can append to it any
    /// more
    #[arg(long)]
    seal: bool,
    /// Print one JSON object on standard output: bucket, key, start, end (the object's proven
    /// length), bytes (of the input, durable), with --compress stored (what they were compressed
    /// to), appends, retries, reconciles, crc64 (of the whole object, a decimal string or null),
    /// elapsed_ms, interrupted, missing (bytes read and not durable), error (or null). It is
    /// printed after a failure too, once the object was opened. Of a sequence: key, end and crc64
    /// are those of the last object, null if there is none; instead of start there are template,
    /// finished (how many objects) and objects: of the last 10000 that were finished key, start and
    /// end (where our bytes are), crc64 (of the whole object), reason (size, period, closed: it
    /// took no more appends, end), sealed, seal_error (or null)
    #[arg(long)]
    json: bool,
    /// Show on standard error how many bytes are durable and how many buffered
    #[arg(long, value_name = "WHEN", value_enum, default_value = "auto")]
    progress: When,
    #[command(flatten)]
    rolling: Rolling,
    #[command(flatten)]
    batching: Batching,
    #[command(flatten)]
    properties: Properties,
    #[command(flatten)]
    connection: ConnectionArguments,
}

/// The options by which a sequence of objects is written, any of them.
const ROLLS: &str = "rolls";

const EXAMPLES: &str = "\
Examples:
  oss-append append app.log oss://logs/2026/app.log
  tail -f app.log | oss-append append --linger 5s oss://logs/2026/app.log
  oss-append append --replay --json dump.sql oss://backup/dump.sql
  journalctl -f | oss-append append 'oss://logs/%Y/%m/%d/%H-{host}-{seq}.log' --roll hourly
  journalctl -f | oss-append append --compress zstd --linger 10s oss://logs/host.log.zst
  oss-append append --roll-size 1GiB --align-lines big.log 'oss://logs/big-{seq:4}.log'

SIZE is a number of bytes, with a unit if need be: 64KiB, 8MiB, 1MB (1000000). DURATION is like
200ms, 5s or 2m.";

/// How the key of a sequence is written, for `--help`.
pub(crate) const TEMPLATES: &str = "\
Templates:
  %Y %m %d %H %M %S %j and others of strftime
                     the time at which the object's period began, in UTC or by --utc-offset;
                     without --roll that at which the object was begun
  {seq}, {seq:4}     the object's number in its period, from 1; with zeros in front to 4 digits
  {host}, {pid}      this machine's name, this process's id
  {uuid}             a random UUID, new for each object
  {hash}             4 hexadecimal digits made of the rest of the key: at the beginning of keys
                     they spread many writers over OSS's partitions
  %% {{ }}           a %, { or }
The newest object of the present period is continued, unless it is sealed or has its size. It is
found by listing, or where that is not allowed by trying the numbers.";

#[derive(Args)]
#[command(next_help_heading = "Rolling: a sequence of objects")]
struct Rolling {
    /// Go on in the next object before one gets longer than this. KEY needs {seq} or {uuid}.
    /// Without it an object ends at 63/64 of --max-object-size if its KEY has {seq} or {uuid}
    #[arg(long, value_name = "SIZE")]
    roll_size: Option<ByteSize>,
    /// Go on in the next object when a period ends: hourly, daily (at midnight), or a DURATION
    /// counted from midnight such as 10m. Bytes belong to the period in which they were read, and
    /// a period without any has no object. KEY needs time fields that tell periods apart, or {seq}
    /// or {uuid}
    #[arg(long, value_name = "PERIOD")]
    roll: Option<Period>,
    /// The offset from UTC of the times in KEY and of midnight, such as +08:00
    #[arg(
        long,
        value_name = "+HH:MM",
        requires = ROLLS,
        allow_hyphen_values = true
    )]
    utc_offset: Option<UtcOffset>,
    /// Let objects end behind whole lines: an incomplete one goes to the next object, or, if its
    /// beginning has been appended already, is completed first. It is torn only where an object
    /// suddenly takes no more appends. Without this the input may be anything, and objects end at
    /// any byte. --shared implies it
    #[arg(long, requires = ROLLS)]
    align_lines: bool,
    /// Seal each object when the next begins, so that nobody can append to it any more; see --seal
    /// for the last one. One that cannot be sealed is told at once, and is a failure at the end
    #[arg(long, requires = ROLLS)]
    seal_finished: bool,
}

impl Rolling {
    fn is_asked_for(&self) -> bool {
        self.roll_size.is_some() || self.roll.is_some()
    }

    fn set<S: AppendStore>(
        &self,
        mut builder: RollingWriterBuilder<S>,
        shared: bool,
    ) -> RollingWriterBuilder<S> {
        builder = builder
            .utc_offset(self.utc_offset.unwrap_or_default().seconds)
            .seal_finished(self.seal_finished);
        if let Some(size) = self.roll_size {
            builder = builder.roll_size(size.as_u64());
        }
        if let Some(Period(every)) = self.roll {
            builder = builder.roll_every(every);
        }
        match (shared, self.align_lines) {
            // Each line comes as one write.
            (true, _) => builder.record_per_write(),
            (false, true) => builder.delimiter(b'\n'),
            (false, false) => builder.unaligned(),
        }
    }
}

#[derive(Args)]
#[command(next_help_heading = "Batching")]
struct Batching {
    /// Start an append when this many bytes are buffered and none is under way [default: 1MiB]
    #[arg(long, value_name = "SIZE")]
    batch_size: Option<ByteSize>,
    /// The most bytes of one append [default: 8MiB, or half of --buffer if that is less]
    #[arg(long, value_name = "SIZE")]
    max_append_size: Option<ByteSize>,
    /// The longest time that a byte waits for its append to start
    #[arg(long, value_name = "DURATION", default_value = "1s")]
    linger: humantime::Duration,
    /// The most bytes in memory, buffered and under way; at least twice --max-append-size
    /// [default: 16MiB, or twice --max-append-size if that is more]
    #[arg(long, value_name = "SIZE")]
    buffer: Option<ByteSize>,
    /// Give up when nothing has moved for this long, however often was retried until then
    #[arg(long, value_name = "DURATION", default_value = "120s")]
    delivery_timeout: humantime::Duration,
    /// Refuse an append that would make the object longer, before it is sent [default: 5000000000
    /// bytes, OSS's own limit]
    #[arg(long, value_name = "SIZE")]
    max_object_size: Option<ByteSize>,
}

#[derive(Args)]
#[command(next_help_heading = "Properties of the object if this creates it")]
struct Properties {
    /// The content type [default: guessed from the key, else application/octet-stream]
    #[arg(long, value_name = "TYPE")]
    content_type: Option<String>,
    /// User metadata; repeatable
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    meta: Vec<(String, String)>,
    /// A tag; repeatable
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    tag: Vec<(String, String)>,
    /// The access rule: default, private, public-read or public-read-write [default: the bucket's]
    #[arg(long)]
    acl: Option<ObjectAcl>,
    /// The storage class: Standard, IA or Archive [default: the bucket's]
    #[arg(long, value_name = "CLASS")]
    storage_class: Option<StorageClass>,
}

/// The library's default for the most bytes of one append.
const MAX_APPEND_SIZE: u64 = 8 * 1024 * 1024;

const PERMISSIONS: &str = "oss:PutObject and oss:GetObject (oss:PutObjectTagging for --tag, \
                           oss:SealAppendObject for --seal and --seal-finished)";

/// A request of an append that failed for good.
pub(crate) fn request_failed(error: &Error) -> Failure {
    Failure::of_request(error, PERMISSIONS)
}

fn pair(text: &str) -> Result<(String, String), &'static str> {
    let (name, value) = text
        .split_once('=')
        .ok_or("there is no = between name and value")?;
    Ok((name.to_owned(), value.to_owned()))
}

impl Properties {
    fn options(&self) -> Result<ObjectOptions, Failure> {
        let mut options = ObjectOptions::new();
        for (name, value) in &self.meta {
            options = options.meta(name, value)?;
        }
        for (key, value) in &self.tag {
            options = options.tag(key, value)?;
        }
        if let Some(content_type) = &self.content_type {
            options = options.content_type(content_type);
        }
        if let Some(acl) = self.acl {
            options = options.acl(acl);
        }
        if let Some(class) = self.storage_class {
            options = options.storage_class(class);
        }
        Ok(options)
    }
}

impl Batching {
    fn max_append_size(&self) -> u64 {
        let bytes = |size: Option<ByteSize>| size.map(|size| size.as_u64());
        bytes(self.max_append_size).unwrap_or_else(|| {
            let half = bytes(self.buffer).map_or(u64::MAX, |buffer| (buffer / 2).max(1));
            MAX_APPEND_SIZE
                .max(bytes(self.batch_size).unwrap_or(0))
                .min(half)
        })
    }

    fn set<S: AppendStore>(
        &self,
        mut builder: OssAppendWriterBuilder<S>,
    ) -> OssAppendWriterBuilder<S> {
        builder = builder
            .max_append_size(self.max_append_size())
            .linger(*self.linger)
            .delivery_timeout(*self.delivery_timeout);
        if let Some(size) = self.batch_size {
            builder = builder.batch_size(size.as_u64());
        }
        if let Some(size) = self.buffer {
            builder = builder.buffer_capacity(size.as_u64());
        }
        if let Some(size) = self.max_object_size {
            builder = builder.max_object_size(size.as_u64());
        }
        builder
    }
}

/// All that is there before the first byte is read.
struct Opened {
    input: Input,
    writer: Writer,
    finished: Finished,
    connection: Connection,
}

impl Arguments {
    async fn open(&self) -> Result<Opened, Failure> {
        let options = self.properties.options()?;
        let input = Input::open(self.file.as_deref()).await?;
        let connection = self.connection.open(&self.target).await?;
        let (finished, tell) = Finished::new();
        let client = connection.client();
        let opened = match self.rolling.is_asked_for() {
            true => self.open_sequence(client, options, tell).await,
            false => self.open_object(client, options).await,
        };
        Ok(Opened {
            input,
            writer: opened.map_err(|error| request_failed(&error))?,
            finished,
            connection,
        })
    }

    async fn open_object(
        &self,
        client: OssClient,
        options: ObjectOptions,
    ) -> Result<Writer, Error> {
        let builder = OssAppendWriter::builder(client, self.target.clone());
        let mut builder = self.configure(builder, options);
        if self.create_new {
            builder = builder.create_new();
        }
        if self.replay {
            builder = builder.replay(Checkpoint::start(self.target.clone()));
        }
        builder.open().await.map(Writer::Object)
    }

    async fn open_sequence(
        &self,
        client: OssClient,
        options: ObjectOptions,
        tell: impl Fn(FinishedObject) + Send + Sync + 'static,
    ) -> Result<Writer, Error> {
        let (bucket, template) = (self.target.bucket(), self.target.key());
        let builder = RollingWriter::builder(client, bucket, template)
            .writer(|writer| self.configure(writer, options))
            .on_finished(tell);
        let builder = self.rolling.set(builder, self.shared);
        builder.open().await.map(Writer::Sequence)
    }

    fn configure<S: AppendStore>(
        &self,
        builder: OssAppendWriterBuilder<S>,
        options: ObjectOptions,
    ) -> OssAppendWriterBuilder<S> {
        let builder = builder
            .object_options(options)
            .shared(self.shared)
            .seal_on_shutdown(self.seal);
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
        if input.stop().has_cut() {
            // No more comes, but more was to come: neither seal it nor take a replay as complete.
            return Ok(());
        }
        writer.shutdown().await
    }

    fn print(&self, summary: &Summary) -> Result<(), Failure> {
        if self.json {
            output::print_json(summary)
        } else {
            output::note(summary);
            Ok(())
        }
    }
}

pub(crate) async fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    logging::init("off");
    let started = Instant::now();
    let mut signals = Signals::new()?;
    let Some(opened) = signals.unless(arguments.open()).await else {
        output::note("interrupted before the object was opened; nothing was read");
        return Ok(failure::interrupted());
    };
    let Opened {
        mut input,
        mut writer,
        mut finished,
        connection,
    } = opened?;

    let observer = writer.clone();
    let start = match &observer {
        Writer::Object(writer) => writer.checkpoint().position,
        Writer::Sequence(_) => 0,
    };
    let stop = input.stop();
    let progress = Progress::start(arguments.progress, &writer, input.length());
    let written = {
        let mut write = std::pin::pin!(arguments.write(&mut writer, &mut input));
        loop {
            tokio::select! {
                written = &mut write => break Some(written),
                note = finished.next() => progress.note(&note),
                () = signals.next() => {
                    if stop.requested() {
                        break None;
                    }
                    stop.request();
                    progress.note(
                        "interrupted: what was read is being made durable; again to give up",
                    );
                }
            }
        }
    };
    drop(progress);
    let summary = Summary::new(&observer, &arguments.target, start, started.elapsed())
        .compressed(arguments.compress.is_some())
        .interrupted(written.is_none() || stop.has_cut());
    match written {
        // The last object is told of when the last handle is gone.
        Some(_) => {
            drop((writer, observer));
            signals.unless(finished.take_all()).await;
        }
        None => finished.take_rest(),
    }
    let written = match (written, finished.seal_failure()) {
        (Some(Ok(())), Some(failure)) => Some(Err(failure)),
        (written, _) => written,
    };
    let summary = summary.finished(finished);
    match written {
        Some(Ok(())) => {
            connection.close().await;
            arguments.print(&summary)?;
            match stop.has_cut() {
                true => Ok(failure::interrupted()),
                false => Ok(ExitCode::SUCCESS),
            }
        }
        Some(Err(failure)) => {
            connection.close().await;
            let failure = failure.and(summary.fate());
            if arguments.json {
                output::print_json(&summary.error(failure.message()))?;
            }
            Err(failure)
        }
        None => {
            arguments.print(&summary)?;
            Ok(failure::interrupted())
        }
    }
}
