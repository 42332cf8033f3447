//! `oss-append doctor`: what an operator needs to know of a bucket and the way to it.

mod examine;
mod report;

use std::process::ExitCode;
use std::str::FromStr;

use clap::Args;
use oss_append::{Error, ObjectPath};

use self::examine::Examination;
use crate::connection::{self, ConnectionArguments};
use crate::failure::{self, Failure};
use crate::outcome::{self, Outcome};
use crate::output;
use crate::patience::Patience;
use crate::signals::{self, Signals};

/// Examine the way to a bucket: credentials, endpoint, clock, permissions, latency and bandwidth.
#[derive(Args)]
#[command(after_long_help = format!(
    "{EXAMPLES}\n\n{}\n\n{}\n\n{}", outcome::HELP, connection::HELP, failure::HELP
))]
pub(crate) struct Arguments {
    /// The bucket, and what keys begin with there; taken literally
    #[arg(value_name = "oss://BUCKET[/PREFIX]")]
    target: Prefix,
    /// Make an object, append to it for a few seconds, also several appends at a time, seal it, and
    /// delete it, to find out whether that is permitted and how fast it is; its name begins with
    /// PREFIX and has oss-append-doctor in it. Without this nothing is written
    #[arg(long)]
    write: bool,
    /// Print one JSON object: target, credentials, endpoint, clock, permissions, round_trip_ms,
    /// upload_bytes_per_second, recommended_batch_size, appends (per_second and per_month at full
    /// speed with that), pipelining (taken, reason, recommended_max_in_flight, gain), encoded (key
    /// and content_encoding of objects, among the first, that HTTP clients decode), problems; null for
    /// what was not found out; and what every command tells, of the first problem, see JSON below
    #[arg(long)]
    json: bool,
    /// Give each look and list up when there was no answer for this long, however often was retried
    /// until then. What is written is tried once
    #[arg(long, value_name = "DURATION|forever", default_value = "10s")]
    delivery_timeout: Patience,
    #[command(flatten)]
    connection: ConnectionArguments,
}

const EXAMPLES: &str = "\
Exits with 0 if nothing is wrong, else with the code of the first problem. What --write alone finds
out is no problem without it.

Examples:
  oss-append doctor oss://logs
  oss-append doctor --write --json oss://logs/app/";

/// A bucket, and what keys begin with.
#[derive(Clone, Debug)]
struct Prefix {
    bucket: String,
    prefix: String,
}

impl Arguments {
    /// What it is about, if it is to tell its outcome as a JSON object.
    pub(crate) fn json(&self) -> Option<String> {
        self.json.then(|| self.target.to_string())
    }
}

impl FromStr for Prefix {
    type Err = Error;

    fn from_str(target: &str) -> Result<Self, Error> {
        let (bucket, prefix) = target
            .strip_prefix("oss://")
            .map(|rest| rest.split_once('/').unwrap_or((rest, "")))
            .ok_or_else(|| {
                Error::invalid_input(format!(
                    "{target:?} is not of the form oss://BUCKET or oss://BUCKET/PREFIX"
                ))
            })?;
        let prefix = Self {
            bucket: bucket.into(),
            prefix: prefix.into(),
        };
        // Only what keys may begin with.
        prefix.object("x").map(|_| prefix)
    }
}

impl Prefix {
    fn object(&self, name: &str) -> Result<ObjectPath, Error> {
        Ok(ObjectPath::new(
            &self.bucket,
            format!("{}{name}", self.prefix),
        )?)
    }
}

impl std::fmt::Display for Prefix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "oss://{}/{}", self.bucket, self.prefix)
    }
}

pub(crate) async fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    let mut signals = Signals::new(signals::BOUND)?;
    let probe = format!("oss-append-doctor-{}", uuid::Uuid::new_v4().simple());
    let probe = arguments.target.object(&probe)?;
    let connection = match arguments.write {
        true => arguments.connection.open(&probe).await?,
        false => arguments.connection.open_to_read(&probe).await?,
    };
    let (target, patience) = (arguments.target.clone(), arguments.delivery_timeout);
    let mut examination = Examination::new(&connection, target, probe, patience);
    let examine = output::while_read(async {
        examination.examine(arguments.write).await;
        Ok(())
    });
    let examined = signals.unless(examine).await;
    // Also if a signal came, unless another does.
    let clean_up = async {
        examination.clean_up().await;
        connection.close().await;
    };
    signals.unless_again(clean_up).await;
    let (report, problem) = examination.finish();
    if signals.received() {
        return Err(Failure::interrupted("interrupted").with_fields(&report));
    }
    examined.unwrap_or(Ok(()))?;
    let print = async {
        if arguments.json {
            let outcome = problem.as_ref().map_or_else(Outcome::done, Outcome::failed);
            outcome.of(&arguments.target).print(&report).await
        } else {
            output::print(report.to_string().trim_end()).await
        }
    };
    match signals.unless(print).await {
        Some(printed) => printed.map_err(Failure::told)?,
        None => return Err(Failure::interrupted("interrupted").told()),
    }
    Ok(problem.map_or(ExitCode::SUCCESS, |problem| problem.exit_code()))
}
