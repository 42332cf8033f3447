//! Credentials from the environment variables of the official OSS SDKs.

use std::env::VarError;

use futures::future::BoxFuture;

use super::{Credentials, CredentialsProvider};
use crate::error::{Error, Result};

const ID: &str = "OSS_ACCESS_KEY_ID";
const SECRET: &str = "OSS_ACCESS_KEY_SECRET";
const TOKEN: &str = "OSS_SESSION_TOKEN";

/// Credentials from `OSS_ACCESS_KEY_ID`, `OSS_ACCESS_KEY_SECRET` and, for a temporary key,
/// `OSS_SESSION_TOKEN`.
///
/// The variables are read for each request. An id or secret that is unset or empty is an error
/// that names the variable.
#[derive(Clone, Copy, Debug, Default)]
pub struct EnvironmentCredentials;

impl EnvironmentCredentials {
    /// A provider that reads the variables when it is asked.
    pub fn new() -> Self {
        Self
    }
}

impl CredentialsProvider for EnvironmentCredentials {
    fn credentials(&self) -> BoxFuture<'_, Result<Credentials>> {
        Box::pin(std::future::ready(read(|name| std::env::var(name))))
    }
}

fn read(variable: impl Fn(&str) -> Result<String, VarError>) -> Result<Credentials> {
    let get = |name| match variable(name) {
        Ok(value) => Ok(value),
        Err(VarError::NotPresent) => Ok(String::new()),
        Err(VarError::NotUnicode(_)) => Err(Error::credentials(format!(
            "the environment variable {name} is not valid UTF-8"
        ))),
    };
    let required = |name| match get(name) {
        Ok(value) if value.is_empty() => Err(Error::credentials(format!(
            "the environment variable {name} is not set or empty"
        ))),
        other => other,
    };
    Ok(Credentials::new(required(ID)?, required(SECRET)?).with_session_token(get(TOKEN)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(pairs: &'static [(&str, &str)]) -> impl Fn(&str) -> Result<String, VarError> {
        move |name| {
            pairs
                .iter()
                .find(|(n, _)| *n == name)
                .map(|(_, value)| (*value).to_owned())
                .ok_or(VarError::NotPresent)
        }
    }

    #[test]
    fn key_and_token_are_read() {
        let read = read(environment(&[
            (ID, "id"),
            (SECRET, "secret"),
            (TOKEN, "token"),
        ]))
        .unwrap();
        assert_eq!(read.access_key_id(), "id");
        assert_eq!(read.access_key_secret(), "secret");
        assert_eq!(read.session_token(), Some("token"));
    }

    #[test]
    fn an_empty_variable_is_an_error_that_names_it() {
        for (pairs, culprit) in [
            (&[(SECRET, "s")][..], ID),
            (&[(ID, ""), (SECRET, "s")], ID),
            (&[(ID, "i")], SECRET),
            (&[(ID, "i"), (SECRET, "")], SECRET),
        ] {
            let error = read(environment(pairs)).unwrap_err();
            assert!(error.to_string().contains(culprit), "{error}");
        }
    }

    #[test]
    fn a_token_is_not_required() {
        let read = read(environment(&[(ID, "id"), (SECRET, "secret"), (TOKEN, "")])).unwrap();
        assert_eq!(read.session_token(), None);
    }
}
