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

/// Where a request goes.
pub(super) struct Host {
    name: String,
    port: u16,
    /// The URL names the port.
    explicit: bool,
}

impl Host {
    pub(super) fn of(request: &reqwest::Request) -> Self {
        let url = request.url();
        Self {
            name: url.host_str().unwrap_or_default().to_owned(),
            port: url.port_or_known_default().unwrap_or(80),
            explicit: url.port().is_some(),
        }
    }

    /// The port of the URL counts, as in the client's other connections; where it names none, that
    /// of the address.
    fn at(&self, address: SocketAddr) -> SocketAddr {
        match self.explicit || address.port() == 0 {
            true => SocketAddr::new(address.ip(), self.port),
            false => address,
        }
    }
}

/// How connections are made, and those that are kept.
pub(in crate::client) struct Connections {
    connect_timeout: Duration,
    pub(super) idle_timeout: Duration,
    /// Addresses that are known without a resolver.
    addresses: Vec<(String, Vec<SocketAddr>)>,
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
            let reason = format!("{}:{}: {reason}", host.name, host.port);
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

    async fn connect(&self, host: &Host) -> io::Result<TcpStream> {
        let mut known = self.addresses.iter().rev();
        match known.find(|(name, _)| name.eq_ignore_ascii_case(&host.name)) {
            Some((_, addresses)) => {
                let addresses = addresses.iter().map(|address| host.at(*address));
                TcpStream::connect(&*addresses.collect::<Vec<_>>()).await
            }
            None => {
                // As in a URL.
                let name = host.name.trim_start_matches('[').trim_end_matches(']');
                TcpStream::connect((name, host.port)).await
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
