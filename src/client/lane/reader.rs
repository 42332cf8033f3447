//! The task of a lane that reads.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::mpsc;

use super::Sent;
use super::answer::{Answer, Answers};
use super::connection::Connections;
use super::pipelining::{MANY_ANSWERS, Pipelining};

const MISMATCH: &[u8] = b"<Code>PositionNotEqualToLength</Code>";

pub(super) struct Reader {
    pub(super) answers: Answers,
    pub(super) waiting: mpsc::UnboundedReceiver<Sent>,
    /// How many have been sent whose answers have not been read.
    pub(super) unanswered: Arc<AtomicUsize>,
    pub(super) ended: Arc<AtomicBool>,
    pub(super) connections: Arc<Connections>,
}

impl Reader {
    /// Reads the answers to what was sent, in order, as long as somebody waits for them. Ends when
    /// nothing has been sent for the idle timeout: nobody else may ever come for the connection.
    pub(super) async fn run(mut self) {
        let idle = self.connections.idle_timeout;
        let mut seen = Seen::default();
        loop {
            let next = tokio::select! {
                biased;
                next = self.waiting.recv() => next,
                // Nobody has asked for anything: it is the end, or what ends it.
                () = self.answers.unasked() => None,
                () = tokio::time::sleep(idle) => None,
            };
            let Some(mut sent) = next else {
                break;
            };
            let read = tokio::select! {
                read = self.answers.next() => read,
                () = sent.answer.closed() => break,
            };
            let (answered, ends) = match read {
                Ok((answer, ends)) => {
                    seen.answer(&answer, &sent, &self.connections.pipelining);
                    (Ok((answer, sent.signed)), ends)
                }
                Err(error) => (Err(error), true),
            };
            let was_behind = answered.is_err() && sent.is_behind;
            self.unanswered.fetch_sub(1, Ordering::Relaxed);
            // Known before the answer is.
            self.ended.store(ends, Ordering::Release);
            let _ = sent.answer.send(answered);
            if ends {
                if was_behind || !self.waiting.is_empty() {
                    seen.ended_on_some(&self.connections.pipelining);
                }
                // All that are behind it are in doubt.
                return;
            }
        }
        self.ended.store(true, Ordering::Release);
    }
}

/// What a connection has shown of how it takes pipelined requests.
#[derive(Default)]
struct Seen {
    answers: u64,
    /// The last answer was a success.
    succeeded: bool,
    /// The last answer was a refusal.
    refused: bool,
}

impl Seen {
    fn answer(&mut self, answer: &Answer, sent: &Sent, pipelining: &Pipelining) {
        let (status, next, body) = match answer {
            Answer::Success(success) => (success.status, success.next_position, &[][..]),
            Answer::Other(other) => (other.status().as_u16(), None, &other.body()[..]),
        };
        let is_success = (200..300).contains(&status);
        if is_success && next.is_some_and(|next| next != sent.end) {
            pipelining.misordered("an answer belongs to another append");
        } else if is_success && sent.is_behind {
            pipelining.worked();
        } else if is_success {
            pipelining.worked_alone();
        } else if sent.is_behind && self.succeeded && is_mismatch(body) {
            pipelining
                .misordered("an append was carried out before the one that was sent before it");
        }
        self.answers += 1;
        self.succeeded = is_success;
        self.refused = (400..500).contains(&status);
    }

    /// The connection has ended without an answer to some that were sent behind others.
    fn ended_on_some(&self, pipelining: &Pipelining) {
        if self.answers < MANY_ANSWERS && !self.refused {
            pipelining.failed("the connection is closed on them");
        }
    }
}

fn is_mismatch(document: &[u8]) -> bool {
    document
        .windows(MISMATCH.len())
        .any(|part| part == MISMATCH)
}
