//! What becomes of a writer that is dropped, and of one whose runtime ends.

mod support;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Wake, Waker};

use futures::FutureExt;
use oss_append::{ErrorKind, Landed, OssAppendWriter};
use support::log::Log;
use support::store::SimStore;
use support::{MS, SEC, ours, writer};
use tokio::io::{AsyncWrite, AsyncWriteExt};

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
    tracing::subscriber::with_default(log.subscriber(tracing::Level::INFO), during);
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
        let error = ours(writer.flush().await.unwrap_err());
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
    let error = ours(closed.unwrap_err());
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
    let flush = tokio::spawn(async move { ours(writer.flush().await.unwrap_err()) });
    tokio::task::yield_now().await;
    worker_runtime.shutdown_background();
    assert_eq!(flush.await.unwrap().kind(), &ErrorKind::WorkerLost);
}
