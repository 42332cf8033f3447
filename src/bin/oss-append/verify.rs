//! `oss-append verify`: whether files are in objects, so that they may be deleted.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::pin::pin;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use clap::Args;
use oss_append::{
    AppendStore as _, Error, KeyNames, KeyTemplate, ObjectPath, OssClient, Verdict, Verification,
    Verified, VerifiedFile,
};
use serde::Serialize;

use crate::connection::{self, ConnectionArguments};
use crate::failure::{self, Failure};
use crate::outcome::{self, Outcome};
use crate::output;
use crate::patience::Patience;
use crate::signals::{self, Signals};
use crate::trouble::{Said, Trouble};

/// Tell whether files are in objects, byte for byte: may they be deleted?
///
/// The length and the CRC-64 of each object are compared with those of as many bytes of the files:
/// nothing is downloaded, and nothing is changed. Exit code 0 says that each byte of each FILE is in OSS.
/// 8 says that an object is missing, or shorter than the file and equal as far as it goes: try again
/// later. 3 says that an object holds other bytes, is longer than the file, or says that it is
/// compressed, so that nothing is proven without a download. 1 says that a file cannot be read, has
/// changed while it was read, or that OSS tells no CRC-64.
///
/// Without {file} in KEY, several FILEs are taken for one after another, in the order given: the oldest
/// first, such as app.log.2 app.log.1 app.log.
#[derive(Args)]
#[command(after_long_help = format!(
    "{EXAMPLES}\n\n{}\n\n{}\n\n{}", outcome::HELP, connection::HELP, failure::HELP
))]
pub(crate) struct Arguments {
    /// The files
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// The object, as oss://BUCKET/KEY. In KEY, {file} is the name of a FILE without its directories:
    /// each file has objects of its own then. With {seq} the objects are all that the template names,
    /// by their numbers (the last 1,000), and those count that begin as the files do; {host} and {hash}
    /// are as for append. Anything else is taken literally
    #[arg(value_name = "oss://BUCKET/KEY")]
    target: ObjectPath,
    /// Take braces and percent signs in KEY literally
    #[arg(long)]
    literal: bool,
    /// Give up when a request was not answered for this long, however often it was tried again;
    /// forever: never
    #[arg(long, value_name = "DURATION|forever", default_value = "120s")]
    delivery_timeout: Patience,
    /// Print one JSON object: files, a list with path, verdict (equal, shorter, longer, differs,
    /// missing, compressed, no_checksum, changed, unreadable), length, proven (how many of its first
    /// bytes are in the objects), grew (while it was read), problem (why it cannot be read, or null)
    /// and objects (those that were compared: object, length, crc64 as a decimal string); and what every
    /// command tells, see JSON below
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: ConnectionArguments,
}

/// The most objects of a template that are compared.
const MOST: usize = 1000;

const EXAMPLES: &str = "\
Examples:
  oss-append verify app.log.1 oss://logs/2026/app.log.1 && rm app.log.1
  oss-append verify app.log.2 app.log.1 app.log 'oss://logs/app-{seq:6}.log'
  oss-append verify --json /var/log/app/*.log 'oss://logs/{file}'";

#[derive(Serialize)]
struct Told {
    files: Vec<ToldFile>,
}

#[derive(Serialize)]
struct ToldFile {
    path: String,
    verdict: &'static str,
    length: u64,
    proven: u64,
    grew: bool,
    problem: Option<String>,
    objects: Vec<ToldObject>,
}

#[derive(Clone, Serialize)]
struct ToldObject {
    object: String,
    length: Option<u64>,
    /// More than a JSON number can hold.
    crc64: Option<String>,
}

impl Arguments {
    /// What it is about, if it is to tell its outcome as a JSON object.
    pub(crate) fn json(&self) -> Option<String> {
        self.json.then(|| self.target.to_string())
    }

    /// The files that belong together, and the key of their objects.
    fn groups(&self) -> Result<Vec<(Vec<PathBuf>, String)>, Failure> {
        const FIELD: &str = "{file}";
        let key = self.target.key();
        if self.literal || !key.contains(FIELD) {
            return Ok(vec![(self.files.clone(), key.to_owned())]);
        }
        let named = self.files.iter().map(|file| {
            let name = file.file_name().and_then(|name| name.to_str());
            let name = name.ok_or_else(|| {
                Failure::usage(format!(
                    "{} has no name that a key can have",
                    file.display()
                ))
            })?;
            // What the template takes for a field is none here.
            let name = match key.contains("{seq") {
                true => name
                    .replace('{', "{{")
                    .replace('}', "}}")
                    .replace('%', "%%"),
                false => name.to_owned(),
            };
            Ok((vec![file.clone()], key.replace(FIELD, &name)))
        });
        named.collect()
    }

    /// The objects of a key, which may be a template.
    async fn objects(&self, client: &OssClient, key: &str) -> Result<Vec<ObjectPath>, Failure> {
        let bucket = self.target.bucket();
        if self.literal || !self.target.key().contains("{seq") {
            return Ok(vec![ObjectPath::new(bucket, key).map_err(Error::from)?]);
        }
        let names = names(key)?;
        let mut found = BTreeMap::new();
        let mut after: Option<String> = None;
        loop {
            let page = client.list(bucket, names.prefix(), after.as_deref()).await;
            let page = page.map_err(|error| Failure::of_request(&error, "oss:ListObjects"))?;
            let page = page.ok_or_else(|| Failure::local("the bucket cannot be listed"))?;
            for listed in page.objects {
                if let Some(number) = names.number(&listed.key) {
                    if found.len() == MOST {
                        found.pop_first();
                    }
                    found.insert(
                        number,
                        ObjectPath::new(bucket, &listed.key).map_err(Error::from)?,
                    );
                }
            }
            match page.next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        match found.is_empty() {
            // It is missing, and says so.
            true => Ok(vec![
                ObjectPath::new(bucket, names.key(1)).map_err(Error::from)?,
            ]),
            false => Ok(found.into_values().collect()),
        }
    }

    async fn verify(&self, client: OssClient) -> Result<Vec<Verified>, Failure> {
        let mut all = Vec::new();
        for (files, key) in self.groups()? {
            let (mut trouble, on_event) = Trouble::reading();
            let objects = self.objects(&client, &key).await?;
            let verification = Verification::new(client.clone(), objects)
                .delivery_timeout(self.delivery_timeout.0)
                .on_event(on_event);
            let verification = files.into_iter().fold(verification, Verification::file);
            let mut run = pin!(verification.run());
            let verified = loop {
                tokio::select! {
                    done = &mut run => break done.map_err(|error| failed(&error))?,
                    said = trouble.next(|| None) => match said {
                        Said::Line(line) => output::note(line),
                        Said::Nowhere(error) => return Err(failed(&error)),
                    },
                }
            };
            all.push(verified);
        }
        Ok(all)
    }
}

fn failed(error: &Error) -> Failure {
    Failure::of_request(error, "oss:GetObject")
}

/// The keys of a template whose one field that changes is the number.
fn names(template: &str) -> Result<KeyNames, Failure> {
    let template: KeyTemplate = template.parse()?;
    let now = SystemTime::now();
    let names = template.names_at(now, 0);
    // Whatever field of the time there is, one of these differs.
    let periods = [1, 60, 3_600, 86_400, 40 * 86_400, 400 * 86_400].map(Duration::from_secs);
    let changes = |period: Duration| template.names_at(now + period, 0) != names;
    if !template.is_repeatable() || periods.into_iter().any(changes) {
        return Err(Failure::usage(format!(
            "{template}: name the time, the process and the UUID as they stand in the keys: of the \
             fields that change only {{seq}} is searched for"
        )));
    }
    Ok(names)
}

impl Told {
    fn new(all: &[Verified]) -> Self {
        let files = all.iter().flat_map(|verified| {
            let objects: Vec<_> = verified
                .objects
                .iter()
                .map(|object| ToldObject {
                    object: object.object.to_string(),
                    length: object.length,
                    crc64: object.crc64.map(|crc64| crc64.to_string()),
                })
                .collect();
            verified.files.iter().map(move |file| ToldFile {
                path: file.path.display().to_string(),
                verdict: file.verdict.name(),
                length: file.length,
                proven: file.proven,
                grew: file.grew,
                problem: file.problem.clone(),
                objects: objects.clone(),
            })
        });
        Self {
            files: files.collect(),
        }
    }
}

/// What is said of a file.
fn line(file: &VerifiedFile, verified: &Verified) -> String {
    let objects = match verified.objects.as_slice() {
        [one] => one.object.to_string(),
        [first, .., last] => format!("{} to {}", first.object, last.object.key()),
        [] => "no object".into(),
    };
    let VerifiedFile {
        path,
        verdict,
        length,
        proven,
        ..
    } = file;
    let said = match verdict {
        Verdict::Equal => format!("all {length} bytes are in {objects}"),
        Verdict::Shorter => {
            format!("{objects} has the first {proven} of {length} bytes, which are equal")
        }
        Verdict::Longer => format!(
            "{objects} goes on behind the {length} bytes of the file: whether it begins with them is \
             not known without a download"
        ),
        Verdict::Differs => match proven {
            0 => format!("{objects} holds other bytes than the file"),
            _ => format!("{objects} holds other bytes than the file behind the first {proven}"),
        },
        Verdict::Missing => format!("there is no {objects}"),
        Verdict::Compressed => format!(
            "{objects} is compressed: what is in it is not known without a download, such as \
             oss-append cat --decompress OBJECT | cmp - FILE"
        ),
        Verdict::NoChecksum => format!("OSS tells no CRC-64 of {objects}"),
        Verdict::Changed => "the file was replaced or written over while it was read".into(),
        Verdict::Unreadable => match &file.problem {
            Some(problem) => format!("cannot be read: {problem}"),
            None => "cannot be read".into(),
        },
        other => other.name().to_owned(),
    };
    let grew = match file.grew {
        true => "; the file has grown while it was read",
        false => "",
    };
    format!("{}: {said}{grew}", path.display())
}

/// The failure that the worst of the verdicts is.
fn judge(files: &[VerifiedFile]) -> Result<(), Failure> {
    let count = |of: &[Verdict]| files.iter().filter(|f| of.contains(&f.verdict)).count();
    let total = files.len();
    let other = count(&[Verdict::Differs, Verdict::Longer, Verdict::Compressed]);
    let not_yet = count(&[Verdict::Shorter, Verdict::Missing]);
    let equal = count(&[Verdict::Equal]);
    let keep = "keep what is not equal";
    if other > 0 {
        return Err(Failure::conflict(format!(
            "{other} of {total} files are not what their objects hold; {keep}"
        )));
    }
    if equal + not_yet < total {
        return Err(Failure::local(format!(
            "{} of {total} files could not be compared; {keep}",
            total - equal - not_yet
        )));
    }
    if not_yet > 0 {
        return Err(Failure::not_yet(format!(
            "{not_yet} of {total} files are not whole in their objects yet; {keep}"
        )));
    }
    Ok(())
}

pub(crate) async fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    let mut signals = Signals::new(signals::BOUND)?;
    let connection = arguments.connection.open(&arguments.target).await?;
    let verified = signals.unless(arguments.verify(connection.client())).await;
    connection.close().await;
    let verified = verified.ok_or_else(|| Failure::interrupted("interrupted"))??;
    let told = Told::new(&verified);
    let files: Vec<_> = verified.iter().flat_map(|one| one.files.clone()).collect();
    let judged = judge(&files).map_err(|failure| failure.with_fields(&told));
    if arguments.json {
        judged?;
        Outcome::done().of(&arguments.target).print(&told).await?;
    } else {
        let lines = verified.iter().flat_map(|one| {
            let files = one.files.iter();
            files.map(|file| output::one_line(&line(file, one)).to_string())
        });
        let lines = lines.collect::<Vec<_>>().join("\n");
        Failure::unless_unread(output::print(lines).await)?;
        judged?;
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_number_may_change() {
        assert!(names("app/{host}-{seq:6}.log").is_ok());
        for template in [
            "%Y-{seq}",
            "%S-{seq}",
            "{pid}-{seq}",
            "{uuid}-{seq}",
            "{x}-{seq}",
        ] {
            assert!(names(template).unwrap_err().is_usage(), "{template}");
        }
    }
}
