//! Printing to a terminal or pipe that may be gone: never a panic.

use std::fmt::Display;
use std::io::{self, Write};

use serde::Serialize;

use crate::failure::Failure;

/// Prints a line on standard output. A reader that has gone away is no failure.
pub(crate) fn print(line: impl Display) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    let printed = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
    printed.or_else(failed)
}

/// Prints one JSON object on standard output.
pub(crate) fn print_json(object: &impl Serialize) -> Result<(), Failure> {
    match serde_json::to_string(object) {
        Ok(json) => print(json),
        Err(error) => Err(Failure::local(format!("no JSON can be made: {error}"))),
    }
}

/// What it means that standard output cannot be written to.
pub(crate) fn failed(error: io::Error) -> Result<(), Failure> {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Ok(()),
        _ => Err(Failure::local(format!(
            "standard output cannot be written: {error}"
        ))),
    }
}

/// Prints one line on standard error, if anybody reads it.
pub(crate) fn note(text: impl Display) {
    let line = one_line(&format!("oss-append: {text}"));
    let _ = writeln!(io::stderr(), "{line}");
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_one_line_whatever_is_in_it() {
        assert_eq!(one_line("a\nb\u{1b}[31mü"), "a\\nb\\u{1b}[31mü");
    }
}
