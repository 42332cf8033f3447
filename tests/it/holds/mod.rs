//! What an object holds already decides what may be appended to it: nothing is sent that no tool
//! could read together with it.

mod options;
mod places;
mod readers;

use std::io::Write as _;

use oss_append::testing::{Fault, MemoryStore, On};
use oss_append::{
    Checkpoint, Compression, ConflictCause, Error, ErrorKind, Landed, ObjectAppender, ObjectPath,
    OssAppendWriter, ServiceError, StoredFormat,
};

use crate::support::{SEC, conflict_cause, object};

const BOTH: [Compression; 2] = [
    Compression::Gzip { level: 6 },
    Compression::Zstd { level: 3 },
];

fn member(compression: Compression, text: &str) -> Vec<u8> {
    match compression {
        Compression::Gzip { .. } => {
            let level = flate2::Compression::default();
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
            encoder.write_all(text.as_bytes()).unwrap();
            encoder.finish().unwrap()
        }
        Compression::Zstd { .. } => zstd::encode_all(text.as_bytes(), 3).unwrap(),
        other => panic!("{other:?} is new"),
    }
}

fn format(compression: Compression) -> StoredFormat {
    StoredFormat::of(&member(compression, "x"))
}

fn named(key: &str) -> ObjectPath {
    ObjectPath::new("bucket", key).unwrap()
}

/// An object that others have made, without any word about what it holds but its key.
fn with(key: &str, content: &[u8]) -> (MemoryStore, ObjectPath) {
    let (store, object) = (MemoryStore::new(), named(key));
    store.grow(&object, content);
    (store, object)
}

/// Writes `bytes` with this compression, if any.
async fn write(
    store: &MemoryStore,
    object: &ObjectPath,
    compression: Option<Compression>,
    bytes: &[u8],
) -> Result<(), Error> {
    let builder = OssAppendWriter::builder(store.clone(), object.clone());
    let builder = match compression {
        Some(compression) => builder.compression(compression),
        None => builder,
    };
    let mut writer = builder.open().await?;
    writer.write_all(bytes).await?;
    writer.shutdown().await
}

#[track_caller]
fn assert_refused(refused: Result<(), Error>, found: StoredFormat, given: StoredFormat) -> Error {
    let error = refused.unwrap_err();
    let cause = ConflictCause::Format { found, given };
    assert_eq!(conflict_cause(&error), cause, "{error}");
    error
}

#[tokio::test(start_paused = true)]
async fn a_writer_that_compresses_goes_on_with_its_own_form_alone() {
    for own in BOTH {
        for (content, found) in [
            (member(Compression::gzip(), "theirs, "), StoredFormat::Gzip),
            (member(Compression::zstd(), "theirs, "), StoredFormat::Zstd),
            (b"a line\n".to_vec(), StoredFormat::Other),
        ] {
            let (store, object) = with("log", &content);
            let written = write(&store, &object, Some(own), b"ours").await;
            if found == format(own) {
                written.unwrap();
                continue;
            }
            let error = assert_refused(written, found, format(own));
            assert!(
                error.to_string().starts_with("open of oss://bucket/log"),
                "{error}"
            );
            assert_eq!(error.landed(), None);
            assert_eq!(store.count(On::Append), 0);
            assert_eq!(store.content(&object).unwrap(), content);
        }
        // An object without bytes is of any form.
        let (store, object) = with("log", b"");
        write(&store, &object, Some(own), b"ours").await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_writer_has_compressed_is_known_without_reading_it() {
    for own in BOTH {
        let (store, object) = (MemoryStore::new(), object());
        for text in ["first, ", "second, ", "third"] {
            write(&store, &object, Some(own), text.as_bytes())
                .await
                .unwrap();
        }
        let other = BOTH[usize::from(own == BOTH[0])];
        let before = store.content(&object).unwrap();
        let refused = write(&store, &object, Some(other), b"other").await;
        assert_refused(refused, format(own), format(other));
        // It is no text, and yet no member either.
        let refused = write(&store, &object, None, b"\0\xff\x01 uncompressed").await;
        assert_refused(refused, format(own), StoredFormat::Other);
        assert_eq!(store.content(&object).unwrap(), before);
        // Who compresses on their own may go on.
        let members = member(own, ", fourth");
        write(&store, &object, None, &members).await.unwrap();
        assert_eq!(store.count(On::Read), 0);
        assert_eq!(
            store.content(&object).unwrap(),
            [&before, &members[..]].concat()
        );
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_is_given_back_and_was_not_sent() {
    let (store, object) = (MemoryStore::new(), object());
    write(&store, &object, Some(Compression::gzip()), b"first")
        .await
        .unwrap();
    let appends = store.count(On::Append);
    for in_flight in [1, 4] {
        let builder = OssAppendWriter::builder(store.clone(), object.clone());
        let mut writer = builder.max_in_flight(in_flight).open().await.unwrap();
        let length = writer.position();
        writer.write_all(b"second").await.unwrap();
        let refused = writer.sync().await;
        let error = assert_refused(refused, StoredFormat::Gzip, StoredFormat::Other);
        assert_eq!(
            (error.landed(), error.position()),
            (Some(Landed::No), Some(length))
        );
        let said = error.to_string();
        assert!(
            said.contains("compressed by gzip") && said.contains("another one"),
            "{said}"
        );
        let stats = writer.stats();
        assert_eq!((stats.durable, stats.failed), (0, 6));
        let unsent = writer.into_unsent().unwrap();
        assert_eq!(
            (unsent.in_doubt, unsent.chunks.concat()),
            (0, b"second".to_vec())
        );
    }
    assert_eq!(store.count(On::Append), appends);
}

#[tokio::test(start_paused = true)]
async fn members_and_pieces_of_them_go_on_with_an_object_of_others_and_text_does_not() {
    for own in BOTH {
        let text = "a line that is compressed\n".repeat(20);
        let other = member(BOTH[usize::from(own == BOTH[0])], "other");
        let member = member(own, &text);
        let (store, object) = with("x.gz", &member[..10]);
        // The rest of what was cut, and another.
        write(&store, &object, None, &member[10..]).await.unwrap();
        write(&store, &object, None, &member).await.unwrap();
        let refused = write(&store, &object, None, b"second\n").await;
        assert_refused(refused, format(own), StoredFormat::Other);
        let refused = write(&store, &object, None, &other).await;
        assert_refused(refused, format(own), StoredFormat::of(&other));
        assert_eq!(store.content(&object).unwrap(), member.repeat(2));
    }
}

#[tokio::test(start_paused = true)]
async fn an_object_that_shows_no_sign_of_compression_is_not_read() {
    let gzip = member(Compression::gzip(), "theirs");
    for content in [&b"a line\n"[..], &gzip] {
        let (store, object) = with("log", content);
        write(&store, &object, None, b"second\n").await.unwrap();
        assert_eq!(store.count(On::Read), 0);
        assert_eq!(store.count(On::Head), 1);
    }
    // One that only has the name holds text.
    for key in ["a.gz", "a.TGZ", "a.zst"] {
        let (store, object) = with(key, b"a line\n");
        write(&store, &object, None, b"second\n").await.unwrap();
        assert_eq!(store.count(On::Read), 1, "{key}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_is_not_held_against_the_writer() {
    let (store, object) = with("a.gz", b"a line\n");
    let archived = Error::service(ServiceError::new(403, "InvalidObjectState"));
    store.fail_next(On::Read, Fault::refused(archived));
    write(&store, &object, Some(Compression::gzip()), b"x")
        .await
        .unwrap();
    // A failure that passes is repeated.
    let (store, object) = with("a.gz", b"a line\n");
    store.fail_next(On::Read, Fault::lost_answer());
    let refused = write(&store, &object, Some(Compression::gzip()), b"x").await;
    assert_refused(refused, StoredFormat::Other, StoredFormat::Gzip);
}

#[tokio::test(start_paused = true)]
async fn a_shared_object_that_others_begin_meanwhile_is_looked_at_before_the_first_append() {
    for (own, theirs, agrees) in [
        (None, member(Compression::gzip(), "theirs"), false),
        (None, b"theirs\n".to_vec(), true),
        (Some(Compression::gzip()), b"theirs\n".to_vec(), false),
        (
            Some(Compression::gzip()),
            member(Compression::gzip(), "theirs"),
            true,
        ),
        (
            Some(Compression::zstd()),
            member(Compression::gzip(), "theirs"),
            false,
        ),
    ] {
        let (store, object) = (MemoryStore::new(), object());
        let builder = OssAppendWriter::builder(store.clone(), object.clone()).shared(true);
        let builder = match own {
            Some(compression) => builder.compression(compression),
            None => builder,
        };
        let mut writer = builder.open().await.unwrap();
        store.grow(&object, &theirs);
        writer.write_all(b"ours\n").await.unwrap();
        let ended = writer.shutdown().await;
        assert_eq!(ended.is_ok(), agrees, "{ended:?}");
        let content = store.content(&object).unwrap();
        assert!(content.starts_with(&theirs));
        assert_eq!(content.len() > theirs.len(), agrees);
    }
    // Who begins it knows what it holds.
    let (store, object) = (MemoryStore::new(), object());
    let builder = OssAppendWriter::builder(store.clone(), object.clone()).shared(true);
    let mut writer = builder
        .compression(Compression::gzip())
        .open()
        .await
        .unwrap();
    for _ in 0..3 {
        writer.write_all(b"ours\n").await.unwrap();
        writer.sync().await.unwrap();
    }
    assert_eq!(store.count(On::Read), 0);
}

#[tokio::test(start_paused = true)]
async fn a_replay_goes_on_with_what_it_began_and_with_nothing_else() {
    let (store, object) = (MemoryStore::new(), object());
    write(&store, &object, Some(Compression::gzip()), b"first")
        .await
        .unwrap();
    let length = store.content(&object).unwrap().len() as u64;
    let replay = async |from: u64, bytes: &[u8]| {
        let from = Checkpoint::new(object.clone(), from);
        let builder = OssAppendWriter::builder(store.clone(), object.clone()).replay(from);
        let mut writer = builder.open().await?;
        writer.write_all(bytes).await?;
        writer.shutdown().await
    };
    let appends = store.count(On::Append);
    // Compression was switched off, and the last place is known.
    let refused = replay(length, b"second").await;
    assert_refused(refused, StoredFormat::Gzip, StoredFormat::Other);
    let differs = replay(0, "the same again".repeat(9).as_bytes())
        .await
        .unwrap_err();
    assert!(
        matches!(differs.kind(), ErrorKind::ReplayDiffers { .. }),
        "{differs}"
    );
    assert_eq!(store.count(On::Append), appends);

    // A file that was compressed before, of which some is there.
    let whole = member(Compression::gzip(), &"a line\n".repeat(50));
    let (store, object) = with("x.gz", &whole[..20]);
    let from = Checkpoint::new(object.clone(), 20);
    for (from, rest) in [
        (Checkpoint::start(object.clone()), &whole[..30]),
        (from, &whole[20..]),
    ] {
        let builder = OssAppendWriter::builder(store.clone(), object.clone()).replay(from);
        let mut writer = builder.open().await.unwrap();
        writer.write_all(rest).await.unwrap();
        writer.shutdown().await.unwrap();
    }
    assert_eq!(store.content(&object).unwrap(), whole);
}

#[tokio::test(start_paused = true)]
async fn an_appender_without_a_buffer_is_told_too() {
    let (store, object) = (MemoryStore::new(), object());
    write(&store, &object, Some(Compression::zstd()), b"first")
        .await
        .unwrap();
    let open = || ObjectAppender::builder(store.clone(), object.clone()).open();
    let mut appender = open().await.unwrap();
    let refused = appender.append("second").await.map(drop);
    assert_refused(refused, StoredFormat::Zstd, StoredFormat::Other);
    assert_eq!(
        appender.into_unsent().unwrap().1.chunks().concat(),
        b"second"
    );
    let mut appender = open().await.unwrap();
    appender
        .append(member(Compression::zstd(), "second"))
        .await
        .unwrap();
    // What follows may be in pieces.
    appender.append("a piece").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_dropped_append_is_looked_at_again() {
    let (store, object) = (MemoryStore::new(), object());
    let builder = ObjectAppender::builder(store.clone(), object.clone()).shared(true);
    let mut appender = builder.open().await.unwrap();
    let theirs = member(Compression::gzip(), "theirs");
    store.grow(&object, &theirs);
    store.fail_next(On::Read, Fault::never());
    let append = tokio::time::timeout(10 * SEC, appender.append("ours"));
    assert!(append.await.is_err(), "it waits");
    let refused = appender.settle().await.map(drop);
    assert_refused(refused, StoredFormat::Gzip, StoredFormat::Other);
    assert_eq!(store.content(&object).unwrap(), theirs);
}
