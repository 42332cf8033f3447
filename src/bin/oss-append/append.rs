//! `oss-append append`: a file or standard input into an object.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use bytesize::ByteSize;
use clap::Args;
use oss_append::{
    Checkpoint, Error, ObjectAcl, ObjectOptions, ObjectPath, OssAppendWriter,
    OssAppendWriterBuilder, OssClient, StorageClass,
};
use tokio::io::AsyncWriteExt;

use crate::connection::{self, Connection, ConnectionArguments};
use crate::failure::{self, Failure};
use crate::input::Input;
use crate::progress::{Progress, When};
use crate::signals::Signals;
use crate::summary::Summary;
use crate::{lines, logging, output};

/// Append a file or standard input to an object, exactly once and in order.
///
/// The object is continued at its end, or created by the first append. Requests that fail are
/// repeated for --delivery-timeout, after finding out what really happened, so nothing is lost or
/// doubled. When it is done, one line on standard error sums it up; with --json it is an object on
/// standard output.
///
/// SIGINT (^C) and SIGTERM end the input: what was read until then is made durable, the summary
/// says that it was interrupted, and the exit code is 130. A second signal gives up at once.
#[derive(Args)]
#[command(
    allow_missing_positional = true,
    after_long_help = format!("{EXAMPLES}\n\n{}\n\n{}", connection::HELP, failure::HELP)
)]
pub(crate) struct Arguments {
    /// The file to append; standard input if it is absent or -
    file: Option<PathBuf>,
    /// The object, as oss://BUCKET/KEY; KEY is taken literally, nothing in it is decoded
    #[arg(value_name = "oss://BUCKET/KEY")]
    target: ObjectPath,
    /// Create the object, empty at first, and fail if it exists [default: continue or create it]
    #[arg(long, conflicts_with_all = ["replay", "shared"])]
    create_new: bool,
    /// Compare the input with the object from its start, and append only what is missing: running
    /// the same command again after a crash completes the object
    #[arg(long, conflicts_with = "shared")]
    replay: bool,
    /// Let others append to the object at the same time. The input is taken as lines, each up to
    /// and including its line feed, and no line is torn; one longer than --max-append-size ends
    /// the command with exit code 2 before anything of it is written
    #[arg(long)]
    shared: bool,
    /// Seal the object at the end, so that nobody can append to it any more
    #[arg(long)]
    seal: bool,
    /// Print one JSON object on standard output: bucket, key, start, end (the object's proven
    /// length), bytes (of the input, durable), appends, retries, reconciles, crc64 (of the whole
    /// object, a decimal string or null), elapsed_ms, interrupted, missing (bytes read and not
    /// durable), error (or null). It is printed after a failure too, once the object was opened
    #[arg(long)]
    json: bool,
    /// Show on standard error how many bytes are durable and how many buffered
    #[arg(long, value_name = "WHEN", value_enum, default_value = "auto")]
    progress: When,
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

SIZE is a number of bytes, with a unit if need be: 64KiB, 8MiB, 1MB (1000000). DURATION is like
200ms, 5s or 2m.";

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
                           oss:SealAppendObject for --seal)";

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

    fn set(
        &self,
        mut builder: OssAppendWriterBuilder<OssClient>,
    ) -> OssAppendWriterBuilder<OssClient> {
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
    writer: OssAppendWriter,
    connection: Connection,
}

impl Arguments {
    async fn open(&self) -> Result<Opened, Failure> {
        let options = self.properties.options()?;
        let input = Input::open(self.file.as_deref()).await?;
        let connection = self.connection.open(&self.target).await?;
        let mut builder = OssAppendWriter::builder(connection.client(), self.target.clone())
            .object_options(options)
            .shared(self.shared)
            .seal_on_shutdown(self.seal);
        if self.create_new {
            builder = builder.create_new();
        }
        if self.replay {
            builder = builder.replay(Checkpoint::START);
        }
        let opened = self.batching.set(builder).open().await;
        Ok(Opened {
            input,
            writer: opened.map_err(|error| request_failed(&error))?,
            connection,
        })
    }

    /// Writes all of the input, and finishes the object unless a signal has cut the input.
    async fn write(&self, writer: &mut OssAppendWriter, input: &mut Input) -> Result<(), Failure> {
        if self.shared {
            lines::copy(writer, input, self.batching.max_append_size()).await?;
        } else {
            let copied = writer.copy_from(input).await;
            copied.map_err(|error| request_failed(&error))?;
        }
        if input.stop().has_cut() {
            // No more comes, but more was to come: neither seal it nor take a replay as complete.
            return Ok(());
        }
        writer
            .shutdown()
            .await
            .map_err(|error| match Error::from_io(&error) {
                Some(ours) => request_failed(ours),
                None => Failure::local(error.to_string()),
            })
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
        connection,
    } = opened?;

    let observer = writer.clone();
    let start = observer.position();
    let stop = input.stop();
    let progress = Progress::start(arguments.progress, &writer, input.length());
    let written = {
        let mut write = std::pin::pin!(arguments.write(&mut writer, &mut input));
        loop {
            tokio::select! {
                written = &mut write => break Some(written),
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
    let summary = Summary::new(&observer, start, started.elapsed())
        .interrupted(written.is_none() || stop.has_cut());
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
