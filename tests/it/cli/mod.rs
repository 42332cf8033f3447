//! The command `oss-append`, run as users run it, against an embedded server.

mod append;
mod compact;
mod compress;
mod compressed;
mod doctor;
mod embedded;
mod follow;
#[cfg(unix)]
mod follow_files;
#[cfg(unix)]
mod follow_kills;
mod json;
mod read;
#[cfg(unix)]
mod readme;
mod rolling;
mod shared;
#[cfg(unix)]
mod signals;
mod spool;
#[cfg(unix)]
mod streams;
mod tail;
mod trouble;
mod usage;
mod verify;

use std::ffi::OsStr;
use std::path::Path;
use std::process::{ExitStatus, Stdio};

use oss_append::emulator::{
    ACCESS_KEY_ID, ACCESS_KEY_SECRET, Account, Emulator, Operation, RequestRecord,
};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, ChildStderr, ChildStdin, Command};

use crate::support::bytes;

const TARGET: &str = "oss://bucket/a/object.log";
const KEY: &str = "a/object.log";
const MIB: usize = 1024 * 1024;

/// With sealing granted, and public ACLs allowed.
async fn emulator() -> Emulator {
    let builder = Emulator::builder().account(Account::Legacy);
    builder.bucket("bucket").start().await.unwrap()
}

/// Listens where the paused server did. A process that is being spawned by another test may have
/// the old socket for a moment.
async fn stand_in(emulator: &Emulator) -> TcpListener {
    loop {
        match TcpListener::bind(emulator.address()).await {
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
                tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            }
            bound => return bound.unwrap(),
        }
    }
}

/// Whether the tests run under `nohup`, which the command would go by too.
fn hangups_are_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let lowest = ignored.and_then(|set| set.trim().chars().last()?.to_digit(16));
    lowest.is_some_and(|digit| digit & 1 == 1)
}

/// The command without any configuration.
fn bare<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Command {
    let mut command = match hangups_are_ignored() {
        true => Command::new("env"),
        false => Command::new(env!("CARGO_BIN_EXE_oss-append")),
    };
    if hangups_are_ignored() {
        command.args(["--default-signal=HUP", env!("CARGO_BIN_EXE_oss-append")]);
    }
    for (name, _) in std::env::vars_os() {
        if ["OSS_", "ALIBABA_CLOUD_", "RUST_LOG"]
            .iter()
            .any(|prefix| name.to_string_lossy().starts_with(prefix))
        {
            command.env_remove(name);
        }
    }
    command
        .args(arguments)
        // Neither the user nor the machine has a key for it.
        .env("HOME", "/nonexistent")
        .env("ALIBABA_CLOUD_ECS_METADATA_DISABLED", "true")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// The command, configured for this server.
fn command<A: AsRef<OsStr>>(
    emulator: &Emulator,
    arguments: impl IntoIterator<Item = A>,
) -> Command {
    let mut command = bare(arguments);
    command
        .env("OSS_ENDPOINT", emulator.url())
        .env("OSS_REGION", emulator.region())
        .env("OSS_ACCESS_KEY_ID", ACCESS_KEY_ID)
        .env("OSS_ACCESS_KEY_SECRET", ACCESS_KEY_SECRET);
    command
}

/// The fields of the JSON object of every command.
const OUTCOME: [&str; 10] = [
    "ok",
    "exit_code",
    "kind",
    "message",
    "status",
    "code",
    "ec",
    "request_id",
    "retryable",
    "object",
];

/// How a command ended.
#[derive(Debug)]
struct Ended {
    code: i32,
    stdout: Vec<u8>,
    stderr: String,
}

impl Ended {
    fn new(status: ExitStatus, stdout: Vec<u8>, stderr: &[u8]) -> Self {
        let stderr = String::from_utf8(stderr.to_vec()).unwrap();
        assert!(!stderr.contains("panicked"), "{stderr}");
        assert!(!stderr.contains(ACCESS_KEY_SECRET), "{stderr}");
        Self {
            code: status.code().expect("it ended by itself"),
            stdout,
            stderr,
        }
    }

    /// The one JSON object on standard output, with all that every command tells.
    #[track_caller]
    fn json(&self) -> Value {
        let text = str::from_utf8(&self.stdout).unwrap();
        assert_eq!(text.lines().count(), 1, "{self:?}");
        let value: Value = serde_json::from_str(text).expect("one JSON value");
        for name in OUTCOME {
            assert!(value.get(name).is_some(), "{name}: {value}");
        }
        assert_eq!(value["exit_code"], self.code, "{value}");
        assert_eq!(value["ok"], self.code == 0, "{value}");
        assert_eq!(value["kind"].is_null(), self.code == 0, "{value}");
        assert_eq!(value["message"].is_null(), self.code == 0, "{value}");
        value
    }

    /// The fields of the object that are the command's own.
    #[track_caller]
    fn own(&self) -> Value {
        let mut value = self.json();
        let fields = value.as_object_mut().unwrap();
        fields.retain(|name, _| !OUTCOME.contains(&name.as_str()));
        value
    }

    #[track_caller]
    fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:?}");
        self
    }

    /// The last line of standard error has all of `parts` in it, and the only one before it says what
    /// is tried again.
    #[track_caller]
    fn says_after_trying(mut self, parts: &[&str]) -> Self {
        let said = std::mem::take(&mut self.stderr);
        let Some((trying, last)) = said.split_once('\n') else {
            panic!("{said}")
        };
        assert!(trying.contains("; trying again for up to "), "{said}");
        self.stderr = last.into();
        self.says(parts)
    }

    /// Standard error is one line, with all of `parts` in it.
    #[track_caller]
    fn says(self, parts: &[&str]) -> Self {
        assert!(self.stderr.starts_with("oss-append: "), "{}", self.stderr);
        assert_eq!(self.stderr.lines().count(), 1, "{}", self.stderr);
        for part in parts {
            assert!(self.stderr.contains(part), "{part:?} in {}", self.stderr);
        }
        self
    }
}

/// Runs the command to its end, with this standard input.
async fn run(mut command: Command, input: impl AsRef<[u8]>) -> Ended {
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let feed = async move {
        // It may end before it has read everything.
        let _ = stdin.write_all(input.as_ref()).await;
    };
    let (output, ()) = tokio::join!(child.wait_with_output(), feed);
    let output = output.unwrap();
    Ended::new(output.status, output.stdout, &output.stderr)
}

/// Runs `append --json` with these options.
async fn append(emulator: &Emulator, options: &[&str], input: impl AsRef<[u8]>) -> Ended {
    let arguments = [&["append", "--json", TARGET], options].concat();
    run(command(emulator, arguments), input).await
}

/// A command that runs while the test goes on.
struct Running {
    child: Child,
    stdin: Option<ChildStdin>,
    stderr: BufReader<ChildStderr>,
    said: String,
}

impl Running {
    fn start(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
        Self {
            stdin: child.stdin.take(),
            stderr: BufReader::new(child.stderr.take().unwrap()),
            said: String::new(),
            child,
        }
    }

    async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        let stdin = self.stdin.as_mut().unwrap();
        stdin.write_all(bytes.as_ref()).await.unwrap();
    }

    fn close_input(&mut self) {
        self.stdin = None;
    }

    /// Waits for a line on standard error that has `part` in it.
    async fn hear(&mut self, part: &str) {
        loop {
            let start = self.said.len();
            let read = self.stderr.read_line(&mut self.said).await.unwrap();
            assert!(read > 0, "no {part:?} in {}", self.said);
            if self.said[start..].contains(part) {
                return;
            }
        }
    }

    #[cfg(unix)]
    fn signal(&self, signal: rustix::process::Signal) {
        let id = i32::try_from(self.child.id().unwrap()).unwrap();
        let id = rustix::process::Pid::from_raw(id).unwrap();
        rustix::process::kill_process(id, signal).unwrap();
    }

    /// Waits for the end, without ending the input.
    async fn end(mut self) -> Ended {
        let (mut stdout, mut stderr) = (Vec::new(), self.said.into_bytes());
        let mut out = self.child.stdout.take().unwrap();
        let (status, _, _) = tokio::try_join!(
            self.child.wait(),
            out.read_to_end(&mut stdout),
            self.stderr.read_to_end(&mut stderr)
        )
        .unwrap();
        Ended::new(status, stdout, &stderr)
    }

    /// Ends quietly when its first byte has been read and nobody reads on.
    async fn ends_unread(mut self) {
        let mut stdout = self.child.stdout.take().unwrap();
        stdout.read_u8().await.unwrap();
        drop(stdout);
        let mut stderr = String::new();
        self.stderr.read_to_string(&mut stderr).await.unwrap();
        assert_eq!(self.child.wait().await.unwrap().code(), Some(141));
        assert_eq!(stderr, "");
    }

    /// Waits for exactly this, next on standard output.
    async fn prints(&mut self, text: &str) {
        let mut printed = vec![0; text.len()];
        let stdout = self.child.stdout.as_mut().unwrap();
        stdout.read_exact(&mut printed).await.unwrap();
        assert_eq!(String::from_utf8(printed).unwrap(), text);
    }

    /// Ends by itself, with nothing more on standard output.
    async fn ends(self, code: i32) -> Ended {
        let ended = self.end().await.expect(code);
        assert!(ended.stdout.is_empty(), "{ended:?}");
        ended
    }

    /// Ends by ^C, with nothing more said.
    #[cfg(unix)]
    async fn interrupted(self, said: usize) {
        self.signal(rustix::process::Signal::INT);
        let ended = self.ends(0).await;
        assert_eq!(ended.stderr.lines().count(), said, "{ended:?}");
    }

    #[cfg(not(unix))]
    async fn interrupted(self, _: usize) {}
}

/// Waits until this many appends have succeeded.
async fn appended(emulator: &Emulator, count: usize) {
    let succeeded = |operation, status| operation == Operation::AppendObject && status == Some(200);
    emulator
        .wait_for(|requests| {
            let done = requests.iter().filter(|r| succeeded(r.operation, r.status));
            done.count() >= count
        })
        .await;
}

/// Waits until this many more looks have been answered.
async fn looked(emulator: &Emulator, more: usize) {
    let look = |r: &&RequestRecord| r.operation == Operation::HeadObject && r.status.is_some();
    let before = emulator.requests().iter().filter(look).count();
    emulator
        .wait_for(|requests| requests.iter().filter(look).count() >= before + more)
        .await;
}

/// Waits until a fault of this name has struck this many times.
async fn struck(emulator: &Emulator, fault: &str, count: usize) {
    emulator
        .wait_for(|requests| {
            let by_it = requests.iter().filter(|r| r.fault == Some(fault));
            by_it.count() >= count
        })
        .await;
}

/// Bytes of which no two pieces are the same.
#[track_caller]
fn content(emulator: &Emulator) -> Vec<u8> {
    emulator.object("bucket", KEY).unwrap().bytes.to_vec()
}

fn file(directory: &Path, content: &[u8]) -> String {
    let path = directory.join("input");
    std::fs::write(&path, content).unwrap();
    path.to_str().unwrap().to_owned()
}
