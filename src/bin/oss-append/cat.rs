//! `oss-append cat`: an object's bytes on standard output.

use std::io::{self, IsTerminal as _};
use std::pin::pin;
use std::process::ExitCode;
use std::str::FromStr;

use clap::Args;
use futures::StreamExt as _;
use oss_append::{
    Error, ErrorKind, ObjectPath, ObjectReader, ObjectReaderBuilder, OssClient, StoredFormat,
};

use crate::connection::{self, ConnectionArguments};
use crate::failure::{self, Failure};
use crate::output::{self, Output};
use crate::patience::Patience;
use crate::stored;
use crate::trouble::{Said, Trouble};

/// Write an object, or a range of its bytes, to standard output.
///
/// What is read is the object as it is at the start: what others append meanwhile is left out. A
/// request that fails is followed by another for what is missing. An object that is replaced or
/// shortened meanwhile ends the command with exit code 3, and so do bytes of a whole object that do not
/// have its CRC-64. It ends quietly when nobody reads on, with exit code 141. A terminal is not given
/// what is compressed by gzip or zstd.
#[derive(Args)]
#[command(after_long_help = format!("{EXAMPLES}\n\n{}\n\n{}", connection::HELP, failure::HELP))]
pub(crate) struct Arguments {
    /// The object, as oss://BUCKET/KEY; KEY is taken literally, nothing in it is decoded
    #[arg(value_name = "oss://BUCKET/KEY")]
    target: ObjectPath,
    /// Which bytes, by position from 0: A-B with both included, A- to the end, or -N for the last
    /// N [default: all]
    #[arg(long, value_name = "RANGE", allow_hyphen_values = true)]
    range: Option<Range>,
    /// Decompress the object: all gzip members and zstd frames, one after another, which not every
    /// other tool does. Where one is cut or damaged, all that is before is written, and the exit code
    /// is 1; so it is for an object that is not compressed. A RANGE has to begin where a member does
    #[arg(long)]
    decompress: bool,
    /// Give up when not a byte has come for this long, however often was retried until then; forever:
    /// never, though what OSS refuses for good still ends the command
    #[arg(long, value_name = "DURATION|forever", default_value = "120s")]
    delivery_timeout: Patience,
    #[command(flatten)]
    connection: ConnectionArguments,
}

const EXAMPLES: &str = "\
Examples:
  oss-append cat oss://logs/2026/app.log
  oss-append cat --range -4096 oss://logs/2026/app.log
  oss-append cat --decompress oss://logs/2026/app.log.zst | tail";

/// A range of bytes as in HTTP.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Range {
    FromTo(u64, u64),
    From(u64),
    Last(u64),
}

impl FromStr for Range {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = |digits: &str| {
            let valid = digits.bytes().all(|byte| byte.is_ascii_digit());
            digits.parse().ok().filter(|_| valid)
        };
        let malformed = "it is not of the form A-B, A- or -N";
        let (first, last) = text.split_once('-').ok_or(malformed)?;
        match (first, last) {
            ("", last) => match number(last) {
                Some(0) => Err("the last 0 bytes are none"),
                Some(count) => Ok(Self::Last(count)),
                None => Err(malformed),
            },
            (first, "") => number(first).map(Self::From).ok_or(malformed),
            (first, last) => match (number(first), number(last)) {
                (Some(first), Some(last)) if first <= last => Ok(Self::FromTo(first, last)),
                (Some(_), Some(_)) => Err("it ends before it begins"),
                _ => Err(malformed),
            },
        }
    }
}

pub(crate) async fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    let connection = arguments.connection.open_to_read(&arguments.target).await?;
    let client = connection.client();
    let result = output::while_read(arguments.cat(&client)).await;
    connection.close().await;
    result.map(|()| ExitCode::SUCCESS)
}

impl Arguments {
    async fn cat(&self, client: &OssClient) -> Result<(), Failure> {
        let (mut trouble, on_event) = Trouble::reading();
        let reader = ObjectReader::builder(client.clone(), self.target.clone())
            .decompress(self.decompress)
            .delivery_timeout(self.delivery_timeout.0)
            .on_event(on_event);
        let reader = {
            let mut open = pin!(self.open(reader));
            loop {
                tokio::select! {
                    opened = &mut open => break opened?,
                    said = trouble.next(|| None) => match said {
                        Said::Line(line) => output::note(line),
                        Said::Nowhere(error) => return Err(failed(error)),
                    },
                }
            }
        };
        let mut print = pin!(print(reader));
        loop {
            tokio::select! {
                printed = &mut print => return printed,
                said = trouble.next(|| Some(0)) => {
                    if let Said::Line(line) = said {
                        output::note(line);
                    }
                }
            }
        }
    }

    async fn open(&self, reader: ObjectReaderBuilder) -> Result<ObjectReader, Failure> {
        if !self.decompress && io::stdout().is_terminal() {
            self.refuse_compressed(reader.clone()).await?;
        }
        let reader = match self.range {
            None => reader,
            Some(Range::FromTo(first, last)) => reader.range(first..=last),
            Some(Range::From(first)) => reader.range(first..),
            Some(Range::Last(count)) => reader.last(count),
        };
        reader.open().await.map_err(failed)
    }

    /// Refuses what is nothing for a terminal.
    async fn refuse_compressed(&self, reader: ObjectReaderBuilder) -> Result<(), Failure> {
        match stored::format_of(reader).await.map_err(failed)? {
            StoredFormat::Other => Ok(()),
            format => Err(Failure::local(format!(
                "{} is compressed by {format}, which is nothing for a terminal: add --decompress, or \
                 let standard output go elsewhere",
                self.target
            ))),
        }
    }
}

fn failed(error: Error) -> Failure {
    let failure = Failure::of_request(&error, "oss:GetObject");
    match error.kind() {
        ErrorKind::Decompression { .. } => failure.and("what is before that was written"),
        _ => failure,
    }
}

/// Writes what comes, also what comes before a failure.
async fn print(mut reader: ObjectReader) -> Result<(), Failure> {
    let mut stdout = Output::default();
    let copied = async {
        while let Some(chunk) = reader.next().await {
            stdout.write(chunk.map_err(failed)?).await?;
        }
        Ok(())
    };
    let copied = copied.await;
    stdout.flush().await?;
    copied
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_those_of_http() {
        assert_eq!("0-0".parse(), Ok(Range::FromTo(0, 0)));
        assert_eq!("2-10".parse(), Ok(Range::FromTo(2, 10)));
        assert_eq!("7-".parse(), Ok(Range::From(7)));
        assert_eq!("-7".parse(), Ok(Range::Last(7)));
        for text in [
            "", "-", "7", "5-4", "-0", "a-b", "+1-2", "1--2", "1-2,4-5", "--1",
        ] {
            assert!(text.parse::<Range>().is_err(), "{text:?}");
        }
    }
}
