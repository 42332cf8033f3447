//! The wish to end: SIGINT (^C), SIGTERM, and SIGHUP when the terminal or session is closed.

use std::io;
use std::pin::pin;
use std::time::Duration;

use tokio::time::Instant;

use crate::failure::Failure;

/// How long the end may take after a signal, unless it is told. Whoever stops services gives them 30
/// seconds as a rule, and kills them then.
pub(crate) const BOUND: Duration = Duration::from_secs(25);

/// How long what is left to say may take when the end is to come at once.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Receives the signals that would otherwise end the process.
pub(crate) struct Signals {
    listeners: Listeners,
    bound: Duration,
    /// Since the first one; with the time by which all has to be done, if there is one.
    received: Option<Option<Instant>>,
}

/// What is wished for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// To end with what has been begun: the first signal.
    End,
    /// To end at once: another one.
    EndAtOnce,
    /// The bound has passed since the first one.
    TooLate,
}

impl Signals {
    /// From now on signals are received instead of ending the process. After the first one all has
    /// to be done within `bound`.
    pub(crate) fn new(bound: Duration) -> Result<Self, Failure> {
        let listeners = Listeners::new()
            .map_err(|error| Failure::local(format!("signals cannot be received: {error}")))?;
        Ok(Self {
            listeners,
            bound,
            received: None,
        })
    }

    /// Whether there was one.
    pub(crate) fn received(&self) -> bool {
        self.received.is_some()
    }

    /// Waits for the next signal, or the bound after the first. Nothing is missed if the future is
    /// dropped.
    pub(crate) async fn next(&mut self) -> Wish {
        let Some(deadline) = self.received else {
            self.listeners.next().await;
            self.received = Some(Instant::now().checked_add(self.bound));
            return Wish::End;
        };
        let too_late = async {
            match deadline {
                Some(deadline) => tokio::time::sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        let wish = tokio::select! {
            () = self.listeners.next() => Wish::EndAtOnce,
            () = too_late => Wish::TooLate,
        };
        self.received = Some(Some(Instant::now() + LAST_WORDS));
        wish
    }

    /// Does `work`, unless a signal comes before its end.
    pub(crate) async fn unless<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            done = work => Some(done),
            _ = self.next() => None,
        }
    }

    /// Does `work` that belongs to the end: unless a second signal comes, or the bound passes.
    pub(crate) async fn unless_again<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        let mut work = pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return Some(done),
                wish = self.next() => if wish != Wish::End {
                    return None;
                },
            }
        }
    }
}

#[cfg(unix)]
struct Listeners {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    hangup: Option<tokio::signal::unix::Signal>,
}

#[cfg(unix)]
impl Listeners {
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            hangup: match hangup_is_ignored() {
                true => None,
                false => Some(signal(SignalKind::hangup())?),
            },
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = hangup => {}
        }
    }
}

/// Whether whoever started the process wants it to outlive the session, as `nohup` does. Linux
/// tells; where nothing does, the signal is left as it is.
#[cfg(unix)]
fn hangup_is_ignored() -> bool {
    let told = std::fs::read_to_string("/proc/self/status");
    told.map_or(true, |status| ignores_hangup(&status))
}

/// Reads the set of ignored signals, which is a hexadecimal number: its lowest bit is SIGHUP's.
#[cfg(unix)]
fn ignores_hangup(status: &str) -> bool {
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let lowest = ignored.and_then(|set| set.trim().chars().last()?.to_digit(16));
    lowest.is_none_or(|digit| digit & 1 == 1)
}

#[cfg(not(unix))]
struct Listeners;

#[cfg(not(unix))]
impl Listeners {
    fn new() -> io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) {
        // Without a handler the process ends anyway.
        let _ = tokio::signal::ctrl_c().await;
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn an_ignored_hangup_is_told_from_other_signals() {
        for (set, ignored) in [
            ("0000000000001000", false),
            ("0000000000001001", true),
            ("0000000000000006", false),
            ("0000000000000007", true),
        ] {
            let status = format!("Name:\tx\nSigBlk:\t0000000000000001\nSigIgn:\t{set}\n");
            assert_eq!(ignores_hangup(&status), ignored, "{set}");
        }
        assert!(ignores_hangup("nothing of the kind"));
    }
}
