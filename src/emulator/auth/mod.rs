//! Who sent a request: signatures V4 and V1, in the header or in the query, verified.

#[cfg(test)]
mod hostile;
pub(super) mod keys;
mod v1;
mod v4;

use http::HeaderMap;
use jiff::{SignedDuration, Timestamp};
use subtle::ConstantTimeEq;

use self::keys::Keys;
use super::clock;
use super::refusal::Refusal;
use super::target::{Query, Target};

/// How far a client's clock may be off.
const MAX_SKEW: SignedDuration = SignedDuration::from_mins(15);

/// What a signature covers, and what it is checked against.
#[derive(Debug)]
pub(super) struct Signed<'a> {
    pub(super) method: &'a str,
    pub(super) target: &'a Target,
    pub(super) query: &'a Query,
    pub(super) headers: &'a HeaderMap,
    pub(super) keys: &'a Keys,
    pub(super) region: &'a str,
    pub(super) now: Timestamp,
}

/// The sender of a request whose signature is right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Sender {
    /// The request has no signature.
    Anonymous,
    /// The owner of an access key.
    Owner,
}

impl Signed<'_> {
    /// Verifies the request's signature, if it has one.
    pub(super) fn sender(&self) -> Result<Sender, Refusal> {
        let query = |name| self.query.has(name);
        if self.headers.contains_key(http::header::AUTHORIZATION) {
            let authorization = self.only_header("authorization")?.unwrap_or_default();
            if let Some(rest) = authorization.strip_prefix("OSS4-HMAC-SHA256 ") {
                v4::verify_header(self, rest)?;
            } else if let Some(rest) = authorization.strip_prefix("OSS ") {
                v1::verify_header(self, rest)?;
            } else {
                return Err(malformed_authorization());
            }
        } else if query("x-oss-signature-version") || query("x-oss-signature") {
            v4::verify_query(self)?;
        } else if query("OSSAccessKeyId") || query("Signature") {
            v1::verify_query(self)?;
        } else {
            return Ok(Sender::Anonymous);
        }
        Ok(Sender::Owner)
    }

    /// The value of a header that may be there once.
    fn only_header(&self, name: &'static str) -> Result<Option<&str>, Refusal> {
        let mut values = self.headers.get_all(name).iter();
        match (values.next(), values.next()) {
            (None, _) => Ok(None),
            (Some(value), None) => std::str::from_utf8(value.as_bytes())
                .map(Some)
                .map_err(|_| malformed_header(name)),
            (Some(_), Some(_)) => Err(malformed_header(name)),
        }
    }

    /// All headers, each name once, several values joined by commas.
    fn joined_headers(&self) -> Result<Vec<(String, String)>, Refusal> {
        self.headers
            .keys()
            .map(|name| {
                let values: Result<Vec<&str>, _> = self
                    .headers
                    .get_all(name)
                    .iter()
                    .map(|value| std::str::from_utf8(value.as_bytes()))
                    .collect();
                match values {
                    Ok(values) => Ok((name.as_str().to_owned(), values.join(","))),
                    Err(_) => Err(malformed_header(name.as_str())),
                }
            })
            .collect()
    }

    /// The token in a header. Official V1 signers also send it as `security-token`, unsigned.
    fn header_token(&self) -> Result<Option<&str>, Refusal> {
        Ok(self
            .only_header("x-oss-security-token")?
            .or(self.only_header("security-token")?)
            .filter(|token| !token.is_empty()))
    }

    fn check_skew(&self, time: Timestamp) -> Result<(), Refusal> {
        if time.duration_since(self.now).abs() <= MAX_SKEW {
            return Ok(());
        }
        Err(Refusal::forbidden(
            "RequestTimeTooSkewed",
            "The difference between the request time and the current time is too large.",
        )
        .ec("0002-00000504")
        .element(
            "MaxAllowedSkewMilliseconds",
            MAX_SKEW.as_millis().to_string(),
        )
        .element("RequestTime", clock::iso(time))
        .element("ServerTime", clock::iso(self.now)))
    }
}

fn malformed_authorization() -> Refusal {
    Refusal::invalid_argument("The Authorization header is malformed.")
}

fn malformed_header(name: &str) -> Refusal {
    Refusal::invalid_argument(format!("The header {name} is malformed."))
}

fn wrong_signature(provided: &str, string_to_sign: &str) -> Refusal {
    Refusal::forbidden(
        "SignatureDoesNotMatch",
        "The request signature we calculated does not match the signature you provided. Check \
         your key and signing method.",
    )
    .ec("0002-00000040")
    .element("SignatureProvided", provided)
    .element("StringToSign", string_to_sign)
}

fn expired_url() -> Refusal {
    Refusal::access_denied("Request has expired.")
}

/// Compares without telling by the time it takes how much is equal.
fn same(a: &str, b: &str) -> bool {
    a.as_bytes().ct_eq(b.as_bytes()).into()
}
