//! Processes that are killed at any moment, and started again with the same spool: in the end every
//! record that was accepted is in the objects, once and in order.
//!
//! A life is this test binary, started again for [`one_life`]. It writes numbered records, and notes in
//! a file how many of them it was told are kept. `OSS_APPEND_SEED` sets the seed; which moments the
//! kills hit depends on the machine as well.

#![cfg(unix)]

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bytes::Bytes;
use fastrand::Rng;
use oss_append::credentials::StaticCredentials;
use oss_append::emulator::{
    ACCESS_KEY_ID, ACCESS_KEY_SECRET, Action, Emulator, Fault, Late, Operation,
};
use oss_append::{
    Backoff, Compression, KeyedWriter, OssAppendWriter, OssClient, OssLogAppender, RollingWriter,
    Spool, SpoolSync, WhenFull,
};

use super::{BUCKET, life};

const SIGKILL: i32 = 9;

/// Of each sort of writer; a soak takes more.
fn kills() -> u32 {
    let kills = std::env::var("OSS_APPEND_KILLS");
    kills.map_or(40, |kills| kills.parse().expect("OSS_APPEND_KILLS"))
}

/// The most threads of a life.
const THREADS: usize = 8;

const WHAT: &str = "OSS_APPEND_LIFE";

/// What a life is told.
struct Told {
    mode: String,
    url: String,
    directory: PathBuf,
    kept: PathBuf,
    life: u32,
    /// So many records, and then a proper end; `None`: until it is killed.
    records: Option<u64>,
}

impl Told {
    fn to_text(&self) -> String {
        let records = self.records.map_or(0, |records| records);
        let Self {
            mode,
            url,
            directory,
            kept,
            life,
            ..
        } = self;
        let (directory, kept) = (directory.display(), kept.display());
        format!("{mode} {url} {directory} {kept} {life} {records}")
    }

    fn from_text(text: &str) -> Self {
        let words: Vec<_> = text.split(' ').collect();
        let records = words[5].parse().unwrap();
        Self {
            mode: words[0].into(),
            url: words[1].into(),
            directory: words[2].into(),
            kept: words[3].into(),
            life: words[4].parse().unwrap(),
            records: (records > 0).then_some(records),
        }
    }

    fn client(&self) -> OssClient {
        let keys = StaticCredentials::new(ACCESS_KEY_ID, ACCESS_KEY_SECRET);
        OssClient::builder()
            .endpoint(&self.url)
            .region("cn-hangzhou")
            .credentials(keys)
            .build()
            .unwrap()
    }

    fn spool(&self) -> Spool {
        let sync = match self.life % 4 {
            0 => SpoolSync::Every(Duration::from_millis(2)),
            _ => SpoolSync::Never,
        };
        Spool::new(&self.directory)
            .segment_size(48 * 1024)
            .sync(sync)
    }

    /// A record says who has written it, and is as long as its number makes it.
    fn record(&self, thread: usize, number: u64) -> String {
        let life = self.life;
        let rest = "x".repeat((number * 37 % 211) as usize);
        format!("{life:04} {thread} {number:08} {rest}\n")
    }

    fn goes_on(&self, number: u64) -> bool {
        self.records.is_none_or(|records| number < records)
    }
}

/// How many records of each thread are kept, where the parent finds that after a kill.
struct Kept(File);

impl Kept {
    fn note(&self, thread: usize, records: u64) {
        let written = self.0.write_at(&records.to_le_bytes(), thread as u64 * 8);
        assert_eq!(written.unwrap(), 8);
    }
}

#[test]
fn one_life() {
    let Ok(told) = std::env::var(WHAT) else {
        return;
    };
    let told = Told::from_text(&told);
    let kept = File::options()
        .create(true)
        .write(true)
        .truncate(false)
        .open(&told.kept);
    let kept = Kept(kept.unwrap());
    match told.mode.as_str() {
        "log" => log(&told, &kept),
        "sequence" => life(sequence(&told, &kept)),
        "keys" => life(keys(&told, &kept)),
        mode => life(object(&told, &kept, mode)),
    }
}

async fn object(told: &Told, kept: &Kept, mode: &str) {
    let mut builder = OssAppendWriter::builder(
        told.client(),
        format!("oss://{BUCKET}/object").parse().unwrap(),
    )
    .batch_size(4 * 1024)
    .max_append_size(16 * 1024)
    .buffer_capacity(64 * 1024)
    .linger(Duration::from_millis(5))
    .backoff(quick())
    .spool(told.spool());
    builder = match mode {
        "gzip" => builder.compression(Compression::gzip()),
        "ahead" => builder.max_in_flight(4),
        _ => builder,
    };
    let mut writer = builder.open().await.unwrap();
    let mut number = 0;
    while told.goes_on(number) {
        let record = Bytes::from(told.record(0, number));
        writer.write_bytes(record).await.unwrap();
        number += 1;
        if number % 7 == 0 {
            writer.spooled().await.unwrap();
            kept.note(0, number);
        }
    }
    writer.shutdown().await.unwrap();
    kept.note(0, number);
}

async fn sequence(told: &Told, kept: &Kept) {
    let mut writer = RollingWriter::builder(told.client(), BUCKET, "log-{seq:5}")
        .writer(|writer| {
            writer
                .batch_size(2 * 1024)
                .max_append_size(8 * 1024)
                .buffer_capacity(32 * 1024)
                .linger(Duration::from_millis(5))
                .backoff(quick())
        })
        .roll_size(30_000)
        .spool(told.spool())
        .open()
        .await
        .unwrap();
    let mut number = 0;
    while told.goes_on(number) {
        writer
            .write_record(told.record(0, number).into())
            .await
            .unwrap();
        number += 1;
        if number % 7 == 0 {
            writer.spooled().await.unwrap();
            kept.note(0, number);
        }
        if number % 400 == 0 {
            writer.roll().await.unwrap();
        }
    }
    writer.shutdown().await.unwrap();
    kept.note(0, number);
}

/// Each thread has a key of its own.
async fn keys(told: &Told, kept: &Kept) {
    let writer = KeyedWriter::builder(told.client(), BUCKET)
        .objects(|key| format!("key-{key}-{{seq:5}}"))
        .rolling(|_, rolling| {
            let rolling = rolling.writer(|writer| {
                writer
                    .batch_size(4 * 1024)
                    .max_append_size(16 * 1024)
                    .linger(Duration::from_millis(5))
                    .backoff(quick())
            });
            rolling.roll_size(30_000)
        })
        .buffer_capacity(256 * 1024)
        .max_open(THREADS / 2)
        .spool(told.spool())
        .start()
        .unwrap();
    let mut number = 0;
    while told.goes_on(number) {
        for thread in 0..THREADS {
            let record = told.record(thread, number).into();
            drop(writer.write(&thread.to_string(), record).await.unwrap());
        }
        number += 1;
        if number % 7 == 0 {
            writer.spooled().await.unwrap();
            for thread in 0..THREADS {
                kept.note(thread, number);
            }
        }
    }
    writer.shutdown().await.unwrap();
    for thread in 0..THREADS {
        kept.note(thread, number);
    }
}

fn log(told: &Told, kept: &Kept) {
    let objects = RollingWriter::builder(told.client(), BUCKET, "log-{seq:5}")
        .writer(|writer| {
            writer
                .batch_size(4 * 1024)
                .max_append_size(16 * 1024)
                .buffer_capacity(256 * 1024)
                .linger(Duration::from_millis(5))
                .backoff(quick())
        })
        .roll_size(50_000);
    let (log, guard) = OssLogAppender::builder(objects)
        .when_full(WhenFull::Block)
        .spool(told.spool())
        .start_unchecked()
        .unwrap();
    std::thread::scope(|threads| {
        for thread in 0..THREADS {
            let log = &log;
            threads.spawn(move || {
                let mut number = 0;
                while told.goes_on(number) {
                    log.record(told.record(thread, number).as_bytes());
                    number += 1;
                    kept.note(thread, number);
                    if number % 50 == 0 {
                        std::thread::sleep(Duration::from_millis(1));
                    }
                }
            });
        }
    });
    let report = guard.shutdown(Duration::from_secs(60));
    assert_eq!(report.undelivered, 0, "{report:?}");
}

fn quick() -> Backoff {
    Backoff::new(Duration::from_millis(1), Duration::from_millis(20))
}

/// Prints the seed if the test panics.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("reproduce: OSS_APPEND_SEED={}", self.0);
        }
    }
}

fn start(told: &Told) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "spool::kills::one_life", "--nocapture"])
        .env(WHAT, told.to_text())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// How many records each thread of a life was told are kept.
fn kept(file: &Path) -> Vec<u64> {
    let bytes = std::fs::read(file).unwrap_or_default();
    bytes
        .chunks_exact(8)
        .map(|count| u64::from_le_bytes(count.try_into().unwrap()))
        .collect()
}

fn lives(mode: &str) {
    let seed = match std::env::var("OSS_APPEND_SEED") {
        Ok(seed) => seed.parse().expect("OSS_APPEND_SEED"),
        Err(_) => fastrand::u64(..),
    };
    let _told = Seed(seed);
    let mut random = Rng::with_seed(seed);
    let directory = tempfile::tempdir().unwrap();
    let emulator = life(async {
        Emulator::builder()
            .bucket(BUCKET)
            .latency(Duration::from_millis(1))
            .bandwidth(4 << 20)
            .start()
            .await
            .unwrap()
    });
    for action in [
        Action::DropAnswer,
        Action::Drop,
        Action::ApplyLate(Late::After(Duration::from_millis(20))),
    ] {
        let fault = Fault::new(Operation::AppendObject, action);
        emulator.inject(fault.probability(0.03, random.u64(..)));
    }
    let mut told = Told {
        mode: mode.into(),
        url: emulator.url(),
        directory: directory.path().join("spool"),
        kept: PathBuf::new(),
        life: 0,
        records: None,
    };
    let mut expected = Vec::new();
    while told.life < kills() {
        told.kept = directory.path().join(format!("kept-{}", told.life));
        let mut child = start(&told);
        std::thread::sleep(Duration::from_micros(random.u64(5_000..120_000)));
        child.kill().unwrap();
        let status = child.wait().unwrap();
        if status.signal() != Some(SIGKILL) {
            let mut text = String::new();
            child
                .stderr
                .take()
                .unwrap()
                .read_to_string(&mut text)
                .unwrap();
            panic!("life {} ended by itself: {status}: {text}", told.life);
        }
        expected.push(kept(&told.kept));
        told.life += 1;
    }
    emulator.faults().clear();
    told.kept = directory.path().join("kept-last");
    told.records = Some(20);
    let ended = start(&told).wait_with_output().unwrap();
    assert!(
        ended.status.success(),
        "{}",
        String::from_utf8_lossy(&ended.stderr)
    );
    expected.push(kept(&told.kept));
    check(&stored(&emulator, mode), &expected, &told);
    let left = std::fs::read_dir(&told.directory).unwrap();
    let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["lock"]);
}

/// All that is in the objects.
fn stored(emulator: &Emulator, mode: &str) -> String {
    let bytes = match mode {
        "gzip" => {
            let stored = super::content(emulator, "object");
            let mut read = Vec::new();
            let mut decoder = flate2::read::MultiGzDecoder::new(&stored[..]);
            decoder.read_to_end(&mut read).unwrap();
            read
        }
        "sequence" | "log" => {
            let keys = (1..).map(|number| format!("log-{number:05}"));
            let objects = keys.map_while(|key| emulator.object(BUCKET, &key));
            let objects = objects.inspect(|object| assert!(object.bytes.ends_with(b"\n")));
            objects.flat_map(|object| object.bytes.to_vec()).collect()
        }
        "keys" => {
            let of_key = |thread| {
                let keys = (1..).map(move |number| format!("key-{thread}-{number:05}"));
                keys.map_while(|key| emulator.object(BUCKET, &key))
            };
            let objects = (0..THREADS).flat_map(of_key);
            objects.flat_map(|object| object.bytes.to_vec()).collect()
        }
        _ => super::content(emulator, "object"),
    };
    String::from_utf8(bytes).unwrap()
}

/// Of each thread of each life, all records up to one are there, once and in order, and among them all
/// that were kept.
fn check(stored: &str, expected: &[Vec<u64>], told: &Told) {
    let mut found = vec![[0; THREADS]; expected.len()];
    // Keys come one after the other.
    let of_key = told.mode == "keys";
    let mut last_life = [0; THREADS];
    for line in stored.split_inclusive('\n') {
        let mut words = line.split(' ');
        let mut word = || words.next().unwrap();
        let (life, thread, number) = (word(), word(), word());
        let (life, thread): (usize, usize) = (life.parse().unwrap(), thread.parse().unwrap());
        let number: u64 = number.parse().unwrap();
        let writer = Told {
            life: life as u32,
            mode: String::new(),
            url: String::new(),
            directory: PathBuf::new(),
            kept: PathBuf::new(),
            records: None,
        };
        assert_eq!(line, writer.record(thread, number));
        assert_eq!(
            number, found[life][thread],
            "of thread {thread} in life {life}"
        );
        let last_life = &mut last_life[if of_key { thread } else { 0 }];
        assert!(life >= *last_life, "life {life} comes behind {last_life}");
        (found[life][thread], *last_life) = (number + 1, life);
    }
    let mut all = 0;
    for (life, expected) in expected.iter().enumerate() {
        for (thread, expected) in expected.iter().enumerate() {
            let found = found[life][thread];
            assert!(
                found >= *expected,
                "life {life}, thread {thread}: {found} of {expected}"
            );
            all += expected;
        }
    }
    eprintln!("{} records kept, {} bytes", all, stored.len());
    assert!(all > 0, "nothing was kept in any of {} lives", told.life);
}

#[test]
fn an_object_is_complete_whenever_its_writer_is_killed() {
    lives("object");
}

#[test]
fn an_object_with_several_appends_under_way_is_complete() {
    lives("ahead");
}

#[test]
fn a_compressed_object_is_complete() {
    lives("gzip");
}

#[test]
fn a_sequence_is_complete() {
    lives("sequence");
}

#[test]
fn a_log_of_eight_threads_is_complete() {
    lives("log");
}

#[test]
fn the_objects_of_keys_are_complete() {
    lives("keys");
}
