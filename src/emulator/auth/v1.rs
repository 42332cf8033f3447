//! Signature V1 (HMAC-SHA1), in the header and in the query.
//!
//! Source: <https://www.alibabacloud.com/help/en/oss/developer-reference/include-signatures-in-the-authorization-header>

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use sha1::Sha1;

use super::keys::Key;
use super::{Signed, expired_url, invalid, same, wrong_signature};
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
pub(super) fn verify_header<'k>(signed: &Signed<'k>, fields: &str) -> Result<&'k Key, Refusal> {
    let (id, provided) = fields.split_once(':').ok_or_else(|| {
        invalid(
            "0002-00000062",
            "The Authorization header has no colon between access key id and signature.",
        )
    })?;
    if id.trim().is_empty() {
        return Err(invalid(
            "0002-00000063",
            "The Authorization header has no access key id.",
        ));
    }
    signed.check_id(id, "0002-00000064")?;
    if provided.is_empty() {
        return Err(invalid(
            "0002-00000065",
            "The Authorization header has no signature.",
        ));
    }
    let date = match signed.only_header("x-oss-date")? {
        Some(date) => date,
        None => signed
            .only_header("date")?
            .ok_or_else(|| no_valid_date("0002-00000503"))?,
    };
    let time = clock::parse_http_date(date)
        .or_else(|| clock::parse_compact(date))
        .or_else(|| date.parse().ok())
        .ok_or_else(|| no_valid_date("0002-00000502"))?;
    signed.check_skew(time)?;
    let token = signed.header_token()?;
    check(signed, id, token, date, provided)
}

fn no_valid_date(ec: &'static str) -> Refusal {
    denied(ec, "OSS authentication requires a valid Date.")
}

fn denied(ec: &'static str, message: &'static str) -> Refusal {
    Refusal::forbidden("AccessDenied", message).ec(ec)
}

/// Verifies a presigned URL.
pub(super) fn verify_query<'k>(signed: &Signed<'k>) -> Result<&'k Key, Refusal> {
    let required = |name, missing, empty| match signed.query.get_once(name)? {
        None => Err(denied(
            missing,
            "Query-string authentication requires the Signature, Expires and OSSAccessKeyId \
             parameters",
        )),
        Some("") => Err(invalid(empty, "A parameter of the signed URL is empty.")),
        Some(value) => Ok(value),
    };
    let expires = required("Expires", "0002-00000067", "0002-00000068")?;
    let id = required("OSSAccessKeyId", "0002-00000071", "0002-00000072")?;
    let provided = required("Signature", "0002-00000074", "0002-00000075")?;
    signed.check_id(id, "0002-00000073")?;
    let end = expires
        .parse()
        .ok()
        .and_then(|seconds| Timestamp::from_second(seconds).ok())
        .ok_or_else(|| {
            denied(
                "0002-00000070",
                "Invalid date (should be seconds since epoch).",
            )
        })?;
    if end < signed.now {
        return Err(expired_url("0002-00000069"));
    }
    let in_header = signed.header_token()?;
    let token = signed.query.get_once("security-token")?.or(in_header);
    check(signed, id, token, expires, provided)
}

fn check<'k>(
    signed: &Signed<'k>,
    id: &str,
    token: Option<&str>,
    date: &str,
    provided: &str,
) -> Result<&'k Key, Refusal> {
    let key = signed.keys.find(id, token)?;
    let string_to_sign = string_to_sign(signed, date)?;
    let mut mac =
        Hmac::<Sha1>::new_from_slice(key.secret.as_bytes()).expect("HMAC takes keys of any length");
    mac.update(string_to_sign.as_bytes());
    let expected = BASE64_STANDARD.encode(mac.finalize().into_bytes());
    if same(&expected, provided) {
        return Ok(key);
    }
    let shown = match token {
        Some(token) => string_to_sign.replace(token, "***"),
        None => string_to_sign,
    };
    let bytes: Vec<String> = shown.bytes().map(|b| format!("{b:02X}")).collect();
    Err(wrong_signature("0002-00000040", provided, &shown)
        .element("OSSAccessKeyId", id)
        .element("StringToSignBytes", bytes.join(" ")))
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
