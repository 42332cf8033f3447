//! `oss-append emulator`.

#![cfg(unix)]

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Output, Stdio};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdout, Command};

use crate::support::raw::{BUCKET, Client, Request, Signing, append};

struct Running {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    address: SocketAddr,
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_oss-append"));
    command
        .args(["emulator", "--listen", "127.0.0.1:0", "--bucket", BUCKET])
        .args(arguments);
    command
}

async fn run(arguments: &[&str]) -> Running {
    start(command(arguments)).await
}

async fn start(mut command: Command) -> Running {
    let mut child = command
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
    /// What is left on standard output.
    async fn rest(&mut self) -> String {
        let mut rest = String::new();
        while let Some(line) = self.lines.next_line().await.unwrap() {
            rest += &line;
            rest.push('\n');
        }
        rest
    }

    async fn signal(&self, name: &str) {
        let id = self.child.id().unwrap().to_string();
        let sent = Command::new("kill").args(["-s", name, &id]).status().await;
        assert!(sent.unwrap().success());
    }
}

#[tokio::test]
async fn the_url_comes_first_and_a_signal_ends_the_server_cleanly() {
    for signal in ["TERM", "INT"] {
        let mut running = run(&["--access-key-secret", "hush"]).await;
        let mut client = Client::new(running.address);
        client.secret = "hush".into();
        assert_eq!(client.append("k", 0, b"x").await.status, 200);
        running.signal(signal).await;
        assert!(running.child.wait().await.unwrap().success());
        let block = running.rest().await;
        assert!(
            block.contains("export OSS_ENDPOINT=http://127.0.0.1:"),
            "{block}"
        );
        assert!(!block.contains("hush"), "{block}");
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

#[tokio::test]
async fn a_standard_error_that_nobody_reads_stops_nothing() {
    for reader_is_there in [true, false] {
        let mut running = run(&[]).await;
        if !reader_is_there {
            drop(running.child.stderr.take());
        }
        let client = Client::new(running.address);
        // Far more is logged than a pipe takes.
        for n in 0..600 {
            let key = format!("{n}-{}", "k".repeat(300));
            assert_eq!(client.append(&key, 0, b"x").await.status, 200);
        }
        running.signal("TERM").await;
        assert!(running.child.wait().await.unwrap().success());
    }
}

#[tokio::test]
async fn what_clients_need_can_be_pasted_into_a_shell() {
    let mut running = run(&[]).await;
    let (address, mut block) = (running.address, String::new());
    for _ in 0..4 {
        block += &running.lines.next_line().await.unwrap().unwrap();
        block.push('\n');
    }
    let script = format!("{block}exec \"$0\" append oss://{BUCKET}/pasted");
    let mut shell = Command::new("sh")
        .args(["-c", &script, env!("CARGO_BIN_EXE_oss-append")])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = shell.stdin.take().unwrap();
    stdin.write_all(b"by hand").await.unwrap();
    drop(stdin);
    let output = shell.wait_with_output().await.unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(Client::new(address).get("pasted").await.body, b"by hand");
}

#[tokio::test]
async fn keys_come_from_the_environment_or_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("keys");
    fs::write(&file, "# mine\n\nid:hush\nsts:hush-too:to:ken\n").unwrap();
    let mut by_environment = command(&[]);
    by_environment
        .env("OSS_EMULATOR_ACCESS_KEY_ID", "id")
        .env("OSS_EMULATOR_ACCESS_KEY_SECRET", "hush");
    for command in [
        by_environment,
        command(&["--key-file", file.to_str().unwrap()]),
    ] {
        let mut running = start(command).await;
        let client = Client::new(running.address);
        let own = client.key("id", "hush", None);
        assert_eq!(own.append("k", 0, b"x").await.status, 200);
        let public = client.append("k", 1, b"x").await;
        assert_eq!(public.status, 403);
        running.signal("TERM").await;
        let printed = running.rest().await;
        let output = running.child.wait_with_output().await.unwrap();
        let log = String::from_utf8(output.stderr).unwrap();
        assert!(printed.contains("OSS_ACCESS_KEY_ID=id"), "{printed}");
        assert!(
            !printed.contains("hush") && !log.contains("hush"),
            "{printed}{log}"
        );
    }
    fs::write(&file, "id:\n").unwrap();
    let refused = command(&["--key-file", file.to_str().unwrap()]).output();
    let refused = refused.await.unwrap();
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("line 1"));
}

#[tokio::test]
async fn listening_for_others_is_warned_of() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_oss-append"));
    command.args(["emulator", "--listen", "0.0.0.0:0"]);
    let running = start(command).await;
    running.signal("TERM").await;
    let output = running.child.wait_with_output().await.unwrap();
    let log = String::from_utf8(output.stderr).unwrap();
    let warned = log.contains("whoever reaches 0.0.0.0:") && log.contains("everybody knows");
    assert!(warned, "{log}");
}

/// Runs a command with a server.
async fn with_command(arguments: &[&str]) -> Output {
    command(&[&["--"], arguments].concat())
        .output()
        .await
        .unwrap()
}

#[tokio::test]
async fn a_command_runs_with_the_server_and_its_exit_code_is_the_end() {
    let program = env!("CARGO_BIN_EXE_oss-append");
    let script = format!(
        "printf hello | \"$0\" -q append oss://$OSS_BUCKET/k && \"$0\" cat oss://{BUCKET}/k; exit 7"
    );
    let output = with_command(&["sh", "-c", &script, program]).await;
    assert_eq!(output.status.code(), Some(7), "{output:?}");
    assert_eq!(output.stdout, b"hello");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");

    let killed = with_command(&["sh", "-c", "kill -9 $$"]).await;
    assert_eq!(killed.status.code(), Some(137));
    let missing = with_command(&["/nonexistent/command"]).await;
    assert_eq!(missing.status.code(), Some(127));
    let said = String::from_utf8_lossy(&missing.stderr).into_owned();
    assert!(
        said.contains("/nonexistent/command cannot be run"),
        "{said}"
    );
}

#[tokio::test]
async fn a_signal_is_passed_on_to_the_command() {
    let script = "trap 'exit 9' TERM; echo ready; while :; do sleep 0.05; done";
    let mut child = command(&["--", "sh", "-c", script])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let ready = lines.next_line().await.unwrap();
    assert_eq!(ready.as_deref(), Some("ready"));
    let id = child.id().unwrap().to_string();
    let sent = Command::new("kill")
        .args(["-s", "TERM", &id])
        .status()
        .await;
    assert!(sent.unwrap().success());
    assert_eq!(child.wait().await.unwrap().code(), Some(9));
}

#[tokio::test]
async fn a_disk_that_is_full_leaves_no_garbage() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_str().unwrap();
    // A file cannot grow beyond 64 blocks, which are a kilobyte at most.
    let script = "trap '' XFSZ; ulimit -f 64; exec \"$0\" \"$@\"";
    let arguments = [
        "emulator",
        "--listen",
        "127.0.0.1:0",
        "--bucket",
        BUCKET,
        "--dir",
        path,
    ];
    let mut shell = Command::new("sh");
    shell
        .args(["-c", script, env!("CARGO_BIN_EXE_oss-append")])
        .args(arguments);
    let mut running = start(shell).await;
    let client = Client::new(running.address);
    assert_eq!(client.append("k", 0, b"fits").await.status, 200);
    let files = || {
        let of = |path: &Path| fs::read_dir(path).unwrap().count();
        let bucket = directory.path().join("buckets").join(BUCKET);
        of(&bucket) + of(&directory.path().join("spool"))
    };
    let before = files();
    let large = [7; 100_000];
    for request in [append("k", 4, &large), append("new", 0, &large)] {
        let failed = client.send(request).await;
        assert_eq!(failed.summary(), "500 InternalError");
        assert!(failed.element("Cause").is_some());
    }
    let put = Request::new("PUT", "k").body(large);
    assert_eq!(client.send(put).await.summary(), "500 InternalError");
    assert_eq!(files(), before);
    assert_eq!(client.get("k").await.body, b"fits");
    assert_eq!(client.append("k", 4, b" still").await.status, 200);
    running.child.kill().await.unwrap();
    let running = run(&["--dir", path]).await;
    assert_eq!(
        Client::new(running.address).get("k").await.body,
        b"fits still"
    );
}

#[tokio::test]
async fn kills_under_load_lose_nothing_that_was_acknowledged() {
    const WRITERS: usize = 6;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_str().unwrap();
    let mut acknowledged = [0; WRITERS];
    for round in 0..4_u8 {
        let mut running = run(&["--dir", path]).await;
        let client = Client::new(running.address);
        let mut writers = tokio::task::JoinSet::new();
        for (writer, length) in acknowledged.into_iter().enumerate() {
            let client = client.clone();
            writers.spawn(async move {
                // What the last round left in doubt may be there.
                let key = format!("w{writer}");
                let found = client.head(&key).await;
                let next = found.header("x-oss-next-append-position");
                let mut length = next.map_or(length, |next| next.parse().unwrap());
                while client.append_if_there(&key, length).await {
                    length += 1000;
                }
                (writer, length)
            });
        }
        while client.get(&format!("w{}", WRITERS - 1)).await.body.len()
            < 20_000 * usize::from(round + 1)
        {}
        running.child.kill().await.unwrap();
        while let Some(ended) = writers.join_next().await {
            let (writer, length) = ended.unwrap();
            acknowledged[writer] = length;
        }
    }
    let running = run(&["--dir", path]).await;
    assert!(!directory.path().join("damaged").exists());
    for (writer, length) in acknowledged.into_iter().enumerate() {
        let body = Client::new(running.address)
            .get(&format!("w{writer}"))
            .await
            .body;
        let (found, length) = (body.len() as u64, length);
        // One more append may have been applied without an answer.
        assert!([length, length + 1000].contains(&found), "{found} {length}");
        assert!(body.iter().all(|byte| *byte == 7));
    }
}
