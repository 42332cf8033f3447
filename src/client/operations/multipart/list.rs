//! ListMultipartUploads.
//!
//! <https://www.alibabacloud.com/help/en/oss/developer-reference/listmultipartuploads>

use std::time::SystemTime;

use http::Method;
use percent_encoding::percent_decode_str;

use crate::client::OssClient;
use crate::client::request::{Call, Context};
use crate::error::{Error, Result};
use crate::values::path::check_bucket;
use crate::wire::dates;
use crate::wire::xml::{Element, Elements};

/// The most uploads of a page, and the most bytes of its document.
const MAX_UPLOADS: usize = 1000;
const MAX_LISTING: usize = 8 << 20;

/// The question for one page of a bucket's unfinished uploads, made by
/// [`OssClient::list_multipart_uploads`].
#[derive(Clone, Debug)]
#[must_use = "a request does nothing until it is sent"]
pub struct ListMultipartUploadsRequest {
    client: OssClient,
    bucket: String,
    prefix: String,
    marker: Option<UploadMarker>,
}

/// Where a page of unfinished uploads ends.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UploadMarker {
    /// The key of the last upload.
    pub key: String,
    /// Its id.
    pub upload_id: String,
}

/// One page of a bucket's unfinished uploads, by key and then by id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct UploadListing {
    /// The uploads.
    pub uploads: Vec<ListedUpload>,
    /// Where to ask the next page from; `None`: this is the last.
    pub next: Option<UploadMarker>,
    /// The id of the request.
    pub request_id: Option<String>,
}

/// An unfinished upload.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListedUpload {
    /// The key of the object that it would become.
    pub key: String,
    /// What it is named by.
    pub upload_id: String,
    /// When it was begun.
    pub initiated: Option<SystemTime>,
}

impl ListMultipartUploadsRequest {
    pub(in crate::client) fn new(client: OssClient, bucket: String) -> Self {
        Self {
            client,
            bucket,
            prefix: String::new(),
            marker: None,
        }
    }

    /// Lists those alone whose keys begin with this. Default: all.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Goes on where a page ended. The other options must be the same.
    pub fn after(mut self, marker: UploadMarker) -> Self {
        self.marker = Some(marker);
        self
    }

    /// Sends the request, once. A page has up to 1,000 uploads.
    ///
    /// # Errors
    /// As described at [`OssClient`]; `NoSuchBucket` (404) if there is no such bucket. An answer that
    /// is cut off or not a listing is an error: a page is complete or none.
    ///
    /// # Cancel safety
    /// Nothing is lost: asking has no effect.
    pub async fn send(self) -> Result<UploadListing> {
        let context = Context::without_object("list uploads");
        self.send_list().await.map_err(|error| context.wrap(error))
    }

    async fn send_list(self) -> Result<UploadListing> {
        check_bucket(&self.bucket).map_err(Error::from)?;
        let mut call = Call::bucket("list uploads", Method::GET, &self.bucket)
            .query("uploads", "")
            .query("max-uploads", &MAX_UPLOADS.to_string())
            // Not every key can stand in XML as it is.
            .query("encoding-type", "url")
            .header("cache-control", "no-cache");
        if !self.prefix.is_empty() {
            call = call.query("prefix", &self.prefix);
        }
        if let Some(UploadMarker { key, upload_id }) = &self.marker {
            call = call
                .query("key-marker", key)
                .query("upload-id-marker", upload_id);
        }
        let mut answer = call.send(&self.client).await?;
        let idle = self.client.inner.attempt_timeout;
        let body = answer.document(MAX_LISTING, idle).await?;
        let parsed = match std::str::from_utf8(&body) {
            Ok(text) => parse(text),
            Err(_) => Err("it is not UTF-8"),
        };
        let mut listing = parsed.map_err(|reason| answer.bad(reason))?;
        listing.request_id = answer.request_id();
        Ok(listing)
    }
}

fn parse(text: &str) -> Result<UploadListing, &'static str> {
    let mut elements = Elements::strict(text);
    let mut page = UploadListing::default();
    let mut next = UploadMarker {
        key: String::new(),
        upload_id: String::new(),
    };
    let (mut upload, mut url_encoded, mut truncated, mut ended) = (None, false, None, false);
    while let Some(element) = elements.next()? {
        match element {
            Element::Start { depth: 0, name } if ended || name != "ListMultipartUploadsResult" => {
                return Err("it is not a listing of uploads");
            }
            Element::Start { depth: 1, name } if name == "Upload" => {
                upload = Some(ListedUpload::default());
            }
            Element::End { depth: 0, .. } => ended = true,
            Element::End {
                depth: 1,
                name,
                text,
            } => match &*name {
                "Upload" => page.uploads.extend(upload.take()),
                "EncodingType" => url_encoded = text.eq_ignore_ascii_case("url"),
                "IsTruncated" => truncated = Some(text == "true"),
                "NextKeyMarker" => next.key = text,
                "NextUploadIdMarker" => next.upload_id = text,
                _ => {}
            },
            Element::End {
                depth: 2,
                name,
                text,
            } => {
                if let Some(upload) = &mut upload {
                    match &*name {
                        "Key" => upload.key = text,
                        "UploadId" => upload.upload_id = text,
                        "Initiated" => upload.initiated = dates::iso_time(&text),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    if !ended {
        return Err("it breaks off");
    }
    if url_encoded {
        let keys = page.uploads.iter_mut().map(|upload| &mut upload.key);
        for key in keys.chain([&mut next.key]) {
            let decoded = percent_decode_str(key).decode_utf8();
            *key = decoded
                .map_err(|_| "it has a key that is not url-encoded")?
                .into_owned();
        }
    }
    let nameless = |upload: &ListedUpload| upload.key.is_empty() || upload.upload_id.is_empty();
    if page.uploads.iter().any(nameless) {
        return Err("it has an upload without a key or an id");
    }
    page.next = match truncated {
        Some(true) if next.key.is_empty() => return Err("it does not say where there is more"),
        Some(true) => Some(next),
        Some(false) => None,
        None => return Err("it does not say whether there is more"),
    };
    Ok(page)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "<ListMultipartUploadsResult><EncodingType>url</EncodingType>\
        <Bucket>b</Bucket><NextKeyMarker>a%2Fb</NextKeyMarker>\
        <NextUploadIdMarker>2</NextUploadIdMarker><IsTruncated>true</IsTruncated>\
        <Upload><Key>a%2Fa</Key><UploadId>1</UploadId>\
        <Initiated>2012-02-23T04:18:23.000Z</Initiated></Upload>\
        <Upload><Key>a%2Fb</Key><UploadId>2</UploadId></Upload>\
        </ListMultipartUploadsResult>";

    #[test]
    fn a_page_names_its_uploads_and_where_there_are_more() {
        let page = parse(PAGE).unwrap();
        let names: Vec<_> = page
            .uploads
            .iter()
            .map(|u| (&*u.key, &*u.upload_id))
            .collect();
        assert_eq!(names, [("a/a", "1"), ("a/b", "2")]);
        assert!(page.uploads[0].initiated.is_some());
        let next = page.next.unwrap();
        assert_eq!((&*next.key, &*next.upload_id), ("a/b", "2"));
    }

    #[test]
    fn a_page_cut_off_anywhere_is_none() {
        for end in 0..PAGE.len() {
            assert!(parse(&PAGE[..end]).is_err(), "{}", &PAGE[..end]);
        }
        for (from, to) in [
            ("<IsTruncated>true</IsTruncated>", ""),
            ("<NextKeyMarker>a%2Fb</NextKeyMarker>", ""),
            ("<UploadId>1</UploadId>", ""),
            ("a%2Fa", "%FF"),
        ] {
            assert!(parse(&PAGE.replace(from, to)).is_err(), "{from}");
        }
    }
}
