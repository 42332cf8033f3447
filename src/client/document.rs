//! The error document of OSS: a flat XML document, read leniently.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::HeaderMap;
use quick_xml::Reader;
use quick_xml::events::Event;

/// The most characters of one field.
const MAX_FIELD: usize = 1024;

/// The fields of an error document that are of use.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Document {
    pub(super) code: Option<String>,
    pub(super) message: Option<String>,
    pub(super) request_id: Option<String>,
    pub(super) host_id: Option<String>,
    pub(super) ec: Option<String>,
    pub(super) endpoint: Option<String>,
    pub(super) server_time: Option<String>,
}

impl Document {
    fn field(&mut self, name: &str) -> Option<&mut Option<String>> {
        Some(match name {
            "Code" => &mut self.code,
            "Message" => &mut self.message,
            "RequestId" => &mut self.request_id,
            "HostId" => &mut self.host_id,
            "EC" => &mut self.ec,
            "Endpoint" => &mut self.endpoint,
            "ServerTime" => &mut self.server_time,
            _ => return None,
        })
    }
}

/// The document that stands in for the body of an answer to HEAD.
pub(super) fn document_in_header(headers: &HeaderMap) -> Option<String> {
    let encoded = headers.get("x-oss-err")?.as_bytes();
    let decoded = BASE64_STANDARD.decode(encoded.trim_ascii()).ok()?;
    Some(String::from_utf8_lossy(&decoded).into_owned())
}

/// Reads the flat children of the root `Error`. What is broken or cut off in the middle counts as
/// far as it goes; a document with another root is none.
pub(super) fn parse_document(text: &str) -> Option<Document> {
    let mut reader = Reader::from_str(text);
    reader.config_mut().check_end_names = false;
    let mut document = None;
    let mut depth = 0_u32;
    let mut value = String::new();
    while let Ok(event) = reader.read_event() {
        match event {
            Event::Start(tag) => {
                if depth == 0 {
                    if tag.local_name().as_ref() != "Error" {
                        return None;
                    }
                    document.get_or_insert_with(Document::default);
                }
                depth += 1;
                value.clear();
            }
            Event::Text(text) => value.push_str(&text.xml10_content()),
            Event::CData(text) => value.push_str(&text.xml10_content()),
            Event::GeneralRef(reference) => match reference.resolve_char_ref() {
                Ok(Some(character)) => value.push(character),
                _ => value.push_str(
                    quick_xml::escape::resolve_predefined_entity(&reference).unwrap_or_default(),
                ),
            },
            Event::End(tag) => {
                depth = depth.saturating_sub(1);
                if depth == 1
                    && let Some(document) = &mut document
                    && let Some(field) = document.field(tag.local_name().as_ref())
                {
                    *field = Some(clean(&value)).filter(|value| !value.is_empty());
                }
                value.clear();
            }
            Event::Eof => break,
            _ => {}
        }
    }
    document
}

/// One line of bounded length, fit for a log.
pub(super) fn clean(text: &str) -> String {
    let printable = |c: char| if c.is_control() { ' ' } else { c };
    text.trim().chars().take(MAX_FIELD).map(printable).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Document {
        parse_document(text).unwrap()
    }

    #[test]
    fn references_and_cdata_are_resolved() {
        let document = read(
            "<Error><Code><![CDATA[A&B]]></Code>\
             <Message>1 &lt; 2 &#x26; &#51;&bogus;</Message></Error>",
        );
        assert_eq!(document.code.unwrap(), "A&B");
        assert_eq!(document.message.unwrap(), "1 < 2 & 3");
    }

    #[test]
    fn a_document_that_breaks_off_counts_as_far_as_it_goes() {
        let document = read("<Error><Code>InternalError</Code><Message>half of a");
        assert_eq!(document.code.unwrap(), "InternalError");
        assert_eq!(document.message, None);
    }

    #[test]
    fn a_field_is_one_line_of_bounded_length() {
        let long = "x".repeat(5000);
        let document = read(&format!(
            "<Error><Code>A\nB</Code><Message>{long}</Message></Error>"
        ));
        assert_eq!(document.code.unwrap(), "A B");
        assert_eq!(document.message.unwrap().len(), MAX_FIELD);
    }

    proptest::proptest! {
        #[test]
        fn no_answer_whatever_makes_the_reader_panic(text: String, tag in "<?[/!?&A-Za-z#;>]{0,9}") {
            let _ = parse_document(&text);
            let _ = parse_document(&format!("<Error><Code>{tag}{text}"));
        }
    }
}
