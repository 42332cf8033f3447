//! The profiles of Alibaba Cloud's command line: `config.json`.

use std::time::Duration;

use serde::Deserialize;
use zeroize::Zeroizing;

use super::http::from_json;
use super::profile::{Found, Surroundings, key};
use super::{
    AssumeRole, CredentialsProcess, CredentialsProvider, CredentialsUri, EcsRole, StaticCredentials,
};
use crate::error::{Error, Result};

#[derive(Deserialize)]
struct Config {
    #[serde(default)]
    current: String,
    profiles: Vec<Profile>,
}

/// What is of use here. An empty text is none.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Profile {
    name: String,
    mode: String,
    access_key_id: String,
    access_key_secret: Zeroizing<String>,
    sts_token: Zeroizing<String>,
    sts_endpoint: String,
    sts_region: String,
    enable_vpc: bool,
    ram_role_name: String,
    ram_role_arn: String,
    ram_session_name: String,
    external_id: Zeroizing<String>,
    policy: String,
    source_profile: String,
    expired_seconds: u64,
    process_command: Zeroizing<String>,
    credentials_uri: Zeroizing<String>,
    oidc_provider_arn: String,
    oidc_token_file: String,
}

/// The provider of the profile of this name, else of the current one.
pub(super) fn find(text: &str, name: Option<&str>, surroundings: &Surroundings) -> Result<Found> {
    let config: Config = from_json(text.as_bytes()).map_err(Error::credentials)?;
    let name = name.unwrap_or(&config.current);
    let Some(profile) = config.profile(name) else {
        return Ok(Err(format!("has no profile {name:?}")));
    };
    // So the command line leaves it before anybody has configured it.
    if profile.access_key_id.is_empty() && matches!(&*profile.mode, "" | "AK") {
        return Ok(Err(format!("has no key in its profile {name:?}")));
    }
    config
        .provider(profile, surroundings, &mut Vec::new())
        .map(Ok)
}

impl Config {
    fn profile(&self, name: &str) -> Option<&Profile> {
        self.profiles.iter().find(|profile| profile.name == name)
    }

    /// `before` are the profiles that have led to this one.
    fn provider<'a>(
        &'a self,
        profile: &'a Profile,
        surroundings: &Surroundings,
        before: &mut Vec<&'a str>,
    ) -> Result<Box<dyn CredentialsProvider>> {
        let name = &profile.name;
        let bad = |why: &str| Error::credentials(format!("has a profile {name:?} {why}"));
        let built = |built: Result<Box<dyn CredentialsProvider>>| {
            built.map_err(|error| {
                bad(&format!(
                    "that cannot be used: {}",
                    super::profile::reason(&error)
                ))
            })
        };
        let require = |field: &str, value: &str| match value.is_empty() {
            true => Err(bad(&format!("without {field}"))),
            false => Ok(()),
        };
        match profile.mode.to_ascii_lowercase().as_str() {
            "ak" | "" => Ok(Box::new(profile.key(&require, None)?)),
            "ststoken" => {
                require("sts_token", &profile.sts_token)?;
                let token = Some(&profile.sts_token);
                Ok(Box::new(profile.key(&require, token)?))
            }
            "ramrolearn" => {
                require("ram_role_arn", &profile.ram_role_arn)?;
                let token = Some(&profile.sts_token);
                let base = profile.key(&require, token)?;
                let role = profile.role(AssumeRole::new(base, &profile.ram_role_arn));
                built(surroundings.of_role(role).source())
            }
            "chainableramrolearn" => {
                require("ram_role_arn", &profile.ram_role_arn)?;
                require("source_profile", &profile.source_profile)?;
                before.push(name);
                if before.contains(&profile.source_profile.as_str()) {
                    return Err(bad("whose source_profile leads back to it"));
                }
                let source = self
                    .profile(&profile.source_profile)
                    .ok_or_else(|| bad("whose source_profile is not there"))?;
                let base = self.provider(source, surroundings, before)?;
                let role = profile.role(AssumeRole::new(base, &profile.ram_role_arn));
                built(surroundings.of_role(role).source())
            }
            "oidc" => {
                require("ram_role_arn", &profile.ram_role_arn)?;
                require("oidc_provider_arn", &profile.oidc_provider_arn)?;
                require("oidc_token_file", &profile.oidc_token_file)?;
                let role = AssumeRole::oidc(
                    &profile.ram_role_arn,
                    &profile.oidc_provider_arn,
                    &profile.oidc_token_file,
                );
                built(surroundings.of_role(profile.role(role)).source())
            }
            "ecsramrole" => {
                let mut role = EcsRole::new();
                if !profile.ram_role_name.is_empty() {
                    role = role.role_name(&profile.ram_role_name);
                }
                built(surroundings.of_ecs(role).source().map(|s| Box::new(s) as _))
            }
            "credentialsuri" => {
                require("credentials_uri", &profile.credentials_uri)?;
                let uri = CredentialsUri::new(profile.credentials_uri.as_str());
                built(uri.source().map(|source| Box::new(source) as _))
            }
            "external" => {
                require("process_command", &profile.process_command)?;
                let process = CredentialsProcess::new(profile.process_command.as_str());
                built(process.source().map(|source| Box::new(source) as _))
            }
            _ => Err(bad(
                "whose mode is none of AK, StsToken, RamRoleArn, ChainableRamRoleArn, OIDC, \
                 EcsRamRole, CredentialsURI and External",
            )),
        }
    }
}

impl Profile {
    fn key(
        &self,
        require: &impl Fn(&str, &str) -> Result<()>,
        token: Option<&Zeroizing<String>>,
    ) -> Result<StaticCredentials> {
        require("access_key_id", &self.access_key_id)?;
        require("access_key_secret", &self.access_key_secret)?;
        Ok(key(&self.access_key_id, &self.access_key_secret, token))
    }

    fn role(&self, mut role: AssumeRole) -> AssumeRole {
        if !self.ram_session_name.is_empty() {
            role = role.session_name(&self.ram_session_name);
        }
        if self.expired_seconds > 0 {
            role = role.session_duration(Duration::from_secs(self.expired_seconds));
        }
        if !self.policy.is_empty() {
            role = role.policy(&self.policy);
        }
        if !self.external_id.is_empty() {
            role = role.external_id(self.external_id.as_str());
        }
        if !self.sts_endpoint.is_empty() {
            role = role.endpoint(&self.sts_endpoint);
        }
        if !self.sts_region.is_empty() {
            role = role.region(&self.sts_region).vpc(self.enable_vpc);
        }
        role
    }
}
