//! The contract of `AppendStore`, run against the stores of this crate and of these tests.
//!
//! The real service is asked if `OSS_APPEND_REAL_BUCKET` names a bucket: then the client is that of
//! `OssClient::from_env`, and objects are left below `conformance/`.

mod tagged;
mod wrong;

use oss_append::emulator::Emulator;
use oss_append::testing::{CaseOutcome, Conformance, ConformanceReport, MemoryStore};
use oss_append::{Evidence, ObjectPath, OssClient, StoreLimits};

/// The suite with all that it can be given, in a bucket that is called `bucket`.
fn suite() -> Conformance {
    Conformance::new("bucket", "suite/")
        .foreign(foreign())
        .missing_bucket("not-there")
}

fn foreign() -> ObjectPath {
    ObjectPath::new("bucket", "foreign").unwrap()
}

fn memory() -> MemoryStore {
    let store = MemoryStore::new().bucket("bucket").page_size(2);
    store.put(&foreign(), "not made by appends");
    store
}

fn skipped(report: &ConformanceReport) -> Vec<&str> {
    let skipped = |outcome: &CaseOutcome| matches!(outcome, CaseOutcome::Skipped(_));
    let cases = report.cases().filter(|(_, outcome)| skipped(outcome));
    cases.map(|(name, _)| name).collect()
}

#[tokio::test]
async fn the_memory_store_keeps_the_contract_with_every_evidence_and_refusal() {
    for evidence in [Evidence::Crc64, Evidence::Tag, Evidence::Length] {
        for (status, code) in [(409, "PositionNotEqualToLength"), (412, "Unexpected")] {
            let store = memory()
                .with_evidence(evidence)
                .position_refusal(status, code)
                .with_limits(StoreLimits::new().max_append(1 << 20));
            let report = suite().run(&store).await;
            report.assert_passed();
            assert_eq!(skipped(&report), [""; 0]);
        }
    }
}

#[tokio::test]
async fn the_client_keeps_the_contract_over_http() {
    let builder = Emulator::builder().bucket("bucket").sealing(true);
    let emulator = builder.start().await.unwrap();
    let client = emulator.client().build().unwrap();
    client
        .put_object(&foreign(), "not made")
        .send()
        .await
        .unwrap();
    let report = suite().run(&client).await;
    report.assert_passed();
    assert_eq!(skipped(&report), ["an_append_of_the_largest_size_is_taken"]);
}

#[tokio::test]
async fn the_real_service_keeps_the_contract() {
    let Ok(bucket) = std::env::var("OSS_APPEND_REAL_BUCKET") else {
        eprintln!("not run: OSS_APPEND_REAL_BUCKET is not set");
        return;
    };
    let client = OssClient::from_env().expect("the client's environment");
    let run = fastrand::u64(..);
    let foreign = ObjectPath::new(&bucket, format!("conformance/{run:x}/foreign")).unwrap();
    client
        .put_object(&foreign, "not made")
        .send()
        .await
        .unwrap();
    let suite = Conformance::new(bucket, format!("conformance/{run:x}/"))
        .foreign(foreign)
        .missing_bucket(format!("oss-append-not-there-{run:x}"));
    suite.run(&client).await.assert_passed();
}
