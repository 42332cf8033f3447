//! The processes of a contest: the sink, and each round's contestants in turn.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::Value;

use super::{Case, Link};

pub(crate) const BUCKET: &str = "bucket";

/// This program, and how it is to run.
pub(super) struct Program {
    pub(super) path: PathBuf,
    pub(super) small: bool,
}

/// One round of one contestant.
#[derive(Clone, Copy)]
pub(super) struct Result {
    pub(super) seconds: f64,
    pub(super) processor: f64,
    pub(super) bytes: f64,
    pub(super) peak: f64,
    pub(super) appends: f64,
    pub(super) sent: f64,
}

/// Lets the contestants take turns. The results by contestant and round.
pub(super) fn contest(
    program: &Program,
    number: usize,
    case: &Case,
    rounds: usize,
) -> Vec<Vec<Result>> {
    let mut results = vec![Vec::with_capacity(rounds); case.runs.len()];
    let mut sink = Sink::start(program, case.link);
    for round in 0..rounds {
        for turn in 0..case.runs.len() {
            let run = (round + turn) % case.runs.len();
            eprintln!(
                "{}: {} ({} of {rounds})",
                case.name,
                case.runs[run].name,
                round + 1
            );
            results[run].push(one(program, [number, run], &mut sink));
        }
    }
    results
}

fn one(program: &Program, numbers: [usize; 2], sink: &mut Sink) -> Result {
    let mut command = Command::new(&program.path);
    command.arg("--child").args(numbers.map(|n| n.to_string()));
    command.arg(&sink.url);
    if !program.small {
        command.arg("--bench");
    }
    let output = command.stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "the contestant has failed");
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    let number = |name: &str| told[name].as_f64().unwrap_or(f64::NAN);
    let (appends, sent) = sink.counts();
    Result {
        seconds: number("seconds"),
        processor: number("processor"),
        bytes: number("bytes"),
        peak: number("peak"),
        appends,
        sent,
    }
}

/// A sink, which ends with this.
struct Sink {
    process: Child,
    output: BufReader<ChildStdout>,
    url: String,
}

impl Sink {
    fn start(program: &Program, link: Link) -> Self {
        let mut process = Command::new(&program.path)
            .args(["--serve", &link.argument()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(process.stdout.take().unwrap());
        let mut url = String::new();
        output.read_line(&mut url).unwrap();
        Self {
            process,
            output,
            url: url.trim_end().to_owned(),
        }
    }

    /// How many appends and bytes have come since the last call.
    fn counts(&mut self) -> (f64, f64) {
        writeln!(self.process.stdin.as_mut().unwrap()).unwrap();
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        let mut numbers = line.split_whitespace().map(|n| n.parse().unwrap());
        (numbers.next().unwrap(), numbers.next().unwrap())
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}
