//! Signature V4 (`OSS4-HMAC-SHA256`) as pure functions over decoded strings. The client signs with
//! them and the embedded server verifies with them.
//!
//! Source: <https://www.alibabacloud.com/help/en/oss/developer-reference/recommend-to-use-signature-version-4>

use std::borrow::Cow;
use std::fmt::{self, Write as _};

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::wire::encoding;

/// The algorithm's name, as it stands in `Authorization` and in the string to sign.
pub(crate) const ALGORITHM: &str = "OSS4-HMAC-SHA256";

/// The only payload hash that OSS's SDKs use.
pub(crate) const UNSIGNED_PAYLOAD: &str = "UNSIGNED-PAYLOAD";

/// The canonical URI of a service (`/`), a bucket (`/bucket/`) or an object, from the decoded names.
pub(crate) fn canonical_uri(bucket: Option<&str>, key: Option<&str>) -> String {
    let mut uri = String::with_capacity(64);
    uri.push('/');
    if let Some(bucket) = bucket {
        uri.push_str(&encoding::path(bucket));
        uri.push('/');
        uri.push_str(&encoding::path(key.unwrap_or_default()));
    }
    uri
}

/// The canonical query of decoded name-value pairs: escaped, sorted, no `=` before an empty value.
pub(crate) fn canonical_query<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut pairs: Vec<_> = pairs
        .into_iter()
        .map(|(name, value)| (encoding::strict(name), encoding::strict(value)))
        .collect();
    pairs.sort();
    let mut query = String::with_capacity(64);
    for (name, value) in pairs {
        push_pair(&mut query, &name, &value);
    }
    query
}

fn push_pair(query: &mut String, name: &str, value: &str) {
    if !query.is_empty() {
        query.push('&');
    }
    query.push_str(name);
    if !value.is_empty() {
        query.push('=');
        query.push_str(value);
    }
}

/// A canonical query that few pairs are added to, one after the other.
#[derive(Debug, Default)]
pub(crate) struct Query(String);

impl Query {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Adds a decoded pair.
    pub(crate) fn add(&mut self, name: &str, value: &str) {
        let (name, value) = (encoding::strict(name), encoding::strict(value));
        if self.0.is_empty() {
            self.0.reserve(64);
        }
        let last = self.0.rsplit('&').next().unwrap_or_default();
        if last.split_once('=').unwrap_or((last, "")) <= (&*name, &*value) {
            return push_pair(&mut self.0, &name, &value);
        }
        // Before others.
        let before = std::mem::take(&mut self.0);
        let pairs = before.split('&');
        let mut pairs: Vec<_> = pairs
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .collect();
        pairs.push((&name, &value));
        pairs.sort_unstable();
        for (name, value) in pairs {
            push_pair(&mut self.0, name, value);
        }
    }
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

/// `DATE/REGION/PRODUCT/aliyun_v4_request`
impl fmt::Display for Scope<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            date,
            region,
            product,
        } = self;
        write!(f, "{date}/{region}/{product}/aliyun_v4_request")
    }
}

/// A header's name and value.
pub(crate) type Header<'a> = (Cow<'a, str>, Cow<'a, str>);

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
    pub(crate) headers: &'a [Header<'a>],
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
        let is_signed = |name: &str| {
            signed_by_default(name) || additional.iter().any(|additional| additional == name)
        };
        let headers = self.headers.iter();
        let mut headers: Vec<(Cow<'_, str>, &str)> = headers
            .map(|(name, value)| (lower(name), value.trim()))
            .filter(|(name, _)| is_signed(name))
            .collect();
        // Stable: the values of one name keep their order.
        headers.sort_by(|a, b| a.0.cmp(&b.0));
        let mut text = String::with_capacity(512);
        let _ = write!(text, "{}\n{}\n{}\n", self.method, self.uri, self.query);
        for same_name in headers.chunk_by(|a, b| a.0 == b.0) {
            text.push_str(&same_name[0].0);
            for (number, (_, value)) in same_name.iter().enumerate() {
                text.push(if number == 0 { ':' } else { ',' });
                text.push_str(value);
            }
            text.push('\n');
        }
        let _ = write!(text, "\n{}\n{}", additional.join(";"), self.payload);
        text
    }
}

fn lower(name: &str) -> Cow<'_, str> {
    match name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        true => name.to_ascii_lowercase().into(),
        false => name.into(),
    }
}

fn signed_by_default(lower_name: &str) -> bool {
    lower_name.starts_with("x-oss-") || lower_name == "content-type" || lower_name == "content-md5"
}

/// The string to sign. `datetime` is `YYYYMMDDTHHMMSSZ`, the value of `x-oss-date`.
pub(crate) fn string_to_sign(datetime: &str, scope: Scope<'_>, canonical_request: &str) -> String {
    let mut digest = [0; 64];
    // It has room for it.
    let _ = hex::encode_to_slice(Sha256::digest(canonical_request), &mut digest);
    let digest = str::from_utf8(&digest).unwrap_or_default();
    let mut text = String::with_capacity(192);
    let _ = write!(text, "{ALGORITHM}\n{datetime}\n{scope}\n{digest}");
    text
}

/// The signature of a string to sign, in lower-case hex.
pub(crate) fn signature(secret: &str, scope: Scope<'_>, string_to_sign: &str) -> String {
    const PREFIX: &[u8] = b"aliyun_v4";
    // Of its final size at once, so that growing leaves no copy of the secret behind; and each key
    // replaces the wrapper of the one before it, which is wiped with it.
    let mut first = Zeroizing::new(Vec::with_capacity(PREFIX.len() + secret.len()));
    first.extend_from_slice(PREFIX);
    first.extend_from_slice(secret.as_bytes());
    let mut key = Zeroizing::new(hmac_sha256(&first, scope.date.as_bytes()));
    for part in [scope.region, scope.product, "aliyun_v4_request"] {
        key = Zeroizing::new(hmac_sha256(&*key, part.as_bytes()));
    }
    hex::encode(hmac_sha256(&*key, string_to_sign.as_bytes()))
}

fn hmac_sha256(key: &[u8], data: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(data);
    mac.finalize().into_bytes().into()
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
    #[cfg(any(test, feature = "internals"))]
    pub(crate) fn authorization(&self, request: &CanonicalRequest<'_>) -> String {
        self.authorize(request).0
    }

    /// The value of the `Authorization` header, and the signature in it.
    pub(crate) fn authorize(&self, request: &CanonicalRequest<'_>) -> (String, String) {
        let mut value = String::with_capacity(256);
        let (id, scope) = (self.access_key_id, self.scope());
        let _ = write!(value, "{ALGORITHM} Credential={id}/{scope}");
        let additional = request.additional_headers();
        if !additional.is_empty() {
            let _ = write!(value, ",AdditionalHeaders={additional}");
        }
        let signature = self.sign(request);
        let _ = write!(value, ",Signature={signature}");
        (value, signature)
    }

    /// The value of `x-oss-credential`.
    pub(crate) fn credential(&self) -> String {
        format!("{}/{}", self.access_key_id, self.scope())
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
