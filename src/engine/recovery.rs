//! The one table that says what may be done after a failed request.

use crate::error::{Error, ErrorKind, Refusal, ServiceError, TransportCause};

/// What may be done after a failed request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Recovery {
    /// Nothing: OSS has refused it, and would refuse it again.
    Fail,
    /// It was not applied: send it again after a pause.
    Retry,
    /// It was not applied, and what was wrong has been mended: send it again at once. Good for one
    /// time for each thing that can be mended.
    RetryMended(Mended),
    /// It was not applied, since the object has another length: look at the object.
    Mismatch,
    /// It may have been applied: look at the object first.
    Reconcile,
    /// OSS has refused it, and takes no more appends to this object.
    Closed,
    /// Something between has refused it, perhaps after passing it on. Trying again would not help.
    RefusedBetween,
}

/// What has been mended before the next attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mended {
    /// Requests are signed with the server's time.
    Clock,
    /// The provider has been told that its token has expired.
    Token,
    /// The provider has been told that its key is not known.
    Key,
}

/// Decides by the error, not by the attempt.
pub(crate) fn recovery(error: &Error) -> Recovery {
    match error.kind() {
        ErrorKind::Service(answer) => of_answer(answer),
        ErrorKind::Transport { cause, .. } => match cause {
            TransportCause::Connect | TransportCause::UnknownHost => Recovery::Retry,
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
        return Recovery::RetryMended(Mended::Clock);
    }
    if answer.credentials_renewed {
        return Recovery::RetryMended(Mended::Key);
    }
    match answer.refusal {
        Refusal::Position => Recovery::Mismatch,
        Refusal::Sealed | Refusal::NotAppendable | Refusal::Immutable => Recovery::Closed,
        // The provider has been told; its next credentials may be better.
        Refusal::Token => Recovery::RetryMended(Mended::Token),
        Refusal::Key => Recovery::RetryMended(Mended::Key),
        Refusal::Damaged | Refusal::Throttled => Recovery::Retry,
        Refusal::InDoubt => Recovery::Reconcile,
        Refusal::Between => Recovery::RefusedBetween,
        Refusal::Exists
        | Refusal::Conflict
        | Refusal::NoSuchObject
        | Refusal::NoSuchBucket
        | Refusal::Denied
        | Refusal::PublicAccessBlocked
        | Refusal::Archived
        | Refusal::Other => Recovery::Fail,
    }
}

/// Whether a failure that is not final is out of the ordinary.
pub(crate) fn is_trouble(error: &Error) -> bool {
    match recovery(error) {
        Recovery::Retry | Recovery::Reconcile | Recovery::RefusedBetween => true,
        // Others have appended, or what was wrong has been mended.
        Recovery::Mismatch | Recovery::RetryMended(_) => false,
        Recovery::Fail | Recovery::Closed => false,
    }
}

/// Whether OSS has said that it takes no more appends to the object.
pub(crate) fn closes_the_object(error: &Error) -> bool {
    error.refusal().is_some_and(Refusal::closes_the_object)
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
            Recovery::Mismatch
        );
        // Whatever status stands beside it.
        assert_eq!(
            answered(400, "PositionNotEqualToLength"),
            Recovery::Mismatch
        );
        assert_eq!(answered(409, "ObjectNotAppendable"), Recovery::Closed);
        assert_eq!(answered(411, "ObjectNotAppendable"), Recovery::Closed);
        assert_eq!(answered(409, "FileImmutable"), Recovery::Closed);
        assert_eq!(
            answered(400, "AppendSealedObjectNotAllowed"),
            Recovery::Closed
        );
        assert_eq!(answered(409, "NobodyKnowsThis"), Recovery::Fail);
        assert_eq!(answered(409, ""), Recovery::Reconcile);
    }

    /// What programs are told is what the engine does.
    #[test]
    fn what_is_tried_again_is_retryable() {
        let answers = [
            (409, "PositionNotEqualToLength"),
            (409, "ObjectNotAppendable"),
            (409, ""),
            (403, "AccessDenied"),
            (403, ""),
            (403, "SecurityTokenExpired"),
            (403, "InvalidAccessKeyId"),
            (404, "NoSuchBucket"),
            (400, "InvalidDigest"),
            (400, "RequestTimeout"),
            (429, ""),
            (500, "InternalError"),
            (503, "ServiceUnavailable"),
        ];
        let answers = answers.map(|(status, code)| Error::service(ServiceError::new(status, code)));
        let transport = |cause| Error::transport(cause, "x");
        let mut renewed = ServiceError::new(403, "SignatureDoesNotMatch");
        renewed.credentials_renewed = true;
        let others = [
            transport(TransportCause::Connect),
            transport(TransportCause::Tls),
            transport(TransportCause::Timeout),
            transport(TransportCause::Broken),
            Error::credentials("x"),
            Error::credentials_unavailable("x"),
            Error::service(renewed),
            Error::new(ErrorKind::Sealed),
            Error::invalid_input("x"),
        ];
        for error in answers.iter().chain(&others) {
            let again = matches!(
                recovery(error),
                Recovery::Retry | Recovery::RetryMended(_) | Recovery::Reconcile
            );
            assert_eq!(error.is_retryable(), again, "{error}");
        }
    }

    #[test]
    fn refusals_are_final() {
        for (status, code) in [
            (403, "AccessDenied"),
            (403, "SignatureDoesNotMatch"),
            (404, "NoSuchBucket"),
            (400, "InvalidArgument"),
            (403, "RequestTimeTooSkewed"),
            (409, "FileAlreadyExists"),
            (418, "NobodyKnowsThis"),
            (501, "NotImplemented"),
        ] {
            assert_eq!(answered(status, code), Recovery::Fail, "{status} {code}");
        }
    }

    #[test]
    fn a_refusal_of_something_between_is_looked_into() {
        for status in [301, 307, 403, 404, 407] {
            assert_eq!(answered(status, ""), Recovery::RefusedBetween, "{status}");
        }
    }

    #[test]
    fn server_failures_are_ambiguous() {
        for (status, code) in [
            (500, "InternalError"),
            (503, "ServiceUnavailable"),
            (502, ""),
            (504, ""),
            (501, ""),
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
        let mut rotated = ServiceError::new(403, "SignatureDoesNotMatch");
        rotated.credentials_renewed = true;
        for (recovered, mended) in [
            (recovery(&Error::service(skewed)), Mended::Clock),
            (recovery(&Error::service(rotated)), Mended::Key),
            (answered(403, "SecurityTokenExpired"), Mended::Token),
            (answered(403, "InvalidAccessKeyId"), Mended::Key),
        ] {
            assert_eq!(recovered, Recovery::RetryMended(mended));
        }
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
