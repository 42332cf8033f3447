//! The page for people. A browser looks at it in `tests/browser/run`.

use oss_append::emulator::{ACCESS_KEY_SECRET, Emulator};
use serde_json::Value;

use crate::support::raw::{BUCKET, Client, Request, Signing, append, start};

/// A request for a part of the page, as a browser makes it.
fn part(method: &str, path: &str) -> Request {
    Request::new(method, path).bucket("_emulator")
}

async fn state(client: &Client) -> Value {
    let answer = client.send(part("GET", "state")).await;
    assert_eq!(answer.status, 200);
    let text = String::from_utf8(answer.body).unwrap();
    assert!(!text.contains(ACCESS_KEY_SECRET), "{text}");
    serde_json::from_str(&text).unwrap()
}

#[tokio::test]
async fn the_page_shows_what_there_is_and_what_was_asked() {
    let (emulator, client) = start().await;
    let anybody = client.signing(Signing::None);
    let page = anybody.send(part("GET", "")).await;
    assert_eq!(
        page.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    assert!(
        page.header("content-security-policy")
            .unwrap()
            .contains("default-src 'none'")
    );

    client.append("a/key", 0, b"content").await;
    client.append("a/key", 0, b"content").await;
    let shown = state(&anybody).await;
    assert_eq!(shown["region"], emulator.region());
    assert_eq!(shown["buckets"][0]["name"], BUCKET);
    let object = &shown["buckets"][0]["objects"][0];
    assert_eq!(
        (&object["key"], &object["length"]),
        (&"a/key".into(), &7.into())
    );
    let last = shown["requests"].as_array().unwrap().last().unwrap();
    assert_eq!(
        (&last["status"], &last["code"]),
        (&409.into(), &"PositionNotEqualToLength".into())
    );
    // Looking at the page is no request for OSS.
    assert_eq!(emulator.requests().len(), 2);
}

#[tokio::test]
async fn faults_are_added_and_switched() {
    let (_emulator, client) = start().await;
    let anybody = client.signing(Signing::None);
    let change = async |json: &str| {
        let request = part("POST", "faults").body(json);
        anybody.send(request).await.status
    };
    assert_eq!(
        change("{\"add\":\"append:error=503,times=forever\"}").await,
        204
    );
    assert_eq!(client.append("k", 0, b"x").await.status, 503);
    assert_eq!(change("{\"switch\":{\"fault\":0,\"on\":false}}").await, 204);
    assert_eq!(client.append("k", 0, b"x").await.status, 200);
    let fault = &state(&anybody).await["faults"][0];
    assert_eq!((&fault["on"], &fault["struck"]), (&false.into(), &1.into()));
    for wrong in ["{\"add\":\"append:dorp\"}", "{}", "", &" ".repeat(100_000)] {
        assert_eq!(change(wrong).await, 400);
    }
}

#[tokio::test]
async fn the_page_is_not_there_for_others() {
    let (_emulator, client) = start().await;
    let foreign = part("GET", "state").header("origin", "https://evil.example");
    assert_eq!(client.send(foreign).await.status, 403);
    for host in ["rebound.example", "bucket.localhost"] {
        let named = Request::new("GET", "_emulator/state")
            .bucket("")
            .virtual_host(host);
        assert_ne!(client.send(named).await.status, 200, "{host}");
    }
    let builder = Emulator::builder().bucket(BUCKET);
    let emulator = builder
        .listen("0.0.0.0:0".parse().unwrap())
        .start()
        .await
        .unwrap();
    let port = emulator.address().port();
    let client = Client::new(([127, 0, 0, 1], port).into());
    assert_ne!(client.send(part("GET", "state")).await.status, 200);
    assert_eq!(client.send(append("k", 0, b"x")).await.status, 200);
}
