//! What a contest has shown, as a table or as JSON.

use serde_json::{Value, json};

use super::Case;
use super::server::Result;
use crate::numbers::Spread;

pub(super) struct Report {
    json: Option<Vec<Value>>,
}

impl Report {
    pub(super) fn new(json: bool, rounds: usize) -> Self {
        if !json {
            println!("Medians of {rounds} rounds (extremes)");
        }
        Self {
            json: json.then(Vec::new),
        }
    }

    /// Adds a case: its results by contestant and round.
    pub(super) fn case(&mut self, case: &Case, results: &[Vec<Result>]) {
        match &mut self.json {
            Some(cases) => cases.push(as_json(case, results)),
            None => print(case, results),
        }
    }

    pub(super) fn end(self) {
        if let Some(cases) = self.json {
            println!("{:#}", Value::Array(cases));
        }
    }
}

/// The time of the first contestant by that of `rival`, round by round.
fn ratio(results: &[Vec<Result>], rival: usize) -> Spread {
    let rounds = results[0].iter().zip(&results[rival]);
    Spread::of(rounds.map(|(ours, theirs)| ours.seconds / theirs.seconds))
}

fn spread(rounds: &[Result], value: impl Fn(&Result) -> f64) -> Spread {
    Spread::of(rounds.iter().map(value))
}

fn print(case: &Case, results: &[Vec<Result>]) {
    println!("\n**{}** ({})\n", case.name, case.link);
    println!(
        "| | seconds | MB/s | the first's time by this | processor, s | peak memory, MiB | appends \
         | sent beyond the bytes |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for (number, (run, rounds)) in case.runs.iter().zip(results).enumerate() {
        let ratio = match (number, run.goal) {
            (0, _) => String::new(),
            (_, None) => format!("{:.2}", ratio(results, number)),
            (_, Some(goal)) => format!("{:.2}, goal {goal:.2}", ratio(results, number)),
        };
        let appends = spread(rounds, |round| round.appends).median;
        let sent = spread(rounds, |round| round.sent / round.bytes).median;
        let beyond = match appends {
            0.0 => String::new(),
            _ => format!("{:.2} %", (sent - 1.0) * 100.0),
        };
        println!(
            "| {} | {:.3} | {:.0} | {ratio} | {:.2} | {:.1} | {appends:.0} | {beyond} |",
            run.name,
            spread(rounds, |round| round.seconds),
            spread(rounds, |round| round.bytes / round.seconds / 1e6).median,
            spread(rounds, |round| round.processor).median,
            spread(rounds, |round| round.peak / (1 << 20) as f64).most,
        );
    }
}

fn as_json(case: &Case, results: &[Vec<Result>]) -> Value {
    let show = |spread: Spread| json!({ "min": spread.least, "median": spread.median, "max": spread.most });
    let runs = case.runs.iter().zip(results).enumerate();
    let runs: Vec<Value> = runs
        .map(|(number, (run, rounds))| {
            json!({
                "name": run.name,
                "seconds": show(spread(rounds, |round| round.seconds)),
                "first_by_this": (number > 0).then(|| show(ratio(results, number))),
                "goal": run.goal,
                "bytes": rounds[0].bytes,
                "processor_seconds": show(spread(rounds, |round| round.processor)),
                "peak_memory": show(spread(rounds, |round| round.peak)),
                "appends": show(spread(rounds, |round| round.appends)),
                "sent": show(spread(rounds, |round| round.sent)),
            })
        })
        .collect();
    json!({
        "case": case.name,
        "round_trip_ms": case.link.round_trip.as_secs_f64() * 1e3,
        "bits_per_second": case.link.bandwidth,
        "runs": runs,
    })
}
