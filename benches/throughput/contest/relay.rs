//! A link in front of somebody else than the sink.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::link::{Link, Wire};

const READ: usize = 256 * 1024;

/// Passes connections on to `target` over `link`, as long as the runtime lives. Gives the address to
/// connect to.
pub(crate) async fn relay(link: Link, target: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let wire = Arc::new(Wire::new(link));
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let far = TcpStream::connect(target).await.unwrap();
            near.set_nodelay(true).unwrap();
            far.set_nodelay(true).unwrap();
            let ((near_read, near_write), (far_read, far_write)) =
                (near.into_split(), far.into_split());
            // The end of one direction is the end of both, when what is under way has come.
            tokio::spawn(there(near_read, far_write, Arc::clone(&wire)));
            tokio::spawn(back(far_read, near_write, Arc::clone(&wire)));
        }
    });
    address
}

/// Takes as long as the bandwidth wants.
async fn there(
    mut read: OwnedReadHalf,
    mut write: OwnedWriteHalf,
    wire: Arc<Wire>,
) -> io::Result<()> {
    let mut buffer = vec![0; READ];
    loop {
        match read.read(&mut buffer).await? {
            0 => return write.shutdown().await,
            len => {
                wire.carry(len).await;
                write.write_all(&buffer[..len]).await?;
            }
        }
    }
}

/// Takes a round trip, and keeps nothing behind it from being read.
async fn back(
    mut read: OwnedReadHalf,
    mut write: OwnedWriteHalf,
    wire: Arc<Wire>,
) -> io::Result<()> {
    let (answers, mut due) = mpsc::unbounded_channel::<(_, Vec<u8>)>();
    tokio::spawn(async move {
        while let Some((time, answer)) = due.recv().await {
            if time > Instant::now() {
                sleep_until(time).await;
            }
            write.write_all(&answer).await?;
        }
        io::Result::Ok(())
    });
    let mut buffer = vec![0; 4096];
    loop {
        match read.read(&mut buffer).await? {
            0 => return Ok(()),
            len => {
                let sent = answers.send((wire.turn(), buffer[..len].to_vec()));
                sent.map_err(|_| io::ErrorKind::BrokenPipe)?;
            }
        }
    }
}
