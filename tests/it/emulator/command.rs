//! `oss-append emulator`.

#![cfg(unix)]

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdout, Command};

use crate::support::raw::{BUCKET, Client, Request, Signing, append};

struct Running {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    address: SocketAddr,
}

async fn run(arguments: &[&str]) -> Running {
    let mut child = Command::new(env!("CARGO_BIN_EXE_oss-append"))
        .args(["emulator", "--listen", "127.0.0.1:0", "--bucket", BUCKET])
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let url = lines.next_line().await.unwrap().unwrap();
    let address = url.strip_prefix("http://").unwrap().parse().unwrap();
    Running {
        child,
        lines,
        address,
    }
}

impl Running {
    async fn signal(&self, name: &str) {
        let id = self.child.id().unwrap().to_string();
        let sent = Command::new("kill").args(["-s", name, &id]).status().await;
        assert!(sent.unwrap().success());
    }
}

#[tokio::test]
async fn the_url_comes_alone_and_a_signal_ends_the_server_cleanly() {
    for signal in ["TERM", "INT"] {
        let mut running = run(&["--access-key-secret", "hush"]).await;
        let mut client = Client::new(running.address);
        client.secret = "hush".into();
        assert_eq!(client.append("k", 0, b"x").await.status, 200);
        running.signal(signal).await;
        assert!(running.child.wait().await.unwrap().success());
        assert_eq!(running.lines.next_line().await.unwrap(), None);
        let mut log = String::new();
        let mut stderr = running.child.stderr.take().unwrap();
        stderr.read_to_string(&mut log).await.unwrap();
        assert!(
            log.contains("AppendObject") && !log.contains("hush"),
            "{log}"
        );
    }
}

#[tokio::test]
async fn a_killed_server_loses_nothing_that_it_acknowledged() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_str().unwrap();
    let mut length = 0;
    for _ in 0..3 {
        let mut running = run(&["--dir", path]).await;
        let client = Client::new(running.address);
        for _ in 0..5 {
            let answer = client.append("k", length, b"0123456789").await;
            assert_eq!(answer.status, 200);
            length += 10;
        }
        running.child.kill().await.unwrap();
    }
    assert!(Path::new(path).join("buckets").join(BUCKET).exists());
    let running = run(&["--dir", path]).await;
    let object = Client::new(running.address).get("k").await;
    assert_eq!(object.body, b"0123456789".repeat(15));
}

#[tokio::test]
async fn options_reach_the_server() {
    let running = run(&[
        "--max-object-size",
        "1KiB",
        "--latency",
        "1ms",
        "--bandwidth",
        "10MiB",
        "--sts",
        "sts:secret:to:ken",
        "--fault",
        "append:drop,skip=1",
        "--max-requests-per-connection",
        "1",
    ])
    .await;
    let client = Client::new(running.address);
    let sts = client.key("sts", "secret", Some("to:ken"));
    let first = sts.append("k", 0, b"x").await;
    assert_eq!(first.status, 200);
    assert_eq!(first.header("connection"), Some("close"));
    assert!(client.try_send(append("k", 1, b"x")).await.is_err());
    assert_eq!(client.append("k", 1, &[0; 1024]).await.status, 400);

    let running = run(&["--pipelining", "unanswered"]).await;
    let client = Client::new(running.address);
    let requests = [append("k", 0, b"1"), append("k", 1, b"2")];
    let requests = requests.map(|request| client.render(request)).concat();
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    stream.write_all(&requests).await.unwrap();
    assert_eq!(stream.read(&mut [0; 1]).await.unwrap(), 0);
}

#[tokio::test]
async fn the_account_and_the_rules_of_buckets_are_set() {
    let seal = || {
        Request::new("POST", "k")
            .query("seal", "")
            .query("position", "1")
    };
    let public = || append("open", 0, b"x").header("x-oss-object-acl", "public-read");
    for (arguments, v1, public_acl, sealed) in [
        (&[][..], 403, 403, 400),
        (&["--account=2026"], 403, 403, 400),
        (&["--account=legacy"], 200, 200, 200),
        (&["--sealing"], 403, 403, 200),
        (
            &["--v1-signatures", "--block-public-access=false"],
            200,
            200,
            400,
        ),
        (
            &[
                "--account=legacy",
                "--sealing=false",
                "--block-public-access",
            ],
            200,
            403,
            400,
        ),
    ] {
        let running = run(arguments).await;
        let client = Client::new(running.address);
        assert_eq!(client.append("k", 0, b"x").await.status, 200);
        let old = client.signing(Signing::V1).get("k").await;
        assert_eq!(old.status, v1, "{arguments:?}");
        let answer = client.send(public()).await;
        assert_eq!(answer.status, public_acl, "{arguments:?}");
        assert_eq!(client.send(seal()).await.status, sealed, "{arguments:?}");
    }
    let arguments = [
        "--bucket=kept:retention",
        "--bucket=shared:versioning,requester-pays",
        "--requester=theirs:secret",
        "--archive-direct-read",
    ];
    let running = run(&arguments).await;
    let client = Client::new(running.address);
    let archived = append("k", 0, b"x").header("x-oss-storage-class", "Archive");
    assert_eq!(client.send(archived).await.status, 200);
    assert_eq!(client.get("k").await.body, b"x");
    for (position, status) in [(0, 200), (1, 409)] {
        let request = append("k", position, b"x").bucket("kept");
        assert_eq!(client.send(request).await.status, status);
    }
    let theirs = client.key("theirs", "secret", None);
    let request = || append("k", 0, b"x").bucket("shared");
    assert_eq!(theirs.send(request()).await.status, 403);
    let paid = request().header("x-oss-request-payer", "requester");
    let answer = theirs.send(paid).await;
    assert_eq!(answer.status, 200);
    assert!(answer.header("x-oss-version-id").is_some());
}

#[tokio::test]
async fn a_malformed_option_is_explained() {
    for (option, value, hint) in [
        ("--account", "2025", "legacy or 2026"),
        ("--bucket", "logs:worm", "object-worm"),
        ("--requester", "id", "ID:SECRET"),
        ("--fault", "append:dorp", "no action"),
        (
            "--pipelining",
            "random",
            "use in-order, at-once, swapped or unanswered",
        ),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_oss-append"))
            .args(["emulator", option, value])
            .output()
            .await
            .unwrap();
        assert!(!output.status.success());
        let message = String::from_utf8(output.stderr).unwrap();
        assert!(message.contains(hint), "{message}");
    }
}

#[tokio::test]
async fn a_malformed_temporary_key_is_refused_without_showing_it() {
    let output = Command::new(env!("CARGO_BIN_EXE_oss-append"))
        .args(["emulator", "--sts", "id:hush"])
        .output()
        .await
        .unwrap();
    assert!(!output.status.success());
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(
        message.contains("ID:SECRET:TOKEN") && !message.contains("hush"),
        "{message}"
    );
}
