//! How a lane connects: as the HTTP client does, by the same addresses, proxies and certificates.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::{HeaderValue, Uri};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::{GaiResolver, Name};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tower_service::Service;

use crate::client::tls::Tls;
use crate::error::Result;
use crate::wire::failure::unconnected;
use crate::wire::proxies::Proxies;

/// The most bytes of a proxy's answer to CONNECT.
const MAX_TUNNEL_HEAD: usize = 16 * 1024;

/// What TLS and tunnels are put on.
pub(in crate::client) trait Stream:
    AsyncRead + AsyncWrite + Send + Unpin
{
}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

pub(super) type Reading = Box<dyn AsyncRead + Send + Unpin>;
pub(super) type Writing = Box<dyn AsyncWrite + Send + Unpin>;

/// A connection, to be read and written at the same time.
pub(super) struct Connection {
    pub(super) read: Reading,
    pub(super) write: Writing,
    pub(super) route: Route,
}

/// Who reads the head of a request.
pub(in crate::client) enum Route {
    /// The server.
    Straight,
    /// A proxy without a tunnel, which may want to know who asks.
    Forwarded(Option<HeaderValue>),
}

pub(in crate::client) struct Connector {
    tcp: HttpConnector<Addresses>,
    proxies: Option<Arc<Proxies>>,
    tls: Tls,
    timeout: Duration,
}

impl Connector {
    /// `timeout` is for a connection with all that belongs to it; `addresses` are known without a
    /// resolver.
    pub(in crate::client) fn new(
        addresses: Vec<(String, Vec<SocketAddr>)>,
        proxies: Option<Arc<Proxies>>,
        tls: Tls,
        timeout: Duration,
        keepalive: Duration,
    ) -> Self {
        let mut tcp = HttpConnector::new_with_resolver(Addresses {
            known: addresses.into(),
            resolver: GaiResolver::new(),
        });
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(keepalive));
        tcp.set_connect_timeout(Some(timeout));
        Self {
            tcp,
            proxies,
            tls,
            timeout,
        }
    }

    /// There is no proxy to any server.
    pub(super) fn is_direct(&self) -> bool {
        self.proxies.is_none()
    }

    pub(super) fn speaks(&self, scheme: &str) -> bool {
        match scheme {
            "http" => true,
            "https" => self.tls.is_for_lanes(),
            _ => false,
        }
    }

    /// Whether it knows how to connect there.
    pub(super) fn reaches(&self, server: &Uri) -> bool {
        let speaks = |uri: &Uri| uri.scheme_str().is_some_and(|scheme| self.speaks(scheme));
        let proxy = self.proxies.as_ref().and_then(|all| all.intercept(server));
        speaks(server) && proxy.is_none_or(|proxy| speaks(proxy.uri()))
    }

    /// A new connection.
    pub(super) async fn connect(&self, server: &Uri) -> Result<Connection> {
        let name = server
            .authority()
            .map_or("", |authority| authority.as_str());
        match tokio::time::timeout(self.timeout, self.reach(server)).await {
            Ok(connection) => connection.map_err(|error| unconnected(name, error)),
            Err(_) => {
                let seconds = self.timeout.as_secs_f64();
                let reason = format!("no connection within {seconds:.1} s");
                Err(unconnected(
                    name,
                    io::Error::new(io::ErrorKind::TimedOut, reason),
                ))
            }
        }
    }

    async fn reach(&self, server: &Uri) -> io::Result<Connection> {
        let proxy = self.proxies.as_ref().and_then(|all| all.intercept(server));
        let Some(proxy) = proxy else {
            let tcp = self.tcp(server).await?;
            return Ok(match is_secure(server) {
                true => Connection::over(self.secure(server, Box::new(tcp)).await?),
                false => Connection::over_tcp(tcp),
            });
        };
        let mut stream: Box<dyn Stream> = Box::new(self.tcp(proxy.uri()).await?);
        if is_secure(proxy.uri()) {
            stream = self.secure(proxy.uri(), stream).await?;
        }
        if !is_secure(server) {
            let route = Route::Forwarded(proxy.basic_auth().cloned());
            return Ok(Connection {
                route,
                ..Connection::over(stream)
            });
        }
        tunnel(&mut stream, server, proxy.basic_auth()).await?;
        Ok(Connection::over(self.secure(server, stream).await?))
    }

    async fn tcp(&self, to: &Uri) -> io::Result<TcpStream> {
        let mut tcp = self.tcp.clone();
        poll_fn(|cx| tcp.poll_ready(cx))
            .await
            .map_err(io::Error::other)?;
        let stream = tcp.call(to.clone()).await.map_err(io::Error::other)?;
        Ok(stream.into_inner())
    }

    async fn secure(&self, with: &Uri, stream: Box<dyn Stream>) -> io::Result<Box<dyn Stream>> {
        self.tls
            .secure(with.host().unwrap_or_default(), stream)
            .await
    }
}

impl Connection {
    fn over_tcp(tcp: TcpStream) -> Self {
        let (read, write) = tcp.into_split();
        Self {
            read: Box::new(read),
            write: Box::new(write),
            route: Route::Straight,
        }
    }

    fn over(stream: Box<dyn Stream>) -> Self {
        let (read, write) = tokio::io::split(stream);
        Self {
            read: Box::new(read),
            write: Box::new(write),
            route: Route::Straight,
        }
    }
}

fn is_secure(uri: &Uri) -> bool {
    uri.scheme_str() == Some("https")
}

/// Asks a proxy for a tunnel (RFC 9110, section 9.3.6).
async fn tunnel(
    stream: &mut Box<dyn Stream>,
    server: &Uri,
    authorization: Option<&HeaderValue>,
) -> io::Result<()> {
    let (host, port) = (
        server.host().unwrap_or_default(),
        server.port_u16().unwrap_or(443),
    );
    let mut asked =
        format!("CONNECT {host}:{port} HTTP/1.1\r\nhost: {host}:{port}\r\n").into_bytes();
    if let Some(authorization) = authorization {
        asked.extend_from_slice(b"proxy-authorization: ");
        asked.extend_from_slice(authorization.as_bytes());
        asked.extend_from_slice(b"\r\n");
    }
    asked.extend_from_slice(b"\r\n");
    stream.write_all(&asked).await?;
    stream.flush().await?;
    let mut head = Vec::new();
    loop {
        // The server says nothing before it is spoken to: no byte of its own is among these.
        if stream.read_buf(&mut head).await? == 0 {
            return Err(io::Error::other("the proxy closed the connection"));
        }
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut answer = httparse::Response::new(&mut headers);
        match answer.parse(&head) {
            Ok(httparse::Status::Complete(_)) => {
                return match answer.code.unwrap_or_default() {
                    200..300 => Ok(()),
                    code => Err(io::Error::other(format!(
                        "the proxy refused a tunnel: it answered {code}"
                    ))),
                };
            }
            Ok(httparse::Status::Partial) if head.len() < MAX_TUNNEL_HEAD => {}
            _ => return Err(io::Error::other("the proxy's answer cannot be read")),
        }
    }
}

/// Addresses that are known, and the system's resolver for the others.
#[derive(Clone)]
struct Addresses {
    known: Arc<[(String, Vec<SocketAddr>)]>,
    resolver: GaiResolver,
}

impl Service<Name> for Addresses {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<Self::Response>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.resolver.poll_ready(cx)
    }

    fn call(&mut self, name: Name) -> Self::Future {
        // Of several for one host the last counts.
        let mut known = self.known.iter().rev();
        match known.find(|(host, _)| host.eq_ignore_ascii_case(name.as_str())) {
            Some((_, addresses)) => {
                let addresses = addresses.clone().into_iter();
                futures::future::ready(Ok(addresses)).boxed()
            }
            None => {
                let asked = self.resolver.call(name);
                async move { Ok(asked.await?.collect::<Vec<_>>().into_iter()) }.boxed()
            }
        }
    }
}
