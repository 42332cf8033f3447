//! Which options for a new object have no effect, since the object exists.

use std::fmt;

use super::options::ObjectOptions;
use crate::values::info::ObjectProperties;

/// An option for new objects that an existing object does not have.
///
/// ACL and tags are not compared: a look at an object does not show them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct IgnoredOption {
    /// The name of its header, such as `Content-Type`.
    pub name: String,
    /// What was asked for.
    pub asked: String,
    /// What the object has.
    pub found: Option<String>,
}

impl fmt::Display for IgnoredOption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, asked, found } = self;
        match found {
            Some(found) => write!(f, "{name} {asked} (it has {found})"),
            None => write!(f, "{name} {asked} (it has none)"),
        }
    }
}

impl ObjectOptions {
    /// The options that an object with these properties does not have.
    pub(crate) fn ignored_by(&self, found: &ObjectProperties) -> Vec<IgnoredOption> {
        // Not every store names the class of what is in its usual one.
        let class = self.storage_class.filter(|_| found.storage_class.is_some());
        let class = class.map(|class| class.as_str());
        let encryption = self.encryption.map(|encryption| encryption.as_str());
        let headers = [
            (
                "Content-Type",
                self.content_type.as_deref(),
                &found.content_type,
            ),
            (
                "Cache-Control",
                self.cache_control.as_deref(),
                &found.cache_control,
            ),
            (
                "Content-Disposition",
                self.content_disposition.as_deref(),
                &found.content_disposition,
            ),
            (
                "Content-Encoding",
                self.content_encoding.as_deref(),
                &found.content_encoding,
            ),
            ("Expires", self.expires.as_deref(), &found.expires),
            ("x-oss-storage-class", class, &found.storage_class),
            (
                "x-oss-server-side-encryption",
                encryption,
                &found.encryption,
            ),
        ];
        let headers = headers.into_iter().map(|(name, asked, found)| {
            (name.to_owned(), asked.unwrap_or_default(), found.as_deref())
        });
        // What the writers add says nothing about what was asked for.
        let given = (self.meta.iter())
            .filter(|(name, _)| ![Self::CREATOR, Self::COMPRESSION].contains(&name.as_str()));
        let metadata = given.map(|(name, value)| {
            let found = found.metadata.get(name).map(String::as_str);
            (format!("x-oss-meta-{name}"), value.as_str(), found)
        });
        headers
            .chain(metadata)
            .filter(|(_, asked, found)| !asked.is_empty() && *found != Some(*asked))
            .map(|(name, asked, found)| IgnoredOption {
                name,
                asked: asked.to_owned(),
                found: found.map(str::to_owned),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::options::{Encryption, StorageClass};
    use crate::values::format::StoredFormat;

    #[test]
    fn only_what_was_asked_for_and_differs_is_ignored() {
        let mut options = ObjectOptions::new()
            .content_type("text/plain")
            .cache_control("no-store")
            .content_encoding("")
            .storage_class(StorageClass::Ia)
            .encryption(Encryption::Aes256)
            .meta("origin", "a")
            .and_then(|options| options.meta("same", "x"))
            .unwrap();
        options.mark("mine");
        options.compress(StoredFormat::Gzip);
        let found = ObjectProperties {
            content_type: Some("text/csv".into()),
            cache_control: Some("no-store".into()),
            content_disposition: Some("inline".into()),
            content_encoding: Some("gzip".into()),
            expires: None,
            storage_class: Some("Standard".into()),
            encryption: None,
            metadata: [("same".to_owned(), "x".to_owned())].into(),
        };
        let ignored = options.ignored_by(&found);
        let shown: Vec<_> = ignored.iter().map(ToString::to_string).collect();
        assert_eq!(
            shown,
            [
                "Content-Type text/plain (it has text/csv)",
                "x-oss-storage-class IA (it has Standard)",
                "x-oss-server-side-encryption AES256 (it has none)",
                "x-oss-meta-origin a (it has none)",
            ]
        );
        assert_eq!(ObjectOptions::new().ignored_by(&found), []);
    }
}
