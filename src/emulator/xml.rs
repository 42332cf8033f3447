//! Writing XML documents: elements in order, text escaped.

use std::fmt::Display;

use bytes::Bytes;
use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesEnd, BytesStart, BytesText, Event};

/// An XML document under construction. Writing to memory cannot fail.
pub(super) struct Document {
    writer: Writer<Vec<u8>>,
    root: &'static str,
}

impl Document {
    /// A document with this root element.
    pub(super) fn new(root: &'static str) -> Self {
        let mut document = Self {
            writer: Writer::new(Vec::new()),
            root,
        };
        document.event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)));
        document.open(root);
        document
    }

    /// An element that holds nothing but text.
    pub(super) fn text(&mut self, name: &str, text: impl Display) -> &mut Self {
        let mut text = text.to_string();
        if text.chars().any(|c| allowed(c) != c) {
            text = text.chars().map(allowed).collect();
        }
        self.open(name);
        self.event(Event::Text(BytesText::new(&text)));
        self.close(name)
    }

    /// Begins an element.
    pub(super) fn open(&mut self, name: &str) -> &mut Self {
        self.event(Event::Start(BytesStart::new(name)));
        self
    }

    /// Ends an element.
    pub(super) fn close(&mut self, name: &str) -> &mut Self {
        self.event(Event::End(BytesEnd::new(name)));
        self
    }

    /// The finished document.
    pub(super) fn finish(mut self) -> Bytes {
        let root = self.root;
        self.close(root);
        self.writer.into_inner().into()
    }

    fn event(&mut self, event: Event<'_>) {
        self.writer
            .write_event(event)
            .expect("writing to memory cannot fail");
    }
}

/// XML 1.0 has no way to write most control characters.
fn allowed(c: char) -> char {
    match c {
        '\t' | '\n' | '\r' => c,
        '\u{0}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => char::REPLACEMENT_CHARACTER,
        _ => c,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_escaped() {
        let mut document = Document::new("A");
        document.text("B", "<&>\u{1}");
        assert_eq!(
            document.finish(),
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><A><B>&lt;&amp;&gt;\u{fffd}</B></A>"
        );
    }
}
