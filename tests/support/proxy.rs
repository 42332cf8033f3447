//! A proxy between a client and the embedded server that spoils exchanges on purpose.
//!
//! It speaks just enough HTTP/1.1 to know where a request begins and ends. Each request goes to
//! the server on a connection of its own; the connection to the client is kept.

use std::collections::VecDeque;
use std::io::{Error, ErrorKind, Result};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use oss_append::emulator::Emulator;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// The end of a head.
const BODY: &[u8] = b"\r\n\r\n";

/// What becomes of one request.
#[derive(Clone)]
pub enum Fate {
    /// It gets through, and so does its answer.
    Pass,
    /// The server does not see it. So much of its body is read, then this is answered.
    Swallow {
        read: usize,
        answer: Vec<u8>,
        end: End,
    },
    /// The server does it. Its answer is changed, and so much of that is sent.
    Spoil {
        change: fn(Vec<u8>) -> Vec<u8>,
        keep: usize,
        end: End,
    },
    /// The server does it. Its answer comes byte by byte.
    Trickle,
    /// The server gets it twice, and its second answer gets through.
    Twice,
    /// The server does not see it. This is answered again and again, until the client leaves.
    Endless(Vec<u8>),
}

/// What becomes of the connection to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Keep,
    Close,
    Reset,
    /// Nothing more is sent, and the client is told so; what it sends is taken.
    HalfClose,
    /// Nothing more is read or sent.
    Stall,
}

impl Fate {
    /// So much of the body is read, and nothing answered.
    pub fn lost(read: usize, end: End) -> Self {
        Self::Swallow {
            read,
            answer: Vec::new(),
            end,
        }
    }

    /// The whole request is read, and something else than the server answers.
    pub fn instead(answer: impl Into<Vec<u8>>, end: End) -> Self {
        Self::Swallow {
            read: usize::MAX,
            answer: answer.into(),
            end,
        }
    }

    /// The server does it, and so much of its answer is sent.
    pub fn cut(keep: usize, end: End) -> Self {
        Self::Spoil {
            change: |answer| answer,
            keep,
            end,
        }
    }

    /// Whether it leaves the client waiting.
    pub fn stalls(&self) -> bool {
        matches!(self, Self::Swallow { end, .. } | Self::Spoil { end, .. } if *end == End::Stall)
    }

    /// The server does it, and its answer is changed.
    pub fn changed(change: fn(Vec<u8>) -> Vec<u8>, end: End) -> Self {
        Self::Spoil {
            change,
            keep: usize::MAX,
            end,
        }
    }
}

/// An answer that a proxy gives in the name of the server.
pub fn page(status: &str, headers: &str) -> Vec<u8> {
    let body = format!("<html><body><h1>{status}</h1></body></html>");
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: text/html\r\n{headers}content-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into()
}

pub struct Proxy {
    pub address: SocketAddr,
    shared: Arc<Shared>,
    /// Aborted when the proxy is dropped.
    _tasks: JoinSet<()>,
}

struct Shared {
    server: SocketAddr,
    state: Mutex<State>,
}

struct State {
    fates: VecDeque<(String, Fate)>,
    always: Box<dyn FnMut(&str) -> Fate + Send>,
    connections: usize,
    /// The methods of the requests that met a fate other than to pass.
    struck: Vec<String>,
}

impl Proxy {
    pub async fn start(emulator: &Emulator) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            server: emulator.address(),
            state: Mutex::new(State {
                fates: VecDeque::new(),
                always: Box::new(|_| Fate::Pass),
                connections: 0,
                struck: Vec::new(),
            }),
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, Arc::clone(&shared)));
        Self {
            address,
            shared,
            _tasks: tasks,
        }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The next request of this method, without a fate of its own, gets this one.
    pub fn on(&self, method: &str, fate: Fate) {
        let mut state = self.shared.state();
        state.fates.push_back((method.into(), fate));
    }

    /// Every request without a fate of its own gets what this says to its method.
    pub fn always(&self, fate: impl FnMut(&str) -> Fate + Send + 'static) {
        self.shared.state().always = Box::new(fate);
    }

    /// How many fates are still to strike.
    pub fn pending(&self) -> usize {
        self.shared.state().fates.len()
    }

    /// How many connections there were.
    pub fn connections(&self) -> usize {
        self.shared.state().connections
    }

    /// The methods of the requests that were not let through as they were.
    pub fn struck(&self) -> Vec<String> {
        self.shared.state().struck.clone()
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn fate(&self, method: &str) -> Fate {
        let mut state = self.state();
        let own = state.fates.iter().position(|(m, _)| m == method);
        let fate = match own.and_then(|index| state.fates.remove(index)) {
            Some((_, fate)) => fate,
            None => (state.always)(method),
        };
        if !matches!(fate, Fate::Pass) {
            state.struck.push(method.into());
        }
        fate
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = connections.join_next() => {}
            Ok((client, _)) = listener.accept() => {
                shared.state().connections += 1;
                let shared = Arc::clone(&shared);
                connections.spawn(async move {
                    // An error is one side's leaving.
                    let _ = serve(client, &shared).await;
                });
            }
        }
    }
}

/// The exchanges of one connection.
async fn serve(mut client: TcpStream, shared: &Shared) -> Result<()> {
    client.set_nodelay(true)?;
    // What has come of the requests behind the present one.
    let mut rest = Vec::new();
    loop {
        let head = read_head(&mut client, &mut rest).await?;
        let length = content_length(&head);
        let method = head.split(' ').next().unwrap_or_default();
        let fate = shared.fate(method);
        let (answer, end) = match fate {
            Fate::Swallow { read, answer, end } => {
                read_body(&mut client, &mut rest, read.min(length)).await?;
                (answer, end)
            }
            Fate::Pass => {
                let body = read_body(&mut client, &mut rest, length).await?;
                let answer = forward(shared, &client, &head, &body).await?;
                let end = match complete(&answer, method) {
                    true => End::Keep,
                    false => End::Close,
                };
                (answer, end)
            }
            Fate::Spoil { change, keep, end } => {
                let body = read_body(&mut client, &mut rest, length).await?;
                let mut answer = change(forward(shared, &client, &head, &body).await?);
                answer.truncate(keep);
                (answer, end)
            }
            Fate::Twice => {
                let body = read_body(&mut client, &mut rest, length).await?;
                forward(shared, &client, &head, &body).await?;
                (forward(shared, &client, &head, &body).await?, End::Keep)
            }
            Fate::Trickle => {
                let body = read_body(&mut client, &mut rest, length).await?;
                for byte in forward(shared, &client, &head, &body).await? {
                    client.write_all(&[byte]).await?;
                    tokio::time::sleep(Duration::from_micros(100)).await;
                }
                (Vec::new(), End::Keep)
            }
            Fate::Endless(piece) => {
                read_body(&mut client, &mut rest, length).await?;
                loop {
                    client.write_all(&piece).await?;
                }
            }
        };
        client.write_all(&answer).await?;
        match end {
            End::Keep => {}
            End::Close => return client.shutdown().await,
            End::Reset => return client.set_zero_linger(),
            End::HalfClose => {
                client.shutdown().await?;
                while client.read(&mut [0; 4096]).await? > 0 {}
                return Ok(());
            }
            End::Stall => std::future::pending().await,
        }
    }
}

/// Reads a request's head. What has come behind it stays in `rest`.
async fn read_head(client: &mut TcpStream, rest: &mut Vec<u8>) -> Result<String> {
    loop {
        if let Some(end) = end_of_head(rest) {
            let behind = rest.split_off(end);
            let head = std::mem::replace(rest, behind);
            return String::from_utf8(head).map_err(Error::other);
        }
        if client.read_buf(rest).await? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
    }
}

fn end_of_head(bytes: &[u8]) -> Option<usize> {
    let start = bytes.windows(BODY.len()).position(|at| at == BODY)?;
    Some(start + BODY.len())
}

/// Whether an answer of the server has come to its end.
fn complete(answer: &[u8], method: &str) -> bool {
    end_of_head(answer).is_some_and(|end| {
        let head = String::from_utf8_lossy(&answer[..end]);
        method == "HEAD" || answer.len() - end >= content_length(&head)
    })
}

fn content_length(head: &str) -> usize {
    head.lines()
        .filter_map(|line| line.split_once(": "))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .map_or(0, |(_, length)| length.parse().unwrap())
}

/// The next `length` bytes.
async fn read_body(client: &mut TcpStream, rest: &mut Vec<u8>, length: usize) -> Result<Vec<u8>> {
    while rest.len() < length {
        if client.read_buf(rest).await? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
    }
    let behind = rest.split_off(length);
    Ok(std::mem::replace(rest, behind))
}

/// Sends a request to the server, and returns its answer, unless the client leaves.
async fn forward(shared: &Shared, client: &TcpStream, head: &str, body: &[u8]) -> Result<Vec<u8>> {
    let exchange = async {
        let mut server = TcpStream::connect(shared.server).await?;
        // So that its end is the answer's.
        let (head, _) = head.split_at(head.len() - 2);
        let head = format!("{head}connection: close\r\n\r\n");
        server.write_all(head.as_bytes()).await?;
        server.write_all(body).await?;
        let mut answer = Vec::new();
        server.read_to_end(&mut answer).await?;
        if answer.is_empty() {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        Ok(keep_alive(answer))
    };
    let gone = async {
        // What comes is the next request.
        if client.peek(&mut [0]).await.is_ok_and(|len| len > 0) {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        answer = exchange => answer,
        () = gone => Err(ErrorKind::ConnectionAborted.into()),
    }
}

/// Takes out of an answer that its connection ends.
fn keep_alive(answer: Vec<u8>) -> Vec<u8> {
    replace(answer, "connection: close\r\n", "")
}

/// Replaces the first occurrence of `from` in an answer.
pub fn replace(mut answer: Vec<u8>, from: &str, to: &str) -> Vec<u8> {
    let found = answer
        .windows(from.len())
        .position(|at| at == from.as_bytes());
    if let Some(start) = found {
        answer.splice(start..start + from.len(), to.bytes());
    }
    answer
}
