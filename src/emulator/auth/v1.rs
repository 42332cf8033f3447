//! Signature V1 (HMAC-SHA1), in the header and in the query.
//!
//! Source: <https://www.alibabacloud.com/help/en/oss/developer-reference/include-signatures-in-the-authorization-header>

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use sha1::Sha1;

use super::{Signed, expired_url, malformed_authorization, same, wrong_signature};
use crate::emulator::clock;
use crate::emulator::refusal::Refusal;

/// The query parameters that are signed. Others, such as `prefix`, are not.
const SIGNED_PARAMETERS: &[&str] = &[
    "accessPoint",
    "accessPointPolicy",
    "acl",
    "append",
    "asyncFetch",
    "bucketArchiveDirectRead",
    "bucketInfo",
    "callback",
    "callback-var",
    "cloudboxes",
    "cname",
    "comp",
    "continuation-token",
    "cors",
    "delete",
    "encryption",
    "endTime",
    "group",
    "httpsConfig",
    "inventory",
    "inventoryId",
    "lifecycle",
    "link",
    "live",
    "location",
    "logging",
    "metaQuery",
    "objectInfo",
    "objectMeta",
    "partNumber",
    "policy",
    "position",
    "publicAccessBlock",
    "qos",
    "qosInfo",
    "referer",
    "regionList",
    "replication",
    "replicationLocation",
    "replicationProgress",
    "requestPayment",
    "resourceGroup",
    "response-cache-control",
    "response-content-disposition",
    "response-content-encoding",
    "response-content-language",
    "response-content-type",
    "response-expires",
    "restore",
    "seal",
    "security-token",
    "sequential",
    "startTime",
    "stat",
    "status",
    "style",
    "styleName",
    "symlink",
    "tagging",
    "transferAcceleration",
    "uploadId",
    "uploads",
    "versionId",
    "versioning",
    "versions",
    "vod",
    "website",
    "worm",
    "wormExtend",
    "wormId",
    "x-oss-async-process",
    "x-oss-process",
    "x-oss-request-payer",
    "x-oss-traffic-limit",
];

fn is_signed(parameter: &str) -> bool {
    SIGNED_PARAMETERS.contains(&parameter) || parameter.starts_with("x-oss-ac-")
}

/// Verifies `Authorization: OSS ID:SIGNATURE`, of which `fields` is the part after the space.
pub(super) fn verify_header(signed: &Signed<'_>, fields: &str) -> Result<(), Refusal> {
    let (id, provided) = fields.split_once(':').ok_or_else(malformed_authorization)?;
    let date = match signed.only_header("x-oss-date")? {
        Some(date) => date,
        None => signed.only_header("date")?.ok_or_else(invalid_date)?,
    };
    let time = clock::parse_http_date(date)
        .or_else(|| clock::parse_compact(date))
        .or_else(|| date.parse().ok())
        .ok_or_else(invalid_date)?;
    signed.check_skew(time)?;
    let token = signed.header_token()?;
    check(signed, id, token, date, provided)
}

fn invalid_date() -> Refusal {
    Refusal::access_denied("OSS authentication requires a valid Date.")
}

/// Verifies a presigned URL.
pub(super) fn verify_query(signed: &Signed<'_>) -> Result<(), Refusal> {
    let parameter = |name: &'static str| {
        signed.query.get_once(name)?.ok_or_else(|| {
            Refusal::access_denied("OSSAccessKeyId, Expires and Signature belong together.")
        })
    };
    let id = parameter("OSSAccessKeyId")?;
    let provided = parameter("Signature")?;
    let expires = parameter("Expires")?;
    let seconds: i64 = expires.parse().map_err(|_| {
        Refusal::invalid_value("Expires", expires, "Expires is no number of seconds.")
    })?;
    let end = Timestamp::from_second(seconds)
        .map_err(|_| Refusal::invalid_value("Expires", expires, "Expires is out of range."))?;
    if end < signed.now {
        return Err(expired_url());
    }
    let token = match signed.query.get_once("security-token")? {
        Some(token) => Some(token),
        None => signed.header_token()?,
    };
    check(signed, id, token, expires, provided)
}

fn check(
    signed: &Signed<'_>,
    id: &str,
    token: Option<&str>,
    date: &str,
    provided: &str,
) -> Result<(), Refusal> {
    let key = signed.keys.find(id, token)?;
    let string_to_sign = string_to_sign(signed, date)?;
    let mut mac =
        Hmac::<Sha1>::new_from_slice(key.secret.as_bytes()).expect("HMAC takes keys of any length");
    mac.update(string_to_sign.as_bytes());
    let expected = BASE64_STANDARD.encode(mac.finalize().into_bytes());
    if same(&expected, provided) {
        return Ok(());
    }
    let shown = match token {
        Some(token) => string_to_sign.replace(token, "***"),
        None => string_to_sign,
    };
    Err(wrong_signature(provided, &shown))
}

fn string_to_sign(signed: &Signed<'_>, date: &str) -> Result<String, Refusal> {
    let mut text = format!(
        "{}\n{}\n{}\n{date}\n",
        signed.method,
        signed.only_header("content-md5")?.unwrap_or_default(),
        signed.only_header("content-type")?.unwrap_or_default(),
    );
    let mut headers = signed.joined_headers()?;
    headers.retain(|(name, _)| name.starts_with("x-oss-"));
    headers.sort();
    for (name, value) in headers {
        text.extend([&name, ":", value.trim(), "\n"]);
    }
    text.push('/');
    if let Some(bucket) = &signed.target.bucket {
        let key = signed.target.key.as_deref().unwrap_or_default();
        text.extend([bucket, "/", key]);
    }
    let mut parameters: Vec<_> = signed
        .query
        .iter()
        .filter(|(name, _)| is_signed(name))
        .collect();
    parameters.sort_unstable();
    let mut separator = "?";
    for (name, value) in parameters {
        text.extend([separator, name]);
        if !value.is_empty() {
            text.extend(["=", value]);
        }
        separator = "&";
    }
    Ok(text)
}
