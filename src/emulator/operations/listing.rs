//! ListObjects in both versions.

use std::ops::Bound;
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::{Call, buckets};
use crate::emulator::answer::Answer;
use crate::emulator::clock;
use crate::emulator::object::Properties;
use crate::emulator::refusal::Refusal;
use crate::emulator::shared::Shared;
use crate::emulator::storage::{Bucket, Step};
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
    objects: Vec<(String, Arc<Properties>)>,
    prefixes: Vec<String>,
    /// The last entry, if there are more.
    next: Option<String>,
}

impl Page {
    /// The entries of the bucket behind `after`. Looks at no more objects than the page has entries,
    /// and one.
    fn of(bucket: &Bucket, wanted: &Wanted<'_>, after: &str) -> Self {
        let mut page = Self::default();
        let mut last = String::new();
        let from = match after < wanted.prefix {
            true => Bound::Included(wanted.prefix),
            false => Bound::Excluded(after),
        };
        bucket.scan(from, |key, properties| {
            let Some(rest) = key.strip_prefix(wanted.prefix) else {
                return Step::Stop;
            };
            let group = match wanted.delimiter {
                "" => None,
                delimiter => rest
                    .find(delimiter)
                    .map(|at| &key[..wanted.prefix.len() + at + delimiter.len()]),
            };
            let behind = group.map_or(Step::Next, |group| match successor(group) {
                Some(key) => Step::To(key),
                None => Step::Stop,
            });
            if group == Some(after) {
                return behind;
            }
            if page.objects.len() + page.prefixes.len() == wanted.max_keys {
                page.next = Some(std::mem::take(&mut last));
                return Step::Stop;
            }
            last = group.unwrap_or(key).to_owned();
            match group {
                Some(group) => page.prefixes.push(group.to_owned()),
                None => {
                    let object = (key.to_owned(), Arc::clone(properties));
                    page.objects.push(object);
                }
            }
            behind
        });
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

/// The first text behind all that begin with `prefix`.
fn successor(prefix: &str) -> Option<String> {
    let mut text = prefix.to_owned();
    while let Some(last) = text.pop() {
        // The numbers between are no characters.
        let next = match last {
            '\u{d7ff}' => Some('\u{e000}'),
            last => char::from_u32(u32::from(last) + 1),
        };
        if let Some(next) = next {
            text.push(next);
            return Some(text);
        }
    }
    None
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
    let page = Page::of(call.bucket(shared)?.as_ref(), &wanted, marker);
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
    let page = Page::of(call.bucket(shared)?.as_ref(), &wanted, &after);
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
    use crate::emulator::body::Received;
    use crate::emulator::object::Attributes;
    use crate::emulator::storage::Storage;
    use jiff::Timestamp;

    fn page(keys: &[&str], prefix: &str, delimiter: &str, max_keys: usize, after: &str) -> String {
        let (storage, now) = (Storage::in_memory(), Timestamp::UNIX_EPOCH);
        storage.create_bucket("bucket", None, now).unwrap();
        let bucket = storage.bucket("bucket").unwrap();
        for key in keys {
            let object = Properties::empty(Attributes::plain(), now);
            storage
                .with_slot(&bucket, key, |slot| {
                    slot.append(Received::default(), object)
                })
                .unwrap();
        }
        let wanted = Wanted {
            prefix,
            delimiter,
            max_keys,
            url: false,
        };
        let page = Page::of(&bucket, &wanted, after);
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
    fn a_group_is_passed_over_whatever_its_last_character_is() {
        let max = char::MAX;
        let keys = [format!("a{max}1"), format!("a{max}2"), "b".into()];
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let first = page(&keys, "", &max.to_string(), 10, "");
        assert_eq!(first, format!("b | a{max} | None"));
        assert_eq!(successor("a\u{d7ff}"), Some("a\u{e000}".into()));
        assert_eq!(successor(&max.to_string()), None);
    }

    #[test]
    fn pages_follow_one_another() {
        let keys = ["a", "b/1", "b/2", "c", "d/1"];
        assert_eq!(page(&keys, "", "/", 2, ""), "a | b/ | Some(\"b/\")");
        assert_eq!(page(&keys, "", "/", 2, "b/"), "c | d/ | None");
        assert_eq!(page(&keys, "", "", 5, ""), "a b/1 b/2 c d/1 |  | None");
    }
}
