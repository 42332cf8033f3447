//! What to do about a log that cannot be delivered.

use crate::error::{Error, ErrorKind, Refusal, ServiceError, TransportCause};

/// What may fix this, if its own text does not say so.
pub(super) fn advice(error: &Error) -> Option<&'static str> {
    if let Some(answer) = error.service_error() {
        return about_an_answer(answer);
    }
    match error.kind() {
        ErrorKind::Transport {
            cause: TransportCause::Tls,
            ..
        } => Some("check the endpoint, this machine's clock, and its root certificates"),
        ErrorKind::Transport { .. } => Some(
            "check the region or endpoint, and the way there: name resolution, proxy, firewall",
        ),
        _ => None,
    }
}

fn about_an_answer(answer: &ServiceError) -> Option<&'static str> {
    let advice = match answer.refusal {
        Refusal::NoSuchBucket => "check the name of the bucket, or create it",
        Refusal::Key => "check the access key id: it is wrong, disabled or deleted",
        Refusal::Token => "get a new security token: this one has expired, or is of another key",
        Refusal::Denied if answer.endpoint.is_some() => {
            "the bucket is elsewhere: set the endpoint that OSS names, or its region"
        }
        Refusal::Denied => {
            "let the key's user do oss:ListObjects on the bucket, and oss:GetObject and \
             oss:PutObject on its objects"
        }
        _ if answer.code == "SignatureDoesNotMatch" => "check the access key secret",
        _ if answer.endpoint.is_some() || answer.message.contains(" region") => "check the region",
        _ => return None,
    };
    Some(advice)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(status: u16, code: &str) -> ServiceError {
        ServiceError::new(status, code)
    }

    #[test]
    fn each_mistake_in_the_configuration_has_its_remedy() {
        let mut elsewhere = answered(403, "AccessDenied");
        elsewhere.endpoint = Some("oss-cn-beijing.aliyuncs.com".into());
        let mut region = answered(400, "InvalidArgument");
        region.message = "Invalid signing region in Authorization header.".into();
        for (answer, word) in [
            (answered(404, "NoSuchBucket"), "the bucket"),
            (answered(403, "InvalidAccessKeyId"), "key id"),
            (answered(403, "SignatureDoesNotMatch"), "secret"),
            (answered(403, "SecurityTokenExpired"), "token"),
            (answered(403, "AccessDenied"), "oss:ListObjects"),
            (elsewhere, "endpoint"),
            (region, "region"),
        ] {
            let error = Error::service(answer);
            let behind_retries = Error::new(ErrorKind::RetriesExhausted {
                attempts: 1,
                stalled: std::time::Duration::ZERO,
            })
            .with_source(error.clone());
            for error in [error, behind_retries] {
                let advice = advice(&error).unwrap();
                assert!(advice.contains(word), "{error}: {advice}");
            }
        }
        let unreachable = Error::transport(TransportCause::Connect, "connection refused");
        assert!(advice(&unreachable).unwrap().contains("endpoint"));
        let overloaded = Error::service(answered(503, "ServiceUnavailable"));
        assert_eq!(advice(&overloaded), None);
    }
}
