//! The one table that says what may be done after a failed request.

use crate::error::{Error, ErrorKind, ServiceError, TransportCause};

/// What may be done after a failed request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Recovery {
    /// Nothing: the same request would fail again.
    Fail,
    /// It was not applied: send it again after a pause.
    Retry,
    /// It was not applied, and what was wrong (clock, credentials) has been mended: send it again
    /// at once. Good for one time.
    RetryMended,
    /// It may have been applied, or the object is not what we think: look at the object first.
    Reconcile,
    /// Refused for good: look at the object only to say whether an attempt landed.
    Refused,
}

/// Decides by the error, not by the attempt.
pub(crate) fn recovery(error: &Error) -> Recovery {
    match error.kind() {
        ErrorKind::Service(answer) => of_answer(answer),
        ErrorKind::Transport { cause, .. } => match cause {
            TransportCause::Connect => Recovery::Retry,
            // A certificate does not get better by asking again.
            TransportCause::Tls => Recovery::Fail,
            TransportCause::Timeout | TransportCause::Broken => Recovery::Reconcile,
        },
        ErrorKind::BadAnswer { .. } => Recovery::Reconcile,
        ErrorKind::Credentials {
            temporary: true, ..
        } => Recovery::Retry,
        _ => Recovery::Fail,
    }
}

fn of_answer(answer: &ServiceError) -> Recovery {
    if answer.clock_corrected {
        return Recovery::RetryMended;
    }
    match answer.code.as_str() {
        "PositionNotEqualToLength" => return Recovery::Reconcile,
        "ObjectNotAppendable"
        | "AppendSealedObjectNotAllowed"
        | "FileAlreadyExists"
        | "FileImmutable" => return Recovery::Refused,
        // The provider has been told; its next credentials may be better.
        "SecurityTokenExpired"
        | "InvalidSecurityToken"
        | "InvalidAccessKeyId"
        | "AccessKeyIdAndSecurityTokenNotMatch" => return Recovery::RetryMended,
        // The body was changed or cut on its way; nothing was stored.
        "InvalidDigest" => return Recovery::Retry,
        "RequestTimeout" | "IncompleteBody" | "BadRequest" => return Recovery::Reconcile,
        _ => {}
    }
    match answer.status {
        // No source says that OSS throttles before it applies, and something between may repeat.
        408 | 409 | 429 | 500.. => Recovery::Reconcile,
        // Not the words of OSS: something between has answered, perhaps after passing it on.
        _ if answer.code.is_empty() => Recovery::Refused,
        _ => Recovery::Fail,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(status: u16, code: &str) -> Recovery {
        recovery(&Error::service(ServiceError::new(status, code)))
    }

    #[test]
    fn a_409_is_decided_by_its_code() {
        assert_eq!(
            answered(409, "PositionNotEqualToLength"),
            Recovery::Reconcile
        );
        // Whatever status stands beside it.
        assert_eq!(
            answered(400, "PositionNotEqualToLength"),
            Recovery::Reconcile
        );
        assert_eq!(answered(409, "ObjectNotAppendable"), Recovery::Refused);
        assert_eq!(answered(411, "ObjectNotAppendable"), Recovery::Refused);
        assert_eq!(
            answered(400, "AppendSealedObjectNotAllowed"),
            Recovery::Refused
        );
        assert_eq!(answered(409, ""), Recovery::Reconcile);
    }

    #[test]
    fn refusals_are_final() {
        for (status, code) in [
            (403, "AccessDenied"),
            (403, "SignatureDoesNotMatch"),
            (404, "NoSuchBucket"),
            (400, "InvalidArgument"),
            (403, "RequestTimeTooSkewed"),
        ] {
            assert_eq!(answered(status, code), Recovery::Fail, "{status} {code}");
        }
    }

    #[test]
    fn a_refusal_of_something_between_is_looked_into() {
        for status in [301, 307, 403, 404, 407] {
            assert_eq!(answered(status, ""), Recovery::Refused, "{status}");
        }
    }

    #[test]
    fn server_failures_are_ambiguous() {
        for (status, code) in [
            (500, "InternalError"),
            (503, "ServiceUnavailable"),
            (502, ""),
            (504, ""),
            (408, ""),
            (429, ""),
            (400, "RequestTimeout"),
        ] {
            assert_eq!(answered(status, code), Recovery::Reconcile, "{status}");
        }
        assert_eq!(answered(400, "InvalidDigest"), Recovery::Retry);
    }

    #[test]
    fn what_the_client_mended_is_retried_at_once() {
        let mut skewed = ServiceError::new(403, "RequestTimeTooSkewed");
        skewed.clock_corrected = true;
        assert_eq!(recovery(&Error::service(skewed)), Recovery::RetryMended);
        assert_eq!(answered(403, "SecurityTokenExpired"), Recovery::RetryMended);
    }

    #[test]
    fn credentials_that_may_come_yet_are_waited_for() {
        let later = Error::credentials_unavailable("x");
        assert_eq!(recovery(&later), Recovery::Retry);
        assert_eq!(recovery(&Error::credentials("x")), Recovery::Fail);
    }

    #[test]
    fn a_transport_failure_is_ambiguous_unless_nothing_was_sent() {
        let transport = |cause| recovery(&Error::transport(cause, "x"));
        assert_eq!(transport(TransportCause::Connect), Recovery::Retry);
        assert_eq!(transport(TransportCause::Tls), Recovery::Fail);
        assert_eq!(transport(TransportCause::Timeout), Recovery::Reconcile);
        assert_eq!(transport(TransportCause::Broken), Recovery::Reconcile);
    }
}
