//! HeadObject, GetObject, GetObjectMeta, PutObject, DeleteObject and DeleteMultipleObjects.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::request::Parts;
use http::{HeaderName, Method, StatusCode};

use super::{Arguments, Call, check_mutable, no_conditions};
use crate::emulator::answer::Answer;
use crate::emulator::body::Received;
use crate::emulator::conditions;
use crate::emulator::object::{Attributes, Kind, Properties};
use crate::emulator::refusal::Refusal;
use crate::emulator::shared::Shared;
use crate::emulator::target::Target;
use crate::emulator::xml::Document;
use crate::emulator::{clock, storage::Reading};
use crate::values::path::ObjectPath;
use crate::wire::xml::{Element, Elements};

/// The most objects that one request deletes.
const MOST_DELETED: usize = 1000;

pub(super) fn put_arguments(target: &Target, parts: &Parts) -> Result<Arguments, Refusal> {
    target.checked_key()?;
    if parts.headers.contains_key("x-oss-copy-source") {
        return Err(Refusal::not_implemented("CopyObject"));
    }
    no_conditions(parts)?;
    Ok(Arguments::Put {
        attributes: Attributes::from_headers(&parts.headers)?,
    })
}

pub(super) fn put(shared: &Shared, call: Call, body: Received) -> Result<Answer, Refusal> {
    let bucket = call.bucket(shared)?;
    let key = call.key().to_owned();
    let forbid_overwrite = call
        .parts
        .headers
        .get("x-oss-forbid-overwrite")
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"true"));
    let Arguments::Put { attributes } = call.arguments else {
        return Err(Refusal::internal("a put without arguments"));
    };
    if body.length > shared.max_object_size {
        return Err(Refusal::bad_request(
            "EntityTooLarge",
            "Your proposed upload exceeds the maximum allowed object size.",
        ));
    }
    let md5 = body.md5.unwrap_or_default();
    let object = Properties {
        kind: Kind::Normal,
        length: body.length,
        crc64: body.crc64,
        etag: hex::encode_upper(md5),
        md5: Some(BASE64_STANDARD.encode(md5)),
        modified: shared.clock.now(),
        sealed: None,
        retained: false,
        attributes,
    };
    let answer = Answer::empty(StatusCode::OK)
        .identity(&object)
        .header("content-md5", BASE64_STANDARD.encode(md5));
    shared.storage.with_slot(&bucket, &key, |slot| {
        if forbid_overwrite && slot.properties().is_some() {
            return Err(Refusal::new(
                StatusCode::CONFLICT,
                "FileAlreadyExists",
                "The object you specified already exists and can not be overwritten.",
            ));
        }
        check_mutable(slot)?;
        slot.replace(body, object)?;
        Ok(answer)
    })
}

/// HeadObject and GetObject.
pub(super) fn get(shared: &Shared, call: &Call) -> Result<Answer, Refusal> {
    let bucket = call.bucket(shared)?;
    let headers = &call.parts.headers;
    let get = call.parts.method == Method::GET;
    let (object, range, reading) = shared.storage.with_slot(&bucket, call.key(), |slot| {
        let object = slot
            .properties()
            .cloned()
            .ok_or_else(|| Refusal::no_such_key(call.key()))?;
        conditions::check(headers, &object)?;
        let range = match get {
            true => conditions::range(headers, object.length)?,
            false => None,
        };
        let reading = match get {
            true => slot.read(range.clone().unwrap_or(0..object.length))?,
            false => Reading::Pieces(Vec::new()),
        };
        Ok::<_, Refusal>((object, range, reading))
    })?;
    let mut answer = match range {
        None => Answer::reading(StatusCode::OK, reading, object.length),
        Some(range) => {
            let length = range.end - range.start;
            let (first, last) = (range.start, range.end - 1);
            Answer::reading(StatusCode::PARTIAL_CONTENT, reading, length).header(
                "content-range",
                format_args!("bytes {first}-{last}/{}", object.length),
            )
        }
    }
    .identity(&object)
    .header("content-type", &object.attributes.content_type)
    .header("last-modified", clock::http_date(object.modified))
    .header("accept-ranges", "bytes")
    .header("x-oss-object-type", object.kind.name())
    .header("x-oss-storage-class", &object.attributes.storage_class);
    if object.kind == Kind::Appendable {
        answer = answer.header("x-oss-next-append-position", object.length);
    }
    if let Some(sealed) = object.sealed {
        answer = answer.header("x-oss-sealed-time", clock::http_date(sealed));
    }
    if let Some(md5) = &object.md5 {
        answer = answer.header("content-md5", md5);
    }
    if !object.attributes.tags.is_empty() {
        answer = answer.header("x-oss-tagging-count", object.attributes.tags.len());
    }
    for (name, value) in &object.attributes.headers {
        set(&mut answer, name, value);
    }
    for (name, value) in &object.attributes.metadata {
        set(&mut answer, &format!("x-oss-meta-{name}"), value);
    }
    if get {
        override_headers(&mut answer, call);
    }
    Ok(answer)
}

fn set(answer: &mut Answer, name: &str, value: &str) {
    if let Ok(name) = HeaderName::from_bytes(name.as_bytes()) {
        answer.set(name, value);
    }
}

/// A GET may ask for other values of some headers.
fn override_headers(answer: &mut Answer, call: &Call) {
    for name in [
        "cache-control",
        "content-disposition",
        "content-encoding",
        "content-language",
        "content-type",
        "expires",
    ] {
        if let Some(value) = call.query.get(&format!("response-{name}")) {
            set(answer, name, value);
        }
    }
}

/// GetObjectMeta, which says little.
pub(super) fn meta(shared: &Shared, call: &Call) -> Result<Answer, Refusal> {
    let bucket = call.bucket(shared)?;
    shared.storage.with_slot(&bucket, call.key(), |slot| {
        let object = slot
            .properties()
            .ok_or_else(|| Refusal::no_such_key(call.key()))?;
        conditions::check(&call.parts.headers, object)?;
        let mut answer = Answer::empty(StatusCode::OK)
            .identity(object)
            .header("last-modified", clock::http_date(object.modified));
        if call.parts.method == Method::HEAD {
            answer = answer.header("content-length", object.length);
        }
        Ok(answer)
    })
}

pub(super) fn delete(shared: &Shared, call: &Call) -> Result<Answer, Refusal> {
    let bucket = call.bucket(shared)?;
    shared.storage.with_slot(&bucket, call.key(), |slot| {
        check_mutable(slot)?;
        Ok::<_, Refusal>(slot.remove()?)
    })?;
    Ok(Answer::empty(StatusCode::NO_CONTENT))
}

pub(super) fn delete_multiple(
    shared: &Shared,
    call: &Call,
    body: Received,
) -> Result<Answer, Refusal> {
    let bucket = call.bucket(shared)?;
    let malformed = || {
        Refusal::bad_request(
            "MalformedXML",
            "The XML you provided was not well-formed or did not validate against our published \
             schema.",
        )
    };
    let (keys, quiet) = read_keys(&body.into_bytes()?).ok_or_else(malformed)?;
    if keys.is_empty() || keys.len() > MOST_DELETED {
        return Err(malformed());
    }
    let url = call.query.get("encoding-type") == Some("url");
    let mut document = Document::new("DeleteResult");
    if url {
        document.text("EncodingType", "url");
    }
    for key in keys {
        if key.is_empty() || key.len() > ObjectPath::MAX_KEY_LEN {
            continue;
        }
        let deleted = shared.storage.with_slot(&bucket, &key, |slot| {
            let mutable = check_mutable(slot).is_ok();
            if mutable {
                slot.remove()?;
            }
            Ok::<_, Refusal>(mutable)
        })?;
        if deleted && !quiet {
            document.open("Deleted");
            match url {
                true => document.text("Key", crate::wire::encoding::encode_strict(&key)),
                false => document.text("Key", &key),
            };
            document.close("Deleted");
        }
    }
    if quiet {
        return Ok(Answer::empty(StatusCode::OK));
    }
    Ok(Answer::xml(document.finish()))
}

/// The keys of a `Delete` document, and whether it asks for silence.
fn read_keys(document: &[u8]) -> Option<(Vec<String>, bool)> {
    let mut elements = Elements::strict(std::str::from_utf8(document).ok()?);
    let (mut keys, mut quiet) = (Vec::new(), false);
    while let Some(element) = elements.next().ok()? {
        match element {
            Element::End { name, text, .. } if name == "Key" => keys.push(text),
            Element::End { name, text, .. } if name == "Quiet" => quiet = text.trim() == "true",
            _ => {}
        }
    }
    Some((keys, quiet))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn keys_are_read_from_a_delete_document() {
        let document = b"<?xml version=\"1.0\"?><Delete><Quiet>true</Quiet>\
            <Object><Key>a&amp;b&#x20;c</Key></Object>\n<Object><Key><![CDATA[d<e]]></Key></Object>\
            </Delete>";
        let (keys, quiet) = read_keys(document).unwrap();
        assert_eq!(keys, ["a&b c", "d<e"]);
        assert!(quiet);
        assert!(read_keys(b"<Delete><").is_none());
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn no_delete_document_whatever_panics(
            any in prop::collection::vec(any::<u8>(), 0..60),
            pieces in prop::collection::vec(prop::sample::select(vec![
                "<Delete>", "</Delete>", "<Object>", "<Key>", "</Key>", "&a;", "&#0;", "<!DOCTYPE x [",
                "<![CDATA[", "]]>", "<?", "<", "/", ">", "k", "\0",
            ]), 0..16),
        ) {
            let _ = read_keys(&any);
            let _ = read_keys(pieces.concat().as_bytes());
        }
    }
}
