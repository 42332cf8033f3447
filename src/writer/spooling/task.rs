//! The task of a spool: has the disk written, synced, loaded and given back, by threads that may
//! block.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::disk::Spooled;
use super::options::SpoolSync;
use super::rest::Wake;
use crate::drive::thread::in_thread;
use crate::error::{Error, ErrorKind, Result};
use crate::writer::shared::Shared;

/// Works for the spool until something fails that waiting does not mend.
pub(in crate::writer) async fn run(shared: Arc<Shared>, spool: Arc<Spooled>) -> Error {
    let mut synced = Instant::now();
    loop {
        let due = match spool.sync {
            SpoolSync::Never => false,
            SpoolSync::Every(interval) => synced.elapsed() >= interval,
            SpoolSync::Always => true,
        };
        if due {
            synced = Instant::now();
        }
        let (of_shared, of_spool) = (Arc::clone(&shared), Arc::clone(&spool));
        match in_thread(move || round(&of_shared, &of_spool, due)).await {
            Ok(()) => {}
            Err(error) if is_out_of_space(&error) => shared.note_problem(error),
            Err(error) => return error.with_object(&shared.object),
        }
        let next = spool.next(&shared).unwrap_or(Duration::MAX);
        tokio::select! {
            biased;
            () = spool.work.notified() => {}
            () = tokio::time::sleep(next) => {}
        }
    }
}

/// Gives back the space of what is durable, which all is when the writer has ended well. Else puts
/// what has come in since on disk, for the next start.
pub(in crate::writer) async fn end(shared: &Arc<Shared>, spool: &Arc<Spooled>, well: bool) {
    let (shared, spool) = (Arc::clone(shared), Arc::clone(spool));
    let ended = in_thread(move || match well {
        true => spool.release(&shared, true),
        false => spool.write(&shared, Wake::Anyway),
    });
    // What is not given back is at the next start, and what is not on disk by `into_unsent`.
    drop(ended.await);
}

fn round(shared: &Shared, spool: &Spooled, sync: bool) -> Result<()> {
    // What is durable goes first: there may be no room for more.
    spool.release(shared, false)?;
    let mut written = spool.write(shared, Wake::IfNeeded);
    if written.as_ref().is_err_and(is_out_of_space) {
        // The last file goes as well, if it can: its space may be all there is.
        spool.release(shared, true)?;
        written = spool.write(shared, Wake::IfNeeded);
    }
    if sync || shared.wants_sync() {
        spool.sync(shared)?;
    }
    spool.load(shared)?;
    written
}

/// Whether it may be mended by what is delivered, or by somebody who makes room on the disk.
fn is_out_of_space(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Spool {
            out_of_space: true,
            ..
        }
    )
}
