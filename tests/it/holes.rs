//! Fourteen ways in which clients of AppendObject are known to lose, double or misreport bytes when
//! the outcome of an append is unknown, one test each: the same trouble, and what we make of it.

use std::time::Duration;

use bytes::Bytes;
use oss_append::emulator::{Action, Fault as WireFault, Operation};
use oss_append::{
    ConflictCause, ErrorKind, Landed, ObjectAcl, ObjectKind, ObjectOptions, ObjectPath,
    OssAppendWriter,
};
use tokio::io::AsyncWriteExt;

use crate::support::store::{Fault, Object, Op, SimStore, broken, grow, unreachable};
use crate::support::{SEC, appender, conflict_cause, emulated, writer};

fn on_append(action: Action) -> WireFault {
    WireFault::new(Operation::AppendObject, action)
}

#[tokio::test(start_paused = true)]
async fn hole_01_a_foreign_append_of_the_same_length_is_not_taken_for_ours() {
    // Our request is lost, and before it is sent again somebody appends exactly as many bytes.
    let store = SimStore::holding("hello ");
    let mut appender = appender(&store).open().await.unwrap();
    store
        .fault(Fault::lost_request())
        .fault(Fault::none().foreign_before("WORLD"));
    let error = appender.append("world").await.unwrap_err();
    assert_eq!(conflict_cause(&error), ConflictCause::Foreign);
    assert_eq!(error.landed(), Some(Landed::No));
    let (position, unsent) = appender.into_unsent().unwrap();
    assert_eq!((position, unsent.chunks().concat()), (6, b"world".to_vec()));
    assert_eq!(store.text(), "hello WORLD");
}

#[tokio::test(start_paused = true)]
async fn hole_02_the_next_append_of_the_same_length_is_not_dropped_after_an_ambiguous_one() {
    // Given up by the caller, though it was applied.
    let store = SimStore::new();
    let mut given_up = appender(&store).open().await.unwrap();
    store.fault(Fault::applied_never());
    let dropped = tokio::time::timeout(SEC, given_up.append("first ")).await;
    assert!(dropped.is_err());
    assert_eq!(given_up.append("second").await.unwrap().range, 6..12);
    assert_eq!(store.text(), "first second");

    // Given up by us, though it was applied: what follows is refused instead of swallowed.
    let store = SimStore::new();
    let mut failed = writer(&store).open().await.unwrap();
    store.fault(Fault::lost_answer());
    for _ in 0..1000 {
        store.fail_head(unreachable());
    }
    failed.write_all(b"first ").await.unwrap();
    let error = failed.flush().await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::RetriesExhausted { .. }));
    assert_eq!(error.landed(), Some(Landed::InDoubt));
    failed.write_all(b"second").await.unwrap_err();
    let unsent = failed.into_unsent().unwrap();
    assert_eq!((unsent.position, unsent.in_doubt), (0, 6));
}

#[tokio::test(start_paused = true)]
async fn hole_03_the_next_append_of_another_length_goes_on_after_an_ambiguous_one() {
    let store = SimStore::new();
    let mut appender = appender(&store).open().await.unwrap();
    for fault in [
        Fault::applied_never(),
        Fault::never(),
        Fault::torn(2),
        Fault::late(),
    ] {
        store.fault(fault);
        let _ = tokio::time::timeout(Duration::from_micros(1), appender.append("first, ")).await;
        appender.append("and another; ").await.unwrap();
    }
    assert_eq!(store.text(), "first, and another; ".repeat(4));
}

#[tokio::test(start_paused = true)]
async fn hole_04_an_append_between_the_mismatch_and_the_look_does_not_hide_ours() {
    // Ours arrived twice; the copy is refused, and somebody appends before we look.
    let raced = || {
        Fault::none()
            .before(|object| grow(object, b"world"))
            .foreign_after("!")
    };
    let store = SimStore::holding("hello ");
    let mut alone = appender(&store).open().await.unwrap();
    store.fault(raced());
    let error = alone.append("world").await.unwrap_err();
    assert_eq!(conflict_cause(&error), ConflictCause::Foreign);
    assert_eq!(error.landed(), Some(Landed::Yes));
    assert!(alone.into_unsent().is_none(), "so nobody sends it again");

    // Where others append too, as many equal bytes may be theirs: what OSS has refused is not there.
    let store = SimStore::holding("hello ");
    let mut sharing = appender(&store).shared(true).open().await.unwrap();
    store.fault(raced());
    assert_eq!(sharing.append("world").await.unwrap().range, 12..17);
    assert_eq!(store.text(), "hello world!world");
}

#[tokio::test(start_paused = true)]
async fn hole_05_another_object_of_a_fitting_length_does_not_pass() {
    let put = |content: &str| {
        let mut object = Object::appendable(content);
        object.kind = ObjectKind::Other("Normal".into());
        object
    };
    for (object, landed) in [
        (Object::appendable("HELLO WORLD"), Landed::No),
        (Object::appendable("HELLO world"), Landed::Yes),
        (put("HELLO WORLD"), Landed::No),
        (put("hello world"), Landed::Yes),
    ] {
        let store = SimStore::holding("hello ");
        let mut appender = appender(&store).open().await.unwrap();
        let expected = object.clone();
        store.fault(Fault::lost_request().before(move |current| *current = Some(object)));
        let error = appender.append("world").await.unwrap_err();
        match &expected.kind {
            ObjectKind::Appendable => drop(conflict_cause(&error)),
            _ => assert!(matches!(error.kind(), ErrorKind::NotAppendable { .. })),
        }
        assert_eq!(error.landed(), Some(landed), "{expected:?}");
        assert_eq!(store.world().object, Some(expected), "left alone");
    }
}

#[tokio::test(start_paused = true)]
async fn hole_06_a_look_that_fails_is_repeated_and_no_verdict() {
    let store = SimStore::holding("hello ");
    let mut appender = appender(&store).open().await.unwrap();
    store
        .fault(Fault::lost_answer())
        .fail_head(broken())
        .fail_head(unreachable());
    assert_eq!(appender.append("world").await.unwrap().range, 6..11);
    assert_eq!(store.appends(), [(6, 5)]);

    store.fault(Fault::lost_answer());
    for _ in 0..1000 {
        store.fail_head(broken());
    }
    let error = appender.append("!").await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::RetriesExhausted { .. }));
    assert_eq!(error.landed(), Some(Landed::InDoubt));
}

#[tokio::test]
async fn hole_07_an_append_cut_short_is_not_measured_by_what_was_read_from_its_source() {
    // As many foreign bytes as the server took of ours.
    const TAKEN: usize = 30_000;
    let data: Vec<u8> = (0..50_000_u32).flat_map(u32::to_le_bytes).collect();
    let emulator = emulated::start().await;
    let builder = || emulated::writer(&emulator).batch_size(data.len() as u64);
    let mut writer = builder().open().await.unwrap();
    emulator.inject(on_append(Action::ResetBody(TAKEN as u64)));
    emulator
        .append_foreign("bucket", "object", vec![b'x'; TAKEN])
        .unwrap();
    let error = writer.copy_from(&mut &data[..]).await.unwrap_err();
    assert_eq!(conflict_cause(&error), ConflictCause::Foreign);
    assert_eq!(error.landed(), Some(Landed::No));
    assert!(writer.into_unsent().unwrap().chunks.concat() == data);
    assert!(emulated::content(&emulator) == vec![b'x'; TAKEN]);

    // Without them it is sent again, from memory: the source is not asked to rewind.
    emulator.delete("bucket", "object").unwrap();
    emulator.inject(on_append(Action::ResetBody(TAKEN as u64)));
    let mut writer = builder().open().await.unwrap();
    writer.copy_from(&mut &data[..]).await.unwrap();
    writer.shutdown().await.unwrap();
    assert!(emulated::content(&emulator) == data);
}

#[tokio::test(start_paused = true)]
async fn hole_08_a_checksum_is_compared_before_it_is_built_upon() {
    fn spoil(object: &mut Option<Object>) {
        let data = &mut object.as_mut().unwrap().data;
        *data.last_mut().unwrap() ^= 1;
    }
    // In the answer; in the look after a lost one, before our bytes; and within them.
    for (fault, landed) in [
        (Fault::none().before(spoil), Landed::InDoubt),
        (Fault::lost_answer().before(spoil), Landed::Yes),
        (Fault::lost_answer().after(spoil), Landed::No),
    ] {
        let store = SimStore::holding("hello ");
        let mut writer = writer(&store).open().await.unwrap();
        store.fault(fault);
        writer.write_all(b"world").await.unwrap();
        let error = writer.sync().await.unwrap_err();
        assert_eq!(error.landed(), Some(landed), "{error}");
        writer.write(b"!").await.unwrap_err();
        assert_eq!(store.appends().len(), 1, "nothing is built upon it");
    }
}

#[tokio::test]
async fn hole_09_the_loser_of_a_race_to_create_is_told() {
    let private = || ObjectOptions::new().acl(ObjectAcl::Private);
    for create_new in [false, true] {
        let emulator = emulated::start().await;
        let mut builder = emulated::writer(&emulator).object_options(private());
        if create_new {
            builder = builder.create_new();
        }
        emulator.inject(on_append(Action::ForeignBefore("theirs".into())));
        let error = match builder.open().await {
            Ok(mut writer) => {
                writer.write_all(b"secret").await.unwrap();
                writer.shutdown().await.unwrap_err()
            }
            Err(error) => error,
        };
        assert_eq!(conflict_cause(&error), ConflictCause::Foreign);
        // Nothing of ours is in an object with somebody else's properties.
        let object = emulated::stored(&emulator);
        assert_eq!(
            (&object.bytes[..], &*object.acl),
            (&b"theirs"[..], "default")
        );
    }

    // Only an empty object of theirs cannot be told from one of our own: it takes our bytes, and
    // keeps their properties.
    let emulator = emulated::start().await;
    let mut writer = emulated::writer(&emulator)
        .object_options(private())
        .open()
        .await
        .unwrap();
    emulator.append_foreign("bucket", "object", "").unwrap();
    writer.write_all(b"ours").await.unwrap();
    writer.shutdown().await.unwrap();
    let object = emulated::stored(&emulator);
    assert_eq!((&object.bytes[..], &*object.acl), (&b"ours"[..], "default"));
}

#[tokio::test(start_paused = true)]
async fn hole_10_nothing_written_after_an_ambiguous_append_is_no_error() {
    let store = SimStore::holding("hello ");
    let mut appender = appender(&store).open().await.unwrap();
    store.fault(Fault::applied_never());
    let dropped = tokio::time::timeout(SEC, appender.append("world")).await;
    assert!(dropped.is_err());
    assert_eq!(appender.append("").await.unwrap().range, 11..11);
    assert_eq!(appender.durable_position(), 11);
    assert_eq!(store.appends(), [(6, 5)]);

    let store = SimStore::new();
    let mut writer = writer(&store).open().await.unwrap();
    store.fault(Fault::lost_answer());
    writer.write_all(b"x").await.unwrap();
    writer.flush().await.unwrap();
    writer.write_bytes(Bytes::new()).await.unwrap();
    writer.flush().await.unwrap();
    writer.shutdown().await.unwrap();
    assert_eq!(store.appends(), [(0, 1)]);
}

#[tokio::test]
async fn hole_11_a_missing_bucket_is_no_new_object() {
    let emulator = emulated::start().await;
    let client = emulator.client().build().unwrap();
    let elsewhere = ObjectPath::new("no-such-bucket", "object").unwrap();
    let opened = OssAppendWriter::builder(client, elsewhere).open().await;
    let error = opened.unwrap_err();
    assert_eq!(error.service_error().unwrap().code, "NoSuchBucket");
    assert_eq!(emulator.count(Operation::AppendObject), 0);
}

#[tokio::test(start_paused = true)]
async fn hole_12_the_position_that_a_mismatch_names_is_passed_on_but_the_look_decides() {
    // The refusal names 7; when we look it is 8 already, and the retry fits.
    let raced = || Fault::none().foreign_before("x").foreign_after("y");
    let store = SimStore::holding("hello ");
    let mut sharing = appender(&store).shared(true).open().await.unwrap();
    store.fault(raced());
    assert_eq!(sharing.append("world").await.unwrap().range, 8..13);
    assert_eq!(store.appends(), [(6, 5), (8, 5)]);
    let looks = store.ops().into_iter().filter(|op| *op == Op::Head).count();
    assert_eq!(looks, 2, "at the opening, and one round trip now");

    let store = SimStore::holding("hello ");
    let mut alone = appender(&store).open().await.unwrap();
    store.fault(raced());
    let error = alone.append("world").await.unwrap_err();
    assert_eq!(error.service_error().unwrap().next_append_position, Some(7));
    assert!(matches!(error.kind(), ErrorKind::Conflict(it) if it.found == Some(8)));
}

#[tokio::test]
async fn hole_13_a_wrong_checksum_is_not_retried() {
    let emulator = emulated::start().await;
    let mut writer = emulated::writer(&emulator).open().await.unwrap();
    emulator.inject(on_append(Action::WrongCrc));
    writer.write_all(b"once").await.unwrap();
    let error = writer.shutdown().await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Checksum { .. }));
    assert_eq!(emulator.count(Operation::AppendObject), 1);
    assert_eq!(emulated::content(&emulator), b"once");
}

#[tokio::test]
async fn hole_14_sealing_by_somebody_else_is_told_as_what_it_is() {
    let emulator = emulated::start().await;
    let mut writer = emulated::writer(&emulator).open().await.unwrap();
    writer.write_all(b"before ").await.unwrap();
    writer.sync().await.unwrap();
    emulator.seal("bucket", "object").unwrap();
    writer.write_all(b"after").await.unwrap();
    let error = writer.shutdown().await.unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Sealed);
    assert_eq!(error.landed(), Some(Landed::No));
    let unsent = writer.into_unsent().unwrap();
    assert_eq!(
        (unsent.position, unsent.chunks.concat()),
        (7, b"after".to_vec())
    );
    let appends = emulator.count(Operation::AppendObject);
    assert_eq!(appends, 2, "not tried again");
}
