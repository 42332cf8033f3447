//! When an object is finished, and the next begins.
//!
//! A sealed object is finished when it has been given out to its end. Another one is finished when
//! there is a next one, and a look that began after that was seen has found nothing new: a writer
//! begins an object after the last append to the one before has been settled. What is appended to it
//! after that is not read.

use std::sync::Arc;

use tokio::sync::Notify;

use super::finder::{Candidate, Finder};
use crate::error::{ErrorKind, Result};
use crate::reader::follow::following::{Following, Piece, Start};
use crate::reader::follow::pace::Pace;
use crate::reader::source::Source;
use crate::rolling::find::Directory;
use crate::values::path::ObjectPath;
use crate::values::proven::Proven;

/// What comes of a sequence.
pub(super) enum Turn {
    Piece(Piece),
    /// The object has been given out to its end.
    End,
}

/// Follows an object of the sequence by its key.
pub(super) type Opener<S> = Box<dyn Fn(&ObjectPath, Start) -> Following<S> + Send + Sync + 'static>;

pub(super) struct Turns<S, D> {
    pub(super) bucket: String,
    pub(super) finder: Finder<D>,
    pub(super) open: Opener<S>,
    pub(super) current: Option<Current<S>>,
    /// What comes after it, once that has been seen.
    pub(super) next: Option<Candidate>,
    pub(super) pace: Pace,
    pub(super) bell: Arc<Notify>,
}

/// The object that is given out.
pub(super) struct Current<S> {
    candidate: Candidate,
    following: Following<S>,
    state: State,
}

/// What the last look at it has found.
#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    /// There was none yet.
    New,
    Grown,
    /// Nothing new. `next_seen`: it began after the next object had been seen.
    Same {
        next_seen: bool,
    },
    Sealed,
}

impl<S: Source, D: Directory> Turns<S, D> {
    /// Takes up an object.
    pub(super) fn begin(&mut self, candidate: Candidate, start: Start) -> Result<()> {
        let object = ObjectPath::new(&self.bucket, candidate.key())?;
        self.finder.went_on(candidate.clone());
        self.current = Some(Current {
            following: (self.open)(&object, start),
            candidate,
            state: State::New,
        });
        Ok(())
    }

    /// The first look, if an object has been taken up already.
    pub(super) async fn look_first(&mut self) -> Result<()> {
        match self.current {
            Some(_) => self.look().await,
            None => Ok(()),
        }
    }

    /// What comes next; it waits for it.
    pub(super) async fn next(&mut self) -> Result<Turn> {
        loop {
            let Some(current) = &mut self.current else {
                match self.finder.next().await? {
                    Some(first) => self.begin(first, Start::At(Proven::EMPTY))?,
                    None => self.pace.rest(&self.bell).await,
                }
                continue;
            };
            if let Some(piece) = current.following.piece().await? {
                self.pace.reset();
                return Ok(Turn::Piece(piece));
            }
            match current.state {
                State::New => self.look().await?,
                State::Grown => {
                    self.pace.rest(&self.bell).await;
                    self.look().await?;
                }
                state => {
                    if self.next.is_none() {
                        self.next = self.finder.next().await?;
                    }
                    let is_finished =
                        matches!(state, State::Sealed | State::Same { next_seen: true });
                    match self.next.take_if(|_| is_finished) {
                        Some(next) => {
                            self.begin(next, Start::At(Proven::EMPTY))?;
                            return Ok(Turn::End);
                        }
                        None if self.next.is_some() => self.look().await?,
                        None => {
                            self.pace.rest(&self.bell).await;
                            if state != State::Sealed {
                                self.look().await?;
                            }
                        }
                    }
                }
            }
        }
    }

    /// Looks at the object that is given out. One that is not there, or is not appendable, is passed
    /// over, unless some of it was given out.
    async fn look(&mut self) -> Result<()> {
        let next_seen = self.next.is_some();
        let Some(current) = &mut self.current else {
            return Ok(());
        };
        let looked = match current.following.look().await {
            Err(error)
                if current.state == State::New
                    && matches!(error.kind(), ErrorKind::NotAppendable { .. }) =>
            {
                None
            }
            looked => looked?,
        };
        match looked {
            None => self.current = None,
            Some(looked) => {
                current.state = match (looked.sealed, looked.grown) {
                    (true, _) => State::Sealed,
                    (false, true) => State::Grown,
                    (false, false) => State::Same { next_seen },
                }
            }
        }
        Ok(())
    }

    /// The object that is given out, and how far.
    pub(super) fn place(&self) -> Option<(&Candidate, Proven)> {
        let current = self.current.as_ref()?;
        Some((&current.candidate, current.following.proven()))
    }
}
