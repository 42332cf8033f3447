//! The hand-off between the handles and the worker, run in every order of its steps up to a bound.
//!
//! Handles, worker and appender are the real ones. Before each lock, after each unlock and before
//! each notification any other task may run (see `sync.rs`), and also while an append is in flight.
//! A lost wake-up shows as a deadlock. No timer ever fires: every wait has to end by what the
//! others do, so a lost wake-up that only delays the start of a linger does not show. A failure
//! prints its schedule, which `shuttle::replay` runs again.
//!
//! With several handles, what one of them does often makes up for a wake-up that another has lost.
//! So there are runs with only one handle, which go a step deeper than most.
//!
//! `OSS_APPEND_DEPARTURES` sets by how many departures each run goes deeper than usual (default 0).
//! With 1 there are over ten times as many schedules. Of ten planted mistakes the usual depth found
//! the same seven: each missing wake-up but the one that starts a linger.

use std::ops::Range;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures::future::abortable;
use futures::stream::BoxStream;
use futures::{FutureExt, SinkExt};
use shuttle::future::{block_on, spawn, yield_now};
use shuttle::scheduler::{Schedule, Scheduler, Task, TaskId};
use shuttle::{Config, Runner};

use tokio_util::codec::BytesCodec;

use super::OssAppendWriter;
use super::buffer::records::Records;
use super::spooling::Spool;
use super::sync::modelled;
use crate::engine::flush::FlushMode;
use crate::engine::window::Window;
use crate::error::{Error, ErrorKind, Result, ServiceError};
use crate::spool::SimulatedDisk;
use crate::store::AppendStore;
use crate::store::request::{AppendAnswer, AppendRequest};
use crate::values::crc64;
use crate::values::info::ObjectInfo;
use crate::values::path::ObjectPath;

/// Runs every schedule that departs at most `bound` times from the plain one: a task runs until it
/// waits for another, then the next one does. To pass over two tasks counts as two departures.
struct Bounded {
    bound: usize,
    steps: Vec<Step>,
    at: usize,
    started: bool,
}

struct Step {
    chosen: usize,
    choices: usize,
}

impl Scheduler for Bounded {
    fn new_execution(&mut self) -> Option<Schedule> {
        self.at = 0;
        if !std::mem::replace(&mut self.started, true) {
            return Some(Schedule::new(0));
        }
        let mut spent: usize = self.steps.iter().map(|step| step.chosen).sum();
        while let Some(step) = self.steps.pop() {
            if step.chosen + 1 < step.choices && spent < self.bound {
                self.steps.push(Step {
                    chosen: step.chosen + 1,
                    ..step
                });
                return Some(Schedule::new(0));
            }
            spent -= step.chosen;
        }
        None
    }

    fn next_task(
        &mut self,
        runnable: &[&Task],
        current: Option<TaskId>,
        _: bool,
    ) -> Option<TaskId> {
        let first = runnable
            .iter()
            .position(|task| current.is_none_or(|current| task.id() >= current))
            .unwrap_or(0);
        if self.at == self.steps.len() {
            self.steps.push(Step {
                chosen: 0,
                choices: runnable.len(),
            });
        }
        let step = &self.steps[self.at];
        assert_eq!(step.choices, runnable.len(), "not deterministic");
        self.at += 1;
        Some(runnable[(first + step.chosen) % runnable.len()].id())
    }

    fn next_u64(&mut self) -> u64 {
        0
    }
}

fn explore(bound: usize, scenario: impl Fn() + Send + Sync + 'static) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let _timers_that_never_fire = runtime.enter();
    let deeper = match std::env::var("OSS_APPEND_DEPARTURES") {
        Ok(departures) => departures.parse().expect("OSS_APPEND_DEPARTURES"),
        Err(_) => 0,
    };
    let scheduler = Bounded {
        bound: bound + deeper,
        steps: Vec::new(),
        at: 0,
        started: false,
    };
    let mut config = Config::new();
    config.stack_size = 1 << 16;
    let schedules = modelled(|| Runner::new(scheduler, config).run(scenario));
    println!("{schedules} schedules");
    assert!(schedules > 50);
}

/// Takes every append but the one that is told to fail.
#[derive(Clone)]
struct Store {
    data: Arc<Mutex<Vec<u8>>>,
    appends: Arc<Mutex<usize>>,
    refused: Option<usize>,
}

impl Store {
    fn new(refused: Option<usize>) -> Self {
        Self {
            data: Arc::new(Mutex::new(Vec::new())),
            appends: Arc::new(Mutex::new(0)),
            refused,
        }
    }

    fn content(&self) -> Vec<u8> {
        self.data.lock().unwrap().clone()
    }
}

impl AppendStore for Store {
    async fn append(&self, request: AppendRequest) -> Result<AppendAnswer> {
        yield_now().await;
        let append = {
            let mut appends = self.appends.lock().unwrap();
            *appends += 1;
            *appends
        };
        if self.refused == Some(append) {
            return Err(Error::service(ServiceError::new(403, "AccessDenied")));
        }
        let answer = {
            let mut data = self.data.lock().unwrap();
            assert_eq!(request.position, data.len() as u64);
            data.extend(request.body.chunks().concat());
            AppendAnswer::new(data.len() as u64, crc64::checksum(&data))
        };
        yield_now().await;
        Ok(answer)
    }

    async fn head(&self, _: &ObjectPath) -> Result<Option<ObjectInfo>> {
        Ok(None)
    }

    async fn read_range(
        &self,
        _: &ObjectPath,
        _: Range<u64>,
    ) -> Result<BoxStream<'static, Result<Bytes>>> {
        unreachable!("nothing is ever in question")
    }

    async fn seal(&self, _: &ObjectPath, _: u64) -> Result<()> {
        Ok(())
    }
}

/// A writer with room for four bytes, which appends two at a time and never for their age.
fn open(store: &Store) -> (OssAppendWriter, impl Future<Output = ()> + Send + use<>) {
    let object = ObjectPath::new("bucket", "object").unwrap();
    let builder = OssAppendWriter::builder(store.clone(), object)
        .batch_size(2)
        .max_append_size(2)
        .buffer_capacity(4)
        .linger(std::time::Duration::MAX)
        .flush_mode(FlushMode::Durable);
    let options = builder.options().unwrap();
    block_on(builder.opened(options)).unwrap()
}

/// Writes `byte` up to `count` times, until it fails. How many were accepted.
async fn produce(writer: &mut OssAppendWriter, byte: u8, count: usize) -> usize {
    for accepted in 0..count {
        if writer.write_all(&[byte]).await.is_err() {
            return accepted;
        }
    }
    count
}

fn count(bytes: &[u8], byte: u8) -> usize {
    bytes.iter().filter(|&&b| b == byte).count()
}

/// One handle makes its `calls`, and nobody else wakes it or the worker.
fn alone(content: &'static [u8], calls: impl AsyncFn(OssAppendWriter) + Send + Sync + 'static) {
    explore(2, move || {
        let store = Store::new(None);
        let (writer, worker) = open(&store);
        let worker = spawn(worker);
        block_on(async {
            calls(writer).await;
            worker.await.unwrap();
        });
        assert_eq!(store.content(), content);
    });
}

#[test]
fn a_handle_that_is_alone_is_never_left_waiting() {
    alone(b"0", async |mut writer| {
        writer.write_all(b"0").await.unwrap();
        writer.sync().await.unwrap();
    });
    alone(b"0123456", async |mut writer| {
        for bytes in ["0123", "456"] {
            writer.write_bytes(bytes.into()).await.unwrap();
        }
    });
    alone(b"01234", async |mut writer| {
        for item in ["0123", "4"] {
            writer.feed(item.into()).await.unwrap();
        }
    });
    alone(b"01234", async |writer| {
        let mut records = writer.records(BytesCodec::new());
        for item in ["0123", "4"] {
            records.feed(Bytes::from(item)).await.unwrap();
        }
    });
    alone(b"01", async |mut writer| {
        writer.write_all(b"01").await.unwrap();
        writer.wait_durable(2).await.unwrap();
    });
    alone(b"", async |mut writer| writer.shutdown().await.unwrap());
}

#[test]
fn whoever_waits_for_the_disk_learns_of_what_is_written() {
    explore(2, || {
        let object = ObjectPath::new("bucket", "object").unwrap();
        let builder = OssAppendWriter::builder(Store::new(None), object)
            .spool(Spool::on(&SimulatedDisk::new()));
        let parts = builder.later(Records::Bytes).unwrap();
        // The store is away: nothing comes of the worker.
        let (mut writer, _worker) = parts.assemble(0, Window::default());
        block_on(async {
            writer.write_all(b"0").await.unwrap();
            let shared = Arc::clone(&writer.shared);
            let disk = spawn(async move { shared.write_through() });
            writer.spooled().await.unwrap();
            disk.await.unwrap();
        });
    });
}

#[test]
fn nothing_is_left_behind_when_the_last_handle_is_dropped() {
    explore(1, || {
        let store = Store::new(None);
        let (writer, worker) = open(&store);
        let worker = spawn(worker);
        let (mut a, mut b, mut flusher) = (writer.clone(), writer.clone(), writer);
        let a = spawn(async move { a.write_all(b"aaa").await.unwrap() });
        let b = spawn(async move { b.write_bytes(Bytes::from_static(b"bbb")).await.unwrap() });
        let seen = store.clone();
        let flusher = spawn(async move {
            let given_up = flusher.sync().now_or_never();
            assert!(given_up.is_none_or(|synced| synced.is_ok()));
            flusher.write_all(b"f").await.unwrap();
            flusher.flush().await.unwrap();
            assert_eq!(count(&seen.content(), b'f'), 1);
        });
        block_on(async {
            a.await.unwrap();
            b.await.unwrap();
            flusher.await.unwrap();
            worker.await.unwrap();
        });
        let content = store.content();
        assert_eq!(content.len(), 7);
        assert_eq!((count(&content, b'a'), count(&content, b'b')), (3, 3));
    });
}

#[test]
fn an_item_that_found_no_room_is_left_behind_by_no_handle() {
    explore(2, || {
        let store = Store::new(None);
        let (mut a, worker) = open(&store);
        let worker = spawn(worker);
        let mut b = a.clone();
        let a = spawn(async move { a.write_all(b"0123").await.unwrap() });
        let b = spawn(async move { b.feed(Bytes::from_static(b"bbb")).await.unwrap() });
        block_on(async {
            a.await.unwrap();
            b.await.unwrap();
            worker.await.unwrap();
        });
        let mut content = store.content();
        assert_eq!(count(&content, b'b'), 3);
        content.retain(|&byte| byte != b'b');
        assert_eq!(content, b"0123");
    });
}

#[test]
fn a_shutdown_takes_along_what_others_have_written() {
    explore(1, || {
        let store = Store::new(None);
        let (mut a, worker) = open(&store);
        let worker = spawn(worker);
        let (mut b, watcher) = (a.clone(), a.clone());
        let a = spawn(async move { produce(&mut a, b'a', 5).await });
        let b = spawn(async move {
            b.write_all(b"b").await.unwrap();
            b.shutdown().await.unwrap();
        });
        let watcher = spawn(async move { watcher.wait_durable(6).await });
        let (accepted, watched) = block_on(async {
            b.await.unwrap();
            worker.await.unwrap();
            (a.await.unwrap(), watcher.await.unwrap())
        });
        let content = store.content();
        assert_eq!(
            (count(&content, b'a'), count(&content, b'b')),
            (accepted, 1)
        );
        assert_eq!(watched.is_ok(), content.len() >= 6);
    });
}

#[test]
fn a_failure_reaches_everybody_who_waits() {
    explore(1, || {
        let store = Store::new(Some(2));
        let (writer, worker) = open(&store);
        let worker = spawn(worker);
        let producers = [b'a', b'b'].map(|byte| {
            let mut writer = writer.clone();
            spawn(async move {
                let accepted = produce(&mut writer, byte, 3).await;
                assert!(writer.sync().await.is_err());
                accepted
            })
        });
        let watcher = writer.clone();
        let watcher = spawn(async move { watcher.wait_durable(3).await.unwrap_err() });
        let accepted = block_on(async {
            worker.await.unwrap();
            watcher.await.unwrap();
            let [a, b] = producers;
            (a.await.unwrap(), b.await.unwrap())
        });
        let mut bytes = store.content();
        let unsent = writer.into_unsent().unwrap();
        assert_eq!((unsent.position, unsent.in_doubt), (bytes.len() as u64, 0));
        bytes.extend(unsent.chunks.concat());
        assert_eq!((count(&bytes, b'a'), count(&bytes, b'b')), accepted);
    });
}

#[test]
fn a_lost_worker_fails_everybody_and_loses_nothing() {
    for durable in [0, 1, 3] {
        explore(1 + usize::from(durable == 0), move || {
            let store = Store::new(None);
            let (writer, worker) = open(&store);
            let (worker, abort) = abortable(worker);
            let worker = spawn(async move { worker.await.unwrap_err() });
            let killer = writer.clone();
            let killer = spawn(async move {
                killer.wait_durable(durable).await.unwrap();
                abort.abort();
                worker.await.unwrap();
            });
            let producers = [b'a', b'b'].map(|byte| {
                let mut writer = writer.clone();
                spawn(async move {
                    let accepted = produce(&mut writer, byte, 3).await;
                    if let Err(error) = writer.sync().await {
                        assert_eq!(error.kind(), &ErrorKind::WorkerLost);
                    }
                    accepted
                })
            });
            let accepted = block_on(async {
                killer.await.unwrap();
                let [a, b] = producers;
                (a.await.unwrap(), b.await.unwrap())
            });
            let content = store.content();
            let unsent = writer.into_unsent().unwrap();
            let mut bytes = content[..unsent.position as usize].to_vec();
            bytes.extend(unsent.chunks.concat());
            assert!(bytes.starts_with(&content));
            assert!(content.len() as u64 <= unsent.position + unsent.in_doubt);
            assert_eq!((count(&bytes, b'a'), count(&bytes, b'b')), accepted);
        });
    }
}
