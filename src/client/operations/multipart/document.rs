//! The documents of multipart uploads, read strictly: one that is cut off or of something else tells
//! nothing.

use std::collections::BTreeMap;

use crate::client::OssClient;
use crate::client::response::Answer;
use crate::error::Result;
use crate::wire::xml::{Element, Elements};

/// The most bytes of a document that has no list.
const MAX_DOCUMENT: usize = 64 * 1024;

/// The texts of the elements directly under the root, which has this name.
pub(super) async fn read_fields(
    answer: &mut Answer,
    client: &OssClient,
    root: &str,
) -> Result<BTreeMap<String, String>> {
    let idle = client.inner.attempt_timeout;
    let body = answer.document(MAX_DOCUMENT, idle).await?;
    let fields = match std::str::from_utf8(&body) {
        Ok(text) => fields(text, root),
        Err(_) => Err("it is not UTF-8"),
    };
    fields.map_err(|reason| answer.bad(reason))
}

fn fields(text: &str, root: &str) -> Result<BTreeMap<String, String>, &'static str> {
    let mut elements = Elements::strict(text);
    let (mut found, mut ended) = (BTreeMap::new(), false);
    while let Some(element) = elements.next()? {
        match element {
            Element::Start { depth: 0, name } if ended || name != root => {
                return Err("it is not the document that was expected");
            }
            Element::End { depth: 0, .. } => ended = true,
            Element::End {
                depth: 1,
                name,
                text,
            } => drop(found.insert(name, text)),
            _ => {}
        }
    }
    match ended {
        true => Ok(found),
        false => Err("it breaks off"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_whole_and_of_what_was_asked_for() {
        let whole = "<?xml version=\"1.0\"?><R><Bucket>b</Bucket><UploadId>a&amp;b</UploadId></R>";
        assert_eq!(fields(whole, "R").unwrap()["UploadId"], "a&b");
        for end in 0..whole.len() {
            assert!(fields(&whole[..end], "R").is_err(), "{}", &whole[..end]);
        }
        assert!(fields(whole, "Other").is_err());
        assert!(fields("<Error><Code>InternalError</Code></Error>", "R").is_err());
    }
}
