//! What is published, and the lines that must come of it: encoded apart from the worker.

use async_nats::HeaderMap;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::Value;

pub const PARTITIONS: u64 = 4;

/// The subject of message `seq`, the first of which is 1.
pub fn subject(seq: u64) -> String {
    format!("events.{}", seq % PARTITIONS)
}

/// Short and long, with quotes and line breaks, and some that are no text.
pub fn payload(seq: u64) -> Bytes {
    match seq % 11 {
        0 => Bytes::new(),
        1 => format!("\"quoted\" \\ and\nin two lines: 温度 {seq}\n").into(),
        2 => [&seq.to_le_bytes()[..], b"\n\xff\xfe\x00"].concat().into(),
        _ => format!("{seq} {}", "x".repeat((seq * 7919 % 120) as usize)).into(),
    }
}

pub fn headers(seq: u64) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if seq.is_multiple_of(13) {
        headers.insert("Zone", "z");
        headers.append("Trace", format!("t-{seq}"));
        headers.append("Trace", "again");
        headers.insert("Kind", "k");
    }
    headers
}

/// The line of message `seq`.
pub fn line(seq: u64) -> String {
    let headers = match seq % 13 {
        0 => format!(r#","headers":{{"Kind":["k"],"Trace":["t-{seq}","again"],"Zone":["z"]}}"#),
        _ => String::new(),
    };
    let data = match String::from_utf8(payload(seq).into()) {
        Ok(text) => format!(r#""data":{}"#, Value::from(text)),
        Err(error) => format!(r#""base64":"{}""#, STANDARD.encode(error.as_bytes())),
    };
    let subject = subject(seq);
    format!("{{\"seq\":{seq},\"subject\":\"{subject}\"{headers},{data}}}\n")
}

/// The lines of a partition, of the messages up to `last`.
pub fn partition(number: u64, last: u64) -> Vec<u8> {
    (1..=last)
        .filter(|seq| seq % PARTITIONS == number)
        .flat_map(|seq| line(seq).into_bytes())
        .collect()
}
