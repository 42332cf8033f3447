//! The thread of a server: it answers whatever its program does.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

use oss_append::emulator::{Action, Emulator, Fault, Late, Operation};

use crate::support::log::{Log, set_default};
use crate::support::raw::{BUCKET, Client, append};

/// Sends an append and waits for the answer, without leaving the thread.
fn ask(client: &Client) -> String {
    let mut stream = TcpStream::connect(client.address).unwrap();
    stream
        .write_all(&client.render(append("k", 0, b"x")))
        .unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    String::from_utf8(answer.to_vec()).unwrap()
}

fn connect(address: SocketAddr) -> std::io::Result<TcpStream> {
    TcpStream::connect(address)
}

#[tokio::test(flavor = "current_thread")]
async fn a_program_that_blocks_its_only_thread_is_answered() {
    let emulator = Emulator::builder().bucket(BUCKET).start().await.unwrap();
    assert_eq!(ask(&Client::new(emulator.address())), "HTTP/1.1 200");
    assert_eq!(emulator.object(BUCKET, "k").unwrap().bytes, "x");
}

#[test]
fn a_program_without_tokio_is_answered() {
    let directory = tempfile::tempdir().unwrap();
    let builder = Emulator::builder()
        .bucket(BUCKET)
        .directory(directory.path());
    let emulator = futures::executor::block_on(builder.start()).unwrap();
    assert_eq!(ask(&Client::new(emulator.address())), "HTTP/1.1 200");
    emulator.delete(BUCKET, "k").unwrap();
    let late = Action::ApplyLate(Late::Release);
    emulator.inject(Fault::new(Operation::AppendObject, late));
    let mut stream = connect(emulator.address()).unwrap();
    let request = Client::new(emulator.address()).render(append("k", 0, b"late"));
    stream.write_all(&request).unwrap();
    // It is not answered.
    assert_eq!(stream.read(&mut [0; 1]).unwrap_or_default(), 0);
    futures::executor::block_on(async {
        assert_eq!(emulator.release().await, 1);
        assert_eq!(emulator.object(BUCKET, "k").unwrap().bytes, "late");
        emulator.pause().await;
        let refused = connect(emulator.address()).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        emulator.resume().await.unwrap();
        connect(emulator.address()).unwrap();
        emulator.shutdown().await;
    });
}

#[test]
fn a_server_outlives_the_runtime_that_it_was_started_in() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let builder = Emulator::builder().bucket(BUCKET);
    let emulator = runtime.block_on(builder.start()).unwrap();
    drop(runtime);
    assert_eq!(ask(&Client::new(emulator.address())), "HTTP/1.1 200");
}

#[tokio::test(flavor = "current_thread")]
async fn nothing_listens_any_more_when_a_server_is_dropped() {
    for _ in 0..20 {
        let emulator = Emulator::builder().bucket(BUCKET).start().await.unwrap();
        let address = emulator.address();
        connect(address).unwrap();
        drop(emulator);
        let refused = connect(address).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    }
}

#[tokio::test(flavor = "current_thread")]
async fn a_server_logs_to_the_subscriber_of_whoever_started_it() {
    let log = Log::default();
    let _guard = set_default(log.subscriber(tracing::Level::DEBUG));
    let emulator = Emulator::builder().bucket(BUCKET).start().await.unwrap();
    ask(&Client::new(emulator.address()));
    assert!(log.text().contains("AppendObject"), "{}", log.text());
}

#[test]
fn a_server_on_the_current_runtime_needs_one() {
    let builder = Emulator::builder().on_current_runtime();
    let error = futures::executor::block_on(builder.start()).unwrap_err();
    assert!(error.to_string().contains("cannot start"), "{error}");
}
