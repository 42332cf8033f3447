//! Serving one connection, by hyper: one request after the other.

use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::fault::Rest;
use super::front;
use super::handler;
use super::pipelining::Pipelining;
use super::server::Stop;
use super::shared::Shared;
use super::wire::{Ending, Link, Wire};

/// Of one request. User metadata alone may be hundreds of headers.
pub(super) const MAX_HEADERS: usize = 1024;

pub(super) async fn accepted(shared: Arc<Shared>, stream: TcpStream, stop: Stop) {
    // Without it the answers would only be later.
    let _ = stream.set_nodelay(true);
    let link = Arc::new(Link::new(stop.token.clone(), shared.max_requests));
    let wire = Wire::new(stream, Arc::clone(&link), shared.bandwidth.clone());
    match shared.pipelining {
        Pipelining::InOrder => in_order(&shared, &link, wire, &stop).await,
        _ => front::serve(shared, link, wire, stop).await,
    }
}

/// Serves a connection until it ends, beyond announcements of its end too if a fault wants it.
async fn in_order(shared: &Arc<Shared>, link: &Arc<Link>, mut wire: Wire, stop: &Stop) {
    while let Some((left, ahead)) = serve(shared, link, wire, false, stop).await {
        wire = left;
        wire.put_back(ahead);
        match link.ending() {
            Some(Ending::Announced(Rest::Apply)) => link.mute(),
            Some(Ending::Announced(Rest::Answer)) if wire.has_more() => {}
            Some(Ending::Lingering) => {
                tokio::select! {
                    () = wire.linger() => return,
                    () = stop.token.cancelled() => return,
                }
            }
            _ => return,
        }
    }
}

/// Serves what comes through `io`, until its end or until an answer announces one. Returns `io`
/// with what was read of it and not used, unless it broke, its link was closed, or the server
/// stops. With `half_close`, requests are answered although nothing can follow them.
pub(super) async fn serve<I>(
    shared: &Arc<Shared>,
    link: &Arc<Link>,
    io: I,
    half_close: bool,
    stop: &Stop,
) -> Option<(I, Bytes)>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service =
        service_fn(|request| handler::serve(Arc::clone(shared), Arc::clone(link), request));
    let mut serving = http1::Builder::new()
        .auto_date_header(false)
        .timer(TokioTimer::new())
        .header_read_timeout(shared.patience())
        .half_close(half_close)
        .max_headers(MAX_HEADERS)
        .serve_connection(TokioIo::new(io), service);
    tokio::select! {
        ended = &mut serving => {
            if let Err(error) = ended {
                tracing::debug!(%error, "connection broke");
                return None;
            }
            let parts = serving.into_parts();
            return Some((parts.io.into_inner(), parts.read_buf));
        }
        // Leaving drops the connection, and with it the socket.
        () = link.ended() => return None,
        () = stop.token.cancelled() => {}
    }
    if !stop.is_abrupt() {
        Pin::new(&mut serving).graceful_shutdown();
        tokio::select! {
            _ = &mut serving => {}
            () = link.ended() => {}
            () = stop.expired() => {}
        }
    }
    None
}
