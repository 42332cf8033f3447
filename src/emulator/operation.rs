//! The operations of OSS that the server knows, and which of them a request asks for.

use std::fmt;

use http::{HeaderMap, Method};

use super::refusal::Refusal;
use super::target::{Query, Target};

/// An operation of OSS, named as in its API reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Operation {
    /// `POST /key?append&position=N`
    AppendObject,
    /// `POST /key?seal&position=N`
    SealAppendObject,
    /// `HEAD /key`
    HeadObject,
    /// `HEAD /key?objectMeta`
    GetObjectMeta,
    /// `GET /key`
    GetObject,
    /// `PUT /key`
    PutObject,
    /// `DELETE /key`
    DeleteObject,
    /// `POST /key?uploads`
    InitiateMultipartUpload,
    /// `PUT /key?partNumber=N&uploadId=ID`
    UploadPart,
    /// `PUT /key?partNumber=N&uploadId=ID`, with `x-oss-copy-source`
    UploadPartCopy,
    /// `POST /key?uploadId=ID`
    CompleteMultipartUpload,
    /// `DELETE /key?uploadId=ID`
    AbortMultipartUpload,
    /// `GET /key?uploadId=ID`
    ListParts,
    /// `GET /?uploads`
    ListMultipartUploads,
    /// `POST /?delete`
    DeleteMultipleObjects,
    /// `GET /`
    ListObjects,
    /// `GET /?list-type=2`
    ListObjectsV2,
    /// `PUT /`
    PutBucket,
    /// `DELETE /`
    DeleteBucket,
    /// `GET /?bucketInfo`
    GetBucketInfo,
    /// `GET /`, without a bucket
    ListBuckets,
    /// Anything else, which is answered with an error.
    Unknown,
}

/// The short names, for the command line.
const NAMES: [(&str, Operation); 21] = [
    ("append", Operation::AppendObject),
    ("seal", Operation::SealAppendObject),
    ("head", Operation::HeadObject),
    ("meta", Operation::GetObjectMeta),
    ("get", Operation::GetObject),
    ("put", Operation::PutObject),
    ("delete", Operation::DeleteObject),
    ("initiate-upload", Operation::InitiateMultipartUpload),
    ("upload-part", Operation::UploadPart),
    ("copy-part", Operation::UploadPartCopy),
    ("complete-upload", Operation::CompleteMultipartUpload),
    ("abort-upload", Operation::AbortMultipartUpload),
    ("list-parts", Operation::ListParts),
    ("list-uploads", Operation::ListMultipartUploads),
    ("delete-multiple", Operation::DeleteMultipleObjects),
    ("list", Operation::ListObjects),
    ("list-v2", Operation::ListObjectsV2),
    ("put-bucket", Operation::PutBucket),
    ("delete-bucket", Operation::DeleteBucket),
    ("bucket-info", Operation::GetBucketInfo),
    ("list-buckets", Operation::ListBuckets),
];

/// Parameters that ask for something else than the plain operation, and are not supported.
const OTHER_RESOURCES: [&str; 41] = [
    "accessmonitor",
    "acl",
    "asyncFetch",
    "bucketArchiveDirectRead",
    "callback",
    "cname",
    "comp",
    "cors",
    "encryption",
    "httpsConfig",
    "img",
    "inventory",
    "lifecycle",
    "live",
    "location",
    "logging",
    "metaQuery",
    "objectWorm",
    "policy",
    "publicAccessBlock",
    "qos",
    "referer",
    "regionList",
    "replication",
    "replicationProgress",
    "requestPayment",
    "resourceGroup",
    "restore",
    "rtc",
    "stat",
    "status",
    "style",
    "symlink",
    "tagging",
    "transferAcceleration",
    "versioning",
    "versions",
    "vod",
    "website",
    "worm",
    "x-oss-process",
];

impl Operation {
    /// Which operation a request asks for.
    pub(super) fn of(
        method: &Method,
        target: &Target,
        query: &Query,
        headers: &HeaderMap,
    ) -> Result<Self, Refusal> {
        if let Some(name) = OTHER_RESOURCES.iter().find(|name| query.has(name)) {
            return Err(
                Refusal::not_implemented(&format!("the sub-resource {name}"))
                    .element("ResourceType", *name),
            );
        }
        if let Some(name) = ["partNumber", "uploadId", "uploads"]
            .into_iter()
            .find(|name| query.has(name))
        {
            let copies = headers.contains_key("x-oss-copy-source");
            return Self::of_upload(method, target, query, copies).ok_or_else(|| {
                Refusal::not_implemented(&format!("the sub-resource {name} of this"))
                    .element("ResourceType", name)
            });
        }
        let operation = match (method.as_str(), &target.bucket, &target.key) {
            ("POST", Some(_), Some(_)) if query.has("append") => Self::AppendObject,
            ("POST", Some(_), Some(_)) if query.has("seal") => Self::SealAppendObject,
            ("HEAD" | "GET", Some(_), Some(_)) if query.has("objectMeta") => Self::GetObjectMeta,
            ("HEAD", Some(_), Some(_)) => Self::HeadObject,
            ("GET", Some(_), Some(_)) => Self::GetObject,
            ("PUT", Some(_), Some(_)) => Self::PutObject,
            ("DELETE", Some(_), Some(_)) => Self::DeleteObject,
            ("POST", Some(_), None) if query.has("delete") => Self::DeleteMultipleObjects,
            // An append without a key: refused by the rules for keys, not as an unknown call.
            ("POST", Some(_), None) if query.has("append") => Self::AppendObject,
            ("GET", Some(_), None) if query.has("bucketInfo") => Self::GetBucketInfo,
            ("GET", Some(_), None) if query.get("list-type") == Some("2") => Self::ListObjectsV2,
            ("GET", Some(_), None) => Self::ListObjects,
            ("PUT", Some(_), None) => Self::PutBucket,
            ("DELETE", Some(_), None) => Self::DeleteBucket,
            ("GET", None, None) => Self::ListBuckets,
            _ => return Err(Refusal::method_not_allowed(method)),
        };
        Ok(operation)
    }

    /// Which operation of multipart uploads a request asks for.
    fn of_upload(method: &Method, target: &Target, query: &Query, copies: bool) -> Option<Self> {
        let has = |name| query.has(name);
        Some(match (method.as_str(), &target.key) {
            ("GET", None) if has("uploads") => Self::ListMultipartUploads,
            ("POST", Some(_)) if has("uploads") => Self::InitiateMultipartUpload,
            ("PUT", Some(_)) if has("partNumber") && has("uploadId") => match copies {
                true => Self::UploadPartCopy,
                false => Self::UploadPart,
            },
            ("POST", Some(_)) if has("uploadId") => Self::CompleteMultipartUpload,
            ("DELETE", Some(_)) if has("uploadId") => Self::AbortMultipartUpload,
            ("GET", Some(_)) if has("uploadId") => Self::ListParts,
            _ => return None,
        })
    }

    /// Whether a public bucket or object allows it to those who may only read.
    pub(super) fn only_reads(self) -> bool {
        matches!(
            self,
            Self::HeadObject
                | Self::GetObjectMeta
                | Self::GetObject
                | Self::ListObjects
                | Self::ListObjectsV2
        )
    }

    /// Whether its body may become an object's.
    pub(super) fn stores(self) -> bool {
        !matches!(
            self,
            Self::SealAppendObject
                | Self::HeadObject
                | Self::GetObjectMeta
                | Self::GetObject
                | Self::DeleteObject
                | Self::DeleteMultipleObjects
                | Self::ListObjects
                | Self::ListObjectsV2
                | Self::PutBucket
                | Self::DeleteBucket
                | Self::GetBucketInfo
                | Self::ListBuckets
                | Self::UploadPart
                | Self::UploadPartCopy
                | Self::CompleteMultipartUpload
                | Self::AbortMultipartUpload
                | Self::ListParts
                | Self::ListMultipartUploads
        )
    }

    /// Whether it needs the rights of the bucket's owner, whatever the ACL.
    pub(super) fn owner_only(self) -> bool {
        matches!(
            self,
            Self::PutBucket | Self::DeleteBucket | Self::GetBucketInfo | Self::ListBuckets
        )
    }

    pub(super) fn from_short_name(name: &str) -> Option<Self> {
        let (_, operation) = NAMES.iter().find(|(short, _)| *short == name)?;
        Some(*operation)
    }

    pub(super) fn short_names() -> impl Iterator<Item = &'static str> {
        NAMES.iter().map(|(name, _)| *name)
    }

    /// The name on the command line and in fault rules, such as `append`.
    pub fn short_name(self) -> &'static str {
        NAMES
            .iter()
            .find(|(_, operation)| *operation == self)
            .map_or("unknown", |(name, _)| name)
    }
}

/// The name in OSS's API reference, such as `AppendObject`.
impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}
