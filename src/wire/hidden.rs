//! What others have sent, made fit to be shown: without secrets, in one line of bounded length.

/// The most characters of one field.
pub(crate) const MAX_FIELD: usize = 1024;

/// Secrets that an answer may repeat, and that no error shows.
#[derive(Default)]
pub(crate) struct Hidden<'a>(Vec<&'a str>);

impl<'a> Hidden<'a> {
    pub(crate) fn new(secrets: impl IntoIterator<Item = &'a str>) -> Self {
        Self(secrets.into_iter().filter(|s| !s.is_empty()).collect())
    }

    /// [`clean`] text without the secrets.
    pub(crate) fn show(&self, text: &str) -> String {
        // Before the text is cut, which could leave the beginning of a secret.
        match self.0.iter().any(|secret| text.contains(secret)) {
            true => clean(
                &self
                    .0
                    .iter()
                    .fold(text.to_owned(), |text, secret| text.replace(secret, "***")),
            ),
            false => clean(text),
        }
    }
}

/// One line of bounded length, fit for a log.
pub(crate) fn clean(text: &str) -> String {
    let printable = |c: char| if breaks_a_line(c) { ' ' } else { c };
    text.trim().chars().take(MAX_FIELD).map(printable).collect()
}

/// Control characters, and what Unicode has beside them to break or reorder a line.
fn breaks_a_line(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_cannot_be_broken_or_reordered() {
        let text = "a\0b\u{1b}[31mc\u{85}d\u{2028}e\u{202e}f\u{2066}g\r\nh";
        assert_eq!(clean(text), "a b [31mc d e f g  h");
    }

    #[test]
    fn a_secret_is_hidden_before_the_text_is_cut() {
        let hidden = Hidden::new(["hush-hush", ""]);
        let long = "x".repeat(MAX_FIELD - 4) + "hush-hush";
        assert!(!hidden.show(&long).contains("hush"));
        assert_eq!(hidden.show("a hush-hush\nb hush-hush"), "a *** b ***");
        assert_eq!(hidden.show("nothing"), "nothing");
    }
}
