//! The error document of OSS: a flat XML document, read leniently.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::HeaderMap;

use crate::wire::hidden::Hidden;
use crate::wire::xml::{Element, Elements};

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
pub(super) fn parse_document(text: &str, hidden: &Hidden<'_>) -> Option<Document> {
    let mut elements = Elements::lenient(text);
    let mut document: Option<Document> = None;
    while let Ok(Some(element)) = elements.next() {
        match element {
            Element::Start { depth: 0, name } if name == "Error" => {
                document.get_or_insert_default();
            }
            Element::Start { depth: 0, .. } => return None,
            Element::End {
                depth: 1,
                name,
                text,
            } => {
                if let Some(document) = &mut document
                    && let Some(field) = document.field(&name)
                {
                    *field = Some(hidden.show(&text)).filter(|text| !text.is_empty());
                }
            }
            _ => {}
        }
    }
    document
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::hidden::{MAX_FIELD, clean};
    use proptest::prelude::*;

    fn parse_document(text: &str) -> Option<Document> {
        super::parse_document(text, &Hidden::default())
    }

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

    #[test]
    fn an_entity_bomb_does_not_grow() {
        let mut bomb = String::from("<!DOCTYPE Error [<!ENTITY a \"aaaaaaaaaa\">");
        for (name, of) in [("b", "a"), ("c", "b"), ("d", "c"), ("e", "d")] {
            bomb += &format!("<!ENTITY {name} \"{}\">", format!("&{of};").repeat(10));
        }
        bomb += "<!ENTITY f SYSTEM \"file:///etc/passwd\">]>\
            <Error><Code>Bomb</Code><Message>1&e;&f;&#0;&#x110000;&#xD800;&#1;2</Message></Error>";
        let document = read(&bomb);
        assert_eq!(document.code.unwrap(), "Bomb");
        assert_eq!(document.message.unwrap(), "1 2");
    }

    #[test]
    fn depth_costs_no_stack_and_hides_no_field() {
        let deep = "<a>".repeat(20_000);
        assert_eq!(parse_document(&deep), None);
        let document = read(&format!("<Error><Code>A</Code>{deep}<Code>B</Code>"));
        assert_eq!(document.code.unwrap(), "A");
        let closed = "</Error>".repeat(20_000);
        assert_eq!(
            read(&format!("<Error><Code>A</Code>{closed}"))
                .code
                .unwrap(),
            "A"
        );
    }

    #[test]
    fn a_document_cut_off_anywhere_has_whole_fields_or_none() {
        let whole = "\u{feff}<?xml version=\"1.0\"?><!-- c --><Error xmlns:x='y'><Code>A&amp;B</Code>\
            <Message><![CDATA[<m>]]>é</Message><EC a=\"b\">1</EC></Error>";
        for end in 0..whole.len() {
            let text = String::from_utf8_lossy(&whole.as_bytes()[..end]);
            let cut = parse_document(&text).unwrap_or_default();
            assert!([None, Some("A&B")].contains(&cut.code.as_deref()), "{text}");
            assert!(
                [None, Some("<m>é")].contains(&cut.message.as_deref()),
                "{text}"
            );
            assert!([None, Some("1")].contains(&cut.ec.as_deref()), "{text}");
        }
        assert_eq!(read(whole).ec.unwrap(), "1");
    }

    #[test]
    fn another_encoding_is_no_document() {
        let utf16: Vec<u8> = "<Error><Code>A</Code></Error>"
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect();
        assert_eq!(parse_document(&String::from_utf8_lossy(&utf16)), None);
        let latin1 =
            b"<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><Error><Code>\xe9</Code></Error>";
        let code = read(&String::from_utf8_lossy(latin1)).code.unwrap();
        assert_eq!(code, "\u{fffd}");
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn no_answer_whatever_makes_the_reader_panic(
            text: String,
            tag in "<?[/!?&A-Za-z#;>]{0,9}",
            pieces in prop::collection::vec(prop::sample::select(vec![
                "<Error>", "</Error>", "<Code>", "</Code>", "<Message>", "<![CDATA[", "]]>",
                "<!DOCTYPE x [", "]>", "<!ENTITY a 'b'>", "<!--", "-->", "<?xml", "?>", "&#", "&a;",
                "&#x0;", "<", ">", "'", "\"", "=", "\0", "\u{202e}", "\u{feff}", "x",
            ]), 0..24),
        ) {
            for text in [
                text.clone(),
                format!("<Error><Code>{tag}{text}"),
                format!("<Error><Code>{}</Code></Error>", pieces.concat()),
                pieces.concat(),
            ] {
                let Some(found) = parse_document(&text) else { continue };
                for field in [found.code, found.message, found.ec].into_iter().flatten() {
                    prop_assert!(field.chars().count() <= MAX_FIELD);
                    prop_assert_eq!(clean(&field), field.trim());
                }
            }
        }
    }
}
