//! Lines at the end of an object.

/// Where the newest whole line begins and where it ends, behind its line break. The first line is
/// whole only if `from_start`.
pub fn newest_line(tail: &[u8], from_start: bool) -> Option<(usize, usize)> {
    let last = |part: &[u8]| part.iter().rposition(|byte| *byte == b'\n');
    let end = last(tail)?;
    match last(&tail[..end]) {
        Some(before) => Some((before + 1, end + 1)),
        None => from_start.then_some((0, end + 1)),
    }
}

#[cfg(test)]
mod tests {
    use super::newest_line;

    #[test]
    fn the_newest_whole_line_is_found() {
        for (tail, from_start, found) in [
            ("", true, None),
            ("a", true, None),
            ("a\n", true, Some((0, 2))),
            ("a\n", false, None),
            ("a\nbc\n", false, Some((2, 5))),
            ("a\nbc\nd", false, Some((2, 5))),
            ("a\nbc", true, Some((0, 2))),
            ("a\nbc", false, None),
            ("\n\n", false, Some((1, 2))),
        ] {
            assert_eq!(newest_line(tail.as_bytes(), from_start), found, "{tail:?}");
        }
    }
}
