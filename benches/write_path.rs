//! What each step costs on the way from a write to a request, with nothing of the network; but for
//! `content_md5`, whose appends go over loopback.
//!
//! `write`, `enqueue` and `write_bytes` are what the caller pays while the worker has nothing to do.
//! `… and append` is what a byte costs until it is with the store, which throws it away: there the
//! worker and its checksum run beside the caller.

#[path = "support/discard.rs"]
mod discard;
#[path = "support/sink.rs"]
mod sink;

use std::hint::black_box;
use std::io::Write as _;
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use discard::Discard;
use md5::{Digest as _, Md5};
use oss_append::credentials::{Credentials, StaticCredentials};
use oss_append::{
    AppendRequest, Batch, FlushMode, ObjectPath, OssAppendWriter, OssClient, OssLogAppender,
    RequestOptions, RollingWriter, WhenFull, crc64, internals,
};
use tokio::runtime::Runtime;
use tracing_subscriber::fmt::MakeWriter;

const SIZES: [usize; 4] = [16, 120, 4096, 65_536];

/// As much as is written before the worker is let at it.
const BURST: u64 = 6 << 20;

/// Of two threads, or with everything on this one.
fn runtime(threads: usize) -> Runtime {
    let mut builder = match threads {
        1 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    builder.worker_threads(2).enable_all().build().unwrap()
}

fn object() -> ObjectPath {
    ObjectPath::new("bucket", "logs/app.log").unwrap()
}

/// A writer whose worker does nothing until it is told to.
fn patient(runtime: &Runtime) -> OssAppendWriter {
    let builder = OssAppendWriter::builder(Discard::default(), object())
        .max_object_size(u64::MAX)
        .batch_size(8 << 20)
        .linger(Duration::MAX)
        .flush_mode(FlushMode::Handoff);
    runtime.block_on(builder.open()).unwrap()
}

/// The time of `iterations` calls of `write` with pieces of `size` bytes, in bursts that are
/// appended while no time is taken.
async fn bursts(
    writer: &mut OssAppendWriter,
    size: usize,
    mut iterations: u64,
    mut write: impl AsyncFnMut(&mut OssAppendWriter),
) -> Duration {
    let mut elapsed = Duration::ZERO;
    while iterations > 0 {
        let burst = iterations.min(BURST / size as u64);
        let start = Instant::now();
        for _ in 0..burst {
            write(writer).await;
        }
        elapsed += start.elapsed();
        writer.sync().await.unwrap();
        iterations -= burst;
    }
    elapsed
}

/// What the handle costs for pieces of these `sizes`, made by `piece`.
fn handle<T>(
    c: &mut Criterion,
    name: &str,
    sizes: &[usize],
    piece: impl Fn(usize) -> T,
    write: impl AsyncFn(&mut OssAppendWriter, &T),
) {
    let runtime = runtime(1);
    let mut group = c.benchmark_group(name);
    for &size in sizes {
        let mut writer = patient(&runtime);
        let data = piece(size);
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_function(BenchmarkId::from_parameter(size), |b| {
            b.iter_custom(|iterations| {
                let write = async |writer: &mut OssAppendWriter| {
                    write(writer, black_box(&data)).await;
                };
                runtime.block_on(bursts(&mut writer, size, iterations, write))
            });
        });
    }
    group.finish();
}

fn bytes(size: usize) -> Bytes {
    Bytes::from(vec![7; size])
}

fn handles(c: &mut Criterion) {
    let vector = |size| vec![7; size];
    handle(c, "write", &SIZES, vector, async |writer, data| {
        writer.write_all(data).await.unwrap();
    });
    handle(c, "enqueue", &SIZES, bytes, async |writer, data| {
        drop(writer.enqueue(data.clone()).await.unwrap());
    });
    let sizes = [4096, 65_536, 1 << 20];
    handle(c, "write_bytes", &sizes, bytes, async |writer, data| {
        writer.write_bytes(data.clone()).await.unwrap();
    });
}

fn writes_and_appends(c: &mut Criterion) {
    let runtime = runtime(2);
    let mut group = c.benchmark_group("write and append");
    for size in SIZES {
        let builder = OssAppendWriter::builder(Discard::default(), object());
        let mut writer = runtime
            .block_on(builder.max_object_size(u64::MAX).open())
            .unwrap();
        let data = vec![7; size];
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_function(BenchmarkId::from_parameter(size), |b| {
            b.iter_custom(|iterations| {
                runtime.block_on(async {
                    let start = Instant::now();
                    for _ in 0..iterations {
                        writer.write_all(black_box(&data)).await.unwrap();
                    }
                    writer.sync().await.unwrap();
                    start.elapsed()
                })
            });
        });
    }
    group.finish();
}

/// By the handles that a log gives out, from one thread and from two.
fn log_lines(c: &mut Criterion) {
    let mut group = c.benchmark_group("log");
    for threads in [1, 2] {
        for size in SIZES {
            let objects = RollingWriter::builder(Discard::default(), "bucket", "log-{uuid}")
                .writer(|writer| writer.max_object_size(u64::MAX));
            let (appender, _guard) = OssLogAppender::builder(objects)
                .when_full(WhenFull::Block)
                .start_unchecked()
                .unwrap();
            let mut line = vec![b'x'; size];
            line[size - 1] = b'\n';
            group.throughput(Throughput::Bytes(size as u64));
            let id = BenchmarkId::new(format!("{threads} threads"), size);
            group.bench_function(id, |b| {
                b.iter_custom(|iterations| {
                    let lines = || {
                        for _ in 0..iterations {
                            appender.make_writer().write_all(black_box(&line)).unwrap();
                        }
                    };
                    let start = Instant::now();
                    std::thread::scope(|scope| {
                        for _ in 1..threads {
                            scope.spawn(lines);
                        }
                        lines();
                    });
                    start.elapsed()
                });
            });
        }
    }
    group.finish();
}

fn checksums(c: &mut Criterion) {
    let mut group = c.benchmark_group("crc64");
    let data = Bytes::from(vec![7; 1 << 20]);
    group.throughput(Throughput::Bytes(data.len() as u64));
    group.bench_function("checksum 1 MiB", |b| {
        b.iter(|| crc64::checksum(black_box(&data)));
    });
    group.finish();
    let mut group = c.benchmark_group("crc64/combine");
    for len in [120, 1 << 20, 8_388_607] {
        group.bench_function(BenchmarkId::new("ours", len), |b| {
            b.iter(|| crc64::combine(black_box(17), black_box(4711), black_box(len)));
        });
        group.bench_function(BenchmarkId::new("crc-fast", len), |b| {
            let algorithm = crc_fast::CrcAlgorithm::Crc64Xz;
            b.iter(|| {
                crc_fast::checksum_combine(
                    algorithm,
                    black_box(17),
                    black_box(4711),
                    black_box(len),
                )
            });
        });
    }
    group.finish();
}

fn requests(c: &mut Criterion) {
    let mut group = c.benchmark_group("request");
    group.bench_function("signature V4", |b| {
        b.iter(|| internals::sign_append(black_box("secret")));
    });
    let credentials = Credentials::new("id", "secret");
    let client = OssClient::builder()
        .region("cn-hangzhou")
        .credentials(StaticCredentials::new("id", "secret"))
        .build()
        .unwrap();
    let request = AppendRequest::new(object(), 1 << 20, Batch::from("x"));
    group.bench_function("headers, URL and signature", |b| {
        b.iter(|| internals::build_append(&client, black_box(&request), &credentials).unwrap());
    });
    let batch = Batch::from(vec![7; 1 << 20]);
    batch.crc64();
    group.bench_function("reconcile", |b| {
        b.iter(|| {
            assert!(internals::reconcile_applied(
                1 << 20,
                4711,
                black_box(&batch)
            ))
        });
    });
    group.finish();
}

/// What `Content-MD5` costs beside the CRC-64 and beside a whole append.
fn content_md5(c: &mut Criterion) {
    let runtime = runtime(2);
    let client = OssClient::builder()
        .region("cn-hangzhou")
        .endpoint(sink::start())
        .credentials(StaticCredentials::new("id", "secret"))
        .build()
        .unwrap();
    let mut group = c.benchmark_group("content_md5");
    for size in [64 << 10, 8 << 20] {
        let data = Bytes::from(vec![7; size]);
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_function(BenchmarkId::new("crc64", size), |b| {
            b.iter(|| crc64::checksum(black_box(&data)));
        });
        group.bench_function(BenchmarkId::new("md5", size), |b| {
            b.iter(|| Md5::digest(black_box(&data)));
        });
        for (name, sent) in [("append without", false), ("append with", true)] {
            let options = RequestOptions::new().content_md5(sent);
            group.bench_function(BenchmarkId::new(name, size), |b| {
                b.to_async(&runtime).iter(async || {
                    let append = client.append_object(&object(), data.clone());
                    append
                        .request_options(options.clone())
                        .send()
                        .await
                        .unwrap();
                });
            });
        }
    }
    group.finish();
}

criterion_group!(
    benches,
    handles,
    writes_and_appends,
    log_lines,
    checksums,
    requests,
    content_md5
);
criterion_main!(benches);
