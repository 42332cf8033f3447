//! Reports trouble on a thread of its own: standard error may be a pipe that nobody reads, and the
//! program's callback may take its time. Neither holds up the log or the program.

use std::fmt;
use std::io::{self, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::quiet::mute;
use super::trouble::LogTrouble;
use crate::callback::caught;
use crate::values::locks::MutexExt;

/// How much may wait to be reported. What comes when there is no more room is left out.
const WAITING: usize = 4;

/// How long the end of a log waits until all its trouble is told.
const PATIENCE: Duration = Duration::from_secs(1);

type Handler = Arc<dyn Fn(LogTrouble) + Send + Sync>;

/// Its thread starts with the first trouble and ends with the log.
pub(super) struct Teller {
    handler: Handler,
    thread: Mutex<Option<Thread>>,
}

struct Thread {
    waiting: SyncSender<LogTrouble>,
    /// Hangs up when all has been told.
    ended: Receiver<()>,
}

impl Teller {
    pub(super) fn new(handler: impl Fn(LogTrouble) + Send + Sync + 'static) -> Self {
        Self {
            handler: Arc::new(handler),
            thread: Mutex::default(),
        }
    }

    /// Tells as soon as what was told before is done with; does not wait.
    pub(super) fn tell(&self, trouble: LogTrouble) {
        let mut thread = self.thread.locked();
        if thread.is_none() {
            *thread = Thread::start(Arc::clone(&self.handler)).ok();
        }
        if let Some(thread) = &*thread {
            let _ = thread.waiting.try_send(trouble);
        }
    }

    /// Waits until all is told, a second at most.
    pub(super) fn finish(&self) {
        let thread = self.thread.locked().take();
        if let Some(Thread { waiting, ended }) = thread {
            drop(waiting);
            let _ = ended.recv_timeout(PATIENCE);
        }
    }
}

impl Thread {
    fn start(handler: Handler) -> io::Result<Self> {
        let (waiting, told) = sync_channel(WAITING);
        let (ends, ended) = sync_channel(0);
        let tell = move || {
            mute();
            for trouble in told {
                caught(|| handler(trouble));
            }
            drop::<SyncSender<()>>(ends);
        };
        std::thread::Builder::new()
            .name("oss-append-told".into())
            .spawn(tell)?;
        Ok(Self { waiting, ended })
    }
}

/// Says it on standard error, unless told otherwise.
impl Default for Teller {
    fn default() -> Self {
        Self::new(print)
    }
}

impl fmt::Debug for Teller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Teller").finish_non_exhaustive()
    }
}

/// In one write, so that lines of others do not get in the middle of it. What cannot be written, because
/// nobody reads it or because it would block, is left out.
fn print(trouble: LogTrouble) {
    let line = format!("oss-append: {trouble}").replace(['\n', '\r'], " ") + "\n";
    let _ = io::stderr().write_all(line.as_bytes());
}
