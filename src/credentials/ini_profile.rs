//! The profiles that all SDKs share: an ini file.
//!
//! It is read in place: the crates for ini files copy every value into strings that nobody wipes.

use zeroize::Zeroizing;

use super::profile::{Found, Surroundings, key, reason};
use super::{AssumeRole, CredentialsProvider, EcsRole};
use crate::error::{Error, Result};

const DEFAULT: &str = "default";

/// The provider of the section of this name, else of `default`.
pub(super) fn find(text: &str, name: Option<&str>, surroundings: &Surroundings) -> Result<Found> {
    let name = name.unwrap_or(DEFAULT);
    let section = Section::parse(text, name)
        .map_err(|line| Error::credentials(format!("is not an ini file (line {line})")))?;
    let Some(section) = section else {
        return Ok(Err(format!("has no profile {name:?}")));
    };
    let bad = |why: &str| Error::credentials(format!("has a profile {name:?} {why}"));
    let provider = section.provider(surroundings);
    provider.map(Ok).map_err(|error| bad(&reason(&error)))
}

/// The settings of one section.
struct Section<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Section<'a> {
    /// The section of this name. Fails with the number of the first line that is none of an ini
    /// file.
    fn parse(text: &'a str, name: &str) -> Result<Option<Self>, usize> {
        let mut found = None;
        let mut inside = false;
        for (number, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with(['#', ';']) {
                continue;
            }
            if let Some(header) = line.strip_prefix('[') {
                let header = header.split_once(']').ok_or(number + 1)?.0;
                inside = header.trim() == name;
                if inside {
                    found.get_or_insert_with(|| Self(Vec::new()));
                }
                continue;
            }
            let (key, value) = line.split_once('=').ok_or(number + 1)?;
            if let Some(section) = found.as_mut().filter(|_| inside) {
                section
                    .0
                    .push((key.trim(), unquoted(without_comment(value))));
            }
        }
        Ok(found)
    }

    /// The last value; an empty one is none.
    fn get(&self, name: &str) -> Option<&'a str> {
        let mut values = self.0.iter().rev().filter(|(key, _)| *key == name);
        values
            .next()
            .map(|(_, value)| *value)
            .filter(|v| !v.is_empty())
    }

    fn require(&self, name: &str) -> Result<&'a str> {
        self.get(name)
            .ok_or_else(|| Error::credentials(format!("without {name}")))
    }

    fn provider(&self, surroundings: &Surroundings) -> Result<Box<dyn CredentialsProvider>> {
        let unusable =
            |error: Error| Error::credentials(format!("that cannot be used: {}", reason(&error)));
        match self.require("type")? {
            "access_key" => self.key(None),
            "sts" => self.key(Some(self.require("security_token")?)),
            "ram_role_arn" => {
                let base = self.key(self.get("security_token"))?;
                let role = AssumeRole::new(base, self.require("role_arn")?);
                self.role(role, surroundings).map_err(unusable)
            }
            "oidc_role_arn" => {
                let role = AssumeRole::oidc(
                    self.require("role_arn")?,
                    self.require("oidc_provider_arn")?,
                    self.require("oidc_token_file_path")?,
                );
                self.role(role, surroundings).map_err(unusable)
            }
            "ecs_ram_role" => {
                let mut role = EcsRole::new();
                if let Some(name) = self.get("role_name") {
                    role = role.role_name(name);
                }
                let source = surroundings.of_ecs(role).source().map_err(unusable)?;
                Ok(Box::new(source))
            }
            _ => Err(Error::credentials(
                "whose type is none of access_key, sts, ram_role_arn, oidc_role_arn and \
                 ecs_ram_role",
            )),
        }
    }

    fn key(&self, token: Option<&str>) -> Result<Box<dyn CredentialsProvider>> {
        let id = self.require("access_key_id")?;
        let secret = Zeroizing::new(self.require("access_key_secret")?.to_owned());
        let token = token.map(|token| Zeroizing::new(token.to_owned()));
        Ok(Box::new(key(id, &secret, token.as_ref())))
    }

    fn role(
        &self,
        mut role: AssumeRole,
        surroundings: &Surroundings,
    ) -> Result<Box<dyn CredentialsProvider>> {
        if let Some(name) = self.get("role_session_name") {
            role = role.session_name(name);
        }
        if let Some(policy) = self.get("policy") {
            role = role.policy(policy);
        }
        surroundings.of_role(role).source()
    }
}

/// A comment within a line begins with a space: there is a `#` in some values.
fn without_comment(value: &str) -> &str {
    let comment = value
        .match_indices(['#', ';'])
        .find(|(at, _)| value[..*at].ends_with(char::is_whitespace));
    match comment {
        Some((at, _)) => &value[..at],
        None => value,
    }
}

fn unquoted(value: &str) -> &str {
    let value = value.trim();
    let inner = |quote| value.strip_prefix(quote)?.strip_suffix(quote);
    inner('"').or_else(|| inner('\'')).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str, section: &str, name: &str) -> Option<String> {
        let section = Section::parse(text, section).unwrap()?;
        section.get(name).map(ToOwned::to_owned)
    }

    #[test]
    fn sections_comments_quotes_and_spaces_are_understood() {
        let text = "\u{feff}; of nobody = x\r\nnone = x\r\n [ a ] # of a\r\n one=1\r\n\ttwo = 2 ; c\n\
                    # three = 3\nfour = \"4 # ; four\"\nfive = a#b;c=d\nsix=\nseven='7'\neight = ' \n\
                    [b]\none = other\n[a]\none = last\n";
        for (name, expected) in [
            ("one", Some("last")),
            ("two", Some("2")),
            ("three", None),
            ("five", Some("a#b;c=d")),
            ("six", None),
            ("seven", Some("7")),
            ("eight", Some("'")),
            ("none", None),
        ] {
            assert_eq!(value(text, "a", name).as_deref(), expected, "{name}");
        }
        assert_eq!(value(text, "b", "one").as_deref(), Some("other"));
        assert_eq!(value(text, "c", "one"), None);
    }

    #[test]
    fn what_is_no_ini_file_is_told_by_its_line() {
        for (text, line) in [("hush", 1), ("[a]\n\n[b\n", 3), ("[a]\na = b\nhush", 3)] {
            assert_eq!(Section::parse(text, "a").err(), Some(line), "{text:?}");
        }
    }
}
