//! Where the whole lines of some bytes end.

/// How many of the first bytes are whole lines. What has no end is kept back, unless there are
/// `most` bytes of it: a line that long is sent in pieces.
pub(super) fn whole(bytes: &[u8], most: usize) -> usize {
    match bytes.iter().rposition(|byte| *byte == b'\n') {
        Some(last) => last + 1,
        None if bytes.len() >= most => bytes.len(),
        None => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::whole;

    #[test]
    fn a_line_without_an_end_waits() {
        assert_eq!(whole(b"", 8), 0);
        assert_eq!(whole(b"abc", 8), 0);
        assert_eq!(whole(b"a\nbc", 8), 2);
        assert_eq!(whole(b"a\nbc\n", 8), 5);
        assert_eq!(whole(b"\xc3", 8), 0);
    }

    #[test]
    fn a_line_that_is_too_long_is_sent_in_pieces() {
        assert_eq!(whole(b"12345678", 8), 8);
        assert_eq!(whole(b"1\n345678", 8), 2);
    }
}
