//! The JSON in which keys are handed out, under the names of either family.

use serde::Deserialize;
use std::time::{Duration, SystemTime};
use zeroize::Zeroizing;

use super::Credentials;
use crate::wire::dates;

/// A key as a service or a program writes it: `AccessKeyId` and so on, or `access_key_id` and so on
/// as the command line of Alibaba Cloud has it.
#[derive(Deserialize)]
pub(super) struct KeyDocument {
    #[serde(rename = "Code")]
    pub(super) code: Option<String>,
    pub(super) mode: Option<String>,
    #[serde(rename = "AccessKeyId", alias = "access_key_id")]
    id: Option<String>,
    #[serde(rename = "AccessKeySecret", alias = "access_key_secret")]
    secret: Option<Zeroizing<String>>,
    #[serde(rename = "SecurityToken", alias = "sts_token")]
    token: Option<Zeroizing<String>>,
    #[serde(rename = "Expiration", alias = "expiration")]
    expiration: Option<Moment>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Moment {
    /// ISO 8601.
    Text(String),
    /// Of Unix time.
    Seconds(i64),
}

/// What a key must have beside id and secret.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Needs {
    Nothing,
    Token,
    TokenAndExpiration,
}

impl KeyDocument {
    /// # Errors
    /// What is missing or malformed, without its value.
    pub(super) fn credentials(self, needs: Needs) -> Result<Credentials, String> {
        let missing = |name: &str| format!("has no {name}");
        let id = self.id.filter(|id| !id.is_empty());
        let secret = self.secret.filter(|secret| !secret.is_empty());
        let token = self.token.filter(|token| !token.is_empty());
        let id = id.ok_or_else(|| missing("AccessKeyId"))?;
        let mut secret = secret.ok_or_else(|| missing("AccessKeySecret"))?;
        let mut credentials = Credentials::new(id, std::mem::take(&mut *secret));
        match token {
            Some(mut token) => {
                credentials = credentials.with_session_token(std::mem::take(&mut *token));
            }
            None if needs != Needs::Nothing => return Err(missing("SecurityToken")),
            None => {}
        }
        match self.expiration.as_ref().map(Moment::time) {
            Some(Some(expiration)) => credentials = credentials.with_expiration(expiration),
            Some(None) => return Err("has an Expiration that is not a time".into()),
            None if needs == Needs::TokenAndExpiration => return Err(missing("Expiration")),
            None => {}
        }
        Ok(credentials)
    }
}

impl Moment {
    fn time(&self) -> Option<SystemTime> {
        match self {
            Self::Text(text) => dates::iso_time(text),
            Self::Seconds(seconds) => {
                let seconds = Duration::from_secs((*seconds).try_into().ok()?);
                SystemTime::UNIX_EPOCH.checked_add(seconds)
            }
        }
    }
}
