//! Safe to leave running: whoever asks for too much, too slowly or from elsewhere stops nobody else.

use std::time::Duration;

use oss_append::emulator::{Emulator, Pipelining};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::support::raw::{BUCKET, Client, Request, Signing, append, read_answer, start};

const MINUTE: Duration = Duration::from_secs(60);

/// A server whose time passes when nothing happens.
async fn paused(pipelining: Pipelining) -> (Emulator, Client) {
    let builder = Emulator::builder().bucket(BUCKET).pipelining(pipelining);
    let emulator = builder.on_current_runtime().start().await.unwrap();
    let client = Client::new(emulator.address());
    (emulator, client)
}

/// The head of a request whose body would have this length.
fn head(client: &Client, request: Request, length: u64) -> String {
    client.render_head(request.header("content-length", &length.to_string()))
}

/// Sends this and nothing more, and reads what comes until the connection is closed, which is soon.
async fn exchange(client: &Client, text: &str) -> String {
    let start = Instant::now();
    let mut stream = TcpStream::connect(client.address).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // A reset is an end too.
    let _ = stream.read_to_end(&mut answer).await;
    // The time of a paused clock.
    let took = start.elapsed();
    assert!((MINUTE..3 * MINUTE).contains(&took), "{took:?}");
    String::from_utf8(answer).unwrap()
}

#[tokio::test(start_paused = true)]
async fn connections_without_a_whole_head_are_closed() {
    for pipelining in [Pipelining::InOrder, Pipelining::AtOnce] {
        let (_emulator, client) = paused(pipelining).await;
        for text in ["", "GET / HT", "GET / HTTP/1.1\r\nhost: x\r\n"] {
            assert_eq!(exchange(&client, text).await, "");
        }
        // Idle behind an answer.
        let whole = client.render_head(Request::new("HEAD", "k"));
        let answer = exchange(&client, &whole).await;
        assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_stalls_is_answered_and_its_connection_closed() {
    for pipelining in [Pipelining::InOrder, Pipelining::AtOnce] {
        let (emulator, client) = paused(pipelining).await;
        let request = Request::new("POST", "k")
            .query("append", "")
            .query("position", "0");
        let half = head(&client, request, 10) + "half";
        let answer = exchange(&client, &half).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
        assert!(answer.contains("<Code>RequestTimeout</Code>"), "{answer}");
        assert_eq!(emulator.length(BUCKET, "k"), None);
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_nobody_reads_is_given_up() {
    let (emulator, client) = paused(Pipelining::InOrder).await;
    let length = 64 * 1024 * 1024;
    emulator.put(BUCKET, "k", vec![7; length]).unwrap();
    let mut stream = TcpStream::connect(client.address).await.unwrap();
    let get = client.render_head(Request::new("GET", "k"));
    stream.write_all(get.as_bytes()).await.unwrap();
    tokio::time::sleep(3 * MINUTE).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    assert!(answer.len() < length, "{}", answer.len());
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_refused_by_its_length_or_while_it_is_counted() {
    let builder = Emulator::builder()
        .bucket(BUCKET)
        .max_object_size(1_000_000);
    let emulator = builder.start().await.unwrap();
    let client = Client::new(emulator.address());
    let put = || Request::new("PUT", "k");
    let append = || {
        Request::new("POST", "k")
            .query("append", "")
            .query("position", "0")
    };
    let requests = [
        (put(), "InvalidArgument"),
        (append(), "InvalidArgument"),
        (Request::new("GET", "k"), "InvalidArgument"),
    ];
    for (request, code) in requests {
        // Nothing of the body is ever sent.
        let mut stream = TcpStream::connect(client.address).await.unwrap();
        let head = head(&client, request, 1_500_000_000);
        stream.write_all(head.as_bytes()).await.unwrap();
        let answer = read_answer(&mut stream, false).await.unwrap();
        assert_eq!(
            (answer.status, answer.element("Code").as_deref()),
            (400, Some(code))
        );
        assert_eq!(answer.header("connection"), Some("close"));
    }
    for request in [put(), append()] {
        let mut stream = TcpStream::connect(client.address).await.unwrap();
        let head = client.render_head(request.header("transfer-encoding", "chunked"));
        let (mut read, mut write) = stream.split();
        let piece = [format!("{:x}\r\n", 65536).as_bytes(), &[7; 65536], b"\r\n"].concat();
        let endless = async {
            write.write_all(head.as_bytes()).await.unwrap();
            while write.write_all(&piece).await.is_ok() {}
        };
        let mut answer = [0; 12];
        tokio::select! {
            read = read.read_exact(&mut answer) => drop(read.unwrap()),
            () = endless => panic!("closed before the answer was read"),
        }
        assert_eq!(&answer, b"HTTP/1.1 400");
    }
    assert_eq!(emulator.length(BUCKET, "k"), None);
}

#[tokio::test]
async fn a_refused_upload_is_answered_before_it_is_sent() {
    let (_emulator, client) = start().await;
    let anybody = client.signing(Signing::None);
    let mut stream = TcpStream::connect(client.address).await.unwrap();
    let head = head(&anybody, Request::new("PUT", "k"), 100_000_000);
    stream.write_all(head.as_bytes()).await.unwrap();
    let answer = read_answer(&mut stream, false).await.unwrap();
    assert_eq!(answer.summary(), "403 AccessDenied 0003-00000001");
    // A small one is received, and the connection goes on.
    let mut stream = TcpStream::connect(client.address).await.unwrap();
    let small = anybody.render(Request::new("PUT", "k").body("small"));
    for _ in 0..2 {
        stream.write_all(&small).await.unwrap();
        let answer = read_answer(&mut stream, false).await.unwrap();
        assert_eq!((answer.status, answer.header("connection")), (403, None));
    }
}

#[tokio::test]
async fn of_requests_only_bounded_keys_are_remembered_and_nothing_if_it_is_not_wanted() {
    let key = format!("a{}", "\u{fc}".repeat(5_000));
    let (emulator, client) = start().await;
    client.signing(Signing::None).get(&key).await;
    let requests = emulator.requests();
    let remembered = requests[0].key.as_ref().unwrap();
    assert!(key.starts_with(remembered) && remembered.len() <= 1023);

    let builder = Emulator::builder().bucket(BUCKET).request_log(0);
    let emulator = builder.start().await.unwrap();
    let client = Client::new(emulator.address());
    assert_eq!(client.append("k", 0, b"x").await.status, 200);
    assert_eq!(emulator.requests(), []);
}

#[tokio::test]
async fn foreign_web_pages_are_refused() {
    let (emulator, client) = start().await;
    let address = client.address.to_string();
    for (name, value) in [
        ("origin", "https://evil.example"),
        ("origin", "null"),
        ("sec-fetch-site", "cross-site"),
    ] {
        let refused = client.send(append("k", 0, b"x").header(name, value)).await;
        assert_eq!(refused.status, 403, "{name}: {value}");
    }
    let rebound = append("k", 0, b"x")
        .header("accept-language", "en")
        .virtual_host("bucket.rebound.example");
    assert_eq!(client.send(rebound).await.status, 403);
    assert_eq!(emulator.length(BUCKET, "k"), None);
    let own = append("k", 0, b"x").header("origin", &format!("http://{address}"));
    assert_eq!(client.send(own).await.status, 200);
}

#[tokio::test]
async fn an_object_that_is_being_written_stops_nobody() {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    let directory = tempfile::tempdir().unwrap();
    let builder = Emulator::builder().bucket(BUCKET);
    let emulator = builder.directory(directory.path()).start().await.unwrap();
    let client = Client::new(emulator.address());
    assert_eq!(client.append("slow", 0, b"x").await.status, 200);
    // A disk that does not answer: the append waits where it opens the file.
    let bucket = directory.path().join("buckets").join(BUCKET);
    let files = std::fs::read_dir(bucket)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut data = files.filter(|path| path.extension().is_some_and(|own| own == "data"));
    let data = data.next().unwrap();
    std::fs::remove_file(&data).unwrap();
    mknodat(CWD, &data, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let appending = tokio::spawn({
        let client = client.clone();
        async move { client.append("slow", 1, b"y").await }
    });
    emulator
        .wait_for(|requests| {
            requests
                .iter()
                .any(|request| request.position == Some(1) && request.body_length.is_some())
        })
        .await;
    // By who may not, and by who may.
    let anybody = client.signing(Signing::None);
    for _ in 0..20 {
        assert_eq!(anybody.head("slow").await.status, 403);
        assert_eq!(client.head("slow").await.status, 200);
    }
    let list = Request::new("GET", "").query("list-type", "2");
    assert_eq!(
        client.send(list).await.element("Key").as_deref(),
        Some("slow")
    );
    assert_eq!(client.append("other", 0, b"x").await.status, 200);
    assert!(!appending.is_finished());
    // The disk answers at last, that it cannot.
    let _reader = std::fs::File::open(&data).unwrap();
    assert_eq!(appending.await.unwrap().status, 500);
}
