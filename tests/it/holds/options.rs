//! What a compressed object is called.

use oss_append::client::ObjectMeta;
use oss_append::emulator::{Emulator, StoredObject};
use oss_append::testing::MemoryStore;
use oss_append::{
    Compression, ErrorKind, KeyedWriter, ObjectAppender, ObjectOptions, OssAppendWriter,
    OssAppendWriterBuilder, RollingWriter, StoredFormat,
};
use tokio::io::AsyncWriteExt;

use super::{assert_refused, member, named};
use crate::support::{emulated, object};

/// An object of this key that is written with these options, and what a HEAD shows of it.
async fn created(
    emulator: &Emulator,
    key: &str,
    compression: Option<Compression>,
    options: ObjectOptions,
) -> (StoredObject, ObjectMeta) {
    let client = emulator.client().build().unwrap();
    let builder = OssAppendWriter::builder(client.clone(), named(key)).object_options(options);
    let builder = match compression {
        Some(compression) => builder.compression(compression),
        None => builder,
    };
    let mut writer = builder.open().await.unwrap();
    writer.write_all(b"hello").await.unwrap();
    writer.shutdown().await.unwrap();
    let meta = client.head_object(&named(key)).send().await.unwrap();
    (emulator.object("bucket", key).unwrap(), meta)
}

#[tokio::test]
async fn a_compressed_object_is_named_by_its_type_and_encoded_only_if_asked_for() {
    let emulator = emulated::start().await;
    let none = ObjectOptions::new;
    let (gzip, zstd) = (Some(Compression::gzip()), Some(Compression::zstd()));
    for (number, (key, compression, options, content_type, encoding)) in [
        ("a.log", gzip, none(), "application/gzip", None),
        ("a.log.zst", zstd, none(), "application/zstd", None),
        ("a.txt", zstd, none().content_type("x/y"), "x/y", None),
        (
            "a.txt",
            zstd,
            none().content_encoding("zstd"),
            "text/plain",
            Some("zstd"),
        ),
        (
            "a.txt",
            gzip,
            none().content_encoding("identity"),
            "application/gzip",
            Some("identity"),
        ),
        (
            "a.txt",
            gzip,
            none().content_encoding(""),
            "application/gzip",
            None,
        ),
        (
            "a.txt",
            None,
            none().content_encoding("gzip"),
            "text/plain",
            Some("gzip"),
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let key = format!("{number}/{key}");
        let (stored, meta) = created(&emulator, &key, compression, options).await;
        assert_eq!(stored.content_type, content_type, "{key}");
        assert_eq!(meta.content_type.as_deref(), Some(content_type));
        assert_eq!(meta.content_encoding.as_deref(), encoding, "{key}");
        let mark = meta
            .metadata
            .get(ObjectOptions::COMPRESSION)
            .map(String::as_str);
        let expected = match compression {
            Some(Compression::Gzip { .. }) => Some("gzip"),
            Some(_) => Some("zstd"),
            None => None,
        };
        assert_eq!(mark, expected, "{key}");
    }
}

#[tokio::test]
async fn headers_are_signs_of_compression_too() {
    let emulator = emulated::start().await;
    let client = emulator.client().build().unwrap();
    for (number, options) in [
        ObjectOptions::new().content_type("application/gzip"),
        ObjectOptions::new().content_type("application/x-gzip"),
        ObjectOptions::new().content_encoding("gzip"),
        ObjectOptions::new().content_encoding("x-gzip"),
    ]
    .into_iter()
    .enumerate()
    {
        let key = named(&format!("{number}.log"));
        let builder = ObjectAppender::builder(client.clone(), key.clone());
        let mut appender = builder.object_options(options).open().await.unwrap();
        appender
            .append(member(Compression::gzip(), "theirs"))
            .await
            .unwrap();
        let mut appender = ObjectAppender::builder(client.clone(), key)
            .open()
            .await
            .unwrap();
        let refused = appender.append("a line\n").await.map(drop);
        assert_refused(refused, StoredFormat::Gzip, StoredFormat::Other);
    }
}

/// The window of the frame that `stored` begins with.
fn window(stored: &[u8]) -> u64 {
    let descriptor = stored[4];
    if descriptor & 0x20 != 0 {
        // A single segment: the window is as long as the content, which comes next.
        return match descriptor >> 6 {
            0 => stored[5].into(),
            1 => u64::from(u16::from_le_bytes([stored[5], stored[6]])) + 256,
            2 => u32::from_le_bytes(stored[5..9].try_into().unwrap()).into(),
            _ => u64::from_le_bytes(stored[5..13].try_into().unwrap()),
        };
    }
    let (exponent, mantissa) = (stored[5] >> 3, stored[5] & 7);
    let base = 1 << (10 + u32::from(exponent));
    base + base / 8 * u64::from(mantissa)
}

#[tokio::test(start_paused = true)]
async fn a_content_encoding_is_refused_with_frames_that_browsers_do_not_decode() {
    const MIB: u64 = 1 << 20;
    type Sized = OssAppendWriterBuilder<MemoryStore>;
    let sized = |level, most: u64, encoding: &str| -> Sized {
        let options = ObjectOptions::new().content_encoding(encoding);
        OssAppendWriter::builder(MemoryStore::new(), object())
            .compression(Compression::Zstd { level })
            .max_append_size(most)
            .object_options(options)
    };
    for (level, most, encoding, allowed) in [
        (20, 8 * MIB, "zstd", true),
        (20, 8 * MIB + 1, "zstd", false),
        (22, 64 * MIB, "zstd", false),
        (22, 64 * MIB, "", true),
        (22, 64 * MIB, "identity", true),
        (19, 64 * MIB, "zstd", true),
    ] {
        let opened = sized(level, most, encoding).open().await;
        assert_eq!(opened.is_ok(), allowed, "{level} {most} {encoding}");
        if let Err(error) = opened {
            assert!(matches!(error.kind(), ErrorKind::InvalidInput { .. }));
            assert!(error.to_string().contains("8388608"), "{error}");
        }
    }
    let too_large = |writer: OssAppendWriterBuilder<_, _>| {
        let options = ObjectOptions::new().content_encoding("zstd");
        let writer = writer.compression(Compression::Zstd { level: 20 });
        writer.max_append_size(9 * MIB).object_options(options)
    };
    let rolling = RollingWriter::builder(MemoryStore::new(), "bucket", "{seq}");
    assert!(rolling.writer(too_large).open().await.is_err());
    let keyed = KeyedWriter::builder(MemoryStore::new(), "bucket");
    let options = move |_: &str, writer: OssAppendWriterBuilder<_, _>| {
        let options = ObjectOptions::new().content_encoding("zstd");
        let writer = writer.compression(Compression::Zstd { level: 20 });
        writer.max_append_size(9 * MIB).object_options(options)
    };
    let keyed = keyed.writer(options).start();
    let refused = match keyed {
        Ok(keyed) => keyed.write("a", "x".into()).await.map(drop),
        Err(_) => return,
    };
    assert!(refused.is_err());
}

#[tokio::test]
async fn the_largest_window_is_that_which_browsers_decode() {
    for (level, len) in [(19, 16 << 20), (20, 8 << 20)] {
        let store = MemoryStore::new();
        let mut writer = OssAppendWriter::builder(store.clone(), object())
            .compression(Compression::Zstd { level })
            .max_append_size(16 << 20)
            .batch_size(len)
            .open()
            .await
            .unwrap();
        writer.write_all(&vec![b'x'; len as usize]).await.unwrap();
        writer.sync().await.unwrap();
        let window = window(&store.content(&object()).unwrap());
        assert_eq!(window, 8 << 20, "level {level}");
    }
}
