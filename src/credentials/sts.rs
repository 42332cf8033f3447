//! The Security Token Service: where it is, the session to ask it for, and its answers.

use std::fmt;
use std::time::Duration;

use reqwest::{RequestBuilder, Url};
use serde::Deserialize;
use zeroize::Zeroizing;

use super::Credentials;
use super::document::{KeyDocument, Needs};
use super::http::{Http, server_url};
use super::variables::Variables;
use crate::error::{Error, Result};
use crate::wire::encoding::encode_strict;
use crate::wire::hidden::Hidden;

/// The content type of a form.
pub(super) const FORM: &str = "application/x-www-form-urlencoded";

pub(super) const VERSION: &str = "2015-04-01";

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// STS refuses shorter ones.
const LEAST_DURATION: Duration = Duration::from_secs(900);

/// Which of the endpoints is asked.
#[derive(Clone, Default)]
pub(super) struct Place {
    pub(super) region: Option<String>,
    pub(super) vpc: bool,
    pub(super) endpoint: Option<String>,
}

/// Does not show the endpoint, whose URL may have a password in it.
impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Place")
            .field("region", &self.region)
            .field("vpc", &self.vpc)
            .finish_non_exhaustive()
    }
}

impl Place {
    pub(super) fn from_variables(variables: &Variables) -> Result<Self> {
        Ok(Self {
            region: variables.get("ALIBABA_CLOUD_STS_REGION")?,
            vpc: variables.is_true("ALIBABA_CLOUD_VPC_ENDPOINT_ENABLED")?,
            endpoint: None,
        })
    }

    fn url(&self) -> Result<Url> {
        if let Some(endpoint) = &self.endpoint {
            return server_url(endpoint);
        }
        let Some(region) = &self.region else {
            return server_url("sts.aliyuncs.com");
        };
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if region.is_empty() || !region.bytes().all(allowed) {
            return Err(Error::invalid_input("the region of STS is none"));
        }
        let host = if self.vpc { "sts-vpc" } else { "sts" };
        server_url(&format!("{host}.{region}.aliyuncs.com"))
    }

    pub(super) fn http(&self) -> Result<Http> {
        Ok(Http::new(self.url()?, CONNECT_TIMEOUT, ANSWER_TIMEOUT))
    }
}

/// What is asked for.
#[derive(Clone, Debug)]
pub(super) struct Session {
    pub(super) role_arn: String,
    pub(super) name: String,
    pub(super) duration: Duration,
    pub(super) policy: Option<String>,
}

impl Session {
    pub(super) fn new(role_arn: impl Into<String>) -> Self {
        Self {
            role_arn: role_arn.into(),
            name: "oss-append".into(),
            duration: Duration::from_secs(3600),
            policy: None,
        }
    }

    pub(super) fn check(&self) -> Result<()> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".@-_".contains(&byte);
        if self.role_arn.is_empty() {
            return Err(Error::invalid_input("the ARN of the role is empty"));
        }
        if !(2..=64).contains(&self.name.len()) || !self.name.bytes().all(allowed) {
            return Err(Error::invalid_input(
                "the name of the role's session has to be of 2 to 64 letters, digits and .@-_",
            ));
        }
        if self.duration < LEAST_DURATION {
            return Err(Error::invalid_input(
                "a role's session lasts for at least 900 s",
            ));
        }
        Ok(())
    }

    pub(super) fn form(&self) -> Vec<(&'static str, &str)> {
        let mut form = vec![
            ("RoleArn", &*self.role_arn),
            ("RoleSessionName", &*self.name),
        ];
        form.extend(self.policy.as_deref().map(|policy| ("Policy", policy)));
        form
    }

    pub(super) fn seconds(&self) -> String {
        self.duration.as_secs().to_string()
    }
}

/// A form's body.
pub(super) fn encode(form: &[(&str, &str)]) -> Zeroizing<String> {
    let size = form
        .iter()
        .map(|(name, value)| name.len() + 3 * value.len() + 2);
    let mut body = Zeroizing::new(String::with_capacity(size.sum()));
    for (name, value) in form {
        if !body.is_empty() {
            body.push('&');
        }
        body.push_str(name);
        body.push('=');
        body.push_str(&Zeroizing::new(encode_strict(value)));
    }
    body
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Assumed {
    credentials: Option<KeyDocument>,
}

/// Sends a request for a role's key. The message of a refusal is shown without the `secrets`.
pub(super) async fn assume(
    http: &Http,
    role_arn: &str,
    request: RequestBuilder,
    secrets: &[&str],
) -> Result<Credentials> {
    let what = format!("the key of the role {role_arn}");
    let answer = http.send(&what, request).await?;
    if !answer.is_success() {
        // A refusal may repeat what was signed, where each is escaped once or twice.
        let mut forms = Vec::new();
        for secret in secrets {
            let once = Zeroizing::new(encode_strict(secret));
            forms.push(Zeroizing::new(encode_strict(&once)));
            forms.push(once);
            forms.push(Zeroizing::new((*secret).to_owned()));
        }
        let hidden = Hidden::new(forms.iter().map(|secret| secret.as_str()));
        return Err(http.refusal(&what, &answer, Some(&hidden)));
    }
    let bad = |why: String| http.bad_answer(&what, &why);
    let assumed: Assumed = answer.json().map_err(bad)?;
    let document = assumed
        .credentials
        .ok_or_else(|| bad("has no Credentials".into()))?;
    let credentials = document.credentials(Needs::TokenAndExpiration);
    Ok(answer.in_local_time(credentials.map_err(bad)?))
}
