//! What the parser of the command line has to say: help, the version, or what is wrong with it.

use std::io;
use std::process::ExitCode;

use anstream::stream::RawStream;
use anstream::{AutoStream, ColorChoice};
use clap::error::Error;

use crate::failure::Failure;
use crate::{outcome, output};

/// Shows it where it belongs, and gives the exit code.
pub(crate) async fn show(said: &Error) -> Result<ExitCode, Failure> {
    if said.use_stderr() {
        output::say(styled(said, &io::stderr()));
        if outcome::is_json_asked_for() {
            let text = said.to_string();
            let lines = text.lines().take_while(|line| !line.trim().is_empty());
            let line = lines.map(str::trim).collect::<Vec<_>>().join(" ");
            let failure = Failure::usage(line.strip_prefix("error: ").unwrap_or(&line));
            outcome::tell(&failure, None).await;
        }
    } else {
        output::print(styled(said, &io::stdout()).trim_end()).await?;
    }
    Ok(u8::try_from(said.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from))
}

/// Its text, in colours if they are wished for where it goes.
fn styled(said: &Error, stream: &impl RawStream) -> String {
    let text = said.render();
    match AutoStream::choice(stream) {
        ColorChoice::Never => text.to_string(),
        _ => text.ansi().to_string(),
    }
}
