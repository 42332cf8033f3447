#!/usr/bin/env bash
# Guess: a roller set to "daily" begins a new file when the day has changed since the last line, restarted or not: it
#   needs only the date of the file that it opens.
# Reality: log4rs, rolling-file and tracing-rolling-file keep the date in memory. A program that ends before midnight
#   (a job run by cron, a service restarted each night) appends to yesterday's file for ever, so that nothing is
#   rolled, compressed or deleted, while the same code in a process that lives through midnight rolls.
#   file-rotate and logroller look at the file, and roll in both.
# Versions: log4rs 1.4.0, rolling-file 0.2.0, tracing-rolling-file 0.1.3, file-rotate 0.8.0, logroller 0.1.12; faketime 0.9.10.
# Matters: who ships "all but the newest file" ships nothing; who names objects by the file's day puts a year in one.
set -euo pipefail
command -v faketime >/dev/null || apt-get install -y -qq faketime >/dev/null
d=$(mktemp -d); trap 'rm -rf "$d"' EXIT; cd "$d"; mkdir src
cat > Cargo.toml <<'T'
[package]
name = "roll"
version = "0.1.0"
edition = "2021"
[dependencies]
rolling-file = "=0.2.0"
tracing-rolling-file = "=0.1.3"
logroller = "=0.1.12"
file-rotate = "=0.8.0"
log = "0.4"
log4rs = { version = "=1.4.0", default-features = false, features = ["rolling_file_appender", "compound_policy", "time_trigger", "fixed_window_roller", "pattern_encoder"] }
[profile.dev]
debug = 0
T
cat > src/main.rs <<'R'
//! roll LIBRARY DIR LINES: writes a line a second with a daily roller.
use std::io::Write;

fn open(library: &str, dir: &str) -> Box<dyn FnMut(&str)> {
    let path = format!("{dir}/app.log");
    fn lines(mut w: impl Write + 'static) -> Box<dyn FnMut(&str)> {
        Box::new(move |line| {
            writeln!(w, "{line}").unwrap();
            w.flush().unwrap();
        })
    }
    match library {
        "rolling-file" => {
            use rolling_file::*;
            lines(BasicRollingFileAppender::new(path, RollingConditionBasic::new().daily(), 99).unwrap())
        }
        "tracing-rolling-file" => {
            use tracing_rolling_file::*;
            lines(RollingFileAppenderBase::new(path, RollingConditionBase::new().daily(), 99).unwrap())
        }
        "logroller" => {
            use logroller::*;
            let rotation = Rotation::AgeBased(RotationAge::Daily);
            lines(LogRollerBuilder::new(dir, "app.log").rotation(rotation).build().unwrap())
        }
        "file-rotate" => {
            use file_rotate::{compression::Compression, suffix::AppendCount, ContentLimit, FileRotate, TimeFrequency};
            let limit = ContentLimit::Time(TimeFrequency::Daily);
            lines(FileRotate::new(path, AppendCount::new(99), limit, Compression::None, None))
        }
        "log4rs" => {
            use log4rs::append::rolling_file::{policy::compound::{roll::fixed_window::FixedWindowRoller, trigger::time::*, CompoundPolicy}, RollingFileAppender};
            use log4rs::{config::*, encode::pattern::PatternEncoder};
            let trigger = TimeTrigger::new(TimeTriggerConfig { interval: TimeTriggerInterval::Day(1), modulate: true, ..Default::default() });
            let roller = FixedWindowRoller::builder().build(&format!("{dir}/app.log.{{}}"), 99).unwrap();
            let policy = CompoundPolicy::new(Box::new(trigger), Box::new(roller));
            let appender = RollingFileAppender::builder().encoder(Box::new(PatternEncoder::new("{m}{n}"))).build(path, Box::new(policy)).unwrap();
            log4rs::init_config(Config::builder().appender(Appender::builder().build("file", Box::new(appender)))
                .build(Root::builder().appender("file").build(log::LevelFilter::Info)).unwrap()).unwrap();
            Box::new(|line| log::info!("{line}"))
        }
        other => panic!("{other}"),
    }
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    std::fs::create_dir_all(&args[2]).unwrap();
    let mut write = open(&args[1], &args[2]);
    for n in 0..args[3].parse().unwrap() {
        if n > 0 {
            std::thread::sleep(std::time::Duration::from_secs(1));
        }
        write(&format!("line {n}"));
    }
}
R
nice cargo build -q
faketime --version | head -1
export TZ=UTC NO_FAKE_STAT=1
files() { find "$1" -type f -size +0 | wc -l; }
ok=0
for library in log4rs rolling-file tracing-rolling-file file-rotate logroller; do
  for day in 10 11 12; do for hour in 08 09 10; do          # three runs a day for three days
    faketime -f "2027-03-$day $hour:00:00" target/debug/roll $library "short/$library" 1
    if [ -e "short/$library/app.log" ]; then touch -d "2027-03-$day $hour:00:00" "short/$library/app.log"; fi
  done; done
  faketime -f "@2027-03-10 23:59:58" target/debug/roll $library "long/$library" 5      # one run through midnight
  short=$(files "short/$library") long=$(files "long/$library")
  case $library in file-rotate | logroller) want="3 2" ;; *) want="1 2" ;; esac
  printf '%-22s nine runs in three days: %s file(s); one run through midnight: %s files' $library $short $long
  if [ "$short $long" = "$want" ]; then echo; else echo "   CHANGED, was $want"; ok=1; fi
done
exit $ok
