//! A server that answers every connection with a head and then the same piece again and again, and
//! counts how much went out before the client closed.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// What the server has to give: far more than the sockets' buffers hold.
pub(crate) const PLENTY: usize = 64 << 20;

#[derive(Default)]
struct Taken {
    bytes: AtomicUsize,
    closed: Notify,
}

pub(crate) struct Source {
    address: std::net::SocketAddr,
    taken: Arc<Taken>,
}

impl Source {
    pub(crate) async fn start(head: &str, piece: &[u8]) -> Self {
        Self::of(PLENTY, head, piece).await
    }

    /// One that has so much to give.
    pub(crate) async fn of(plenty: usize, head: &str, piece: &[u8]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let taken = Arc::new(Taken::default());
        let (shared, head, piece) = (taken.clone(), head.as_bytes().to_vec(), piece.to_vec());
        tokio::spawn(async move {
            // One request is made.
            if let Ok((mut stream, _)) = listener.accept().await {
                pour(&mut stream, &head, &piece, plenty, &shared.bytes).await;
                shared.closed.notify_one();
            }
        });
        Self { address, taken }
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Waits until the client has closed the connection, or taken all that there is.
    pub(crate) async fn taken(&self) -> usize {
        self.taken.closed.notified().await;
        self.taken.bytes.load(Ordering::SeqCst)
    }
}

async fn pour(
    stream: &mut TcpStream,
    head: &[u8],
    piece: &[u8],
    plenty: usize,
    taken: &AtomicUsize,
) {
    let mut request = Vec::new();
    while !request.windows(4).any(|window| window == b"\r\n\r\n") {
        match stream.read_buf(&mut request).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
    }
    if stream.write_all(head).await.is_err() {
        return;
    }
    if piece.is_empty() {
        std::future::pending::<()>().await;
    }
    while taken.load(Ordering::SeqCst) < plenty && stream.write_all(piece).await.is_ok() {
        taken.fetch_add(piece.len(), Ordering::SeqCst);
    }
}
