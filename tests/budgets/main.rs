//! What writes and appends cost, in counts that are the same on every machine: allocations, appends,
//! bytes on the wire, and the memory of a writer that has nothing to do. An own binary, since its
//! allocator counts what the whole process allocates.

#[path = "../support/allocated.rs"]
mod allocated;
#[path = "../../benches/support/discard.rs"]
mod discard;
mod keyed;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use allocated::{allocated, allocations};
use bytes::Bytes;
use discard::Discard;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use oss_append::credentials::StaticCredentials;
use oss_append::{
    AppendAnswer, AppendRequest, AppendStore, FlushMode, Lane, ObjectInfo, ObjectPath,
    OssAppendWriter, OssAppendWriterBuilder, OssClient, OssLogAppender, Result, RollingWriter,
    crc64,
};

const MIB: u64 = 1 << 20;

const LINE: [u8; 120] = [b'x'; 120];

/// What is counted is that of all threads, or has to be alone on one.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

fn object() -> ObjectPath {
    ObjectPath::new("bucket", "logs/app.log").unwrap()
}

/// Appends nothing until it is told to, or full.
fn patient<S: AppendStore, O>(
    builder: OssAppendWriterBuilder<S, O>,
) -> OssAppendWriterBuilder<S, O> {
    builder
        .max_object_size(u64::MAX)
        .batch_size(8 * MIB)
        .linger(Duration::MAX)
        .flush_mode(FlushMode::Handoff)
}

async fn open() -> OssAppendWriter {
    let builder = OssAppendWriter::builder(Discard::default(), object());
    patient(builder).open().await.unwrap()
}

/// Writes 6 MiB in lines.
async fn write_lines(writer: &mut OssAppendWriter) {
    for _ in 0..6 * MIB / LINE.len() as u64 {
        writer.write_all(&LINE).await.unwrap();
    }
}

#[tokio::test]
async fn a_small_write_allocates_nothing() {
    let _alone = ALONE.lock().await;
    let mut writer = open().await;
    // Once the memory is there, and in segments of the full size.
    for _ in 0..2 {
        write_lines(&mut writer).await;
        writer.sync().await.unwrap();
    }
    let before = allocations();
    write_lines(&mut writer).await;
    assert_eq!(allocations() - before, 0);
    writer.shutdown().await.unwrap();
}

#[test]
fn a_log_line_allocates_nothing() {
    let _alone = ALONE.blocking_lock();
    let objects =
        RollingWriter::builder(Discard::default(), "bucket", "log-{uuid}").writer(patient);
    let (appender, _guard) = OssLogAppender::builder(objects).start_unchecked().unwrap();
    let lines = || {
        for _ in 0..3 * MIB / LINE.len() as u64 {
            appender.record(&LINE);
        }
    };
    lines();
    // Those that are kept for the records' ends, and segments: one for some thousand lines.
    let before = allocations();
    lines();
    let count = allocations() - before;
    assert!(
        count <= 40,
        "{count} allocations for {} lines",
        3 * MIB / 120
    );
}

#[test]
fn log_lines_that_come_in_pieces_stay_within_the_buffer_and_keep_no_memory() {
    let _alone = ALONE.blocking_lock();
    const WRITERS: usize = 50;
    let objects =
        RollingWriter::builder(Discard::default(), "bucket", "log-{uuid}").writer(patient);
    let (appender, guard) = OssLogAppender::builder(objects).start_unchecked().unwrap();
    let start = allocated();
    let mut writers: Vec<_> = (0..WRITERS).map(|_| appender.writer()).collect();
    let piece = vec![b'x'; 3 * MIB as usize];
    for writer in &mut writers {
        writer.write_all(&piece).unwrap();
        writer.write_all(&piece).unwrap();
    }
    drop(piece);
    let begun = allocated() - start;
    assert!(begun < 9 * MIB as usize, "{begun} bytes for what is begun");
    assert!(begun > 5 * MIB as usize, "one of them finds room");
    for writer in &mut writers {
        writer.write_all(b"\n").unwrap();
    }
    assert_eq!(appender.stats().begun, 0);
    assert_eq!(appender.stats().dropped.records, WRITERS as u64 - 1);
    let report = guard.shutdown(Duration::from_secs(60));
    assert!(report.is_complete(), "{report:?}");
    let left = allocated().saturating_sub(start) / WRITERS;
    assert!(left <= 8 * 1024, "{left} bytes are left of a writer");
}

/// Appends of 512 KiB.
#[tokio::test]
async fn an_append_allocates_little_however_much_it_holds() {
    let _alone = ALONE.lock().await;
    let mut writer = open().await;
    let block = vec![b'x'; 512 * 1024];
    let mut append = async || {
        let before = allocations();
        writer.write_all(&block).await.unwrap();
        writer.sync().await.unwrap();
        allocations() - before
    };
    append().await;
    append().await;
    let count = append().await;
    assert!(count <= 20, "{count} allocations");
    writer.shutdown().await.unwrap();
}

#[tokio::test]
async fn lines_make_no_more_appends_than_their_bytes_need() {
    let _alone = ALONE.lock().await;
    let mut writer = open().await;
    // Whole lines, and 8 appends of 8 MiB but for some bytes.
    for _ in 0..64 * MIB / LINE.len() as u64 {
        writer.write_all(&LINE).await.unwrap();
    }
    writer.shutdown().await.unwrap();
    assert_eq!(writer.stats().appends, 8);
}

#[tokio::test(start_paused = true)]
async fn a_writer_that_stays_idle_gives_its_memory_back() {
    let _alone = ALONE.lock().await;
    let start = allocated();
    let mut writer = open().await;
    write_lines(&mut writer).await;
    writer.sync().await.unwrap();
    let kept = allocated() - start;
    assert!(kept > 5 * MIB as usize, "{kept} bytes are kept for a while");
    tokio::time::sleep(Duration::from_millis(4999)).await;
    assert!(allocated() - start > 5 * MIB as usize);
    tokio::time::sleep(Duration::from_millis(2)).await;
    let left = allocated().saturating_sub(start);
    assert!(left < 64 * 1024, "{left} bytes are left");

    // A burst that comes in time finds the memory.
    for _ in 0..2 {
        write_lines(&mut writer).await;
        writer.sync().await.unwrap();
    }
    tokio::time::sleep(Duration::from_secs(4)).await;
    let before = allocations();
    write_lines(&mut writer).await;
    assert_eq!(allocations() - before, 0);
    writer.shutdown().await.unwrap();
    let left = allocated().saturating_sub(start);
    assert!(left < 64 * 1024, "{left} bytes are left");
}

#[tokio::test(start_paused = true)]
async fn an_idle_writer_takes_4_kib_at_most() {
    let _alone = ALONE.lock().await;
    const WRITERS: usize = 1000;
    let start = allocated();
    let mut writers = Vec::with_capacity(WRITERS);
    for _ in 0..WRITERS {
        let mut writer = open().await;
        writer.write_all(&LINE).await.unwrap();
        writer.sync().await.unwrap();
        writers.push(writer);
    }
    tokio::time::sleep(Duration::from_secs(6)).await;
    let each = (allocated() - start) / WRITERS;
    assert!(each <= 4096, "{each} bytes");
}

/// A server for appends of `x`, on threads of its own, that tells how many bytes came before each
/// body.
fn serve(listener: TcpListener, heads: mpsc::Sender<usize>) {
    for stream in listener.incoming() {
        let (stream, heads) = (stream.unwrap(), heads.clone());
        std::thread::spawn(move || answer(stream, heads));
    }
}

fn answer(stream: TcpStream, heads: mpsc::Sender<usize>) {
    let mut stream = BufReader::new(stream);
    let mut length = 0;
    while let Some((head, body)) = request(&mut stream) {
        let answer = match body {
            None => "HTTP/1.1 404 Not Found\r\nx-oss-request-id: 0\r\n\r\n".to_owned(),
            Some(body) => {
                heads.send(head).unwrap();
                length += body;
                let crc = crc64::checksum(&vec![b'x'; length]);
                format!(
                    "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nx-oss-request-id: 0\r\n\
                     x-oss-next-append-position: {length}\r\nx-oss-hash-crc64ecma: {crc}\r\n\r\n"
                )
            }
        };
        stream.get_mut().write_all(answer.as_bytes()).unwrap();
    }
}

/// The length of the next request's head, and of its body if it has one.
fn request(stream: &mut BufReader<TcpStream>) -> Option<(usize, Option<usize>)> {
    let (mut head, mut body) = (0, None);
    loop {
        let mut line = String::new();
        head += match stream.read_line(&mut line) {
            Ok(0) | Err(_) => return None,
            Ok(read) => read,
        };
        let line = line.to_ascii_lowercase();
        if let Some(length) = line.strip_prefix("content-length:") {
            body = Some(length.trim().parse().unwrap());
        }
        if line.trim().is_empty() {
            break;
        }
    }
    if let Some(body) = body {
        stream.read_exact(&mut vec![0; body]).unwrap();
    }
    Some((head, body))
}

#[tokio::test]
async fn an_append_over_http_costs_few_allocations_and_few_bytes() {
    let _alone = ALONE.lock().await;
    for (window, most) in [(1, 120), (2, 30)] {
        let count = allocations_over_http(window).await;
        println!("{count} allocations of an append, {window} at a time");
        assert!(count <= most, "{count} allocations, {window} at a time");
    }
}

async fn allocations_over_http(window: u16) -> u64 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (sender, heads) = mpsc::channel();
    std::thread::spawn(move || serve(listener, sender));
    let client = OssClient::builder()
        .endpoint(&url)
        .region("cn-hangzhou")
        .credentials(StaticCredentials::new("LTAI5tExampleKeyIdOfOss", "secret"))
        .build()
        .unwrap();
    let mut writer = OssAppendWriter::builder(client, object())
        .batch_size(LINE.len() as u64)
        .max_append_size(LINE.len() as u64)
        .max_in_flight(window)
        .open()
        .await
        .unwrap();
    // The connection is there, and all that grows has grown.
    write_appends(&mut writer, 20).await;
    let before = allocations();
    write_appends(&mut writer, APPENDS).await;
    let count = allocations() - before;
    let most = heads.try_iter().max().unwrap();
    assert!(most <= 520, "{most} bytes beside the body");
    writer.shutdown().await.unwrap();
    count / APPENDS
}

const APPENDS: u64 = 100;

/// Each line makes an append.
async fn write_appends(writer: &mut OssAppendWriter, count: u64) {
    for _ in 0..count {
        writer.write_all(&LINE).await.unwrap();
    }
    writer.sync().await.unwrap();
}

/// Appends that are under way for a while, one behind the other.
#[derive(Clone, Default)]
struct Slow {
    store: Arc<Discard>,
    turn: Arc<tokio::sync::Mutex<()>>,
    /// The most memory in use at any append.
    peak: Arc<AtomicUsize>,
}

impl Lane for Slow {
    fn append(&mut self, request: AppendRequest) -> BoxFuture<'static, Result<AppendAnswer>> {
        let Self { store, turn, peak } = self.clone();
        async move {
            let _turn = turn.lock().await;
            for _ in 0..20 {
                tokio::task::yield_now().await;
            }
            peak.fetch_max(allocated(), Ordering::Relaxed);
            store.append(request).await
        }
        .boxed()
    }
}

impl AppendStore for Slow {
    fn lane(&self, _: &ObjectPath) -> Option<Box<dyn Lane>> {
        Some(Box::new(self.clone()))
    }

    async fn append(&self, request: AppendRequest) -> Result<AppendAnswer> {
        self.store.append(request).await
    }

    async fn head(&self, object: &ObjectPath) -> Result<Option<ObjectInfo>> {
        self.store.head(object).await
    }

    async fn read_range(
        &self,
        object: &ObjectPath,
        range: Range<u64>,
    ) -> Result<BoxStream<'static, Result<Bytes>>> {
        self.store.read_range(object, range).await
    }

    async fn seal(&self, object: &ObjectPath, position: u64) -> Result<()> {
        self.store.seal(object, position).await
    }
}

#[tokio::test]
async fn a_stream_with_appends_always_under_way_stays_within_its_buffer() {
    let _alone = ALONE.lock().await;
    let store = Slow::default();
    let peak = Arc::clone(&store.peak);
    let builder = OssAppendWriter::builder(store, object())
        .batch_size(MIB)
        .max_append_size(MIB)
        .buffer_capacity(8 * MIB)
        .max_in_flight(4);
    let mut writer = builder.open().await.unwrap();
    let before = allocated();
    let block = vec![b'x'; 64 * 1024];
    for _ in 0..16 * 128 {
        writer.write_all(&block).await.unwrap();
    }
    writer.shutdown().await.unwrap();
    assert_eq!(writer.stats().appends, 128);
    let most = peak.load(Ordering::Relaxed) - before;
    assert!(most <= 16 * MIB as usize, "{most} bytes in use");
}
