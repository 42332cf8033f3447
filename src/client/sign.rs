//! Signature V4 (`OSS4-HMAC-SHA256`) as pure functions over decoded strings. The client signs with
//! them and the embedded server verifies with them.
//!
//! Source: <https://www.alibabacloud.com/help/en/oss/developer-reference/recommend-to-use-signature-version-4>

use std::fmt::Write as _;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::wire::encoding::{encode_path, encode_strict};

/// The algorithm's name, as it stands in `Authorization` and in the string to sign.
pub(crate) const ALGORITHM: &str = "OSS4-HMAC-SHA256";

/// The only payload hash that OSS's SDKs use.
pub(crate) const UNSIGNED_PAYLOAD: &str = "UNSIGNED-PAYLOAD";

/// The canonical URI of a service (`/`), a bucket (`/bucket/`) or an object, from the decoded names.
pub(crate) fn canonical_uri(bucket: Option<&str>, key: Option<&str>) -> String {
    let mut uri = String::from("/");
    if let Some(bucket) = bucket {
        uri.push_str(&encode_path(bucket));
        uri.push('/');
        uri.push_str(&encode_path(key.unwrap_or_default()));
    }
    uri
}

/// The canonical query of decoded name-value pairs: escaped, sorted, no `=` before an empty value.
pub(crate) fn canonical_query<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut pairs: Vec<(String, String)> = pairs
        .into_iter()
        .map(|(name, value)| (encode_strict(name), encode_strict(value)))
        .collect();
    pairs.sort();
    let mut query = String::new();
    for (name, value) in pairs {
        if !query.is_empty() {
            query.push('&');
        }
        query.push_str(&name);
        if !value.is_empty() {
            query.push('=');
            query.push_str(&value);
        }
    }
    query
}

/// The day, region and product that a signature is good for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scope<'a> {
    /// `YYYYMMDD`, UTC.
    pub(crate) date: &'a str,
    /// Without `oss-`, such as `cn-hangzhou`.
    pub(crate) region: &'a str,
    /// `oss`, or `oss-cloudbox`.
    pub(crate) product: &'a str,
}

impl Scope<'_> {
    /// `DATE/REGION/PRODUCT/aliyun_v4_request`
    pub(crate) fn text(&self) -> String {
        format!(
            "{}/{}/{}/aliyun_v4_request",
            self.date, self.region, self.product
        )
    }
}

/// The parts of a request that are signed.
#[derive(Clone, Debug)]
pub(crate) struct CanonicalRequest<'a> {
    pub(crate) method: &'a str,
    /// From [`canonical_uri`].
    pub(crate) uri: &'a str,
    /// From [`canonical_query`].
    pub(crate) query: &'a str,
    /// All headers of the request, names in any case. Those that V4 does not sign are left out
    /// here.
    pub(crate) headers: &'a [(String, String)],
    /// Names of headers to sign beyond V4's own, in any case and order.
    pub(crate) additional: &'a [String],
    /// The value of `x-oss-content-sha256`, or [`UNSIGNED_PAYLOAD`] in a presigned URL.
    pub(crate) payload: &'a str,
}

impl CanonicalRequest<'_> {
    /// The additional header names that count: present in the request, not signed anyway;
    /// lower-case, sorted, joined by `;`. Empty if there are none.
    pub(crate) fn additional_headers(&self) -> String {
        self.additional_names().join(";")
    }

    fn additional_names(&self) -> Vec<String> {
        let mut names: Vec<String> = self
            .additional
            .iter()
            .map(|name| name.to_ascii_lowercase())
            .filter(|name| !signed_by_default(name))
            .filter(|name| {
                self.headers
                    .iter()
                    .any(|(n, v)| n.eq_ignore_ascii_case(name) && !v.is_empty())
            })
            .collect();
        names.sort();
        names.dedup();
        names
    }

    /// The string whose hash is signed.
    pub(crate) fn text(&self) -> String {
        let additional = self.additional_names();
        let mut headers: Vec<(String, &str)> = self
            .headers
            .iter()
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim()))
            .filter(|(name, _)| signed_by_default(name) || additional.contains(name))
            .collect();
        // Stable: the values of one name keep their order.
        headers.sort_by(|a, b| a.0.cmp(&b.0));
        let mut text = format!("{}\n{}\n{}\n", self.method, self.uri, self.query);
        for same_name in headers.chunk_by(|a, b| a.0 == b.0) {
            let values: Vec<&str> = same_name.iter().map(|(_, value)| *value).collect();
            let _ = writeln!(text, "{}:{}", same_name[0].0, values.join(","));
        }
        let _ = write!(text, "\n{}\n{}", additional.join(";"), self.payload);
        text
    }
}

fn signed_by_default(lower_name: &str) -> bool {
    lower_name.starts_with("x-oss-") || lower_name == "content-type" || lower_name == "content-md5"
}

/// The string to sign. `datetime` is `YYYYMMDDTHHMMSSZ`, the value of `x-oss-date`.
pub(crate) fn string_to_sign(datetime: &str, scope: Scope<'_>, canonical_request: &str) -> String {
    format!(
        "{ALGORITHM}\n{datetime}\n{}\n{}",
        scope.text(),
        hex::encode(Sha256::digest(canonical_request))
    )
}

/// The signature of a string to sign, in lower-case hex.
pub(crate) fn signature(secret: &str, scope: Scope<'_>, string_to_sign: &str) -> String {
    const PREFIX: &[u8] = b"aliyun_v4";
    // Of its final size at once, so that growing leaves no copy of the secret behind; and each key
    // replaces the wrapper of the one before it, which is wiped with it.
    let mut key = Zeroizing::new(Vec::with_capacity(PREFIX.len() + secret.len()));
    key.extend_from_slice(PREFIX);
    key.extend_from_slice(secret.as_bytes());
    for part in [scope.date, scope.region, scope.product, "aliyun_v4_request"] {
        key = Zeroizing::new(hmac_sha256(&key, part.as_bytes()));
    }
    hex::encode(hmac_sha256(&key, string_to_sign.as_bytes()))
}

fn hmac_sha256(key: &[u8], data: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(data);
    mac.finalize().into_bytes().to_vec()
}

/// What a client signs with: the key, and the region and product that it is used for.
#[derive(Clone, Copy)]
pub(crate) struct Signer<'a> {
    pub(crate) access_key_id: &'a str,
    pub(crate) access_key_secret: &'a str,
    /// Without `oss-`, such as `cn-hangzhou`.
    pub(crate) region: &'a str,
    /// `oss`, or `oss-cloudbox`.
    pub(crate) product: &'a str,
    /// `YYYYMMDDTHHMMSSZ`, the value of `x-oss-date`.
    pub(crate) datetime: &'a str,
}

impl Signer<'_> {
    /// The value of the `Authorization` header.
    pub(crate) fn authorization(&self, request: &CanonicalRequest<'_>) -> String {
        let mut value = format!("{ALGORITHM} Credential={}", self.credential());
        let additional = request.additional_headers();
        if !additional.is_empty() {
            let _ = write!(value, ",AdditionalHeaders={additional}");
        }
        let _ = write!(value, ",Signature={}", self.sign(request));
        value
    }

    /// The value of `x-oss-credential`.
    pub(crate) fn credential(&self) -> String {
        format!("{}/{}", self.access_key_id, self.scope().text())
    }

    /// The signature in lower-case hex: the value of `x-oss-signature`.
    pub(crate) fn sign(&self, request: &CanonicalRequest<'_>) -> String {
        let scope = self.scope();
        let text = string_to_sign(self.datetime, scope, &request.text());
        signature(self.access_key_secret, scope, &text)
    }

    fn scope(&self) -> Scope<'_> {
        Scope {
            date: self.datetime.split('T').next().unwrap_or_default(),
            region: self.region,
            product: self.product,
        }
    }
}

#[cfg(test)]
mod vectors;
