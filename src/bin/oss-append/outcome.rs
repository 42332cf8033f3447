//! How a command ended, as the JSON object of `--json` says it: the same fields for every command
//! and every outcome, beside those of the command itself.

use oss_append::Error;
use serde::Serialize;

use crate::failure::Failure;
use crate::output;

/// What the fields mean, for `--help`.
pub(crate) const HELP: &str = "\
JSON: with --json one object is printed on standard output, whatever the outcome. Beside the fields
of the command it has
  ok          whether the exit code is 0
  exit_code   the exit code
  kind        what failed: invalid_input, credentials, service, transport, retries_exhausted,
              conflict, not_appendable, sealed, object_full, checksum, replay_differs, spool, local,
              interrupted, spooled (interrupted, with the rest in the spool), not_yet (of verify),
              and so on; null if nothing did
  message     the line about it on standard error, or null
  status, code, ec, request_id
              what OSS answered: the HTTP status, the error code, the finer EC, and the id to name
              to its support; null if no answer of OSS is the cause
  retryable   whether the same request may succeed later; null if none failed
  object      the object, template or bucket concerned, as oss://..., of a spool that names none its
              directory; null if that was not valid
The fields of the command are there as far as it came.";

/// The fields that every command has.
#[derive(Debug, Serialize)]
pub(crate) struct Outcome {
    ok: bool,
    exit_code: u8,
    kind: Option<&'static str>,
    message: Option<String>,
    status: Option<u16>,
    code: Option<String>,
    ec: Option<String>,
    request_id: Option<String>,
    retryable: Option<bool>,
    object: Option<String>,
}

/// The whole object.
#[derive(Serialize)]
struct Told<'a, T> {
    #[serde(flatten)]
    outcome: &'a Outcome,
    #[serde(flatten)]
    of_command: T,
}

impl Outcome {
    /// Everything was done.
    pub(crate) fn done() -> Self {
        Self {
            ok: true,
            exit_code: 0,
            kind: None,
            message: None,
            status: None,
            code: None,
            ec: None,
            request_id: None,
            retryable: None,
            object: None,
        }
    }

    pub(crate) fn failed(failure: &Failure) -> Self {
        Self {
            ok: false,
            exit_code: failure.code(),
            kind: Some(failure.kind()),
            message: Some(failure.message().to_owned()),
            ..Self::done()
        }
        .caused_by(failure.error())
    }

    /// A signal came, and this was done until then.
    pub(crate) fn interrupted(done: &impl ToString) -> Self {
        Self::failed(&Failure::interrupted(done.to_string()))
    }

    /// The same, and the rest is in the spool.
    pub(crate) fn spooled(done: &impl ToString) -> Self {
        Self::failed(&Failure::spooled(done.to_string()))
    }

    fn caused_by(mut self, error: Option<&Error>) -> Self {
        let Some(error) = error else {
            return self;
        };
        self.retryable = Some(error.is_retryable());
        self.object = error.object().map(ToString::to_string);
        if let Some(answer) = error.service_error() {
            self.status = Some(answer.status);
            self.code = Some(answer.code.clone()).filter(|code| !code.is_empty());
            self.ec.clone_from(&answer.ec);
            self.request_id.clone_from(&answer.request_id);
        }
        self
    }

    /// Names the object, unless the failure has.
    #[must_use]
    pub(crate) fn of(mut self, object: impl ToString) -> Self {
        self.object.get_or_insert_with(|| object.to_string());
        self
    }

    /// Prints it as the one object, with the fields of the command.
    pub(crate) async fn print(&self, of_command: impl Serialize) -> Result<(), Failure> {
        output::print_json(&Told {
            outcome: self,
            of_command,
        })
        .await
    }
}

/// Prints the object of a command that failed for `target`, unless that was done.
pub(crate) async fn tell(failure: &Failure, target: Option<String>) {
    if failure.is_told() {
        return;
    }
    let mut outcome = Outcome::failed(failure);
    outcome.object = outcome.object.or(target);
    // Whoever cannot be told has the exit code.
    let _ = outcome.print(failure.fields()).await;
}

/// Whether an object is wanted by arguments that cannot be read whole.
pub(crate) fn is_json_asked_for() -> bool {
    let arguments = std::env::args_os().skip(1);
    arguments
        .take_while(|argument| argument != "--")
        .any(|argument| argument == "--json")
}
