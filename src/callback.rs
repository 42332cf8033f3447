//! Calls of the program's callbacks: a panic in them ends nothing of ours.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// What `call` gives; `None` if it panics, which the panic hook has reported.
pub(crate) fn caught<T>(call: impl FnOnce() -> T) -> Option<T> {
    let panic = match catch_unwind(AssertUnwindSafe(call)) {
        Ok(given) => return Some(given),
        Err(panic) => panic,
    };
    // What it panicked with is the program's too.
    if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
        std::mem::forget(again);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    struct PanicsInDrop;

    impl Drop for PanicsInDrop {
        fn drop(&mut self) {
            panic!("in the drop");
        }
    }

    #[test]
    fn no_panic_gets_out() {
        assert_eq!(caught(|| 1), Some(1));
        assert_eq!(caught(|| panic!("in the call")), None::<()>);
        assert_eq!(caught(|| std::panic::panic_any(PanicsInDrop)), None::<()>);
    }
}
