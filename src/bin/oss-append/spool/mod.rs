//! `oss-append spool`: what a spool holds, and its delivery without an input.

mod send;
mod shown;

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{ArgGroup, Args};
use oss_append::{ObjectPath, Spool, SpoolContents};

use self::shown::Shown;
use crate::append::{ROLLS, Rolling};
use crate::connection::{self, ConnectionArguments};
use crate::failure::{self, Failure};
use crate::outcome::{self, Outcome};
use crate::output;
use crate::patience::Patience;
use crate::progress::When;
use crate::signals::{self, Signals};
use crate::summary::Counted;

/// Show what is in a spool (append --spool DIR), or deliver it.
///
/// Without --send it shows whom the bytes are for, how many have to be sent yet, how long they have
/// been there, and what is damaged. Nothing is sent, and no connection needed.
///
/// With --send it delivers them and ends: the exit code is 0 when all is durable.
/// Whatever ends it before leaves the rest in DIR, and a signal ends it at once with exit code 7. It
/// does what the next append with --spool DIR begins with, for when no more is to be appended.
///
/// If DIR is that of a keyed writer, which a program has, it holds a spool for each key: they are listed,
/// and can be shown and delivered one by one, as the DIR that the list names. The program delivers them
/// itself when it is started again.
///
/// DIR must not be in use by another process.
#[derive(Args)]
#[command(
    group = ArgGroup::new(ROLLS).multiple(true).args(["roll_size", "roll"]),
    after_long_help = format!(
        "{EXAMPLES}\n\n{}\n\n{}\n\n{}", outcome::HELP, connection::HELP, failure::HELP
    )
)]
pub(crate) struct Arguments {
    /// The directory of the spool
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// Deliver what is in it. With the bytes of a sequence give the options of Rolling, below, that
    /// append had: they say where objects begin
    #[arg(long)]
    send: bool,
    /// With --send: put it in this object, whichever it was for, if that was deleted, sealed, replaced
    /// or continued by somebody else. What was sent last, up to about 64 MiB, may be in both
    #[arg(long, value_name = "oss://BUCKET/KEY", requires = "send")]
    to: Option<ObjectPath>,
    /// With --send: give up when nothing has moved for this long; forever: never, though what OSS
    /// refuses for good still ends the command
    #[arg(long, value_name = "DURATION|forever", default_value = "120s")]
    delivery_timeout: Patience,
    /// Print one JSON object on standard output: directory, owner (the object or template, as
    /// oss://..., or null), is_sequence, compression (gzip, zstd or null), bytes (to be sent: some may
    /// be in the object already, which sending finds out), size (on disk), age_ms (of the oldest, or
    /// null), last_object (that the first of the bytes were meant for, or null), damage (a list of
    /// texts), key (that it is of, or null), keys (of the DIR of a keyed writer: such an object for
    /// each, with bytes and size as their sums beside them). With --send: directory, owner, is_sequence, compression, found (bytes, with some
    /// that were in the object), delivered (how many of those are durable), bytes (not durable), lost (bytes that cannot be read), finished
    /// (objects of a sequence), appends, retries, reconciles, elapsed_ms; after a failure before the
    /// object was opened they are missing. What every command tells beside that, see JSON below
    #[arg(long)]
    json: bool,
    /// With --send: show on standard error how many bytes are durable
    #[arg(long, value_name = "WHEN", value_enum, default_value = "auto")]
    progress: When,
    #[command(flatten)]
    rolling: Rolling,
    #[command(flatten)]
    connection: ConnectionArguments,
}

const EXAMPLES: &str = "\
Examples:
  oss-append spool /var/spool/app
  oss-append spool /var/spool/app --send --delivery-timeout forever
  oss-append spool /var/spool/app --send --to oss://logs/app-2.log";

impl Arguments {
    /// What it is about, if it is to tell its outcome as a JSON object.
    pub(crate) fn json(&self) -> Option<String> {
        self.json.then(|| self.directory.display().to_string())
    }
}

/// Whether a spool in this directory, if there is one, has bytes.
pub(crate) fn has_files(directory: &Path) -> bool {
    holds(directory, |name| name.ends_with(".segment")).unwrap_or(false)
}

/// Whether something in the directory has such a name.
fn holds(directory: &Path, is_wanted: impl Fn(&str) -> bool) -> io::Result<bool> {
    for entry in std::fs::read_dir(directory)? {
        if entry?.file_name().to_str().is_some_and(&is_wanted) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Looks at what is there. Where no spool is, none is made.
async fn look(directory: &Path) -> Result<Option<SpoolContents>, Failure> {
    let is_spool = holds(directory, |name| {
        name == "lock" || name.ends_with(".segment")
    });
    match is_spool {
        Ok(true) => {}
        Ok(false) => return Ok(None),
        Err(error) => {
            let directory = directory.display();
            return Err(Failure::local(format!("no spool at {directory}: {error}")));
        }
    }
    let found = Spool::new(directory).contents().await?;
    Ok(found.owner.is_some().then_some(found))
}

/// What is in the spools of keys.
async fn look_at_keys(directory: &Path) -> Result<Vec<Shown>, Failure> {
    let mut keys = Vec::new();
    for spool in Spool::new(directory).keys().await? {
        let found = spool.contents().await?;
        keys.push(Shown::new(spool.directory(), Some(found)));
    }
    Ok(keys)
}

pub(crate) async fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    let mut signals = Signals::new(signals::BOUND)?;
    let looking = async {
        let found = look(&arguments.directory).await?;
        let keys = match found {
            None => look_at_keys(&arguments.directory).await?,
            Some(_) => Vec::new(),
        };
        Ok::<_, Failure>((found, keys))
    };
    let (found, keys) = match signals.unless(looking).await {
        Some(found) => found?,
        None => return Err(Failure::interrupted("interrupted")),
    };
    if arguments.send && !keys.is_empty() {
        return Err(Failure::usage(format!(
            "{} holds the spools of {}: the program that has written them delivers them when it is \
             started, or send them one by one, as oss-append spool names them",
            arguments.directory.display(),
            Counted(keys.len() as u64, "key"),
        )));
    }
    if let (true, Some(found)) = (arguments.send, &found)
        && let Some(owner) = found.owner.clone()
    {
        return send::send(&arguments, owner, signals).await;
    }
    let shown = Shown::new(&arguments.directory, found).of_keys(keys);
    let print = async {
        match arguments.json {
            true => Outcome::done().of(shown.about()).print(&shown).await,
            false => output::print(shown.to_string().trim_end()).await,
        }
    };
    match signals.unless(print).await {
        Some(printed) => printed.map_err(Failure::told)?,
        None => return Err(Failure::interrupted("interrupted").told()),
    }
    Ok(ExitCode::SUCCESS)
}
