//! An HTTP service (axum) that streams uploads into objects, see `src/upload.rs` for the handler.
//!
//! ```text
//! cargo run --release --example upload
//! cargo run --release --example upload -- --listen 127.0.0.1:8080
//! curl -T FILE http://127.0.0.1:8080/upload/KEY
//! ```
//!
//! With `--listen` it serves until ^C. Else it uploads to itself: fast, slowly, and with a
//! connection that breaks; reads the objects back, compares, and ends.

use std::io;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use oss_append::{ObjectPath, crc64};
use oss_append_pipelines::upload::Uploads;
use oss_append_pipelines::{Event, Oss, Result};
use reqwest::Body;
use tokio::net::TcpListener;

const EVENTS: u64 = 400_000;
const PIECE: usize = 64 * 1024;
const MIB: u64 = 1024 * 1024;

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let listen = match (arguments.next().as_deref(), arguments.next()) {
        (None, _) => None,
        (Some("--listen"), Some(address)) => Some(address),
        _ => return Err("usage: upload [--listen ADDRESS:PORT]".into()),
    };
    let oss = Oss::connect().await?;
    let uploads = Uploads {
        client: oss.client(),
        bucket: oss.bucket().into(),
        memory: 4 * MIB,
        patience: Duration::from_secs(60),
    };
    let address = listen.as_deref().unwrap_or("127.0.0.1:0");
    let listener = TcpListener::bind(address).await?;
    let url = format!("http://{}/upload", listener.local_addr()?);
    println!("serving PUT {url}/KEY");
    let service = axum::serve(listener, uploads.router());
    if listen.is_some() {
        let ended = async { tokio::signal::ctrl_c().await.expect("a handler for ^C") };
        return Ok(service.with_graceful_shutdown(ended).await?);
    }
    tokio::spawn(service.into_future());
    try_it(&oss, &url).await
}

async fn try_it(oss: &Oss, url: &str) -> Result<()> {
    let content = content();
    let pieces = || pieces(content.clone());

    let start = Instant::now();
    let answer = put(url, "fast.ndjson", pieces()).await?;
    let seconds = start.elapsed().as_secs_f64();
    println!("a fast client: {answer}, {seconds:.2} s");
    check(oss, "fast.ndjson", &content, &answer).await?;

    let start = Instant::now();
    let slowly = pieces().then(async |piece| {
        tokio::time::sleep(Duration::from_millis(1)).await;
        piece
    });
    let answer = put(url, "slow.ndjson", slowly).await?;
    let seconds = start.elapsed().as_secs_f64();
    println!("a slow client: {answer}, {seconds:.2} s");
    check(oss, "slow.ndjson", &content, &answer).await?;

    let cut_off = stream::iter([Err(io::Error::other("cut off"))]);
    match put(url, "broken.ndjson", pieces().take(100).chain(cut_off)).await {
        Ok(answer) => return Err(format!("half an upload was answered: {answer}").into()),
        Err(error) => println!("a client whose connection breaks: {error}"),
    }
    let again = put(url, "broken.ndjson", pieces()).await?;
    println!("the same again: {again}");
    check(oss, "broken.ndjson", &content, &again).await?;

    let other = put(url, "fast.ndjson", pieces().skip(1)).await?;
    println!("other content: {other}");
    if !other.starts_with("409 ") {
        return Err("other content was not refused".into());
    }
    check(oss, "fast.ndjson", &content, &answer).await
}

/// The answer: its status and what it tells.
async fn put<S>(url: &str, key: &str, body: S) -> Result<String>
where
    S: Stream<Item = io::Result<Bytes>> + Send + 'static,
{
    // The service is on this machine, not behind a proxy.
    let client = reqwest::Client::builder().no_proxy().build()?;
    let request = client.put(format!("{url}/{key}"));
    let answer = request.body(Body::wrap_stream(body)).send().await?;
    Ok(format!("{} {}", answer.status(), answer.text().await?))
}

/// Reads the object back, and compares it with what was uploaded and answered.
async fn check(oss: &Oss, key: &str, content: &Bytes, answer: &str) -> Result<()> {
    let object = ObjectPath::new(oss.bucket(), key)?;
    if oss.read(&object).await? != content {
        return Err(format!("{object} is not what was uploaded").into());
    }
    let (length, crc64) = (content.len(), crc64::checksum(content));
    if answer != format!("201 Created {{\"crc64\":\"{crc64}\",\"length\":{length}}}") {
        return Err(format!("{object} has {length} bytes and the CRC-64 {crc64}").into());
    }
    println!("  read back {length} bytes: equal");
    Ok(())
}

fn pieces(mut content: Bytes) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    stream::iter(std::iter::from_fn(move || {
        let piece = content.split_to(content.len().min(PIECE));
        (!piece.is_empty()).then_some(Ok(piece))
    }))
}

fn content() -> Bytes {
    let mut content = Vec::new();
    for event in (0..EVENTS).map(Event::sample) {
        serde_json::to_writer(&mut content, &event).expect("memory");
        content.push(b'\n');
    }
    content.into()
}
