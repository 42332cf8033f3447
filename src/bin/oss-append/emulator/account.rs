//! Options for what the account and its buckets are like.

use clap::Args;
use oss_append::emulator::{Account, BucketRules, EmulatorBuilder};

use crate::failure::Failure;

#[derive(Args)]
pub(super) struct AccountArguments {
    /// A bucket to create at the start, unless it exists. Repeatable. Rules of the bucket follow
    /// its name, as in logs:versioning,requester-pays: retention (BucketWorm), object-worm,
    /// versioning and requester-pays.
    #[arg(long, value_name = "NAME[:RULE,...]")]
    bucket: Vec<String>,
    /// What the account is like: 2026, which refuses signatures V1, public ACLs and sealing, or
    /// legacy, which allows them.
    #[arg(long, value_name = "legacy|2026", default_value_t)]
    account: Account,
    /// Accept signatures V1, whatever the account [default: as the account].
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    v1_signatures: Option<bool>,
    /// Refuse public ACLs, as OSS does while Block Public Access is on [default: as the account].
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    block_public_access: Option<bool>,
    /// Grant SealAppendObject, as OSS does if a ticket asks for it [default: as the account].
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    sealing: Option<bool>,
    /// Let archived objects be read without being restored.
    #[arg(long)]
    archive_direct_read: bool,
    /// An access key of another account, for buckets whose requesters pay. Repeatable.
    #[arg(long, value_name = "ID:SECRET")]
    requester: Vec<String>,
}

impl AccountArguments {
    /// The name of the first bucket.
    pub(super) fn first_bucket(&self) -> Option<String> {
        let first = self.bucket.first()?;
        let name = first
            .split_once(':')
            .map_or(first.as_str(), |(name, _)| name);
        Some(name.to_owned())
    }

    pub(super) fn add_to(&self, mut builder: EmulatorBuilder) -> Result<EmulatorBuilder, Failure> {
        builder = builder
            .account(self.account)
            .archive_direct_read(self.archive_direct_read);
        if let Some(accepted) = self.v1_signatures {
            builder = builder.v1_signatures(accepted);
        }
        if let Some(blocked) = self.block_public_access {
            builder = builder.block_public_access(blocked);
        }
        if let Some(granted) = self.sealing {
            builder = builder.sealing(granted);
        }
        for bucket in &self.bucket {
            builder = match bucket.split_once(':') {
                None => builder.bucket(bucket),
                Some((name, rules)) => builder.bucket_with(name, read_rules(rules)?),
            };
        }
        for key in &self.requester {
            let (id, secret) = key
                .split_once(':')
                .ok_or_else(|| Failure::usage("a requester is not of the form ID:SECRET"))?;
            builder = builder.requester(id, secret);
        }
        Ok(builder)
    }
}

fn read_rules(text: &str) -> Result<BucketRules, Failure> {
    text.parse()
        .map_err(|error: oss_append::Error| Failure::usage(error.to_string()))
}
