//! The terminal on standard error, as a progress bar draws on it.
//!
//! A terminal that is stopped (^S), or that nobody reads, takes nothing for as long as it likes.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::sync::{Mutex, PoisonError};

use indicatif::TermLike;

use super::diagnostics::Log;

/// Gathers what is drawn, and gives it to the diagnostics one picture at a time.
#[derive(Debug, Default)]
pub(crate) struct Terminal {
    picture: Mutex<String>,
}

impl Terminal {
    fn add(&self, part: std::fmt::Arguments<'_>) -> io::Result<()> {
        let mut picture = self.picture.lock().unwrap_or_else(PoisonError::into_inner);
        picture.write_fmt(part).map_err(io::Error::other)
    }

    /// Adds the movement that `letter` stands for.
    fn move_cursor(&self, count: usize, letter: char) -> io::Result<()> {
        match count {
            0 => Ok(()),
            _ => self.add(format_args!("\x1b[{count}{letter}")),
        }
    }
}

impl TermLike for Terminal {
    fn width(&self) -> u16 {
        #[cfg(unix)]
        if let Ok(size) = rustix::termios::tcgetwinsize(rustix::stdio::stderr())
            && size.ws_col > 0
        {
            return size.ws_col;
        }
        80
    }

    fn move_cursor_up(&self, n: usize) -> io::Result<()> {
        self.move_cursor(n, 'A')
    }

    fn move_cursor_down(&self, n: usize) -> io::Result<()> {
        self.move_cursor(n, 'B')
    }

    fn move_cursor_right(&self, n: usize) -> io::Result<()> {
        self.move_cursor(n, 'C')
    }

    fn move_cursor_left(&self, n: usize) -> io::Result<()> {
        self.move_cursor(n, 'D')
    }

    fn write_line(&self, s: &str) -> io::Result<()> {
        self.add(format_args!("{s}\n"))
    }

    fn write_str(&self, s: &str) -> io::Result<()> {
        self.add(format_args!("{s}"))
    }

    fn clear_line(&self) -> io::Result<()> {
        self.add(format_args!("\r\x1b[2K"))
    }

    fn flush(&self) -> io::Result<()> {
        let mut picture = self.picture.lock().unwrap_or_else(PoisonError::into_inner);
        match picture.is_empty() {
            true => Ok(()),
            false => Log.write_all(std::mem::take(&mut *picture).as_bytes()),
        }
    }
}
