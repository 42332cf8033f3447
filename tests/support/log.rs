//! Collects what is logged.

use std::io::{Result, Write};
use std::sync::{Arc, LazyLock, Mutex};

use tracing::dispatcher::{self, DefaultGuard, Dispatch};
use tracing::subscriber::NoSubscriber;

/// Makes `subscriber` that of this thread until the guard is dropped.
///
/// While a process has a single subscriber, an event that a thread without it is the first to come to
/// is off for all threads from then on. Hence a second one, which takes nothing and stays.
pub fn set_default(subscriber: impl Into<Dispatch>) -> DefaultGuard {
    static SECOND: LazyLock<Dispatch> = LazyLock::new(|| Dispatch::new(NoSubscriber::default()));
    LazyLock::force(&SECOND);
    dispatcher::set_default(&subscriber.into())
}

/// Runs `during` with `subscriber` as that of this thread, see [`set_default`].
pub fn with_default<T>(subscriber: impl Into<Dispatch>, during: impl FnOnce() -> T) -> T {
    let _guard = set_default(subscriber);
    during()
}

#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    pub fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    /// A subscriber that writes here, without colours.
    pub fn subscriber(&self, level: tracing::Level) -> impl tracing::Subscriber + Send + Sync {
        let log = self.clone();
        tracing_subscriber::fmt()
            .with_max_level(level)
            .with_ansi(false)
            .with_writer(move || log.clone())
            .finish()
    }
}

impl Write for Log {
    fn write(&mut self, line: &[u8]) -> Result<usize> {
        self.0.lock().unwrap().extend_from_slice(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}
