//! No `Authorization` header and no presigned query whatever panics, and none is accepted but the
//! one that was signed.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, HeaderName, HeaderValue};
use jiff::Timestamp;
use proptest::prelude::*;
use proptest::sample::Index;
use sha1::Sha1;

use super::keys::{Key, Keys};
use super::{Sender, Signed};
use crate::client::sign::{self, CanonicalRequest, Header, Signer};
use crate::emulator::target::{Query, Target};

const NOW: i64 = 1_702_743_657;
const DATE: &str = "Sat, 16 Dec 2023 16:20:57 GMT";
const DATETIME: &str = "20231216T162057Z";
const CREDENTIAL: &str = "ak/20231216/cn-hangzhou/oss/aliyun_v4_request";
const EXPIRES: &str = "1702743717";

/// A request as it is received: `POST` of `bucket/object`.
#[derive(Clone, Debug)]
struct Request {
    query: Vec<u8>,
    authorization: Option<Vec<u8>>,
    headers: Vec<(&'static str, Vec<u8>)>,
}

impl Request {
    fn new(query: String) -> Self {
        Self {
            query: query.into(),
            authorization: None,
            headers: vec![("content-type", b"text/plain".into())],
        }
    }

    /// Whether it is taken for one of the key's owner. `None` if it is no HTTP.
    fn accepted(&self) -> Option<bool> {
        let mut headers = HeaderMap::new();
        let authorization = self.authorization.iter().map(|own| ("authorization", own));
        let others = self.headers.iter().map(|(name, value)| (*name, value));
        for (name, value) in authorization.chain(others) {
            let value = HeaderValue::from_bytes(value).ok()?;
            headers.append(HeaderName::from_static(name), value);
        }
        let query = Query::parse(std::str::from_utf8(&self.query).ok()?).ok()?;
        let target = Target {
            bucket: Some("bucket".into()),
            key: Some("object".into()),
        };
        let mut keys = Keys::default();
        keys.add(Key::fixed("ak".into(), "sk".into()));
        keys.add(Key::temporary("a".into(), "s".into(), "t".into(), false));
        let signed = Signed {
            method: "POST",
            target: &target,
            query: &query,
            headers: &headers,
            keys: &keys,
            region: "cn-hangzhou",
            v1: true,
            now: Timestamp::from_second(NOW).unwrap(),
        };
        Some(matches!(signed.sender(), Ok(Sender::Owner)))
    }

    /// The query's parameters of these names, decoded and sorted.
    fn parameters(&self, wanted: impl Fn(&str) -> bool) -> Vec<(String, String)> {
        let query = Query::parse(std::str::from_utf8(&self.query).unwrap()).unwrap();
        let pairs = query.iter().filter(|(name, _)| wanted(name));
        let mut pairs: Vec<_> = pairs.map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
        pairs.sort();
        pairs
    }
}

fn signer() -> Signer<'static> {
    Signer {
        access_key_id: "ak",
        access_key_secret: "sk",
        region: "cn-hangzhou",
        product: "oss",
        datetime: DATETIME,
    }
}

fn canonical<'a>(query: &'a str, headers: &'a [Header<'a>]) -> CanonicalRequest<'a> {
    CanonicalRequest {
        method: "POST",
        uri: "/bucket/object",
        query,
        headers,
        additional: &[],
        payload: sign::UNSIGNED_PAYLOAD,
    }
}

fn v1_signature(date: &str) -> String {
    let mut mac = Hmac::<Sha1>::new_from_slice(b"sk").unwrap();
    let text = format!("POST\n\ntext/plain\n{date}\n/bucket/object?append&position=0");
    mac.update(text.as_bytes());
    BASE64_STANDARD.encode(mac.finalize().into_bytes())
}

fn v4_header() -> Request {
    let mut request = Request::new("append&position=0".into());
    for (name, value) in [
        ("x-oss-date", DATETIME),
        ("x-oss-content-sha256", sign::UNSIGNED_PAYLOAD),
    ] {
        request.headers.push((name, value.into()));
    }
    let text = |value: &[u8]| String::from_utf8(value.into()).unwrap();
    let headers: Vec<_> = request
        .headers
        .iter()
        .map(|(name, value)| ((*name).into(), text(value).into()))
        .collect();
    let authorization = signer().authorization(&canonical("append&position=0", &headers));
    request.authorization = Some(authorization.into());
    request
}

fn v1_header() -> Request {
    let mut request = Request::new("append&position=0".into());
    request.headers.push(("date", DATE.into()));
    request.authorization = Some(format!("OSS ak:{}", v1_signature(DATE)).into());
    request
}

fn v4_query() -> Request {
    let mut query = vec![
        ("append", ""),
        ("position", "0"),
        ("x-oss-signature-version", sign::ALGORITHM),
        ("x-oss-date", DATETIME),
        ("x-oss-expires", "60"),
        ("x-oss-credential", CREDENTIAL),
    ];
    let headers = [("content-type".into(), "text/plain".into())];
    let text = sign::canonical_query(query.iter().copied());
    let signature = signer().sign(&canonical(&text, &headers));
    query.push(("x-oss-signature", &signature));
    Request::new(sign::canonical_query(query))
}

fn v1_query() -> Request {
    Request::new(sign::canonical_query([
        ("append", ""),
        ("position", "0"),
        ("OSSAccessKeyId", "ak"),
        ("Expires", EXPIRES),
        ("Signature", &*v1_signature(EXPIRES)),
    ]))
}

/// What headers and queries are made of, and what else may stand in them.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let words = vec![
        ",",
        "=",
        " ",
        ";",
        ":",
        "/",
        "&",
        "%",
        "%00",
        "%2f",
        "+",
        "\t",
        "é",
        "\u{a0}",
        "OSS ",
        "OSS4-HMAC-SHA256 ",
        "Credential=",
        "AdditionalHeaders=",
        ",AdditionalHeaders=content-type;host",
        "Signature=",
        ",Signature=",
        CREDENTIAL,
        "ak",
        "a",
        "aliyun_v4_request",
        DATE,
        DATETIME,
        "20231216",
        "-009999-01-01T00:00:00Z",
        "99991231T235959Z",
        "Thu, 01 Jan 0000 00:00:00 GMT",
        "9223372036854775807",
        "-9223372036854775808",
        "&append",
        "&position=1",
        "&acl",
        "&security-token=t",
        "&x-oss-security-token=t",
        "&x-oss-signature=",
        "&x-oss-signature-version=OSS4-HMAC-SHA256",
        "&x-oss-additional-headers=host",
        "&x-oss-date=20231216T162057Z",
        "&x-oss-expires=604800",
        "&x-oss-credential=",
        "&OSSAccessKeyId=a",
        "&Expires=9999999999",
        "&Signature=",
    ];
    prop_oneof![
        8 => prop::sample::select(words).prop_map(|word| word.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 1..4),
    ]
}

fn text() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => prop::collection::vec(piece(), 0..12).prop_map(|pieces| pieces.concat()),
        1 => prop::collection::vec(any::<u8>(), 0..60),
    ]
}

/// A change of what was valid.
#[derive(Clone, Debug)]
enum Edit {
    Remove(Index, usize),
    Insert(Index, Vec<u8>),
    Replace(Index, u8),
    Swap(Index, Index),
    /// A part of it is put somewhere.
    Copy(Index, Index, Index),
    Case(Index),
    Truncate(Index),
}

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let at = any::<Index>;
    let edit = prop_oneof![
        (at(), 1..5usize).prop_map(|(at, count)| Edit::Remove(at, count)),
        (at(), piece()).prop_map(|(at, piece)| Edit::Insert(at, piece)),
        (at(), any::<u8>()).prop_map(|(at, byte)| Edit::Replace(at, byte)),
        (at(), at()).prop_map(|(one, other)| Edit::Swap(one, other)),
        (at(), at(), at()).prop_map(|(from, to, at)| Edit::Copy(from, to, at)),
        at().prop_map(Edit::Case),
        at().prop_map(Edit::Truncate),
    ];
    prop::collection::vec(edit, 1..4)
}

fn change(text: &mut Vec<u8>, edits: &[Edit]) {
    for edit in edits.iter().cloned() {
        if text.is_empty() {
            return;
        }
        let length = text.len();
        match edit {
            Edit::Remove(at, count) => {
                let at = at.index(length);
                text.drain(at..length.min(at + count));
            }
            Edit::Insert(at, piece) => {
                let at = at.index(length + 1);
                text.splice(at..at, piece);
            }
            Edit::Replace(at, byte) => text[at.index(length)] = byte,
            Edit::Swap(one, other) => text.swap(one.index(length), other.index(length)),
            Edit::Copy(from, to, at) => {
                let (from, to) = (from.index(length), to.index(length));
                let part = text[from.min(to)..from.max(to)].to_vec();
                let at = at.index(length + 1);
                text.splice(at..at, part);
            }
            Edit::Case(at) => {
                let byte = &mut text[at.index(length)];
                *byte = match byte.is_ascii_uppercase() {
                    true => byte.to_ascii_lowercase(),
                    false => byte.to_ascii_uppercase(),
                };
            }
            Edit::Truncate(at) => text.truncate(at.index(length)),
        }
    }
}

/// Whether both say the same: the order of the fields, space around them, and additional headers
/// that the request does not have, are nothing to sign.
fn same_authorization(one: &[u8], other: &[u8]) -> bool {
    let fields = |bytes: &[u8]| {
        let text = std::str::from_utf8(bytes).ok()?;
        let fields = text.strip_prefix("OSS4-HMAC-SHA256 ")?.split(',');
        let mut fields: Vec<String> = fields
            .map(|field| field.trim().to_owned())
            .filter(|field| !field.starts_with("AdditionalHeaders="))
            .collect();
        fields.sort();
        Some(fields)
    };
    one == other || (fields(one).is_some() && fields(one) == fields(other))
}

/// Whether both queries say the same. V1 signs its own parameters alone.
fn same_query(one: &Request, other: &Request) -> bool {
    let names = one.parameters(|_| true);
    let v1 = names.iter().any(|(name, _)| name == "OSSAccessKeyId");
    let wanted = |name: &str| !v1 || names.iter().any(|(own, _)| own == name);
    names == other.parameters(wanted)
}

#[test]
fn what_was_signed_is_accepted() {
    for request in [v4_header(), v4_query(), v1_header(), v1_query()] {
        assert_eq!(request.accepted(), Some(true), "{request:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 1000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn nothing_arbitrary_panics_or_is_accepted(
        authorization in prop::option::of(text()),
        prefix in prop::sample::select(vec!["", "OSS ", "OSS4-HMAC-SHA256 Credential="]),
        query in text(),
        names in prop::collection::vec(prop::sample::select(vec![
            "date", "x-oss-date", "x-oss-content-sha256", "x-oss-security-token", "security-token",
            "content-md5", "content-type", "authorization",
        ]), 0..4),
        value in text(),
    ) {
        let mut request = Request::new("append&position=0".into());
        request.query.extend([b"&", &*query].concat());
        request.authorization = authorization.map(|rest| [prefix.as_bytes(), &rest].concat());
        request.headers.extend(names.into_iter().map(|name| (name, value.clone())));
        prop_assert_ne!(request.accepted(), Some(true));
    }

    #[test]
    fn a_changed_authorization_is_refused(edits in edits()) {
        for valid in [v4_header(), v1_header()] {
            let right = valid.authorization.clone().unwrap();
            let mut changed = right.clone();
            change(&mut changed, &edits);
            let request = Request { authorization: Some(changed.clone()), ..valid };
            if request.accepted() == Some(true) {
                let shown = String::from_utf8_lossy(&changed).into_owned();
                prop_assert!(same_authorization(&right, &changed), "{}", shown);
            } else {
                prop_assert_ne!(&right, &changed);
            }
        }
    }

    #[test]
    fn a_changed_presigned_query_is_refused(edits in edits()) {
        for valid in [v4_query(), v1_query()] {
            let mut request = valid.clone();
            change(&mut request.query, &edits);
            if request.accepted() == Some(true) {
                let shown = String::from_utf8_lossy(&request.query).into_owned();
                prop_assert!(same_query(&valid, &request), "{}", shown);
            } else {
                prop_assert_ne!(&valid.query, &request.query);
            }
        }
    }

    #[test]
    fn a_changed_header_that_is_signed_is_refused(edits in edits(), at in any::<Index>()) {
        for valid in [v4_header(), v1_header(), v4_query(), v1_query()] {
            let mut request = valid.clone();
            let at = at.index(request.headers.len());
            change(&mut request.headers[at].1, &edits);
            let (right, changed) = (&valid.headers[at].1, &request.headers[at].1);
            if request.accepted() == Some(true) {
                // V4 signs no space around a value.
                let same = String::from_utf8_lossy(changed).trim().as_bytes() == &right[..];
                prop_assert!(same, "{:?}", changed);
            } else {
                prop_assert_ne!(right, changed);
            }
        }
    }
}
