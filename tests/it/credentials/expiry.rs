//! What becomes of a writer whose temporary credentials expire in mid-stream.

use std::sync::{Arc, Mutex};

use futures::future::BoxFuture;
use oss_append::credentials::{
    self, Credentials, CredentialsProcess, CredentialsProvider, DefaultChain, ProfileFile,
    StaticCredentials,
};
use oss_append::emulator::{Action, Emulator, Fault, Operation};
use oss_append::{Landed, OssAppendWriter};

use crate::support::emulated::{content, start_with};
use crate::support::object;

/// The `number`th of the keys that one server hands out.
fn key(number: usize) -> [String; 3] {
    ["id", "secret", "token"].map(|part| format!("{part}-{number}"))
}

/// Hands out the next key when the one before is refused, as a caching provider does.
#[derive(Debug, Default)]
struct Renewing {
    number: Mutex<usize>,
}

impl CredentialsProvider for Renewing {
    fn credentials(&self) -> BoxFuture<'_, oss_append::Result<Credentials>> {
        Box::pin(async {
            let [id, secret, token] = key(*self.number.lock().unwrap());
            Ok(Credentials::new(id, secret).with_session_token(token))
        })
    }

    fn invalidate(&self, refused: &Credentials) {
        let mut number = self.number.lock().unwrap();
        if refused.access_key_id() == key(*number)[0] {
            *number += 1;
        }
    }
}

/// A server that knows the first key.
async fn start() -> Emulator {
    let [id, secret, token] = key(0);
    start_with(Emulator::builder().sts(id, secret, token)).await
}

/// The key of this number is replaced by the next.
fn expire(emulator: &Emulator, number: usize) {
    let [id, secret, token] = key(number + 1);
    emulator.add_sts(id, secret, token);
    emulator.expire_sts(&key(number)[0]);
}

async fn open(emulator: &Emulator, provider: impl CredentialsProvider) -> OssAppendWriter {
    let client = emulator.client().credentials(provider).build().unwrap();
    OssAppendWriter::builder(client, object())
        .batch_size(1000)
        .max_append_size(1000)
        .open()
        .await
        .unwrap()
}

#[tokio::test]
async fn credentials_that_expire_in_mid_stream_are_renewed_and_nothing_is_lost() {
    const ROUNDS: usize = 5;
    let emulator = start().await;
    let provider = Arc::new(Renewing::default());
    let mut writer = open(&emulator, provider.clone()).await;
    let data: Vec<u8> = (0..ROUNDS as u32 * 1000)
        .flat_map(u32::to_le_bytes)
        .collect();
    for (number, piece) in data.chunks(4000).enumerate() {
        let (before, after) = piece.split_at(500);
        writer.write_all(before).await.unwrap();
        writer.sync().await.unwrap();
        expire(&emulator, number);
        writer.write_all(after).await.unwrap();
    }
    writer.shutdown().await.unwrap();
    assert!(content(&emulator) == data);
    assert_eq!(
        *provider.number.lock().unwrap(),
        ROUNDS,
        "each renewed once"
    );
}

#[tokio::test]
async fn credentials_that_expire_before_the_look_are_renewed_and_nothing_is_doubled() {
    let emulator = start().await;
    let mut writer = open(&emulator, Renewing::default()).await;
    emulator.inject(Fault::new(Operation::AppendObject, Action::HoldAnswer));
    writer.write_all(b"once").await.unwrap();
    let sync = async { writer.sync().await.unwrap() };
    let trouble = async {
        let held = |seen: &[oss_append::emulator::RequestRecord]| {
            seen.iter().any(|request| request.fault.is_some())
        };
        emulator.wait_for(held).await;
        expire(&emulator, 0);
        // The answer is lost with its connection.
        emulator.pause().await;
        emulator.resume().await.unwrap();
    };
    tokio::join!(sync, trouble);
    writer.shutdown().await.unwrap();
    assert_eq!(content(&emulator), b"once");
}

#[tokio::test]
async fn expired_credentials_that_nobody_renews_fail_the_writer_and_keep_its_bytes() {
    let emulator = start().await;
    let [id, secret, token] = key(0);
    let fixed = StaticCredentials::with_session_token(id, secret, token);
    let mut writer = open(&emulator, fixed).await;
    writer.write_all(b"durable, ").await.unwrap();
    writer.sync().await.unwrap();
    expire(&emulator, 0);
    writer.write_all(b"and not").await.unwrap();
    let error = writer.shutdown().await.unwrap_err();
    let said = error.service_error().unwrap();
    assert_eq!((said.status, &*said.code), (403, "SecurityTokenExpired"));
    assert_eq!(error.landed(), Some(Landed::No));
    let unsent = writer.into_unsent().unwrap();
    assert_eq!((unsent.position, unsent.in_doubt), (9, 0));

    // What was given back goes on where it is missing, with better credentials.
    let renewing = Renewing::default();
    let mut writer = open(&emulator, renewing).await;
    assert_eq!(writer.position(), unsent.position);
    for chunk in unsent.chunks {
        writer.write_bytes(chunk).await.unwrap();
    }
    writer.shutdown().await.unwrap();
    assert_eq!(content(&emulator), b"durable, and not");
}

#[tokio::test]
async fn a_secret_that_is_replaced_in_mid_stream_is_fetched_once_and_nothing_is_lost() {
    let emulator = start_with(Emulator::builder().credentials("id", "old")).await;
    let secrets = Arc::new(Mutex::new(vec!["new", "old"]));
    let source = Arc::clone(&secrets);
    let provider = credentials::from_fn(move || {
        let secret = source.lock().unwrap().pop().expect("one fetch each");
        async move { Ok(Credentials::new("id", secret)) }
    });
    let mut writer = open(&emulator, provider).await;
    writer.write_all(b"before, ").await.unwrap();
    writer.sync().await.unwrap();

    emulator.set_secret("id", "new");
    writer.write_all(b"after").await.unwrap();
    writer.shutdown().await.unwrap();

    assert_eq!(content(&emulator), b"before, after");
    assert!(secrets.lock().unwrap().is_empty());
}

/// Every provider that reads its key from somewhere finds the new secret of an id there.
#[cfg(unix)]
#[tokio::test]
async fn a_secret_that_is_replaced_where_it_is_kept_is_read_there_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let keep = |secret: &str| {
        let ini = "[default]\ntype=access_key\naccess_key_id=id\naccess_key_secret=";
        std::fs::write(path("ini"), format!("{ini}{secret}\n")).unwrap();
        let key = format!(r#""access_key_id":"id","access_key_secret":"{secret}""#);
        let cli = format!(r#"{{"current":"p","profiles":[{{"name":"p","mode":"AK",{key}}}]}}"#);
        std::fs::write(path("cli"), cli).unwrap();
        std::fs::write(path("json"), format!(r#"{{"mode":"AK",{key}}}"#)).unwrap();
    };
    keep("old");
    let (ini, cli) = (path("ini"), path("cli"));
    let chain = DefaultChain::new().variables(move |name| match name {
        "ALIBABA_CLOUD_CONFIG_FILE" => Some(cli.clone().into()),
        _ => None,
    });
    let program = format!("cat {}", path("json").display());
    let providers = [
        ProfileFile::ini().path(ini).build(),
        ProfileFile::cli().path(path("cli")).build(),
        CredentialsProcess::new(program).build().unwrap(),
        chain.build(),
    ];
    for provider in providers {
        keep("old");
        let emulator = start_with(Emulator::builder().credentials("id", "old")).await;
        let mut writer = open(&emulator, provider).await;
        writer.write_all(b"before, ").await.unwrap();
        writer.sync().await.unwrap();
        let before = emulator.requests().len();
        emulator.set_secret("id", "new");
        keep("new");
        writer.write_all(b"after").await.unwrap();
        writer.shutdown().await.unwrap();
        assert_eq!(content(&emulator), b"before, after");
        // The one that was refused, and the one with the new key.
        assert_eq!(emulator.requests().len() - before, 2);
    }
}

#[tokio::test]
async fn a_fixed_secret_that_is_wrong_fails_the_writer_with_its_first_request() {
    let emulator = start_with(Emulator::builder().credentials("id", "right")).await;
    let wrong = StaticCredentials::new("id", "wrong");
    let client = emulator.client().credentials(wrong).build().unwrap();
    let opened = OssAppendWriter::builder(client, object()).open().await;
    let error = opened.unwrap_err();
    let said = error.service_error().unwrap();
    assert_eq!((said.status, &*said.code), (403, "SignatureDoesNotMatch"));
    assert_eq!(emulator.requests().len(), 1);
}

#[tokio::test]
async fn a_wrong_clock_an_expired_token_and_a_replaced_secret_at_once_are_mended() {
    let emulator = start().await;
    let provider = Arc::new(Renewing::default());
    let client = emulator.client().credentials(provider).build().unwrap();
    expire(&emulator, 0);
    emulator.set_secret(&key(1)[0], "replaced");
    let [id, secret, token] = key(2);
    emulator.add_sts(id, secret, token);
    emulator.set_clock_offset(7200);
    let (mut codes, object) = (Vec::new(), object());
    while let Err(error) = client.append_object(&object, "once").send().await {
        let said = error.service_error().unwrap();
        assert!(said.clock_corrected || said.credentials_renewed, "{error}");
        codes.push(said.code.clone());
    }
    codes.sort_unstable();
    let expected = [
        "RequestTimeTooSkewed",
        "SecurityTokenExpired",
        "SignatureDoesNotMatch",
    ];
    assert_eq!(codes, expected);
    assert_eq!(content(&emulator), b"once");
}
