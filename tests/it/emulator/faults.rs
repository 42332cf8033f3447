//! Every fault does what it says, and nothing else.

use std::io::ErrorKind;
use std::time::Duration;

use oss_append::emulator::{Action, Emulator, ErrorAnswer, Fault, Late, Operation};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::support::raw::{Answer, BUCKET, Client, append, start};

/// Strikes an append of `body` behind "start", and says what is stored then.
async fn strike(action: Action, body: &str) -> (Result<Answer, ErrorKind>, String) {
    let (emulator, client) = start().await;
    emulator.append_foreign(BUCKET, "k", "start").unwrap();
    emulator.inject(Fault::new(Operation::AppendObject, action));
    let answer = client.try_send(append("k", 5, body.as_bytes())).await;
    assert_eq!(emulator.faults().pending(), 0);
    (answer.map_err(|error| error.kind()), stored(&emulator))
}

fn stored(emulator: &Emulator) -> String {
    let bytes = emulator.object(BUCKET, "k").unwrap().bytes;
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[tokio::test]
async fn a_dropped_request_is_not_applied() {
    let (answer, stored) = strike(Action::Drop, "+1").await;
    assert_eq!(answer.unwrap_err(), ErrorKind::UnexpectedEof);
    assert_eq!(stored, "start");
}

#[tokio::test]
async fn a_dropped_answer_leaves_the_append_applied() {
    let (answer, stored) = strike(Action::DropAnswer, "+1").await;
    assert_eq!(answer.unwrap_err(), ErrorKind::UnexpectedEof);
    assert_eq!(stored, "start+1");
}

#[tokio::test]
async fn errors_come_before_or_after_applying() {
    let error = ErrorAnswer::new(503)
        .code("Busy")
        .retry_after(Duration::from_millis(1500))
        .qos_delay(Duration::from_millis(70));
    for (action, expected) in [
        (Action::Error(error.clone()), "start"),
        (Action::ErrorAfter(error), "start+1"),
    ] {
        let (answer, stored) = strike(action, "+1").await;
        let answer = answer.unwrap();
        assert_eq!(answer.summary(), "503 Busy");
        assert_eq!(answer.header("retry-after"), Some("2"));
        assert_eq!(answer.header("x-oss-qos-delay-time"), Some("70"));
        assert_eq!(stored, expected);
    }
}

#[tokio::test]
async fn foreign_appends_come_before_or_after() {
    let (answer, stored) = strike(Action::ForeignBefore("other".into()), "+1").await;
    let answer = answer.unwrap();
    assert_eq!(answer.status, 409);
    assert_eq!(answer.header("x-oss-next-append-position"), Some("10"));
    assert_eq!(stored, "startother");
    let (answer, stored) = strike(Action::ForeignAfter("other".into()), "+1").await;
    let answer = answer.unwrap();
    assert_eq!(answer.header("x-oss-next-append-position"), Some("7"));
    assert_eq!(stored, "start+1other");
}

#[tokio::test]
async fn every_object_of_a_bucket_can_be_under_retention() {
    let (emulator, client) = start().await;
    emulator.inject("append:retain,times=forever".parse().unwrap());
    for key in ["a", "b"] {
        assert_eq!(client.append(key, 0, b"first").await.status, 200);
        let second = client.append(key, 5, b"second").await;
        assert_eq!(second.summary(), "409 FileImmutable 0026-00000005");
        assert_eq!(emulator.object(BUCKET, key).unwrap().bytes, "first");
    }
}

#[tokio::test]
async fn answers_can_lie_about_what_is_stored() {
    let crc = oss_append::crc64::checksum(b"start+1");
    let (right, wrong) = (crc.to_string(), (crc ^ 1).to_string());
    for (action, position, crc) in [
        (Action::WrongCrc, Some("7"), Some(&wrong)),
        (Action::NoCrc, Some("7"), None),
        (Action::WrongPosition, Some("8"), Some(&right)),
        (Action::NoPosition, None, Some(&right)),
    ] {
        let (answer, stored) = strike(action, "+1").await;
        let answer = answer.unwrap();
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("x-oss-next-append-position"), position);
        assert_eq!(answer.header("x-oss-hash-crc64ecma"), crc.map(|crc| &**crc));
        assert_eq!(stored, "start+1");
    }
}

#[tokio::test]
async fn a_torn_append_stores_a_prefix() {
    let (answer, stored) = strike(Action::Torn(3), "+12345").await;
    assert_eq!(answer.unwrap_err(), ErrorKind::UnexpectedEof);
    assert_eq!(stored, "start+12");
}

#[tokio::test]
async fn a_body_can_be_reset_while_it_is_sent() {
    let (emulator, client) = start().await;
    emulator.inject(Fault::new(Operation::AppendObject, Action::ResetBody(10)));
    let request = client.render(append("k", 0, &[0; 20]));
    let mut stream = TcpStream::connect(client.address).await.unwrap();
    stream
        .write_all(&request[..request.len() - 10])
        .await
        .unwrap();
    stream.readable().await.unwrap();
    let error = stream.try_read(&mut [0; 1]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert!(emulator.object(BUCKET, "k").is_none());
}

#[tokio::test]
async fn an_answer_can_be_cut_off() {
    let (answer, stored) = strike(Action::Truncate(20), "+1").await;
    assert_eq!(answer.unwrap_err(), ErrorKind::UnexpectedEof);
    assert_eq!(stored, "start+1");
}

#[tokio::test]
async fn a_proxy_can_answer_in_html() {
    for (action, expected) in [
        (Action::BadGateway, "start"),
        (Action::BadGatewayAfter, "start+1"),
    ] {
        let (answer, stored) = strike(action, "+1").await;
        let answer = answer.unwrap();
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (502, Some("text/html"))
        );
        assert!(answer.body.starts_with(b"<html>"));
        assert_eq!(stored, expected);
    }
}

#[tokio::test]
async fn a_redirect_names_its_target() {
    let (answer, stored) = strike(Action::Redirect("http://x/".into()), "+1").await;
    let answer = answer.unwrap();
    assert_eq!(
        (answer.status, answer.header("location")),
        (307, Some("http://x/"))
    );
    assert_eq!(stored, "start");
}

#[tokio::test]
async fn a_late_append_is_applied_when_released() {
    let (emulator, client) = start().await;
    let late = Action::ApplyLate(Late::Release);
    emulator.inject(Fault::new(Operation::AppendObject, late).times(2));
    for _ in 0..2 {
        assert!(client.try_send(append("k", 0, b"late")).await.is_err());
    }
    assert!(emulator.object(BUCKET, "k").is_none());
    assert_eq!(emulator.release().await, 2);
    assert_eq!(stored(&emulator), "late", "the second one comes too late");
}

#[tokio::test(start_paused = true)]
async fn a_late_append_is_applied_after_its_delay() {
    let builder = Emulator::builder().bucket(BUCKET).on_current_runtime();
    let emulator = builder.start().await.unwrap();
    let client = Client::new(emulator.address());
    let late = Action::ApplyLate(Late::After(Duration::from_secs(3600)));
    emulator.inject(Fault::new(Operation::AppendObject, late));
    assert!(client.try_send(append("k", 0, b"late")).await.is_err());
    tokio::time::sleep(Duration::from_secs(3601)).await;
    assert_eq!(stored(&emulator), "late");
}

#[tokio::test]
async fn a_held_append_is_applied_although_its_client_is_gone() {
    let (emulator, client) = start().await;
    emulator.inject(Fault::new(Operation::AppendObject, Action::Hold));
    let mut stream = TcpStream::connect(client.address).await.unwrap();
    stream
        .write_all(&client.render(append("k", 0, b"held")))
        .await
        .unwrap();
    emulator
        .wait_for(|requests| requests.iter().any(|r| r.body_length == Some(4)))
        .await;
    drop(stream);
    assert!(emulator.object(BUCKET, "k").is_none());
    while emulator.object(BUCKET, "k").is_none() {
        emulator.release().await;
        tokio::task::yield_now().await;
    }
    assert_eq!(stored(&emulator), "held");
}

#[tokio::test]
async fn a_held_answer_comes_when_released() {
    let (emulator, client) = start().await;
    emulator.inject(Fault::new(Operation::AppendObject, Action::HoldAnswer));
    let sent = tokio::spawn({
        let client = client.clone();
        async move { client.append("k", 0, b"x").await.status }
    });
    while emulator.object(BUCKET, "k").is_none() {
        tokio::task::yield_now().await;
    }
    assert_eq!(emulator.requests()[0].status, None);
    while emulator.release().await == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(sent.await.unwrap(), 200);
}

#[tokio::test]
async fn a_stalled_request_is_never_answered_and_ends_with_the_server() {
    let (emulator, client) = start().await;
    emulator.inject(Fault::new(Operation::AppendObject, Action::StallAnswer));
    emulator.inject(Fault::new(Operation::HeadObject, Action::Stall));
    let appending = tokio::spawn({
        let client = client.clone();
        async move { client.try_send(append("k", 0, b"x")).await.is_err() }
    });
    while emulator.object(BUCKET, "k").is_none() {
        tokio::task::yield_now().await;
    }
    assert!(!appending.is_finished());
    emulator.shutdown().await;
    assert!(appending.await.unwrap());
}

#[tokio::test]
async fn a_fault_counts_only_the_requests_that_match() {
    let (emulator, client) = start().await;
    emulator.inject("append:error=500,key=k,skip=1,times=2".parse().unwrap());
    let wrong = client.key(&client.id, "wrong", None);
    let mut statuses = Vec::new();
    for (client, key) in [
        (&client, "k"),
        (&client, "other"),
        (&wrong, "k"),
        (&client, "k"),
        (&client, "k"),
        (&client, "k"),
    ] {
        let length = emulator.length(BUCKET, key).unwrap_or(0);
        statuses.push(client.append(key, length, b"x").await.status);
    }
    assert_eq!(statuses, [200, 200, 403, 500, 500, 200]);
    let struck: Vec<_> = emulator.requests().iter().filter_map(|r| r.fault).collect();
    assert_eq!(struck, ["error", "error"]);
}

#[tokio::test]
async fn a_wrong_request_is_refused_in_spite_of_a_fault_after_applying() {
    let (emulator, client) = start().await;
    emulator.inject("append:error-after=500".parse().unwrap());
    assert_eq!(client.append("k", 7, b"x").await.status, 409);
}

#[tokio::test]
async fn no_number_of_a_fault_whatever_breaks_the_server() {
    const MOST: &str = "18446744073709551615";
    for spec in [
        &format!("append:torn={MOST}"),
        &format!("append:truncate={MOST}"),
        &format!("append:reset-body={MOST}"),
        &format!("append:apply-late={MOST}s"),
        &format!("append:delay={MOST}s"),
        &format!("append:error=503,retry-after={MOST}s,qos-delay={MOST}s"),
        &format!("append:drop,times={MOST},probability=1,seed={MOST}"),
        &format!("append:drop,skip={MOST}"),
        "append:torn=0",
        "append:truncate=0",
        "append:reset-body=0",
        "append:apply-late=0s",
        "append:delay=0s",
        "append:drop,times=0",
        "append:drop,probability=0",
        "append:drop,probability=-0",
    ] {
        let (emulator, client) = start().await;
        emulator.inject(spec.parse().unwrap());
        let struck = client.try_send(append("k", 0, b"hello"));
        let _ = tokio::time::timeout(Duration::from_millis(50), struck).await;
        assert_eq!(client.head("other").await.status, 404, "{spec}");
    }
    for fault in [
        Fault::on_any(Action::Drop).probability(f64::NAN, 0),
        Fault::on_any(Action::Drop).probability(f64::INFINITY, u64::MAX),
        Fault::on_any(Action::Drop).probability(f64::MIN, 1),
        Fault::on_any(Action::Delay(Duration::MAX)),
        Fault::on_any(Action::ApplyLate(Late::After(Duration::MAX))),
        Fault::on_any(Action::Error(
            ErrorAnswer::new(u16::MAX).retry_after(Duration::MAX),
        )),
        Fault::on_any(Action::Error(ErrorAnswer::new(0).qos_delay(Duration::MAX))),
    ] {
        let (emulator, client) = start().await;
        emulator.inject(fault.clone());
        let struck = client.try_send(append("k", 0, b"hello"));
        let _ = tokio::time::timeout(Duration::from_millis(50), struck).await;
        emulator.faults().clear();
        assert_eq!(client.head("other").await.status, 404, "{fault:?}");
    }
}
