//! Keys, metadata, tags and header values arrive as they were given, or are refused before they
//! are sent.

use std::future::Future;

use oss_append::client::Addressing;
use oss_append::emulator::Emulator;
use oss_append::{Error, ErrorKind, ObjectOptions, ObjectPath, OssClient};
use proptest::prelude::*;

use crate::{cases, runtime};

/// Text of what is special in URLs, headers and queries, and of anything.
fn text() -> impl Strategy<Value = String> {
    let special = prop::sample::select(vec![
        "/", ".", "..", "/../", "//", "\\", "%", "%2F", "%2e%2e", "%zz", "?", "#", "&", "=", "+",
        " ", ";", ":", "@", "*", "~", "'", "\"", "<", ">", "|", "\u{7f}", "\u{85}", "\r\n", "\0",
        "日志", "é", "e\u{301}", "\u{feff}", "\u{202e}", "\u{fffe}", "🦀", "a", "append", "oss://",
        "x-oss-",
    ]);
    prop_oneof![
        prop::collection::vec(special, 0..8).prop_map(|pieces| pieces.concat()),
        any::<String>(),
        "\\PC{0,40}",
    ]
}

#[track_caller]
fn is_refused(error: &Error) {
    assert!(
        matches!(error.kind(), ErrorKind::InvalidInput { .. }),
        "{error:?}"
    );
}

/// A client that speaks to the server in virtual-host style.
fn virtual_host(emulator: &Emulator) -> OssClient {
    let http = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .resolve("bucket.oss.example", emulator.address());
    emulator
        .client()
        .endpoint(format!("http://oss.example:{}", emulator.address().port()))
        .addressing(Addressing::VirtualHost)
        .http_client(http.build().unwrap())
        .build()
        .unwrap()
}

fn with_server<F: Future<Output = ()>>(
    strategy: impl Strategy<Value = (String, String, String)>,
    run: impl Fn(Emulator, (String, String, String)) -> F,
) {
    let runtime = runtime();
    proptest::test_runner::TestRunner::new(cases(50))
        .run(&strategy, |texts| {
            runtime.block_on(async {
                let emulator = Emulator::builder().bucket("bucket").start().await.unwrap();
                run(emulator, texts).await;
            });
            Ok(())
        })
        .unwrap();
}

#[test]
fn an_object_lands_under_exactly_its_key_or_is_refused() {
    with_server(
        (text(), text(), text()),
        |emulator, (one, two, three)| async move {
            let clients = [emulator.client().build().unwrap(), virtual_host(&emulator)];
            for key in [
                one.clone(),
                two,
                format!("a{three}"),
                format!("{one}/{three}"),
            ] {
                let object = match ObjectPath::new("bucket", &key) {
                    Ok(object) => object,
                    Err(error) => {
                        is_refused(&error.into());
                        continue;
                    }
                };
                for client in &clients {
                    let sent = client.append_object(&object, "mine").send().await;
                    if let Err(error) = &sent {
                        is_refused(error);
                        assert!(emulator.requests().is_empty(), "{key:?}");
                        continue;
                    }
                    let stored = emulator.object("bucket", &key).expect("under its key");
                    assert_eq!(stored.bytes, "mine");
                    let got = client.get_object(&object).send().await.unwrap();
                    assert_eq!(got.bytes(4).await.unwrap(), "mine");
                    client.delete_object(&object).send().await.unwrap();
                    assert!(emulator.object("bucket", &key).is_none());
                    let others = emulator
                        .requests()
                        .iter()
                        .any(|r| r.key.as_ref() != Some(&key));
                    assert!(!others, "{key:?}: {:?}", emulator.requests());
                    emulator.clear_requests();
                }
            }
        },
    );
}

#[test]
fn properties_arrive_as_they_were_given_or_are_refused() {
    let name = "[a-zA-Z0-9-]{1,4}|[ -~]{0,3}";
    let value = prop_oneof![
        "[ -~]{0,20}".boxed(),
        text().boxed(),
        "[a-zé +=._:/-]{0,9}".boxed()
    ];
    with_server(
        (name, value, text()),
        |emulator, (name, value, other)| async move {
            let client = emulator.client().build().unwrap();
            let mut options = ObjectOptions::new().content_disposition(&*other);
            let set = |outcome: Result<ObjectOptions, Error>, before| {
                outcome.unwrap_or_else(|error| {
                    is_refused(&error);
                    before
                })
            };
            options = set(options.clone().meta(&name, &*value), options);
            options = set(options.clone().meta("other", &*other), options);
            options = set(options.clone().tag(&*value, &*other), options);
            options = set(options.clone().tag(&*name, &*value), options);
            let object = super::object();
            let sent = client
                .append_object(&object, "x")
                .options(options.clone())
                .send()
                .await;
            if let Err(error) = &sent {
                is_refused(error);
                assert!(other.contains(char::is_control), "{other:?}: {error}");
                assert!(emulator.requests().is_empty());
                return;
            }
            let stored = emulator.object("bucket", "object").unwrap();
            // The order of both is that of the options' own maps, whose text they are compared with.
            let given = format!("{options:?}");
            assert!(
                given.contains(&format!("meta: {:?}", stored.metadata)),
                "{given}"
            );
            assert!(
                given.contains(&format!("tags: {:?}", stored.tags)),
                "{given}"
            );
            let disposition = stored.headers.get("content-disposition");
            assert_eq!(
                disposition.map_or("", String::as_str),
                other.trim_matches(' ')
            );
        },
    );
}

#[tokio::test]
async fn as_much_metadata_as_is_allowed_arrives() {
    let emulator = Emulator::builder().bucket("bucket").start().await.unwrap();
    let mut options = ObjectOptions::new();
    for n in 0..900 {
        options = options.meta(n.to_string(), "v").unwrap();
    }
    let client = emulator.client().build().unwrap();
    let request = client.append_object(&super::object(), "x").options(options);
    request.send().await.unwrap();
    let meta = client.head_object(&super::object()).send().await.unwrap();
    assert_eq!(meta.metadata.len(), 900);
}
