//! Tests of the log as a whole.

// Several ranges are expected in most places, and one in the others.
#![allow(clippy::single_range_in_vec_init)]

use std::collections::BTreeSet;
use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, SystemTime};

use proptest::prelude::*;

use super::disk::DiskFile;
use super::error::ErrorKind;
use super::format::{self, HEADER_BLOCK, MAX_FRAME, SLOTS};
use super::log::Plan;
use super::segment::Fault;
use super::*;

fn options(segment_size: u64) -> LogOptions {
    LogOptions {
        segment_size,
        owner: b"bucket/key".to_vec(),
        ..LogOptions::default()
    }
}

fn open(disk: &SimulatedDisk, options: &LogOptions) -> (SegmentLog, Found) {
    SegmentLog::open(Arc::new(disk.clone()), options.clone()).unwrap()
}

fn refused(disk: &SimulatedDisk, options: &LogOptions) -> SpoolError {
    SegmentLog::open(Arc::new(disk.clone()), options.clone()).unwrap_err()
}

/// A byte that depends on a position.
fn byte(position: u64) -> u8 {
    (position.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8
}

/// The bytes of the stream at these positions. They repeat after a prime number of bytes.
fn bytes(range: Range<u64>) -> Vec<u8> {
    static PERIOD: LazyLock<Vec<u8>> = LazyLock::new(|| (0..65_521).map(byte).collect());
    let mut bytes = Vec::with_capacity((range.end - range.start) as usize);
    let mut position = range.start;
    while position < range.end {
        let rest = &PERIOD[position as usize % PERIOD.len()..];
        let rest = &rest[..rest.len().min((range.end - position) as usize)];
        bytes.extend_from_slice(rest);
        position += rest.len() as u64;
    }
    bytes
}

/// Appends one record of that length.
fn append(log: &mut SegmentLog, len: u64) -> Result<(), SpoolError> {
    let record = bytes(log.end()..log.end() + len);
    log.append(&[&record], &[len])
}

/// What a reader delivered.
#[derive(Debug, Default, PartialEq, Eq)]
struct Read {
    /// Ranges of the stream whose bytes were right.
    good: Vec<Range<u64>>,
    lost: Vec<(Range<u64>, Fault)>,
    ends: BTreeSet<u64>,
}

/// Reads all, and checks that every byte is right and none is skipped silently.
fn read(reader: &mut Reader, limit: u64) -> Read {
    let mut read = Read::default();
    let mut expected = reader.position();
    while let Some(piece) = reader.next(limit).unwrap() {
        match piece {
            Piece::Bytes {
                position,
                bytes: found,
                ends,
                ..
            } => {
                assert_eq!(position, expected);
                expected += found.len() as u64;
                assert!(
                    found == bytes(position..expected),
                    "wrong bytes in {position}..{expected}"
                );
                assert!(ends.is_sorted_by(|a, b| a < b) && !ends.contains(&0));
                assert!(ends.last().is_none_or(|last| *last <= found.len() as u64));
                read.ends.extend(ends.iter().map(|end| position + end));
                match read.good.last_mut() {
                    Some(last) if last.end == position => last.end = expected,
                    _ => read.good.push(position..expected),
                }
            }
            Piece::Lost { range, damage } => {
                assert_eq!(range.start, expected);
                assert!(!range.is_empty());
                expected = range.end;
                assert_eq!(damage.lost.end, range.end);
                read.lost.push((range, damage.what));
            }
        }
    }
    assert_eq!(reader.position(), expected);
    read
}

fn read_all(log: &SegmentLog) -> Read {
    read(&mut log.reader(log.start()), u64::MAX)
}

/// A log of three segments with three records of 3000 bytes each, and the place of each frame.
fn three_segments(disk: &SimulatedDisk) -> LogOptions {
    let options = options(HEADER_BLOCK + 9000);
    let (mut log, _) = open(disk, &options);
    for _ in 0..9 {
        append(&mut log, 3000).unwrap();
    }
    assert_eq!(disk.names(), [0, 9000, 18_000].map(format::segment_name));
    options
}

const FRAME: u64 = 48 + 3000;

#[test]
fn what_is_appended_is_read_from_a_folder_after_it_is_opened_again() {
    let temp = tempfile::tempdir().unwrap();
    let options = options(20_000);
    let open = || {
        let folder = Folder::open(temp.path()).unwrap();
        SegmentLog::open(Arc::new(folder), options.clone()).unwrap()
    };
    let (mut log, found) = open();
    assert_eq!(found, Found::default());
    let mut ends = BTreeSet::new();
    for n in 0..500 {
        append(&mut log, n % 300 + 1).unwrap();
        ends.insert(log.end());
    }
    log.plan(77, b"plan", true).unwrap();
    log.sync().unwrap();
    for _ in 0..2 {
        let read = read_all(&log);
        assert_eq!(read.good, [0..log.end()]);
        assert_eq!(read.ends, ends);
        let end = log.end();
        drop(log);
        let found;
        (log, found) = open();
        assert_eq!((found.start, found.end, found.torn), (0, end, 0));
        assert_eq!(
            found.plan,
            Some(Plan {
                position: 77,
                bytes: b"plan".to_vec()
            })
        );
        assert_eq!(found.damage, []);
        assert!(found.segments.len() > 3);
    }
    let sizes = std::fs::read_dir(temp.path()).unwrap();
    let sizes: u64 = sizes
        .map(|entry| entry.unwrap().metadata().unwrap().len())
        .sum();
    assert_eq!(log.size(), sizes);
    assert_eq!(log.release(log.end(), &[], true).unwrap(), sizes);
    assert_eq!(std::fs::read_dir(temp.path()).unwrap().count(), 1);
}

#[test]
fn large_records_are_divided_and_put_together() {
    let temp = tempfile::tempdir().unwrap();
    let folder = Arc::new(Folder::open(temp.path()).unwrap());
    let (mut log, _) = SegmentLog::open(folder, options(1 << 20)).unwrap();
    let len = 3 * MAX_FRAME + 5;
    let record = bytes(0..len);
    let (first, rest) = record.split_at(70_000);
    let ends = [10, 69_999, MAX_FRAME, len];
    log.append(&[first, &[], rest], &ends).unwrap();
    assert_eq!(log.end(), len);
    let read = read_all(&log);
    assert_eq!(read.good, [0..len]);
    assert_eq!(read.ends, BTreeSet::from(ends));
}

#[test]
fn a_reader_may_begin_inside_of_a_frame() {
    let disk = SimulatedDisk::new();
    let (mut log, _) = open(&disk, &options(HEADER_BLOCK + 500));
    let mut ends = BTreeSet::new();
    for _ in 0..10 {
        let record = bytes(log.end()..log.end() + 100);
        let inner = [10, 30, 31, 100];
        ends.extend(inner.map(|end| log.end() + end));
        log.append(&[&record], &inner).unwrap();
    }
    for from in 0..=log.end() {
        let read = read(&mut log.reader(from), u64::MAX);
        assert!(read.lost.is_empty());
        assert_eq!(
            read.good
                .iter()
                .map(|good| good.start)
                .next()
                .unwrap_or(from),
            from
        );
        assert_eq!(read.ends, ends.split_off(&(from + 1)), "{from}");
        ends.extend(&read.ends);
        ends.retain(|end| *end > from);
    }
}

#[test]
fn frames_that_begin_at_the_limit_do_not_exist_for_a_reader() {
    let disk = SimulatedDisk::new();
    let (mut log, _) = open(&disk, &options(1 << 20));
    let mut reader = log.reader(0);
    assert_eq!(reader.next(u64::MAX).unwrap(), None);
    append(&mut log, 10).unwrap();
    append(&mut log, 10).unwrap();
    assert_eq!(reader.next(0).unwrap(), None);
    assert_eq!(read(&mut reader, 10).good, [0..10]);
    assert_eq!(reader.next(10).unwrap(), None);
    assert_eq!(read(&mut reader, 11).good, [10..20]);
    append(&mut log, 5).unwrap();
    assert_eq!(read(&mut reader, u64::MAX).good, [20..25]);
    assert_eq!(log.reader(30).next(u64::MAX).unwrap(), None);
}

#[test]
fn a_piece_has_the_time_of_its_first_frame_and_one_segment() {
    let disk = SimulatedDisk::new();
    let (mut log, _) = open(&disk, &options(1 << 20));
    assert_eq!(log.oldest(), None);
    let before = SystemTime::now() - Duration::from_millis(1);
    append(&mut log, 10).unwrap();
    append(&mut log, 10).unwrap();
    log.cut(b"why".to_vec());
    append(&mut log, 10).unwrap();
    let after = SystemTime::now();
    assert!((before..=after).contains(&log.oldest().unwrap()));
    let mut reader = log.reader(0);
    for expected in [0..20, 20..30] {
        let Some(Piece::Bytes {
            position,
            bytes,
            written,
            ..
        }) = reader.next(u64::MAX).unwrap()
        else {
            panic!("there are bytes");
        };
        assert_eq!(position..position + bytes.len() as u64, expected);
        assert!((before..=after).contains(&written), "{written:?}");
    }
}

#[test]
fn a_reader_on_another_thread_follows_the_log() {
    let temp = tempfile::tempdir().unwrap();
    let folder = Arc::new(Folder::open(temp.path()).unwrap());
    let (mut log, _) = SegmentLog::open(folder, options(50_000)).unwrap();
    let published = Arc::new(AtomicU64::new(0));
    let total = 400_000;
    let mut reader = log.reader(0);
    let limit = published.clone();
    let follower = std::thread::spawn(move || {
        while reader.position() < total {
            let read = read(&mut reader, limit.load(Ordering::Acquire));
            assert_eq!(read.lost, []);
            std::thread::yield_now();
        }
    });
    while log.end() < total {
        let len = (log.end() % 700 + 1).min(total - log.end());
        append(&mut log, len).unwrap();
        published.store(log.end(), Ordering::Release);
    }
    follower.join().unwrap();
}

#[test]
fn released_bytes_are_lost_for_a_reader_that_is_late() {
    let disk = SimulatedDisk::new();
    let options = three_segments(&disk);
    let (mut log, _) = open(&disk, &options);
    let mut reader = log.reader(0);
    log.release(17_999, &[], false).unwrap();
    assert_eq!(log.start(), 9000);
    let late = read(&mut reader, u64::MAX);
    assert_eq!(late.lost, [(0..9000, Fault::Released)]);
    assert_eq!(late.good, [9000..27_000]);
    let mut reader = log.reader(26_000);
    log.release(log.end(), &[], true).unwrap();
    assert_eq!(
        read(&mut reader, u64::MAX).lost,
        [(26_000..27_000, Fault::Released)]
    );
    append(&mut log, 5).unwrap();
    assert_eq!(read(&mut reader, u64::MAX).good, [27_000..27_005]);
}

#[test]
fn a_read_error_comes_after_what_was_read_and_can_be_tried_again() {
    let disk = SimulatedDisk::new();
    let options = options(1 << 20);
    let (mut log, _) = open(&disk, &options);
    for _ in 0..10 {
        append(&mut log, 100_000).unwrap();
    }
    for n in 1..20 {
        let mut reader = log.reader(0);
        disk.fail_at(n, io::ErrorKind::TimedOut);
        let mut errors = 0;
        while reader.position() < log.end() {
            let before = reader.position();
            match reader.next(u64::MAX) {
                Ok(Some(Piece::Bytes {
                    position,
                    bytes: found,
                    ..
                })) => {
                    assert_eq!(position, before);
                    assert_eq!(found, bytes(position..reader.position()));
                }
                Ok(other) => panic!("{other:?}"),
                Err(error) => {
                    assert_eq!(reader.position(), before, "{error}");
                    errors += 1;
                }
            }
        }
        assert!(errors <= 1);
        disk.kill();
        log = open(&disk, &options).0;
    }
}

// Segments, cuts and releases.

#[test]
fn a_cut_begins_a_segment_with_its_note_at_the_next_append() {
    let disk = SimulatedDisk::new();
    let (mut log, _) = open(&disk, &options(1 << 20));
    append(&mut log, 10).unwrap();
    log.cut(b"first".to_vec());
    log.cut(b"second".to_vec());
    assert_eq!(disk.names().len(), 1);
    append(&mut log, 10).unwrap();
    append(&mut log, 10).unwrap();
    log.cut(vec![b'n'; 5000]);
    append(&mut log, 10).unwrap();
    let (_, found) = open(&disk, &options(1 << 20));
    let starts: Vec<_> = found.segments.iter().map(|found| found.base).collect();
    assert_eq!(starts, [0, 10, 30]);
    assert_eq!(found.segments[0].note, b"");
    assert_eq!(found.segments[1].note, b"second");
    assert_eq!(found.segments[2].note, vec![b'n'; 3800 - 10]);
}

#[test]
fn no_frame_begins_in_a_full_segment() {
    let disk = SimulatedDisk::new();
    for size in [0, HEADER_BLOCK, HEADER_BLOCK + 1] {
        let (mut log, _) = open(&disk, &options(size));
        let before = disk.names().len();
        for _ in 0..5 {
            append(&mut log, 7).unwrap();
        }
        assert_eq!(disk.names().len(), before + 5);
    }
    let disk = SimulatedDisk::new();
    let (mut log, _) = open(&disk, &options(HEADER_BLOCK + 2 * 55));
    for _ in 0..6 {
        append(&mut log, 7).unwrap();
    }
    assert_eq!(disk.names(), [0, 14, 28].map(format::segment_name));
}

#[test]
fn a_cut_of_an_empty_segment_changes_its_note_and_keeps_its_plan() {
    let disk = SimulatedDisk::new();
    let options = options(1 << 20);
    let (mut log, _) = open(&disk, &options);
    log.plan(5, b"early", true).unwrap();
    log.cut(b"note".to_vec());
    append(&mut log, 10).unwrap();
    let (log, found) = open(&disk, &options);
    assert_eq!(found.segments.len(), 1);
    assert_eq!(found.segments[0].note, b"note");
    assert_eq!(found.plan.unwrap().bytes, b"early");
    assert_eq!(read_all(&log).good, [0..10]);
}

#[test]
fn a_release_deletes_whole_segments_and_never_the_last_unless_asked() {
    let disk = SimulatedDisk::new();
    let options = three_segments(&disk);
    let (mut log, _) = open(&disk, &options);
    let size = log.size();
    assert_eq!(log.release(8999, &[], true).unwrap(), 0);
    let freed = log.release(9000, &[], true).unwrap();
    assert_eq!(freed, HEADER_BLOCK + 3 * FRAME);
    assert_eq!(log.size(), size - freed);
    assert_eq!((log.start(), log.end()), (9000, 27_000));
    log.release(27_000, &[], false).unwrap();
    assert_eq!(disk.names(), [format::segment_name(18_000)]);
    assert_eq!(read_all(&log).good, [18_000..27_000]);
    assert_eq!(log.release(26_999, &[], true).unwrap(), 0);
    log.release(27_000, &[], true).unwrap();
    assert_eq!(disk.names().len(), 0);
    assert_eq!((log.start(), log.end(), log.size()), (27_000, 27_000, 0));
    append(&mut log, 1).unwrap();
    assert_eq!(read_all(&log).good, [27_000..27_001]);
}

// Plans.

#[test]
fn the_newest_plan_outlives_its_segment() {
    for seed in 0..50 {
        let disk = SimulatedDisk::new();
        let options = options(HEADER_BLOCK + 1);
        let (mut log, _) = open(&disk, &options);
        append(&mut log, 10).unwrap();
        log.plan(3, b"old", true).unwrap();
        append(&mut log, 10).unwrap();
        append(&mut log, 10).unwrap();
        log.sync().unwrap();
        log.release(20, b"new", false).unwrap();
        disk.power_loss(&mut fastrand::Rng::with_seed(seed));
        let (_, found) = open(&disk, &options);
        assert_eq!(
            found.plan,
            Some(Plan {
                position: 20,
                bytes: b"new".to_vec()
            }),
            "{seed}"
        );
    }
}

#[test]
fn a_plan_that_stays_is_durable_before_an_older_one_is_removed() {
    for seed in 0..50 {
        let disk = SimulatedDisk::new();
        let options = options(HEADER_BLOCK + 1);
        let (mut log, _) = open(&disk, &options);
        append(&mut log, 10).unwrap();
        log.plan(3, b"old", true).unwrap();
        append(&mut log, 10).unwrap();
        log.sync().unwrap();
        log.plan(13, b"newer", false).unwrap();
        log.release(10, b"unused", false).unwrap();
        disk.power_loss(&mut fastrand::Rng::with_seed(seed));
        let (_, found) = open(&disk, &options);
        assert_eq!(
            found.plan,
            Some(Plan {
                position: 13,
                bytes: b"newer".to_vec()
            })
        );
    }
}

#[test]
fn the_plan_goes_with_the_last_segment() {
    let disk = SimulatedDisk::new();
    let options = three_segments(&disk);
    let (mut log, _) = open(&disk, &options);
    log.plan(3, b"plan", false).unwrap();
    log.release(log.end(), b"other", true).unwrap();
    append(&mut log, 10).unwrap();
    let (_, found) = open(&disk, &options);
    assert_eq!(found.plan, None);
}

#[test]
fn a_plan_torn_anywhere_leaves_the_one_before() {
    let old = Plan {
        position: 1,
        bytes: b"the plan before".to_vec(),
    };
    let new = Plan {
        position: 2,
        bytes: b"the plan behind it, which is torn".to_vec(),
    };
    let size = 28 + new.bytes.len();
    for earlier in 0..3 {
        for keep in 0..=size {
            let disk = SimulatedDisk::new();
            let options = options(1 << 20);
            let (mut log, _) = open(&disk, &options);
            append(&mut log, 10).unwrap();
            for n in 0..earlier {
                log.plan(
                    n,
                    b"a much older plan, and a longer one than the others",
                    false,
                )
                .unwrap();
            }
            log.plan(old.position, &old.bytes, false).unwrap();
            disk.tear_next_write(keep);
            log.plan(new.position, &new.bytes, false).unwrap_err();
            disk.revive();
            let (mut log, found) = open(&disk, &options);
            let expected = if keep == size { &new } else { &old };
            assert_eq!(found.plan.as_ref(), Some(expected), "{keep}");
            // The torn slot is the one that is used next.
            disk.tear_next_write(keep.min(size - 1));
            log.plan(3, &new.bytes, false).unwrap_err();
            disk.revive();
            assert_eq!(
                open(&disk, &options).1.plan.as_ref(),
                Some(expected),
                "{keep}"
            );
        }
    }
}

#[test]
fn a_plan_that_is_too_long_is_refused() {
    let disk = SimulatedDisk::new();
    let (mut log, _) = open(&disk, &options(1 << 20));
    let error = log.plan(0, &[1; 1901], true).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Invalid(_)), "{error}");
    log.plan(0, &[1; 1900], true).unwrap();
    let (_, found) = open(&disk, &options(1 << 20));
    assert_eq!(found.plan.unwrap().bytes, [1; 1900]);
}

// Ends of processes and of power.

#[test]
fn a_torn_tail_is_cut_and_counted() {
    let disk = SimulatedDisk::new();
    let options = options(1 << 20);
    let (mut log, _) = open(&disk, &options);
    let mut frames = vec![(HEADER_BLOCK, 0)];
    for len in [5, 1, 90, 17] {
        let record = bytes(log.end()..log.end() + len);
        let ends = if len > 50 { vec![3, 50] } else { vec![len] };
        log.append(&[&record], &ends).unwrap();
        frames.push((log.size(), log.end()));
    }
    let name = &disk.names()[0];
    let whole = disk.contents(name);
    for keep in HEADER_BLOCK as usize..=whole.len() {
        for zeros in [0, 1, 40, 5000] {
            let copy = SimulatedDisk::new();
            let mut torn = whole[..keep].to_vec();
            torn.resize(keep + zeros, 0);
            let before = frames.iter().rev();
            let (size, end) = *before
                .clone()
                .find(|(size, _)| *size <= keep as u64)
                .unwrap();
            let next = frames.iter().find(|(size, _)| *size > keep as u64);
            if next.is_some_and(|(next, _)| torn.len() as u64 >= *next) {
                // Zeros in the place of what was written, and nothing torn off.
                continue;
            }
            copy.put(name, &torn);
            let (mut log, found) = open(&copy, &options);
            assert_eq!(found.end, end, "{keep} {zeros}");
            assert_eq!(found.torn, torn.len() as u64 - size, "{keep} {zeros}");
            assert_eq!(found.damage, []);
            assert_eq!(copy.contents(name).len() as u64, size);
            append(&mut log, 60).unwrap();
            assert_eq!(read_all(&log).good, [0..end + 60]);
            let (log, found) = open(&copy, &options);
            assert_eq!((found.end, found.torn), (end + 60, 0));
            assert_eq!(read_all(&log).good, [0..end + 60]);
        }
    }
}

#[test]
fn an_append_torn_anywhere_by_a_kill_is_whole_or_not_there() {
    for keep in 0..=55 {
        let disk = SimulatedDisk::new();
        let options = options(HEADER_BLOCK + 600);
        let (mut log, _) = open(&disk, &options);
        append(&mut log, 20).unwrap();
        disk.tear_next_write(keep);
        append(&mut log, 7).unwrap_err();
        disk.revive();
        let (log, found) = open(&disk, &options);
        let end = if keep == 55 { 27 } else { 20 };
        assert_eq!(found.end, end);
        assert_eq!(found.torn, if keep == 55 { 0 } else { keep as u64 });
        assert_eq!(read_all(&log).good, [0..end]);
    }
}

#[test]
fn a_segment_that_was_being_created_is_removed() {
    for keep in (0..60).chain([100, 4096, 8000, 8191]) {
        for zeros in [false, true] {
            let disk = SimulatedDisk::new();
            let options = options(HEADER_BLOCK + 1);
            let (mut log, _) = open(&disk, &options);
            append(&mut log, 20).unwrap();
            log.plan(9, b"plan", false).unwrap();
            disk.tear_next_write(keep);
            append(&mut log, 7).unwrap_err();
            disk.revive();
            let name = format::segment_name(20);
            if zeros {
                disk.change(&name, |bytes| bytes.resize(8192, 0));
            }
            let (mut log, found) = open(&disk, &options);
            let whole = zeros && keep >= 70;
            assert_eq!(disk.names().contains(&name), whole, "{keep}");
            assert_eq!((found.end, found.torn), (20, 0));
            assert_eq!(found.plan.unwrap().bytes, b"plan");
            append(&mut log, 7).unwrap();
            assert_eq!(read_all(&open(&disk, &options).0).good, [0..27]);
        }
    }
}

#[test]
fn after_a_loss_of_power_the_log_is_a_beginning_of_what_was_appended() {
    for seed in 0..700 {
        let mut random = fastrand::Rng::with_seed(seed);
        let disk = SimulatedDisk::new();
        let options = options(HEADER_BLOCK + random.u64(1..2000));
        let (mut log, _) = open(&disk, &options);
        let mut synced = 0;
        let mut released = 0;
        let mut position = 0;
        let mut planned = 0;
        for _ in 0..4 {
            for _ in 0..random.u32(0..30) {
                match random.u32(0..12) {
                    0 => {
                        log.sync().unwrap();
                        (synced, planned) = (log.end(), position);
                    }
                    1 => log.cut(vec![1]),
                    2 => {
                        position += 1;
                        let sync = random.bool();
                        log.plan(position, &[7; 20], sync).unwrap();
                        if sync {
                            planned = position;
                        }
                    }
                    3 if synced > 0 => {
                        // What is durable elsewhere was synced here, or need not be.
                        released = released.max(random.u64(..=synced));
                        log.release(released, &[8; 20], false).unwrap();
                    }
                    _ => {
                        let len = random.u64(1..600);
                        append(&mut log, len).unwrap();
                    }
                }
            }
            let end = log.end();
            if random.bool() {
                disk.power_loss(&mut random);
            } else {
                disk.kill();
                synced = end;
            }
            let found;
            (log, found) = open(&disk, &options);
            if let Some(damage) = found.damage.first() {
                // The file was made longer, and what was to be there did not get to the disk.
                assert_eq!(damage.what, Fault::Payload, "{seed}");
                assert!(damage.lost.start >= synced, "{seed}: {damage:?}");
                assert_eq!(damage.lost.end, found.end, "{seed}");
                break;
            }
            assert!(
                (synced..=end).contains(&found.end),
                "{seed}: {synced} {found:?} {end}"
            );
            assert!(found.start <= released.max(synced), "{seed}");
            let read = read_all(&log);
            assert_eq!(read.lost, [], "{seed}");
            if found.start < found.end {
                assert_eq!(read.good, [found.start..found.end], "{seed}");
            }
            if released == 0 && planned > 0 {
                let plan = found.plan.as_ref().unwrap();
                assert!(plan.position >= planned, "{seed}");
            }
            planned = found.plan.map_or(0, |plan| plan.position);
            position = planned;
            synced = found.end;
            log.sync().unwrap();
        }
    }
}

#[test]
fn what_an_earlier_process_did_not_sync_is_synced_by_the_next() {
    for seed in 0..20 {
        let disk = SimulatedDisk::new();
        three_segments(&disk);
        disk.kill();
        let (mut log, _) = open(&disk, &options(HEADER_BLOCK + 9000));
        log.sync().unwrap();
        disk.power_loss(&mut fastrand::Rng::with_seed(seed));
        let (log, found) = open(&disk, &options(1 << 20));
        assert_eq!(found.end, 27_000);
        assert_eq!(read_all(&log).good, [0..27_000]);
    }
}

// Damage.

/// Flips a byte of a segment of the log of three, and returns what is found and read.
fn with_flip(segment: usize, offset: u64) -> (Found, Read) {
    let disk = SimulatedDisk::new();
    let options = three_segments(&disk);
    let name = &disk.names()[segment];
    disk.change(name, |bytes| bytes[offset as usize] ^= 0x40);
    let (mut log, found) = open(&disk, &options);
    let read_before = read_all(&log);
    append(&mut log, 100).unwrap();
    assert_eq!(read_all(&log).lost, read_before.lost);
    assert_eq!(read_all(&log).good.last().unwrap().end, log.end());
    (found, read_before)
}

fn without(lost: &Range<u64>) -> Vec<Range<u64>> {
    [0..lost.start, lost.end..27_000]
        .into_iter()
        .filter(|range| !range.is_empty())
        .collect()
}

#[test]
fn a_flipped_byte_costs_exactly_its_frame() {
    for segment in 0..3 {
        for frame in 0..3 {
            let start = HEADER_BLOCK + frame * FRAME;
            for (at, what) in [
                (0, Fault::Frame),
                (4, Fault::Frame),
                (20, Fault::Frame),
                (39, Fault::Frame),
                (40, Fault::Payload),
                (2000, Fault::Payload),
                (FRAME - 1, Fault::Payload),
            ] {
                let position = segment * 9000 + frame * 3000;
                let lost = position..position + 3000;
                let (found, read) = with_flip(segment as usize, start + at);
                if segment == 2 && frame == 2 && what == Fault::Frame {
                    // It is not told from an unfinished one.
                    assert_eq!((found.end, found.torn), (24_000, FRAME));
                    assert_eq!(found.damage, []);
                    assert_eq!(read.good, [0..24_000]);
                    continue;
                }
                assert_eq!(read.lost, [(lost.clone(), what)], "{segment} {frame} {at}");
                assert_eq!(read.good, without(&lost));
                assert_eq!((found.end, found.torn), (27_000, 0));
                if segment == 2 {
                    let [damage] = &found.damage[..] else {
                        panic!("{:?}", found.damage)
                    };
                    assert_eq!((&damage.lost, damage.what), (&lost, what));
                    assert_eq!(damage.offset, start);
                    assert!(damage.file.ends_with(&format::segment_name(18_000)));
                } else {
                    assert_eq!(found.damage, []);
                }
            }
        }
    }
}

#[test]
fn a_damaged_header_costs_no_bytes() {
    for segment in 0..3 {
        for at in [0, 15, 16, 20, 24, 40, 48, 60, 69] {
            let (found, read) = with_flip(segment, at);
            assert_eq!(read.good, [0..27_000], "{segment} {at}");
            assert_eq!((found.end, found.torn), (27_000, 0));
            let [damage] = &found.damage[..] else {
                panic!("{:?}", found.damage)
            };
            assert!(damage.lost.is_empty());
            assert_eq!(damage.what, Fault::Header);
            assert!(found.segments[segment].created > 1_600_000_000_000);
        }
        // Nothing depends on these.
        let (found, _) = with_flip(segment, 3000);
        assert_eq!(found.damage, []);
    }
}

#[test]
fn a_destroyed_header_before_good_frames_is_damage() {
    for segment in 0..3 {
        let disk = SimulatedDisk::new();
        let options = three_segments(&disk);
        disk.change(&disk.names()[segment], |bytes| bytes[..4096].fill(0xaa));
        let (log, found) = open(&disk, &options);
        assert_eq!(read_all(&log).good, [0..27_000]);
        assert_eq!(found.damage.len(), 1);
    }
}

#[test]
fn several_damaged_frames_in_a_row_are_all_named() {
    let disk = SimulatedDisk::new();
    let options = three_segments(&disk);
    let name = &disk.names()[1];
    let start = HEADER_BLOCK as usize;
    // A damaged payload, and behind it a damaged header.
    disk.change(name, |bytes| {
        bytes[start + 100] ^= 1;
        bytes[start + FRAME as usize + 5] ^= 1;
    });
    let (log, _) = open(&disk, &options);
    let read = read_all(&log);
    assert_eq!(
        read.lost,
        [
            (9000..12_000, Fault::Payload),
            (12_000..15_000, Fault::Frame)
        ]
    );
    assert_eq!(read.good, [0..9000, 15_000..27_000]);
    // Begun inside of what is lost, only the rest of it is reported.
    let mut reader = log.reader(13_000);
    let Some(Piece::Lost { range, damage }) = reader.next(u64::MAX).unwrap() else {
        panic!()
    };
    assert_eq!((range, damage.lost), (13_000..15_000, 12_000..15_000));
}

#[test]
fn a_segment_that_was_cut_short_is_lost_from_there_on() {
    for len in [
        0,
        100,
        HEADER_BLOCK,
        HEADER_BLOCK + 1,
        HEADER_BLOCK + FRAME + 50,
    ] {
        let disk = SimulatedDisk::new();
        let options = three_segments(&disk);
        disk.change(&disk.names()[1], |bytes| bytes.truncate(len as usize));
        let (log, found) = open(&disk, &options);
        let start = 9000 + len.saturating_sub(HEADER_BLOCK) / FRAME * 3000;
        let lost = start..18_000;
        let read = read_all(&log);
        assert_eq!(read.lost, [(lost.clone(), Fault::Missing)], "{len}");
        assert_eq!(read.good, without(&lost));
        let [damage] = &found.damage[..] else {
            panic!("{:?}", found.damage)
        };
        assert_eq!((&damage.lost, damage.what), (&lost, Fault::Missing));
    }
}

#[test]
fn a_missing_segment_is_named_exactly_however_small_it_was() {
    for (len, records) in [(1, 1), (1, 3000), (100, 100), (3000, 3)] {
        let disk = SimulatedDisk::new();
        let options = options(1 << 20);
        let (mut log, _) = open(&disk, &options);
        for _ in 0..records {
            append(&mut log, len).unwrap();
        }
        log.cut(Vec::new());
        let start = log.end();
        append(&mut log, 1).unwrap();
        log.cut(Vec::new());
        append(&mut log, 1).unwrap();
        log.cut(Vec::new());
        append(&mut log, 10).unwrap();
        for gone in [start, start + 1] {
            let name = format::segment_name(gone);
            std::sync::Arc::new(disk.clone()).remove(&name).unwrap();
            let (log, found) = open(&disk, &options);
            let lost = start..gone + 1;
            let [damage] = &found.damage[..] else {
                panic!("{:?}", found.damage)
            };
            assert_eq!((&damage.lost, damage.what), (&lost, Fault::Missing));
            let read = read_all(&log);
            assert_eq!(read.lost, [(lost.clone(), Fault::Missing)]);
            assert_eq!(read.good, [0..start, lost.end..log.end()]);
        }
    }
}

#[test]
fn a_payload_that_holds_frames_is_only_bytes() {
    let disk = SimulatedDisk::new();
    let options = options(1 << 20);
    let (mut log, _) = open(&disk, &options);
    append(&mut log, 50).unwrap();
    append(&mut log, 50).unwrap();
    let copy = disk.contents(&disk.names()[0]);
    log.append(&[&copy], &[]).unwrap();
    log.append(&[&copy], &[]).unwrap();
    let len = copy.len() as u64;
    // The header before the copy is damaged, so that the copy is searched.
    let start = HEADER_BLOCK as usize + 2 * 98;
    disk.change(&disk.names()[0], |bytes| bytes[start] ^= 1);
    let (log, found) = open(&disk, &options);
    assert_eq!(found.damage.len(), 1);
    assert_eq!(found.damage[0].lost, 100..100 + len);
    assert_eq!(found.end, log.end());
    assert_eq!(log.end(), 100 + 2 * len);
}

#[test]
fn what_only_looks_like_the_next_frame_is_not_taken_for_it() {
    let far = format::FrameHeader {
        len: 10,
        inner: 0,
        ends_record: true,
        position: 1000,
        age: 0,
    };
    let long = format::FrameHeader {
        len: 1 << 20,
        position: 60,
        ..far
    };
    for fake in [far, long] {
        let disk = SimulatedDisk::new();
        let options = options(1 << 20);
        let (mut log, _) = open(&disk, &options);
        append(&mut log, 50).unwrap();
        log.append(&[&[0; 100], &fake.encode(), &[0; 2000]], &[])
            .unwrap();
        log.cut(Vec::new());
        let start = log.end();
        append(&mut log, 2_000_000).unwrap();
        let end = log.end();
        disk.change(&disk.names()[0], |bytes| {
            bytes[HEADER_BLOCK as usize + 98] ^= 1
        });
        let (log, _) = open(&disk, &options);
        let read = read_all(&log);
        assert_eq!(read.lost, [(50..start, Fault::Frame)]);
        assert_eq!(read.good, [0..50, start..end]);
    }
}

// Refusals.

#[test]
fn another_version_is_refused_and_nothing_is_touched() {
    for (at, value, found) in [(16, 2u8, Some(2)), (0, b'x', None)] {
        let disk = SimulatedDisk::new();
        let options = three_segments(&disk);
        // A torn tail, which is not cut.
        disk.change(&format::segment_name(18_000), |bytes| {
            bytes.truncate(10_000)
        });
        disk.change(&format::segment_name(0), |bytes| {
            bytes[at] = value;
            let crc = format::checksum(&bytes[..62]);
            bytes[62..70].copy_from_slice(&crc.to_le_bytes());
            bytes[8192] ^= 1;
        });
        let before = disk
            .names()
            .iter()
            .map(|name| disk.contents(name))
            .collect::<Vec<_>>();
        let error = refused(&disk, &options);
        match error.kind() {
            ErrorKind::Version { found: version } => assert_eq!(*version, found),
            other => panic!("{other:?}"),
        }
        let text = error.to_string();
        assert!(
            text.contains(&format!("/simulated/{}", format::segment_name(0))),
            "{text}"
        );
        assert!(found.is_none() || text.contains("version 2"), "{text}");
        let after = disk
            .names()
            .iter()
            .map(|name| disk.contents(name))
            .collect::<Vec<_>>();
        assert!(before == after);
    }
}

#[test]
fn bytes_of_another_owner_are_refused_and_nothing_is_touched() {
    let disk = SimulatedDisk::new();
    let mut options = three_segments(&disk);
    disk.change(&format::segment_name(18_000), |bytes| {
        bytes.truncate(10_000)
    });
    options.owner = b"bucket/other".to_vec();
    let error = refused(&disk, &options);
    match error.kind() {
        ErrorKind::Owner(found) => assert_eq!(found, b"bucket/key"),
        other => panic!("{other:?}"),
    }
    assert_eq!(disk.contents(&format::segment_name(18_000)).len(), 10_000);
    options.owner = vec![0; 3801];
    assert!(matches!(
        refused(&disk, &options).kind(),
        ErrorKind::Invalid(_)
    ));
}

#[test]
fn a_renamed_segment_is_refused() {
    let disk = SimulatedDisk::new();
    let options = three_segments(&disk);
    disk.put(
        &format::segment_name(30_000),
        &disk.contents(&format::segment_name(9000)),
    );
    let error = refused(&disk, &options);
    assert!(matches!(error.kind(), ErrorKind::Invalid(_)), "{error}");
}

#[test]
fn files_that_are_no_segments_are_ignored() {
    let disk = SimulatedDisk::new();
    let options = three_segments(&disk);
    for name in [
        "lock",
        "notes.txt",
        "1.segment",
        "00000000000000000000.segment.bak",
    ] {
        disk.put(name, b"something");
    }
    let (mut log, found) = open(&disk, &options);
    assert_eq!(found.segments.len(), 3);
    log.release(log.end(), &[], true).unwrap();
    assert_eq!(disk.names().len(), 4);
}

#[test]
fn record_ends_that_are_not_ascending_inside_the_bytes_are_refused() {
    let disk = SimulatedDisk::new();
    let (mut log, _) = open(&disk, &options(1 << 20));
    for ends in [&[0][..], &[2, 2], &[2, 1], &[4]] {
        let error = log.append(&[b"abc"], ends).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Invalid(_)), "{error}");
    }
    log.append(&[], &[]).unwrap();
    assert_eq!((log.end(), disk.names().len()), (0, 0));
}

// Space and errors.

#[test]
fn an_append_beyond_the_largest_size_writes_nothing() {
    let disk = SimulatedDisk::new();
    let mut options = options(1 << 20);
    options.max_size = HEADER_BLOCK + 48 + 100;
    let (mut log, _) = open(&disk, &options);
    let operations = disk.operations();
    let error = append(&mut log, 101).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Full { .. }), "{error}");
    assert!(error.is_out_of_space());
    assert_eq!(
        (log.end(), log.size(), disk.operations()),
        (0, 0, operations)
    );
    append(&mut log, 100).unwrap();
    assert_eq!(log.size(), options.max_size);
    append(&mut log, 1).unwrap_err();
    log.plan(100, b"plan", true).unwrap();
    log.release(100, &[], true).unwrap();
    append(&mut log, 100).unwrap();
}

/// Does a bit of everything. Appends are tried again, with other lengths, until they succeed.
fn work_through_errors(disk: &SimulatedDisk, options: &LogOptions, mut heal: impl FnMut()) {
    let (mut log, _) = open(disk, options);
    let mut retry = |log: &mut SegmentLog, act: &mut dyn FnMut(&mut SegmentLog, u64) -> bool| {
        for attempt in 0.. {
            let before = (log.start(), log.end());
            if act(log, attempt) {
                break;
            }
            assert_eq!(before, (log.start(), log.end()));
            assert!(attempt < 5);
            heal();
        }
    };
    for round in 0..6 {
        for len in [2000, 10, 3 * MAX_FRAME / 2, 500] {
            if len > MAX_FRAME && round != 1 {
                continue;
            }
            retry(&mut log, &mut |log, attempt| {
                append(log, len / (attempt + 1)).is_ok()
            });
        }
        if round == 2 {
            log.cut(b"note".to_vec());
        }
        retry(&mut log, &mut |log, _| {
            log.plan(round, b"plan", false).is_ok()
        });
        if round == 4 {
            let start = log.start();
            let mut reader = log.reader(start);
            while let Ok(Some(_)) = reader.next(u64::MAX) {}
            let mut released = false;
            for _ in 0..3 {
                released |= log
                    .release(start + (log.end() - start) / 2, b"plan", false)
                    .is_ok();
            }
            assert!(released);
        }
    }
    disk.fail_at(u64::MAX, io::ErrorKind::Other);
    let read = read_all(&log);
    assert_eq!(read.lost, []);
    assert_eq!(read.good, [log.start()..log.end()]);
    // What is on the disk is the same.
    let (start, end) = (log.start(), log.end());
    disk.kill();
    let (log, found) = open(disk, options);
    assert_eq!((found.start, found.end, found.torn), (start, end, 0));
    assert_eq!(found.damage, []);
    assert_eq!(read_all(&log).good, [start..end]);
    let files: u64 = disk
        .names()
        .iter()
        .map(|name| disk.contents(name).len() as u64)
        .sum();
    assert_eq!(log.size(), files);
}

#[test]
fn a_log_goes_on_after_an_error_of_any_operation() {
    let options = options(1 << 20);
    let count = {
        let disk = SimulatedDisk::new();
        work_through_errors(&disk, &options, || {});
        disk.operations()
    };
    for n in 4..count {
        let disk = SimulatedDisk::new();
        open(&disk, &options);
        let kinds = [io::ErrorKind::StorageFull, io::ErrorKind::Other];
        disk.fail_at(n, kinds[n as usize % 2]);
        work_through_errors(&disk, &options, || {});
    }
}

#[test]
fn a_log_goes_on_when_there_is_space_again() {
    let options = options(1 << 20);
    for free in (0..12_000_000)
        .step_by(397_001)
        .chain([1, 4096, 8191, 8192, 8193, 10_240, 10_241])
    {
        let disk = SimulatedDisk::new();
        disk.set_free(free);
        work_through_errors(&disk, &options, || disk.set_free(3_000_000));
    }
}

#[test]
fn a_failed_append_that_cannot_be_undone_at_once_is_undone_later() {
    // The append needs three segments. It fails in the last, and removing fails too.
    let options = options(HEADER_BLOCK + 1);
    let count = 12;
    for n in 1..count {
        for more in 1..6 {
            let disk = SimulatedDisk::new();
            let (mut log, _) = open(&disk, &options);
            append(&mut log, 10).unwrap();
            disk.fail_at(n, io::ErrorKind::Other);
            let failing = FailAgain {
                disk: disk.clone(),
                more: AtomicU64::new(more),
                emptying: more % 2 == 0,
            };
            drop(log);
            (log, _) = {
                disk.kill();
                SegmentLog::open(Arc::new(failing), options.clone()).unwrap()
            };
            disk.fail_at(n, io::ErrorKind::Other);
            let failed = append(&mut log, 2 * MAX_FRAME + 10).is_err();
            let end = log.end();
            assert_eq!(failed, end == 10);
            for _ in 0..8 {
                let _ = append(&mut log, 7);
            }
            assert!(log.end() > end);
            assert_eq!(read_all(&log).good, [0..log.end()]);
            disk.kill();
            let (again, found) = open(&disk, &options);
            assert_eq!((found.end, found.torn), (log.end(), 0), "{n} {more}");
            assert_eq!(found.damage, []);
            assert_eq!(read_all(&again).good, [0..log.end()]);
        }
    }
}

#[test]
fn what_a_failed_append_wrote_never_comes_back() {
    let options = options(1 << 30);
    for cut in [false, true] {
        for (n, more, emptying) in [(0, 0, false), (4, 0, false), (0, 9, false), (0, 1, true)] {
            let disk = SimulatedDisk::new();
            let more = AtomicU64::new(more);
            let failing = FailAgain {
                disk: disk.clone(),
                more,
                emptying,
            };
            let (mut log, _) = SegmentLog::open(Arc::new(failing), options.clone()).unwrap();
            append(&mut log, 10).unwrap();
            if cut {
                log.cut(b"note".to_vec());
            }
            // The first frame is written, and the second only in part.
            disk.set_free(MAX_FRAME + 20_000);
            if n > 0 {
                disk.fail_at(n, io::ErrorKind::Other);
            }
            append(&mut log, 2 * MAX_FRAME).unwrap_err();
            disk.set_free(1 << 30);
            append(&mut log, 7).unwrap();
            assert_eq!(read_all(&log).good, [0..17]);
            disk.kill();
            let (log, found) = open(&disk, &options);
            assert_eq!((found.end, found.torn), (17, 0), "{cut} {n}");
            assert_eq!(found.damage, []);
            assert_eq!(found.segments.len(), 1 + usize::from(cut));
            let note = if cut { &b"note"[..] } else { b"" };
            assert_eq!(found.segments.last().unwrap().note, note);
            assert_eq!(read_all(&log).good, [0..17]);
        }
    }
}

#[test]
fn segments_that_cannot_be_removed_are_emptied() {
    let disk = SimulatedDisk::new();
    let options = options(HEADER_BLOCK + 1);
    let more = AtomicU64::new(u64::MAX);
    let failing = FailAgain {
        disk: disk.clone(),
        more,
        emptying: false,
    };
    let (mut log, _) = SegmentLog::open(Arc::new(failing), options.clone()).unwrap();
    disk.set_free(2 * MAX_FRAME + 30_000);
    append(&mut log, 3 * MAX_FRAME).unwrap_err();
    disk.set_free(1 << 30);
    // The emptied segments are named by positions inside of these.
    append(&mut log, 10).unwrap();
    append(&mut log, MAX_FRAME).unwrap();
    append(&mut log, MAX_FRAME).unwrap();
    disk.kill();
    let (log, found) = open(&disk, &options);
    assert_eq!((found.end, found.torn), (2 * MAX_FRAME + 10, 0));
    assert_eq!(found.damage, []);
    assert_eq!(read_all(&log).good, [0..found.end]);
}

/// A disk on which the first removals fail.
#[derive(Debug)]
struct FailAgain {
    disk: SimulatedDisk,
    more: AtomicU64,
    /// Whether emptying the files fails then as well.
    emptying: bool,
}

impl Disk for FailAgain {
    fn list(&self) -> io::Result<Vec<String>> {
        self.disk.list()
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.disk.create(name)
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.disk.open(name)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let left = self.more.load(Ordering::Relaxed);
        if left > 0 {
            self.more.store(left - 1, Ordering::Relaxed);
            if self.emptying {
                self.disk.fail_at(1, io::ErrorKind::Other);
            }
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        self.disk.remove(name)
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.sync()
    }

    fn describe(&self, name: &str) -> String {
        self.disk.describe(name)
    }
}

#[test]
fn a_full_disk_can_be_opened_read_planned_and_released() {
    let disk = SimulatedDisk::new();
    let options = three_segments(&disk);
    disk.set_free(0);
    // The last frame is torn too.
    disk.change(&format::segment_name(18_000), |bytes| {
        bytes.pop();
    });
    let (mut log, found) = open(&disk, &options);
    assert_eq!((found.end, found.torn), (24_000, FRAME - 1));
    disk.set_free(0);
    assert_eq!(read_all(&log).good, [0..24_000]);
    for n in 0..5 {
        log.plan(n, &[1; 1900], true).unwrap();
    }
    let error = append(&mut log, 4000).unwrap_err();
    assert!(error.is_out_of_space(), "{error}");
    log.sync().unwrap();
    log.release(9000, &[2; 1900], false).unwrap();
    append(&mut log, 4000).unwrap();
    assert_eq!(read_all(&log).good, [9000..28_000]);
    disk.set_free(0);
    log.release(28_000, &[], true).unwrap();
    assert_eq!(disk.names().len(), 0);
}

#[test]
fn a_failed_sync_is_not_forgotten_until_the_file_is_released() {
    let disk = SimulatedDisk::new();
    let options = options(1 << 20);
    let (mut log, _) = open(&disk, &options);
    append(&mut log, 10).unwrap();
    log.plan(1, b"plan", false).unwrap();
    disk.fail_at(1, io::ErrorKind::Other);
    log.sync().unwrap_err();
    log.sync().unwrap_err();
    append(&mut log, 10).unwrap();
    assert_eq!(disk.names(), [0, 10].map(format::segment_name));
    log.sync().unwrap_err();
    log.release(10, b"later", false).unwrap();
    log.sync().unwrap();
    disk.power_loss(&mut fastrand::Rng::with_seed(1));
    let (log, found) = open(&disk, &options);
    assert_eq!(
        found.plan,
        Some(Plan {
            position: 10,
            bytes: b"later".to_vec()
        })
    );
    assert_eq!(read_all(&log).good, [10..20]);
}

#[test]
fn a_plan_whose_sync_failed_is_written_again() {
    let disk = SimulatedDisk::new();
    let options = options(1 << 20);
    let (mut log, _) = open(&disk, &options);
    append(&mut log, 10).unwrap();
    log.plan(1, b"first", true).unwrap();
    log.sync().unwrap();
    let before = disk.contents(&disk.names()[0]);
    disk.fail_at(2, io::ErrorKind::Other);
    log.plan(2, b"second", true).unwrap_err();
    log.sync().unwrap();
    let after = disk.contents(&disk.names()[0]);
    // The first plan is still in its slot, and the second has a higher number than it first had.
    let [first, second] = SLOTS.map(|slot| slot as usize);
    assert_eq!(before[first..second], after[first..second]);
    assert_eq!(after[second], 3);
    disk.power_loss(&mut fastrand::Rng::with_seed(1));
    let (_, found) = open(&disk, &options);
    assert_eq!(found.plan.unwrap().bytes, b"second");
}

#[test]
fn a_log_of_160_segments_is_opened_by_reading_headers() {
    let disk = SimulatedDisk::new();
    let options = options(HEADER_BLOCK + 20_000);
    let (mut log, _) = open(&disk, &options);
    while disk.names().len() < 160 {
        append(&mut log, 1000).unwrap();
    }
    let (size, last) = (log.size(), disk.contents(&disk.names()[159]).len() as u64);
    let before = disk.bytes_read();
    let (_, found) = open(&disk, &options);
    assert_eq!(found.segments.len(), 160);
    let read = disk.bytes_read() - before;
    assert_eq!(read, 160 * HEADER_BLOCK + (last - HEADER_BLOCK));
    assert!(read < size / 3, "{read} {size}");
}

/// Reads a segment as the documentation says, with none of the code that writes it.
#[test]
fn the_documentation_is_enough_to_read_a_segment() {
    let disk = SimulatedDisk::new();
    let (mut log, _) = open(&disk, &options(1 << 20));
    log.cut(b"why".to_vec());
    log.append(&[b"abc", b"defgh"], &[2, 5, 8]).unwrap();
    log.append(&[b"ij"], &[]).unwrap();
    log.plan(4, b"plan", false).unwrap();
    let file = disk.contents("00000000000000000000.segment");
    let number = |at: usize, len: usize| {
        file[at..at + len]
            .iter()
            .rev()
            .fold(0u64, |number, byte| number << 8 | u64::from(*byte))
    };
    let crc =
        |range: Range<usize>| crc_fast::checksum(crc_fast::CrcAlgorithm::Crc64Xz, &file[range]);
    assert_eq!(&file[..16], b"oss-append spool");
    assert_eq!(
        (number(16, 4), number(20, 4), number(24, 8), number(32, 8)),
        (1, 0, 0, 0)
    );
    assert_eq!((number(48, 2), number(50, 2)), (10, 3));
    assert_eq!(&file[52..65], b"bucket/keywhy");
    assert_eq!(number(65, 8), crc(0..65));
    assert_eq!(
        (number(4096, 8), number(4104, 8), number(4112, 4)),
        (1, 4, 4)
    );
    assert_eq!(&file[4124..4128], b"plan");
    let plan = [&file[4096..4116], &file[4124..4128]].concat();
    assert_eq!(
        number(4116, 8),
        crc_fast::checksum(crc_fast::CrcAlgorithm::Crc64Xz, &plan)
    );
    let mut at = 8192;
    let mut frames = Vec::new();
    while at < file.len() {
        assert_eq!(&file[at..at + 4], [0xf7, b's', b'p', 0x9c]);
        let (len, inner) = (number(at + 4, 4) as usize, number(at + 8, 4) as usize);
        assert_eq!(number(at + 32, 8), crc(at..at + 32));
        let payload = at + 40 + 4 * inner;
        assert_eq!(number(payload + len, 8), crc(at + 40..payload + len));
        let mut ends: Vec<u64> = (0..inner).map(|n| number(at + 40 + 4 * n, 4)).collect();
        if number(at + 12, 4) == 1 {
            ends.push(len as u64);
        }
        frames.push((number(at + 16, 8), &file[payload..payload + len], ends));
        at = payload + len + 8;
    }
    assert_eq!(
        frames,
        [
            (0, &b"abcdefgh"[..], vec![2, 5, 8]),
            (8, &b"ij"[..], vec![])
        ]
    );
}

// Anything, in any order.

#[derive(Clone, Debug)]
enum Act {
    Append {
        lens: Vec<u64>,
        open_end: bool,
        chunk: usize,
    },
    Cut,
    Plan(Vec<u8>),
    Release {
        part: f64,
        all: bool,
    },
    Reopen,
    ReadFrom(f64),
}

fn act() -> impl Strategy<Value = Act> {
    let len = prop_oneof![20 => 1..200u64, 5 => 200..5000u64, 1 => 100_000..2_500_000u64];
    prop_oneof![
        10 => (prop::collection::vec(len, 1..5), any::<bool>(), 1..4000usize)
            .prop_map(|(lens, open_end, chunk)| Act::Append { lens, open_end, chunk }),
        1 => Just(Act::Cut),
        2 => prop::collection::vec(any::<u8>(), 0..100).prop_map(Act::Plan),
        2 => (0.0..1.2, prop::bool::weighted(0.2))
            .prop_map(|(part, all)| Act::Release { part, all }),
        1 => Just(Act::Reopen),
        3 => (0.0..1.1).prop_map(Act::ReadFrom),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(120))]
    #[test]
    fn whatever_is_done_the_log_has_what_was_appended_and_not_released(
        acts in prop::collection::vec(act(), 1..40),
        segment_size in prop_oneof![8192..12_000u64, 8192..2_000_000u64],
        max_size in prop_oneof![Just(u64::MAX), 20_000..6_000_000u64],
    ) {
        let disk = SimulatedDisk::new();
        let options = LogOptions { max_size, ..options(segment_size) };
        let (mut log, _) = open(&disk, &options);
        let mut ends = BTreeSet::new();
        let mut plan = None;
        let mut follower = log.reader(0);
        for act in acts {
            match act {
                Act::Append { lens, open_end, chunk } => {
                    let payload = lens.iter().sum::<u64>();
                    let record = bytes(log.end()..log.end() + payload);
                    let chunks: Vec<&[u8]> = record.chunks(chunk).collect();
                    let mut relative = Vec::new();
                    for len in &lens {
                        relative.push(relative.last().unwrap_or(&0) + len);
                    }
                    if open_end {
                        relative.pop();
                    }
                    let before = (log.end(), log.size());
                    match log.append(&chunks, &relative) {
                        Ok(()) => {
                            ends.extend(relative.iter().map(|end| before.0 + end));
                            prop_assert_eq!(log.end(), before.0 + payload);
                            prop_assert!(log.size() <= max_size);
                        }
                        Err(error) => {
                            // It is close to full, at least.
                            prop_assert!(error.is_out_of_space(), "{}", error);
                            prop_assert_eq!(before, (log.end(), log.size()));
                        }
                    }
                }
                Act::Cut => log.cut(b"note".to_vec()),
                Act::Plan(bytes) => {
                    log.plan(log.end(), &bytes, false).unwrap();
                    plan = Some(bytes);
                }
                Act::Release { part, all } => {
                    let behind = (log.end() - log.start()) as f64 * part;
                    let durable = log.start() + behind as u64;
                    let start = log.start();
                    log.release(durable, b"released", all).unwrap();
                    if log.size() == 0 {
                        plan = None;
                    }
                    prop_assert!(log.start() <= durable.max(start));
                }
                Act::Reopen => {
                    let expected = (log.start(), log.end(), log.size());
                    let found;
                    (log, found) = open(&disk, &options);
                    prop_assert_eq!(&found.damage, &[]);
                    prop_assert_eq!(found.torn, 0);
                    if expected.2 == 0 {
                        // A log without segments begins anew.
                        ends.clear();
                        prop_assert_eq!(log.end(), 0);
                    } else {
                        prop_assert_eq!((log.start(), log.end(), log.size()), expected);
                    }
                    let found = found.plan.map(|plan| plan.bytes);
                    prop_assert!(found == plan || found.as_deref() == Some(b"released"));
                    plan = found;
                    follower = log.reader(log.start());
                }
                Act::ReadFrom(part) => {
                    let from = log.start() + ((log.end() - log.start()) as f64 * part) as u64;
                    let found = read(&mut log.reader(from), u64::MAX);
                    prop_assert_eq!(&found.lost, &[]);
                    let expected = ends.range(from + 1..).copied().collect::<BTreeSet<_>>();
                    prop_assert_eq!(found.ends, expected);
                    let followed = read(&mut follower, log.end());
                    prop_assert!(followed.lost.iter().all(|lost| lost.1 == Fault::Released));
                    prop_assert_eq!(follower.position(), log.end());
                }
            }
            let files: u64 = disk.names().iter().map(|name| disk.contents(name).len() as u64).sum();
            prop_assert_eq!(log.size(), files);
        }
        let found = read_all(&log);
        prop_assert_eq!(found.ends, ends.split_off(&(log.start() + 1)));
    }
}

#[test]
fn what_is_appended_during_a_sync_waits_for_the_next() {
    let options = options(HEADER_BLOCK + 500);
    let (mut lost, mut kept) = (0, 0);
    for seed in 0..200 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let disk = SimulatedDisk::new();
        let (mut log, _) = open(&disk, &options);
        append(&mut log, 300).unwrap();
        log.plan(0, b"first", false).unwrap();
        let syncing = log.begin_sync().unwrap();
        if seed % 7 < 4 {
            append(&mut log, 50).unwrap();
        }
        let synced = syncing.run();
        // In the same file, and in one that was not there.
        if seed % 5 < 3 {
            append(&mut log, 50).unwrap();
        }
        if seed % 5 > 1 {
            log.plan(300, b"second", false).unwrap();
        }
        if seed % 3 == 0 {
            append(&mut log, 400).unwrap();
            append(&mut log, 400).unwrap();
        }
        log.end_sync(synced).unwrap();
        let end = log.end();
        if seed % 2 == 0 {
            log.sync().unwrap();
        }
        drop(log);
        disk.power_loss(&mut rng);
        disk.revive();
        let (log, found) = open(&disk, &options);
        let good = read_all(&log).good;
        let plan = found.plan.unwrap().bytes;
        let last = if seed % 5 > 1 {
            &b"second"[..]
        } else {
            b"first"
        };
        match seed % 2 {
            0 => assert_eq!((&good[..], &plan[..]), (&[0..end][..], last)),
            _ => {
                assert!(good[0].start == 0 && good[0].end >= 300, "{good:?}");
                lost += u32::from(good[0].end < end);
                kept += u32::from(plan == b"second");
            }
        }
    }
    assert!(lost > 10 && kept > 0, "{lost} {kept}");
}

#[test]
fn a_file_that_is_released_during_a_sync_is_no_matter() {
    let disk = SimulatedDisk::new();
    let options = three_segments(&disk);
    let (mut log, _) = open(&disk, &options);
    let syncing = log.begin_sync().unwrap();
    log.release(log.end(), b"plan", true).unwrap();
    assert_eq!(log.size(), 0);
    append(&mut log, 100).unwrap();
    log.end_sync(syncing.run()).unwrap();
    log.sync().unwrap();
    drop(log);
    disk.power_loss(&mut fastrand::Rng::with_seed(1));
    disk.revive();
    let (log, found) = open(&disk, &options);
    assert_eq!((found.start, found.end), (27_000, 27_100));
    assert_eq!(read_all(&log).good, [27_000..27_100]);
}
