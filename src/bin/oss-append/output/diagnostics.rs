//! Diagnostics: what the command says on standard error.
//!
//! Nobody who has something to say waits: standard error may be a pipe that is full, that nobody
//! reads, or a terminal that is stopped. Lines queue up, and a thread of its own writes them. Where
//! the queue is full they are dropped and counted; the log may fill only half of it, so that a
//! failure or a summary finds room behind it.

use std::collections::VecDeque;
use std::fmt::Display;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use crate::stream::Stream;

/// The most bytes that wait.
const CAPACITY: usize = 512 * 1024;
/// The most that wait before a line of the log, or a picture of the progress, may wait too.
const LOG_CAPACITY: usize = CAPACITY / 2;
/// How long the end of the process is put off for what waits.
const PATIENCE: Duration = Duration::from_secs(1);

static STDERR: LazyLock<Arc<Diagnostics>> = LazyLock::new(|| {
    let diagnostics = Arc::<Diagnostics>::default();
    let for_thread = Arc::clone(&diagnostics);
    let write = move || for_thread.write(|text| drop(Stream::Error.write_all(text)));
    // Without the thread nothing is said, and all else goes on.
    let _ = std::thread::Builder::new()
        .name("diagnostics".into())
        .spawn(write);
    diagnostics
});

static QUIET: AtomicBool = AtomicBool::new(false);

/// From now on only failures are said.
pub(crate) fn be_quiet() {
    QUIET.store(true, Ordering::Relaxed);
}

/// Says one line about what the command does.
pub(crate) fn note(text: impl Display) {
    if !is_quiet() {
        complain(text);
    }
}

/// Says one line about what has failed.
pub(crate) fn complain(text: impl Display) {
    let line = one_line(&format!("oss-append: {text}"));
    STDERR.push(format!("{line}\n"), CAPACITY);
}

/// Whether only failures are said.
pub(crate) fn is_quiet() -> bool {
    QUIET.load(Ordering::Relaxed)
}

/// Says `text` as it is.
pub(crate) fn say(text: String) {
    STDERR.push(text, CAPACITY);
}

/// Where logs and the progress go: what is written at once stays together.
#[derive(Debug)]
pub(crate) struct Log;

impl Write for Log {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        STDERR.push(text, LOG_CAPACITY);
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Lets a panic be said here too: the usual way would wait for standard error.
pub(crate) fn take_panics() {
    std::panic::set_hook(Box::new(|panic| {
        // Shown if RUST_BACKTRACE asks for it.
        let backtrace = std::backtrace::Backtrace::capture();
        match backtrace.status() {
            std::backtrace::BacktraceStatus::Captured => say(format!("{panic}\n{backtrace}\n")),
            _ => say(format!("{panic}\n")),
        }
    }));
}

/// Waits when it is dropped, for a moment, until all has been written.
pub(crate) struct Written;

impl Drop for Written {
    fn drop(&mut self) {
        STDERR.wait(PATIENCE);
    }
}

/// Shows control characters, which names of files and answers of servers may have, instead of
/// obeying them.
pub(crate) fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        match c.is_control() {
            true => line.extend(c.escape_default()),
            false => line.push(c),
        }
    }
    line
}

#[derive(Default)]
struct Diagnostics {
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Vec<u8>>,
    /// The bytes that wait or are being written.
    bytes: usize,
    /// How often something was dropped since something was taken in.
    dropped: u64,
}

impl Diagnostics {
    /// Takes `text` in, unless more than `capacity` would wait.
    fn push(&self, text: impl Into<Vec<u8>>, capacity: usize) {
        let text = text.into();
        let mut queue = self.lock();
        if queue.bytes + text.len() > capacity {
            queue.dropped += 1;
            return;
        }
        let dropped = std::mem::take(&mut queue.dropped);
        if dropped > 0 {
            let missing = format!(
                "oss-append: {dropped} messages are missing here: standard error took no more\n"
            );
            queue.add(missing.into());
        }
        queue.add(text);
        self.changed.notify_all();
    }

    /// Writes what comes, forever.
    fn write(&self, write: impl Fn(&[u8])) {
        loop {
            let queue = self.lock();
            let empty = |queue: &mut Queue| queue.waiting.is_empty();
            let mut queue = self
                .changed
                .wait_while(queue, empty)
                .unwrap_or_else(PoisonError::into_inner);
            let Some(text) = queue.waiting.pop_front() else {
                continue;
            };
            drop(queue);
            write(&text);
            self.lock().bytes -= text.len();
            self.changed.notify_all();
        }
    }

    /// Waits until all has been written, for `patience` at most.
    fn wait(&self, patience: Duration) {
        let unwritten = |queue: &mut Queue| queue.bytes > 0;
        let _ = self
            .changed
            .wait_timeout_while(self.lock(), patience, unwritten);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    fn add(&mut self, text: Vec<u8>) {
        self.bytes += text.len();
        self.waiting.push_back(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    /// With a thread that writes to the receiver, one text each time that it is received.
    fn slow() -> (Arc<Diagnostics>, mpsc::Receiver<String>) {
        let (sender, receiver) = mpsc::sync_channel(0);
        let diagnostics = Arc::<Diagnostics>::default();
        let written = Arc::clone(&diagnostics);
        std::thread::spawn(move || {
            written.write(|text| {
                let _ = sender.send(String::from_utf8(text.to_vec()).unwrap());
            });
        });
        (diagnostics, receiver)
    }

    #[test]
    fn what_finds_no_room_is_dropped_and_counted() {
        let (diagnostics, written) = slow();
        for text in ["one", "two", "three", "four"] {
            diagnostics.push(text, 8);
        }
        assert_eq!(written.recv().unwrap(), "one");
        assert_eq!(written.recv().unwrap(), "two");
        diagnostics.wait(Duration::MAX);
        diagnostics.push("five", 8);
        let missing = written.recv().unwrap();
        assert!(missing.contains("2 messages are missing"), "{missing}");
        assert_eq!(written.recv().unwrap(), "five");
    }

    #[test]
    fn a_note_finds_room_behind_a_log_that_has_filled_its_part() {
        let (diagnostics, written) = slow();
        for _ in 0..9 {
            diagnostics.push("log", 10);
        }
        diagnostics.push("failure", 2000);
        let all: Vec<String> = written.iter().take(5).collect();
        assert_eq!((&*all[0], &*all[2], &*all[4]), ("log", "log", "failure"));
    }

    #[test]
    fn the_end_does_not_wait_for_ever() {
        let (diagnostics, _nobody_receives) = slow();
        diagnostics.push("lost", 8);
        diagnostics.wait(Duration::from_millis(1));
        assert!(diagnostics.lock().bytes > 0);
    }

    #[test]
    fn a_note_is_one_line_whatever_is_in_it() {
        assert_eq!(one_line("a\nb\u{1b}[31mü"), "a\\nb\\u{1b}[31mü");
    }
}
