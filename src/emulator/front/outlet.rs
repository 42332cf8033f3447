//! Sending the answers, in the order that the server's pipelining wants.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, WriteHalf};
use tokio::sync::{Semaphore, mpsc};

use super::{Due, MOST};
use crate::emulator::fault::Rest;
use crate::emulator::pipelining::Pipelining;
use crate::emulator::wire::{Ending, Link, Wire};

/// The side of a connection where answers go out.
pub(super) struct Outlet {
    write: WriteHalf<Wire>,
    link: Arc<Link>,
    dues: mpsc::Receiver<Due>,
    slots: Arc<Semaphore>,
    pipelining: Pipelining,
    /// Answers whose turn has not come, by their numbers.
    waiting: BTreeMap<u64, Due>,
    /// The number whose turn it is.
    next: u64,
    /// The end was announced. It comes when no answer is owed.
    ends: bool,
}

impl Outlet {
    pub(super) fn new(
        write: WriteHalf<Wire>,
        link: Arc<Link>,
        dues: mpsc::Receiver<Due>,
        slots: &Arc<Semaphore>,
        pipelining: Pipelining,
    ) -> Self {
        Self {
            write,
            link,
            dues,
            slots: Arc::clone(slots),
            pipelining,
            waiting: BTreeMap::new(),
            next: 0,
            ends: false,
        }
    }

    /// Sends answers until none is to follow.
    pub(super) async fn run(mut self) {
        if let Err(error) = self.send_all().await {
            tracing::debug!(%error, "connection broke");
        }
        if !self.link.is_ended() {
            // It ends anyway when it is dropped.
            let _ = self.write.shutdown().await;
        }
    }

    async fn send_all(&mut self) -> io::Result<()> {
        while let Some(due) = self.dues.recv().await {
            let unanswered = due.first.is_empty();
            if unanswered || due.link.ending() == Some(Ending::Overtaking) {
                self.send(due).await?;
                return Ok(());
            }
            self.waiting.insert(due.number, due);
            while let Some(due) = self.take() {
                if !self.send(due).await? {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// The answer whose turn it is.
    fn take(&mut self) -> Option<Due> {
        if self.pipelining == Pipelining::Swapped {
            return self.waiting.pop_first().map(|(_, due)| due);
        }
        let due = self.waiting.remove(&self.next)?;
        self.next += 1;
        Some(due)
    }

    /// Sends an answer, and says whether others may follow.
    async fn send(&mut self, mut due: Due) -> io::Result<bool> {
        // From the first byte on the client may count it as answered.
        drop(due.slot);
        let mut piece = due.first;
        while !piece.is_empty() {
            self.link.follow_budget(&due.link);
            self.write.write_all_buf(&mut piece).await?;
            due.answer.read_buf(&mut piece).await?;
        }
        self.write.flush().await?;
        self.link.follow(&due.link);
        match due.link.ending() {
            None => {}
            Some(Ending::Announced(Rest::Answer)) => self.ends = true,
            Some(Ending::Announced(Rest::Apply)) => {
                self.write.shutdown().await?;
                self.link.mute();
            }
            Some(_) => return Ok(false),
        }
        Ok(!self.ends || self.slots.available_permits() < MOST)
    }
}
