//! The headers of a request: from the options to the wire, checked before anything is sent.

use std::borrow::Cow;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue};
use md5::{Digest as _, Md5};

use super::sign::Header;
use crate::error::{Error, Result};
use crate::store::options::{ObjectOptions, RequestOptions};
use crate::values::batch::Batch;
use crate::wire::encoding::encode_strict;

pub(super) const AUTHORIZATION: &str = "authorization";
pub(super) const CONTENT_TYPE: &str = "content-type";
pub(super) const DATE: &str = "x-oss-date";
pub(super) const SECURITY_TOKEN: &str = "x-oss-security-token";
const CONTENT_MD5: &str = "content-md5";
const DEFAULT_CONTENT_TYPE: &str = "application/octet-stream";

/// Header names and values in the order in which they were added.
#[derive(Default)]
pub(super) struct Headers<'a> {
    list: Vec<Header<'a>>,
}

impl<'a> Headers<'a> {
    pub(super) fn set(&mut self, name: impl Into<Cow<'a, str>>, value: impl Into<Cow<'a, str>>) {
        if self.list.is_empty() {
            self.list.reserve(12);
        }
        self.list.push((name.into(), value.into()));
    }

    /// Adds a header that the options give; an empty value counts as none.
    fn set_given(&mut self, name: &'static str, value: Option<&'a str>) {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            self.set(name, value);
        }
    }

    /// Adds the properties of a new object.
    pub(super) fn set_creation(&mut self, key: &str, options: &'a ObjectOptions) {
        match options.content_type_used() {
            None => self.set_guessed_type(key),
            Some(used) => self.set(CONTENT_TYPE, used),
        }
        self.set_given("cache-control", options.cache_control.as_deref());
        self.set_given(
            "content-disposition",
            options.content_disposition.as_deref(),
        );
        self.set_given("content-encoding", options.content_encoding.as_deref());
        self.set_given("expires", options.expires.as_deref());
        self.set_given("x-oss-object-acl", options.acl.map(|acl| acl.as_str()));
        self.set_given(
            "x-oss-storage-class",
            options.storage_class.map(|class| class.as_str()),
        );
        self.set_given(
            "x-oss-server-side-encryption",
            options.encryption.map(|encryption| encryption.as_str()),
        );
        for (name, value) in &options.meta {
            self.set(format!("x-oss-meta-{name}"), value.as_str());
        }
        let tags: Vec<String> = options
            .tags
            .iter()
            .map(|(key, value)| format!("{}={}", encode_strict(key), encode_strict(value)))
            .collect();
        if !tags.is_empty() {
            self.set("x-oss-tagging", tags.join("&"));
        }
    }

    /// Adds the content type that goes with the key's extension.
    pub(super) fn set_guessed_type(&mut self, key: &str) {
        let guess = mime_guess::from_path(key).first_raw();
        self.set(CONTENT_TYPE, guess.unwrap_or(DEFAULT_CONTENT_TYPE));
    }

    /// Adds what is sent with each request.
    pub(super) fn set_request(&mut self, options: &RequestOptions, body: Option<&Batch>) {
        if let Some(limit) = options.traffic_limit {
            self.set("x-oss-traffic-limit", limit.to_string());
        }
        if options.requester_pays {
            self.set_requester_pays();
        }
        if let Some(body) = body.filter(|_| options.content_md5) {
            let mut md5 = Md5::new();
            for chunk in body.chunks() {
                md5.update(chunk);
            }
            self.set(CONTENT_MD5, BASE64_STANDARD.encode(md5.finalize()));
        }
    }

    /// Makes the requester pay. Calling it again changes nothing.
    pub(super) fn set_requester_pays(&mut self) {
        const NAME: &str = "x-oss-request-payer";
        if !self.list.iter().any(|(name, _)| name == NAME) {
            self.set(NAME, "requester");
        }
    }

    /// The value that was set, or nothing.
    pub(super) fn get(&self, name: &str) -> &str {
        let mut list = self.list.iter();
        list.find(|(own, _)| own == name)
            .map_or("", |(_, value)| value)
    }

    /// The headers as the signature takes them.
    pub(super) fn list(&self) -> &[Header<'a>] {
        &self.list
    }

    /// Whether they can be sent.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for a value with a control character; of
    /// the headers with secrets [`Credentials`](crate::ErrorKind::Credentials).
    pub(super) fn check(&self) -> Result<()> {
        for (name, value) in &self.list {
            if value.chars().any(char::is_control) {
                return Err(match is_secret(name) {
                    true => Error::credentials(
                        "the access key id or session token has a character that cannot be sent, \
                         such as a line break",
                    ),
                    false => Error::invalid_input(format!(
                        "the value of header {name} has a control character"
                    )),
                });
            }
            // Only those of metadata are given.
            if let Cow::Owned(name) = name {
                header_name(name)?;
            }
        }
        Ok(())
    }

    /// The headers as they are sent. Those that hold a secret are marked sensitive.
    ///
    /// # Errors
    /// As of [`check`](Self::check).
    pub(super) fn into_map(self) -> Result<HeaderMap> {
        self.check()?;
        let mut map = HeaderMap::with_capacity(self.list.len());
        for (name, value) in self.list {
            let mut sent = HeaderValue::from_bytes(value.as_bytes()).map_err(|_| {
                Error::invalid_input(format!("the value of header {name} cannot be sent"))
            })?;
            sent.set_sensitive(is_secret(&name));
            map.append(header_name(&name)?, sent);
        }
        Ok(map)
    }
}

fn is_secret(name: &str) -> bool {
    matches!(name, AUTHORIZATION | SECURITY_TOKEN)
}

fn header_name(name: &str) -> Result<HeaderName> {
    HeaderName::from_bytes(name.as_bytes())
        .map_err(|_| Error::invalid_input(format!("{name:?} is not a header name")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::options::{Encryption, ObjectAcl, StorageClass};

    fn created(key: &str, options: &ObjectOptions) -> HeaderMap {
        let mut headers = Headers::default();
        headers.set_creation(key, options);
        headers.into_map().unwrap()
    }

    #[test]
    fn the_content_type_is_guessed_from_the_key_unless_given() {
        for (key, content_type) in [
            ("a/b.txt", "text/plain"),
            ("a.json", "application/json"),
            ("a", "application/octet-stream"),
            ("a.txt/b", "application/octet-stream"),
        ] {
            assert_eq!(
                created(key, &ObjectOptions::new())[CONTENT_TYPE],
                content_type
            );
        }
        let given = ObjectOptions::new().content_type("text/csv");
        assert_eq!(created("a.txt", &given)[CONTENT_TYPE], "text/csv");
    }

    #[test]
    fn every_property_of_a_new_object_has_its_header() {
        let options = ObjectOptions::new()
            .cache_control("no-cache")
            .content_disposition("attachment; filename=\"ü.txt\"")
            .content_encoding("gzip")
            .expires("Sat, 16 Dec 2023 16:20:57 GMT")
            .acl(ObjectAcl::Private)
            .storage_class(StorageClass::Ia)
            .encryption(Encryption::Aes256)
            .meta("Origin", "sensor 7")
            .and_then(|options| options.tag("team a", "x/y+z="))
            .and_then(|options| options.tag("empty", ""))
            .unwrap();
        let headers = created("a", &options);
        for (name, value) in [
            ("cache-control", "no-cache"),
            ("content-disposition", "attachment; filename=\"ü.txt\""),
            ("content-encoding", "gzip"),
            ("expires", "Sat, 16 Dec 2023 16:20:57 GMT"),
            ("x-oss-object-acl", "private"),
            ("x-oss-storage-class", "IA"),
            ("x-oss-server-side-encryption", "AES256"),
            ("x-oss-meta-origin", "sensor 7"),
            ("x-oss-tagging", "empty=&team%20a=x%2Fy%2Bz%3D"),
        ] {
            assert_eq!(headers[name].as_bytes(), value.as_bytes(), "{name}");
        }
    }

    #[test]
    fn a_control_character_is_refused_and_the_header_named() {
        for value in [
            "a\r\nx-oss-object-acl: public-read",
            "a\tb",
            "a\u{7f}",
            "a\0",
        ] {
            let mut headers = Headers::default();
            let options = ObjectOptions::new().cache_control(value);
            headers.set_creation("a", &options);
            let error = headers.into_map().unwrap_err();
            assert!(error.to_string().contains("cache-control"), "{error}");
        }
    }

    #[test]
    fn a_secret_that_cannot_be_sent_is_not_shown() {
        let mut headers = Headers::default();
        headers.set(SECURITY_TOKEN, "hush\n");
        let error = headers.into_map().unwrap_err();
        assert!(matches!(error.kind(), crate::ErrorKind::Credentials { .. }));
        assert!(!format!("{error} {error:?}").contains("hush"));
    }

    #[test]
    fn request_options_have_their_headers() {
        let options = RequestOptions::new()
            .traffic_limit(819_200)
            .unwrap()
            .requester_pays(true)
            .content_md5(true);
        let mut headers = Headers::default();
        headers.set_request(&options, Some(&Batch::from("abc")));
        headers.set_requester_pays();
        let headers = headers.into_map().unwrap();
        assert_eq!(headers["x-oss-traffic-limit"], "819200");
        assert_eq!(headers.get_all("x-oss-request-payer").iter().count(), 1);
        assert_eq!(headers[CONTENT_MD5], "kAFQmDzST7DWlj99KOF/cg==");
    }
}
