//! `oss-append stat`: what an object is.

use std::collections::BTreeMap;
use std::fmt;
use std::process::ExitCode;
use std::time::SystemTime;

use clap::Args;
use jiff::Timestamp;
use oss_append::client::ObjectMeta;
use oss_append::{ObjectKind, ObjectPath};
use serde::Serialize;

use crate::ask::ask;
use crate::connection::{self, ConnectionArguments};
use crate::failure::{self, Failure};
use crate::outcome::{self, Outcome};
use crate::output;
use crate::patience::Patience;
use crate::signals::{self, Signals};

/// Show what an object is: its length, type, CRC-64 and metadata.
#[derive(Args)]
#[command(after_long_help = format!(
    "{EXAMPLES}\n\n{}\n\n{}\n\n{}", outcome::HELP, connection::HELP, failure::HELP
))]
pub(crate) struct Arguments {
    /// The object, as oss://BUCKET/KEY; KEY is taken literally, nothing in it is decoded
    #[arg(value_name = "oss://BUCKET/KEY")]
    target: ObjectPath,
    /// Print one JSON object: bucket, key, length, type, crc64 (a decimal string), etag,
    /// content_type, content_encoding, sealed, last_modified, storage_class, metadata,
    /// next_append_position; null for what OSS does not tell; and what every command tells, see JSON
    /// below
    #[arg(long)]
    json: bool,
    /// Give up when there was no answer for this long, however often was retried until then; forever:
    /// never, though what OSS refuses for good still ends the command
    #[arg(long, value_name = "DURATION|forever", default_value = "120s")]
    delivery_timeout: Patience,
    #[command(flatten)]
    connection: ConnectionArguments,
}

const EXAMPLES: &str = "\
Example:
  oss-append stat --json oss://logs/2026/app.log";

#[derive(Serialize)]
struct Stat {
    bucket: String,
    key: String,
    length: u64,
    #[serde(rename = "type")]
    kind: Option<String>,
    /// More than a JSON number can hold.
    crc64: Option<String>,
    etag: Option<String>,
    content_type: Option<String>,
    content_encoding: Option<String>,
    sealed: bool,
    last_modified: Option<String>,
    storage_class: Option<String>,
    metadata: BTreeMap<String, String>,
    next_append_position: Option<u64>,
}

impl Stat {
    fn new(object: &ObjectPath, meta: ObjectMeta) -> Self {
        let kind = match meta.kind {
            ObjectKind::Appendable => Some("Appendable".to_owned()),
            ObjectKind::Other(name) => Some(name).filter(|name| !name.is_empty()),
            _ => None,
        };
        Self {
            bucket: object.bucket().into(),
            key: object.key().into(),
            length: meta.length,
            kind,
            crc64: meta.crc64.map(|crc| crc.to_string()),
            etag: meta.etag.map(|etag| etag.trim_matches('"').to_owned()),
            content_type: meta.content_type,
            content_encoding: meta.content_encoding,
            sealed: meta.sealed,
            last_modified: meta.last_modified.and_then(show_time),
            storage_class: meta.storage_class,
            metadata: meta.metadata,
            next_append_position: meta.next_append_position,
        }
    }
}

fn show_time(time: SystemTime) -> Option<String> {
    Some(Timestamp::try_from(time).ok()?.to_string())
}

/// One property a line.
impl fmt::Display for Stat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = |name: &str, value: &dyn fmt::Display| {
            let value = output::one_line(&value.to_string());
            writeln!(f, "{name:<22}{value}")
        };
        let sealed = if self.sealed { "yes" } else { "no" };
        line(
            "object",
            &format_args!("oss://{}/{}", self.bucket, self.key),
        )?;
        line("length", &self.length)?;
        line("type", &known(&self.kind))?;
        line("crc64", &known(&self.crc64))?;
        line("etag", &known(&self.etag))?;
        line("content type", &known(&self.content_type))?;
        line("content encoding", &known(&self.content_encoding))?;
        line("sealed", &sealed)?;
        line("last modified", &known(&self.last_modified))?;
        line("storage class", &known(&self.storage_class))?;
        if let Some(position) = self.next_append_position {
            line("next append position", &position)?;
        }
        for (name, value) in &self.metadata {
            line(&format!("meta {name}"), value)?;
        }
        Ok(())
    }
}

fn known(value: &Option<String>) -> &str {
    value.as_deref().unwrap_or("-")
}

impl Arguments {
    /// What it is about, if it is to tell its outcome as a JSON object.
    pub(crate) fn json(&self) -> Option<String> {
        self.json.then(|| self.target.to_string())
    }
}

pub(crate) async fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    let mut signals = Signals::new(signals::BOUND)?;
    let connection = arguments.connection.open_to_read(&arguments.target).await?;
    let client = connection.client();
    let asked = output::while_read(async {
        let head = async || client.head_object(&arguments.target).send().await;
        let asked = ask(arguments.delivery_timeout, head).await;
        asked.map_err(|error| Failure::of_request(&error, "oss:GetObject"))
    });
    let asked = signals.unless(asked).await;
    connection.close().await;
    let meta = asked.ok_or_else(|| Failure::interrupted("interrupted"))??;
    let stat = Stat::new(&arguments.target, meta);
    let print = async {
        match arguments.json {
            true => Outcome::done().of(&arguments.target).print(&stat).await,
            false => output::print(stat.to_string().trim_end()).await,
        }
    };
    match signals.unless(print).await {
        Some(printed) => printed.map_err(Failure::told)?,
        None => return Err(Failure::interrupted("interrupted").told()),
    }
    Ok(ExitCode::SUCCESS)
}
