//! Promise 8: no key, token or signature shows in `Debug`, errors or logs.

mod support;

use std::fmt::Write as _;

use oss_append::credentials::{Credentials, StaticCredentials};
use oss_append::emulator::{Action, Emulator, Fault, Operation};
use oss_append::{OssAppendWriter, OssClient};
use support::log::Log;
use support::object;
use tokio::io::AsyncWriteExt;

const SECRET: &str = "MARKED-SECRET-0123456789";
const TOKEN: &str = "MARKED-TOKEN-0123456789";

fn note(out: &mut String, error: &oss_append::Error) {
    let _ = writeln!(out, "{error} {error:?} {error:#?}");
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = cause {
        let _ = writeln!(out, "{error} {error:?}");
        cause = error.source();
    }
}

fn client(emulator: &Emulator, id: &str, secret: &str, token: Option<&str>) -> OssClient {
    let credentials = Credentials::new(id, secret);
    let credentials = match token {
        Some(token) => credentials.with_session_token(token),
        None => credentials,
    };
    OssClient::builder()
        .endpoint(emulator.url())
        .region(emulator.region())
        .credentials(StaticCredentials::from(credentials))
        .build()
        .unwrap()
}

#[tokio::test]
async fn no_secret_shows_in_debug_errors_or_logs_at_trace_level() {
    let log = Log::default();
    let _guard = tracing::subscriber::set_default(log.subscriber(tracing::Level::TRACE));

    let emulator = Emulator::builder()
        .bucket("bucket")
        .credentials("id", SECRET)
        .sts("sts", SECRET, TOKEN)
        .expired_sts("old", SECRET, TOKEN)
        .start()
        .await
        .unwrap();
    let mut out = format!("{emulator:?}\n");

    for (id, secret, token) in [
        ("id", SECRET, None),
        ("sts", SECRET, Some(TOKEN)),
        // Refused: a wrong secret, an unknown key, a wrong, a missing and an expired token.
        ("id", "MARKED-SECRET-wrong", None),
        ("nobody", SECRET, None),
        ("sts", SECRET, Some("MARKED-TOKEN-wrong")),
        ("sts", SECRET, None),
        ("old", SECRET, Some(TOKEN)),
    ] {
        let client = client(&emulator, id, secret, token);
        let builder = OssAppendWriter::builder(client.clone(), object());
        let _ = writeln!(out, "{client:?} {builder:?}");
        match builder.open().await {
            Err(error) => note(&mut out, &error),
            Ok(mut writer) => {
                writer.write_all(b"x").await.unwrap();
                emulator.inject(Fault::new(Operation::AppendObject, Action::DropAnswer));
                writer.flush().await.unwrap();
                emulator.inject(Fault::new(
                    Operation::AppendObject,
                    Action::ForeignBefore("y".into()),
                ));
                writer.write_all(b"x").await.unwrap();
                let error = writer.shutdown().await.unwrap_err();
                note(&mut out, oss_append::Error::from_io(&error).unwrap());
                let _ = writeln!(out, "{writer:?} {:?}", writer.stats());
                let _ = writeln!(out, "{:?}", writer.into_unsent());
                emulator.delete("bucket", "object").unwrap();
            }
        }
        let direct = client.append_object(&object(), "x");
        let _ = writeln!(out, "{direct:?}");
        if let Err(error) = direct.position(99).send().await {
            note(&mut out, &error);
        }
    }
    let unreachable = client(&emulator, "id", SECRET, Some(TOKEN));
    emulator.shutdown().await;
    let error = unreachable.head_object(&object()).send().await.unwrap_err();
    note(&mut out, &error);

    out.push_str(&log.text());
    assert!(
        out.contains("SignatureDoesNotMatch"),
        "the paths were taken"
    );
    assert!(out.contains("SecurityTokenExpired"));
    assert!(out.contains("hyper_util"), "other crates were listened to");
    for line in out.lines() {
        assert!(!line.contains("MARKED"), "{line}");
        assert!(!line.contains("Signature="), "{line}");
    }
}
