//! Templates and texts of them for the unit tests.

use jiff::Timestamp;
use proptest::prelude::*;

use super::{KeyNames, KeyTemplate};
use crate::error::ErrorKind;

pub(super) const EAST: i32 = 8 * 3600;

pub(super) fn template(text: &str) -> KeyTemplate {
    KeyTemplate::with_host(text, "web-1".into()).unwrap()
}

pub(super) fn refusal(text: &str) -> String {
    let error = KeyTemplate::with_host(text, "web-1".into()).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::InvalidInput { .. }));
    error.to_string()
}

pub(super) fn names(text: &str) -> KeyNames {
    let time = "2026-03-04T17:06:07.089Z".parse().unwrap();
    template(text).names(time, EAST)
}

/// Text that is mostly a template.
pub(super) fn any_text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => prop::sample::select(vec![
            "{seq}", "{seq:4}", "{host}", "{pid}", "{uuid}", "{hash}", "{{", "}}", "%%", "/", "-",
        ]).prop_map(String::from),
        4 => "%[YmdHMSjFfNsZzQpqAB]",
        2 => "%[_0^#-]?[0-9]{0,2}:{0,3}(\\.[0-9]?)?[A-Za-z]",
        2 => "[a-z0-9./]{0,3}",
        1 => ".{0,3}",
        1 => "[{}%]",
    ];
    prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

pub(super) fn any_time() -> impl Strategy<Value = Timestamp> {
    let all = Timestamp::MIN.as_nanosecond()..=Timestamp::MAX.as_nanosecond();
    let whole = Timestamp::MIN.as_second()..=Timestamp::MAX.as_second();
    prop_oneof![
        all.prop_map(|nanos| Timestamp::from_nanosecond(nanos).unwrap()),
        whole.prop_map(|seconds| Timestamp::from_second(seconds).unwrap()),
    ]
}
