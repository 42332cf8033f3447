//! What needs a process of its own: a test runs itself again as a child.

use std::process::{Output, Stdio};

use oss_append::emulator::{ACCESS_KEY_ID, ACCESS_KEY_SECRET, Emulator};
use oss_append::{OssClient, OssLogAppender, RollingWriter, RollingWriterBuilder};
use tokio::process::Command;

use super::{WATCHDOG, bucket_that_is_down, eager, objects, until};

const CHILD: &str = "OSS_APPEND_TEST_CHILD";

/// What this process is to do if it is a child.
pub(crate) fn role() -> Option<String> {
    std::env::var(CHILD).ok()
}

/// This test as a child.
pub(crate) fn child(test: &str, role: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(CHILD, role)
        .env_remove("RUST_BACKTRACE")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

pub(crate) async fn output(mut child: Command) -> Output {
    tokio::time::timeout(WATCHDOG, child.output())
        .await
        .expect("the child hangs")
        .unwrap()
}

/// Runs a child that has to succeed; what it wrote to standard error.
pub(crate) async fn succeed(child: Command) -> String {
    let output = output(child).await;
    let stderr = String::from_utf8(output.stderr).unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{stdout}{stderr}");
    assert!(stdout.contains("running 1 test\n"), "{stdout}");
    stderr
}

/// Lets a child use `emulator`.
pub(crate) fn with_server(mut child: Command, emulator: &Emulator) -> Command {
    child
        .env("OSS_ENDPOINT", emulator.url())
        .env("OSS_REGION", emulator.region())
        .env("OSS_ACCESS_KEY_ID", ACCESS_KEY_ID)
        .env("OSS_ACCESS_KEY_SECRET", ACCESS_KEY_SECRET)
        .env_remove("OSS_SESSION_TOKEN");
    child
}

/// The objects of a child at its parent's server.
pub(crate) fn served() -> RollingWriterBuilder<OssClient> {
    let client = OssClient::from_env().unwrap();
    RollingWriter::builder(client, "bucket", "log-{seq}")
        .roll_size(100)
        .writer(eager)
}

/// What is in the objects of [`served`].
pub(crate) fn arrived(emulator: &Emulator) -> String {
    let objects = (1..).map_while(|n| emulator.object("bucket", &format!("log-{n}")));
    let bytes: Vec<u8> = objects.flat_map(|object| object.bytes).collect();
    String::from_utf8(bytes).unwrap()
}

#[tokio::test]
async fn a_guard_that_is_dropped_tells_of_what_is_lost() {
    const TEST: &str = "log::processes::a_guard_that_is_dropped_tells_of_what_is_lost";
    let bucket = bucket_that_is_down();
    let builder = OssLogAppender::builder(objects(&bucket));
    match role().as_deref() {
        Some("dead") => {
            let timeout = std::time::Duration::from_millis(10);
            let (appender, guard) = builder.shutdown_timeout(timeout).start_unchecked().unwrap();
            appender.record(b"record\n");
            until("requests", || bucket.requests() > 3);
            drop(guard);
        }
        Some(_) => {
            super::come_back(&bucket);
            let (appender, guard) = builder.start_unchecked().unwrap();
            appender.record(b"record\n");
            drop(guard);
        }
        None => {
            let told = succeed(child(TEST, "dead")).await;
            let beginning = "oss-append: 0 bytes of log were delivered, 7 were not: ";
            assert!(told.starts_with(beginning), "{told}");
            assert!(told.contains("connection refused"), "{told}");
            assert_eq!(told.lines().count(), 1, "{told}");
            assert_eq!(succeed(child(TEST, "well")).await, "");
            // Nobody may be left to read it.
            let (reader, writer) = std::io::pipe().unwrap();
            drop(reader);
            let mut deaf = child(TEST, "dead");
            deaf.stderr(writer);
            let status = deaf.spawn().unwrap().wait().await.unwrap();
            assert!(status.success());
        }
    }
}
