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
    /// Whether signatures V1 are accepted at all.
    pub(super) v1: bool,
    pub(super) now: Timestamp,
}

/// The sender of a request whose signature is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sender {
    /// The request has no signature.
    Anonymous,
    /// Somebody with an access key of the account that the buckets belong to.
    Owner,
    /// Somebody with an access key of another account.
    Requester(Place),
}

/// Where a request has its signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Header,
    Query,
}

impl Signed<'_> {
    /// Verifies the request's signature, if it has one.
    pub(super) fn sender(&self) -> Result<Sender, Refusal> {
        let query = |name| self.query.has(name);
        let v4 = query("x-oss-signature-version") || query("x-oss-signature");
        let v1 = query("OSSAccessKeyId") || query("Signature");
        let (key, place) = if self.headers.contains_key(http::header::AUTHORIZATION) {
            if v4 || v1 {
                return Err(invalid(
                    "0002-00000039",
                    "The signature is both in the Authorization header and in the URL.",
                ));
            }
            let authorization = self.only_header("authorization")?.unwrap_or_default();
            let key = if let Some(rest) = authorization.strip_prefix("OSS4-HMAC-SHA256 ") {
                v4::verify_header(self, rest)?
            } else if let Some(rest) = authorization.strip_prefix("OSS ") {
                self.accept_v1()?;
                v1::verify_header(self, rest)?
            } else {
                return Err(invalid("0002-00000061", "Authorization header is invalid."));
            };
            (key, Place::Header)
        } else if v4 {
            (v4::verify_query(self)?, Place::Query)
        } else if v1 {
            self.accept_v1()?;
            (v1::verify_query(self)?, Place::Query)
        } else {
            return Ok(Sender::Anonymous);
        };
        Ok(match key.of_owner {
            true => Sender::Owner,
            false => Sender::Requester(place),
        })
    }

    /// Refuses signatures V1 for an account that has never had them. The message is ours: the page
    /// of the code has none.
    fn accept_v1(&self) -> Result<(), Refusal> {
        if self.v1 {
            return Ok(());
        }
        Err(
            Refusal::forbidden("AccessDenied", "Signature V1 is not supported.")
                .ec("0002-00000080"),
        )
    }

    /// Refuses an access key id that no account can have.
    fn check_id(&self, id: &str, ec: &'static str) -> Result<(), Refusal> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
        if id.bytes().all(allowed) || self.keys.knows(id) {
            return Ok(());
        }
        Err(invalid(
            ec,
            "The access key id has characters that it cannot have.",
        ))
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
        let token = self
            .only_header("x-oss-security-token")?
            .or(self.only_header("security-token")?)
            .filter(|token| !token.is_empty());
        let in_query = self.query.has("security-token") || self.query.has("x-oss-security-token");
        if token.is_some() && in_query {
            return Err(invalid(
                "0002-00000010",
                "The security token is both in the headers and in the URL.",
            ));
        }
        Ok(token)
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

/// A part of a signature that makes no sense.
fn invalid(ec: &'static str, message: &'static str) -> Refusal {
    Refusal::invalid_argument(message).ec(ec)
}

fn malformed_header(name: &str) -> Refusal {
    Refusal::invalid_argument(format!("The header {name} is malformed."))
}

fn wrong_signature(ec: &'static str, provided: &str, string_to_sign: &str) -> Refusal {
    Refusal::forbidden(
        "SignatureDoesNotMatch",
        "The request signature we calculated does not match the signature you provided. Check \
         your key and signing method.",
    )
    .ec(ec)
    .element("SignatureProvided", provided)
    .element("StringToSign", string_to_sign)
}

fn expired_url(ec: &'static str) -> Refusal {
    Refusal::forbidden("AccessDenied", "Request has expired.").ec(ec)
}

/// Compares without telling by the time it takes how much is equal.
fn same(a: &str, b: &str) -> bool {
    a.as_bytes().ct_eq(b.as_bytes()).into()
}
