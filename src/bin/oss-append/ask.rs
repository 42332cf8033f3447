//! Questions to OSS that are asked until there is an answer.

use std::time::Duration;

use oss_append::{Error, TransportCause, defaults};
use tokio::time::{Instant, timeout};

use crate::failure::{self, may_pass};
use crate::output;
use crate::patience::Patience;
use crate::trouble::{UNKNOWN_HOST, seconds};

/// Makes the same request, one that changes nothing, until OSS has answered or refused it for good, as
/// long as the patience lasts. Says on standard error that it tries again.
pub(crate) async fn ask<T>(
    Patience(patience): Patience,
    mut request: impl AsyncFnMut() -> Result<T, Error>,
) -> Result<T, Error> {
    let begun = Instant::now();
    let (mut failures, mut mended) = (0, false);
    loop {
        let left = patience.saturating_sub(begun.elapsed());
        let answered = timeout(left, request()).await;
        let error = match answered {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => error,
            Err(_) => Error::transport(TransportCause::Timeout, "there was no answer in time"),
        };
        if !may_pass(&error) {
            return Err(error);
        }
        if failure::is_mended(&error) {
            // The same again right after that is no matter of time.
            if std::mem::replace(&mut mended, true) {
                return Err(error);
            }
            continue;
        }
        failures += 1;
        let elapsed = begun.elapsed();
        let left = patience.saturating_sub(elapsed);
        if elapsed >= UNKNOWN_HOST && failure::is_unknown_host(&error) {
            return Err(error);
        }
        if left <= defaults::BACKOFF_BASE.min(patience / 10) {
            return Err(exhausted(error, failures, elapsed));
        }
        if failures == 1 {
            output::note(format_args!(
                "{}; trying again for up to {}",
                failure::describe(&error),
                seconds(left)
            ));
        }
        tokio::time::sleep(pause(&error, failures).min(left / 2)).await;
    }
}

/// How long to wait after so many failures.
fn pause(error: &Error, failures: u32) -> Duration {
    let wanted = error.service_error().and_then(|answer| answer.retry_after);
    let doubled = defaults::BACKOFF_BASE.saturating_mul(1 << failures.min(16));
    let own = doubled.min(defaults::BACKOFF_MAX).mul_f64(fastrand::f64());
    own.max(wanted.unwrap_or_default())
}

fn exhausted(error: Error, attempts: u32, stalled: Duration) -> Error {
    let mut exhausted = Error::retries_exhausted(attempts, stalled);
    if let Some(operation) = error.operation() {
        exhausted = exhausted.with_operation(operation);
    }
    if let Some(object) = error.object() {
        exhausted = exhausted.with_object(object);
    }
    exhausted.with_source(error)
}

#[cfg(test)]
mod tests {
    use oss_append::{ErrorKind, ServiceError};

    use super::*;

    /// Asks for what fails in these ways, one after the other, and the last again and again. How it
    /// ends, after how many requests, and after how long.
    async fn asked(patience: u64, errors: &[Error]) -> (Result<(), Error>, usize, Duration) {
        let begun = Instant::now();
        let mut requests = 0;
        let patience = Patience(Duration::from_secs(patience));
        let answer = ask(patience, async || {
            requests += 1;
            match errors.get(requests - 1).or(errors.last()) {
                Some(error) => Err(error.clone()),
                None => Ok(()),
            }
        });
        let answer = answer.await;
        (answer, requests, begun.elapsed())
    }

    fn answered(status: u16, code: &str) -> Error {
        Error::service(ServiceError::new(status, code))
    }

    #[tokio::test(start_paused = true)]
    async fn what_passes_is_asked_again_until_the_time_is_up() {
        let busy = answered(503, "ServiceUnavailable");
        let (answer, requests, took) = asked(20, &[busy]).await;
        let error = answer.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::RetriesExhausted { .. }));
        assert_eq!(error.service_error().unwrap().status, 503);
        assert!(requests > 5, "{requests}");
        assert!(took <= Duration::from_secs(20) && took > Duration::from_secs(19));

        let mut asks = ServiceError::new(503, "ServiceUnavailable");
        asks.retry_after = Some(Duration::from_secs(5));
        assert!(pause(&Error::service(asks), 1) >= Duration::from_secs(5));
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_pass_is_not_asked_again() {
        let mut renewed = ServiceError::new(403, "SecurityTokenExpired");
        renewed.credentials_renewed = true;
        let renewed = Error::service(renewed);
        let reset = Error::transport(TransportCause::Broken, "reset");
        for (errors, requests) in [
            (vec![answered(404, "NoSuchKey")], 1),
            (vec![answered(403, "AccessDenied")], 1),
            (vec![renewed.clone()], 2),
            (vec![reset, renewed, answered(404, "NoSuchKey")], 3),
        ] {
            let (answer, made, _) = asked(20, &errors).await;
            assert_eq!(made, requests, "{errors:?}");
            assert!(answer.unwrap_err().service_error().is_some());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_that_nobody_knows_is_not_asked_for_long() {
        let unknown = Error::transport(TransportCause::UnknownHost, "no address");
        let (answer, _, took) = asked(120, &[unknown]).await;
        assert!(failure::is_unknown_host(&answer.unwrap_err()));
        assert!(took < Duration::from_secs(15), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_answered_is_given_up_in_time() {
        let begun = Instant::now();
        let never = async || std::future::pending::<Result<(), Error>>().await;
        let answer = ask(Patience(Duration::from_secs(7)), never).await;
        assert!(matches!(
            answer.unwrap_err().kind(),
            ErrorKind::RetriesExhausted { attempts: 1, .. }
        ));
        assert_eq!(begun.elapsed().as_secs(), 7);
    }
}
