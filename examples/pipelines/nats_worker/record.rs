//! A message as a line of JSON.

use std::collections::BTreeMap;

use async_nats::Message;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// What is written. It follows from the message alone, the same each time that it is delivered:
/// nothing about the delivery, no time of today, and the headers in an order of their own.
#[derive(Serialize)]
struct Record<'a> {
    /// The message's number in the stream.
    seq: u64,
    subject: &'a str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    headers: BTreeMap<&'a str, Vec<&'a str>>,
    /// The payload, if it is UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a str>,
    /// The payload, if it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    base64: Option<String>,
}

/// The line of `message`, which is number `seq` in the stream.
pub(crate) fn line(seq: u64, message: &Message) -> Result<Bytes, serde_json::Error> {
    let headers = message.headers.iter().flat_map(|headers| headers.iter());
    let data = std::str::from_utf8(&message.payload).ok();
    let record = Record {
        seq,
        subject: &message.subject,
        headers: headers
            .map(|(name, values)| {
                let values = values.iter().map(|value| value.as_str());
                (name.as_ref(), values.collect())
            })
            .collect(),
        data,
        base64: data.is_none().then(|| STANDARD.encode(&message.payload)),
    };
    let mut line = serde_json::to_vec(&record)?;
    line.push(b'\n');
    Ok(line.into())
}

/// What a line tells about where it comes from.
#[derive(Debug, Deserialize)]
pub(crate) struct Origin {
    pub(crate) seq: u64,
    pub(crate) subject: String,
}

/// Reads a line back.
pub(crate) fn origin(line: &[u8]) -> Result<Origin, serde_json::Error> {
    serde_json::from_slice(line)
}
