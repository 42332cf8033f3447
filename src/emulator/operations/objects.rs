//! HeadObject, GetObject, GetObjectMeta, PutObject, DeleteObject and DeleteMultipleObjects.

use std::ops::Range;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::request::Parts;
use http::{HeaderMap, HeaderName, Method, StatusCode};
use jiff::Timestamp;

use super::{Arguments, Call, append, check_mutable, no_conditions};
use crate::emulator::answer::Answer;
use crate::emulator::body::Received;
use crate::emulator::clock;
use crate::emulator::conditions::{self, Part};
use crate::emulator::object::{Attributes, Kind, Properties, new_version};
use crate::emulator::refusal::Refusal;
use crate::emulator::shared::Shared;
use crate::emulator::storage::{Reading, View};
use crate::emulator::target::Target;
use crate::emulator::xml::Document;
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
    check_overwrite(&parts.headers)?;
    check_last_modified(&parts.headers)?;
    Ok(Arguments::Put {
        attributes: Attributes::from_headers(&parts.headers)?,
    })
}

fn check_overwrite(headers: &HeaderMap) -> Result<(), Refusal> {
    const NAME: &str = "x-oss-forbid-overwrite";
    let Some(value) = headers.get(NAME) else {
        return Ok(());
    };
    let known = |known: &[u8]| value.as_bytes().eq_ignore_ascii_case(known);
    if known(b"true") || known(b"false") {
        return Ok(());
    }
    let value = String::from_utf8_lossy(value.as_bytes());
    Err(
        Refusal::invalid_value(NAME, value, "x-oss-forbid-overwrite must be true or false.")
            .ec("0017-00000279"),
    )
}

fn check_last_modified(headers: &HeaderMap) -> Result<(), Refusal> {
    const NAME: &str = "x-oss-user-last-modified";
    let Some(value) = headers.get(NAME) else {
        return Ok(());
    };
    let value = String::from_utf8_lossy(value.as_bytes());
    let message = match clock::parse_http_date(&value) {
        None => "Bad date format.",
        Some(time) if time <= Timestamp::UNIX_EPOCH => {
            "Invalid date. Must be later than 1970-01-01 00:00:00."
        }
        Some(_) => return Ok(()),
    };
    Err(Refusal::invalid_value(NAME, value, message).ec("0017-00000134"))
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
        return Err(too_large(shared));
    }
    let md5 = body.md5.unwrap_or_default();
    let rules = bucket.rules();
    let object = Properties {
        kind: Kind::Normal,
        length: body.length,
        crc64: body.crc64,
        etag: hex::encode_upper(md5),
        md5: Some(BASE64_STANDARD.encode(md5)),
        modified: shared.clock.now(),
        sealed: None,
        retained: rules.retention,
        attributes: attributes.in_bucket(rules),
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
            )
            .ec("0026-00000002"));
        }
        check_mutable(slot)?;
        slot.replace(body, object)?;
        Ok(answer)
    })
}

pub(super) fn too_large(shared: &Shared) -> Refusal {
    append::too_large(shared).ec("0017-00000102")
}

/// HeadObject and GetObject.
pub(super) fn get(shared: &Shared, call: &Call) -> Result<Answer, Refusal> {
    let bucket = call.bucket(shared)?;
    let headers = &call.parts.headers;
    let get = call.parts.method == Method::GET;
    let (object, answer) = shared.storage.with_view(&bucket, call.key(), |view| {
        let object = view
            .properties()
            .cloned()
            .ok_or_else(|| Refusal::no_such_key(call.key()))?;
        conditions::check(headers, &object)?;
        if get && object.attributes.is_archived() && !shared.traits.archive_direct_read {
            return Err(Refusal::forbidden(
                "InvalidObjectState",
                "The operation is not valid for the object's state",
            )
            .ec("0016-00000404"));
        }
        let content = match get {
            true => content(view, &object, conditions::part(headers, object.length)?)?,
            false => Answer::readings(StatusCode::OK, Vec::new(), object.length)
                .header("content-type", &object.attributes.content_type),
        };
        Ok::<_, Refusal>((object, content))
    })?;
    let mut answer = answer
        .identity(&object)
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

/// The answer to a GET, as far as its body goes.
fn content(view: &View<'_>, object: &Properties, part: Part) -> Result<Answer, Refusal> {
    let kind = &object.attributes.content_type;
    let of =
        |range: &Range<u64>| format!("bytes {}-{}/{}", range.start, range.end - 1, object.length);
    let answer = match part {
        Part::Whole => {
            let whole = view.read(0..object.length)?;
            Answer::readings(StatusCode::OK, vec![whole], object.length)
                .header("content-type", kind)
        }
        Part::Range(range) => {
            let length = range.end - range.start;
            let content_range = of(&range);
            Answer::readings(StatusCode::PARTIAL_CONTENT, vec![view.read(range)?], length)
                .header("content-type", kind)
                .header("content-range", content_range)
        }
        Part::Ranges(ranges) => {
            let boundary = format!("{:032x}", fastrand::u128(..));
            let (mut readings, mut length) = (Vec::new(), 0);
            let mut text = |readings: &mut Vec<Reading>, text: String| {
                length += text.len() as u64;
                readings.push(Reading::Pieces(vec![text.into()]));
            };
            let (mut opening, mut bytes) = ("", 0);
            for range in ranges {
                text(
                    &mut readings,
                    format!(
                        "{opening}--{boundary}\r\nContent-Type: {kind}\r\nContent-Range: {}\r\n\r\n",
                        of(&range)
                    ),
                );
                opening = "\r\n";
                bytes += range.end - range.start;
                readings.push(view.read(range)?);
            }
            text(&mut readings, format!("\r\n--{boundary}--\r\n"));
            Answer::readings(StatusCode::PARTIAL_CONTENT, readings, length + bytes).header(
                "content-type",
                format_args!("multipart/byteranges; boundary={boundary}"),
            )
        }
    };
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
    shared.storage.with_view(&bucket, call.key(), |view| {
        let object = view
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
    let answer = Answer::empty(StatusCode::NO_CONTENT);
    Ok(match bucket.rules().versioning {
        true => answer
            .header("x-oss-delete-marker", true)
            .header("x-oss-version-id", new_version()),
        false => answer,
    })
}

pub(super) fn delete_multiple(
    shared: &Shared,
    call: &Call,
    body: Received,
) -> Result<Answer, Refusal> {
    let bucket = call.bucket(shared)?;
    let (keys, quiet) = read_keys(&body.into_bytes()?)?;
    let url = call.query.get("encoding-type") == Some("url");
    let mut document = Document::new("DeleteResult");
    if url {
        document.text("EncodingType", "url");
    }
    for key in keys {
        if key.len() > ObjectPath::MAX_KEY_LEN {
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
fn read_keys(document: &[u8]) -> Result<(Vec<String>, bool), Refusal> {
    let malformed = |_| Refusal::malformed_xml("0016-00000607");
    let document = str::from_utf8(document).map_err(|_| Refusal::malformed_xml("0016-00000607"))?;
    let mut elements = Elements::strict(document);
    let (mut keys, mut quiet) = (Vec::new(), false);
    let mut open = 0u32;
    while let Some(element) = elements.next().map_err(malformed)? {
        match element {
            Element::Start { depth, name } => {
                open += 1;
                if depth == 0 && name != "Delete" {
                    return Err(Refusal::malformed_xml("0016-00000608"));
                }
            }
            Element::End { name, text, .. } => {
                open -= 1;
                match name.as_str() {
                    "Key" if text.is_empty() => {
                        return Err(Refusal::bad_request(
                            "UserKeyMustBeSpecified",
                            "User key must be specified.",
                        )
                        .ec("0016-00000611"));
                    }
                    "Key" => keys.push(text),
                    "Quiet" => {
                        quiet = match text.trim() {
                            "true" => true,
                            "false" => false,
                            _ => return Err(Refusal::malformed_xml("0016-00000610")),
                        }
                    }
                    _ => {}
                }
            }
        }
    }
    match keys.len() {
        _ if open > 0 => Err(Refusal::malformed_xml("0016-00000607")),
        0 => Err(Refusal::malformed_xml("0016-00000615")),
        1..=MOST_DELETED => Ok((keys, quiet)),
        _ => Err(Refusal::malformed_xml("0016-00000609")),
    }
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
        assert!(read_keys(b"<Delete><").is_err());
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
