//! TLS for real: who is trusted, and what becomes of bytes for a server that is not.

use oss_append::client::Addressing;
use oss_append::credentials::StaticCredentials;
use oss_append::emulator::{Emulator, Operation};
use oss_append::{
    Backoff, Error, ErrorKind, Landed, OssAppendWriter, OssAppendWriterBuilder, OssClient,
    OssClientBuilder, TransportCause,
};

use crate::support::emulated::{content, start};
use crate::support::tls::{Authority, Identity, TlsServer};
use crate::support::{MS, SEC};

const NAME: &str = "oss.example.com";

/// A client of the server that trusts this authority alone.
fn client(emulator: &Emulator, server: &TlsServer, trusted: &Authority) -> OssClientBuilder {
    emulator
        .client()
        .endpoint(format!("https://{NAME}:{}", server.address.port()))
        .addressing(Addressing::Path)
        .without_proxy()
        .resolve(NAME, [server.address])
        .root_certificates(trusted.pem())
        .platform_roots(false)
}

fn writer(
    emulator: &Emulator,
    server: &TlsServer,
    trusted: &Authority,
) -> OssAppendWriterBuilder<oss_append::OssClient> {
    writer_by(client(emulator, server, trusted))
}

fn writer_by(client: OssClientBuilder) -> OssAppendWriterBuilder<oss_append::OssClient> {
    OssAppendWriter::builder(client.build().unwrap(), crate::support::object())
        .backoff(Backoff::new(MS, 10 * MS))
}

fn assert_refused(error: &Error) {
    let ErrorKind::Transport { cause, reason, .. } = error.kind() else {
        panic!("{error}");
    };
    assert_eq!(*cause, TransportCause::Tls);
    assert!(reason.contains(NAME), "{reason}");
    assert!(reason.to_lowercase().contains("certificate"), "{reason}");
}

/// The server shows this to a client that trusts the authority.
async fn refused(trusted: &Authority, identity: Identity) -> String {
    let emulator = start().await;
    let server = TlsServer::start(&emulator, identity).await;
    let error = writer(&emulator, &server, trusted)
        .open()
        .await
        .unwrap_err();
    assert_refused(&error);
    assert_eq!(server.connections(), 1, "asking again does not help");
    assert!(emulator.requests().is_empty());
    error.to_string()
}

#[tokio::test]
async fn a_server_with_a_certificate_of_the_right_authority_is_written_to() {
    let (emulator, authority) = (start().await, Authority::new());
    let server = TlsServer::start(&emulator, authority.identity(NAME)).await;
    let mut writer = writer(&emulator, &server, &authority).open().await.unwrap();
    writer.write_all(b"under seal").await.unwrap();
    writer.shutdown().await.unwrap();
    assert_eq!(content(&emulator), b"under seal");
}

#[tokio::test]
async fn an_unknown_authority_is_refused_at_once() {
    let (trusted, other) = (Authority::new(), Authority::new());
    refused(&trusted, other.identity(NAME)).await;
}

#[tokio::test]
async fn an_expired_certificate_is_refused_at_once() {
    let authority = Authority::new();
    let said = refused(&authority, authority.expired(NAME)).await;
    assert!(said.contains("expired"), "{said}");
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused_at_once() {
    let authority = Authority::new();
    let said = refused(&authority, authority.identity("elsewhere.example.com")).await;
    assert!(said.contains("elsewhere.example.com"), "{said}");
}

#[tokio::test]
async fn a_connection_that_breaks_under_tls_is_replaced() {
    let (emulator, authority) = (start().await, Authority::new());
    let server = TlsServer::start(&emulator, authority.identity(NAME)).await;
    let mut writer = writer(&emulator, &server, &authority).open().await.unwrap();
    for _ in 0..3 {
        writer.write_all(b"again ").await.unwrap();
        writer.sync().await.unwrap();
        server.become_other(authority.identity(NAME)).await;
    }
    writer.write_all(b"and done").await.unwrap();
    writer.shutdown().await.unwrap();
    assert_eq!(content(&emulator), b"again again again and done");
}

#[tokio::test]
async fn a_certificate_that_expires_in_mid_stream_ends_the_writer_and_keeps_its_bytes() {
    for window in [1, 4] {
        expires_in_mid_stream(window).await;
    }
}

async fn expires_in_mid_stream(window: u16) {
    let (emulator, authority) = (start().await, Authority::new());
    let server = TlsServer::start(&emulator, authority.identity(NAME)).await;
    let builder = writer(&emulator, &server, &authority).max_in_flight(window);
    let mut writer = builder.open().await.unwrap();
    writer.write_all(b"durable ").await.unwrap();
    writer.sync().await.unwrap();
    server.become_other(authority.expired(NAME)).await;

    writer.write_all(b"kept").await.unwrap();
    let error = writer.shutdown().await.unwrap_err();
    assert_refused(&error);
    assert_eq!(emulator.count(Operation::AppendObject), 1);
    // Unless the dead connection took the request before it was found dead.
    assert!(matches!(error.landed(), Some(Landed::No | Landed::InDoubt)));
    let unsent = writer.into_unsent().unwrap();
    assert_eq!(
        (unsent.position, unsent.chunks.concat()),
        (8, b"kept".into())
    );
    assert_eq!(content(&emulator), b"durable ");
}

#[tokio::test]
async fn a_server_without_tls_is_not_said_to_have_a_wrong_certificate() {
    let emulator = start().await;
    let client = emulator
        .client()
        .endpoint(format!("https://{}", emulator.address()))
        .build()
        .unwrap();
    let error = OssAppendWriter::builder(client, crate::support::object())
        .delivery_timeout(SEC)
        .open()
        .await
        .unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::RetriesExhausted { .. }));
    let cause = std::error::Error::source(&error).unwrap();
    let cause: &Error = cause.downcast_ref().unwrap();
    assert!(matches!(
        cause.kind(),
        ErrorKind::Transport {
            cause: TransportCause::Connect,
            ..
        }
    ));
}

#[tokio::test]
async fn several_authorities_are_trusted_at_once() {
    let (emulator, first, second) = (start().await, Authority::new(), Authority::new());
    for authority in [&first, &second] {
        let server = TlsServer::start(&emulator, authority.identity(NAME)).await;
        let bundle = first.pem() + &second.pem();
        let client = client(&emulator, &server, &Authority::new()).root_certificates(bundle);
        writer_by(client).open().await.unwrap();
    }
}

#[tokio::test]
async fn the_platforms_authorities_do_not_know_ours() {
    let (emulator, authority) = (start().await, Authority::new());
    let server = TlsServer::start(&emulator, authority.identity(NAME)).await;
    let client = emulator
        .client()
        .endpoint(format!("https://{NAME}:{}", server.address.port()))
        .addressing(Addressing::Path)
        .without_proxy()
        .resolve(NAME, [server.address]);
    assert_refused(&writer_by(client).open().await.unwrap_err());
}

#[tokio::test]
async fn a_client_shows_its_certificate_to_a_server_that_asks() {
    let (emulator, authority) = (start().await, Authority::new());
    let server = TlsServer::start(&emulator, authority.asking(NAME)).await;
    let (certificate, key) = authority.client_certificate();
    let with = client(&emulator, &server, &authority).client_certificate(certificate, key);
    let mut ours = writer_by(with).open().await.unwrap();
    ours.write_all(b"it is me").await.unwrap();
    ours.shutdown().await.unwrap();
    assert_eq!(content(&emulator), b"it is me");

    let others = Authority::new().client_certificate();
    let unknown = client(&emulator, &server, &authority).client_certificate(others.0, others.1);
    for client in [client(&emulator, &server, &authority), unknown] {
        // The server's refusal comes when the client has sent its request already.
        let client = client.build().unwrap();
        let looked = client.head_object(&crate::support::object()).send().await;
        let error = looked.unwrap_err();
        let told = crate::support::causes(&error);
        assert!(told.contains(NAME) && told.contains("alert"), "{told}");
    }
    assert_eq!(content(&emulator), b"it is me");
}

#[test]
fn certificates_that_are_none_are_refused_and_not_repeated() {
    let client = || {
        OssClient::builder()
            .region("cn-hangzhou")
            .credentials(StaticCredentials::new("id", "secret"))
    };
    let (certificate, key) = Authority::new().client_certificate();
    for (builder, what) in [
        (client().root_certificates("hush"), "root certificates"),
        (client().root_certificates(key.clone()), "root certificates"),
        (client().platform_roots(false), "no server is trusted"),
        (
            client().client_certificate(certificate.clone(), "hush"),
            "PRIVATE KEY",
        ),
        (
            client().client_certificate("hush", key.clone()),
            "CERTIFICATE",
        ),
    ] {
        let shown = format!("{builder:?}");
        let error = builder.build().unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::InvalidInput { .. }));
        let told = format!("{error} {error:?} {shown}");
        assert!(told.contains(what), "{told}");
        let secret = key.lines().nth(1).unwrap();
        assert!(!told.contains("hush") && !told.contains(secret), "{told}");
    }
}
