//! A `nats-server` with a store of its own.

use std::io::Write;
use std::path::PathBuf;
use std::process::Stdio;

use rustix::process::Signal;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::worker::signal;

pub struct Nats {
    program: PathBuf,
    store: tempfile::TempDir,
    child: Child,
    port: u16,
}

impl Nats {
    /// `None`: there is none on this machine, and the present test is skipped, as is said.
    pub async fn start() -> Option<Self> {
        let Some(program) = program() else {
            let what = "nats-server is not installed";
            let required = std::env::var("OSS_APPEND_REQUIRE_NATS").is_ok_and(|value| value == "1");
            assert!(!required, "{what}");
            let thread = std::thread::current();
            let test = thread.name().unwrap_or("a test");
            // Not by a macro: what those print of a test that succeeds is not shown.
            let _ = writeln!(std::io::stderr(), "skipped: {what}: {test}");
            return None;
        };
        let store = tempfile::tempdir().unwrap();
        let (child, port) = run(&program, &store, "-1").await;
        Some(Self {
            program,
            store,
            child,
            port,
        })
    }

    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    pub async fn stop(&mut self) {
        signal(&self.child, Signal::TERM);
        self.child.wait().await.unwrap();
    }

    /// Starts it again, where it was and with what it had.
    pub async fn restart(&mut self) {
        (self.child, _) = run(&self.program, &self.store, &self.port.to_string()).await;
    }
}

/// Debian has it where only an administrator's PATH leads.
fn program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain([PathBuf::from("/usr/sbin")])
        .map(|directory| directory.join("nats-server"))
        .find(|program| program.is_file())
}

/// Starts it, and waits until it is ready. Returns its port too.
async fn run(program: &PathBuf, store: &tempfile::TempDir, port: &str) -> (Child, u16) {
    let mut child = Command::new(program)
        .args(["-js", "-a", "127.0.0.1", "-p", port, "-sd"])
        .arg(store.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut found = None;
    let mut said = String::new();
    while let Some(line) = lines.next_line().await.unwrap() {
        if let Some((_, address)) = line.split_once("client connections on 127.0.0.1:") {
            found = address.trim().parse().ok();
        }
        if line.contains("Server is ready") {
            // It would stop where nobody read what it says.
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            return (child, found.expect("the port"));
        }
        said += &line;
        said.push('\n');
    }
    panic!("nats-server did not start:\n{said}");
}
