//! Counts the panics in the embedded server's own code: its tasks would swallow them.

use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering};

static COUNT: AtomicUsize = AtomicUsize::new(0);
static HOOK: Once = Once::new();

pub(crate) fn watch() {
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if info
                .location()
                .is_some_and(|at| !at.file().contains("tests"))
            {
                COUNT.fetch_add(1, Ordering::SeqCst);
            }
            before(info);
        }));
    });
}

pub(crate) fn count() -> usize {
    COUNT.load(Ordering::SeqCst)
}
