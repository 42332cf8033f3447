//! The steps that are counted. Each runs on one thread, so that all is the same each time.

use std::hint::black_box;
use std::io::Write as _;
use std::time::Duration;

use bytes::Bytes;
use futures::SinkExt as _;
use oss_append::credentials::{Credentials, StaticCredentials};
use oss_append::{
    AppendRequest, Batch, FlushMode, ObjectPath, OssAppendWriter, OssClient, OssLogAppender,
    RollingWriter, crc64, internals,
};
use tokio_util::codec::{BytesCodec, LinesCodec};
use tracing_subscriber::fmt::MakeWriter as _;

use crate::discard::Discard;

pub(crate) struct Step {
    pub(crate) name: &'static str,
    /// How often it is run.
    pub(crate) times: u64,
    /// How many there are in a run.
    pub(crate) count: u64,
    pub(crate) run: fn(u64),
}

const fn step(name: &'static str, times: u64, count: u64, run: fn(u64)) -> Step {
    Step {
        name,
        times,
        count,
        run,
    }
}

/// Writes between two appends, which are not counted apart from them: they fill 6 MiB.
const BURST_OF_LINES: u64 = (6 << 20) / 120;

pub(crate) const STEPS: &[Step] = &[
    step("`write` of 16 bytes", 20_000, 1, |times| write(16, times)),
    step("`write` of 120 bytes", 20_000, 1, |times| write(120, times)),
    step("`write` of 4 KiB", 600, 1, |times| write(4096, times)),
    step("a log line of 120 bytes", 20_000, 1, log_line),
    step("`enqueue` of 120 bytes", 20_000, 1, enqueue),
    step("`feed` of `Bytes` of 120 bytes", 20_000, 1, feed),
    step("`feed` of a line of 120 bytes", 20_000, 1, feed_line),
    step("`write_bytes` of 64 KiB", 50, 1, write_bytes),
    step(
        "a line of 120 bytes, appended with 6 MiB of others",
        2,
        BURST_OF_LINES,
        append_lines,
    ),
    step("a MiB by 64 KiB writes, appended", 8, 6, append_blocks),
    step("signature V4", 100, 1, sign),
    step("headers, URL and signature of an append", 100, 1, build),
    step("CRC-64 of a MiB", 8, 1, checksum),
    step(
        "combination of the CRC-64 of 1 MiB with another",
        100,
        1,
        combine,
    ),
    step("decision after a lost answer", 100, 1, reconcile),
];

fn object() -> ObjectPath {
    ObjectPath::new("bucket", "logs/app.log").unwrap()
}

/// Gives `work` a writer that appends nothing until it is told to.
fn with_writer(work: impl AsyncFnOnce(&mut OssAppendWriter)) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut writer = OssAppendWriter::builder(Discard::default(), object())
            .max_object_size(u64::MAX)
            .batch_size(8 << 20)
            .linger(Duration::MAX)
            .flush_mode(FlushMode::Handoff)
            .open()
            .await
            .unwrap();
        // The memory is there then.
        writer.write_all(&vec![7; 6 << 20]).await.unwrap();
        writer.sync().await.unwrap();
        work(&mut writer).await;
    });
}

fn write(size: usize, times: u64) {
    with_writer(async |writer| {
        let data = vec![7; size];
        for _ in 0..times {
            writer.write_all(black_box(&data)).await.unwrap();
        }
    });
}

fn enqueue(times: u64) {
    with_writer(async |writer| {
        let data = Bytes::from(vec![7; 120]);
        for _ in 0..times {
            let record = black_box(&data).clone();
            drop(writer.enqueue(record).await.unwrap());
        }
    });
}

fn feed(times: u64) {
    with_writer(async |writer| {
        let data = Bytes::from(vec![7; 120]);
        let mut sink = writer.records(BytesCodec::new());
        for _ in 0..times {
            let record = black_box(&data).clone();
            sink.feed(record).await.unwrap();
        }
    });
}

fn feed_line(times: u64) {
    with_writer(async |writer| {
        let line = "x".repeat(119);
        let mut sink = writer.records(LinesCodec::new());
        for _ in 0..times {
            sink.feed(black_box(&line)).await.unwrap();
        }
    });
}

fn write_bytes(times: u64) {
    with_writer(async |writer| {
        let data = Bytes::from(vec![7; 64 * 1024]);
        for _ in 0..times {
            let piece = black_box(&data).clone();
            writer.write_bytes(piece).await.unwrap();
        }
    });
}

fn append_lines(times: u64) {
    with_writer(async |writer| {
        let data = vec![7; 120];
        for _ in 0..times {
            for _ in 0..BURST_OF_LINES {
                writer.write_all(black_box(&data)).await.unwrap();
            }
            writer.sync().await.unwrap();
        }
    });
}

fn append_blocks(times: u64) {
    with_writer(async |writer| {
        let data = vec![7; 64 * 1024];
        for _ in 0..times {
            for _ in 0..6 * 16 {
                writer.write_all(black_box(&data)).await.unwrap();
            }
            writer.sync().await.unwrap();
        }
    });
}

fn log_line(times: u64) {
    let objects =
        RollingWriter::builder(Discard::default(), "bucket", "log-{uuid}").writer(|writer| {
            writer
                .max_object_size(u64::MAX)
                .batch_size(8 << 20)
                .linger(Duration::MAX)
        });
    let (appender, guard) = OssLogAppender::builder(objects).start_unchecked().unwrap();
    let mut line = [b'x'; 120];
    line[119] = b'\n';
    for _ in 0..times {
        appender.make_writer().write_all(black_box(&line)).unwrap();
    }
    drop(guard);
}

fn sign(times: u64) {
    for _ in 0..times {
        black_box(internals::sign_append(black_box("secret")));
    }
}

fn build(times: u64) {
    let credentials = Credentials::new("id", "secret");
    let client = OssClient::builder()
        .region("cn-hangzhou")
        .credentials(StaticCredentials::new("id", "secret"))
        .build()
        .unwrap();
    let request = AppendRequest::new(object(), 1 << 20, Batch::from("x"));
    for _ in 0..times {
        internals::build_append(&client, black_box(&request), &credentials).unwrap();
    }
}

fn checksum(times: u64) {
    let data = vec![7; 1 << 20];
    for _ in 0..times {
        black_box(crc64::checksum(black_box(&data)));
    }
}

fn combine(times: u64) {
    for _ in 0..times {
        black_box(crc64::combine(black_box(17), black_box(4711), 1 << 20));
    }
}

fn reconcile(times: u64) {
    let batch = Batch::from(vec![7; 1 << 20]);
    batch.crc64();
    for _ in 0..times {
        assert!(internals::reconcile_applied(
            1 << 20,
            4711,
            black_box(&batch)
        ));
    }
}
