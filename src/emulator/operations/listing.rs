//! ListObjects in both versions.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::{Call, buckets};
use crate::emulator::answer::Answer;
use crate::emulator::clock;
use crate::emulator::object::Properties;
use crate::emulator::refusal::Refusal;
use crate::emulator::shared::Shared;
use crate::emulator::xml::Document;
use crate::wire::encoding::encode_strict;

/// What a listing asks for, in either version.
#[derive(Debug)]
struct Wanted<'a> {
    prefix: &'a str,
    delimiter: &'a str,
    max_keys: usize,
    url: bool,
}

impl<'a> Wanted<'a> {
    fn read(call: &'a Call) -> Result<Self, Refusal> {
        let get = |name| call.query.get(name).unwrap_or_default();
        let max_keys = buckets::max_keys(get("max-keys"), "0015-00000402")?;
        let url = match get("encoding-type") {
            "" => false,
            "url" => true,
            text => {
                return Err(Refusal::invalid_value(
                    "encoding-type",
                    text,
                    "Invalid Encoding Method specified in Request",
                )
                .ec("0017-00000235"));
            }
        };
        let (prefix, delimiter) = (get("prefix"), get("delimiter"));
        shorter("prefix", prefix).map_err(|refusal| refusal.ec("0015-00000403"))?;
        if delimiter.chars().count() > 1 {
            return Err(Refusal::invalid_value(
                "delimiter",
                delimiter,
                "The delimiter must be one character.",
            )
            .ec("0015-00000406"));
        }
        Ok(Self {
            prefix,
            delimiter,
            max_keys,
            url,
        })
    }

    fn encode(&self, text: &str) -> String {
        match self.url {
            true => encode_strict(text),
            false => text.to_owned(),
        }
    }
}

/// Refuses what is not shorter than 1024 bytes.
fn shorter(name: &'static str, value: &str) -> Result<(), Refusal> {
    if value.len() < 1024 {
        return Ok(());
    }
    Err(Refusal::invalid_value(
        name,
        value,
        "The value must be shorter than 1024 bytes.",
    ))
}

/// One page of a listing.
#[derive(Debug, Default, PartialEq, Eq)]
struct Page {
    objects: Vec<(String, Properties)>,
    prefixes: Vec<String>,
    /// The last entry, if there are more.
    next: Option<String>,
}

impl Page {
    /// The entries of sorted `objects` behind `after`.
    fn of(objects: Vec<(String, Properties)>, wanted: &Wanted<'_>, after: &str) -> Self {
        let mut page = Self::default();
        let mut last = String::new();
        for (key, properties) in objects {
            let Some(rest) = key.strip_prefix(wanted.prefix) else {
                continue;
            };
            let group = match wanted.delimiter {
                "" => None,
                delimiter => rest
                    .find(delimiter)
                    .map(|at| &key[..wanted.prefix.len() + at + delimiter.len()]),
            };
            let entry = group.unwrap_or(&key);
            let seen = page.prefixes.last().is_some_and(|prefix| prefix == entry);
            if key.as_str() <= after || group == Some(after) || seen {
                continue;
            }
            if page.objects.len() + page.prefixes.len() == wanted.max_keys {
                page.next = Some(last);
                break;
            }
            last = entry.to_owned();
            match group {
                Some(group) => page.prefixes.push(group.to_owned()),
                None => page.objects.push((key, properties)),
            }
        }
        page
    }

    fn write(&self, document: &mut Document, wanted: &Wanted<'_>, owner: bool) {
        for (key, object) in &self.objects {
            document
                .open("Contents")
                .text("Key", wanted.encode(key))
                .text("LastModified", clock::iso(object.modified))
                .text("ETag", format_args!("\"{}\"", object.etag))
                .text("Type", object.kind.name())
                .text("Size", object.length)
                .text("StorageClass", &object.attributes.storage_class);
            if owner {
                buckets::owner(document);
            }
            document.close("Contents");
        }
        for prefix in &self.prefixes {
            document
                .open("CommonPrefixes")
                .text("Prefix", wanted.encode(prefix))
                .close("CommonPrefixes");
        }
    }
}

fn begin(call: &Call, wanted: &Wanted<'_>) -> Document {
    let mut document = Document::new("ListBucketResult");
    document
        .text("Name", call.bucket_name())
        .text("Prefix", wanted.encode(wanted.prefix))
        .text("MaxKeys", wanted.max_keys)
        .text("Delimiter", wanted.encode(wanted.delimiter));
    if wanted.url {
        document.text("EncodingType", "url");
    }
    document
}

/// ListObjects, version 1.
pub(super) fn objects(shared: &Shared, call: &Call) -> Result<Answer, Refusal> {
    if let Some(kind) = call.query.get("list-type") {
        return Err(
            Refusal::invalid_value("list-type", kind, "list-type can only be 2.")
                .ec("0015-00000401"),
        );
    }
    let wanted = Wanted::read(call)?;
    let marker = call.query.get("marker").unwrap_or_default();
    shorter("marker", marker).map_err(|refusal| refusal.ec("0015-00000405"))?;
    let page = Page::of(call.bucket(shared)?.list(), &wanted, marker);
    let mut document = begin(call, &wanted);
    document
        .text("Marker", wanted.encode(marker))
        .text("IsTruncated", page.next.is_some());
    if let Some(next) = &page.next {
        document.text("NextMarker", wanted.encode(next));
    }
    page.write(&mut document, &wanted, true);
    Ok(Answer::xml(document.finish()))
}

/// ListObjects, version 2.
pub(super) fn objects_v2(shared: &Shared, call: &Call) -> Result<Answer, Refusal> {
    let wanted = Wanted::read(call)?;
    let start_after = call.query.get("start-after").unwrap_or_default();
    shorter("start-after", start_after)?;
    let token = call
        .query
        .get("continuation-token")
        .filter(|token| !token.is_empty());
    let after = match token {
        None => start_after.to_owned(),
        Some(token) => BASE64_STANDARD
            .decode(token)
            .ok()
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .ok_or_else(|| {
                Refusal::invalid_value(
                    "continuation-token",
                    token,
                    "The continuation token is not valid.",
                )
                .ec("0015-00000404")
            })?,
    };
    let page = Page::of(call.bucket(shared)?.list(), &wanted, &after);
    let mut document = begin(call, &wanted);
    document
        .text("StartAfter", wanted.encode(start_after))
        .text("KeyCount", page.objects.len() + page.prefixes.len())
        .text("IsTruncated", page.next.is_some());
    if let Some(token) = token {
        document.text("ContinuationToken", token);
    }
    if let Some(next) = &page.next {
        document.text("NextContinuationToken", BASE64_STANDARD.encode(next));
    }
    let owner = call.query.get("fetch-owner") == Some("true");
    page.write(&mut document, &wanted, owner);
    Ok(Answer::xml(document.finish()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::emulator::object::Attributes;
    use jiff::Timestamp;

    fn page(keys: &[&str], prefix: &str, delimiter: &str, max_keys: usize, after: &str) -> String {
        let objects = keys
            .iter()
            .map(|key| {
                let object = Properties::empty(Attributes::plain(), Timestamp::UNIX_EPOCH);
                ((*key).to_owned(), object)
            })
            .collect();
        let wanted = Wanted {
            prefix,
            delimiter,
            max_keys,
            url: false,
        };
        let page = Page::of(objects, &wanted, after);
        let keys: Vec<_> = page.objects.into_iter().map(|(key, _)| key).collect();
        format!(
            "{} | {} | {:?}",
            keys.join(" "),
            page.prefixes.join(" "),
            page.next
        )
    }

    #[test]
    fn a_delimiter_groups() {
        let keys = ["a", "b/1", "b/2", "c", "d/1"];
        assert_eq!(page(&keys, "", "/", 10, ""), "a c | b/ d/ | None");
        assert_eq!(page(&keys, "b/", "/", 10, ""), "b/1 b/2 |  | None");
        assert_eq!(page(&keys, "", "", 10, "b/1"), "b/2 c d/1 |  | None");
        assert_eq!(page(&keys, "", "/", 10, "b/1"), "c | b/ d/ | None");
    }

    #[test]
    fn pages_follow_one_another() {
        let keys = ["a", "b/1", "b/2", "c", "d/1"];
        assert_eq!(page(&keys, "", "/", 2, ""), "a | b/ | Some(\"b/\")");
        assert_eq!(page(&keys, "", "/", 2, "b/"), "c | d/ | None");
        assert_eq!(page(&keys, "", "", 5, ""), "a b/1 b/2 c d/1 |  | None");
    }
}
