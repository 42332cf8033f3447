//! What is stored of an object beside its bytes, and the rules for the headers that set it.

use std::collections::BTreeMap;

use http::HeaderMap;
use jiff::Timestamp;
use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};

use super::account::BucketRules;
use super::refusal::Refusal;

/// The most bytes of user metadata, names and values together.
const MAX_METADATA: usize = 8 * 1024;

/// The headers that are stored and sent back as they came.
const KEPT: [&str; 4] = [
    "cache-control",
    "content-disposition",
    "content-encoding",
    "expires",
];

/// The type of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Kind {
    Appendable,
    Normal,
    Multipart,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Appendable => "Appendable",
            Self::Normal => "Normal",
            Self::Multipart => "Multipart",
        }
    }
}

/// Everything about an object but its bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Properties {
    pub(super) kind: Kind,
    pub(super) length: u64,
    pub(super) crc64: u64,
    /// Without quotes.
    pub(super) etag: String,
    /// In base64; of normal objects only.
    pub(super) md5: Option<String>,
    pub(super) modified: Timestamp,
    pub(super) sealed: Option<Timestamp>,
    /// Whether it is under retention: it can be neither changed nor deleted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) retained: bool,
    pub(super) attributes: Attributes,
}

impl Properties {
    /// An appendable object without bytes.
    pub(super) fn empty(attributes: Attributes, now: Timestamp) -> Self {
        let mut properties = Self {
            kind: Kind::Appendable,
            length: 0,
            crc64: 0,
            etag: String::new(),
            md5: None,
            modified: now,
            sealed: None,
            retained: false,
            attributes,
        };
        properties.grow(0, 0, now);
        properties
    }

    /// Accounts for an append of `length` bytes with checksum `crc64`.
    pub(super) fn grow(&mut self, length: u64, crc64: u64, now: Timestamp) {
        let crc64 = crate::values::crc64::combine(self.crc64, crc64, length);
        self.become_grown(self.length + length, crc64, now);
    }

    /// Has the length and checksum that an append has led to.
    pub(super) fn become_grown(&mut self, length: u64, crc64: u64, now: Timestamp) {
        self.crc64 = crc64;
        self.length = length;
        self.modified = now;
        // Opaque, as OSS's tags of appendable objects are: 32 digits, of which the last 8 are 0.
        self.etag = format!(
            "{:016X}{:08X}00000000",
            self.crc64,
            self.length & u64::from(u32::MAX)
        );
    }
}

/// What the creating request says about the object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Attributes {
    pub(super) content_type: String,
    /// Of [`KEPT`].
    pub(super) headers: BTreeMap<String, String>,
    pub(super) acl: String,
    pub(super) storage_class: String,
    /// The `x-oss-server-side-*` headers.
    pub(super) encryption: BTreeMap<String, String>,
    /// By name without `x-oss-meta-`.
    pub(super) metadata: BTreeMap<String, String>,
    pub(super) tags: BTreeMap<String, String>,
    /// The id of the version that the object was made as, in a bucket with versioning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) version: Option<String>,
}

impl Attributes {
    /// Those of an object that no request made.
    pub(super) fn plain() -> Self {
        Self {
            content_type: "application/octet-stream".into(),
            acl: "default".into(),
            storage_class: "Standard".into(),
            ..Self::default()
        }
    }

    /// Those of a new object in a bucket with these rules.
    pub(super) fn in_bucket(self, rules: BucketRules) -> Self {
        Self {
            version: rules.versioning.then(new_version),
            ..self
        }
    }

    /// Whether its bytes cannot be read before it is restored.
    pub(super) fn is_archived(&self) -> bool {
        self.storage_class.ends_with("Archive")
    }

    /// Whether only those headers are set that a request can set.
    pub(super) fn are_sound(&self) -> bool {
        let encrypts = |name: &String| name.starts_with("x-oss-server-side-");
        self.headers.keys().all(|name| KEPT.contains(&&**name))
            && self.encryption.keys().all(encrypts)
    }

    /// Reads and checks a request's headers.
    pub(super) fn from_headers(headers: &HeaderMap) -> Result<Self, Refusal> {
        let mut attributes = Self::plain();
        if let Some(value) = text(headers, "content-type")?.filter(|value| !value.is_empty()) {
            attributes.content_type = value.into();
        }
        for name in KEPT {
            if let Some(value) = text(headers, name)? {
                attributes.headers.insert(name.into(), value.into());
            }
        }
        if let Some(acl) = text(headers, "x-oss-object-acl")? {
            one_of(
                "x-oss-object-acl",
                acl,
                &["default", "private", "public-read", "public-read-write"],
                "no such object access control exists",
                ["0017-00000105", "0017-00000104"],
            )?;
            attributes.acl = acl.into();
        }
        if let Some(class) = text(headers, "x-oss-storage-class")? {
            let classes = [
                "Standard",
                "IA",
                "Archive",
                "ColdArchive",
                "DeepColdArchive",
            ];
            one_of(
                "x-oss-storage-class",
                class,
                &classes,
                "The value of x-oss-storage-class is not valid.",
                ["0017-00000131", "0017-00000132"],
            )?;
            attributes.storage_class = class.into();
        }
        attributes.encryption = encryption(headers)?;
        attributes.metadata = metadata(headers)?;
        if let Some(tagging) = text(headers, "x-oss-tagging")? {
            attributes.tags = parse_tags(tagging)?;
        }
        Ok(attributes)
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &'static str) -> Result<Option<&'a str>, Refusal> {
    headers
        .get(name)
        .map(|value| {
            std::str::from_utf8(value.as_bytes())
                .map_err(|_| Refusal::invalid_argument(format!("The header {name} is no UTF-8.")))
        })
        .transpose()
}

/// Refuses a value that is not one of `allowed`, by the code for an empty one or the other one.
fn one_of(
    name: &'static str,
    value: &str,
    allowed: &[&str],
    message: &'static str,
    [empty, other]: [&'static str; 2],
) -> Result<(), Refusal> {
    if allowed.contains(&value) {
        return Ok(());
    }
    let ec = if value.is_empty() { empty } else { other };
    Err(Refusal::invalid_value(name, value, message).ec(ec))
}

/// The header that names a key of KMS.
pub(super) const KEY_ID: &str = "x-oss-server-side-encryption-key-id";

pub(super) fn invalid_key_id(ec: &'static str) -> Refusal {
    Refusal::bad_request(
        "InvalidParameter",
        "The specified parameter KMS keyId is not valid.",
    )
    .ec(ec)
}

/// The id of a new version. Opaque, as OSS's are.
pub(super) fn new_version() -> String {
    format!("CAEQ{:032x}", fastrand::u128(..))
}

fn encryption(headers: &HeaderMap) -> Result<BTreeMap<String, String>, Refusal> {
    let mut found = BTreeMap::new();
    if let Some(value) = text(headers, "x-oss-server-side-encryption")? {
        if !["AES256", "KMS", "SM4"].contains(&value) {
            return Err(Refusal::bad_request(
                "InvalidEncryptionAlgorithmError",
                "The Encryption request you specified is not valid. Supported value: \
                 AES256/SM4/KMS.",
            )
            .ec("0005-00000003"));
        }
        found.insert("x-oss-server-side-encryption".into(), value.into());
    }
    if let Some(value) = text(headers, "x-oss-server-side-data-encryption")? {
        if value != "SM4" {
            return Err(Refusal::bad_request(
                "InvalidDataEncryptionAlgorithmError",
                "The KMS Data Encryption request you specified is not valid. Supported value:SM4",
            ));
        }
        found.insert("x-oss-server-side-data-encryption".into(), value.into());
    }
    if let Some(value) = text(headers, KEY_ID)? {
        if value.is_empty() {
            return Err(invalid_key_id("0005-00000205"));
        }
        found.insert(KEY_ID.into(), value.into());
    }
    Ok(found)
}

fn metadata(headers: &HeaderMap) -> Result<BTreeMap<String, String>, Refusal> {
    let mut found = BTreeMap::new();
    let mut size = 0;
    for (header, value) in headers {
        let Some(name) = header.as_str().strip_prefix("x-oss-meta-") else {
            continue;
        };
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        if name.is_empty() || !name.bytes().all(allowed) {
            return Err(Refusal::invalid_argument(format!(
                "The name of the user metadata {header} is not valid."
            ))
            .ec("0011-00000004"));
        }
        let value = std::str::from_utf8(value.as_bytes()).map_err(|_| {
            Refusal::invalid_argument(format!("The header {header} is no UTF-8."))
                .ec("0011-00000005")
        })?;
        size += name.len() + value.len();
        found.insert(name.into(), value.into());
    }
    if size > MAX_METADATA {
        return Err(
            Refusal::invalid_argument("The user metadata is larger than 8 KB.").ec("0011-00000002"),
        );
    }
    Ok(found)
}

/// Reads `k=v&k2=v2`, where a part without `=` has an empty value.
///
/// Sources: the pages of 0010-00000209 to -219, and
/// <https://www.alibabacloud.com/help/en/oss/user-guide/object-tagging-8>
fn parse_tags(tagging: &str) -> Result<BTreeMap<String, String>, Refusal> {
    let decode = |text: &str, ec| {
        percent_decode_str(&text.replace('+', "%20"))
            .decode_utf8()
            .map(|text| text.into_owned())
            .map_err(|_| badly_encoded(ec))
    };
    let allowed = |text: &str| {
        text.chars()
            .all(|c| c.is_ascii_alphanumeric() || " +-=._:/".contains(c))
    };
    let mut tags = BTreeMap::new();
    for pair in tagging.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        if value.contains('=') {
            return Err(badly_encoded("0010-00000219"));
        }
        let (key, value) = (
            decode(key, "0010-00000211")?,
            decode(value, "0010-00000216")?,
        );
        let wrong_key = match key.len() {
            0 => Some("0010-00000219"),
            129.. => Some("0010-00000209"),
            _ if !allowed(&key) => Some("0010-00000212"),
            _ => None,
        };
        if let Some(ec) = wrong_key {
            return Err(Refusal::bad_request(
                "InvalidTaggingKey",
                "The tagging key you provided is invalid.",
            )
            .ec(ec));
        }
        if value.len() > 256 {
            return Err(invalid_tag("0010-00000214"));
        }
        if !allowed(&value) {
            return Err(invalid_tag("0010-00000217"));
        }
        if tags.insert(key, value).is_some() {
            return Err(invalid_tag("0010-00000210"));
        }
    }
    if tags.len() > 10 {
        return Err(invalid_tag("0010-00000218"));
    }
    Ok(tags)
}

fn badly_encoded(ec: &'static str) -> Refusal {
    Refusal::invalid_argument(
        "The header 'x-oss-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters \
         without tag name duplicates.",
    )
    .ec(ec)
}

fn invalid_tag(ec: &'static str) -> Refusal {
    Refusal::bad_request("InvalidTag", "The TagValue you have provided is invalid.").ec(ec)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderName, HeaderValue};

    fn read(headers: &[(&str, &str)]) -> Result<Attributes, String> {
        let headers: HeaderMap = headers
            .iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_bytes(name.as_bytes()).unwrap(),
                    HeaderValue::from_bytes(value.as_bytes()).unwrap(),
                )
            })
            .collect();
        Attributes::from_headers(&headers).map_err(|refusal| refusal.code.into_owned())
    }

    #[test]
    fn tags_are_decoded_and_limited() {
        let tags = read(&[("x-oss-tagging", "a=1&b+c=%2F&empty")])
            .unwrap()
            .tags;
        assert_eq!(tags["a"], "1");
        assert_eq!(tags["b c"], "/");
        assert_eq!(tags["empty"], "");
        let ten: Vec<String> = (0..10).map(|n| format!("k{n}=v")).collect();
        assert!(read(&[("x-oss-tagging", &ten.join("&"))]).is_ok());
        let eleven = format!("{}&x=y", ten.join("&"));
        assert_eq!(
            read(&[("x-oss-tagging", &eleven)]).unwrap_err(),
            "InvalidTag"
        );
        for (tags, code) in [
            ("=v", "InvalidTaggingKey"),
            ("a%2A=v", "InvalidTaggingKey"),
            ("a=1&a=2", "InvalidTag"),
            ("a=%2A", "InvalidTag"),
        ] {
            assert_eq!(read(&[("x-oss-tagging", tags)]).unwrap_err(), code);
        }
    }

    #[test]
    fn metadata_names_and_size_are_checked() {
        let metadata = read(&[("X-OSS-Meta-Some-Name", "ü")]).unwrap().metadata;
        assert_eq!(metadata["some-name"], "ü");
        assert!(read(&[("x-oss-meta-a_b", "v")]).is_err());
        assert!(read(&[("x-oss-meta-a", &"v".repeat(8191))]).is_ok());
        assert!(read(&[("x-oss-meta-a", &"v".repeat(8192))]).is_err());
    }

    #[test]
    fn values_outside_their_lists_are_refused() {
        for (name, value) in [
            ("x-oss-object-acl", "secret"),
            ("x-oss-storage-class", "Cheap"),
            ("x-oss-server-side-encryption", "ROT13"),
        ] {
            assert!(read(&[(name, value)]).is_err(), "{name}");
        }
    }
}
