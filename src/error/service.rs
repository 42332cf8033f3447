//! What OSS said.

use std::fmt;
use std::time::Duration;

use super::refusal::Refusal;

/// An error answer of OSS, as the official SDKs' `RequestError` shows it.
///
/// Fields of the wire's error document, see
/// <https://www.alibabacloud.com/help/en/oss/developer-reference/error-responses>.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServiceError {
    /// The HTTP status.
    pub status: u16,
    /// OSS's error code, such as `AccessDenied`; empty if the answer had none.
    pub code: String,
    /// What it means: the only thing that this crate decides by.
    pub refusal: Refusal,
    /// OSS's explanation.
    pub message: String,
    /// The id to name when asking Alibaba Cloud's support.
    pub request_id: Option<String>,
    /// The host that answered, as it names itself.
    pub host_id: Option<String>,
    /// The finer error code, such as `0026-00000016`.
    pub ec: Option<String>,
    /// The endpoint to use instead, where OSS names one.
    pub endpoint: Option<String>,
    /// The object's length that a position mismatch names.
    pub next_append_position: Option<u64>,
    /// How long to wait before the next request, by `Retry-After` or `x-oss-qos-delay-time`, at
    /// most 60 s.
    pub retry_after: Option<Duration>,
    /// Set by the client when it has corrected its clock by this answer, so that a retry is
    /// signed with the right time.
    pub clock_corrected: bool,
    /// Set by the client when this answer refused the credentials, and their provider has others by
    /// now or may have them soon, so that a retry is signed with those.
    pub credentials_renewed: bool,
}

impl ServiceError {
    /// An error answer with this status and code, which mean what they mean with OSS. Everything
    /// else is empty.
    pub fn new(status: u16, code: impl Into<String>) -> Self {
        let code = code.into();
        Self {
            status,
            refusal: Refusal::of_oss(status, &code),
            code,
            ..Self::default()
        }
    }

    /// Says what the answer means, for a store whose codes are not those of OSS.
    #[must_use]
    pub fn with_refusal(mut self, refusal: Refusal) -> Self {
        self.refusal = refusal;
        self
    }
}

impl fmt::Display for ServiceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OSS answered {}", self.status)?;
        if !self.code.is_empty() {
            write!(f, " {}", self.code)?;
        }
        if !self.message.is_empty() {
            write!(f, ": {}", self.message.trim_end_matches('.'))?;
        }
        let mut separator = " (";
        if let Some(ec) = &self.ec {
            write!(f, "{separator}EC {ec}")?;
            separator = ", ";
        }
        if let Some(id) = &self.request_id {
            write!(f, "{separator}request id {id}")?;
            separator = ", ";
        }
        if let Some(endpoint) = &self.endpoint {
            write!(f, "{separator}use endpoint {endpoint}")?;
            separator = ", ";
        }
        if separator == ", " {
            f.write_str(")")?;
        }
        match self.refusal {
            Refusal::PublicAccessBlocked => f.write_str(
                "; Block Public Access is on for the bucket or the account: leave the public ACL \
                 out, or switch that off",
            ),
            Refusal::Archived => f.write_str(
                "; the object is archived, and OSS lets nobody read it before it is restored: \
                 appends to it work as long as nothing has to be read back, as it has to where \
                 others append too",
            ),
            _ => Ok(()),
        }
    }
}
