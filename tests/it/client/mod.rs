//! The client against scripted answers: what it sends, and what it makes of what it gets.

mod answers;
mod extremes;
mod failures;
mod listing;
mod requests;

use oss_append::credentials::StaticCredentials;
use oss_append::{Error, ErrorKind, ObjectPath, OssClient, OssClientBuilder, TransportCause};

use crate::support::server::{Play, ScriptedServer, answer};

const ID: &str = "LTAI-the-access-key-id";
const SECRET: &str = "the-access-key-secret";
const TOKEN: &str = "the-session-token";

const APPENDED: [(&str, &str); 6] = [
    ("x-oss-next-append-position", "11"),
    ("x-oss-hash-crc64ecma", "18020588380933092773"),
    ("ETag", "\"0F7230CAA4BE94CCBDC99C5500000000\""),
    ("x-oss-version-id", "null"),
    ("x-oss-request-id", "5C3D9778CC1C2AEDF85B"),
    ("x-oss-qos-delay-time", "250"),
];

fn builder(server: &ScriptedServer) -> OssClientBuilder {
    OssClient::builder()
        .region("cn-hangzhou")
        .endpoint(server.endpoint())
        .credentials(StaticCredentials::with_session_token(ID, SECRET, TOKEN))
}

async fn client(script: impl IntoIterator<Item = Play>) -> (OssClient, ScriptedServer) {
    let server = ScriptedServer::start(script).await;
    (builder(&server).build().unwrap(), server)
}

fn object() -> ObjectPath {
    ObjectPath::new("logs", "a/b.txt").unwrap()
}

fn ok() -> Play {
    Play::Send(answer("200 OK", &APPENDED, ""))
}

fn error_document(code: &str, more: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error>\n  <Code>{code}</Code>\n  \
         <Message>It went wrong.</Message>\n  <RequestId>ID</RequestId>\n  {more}\n</Error>\n"
    )
}

#[track_caller]
fn cause(error: &Error) -> TransportCause {
    match error.kind() {
        ErrorKind::Transport { cause, .. } => *cause,
        other => panic!("{other:?}"),
    }
}
