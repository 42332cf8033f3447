//! The connections of lanes: how they are made, kept, and written to.

use std::io;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use http_body::Body as _;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::Instant;

use super::Link;
use crate::error::{Error, Result, TransportCause};
use crate::values::locks::MutexExt as _;

/// The most connections that are kept.
const MAX_IDLE: usize = 64;

/// Host and port.
pub(super) type Host = (String, u16);

/// How connections are made, and those that are kept.
pub(in crate::client) struct Connections {
    pub(in crate::client) connect_timeout: Duration,
    pub(in crate::client) idle_timeout: Duration,
    /// Addresses that are known without a resolver.
    pub(in crate::client) addresses: Vec<(String, Vec<SocketAddr>)>,
    idle: Mutex<Vec<Idle>>,
}

struct Idle {
    bucket: String,
    since: Instant,
    link: Link,
}

impl Connections {
    pub(in crate::client) fn new(
        connect_timeout: Duration,
        idle_timeout: Duration,
        addresses: Vec<(String, Vec<SocketAddr>)>,
    ) -> Self {
        Self {
            connect_timeout,
            idle_timeout,
            addresses,
            idle: Mutex::default(),
        }
    }

    /// A new connection to `host`.
    pub(super) async fn open(&self, host: &Host) -> Result<(OwnedReadHalf, OwnedWriteHalf)> {
        let refused = |reason: String| {
            let reason = format!("{}:{}: {reason}", host.0, host.1);
            Error::transport(TransportCause::Connect, reason)
        };
        let connecting = tokio::time::timeout(self.connect_timeout, self.connect(host));
        let stream = match connecting.await {
            Ok(stream) => stream.map_err(|error| refused(error.to_string()).with_source(error))?,
            Err(_) => {
                let seconds = self.connect_timeout.as_secs_f64();
                return Err(refused(format!("no connection within {seconds:.1} s")));
            }
        };
        // Requests go out as they are written.
        let _ = stream.set_nodelay(true);
        Ok(stream.into_split())
    }

    async fn connect(&self, (name, port): &Host) -> io::Result<TcpStream> {
        let known = self.addresses.iter().find(|(host, _)| host == name);
        match known {
            Some((_, addresses)) => {
                let with_port = |address: &SocketAddr| match address.port() {
                    0 => SocketAddr::new(address.ip(), *port),
                    _ => *address,
                };
                let addresses: Vec<_> = addresses.iter().map(with_port).collect();
                TcpStream::connect(&*addresses).await
            }
            None => {
                // As in a URL.
                let name = name.trim_start_matches('[').trim_end_matches(']');
                TcpStream::connect((name, *port)).await
            }
        }
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

/// Where a request goes.
pub(super) fn host(request: &reqwest::Request) -> Host {
    let url = request.url();
    let host = url.host_str().unwrap_or_default().to_owned();
    (host, url.port_or_known_default().unwrap_or(80))
}

/// The first line of a request, and its headers.
pub(super) fn head(request: &reqwest::Request) -> Bytes {
    let url = request.url();
    let mut head = BytesMut::with_capacity(1024);
    let mut put = |parts: &[&[u8]]| parts.iter().for_each(|part| head.extend_from_slice(part));
    put(&[
        request.method().as_str().as_bytes(),
        b" ",
        url.path().as_bytes(),
    ]);
    if let Some(query) = url.query() {
        put(&[b"?", query.as_bytes()]);
    }
    put(&[
        b" HTTP/1.1\r\nhost: ",
        url.host_str().unwrap_or_default().as_bytes(),
    ]);
    if let Some(port) = url.port() {
        put(&[b":", port.to_string().as_bytes()]);
    }
    put(&[b"\r\naccept: */*\r\n"]);
    for (name, value) in request.headers() {
        put(&[name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"]);
    }
    put(&[b"\r\n"]);
    head.freeze()
}

/// Writes a request, its first bytes together.
pub(super) async fn write(
    write: &mut OwnedWriteHalf,
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
            None if begin.is_empty() => return Ok(()),
            None => None,
        };
        let mut both = std::mem::take(&mut begin).chain(data.unwrap_or_default());
        write.write_all_buf(&mut both).await?;
    }
}
