//! Which object a record goes to by its fields.

use std::time::UNIX_EPOCH;

use bytes::Bytes;
use oss_append::{ErrorKind, KeyedWriter};

use super::{check, large};
use crate::support::bucket::SimBucket;
use crate::support::store::service;

async fn put(writer: &KeyedWriter, fields: &[(&str, &str)], record: &'static str) {
    let record = Bytes::from(record);
    drop(writer.write_fields(fields, record).await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn records_with_the_same_values_share_an_object() {
    let bucket = SimBucket::new();
    let writer = large(&bucket).template("tenants/{tenant}/{kind}.log");
    let writer = writer.start().unwrap();
    put(&writer, &[("tenant", "a"), ("kind", "x")], "one,").await;
    put(&writer, &[("tenant", "b"), ("kind", "x")], "two,").await;
    put(
        &writer,
        &[("kind", "x"), ("id", "7"), ("tenant", "a")],
        "three,",
    )
    .await;
    // The key is the name.
    drop(
        writer
            .write("tenants/a/x.log", "four,".into())
            .await
            .unwrap(),
    );
    writer.shutdown().await.unwrap();
    assert_eq!(bucket.keys(), ["tenants/a/x.log", "tenants/b/x.log"]);
    assert_eq!(bucket.texts(), ["one,three,four,", "two,"]);
    check(&writer);
}

#[tokio::test(start_paused = true)]
async fn a_sequence_is_named_by_fields_and_time() {
    let bucket = SimBucket::new();
    let writer = large(&bucket)
        .template("{tenant}/100%%-%Y-%m-%d-{seq:2}")
        .rolling(|_, rolling| rolling.roll_size(5).daily().clock(|| UNIX_EPOCH));
    let writer = writer.start().unwrap();
    for record in ["one,", "two,"] {
        put(&writer, &[("tenant", "{seq}%Y")], record).await;
    }
    writer.shutdown().await.unwrap();
    assert_eq!(
        bucket.keys(),
        [
            "%7Bseq%7D%25Y/100%-1970-01-01-01",
            "%7Bseq%7D%25Y/100%-1970-01-01-02"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_value_does_not_get_out_of_its_place() {
    let bucket = SimBucket::new();
    let writer = large(&bucket).template("tenants/{tenant}/x.log");
    let writer = writer.start().unwrap();
    let values = ["a", "a/x.log", "..", ".", "../b", "a%2Fx.log", "/", "\n"];
    for value in values {
        put(&writer, &[("tenant", value)], "x").await;
    }
    writer.shutdown().await.unwrap();
    let keys = bucket.keys();
    assert_eq!(keys.len(), values.len(), "{keys:?}");
    for key in keys {
        let parts: Vec<_> = key.split('/').collect();
        assert!(matches!(parts[..], ["tenants", _, "x.log"]), "{key}");
        assert!(![".", "..", ""].contains(&parts[1]), "{key}");
    }
}

#[tokio::test(start_paused = true)]
async fn fields_that_make_no_key_are_refused_and_nothing_has_failed() {
    let bucket = SimBucket::new();
    let long = "x".repeat(1024);
    for rolling in [false, true] {
        let mut builder = large(&bucket).template("t/{tenant}");
        if rolling {
            builder = builder
                .template("t/{tenant}/{seq}")
                .rolling(|_, rolling| rolling);
        }
        let writer = builder.start().unwrap();
        for fields in [
            &[][..],
            &[("kind", "x")],
            &[("tenant", "")],
            &[("tenant", "a"), ("tenant", "b")],
            &[("tenant", &long)],
        ] {
            let refused = writer.write_fields(fields, "x".into()).await.unwrap_err();
            assert!(
                matches!(refused.kind(), ErrorKind::InvalidInput { .. }),
                "{refused}"
            );
        }
        assert_eq!(writer.stats(), Default::default());
    }
    let writer = large(&bucket).start().unwrap();
    let refused = writer.write_fields(&[("a", "b")], "x".into()).await;
    assert!(refused.unwrap_err().to_string().contains("no template"));
    assert_eq!(bucket.requests(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_template_that_cannot_be_is_refused_at_the_start() {
    let bucket = SimBucket::new();
    for template in [
        "no-field.log",
        "{a}{b}",
        "%Y/{a}",
        "{a}/{seq}",
        "/{a}",
        "{a",
    ] {
        let error = large(&bucket).template(template).start().unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::InvalidInput { .. }));
        assert!(error.to_string().contains(template), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn fields_that_have_failed_are_forgiven_by_their_key() {
    let bucket = SimBucket::new();
    bucket.object("t/a").go_down(service(403, "AccessDenied"));
    let writer = large(&bucket).template("t/{tenant}").start().unwrap();
    let fields = [("tenant", "a")];
    let receipt = writer.write_fields(&fields, "x".into()).await.unwrap();
    receipt.written().await.unwrap_err();
    writer.write_fields(&fields, "x".into()).await.unwrap_err();
    bucket.object("t/a").come_back();
    let key = writer.key_of(&fields).unwrap();
    assert_eq!(writer.failed_keys()[0].0, key);
    assert!(writer.forgive(&key).is_some());
    put(&writer, &fields, "y").await;
    writer.shutdown().await.unwrap();
    assert_eq!(bucket.texts(), ["y"]);
}

#[tokio::test(start_paused = true)]
async fn the_last_way_of_naming_counts() {
    let bucket = SimBucket::new();
    let builder = large(&bucket).objects(|key| format!("o/{key}"));
    let writer = builder.clone().template("t/{a}").start().unwrap();
    put(&writer, &[("a", "1")], "x").await;
    writer.shutdown().await.unwrap();
    let builder = builder.template("t/{a}").objects(|key| format!("o/{key}"));
    let writer = builder.start().unwrap();
    writer
        .write_fields(&[("a", "1")], "x".into())
        .await
        .unwrap_err();
    drop(writer.write("2", "y".into()).await.unwrap());
    writer.shutdown().await.unwrap();
    assert_eq!(bucket.keys(), ["o/2", "t/1"]);
}
