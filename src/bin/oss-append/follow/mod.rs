//! `oss-append follow`: files that grow and are rotated, into objects.

mod summary;
mod told;

use std::process::ExitCode;
use std::time::Duration;

use bytesize::ByteSize;
use clap::Args;
use oss_append::{
    FileFollower, FileFollowerBuilder, FollowError, FollowErrorKind, FollowedFile, ObjectPath,
    OssClient,
};
use tokio_util::sync::CancellationToken;

use self::summary::Summary;
use crate::append::request_failed;
use crate::connection::{self, ConnectionArguments};
use crate::failure::{self, Failure};
use crate::outcome::{self, Outcome};
use crate::output;
use crate::patience::Patience;
use crate::signals::{Signals, Wish};
use crate::trouble::{Said, Trouble};

/// Follow files that grow and are rotated, and append their lines to objects, exactly once.
///
/// There is no state file: the length of the object is where it goes on, and its CRC-64 proves which
/// file that is. Killed at any moment and started again, on this or another machine with the same
/// files, it goes on exactly there.
///
/// With {seq} in the template each file that a rotation begins gets the next object, and one that is
/// longer than an object can be gets several. Without {seq} the one object goes on growing; a new
/// start then needs the files from that on which the object begins with, and ends with exit code 4
/// when the object is full.
///
/// Whole lines are sent, as bytes; the part of a line at the end of a file waits for the rest, until
/// the file was rotated, or with --once. A file that was renamed is read to its end, and until it was
/// still for --drain, before the next is begun. After a truncation the rest is read from the copy. A
/// file that begins with zeros is sent without them: its writer has left a hole.
///
/// SIGINT (^C), SIGTERM and SIGHUP end it with exit code 0 when the appends under way are durable; the
/// next start goes on there. With --once the exit code is then 130.
#[derive(Args)]
#[command(after_long_help = format!(
    "{EXAMPLES}\n\n{}\n\n{}\n\n{}", outcome::HELP, connection::HELP, failure::HELP
))]
pub(crate) struct Arguments {
    /// The files, which may appear later; or globs, such as '/var/log/containers/*.log', of which new
    /// matches are picked up. What looks like a rotated file of another match is not followed itself
    #[arg(required = true, value_name = "FILE")]
    files: Vec<String>,
    /// The objects: in TEMPLATE {file} stands for the name of the file, {dir} for its directory, {host}
    /// for the name of this host, {seq} or {seq:6} for the number of the object
    #[arg(value_name = "oss://BUCKET/TEMPLATE")]
    target: ObjectPath,
    /// End when all is durable that the files hold now, also the part of a line at their ends
    #[arg(long)]
    once: bool,
    /// Where rotated files are found that are not called like the file with a number or a date: a glob
    /// in the directory of the file, where {file} stands for its name
    #[arg(long, value_name = "GLOB")]
    rotated: Vec<String>,
    /// Where there is no object yet, begin with the file itself [default: with its oldest rotated file]
    #[arg(long)]
    skip_rotated: bool,
    /// Where no file begins with the newest object, take its file for lost, and go on in the next
    /// object with those that no object has come from [default: exit code 3, and nothing is sent]
    #[arg(long)]
    allow_gap: bool,
    /// How long a renamed file has to be still until the next is begun
    #[arg(long, value_name = "DURATION", default_value = "5s")]
    drain: humantime::Duration,
    /// How long lines gather for an append, unless there is 1 MiB of them
    #[arg(long, value_name = "DURATION", default_value = "1s")]
    linger: humantime::Duration,
    /// The most bytes in memory, for all files together; an append has up to 8 MiB
    #[arg(long, value_name = "SIZE", default_value = "64MiB")]
    memory: ByteSize,
    /// End an object before it gets longer; with {seq} the next goes on
    /// [default: 5000000000 bytes, OSS's own limit]
    #[arg(long, value_name = "SIZE")]
    max_object_size: Option<ByteSize>,
    /// Give a file up when nothing of it has moved for this long, however often was retried
    #[arg(long, value_name = "DURATION|forever", default_value = "120s")]
    delivery_timeout: Patience,
    /// After a signal, give up when what is under way is not durable after this long
    #[arg(long, value_name = "DURATION", default_value = "25s")]
    shutdown_timeout: humantime::Duration,
    /// Print one JSON object on standard output at the end: bytes and appends of all files, and files:
    /// for each path, object (the last, null if there is none), bytes, appends, error (or null), and
    /// what every command tells, see JSON below
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: ConnectionArguments,
}

const EXAMPLES: &str = "\
Examples:
  oss-append follow /var/log/app.log 'oss://logs/{host}/{file}-{seq:6}'
  oss-append follow '/var/log/containers/*.log' 'oss://logs/{host}/{file}-{seq}'
  oss-append follow --rotated 'app-*.log' current.log 'oss://logs/app/{seq}.log'
  oss-append follow --once /var/log/app.log 'oss://logs/{host}/{file}-{seq:6}' && logrotate ...

DURATION is like 200ms, 5s or 2m. SIZE is a number of bytes, with a unit if need be: 64MiB, 1GB.";

impl Arguments {
    /// What it is about, if it is to tell its outcome as a JSON object.
    pub(crate) fn json(&self) -> Option<String> {
        self.json.then(|| self.target.to_string())
    }

    fn builder(&self, client: OssClient) -> FileFollowerBuilder<OssClient> {
        let (bucket, template) = (self.target.bucket(), self.target.key());
        let mut builder = FileFollower::builder(client, bucket, template)
            .once(self.once)
            .skip_rotated(self.skip_rotated)
            .allow_gap(self.allow_gap)
            .drain(*self.drain)
            .linger(*self.linger)
            .memory(self.memory.as_u64())
            .delivery_timeout(self.delivery_timeout.0);
        if let Some(size) = self.max_object_size {
            builder = builder.max_object_size(size.as_u64());
        }
        for file in &self.files {
            builder = builder.file(file);
        }
        for glob in &self.rotated {
            builder = builder.rotated(glob);
        }
        builder
    }
}

pub(crate) async fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    let bound: Duration = *arguments.shutdown_timeout;
    let mut signals = Signals::new(bound)?;
    let connection = arguments.connection.open(&arguments.target).await?;
    let (mut trouble, on_event) = Trouble::new(false);
    let stop = CancellationToken::new();
    let follow = arguments
        .builder(connection.client())
        .on_event(on_event)
        .on_file_event(told::note)
        .follow(stop.clone().cancelled_owned());
    let files = {
        let mut follow = std::pin::pin!(follow);
        loop {
            tokio::select! {
                files = &mut follow => break files.map_err(|error| request_failed(&error))?,
                said = trouble.next(|| None) => match said {
                    Said::Line(line) => output::note(line),
                    Said::Nowhere(error) => return Err(request_failed(&error)),
                },
                wish = signals.next() => match wish {
                    Wish::End => stop.cancel(),
                    Wish::EndAtOnce => return Err(Failure::interrupted(
                        "interrupted; the next start goes on where the objects end",
                    )),
                    Wish::TooLate => return Err(Failure::too_late(bound, None)),
                },
            }
        }
    };
    connection.close().await;
    let summary = Summary::new(&files);
    let failure = files.iter().find_map(|file| file.failure.as_ref());
    let failure = match failure {
        Some(error) => Some(failed(error)),
        None if arguments.once && signals.received() => Some(Failure::interrupted(
            "interrupted before all was durable; the next start goes on there",
        )),
        None => None,
    };
    let outcome = failure.as_ref().map_or_else(Outcome::done, Outcome::failed);
    let told = match arguments.json {
        true => outcome.of(&arguments.target).print(&summary).await,
        false => {
            output::note(&summary);
            Ok(())
        }
    };
    match failure {
        Some(failure) => Err(failure.told()),
        None => told.map(|()| ExitCode::SUCCESS).map_err(Failure::told),
    }
}

/// The failure of a file.
fn failed(error: &FollowError) -> Failure {
    let message = error.to_string();
    match (error.kind(), error.error()) {
        (_, Some(request)) => {
            let file = FollowedPath(error);
            request_failed(request).and(file.to_string())
        }
        (FollowErrorKind::Conflict, _) => Failure::conflict(message)
            .and("if that file is lost, --allow-gap goes on in the next object (with {seq})"),
        (FollowErrorKind::Ambiguous, _) => Failure::conflict(message).and("nothing was sent"),
        (FollowErrorKind::Full, _) => Failure::full(message),
        _ => Failure::local(message),
    }
}

/// Which file was not followed to its end.
struct FollowedPath<'a>(&'a FollowError);

impl std::fmt::Display for FollowedPath<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} is not followed", self.0.file().display())
    }
}

/// How much of all files was sent.
fn total(files: &[FollowedFile], of: impl Fn(&FollowedFile) -> u64) -> u64 {
    files.iter().map(of).sum()
}
