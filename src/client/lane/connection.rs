//! The connections of lanes: how they are kept, and written to.

use std::io;
use std::sync::Mutex;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use http::Uri;
use http_body::Body as _;
use tokio::io::AsyncWriteExt as _;
use tokio::time::Instant;

use super::Link;
use super::connect::{Connector, Route, Writing};
use super::pipelining::Pipelining;
use crate::values::locks::MutexExt as _;

/// The most connections that are kept.
const MAX_IDLE: usize = 64;

/// How connections are made, and those that are kept.
pub(in crate::client) struct Connections {
    pub(super) connector: Connector,
    pub(super) pipelining: Pipelining,
    pub(super) idle_timeout: Duration,
    idle: Mutex<Vec<Idle>>,
}

struct Idle {
    bucket: String,
    since: Instant,
    link: Link,
}

impl Connections {
    pub(in crate::client) fn new(connector: Connector, idle_timeout: Duration) -> Self {
        Self {
            connector,
            pipelining: Pipelining::default(),
            idle_timeout,
            idle: Mutex::default(),
        }
    }

    /// Whether a lane to this server, of the form `https://HOST:PORT/`, can be had now.
    pub(in crate::client) fn reach(&self, server: &reqwest::Url) -> bool {
        uri(server).is_some_and(|server| self.connector.reaches(&server))
            && !self.pipelining.rests()
    }

    /// Keeps a connection on which everything was answered.
    pub(super) fn keep(&self, bucket: &str, link: Link) {
        let mut idle = self.idle.locked();
        if idle.len() < MAX_IDLE && link.is_usable() {
            idle.push(Idle {
                bucket: bucket.to_owned(),
                since: Instant::now(),
                link,
            });
        }
    }

    /// The youngest connection for `bucket` that has not ended.
    pub(super) fn take(&self, bucket: &str) -> Option<Link> {
        let mut idle = self.idle.locked();
        idle.retain(|idle| idle.since.elapsed() < self.idle_timeout && idle.link.is_usable());
        let place = idle.iter().rposition(|idle| idle.bucket == bucket)?;
        Some(idle.remove(place).link)
    }
}

pub(super) fn uri(url: &reqwest::Url) -> Option<Uri> {
    url.as_str().parse().ok()
}

/// The first line of a request, and its headers (RFC 9112, section 3.2).
pub(super) fn head(request: &reqwest::Request, route: &Route) -> Bytes {
    let url = request.url();
    let mut head = BytesMut::with_capacity(1024);
    let mut put = |parts: &[&[u8]]| parts.iter().for_each(|part| head.extend_from_slice(part));
    let host = url.host_str().unwrap_or_default().as_bytes();
    let port = url.port().map(|port| format!(":{port}"));
    let port = port.as_deref().unwrap_or_default().as_bytes();
    put(&[request.method().as_str().as_bytes(), b" "]);
    if let Route::Forwarded(_) = route {
        put(&[b"http://", host, port]);
    }
    put(&[url.path().as_bytes()]);
    if let Some(query) = url.query() {
        put(&[b"?", query.as_bytes()]);
    }
    put(&[b" HTTP/1.1\r\nhost: ", host, port, b"\r\naccept: */*\r\n"]);
    for (name, value) in request.headers() {
        put(&[name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"]);
    }
    if let Route::Forwarded(Some(authorization)) = route {
        put(&[b"proxy-authorization: ", authorization.as_bytes(), b"\r\n"]);
    }
    put(&[b"\r\n"]);
    head.freeze()
}

/// Writes a request, its first bytes together.
pub(super) async fn write(
    write: &mut Writing,
    head: Bytes,
    body: Option<reqwest::Body>,
) -> io::Result<()> {
    let mut body = body.map(Box::pin);
    let mut begin = head;
    loop {
        let frame = match &mut body {
            Some(body) => std::future::poll_fn(|cx| body.as_mut().poll_frame(cx)).await,
            None => None,
        };
        let data = match frame {
            Some(frame) => frame.map_err(io::Error::other)?.into_data().ok(),
            None if begin.is_empty() => return write.flush().await,
            None => None,
        };
        let mut both = std::mem::take(&mut begin).chain(data.unwrap_or_default());
        write.write_all_buf(&mut both).await?;
    }
}
