//! PutBucket, DeleteBucket, GetBucketInfo and ListBuckets.

use http::StatusCode;

use super::Call;
use crate::emulator::answer::Answer;
use crate::emulator::body::Received;
use crate::emulator::clock;
use crate::emulator::refusal::Refusal;
use crate::emulator::shared::Shared;
use crate::emulator::storage::BucketProperties;
use crate::emulator::xml::Document;
use crate::values::path::check_bucket;
use crate::wire::xml::{Element, Elements};

/// The owner of everything.
pub(super) const OWNER: &str = "1000000000000000";

pub(super) fn put(shared: &Shared, call: &Call, body: Received) -> Result<Answer, Refusal> {
    let name = call.bucket_name();
    if check_bucket(name).is_err() {
        return Err(Refusal::invalid_bucket_name(name));
    }
    let acl = match call.parts.headers.get("x-oss-acl") {
        None => None,
        Some(acl) => match acl.to_str() {
            Ok(acl @ ("private" | "public-read" | "public-read-write")) => Some(acl),
            _ => {
                let value = String::from_utf8_lossy(acl.as_bytes());
                return Err(Refusal::invalid_value(
                    "x-oss-acl",
                    value,
                    "no such bucket access control exists",
                )
                .ec("0015-00000204"));
            }
        },
    };
    check_configuration(&body.into_bytes()?)?;
    shared
        .storage
        .create_bucket(name, acl, shared.clock.now())?;
    Ok(Answer::empty(StatusCode::OK).header("location", format_args!("/{name}")))
}

/// Checks a `CreateBucketConfiguration`, of which nothing is kept.
fn check_configuration(document: &[u8]) -> Result<(), Refusal> {
    if document.trim_ascii().is_empty() {
        return Ok(());
    }
    let malformed = || Refusal::malformed_xml("0017-00000605");
    let document = str::from_utf8(document).map_err(|_| malformed())?;
    let mut elements = Elements::strict(document);
    let (mut roots, mut open) = (0, 0u32);
    while let Some(element) = elements.next().map_err(|_| malformed())? {
        match element {
            Element::Start { depth, .. } => {
                roots += u32::from(depth == 0);
                open += 1;
            }
            Element::End { name, text, .. } => {
                open -= 1;
                if name == "StorageClass" {
                    check_storage_class(text.trim())?;
                }
            }
        }
    }
    match (roots, open) {
        (1, 0) => Ok(()),
        _ => Err(malformed()),
    }
}

fn check_storage_class(class: &str) -> Result<(), Refusal> {
    match class {
        "Standard" | "IA" | "Archive" | "ColdArchive" | "DeepColdArchive" => Ok(()),
        "" => Err(Refusal::malformed_xml("0017-00000606")),
        _ => Err(Refusal::invalid_value(
            "StorageClass",
            class,
            "No such bucket storage class exists.",
        )
        .ec("0013-00000101")),
    }
}

pub(super) fn delete(shared: &Shared, call: &Call) -> Result<Answer, Refusal> {
    call.bucket(shared)?;
    if !shared.storage.delete_bucket(call.bucket_name())? {
        return Err(Refusal::new(
            StatusCode::CONFLICT,
            "BucketNotEmpty",
            "The bucket has objects. Please delete them first.",
        )
        .ec("0015-00000301")
        .element("BucketName", call.bucket_name()));
    }
    Ok(Answer::empty(StatusCode::NO_CONTENT))
}

pub(super) fn info(shared: &Shared, call: &Call) -> Result<Answer, Refusal> {
    let bucket = call.bucket(shared)?.properties();
    let mut document = Document::new("BucketInfo");
    document.open("Bucket");
    describe(&mut document, shared, call.bucket_name(), &bucket);
    owner(&mut document);
    document
        .open("AccessControlList")
        .text("Grant", &bucket.acl)
        .close("AccessControlList")
        .text("DataRedundancyType", "LRS")
        .close("Bucket");
    Ok(Answer::xml(document.finish()))
}

pub(super) fn list(shared: &Shared, call: &Call) -> Result<Answer, Refusal> {
    let get = |name| call.query.get(name).unwrap_or_default();
    let most = max_keys(get("max-keys"), "0017-00000289")?;
    let (prefix, marker) = (get("prefix"), get("marker"));
    let mut found: Vec<_> = shared
        .storage
        .buckets()
        .into_iter()
        .filter(|(name, _)| name.starts_with(prefix) && name.as_str() > marker)
        .collect();
    let more = found.len() > most;
    found.truncate(most);
    let mut document = Document::new("ListAllMyBucketsResult");
    if more {
        let next = found.last().map_or("", |(name, _)| name);
        document
            .text("Prefix", prefix)
            .text("Marker", marker)
            .text("MaxKeys", most)
            .text("IsTruncated", more)
            .text("NextMarker", next);
    }
    owner(&mut document);
    document.open("Buckets");
    for (name, bucket) in &found {
        document.open("Bucket");
        describe(&mut document, shared, name, bucket);
        document.close("Bucket");
    }
    document.close("Buckets");
    Ok(Answer::xml(document.finish()))
}

/// Reads `max-keys`; 100 if it is not given.
pub(super) fn max_keys(text: &str, ec: &'static str) -> Result<usize, Refusal> {
    if text.is_empty() {
        return Ok(100);
    }
    text.parse()
        .ok()
        .filter(|most| (1..=1000).contains(most))
        .ok_or_else(|| {
            Refusal::invalid_value(
                "max-keys",
                text,
                "Argument max-keys must be an integer between 1 and 1000.",
            )
            .ec(ec)
        })
}

pub(super) fn owner(document: &mut Document) {
    document
        .open("Owner")
        .text("ID", OWNER)
        .text("DisplayName", OWNER)
        .close("Owner");
}

fn describe(document: &mut Document, shared: &Shared, name: &str, bucket: &BucketProperties) {
    let region = &shared.region;
    document
        .text("Name", name)
        .text("CreationDate", clock::iso(bucket.created))
        .text("Location", format_args!("oss-{region}"))
        .text(
            "ExtranetEndpoint",
            format_args!("oss-{region}.aliyuncs.com"),
        )
        .text(
            "IntranetEndpoint",
            format_args!("oss-{region}-internal.aliyuncs.com"),
        )
        .text("StorageClass", "Standard");
}
