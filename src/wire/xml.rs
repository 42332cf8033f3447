//! Elements of an XML document, one after the other. Depth costs no stack, and no entity is
//! expanded except those that every document has.

use quick_xml::Reader;
use quick_xml::events::Event;

/// The beginning or the end of an element, in how many others it stands: the root in none.
#[derive(Debug, PartialEq)]
pub(crate) enum Element {
    Start {
        depth: u32,
        name: String,
    },
    End {
        depth: u32,
        name: String,
        /// What stands in it, behind its last child if it has any.
        text: String,
    },
}

pub(crate) struct Elements<'a> {
    reader: Reader<&'a [u8]>,
    strict: bool,
    depth: u32,
    text: String,
}

const NOT_XML: &str = "it is not XML";

impl<'a> Elements<'a> {
    /// Those of a document in which everything counts: what is broken is an error.
    pub(crate) fn strict(text: &'a str) -> Self {
        let mut elements = Self::new(text, true);
        elements.reader.config_mut().expand_empty_elements = true;
        elements
    }

    /// Those of a document that counts as far as it goes: ends may not match their starts, what is
    /// `<empty/>` is not an element, and unknown entities are left out.
    pub(crate) fn lenient(text: &'a str) -> Self {
        let mut elements = Self::new(text, false);
        elements.reader.config_mut().check_end_names = false;
        elements
    }

    fn new(text: &'a str, strict: bool) -> Self {
        Self {
            reader: Reader::from_str(text),
            strict,
            depth: 0,
            text: String::new(),
        }
    }

    /// The next one; `None` at the end of the document, wherever that is.
    pub(crate) fn next(&mut self) -> Result<Option<Element>, &'static str> {
        loop {
            match self.reader.read_event().map_err(|_| NOT_XML)? {
                Event::Start(tag) => {
                    let depth = self.depth;
                    self.depth += 1;
                    self.text.clear();
                    let name = tag.local_name().as_ref().to_owned();
                    return Ok(Some(Element::Start { depth, name }));
                }
                Event::Text(text) => self.text.push_str(&text.xml10_content()),
                Event::CData(text) => self.text.push_str(&text.xml10_content()),
                Event::GeneralRef(reference) => match reference.resolve_char_ref() {
                    Ok(Some(character)) => self.text.push(character),
                    _ => match quick_xml::escape::resolve_predefined_entity(&reference) {
                        Some(text) => self.text.push_str(text),
                        None if self.strict => {
                            return Err("it has an entity that XML does not know");
                        }
                        None => {}
                    },
                },
                Event::End(tag) => {
                    if self.depth == 0 && self.strict {
                        return Err(NOT_XML);
                    }
                    self.depth = self.depth.saturating_sub(1);
                    return Ok(Some(Element::End {
                        depth: self.depth,
                        name: tag.local_name().as_ref().to_owned(),
                        text: std::mem::take(&mut self.text),
                    }));
                }
                Event::Eof => return Ok(None),
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(mut elements: Elements<'_>) -> Vec<(u32, String, String)> {
        let mut ends = Vec::new();
        while let Ok(Some(element)) = elements.next() {
            if let Element::End { depth, name, text } = element {
                ends.push((depth, name, text));
            }
        }
        ends
    }

    fn end(depth: u32, name: &str, text: &str) -> (u32, String, String) {
        (depth, name.into(), text.into())
    }

    #[test]
    fn each_end_tells_its_depth_and_its_text() {
        let text = "<a><x:b>1 &lt;<![CDATA[&]]>&#50;</x:b><c><d>3</d></c></a>";
        let expected = [
            end(1, "b", "1 <&2"),
            end(2, "d", "3"),
            end(1, "c", ""),
            end(0, "a", ""),
        ];
        assert_eq!(ends(Elements::strict(text)), expected);
        assert_eq!(ends(Elements::lenient(text)), expected);
    }

    #[test]
    fn what_is_broken_ends_a_strict_document_alone() {
        let wrong_end = "<a><b>1</c><d>2</d></a>";
        assert_eq!(ends(Elements::strict(wrong_end)), []);
        assert_eq!(ends(Elements::lenient(wrong_end)).len(), 3);
        let unknown = "<a>1&e;2</a>";
        assert_eq!(ends(Elements::strict(unknown)), []);
        assert_eq!(ends(Elements::lenient(unknown)), [end(0, "a", "12")]);
        let empty = "<a><b/></a>";
        assert_eq!(ends(Elements::strict(empty)).len(), 2);
        assert_eq!(ends(Elements::lenient(empty)).len(), 1);
    }
}
