//! A process that is killed at any moment and run again loses and doubles nothing: the command
//! `append --replay` is killed (SIGKILL) at least fifty times and must complete its object.
//!
//! `OSS_APPEND_SEED` sets the seed; a failure names it. Which moments the kills hit depends on the
//! machine as well, so that a seed is a hint and no recording.

#![cfg(unix)]

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use fastrand::Rng;
use oss_append::emulator::{
    ACCESS_KEY_ID, ACCESS_KEY_SECRET, Action, Emulator, Fault, Late, Operation,
};
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};

use crate::support::emulated::{content, start_with};

const KILLS: u32 = 50;
const INPUT: usize = 4 * 1024 * 1024;
const SIGKILL: i32 = 9;

/// Prints the seed if the test panics.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Self(seed) = self;
            eprintln!("reproduce: OSS_APPEND_SEED={seed} cargo test --test it crash");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_killed_at_any_moment_is_completed_by_running_it_again() {
    let seed = match std::env::var("OSS_APPEND_SEED") {
        Ok(seed) => seed.parse().expect("OSS_APPEND_SEED"),
        Err(_) => fastrand::u64(..),
    };
    let _told = Seed(seed);
    let mut random = Rng::with_seed(seed);
    let mut input = vec![0; INPUT];
    random.fill(&mut input);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("input");
    std::fs::write(&file, &input).unwrap();

    let mut kills = 0;
    while kills < KILLS {
        // Slow enough that most kills hit an append, or the comparison before it.
        let emulator = start_with(
            Emulator::builder()
                .latency(Duration::from_millis(2))
                .bandwidth(8 * 1024 * 1024),
        )
        .await;
        for action in [
            Action::DropAnswer,
            Action::Drop,
            Action::ApplyLate(Late::After(Duration::from_millis(20))),
        ] {
            let fault = Fault::new(Operation::AppendObject, action);
            emulator.inject(fault.probability(0.02, random.u64(..)));
        }
        loop {
            let kill = kills < KILLS;
            let ended = live(&emulator, &file, &input, kill, &mut random).await;
            let stored = emulator.object("bucket", "object");
            let stored = stored.map(|object| object.bytes).unwrap_or_default();
            assert!(
                input.starts_with(&stored),
                "after {kills} kills the object of {} bytes differs",
                stored.len()
            );
            if ended.status.success() {
                break;
            }
            let stderr = String::from_utf8_lossy(&ended.stderr);
            let signal = ended.status.signal();
            assert_eq!(signal, Some(SIGKILL), "{}: {stderr}", ended.status);
            kills += 1;
        }
        assert!(content(&emulator) == input, "success after {kills} kills");
        emulator.shutdown().await;
    }
}

/// One life of the process: to its end, or to a kill at a random moment.
async fn live(
    emulator: &Emulator,
    file: &Path,
    input: &[u8],
    kill: bool,
    random: &mut Rng,
) -> Output {
    emulator.clear_requests();
    let piped = random.bool();
    let source = if piped { Path::new("-") } else { file };
    let mut child = Command::new(env!("CARGO_BIN_EXE_oss-append"))
        .args(["append", "--replay", "--linger=1h"])
        // Seldom the sizes of the life before, so that no append meets the borders of another.
        .arg(format!("--batch-size={}", random.u32(4_000..24_000)))
        .arg("--max-append-size=24000")
        // With several, as many of the life before may land while this one compares.
        .arg(format!("--max-in-flight={}", [1, 2, 8][random.usize(..3)]))
        .arg(source)
        .arg("oss://bucket/object")
        .env("OSS_ENDPOINT", emulator.url())
        .env("OSS_REGION", emulator.region())
        .env("OSS_ACCESS_KEY_ID", ACCESS_KEY_ID)
        .env("OSS_ACCESS_KEY_SECRET", ACCESS_KEY_SECRET)
        .env_remove("OSS_SESSION_TOKEN")
        .env_remove("RUST_LOG")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let feed = async {
        if piped {
            // It may end before it has read everything.
            let _ = stdin.write_all(input).await;
        }
        drop(stdin);
    };
    let end = async {
        if kill {
            moment(emulator, &mut child, random).await;
            // It may have ended by itself.
            let _ = child.start_kill();
        }
        child.wait_with_output().await.unwrap()
    };
    tokio::join!(end, feed).0
}

/// Returns at a random moment of the process's life, or when it has ended.
async fn moment(emulator: &Emulator, child: &mut Child, random: &mut Rng) {
    let appends = random.usize(0..6);
    let only_answered = random.bool();
    let delay = Duration::from_micros(random.u64(0..8_000));
    let reached = async {
        emulator
            .wait_for(|seen| {
                let made = seen.iter().filter(|request| {
                    request.operation == Operation::AppendObject
                        && (request.status.is_some() || !only_answered)
                });
                // Not before it has looked at the object.
                !seen.is_empty() && made.count() >= appends
            })
            .await;
        tokio::time::sleep(delay).await;
    };
    tokio::select! {
        () = reached => {}
        _ = child.wait() => {}
    }
}
