//! Promise 8: no key, token or signature shows in `Debug`, errors or logs.

use std::fmt::Write as _;

use futures::future::join_all;
use oss_append::client::OssClientBuilder;
use oss_append::credentials::{Credentials, StaticCredentials};
use oss_append::emulator::{Action, Emulator, Fault, Operation};
use oss_append::{OssAppendWriter, OssClient};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::support::log::{Log, set_default};
use crate::support::{MS, SEC, object};

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
    let _guard = set_default(log.subscriber(tracing::Level::TRACE));

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
                note(&mut out, &error);
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

/// What becomes of a connection after its answer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Close,
    Stall,
}

/// Answers each connection's request with one of these, in which `{}` is the request, escaped,
/// `{line}` the same in one line, and `{secret}` the secret.
async fn echo(answers: Vec<&'static str>, end: End) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut stalled = Vec::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.windows(4).any(|window| window == b"\r\n\r\n") {
                stream.read_buf(&mut request).await.unwrap();
            }
            let request = String::from_utf8(request).unwrap().replace("&", "&amp;");
            assert!(request.contains(TOKEN) && request.contains("Signature="));
            let answer = answer.replace("{}", &request).replace("{secret}", SECRET);
            let answer = answer.replace("{line}", &request.replace("\r\n", " "));
            stream.write_all(answer.as_bytes()).await.unwrap();
            if end == End::Stall {
                stalled.push(stream);
            }
        }
        if end == End::Stall {
            std::future::pending::<()>().await;
        }
    });
    format!("http://{address}")
}

fn with_token(endpoint: &str) -> OssClientBuilder {
    OssClient::builder()
        .endpoint(endpoint)
        .region("cn-hangzhou")
        .credentials(StaticCredentials::with_session_token("id", SECRET, TOKEN))
}

/// Nothing that is shown has a marked secret or a signature in it.
#[track_caller]
fn nothing_shows(out: &str) {
    for line in out.lines() {
        assert!(!line.contains("MARKED"), "{line}");
        for after in line.split("Signature=").skip(1) {
            assert!(after.starts_with("***"), "{line}");
        }
    }
}

#[tokio::test]
async fn no_secret_shows_in_answers_that_repeat_the_request() {
    let log = Log::default();
    let _guard = set_default(log.subscriber(tracing::Level::TRACE));
    let answers = vec![
        "HTTP/1.1 502 Bad\r\nContent-Type: text/html\r\n\r\n<html>{} {secret}</html>",
        "HTTP/1.1 403 No\r\n\r\n<Error><Code>Echo</Code><Message>{} {secret}</Message></Error>",
        "HTTP/1.1 403 No\r\n\r\n<Error><Code>Echo</Code><StringToSign>{}</StringToSign>\
         <SignatureProvided>{}</SignatureProvided><HostId>{}</HostId><EC>{}</EC>\
         <RequestId>{}</RequestId><Endpoint>{}</Endpoint></Error>",
        "HTTP/1.1 307 Go\r\nLocation: http://id:{secret}@example.com/?{secret}\r\n\r\n",
        "HTTP/1.1 400 No\r\nx-oss-request-id: {secret}\r\nx-oss-ec: {secret}\r\n\r\n",
        "{}",
        "HTTP/1.1 200 OK\r\nx-oss-next-append-position: {secret}\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\nx-oss-request-id: {line} {secret}\r\nx-oss-next-append-position: no\
         \r\n\r\n",
    ];
    let requests = answers.len();
    let url = echo(answers, End::Close).await;
    let of = |endpoint: &str| with_token(endpoint).build().unwrap();
    let client = of(&url);
    let mut out = String::new();
    for _ in 0..requests {
        let error = client
            .append_object(&object(), "x")
            .send()
            .await
            .unwrap_err();
        note(&mut out, &error);
    }
    // Nobody listens any more; TLS to a port without it is no better.
    for client in [client, of(&url.replace("http:", "https:"))] {
        let error = client.head_object(&object()).send().await.unwrap_err();
        note(&mut out, &error);
        let life = std::time::Duration::ZERO;
        let method = oss_append::client::PresignMethod::Get;
        note(
            &mut out,
            &client.presign(method, &object(), life).await.unwrap_err(),
        );
    }
    out.push_str(&log.text());
    assert!(
        out.contains("403 Echo") && out.contains("Signature=***"),
        "{out}"
    );
    nothing_shows(&out);
}

#[tokio::test]
async fn no_secret_shows_in_the_type_of_an_object() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nx-oss-object-type: {line} {secret}\r\n\r\n";
    let url = echo(vec![head], End::Close).await;
    let client = with_token(&url).build().unwrap();
    let error = OssAppendWriter::builder(client, object()).open().await;
    let mut out = String::new();
    note(&mut out, &error.unwrap_err());
    assert!(
        out.contains("NotAppendable") && out.contains("***"),
        "{out}"
    );
    nothing_shows(&out);
}

#[tokio::test]
async fn no_secret_shows_in_answers_that_stall() {
    let log = Log::default();
    let _guard = set_default(log.subscriber(tracing::Level::TRACE));
    let answers = [
        // In the status line, in the headers, behind them.
        "HTTP/1.1 200 {line} {secret}",
        "HTTP/1.1 200 OK\r\nx-oss-request-id: {secret}\r\nx-oss-err: {line}",
        "HTTP/1.1 403 No\r\nx-oss-request-id: {secret}\r\nx-oss-ec: {line}\r\n\
         Content-Length: 99999\r\n\r\n",
        "HTTP/1.1 502 Bad\r\nContent-Type: text/{secret}\r\nContent-Length: 99999\r\n\r\n\
         <html>{} {secret}",
        "HTTP/1.1 403 No\r\nContent-Length: 99999\r\n\r\n<Error><Code>Echo</Code>\
         <Message>{line} {secret}</Message><HostId>{}",
        "HTTP/1.1 307 {secret}\r\nLocation: http://id:{secret}@example.com/{secret}?{line}\r\n\
         Content-Length: 99999\r\n\r\n",
        "HTTP/1.1 200 {secret}\r\nx-oss-request-id: {secret}\r\nx-oss-object-type: {line}\r\n\
         x-oss-next-append-position: {secret}\r\nContent-Length: 99999\r\n\r\n{}",
        "HTTP/1.1 200 {secret}\r\nx-oss-request-id: {line} {secret}\r\nx-oss-hash-crc64ecma: 1\
         \r\nx-oss-next-append-position: 1\r\nContent-Length: 99999\r\n\r\n{}",
    ];
    let requests = answers.len();
    let url = echo(answers.repeat(3), End::Stall).await;
    let client = with_token(&url).attempt_timeout(SEC).build().unwrap();
    // At once: most of it is waiting.
    let appends = (0..requests).map(async |_| {
        let mut out = String::new();
        match client.append_object(&object(), "x").send().await {
            Ok(answer) => writeln!(out, "{answer:?}").unwrap(),
            Err(error) => note(&mut out, &error),
        }
        out
    });
    let mut out = join_all(appends).await.concat();
    let heads = (0..requests).map(async |_| {
        let mut out = String::new();
        match client.head_object(&object()).send().await {
            Ok(answer) => writeln!(out, "{:?} {:?}", answer.kind, answer.request_id).unwrap(),
            Err(error) => note(&mut out, &error),
        }
        out
    });
    out += &join_all(heads).await.concat();
    let gets = (0..requests).map(async |_| {
        let mut out = String::new();
        match client.get_object(&object()).send().await {
            Ok(got) => {
                let _ = writeln!(out, "{:?}", got.body);
                note(&mut out, &got.body.bytes(u64::MAX).await.unwrap_err());
            }
            Err(error) => note(&mut out, &error),
        }
        out
    });
    out += &join_all(gets).await.concat();
    out.push_str(&log.text());
    assert!(
        out.contains("403 Echo") && out.contains("nothing moved"),
        "{out}"
    );
    nothing_shows(&out);
}

#[tokio::test]
async fn no_secret_shows_where_tls_meets_plain_http() {
    let log = Log::default();
    let _guard = set_default(log.subscriber(tracing::Level::TRACE));
    let emulator = Emulator::builder()
        .bucket("bucket")
        .sts("id", SECRET, TOKEN)
        .start()
        .await
        .unwrap();
    let url = emulator.url().replace("http:", "https:");
    let client = with_token(&url).build().unwrap();
    let mut out = String::new();
    let error = client.append_object(&object(), "x").send().await;
    note(&mut out, &error.unwrap_err());
    let writer = OssAppendWriter::builder(client, object()).delivery_timeout(100 * MS);
    note(&mut out, &writer.open().await.unwrap_err());
    assert!(emulator.requests().is_empty());
    out.push_str(&log.text());
    nothing_shows(&out);
}
