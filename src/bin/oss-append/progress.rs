//! How far an append is: a bar on a terminal, else lines.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};
use oss_append::{SpoolStats, WriterStats};
use tokio::task::JoinHandle;

use crate::failure;
use crate::output::{self, Terminal};
use crate::writer::Writer;

/// Whether progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum When {
    /// If standard error is a terminal
    Auto,
    /// In any case; as one line a second if standard error is not a terminal
    Always,
    /// Not at all
    Never,
}

const BAR_INTERVAL: Duration = Duration::from_millis(100);
const LINE_INTERVAL: Duration = Duration::from_secs(1);

/// Shows progress until it is dropped.
pub(crate) struct Progress {
    task: Option<JoinHandle<()>>,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// Begins to show how far `writer` is, of `total` bytes where that is known.
    pub(crate) fn start(when: When, writer: &Writer, total: Option<u64>) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let writer = writer.clone();
        match (when, terminal) {
            (When::Never, _) | (When::Auto, false) => Self {
                task: None,
                bar: None,
            },
            (When::Always, false) => Self {
                task: Some(tokio::spawn(lines(writer))),
                bar: None,
            },
            (When::Auto | When::Always, true) => {
                let bar = new_bar(total);
                Self {
                    task: Some(tokio::spawn(draw(bar.clone(), writer))),
                    bar: Some(bar),
                }
            }
        }
    }

    /// Prints a line, above the bar if there is one.
    pub(crate) fn note(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| output::note(text)),
            None => output::note(text),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn new_bar(total: Option<u64>) -> ProgressBar {
    let target = ProgressDrawTarget::term_like(Box::<Terminal>::default());
    ProgressBar::with_draw_target(total, target).with_style(style(total, false))
}

/// How the bar looks. While it `waits` for OSS, nobody knows how long it takes.
fn style(total: Option<u64>, waits: bool) -> ProgressStyle {
    let template = match (total, waits) {
        (Some(_), false) => "{bar:24} {msg}, {binary_bytes_per_sec}, {eta} left",
        (Some(_), true) => "{bar:24} {msg}",
        (None, false) => "{spinner} {msg}, {binary_bytes_per_sec}, {elapsed}",
        (None, true) => "{spinner} {msg}",
    };
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

async fn draw(bar: ProgressBar, writer: Writer) {
    let mut ticks = tokio::time::interval(BAR_INTERVAL);
    let mut waited = false;
    loop {
        ticks.tick().await;
        let stats = writer.stats();
        let waits = stats.failing.is_some();
        if waits != waited {
            bar.set_style(style(bar.length(), waits));
            waited = waits;
        }
        bar.set_position(stats.durable);
        bar.set_message(message(&stats));
        bar.tick();
    }
}

async fn lines(writer: Writer) {
    let start = Instant::now();
    let mut ticks = tokio::time::interval(LINE_INTERVAL);
    loop {
        ticks.tick().await;
        let seconds = start.elapsed().as_secs_f64().max(f64::MIN_POSITIVE);
        let stats = writer.stats();
        let rate = (stats.durable as f64 / seconds) as u64;
        output::note(format!("{}, {}/s", message(&stats), HumanBytes(rate)));
    }
}

fn message(stats: &WriterStats) -> String {
    let mut message = format!("{} durable", HumanBytes(stats.durable));
    if stats.compared > 0 {
        message += &format!(" + {} compared", HumanBytes(stats.compared));
    }
    message += &match &stats.spool {
        Some(spool) => waiting_in(spool),
        None => format!(" + {} buffered", HumanBytes(stats.buffered)),
    };
    if let Some(failing) = stats.failing {
        let why = stats.last_error.as_ref().map(failure::describe_cause);
        message += &format!(
            ", waiting for OSS since {} s: {}",
            failing.as_secs(),
            output::one_line(&why.unwrap_or_default())
        );
    }
    message
}

/// What is not durable, of which the spool has all but the newest.
fn waiting_in(spool: &SpoolStats) -> String {
    let mut waiting = format!(" + {} buffered", HumanBytes(spool.unspooled));
    if spool.bytes > 0 {
        waiting += &format!(" + {} in the spool", HumanBytes(spool.bytes));
    }
    if let Some(oldest) = spool.oldest {
        waiting += &format!(" for {} s", oldest.as_secs());
    }
    if let Some(problem) = &spool.problem {
        let why = output::one_line(&failure::describe_cause(problem));
        waiting += &format!(", nothing more is taken: {why}");
    }
    waiting
}
