//! Options of the object that is created.

use clap::Args;
use oss_append::{ObjectAcl, ObjectOptions, StorageClass};

use crate::failure::Failure;

#[derive(Args)]
#[command(next_help_heading = "Properties of the object if this creates it")]
pub(super) struct Properties {
    /// The content type [default: application/gzip or application/zstd with --compress, else guessed
    /// from the key, else application/octet-stream]
    #[arg(long, value_name = "TYPE")]
    content_type: Option<String>,
    /// The content encoding, such as zstd for --compress zstd: browsers and other HTTP clients then
    /// decompress what they download. With gzip, most return only the first append, without an
    /// error [default: none, also with --compress]
    #[arg(long, value_name = "ENCODING")]
    content_encoding: Option<String>,
    /// User metadata; repeatable
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    meta: Vec<(String, String)>,
    /// A tag; repeatable
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    tag: Vec<(String, String)>,
    /// The access rule: default, private, public-read or public-read-write [default: the bucket's]
    #[arg(long)]
    acl: Option<ObjectAcl>,
    /// The storage class: Standard, IA or Archive, whose objects cannot be read before they are
    /// restored [default: the bucket's]
    #[arg(long, value_name = "CLASS")]
    storage_class: Option<StorageClass>,
}

impl Properties {
    pub(super) fn options(&self) -> Result<ObjectOptions, Failure> {
        let mut options = ObjectOptions::new();
        for (name, value) in &self.meta {
            options = options.meta(name, value)?;
        }
        for (key, value) in &self.tag {
            options = options.tag(key, value)?;
        }
        if let Some(content_type) = &self.content_type {
            options = options.content_type(content_type);
        }
        if let Some(content_encoding) = &self.content_encoding {
            options = options.content_encoding(content_encoding);
        }
        if let Some(acl) = self.acl {
            options = options.acl(acl);
        }
        if let Some(class) = self.storage_class {
            options = options.storage_class(class);
        }
        Ok(options)
    }
}

fn pair(text: &str) -> Result<(String, String), &'static str> {
    let (name, value) = text
        .split_once('=')
        .ok_or("there is no = between name and value")?;
    Ok((name.to_owned(), value.to_owned()))
}
