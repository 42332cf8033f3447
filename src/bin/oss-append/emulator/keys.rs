//! The access keys of the server, and where they come from.

use std::path::{Path, PathBuf};

use clap::Args;
use oss_append::emulator::{ACCESS_KEY_ID, ACCESS_KEY_SECRET, EmulatorBuilder};

use crate::failure::Failure;

const SECRET: &str = "OSS_EMULATOR_ACCESS_KEY_SECRET";

#[derive(Args)]
pub(super) struct KeyArguments {
    /// The access key id that works.
    #[arg(long, value_name = "ID", default_value = ACCESS_KEY_ID, env = "OSS_EMULATOR_ACCESS_KEY_ID")]
    access_key_id: String,
    /// The secret of the access key. As an argument every user of this machine can see it: use the
    /// variable for one that matters, or --key-file.
    #[arg(
        long,
        value_name = "SECRET",
        default_value = ACCESS_KEY_SECRET,
        env = SECRET,
        hide_env_values = true
    )]
    access_key_secret: String,
    /// A file of the access keys that work, instead: one a line, as ID:SECRET, or ID:SECRET:TOKEN if
    /// it is temporary. Empty lines and those that begin with # are left out.
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// A temporary access key with its token. Repeatable.
    #[arg(long, value_name = "ID:SECRET:TOKEN")]
    sts: Vec<String>,
    /// A temporary access key whose token has expired. Repeatable.
    #[arg(long, value_name = "ID:SECRET:TOKEN")]
    expired_sts: Vec<String>,
}

/// An access key.
#[derive(Clone)]
pub(super) struct Key {
    pub(super) id: String,
    pub(super) secret: String,
    pub(super) token: Option<String>,
}

/// All of them.
pub(super) struct Keys {
    /// At least one; those with a token are temporary.
    valid: Vec<Key>,
    expired: Vec<Key>,
    warnings: Vec<String>,
}

impl Key {
    /// Reads `ID:SECRET` or `ID:SECRET:TOKEN`.
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, ':');
        let (id, secret) = (parts.next()?, parts.next()?);
        let key = Self {
            id: id.into(),
            secret: secret.into(),
            token: parts.next().map(Into::into),
        };
        (!id.is_empty() && !secret.is_empty()).then_some(key)
    }

    /// Reads a temporary key. The error does not repeat it, unlike one of clap would.
    fn temporary(text: &str) -> Result<Self, Failure> {
        let key = Self::parse(text).filter(|key| key.token.is_some());
        key.ok_or_else(|| Failure::usage("a temporary key is not of the form ID:SECRET:TOKEN"))
    }

    /// Whether it is the one that is known to everybody.
    pub(super) fn is_public(&self) -> bool {
        self.secret == ACCESS_KEY_SECRET
    }
}

impl KeyArguments {
    pub(super) fn read(&self) -> Result<Keys, Failure> {
        let mut warnings = Vec::new();
        let temporary = |keys: &[String]| -> Result<Vec<Key>, Failure> {
            keys.iter().map(|key| Key::temporary(key)).collect()
        };
        let mut valid = match &self.key_file {
            Some(path) => {
                warnings.extend(readable_by_others(path));
                of_file(path)?
            }
            None => vec![Key {
                id: self.access_key_id.clone(),
                secret: self.access_key_secret.clone(),
                token: None,
            }],
        };
        let given = self.key_file.is_none() && !valid[0].is_public();
        if given && std::env::var_os(SECRET).is_none() {
            warnings.push(format!(
                "every user of this machine can see the secret among the arguments; set {SECRET}, \
                 or give --key-file"
            ));
        }
        valid.extend(temporary(&self.sts)?);
        Ok(Keys {
            valid,
            expired: temporary(&self.expired_sts)?,
            warnings,
        })
    }
}

fn of_file(path: &Path) -> Result<Vec<Key>, Failure> {
    let shown = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::local(format!("{shown} cannot be read: {error}")))?;
    let mut keys = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let key = Key::parse(line).ok_or_else(|| {
            let number = number + 1;
            Failure::usage(format!(
                "line {number} of {shown} is not of the form ID:SECRET or ID:SECRET:TOKEN"
            ))
        })?;
        keys.push(key);
    }
    match keys.is_empty() {
        true => Err(Failure::usage(format!("{shown} has no access key in it"))),
        false => Ok(keys),
    }
}

/// A warning if others can read the file.
#[cfg(unix)]
fn readable_by_others(path: &Path) -> Option<String> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::metadata(path).ok()?.permissions().mode();
    let shown = path.display();
    (mode & 0o077 != 0).then(|| format!("other users can read {shown}; chmod 600 {shown}"))
}

#[cfg(not(unix))]
fn readable_by_others(_: &Path) -> Option<String> {
    None
}

impl Keys {
    /// The one that clients are told to use.
    pub(super) fn first(&self) -> &Key {
        &self.valid[0]
    }

    pub(super) fn warnings(&self) -> &[String] {
        &self.warnings
    }

    pub(super) fn add_to(&self, mut builder: EmulatorBuilder) -> EmulatorBuilder {
        for Key { id, secret, token } in &self.valid {
            builder = match token {
                Some(token) => builder.sts(id, secret, token),
                None => builder.credentials(id, secret),
            };
        }
        for Key { id, secret, token } in &self.expired {
            builder = builder.expired_sts(id, secret, token.as_deref().unwrap_or_default());
        }
        builder
    }
}
