//! How a program ends, and what becomes of its log: each program is this test run again, as a
//! process of its own, in one of several parts.

use std::io::Write;
use std::process::{Output, Stdio};
use std::time::Duration;

use oss_append::emulator::{ACCESS_KEY_ID, ACCESS_KEY_SECRET, Action, Emulator, Fault, Operation};
use oss_append::{LogGuard, OssClient, OssLogAppender, RollingWriter, RollingWriterBuilder};
use tokio::process::Command;

use crate::support::MS;
use crate::support::emulated::{objects, start};

const PART: &str = "OSS_APPEND_TEST_PART";

/// Of a process that hangs; none that ends comes near it.
const HANGS: Duration = Duration::from_secs(120);

/// How many lines a part logs.
const LINES: usize = 1000;

/// The deadline of a guard that cannot deliver.
const DEADLINE: Duration = Duration::from_millis(300);

/// Says that a process has come to the end of its part.
const LAST_WORDS: &str = "this part is over";

/// A process in its part. It stands for `main`: the process ends with it, by a panic too.
#[test]
#[ignore = "the other tests run it, each in a part"]
fn part() {
    match std::env::var(PART).as_deref() {
        Ok("returns") => returns(),
        Ok("panics") => panics(),
        Ok("drops its runtime") => drops_its_runtime(),
        Ok("gives up") => gives_up(),
        Ok("waits") => waits(),
        Ok("loses its worker") => loses_its_worker(),
        Ok("exits") => exits(),
        Ok("drops its guard and exits") => drops_its_guard_and_exits(),
        Ok(part) => panic!("there is no part {part:?}"),
        Err(_) => {}
    }
}

/// Runs a process in its part, to its end.
async fn run(emulator: &Emulator, part: &str) -> Ended {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "log_exit::part", "--ignored", "--nocapture"])
        .env(PART, part)
        .env("OSS_ENDPOINT", emulator.url())
        .env("OSS_REGION", emulator.region())
        .env("OSS_ACCESS_KEY_ID", ACCESS_KEY_ID)
        .env("OSS_ACCESS_KEY_SECRET", ACCESS_KEY_SECRET)
        .env_remove("OSS_SESSION_TOKEN")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = tokio::time::timeout(HANGS, command.output());
    Ended::new(output.await.expect("it hangs").unwrap())
}

/// How a process ended.
struct Ended {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Ended {
    fn new(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self {
            code: output.status.code(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }

    /// It came to the end of its part, and of `main`.
    #[track_caller]
    fn normally(self) -> Self {
        assert!(self.stdout.contains(LAST_WORDS), "{}", self.stderr);
        self.with_code(0)
    }

    #[track_caller]
    fn with_code(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}", self.stderr);
        self
    }

    /// What this crate says on standard error: nothing, or one line.
    #[track_caller]
    fn says(&self) -> &str {
        let mut said = self
            .stderr
            .lines()
            .filter(|line| line.starts_with("oss-append: "));
        let line = said.next().unwrap_or_default();
        assert_eq!(said.next(), None, "{}", self.stderr);
        line
    }
}

async fn content(emulator: &Emulator) -> String {
    let mut content = String::new();
    for object in objects(emulator, "log/").await {
        content += std::str::from_utf8(&object.bytes).unwrap();
    }
    content
}

/// The objects that a process logs to. Less than a batch waits for the guard, unless `linger` is
/// set.
fn sequence() -> RollingWriterBuilder<OssClient> {
    let client = OssClient::from_env().unwrap();
    RollingWriter::builder(client, "bucket", "log/{seq}")
        .writer(|writer| writer.linger(Duration::MAX))
}

fn log(
    sequence: RollingWriterBuilder<OssClient>,
    deadline: Duration,
) -> (OssLogAppender, LogGuard) {
    let log = OssLogAppender::builder(sequence).shutdown_timeout(deadline);
    log.start_unchecked().unwrap()
}

fn lines() -> String {
    (0..LINES).map(|n| format!("line {n}\n")).collect()
}

fn log_lines(appender: &OssLogAppender) {
    let mut log = appender.writer();
    for n in 0..LINES {
        writeln!(log, "line {n}").unwrap();
    }
}

fn wait_until(condition: impl Fn() -> bool) {
    while !condition() {
        std::thread::sleep(5 * MS);
    }
}

fn returns() {
    let (appender, _guard) = log(sequence(), HANGS);
    log_lines(&appender);
    println!("{LAST_WORDS}");
}

#[tokio::test]
async fn what_was_logged_is_delivered_when_main_returns() {
    let emulator = start().await;
    let ended = run(&emulator, "returns").await.normally();
    assert_eq!(ended.says(), "");
    assert_eq!(content(&emulator).await, lines());
}

fn panics() {
    let (appender, _guard) = log(sequence(), HANGS);
    let hook = appender.clone();
    std::panic::set_hook(Box::new(move |_| hook.record(b"from the panic hook\n")));
    log_lines(&appender);
    panic!("out of main");
}

#[tokio::test]
async fn what_was_logged_is_delivered_when_a_panic_unwinds_main() {
    let emulator = start().await;
    let ended = run(&emulator, "panics").await.with_code(101);
    assert_eq!(ended.says(), "");
    assert_eq!(content(&emulator).await, lines() + "from the panic hook\n");
}

fn drops_its_runtime() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (appender, guard) = runtime.block_on(async { log(sequence(), HANGS) });
    let task = appender.clone();
    let task = runtime.spawn(async move { log_lines(&task) });
    runtime.block_on(task).unwrap();
    drop(runtime);
    appender.record(b"after the runtime\n");
    drop(guard);
    println!("{LAST_WORDS}");
}

#[tokio::test]
async fn what_was_logged_is_delivered_after_the_programs_runtime_has_gone() {
    let emulator = start().await;
    let ended = run(&emulator, "drops its runtime").await.normally();
    assert_eq!(ended.says(), "");
    assert_eq!(content(&emulator).await, lines() + "after the runtime\n");
}

fn gives_up() {
    let eager = sequence().writer(|writer| writer.linger(Duration::ZERO));
    let (appender, guard) = log(eager, DEADLINE);
    log_lines(&appender);
    // So that there is a reason to tell.
    wait_until(|| appender.stats().rolling.writer.last_error.is_some());
    drop(guard);
    println!("{LAST_WORDS}");
}

#[tokio::test]
async fn a_dead_server_is_given_up_and_what_is_lost_is_told() {
    let emulator = start().await;
    emulator.pause().await;
    let ended = run(&emulator, "gives up").await.normally();
    let said = ended.says();
    let lost = lines().len();
    let count = format!("oss-append: 0 bytes of log were delivered, {lost} were not: ");
    assert!(said.starts_with(&count), "{said}");
    assert!(said.contains("refused"), "{said}");
}

fn waits() {
    let (appender, guard) = log(sequence(), DEADLINE);
    log_lines(&appender);
    drop(guard);
    println!("{LAST_WORDS}");
}

#[tokio::test]
async fn a_silent_server_is_given_up_and_what_is_lost_is_told() {
    for silent in [
        Fault::on_any(Action::Stall),
        Fault::new(Operation::AppendObject, Action::Stall),
    ] {
        let emulator = start().await;
        emulator.inject(silent.forever());
        let ended = run(&emulator, "waits").await.normally();
        let said = ended.says();
        let lost = lines().len();
        let count = format!("oss-append: 0 bytes of log were delivered, {lost} were not: ");
        assert!(said.starts_with(&count), "{said}");
        assert!(said.contains("no answer"), "{said}");
    }
}

fn loses_its_worker() {
    let panicking = sequence()
        .writer(|writer| writer.max_append_size(100))
        .roll_size(1)
        .on_finished(|object| panic!("{object:?} is of no use"));
    let (appender, guard) = log(panicking, HANGS);
    appender.record(b"one object\n");
    appender.record(b"one more\n");
    drop(guard);
    println!("{LAST_WORDS}");
}

#[tokio::test]
async fn a_panic_in_the_callback_is_told_as_the_reason() {
    let emulator = start().await;
    let ended = run(&emulator, "loses its worker").await.normally();
    let said = ended.says();
    assert!(
        said.contains(" 11 bytes of log were delivered, 9 were not: "),
        "{said}"
    );
    assert!(said.contains("worker"), "{said}");
    assert_eq!(content(&emulator).await, "one object\n");
}

fn exits() {
    let eager = sequence().writer(|writer| writer.linger(Duration::ZERO));
    let (appender, _guard) = log(eager, HANGS);
    appender.record(b"durable\n");
    wait_until(|| appender.stats().rolling.writer.durable > 0);
    log_lines(&appender);
    std::process::exit(7);
}

#[tokio::test]
async fn what_is_not_durable_at_an_exit_is_lost() {
    let emulator = start().await;
    let second = Fault::new(Operation::AppendObject, Action::Stall).skip(1);
    emulator.inject(second);
    let ended = run(&emulator, "exits").await.with_code(7);
    assert_eq!(ended.says(), "");
    assert_eq!(content(&emulator).await, "durable\n");
}

fn drops_its_guard_and_exits() {
    let (appender, guard) = log(sequence(), HANGS);
    log_lines(&appender);
    drop(guard);
    std::process::exit(7);
}

#[tokio::test]
async fn what_was_logged_is_delivered_if_the_guard_is_dropped_before_an_exit() {
    let emulator = start().await;
    let ended = run(&emulator, "drops its guard and exits")
        .await
        .with_code(7);
    assert_eq!(ended.says(), "");
    assert_eq!(content(&emulator).await, lines());
}
