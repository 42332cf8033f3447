//! PutBucket, DeleteBucket, GetBucketInfo and ListBuckets.

use http::StatusCode;

use super::Call;
use crate::emulator::answer::Answer;
use crate::emulator::clock;
use crate::emulator::refusal::Refusal;
use crate::emulator::shared::Shared;
use crate::emulator::storage::BucketProperties;
use crate::emulator::xml::Document;
use crate::values::path::check_bucket;

/// The owner of everything.
pub(super) const OWNER: &str = "1000000000000000";

pub(super) fn put(shared: &Shared, call: &Call) -> Result<Answer, Refusal> {
    let name = call.bucket_name();
    if check_bucket(name).is_err() {
        return Err(Refusal::invalid_bucket_name(name));
    }
    let acl = match call.parts.headers.get("x-oss-acl") {
        None => None,
        Some(acl) => match acl.to_str() {
            Ok(acl @ ("private" | "public-read" | "public-read-write")) => Some(acl),
            _ => {
                return Err(Refusal::invalid_argument(
                    "The value of x-oss-acl is not valid.",
                ));
            }
        },
    };
    shared
        .storage
        .create_bucket(name, acl, shared.clock.now())?;
    Ok(Answer::empty(StatusCode::OK).header("location", format_args!("/{name}")))
}

pub(super) fn delete(shared: &Shared, call: &Call) -> Result<Answer, Refusal> {
    call.bucket(shared)?;
    if !shared.storage.delete_bucket(call.bucket_name())? {
        return Err(Refusal::new(
            StatusCode::CONFLICT,
            "BucketNotEmpty",
            "The bucket has objects. Please delete them first.",
        )
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
    let prefix = call.query.get("prefix").unwrap_or_default();
    let mut document = Document::new("ListAllMyBucketsResult");
    owner(&mut document);
    document.open("Buckets");
    for (name, bucket) in shared.storage.buckets() {
        if name.starts_with(prefix) {
            document.open("Bucket");
            describe(&mut document, shared, &name, &bucket);
            document.close("Bucket");
        }
    }
    document.close("Buckets");
    Ok(Answer::xml(document.finish()))
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
