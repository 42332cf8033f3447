//! What a write costs at the handle, and what the pure parts below it cost.
//!
//! The store takes appends and throws them away, so that nothing of HTTP is measured.

#[path = "support/discard.rs"]
mod discard;

use std::hint::black_box;

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use discard::Discard;
use oss_append::{Batch, ObjectPath, OssAppendWriter, crc64};
use tokio::io::AsyncWriteExt;
use tokio::runtime::Runtime;

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}

fn open(runtime: &Runtime) -> OssAppendWriter {
    let object = ObjectPath::new("bucket", "object").unwrap();
    let builder = OssAppendWriter::builder(Discard::default(), object).max_object_size(u64::MAX);
    runtime.block_on(builder.open()).unwrap()
}

fn writes(c: &mut Criterion) {
    let runtime = runtime();
    let mut group = c.benchmark_group("write");
    for size in [16, 120, 4096, 65_536] {
        let mut writer = open(&runtime);
        let data = vec![7; size];
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_function(BenchmarkId::from_parameter(size), |b| {
            b.iter_custom(|iterations| {
                runtime.block_on(async {
                    let start = std::time::Instant::now();
                    for _ in 0..iterations {
                        writer.write_all(black_box(&data)).await.unwrap();
                    }
                    let elapsed = start.elapsed();
                    writer.sync().await.unwrap();
                    elapsed
                })
            });
        });
    }
    group.finish();
}

fn shared_bytes(c: &mut Criterion) {
    let runtime = runtime();
    let mut group = c.benchmark_group("write_bytes");
    for size in [4096, 65_536, 1 << 20] {
        let mut writer = open(&runtime);
        let data = Bytes::from(vec![7; size]);
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_function(BenchmarkId::from_parameter(size), |b| {
            b.iter_custom(|iterations| {
                runtime.block_on(async {
                    let start = std::time::Instant::now();
                    for _ in 0..iterations {
                        writer.write_bytes(black_box(&data).clone()).await.unwrap();
                    }
                    let elapsed = start.elapsed();
                    writer.sync().await.unwrap();
                    elapsed
                })
            });
        });
    }
    group.finish();
}

fn pure(c: &mut Criterion) {
    let mut group = c.benchmark_group("crc64");
    let data = Bytes::from(vec![7; 1 << 20]);
    group.throughput(Throughput::Bytes(data.len() as u64));
    group.bench_function("checksum 1 MiB", |b| {
        b.iter(|| crc64::checksum(black_box(&data)));
    });
    group.bench_function("freeze a batch of 1 MiB", |b| {
        b.iter(|| Batch::from(black_box(&data).clone()));
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

criterion_group!(benches, writes, shared_bytes, pure);
criterion_main!(benches);
