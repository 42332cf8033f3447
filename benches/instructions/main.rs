//! How many instructions each step takes, as valgrind counts them: the same on a busy machine.
//!
//! ```text
//! cargo bench --bench instructions
//! ```
//!
//! Each step runs in a process of its own under `valgrind --tool=callgrind`, so often and twice as
//! often; the difference is what the steps took. Valgrind knows no AVX-512, so that a checksum
//! takes what it does on a machine without. Without valgrind nothing is measured.

#[path = "../support/discard.rs"]
mod discard;
mod steps;

use std::process::{Command, ExitCode, Stdio};

use steps::{STEPS, Step};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, step, times] = &arguments[..]
        && flag == "--child"
    {
        let step = &STEPS[step.parse::<usize>().unwrap()];
        (step.run)(times.parse().unwrap());
        return ExitCode::SUCCESS;
    }
    let bench = arguments.iter().any(|argument| argument == "--bench");
    let filter = arguments.iter().find(|argument| !argument.starts_with('-'));
    let has_valgrind = Command::new("valgrind")
        .arg("--version")
        .stdout(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !has_valgrind {
        println!("valgrind is not installed: nothing is measured");
        return ExitCode::SUCCESS;
    }
    println!("| step | instructions |");
    println!("|---|---|");
    for (number, step) in STEPS.iter().enumerate() {
        if filter.is_some_and(|part| !step.name.contains(&**part)) {
            continue;
        }
        // What `cargo test --benches` asks for is only whether it works.
        let times = if bench { step.times } else { 10 };
        println!("| {} | {:.0} |", step.name, each(number, step, times));
    }
    ExitCode::SUCCESS
}

/// What the step takes, without what comes before and behind all of them.
fn each(number: usize, step: &Step, times: u64) -> f64 {
    let once = collected(number, times);
    let twice = collected(number, 2 * times);
    (twice as f64 - once as f64) / (times * step.count) as f64
}

fn collected(number: usize, times: u64) -> u64 {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(std::env::current_exe().unwrap())
        .args(["--child", &number.to_string(), &times.to_string()])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    let line = told
        .lines()
        .find_map(|line| line.split_once("Collected : "));
    line.and_then(|(_, number)| number.trim().parse().ok())
        .unwrap_or_else(|| panic!("valgrind has counted nothing:\n{told}"))
}
