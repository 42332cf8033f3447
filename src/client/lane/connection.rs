//! The connections of lanes: how they are kept, and written to.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Buf as _;
use bytes::buf::Chain;
use http::Uri;
use http_body::Body as _;
use reqwest::Url;
use tokio::io::AsyncWriteExt as _;
use tokio::time::Instant;

use super::Link;
use super::connect::{Connector, Route, Writing};
use super::pipelining::Pipelining;
use crate::client::OssClient;
use crate::client::body::BatchBody;
use crate::client::endpoint::Endpoint;
use crate::client::sign::Header;
use crate::error::{Error, Result};
use crate::values::batch::BatchCursor;
use crate::values::locks::MutexExt as _;
use crate::values::path::ObjectPath;
use crate::values::progress::Progress;

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
    bucket: Arc<str>,
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

    /// Whether a lane to an object in `bucket` can be had now.
    pub(in crate::client) fn reach(&self, endpoint: &Endpoint, bucket: &str) -> bool {
        let reaches = match self.connector.is_direct() {
            true => self.connector.speaks(&endpoint.scheme),
            false => (endpoint.url(bucket, None, "").and_then(|url| uri(&url)))
                .is_ok_and(|server| self.connector.reaches(&server)),
        };
        reaches && !self.pipelining.rests()
    }

    /// Keeps a connection on which everything was answered.
    pub(super) fn keep(&self, bucket: &Arc<str>, link: Link) {
        let mut idle = self.idle.locked();
        if idle.len() < MAX_IDLE && link.is_usable() {
            idle.push(Idle {
                bucket: Arc::clone(bucket),
                since: Instant::now(),
                link,
            });
        }
    }

    /// The youngest connection for `bucket` that has not ended.
    pub(super) fn take(&self, bucket: &str) -> Option<Link> {
        let mut idle = self.idle.locked();
        idle.retain(|idle| idle.since.elapsed() < self.idle_timeout && idle.link.is_usable());
        let place = idle.iter().rposition(|idle| *idle.bucket == *bucket)?;
        Some(idle.remove(place).link)
    }
}

pub(super) fn uri(url: &Url) -> Result<Uri> {
    let uri = url.as_str().parse();
    uri.map_err(|error| Error::invalid_input(format!("the URL of the endpoint: {error}")))
}

/// The object that requests are for.
pub(in crate::client) struct Target {
    pub(super) object: ObjectPath,
    pub(super) url: Url,
    /// With the port, where the URL has one.
    host: String,
}

impl Target {
    pub(super) fn new(client: &OssClient, object: &ObjectPath) -> Result<Self> {
        let endpoint = &client.inner.endpoint;
        let url = endpoint.url(object.bucket(), Some(object.key()), "")?;
        let mut host = url.host_str().unwrap_or_default().to_owned();
        if let Some(port) = url.port() {
            host += &format!(":{port}");
        }
        Ok(Self {
            object: object.clone(),
            url,
            host,
        })
    }
}

/// The first line of a request, and its headers (RFC 9112, section 3.2).
pub(in crate::client) fn write_head(
    method: &str,
    target: &Target,
    query: &str,
    user_agent: &str,
    headers: &[Header<'_>],
    route: &Route,
) -> Vec<u8> {
    let mut head = Vec::with_capacity(1024);
    let mut put = |parts: &[&str]| {
        parts
            .iter()
            .for_each(|part| head.extend_from_slice(part.as_bytes()));
    };
    let Target { url, host, .. } = target;
    put(&[method, " "]);
    if let Route::Forwarded(_) = route {
        put(&["http://", host]);
    }
    put(&[url.path(), "?", query, " HTTP/1.1\r\nhost: ", host]);
    put(&["\r\naccept: */*\r\nuser-agent: ", user_agent, "\r\n"]);
    for (name, value) in headers {
        put(&[name, ": ", value, "\r\n"]);
    }
    if let Route::Forwarded(Some(authorization)) = route {
        put(&["proxy-authorization: "]);
        head.extend_from_slice(authorization.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    head
}

/// Writes a request, its first bytes together.
pub(super) async fn write(write: &mut Writing, head: Vec<u8>, body: BatchBody) -> io::Result<()> {
    match body.unpaced() {
        Ok((body, progress)) => write_at_once(write, (&head[..]).chain(body), &progress).await?,
        Err(body) => write_paced(write, &head, body).await?,
    }
    write.flush().await
}

/// As many pieces at a time as the connection takes.
async fn write_at_once(
    write: &mut Writing,
    mut request: Chain<&[u8], BatchCursor>,
    progress: &Progress,
) -> io::Result<()> {
    while request.has_remaining() {
        let left = request.last_ref().remaining();
        if write.write_buf(&mut request).await? == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        progress.advance((left - request.last_ref().remaining()) as u64);
    }
    Ok(())
}

/// A frame at a time, each in its turn.
async fn write_paced(write: &mut Writing, mut begin: &[u8], mut body: BatchBody) -> io::Result<()> {
    loop {
        let frame = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await;
        let data = match frame {
            Some(frame) => frame.map_err(io::Error::other)?.into_data().ok(),
            None if begin.is_empty() => return Ok(()),
            None => None,
        };
        let mut both = std::mem::take(&mut begin).chain(data.unwrap_or_default());
        write.write_all_buf(&mut both).await?;
    }
}
