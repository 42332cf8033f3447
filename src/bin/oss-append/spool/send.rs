//! The delivery of what is in a spool.

use std::fmt;
use std::process::ExitCode;
use std::time::Instant;

use oss_append::{
    Compression, DeliveryEvent, Error, FinishedObject, OssAppendWriter, OssClient, RollingWriter,
    Spool, SpoolOwner, StoredFormat,
};
use serde::Serialize;

use super::{Arguments, has_files};
use crate::append::request_failed;
use crate::connection::Connection;
use crate::failure::{self, Failure};
use crate::finished::Finished;
use crate::outcome::Outcome;
use crate::output;
use crate::progress::{Progress, When};
use crate::signals::Signals;
use crate::summary::{Counted, kept, lost, milliseconds};
use crate::trouble::{Said, Trouble};
use crate::writer::Writer;

impl Arguments {
    async fn open(
        &self,
        owner: &SpoolOwner,
        client: OssClient,
        tell: impl Fn(FinishedObject) + Send + Sync + 'static,
        on_event: impl Fn(DeliveryEvent) + Send + Sync + 'static,
    ) -> Result<Writer, Failure> {
        let opened = match owner.is_sequence {
            true => self.open_sequence(owner, client, tell, on_event).await,
            false => self.open_object(owner, client, on_event).await,
        };
        opened.map_err(|error| {
            let is_template = owner.is_sequence && !self.rolling.is_asked_for();
            let failure = request_failed(&error);
            match is_template && failure.is_usage() {
                true => failure.and("give --roll and --roll-size as append had them"),
                false => failure,
            }
        })
    }

    async fn open_object(
        &self,
        owner: &SpoolOwner,
        client: OssClient,
        on_event: impl Fn(DeliveryEvent) + Send + Sync + 'static,
    ) -> Result<Writer, Error> {
        let mut builder = OssAppendWriter::builder(client, owner.name.clone())
            .on_event(on_event)
            .delivery_timeout(self.delivery_timeout.0)
            .spool(self.spool(owner));
        if let Some(compression) = compression(owner) {
            builder = builder.compression(compression);
        }
        builder.open().await.map(Writer::Object)
    }

    async fn open_sequence(
        &self,
        owner: &SpoolOwner,
        client: OssClient,
        tell: impl Fn(FinishedObject) + Send + Sync + 'static,
        on_event: impl Fn(DeliveryEvent) + Send + Sync + 'static,
    ) -> Result<Writer, Error> {
        let (bucket, template) = (owner.name.bucket(), owner.name.key());
        let builder = RollingWriter::builder(client, bucket, template)
            .writer(|writer| {
                let writer = writer
                    .on_event(on_event)
                    .delivery_timeout(self.delivery_timeout.0);
                match compression(owner) {
                    Some(compression) => writer.compression(compression),
                    None => writer,
                }
            })
            .on_finished(tell)
            .spool(self.spool(owner));
        let builder = self.rolling.set(builder, false);
        builder.open().await.map(Writer::Sequence)
    }

    /// Nothing more goes into it.
    fn spool(&self, owner: &SpoolOwner) -> Spool {
        let spool = Spool::new(&self.directory).max_size(u64::MAX);
        let spool = match &owner.key {
            Some(key) => spool.of_key(key.as_str()),
            None => spool,
        };
        match self.to {
            Some(_) => spool.redirected(),
            None => spool,
        }
    }

    /// Says that what is not delivered is not lost.
    fn keeps(&self, failure: Failure) -> Failure {
        match has_files(&self.directory) {
            true => failure.keeping(&self.directory),
            false => failure,
        }
    }
}

/// That of the spool, with its usual level.
fn compression(owner: &SpoolOwner) -> Option<Compression> {
    match owner.compression? {
        StoredFormat::Gzip => Some(Compression::gzip()),
        StoredFormat::Zstd => Some(Compression::zstd()),
        _ => None,
    }
}

/// What was delivered: the JSON object of `--json`, and as [`Display`](fmt::Display) the line without
/// it.
#[derive(Serialize)]
struct Sent {
    directory: String,
    owner: String,
    is_sequence: bool,
    compression: Option<String>,
    found: u64,
    delivered: u64,
    /// Not durable.
    bytes: u64,
    lost: u64,
    /// Objects of a sequence.
    #[serde(skip_serializing_if = "Option::is_none")]
    finished: Option<u64>,
    appends: u64,
    retries: u64,
    reconciles: u64,
    elapsed_ms: u64,
}

impl Sent {
    /// What `writer` has sent.
    fn new(
        arguments: &Arguments,
        owner: &SpoolOwner,
        writer: &Writer,
        found: u64,
        started: Instant,
    ) -> Self {
        let stats = writer.stats();
        let left = stats.accepted - stats.durable;
        let spool = stats.spool.unwrap_or_default();
        Self {
            directory: arguments.directory.display().to_string(),
            owner: owner.name.to_string(),
            is_sequence: owner.is_sequence,
            compression: owner.compression.map(|format| format.to_string()),
            found,
            delivered: found.saturating_sub(left + spool.lost),
            bytes: left,
            lost: spool.lost,
            finished: None,
            appends: stats.appends,
            retries: stats.retries,
            reconciles: stats.reconciles,
            elapsed_ms: milliseconds(started.elapsed()),
        }
    }

    fn finished(mut self, finished: &Finished) -> Self {
        self.finished = self.is_sequence.then_some(finished.count);
        self
    }

    /// What became of the bytes.
    fn fate(&self) -> String {
        let durable = format!("{} durable", Counted(self.delivered, "byte"));
        match self.bytes {
            0 => durable,
            bytes => format!("{durable}, and {}", kept(bytes, &self.directory)),
        }
    }

    async fn print(&self, outcome: Outcome, as_json: bool) -> Result<(), Failure> {
        if as_json {
            // The bytes are in the object, whether this is read or not.
            Failure::unless_unread(outcome.of(&self.owner).print(self).await)
        } else {
            output::note(self);
            Ok(())
        }
    }

    fn loss(&self) -> Option<Failure> {
        (self.lost > 0).then(|| Failure::local(lost(self.lost, &self.directory)))
    }
}

impl fmt::Display for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let interrupted = match self.bytes {
            0 => "",
            _ => "interrupted: ",
        };
        write!(
            f,
            "{}: {interrupted}{}, by {} ({}, {}), in {:.3} s",
            self.owner,
            self.fate(),
            Counted(self.appends, "append"),
            Counted(self.retries, "retry"),
            Counted(self.reconciles, "reconcile"),
            self.elapsed_ms as f64 / 1000.0,
        )
    }
}

/// All that is there before the first byte is sent.
struct Opened {
    writer: Writer,
    finished: Finished,
    connection: Connection,
    trouble: Trouble,
}

/// Opens the object or sequence.
async fn open(
    arguments: &Arguments,
    owner: &SpoolOwner,
    signals: &mut Signals,
) -> Result<Opened, Failure> {
    let (mut trouble, on_event) = Trouble::new(true);
    let (finished, tell) = Finished::new();
    let connection = arguments.connection.open(&owner.name).await?;
    let opening = arguments.open(owner, connection.client(), tell, on_event);
    let mut opening = std::pin::pin!(opening);
    let writer = loop {
        tokio::select! {
            opened = &mut opening => break opened?,
            said = trouble.next(|| None) => match said {
                Said::Line(line) => output::note(line),
                Said::Nowhere(error) => return Err(request_failed(&error)),
            },
            _ = signals.next() => return Err(Failure::spooled(
                "interrupted before the object was opened",
            )),
        }
    };
    Ok(Opened {
        writer,
        finished,
        connection,
        trouble,
    })
}

/// Delivers what is in the spool of `owner`.
pub(super) async fn send(
    arguments: &Arguments,
    mut owner: SpoolOwner,
    mut signals: Signals,
) -> Result<ExitCode, Failure> {
    if let Some(to) = &arguments.to {
        if owner.is_sequence {
            return Err(Failure::usage(format!(
                "--to is for the spool of one object, and {} is a sequence: it goes on in its next \
                 object",
                owner.name
            )));
        }
        owner.name.clone_from(to);
    }
    let started = Instant::now();
    let Opened {
        mut writer,
        mut finished,
        connection,
        mut trouble,
    } = open(arguments, &owner, &mut signals)
        .await
        .map_err(|failure| arguments.keeps(failure))?;
    let observer = writer.clone();
    let when = match output::is_quiet() {
        true => When::Never,
        false => arguments.progress,
    };
    let found = observer.stats().accepted;
    let progress = Progress::start(when, &observer, Some(found));
    let delivered = {
        let mut delivery = std::pin::pin!(writer.shutdown());
        loop {
            tokio::select! {
                delivered = &mut delivery => break Some(delivered),
                note = finished.next() => progress.note(&note),
                said = trouble.next(|| Some(observer.stats().buffered)) => {
                    if let Said::Line(line) = said {
                        progress.note(&line);
                    }
                }
                _ = signals.next() => break None,
            }
        }
    };
    drop(progress);
    let sent = Sent::new(arguments, &owner, &observer, found, started);
    if delivered.is_some() {
        // The last object is told of when the last handle is gone.
        drop((writer, observer));
        signals.unless_again(finished.take_all()).await;
        signals.unless_again(connection.close()).await;
    }
    finished.take_rest();
    let sent = sent.finished(&finished);
    let is_interrupted = delivered.is_none();
    let failure = match delivered {
        Some(Err(failure)) => Some(failure),
        Some(Ok(())) => finished.seal_failure().or_else(|| sent.loss()),
        None => None,
    };
    if let Some(failure) = failure {
        let failure = failure.and(sent.fate()).with_fields(&sent);
        return Err(match sent.bytes {
            0 => failure,
            _ => failure.redirecting(&arguments.directory),
        });
    }
    let (outcome, code) = match is_interrupted {
        true => (Outcome::spooled(&sent), failure::spooled()),
        false => (Outcome::done(), ExitCode::SUCCESS),
    };
    if let Some(printed) = signals
        .unless_again(sent.print(outcome, arguments.json))
        .await
    {
        printed.map_err(Failure::told)?;
    }
    Ok(code)
}
