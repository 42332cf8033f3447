//! What the client makes of answers that are late, broken, endless or none at all.

use std::time::Duration;

use bytes::Bytes;
use oss_append::client::PresignMethod;
use oss_append::{ErrorKind, TransportCause};

use super::{APPENDED, SECRET, TOKEN, builder, cause, client, error_document, object, ok};
use crate::support::server::{Play, SLOW_PIECE, ScriptedServer, answer, head};

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = ScriptedServer::start([ok()]).await;
    let location = format!("{}/elsewhere?secret=1", elsewhere.endpoint());
    let moved = || {
        Play::Send(answer(
            "307 Temporary Redirect",
            &[("Location", &location)],
            "",
        ))
    };
    let origin = ScriptedServer::start([moved(), moved()]).await;

    let client = builder(&origin).build().unwrap();
    let error = client
        .append_object(&object(), "x")
        .send()
        .await
        .unwrap_err();
    let said = error.service_error().unwrap();
    assert_eq!(said.status, 307);
    assert_eq!(
        said.endpoint,
        Some(format!("{}/elsewhere", elsewhere.endpoint()))
    );
    assert!(elsewhere.requests().is_empty());

    // A client of the caller's own that follows all the same is found out.
    let following = builder(&origin)
        .http_client(reqwest::Client::new())
        .build()
        .unwrap();
    let error = following.head_object(&object()).send().await.unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::BadAnswer { .. }),
        "{error}"
    );
}

#[tokio::test]
async fn no_connection_is_told_from_a_broken_one() {
    let nobody = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    let (client, server) = client([
        Play::SendAndClose(Vec::new()),
        Play::SendAndClose(b"HTTP/1.1 2".to_vec()),
        Play::SendAndClose(b"SSH-2.0-OpenSSH\r\n\r\n".to_vec()),
    ])
    .await;
    for _ in 0..3 {
        let error = client
            .append_object(&object(), "x")
            .send()
            .await
            .unwrap_err();
        assert_eq!(cause(&error), TransportCause::Broken, "{error}");
    }
    assert_eq!(server.requests().len(), 3, "nothing is sent twice");

    let client = builder(&server).endpoint(nobody).build().unwrap();
    let error = client
        .append_object(&object(), "x")
        .send()
        .await
        .unwrap_err();
    assert_eq!(cause(&error), TransportCause::Connect, "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_request_that_stands_still_is_given_up() {
    let (client, server) = client([Play::Stall]).await;
    let error = client
        .append_object(&object(), "x")
        .send()
        .await
        .unwrap_err();
    assert_eq!(cause(&error), TransportCause::Timeout, "{error}");
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn an_answer_before_the_end_of_the_body_counts() {
    let body = error_document("PositionNotEqualToLength", "");
    let early = Play::SendEarly(answer("409 Conflict", &[], &body));
    let (client, _server) = client([early]).await;
    let large = Bytes::from(vec![1; 8 * SLOW_PIECE]);
    let error = client
        .append_object(&object(), large)
        .send()
        .await
        .unwrap_err();
    assert_eq!(error.service_error().unwrap().status, 409);
}

#[tokio::test(start_paused = true)]
async fn a_slow_upload_is_not_cut_off() {
    let slow = Duration::from_secs(25);
    let play = Play::ReadSlowly(6, slow, answer("200 OK", &APPENDED, ""));
    let (client, server) = client([play]).await;
    let body = Bytes::from(vec![1; 8 * SLOW_PIECE]);
    client
        .append_object(&object(), body.clone())
        .send()
        .await
        .unwrap();
    assert_eq!(server.request().body.len(), body.len());
}

#[tokio::test(start_paused = true)]
async fn a_slow_download_is_not_cut_off_and_one_that_stands_still_is() {
    let headers = [("Content-Length", "6")];
    let drip = |bytes: &[u8]| {
        Play::Drip(
            head("200 OK", &headers),
            bytes.to_vec(),
            Duration::from_secs(25),
        )
    };
    let stalled = drip(b"sta");
    let (client, _server) = client([drip(b"slowly"), stalled, Play::Stall]).await;
    let got = client.get_object(&object()).send().await.unwrap();
    assert_eq!(got.bytes(6).await.unwrap(), "slowly");

    let got = client.get_object(&object()).send().await.unwrap();
    let error = got.bytes(6).await.unwrap_err();
    assert_eq!(cause(&error), TransportCause::Timeout);
    assert_eq!(error.object(), Some(&object()));
}

#[tokio::test]
async fn an_endless_error_document_is_read_to_a_limit() {
    let (client, _server) =
        client([Play::SendForever(head("500 Internal Server Error", &[]))]).await;
    let error = client
        .append_object(&object(), "x")
        .send()
        .await
        .unwrap_err();
    let said = error.service_error().unwrap();
    assert_eq!((said.status, &*said.code), (500, ""));
}

#[tokio::test(start_paused = true)]
async fn an_error_document_that_trickles_is_given_up() {
    let head = head("500 Internal Server Error", &[("Content-Length", "10000")]);
    let document = error_document("InternalError", "").into_bytes();
    let trickle = [document, vec![b' '; 5000]].concat();
    let play = Play::Drip(head, trickle, Duration::from_millis(100));
    let (client, _server) = client([play]).await;
    let error = client
        .append_object(&object(), "x")
        .send()
        .await
        .unwrap_err();
    assert_eq!(error.service_error().unwrap().code, "InternalError");
}

#[tokio::test]
async fn no_secret_shows_in_errors_and_debug() {
    let echo = format!(
        "<SignatureProvided>sig-{SECRET}</SignatureProvided>\
         <StringToSign>x-oss-security-token:{TOKEN}</StringToSign>"
    );
    let (client, server) = client([
        Play::Send(answer(
            "403 Forbidden",
            &[],
            &error_document("SignatureDoesNotMatch", &echo),
        )),
        Play::Send(answer(
            "502 Bad Gateway",
            &[],
            &format!("<html>{TOKEN}</html>"),
        )),
        Play::SendAndClose(Vec::new()),
    ])
    .await;
    let mut shown = format!("{client:?} {:?}", builder(&server));
    for _ in 0..3 {
        let request = client.append_object(&object(), "the-payload");
        shown.push_str(&format!("{request:?}"));
        let error = request.send().await.unwrap_err();
        let chain = std::iter::successors(Some(&error as &dyn std::error::Error), |e| e.source());
        chain.for_each(|cause| shown.push_str(&format!(" {cause} {cause:?}")));
    }
    let url = client
        .presign(PresignMethod::Get, &object(), Duration::from_secs(60))
        .await
        .unwrap();
    assert!(url.contains(TOKEN), "a presigned URL has to carry it");
    for hidden in [
        SECRET,
        TOKEN,
        "the-access-key-id",
        "Signature=",
        "the-payload",
    ] {
        assert!(!shown.contains(hidden), "{hidden} in {shown}");
    }
}
