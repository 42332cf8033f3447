//! Files with secrets, read whole and bounded.

use std::fs::Metadata;
use std::io;
use std::path::Path;

use tokio::io::AsyncReadExt as _;
use zeroize::Zeroizing;

use crate::error::{Error, Result};

/// Reads a file of at most `limit` bytes, to get `what`.
pub(super) async fn read(path: &Path, what: &str, limit: u64) -> Result<Zeroizing<String>> {
    let failed =
        |why: &str| Error::credentials(format!("{what}: the file {} {why}", path.display()));
    let broken =
        |error: io::Error| failed(&format!("cannot be read: {}", error.kind())).with_source(error);
    // Before it is opened, which would wait forever at a pipe that nobody writes to.
    let metadata = tokio::fs::metadata(path).await.map_err(broken)?;
    if !metadata.is_file() {
        return Err(failed("is not a regular file"));
    }
    let file = tokio::fs::File::open(path).await.map_err(broken)?;
    // Of its final size at once: growing would leave copies behind.
    let size = metadata.len().min(limit) as usize + 1;
    let mut bytes = Zeroizing::new(Vec::with_capacity(size));
    let mut bounded = file.take(limit + 1);
    bounded.read_to_end(&mut bytes).await.map_err(broken)?;
    if bytes.len() as u64 > limit {
        return Err(failed(&format!("is longer than {limit} bytes")));
    }
    match String::from_utf8(std::mem::take(&mut *bytes)) {
        Ok(text) => Ok(Zeroizing::new(text)),
        Err(error) => {
            drop(Zeroizing::new(error.into_bytes()));
            Err(failed("is not valid UTF-8"))
        }
    }
}

/// Warns about a file that should be for its owner alone but that others may read.
pub(super) async fn warn_of_readers(path: &Path) {
    let metadata = tokio::fs::metadata(path).await;
    if metadata.is_ok_and(|metadata| is_open_to_others(&metadata)) {
        tracing::warn!(
            path = %path.display(),
            "others may read this file with secrets: chmod 600 would keep them out"
        );
    }
}

#[cfg(unix)]
fn is_open_to_others(metadata: &Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    metadata.permissions().mode() & 0o077 != 0
}

#[cfg(not(unix))]
fn is_open_to_others(_: &Metadata) -> bool {
    false
}
