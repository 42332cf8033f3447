//! The document of a listing, read strictly: a page is complete or none. What is left out of a
//! listing is taken for missing.

use std::time::Duration;

use percent_encoding::percent_decode_str;

use super::operations::list::{ListedObject, ObjectListing};
use super::response::{Answer, MAX_LENGTH, decimal};
use crate::error::Result;
use crate::values::info::ObjectKind;
use crate::wire::dates;
use crate::wire::hidden::clean;
use crate::wire::xml::{Element, Elements};

/// The most bytes of a document. A page of 1,000 of the longest keys, url-encoded, has less than
/// half of it.
const MAX_LISTING: usize = 8 << 20;

/// The most keys and groups of a page.
const MAX_ENTRIES: usize = 1000;

/// Reads the answer to ListObjectsV2. Nothing may stand still for longer than `idle`.
pub(super) async fn read(mut answer: Answer, idle: Duration) -> Result<ObjectListing> {
    let request_id = answer.request_id();
    let body = answer.document(MAX_LISTING, idle).await?;
    let parsed = match std::str::from_utf8(&body) {
        Ok(text) => parse(text),
        Err(_) => Err("it is not UTF-8"),
    };
    let mut listing = parsed.map_err(|reason| answer.bad(reason))?;
    listing.request_id = request_id;
    Ok(listing)
}

/// What of a page stands directly under the root, and its entries as they were written.
#[derive(Default)]
struct Page {
    objects: Vec<Entry>,
    prefixes: Vec<String>,
    url_encoded: bool,
    truncated: Option<bool>,
    next: Option<String>,
}

#[derive(Default)]
struct Entry {
    key: Option<String>,
    length: Option<u64>,
    kind: Option<String>,
    etag: Option<String>,
    last_modified: Option<String>,
    sealed_time: Option<String>,
    storage_class: Option<String>,
}

/// What the element that is being read stands in.
enum Within {
    Page,
    Object(Entry),
    Group,
}

type Parsed<T> = Result<T, &'static str>;

fn parse(text: &str) -> Parsed<ObjectListing> {
    let mut elements = Elements::strict(text);
    let mut page = Page::default();
    let mut within = Within::Page;
    let mut ended = false;
    while let Some(element) = elements.next()? {
        match element {
            Element::Start { depth, name } => match (depth, &*name) {
                (0, "ListBucketResult") if !ended => {}
                (0, _) => return Err("it is not a listing"),
                (1, "Contents") => within = Within::Object(Entry::default()),
                (1, "CommonPrefixes") => within = Within::Group,
                _ => {}
            },
            Element::End { depth, name, text } => match depth {
                0 => ended = true,
                1 => match std::mem::replace(&mut within, Within::Page) {
                    Within::Object(entry) => page.objects.push(entry),
                    Within::Group => {}
                    Within::Page => page.set(&name, text)?,
                },
                2 => match &mut within {
                    Within::Object(entry) => entry.set(&name, text)?,
                    Within::Group if name == "Prefix" => page.prefixes.push(text),
                    _ => {}
                },
                _ => {}
            },
        }
        if page.objects.len() + page.prefixes.len() > MAX_ENTRIES {
            return Err("it has more keys than a page may have");
        }
    }
    match ended {
        true => page.finish(),
        false => Err("it breaks off"),
    }
}

impl Page {
    fn set(&mut self, name: &str, value: String) -> Parsed<()> {
        match name {
            "EncodingType" => self.url_encoded = value.eq_ignore_ascii_case("url"),
            "IsTruncated" => {
                self.truncated = Some(match &*value {
                    "true" => true,
                    "false" => false,
                    _ => return Err("it does not say whether there is more"),
                });
            }
            "NextContinuationToken" => self.next = Some(value).filter(|next| !next.is_empty()),
            _ => {}
        }
        Ok(())
    }

    fn finish(self) -> Parsed<ObjectListing> {
        let decode = |text: String| match self.url_encoded {
            true => url_decode(&text),
            false => Ok(text),
        };
        let next = match self.truncated {
            Some(true) => {
                let token = self.next.ok_or("it does not say where there is more")?;
                Some(decode(token)?)
            }
            Some(false) => None,
            None => return Err("it does not say whether there is more"),
        };
        let objects = self.objects.into_iter().map(|entry| {
            let key = decode(entry.key.ok_or("it has an object without a key")?)?;
            if key.is_empty() {
                return Err("it has an object with an empty key");
            }
            Ok(ListedObject {
                key,
                length: entry.length.ok_or("it has an object without a size")?,
                kind: ObjectKind::named(clean(&entry.kind.unwrap_or_default())),
                etag: entry.etag.map(|etag| clean(&etag)),
                last_modified: entry.last_modified.as_deref().and_then(dates::iso_time),
                sealed_time: entry.sealed_time.as_deref().and_then(dates::iso_time),
                storage_class: entry.storage_class.map(|class| clean(&class)),
            })
        });
        Ok(ObjectListing {
            objects: objects.collect::<Parsed<_>>()?,
            common_prefixes: self
                .prefixes
                .into_iter()
                .map(decode)
                .collect::<Parsed<_>>()?,
            next_continuation_token: next,
            request_id: None,
        })
    }
}

impl Entry {
    fn set(&mut self, name: &str, value: String) -> Parsed<()> {
        match name {
            "Key" => self.key = Some(value),
            "Size" => {
                let length = decimal(value.trim()).filter(|length| *length <= MAX_LENGTH);
                self.length = Some(length.ok_or("it has an object with an impossible size")?);
            }
            "Type" => self.kind = Some(value),
            "ETag" => self.etag = Some(value),
            "LastModified" => self.last_modified = Some(value),
            "SealedTime" => self.sealed_time = Some(value),
            "StorageClass" => self.storage_class = Some(value),
            _ => {}
        }
        Ok(())
    }
}

/// Percent-decodes. What cannot have been encoded is an error: it would be another key.
fn url_decode(text: &str) -> Parsed<String> {
    let malformed = "it has a key that is not url-encoded";
    let whole = text.split('%').skip(1).all(|rest| {
        let digits = rest.as_bytes().get(..2);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    });
    if !whole {
        return Err(malformed);
    }
    let decoded = percent_decode_str(text).decode_utf8();
    decoded.map(Into::into).map_err(|_| malformed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::encoding::encode_strict;
    use proptest::prelude::*;

    fn document(entries: &str) -> String {
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ListBucketResult>\n  \
             <EncodingType>url</EncodingType>\n  <IsTruncated>false</IsTruncated>\n{entries}\
             </ListBucketResult>\n"
        )
    }

    fn object(key: &str) -> String {
        format!("<Contents><Key>{key}</Key><Size>1</Size></Contents>")
    }

    fn keys(text: &str) -> Parsed<Vec<String>> {
        let listing = parse(text)?;
        Ok(listing.objects.into_iter().map(|o| o.key).collect())
    }

    #[test]
    fn keys_are_decoded_only_where_they_are_encoded() {
        let encoded = document(&object("a%2Fb%20c%25d+%C3%BC%0A&amp;"));
        assert_eq!(keys(&encoded).unwrap(), ["a/b c%d+ü\n&"]);
        let literal = encoded.replace("<EncodingType>url</EncodingType>", "");
        assert_eq!(keys(&literal).unwrap(), ["a%2Fb%20c%25d+%C3%BC%0A&"]);
        for key in ["%", "%2", "%zz", "a%+1", "%FF", "%C3"] {
            assert!(keys(&document(&object(key))).is_err(), "{key}");
        }
    }

    #[test]
    fn the_encoding_counts_wherever_it_stands() {
        let late = "<ListBucketResult><Contents><Size>1</Size><Key>%41</Key></Contents>\
            <IsTruncated>false</IsTruncated><EncodingType>url</EncodingType></ListBucketResult>";
        assert_eq!(keys(late).unwrap(), ["A"]);
    }

    #[test]
    fn a_document_cut_off_anywhere_is_none() {
        let whole = document(&[object("a"), object("b")].concat());
        let end = whole.trim_end().len();
        for end in 0..end {
            assert!(parse(&whole[..end]).is_err(), "{}", &whole[..end]);
        }
        assert_eq!(keys(&whole).unwrap(), ["a", "b"]);
    }

    #[test]
    fn what_is_no_listing_is_refused() {
        for text in [
            "",
            "<html><body>welcome</body></html>",
            "<Error><Code>x</Code></Error>",
            "<ListBucketResult/>",
            "<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult><x/>",
            "<ListBucketResult><IsTruncated>maybe</IsTruncated></ListBucketResult>",
            "<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>",
            "<ListBucketResult><IsTruncated>false</ListBucketResult></IsTruncated>",
            &document("<Contents><Size>1</Size></Contents>"),
            &document("<Contents><Key/><Size>1</Size></Contents>"),
            &document("<Contents><Key>a</Key></Contents>"),
            &document("<Contents><Key>a</Key><Size>-1</Size></Contents>"),
            &document("<Contents><Key>a</Key><Size>9223372036854775808</Size></Contents>"),
            &document(&object("&e;")),
            &document(&object("a").repeat(1001)),
            &document(&"<CommonPrefixes><Prefix>a</Prefix></CommonPrefixes>".repeat(1001)),
        ] {
            assert!(parse(text).is_err(), "{text:.200}");
        }
    }

    #[test]
    fn an_entity_bomb_is_refused_and_not_expanded() {
        let mut bomb = String::from("<!DOCTYPE x [<!ENTITY a \"aaaaaaaaaa\">");
        for (name, of) in [("b", "a"), ("c", "b"), ("d", "c"), ("e", "d")] {
            bomb += &format!("<!ENTITY {name} \"{}\">", format!("&{of};").repeat(10));
        }
        bomb += "]>";
        assert!(parse(&(bomb.clone() + &document(&object("&e;")))).is_err());
        let root =
            document(&object("a")).split_off("<?xml version=\"1.0\" encoding=\"UTF-8\"?>".len());
        assert_eq!(keys(&(bomb + &root)).unwrap(), ["a"]);
    }

    #[test]
    fn the_longest_page_fits() {
        let key = "%C3%BC".to_owned() + &"%2F".repeat(1021);
        let entry = format!(
            "<Contents><Key>{key}</Key><LastModified>2012-02-24T08:43:07.000Z</LastModified>\
             <ETag>\"5B3C1A2E053D763E1B002CC607C5A0FE\"</ETag><Type>Appendable</Type>\
             <Size>5368709120</Size><StorageClass>DeepColdArchive</StorageClass>\
             <Owner><ID>0022012****</ID><DisplayName>user-example</DisplayName></Owner></Contents>"
        );
        let text = document(&entry.repeat(1000));
        assert!(text.len() < MAX_LISTING / 2, "{}", text.len());
        let keys = keys(&text).unwrap();
        assert_eq!((keys.len(), keys[0].len()), (1000, 1023));
    }

    #[test]
    fn depth_costs_no_stack() {
        let deep = document(&("<a>".repeat(20_000) + &"</a>".repeat(20_000)));
        assert_eq!(keys(&deep).unwrap(), [""; 0]);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn every_key_survives(key in "\\PC{1,40}", more: String) {
            for key in [key.clone(), format!("{key}{more}")] {
                let text = document(&object(&encode_strict(&key)));
                prop_assert_eq!(keys(&text).unwrap(), [key]);
            }
        }

        #[test]
        fn no_document_whatever_makes_the_reader_panic(
            text: String,
            pieces in prop::collection::vec(prop::sample::select(vec![
                "<ListBucketResult>", "</ListBucketResult>", "<Contents>", "</Contents>", "<Key>",
                "</Key>", "<Size>", "</Size>", "1", "<CommonPrefixes>", "</CommonPrefixes>",
                "<Prefix>", "<IsTruncated>false</IsTruncated>", "<EncodingType>url</EncodingType>",
                "<![CDATA[", "]]>", "<!DOCTYPE x [", "]>", "<!--", "-->", "<?", "?>", "&#", "&a;",
                "&#x0;", "%", "<", ">", "\0", "\u{feff}", "x",
            ]), 0..24),
        ) {
            for text in [text, pieces.concat(), document(&pieces.concat())] {
                if let Ok(listing) = parse(&text) {
                    prop_assert!(listing.objects.iter().all(|object| !object.key.is_empty()));
                }
            }
        }
    }
}
