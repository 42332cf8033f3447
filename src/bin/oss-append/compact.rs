//! `oss-append compact`: a finished appendable object becomes one Normal object.

use std::pin::pin;
use std::process::ExitCode;

use clap::Args;
use oss_append::{
    Compacted, CompactedBy, Compaction, Compression, Error, ObjectPath, OssClient, StorageClass,
};
use serde::Serialize;

use crate::connection::{self, ConnectionArguments};
use crate::failure::{self, Failure};
use crate::outcome::{self, Outcome};
use crate::output;
use crate::patience::Patience;
use crate::signals::{self, Signals};
use crate::trouble::{Said, Trouble};

/// Make one Normal object of a finished appendable one.
///
/// OSS copies the bytes, by a multipart upload: nothing is downloaded, unless OSS refuses to copy from
/// an appendable object, or --compress is given. The new object is compared with the old one by length
/// and CRC-64, with --compress by reading it back. It never takes the place of another object. The old
/// one is kept unless --delete-source is given.
///
/// Interrupted or killed at any moment nothing is lost: the same command finishes it. It ends with exit
/// code 3 if the object grows or is replaced meanwhile, or another one is where the new one should go.
#[derive(Args)]
#[command(after_long_help = format!(
    "{EXAMPLES}\n\n{}\n\n{}\n\n{}", outcome::HELP, connection::HELP, failure::HELP
))]
pub(crate) struct Arguments {
    /// The finished object, as oss://BUCKET/KEY; KEY is taken literally, nothing in it is decoded
    #[arg(value_name = "oss://BUCKET/KEY")]
    source: ObjectPath,
    /// Where the new object goes: another key of the same bucket [default: oss://BUCKET/compact/KEY,
    /// with --compress and the ending .gz or .zst]
    #[arg(long, value_name = "oss://BUCKET/KEY")]
    to: Option<ObjectPath>,
    /// Compress the content as one gzip member or zstd frame, whatever it was: gzip, zstd, or with a
    /// level, such as gzip:9 and zstd:19. It is downloaded for that, uploaded, and read back [default:
    /// the bytes stay as they are]
    #[arg(long, value_name = "FORMAT[:LEVEL]")]
    compress: Option<Compression>,
    /// Delete the old object once the new one has been compared with it. It is sealed first, so that
    /// nothing can be appended in between
    #[arg(long)]
    delete_source: bool,
    /// With --delete-source, do not seal the old object, where sealing is not allowed. What is appended
    /// just before it is deleted is lost
    #[arg(long, requires = "delete_source")]
    no_seal: bool,
    /// The storage class of the new object, such as IA or Archive [default: that of the bucket]
    #[arg(long, value_name = "CLASS")]
    storage_class: Option<StorageClass>,
    /// Give up when a request was not answered for this long, however often it was tried again;
    /// forever: never
    #[arg(long, value_name = "DURATION|forever", default_value = "120s")]
    delivery_timeout: Patience,
    /// Print one JSON object: source, target, length and crc64 of the new object (a decimal string),
    /// made_by (copy, upload, recompression or earlier_run), source_deleted; and what every command
    /// tells, see JSON below
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: ConnectionArguments,
}

const EXAMPLES: &str = "\
Examples:
  oss-append compact oss://logs/2026/app.log
  oss-append compact --compress zstd:19 --delete-source oss://logs/2026/app.log.zst \\
      --to oss://logs/archive/app.log.zst";

#[derive(Serialize)]
struct Told {
    source: String,
    target: String,
    length: u64,
    /// More than a JSON number can hold.
    crc64: String,
    made_by: &'static str,
    source_deleted: bool,
}

impl Told {
    fn new(done: &Compacted) -> Self {
        Self {
            source: done.source.to_string(),
            target: done.target.to_string(),
            length: done.length,
            crc64: done.crc64.to_string(),
            made_by: match done.made_by {
                CompactedBy::Copy => "copy",
                CompactedBy::Upload => "upload",
                CompactedBy::Recompression => "recompression",
                CompactedBy::EarlierRun => "earlier_run",
                _ => "",
            },
            source_deleted: done.source_deleted,
        }
    }

    fn line(&self) -> String {
        let how = match self.made_by {
            "earlier_run" => " (made by an earlier run)",
            "upload" => " (downloaded and uploaded, since OSS does not copy it)",
            _ => "",
        };
        let source = match self.source_deleted {
            true => "deleted",
            false => "kept",
        };
        format!(
            "{}: {} bytes, CRC-64 {}{how}; {} is {source}",
            self.target, self.length, self.crc64, self.source
        )
    }
}

impl Arguments {
    /// What it is about, if it is to tell its outcome as a JSON object.
    pub(crate) fn json(&self) -> Option<String> {
        self.json.then(|| self.source.to_string())
    }

    async fn compact(&self, client: OssClient) -> Result<Compacted, Failure> {
        let (mut trouble, on_event) = Trouble::compacting();
        let mut compaction = Compaction::new(client, self.source.clone())
            .delete_source(self.delete_source)
            .seal_source(!self.no_seal)
            .delivery_timeout(self.delivery_timeout.0)
            .on_event(on_event);
        if let Some(target) = &self.to {
            compaction = compaction.to(target.clone());
        }
        if let Some(compression) = self.compress {
            compaction = compaction.recompress(compression);
        }
        if let Some(class) = self.storage_class {
            compaction = compaction.storage_class(class);
        }
        let mut run = pin!(compaction.run());
        loop {
            tokio::select! {
                done = &mut run => return done.map_err(|error| failed(&error)),
                said = trouble.next(|| None) => match said {
                    Said::Line(line) => output::note(line),
                    Said::Nowhere(error) => return Err(failed(&error)),
                },
            }
        }
    }
}

fn failed(error: &Error) -> Failure {
    Failure::of_request(
        error,
        "oss:GetObject, oss:PutObject, oss:AbortMultipartUpload, oss:ListMultipartUploads, and with \
         --delete-source oss:DeleteObject and the one to seal",
    )
}

pub(crate) async fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    let mut signals = Signals::new(signals::BOUND)?;
    let connection = arguments.connection.open(&arguments.source).await?;
    let done = signals.unless(arguments.compact(connection.client())).await;
    connection.close().await;
    let done = done.ok_or_else(|| {
        Failure::interrupted(
            "interrupted; the old object is there: run the same command again to finish",
        )
    })??;
    let told = Told::new(&done);
    let printed = match arguments.json {
        true => Outcome::done().of(&arguments.source).print(&told).await,
        false => output::print(output::one_line(&told.line())).await,
    };
    Failure::unless_unread(printed)?;
    Ok(ExitCode::SUCCESS)
}
