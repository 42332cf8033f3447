//! Percent-encoding, as signatures and forms of Alibaba Cloud require it.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// Everything but `A-Za-z0-9-._~` is escaped.
const STRICT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// As [`STRICT`], but `/` stays.
const PATH: &AsciiSet = &STRICT.remove(b'/');

/// The same as [`encode_strict`], without a copy where nothing is escaped.
pub(crate) fn strict(text: &str) -> Cow<'_, str> {
    utf8_percent_encode(text, STRICT).into()
}

/// The same as [`encode_path`], without a copy where nothing is escaped.
pub(crate) fn path(text: &str) -> Cow<'_, str> {
    utf8_percent_encode(text, PATH).into()
}

/// Percent-encodes for a query, where `/` is escaped too.
pub(crate) fn encode_strict(text: &str) -> String {
    utf8_percent_encode(text, STRICT).to_string()
}

/// Percent-encodes a path, where `/` stays.
pub(crate) fn encode_path(text: &str) -> String {
    utf8_percent_encode(text, PATH).to_string()
}
