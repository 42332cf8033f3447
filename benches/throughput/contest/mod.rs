//! Contests: the same work by several contestants that take turns, each round in a process of its own,
//! against a sink in a process of its own.

mod child;
mod link;
pub(crate) mod relay;
mod report;
mod server;
mod sink;

use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser};
use futures::future::BoxFuture;

pub(crate) use child::{Measured, Timer};
pub(crate) use link::Link;
pub(crate) use server::BUCKET;

/// What is measured, the contestants' names, and what is between them and the sink.
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) link: Link,
    /// The first is compared with each of the others.
    pub(crate) runs: Vec<Run>,
}

pub(crate) struct Run {
    pub(crate) name: String,
    work: Work,
    /// What the time of the first, by that of this, should not exceed.
    goal: Option<f64>,
}

type Work = Box<dyn Fn(Ground) -> BoxFuture<'static, Measured>>;

impl Case {
    pub(crate) fn new(name: impl Into<String>, link: Link, ours: Run) -> Self {
        Self {
            name: name.into(),
            link,
            runs: vec![ours],
        }
    }

    pub(crate) fn against(mut self, rival: Run) -> Self {
        self.runs.push(rival);
        self
    }
}

impl Run {
    pub(crate) fn new<F>(name: impl Into<String>, work: impl Fn(Ground) -> F + 'static) -> Self
    where
        F: Future<Output = Measured> + Send + 'static,
    {
        Self {
            name: name.into(),
            work: Box::new(move |ground| Box::pin(work(ground))),
            goal: None,
        }
    }

    pub(crate) fn goal(mut self, most: f64) -> Self {
        self.goal = Some(most);
        self
    }
}

/// What the work is given.
pub(crate) struct Ground {
    /// Of the sink, without a path.
    pub(crate) url: String,
    /// A name that nobody has used in this sink.
    pub(crate) object: String,
    /// Small numbers will do.
    pub(crate) small: bool,
}

impl Ground {
    /// How many bytes to move.
    pub(crate) fn bytes(&self, full: u64) -> u64 {
        if self.small { full / 64 } else { full }
    }
}

/// Measures how fast bytes get to a sink that reads and discards.
///
/// Each contestant runs in rounds, taking turns with the others, in a process of its own; so the
/// processor time and the peak of the memory (resident) are its own too, without those of the sink.
/// Appends and bytes sent are those of the whole process, what comes before the work included.
/// Ratios are taken round by round: below 1 the first contestant of a case is faster. Without
/// `--bench`, as `cargo test --benches` runs it, all is tried with small numbers.
#[derive(Parser)]
struct Arguments {
    /// Only cases whose name has one of these in it
    filter: Vec<String>,
    /// How often each contestant runs [default: 5]
    #[arg(long, short = 'n')]
    rounds: Option<usize>,
    /// Print JSON in place of the table
    #[arg(long)]
    json: bool,
    /// Print the names of the cases, and measure nothing
    #[arg(long)]
    list: bool,
    #[arg(long, hide = true)]
    bench: bool,
    #[arg(long, hide = true)]
    serve: Option<Link>,
    /// The case's and the run's number, the sink's URL.
    #[arg(long, hide = true, num_args = 3)]
    child: Option<Vec<String>>,
}

/// Runs what the command line says of `cases`. `program` is how this is called.
pub(crate) fn main(program: &'static str, cases: Vec<Case>) -> ExitCode {
    let given = Arguments::command().bin_name(program).get_matches();
    let arguments = Arguments::from_arg_matches(&given).unwrap_or_else(|error| error.exit());
    if let Some(link) = arguments.serve {
        sink::serve(link);
        return ExitCode::SUCCESS;
    }
    if let Some(child) = &arguments.child {
        child::run(&cases, child, !arguments.bench);
        return ExitCode::SUCCESS;
    }
    let chosen: Vec<_> = cases
        .into_iter()
        .enumerate()
        .filter(|(_, case)| {
            let named = |part: &String| case.name.contains(part);
            arguments.filter.is_empty() || arguments.filter.iter().any(named)
        })
        .collect();
    if arguments.list {
        for (_, case) in chosen {
            println!("{}", case.name);
        }
        return ExitCode::SUCCESS;
    }
    let rounds = match (arguments.rounds, arguments.bench) {
        (Some(rounds), _) => rounds.max(1),
        (None, true) => 5,
        (None, false) => 1,
    };
    let program = server::Program {
        path: std::env::current_exe().unwrap(),
        small: !arguments.bench,
    };
    let mut report = report::Report::new(arguments.json, rounds);
    for (number, case) in &chosen {
        let results = server::contest(&program, *number, case, rounds);
        report.case(case, &results);
    }
    report.end();
    ExitCode::SUCCESS
}
