//! Where the last lines of a text begin.

/// Searches for the start of the last lines, backwards piece by piece.
pub(super) struct LastLines {
    /// How many line feeds are still to be found; the one that ends the last line not counted.
    left: u64,
    at_end: bool,
}

impl LastLines {
    pub(super) fn new(count: u64) -> Self {
        Self {
            left: count,
            at_end: true,
        }
    }

    /// Where in this piece, which stands before the last one, the lines begin.
    pub(super) fn search(&mut self, piece: &[u8]) -> Option<usize> {
        let last = piece.len().checked_sub(1)?;
        let at_end = std::mem::replace(&mut self.at_end, false);
        for (at, byte) in piece.iter().enumerate().rev() {
            if *byte != b'\n' || (at_end && at == last) {
                continue;
            }
            self.left -= 1;
            if self.left == 0 {
                return Some(at + 1);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn last(text: &str, count: u64, size: usize) -> &str {
        let mut lines = LastLines::new(count);
        let mut end = text.len();
        while end > 0 {
            let start = end.saturating_sub(size);
            if let Some(at) = lines.search(&text.as_bytes()[start..end]) {
                return &text[start + at..];
            }
            end = start;
        }
        text
    }

    #[test]
    fn the_last_lines_are_found_wherever_the_pieces_end() {
        for size in 1..12 {
            for (text, count, found) in [
                ("a\nbb\nccc\n", 1, "ccc\n"),
                ("a\nbb\nccc\n", 2, "bb\nccc\n"),
                ("a\nbb\nccc\n", 3, "a\nbb\nccc\n"),
                ("a\nbb\nccc\n", 99, "a\nbb\nccc\n"),
                ("a\nbb\nccc", 1, "ccc"),
                ("a\nbb\nccc", 2, "bb\nccc"),
                ("\n\n\n", 2, "\n\n"),
                ("no line feed", 1, "no line feed"),
                ("\n", 1, "\n"),
                ("", 1, ""),
            ] {
                assert_eq!(last(text, count, size), found, "{text:?} {count} {size}");
            }
        }
    }
}
