//! Signature V4 (`OSS4-HMAC-SHA256`), in the header and in the query.

use jiff::{SignedDuration, Timestamp};

use super::{Signed, expired_url, malformed_authorization, same, wrong_signature};
use crate::client::sign::{self, CanonicalRequest, Scope};
use crate::emulator::clock;
use crate::emulator::refusal::Refusal;

/// The longest life of a presigned URL.
const MAX_EXPIRES: i64 = 7 * 24 * 60 * 60;

/// `ID/DATE/REGION/PRODUCT/aliyun_v4_request`
#[derive(Debug)]
struct Credential<'a> {
    id: &'a str,
    scope: Scope<'a>,
}

impl<'a> Credential<'a> {
    fn parse(text: &'a str) -> Result<Self, Refusal> {
        let parts: Vec<&str> = text.split('/').collect();
        let &[id, date, region, product, suffix] = parts.as_slice() else {
            return Err(Refusal::invalid_argument("The Credential is malformed."));
        };
        if suffix != "aliyun_v4_request" {
            return Err(Refusal::invalid_argument(
                "Invalid signing suffix in Authorization header.",
            )
            .ec("0002-00000213"));
        }
        if date.len() != 8 || !date.bytes().all(|b| b.is_ascii_digit()) {
            return Err(invalid_date());
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

    /// Checks the region, the product, and that the day is the one of `time`.
    fn check(&self, signed: &Signed<'_>, time: &str) -> Result<(), Refusal> {
        if self.scope.region != signed.region {
            return Err(Refusal::invalid_argument(format!(
                "Invalid signing region in Authorization header. The bucket is in {}.",
                signed.region
            )));
        }
        if self.scope.product != "oss" {
            return Err(Refusal::invalid_argument(
                "Invalid signing product in Authorization header.",
            ));
        }
        if !time.starts_with(self.scope.date) {
            return Err(invalid_date());
        }
        Ok(())
    }
}

fn invalid_date() -> Refusal {
    Refusal::invalid_argument("Invalid signing date in Authorization header.").ec("0002-00000212")
}

/// Verifies `Authorization: OSS4-HMAC-SHA256 ...`, of which `fields` is the part after the space.
pub(super) fn verify_header(signed: &Signed<'_>, fields: &str) -> Result<(), Refusal> {
    let (mut credential, mut additional, mut provided) = (None, None, None);
    for field in fields.split(',') {
        let (name, value) = field
            .trim()
            .split_once('=')
            .ok_or_else(malformed_authorization)?;
        let slot = match name {
            "Credential" => &mut credential,
            "AdditionalHeaders" => &mut additional,
            "Signature" => &mut provided,
            _ => return Err(malformed_authorization()),
        };
        if slot.replace(value).is_some() {
            return Err(malformed_authorization());
        }
    }
    let credential = Credential::parse(credential.ok_or_else(malformed_authorization)?)?;
    let provided = provided.filter(|s| !s.is_empty()).ok_or_else(|| {
        Refusal::invalid_argument("The Signature in the Authorization header is empty.")
            .ec("0002-00000208")
    })?;
    if additional == Some("") {
        return Err(Refusal::invalid_argument(
            "The AdditionalHeaders in the Authorization header are empty.",
        )
        .ec("0002-00000209"));
    }

    let time = request_time(signed)?;
    let day = SignedDuration::from_hours(24);
    if time.duration_since(signed.now).abs() >= day {
        return Err(invalid_date());
    }
    let datetime = clock::compact(time);
    credential.check(signed, &datetime)?;
    signed.check_skew(time)?;
    let payload = signed.only_header("x-oss-content-sha256")?;
    if payload != Some(sign::UNSIGNED_PAYLOAD) {
        return Err(Refusal::invalid_argument(
            "The header x-oss-content-sha256 must be UNSIGNED-PAYLOAD.",
        ));
    }
    let key = signed.keys.find(credential.id, signed.header_token()?)?;
    let query = sign::canonical_query(signed.query.iter());
    check(
        signed,
        &query,
        additional.unwrap_or_default(),
        &key.secret,
        credential.scope,
        &datetime,
        provided,
    )
}

/// The time that the request was signed at, from `x-oss-date` or else from `Date`.
fn request_time(signed: &Signed<'_>) -> Result<Timestamp, Refusal> {
    if let Some(date) = signed.only_header("x-oss-date")? {
        return clock::parse_compact(date).ok_or_else(invalid_date);
    }
    if let Some(date) = signed.only_header("date")? {
        return clock::parse_http_date(date).ok_or_else(invalid_date);
    }
    Err(
        Refusal::invalid_argument("The request has neither a Date nor an x-oss-date header.")
            .ec("0002-00000503"),
    )
}

/// Verifies a presigned URL.
pub(super) fn verify_query(signed: &Signed<'_>) -> Result<(), Refusal> {
    let parameter = |name: &'static str| {
        signed
            .query
            .get_once(name)?
            .filter(|value| !value.is_empty())
            .ok_or_else(|| {
                Refusal::invalid_argument(format!("The query parameter {name} is missing."))
            })
    };
    let version = parameter("x-oss-signature-version")?;
    if version != sign::ALGORITHM {
        return Err(Refusal::invalid_value(
            "x-oss-signature-version",
            version,
            "The signature version is not known.",
        ));
    }
    let provided = parameter("x-oss-signature")?;
    let credential = Credential::parse(parameter("x-oss-credential")?)?;
    let datetime = parameter("x-oss-date")?;
    let time = clock::parse_compact(datetime).ok_or_else(invalid_date)?;
    credential.check(signed, datetime)?;
    let expires = parameter("x-oss-expires")?;
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
        })?;
    if time > signed.now {
        signed.check_skew(time)?;
    }
    if signed.now.duration_since(time) > SignedDuration::from_secs(seconds) {
        return Err(expired_url());
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
    let additional = signed.query.get_once("x-oss-additional-headers")?;
    check(
        signed,
        &query,
        additional.unwrap_or_default(),
        &key.secret,
        credential.scope,
        datetime,
        provided,
    )
}

fn check(
    signed: &Signed<'_>,
    query: &str,
    additional: &str,
    secret: &str,
    scope: Scope<'_>,
    datetime: &str,
    provided: &str,
) -> Result<(), Refusal> {
    let Signed { method, target, .. } = signed;
    let additional: Vec<String> = additional
        .split(';')
        .filter(|name| !name.is_empty())
        .map(|name| name.trim().to_ascii_lowercase())
        .collect();
    let headers = signed.joined_headers()?;
    let headers = headers.into_iter();
    let headers: Vec<_> = headers
        .map(|(name, value)| (name.into(), value.into()))
        .collect();
    let canonical = CanonicalRequest {
        method,
        uri: &sign::canonical_uri(target.bucket.as_deref(), target.key.as_deref()),
        query,
        headers: &headers,
        additional: &additional,
        payload: sign::UNSIGNED_PAYLOAD,
    };
    let string_to_sign = sign::string_to_sign(datetime, scope, &canonical.text());
    if same(&sign::signature(secret, scope, &string_to_sign), provided) {
        return Ok(());
    }
    Err(wrong_signature(provided, &string_to_sign))
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
            now: Timestamp::from_second(1_702_743_657 + late).unwrap(),
        };
        match signed.sender() {
            Ok(Sender::Owner) => "ok".into(),
            Ok(Sender::Anonymous) => "anonymous".into(),
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
        let no_match = "SignatureDoesNotMatch 0002-00000040";
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
                "InvalidArgument",
            ),
            (
                authorization("no/20231216/cn-hangzhou/oss/aliyun_v4_request", SIGNATURE),
                "InvalidAccessKeyId 0002-00000902",
            ),
            ("OSS4-HMAC-SHA256 ".into(), "InvalidArgument"),
            ("OSS4-HMAC-SHA256 Credential".into(), "InvalidArgument"),
            ("OSS ak".into(), "InvalidArgument"),
            ("Basic b3Nz".into(), "InvalidArgument"),
        ] {
            assert_eq!(code(&header, 0, |_| ()), expected, "{header}");
        }
    }
}
