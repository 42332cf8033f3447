//! The Security Token Service: where it is, the session to ask it for, and its answers.

use std::fmt;
use std::time::Duration;

use reqwest::{RequestBuilder, Url};
use serde::Deserialize;
use zeroize::Zeroizing;

use super::Credentials;
use super::document::{KeyDocument, Needs};
use super::http::{Http, server_url};
use crate::error::{Error, Result};
use crate::wire::encoding::encode_strict;
use crate::wire::hidden::Hidden;
use crate::wire::variables::Variables;

/// The content type of a form.
pub(super) const FORM: &str = "application/x-www-form-urlencoded";

pub(super) const VERSION: &str = "2015-04-01";

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// STS refuses shorter ones.
const LEAST_DURATION: Duration = Duration::from_secs(900);

/// Which of the endpoints is asked. What is not set is as the environment says.
#[derive(Clone, Default)]
pub(super) struct Place {
    pub(super) region: Option<String>,
    pub(super) vpc: Option<bool>,
    pub(super) endpoint: Option<String>,
    pub(super) variables: Variables,
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
    fn url(&self) -> Result<Url> {
        const ENDPOINT: &str = "ALIBABA_CLOUD_STS_ENDPOINT";
        if let Some(endpoint) = &self.endpoint {
            return server_url(endpoint);
        }
        let region = match &self.region {
            Some(region) => Some(region.clone()),
            None => {
                if let Some(endpoint) = self.variables.get(ENDPOINT)? {
                    return server_url(&endpoint).map_err(|_| {
                        Error::credentials(format!(
                            "the environment variable {ENDPOINT} is not a host or an HTTP URL"
                        ))
                    });
                }
                self.variables.get("ALIBABA_CLOUD_STS_REGION")?
            }
        };
        let Some(region) = &region else {
            return server_url("sts.aliyuncs.com");
        };
        let vpc = match self.vpc {
            Some(vpc) => vpc,
            None => self
                .variables
                .is_true("ALIBABA_CLOUD_VPC_ENDPOINT_ENABLED")?,
        };
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if region.is_empty() || !region.bytes().all(allowed) {
            return Err(Error::invalid_input("the region of STS is none"));
        }
        let host = if vpc { "sts-vpc" } else { "sts" };
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

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(place: Place, variables: &'static [(&str, &str)]) -> Result<String> {
        let find = |name: &str| variables.iter().find(|(known, _)| *known == name);
        let variables = Variables::new(move |name| Some(find(name)?.1.into()));
        let place = Place { variables, ..place };
        Ok(place.url()?.to_string())
    }

    const ENDPOINT: (&str, &str) = ("ALIBABA_CLOUD_STS_ENDPOINT", "sts.corp.example");
    const REGION: (&str, &str) = ("ALIBABA_CLOUD_STS_REGION", "cn-beijing");
    const VPC: (&str, &str) = ("ALIBABA_CLOUD_VPC_ENDPOINT_ENABLED", "true");

    #[test]
    fn the_environment_says_which_sts_is_asked() {
        for (variables, url) in [
            (&[][..], "https://sts.aliyuncs.com/"),
            (&[ENDPOINT, REGION, VPC], "https://sts.corp.example/"),
            (
                &[("ALIBABA_CLOUD_STS_ENDPOINT", "http://10.0.0.1:80 \n")],
                "http://10.0.0.1/",
            ),
            (
                &[("ALIBABA_CLOUD_STS_ENDPOINT", "10.0.0.1:8443")],
                "https://10.0.0.1:8443/",
            ),
            (&[REGION], "https://sts.cn-beijing.aliyuncs.com/"),
            (&[REGION, VPC], "https://sts-vpc.cn-beijing.aliyuncs.com/"),
            (&[VPC], "https://sts.aliyuncs.com/"),
        ] {
            assert_eq!(asked(Place::default(), variables).unwrap(), url);
        }
    }

    #[test]
    fn what_the_program_says_counts_more() {
        let endpoint = || Place {
            endpoint: Some("own.example".into()),
            ..Place::default()
        };
        let region = |vpc| Place {
            region: Some("cn-hangzhou".into()),
            vpc,
            ..Place::default()
        };
        let all = &[ENDPOINT, REGION, VPC];
        for (place, url) in [
            (endpoint(), "https://own.example/"),
            (region(None), "https://sts-vpc.cn-hangzhou.aliyuncs.com/"),
            (region(Some(false)), "https://sts.cn-hangzhou.aliyuncs.com/"),
        ] {
            assert_eq!(asked(place, all).unwrap(), url);
        }
    }

    #[test]
    fn a_place_that_is_none_is_told_by_its_variable() {
        for value in ["ftp://sts.example", "https://", "a b", "'sts.example'"] {
            let place = Place {
                variables: Variables::new(move |name| {
                    (name == "ALIBABA_CLOUD_STS_ENDPOINT").then(|| value.into())
                }),
                ..Place::default()
            };
            let error = place.url().unwrap_err().to_string();
            assert!(error.contains("ALIBABA_CLOUD_STS_ENDPOINT"), "{error}");
        }
    }
}
