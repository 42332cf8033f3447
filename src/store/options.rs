//! What a caller may set on a new object, and on each request.

use std::collections::BTreeMap;
use std::fmt;

use crate::error::{Error, Result};
use crate::values::format::StoredFormat;
#[cfg(feature = "testing")]
use crate::values::info::ObjectProperties;

/// The properties of a new object, given when an append creates it and ignored when it exists.
///
/// ```
/// use oss_append::{ObjectOptions, StorageClass};
///
/// let options = ObjectOptions::new()
///     .content_type("text/plain; charset=utf-8")
///     .storage_class(StorageClass::Ia)
///     .meta("origin", "sensor-7")?
///     .tag("team", "observability")?;
/// # Ok::<(), oss_append::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObjectOptions {
    pub(crate) content_type: Option<String>,
    pub(crate) cache_control: Option<String>,
    pub(crate) content_disposition: Option<String>,
    pub(crate) content_encoding: Option<String>,
    pub(crate) expires: Option<String>,
    pub(crate) acl: Option<ObjectAcl>,
    pub(crate) storage_class: Option<StorageClass>,
    pub(crate) encryption: Option<Encryption>,
    pub(crate) meta: BTreeMap<String, String>,
    pub(crate) tags: BTreeMap<String, String>,
    /// What a writer that compresses makes of it.
    compressed: Option<StoredFormat>,
}

/// The most bytes of user metadata, names and values together.
const MAX_META_BYTES: usize = 8 * 1024;
/// The length of the mark by which a writer recognizes its object.
const MARK_LEN: usize = 32;
/// The most tags of an object.
const MAX_TAGS: usize = 10;
const MAX_TAG_KEY: usize = 128;
const MAX_TAG_VALUE: usize = 256;

impl ObjectOptions {
    /// The name of the user metadata by which a writer recognizes an object that it has created:
    /// sent as `x-oss-meta-oss-append-creator`, with a random value of the writer.
    pub const CREATOR: &'static str = "oss-append-creator";

    /// The name of the user metadata by which a writer that compresses tells how: sent as
    /// `x-oss-meta-oss-append-compression`, with `gzip` or `zstd`. Whoever opens such an object knows
    /// by that what may be appended to it, without reading any of it.
    pub const COMPRESSION: &'static str = "oss-append-compression";

    /// Nothing set: the content type is guessed from the key, everything else is the bucket's
    /// default.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets `Content-Type`. Default: guessed from the key's extension, else
    /// `application/octet-stream`. Of a writer that compresses it is `application/gzip` or
    /// `application/zstd`, unless a [content encoding](Self::content_encoding) is set: then the type
    /// is that of what was compressed.
    #[must_use]
    pub fn content_type(mut self, value: impl Into<String>) -> Self {
        self.content_type = Some(value.into());
        self
    }

    /// Sets `Cache-Control`. Default: none.
    #[must_use]
    pub fn cache_control(mut self, value: impl Into<String>) -> Self {
        self.cache_control = Some(value.into());
        self
    }

    /// Sets `Content-Disposition`. Default: none.
    #[must_use]
    pub fn content_disposition(mut self, value: impl Into<String>) -> Self {
        self.content_disposition = Some(value.into());
        self
    }

    /// Sets `Content-Encoding`, such as `gzip`. Default: none, also when a writer
    /// compresses. The bytes are sent as they are.
    ///
    /// It makes HTTP clients decompress what they download, and many of them stop after the first
    /// append of several: see who reads what at `Compression`.
    #[must_use]
    pub fn content_encoding(mut self, value: impl Into<String>) -> Self {
        self.content_encoding = Some(value.into());
        self
    }

    /// Sets `Expires`, an HTTP date. Default: none.
    #[must_use]
    pub fn expires(mut self, value: impl Into<String>) -> Self {
        self.expires = Some(value.into());
        self
    }

    /// Sets the access rule. Default: the bucket's.
    #[must_use]
    pub fn acl(mut self, acl: ObjectAcl) -> Self {
        self.acl = Some(acl);
        self
    }

    /// Sets the storage class. Default: the bucket's.
    #[must_use]
    pub fn storage_class(mut self, class: StorageClass) -> Self {
        self.storage_class = Some(class);
        self
    }

    /// Encrypts the object on the server. Default: as the bucket says.
    #[must_use]
    pub fn encryption(mut self, encryption: Encryption) -> Self {
        self.encryption = Some(encryption);
        self
    }

    /// Adds user metadata, sent as `x-oss-meta-NAME`. Upper-case letters of the name are folded to
    /// lower case, as OSS does.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if the name has anything but letters,
    /// digits and `-`, if the value is not printable ASCII or begins or ends with a space, or if all
    /// metadata together pass 8 KiB.
    pub fn meta(mut self, name: impl AsRef<str>, value: impl Into<String>) -> Result<Self> {
        let (name, value) = (name.as_ref().to_ascii_lowercase(), value.into());
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
            return Err(Error::invalid_input(format!(
                "metadata name {name:?} is not valid: letters, digits and - are allowed"
            )));
        }
        if !value.bytes().all(|b| (0x20..0x7f).contains(&b)) {
            return Err(Error::invalid_input(format!(
                "the value of metadata {name:?} is not printable ASCII"
            )));
        }
        if value.starts_with(' ') || value.ends_with(' ') {
            return Err(Error::invalid_input(format!(
                "the value of metadata {name:?} begins or ends with a space, which HTTP drops"
            )));
        }
        self.meta.insert(name, value);
        self.check_meta(false)?;
        Ok(self)
    }

    /// Checks the length of all metadata, with the mark of a writer if it gets one.
    pub(crate) fn check_meta(&self, marked: bool) -> Result<()> {
        let mark = if marked {
            Self::CREATOR.len() + MARK_LEN
        } else {
            0
        };
        let given: usize = self.meta.iter().map(|(n, v)| n.len() + v.len()).sum();
        let total = given + mark;
        if total > MAX_META_BYTES {
            return Err(Error::invalid_input(format!(
                "user metadata of {total} bytes: at most {MAX_META_BYTES} are allowed, with the \
                 mark of the writer unless that is switched off"
            )));
        }
        Ok(())
    }

    /// Says that a writer compresses what it appends.
    pub(crate) fn compress(&mut self, format: StoredFormat) {
        self.compressed = Some(format);
        if let Some(name) = format.name() {
            self.meta.insert(Self::COMPRESSION.into(), name.into());
        }
    }

    /// Whether clients are told to decode it.
    pub(crate) fn is_encoded(&self) -> bool {
        let given = self.content_encoding.as_deref().unwrap_or_default();
        !given.is_empty() && !given.eq_ignore_ascii_case("identity")
    }

    /// The content type, unless that is to be guessed from the key.
    pub(crate) fn content_type_used(&self) -> Option<&str> {
        let given = self
            .content_type
            .as_deref()
            .filter(|given| !given.is_empty());
        let compressed = self.compressed.filter(|_| !self.is_encoded());
        given.or(compressed.and_then(StoredFormat::media_type))
    }

    /// The mark of the writer that creates the object.
    #[cfg(feature = "testing")]
    pub(crate) fn creator(&self) -> Option<&str> {
        self.meta.get(Self::CREATOR).map(|mark| &**mark)
    }

    /// What a look at an object shows that was created with these, except for what is guessed.
    #[cfg(feature = "testing")]
    pub(crate) fn as_seen(&self) -> ObjectProperties {
        ObjectProperties {
            content_type: self.content_type_used().map(str::to_owned),
            cache_control: self.cache_control.clone(),
            content_disposition: self.content_disposition.clone(),
            content_encoding: self.content_encoding.clone(),
            expires: self.expires.clone(),
            storage_class: self.storage_class.map(|class| class.to_string()),
            encryption: self.encryption.map(|encryption| encryption.to_string()),
            metadata: self.meta.clone(),
        }
    }

    /// Marks the object as that of one writer.
    pub(crate) fn mark(&mut self, mark: &str) {
        self.meta.insert(Self::CREATOR.into(), mark.into());
    }

    /// The user metadata: names, without `x-oss-meta-`, and values.
    pub fn metadata(&self) -> impl Iterator<Item = (&str, &str)> {
        self.meta.iter().map(|(name, value)| (&**name, &**value))
    }

    /// Adds a tag. Needs the permission `oss:PutObjectTagging`.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for more than 10 tags, a key that is not 1
    /// to 128 bytes, a value over 256 bytes, or a character that is not an ASCII letter, a digit, a
    /// space or one of `+-=._:/`
    /// (<https://www.alibabacloud.com/help/en/oss/user-guide/0010-00000216>).
    pub fn tag(mut self, key: impl Into<String>, value: impl Into<String>) -> Result<Self> {
        let (key, value) = (key.into(), value.into());
        let allowed = |c: char| c.is_ascii_alphanumeric() || " +-=._:/".contains(c);
        if key.is_empty() || key.len() > MAX_TAG_KEY || !key.chars().all(allowed) {
            return Err(Error::invalid_input(format!(
                "tag key {key:?} is not valid: 1 to {MAX_TAG_KEY} bytes of ASCII letters, digits, \
                 space and + - = . _ : /"
            )));
        }
        if value.len() > MAX_TAG_VALUE || !value.chars().all(allowed) {
            return Err(Error::invalid_input(format!(
                "the value of tag {key:?} is not valid: at most {MAX_TAG_VALUE} bytes of ASCII \
                 letters, digits, space and + - = . _ : /"
            )));
        }
        self.tags.insert(key, value);
        if self.tags.len() > MAX_TAGS {
            return Err(Error::invalid_input(format!(
                "{} tags: at most {MAX_TAGS} are allowed",
                self.tags.len()
            )));
        }
        Ok(self)
    }
}

/// What is sent with each append, whether it creates the object or not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestOptions {
    pub(crate) traffic_limit: Option<u64>,
    pub(crate) requester_pays: bool,
    pub(crate) content_md5: bool,
}

impl RequestOptions {
    /// The least and the most traffic limit in bit/s, the widest range that a source names: the
    /// documents of OSS begin at 819,200, that of the Go SDK at 245,760.
    const TRAFFIC_LIMIT: std::ops::RangeInclusive<u64> = 245_760..=838_860_800;

    /// Nothing set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Limits each request's bandwidth on the server, in **bit** per second
    /// (`x-oss-traffic-limit`). Default: no limit.
    ///
    /// By OSS's documents the least limit is 819,200 bit/s (100 KB/s), by its Go SDK 245,760. What
    /// lies between is sent; if OSS refuses it, the first append ends with 400 `InvalidArgument`,
    /// EC 0004-00000502, whose message names the limits.
    ///
    /// Source: <https://help.aliyun.com/en/oss/user-guide/0004-00000502>
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) outside of 245,760 to 838,860,800 bit/s.
    pub fn traffic_limit(mut self, bits_per_second: u64) -> Result<Self> {
        if !Self::TRAFFIC_LIMIT.contains(&bits_per_second) {
            return Err(Error::invalid_input(format!(
                "a traffic limit of {bits_per_second} bit/s: {} to {} are allowed",
                Self::TRAFFIC_LIMIT.start(),
                Self::TRAFFIC_LIMIT.end()
            )));
        }
        self.traffic_limit = Some(bits_per_second);
        Ok(self)
    }

    /// Lets the requester pay (`x-oss-request-payer: requester`). Default: the bucket's owner pays.
    #[must_use]
    pub fn requester_pays(mut self, pays: bool) -> Self {
        self.requester_pays = pays;
        self
    }

    /// Sends `Content-MD5` with each append. Default: off.
    ///
    /// With it OSS refuses a body that was changed on its way before it is stored, and the append is
    /// sent again. Without it the CRC-64 in the answer tells of the change, but the changed bytes
    /// are in the object by then, and a writer ends with
    /// [`Checksum`](crate::ErrorKind::Checksum). Over `https://` nothing changes a body unnoticed
    /// between the two ends of TLS.
    ///
    /// It costs about 2.3 ms of processor time for each MiB, some 20 to 30 times as much as the
    /// CRC-64, before the body is sent and anew for each attempt.
    #[must_use]
    pub fn content_md5(mut self, send: bool) -> Self {
        self.content_md5 = send;
        self
    }
}

macro_rules! wire_names {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $wire:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)*
        }

        impl $name {
            /// The name on the wire.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $wire,)*
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = Error;

            fn from_str(text: &str) -> Result<Self> {
                match text {
                    $(text if text.eq_ignore_ascii_case($wire) => Ok(Self::$variant),)*
                    _ => Err(Error::invalid_input(format!(
                        "{text:?} is none of {}",
                        [$($wire),*].join(", ")
                    ))),
                }
            }
        }
    };
}

wire_names! {
    /// Who may read and write an object (`x-oss-object-acl`).
    ObjectAcl {
        /// As the bucket says.
        Default = "default",
        /// The owner alone.
        Private = "private",
        /// Everybody may read.
        PublicRead = "public-read",
        /// Everybody may read and write.
        PublicReadWrite = "public-read-write",
    }
}

wire_names! {
    /// The storage classes (`x-oss-storage-class`). OSS takes the first three for an appendable object.
    StorageClass {
        /// Standard.
        Standard = "Standard",
        /// Infrequent access.
        Ia = "IA",
        /// Archive. Such an object takes appends, and cannot be read before it is restored
        /// ([`Refusal::Archived`](crate::Refusal::Archived)). A writer reads back only to tell its
        /// bytes from those of others: one that [shares](crate::OssAppendWriterBuilder::shared) the
        /// object ends where an answer is lost and others have appended meanwhile.
        Archive = "Archive",
        /// Cold Archive: not of an appendable object, but of one that was made by a multipart upload.
        ColdArchive = "ColdArchive",
        /// Deep Cold Archive: as the one before.
        DeepColdArchive = "DeepColdArchive",
    }
}

wire_names! {
    /// Encryption on the server (`x-oss-server-side-encryption`).
    Encryption {
        /// Keys managed by OSS.
        Aes256 = "AES256",
        /// Keys managed by KMS. An appendable object takes no key id of its own.
        Kms = "KMS",
        /// SM4.
        Sm4 = "SM4",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_names_are_checked_and_folded() {
        let options = ObjectOptions::new().meta("Origin-1", "x").unwrap();
        assert_eq!(options.meta["origin-1"], "x");
        for (name, value) in [
            ("under_score", "x"),
            ("", "x"),
            ("a", "x\r\ny"),
            ("a", "ü"),
            ("a", " x"),
            ("a", "x "),
        ] {
            assert!(ObjectOptions::new().meta(name, value).is_err(), "{name:?}");
        }
        assert!(ObjectOptions::new().meta("a", "x".repeat(8191)).is_ok());
        assert!(ObjectOptions::new().meta("a", "x".repeat(8192)).is_err());
    }

    #[test]
    fn tags_are_checked() {
        let mut options = ObjectOptions::new();
        for n in 0..10 {
            options = options.tag(format!("k{n}"), "a b+c=d").unwrap();
        }
        assert!(options.clone().tag("k9", "again").is_ok());
        assert!(options.tag("k10", "one too many").is_err());
        assert!(ObjectOptions::new().tag("", "x").is_err());
        assert!(ObjectOptions::new().tag("k".repeat(129), "x").is_err());
        assert!(ObjectOptions::new().tag("é", "x").is_err());
        assert!(ObjectOptions::new().tag("k", "é").is_err());
        assert!(ObjectOptions::new().tag("k", "v".repeat(257)).is_err());
        assert!(ObjectOptions::new().tag("k", "a&b").is_err());
    }

    #[test]
    fn the_traffic_limit_is_checked() {
        assert!(RequestOptions::new().traffic_limit(819_200).is_ok());
        assert!(RequestOptions::new().traffic_limit(1).is_err());
    }

    #[test]
    fn wire_names_parse_in_any_case() {
        assert_eq!("ia".parse::<StorageClass>().unwrap(), StorageClass::Ia);
        let cold = "coldarchive".parse::<StorageClass>().unwrap();
        assert_eq!(cold, StorageClass::ColdArchive);
        assert!("Glacier".parse::<StorageClass>().is_err());
    }
}
