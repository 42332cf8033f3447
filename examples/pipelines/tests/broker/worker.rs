//! `nats_worker` as a process.

use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use oss_append::emulator::{ACCESS_KEY_ID, ACCESS_KEY_SECRET, Emulator};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;

/// Longer than anything takes that goes well, on a busy machine.
pub const LIMIT: Duration = Duration::from_secs(120);

pub struct Worker {
    child: Child,
    said: watch::Receiver<String>,
}

/// How a worker ended.
#[derive(Debug)]
pub struct Ended {
    pub status: ExitStatus,
    pub said: String,
}

/// The worker without any configuration.
pub fn bare(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nats_worker"));
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("OSS_") || name.starts_with("NATS_") || name == "RUST_LOG" {
            command.env_remove(&*name);
        }
    }
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// The worker, configured for these servers.
pub fn command(emulator: &Emulator, nats: &str, arguments: &[&str]) -> Command {
    let mut command = bare(&["--stream", "EVENTS"]);
    command
        .args(arguments)
        .env("NATS_URL", nats)
        .env("OSS_BUCKET", "bucket")
        .env("OSS_ENDPOINT", emulator.url())
        .env("OSS_REGION", emulator.region())
        .env("OSS_ACCESS_KEY_ID", ACCESS_KEY_ID)
        .env("OSS_ACCESS_KEY_SECRET", ACCESS_KEY_SECRET);
    command
}

impl Worker {
    pub fn start(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let (tell, said) = watch::channel(String::new());
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                tell.send_modify(|said| {
                    said.push_str(&line);
                    said.push('\n');
                });
            }
        });
        Self { child, said }
    }

    /// Waits until it has said `what`.
    pub async fn hear(&mut self, what: &str) {
        let mut said = self.said.clone();
        let heard = said.wait_for(|said| said.contains(what));
        match tokio::time::timeout(LIMIT, heard).await {
            Ok(Ok(_)) => {}
            _ => panic!("did not hear {what:?} but: {}", self.said.borrow().as_str()),
        }
    }

    /// Waits for `what`; the worker must not end before.
    pub async fn until<T>(&mut self, what: impl Future<Output = T>) -> T {
        tokio::select! {
            done = tokio::time::timeout(LIMIT, what) => match done {
                Ok(done) => done,
                Err(_) => panic!("not after {LIMIT:?}; said: {}", self.said.borrow().as_str()),
            },
            ended = self.child.wait() => {
                let status = ended.unwrap();
                panic!("ended too early, {status}: {}", self.said.borrow().as_str())
            }
        }
    }

    pub async fn kill(mut self) {
        self.child.start_kill().unwrap();
        let ended = self.end().await;
        let signal = ended.status.signal();
        assert_eq!(signal, Some(Signal::KILL.as_raw()), "{ended:?}");
    }

    /// Sends it SIGTERM.
    pub fn signal(&self) {
        signal(&self.child, Signal::TERM);
    }

    /// Ends it by SIGTERM; it must end with success.
    pub async fn terminate(self) -> Ended {
        self.signal();
        self.end().await.expect(0)
    }

    /// Waits for its end.
    pub async fn end(mut self) -> Ended {
        let ended = tokio::time::timeout(LIMIT, self.child.wait()).await;
        let Ok(status) = ended else {
            panic!("did not end; said: {}", self.said.borrow().as_str());
        };
        // The sender goes when all is read.
        while self.said.changed().await.is_ok() {}
        let said = self.said.borrow().clone();
        Ended {
            status: status.unwrap(),
            said,
        }
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }
}

impl Ended {
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.status.code(), Some(code), "{}", self.said);
        self
    }

    #[track_caller]
    pub fn says(self, what: &str) -> Self {
        assert!(self.said.contains(what), "no {what:?} in: {}", self.said);
        self
    }
}

pub fn signal(child: &Child, signal: Signal) {
    let pid = child.id().expect("it is running");
    let pid = Pid::from_raw(pid.try_into().unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}
