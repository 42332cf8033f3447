//! `doctor`, in all the states that a bucket and the way to it can be in.

use std::time::Duration;

use oss_append::emulator::{Action, ErrorAnswer, Fault};
use serde_json::json;

use super::*;

const BUCKET: &str = "oss://bucket/logs/";

async fn doctor(emulator: &Emulator, options: &[&str]) -> Ended {
    examined(
        command(emulator, [&["doctor", BUCKET], options].concat()),
        "",
    )
    .await
}

/// Runs it to its end. It shows no secret.
async fn examined(doctor: Command, input: &str) -> Ended {
    let ended = run(doctor, input).await;
    let shown = String::from_utf8_lossy(&ended.stdout);
    assert!(!shown.contains(ACCESS_KEY_SECRET), "{shown}");
    ended
}

async fn text(emulator: &Emulator, options: &[&str], code: i32) -> String {
    let ended = doctor(emulator, options).await.expect(code);
    assert_eq!(ended.stderr, "");
    String::from_utf8(ended.stdout).unwrap()
}

fn deny(emulator: &Emulator, operation: Operation) {
    let denied = Action::Error(ErrorAnswer::new(403).code("AccessDenied"));
    emulator.inject(Fault::new(operation, denied).forever());
}

/// Nothing is left of what was written.
fn assert_clean(emulator: &Emulator) {
    let requests = emulator.requests();
    let keys = requests.iter().filter_map(|request| request.key.as_deref());
    for key in keys.filter(|key| key.contains("doctor")) {
        assert!(key.starts_with("logs/"), "{key}");
        assert!(emulator.object("bucket", key).is_none(), "{key}");
    }
}

fn wrote(emulator: &Emulator) -> bool {
    emulator.count(Operation::AppendObject) > 0
}

#[tokio::test]
async fn without_write_nothing_is_written() {
    let emulator = emulator().await;
    let mut report = doctor(&emulator, &["--json"]).await.expect(0).own();
    let trip = report["round_trip_ms"].take();
    assert!(trip["min"].as_f64().unwrap() <= trip["median"].as_f64().unwrap());
    assert!(trip["median"].as_f64().unwrap() <= trip["max"].as_f64().unwrap());
    let ahead = report["clock"]["server_ahead_seconds"].take();
    assert!(ahead.as_i64().unwrap().abs() <= 1, "{ahead}");
    assert_eq!(
        report,
        json!({
            "target": BUCKET,
            "credentials": {
                "provider": "the default chain",
                "origin": "OSS variables",
                "id": format!("{}…", &ACCESS_KEY_ID[..4]),
                "temporary": false,
                "expires": null,
            },
            "endpoint": {
                "url": emulator.url(),
                "region": emulator.region(),
                "address": emulator.address().to_string(),
            },
            "clock": { "server_ahead_seconds": null },
            "permissions": {
                "head": "allowed",
                "list": "allowed",
                "append": "untried",
                "tag": "untried",
                "seal": "untried",
                "delete": "untried",
            },
            "round_trip_ms": null,
            "upload_bytes_per_second": null,
            "recommended_batch_size": null,
            "appends": null,
            "pipelining": null,
            "encoded": [],
            "problems": [],
        })
    );
    assert!(!wrote(&emulator));
}

#[tokio::test]
async fn with_write_everything_is_found_out_and_nothing_is_left() {
    let emulator = Emulator::builder()
        .bucket("bucket")
        .sealing(true)
        .latency(Duration::from_millis(20))
        .bandwidth(50 << 20)
        .start()
        .await
        .unwrap();
    let report = doctor(&emulator, &["--write", "--json"]).await;
    let report = report.expect(0).json();
    for permission in ["head", "list", "append", "tag", "seal", "delete"] {
        assert_eq!(report["permissions"][permission], "allowed", "{permission}");
    }
    assert!(report["round_trip_ms"]["min"].as_f64().unwrap() >= 20.0);
    assert!(report["upload_bytes_per_second"].as_u64().unwrap() > 0);
    let batch = report["recommended_batch_size"].as_u64().unwrap();
    assert!((256 << 10..=64 << 20).contains(&batch), "{batch}");
    assert!(batch.is_power_of_two(), "{batch}");
    let appends = &report["appends"];
    assert!(appends["per_second"].as_f64().unwrap() > 0.0);
    assert!(appends["per_month"].as_u64().unwrap() > 0);
    let pipelining = &report["pipelining"];
    assert_eq!(pipelining["taken"], true);
    let most = pipelining["recommended_max_in_flight"].as_u64().unwrap();
    assert!((2..=64).contains(&most), "{pipelining}");
    let gain = pipelining["gain"].as_f64().unwrap();
    assert!((1.0..=64.0).contains(&gain), "{pipelining}");
    assert!(wrote(&emulator));
    assert_clean(&emulator);

    let told = text(&emulator, &["--write"], 0).await;
    for part in [
        BUCKET,
        "from the default chain (OSS variables)",
        &emulator.address().to_string(),
        "round trip",
        "upload",
        "advice",
        "requests",
        "several appends at a time are taken; max_in_flight ",
        "problems    none",
    ] {
        assert!(told.contains(part), "{part:?} in {told}");
    }
}

#[tokio::test]
async fn a_missing_permission_is_named_and_the_rest_found_out() {
    for (operation, permission, action) in [
        (Operation::HeadObject, "head", "oss:GetObject"),
        (Operation::ListObjectsV2, "list", "oss:ListObjects"),
        (Operation::AppendObject, "append", "oss:PutObject"),
        (Operation::SealAppendObject, "seal", "oss:SealAppendObject"),
    ] {
        let emulator = emulator().await;
        deny(&emulator, operation);
        let report = doctor(&emulator, &["--write", "--json"]).await;
        let report = report.expect(5).json();
        assert_eq!(report["permissions"][permission], "denied");
        let others = report["permissions"].as_object().unwrap();
        for (name, other) in others.iter().filter(|(name, _)| *name != permission) {
            let untried = permission == "append" && ["tag", "seal"].contains(&name.as_str());
            let expected = if untried { "untried" } else { "allowed" };
            assert_eq!(other, expected, "{name} without {permission}");
        }
        let problems = report["problems"].to_string();
        assert!(problems.contains(action), "{problems}");
        assert_clean(&emulator);
    }
}

#[tokio::test]
async fn to_append_without_the_permission_to_tag_is_told_apart() {
    let emulator = emulator().await;
    let denied = Action::Error(ErrorAnswer::new(403).code("AccessDenied"));
    emulator.inject(Fault::new(Operation::AppendObject, denied));
    let report = doctor(&emulator, &["--write", "--json"]).await;
    let report = report.expect(5).json();
    assert_eq!(report["permissions"]["append"], "allowed");
    assert_eq!(report["permissions"]["tag"], "denied");
    assert!(
        report["problems"]
            .to_string()
            .contains("oss:PutObjectTagging")
    );
    assert_clean(&emulator);
}

#[cfg(unix)]
#[tokio::test]
async fn an_interrupt_leaves_nothing() {
    let emulator = Emulator::builder()
        .bucket("bucket")
        .bandwidth(1 << 20)
        .start()
        .await
        .unwrap();
    let doctor = Running::start(command(&emulator, ["doctor", BUCKET, "--write"]));
    appended(&emulator, 2).await;
    doctor.signal(rustix::process::Signal::INT);
    doctor.end().await.expect(130);
    assert_clean(&emulator);
}

#[tokio::test]
async fn what_cannot_be_deleted_is_named() {
    let emulator = emulator().await;
    deny(&emulator, Operation::DeleteObject);
    let told = text(&emulator, &["--write"], 5).await;
    assert!(told.contains("oss:DeleteObject"), "{told}");
    let requests = emulator.requests();
    let key = requests.iter().find_map(|request| {
        (request.operation == Operation::AppendObject).then(|| request.key.clone().unwrap())
    });
    let stays = format!("oss://bucket/{} stays", key.unwrap());
    assert!(told.contains(&stays), "{told}");
}

#[tokio::test]
async fn a_wrong_key_is_5_and_nothing_else_is_asked() {
    let emulator = emulator().await;
    for (variable, code) in [
        ("OSS_ACCESS_KEY_SECRET", "SignatureDoesNotMatch"),
        ("OSS_ACCESS_KEY_ID", "InvalidAccessKeyId"),
    ] {
        emulator.clear_requests();
        let mut wrong = command(&emulator, ["doctor", BUCKET, "--write"]);
        wrong.env(variable, "wrong-and-hush-hush");
        let ended = examined(wrong, "").await.expect(5);
        let told = String::from_utf8(ended.stdout).unwrap();
        assert!(told.contains(code), "{told}");
        assert!(!told.contains("hush"), "{told}");
        assert_eq!(emulator.requests().len(), 1);
    }
}

#[tokio::test]
async fn no_key_is_5_and_nothing_is_asked() {
    let emulator = emulator().await;
    let mut without = command(&emulator, ["doctor", BUCKET, "--json"]);
    without.env_remove("OSS_ACCESS_KEY_SECRET");
    let report = examined(without, "").await.expect(5).json();
    assert!(
        report["problems"]
            .to_string()
            .contains("OSS_ACCESS_KEY_SECRET")
    );
    assert_eq!(report["credentials"]["id"], Value::Null);
    assert!(emulator.requests().is_empty());
}

#[tokio::test]
async fn temporary_keys_are_told_from_others() {
    let emulator = Emulator::builder()
        .bucket("bucket")
        .sts("STS.temporary", "its-secret", "its-token")
        .start()
        .await
        .unwrap();
    let mut temporary = command(&emulator, ["doctor", BUCKET]);
    temporary
        .env("OSS_ACCESS_KEY_ID", "STS.temporary")
        .env("OSS_ACCESS_KEY_SECRET", "its-secret")
        .env("OSS_SESSION_TOKEN", "its-token");
    let ended = examined(temporary, "").await.expect(0);
    let told = String::from_utf8(ended.stdout).unwrap();
    assert!(told.contains("STS.…, temporary"), "{told}");
    assert!(!told.contains("its-"), "{told}");
}

#[tokio::test]
async fn the_chain_tells_where_it_found_the_key() {
    let emulator = emulator().await;
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir(home.path().join(".aliyun")).unwrap();
    let profile = json!({
        "current": "default",
        "profiles": [{
            "name": "default",
            "mode": "AK",
            "access_key_id": ACCESS_KEY_ID,
            "access_key_secret": ACCESS_KEY_SECRET,
        }],
    });
    let file = home.path().join(".aliyun/config.json");
    std::fs::write(file, profile.to_string()).unwrap();
    for (source, provider, origin) in [
        ("chain", "the default chain", json!("CLI profile")),
        ("profile", "the profile", Value::Null),
    ] {
        let arguments = ["doctor", BUCKET, "--json", "--credentials", source];
        let mut doctor = command(&emulator, arguments);
        doctor
            .env_remove("OSS_ACCESS_KEY_ID")
            .env_remove("OSS_ACCESS_KEY_SECRET")
            .env("HOME", home.path());
        let report = examined(doctor, "").await.expect(0).json();
        assert_eq!(report["credentials"]["provider"], provider);
        assert_eq!(report["credentials"]["origin"], origin);
    }
}

#[tokio::test]
async fn a_chain_that_finds_nothing_is_5_and_says_where_it_looked() {
    let emulator = emulator().await;
    let home = tempfile::tempdir().unwrap();
    let mut doctor = command(&emulator, ["doctor", BUCKET, "--credentials", "chain"]);
    doctor
        .env_remove("OSS_ACCESS_KEY_ID")
        .env_remove("OSS_ACCESS_KEY_SECRET")
        .env("ALIBABA_CLOUD_ECS_METADATA_DISABLED", "true")
        .env("HOME", home.path());
    let ended = examined(doctor, "").await.expect(5);
    let told = String::from_utf8(ended.stdout).unwrap();
    for place in [
        "OSS variables",
        "CLI profile",
        "ini profile",
        "ECS role",
        "credentials URI",
    ] {
        assert!(told.contains(place), "{place} in {told}");
    }
}

#[tokio::test]
async fn a_skewed_clock_is_told_and_lived_with() {
    for (offset, what) in [(3600, "slow"), (-3600, "fast")] {
        let emulator = emulator().await;
        emulator.set_clock_offset(offset);
        let report = doctor(&emulator, &["--json"]).await.expect(1).json();
        let ahead = report["clock"]["server_ahead_seconds"].as_i64().unwrap();
        assert!((ahead - offset).abs() <= 1, "{ahead}");
        let problem = format!("clock is {} s {what}", ahead.abs());
        assert!(report["problems"][0].as_str().unwrap().contains(&problem));
        assert_eq!(report["permissions"]["list"], "allowed");
    }
}

#[tokio::test]
async fn an_unreachable_server_is_6() {
    let emulator = emulator().await;
    let unreached = command(&emulator, ["doctor", BUCKET, "--write"]);
    emulator.shutdown().await;
    let ended = examined(unreached, "").await.expect(6);
    let told = String::from_utf8(ended.stdout).unwrap();
    assert!(
        told.contains("PROBLEM") && told.contains("not tried"),
        "{told}"
    );
}

#[tokio::test]
async fn a_missing_bucket_is_1() {
    let emulator = emulator().await;
    let missing = command(&emulator, ["doctor", "oss://no-such-bucket", "--write"]);
    let ended = examined(missing, "").await.expect(1);
    let told = String::from_utf8(ended.stdout).unwrap();
    assert!(told.contains("NoSuchBucket"), "{told}");
    assert!(!wrote(&emulator));
}

#[tokio::test]
async fn a_target_that_cannot_be_is_2() {
    for target in [
        "bucket",
        "oss://B",
        "oss://bucket//slash",
        "oss://",
        "http://bucket",
    ] {
        let ended = examined(bare(["doctor", target]), "").await.expect(2);
        assert!(ended.stderr.contains(target), "{}", ended.stderr);
    }
}

#[tokio::test]
async fn an_account_that_may_not_seal_has_no_problem() {
    let emulator = Emulator::builder().bucket("bucket").start().await.unwrap();
    let report = doctor(&emulator, &["--write", "--json"]).await;
    let report = report.expect(0).json();
    assert_eq!(report["permissions"]["seal"], "ungranted");
    assert_eq!(report["problems"], json!([]));
    assert_clean(&emulator);
    let told = text(&emulator, &["--write"], 0).await;
    assert!(told.contains("not granted to the account"), "{told}");
}

#[tokio::test]
async fn an_endpoint_that_takes_one_append_at_a_time_is_no_problem_and_told() {
    let builder = Emulator::builder().bucket("bucket").sealing(true);
    let delay = Fault::new(
        Operation::AppendObject,
        Action::Delay(Duration::from_millis(5)),
    );
    let builder = builder.pipelining(oss_append::emulator::Pipelining::Unanswered);
    let emulator = builder.fault(delay.forever()).start().await.unwrap();
    let report = doctor(&emulator, &["--write", "--json"]).await;
    let report = report.expect(0).json();
    let pipelining = &report["pipelining"];
    assert_eq!(pipelining["taken"], false, "{pipelining}");
    assert!(
        pipelining["reason"]
            .as_str()
            .unwrap()
            .contains("connection")
    );
    assert_eq!(pipelining["recommended_max_in_flight"], json!(null));
    assert_eq!(report["permissions"]["seal"], "allowed");
    assert_clean(&emulator);
    let told = text(&emulator, &["--write"], 0).await;
    assert!(told.contains("one append at a time only: "), "{told}");
}

#[tokio::test]
async fn a_look_or_list_that_fails_is_tried_again() {
    let emulator = emulator().await;
    let options = ["--compress=gzip", "--content-encoding=gzip"];
    let mut append = command(&emulator, ["append", "oss://bucket/logs/a.gz"]);
    append.args(options);
    run(append, "x").await.expect(0);
    for fault in [
        "head:error=503",
        "head:drop,times=2",
        // That of the object which is listed.
        "head:error=500,key=logs/a.gz",
        "list-v2:error=500",
        "list-v2:drop",
    ] {
        emulator.inject(fault.parse().unwrap());
        let ended = doctor(&emulator, &["--json"]).await.expect(0);
        let report = ended.json();
        assert_eq!(report["problems"], json!([]), "{fault}");
        assert_eq!(report["encoded"][0]["key"], "logs/a.gz", "{fault}");
        assert!(report["round_trip_ms"]["median"].is_number(), "{fault}");
        assert_eq!(emulator.faults().pending(), 0, "{fault}");
        ended.says(&["; trying again for up to 10 s"]);
    }
    emulator.inject("list-v2:error=503,times=forever".parse().unwrap());
    let ended = doctor(&emulator, &["--json", "--delivery-timeout=300ms"]).await;
    let ended = ended.expect(6);
    let report = ended.json();
    assert_eq!(report["permissions"]["list"], "failed");
    assert_eq!(report["permissions"]["head"], "allowed");
    let problem = report["problems"][0].as_str().unwrap();
    assert!(problem.contains("gave up after"), "{problem}");
}
