//! Why a store has refused a request: what everything above the wire decides by.

/// Why a store has refused a request: what an error answer means, whatever its wording.
///
/// It is set once, where the answer is read, and everything above decides by it alone: what may be
/// tried again, what ends an object, and what the caller is told.
/// [`ServiceError::new`](crate::ServiceError::new) knows the codes of OSS. A store with other codes
/// says what it means with [`with_refusal`](crate::ServiceError::with_refusal):
///
/// ```
/// use oss_append::{Refusal, ServiceError};
///
/// let by_code = ServiceError::new(409, "PositionNotEqualToLength");
/// assert_eq!(by_code.refusal, Refusal::Position);
///
/// let elsewhere = ServiceError::new(412, "PreconditionFailed").with_refusal(Refusal::Position);
/// assert_eq!(elsewhere.refusal, Refusal::Position);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Refusal {
    /// The object has another length than the request's position. The request was not applied.
    Position,
    /// The object is sealed, and takes no more appends.
    Sealed,
    /// The object was not created by an append, and takes none.
    NotAppendable,
    /// The object may not be changed: a retention policy keeps it as it is.
    Immutable,
    /// The object exists, and the request was only to be applied if it did not.
    Exists,
    /// The state of the object, or of what holds it, forbids the request in another way.
    Conflict,
    /// There is no such object.
    NoSuchObject,
    /// There is no such bucket.
    NoSuchBucket,
    /// The caller is known, but may not do this.
    Denied,
    /// Block Public Access is on for the bucket or the account, and the request would have let
    /// everybody read or write. No permission helps: leave out the public ACL, or switch Block
    /// Public Access off.
    PublicAccessBlocked,
    /// The object is archived: it takes appends, and cannot be read before it is restored.
    Archived,
    /// The security token has expired or is not known: the next one may be.
    Token,
    /// The access key is not known: its provider may have another.
    Key,
    /// The body was changed or cut on its way, and nothing was stored. The same request may succeed.
    Damaged,
    /// There were too many requests, and this one was not applied. It may be sent again after a
    /// pause.
    Throttled,
    /// The request may have been applied, or be applied later: only a look at the object tells.
    InDoubt,
    /// Something between client and OSS has answered, perhaps after passing the request on. Trying
    /// again does not help.
    Between,
    /// Anything else: the request was not applied, and would be refused again.
    #[default]
    Other,
}

impl Refusal {
    /// What an error answer of OSS means, by its status and its code, which may be empty.
    pub(super) fn of_oss(status: u16, code: &str) -> Self {
        match (status, code) {
            (_, "PositionNotEqualToLength") => Self::Position,
            (_, "AppendSealedObjectNotAllowed") => Self::Sealed,
            (_, "ObjectNotAppendable") => Self::NotAppendable,
            (_, "FileImmutable") => Self::Immutable,
            (_, "FileAlreadyExists") => Self::Exists,
            (404, "NoSuchKey") => Self::NoSuchObject,
            (404, "NoSuchBucket") => Self::NoSuchBucket,
            (403, "AccessDenied") => Self::Denied,
            (_, "InvalidObjectState") => Self::Archived,
            (_, "SecurityTokenExpired" | "InvalidSecurityToken") => Self::Token,
            (_, "InvalidAccessKeyId" | "AccessKeyIdAndSecurityTokenNotMatch") => Self::Key,
            (_, "InvalidDigest") => Self::Damaged,
            (_, "RequestTimeout" | "IncompleteBody" | "BadRequest") => Self::InDoubt,
            // Somebody else has changed the object's metadata at the same moment.
            (_, "StaleFile") => Self::InDoubt,
            // A request that it does not know now it will not know the next time either.
            (501, code) if !code.is_empty() => Self::Other,
            // No source says that OSS throttles before it applies, and something between may repeat.
            (408 | 429 | 500.., _) | (409, "") => Self::InDoubt,
            // Not the words of OSS.
            (_, "") => Self::Between,
            (409, _) => Self::Conflict,
            _ => Self::Other,
        }
    }

    /// Whether the object takes no more appends, from anybody.
    pub(crate) fn closes_the_object(self) -> bool {
        matches!(self, Self::Sealed | Self::NotAppendable | Self::Immutable)
    }

    /// Whether it is about the state of the object, and not about the request.
    #[cfg(feature = "rolling")]
    pub(crate) fn is_about_the_object(self) -> bool {
        self.closes_the_object() || matches!(self, Self::Position | Self::Exists | Self::Conflict)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_of_oss_that_is_acted_upon_has_its_meaning() {
        for (status, code, refusal) in [
            (409, "PositionNotEqualToLength", Refusal::Position),
            (400, "PositionNotEqualToLength", Refusal::Position),
            (400, "AppendSealedObjectNotAllowed", Refusal::Sealed),
            (409, "ObjectNotAppendable", Refusal::NotAppendable),
            (409, "FileImmutable", Refusal::Immutable),
            (409, "FileAlreadyExists", Refusal::Exists),
            (409, "NobodyKnowsThis", Refusal::Conflict),
            (409, "ObjectWormNotSupported", Refusal::Conflict),
            (409, "StaleFile", Refusal::InDoubt),
            (400, "NobodyKnowsThis", Refusal::Other),
            (403, "NobodyKnowsThis", Refusal::Other),
            (404, "NobodyKnowsThis", Refusal::Other),
            (418, "NobodyKnowsThis", Refusal::Other),
            (408, "NobodyKnowsThis", Refusal::InDoubt),
            (429, "NobodyKnowsThis", Refusal::InDoubt),
            (404, "NoSuchKey", Refusal::NoSuchObject),
            (404, "NoSuchBucket", Refusal::NoSuchBucket),
            (403, "AccessDenied", Refusal::Denied),
            (403, "SecurityTokenExpired", Refusal::Token),
            (403, "InvalidSecurityToken", Refusal::Token),
            (403, "InvalidAccessKeyId", Refusal::Key),
            (403, "AccessKeyIdAndSecurityTokenNotMatch", Refusal::Key),
            (400, "InvalidDigest", Refusal::Damaged),
            (400, "RequestTimeout", Refusal::InDoubt),
            (400, "IncompleteBody", Refusal::InDoubt),
            (400, "BadRequest", Refusal::InDoubt),
            (503, "ServiceUnavailable", Refusal::InDoubt),
            (429, "", Refusal::InDoubt),
            (409, "", Refusal::InDoubt),
            (501, "", Refusal::InDoubt),
            (501, "NotImplemented", Refusal::Other),
            (403, "", Refusal::Between),
            (404, "", Refusal::Between),
            (403, "SignatureDoesNotMatch", Refusal::Other),
            (403, "InvalidObjectState", Refusal::Archived),
            (400, "OperationNotSupported", Refusal::Other),
        ] {
            assert_eq!(Refusal::of_oss(status, code), refusal, "{status} {code}");
        }
    }
}
