//! Signature V4 (`OSS4-HMAC-SHA256`), in the header and in the query.

use jiff::{SignedDuration, Timestamp};

use super::keys::Key;
use super::{Signed, expired_url, invalid, same, wrong_signature};
use crate::client::sign::{self, CanonicalRequest, Scope};
use crate::emulator::clock;
use crate::emulator::refusal::Refusal;

/// The longest life of a presigned URL.
const MAX_EXPIRES: i64 = 7 * 24 * 60 * 60;

/// How far a signing date may be off to be refused as skewed, and not as wrong altogether. The
/// documents name no limit.
const SKEWED: SignedDuration = SignedDuration::from_hours(24);

/// `ID/DATE/REGION/PRODUCT/aliyun_v4_request`
#[derive(Debug)]
struct Credential<'a> {
    id: &'a str,
    scope: Scope<'a>,
}

/// The codes of what can be wrong with a credential, which are others in a URL.
struct Codes {
    id: &'static str,
    date: &'static str,
    form: &'static str,
}

const IN_HEADER: Codes = Codes {
    id: "0002-00000206",
    date: "0002-00000212",
    form: "0002-00000213",
};

const IN_QUERY: Codes = Codes {
    id: "0002-00000222",
    date: "0002-00000223",
    form: "0002-00000224",
};

impl<'a> Credential<'a> {
    fn parse(signed: &Signed<'_>, text: &'a str, codes: &Codes) -> Result<Self, Refusal> {
        let parts: Vec<&str> = text.split('/').collect();
        let &[id, date, region, product, suffix] = parts.as_slice() else {
            return Err(invalid(codes.form, "The Credential is malformed."));
        };
        if suffix != "aliyun_v4_request" {
            return Err(invalid(
                codes.form,
                "Invalid signing suffix in Authorization header.",
            ));
        }
        if product != "oss" {
            return Err(invalid(
                codes.form,
                "Invalid signing product in Authorization header.",
            ));
        }
        signed.check_id(id, codes.id)?;
        if date.len() != 8 || !date.bytes().all(|b| b.is_ascii_digit()) {
            return Err(invalid_date(codes.date));
        }
        if region != signed.region {
            return Err(invalid(
                "0002-00000226",
                "Invalid signing region in Authorization header.",
            )
            .element(
                "Authorization",
                signed.only_header("authorization")?.unwrap_or(text),
            ));
        }
        Ok(Self {
            id,
            scope: Scope {
                date,
                region,
                product,
            },
        })
    }
}

fn invalid_date(ec: &'static str) -> Refusal {
    invalid(ec, "Invalid signing date in Authorization header.")
}

/// The fields of an `Authorization` header.
#[derive(Debug, Default)]
struct Fields<'a> {
    credential: Option<&'a str>,
    additional: Option<&'a str>,
    signature: Option<&'a str>,
}

impl<'a> Fields<'a> {
    fn parse(text: &'a str) -> Result<Self, Refusal> {
        let mut found = Self::default();
        for field in text.split(',') {
            let (name, value) = field.trim().split_once('=').ok_or_else(|| {
                invalid(
                    "0002-00000203",
                    "A field of the Authorization header has no value.",
                )
            })?;
            let slot = match name {
                "Credential" => &mut found.credential,
                "AdditionalHeaders" => &mut found.additional,
                "Signature" => &mut found.signature,
                _ => {
                    return Err(invalid(
                        "0002-00000204",
                        "A field of the Authorization header is not known.",
                    ));
                }
            };
            if slot.replace(value).is_some() {
                return Err(invalid(
                    "0002-00000202",
                    "A field of the Authorization header is there twice.",
                ));
            }
        }
        Ok(found)
    }

    /// The credential and the signature. The pages contradict each other about one field alone:
    /// those of 202, 205 and 207 show it.
    fn required(&self) -> Result<(&'a str, &'a str), Refusal> {
        match (self.credential, self.signature) {
            (Some(_), Some("")) => Err(invalid(
                "0002-00000208",
                "The Signature in the Authorization header is empty.",
            )),
            (Some(credential), Some(signature)) => Ok((credential, signature)),
            (Some(_), None) if self.additional.is_none() => Err(invalid(
                "0002-00000202",
                "The Authorization header has only one field.",
            )),
            (Some(_), None) => Err(invalid(
                "0002-00000207",
                "The Authorization header has no Signature.",
            )),
            (None, Some(_)) => Err(invalid(
                "0002-00000205",
                "The Authorization header has no Credential.",
            )),
            (None, None) => Err(invalid(
                "0002-00000202",
                "The Authorization header has neither Credential nor Signature.",
            )),
        }
    }
}

/// The codes of what can be wrong with the list of additional headers.
struct ListCodes {
    empty: &'static str,
    empty_name: &'static str,
    not_sent: &'static str,
}

const LIST_IN_HEADER: ListCodes = ListCodes {
    empty: "0002-00000209",
    empty_name: "0002-00000210",
    not_sent: "0002-00000211",
};

const LIST_IN_QUERY: ListCodes = ListCodes {
    empty: "0002-00000076",
    empty_name: "0002-00000077",
    not_sent: "0002-00000078",
};

/// Reads a list of additional headers, each of which must have been sent.
fn additional_headers(
    signed: &Signed<'_>,
    list: Option<&str>,
    codes: &ListCodes,
) -> Result<Vec<String>, Refusal> {
    let Some(list) = list else {
        return Ok(Vec::new());
    };
    if list.is_empty() {
        return Err(invalid(
            codes.empty,
            "The list of additional headers is empty.",
        ));
    }
    list.split(';')
        .map(|name| {
            let name = name.trim().to_ascii_lowercase();
            if name.is_empty() {
                return Err(invalid(
                    codes.empty_name,
                    "An additional header has an empty name.",
                ));
            }
            if name.contains('_') || !signed.headers.contains_key(name.as_str()) {
                return Err(invalid(
                    codes.not_sent,
                    "An additional header is not in the request.",
                ));
            }
            Ok(name)
        })
        .collect()
}

/// Verifies `Authorization: OSS4-HMAC-SHA256 ...`, of which `fields` is the part after the space.
pub(super) fn verify_header<'k>(signed: &Signed<'k>, fields: &str) -> Result<&'k Key, Refusal> {
    let fields = Fields::parse(fields)?;
    let (credential, provided) = fields.required()?;
    let additional = additional_headers(signed, fields.additional, &LIST_IN_HEADER)?;
    let credential = Credential::parse(signed, credential, &IN_HEADER)?;
    let time = request_time(signed)?;
    let datetime = clock::compact(time);
    let far = time.duration_since(signed.now).abs() >= SKEWED;
    if far || !datetime.starts_with(credential.scope.date) {
        return Err(invalid_date(IN_HEADER.date));
    }
    signed.check_skew(time)?;
    let payload = signed.only_header("x-oss-content-sha256")?;
    if payload != Some(sign::UNSIGNED_PAYLOAD) {
        return Err(invalid(
            "0002-00000214",
            "The header x-oss-content-sha256 must be UNSIGNED-PAYLOAD.",
        ));
    }
    let key = signed.keys.find(credential.id, signed.header_token()?)?;
    let query = sign::canonical_query(signed.query.iter());
    let shape = Shape {
        query: &query,
        additional: &additional,
        scope: credential.scope,
        datetime: &datetime,
    };
    shape.check(signed, key, provided)?;
    Ok(key)
}

/// The time that the request was signed at, from `x-oss-date` or else from `Date`.
fn request_time(signed: &Signed<'_>) -> Result<Timestamp, Refusal> {
    if let Some(date) = signed.only_header("x-oss-date")? {
        return clock::parse_compact(date).ok_or_else(unreadable_date);
    }
    if let Some(date) = signed.only_header("date")? {
        return clock::parse_http_date(date).ok_or_else(unreadable_date);
    }
    Err(no_date())
}

fn no_date() -> Refusal {
    invalid(
        "0002-00000503",
        "The request has neither a Date nor an x-oss-date.",
    )
}

fn unreadable_date() -> Refusal {
    invalid(
        "0002-00000502",
        "The Date or x-oss-date is not in the form that it must have.",
    )
}

/// Verifies a presigned URL.
pub(super) fn verify_query<'k>(signed: &Signed<'k>) -> Result<&'k Key, Refusal> {
    let get = |name| signed.query.get_once(name);
    let version = get("x-oss-signature-version")?.unwrap_or_default();
    if version != sign::ALGORITHM {
        return Err(Refusal::invalid_value(
            "x-oss-signature-version",
            version,
            "The signature version is not known.",
        )
        .ec("0002-00000066"));
    }
    let required = |name, missing, empty| match get(name)? {
        None => Err(invalid(
            missing,
            "A parameter of the signed URL is missing.",
        )),
        Some("") => Err(invalid(empty, "A parameter of the signed URL is empty.")),
        Some(value) => Ok(value),
    };
    let expires = required("x-oss-expires", "0002-00000215", "0002-00000216")?;
    let credential = required("x-oss-credential", "0002-00000217", "0002-00000218")?;
    let provided = required("x-oss-signature", "0002-00000219", "0002-00000220")?;
    let listed = get("x-oss-additional-headers")?;
    let additional = additional_headers(signed, listed, &LIST_IN_QUERY)?;
    let credential = Credential::parse(signed, credential, &IN_QUERY)?;
    let datetime = get("x-oss-date")?.ok_or_else(no_date)?;
    let time = clock::parse_compact(datetime).ok_or_else(unreadable_date)?;
    if !datetime.starts_with(credential.scope.date) {
        return Err(invalid_date(IN_QUERY.date));
    }
    let seconds: i64 = expires
        .parse()
        .ok()
        .filter(|seconds| (1..=MAX_EXPIRES).contains(seconds))
        .ok_or_else(|| {
            Refusal::invalid_value(
                "x-oss-expires",
                expires,
                "The life of a presigned URL is 1 to 604800 seconds.",
            )
            .ec("0002-00000232")
        })?;
    if time.duration_since(signed.now) > super::MAX_SKEW {
        return Err(
            Refusal::forbidden("AccessDenied", "The URL is not valid yet.").ec("0002-00000235"),
        );
    }
    if signed.now.duration_since(time) > SignedDuration::from_secs(seconds) {
        return Err(expired_url("0002-00000236"));
    }
    let token = signed
        .query
        .get_once("x-oss-security-token")?
        .filter(|token| !token.is_empty());
    let key = signed.keys.find(credential.id, token)?;
    let query = sign::canonical_query(
        signed
            .query
            .iter()
            .filter(|(name, _)| *name != "x-oss-signature"),
    );
    let shape = Shape {
        query: &query,
        additional: &additional,
        scope: credential.scope,
        datetime,
    };
    shape.check(signed, key, provided)?;
    Ok(key)
}

/// What of a request its signature covers, beside its target and headers.
struct Shape<'a> {
    query: &'a str,
    additional: &'a [String],
    scope: Scope<'a>,
    datetime: &'a str,
}

impl Shape<'_> {
    fn check(&self, signed: &Signed<'_>, key: &Key, provided: &str) -> Result<(), Refusal> {
        let Signed { method, target, .. } = signed;
        let headers = signed.joined_headers()?;
        let headers = headers.into_iter();
        let headers: Vec<_> = headers
            .map(|(name, value)| (name.into(), value.into()))
            .collect();
        let canonical = CanonicalRequest {
            method,
            uri: &sign::canonical_uri(target.bucket.as_deref(), target.key.as_deref()),
            query: self.query,
            headers: &headers,
            additional: self.additional,
            payload: sign::UNSIGNED_PAYLOAD,
        };
        let string_to_sign = sign::string_to_sign(self.datetime, self.scope, &canonical.text());
        let expected = sign::signature(&key.secret, self.scope, &string_to_sign);
        if same(&expected, provided) {
            return Ok(());
        }
        Err(wrong_signature("0002-00000201", provided, &string_to_sign))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::emulator::auth::Sender;
    use crate::emulator::auth::keys::{Key, Keys};
    use crate::emulator::target::{Query, Target};
    use http::{HeaderMap, HeaderName, HeaderValue};

    const SIGNATURE: &str = "f7a645f23a0434ea90d5e2bb2bca90d0fda9ef4bc54a9c5008b2134e7c9023f2";

    /// The documented example of an append, as received `late` seconds after it was signed.
    fn code(authorization: &str, late: i64, change: impl FnOnce(&mut HeaderMap)) -> String {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("authorization", authorization),
            ("x-oss-date", "20231216T162057Z"),
            ("x-oss-content-sha256", "UNSIGNED-PAYLOAD"),
            ("content-type", "text/plain"),
        ] {
            headers.insert(
                HeaderName::from_static(name),
                HeaderValue::from_str(value).unwrap(),
            );
        }
        change(&mut headers);
        let mut keys = Keys::default();
        keys.add(Key::fixed("ak".into(), "sk".into()));
        let signed = Signed {
            method: "POST",
            target: &Target {
                bucket: Some("bucket".into()),
                key: Some("object".into()),
            },
            query: &Query::parse("position=0&append=").unwrap(),
            headers: &headers,
            keys: &keys,
            region: "cn-hangzhou",
            v1: true,
            now: Timestamp::from_second(1_702_743_657 + late).unwrap(),
        };
        match signed.sender() {
            Ok(Sender::Owner) => "ok".into(),
            Ok(other) => format!("{other:?}"),
            Err(refusal) => match refusal.ec {
                Some(ec) => format!("{} {ec}", refusal.code),
                None => refusal.code.into_owned(),
            },
        }
    }

    fn authorization(credential: &str, signature: &str) -> String {
        format!("OSS4-HMAC-SHA256 Credential={credential},Signature={signature}")
    }

    const CREDENTIAL: &str = "ak/20231216/cn-hangzhou/oss/aliyun_v4_request";

    #[test]
    fn the_known_answer_is_accepted() {
        let right = authorization(CREDENTIAL, SIGNATURE);
        assert_eq!(code(&right, 0, |_| ()), "ok");
        assert_eq!(code(&right.replace(",Sig", ", Sig"), 0, |_| ()), "ok");
        assert_eq!(code(&right, 15 * 60, |_| ()), "ok");
        assert_eq!(code(&right, -15 * 60, |_| ()), "ok");
    }

    #[test]
    fn a_changed_request_is_refused() {
        let right = authorization(CREDENTIAL, SIGNATURE);
        let no_match = "SignatureDoesNotMatch 0002-00000201";
        let changed = code(&right, 0, |headers| {
            headers.insert("content-type", HeaderValue::from_static("text/html"));
        });
        assert_eq!(changed, no_match);
        let added = code(&right, 0, |headers| {
            headers.insert("x-oss-meta-a", HeaderValue::from_static("b"));
        });
        assert_eq!(added, no_match);
        let wrong = authorization(CREDENTIAL, &SIGNATURE.replace('f', "0"));
        assert_eq!(code(&wrong, 0, |_| ()), no_match);
    }

    #[test]
    fn a_wrong_clock_is_refused_by_its_distance() {
        let right = authorization(CREDENTIAL, SIGNATURE);
        assert_eq!(
            code(&right, 15 * 60 + 1, |_| ()),
            "RequestTimeTooSkewed 0002-00000504"
        );
        assert_eq!(
            code(&right, -24 * 60 * 60, |_| ()),
            "InvalidArgument 0002-00000212"
        );
        let undated = code(&right, 0, |headers| {
            headers.remove("x-oss-date");
        });
        assert_eq!(undated, "InvalidArgument 0002-00000503");
    }

    #[test]
    fn a_malformed_header_is_refused() {
        for (header, expected) in [
            (
                authorization(CREDENTIAL, ""),
                "InvalidArgument 0002-00000208",
            ),
            (
                authorization(CREDENTIAL, SIGNATURE).replace(",Sig", ",AdditionalHeaders=,Sig"),
                "InvalidArgument 0002-00000209",
            ),
            (
                authorization("ak/2023/cn-hangzhou/oss/aliyun_v4_request", SIGNATURE),
                "InvalidArgument 0002-00000212",
            ),
            (
                authorization("ak/20231217/cn-hangzhou/oss/aliyun_v4_request", SIGNATURE),
                "InvalidArgument 0002-00000212",
            ),
            (
                authorization("ak/20231216/cn-hangzhou/oss/aws4_request", SIGNATURE),
                "InvalidArgument 0002-00000213",
            ),
            (
                authorization("ak/20231216/cn-beijing/oss/aliyun_v4_request", SIGNATURE),
                "InvalidArgument 0002-00000226",
            ),
            (
                authorization("no/20231216/cn-hangzhou/oss/aliyun_v4_request", SIGNATURE),
                "InvalidAccessKeyId 0002-00000902",
            ),
            ("OSS4-HMAC-SHA256 ".into(), "InvalidArgument 0002-00000203"),
            (
                "OSS4-HMAC-SHA256 Credential".into(),
                "InvalidArgument 0002-00000203",
            ),
            ("OSS ak".into(), "InvalidArgument 0002-00000062"),
            ("Basic b3Nz".into(), "InvalidArgument 0002-00000061"),
        ] {
            assert_eq!(code(&header, 0, |_| ()), expected, "{header}");
        }
    }
}
