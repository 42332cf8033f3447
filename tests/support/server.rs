//! A server of few words: it records each request and plays the next scripted answer, well-formed
//! or not.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

/// What the server does with one request.
pub(crate) enum Play {
    /// Reads the request, sends these bytes and goes on with the connection.
    Send(Vec<u8>),
    /// Reads the request, sends these bytes and closes the connection.
    SendAndClose(Vec<u8>),
    /// Reads the request, sends the head, then each of these bytes after a pause.
    Drip(Vec<u8>, Vec<u8>, Duration),
    /// Reads the request, sends the head, then zeros for as long as anybody reads.
    SendForever(Vec<u8>),
    /// Reads so many pieces of the body with a pause before each, the rest at once, then answers.
    ReadSlowly(usize, Duration, Vec<u8>),
    /// Answers without reading the body, and leaves the connection open.
    SendEarly(Vec<u8>),
    /// Reads the request and never answers.
    Stall,
}

/// The bytes that a slow reader takes at once: more than a connection holds on its own, so that
/// the sender sees each piece go.
pub(crate) const SLOW_PIECE: usize = 4 << 20;

/// A small window: what the server has not read stays with the sender.
const RECEIVE_BUFFER: u32 = 64 << 10;

/// A request as it was received.
#[derive(Clone, Debug, Default)]
pub(crate) struct Recorded {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// Counts the connections from 0.
    pub(crate) connection: usize,
}

impl Recorded {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(n, _)| n == name);
        let value = values.next().map(|(_, value)| value.as_str());
        assert!(values.next().is_none(), "{name} was sent twice");
        value
    }

    pub(crate) fn line(&self) -> String {
        format!("{} {}", self.method, self.target)
    }
}

#[derive(Default)]
struct State {
    script: VecDeque<Play>,
    requests: Vec<Recorded>,
}

pub(crate) struct ScriptedServer {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

/// The bytes of an answer with an exact length.
pub(crate) fn answer(status: &str, headers: &[(&str, &str)], body: &str) -> Vec<u8> {
    let mut text = head(status, headers);
    text.truncate(text.len() - 2);
    text.extend(format!("Content-Length: {}\r\n\r\n{body}", body.len()).bytes());
    text
}

/// The bytes of an answer's head alone.
pub(crate) fn head(status: &str, headers: &[(&str, &str)]) -> Vec<u8> {
    let mut text = format!("HTTP/1.1 {status}\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("\r\n");
    text.into_bytes()
}

impl ScriptedServer {
    pub(crate) async fn start(script: impl IntoIterator<Item = Play>) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(RECEIVE_BUFFER).unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(64).unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State {
            script: script.into_iter().collect(),
            requests: Vec::new(),
        }));
        let shared = state.clone();
        tokio::spawn(async move {
            for connection in 0.. {
                let Ok((stream, _)) = listener.accept().await else {
                    return;
                };
                tokio::spawn(serve(stream, connection, shared.clone()));
            }
        });
        Self { address, state }
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn requests(&self) -> Vec<Recorded> {
        self.state.lock().unwrap().requests.clone()
    }

    /// The only request so far.
    pub(crate) fn request(&self) -> Recorded {
        let mut requests = self.requests();
        assert_eq!(requests.len(), 1);
        requests.remove(0)
    }
}

async fn serve(mut stream: TcpStream, connection: usize, state: Arc<Mutex<State>>) -> Option<()> {
    loop {
        let (mut request, mut body) = read_head(&mut stream).await?;
        request.connection = connection;
        let length: usize = request
            .header("content-length")
            .map_or(0, |n| n.parse().unwrap());
        let play = state
            .lock()
            .unwrap()
            .script
            .pop_front()
            .expect("a scripted answer");
        if let Play::SendEarly(bytes) = &play {
            stream.write_all(bytes).await.ok()?;
            std::future::pending::<()>().await;
        }
        if let Play::ReadSlowly(pieces, pause, _) = &play {
            for _ in 0..*pieces {
                tokio::time::sleep(*pause).await;
                let target = length.min(body.len() + SLOW_PIECE);
                read_to(&mut stream, &mut body, target).await?;
            }
        }
        read_to(&mut stream, &mut body, length).await?;
        request.body = body;
        state.lock().unwrap().requests.push(request);
        match play {
            Play::Send(bytes) | Play::ReadSlowly(_, _, bytes) => {
                stream.write_all(&bytes).await.ok()?;
            }
            Play::SendAndClose(bytes) => {
                stream.write_all(&bytes).await.ok()?;
                stream.shutdown().await.ok()?;
                return None;
            }
            Play::Drip(head, bytes, pause) => {
                stream.write_all(&head).await.ok()?;
                for byte in bytes {
                    tokio::time::sleep(pause).await;
                    stream.write_all(&[byte]).await.ok()?;
                }
            }
            Play::SendForever(head) => {
                stream.write_all(&head).await.ok()?;
                while stream.write_all(&[0; 1024]).await.is_ok() {}
                return None;
            }
            Play::SendEarly(_) | Play::Stall => std::future::pending().await,
        }
    }
}

/// The head of a request, and what of its body came with it; `None` when the connection ends.
async fn read_head(stream: &mut TcpStream) -> Option<(Recorded, Vec<u8>)> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
            break end;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let body = bytes.split_off(end + 4);
    let text = String::from_utf8(bytes).unwrap();
    let mut lines = text.lines();
    let mut first = lines.next()?.split(' ');
    let request = Recorded {
        method: first.next()?.into(),
        target: first.next()?.into(),
        headers: lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.into()))
            .collect(),
        ..Recorded::default()
    };
    Some((request, body))
}

async fn read_to(stream: &mut TcpStream, body: &mut Vec<u8>, length: usize) -> Option<()> {
    let have = body.len();
    if have < length {
        body.resize(length, 0);
        stream.read_exact(&mut body[have..]).await.ok()?;
    }
    Some(())
}
