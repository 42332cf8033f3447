//! What a compressed object is called, and what is told of options that come too late.

use std::sync::{Arc, Mutex};

use oss_append::client::ObjectMeta;
use oss_append::emulator::{Emulator, StoredObject};
use oss_append::testing::MemoryStore;
use oss_append::{
    Compression, ErrorKind, KeyedWriter, ObjectAcl, ObjectAppender, ObjectOptions, OssAppendWriter,
    OssAppendWriterBuilder, OssClient, RollingWriter, StorageClass, StoredFormat,
};
use tracing_subscriber::fmt::MakeWriter;

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
        // Before the link is known to be fast, an append is short.
        writer.write_all(&vec![b'x'; 1 << 20]).await.unwrap();
        writer.sync().await.unwrap();
        let first = store.content(&object()).unwrap().len();
        writer.write_all(&vec![b'x'; len as usize]).await.unwrap();
        writer.sync().await.unwrap();
        let window = window(&store.content(&object()).unwrap()[first..]);
        assert_eq!(window, 8 << 20, "level {level}");
    }
}

fn asked() -> ObjectOptions {
    ObjectOptions::new()
        .content_type("text/csv")
        .content_encoding("gzip")
        .storage_class(StorageClass::Ia)
        .acl(ObjectAcl::Private)
        .meta("origin", "here")
        .unwrap()
}

/// Collects what is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

async fn open(client: &OssClient, key: &str, options: ObjectOptions) -> (Vec<String>, String) {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_writer(log.clone())
        .with_ansi(false)
        .finish();
    let guard = tracing::subscriber::set_default(subscriber);
    let builder = OssAppendWriter::builder(client.clone(), named(key)).object_options(options);
    let mut writer = builder.open().await.unwrap();
    drop(guard);
    writer.write_all(b"a line\n").await.unwrap();
    writer.shutdown().await.unwrap();
    let ignored = writer.stats().ignored_options;
    let logged = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    (ignored.iter().map(ToString::to_string).collect(), logged)
}

#[tokio::test]
async fn options_that_come_too_late_are_told_and_those_that_the_object_has_are_not() {
    let emulator = emulated::start().await;
    let client = emulator.client().build().unwrap();
    let none = (Vec::new(), String::new());
    assert_eq!(
        open(&client, "a", asked()).await,
        none,
        "it creates the object"
    );
    assert_eq!(
        open(&client, "a", asked()).await,
        none,
        "the object has them all"
    );
    assert_eq!(
        open(&client, "a", ObjectOptions::new()).await,
        none,
        "nothing is asked for"
    );

    assert_eq!(open(&client, "b", ObjectOptions::new()).await, none);
    let (ignored, logged) = open(&client, "b", asked()).await;
    assert_eq!(
        ignored,
        [
            "Content-Type text/csv (it has application/octet-stream)",
            "Content-Encoding gzip (it has none)",
            "x-oss-storage-class IA (it has Standard)",
            "x-oss-meta-origin here (it has none)",
        ]
    );
    assert!(
        logged.contains("WARN") && logged.contains("oss_append::delivery"),
        "{logged}"
    );
    for option in ignored {
        assert!(logged.contains(&option), "{logged}");
    }

    // An appender, and a sequence that goes on with an object.
    let builder = ObjectAppender::builder(client.clone(), named("b")).object_options(asked());
    assert_eq!(
        builder.open().await.unwrap().stats().ignored_options.len(),
        4
    );
    open(&client, "log-1", ObjectOptions::new()).await;
    let sequence = RollingWriter::builder(client.clone(), "bucket", "log-{seq}")
        .writer(|writer| writer.object_options(asked()));
    let writer = sequence.open().await.unwrap();
    assert_eq!(writer.stats().writer.ignored_options.len(), 4);
}
