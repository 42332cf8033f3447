//! Makes text that others have sent fit to be shown: without secrets, on one line of bounded
//! length.

/// The most characters of one field.
pub(crate) const MAX_FIELD: usize = 1024;

/// Secrets that an answer may repeat, and that no error shows.
#[derive(Default)]
pub(crate) struct Hidden<'a> {
    secrets: [&'a str; 3],
    more: Vec<&'a str>,
}

impl<'a> Hidden<'a> {
    pub(crate) fn new(secrets: impl IntoIterator<Item = &'a str>) -> Self {
        let mut hidden = Self::default();
        let mut secrets = secrets.into_iter().filter(|secret| !secret.is_empty());
        for (place, secret) in hidden.secrets.iter_mut().zip(&mut secrets) {
            *place = secret;
        }
        hidden.more.extend(secrets);
        hidden
    }

    fn all(&self) -> impl Iterator<Item = &'a str> {
        let first = self.secrets.iter().filter(|secret| !secret.is_empty());
        first.chain(&self.more).copied()
    }

    /// The same as [`show`](Self::show), without a copy where nothing changes.
    pub(crate) fn fit(&self, text: String) -> String {
        let is_clean = text.trim().len() == text.len()
            && text.len() <= MAX_FIELD
            && !text.chars().any(breaks_a_line);
        match is_clean && !self.all().any(|secret| text.contains(secret)) {
            true => text,
            false => self.show(&text),
        }
    }

    /// [`clean`] text without the secrets.
    pub(crate) fn show(&self, text: &str) -> String {
        // Before the text is cut, which could leave the beginning of a secret.
        match self.all().any(|secret| text.contains(secret)) {
            true => clean(
                &self
                    .all()
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
        for text in ["nothing", "a hush-hush", " b\n", &long] {
            assert_eq!(hidden.fit(text.into()), hidden.show(text));
        }
    }
}
