//! What becomes of a writer that is dropped, and of one whose runtime ends.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Wake, Waker};

use bytes::Bytes;
use futures::{FutureExt, SinkExt};
use oss_append::{ErrorKind, Landed, OssAppendWriter};
use tokio::io::AsyncWrite;

use crate::support::log::{Log, with_default};
use crate::support::store::{Fault, SimStore};
use crate::support::{MS, SEC, small_writer, writer};

#[tokio::test(start_paused = true)]
async fn the_worker_goes_on_with_what_was_accepted() {
    let store = SimStore::new();
    store.world().latency = MS;
    let mut writer = writer(&store)
        .batch_size(4)
        .max_append_size(4)
        .open()
        .await
        .unwrap();
    writer.write_all(b"accepted before the drop").await.unwrap();
    drop(writer);
    tokio::time::sleep(SEC).await;
    assert_eq!(store.text(), "accepted before the drop");
}

#[tokio::test(start_paused = true)]
async fn the_writer_lives_until_its_last_clone_is_dropped() {
    let store = SimStore::new();
    let writer = writer(&store).open().await.unwrap();
    let mut clone = writer.clone();
    drop(writer);
    clone.write_all(b"x").await.unwrap();
    clone.shutdown().await.unwrap();
    assert_eq!(store.text(), "x");
}

#[tokio::test(start_paused = true)]
async fn a_dropped_writer_is_not_sealed() {
    let store = SimStore::new();
    let mut writer = writer(&store).seal_on_shutdown(true).open().await.unwrap();
    writer.write_all(b"x").await.unwrap();
    drop(writer);
    tokio::time::sleep(SEC).await;
    let object = store.world().object.clone().unwrap();
    assert_eq!((object.data.as_slice(), object.sealed), (&b"x"[..], false));
}

fn logged(during: impl FnOnce()) -> String {
    let log = Log::default();
    with_default(log.subscriber(tracing::Level::INFO), during);
    log.text()
}

#[tokio::test(start_paused = true)]
async fn dropping_undelivered_bytes_warns_once_with_their_count() {
    let store = SimStore::new();
    let mut writer = writer(&store).open().await.unwrap();
    writer.write_all(b"12345").await.unwrap();
    let log = logged(|| drop(writer));
    assert_eq!(log.lines().count(), 1, "{log}");
    assert!(log.contains("WARN") && log.contains("bytes=5"), "{log}");
    assert!(log.contains("oss://bucket/object"), "{log}");
}

#[tokio::test(start_paused = true)]
async fn dropping_after_shutdown_says_nothing() {
    let store = SimStore::new();
    let mut writer = writer(&store).open().await.unwrap();
    writer.write_all(b"12345").await.unwrap();
    writer.shutdown().await.unwrap();
    assert_eq!(logged(|| drop(writer)), "");
}

#[test]
fn dropping_needs_no_runtime_and_never_blocks() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let store = SimStore::new();
    store.world().latency = 3600 * SEC;
    let writer = runtime.block_on(async {
        let mut writer = writer(&store).open().await.unwrap();
        writer.write_all(b"x").await.unwrap();
        writer
    });
    drop(writer);
    drop(runtime);
}

#[test]
fn a_writer_whose_runtime_ended_fails_and_gives_its_bytes_back() {
    let new_runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
    };
    let store = SimStore::new();
    store.world().latency = 3600 * SEC;
    let runtime = new_runtime();
    let mut writer = runtime.block_on(async {
        let mut writer = writer(&store).batch_size(4).open().await.unwrap();
        writer.write_all(b"flying").await.unwrap();
        // Until the append is in flight.
        while store.appends().is_empty() {
            tokio::task::yield_now().await;
        }
        writer.write_all(b" waiting").await.unwrap();
        writer
    });
    drop(runtime);
    new_runtime().block_on(async move {
        let error = writer.flush().await.unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::WorkerLost);
        assert_eq!(error.landed(), Some(Landed::InDoubt));
        let unsent = writer.into_unsent().unwrap();
        assert_eq!(unsent.chunks.concat(), b"flying waiting");
        assert_eq!((unsent.position, unsent.in_doubt), (0, 6));
    });
}

#[test]
fn a_writer_whose_runtime_ended_before_its_worker_began_fails() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let store = SimStore::new();
    let mut writer = runtime.block_on(writer(&store).open()).unwrap();
    drop(runtime);
    let closed = writer.shutdown().now_or_never().expect("no wait for ever");
    let error = closed.unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::WorkerLost);
    assert_eq!(error.landed(), None);
}

/// A task of an executor that keeps it in its waker alone.
struct Suspended(#[allow(dead_code, reason = "dropped with the waker")] OssAppendWriter);

impl Wake for Suspended {
    fn wake(self: Arc<Self>) {}
}

#[test]
fn a_dropped_clone_may_be_the_last_that_holds_a_task_with_another() {
    let (done, finished) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let store = SimStore::new();
        let writer = runtime.block_on(writer(&store).open()).unwrap();
        let (mut clone, _kept) = (writer.clone(), writer.clone());
        let waker = Waker::from(Arc::new(Suspended(writer)));
        let closing = Pin::new(&mut clone).poll_shutdown(&mut Context::from_waker(&waker));
        assert!(closing.is_pending());
        drop(waker);
        drop(clone);
        done.send(()).unwrap();
    });
    finished
        .recv_timeout(10 * SEC)
        .expect("nobody waits for a lock of his own");
}

/// Looks at the writer when it is dropped or woken.
struct Asks(OssAppendWriter, Vec<u8>);

impl AsRef<[u8]> for Asks {
    fn as_ref(&self) -> &[u8] {
        &self.1
    }
}

impl Drop for Asks {
    fn drop(&mut self) {
        self.0.stats();
    }
}

impl Wake for Asks {
    fn wake(self: Arc<Self>) {
        self.0.stats();
    }
}

/// Bytes whose owner looks at the writer.
fn owned(writer: &OssAppendWriter, len: usize) -> Bytes {
    Bytes::from_owner(Asks(writer.clone(), vec![1; len]))
}

/// Runs `test` with a writer, and fails if it never ends.
fn ends(test: impl AsyncFn(SimStore, OssAppendWriter) + Send + 'static) {
    let (ended, wait) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let store = SimStore::new();
            let writer = small_writer(&store).open().await.unwrap();
            test(store, writer).await;
        });
        ended.send(()).unwrap();
    });
    wait.recv_timeout(10 * SEC)
        .expect("nobody waits for a lock of his own");
}

#[test]
fn what_is_dropped_when_bytes_are_durable_may_ask_the_writer() {
    ends(async |store, _| {
        let mut writer = writer(&store).open().await.unwrap();
        for len in [1, 100, 10_000] {
            let bytes = owned(&writer, len);
            writer.write_bytes(bytes).await.unwrap();
            writer.sync().await.unwrap();
        }
    });
}

#[test]
fn what_is_dropped_at_the_end_of_a_writer_may_ask_it() {
    ends(async |_, _| {
        for len in [1, 10_000] {
            for end in ["drop", "shutdown", "failure"] {
                let store = SimStore::new();
                let mut writer = small_writer(&store).open().await.unwrap();
                let mut clone = writer.clone();
                writer.feed(owned(&writer, 100)).await.unwrap();
                // There is no room for this.
                clone.feed(owned(&writer, len)).await.unwrap();
                match end {
                    "drop" => {
                        drop(clone);
                        writer.sync().await.unwrap();
                    }
                    "shutdown" => writer.shutdown().await.unwrap(),
                    _ => {
                        store.fault(Fault::error(403, "AccessDenied"));
                        writer.sync().await.unwrap_err();
                        drop(writer.into_unsent().unwrap());
                    }
                }
            }
        }
    });
}

#[test]
fn a_waker_may_ask_the_writer_when_it_is_woken_or_dropped() {
    ends(async |_, mut writer| {
        let asks = || Waker::from(Arc::new(Asks(writer.clone(), Vec::new())));
        let wakers = [asks(), asks()];
        writer.write_all(&[1; 5]).await.unwrap();
        for waker in wakers {
            let mut cx = Context::from_waker(&waker);
            assert!(Pin::new(&mut writer).poll_flush(&mut cx).is_pending());
        }
        writer.clone().sync().await.unwrap();
    });
}

#[tokio::test(start_paused = true)]
async fn a_waker_that_panics_keeps_nobody_else_from_being_woken() {
    struct Panics;
    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            panic!("no");
        }
    }
    let store = SimStore::new();
    let mut writer = writer(&store).open().await.unwrap();
    let mut clone = writer.clone();
    writer.write_all(b"x").await.unwrap();
    let waker = Waker::from(Arc::new(Panics));
    let mut cx = Context::from_waker(&waker);
    assert!(Pin::new(&mut writer).poll_flush(&mut cx).is_pending());
    clone.sync().await.unwrap();
    clone.shutdown().await.unwrap();
}

#[test]
fn opening_outside_of_a_runtime_is_an_error_and_no_panic() {
    let store = SimStore::new();
    let error = futures::executor::block_on(writer(&store).open()).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::InvalidInput { .. }));
}

#[tokio::test(start_paused = true)]
async fn a_reader_of_a_flush_is_woken_when_the_runtime_of_the_worker_ends() {
    let worker_runtime = std::thread::spawn(|| {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap()
    })
    .join()
    .unwrap();
    let store = SimStore::new();
    store.world().latency = 3600 * SEC;
    let builder = writer(&store);
    let mut writer = worker_runtime.spawn(builder.open()).await.unwrap().unwrap();
    writer.write_all(b"x").await.unwrap();
    let flush = tokio::spawn(async move { writer.flush().await.unwrap_err() });
    tokio::task::yield_now().await;
    worker_runtime.shutdown_background();
    assert_eq!(flush.await.unwrap().kind(), &ErrorKind::WorkerLost);
}
