//! Who the segments in a directory are for, without a lock on it.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;

use super::error::{ErrorKind, SpoolError};
use super::format::{self, HEADER_BLOCK, HeaderFound, SegmentHeader};

/// Reads the owner out of the first segment that has one. `None` if there are no segments, or they are
/// nobody's. Whoever has the directory may work with it meanwhile.
pub(crate) fn owner(directory: &Path) -> Result<Option<Vec<u8>>, SpoolError> {
    let failed = |error, path: &Path| SpoolError::io(error, "read", path.display().to_string());
    let mut names = Vec::new();
    for entry in fs::read_dir(directory).map_err(|error| failed(error, directory))? {
        let name = entry.map_err(|error| failed(error, directory))?.file_name();
        let base = name.to_str().and_then(format::parse_segment_name);
        names.extend(base.map(|base| (base, name)));
    }
    names.sort();
    for (_, name) in names {
        let path = directory.join(name);
        let mut block = Vec::new();
        let read =
            File::open(&path).and_then(|file| file.take(HEADER_BLOCK).read_to_end(&mut block));
        match read {
            Ok(_) => {}
            // It was released.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(failed(error, &path)),
        }
        match SegmentHeader::decode(&block) {
            HeaderFound::Good { header, .. } => return Ok(Some(header.owner)),
            HeaderFound::Version(found @ Some(_)) => {
                let path = path.display().to_string();
                return Err(SpoolError::new(ErrorKind::Version { found }, "open", path));
            }
            HeaderFound::Version(None) | HeaderFound::Damaged => {}
        }
    }
    Ok(None)
}
