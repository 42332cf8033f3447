//! Signatures, tokens, clocks and ACLs.

use jiff::SignedDuration;
use oss_append::emulator::{Account, Emulator};

use crate::support::raw::{BUCKET, Client, Request, Signing, append, start};

const SIGNINGS: [Signing; 4] = [Signing::V4, Signing::V4Query, Signing::V1, Signing::V1Query];

#[tokio::test]
async fn every_signature_is_accepted_and_protects_the_request() {
    let (emulator, client) = start().await;
    for signing in SIGNINGS {
        emulator.delete(BUCKET, "a b+ü/c").unwrap();
        let client = client.signing(signing);
        assert_eq!(client.append("a b+ü/c", 0, b"x").await.status, 200);
        let wrong = client.key(&client.id, "wrong", None);
        let refused = wrong.append("a b+ü/c", 1, b"x").await;
        let ec = match signing {
            Signing::V4 | Signing::V4Query => "0002-00000201",
            _ => "0002-00000040",
        };
        let expected = format!("403 SignatureDoesNotMatch {ec}");
        assert_eq!(refused.summary(), expected);
        assert!(refused.element("StringToSign").is_some());
        let unknown = client.key("nobody", "wrong", None);
        let refused = unknown.get("a b+ü/c").await;
        assert_eq!(refused.summary(), "403 InvalidAccessKeyId 0002-00000902");
        assert_eq!(refused.element("OSSAccessKeyId").unwrap(), "nobody");
    }
}

#[tokio::test]
async fn tokens_are_checked() {
    let emulator = Emulator::builder()
        .bucket(BUCKET)
        .account(Account::Legacy)
        .sts("a", "secret", "token-a")
        .sts("b", "secret", "token-b")
        .expired_sts("old", "secret", "token-old")
        .start()
        .await
        .unwrap();
    emulator.put(BUCKET, "k", "x").unwrap();
    let plain = Client::new(emulator.address());
    for signing in SIGNINGS {
        let plain = plain.signing(signing);
        let get = async |id: &str, token: Option<&str>| {
            plain.key(id, "secret", token).get("k").await.summary()
        };
        assert_eq!(get("a", Some("token-a")).await, "200");
        let missing = "403 InvalidAccessKeyId 0002-00000003";
        assert_eq!(get("a", None).await, missing);
        let wrong = "403 InvalidSecurityToken 0002-00000006";
        assert_eq!(get("a", Some("token-x")).await, wrong);
        let other = "403 AccessKeyIdAndSecurityTokenNotMatch 0002-00000004";
        assert_eq!(get("a", Some("token-b")).await, other);
        let expired = "403 SecurityTokenExpired 0002-00000007";
        assert_eq!(get("old", Some("token-old")).await, expired);
        let default_key = plain.get("k").await.status;
        assert_eq!(default_key, 403, "other keys replace the default one");
    }
    emulator.expire_sts("a");
    let renewed = plain.key("c", "secret", Some("token-c"));
    assert_eq!(renewed.get("k").await.status, 403);
    emulator.add_sts("c", "secret", "token-c");
    assert_eq!(renewed.get("k").await.status, 200);
    let expired = plain.key("a", "secret", Some("token-a")).get("k").await;
    assert_eq!(expired.element("Code").unwrap(), "SecurityTokenExpired");
}

#[tokio::test]
async fn a_wrong_clock_is_told_the_time() {
    let (_emulator, client) = start().await;
    for signing in [Signing::V4, Signing::V1] {
        for minutes in [-16, 16] {
            let mut client = client.signing(signing);
            client.ahead = SignedDuration::from_mins(minutes);
            let refused = client.get("k").await;
            // Near midnight the day is wrong, too.
            let code = refused.element("Code").unwrap();
            if code != "InvalidArgument" {
                assert_eq!(refused.summary(), "403 RequestTimeTooSkewed 0002-00000504");
                assert_eq!(
                    refused.element("MaxAllowedSkewMilliseconds").unwrap(),
                    "900000"
                );
                assert!(refused.element("RequestTime").unwrap().ends_with('Z'));
                assert!(refused.element("ServerTime").unwrap().ends_with('Z'));
            }
            assert!(refused.header("date").is_some());
        }
    }
    let mut client = client;
    client.ahead = SignedDuration::from_hours(25);
    let refused = client.get("k").await;
    assert_eq!(refused.summary(), "400 InvalidArgument 0002-00000212");
    assert_eq!(
        refused.element("Message").unwrap(),
        "Invalid signing date in Authorization header."
    );
}

#[tokio::test]
async fn the_servers_clock_can_be_wrong() {
    let (emulator, client) = start().await;
    emulator.set_clock_offset(25 * 60 * 60);
    assert_eq!(client.get("k").await.status, 400);
    let mut client = client;
    client.ahead = SignedDuration::from_hours(25);
    assert_eq!(client.get("k").await.status, 404);
}

#[tokio::test]
async fn a_request_that_asks_caches_for_nothing_is_accepted_by_every_signature() {
    let (_emulator, client) = start().await;
    client.append("k", 0, b"hello").await;
    for signing in SIGNINGS {
        for method in ["HEAD", "GET"] {
            let request = Request::new(method, "k").header("Cache-Control", "no-cache");
            let answer = client.signing(signing).send(request).await;
            assert_eq!(answer.status, 200);
            assert_eq!(
                answer.header("cache-control"),
                None,
                "it is none of the object's"
            );
        }
    }
}

#[tokio::test]
async fn a_presigned_url_expires() {
    let (_emulator, client) = start().await;
    for signing in [Signing::V4Query, Signing::V1Query] {
        let mut client = client.signing(signing);
        client.ahead = SignedDuration::from_secs(-120);
        let refused = client.get("k").await;
        assert_eq!(refused.element("Code").unwrap(), "AccessDenied");
        assert_eq!(refused.element("Message").unwrap(), "Request has expired.");
    }
}

#[tokio::test]
async fn without_a_signature_only_what_is_public_is_allowed() {
    let (emulator, client) = start().await;
    let anybody = client.signing(Signing::None);
    emulator.put(BUCKET, "private", "x").unwrap();
    let refused = anybody.get("private").await;
    assert_eq!(refused.summary(), "403 AccessDenied 0003-00000001");
    assert_eq!(anybody.append("new", 0, b"x").await.status, 403);

    let public = append("public", 0, b"x").header("x-oss-object-acl", "public-read");
    client.send(public).await;
    assert_eq!(anybody.get("public").await.status, 200);
    assert_eq!(anybody.append("public", 1, b"x").await.status, 403);

    let open = Request::new("PUT", "")
        .bucket("open")
        .header("x-oss-acl", "public-read-write");
    client.send(open).await;
    assert_eq!(
        anybody
            .send(append("k", 0, b"x").bucket("open"))
            .await
            .status,
        200
    );
    let delete = Request::new("DELETE", "").bucket("open");
    assert_eq!(anybody.send(delete).await.status, 403);
}

#[tokio::test]
async fn secrets_are_not_shown() {
    let builder = Emulator::builder()
        .account(Account::Legacy)
        .credentials("id", "hush")
        .sts("sts", "hush", "hush-token");
    assert!(!format!("{builder:?}").contains("hush"));
    let emulator = builder.bucket(BUCKET).start().await.unwrap();
    assert!(!format!("{emulator:?}").contains("hush"));
    for signing in SIGNINGS {
        let client = Client::new(emulator.address()).signing(signing);
        let refused = client
            .key("sts", "wrong", Some("hush-token"))
            .get("k")
            .await;
        assert_eq!(refused.element("Code").unwrap(), "SignatureDoesNotMatch");
        assert!(!String::from_utf8(refused.body).unwrap().contains("hush"));
    }
}
