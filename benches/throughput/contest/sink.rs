//! The least that can be called an OSS server: it reads what is appended and throws it away. An object
//! whose name ends with `-of-N` has N bytes to be read.
//!
//! Every byte is taken for an `x`, so that the CRC-64 that an answer has to name costs nothing. Who
//! sends others and checks the answer finds that out.

use std::collections::HashMap;
use std::io::{self, BufRead as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use oss_append::crc64;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::link::{Link, Wire};

const READ: usize = 256 * 1024;

/// What an object is given out in.
static PIECE: [u8; 64 * 1024] = [b'x'; 64 * 1024];

struct Sink {
    wire: Wire,
    /// Their lengths.
    objects: Mutex<HashMap<String, u64>>,
    appends: AtomicU64,
    /// Of requests, with their heads.
    bytes: AtomicU64,
}

/// Serves until standard input ends, also when whoever started this has died. Prints the URL, and
/// for each line of input how many appends and bytes have come since the last one.
pub(super) fn serve(link: Link) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let listener = runtime
        .block_on(TcpListener::bind(("127.0.0.1", 0)))
        .unwrap();
    println!("http://{}", listener.local_addr().unwrap());
    let sink = Arc::new(Sink {
        wire: Wire::new(link),
        objects: Mutex::default(),
        appends: AtomicU64::new(0),
        bytes: AtomicU64::new(0),
    });
    let counted = Arc::clone(&sink);
    std::thread::spawn(move || {
        for _ in io::stdin().lock().lines().map_while(Result::ok) {
            let count = |counter: &AtomicU64| counter.swap(0, Ordering::Relaxed);
            println!("{} {}", count(&counted.appends), count(&counted.bytes));
        }
        std::process::exit(0);
    });
    runtime.block_on(async {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            let sink = Arc::clone(&sink);
            // An error is the end of a connection, no more.
            tokio::spawn(async move {
                let (read, write) = stream.into_split();
                let (answers, due) = mpsc::unbounded_channel();
                tokio::spawn(answer_when_due(write, due, Arc::clone(&sink)));
                Connection::new(read, &sink, answers).serve().await
            });
        }
    });
}

/// An answer, the length of its body, and when it is there.
struct Due {
    time: Instant,
    head: String,
    body: u64,
}

/// Answers take their time on the way, and keep nothing behind them from being read.
async fn answer_when_due(
    mut write: OwnedWriteHalf,
    mut due: mpsc::UnboundedReceiver<Due>,
    sink: Arc<Sink>,
) -> io::Result<()> {
    while let Some(Due { time, head, body }) = due.recv().await {
        // A timer would take up to a millisecond for what is due.
        if time > Instant::now() {
            sleep_until(time).await;
        }
        write.write_all(head.as_bytes()).await?;
        let mut left = body;
        while left > 0 {
            let piece = &PIECE[..left.min(PIECE.len() as u64) as usize];
            sink.wire.carry(piece.len()).await;
            write.write_all(piece).await?;
            left -= piece.len() as u64;
        }
    }
    Ok(())
}

struct Connection<'a> {
    stream: OwnedReadHalf,
    answers: mpsc::UnboundedSender<Due>,
    sink: &'a Sink,
    buffer: Box<[u8]>,
    /// What has been read and not dealt with.
    start: usize,
    end: usize,
}

struct Head {
    method: String,
    path: String,
    query: String,
    /// `None` if the body is chunked.
    length: Option<u64>,
    /// Which bytes are asked for, as the header says.
    range: Option<String>,
}

impl<'a> Connection<'a> {
    fn new(stream: OwnedReadHalf, sink: &'a Sink, answers: mpsc::UnboundedSender<Due>) -> Self {
        Self {
            stream,
            answers,
            sink,
            buffer: vec![0; READ].into_boxed_slice(),
            start: 0,
            end: 0,
        }
    }

    async fn serve(mut self) -> io::Result<()> {
        loop {
            let head = self.head().await?;
            let length = match head.length {
                Some(length) => {
                    self.discard(length).await?;
                    length
                }
                None => self.discard_chunks().await?,
            };
            let time = self.sink.wire.turn();
            let (head, body) = self.answer(&head, length);
            let sent = self.answers.send(Due { time, head, body });
            sent.map_err(|_| io::ErrorKind::BrokenPipe)?;
        }
    }

    async fn fill(&mut self) -> io::Result<()> {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        } else if self.end == READ {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        match self.stream.read(&mut self.buffer[self.end..]).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            read => {
                self.end += read;
                self.sink.bytes.fetch_add(read as u64, Ordering::Relaxed);
                self.sink.wire.carry(read).await;
                Ok(())
            }
        }
    }

    async fn head(&mut self) -> io::Result<Head> {
        loop {
            let mut headers = [httparse::EMPTY_HEADER; 64];
            let mut request = httparse::Request::new(&mut headers);
            let parsed = request
                .parse(&self.buffer[self.start..self.end])
                .map_err(io::Error::other)?;
            let httparse::Status::Complete(len) = parsed else {
                self.fill().await?;
                continue;
            };
            let header = |name: &str| {
                let mut headers = request.headers.iter();
                let found = headers.find(|header| header.name.eq_ignore_ascii_case(name))?;
                std::str::from_utf8(found.value).ok()
            };
            let length = match header("content-length") {
                Some(length) => Some(length.parse().map_err(io::Error::other)?),
                None => header("transfer-encoding").is_none().then_some(0),
            };
            let target = request.path.unwrap_or_default();
            let (path, query) = target.split_once('?').unwrap_or((target, ""));
            let head = Head {
                method: request.method.unwrap_or_default().to_owned(),
                path: path.to_owned(),
                query: query.to_owned(),
                length,
                range: header("range").map(str::to_owned),
            };
            self.start += len;
            return Ok(head);
        }
    }

    async fn discard(&mut self, length: u64) -> io::Result<()> {
        let mut left = length;
        loop {
            let take = left.min((self.end - self.start) as u64);
            self.start += take as usize;
            left -= take;
            if left == 0 {
                return Ok(());
            }
            self.fill().await?;
        }
    }

    async fn discard_chunks(&mut self) -> io::Result<u64> {
        let mut length = 0;
        loop {
            let line = self.line().await?;
            let size = line.split(';').next().unwrap_or_default();
            let size = u64::from_str_radix(size, 16).map_err(io::Error::other)?;
            self.discard(size).await?;
            length += size;
            self.line().await?;
            if size == 0 {
                return Ok(length);
            }
        }
    }

    /// The next line, without its end.
    async fn line(&mut self) -> io::Result<String> {
        loop {
            let unread = &self.buffer[self.start..self.end];
            if let Some(len) = unread.windows(2).position(|two| two == b"\r\n") {
                let line = String::from_utf8_lossy(&unread[..len]).into_owned();
                self.start += len + 2;
                return Ok(line);
            }
            self.fill().await?;
        }
    }

    /// The answer, and how long its body is.
    fn answer(&self, head: &Head, body: u64) -> (String, u64) {
        let objects = &self.sink.objects;
        let mut objects = objects.lock().unwrap_or_else(PoisonError::into_inner);
        let parameter = |name: &str| {
            let mut pairs = head.query.split('&');
            pairs.find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
        };
        let length = objects.get(&head.path).copied();
        match (&*head.method, length.or_else(|| given(&head.path))) {
            ("POST", length) => {
                let length = length.unwrap_or_default();
                if parameter("position") != Some(&*length.to_string()) {
                    return (refusal(409, "PositionNotEqualToLength"), 0);
                }
                objects.insert(head.path.clone(), length + body);
                self.sink.appends.fetch_add(1, Ordering::Relaxed);
                (success("200 OK", length + body, 0), 0)
            }
            ("HEAD", Some(length)) => (success("200 OK", length, length), 0),
            ("GET", Some(length)) => match head.range.as_deref().map(|range| within(range, length))
            {
                None => (success("200 OK", length, length), length),
                Some(Some((first, end))) => {
                    let status = format!(
                        "206 Partial Content\r\nContent-Range: bytes {first}-{}/{length}",
                        end - 1
                    );
                    (success(&status, length, end - first), end - first)
                }
                Some(None) => (refusal(416, "InvalidRange"), 0),
            },
            _ => (refusal(404, "NoSuchKey"), 0),
        }
    }
}

/// How many bytes an object has that is only read.
fn given(path: &str) -> Option<u64> {
    path.rsplit_once("-of-")?.1.parse().ok()
}

/// The first byte and the end of such a range, of an object of `length` bytes.
fn within(range: &str, length: u64) -> Option<(u64, u64)> {
    let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
    let first = first.parse().ok()?;
    let end = match last {
        "" => length,
        last => length.min(last.parse::<u64>().ok()? + 1),
    };
    (first < end).then_some((first, end))
}

/// The answer about an object of `length` bytes.
fn success(status: &str, length: u64, content_length: u64) -> String {
    format!(
        "HTTP/1.1 {status}\r\nServer: sink\r\nContent-Length: {content_length}\r\n\
         ETag: \"00000000000000000000000000000000\"\r\n\
         x-oss-request-id: 000000000000000000000000\r\n\
         x-oss-object-type: Appendable\r\n\
         x-oss-next-append-position: {length}\r\n\
         x-oss-hash-crc64ecma: {}\r\n\r\n",
        checksum_of_x(length)
    )
}

fn refusal(status: u16, code: &str) -> String {
    let body = match status {
        // The answer to a HEAD, which has none.
        404 => String::new(),
        _ => format!("<Error><Code>{code}</Code></Error>"),
    };
    format!(
        "HTTP/1.1 {status} {code}\r\nServer: sink\r\nContent-Length: {}\r\n\
         x-oss-request-id: 000000000000000000000000\r\n\r\n{body}",
        body.len()
    )
}

/// The CRC-64 of so many times the same byte.
fn checksum_of_x(length: u64) -> u64 {
    let (mut all, mut left) = (0, length);
    // Of 2^n bytes.
    let (mut power, mut power_len) = (crc64::checksum(b"x"), 1);
    while left > 0 {
        if left & 1 == 1 {
            all = crc64::combine(all, power, power_len);
        }
        power = crc64::combine(power, power, power_len);
        power_len *= 2;
        left /= 2;
    }
    all
}
