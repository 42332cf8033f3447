//! What the program gives to the server may ask the server: nothing of it runs under a lock.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use oss_append::emulator::{Action, Emulator, Fault};

use crate::support::log::set_default;
use crate::support::raw::{BUCKET, append, start};

/// Runs in a thread of its own, which may hang.
fn in_time(work: impl Future<Output = ()> + Send + 'static) {
    let (done, is_done) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(work);
        done.send(()).unwrap();
    });
    let ended = is_done.recv_timeout(Duration::from_secs(60));
    ended.expect("it hangs or has panicked");
}

/// Asks the server whenever it is used.
#[derive(Clone, Default)]
struct Asking {
    emulator: Arc<OnceLock<Arc<Emulator>>>,
    asked: Arc<AtomicUsize>,
}

impl Asking {
    fn of(emulator: Arc<Emulator>) -> Self {
        let asking = Self::default();
        let _ = asking.emulator.set(emulator);
        asking
    }

    fn ask(&self) {
        let emulator = self.emulator.get().unwrap();
        let _ = (emulator.length(BUCKET, "k"), emulator.requests());
        let _ = (emulator.faults().pending(), emulator.client());
        self.asked.fetch_add(1, Relaxed);
    }

    fn asked(&self) -> usize {
        self.asked.load(Relaxed)
    }
}

/// The owner of some bytes.
struct Owner(Asking);

impl AsRef<[u8]> for Owner {
    fn as_ref(&self) -> &[u8] {
        b"owned"
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.0.ask();
    }
}

impl io::Write for Asking {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.ask();
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_condition_may_ask_the_server() {
    in_time(async {
        let (emulator, client) = start().await;
        let asking = Asking::of(Arc::new(emulator));
        client.append("k", 0, b"x").await;
        let emulator = Arc::clone(asking.emulator.get().unwrap());
        emulator
            .wait_for(|seen| {
                asking.ask();
                !seen.is_empty()
            })
            .await;
        assert!(asking.asked() > 0);
    });
}

#[test]
fn the_owner_of_bytes_may_ask_the_server_when_it_is_dropped() {
    in_time(async {
        let (emulator, client) = start().await;
        let emulator = Arc::new(emulator);
        let asking = Asking::of(Arc::clone(&emulator));
        let owned = || Bytes::from_owner(Owner(asking.clone()));

        emulator.append_foreign(BUCKET, "k", owned()).unwrap();
        emulator.delete(BUCKET, "k").unwrap();
        emulator.put(BUCKET, "k", owned()).unwrap();
        emulator.put(BUCKET, "k", "other").unwrap();
        emulator.inject(Fault::on_any(Action::ForeignBefore(owned())));
        client.send(append("l", 0, b"x")).await;
        emulator.inject(Fault::on_any(Action::ForeignAfter(owned())));
        emulator.faults().clear();

        assert_eq!(asking.asked(), 4);
        assert_eq!(emulator.length(BUCKET, "l"), Some(5));
    });
}

#[test]
fn a_log_of_the_server_may_ask_it() {
    in_time(async {
        let directory = tempfile::tempdir().unwrap();
        let builder = Emulator::builder().bucket(BUCKET);
        let emulator = builder.directory(directory.path()).start().await.unwrap();
        let emulator = Arc::new(emulator);
        emulator.append_foreign(BUCKET, "k", "x").unwrap();
        std::fs::remove_dir_all(directory.path().join("buckets")).unwrap();
        let log = Asking::of(Arc::clone(&emulator));
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing_subscriber::filter::LevelFilter::ERROR)
            .with_writer(move || writer.clone());
        let _guard = set_default(subscriber.finish());

        assert!(emulator.object(BUCKET, "k").is_none());
        let failed = emulator.append_foreign(BUCKET, "k", "y").unwrap_err();

        assert_eq!(failed.service_error().unwrap().code, "InternalError");
        assert_eq!(log.asked(), 2);
    });
}
