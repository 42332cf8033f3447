//! Who reads an object of several members or frames whole, and who stops after the first: what the
//! documentation of `Compression` says of the readers that can be tried here.

use std::io::{Read, Write as _};
use std::process::{Command, Stdio};

use oss_append::testing::MemoryStore;
use oss_append::{Compression, OssAppendWriter};

use super::BOTH;
use crate::support::object;

const FIRST: &str = "id,name\n1,first\n";
const REST: &str = "2,second\n3,third\n";

/// An object of three appends.
async fn three_appends(compression: Compression) -> Vec<u8> {
    let store = MemoryStore::new();
    let builder = OssAppendWriter::builder(store.clone(), object()).compression(compression);
    let mut writer = builder.open().await.unwrap();
    for text in [FIRST, "2,second\n", "3,third\n"] {
        writer.write_all(text.as_bytes()).await.unwrap();
        writer.sync().await.unwrap();
    }
    store.content(&object()).unwrap().to_vec()
}

fn text(mut reader: impl Read) -> String {
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    text
}

#[tokio::test(start_paused = true)]
async fn readers_in_rust() {
    let whole = [FIRST, REST].concat();
    let gzip = three_appends(Compression::gzip()).await;
    assert_eq!(text(flate2::read::MultiGzDecoder::new(&gzip[..])), whole);
    assert_eq!(text(flate2::bufread::MultiGzDecoder::new(&gzip[..])), whole);
    assert_eq!(text(flate2::read::GzDecoder::new(&gzip[..])), FIRST);
    let mut decoder = flate2::write::MultiGzDecoder::new(Vec::new());
    decoder.write_all(&gzip).unwrap();
    assert_eq!(decoder.finish().unwrap(), whole.as_bytes());
    let mut decoder = flate2::write::GzDecoder::new(Vec::new());
    assert!(decoder.write_all(&gzip).is_err());

    let zstd = three_appends(Compression::zstd()).await;
    assert_eq!(text(zstd::Decoder::new(&zstd[..]).unwrap()), whole);
    assert_eq!(zstd::decode_all(&zstd[..]).unwrap(), whole.as_bytes());
    assert_eq!(
        zstd::bulk::decompress(&zstd, 1000).unwrap(),
        whole.as_bytes()
    );
    assert_eq!(
        text(zstd::Decoder::new(&zstd[..]).unwrap().single_frame()),
        FIRST
    );
}

/// What a program makes of `stored`; `None` if it is not installed.
fn by_program(program: &[&str], stored: &[u8]) -> Option<String> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(stored).unwrap();
    std::io::Seek::rewind(&mut file).unwrap();
    let mut command = Command::new(program[0]);
    let output = match command
        .args(&program[1..])
        .stdin(Stdio::from(file))
        .output()
    {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            println!("SKIPPED: {} is not installed", program[0]);
            return None;
        }
        output => output.unwrap(),
    };
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program:?}: {complaint}");
    assert_eq!(complaint, "", "{program:?}");
    Some(String::from_utf8(output.stdout).unwrap())
}

#[tokio::test(start_paused = true)]
async fn readers_of_other_kinds() {
    const PYTHON_ALL: &str = "import gzip, sys
stored = sys.stdin.buffer.read()
with gzip.open(__import__('io').BytesIO(stored)) as file:
    text = file.read()
assert text == gzip.decompress(stored)
sys.stdout.buffer.write(text)";
    const PYTHON_FIRST: &str = "import sys, zlib
sys.stdout.buffer.write(zlib.decompress(sys.stdin.buffer.read(), wbits=31))";
    let whole = [FIRST, REST].concat();
    for compression in BOTH {
        let stored = three_appends(compression).await;
        let programs: &[(&[&str], &str)] = match compression {
            Compression::Gzip { .. } => &[
                (&["gzip", "-dc"], &whole),
                (&["zcat"], &whole),
                (&["python3", "-c", PYTHON_ALL], &whole),
                (&["python3", "-c", PYTHON_FIRST], FIRST),
            ],
            _ => &[(&["zstd", "-dcq"], &whole), (&["zstdcat", "-q"], &whole)],
        };
        for (program, expected) in programs {
            if let Some(read) = by_program(program, &stored) {
                assert_eq!(read, *expected, "{program:?}");
            }
        }
    }
}
