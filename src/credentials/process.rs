//! Credentials that a command of the user prints.

use std::fmt;
use std::process::Stdio;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::io::AsyncReadExt as _;
use tokio::process::Command;
use zeroize::Zeroizing;

use super::document::{KeyDocument, Needs};
use super::http::from_json;
use super::{CachedCredentials, Credentials, CredentialsProvider};
use crate::error::{Error, Result};

/// The most bytes of output that are read.
const MAX_OUTPUT: usize = 64 * 1024;

const TIMEOUT: Duration = Duration::from_secs(60);

/// Credentials that a program prints on its standard output, as JSON with either family of names:
/// `AccessKeyId`, `AccessKeySecret` and, for a temporary key, `SecurityToken` and `Expiration`, as
/// the OSS SDKs have it; or `mode` (`AK` or `StsToken`), `access_key_id`, `access_key_secret`,
/// `sts_token` and `expiration`, as the mode `External` of Alibaba Cloud's command line has it.
///
/// The expiry is in ISO 8601 or in seconds of Unix time. The program is run when there is no key,
/// when the key is about to expire, and when OSS has refused it. It gets no input and has 60 s,
/// after which it is killed, but not what it has started itself. What it writes to standard error
/// is thrown away, since it may contain a secret.
///
/// Source: <https://www.alibabacloud.com/help/en/cli/use-an-external-program-to-get-credentials>
///
/// ```
/// use oss_append::credentials::CredentialsProcess;
///
/// let provider = CredentialsProcess::new("acs-sso login --profile 'my team'").build()?;
/// # Ok::<(), oss_append::Error>(())
/// ```
#[derive(Clone)]
#[must_use = "it does nothing until it is built"]
pub struct CredentialsProcess {
    command: String,
    timeout: Duration,
}

impl CredentialsProcess {
    /// Runs this command line. It is split into words as a shell does, quotes and backslashes
    /// included, but not run by a shell: for pipes and variables, give `sh -c '...'`.
    pub fn new(command: impl Into<String>) -> Self {
        Self {
            command: command.into(),
            timeout: TIMEOUT,
        }
    }

    /// Sets how long the program may take; it is never given more than 5 minutes. Default: 60 s.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Checks the command. Nothing is run.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if it is empty or a quote in it is left
    /// open, or the timeout is zero.
    pub fn build(self) -> Result<CachedCredentials> {
        Ok(CachedCredentials::new(self.source()?))
    }

    pub(super) fn source(self) -> Result<ProcessSource> {
        let mut words = shlex::split(&self.command)
            .ok_or_else(|| Error::invalid_input("the credentials command has an open quote"))?
            .into_iter();
        let program = words
            .next()
            .ok_or_else(|| Error::invalid_input("the credentials command is empty"))?;
        if self.timeout.is_zero() {
            return Err(Error::invalid_input(
                "a timeout of zero lets no credentials command run",
            ));
        }
        Ok(ProcessSource {
            program,
            arguments: words.collect(),
            timeout: self.timeout,
        })
    }
}

/// Does not show the command, which may have a secret in it.
impl fmt::Debug for CredentialsProcess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CredentialsProcess")
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// Runs the program each time.
pub(super) struct ProcessSource {
    program: String,
    arguments: Vec<String>,
    timeout: Duration,
}

impl ProcessSource {
    async fn fetch(&self) -> Result<Credentials> {
        let outcome = tokio::time::timeout(self.timeout, self.run()).await;
        let output = outcome.unwrap_or_else(|_| {
            Err(Error::credentials_unavailable(format!(
                "the program {} was killed after {:.1} s",
                self.program,
                self.timeout.as_secs_f64()
            )))
        })?;
        let bad = |why: String| {
            Error::credentials(format!("the output of the program {} {why}", self.program))
        };
        let document: KeyDocument = from_json(&output).map_err(bad)?;
        let needs = match document.mode.as_deref() {
            Some("StsToken") => Needs::Token,
            None | Some("AK") => Needs::Nothing,
            Some(_) => return Err(bad("has a mode that is neither AK nor StsToken".into())),
        };
        document.credentials(needs).map_err(bad)
    }

    /// Its output.
    async fn run(&self) -> Result<Zeroizing<Vec<u8>>> {
        let failed =
            |why: String| Error::credentials(format!("the program {} {why}", self.program));
        let broken = |error: std::io::Error| {
            failed(format!("could not be run: {}", error.kind())).with_source(error)
        };
        let mut child = Command::new(&self.program)
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(broken)?;
        // Of its final size at once: growing would leave copies behind.
        let mut output = Zeroizing::new(Vec::with_capacity(MAX_OUTPUT + 1));
        if let Some(stdout) = child.stdout.take() {
            let mut bounded = stdout.take(MAX_OUTPUT as u64 + 1);
            bounded.read_to_end(&mut output).await.map_err(broken)?;
        }
        if output.len() > MAX_OUTPUT {
            return Err(failed(format!("printed more than {MAX_OUTPUT} bytes")));
        }
        let status = child.wait().await.map_err(broken)?;
        if !status.success() {
            return Err(failed(format!(
                "failed ({status}): run it by hand to see what it says"
            )));
        }
        Ok(output)
    }
}

impl CredentialsProvider for ProcessSource {
    fn credentials(&self) -> BoxFuture<'_, Result<Credentials>> {
        Box::pin(self.fetch())
    }
}

/// Shows the program, and not its arguments.
impl fmt::Debug for ProcessSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessSource")
            .field("program", &self.program)
            .finish_non_exhaustive()
    }
}
