//! An HTTP service (axum) that logs each request to OSS, in an object for each hour. ^C or SIGTERM
//! ends it: it answers what it has begun, and delivers its log.
//!
//! ```text
//! cargo run --release --example log_service [-- --requests N]
//! curl http://127.0.0.1:PORT/hello/world
//! ```
//!
//! It runs an embedded OSS server unless OSS_BUCKET is set. With `--requests` it sends itself N
//! requests, ends, reads its log back and checks that each of them is in it once.

#[path = "support/oss.rs"]
mod oss;

use std::collections::HashMap;
use std::error::Error;
use std::sync::mpsc::channel;
use std::time::Instant;

use axum::Router;
use axum::extract::{Path, Request};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::get;
use oss::Oss;
use oss_append::{OssLogAppender, RollingWriter};
use tokio::net::TcpListener;

type Result<T, E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;

/// How many requests it has under way to itself.
const CLIENTS: usize = 8;

fn main() -> Result<()> {
    let requests = arguments()?;
    let oss = Oss::connect()?;
    let (finished, objects) = channel();

    let log = RollingWriter::builder(
        oss.client()?,
        oss.bucket(),
        "log_service/%Y-%m-%d/%H-{host}-{pid}-{seq}.log",
    )
    .hourly()
    .on_finished(move |object| {
        // Nobody may listen any more.
        let _ = finished.send(object);
    });
    let (appender, guard) = OssLogAppender::builder(log).start_blocking()?;
    tracing_subscriber::fmt()
        .with_writer(appender.clone())
        .with_ansi(false)
        .init();

    // The guard outlives the service and its runtime, whatever they end with.
    let served = serve(requests);
    drop(guard);
    served?;

    let stats = appender.stats();
    println!(
        "logged {} lines in {} appends, dropped {}",
        stats.records, stats.rolling.writer.appends, stats.dropped.records
    );
    let client = oss.client()?;
    let mut seen = HashMap::new();
    for done in objects {
        println!("{}, bytes {:?}", done.object, done.range);
        let count = |line: &[u8]| {
            if let Some(path) = path_of(line) {
                *seen.entry(path).or_insert(0) += 1;
            }
        };
        oss.wait_for(oss::lines(&client, &done.object, done.range, count))?;
    }
    match requests {
        Some(requests) => check(requests, seen),
        None => Ok(()),
    }
}

fn arguments() -> Result<Option<usize>> {
    let mut arguments = std::env::args().skip(1);
    match (arguments.next().as_deref(), arguments.next()) {
        (None, _) => Ok(None),
        (Some("--requests"), Some(number)) => Ok(Some(number.parse()?)),
        _ => Err("usage: log_service [--requests N]".into()),
    }
}

/// Serves until a signal comes, or until it has answered its own requests.
#[tokio::main]
async fn serve(requests: Option<usize>) -> Result<()> {
    let service = Router::new()
        .route("/hello/{name}", get(hello))
        .layer(middleware::from_fn(log_request));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    println!("serving {url}/hello/world");
    tracing::info!(%url, "serving");

    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    let asking = async {
        match requests {
            Some(requests) => ask(&url, requests).await?,
            None => signal().await?,
        }
        println!("ending");
        drop(end);
        Ok(())
    };
    let serving = async {
        let serving = axum::serve(listener, service);
        let ended = async { drop(ended.await) };
        Ok(serving.with_graceful_shutdown(ended).await?)
    };
    let result = tokio::try_join!(asking, serving);
    tracing::info!("the end");
    result.map(drop)
}

async fn hello(Path(name): Path<String>) -> String {
    format!("hello, {name}\n")
}

async fn log_request(request: Request, next: Next) -> Response {
    let start = Instant::now();
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let response = next.run(request).await;
    tracing::info!(
        %method,
        path,
        status = response.status().as_u16(),
        micros = start.elapsed().as_micros(),
        "request"
    );
    response
}

/// Waits for ^C or SIGTERM.
async fn signal() -> std::io::Result<()> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! {
            interrupt = tokio::signal::ctrl_c() => interrupt,
            _ = terminate.recv() => Ok(()),
        }
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c().await
}

/// Sends the service its requests.
async fn ask(url: &str, requests: usize) -> Result<()> {
    let http = reqwest::Client::builder().no_proxy().build()?;
    let client = async |first: usize| -> Result<()> {
        for n in (first..requests).step_by(CLIENTS) {
            let answer = http.get(format!("{url}{}", own_path(n))).send().await?;
            let text = answer.error_for_status()?.text().await?;
            if text != format!("hello, {n}\n") {
                return Err(format!("request {n} was answered with {text:?}").into());
            }
        }
        Ok(())
    };
    futures::future::try_join_all((0..CLIENTS).map(client)).await?;
    println!("{requests} requests were answered");
    Ok(())
}

fn own_path(n: usize) -> String {
    format!("/hello/{n}")
}

/// The path of the request that a line of the log tells of.
fn path_of(line: &[u8]) -> Option<String> {
    let line = std::str::from_utf8(line).ok()?;
    let (_, path) = line.split_once(" request method=GET path=\"")?;
    Some(path.split_once("\" status=200 ")?.0.to_owned())
}

fn check(requests: usize, mut seen: HashMap<String, usize>) -> Result<()> {
    for n in 0..requests {
        match seen.remove(&own_path(n)) {
            Some(1) => {}
            times => {
                let times = times.unwrap_or(0);
                return Err(format!("request {n} is in the log {times} times").into());
            }
        }
    }
    if let Some(path) = seen.keys().next() {
        return Err(format!("{path} is in the log, and was not asked for").into());
    }
    println!("each of the {requests} requests is in the log, once");
    Ok(())
}
