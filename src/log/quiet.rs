//! The appender's own threads log nothing; otherwise what it sends would be logged and sent again.

use std::cell::Cell;

use tracing::subscriber::NoSubscriber;

use crate::callback::caught;

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Makes this thread one of the appender's for the rest of its life.
pub(super) fn silence() {
    mute();
    let subscriber = tracing::subscriber::set_default(NoSubscriber::new());
    // For good: what it would restore is not wanted.
    std::mem::forget(subscriber);
}

/// Takes nothing more that this thread logs. Others who listen to it still hear it.
pub(super) fn mute() {
    QUIET.set(true);
}

/// Whether what this thread logs is of the appender's own making. It gets here through loggers that
/// know no `tracing` subscriber.
#[inline]
pub(super) fn is_quiet() -> bool {
    QUIET.get()
}

/// The text that `make` makes; none if it panics. What it logs, and a panic hook for it, is of the
/// appender's own making: to take it would make notices of notices.
pub(super) fn quietly(make: impl FnOnce() -> String) -> String {
    let before = QUIET.replace(true);
    let made = caught(make);
    QUIET.set(before);
    made.unwrap_or_default()
}
