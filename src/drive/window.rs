//! Where the window that an object's engine works on lives: with those who wait for what is in it.

use crate::engine::window::Window;

/// Gives access to a window, a moment at a time.
pub(crate) trait WindowAccess: Send + Sync {
    /// Works on the window. What was settled by that is told to whom it concerns.
    fn with<R>(&mut self, work: impl FnOnce(&mut Window) -> R) -> R;
}

/// Nobody but the caller is concerned.
impl WindowAccess for Window {
    fn with<R>(&mut self, work: impl FnOnce(&mut Window) -> R) -> R {
        let done = work(self);
        drop(self.take_settled());
        done
    }
}
