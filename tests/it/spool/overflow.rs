//! A spool that is used only when memory does not suffice.

use std::path::Path;
use std::time::Duration;

use oss_append::emulator::Emulator;
use oss_append::{OssAppendWriter, OssLogAppender, RollingWriter, Spool, WhenFull};
use std::io::Write as _;

use super::{
    BUCKET, OBJECT, builder, client, content, emulator, in_spool, life, lines, segments, spool,
};

fn overflow(directory: &Path) -> Spool {
    spool(directory).only_overflow()
}

async fn open(emulator: &Emulator, directory: &Path) -> OssAppendWriter {
    let builder = builder(emulator, directory).spool(overflow(directory));
    builder.open().await.unwrap()
}

#[test]
fn nothing_is_on_disk_while_oss_keeps_up() {
    let (emulator, directory) = (emulator(), tempfile::tempdir().unwrap());
    let text = lines(0..20_000);
    life(async {
        let mut writer = open(&emulator, directory.path()).await;
        for piece in text.as_bytes().chunks(10_000) {
            writer.write_all(piece).await.unwrap();
            assert_eq!(segments(directory.path()), Vec::<String>::new());
        }
        writer.shutdown().await.unwrap();
        assert_eq!(in_spool(&writer.stats()), 0);
    });
    assert_eq!(segments(directory.path()), Vec::<String>::new());
    assert!(content(&emulator, OBJECT) == text.as_bytes());
}

#[test]
fn what_memory_cannot_hold_goes_on_disk_with_all_before_it_and_survives_the_process() {
    let (emulator, directory) = (emulator(), tempfile::tempdir().unwrap());
    let (first, second) = (lines(0..100), lines(100..10_000));
    let spooled = life(async {
        let mut writer = open(&emulator, directory.path()).await;
        writer.write_all(first.as_bytes()).await.unwrap();
        writer.sync().await.unwrap();
        emulator.pause().await;
        // More than the buffer has room for.
        writer.write_all(second.as_bytes()).await.unwrap();
        writer.spooled().await.unwrap();
        assert_eq!(in_spool(&writer.stats()), second.len() as u64);
        writer.spooled_position()
    });
    assert_eq!(spooled, (first.len() + second.len()) as u64);
    life(async { emulator.resume().await.unwrap() });
    life(async {
        let mut writer = open(&emulator, directory.path()).await;
        writer.write_all(b"last\n").await.unwrap();
        writer.shutdown().await.unwrap();
    });
    assert!(content(&emulator, OBJECT) == [first, second, "last\n".into()].concat().as_bytes());
}

#[test]
fn when_everything_is_durable_memory_alone_is_used_again() {
    let (emulator, directory) = (emulator(), tempfile::tempdir().unwrap());
    let text = lines(0..10_000);
    life(async {
        let mut writer = open(&emulator, directory.path()).await;
        for round in 1..=3 {
            emulator.pause().await;
            writer.write_all(text.as_bytes()).await.unwrap();
            assert_ne!(segments(directory.path()), Vec::<String>::new());
            emulator.resume().await.unwrap();
            writer.sync().await.unwrap();
            while !segments(directory.path()).is_empty() {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            writer.write_all(b"a little\n").await.unwrap();
            writer.sync().await.unwrap();
            assert_eq!(segments(directory.path()), Vec::<String>::new(), "{round}");
        }
        writer.shutdown().await.unwrap();
    });
    let all = [&text, "a little\n"].concat().repeat(3);
    assert!(content(&emulator, OBJECT) == all.as_bytes());
}

#[test]
fn what_is_in_memory_goes_on_disk_where_that_is_waited_for() {
    let (emulator, directory) = (emulator(), tempfile::tempdir().unwrap());
    life(async {
        let mut writer = open(&emulator, directory.path()).await;
        writer.write_all(b"one\n").await.unwrap();
        writer.sync().await.unwrap();
        emulator.pause().await;
        writer.write_all(b"two\n").await.unwrap();
        assert_eq!(segments(directory.path()), Vec::<String>::new());
        writer.spooled().await.unwrap();
        assert_eq!(in_spool(&writer.stats()), 4);
    });
    life(async {
        emulator.resume().await.unwrap();
        let mut writer = open(&emulator, directory.path()).await;
        writer.shutdown().await.unwrap();
    });
    assert_eq!(content(&emulator, OBJECT), b"one\ntwo\n");
}

#[test]
fn a_log_of_many_threads_loses_nothing_in_an_outage() {
    let (emulator, directory) = (emulator(), tempfile::tempdir().unwrap());
    let log = |directory: &Path| {
        let objects = RollingWriter::builder(client(&emulator), BUCKET, "log-{seq:4}")
            .roll_size(200_000)
            .writer(|writer| {
                writer
                    .buffer_capacity(64 * 1024)
                    .batch_size(4 * 1024)
                    .max_append_size(16 * 1024)
            });
        let builder = OssLogAppender::builder(objects).when_full(WhenFull::Block);
        builder.spool(overflow(directory)).start_unchecked()
    };
    life(async { emulator.pause().await });
    let (appender, guard) = log(directory.path()).unwrap();
    let threads: Vec<_> = (0..4u32)
        .map(|thread| {
            let mut log = appender.writer();
            std::thread::spawn(move || {
                for number in 0..3_000u32 {
                    let line = format!("{thread} {number:06} a line of a log, of some length\n");
                    log.write_all(line.as_bytes()).unwrap();
                }
            })
        })
        .collect();
    threads
        .into_iter()
        .for_each(|thread| thread.join().unwrap());
    life(async { emulator.resume().await.unwrap() });
    let report = guard.shutdown(Duration::from_secs(60));
    assert_eq!(report.dropped.records, 0);
    let mut next = [0u32; 4];
    let mut objects = 0;
    for number in 1.. {
        let bytes = content(&emulator, &format!("log-{number:04}"));
        if bytes.is_empty() {
            break;
        }
        objects += 1;
        for line in String::from_utf8(bytes).unwrap().lines() {
            let mut words = line.split(' ');
            let thread: usize = words.next().unwrap().parse().unwrap();
            assert_eq!(words.next().unwrap(), format!("{:06}", next[thread]));
            next[thread] += 1;
        }
    }
    assert_eq!(next, [3_000; 4]);
    assert!(objects > 1);
    assert_eq!(segments(directory.path()), Vec::<String>::new());
}
