//! Keys with spools: how they are opened, and how what an earlier process has left is delivered.

use std::sync::{Arc, Weak};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::failed::FailedKey;
use super::pool::{Opening, Pool, Prepared};
use super::table::Slot;
use crate::callback::caught;
use crate::drive::events::TARGET;
use crate::drive::thread::in_thread;
use crate::error::{Error, Result};
use crate::writer::Unsent;
use crate::writer::spooling::Spool;

impl Pool {
    /// Opens a key by a thread that may block. That goes on if whoever waits for it is gone.
    pub(super) async fn open_beside(
        self: &Arc<Self>,
        opening: Opening,
        place: OwnedSemaphorePermit,
        left: Option<OwnedSemaphorePermit>,
    ) -> Result<()> {
        let pool = Arc::clone(self);
        in_thread(move || pool.open_now(opening, place, left)).await
    }

    fn open_now(
        self: &Arc<Self>,
        opening: Opening,
        place: OwnedSemaphorePermit,
        left: Option<OwnedSemaphorePermit>,
    ) -> Result<()> {
        let (prepared, worker) = self.make(Arc::clone(&opening.key))?;
        let Prepared { key, id, writer } = prepared;
        let found = writer.accepted();
        let mut table = self.lock();
        let slot = Arc::new(Slot::new(writer));
        table.insert(Arc::clone(&key), id, slot, place);
        table.found(&key, found, left);
        if table.closed {
            // For what is left: nothing more comes.
            table.close(&key);
        }
        if let Some(spools) = &self.spools
            && spools.many().set_writers(table.open.len())
        {
            table.have_less_memory();
        }
        let opened = opening.end(&mut table);
        self.make_way(&mut table);
        drop(table);
        opened.raise();
        // Not before: what the worker tells is about a key that is known.
        worker.run(&self.runtime);
        self.used.notify_one();
        Ok(())
    }

    /// Opens `key` to deliver what is in its spool, unless it is open or has failed.
    pub(super) async fn resume(
        self: &Arc<Self>,
        key: &str,
        left: Option<OwnedSemaphorePermit>,
    ) -> Result<()> {
        loop {
            let opening = {
                let mut table = self.lock();
                if table.open.contains_key(key) || table.failed.contains_key(key) {
                    return Ok(());
                }
                match table.opening.get(key) {
                    Some(opening) => Err(Arc::clone(opening)),
                    None => Ok(Opening::begin(self, &mut table, key)),
                }
            };
            match opening {
                Ok(opening) => return self.resume_by(opening, left).await,
                Err(other) => other.raised().await,
            }
        }
    }

    async fn resume_by(
        self: &Arc<Self>,
        opening: Opening,
        left: Option<OwnedSemaphorePermit>,
    ) -> Result<()> {
        self.make_way(&mut self.lock());
        match self.wait_for_place().await {
            Some(place) => self.open_beside(opening, place, left).await,
            None => Ok(()),
        }
    }

    /// The spool of `key` could not be opened: what is left in it stays there.
    fn could_not_resume(&self, key: &str, error: Error) {
        let error = error.with_operation("open");
        let key: Arc<str> = key.into();
        self.lock().failed.insert(Arc::clone(&key), error.clone());
        if let Some(on_failed) = &self.on_failed {
            let failed = FailedKey {
                key: key.to_string(),
                error,
                unsent: Unsent::default(),
            };
            caught(|| on_failed.call(failed));
        }
    }

    /// Lets a key that has failed go on, with what is in its spool.
    pub(super) fn forgive(self: &Arc<Self>, key: &str) -> Option<Error> {
        let mut table = self.lock();
        let error = table.failed.remove(key)?;
        let is_known = table.open.contains_key(key) || table.opening.contains_key(key);
        if self.spools.is_some() && !is_known {
            // A shutdown that comes now waits for it.
            let opening = Opening::begin(self, &mut table, key);
            let (pool, key) = (Arc::clone(self), key.to_owned());
            self.spawn(async move {
                if let Err(error) = pool.resume_by(opening, None).await {
                    pool.could_not_resume(&key, error);
                }
            });
        }
        Some(error)
    }

    /// Begins to deliver what earlier processes have left in `spools`.
    pub(super) fn deliver_left(self: &Arc<Self>, spools: Vec<Spool>) {
        // Half of the places are for keys that are written to.
        let most = (self.limits.max_open / 2).max(1);
        let turns = Arc::new(Semaphore::new(most));
        self.spawn(deliver(Arc::downgrade(self), spools, turns));
    }
}

async fn deliver(pool: Weak<Pool>, spools: Vec<Spool>, turns: Arc<Semaphore>) {
    for spool in spools {
        // Never closed.
        let turn = Arc::clone(&turns).acquire_owned().await.ok();
        let Some(pool) = pool.upgrade() else { return };
        let looked = spool.clone();
        match in_thread(move || looked.key_now()).await {
            Ok(Some(key)) => {
                if let Err(error) = pool.resume(&key, turn).await {
                    pool.could_not_resume(&key, error);
                }
            }
            // It was delivered meanwhile.
            Ok(None) => {}
            Err(error) => tracing::warn!(
                target: TARGET,
                spool = %spool.directory().display(),
                "what is left in the spool of a key stays there: {error}"
            ),
        }
    }
    if let Some(pool) = pool.upgrade() {
        pool.left.raise();
    }
}
