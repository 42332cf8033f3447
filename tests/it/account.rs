//! What OSS refuses for good, by the account, the bucket or the object: a writer ends at once and
//! says why, or it works.

use oss_append::emulator::{
    Account, Action, BucketRules, Emulator, EmulatorBuilder, Fault, Operation,
};
use oss_append::{
    Error, Landed, ObjectAcl, ObjectOptions, OssAppendWriter, OssAppendWriterBuilder, OssClient,
    Refusal, RequestOptions, StorageClass,
};

use crate::support::emulated::{content, writer};

async fn with(rules: BucketRules) -> Emulator {
    start(Emulator::builder().bucket_with("bucket", rules)).await
}

/// An account of 2026, to which nothing was granted.
async fn start(builder: EmulatorBuilder) -> Emulator {
    builder.bucket("bucket").start().await.unwrap()
}

/// Appends, and returns what the writer ends with after that many appends were tried.
async fn refused(
    emulator: &Emulator,
    builder: OssAppendWriterBuilder<OssClient>,
    appends: usize,
) -> Error {
    let mut writer = builder.open().await.unwrap();
    writer.write_all(b"x").await.unwrap();
    let error = writer.shutdown().await.unwrap_err();
    assert_eq!(emulator.count(Operation::AppendObject), appends, "{error}");
    error
}

async fn append(writer: &mut OssAppendWriter, bytes: &[u8]) {
    writer.write_all(bytes).await.unwrap();
    writer.sync().await.unwrap();
}

#[track_caller]
fn assert_says(error: &Error, refusal: Refusal, words: &[&str]) {
    assert_eq!(error.refusal(), Some(refusal), "{error}");
    assert!(!error.is_retryable(), "{error}");
    let text = error.to_string();
    for word in words {
        assert!(text.contains(word), "{word} is not in {text}");
    }
}

#[tokio::test]
async fn a_retention_policy_ends_an_object_after_its_first_append() {
    let emulator = with(BucketRules::new().retention(true)).await;
    let mut first = writer(&emulator).open().await.unwrap();
    append(&mut first, b"kept").await;
    drop(first);
    let error = refused(&emulator, writer(&emulator), 2).await;
    assert_says(&error, Refusal::Immutable, &["FileImmutable"]);
    assert_eq!(content(&emulator), b"kept");
}

#[tokio::test]
async fn a_bucket_with_object_worm_takes_no_append() {
    let emulator = with(BucketRules::new().object_worm(true)).await;
    let error = refused(&emulator, writer(&emulator), 1).await;
    assert_says(
        &error,
        Refusal::Other,
        &["OperationNotSupported", "ObjectWorm"],
    );
    assert_eq!(
        emulator.count(Operation::HeadObject),
        1,
        "only that of the opening"
    );
}

#[tokio::test]
async fn a_public_acl_is_named_where_public_access_is_blocked() {
    let emulator = start(Emulator::builder()).await;
    let public = ObjectOptions::new().acl(ObjectAcl::PublicRead);
    let error = refused(&emulator, writer(&emulator).object_options(public), 1).await;
    assert_says(
        &error,
        Refusal::PublicAccessBlocked,
        &["Block Public Access", "0016-00000901"],
    );
}

#[tokio::test]
async fn a_traffic_limit_that_oss_does_not_take_is_named() {
    for (bits, taken) in [(245_760, false), (819_199, false), (819_200, true)] {
        let emulator = start(Emulator::builder()).await;
        let options = RequestOptions::new().traffic_limit(bits).unwrap();
        let builder = writer(&emulator).request_options(options);
        if taken {
            let mut writer = builder.open().await.unwrap();
            append(&mut writer, b"x").await;
            continue;
        }
        let error = refused(&emulator, builder, 1).await;
        assert_says(&error, Refusal::Other, &["819200", "0004-00000502"]);
    }
}

#[tokio::test]
async fn a_seal_that_was_not_granted_loses_nothing() {
    let emulator = start(Emulator::builder()).await;
    let builder = writer(&emulator).seal_on_shutdown(true);
    let error = refused(&emulator, builder, 1).await;
    assert_says(&error, Refusal::Other, &["SealAppendable is not supported"]);
    assert_eq!(content(&emulator), b"x");
    assert_eq!(emulator.count(Operation::SealAppendObject), 1);
}

/// An archived object takes appends. Only what has to be read back cannot be settled.
#[tokio::test]
async fn an_archived_object_takes_appends_until_it_would_have_to_be_read() {
    let emulator = start(Emulator::builder()).await;
    let archive = ObjectOptions::new().storage_class(StorageClass::Archive);
    let builder = writer(&emulator).object_options(archive).shared(true);
    let mut writer = builder.open().await.unwrap();
    append(&mut writer, b"one ").await;
    // An answer that is lost is found in the object's length and checksum.
    emulator.inject(Fault::new(Operation::AppendObject, Action::DropAnswer));
    append(&mut writer, b"two ").await;
    assert_eq!(content(&emulator), b"one two ");
    assert_eq!(emulator.count(Operation::GetObject), 0);

    // Not so where another has appended behind it.
    emulator.inject(Fault::new(Operation::AppendObject, Action::DropAnswer));
    let theirs = Action::ForeignBefore("theirs".into());
    emulator.inject(Fault::new(Operation::HeadObject, theirs));
    writer.write_all(b"three ").await.unwrap();
    let error = writer.sync().await.unwrap_err();
    assert_says(
        &error,
        Refusal::Archived,
        &[
            "InvalidObjectState",
            "0016-00000404",
            "the object is archived",
        ],
    );
    assert_eq!(emulator.count(Operation::GetObject), 1);
    assert_eq!(error.landed(), Some(Landed::InDoubt));
    assert_eq!(content(&emulator), b"one two three theirs");
}

#[tokio::test]
async fn a_version_is_appended_to_and_begins_anew_behind_a_delete_marker() {
    let emulator = with(BucketRules::new().versioning(true)).await;
    let mut first = writer(&emulator).open().await.unwrap();
    append(&mut first, b"one ").await;
    append(&mut first, b"two ").await;
    drop(first);
    let client = emulator.client().build().unwrap();
    let object = "oss://bucket/object".parse().unwrap();
    client.delete_object(&object).send().await.unwrap();
    let mut second = writer(&emulator).open().await.unwrap();
    append(&mut second, b"anew").await;
    assert_eq!(content(&emulator), b"anew");
}

#[tokio::test]
async fn a_requester_pays_if_it_says_so() {
    let rules = BucketRules::new().requester_pays(true);
    let builder = Emulator::builder().bucket_with("bucket", rules);
    let emulator = start(builder.requester("theirs", "secret")).await;
    let client = || {
        let key = oss_append::credentials::StaticCredentials::new("theirs", "secret");
        emulator.client().credentials(key)
    };
    let object = "oss://bucket/object".parse().unwrap();
    let refused = client().build().unwrap();
    let refused = refused
        .append_object(&object, "x")
        .send()
        .await
        .unwrap_err();
    assert_says(&refused, Refusal::Denied, &["0003-00000703"]);
    let paying = client().requester_pays(true).build().unwrap();
    paying.append_object(&object, "x").send().await.unwrap();
    assert_eq!(content(&emulator), b"x");
}

#[tokio::test]
async fn a_legacy_account_allows_all_that() {
    let emulator = start(Emulator::builder().account(Account::Legacy)).await;
    let public = ObjectOptions::new().acl(ObjectAcl::PublicRead);
    let builder = writer(&emulator).object_options(public);
    let mut writer = builder.seal_on_shutdown(true).open().await.unwrap();
    append(&mut writer, b"x").await;
    writer.shutdown().await.unwrap();
    let object = emulator.object("bucket", "object").unwrap();
    assert_eq!((&*object.acl, object.info.sealed), ("public-read", true));
}
