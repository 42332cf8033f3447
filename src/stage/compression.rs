//! How bytes are compressed: each append is one gzip member or one zstd frame.

use crate::drive::thread::in_thread;
use crate::error::{Error, Result};
use crate::values::batch::Batch;
use crate::values::format::StoredFormat;

/// How what is written is compressed, see
/// [`OssAppendWriterBuilder::compression`](crate::OssAppendWriterBuilder::compression).
///
/// ```
/// use oss_append::Compression;
///
/// assert_eq!("gzip".parse::<Compression>()?, Compression::gzip());
/// assert_eq!("zstd:19".parse::<Compression>()?, Compression::Zstd { level: 19 });
/// # Ok::<(), oss_append::Error>(())
/// ```
///
/// # Who reads it
/// Each append is one complete gzip member or zstd frame, with its checksum and, in zstd, its
/// length. The formats say that a file of several is read as one, and the tools of the shell do so:
/// `zcat`, `gzip -d`, `zstdcat`, `zgrep`, `rg -z`, `lnav`, 7-Zip. `oss-append cat --decompress` reads
/// all of them too. Many libraries stop after the first instead, without an error. What was found by
/// trying (November 2026):
///
/// | reader | gzip | zstd | what to do |
/// |---|---|---|---|
/// | pandas, polars, DuckDB, PyArrow, Dask, Spark, chDB, DataFusion, fsspec | all | all | name the key `.gz` or `.zst`: most go by that |
/// | Daft | all | **first append** | take gzip |
/// | Python: `gzip`; `pyzstd`, `backports.zstd` | all | all | |
/// | Python: `zlib.decompress`; of `zstandard` `decompress`, `decompressobj`, one `read(n)` | **first** | **first** | `gzip.open`; `stream_reader(…).read()`, `zstandard.open` |
/// | Rust: `flate2::…::GzDecoder`, `async-compression`, `libflate`, `ruzstd` | **first** | **first** | `MultiGzDecoder`, `multiple_members(true)`, `MultiDecoder`; the crate `zstd` |
/// | Go: `compress/gzip`, klauspost's `zstd` | all | all | |
/// | Java: `GZIPInputStream` over a file; zstd-jni, aircompressor | all | all | |
/// | Java: `GZIPInputStream` over a connection | **up to a pause** | | read all of it into memory or a file first |
/// | Java: commons-compress | **first** | all | `decompressConcatenated` |
/// | Perl `IO::Uncompress::Gunzip`, Ruby `GzipReader`, PHP `gzdecode` | **first** | | `MultiStream => 1`; `GzipReader.zcat`; `gzopen` |
/// | Node: `zlib`, `DecompressionStream` | all | | `fzstd` or `zstddec` for zstd: all |
/// | JavaScript: `fflate.gunzipSync`, pako 2, browserify-zlib, loaders.gl, numcodecs | **cut, first, or an error** | | `fflate.Gunzip`, pako 3 |
/// | browsers: `DecompressionStream` | **error** | | `fzstd` |
///
/// zstd is the better choice for logs and tables, where its readers above are those that read them.
///
/// # With a content encoding
/// The header `Content-Encoding` makes HTTP clients decompress what they download. New objects get
/// it only where [`ObjectOptions::content_encoding`](crate::ObjectOptions::content_encoding) asks for
/// it. Of gzip in several members that is only right for some clients:
///
/// | client | gzip | zstd |
/// |---|---|---|
/// | Chromium, Firefox | **first append** | all |
/// | curl, libcurl | **error** after the first | all |
/// | reqwest, tower-http | **first or error** | all |
/// | Python: requests, urllib3; aiohttp from 3.14 | all | all with `backports.zstd` |
/// | Python: httpx | **first** | all, or **error**, by how the bytes arrive |
/// | wget, aria2, Ruby, Perl's LWP, attohttpc | **first** | mostly not decoded |
/// | Node, Go, nginx `gunzip` | all | not decoded |
/// | the SDKs of OSS for Python and Node, OpenDAL | **ranges and downloads fail** | the same where they know zstd |
///
/// Without the header all of these give the bytes as they are stored, and whole. So set it only for
/// browsers, and then with zstd. Browsers take no window beyond 8 MiB
/// ([RFC 9659](https://www.rfc-editor.org/rfc/rfc9659)): levels from 20 on are refused then with a
/// [`max_append_size`](crate::OssAppendWriterBuilder::max_append_size) beyond that.
///
/// An object keeps the headers that it was created with, whoever goes on with it. To be rid of a
/// content encoding, go on in a new object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Compression {
    /// Members of gzip, for `zcat` and everything else.
    #[cfg(feature = "compression")]
    Gzip {
        /// From 0 (none) over 1 (fast) to 9 (small).
        level: u32,
    },
    /// Frames of Zstandard, with checksums, for `zstdcat`: smaller and faster than gzip.
    #[cfg(feature = "compression")]
    Zstd {
        /// From 1 (fast) to 22 (small; from 20 on it takes much memory). Those below 0 are faster
        /// still; 0 is zstd's default.
        level: i32,
    },
}

#[cfg(feature = "compression")]
impl Compression {
    /// gzip at its usual level, 6.
    pub fn gzip() -> Self {
        Self::Gzip { level: 6 }
    }

    /// Zstandard at its usual level, 3.
    pub fn zstd() -> Self {
        Self::Zstd { level: 3 }
    }
}

impl Compression {
    /// The form of what is stored.
    pub(crate) fn format(self) -> StoredFormat {
        match self {
            #[cfg(feature = "compression")]
            Self::Gzip { .. } => StoredFormat::Gzip,
            #[cfg(feature = "compression")]
            Self::Zstd { .. } => StoredFormat::Zstd,
        }
    }

    pub(crate) fn check(self) -> Result<()> {
        match self {
            #[cfg(feature = "compression")]
            Self::Gzip { level } if level > 9 => Err(Error::invalid_input(format!(
                "gzip has no level {level}: 0 to 9 are allowed"
            ))),
            #[cfg(feature = "compression")]
            Self::Gzip { .. } => Ok(()),
            #[cfg(feature = "compression")]
            Self::Zstd { level } => {
                let levels = zstd::compression_level_range();
                match levels.contains(&level) {
                    true => Ok(()),
                    false => Err(Error::invalid_input(format!(
                        "zstd has no level {level}: {} to {} are allowed",
                        levels.start(),
                        levels.end()
                    ))),
                }
            }
        }
    }

    /// Refuses what HTTP clients would not decode: they take frames with a window of up to 8 MiB
    /// ([RFC 9659](https://www.rfc-editor.org/rfc/rfc9659)). A frame needs none that is longer than
    /// what is in it.
    #[cfg_attr(not(feature = "compression"), allow(unused_variables))]
    pub(crate) fn check_encoded(self, max_append_size: u64) -> Result<()> {
        match self {
            #[cfg(feature = "compression")]
            Self::Zstd { level } if level >= 20 && max_append_size > WEB_WINDOW => {
                Err(Error::invalid_input(format!(
                    "with a content encoding, zstd at level {level} needs a max_append_size of at \
                     most {WEB_WINDOW}, and not {max_append_size}: HTTP clients decode no larger \
                     window; or take level 19"
                )))
            }
            #[cfg(feature = "compression")]
            Self::Gzip { .. } | Self::Zstd { .. } => Ok(()),
        }
    }

    /// `batch` as one member or frame.
    pub(crate) async fn compress(self, batch: Batch) -> Result<Batch> {
        let compressed = in_thread(move || self.member(&batch).map(Batch::from)).await;
        compressed.map_err(|error| {
            Error::invalid_input(format!(
                "a batch could not be compressed by {}",
                self.format()
            ))
            .with_source(error)
        })
    }

    #[cfg_attr(not(feature = "compression"), allow(unused_variables))]
    fn member(self, batch: &Batch) -> std::io::Result<Vec<u8>> {
        match self {
            #[cfg(feature = "compression")]
            Self::Gzip { level } => {
                let level = flate2::Compression::new(level);
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
                write_chunks(&mut encoder, batch)?;
                encoder.finish()
            }
            #[cfg(feature = "compression")]
            Self::Zstd { level } => {
                let mut encoder = zstd::Encoder::new(Vec::new(), level)?;
                encoder.include_checksum(true)?;
                encoder.set_pledged_src_size(Some(batch.len()))?;
                write_chunks(&mut encoder, batch)?;
                encoder.finish()
            }
        }
    }
}

/// The largest window that HTTP clients decode.
#[cfg(feature = "compression")]
const WEB_WINDOW: u64 = 8 << 20;

/// Gives `batch` to the encoder in pieces of the same length, however it came: what comes out depends
/// on the pieces, and a later process has to know it again.
#[cfg(feature = "compression")]
fn write_chunks(encoder: &mut impl std::io::Write, batch: &Batch) -> std::io::Result<()> {
    const PIECE: usize = 64 * 1024;
    let mut piece = Vec::with_capacity(PIECE);
    for mut chunk in batch.chunks().iter().map(|chunk| &chunk[..]) {
        while !chunk.is_empty() {
            if piece.is_empty() && chunk.len() >= PIECE {
                encoder.write_all(&chunk[..PIECE])?;
                chunk = &chunk[PIECE..];
                continue;
            }
            let len = chunk.len().min(PIECE - piece.len());
            piece.extend_from_slice(&chunk[..len]);
            chunk = &chunk[len..];
            if piece.len() == PIECE {
                encoder.write_all(&piece)?;
                piece.clear();
            }
        }
    }
    encoder.write_all(&piece)
}

/// How many bytes still fit in `bytes` when they cannot be compressed.
pub(crate) fn incompressible(bytes: u64) -> u64 {
    bytes.saturating_sub(bytes / 64 + 64).max(1)
}

/// As in `zstd:19`, with the level.
#[cfg(feature = "compression")]
impl std::fmt::Display for Compression {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Gzip { level } => write!(f, "gzip:{level}"),
            Self::Zstd { level } => write!(f, "zstd:{level}"),
        }
    }
}

/// `gzip` or `zstd`, and its level behind a colon if it is not the usual one.
#[cfg(feature = "compression")]
impl std::str::FromStr for Compression {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (name, level) = match text.split_once(':') {
            Some((name, level)) => {
                let number = level.parse::<i32>().map_err(|error| {
                    Error::invalid_input(format!("{level:?} is not a compression level"))
                        .with_source(error)
                })?;
                (name, Some(number))
            }
            None => (text, None),
        };
        let compression = match (name, level) {
            ("gzip", None) => Self::gzip(),
            ("gzip", Some(level)) => Self::Gzip {
                // None is below 0 either.
                level: u32::try_from(level).unwrap_or(u32::MAX),
            },
            ("zstd", None) => Self::zstd(),
            ("zstd", Some(level)) => Self::Zstd { level },
            _ => {
                return Err(Error::invalid_input(format!(
                    "{name:?} is not a compression: use gzip or zstd"
                )));
            }
        };
        compression.check()?;
        Ok(compression)
    }
}

#[cfg(all(test, feature = "compression"))]
mod tests {
    use super::*;

    #[test]
    fn names_and_levels_are_read_and_shown() {
        for (text, compression) in [
            ("gzip", Compression::Gzip { level: 6 }),
            ("gzip:0", Compression::Gzip { level: 0 }),
            ("gzip:9", Compression::Gzip { level: 9 }),
            ("zstd", Compression::Zstd { level: 3 }),
            ("zstd:22", Compression::Zstd { level: 22 }),
            ("zstd:-5", Compression::Zstd { level: -5 }),
        ] {
            assert_eq!(text.parse::<Compression>().unwrap(), compression, "{text}");
            let shown = compression.to_string();
            assert_eq!(shown.parse::<Compression>().unwrap(), compression);
        }
        for text in [
            "", "lz4", "gzip:", "gzip:10", "gzip:-1", "zstd:23", "zstd:x",
        ] {
            assert!(text.parse::<Compression>().is_err(), "{text}");
        }
    }

    #[test]
    fn what_comes_out_does_not_depend_on_the_pieces() {
        // The next process knows by that what an earlier one has sent.
        let mut rng = fastrand::Rng::with_seed(7);
        let words = [&b"alpha "[..], b"beta ", b"gamma\n", b"0123456789"];
        let text: Vec<u8> = (0..200_000)
            .flat_map(|_| words[rng.usize(..4)].to_vec())
            .collect();
        for compression in ["gzip", "gzip:1", "gzip:9", "zstd", "zstd:-3", "zstd:12"] {
            let compression: Compression = compression.parse().unwrap();
            let whole = compression.member(&Batch::from(text.clone())).unwrap();
            for _ in 0..5 {
                let (mut pieces, mut rest) = (Vec::new(), bytes::Bytes::from(text.clone()));
                while !rest.is_empty() {
                    let len = rng.usize(1..=rest.len().min(300_000));
                    pieces.push(rest.split_to(len));
                }
                let pieces = Batch::from(pieces);
                assert!(
                    compression.member(&pieces).unwrap() == whole,
                    "{compression}"
                );
            }
        }
    }

    #[test]
    fn what_cannot_be_compressed_fits_nevertheless() {
        let mut rng = fastrand::Rng::with_seed(1);
        for bytes in [100, 1_000, 70_000, 1 << 20, 5 << 20] {
            let raw: Vec<u8> = (0..incompressible(bytes)).map(|_| rng.u8(..)).collect();
            let raw = Batch::from(raw);
            for compression in [
                "gzip:0", "gzip:1", "gzip", "gzip:9", "zstd:-9", "zstd", "zstd:9",
            ] {
                let compression: Compression = compression.parse().unwrap();
                let len = compression.member(&raw).unwrap().len() as u64;
                assert!(len <= bytes, "{compression}: {len} of {bytes}");
            }
        }
    }
}
