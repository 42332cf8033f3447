//! What an account and its buckets are like: what OSS allowed for long, and what it allows now.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// What an account of OSS is like, by its age. Each trait can be set on its own, see
/// [`EmulatorBuilder`](super::EmulatorBuilder).
///
/// | trait | `Legacy` | `Y2026` |
/// |---|---|---|
/// | [signatures V1](super::EmulatorBuilder::v1_signatures) | accepted | 403, EC 0002-00000080 |
/// | [public ACLs](super::EmulatorBuilder::block_public_access) | accepted | 403 `AccessDenied`, EC 0016-00000901 |
/// | [sealing](super::EmulatorBuilder::sealing) | granted | 400 `OperationNotSupported`, EC 0016-00000513 |
///
/// OSS has granted sealing to no account by itself, whatever its age: a ticket asks for it. The
/// legacy account is one that has asked.
///
/// Sources: <https://www.alibabacloud.com/help/en/oss/developer-reference/guidelines-for-upgrading-v1-signatures-to-v4-signatures>,
/// <https://www.alibabacloud.com/help/en/oss/developer-reference/mb-create-storage-space>,
/// <https://www.alibabacloud.com/help/en/oss/developer-reference/sealappendobject>
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Account {
    /// From before March 2025, with buckets from then, and sealing granted. On the command line
    /// `legacy`.
    Legacy,
    /// As it is for an account, or for a bucket, that is made in 2026. On the command line `2026`.
    #[default]
    Y2026,
}

impl FromStr for Account {
    type Err = Error;

    /// Reads `legacy` or `2026`.
    fn from_str(text: &str) -> Result<Self> {
        match text {
            "legacy" => Ok(Self::Legacy),
            "2026" => Ok(Self::Y2026),
            _ => Err(Error::invalid_input(format!(
                "{text:?} is not an account: legacy or 2026"
            ))),
        }
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Legacy => "legacy",
            Self::Y2026 => "2026",
        })
    }
}

/// An account, and what of it was set otherwise.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Choice {
    pub(super) account: Account,
    pub(super) v1_signatures: Option<bool>,
    pub(super) public_access_blocked: Option<bool>,
    pub(super) sealing: Option<bool>,
    pub(super) archive_direct_read: bool,
}

/// The traits of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Traits {
    /// Whether signatures V1 are accepted.
    pub(super) v1_signatures: bool,
    /// Whether nobody may make anything public.
    pub(super) public_access_blocked: bool,
    /// Whether objects can be sealed.
    pub(super) sealing: bool,
    /// Whether archived objects can be read without being restored.
    pub(super) archive_direct_read: bool,
}

impl Choice {
    pub(super) fn traits(self) -> Traits {
        let legacy = self.account == Account::Legacy;
        Traits {
            v1_signatures: self.v1_signatures.unwrap_or(legacy),
            public_access_blocked: self.public_access_blocked.unwrap_or(!legacy),
            sealing: self.sealing.unwrap_or(legacy),
            archive_direct_read: self.archive_direct_read,
        }
    }
}

/// The rules of a bucket, all off by default. Given to
/// [`EmulatorBuilder::bucket_with`](super::EmulatorBuilder::bucket_with).
///
/// They can be [parsed](BucketRules#impl-FromStr-for-BucketRules) from the form that `oss-append
/// emulator --bucket NAME:RULE,...` takes.
///
/// ```
/// use oss_append::emulator::BucketRules;
///
/// let rules = BucketRules::new().versioning(true).requester_pays(true);
/// assert_eq!(rules, "versioning,requester-pays".parse()?);
/// # Ok::<(), oss_append::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BucketRules {
    pub(super) retention: bool,
    pub(super) object_worm: bool,
    pub(super) versioning: bool,
    pub(super) requester_pays: bool,
}

impl BucketRules {
    /// No rules.
    pub fn new() -> Self {
        Self::default()
    }

    /// A retention policy (BucketWorm), of a period that does not end: objects can be made, and not
    /// be appended to, replaced, sealed or deleted then, which is refused with 409
    /// `FileImmutable`. `retention` on the command line.
    ///
    /// Source: <https://www.alibabacloud.com/help/en/oss/user-guide/oss-retention-policies>
    #[must_use]
    pub fn retention(mut self, on: bool) -> Self {
        self.retention = on;
        self
    }

    /// Object-level retention (ObjectWorm): the bucket takes no appends at all. OSS's documents do
    /// not tell the code; here it is 400 `OperationNotSupported`. `object-worm` on the command line.
    ///
    /// Source: <https://www.alibabacloud.com/help/en/oss/developer-reference/putbucketobjectwormconfiguration>
    #[must_use]
    pub fn object_worm(mut self, on: bool) -> Self {
        self.object_worm = on;
        self
    }

    /// Versioning, as far as appends are concerned: an object keeps its version while it is
    /// appended to, and answers name it (`x-oss-version-id`); after a delete, or a replacement by
    /// PutObject, it cannot be appended to, and after a delete an append at 0 makes a new
    /// version. Previous versions are not kept. `versioning` on the command line.
    ///
    /// Source: <https://www.alibabacloud.com/help/en/oss/developer-reference/appendobject>
    #[must_use]
    pub fn versioning(mut self, on: bool) -> Self {
        self.versioning = on;
        self
    }

    /// Lets requesters pay: requests of [other accounts](super::EmulatorBuilder::requester) must
    /// say `x-oss-request-payer: requester`, and there are no anonymous ones. `requester-pays` on
    /// the command line.
    ///
    /// Source: <https://www.alibabacloud.com/help/en/oss/developer-reference/putbucketrequestpayment>
    #[must_use]
    pub fn requester_pays(mut self, on: bool) -> Self {
        self.requester_pays = on;
        self
    }

    pub(super) fn are_none(&self) -> bool {
        *self == Self::default()
    }
}

impl FromStr for BucketRules {
    type Err = Error;

    /// Reads the names of rules, separated by commas: `retention`, `object-worm`, `versioning` and
    /// `requester-pays`.
    fn from_str(text: &str) -> Result<Self> {
        text.split(',')
            .try_fold(Self::new(), |rules, name| match name {
                "retention" => Ok(rules.retention(true)),
                "object-worm" => Ok(rules.object_worm(true)),
                "versioning" => Ok(rules.versioning(true)),
                "requester-pays" => Ok(rules.requester_pays(true)),
                _ => Err(Error::invalid_input(format!(
                    "{name:?} is not a rule of a bucket: retention, object-worm, versioning or \
                 requester-pays"
                ))),
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for account in [Account::Legacy, Account::Y2026] {
            assert_eq!(account.to_string().parse::<Account>().unwrap(), account);
        }
        assert!("2025".parse::<Account>().is_err());
        assert!("".parse::<BucketRules>().is_err());
        assert!("retention,worm".parse::<BucketRules>().is_err());
    }

    #[test]
    fn a_switch_counts_more_than_the_account() {
        let new = Choice::default();
        assert!(!new.traits().sealing && new.traits().public_access_blocked);
        let granted = Choice {
            sealing: Some(true),
            ..new
        };
        assert!(granted.traits().sealing && !granted.traits().v1_signatures);
        let strict = Choice {
            account: Account::Legacy,
            v1_signatures: Some(false),
            ..new
        };
        assert!(strict.traits().sealing && !strict.traits().v1_signatures);
    }
}
