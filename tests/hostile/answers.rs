//! What absurd numbers in answers do not become.

use std::time::Duration;

use bytes::Bytes;
use oss_append::testing::{Fault, MemoryStore, On};
use oss_append::{AppendStore as _, ErrorKind, ObjectAppender, OssAppendWriter};

use crate::source::Source;
use crate::{client, object};

#[tokio::test]
async fn a_length_that_no_object_has_is_no_position() {
    for (length, more) in [
        ("18446744073709551610", ""),
        ("9223372036854775808", ""),
        ("99999999999999999999999999", ""),
        ("-1", ""),
        ("5", "x-oss-next-append-position: 18446744073709551615\r\n"),
        ("5", "x-oss-hash-crc64ecma: 18446744073709551616\r\n"),
    ] {
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n{more}\
             x-oss-object-type: Appendable\r\n\r\n"
        );
        let source = Source::start(&head, b"").await;
        let error = client(source.endpoint()).head(&object()).await.unwrap_err();
        assert!(
            matches!(
                error.kind(),
                ErrorKind::BadAnswer { .. } | ErrorKind::Transport { .. }
            ),
            "{length} {more}: {error}"
        );
    }
}

#[tokio::test]
async fn the_longest_length_that_is_believed_wraps_nowhere() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775807\r\n\
        x-oss-object-type: Appendable\r\nx-oss-hash-crc64ecma: 1\r\n\r\n";
    let source = Source::start(head, b"").await;
    let client = client(source.endpoint());
    let mut writer = OssAppendWriter::builder(client, object())
        .open()
        .await
        .unwrap();
    writer.write_bytes(Bytes::from("more")).await.unwrap();
    assert_eq!(writer.position(), 9_223_372_036_854_775_811);
    let error = writer.sync().await.unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::ObjectFull { .. }),
        "{error}"
    );
}

#[tokio::test]
async fn the_longest_wait_with_the_longest_timeout_does_not_overflow_the_clock() {
    let store = MemoryStore::new();
    store.fail_next(On::Append, Fault::none().asks_to_wait(Duration::MAX));
    let mut appender = ObjectAppender::builder(store, object())
        .delivery_timeout(Duration::MAX)
        .open()
        .await
        .unwrap();
    appender.append("x").await.unwrap();
    assert_eq!(appender.durable_position(), 1);
}
