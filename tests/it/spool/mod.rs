//! A writer with a spool: what one process has accepted, the next one delivers.

mod failures;
mod keys;
mod kills;
mod objects;
mod overflow;
mod sequences;

use std::future::Future;
use std::path::Path;
use std::time::Duration;

use oss_append::emulator::Emulator;
use oss_append::{OssAppendWriterBuilder, OssClient, Spool, WriterStats};

const BUCKET: &str = "bucket";
const OBJECT: &str = "object";

/// One life of a process: everything that runs is gone at its end, as after a kill.
fn life<T>(living: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let lived = runtime.block_on(living);
    runtime.shutdown_timeout(Duration::from_secs(10));
    lived
}

fn emulator() -> Emulator {
    life(async {
        let builder = Emulator::builder().bucket(BUCKET).sealing(true);
        builder.start().await.unwrap()
    })
}

fn client(emulator: &Emulator) -> OssClient {
    emulator.client().build().unwrap()
}

/// Of files that are soon full.
fn spool(directory: &Path) -> Spool {
    Spool::new(directory).segment_size(64 * 1024)
}

/// With small appends, so that there are many.
fn builder(emulator: &Emulator, directory: &Path) -> OssAppendWriterBuilder<OssClient> {
    let object = format!("oss://{BUCKET}/{OBJECT}").parse().unwrap();
    oss_append::OssAppendWriter::builder(client(emulator), object)
        .batch_size(4 * 1024)
        .max_append_size(16 * 1024)
        .buffer_capacity(64 * 1024)
        .spool(spool(directory))
}

/// What the object holds.
fn content(emulator: &Emulator, key: &str) -> Vec<u8> {
    let object = emulator.object(BUCKET, key);
    object
        .map(|object| object.bytes.to_vec())
        .unwrap_or_default()
}

/// Numbered lines.
fn lines(numbers: std::ops::Range<u32>) -> String {
    numbers
        .map(|number| format!("{number:08} a line of a log that is to be delivered\n"))
        .collect()
}

/// The bytes in the spool.
fn in_spool(stats: &WriterStats) -> u64 {
    stats.spool.as_ref().unwrap().bytes
}

/// The files of segments.
fn segments(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut segments: Vec<_> = names.filter(|name| name.ends_with(".segment")).collect();
    segments.sort();
    segments
}
