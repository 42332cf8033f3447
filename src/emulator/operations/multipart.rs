//! Multipart uploads: InitiateMultipartUpload, UploadPart, UploadPartCopy, CompleteMultipartUpload,
//! AbortMultipartUpload, ListParts and ListMultipartUploads.

use std::collections::BTreeMap;

use http::request::Parts;
use http::{HeaderMap, StatusCode};
use md5::{Digest as _, Md5};
use percent_encoding::percent_decode_str;

use super::{Arguments, Call, bucket, check_mutable, no_conditions};
use crate::emulator::answer::Answer;
use crate::emulator::body::Received;
use crate::emulator::clock;
use crate::emulator::conditions;
use crate::emulator::object::{Attributes, Kind, Properties};
use crate::emulator::refusal::Refusal;
use crate::emulator::shared::Shared;
use crate::emulator::storage::uploads::{Name, Part, Upload};
use crate::emulator::target::{Query, Target};
use crate::emulator::xml::Document;
use crate::wire::encoding::encode_strict;
use crate::wire::xml::{Element, Elements};

/// The highest number of a part, and the least bytes of one that is not the last.
const MAX_NUMBER: u16 = 10_000;
const MIN_SIZE: u64 = 100 * 1024;

/// The most uploads or parts of a page.
const MAX_PAGE: usize = 1000;

pub(super) fn initiate_arguments(target: &Target, parts: &Parts) -> Result<Arguments, Refusal> {
    target.checked_key()?;
    no_conditions(parts)?;
    Ok(Arguments::Put {
        attributes: Attributes::from_headers(&parts.headers)?,
    })
}

pub(super) fn part_arguments(target: &Target, query: &Query) -> Result<Arguments, Refusal> {
    target.checked_key()?;
    let text = query.get_once("partNumber")?.unwrap_or_default();
    let number = text.parse().ok();
    match number.filter(|number| (1..=MAX_NUMBER).contains(number)) {
        Some(number) => Ok(Arguments::Part { number }),
        None => Err(Refusal::invalid_value(
            "partNumber",
            text,
            "Part number must be an integer between 1 and 10000, inclusive.",
        )),
    }
}

pub(super) fn initiate(shared: &Shared, call: Call) -> Result<Answer, Refusal> {
    let bucket = call.bucket(shared)?;
    if forbids_overwrite(&call.parts.headers) {
        let exists =
            (shared.storage).with_slot(&bucket, call.key(), |slot| slot.properties().is_some());
        if exists {
            return Err(already_exists());
        }
    }
    let name = Name {
        bucket: call.bucket_name().into(),
        key: call.key().into(),
        id: format!("{:032X}", fastrand::u128(..)),
    };
    let mut document = Document::new("InitiateMultipartUploadResult");
    document
        .text("Bucket", &name.bucket)
        .text("Key", &name.key)
        .text("UploadId", &name.id);
    let Arguments::Put { attributes } = call.arguments else {
        return Err(Refusal::internal("an upload without arguments"));
    };
    (shared.storage.uploads).begin(name, attributes, shared.clock.now());
    Ok(Answer::xml(document.finish()))
}

pub(super) fn part(shared: &Shared, call: &Call, body: Received) -> Result<Answer, Refusal> {
    let upload = upload(shared, call)?;
    let (crc64, etag) = (body.crc64, put_part(shared, call, &upload, body)?);
    Ok(Answer::empty(StatusCode::OK)
        .header("etag", format_args!("\"{etag}\""))
        .header("x-oss-hash-crc64ecma", crc64))
}

/// Puts a part in its place, and gives its tag.
fn put_part(
    shared: &Shared,
    call: &Call,
    upload: &Upload,
    body: Received,
) -> Result<String, Refusal> {
    let Arguments::Part { number } = call.arguments else {
        return Err(Refusal::internal("a part without a number"));
    };
    let etag = hex::encode_upper(body.md5.unwrap_or_default());
    let part = Part {
        body,
        etag: etag.clone(),
        modified: shared.clock.now(),
    };
    match upload.put(number, part) {
        true => Ok(etag),
        false => Err(no_such_upload(call)),
    }
}

pub(super) fn part_copy(shared: &Shared, call: &Call) -> Result<Answer, Refusal> {
    let upload = upload(shared, call)?;
    let headers = &call.parts.headers;
    let (source_bucket, source_key) = copy_source(headers)?;
    let source = bucket(shared, &source_bucket)?;
    let mut asked = HeaderMap::new();
    for (theirs, ours) in [
        ("x-oss-copy-source-if-match", "if-match"),
        ("x-oss-copy-source-range", "range"),
    ] {
        if let Some(value) = headers.get(theirs) {
            asked.insert(ours, value.clone());
        }
    }
    let reading = shared.storage.with_view(&source, &source_key, |view| {
        let object = view
            .properties()
            .ok_or_else(|| Refusal::no_such_key(&source_key))?;
        conditions::check(&asked, object)?;
        let range = match conditions::part(&asked, object.length)? {
            conditions::Part::Range(range) => range,
            conditions::Part::Whole | conditions::Part::Ranges(_) => 0..object.length,
        };
        Ok::<_, Refusal>(view.read(range)?)
    })?;
    let bytes = reading.into_bytes()?;
    let etag = put_part(shared, call, &upload, Received::from_bytes(bytes, true))?;
    let mut document = Document::new("CopyPartResult");
    document
        .text("LastModified", clock::iso(shared.clock.now()))
        .text("ETag", format_args!("\"{etag}\""));
    Ok(Answer::xml(document.finish()))
}

/// Bucket and key of `/BUCKET/KEY`, whose key is encoded.
fn copy_source(headers: &HeaderMap) -> Result<(String, String), Refusal> {
    let text = headers.get("x-oss-copy-source");
    let text = text.and_then(|text| text.to_str().ok()).unwrap_or_default();
    let named = text.trim_start_matches('/').split_once('/');
    let key = |key: &str| percent_decode_str(key).decode_utf8().map(Into::into);
    match named.map(|(bucket, encoded)| (bucket, key(encoded))) {
        Some((bucket, Ok(key))) if !bucket.is_empty() => Ok((bucket.into(), key)),
        _ => Err(Refusal::invalid_value(
            "x-oss-copy-source",
            text,
            "The copy source is not of the form /bucket/key.",
        )),
    }
}

pub(super) fn complete(shared: &Shared, call: &Call, body: Received) -> Result<Answer, Refusal> {
    let bucket = call.bucket(shared)?;
    let name = name(call);
    let upload = upload(shared, call)?;
    let wanted = read_parts(&body.into_bytes()?).ok_or_else(malformed)?;
    check_order(&wanted)?;
    let acl = (call.parts.headers)
        .get("x-oss-object-acl")
        .and_then(|acl| acl.to_str().ok());
    // The object is locked before the parts, so that one that is refused leaves them as they are.
    shared.storage.with_slot(&bucket, call.key(), |slot| {
        if forbids_overwrite(&call.parts.headers) && slot.properties().is_some() {
            return Err(already_exists());
        }
        check_mutable(slot)?;
        let taken = upload.with_parts(|parts| take(parts, &wanted, shared.max_object_size));
        let parts = taken.ok_or_else(|| no_such_upload(call))??;
        let (content, etag) = join(shared, parts)?;
        let mut attributes = upload.attributes.clone();
        if let Some(acl) = acl {
            attributes.acl = acl.into();
        }
        let object = Properties {
            kind: Kind::Multipart,
            length: content.length,
            crc64: content.crc64,
            etag,
            md5: None,
            modified: shared.clock.now(),
            sealed: None,
            retained: false,
            attributes,
        };
        slot.replace(content, object.clone())?;
        shared.storage.uploads.end(&name);
        let mut document = Document::new("CompleteMultipartUploadResult");
        document
            .text("Bucket", &name.bucket)
            .text("Key", &name.key)
            .text("ETag", format_args!("\"{}\"", object.etag));
        Ok(Answer::xml(document.finish()).identity(&object))
    })
}

/// Refuses numbers that do not ascend.
fn check_order(wanted: &[(u16, String)]) -> Result<(), Refusal> {
    match wanted.is_sorted_by(|(one, _), (next, _)| one < next) {
        true => Ok(()),
        false => Err(Refusal::bad_request(
            "InvalidPartOrder",
            "The list of parts was not in ascending order. Parts list must specified in order by \
             part number.",
        )
        .ec("0042-00000209")),
    }
}

/// Takes the parts that are wanted out of those that are there, if they can make an object.
fn take(
    parts: &mut BTreeMap<u16, Part>,
    wanted: &[(u16, String)],
    max_object_size: u64,
) -> Result<Vec<Part>, Refusal> {
    let mut length = 0;
    for (at, (number, etag)) in wanted.iter().enumerate() {
        let part = parts.get(number).filter(|part| part.etag == *etag);
        let part = part.ok_or_else(|| {
            Refusal::bad_request(
                "InvalidPart",
                "One or more of the specified parts could not be found or the specified entity tag \
                 might not have matched the part's entity tag.",
            )
            .element("PartNumber", number.to_string())
        })?;
        length += part.body.length;
        if part.body.length < MIN_SIZE && at + 1 < wanted.len() {
            return Err(Refusal::bad_request(
                "EntityTooSmall",
                "Your proposed upload smaller than the minimum allowed size.",
            )
            .ec("0042-00000213")
            .element("PartNumber", number.to_string()));
        }
    }
    if length > max_object_size {
        return Err(Refusal::bad_request(
            "EntityTooLarge",
            "Your proposed upload exceeds the maximum allowed object size.",
        ));
    }
    let taken = wanted.iter().filter_map(|(number, _)| parts.remove(number));
    Ok(taken.collect())
}

/// One body of all parts, and the tag of the object.
fn join(shared: &Shared, parts: Vec<Part>) -> Result<(Received, String), Refusal> {
    let mut md5 = Md5::new();
    for part in &parts {
        md5.update(hex::decode(&part.etag).map_err(Refusal::internal)?);
    }
    let etag = format!("{}-{}", hex::encode_upper(md5.finalize()), parts.len());
    let bodies = parts.into_iter().map(|part| part.body).collect();
    let content = Received::join(bodies, shared.storage.spool().as_deref())?;
    Ok((content, etag))
}

pub(super) fn abort(shared: &Shared, call: &Call) -> Result<Answer, Refusal> {
    match shared.storage.uploads.end(&name(call)) {
        true => Ok(Answer::empty(StatusCode::NO_CONTENT)),
        false => Err(no_such_upload(call)),
    }
}

pub(super) fn list_parts(shared: &Shared, call: &Call) -> Result<Answer, Refusal> {
    let upload = upload(shared, call)?;
    let after: u16 = number(call, "part-number-marker", 0)?;
    let most: usize = number(call, "max-parts", MAX_PAGE)?;
    let mut document = Document::new("ListPartsResult");
    document
        .text("Bucket", call.bucket_name())
        .text("Key", call.key())
        .text("UploadId", name(call).id);
    let written = upload.with_parts(|parts| {
        let mut behind = parts.range(after.saturating_add(1)..);
        let mut last = after;
        for (number, part) in behind.by_ref().take(most.clamp(1, MAX_PAGE)) {
            last = *number;
            document
                .open("Part")
                .text("PartNumber", number)
                .text("LastModified", clock::iso(part.modified))
                .text("ETag", format_args!("\"{}\"", part.etag))
                .text("HashCrc64ecma", part.body.crc64)
                .text("Size", part.body.length)
                .close("Part");
        }
        document
            .text("NextPartNumberMarker", last)
            .text("IsTruncated", behind.next().is_some());
    });
    written.ok_or_else(|| no_such_upload(call))?;
    Ok(Answer::xml(document.finish()))
}

pub(super) fn list_uploads(shared: &Shared, call: &Call) -> Result<Answer, Refusal> {
    call.bucket(shared)?;
    let get = |name| call.query.get(name).unwrap_or_default();
    let most: usize = number(call, "max-uploads", MAX_PAGE)?;
    let url = get("encoding-type") == "url";
    let encode = |text: &str| match url {
        true => encode_strict(text),
        false => text.to_owned(),
    };
    let (key, id) = match (get("key-marker"), get("upload-id-marker")) {
        // Behind all uploads of that key.
        (key, "") if !key.is_empty() => (key, "~"),
        markers => markers,
    };
    let found = (shared.storage.uploads).after(call.bucket_name(), key, id);
    let mut found = found
        .into_iter()
        .filter(|(name, _)| name.key.starts_with(get("prefix")));
    let page: Vec<_> = found.by_ref().take(most.clamp(1, MAX_PAGE)).collect();
    let mut document = Document::new("ListMultipartUploadsResult");
    document.text("Bucket", call.bucket_name());
    if url {
        document.text("EncodingType", "url");
    }
    if let Some((last, _)) = page.last() {
        document
            .text("NextKeyMarker", encode(&last.key))
            .text("NextUploadIdMarker", &last.id);
    }
    document.text("IsTruncated", found.next().is_some());
    for (name, initiated) in &page {
        document
            .open("Upload")
            .text("Key", encode(&name.key))
            .text("UploadId", &name.id)
            .text("Initiated", clock::iso(*initiated))
            .close("Upload");
    }
    Ok(Answer::xml(document.finish()))
}

fn number<T: std::str::FromStr>(call: &Call, name: &'static str, usual: T) -> Result<T, Refusal> {
    match call.query.get(name).filter(|text| !text.is_empty()) {
        None => Ok(usual),
        Some(text) => text
            .parse()
            .map_err(|_| Refusal::invalid_value(name, text, "The value is not a number.")),
    }
}

fn name(call: &Call) -> Name {
    Name {
        bucket: call.bucket_name().into(),
        key: call.key().into(),
        id: call.query.get("uploadId").unwrap_or_default().into(),
    }
}

fn upload(shared: &Shared, call: &Call) -> Result<std::sync::Arc<Upload>, Refusal> {
    let upload = shared.storage.uploads.get(&name(call));
    upload.ok_or_else(|| no_such_upload(call))
}

fn no_such_upload(call: &Call) -> Refusal {
    Refusal::new(
        StatusCode::NOT_FOUND,
        "NoSuchUpload",
        "The specified upload does not exist. The upload ID may be invalid, or the upload may have \
         been aborted or completed.",
    )
    .element("UploadId", name(call).id)
}

fn already_exists() -> Refusal {
    Refusal::new(
        StatusCode::CONFLICT,
        "FileAlreadyExists",
        "The object you specified already exists and can not be overwritten.",
    )
}

fn malformed() -> Refusal {
    Refusal::bad_request(
        "MalformedXML",
        "The XML you provided was not well-formed or did not validate against our published schema.",
    )
}

fn forbids_overwrite(headers: &HeaderMap) -> bool {
    headers
        .get("x-oss-forbid-overwrite")
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"true"))
}

/// Numbers and tags of a `CompleteMultipartUpload` document; `None` if it has none.
fn read_parts(document: &[u8]) -> Option<Vec<(u16, String)>> {
    let mut elements = Elements::strict(std::str::from_utf8(document).ok()?);
    let (mut parts, mut number, mut etag) = (Vec::new(), None, None);
    while let Some(element) = elements.next().ok()? {
        let Element::End { name, text, .. } = element else {
            continue;
        };
        match &*name {
            "PartNumber" => number = Some(text.trim().parse().ok()?),
            "ETag" => etag = Some(text.trim().trim_matches('"').to_ascii_uppercase()),
            "Part" => parts.push((number.take()?, etag.take()?)),
            _ => {}
        }
    }
    (!parts.is_empty()).then_some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn parts_are_read_with_and_without_quotes() {
        let document = b"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber>\
            <ETag>&quot;ab&quot;</ETag></Part><Part><ETag>CD</ETag><PartNumber>7</PartNumber></Part>\
            </CompleteMultipartUpload>";
        let parts = read_parts(document).unwrap();
        assert_eq!(parts, [(1, "AB".to_owned()), (7, "CD".to_owned())]);
        for wrong in [
            "",
            "<A/>",
            "<A><Part/></A>",
            "<A><Part><ETag>x</ETag></Part></A>",
        ] {
            assert!(read_parts(wrong.as_bytes()).is_none(), "{wrong}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn no_list_of_parts_whatever_panics(
            any in prop::collection::vec(any::<u8>(), 0..60),
            pieces in prop::collection::vec(prop::sample::select(vec![
                "<Part>", "</Part>", "<PartNumber>", "</PartNumber>", "<ETag>", "</ETag>", "1", "\"",
                "<![CDATA[", "]]>", "&quot;", "<", ">", "\0",
            ]), 0..16),
        ) {
            let _ = read_parts(&any);
            let _ = read_parts(pieces.concat().as_bytes());
        }
    }
}
