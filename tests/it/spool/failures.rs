//! Disks that are full, damaged or gone, objects that have changed, and directories of others.

use std::fs;
use std::path::Path;
use std::time::Duration;

use oss_append::emulator::Emulator;
use oss_append::{
    Checkpoint, Compression, Error, ErrorKind, OssAppendWriter, OssLogAppender, RollingWriter,
    Spool, WhenFull,
};

use super::{
    BUCKET, OBJECT, builder, client, content, emulator, in_spool, life, lines, segments, spool,
};

/// A process that ends in an outage, with all of `text` in its spool.
fn leave(emulator: &Emulator, directory: &Path, text: &str) {
    life(async {
        let mut writer = builder(emulator, directory).open().await.unwrap();
        emulator.pause().await;
        // Each piece is a frame of its own.
        for piece in text.as_bytes().chunks(4_000) {
            writer.write_all(piece).await.unwrap();
            writer.spooled().await.unwrap();
        }
        // By then the spool has noted where the bytes go.
        while writer.stats().failing.is_none() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    life(async { emulator.resume().await.unwrap() });
}

fn segment(directory: &Path, number: usize) -> std::path::PathBuf {
    directory.join(&segments(directory)[number])
}

/// Changes one byte of the file.
fn damage(file: &Path, at: usize) {
    let mut bytes = fs::read(file).unwrap();
    bytes[at] ^= 0x20;
    fs::write(file, bytes).unwrap();
}

/// Why nothing more can be put in the spool of `writer`, as soon as that is so.
async fn problem(writer: &OssAppendWriter) -> Error {
    loop {
        if let Some(problem) = writer.stats().spool.unwrap().problem {
            return problem;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[test]
fn a_full_spool_makes_writes_wait_until_something_is_delivered() {
    let (emulator, directory) = (emulator(), tempfile::tempdir().unwrap());
    let text = lines(0..20_000);
    life(async {
        let mut writer = builder(&emulator, directory.path())
            .spool(spool(directory.path()).max_size(300 * 1024))
            .open()
            .await
            .unwrap();
        writer.write_all(b"first\n").await.unwrap();
        writer.sync().await.unwrap();
        emulator.pause().await;
        let watcher = writer.clone();
        let mut writing = Box::pin(writer.write_all(text.as_bytes()));
        let problem = tokio::select! {
            problem = problem(&watcher) => problem,
            _ = &mut writing => panic!("it does not fit"),
        };
        assert!(problem.to_string().contains("307200"), "{problem}");
        let files = segments(directory.path()).into_iter();
        let sizes = files.map(|name| fs::metadata(directory.path().join(name)).unwrap().len());
        assert!(sizes.sum::<u64>() <= 300 * 1024);
        emulator.resume().await.unwrap();
        writing.await.unwrap();
        writer.shutdown().await.unwrap();
    });
    assert!(content(&emulator, OBJECT) == [b"first\n", text.as_bytes()].concat());
}

#[test]
fn a_full_spool_is_told_of_by_the_stats() {
    let (emulator, directory) = (emulator(), tempfile::tempdir().unwrap());
    let text = lines(0..20_000);
    life(async {
        let mut writer = builder(&emulator, directory.path())
            .spool(
                spool(directory.path())
                    .max_size(100 * 1024)
                    .segment_size(32 * 1024),
            )
            .open()
            .await
            .unwrap();
        emulator.pause().await;
        let watcher = writer.clone();
        let writing = tokio::spawn(async move { writer.write_all(text.as_bytes()).await });
        let problem = problem(&watcher).await;
        assert!(problem.to_string().contains("102400"), "{problem}");
        assert!(problem.is_retryable());
        assert!(watcher.stats().spool.unwrap().unspooled > 0);
        writing.abort();
    });
}

#[test]
fn a_log_with_a_full_spool_drops_and_counts() {
    let (emulator, directory) = (emulator(), tempfile::tempdir().unwrap());
    let objects = RollingWriter::builder(client(&emulator), BUCKET, "log-{seq}").writer(|writer| {
        writer
            .batch_size(4 * 1024)
            .max_append_size(8 * 1024)
            .buffer_capacity(16 * 1024)
    });
    life(emulator.pause());
    let (log, guard) = OssLogAppender::builder(objects)
        .when_full(WhenFull::Drop)
        .on_trouble(|_| {})
        .spool(
            spool(directory.path())
                .max_size(100 * 1024)
                .segment_size(32 * 1024),
        )
        .start_unchecked()
        .unwrap();
    for line in lines(0..5_000).split_inclusive('\n') {
        log.record(line.as_bytes());
    }
    let dropped = log.stats().dropped.records;
    assert!((1..5_000).contains(&dropped), "{dropped}");
    life(async { emulator.resume().await.unwrap() });
    let report = guard.shutdown(Duration::from_secs(30));
    assert_eq!(report.undelivered, 0);
    let stored = String::from_utf8(content(&emulator, "log-1")).unwrap();
    let told: u64 = stored
        .lines()
        .filter_map(|line| {
            line.strip_prefix("oss-append: ")?
                .split(' ')
                .next()?
                .parse::<u64>()
                .ok()
        })
        .sum();
    let delivered = stored
        .lines()
        .filter(|line| !line.starts_with("oss-append: "))
        .count() as u64;
    assert_eq!((told, delivered + told), (dropped, 5_000));
}

/// What is damaged is lost and told of, what is not is delivered.
fn damaged(number: impl Fn(usize) -> usize) {
    let (emulator, directory) = (emulator(), tempfile::tempdir().unwrap());
    let text = lines(0..10_000);
    leave(&emulator, directory.path(), &text);
    let count = segments(directory.path()).len();
    assert!(count > 5);
    damage(&segment(directory.path(), number(count)), 10_000);
    let lost = life(async {
        let mut writer = builder(&emulator, directory.path()).open().await.unwrap();
        writer.shutdown().await.unwrap();
        writer.stats().spool.unwrap().lost
    });
    let stored = content(&emulator, OBJECT);
    assert!(lost == 4_000, "{lost}");
    assert_eq!(stored.len() as u64 + lost, text.len() as u64);
    // Only one piece is missing.
    let same = stored
        .iter()
        .zip(text.as_bytes())
        .take_while(|(a, b)| a == b)
        .count();
    assert!(stored[same..] == text.as_bytes()[same + lost as usize..]);
}

#[test]
fn damage_in_the_first_file_costs_what_is_damaged() {
    damaged(|_| 0);
}

#[test]
fn damage_in_a_file_in_the_middle_costs_what_is_damaged() {
    damaged(|count| count / 2);
}

#[test]
fn damage_in_the_last_file_costs_what_is_damaged() {
    damaged(|count| count - 1);
}

#[test]
fn a_file_that_is_missing_is_told_of() {
    let (emulator, directory) = (emulator(), tempfile::tempdir().unwrap());
    let text = lines(0..10_000);
    leave(&emulator, directory.path(), &text);
    fs::remove_file(segment(directory.path(), 2)).unwrap();
    let lost = life(async {
        let mut writer = builder(&emulator, directory.path()).open().await.unwrap();
        writer.shutdown().await.unwrap();
        writer.stats().spool.unwrap().lost
    });
    assert_eq!(
        content(&emulator, OBJECT).len() as u64 + lost,
        text.len() as u64
    );
}

#[test]
fn a_directory_is_used_by_one_writer_at_a_time() {
    let (emulator, directory) = (emulator(), tempfile::tempdir().unwrap());
    life(async {
        let mut writer = builder(&emulator, directory.path()).open().await.unwrap();
        let error = builder(&emulator, directory.path())
            .open()
            .await
            .unwrap_err();
        assert!(error.to_string().contains("in use"), "{error}");
        let contents = spool(directory.path()).contents().await.unwrap_err();
        assert!(contents.to_string().contains("in use"), "{contents}");
        writer.shutdown().await.unwrap();
        drop(writer);
        builder(&emulator, directory.path())
            .open()
            .await
            .unwrap()
            .shutdown()
            .await
            .unwrap();
    });
}

#[test]
fn files_of_another_version_are_left_alone() {
    let (emulator, directory) = (emulator(), tempfile::tempdir().unwrap());
    leave(&emulator, directory.path(), "kept\n");
    let file = segment(directory.path(), 0);
    let before = fs::read(&file).unwrap();
    let mut other = before.clone();
    other[16] = 77;
    let labels = |at: usize| usize::from(u16::from_le_bytes([before[at], before[at + 1]]));
    let end = 52 + labels(48) + labels(50);
    let sum = oss_append::crc64::checksum(&other[..end]);
    other[end..end + 8].copy_from_slice(&sum.to_le_bytes());
    fs::write(&file, &other).unwrap();
    life(async {
        let error = builder(&emulator, directory.path())
            .open()
            .await
            .unwrap_err();
        assert!(error.to_string().contains("version 77"), "{error}");
        assert_eq!(fs::read(&file).unwrap(), other);
        fs::write(&file, before).unwrap();
        builder(&emulator, directory.path())
            .open()
            .await
            .unwrap()
            .shutdown()
            .await
            .unwrap();
    });
    assert_eq!(content(&emulator, OBJECT), b"kept\n");
}

#[test]
fn a_directory_that_is_removed_fails_the_writer_and_loses_nothing_of_what_it_had() {
    let (emulator, directory) = (emulator(), tempfile::tempdir().unwrap());
    let path = directory.path().join("spool");
    let text = lines(0..10_000);
    life(async {
        let mut writer = builder(&emulator, directory.path())
            .spool(spool(&path))
            .open()
            .await
            .unwrap();
        writer.write_all(b"first\n").await.unwrap();
        writer.sync().await.unwrap();
        emulator.pause().await;
        fs::remove_dir_all(&path).unwrap();
        let error = loop {
            if let Err(error) = writer.write_all(text.as_bytes()).await {
                break error;
            }
        };
        assert!(matches!(error.kind(), ErrorKind::Spool { .. }), "{error}");
        assert!(error.to_string().contains("spool"), "{error}");
        let accepted = writer.position();
        let unsent = writer.into_unsent().unwrap();
        // What was put on disk is lost with it, by whoever removed it; the rest is given back.
        assert_eq!(unsent.spooled.end + unsent.len(), accepted);
        assert!(!unsent.is_empty());
    });
}

#[test]
fn a_path_that_is_no_directory_is_refused() {
    let (emulator, directory) = (emulator(), tempfile::tempdir().unwrap());
    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    life(async {
        let error = builder(&emulator, &file).open().await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Spool { .. }), "{error}");
        assert!(error.to_string().contains("file"), "{error}");
    });
}

/// What the next process says of an object that was changed by `change`, after which it is left as
/// it is.
fn changed(change: impl FnOnce(&Emulator)) -> ErrorKind {
    let (emulator, directory) = (emulator(), tempfile::tempdir().unwrap());
    life(async {
        let mut writer = builder(&emulator, directory.path()).open().await.unwrap();
        writer.write_all(b"first\n").await.unwrap();
        writer.sync().await.unwrap();
    });
    leave(&emulator, directory.path(), "second\n");
    change(&emulator);
    let before = content(&emulator, OBJECT);
    let kind = life(async {
        let opened = builder(&emulator, directory.path()).open().await;
        let error = match opened {
            Err(error) => error,
            Ok(mut writer) => writer.shutdown().await.unwrap_err(),
        };
        error.kind().clone()
    });
    assert_eq!(content(&emulator, OBJECT), before);
    let kept = life(async { spool(directory.path()).contents().await.unwrap() });
    assert!(kept.bytes >= 7, "{kept:?}");
    kind
}

#[test]
fn an_object_that_is_gone_is_a_conflict_and_the_spool_stays() {
    let kind = changed(|emulator| emulator.delete(BUCKET, OBJECT).unwrap());
    assert!(matches!(kind, ErrorKind::Conflict(_)), "{kind}");
}

#[test]
fn an_object_that_is_sealed_is_told_and_the_spool_stays() {
    let kind = changed(|emulator| emulator.seal(BUCKET, OBJECT).unwrap());
    assert!(matches!(kind, ErrorKind::Sealed), "{kind}");
}

#[test]
fn an_object_that_was_replaced_is_a_conflict_and_the_spool_stays() {
    let kind = changed(|emulator| {
        emulator.delete(BUCKET, OBJECT).unwrap();
        emulator
            .append_foreign(BUCKET, OBJECT, "others wrote\n")
            .unwrap();
    });
    assert!(
        matches!(
            kind,
            ErrorKind::Conflict(_) | ErrorKind::ReplayDiffers { .. }
        ),
        "{kind}"
    );
}

#[test]
fn an_object_that_somebody_went_on_with_is_told_and_the_spool_stays() {
    let kind = changed(|emulator| {
        emulator
            .append_foreign(BUCKET, OBJECT, "foreign\n")
            .unwrap();
    });
    assert!(matches!(
        kind,
        ErrorKind::ReplayTooShort { .. } | ErrorKind::ReplayDiffers { .. }
    ));
}

/// Delivers what is left to another object, after the first was changed so, and is killed so often in
/// the midst of that.
fn redirected(change: impl FnOnce(&Emulator), kills: u32) {
    let (emulator, directory) = (emulator(), tempfile::tempdir().unwrap());
    let text = lines(0..20_000);
    life(async {
        let mut writer = builder(&emulator, directory.path()).open().await.unwrap();
        writer.write_all(b"first\n").await.unwrap();
        writer.shutdown().await.unwrap();
    });
    leave(&emulator, directory.path(), &text);
    change(&emulator);
    let before = content(&emulator, OBJECT);
    let object: oss_append::ObjectPath = format!("oss://{BUCKET}/other").parse().unwrap();
    let other = || {
        OssAppendWriter::builder(client(&emulator), object.clone())
            .batch_size(4 * 1024)
            .max_append_size(16 * 1024)
            .buffer_capacity(64 * 1024)
            .spool(spool(directory.path()).redirected())
    };
    emulator
        .append_foreign(BUCKET, "other", "was there\n")
        .unwrap();
    for kill in 1..=kills {
        life(async {
            let _writer = other().open().await.unwrap();
            let some = u64::from(kill) * text.len() as u64 / u64::from(kills + 1);
            while emulator.length(BUCKET, "other").unwrap() < some {
                tokio::task::yield_now().await;
            }
        });
    }
    life(async {
        let mut writer = other().open().await.unwrap();
        writer.write_all(b"last\n").await.unwrap();
        writer.shutdown().await.unwrap();
    });
    let all = ["was there\n", &text, "last\n"].concat();
    assert!(content(&emulator, "other") == all.as_bytes());
    assert_eq!(content(&emulator, OBJECT), before);
    assert_eq!(segments(directory.path()), Vec::<String>::new());
}

#[test]
fn what_is_for_an_object_that_is_gone_can_go_in_another() {
    redirected(|emulator| emulator.delete(BUCKET, OBJECT).unwrap(), 0);
}

#[test]
fn what_is_for_a_sealed_object_can_go_in_another_by_several_processes() {
    redirected(|emulator| emulator.seal(BUCKET, OBJECT).unwrap(), 3);
}

#[test]
fn what_is_for_an_object_of_others_can_go_in_another() {
    let foreign = |emulator: &Emulator| {
        emulator
            .append_foreign(BUCKET, OBJECT, "foreign\n")
            .unwrap();
    };
    redirected(foreign, 1);
}

#[test]
fn a_spool_is_redirected_only_to_what_it_suits() {
    let (emulator, directory) = (emulator(), tempfile::tempdir().unwrap());
    leave(&emulator, directory.path(), "kept\n");
    life(async {
        let object = format!("oss://{BUCKET}/other").parse().unwrap();
        let other = OssAppendWriter::builder(client(&emulator), object)
            .compression(Compression::gzip())
            .spool(spool(directory.path()).redirected());
        let error = other.open().await.unwrap_err();
        assert!(error.to_string().contains("same compression"), "{error}");
        let sequence = RollingWriter::builder(client(&emulator), BUCKET, "log-{seq}")
            .spool(spool(directory.path()).redirected());
        assert!(sequence.open().await.is_err());
        let mut same = builder(&emulator, directory.path()).open().await.unwrap();
        same.shutdown().await.unwrap();
    });
    assert_eq!(content(&emulator, OBJECT), b"kept\n");
}

#[test]
fn what_does_not_go_with_a_spool_is_refused() {
    let (emulator, directory) = (emulator(), tempfile::tempdir().unwrap());
    let object: oss_append::ObjectPath = format!("oss://{BUCKET}/{OBJECT}").parse().unwrap();
    life(async {
        let new = || OssAppendWriter::builder(client(&emulator), object.clone());
        let kept = || Spool::new(directory.path());
        for builder in [
            new().shared(true).spool(kept()),
            new()
                .replay(Checkpoint::start(object.clone()))
                .spool(kept()),
            new().spool(kept().max_size(100)),
            new().spool(kept().segment_size(0)),
        ] {
            let error = builder.open().await.unwrap_err();
            assert!(
                matches!(error.kind(), ErrorKind::InvalidInput { .. }),
                "{error}"
            );
        }
        let shared = RollingWriter::builder(client(&emulator), BUCKET, "log")
            .writer(|writer| writer.shared(true))
            .spool(kept());
        assert!(matches!(
            shared.start().unwrap_err().kind(),
            ErrorKind::InvalidInput { .. }
        ));
    });
}

#[test]
fn what_is_not_on_disk_is_given_back_and_what_is_stays() {
    let (emulator, directory) = (emulator(), tempfile::tempdir().unwrap());
    let text = lines(0..1_000);
    life(async {
        let mut writer = builder(&emulator, directory.path()).open().await.unwrap();
        writer.write_all(b"first\n").await.unwrap();
        writer.sync().await.unwrap();
        emulator.delete(BUCKET, OBJECT).unwrap();
        writer.write_all(text.as_bytes()).await.unwrap();
        writer.spooled().await.unwrap();
        writer.sync().await.unwrap_err();
        assert_eq!(in_spool(&writer.stats()), text.len() as u64);
        let unsent = writer.into_unsent().unwrap();
        assert_eq!(unsent.spooled, 6..6 + text.len() as u64);
        assert!(!unsent.is_empty());
        assert_eq!(unsent.len(), 0);
    });
}

/// On a disk of its own, if the test may mount one.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_makes_writes_wait_and_can_be_emptied() {
    use std::process::Command;

    let (emulator, directory) = (emulator(), tempfile::tempdir().unwrap());
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"])
        .arg(directory.path())
        .status();
    if !mounted.is_ok_and(|status| status.success()) {
        eprintln!("not tried: no file system can be mounted here");
        return;
    }
    let path = directory.path().join("spool");
    let text = lines(0..40_000);
    life(async {
        let mut writer = builder(&emulator, directory.path())
            .spool(spool(&path))
            .open()
            .await
            .unwrap();
        emulator.pause().await;
        let watcher = writer.clone();
        let problem = tokio::select! {
            problem = problem(&watcher) => problem,
            _ = writer.write_all(text.as_bytes()) => panic!("it does not fit"),
        };
        assert!(problem.to_string().contains("space"), "{problem}");
    });
    // The next process finds the disk full, too.
    fs::write(directory.path().join("rest"), vec![0; 1 << 20]).unwrap_err();
    let found = life(async {
        emulator.resume().await.unwrap();
        let mut writer = builder(&emulator, directory.path())
            .spool(spool(&path))
            .open()
            .await
            .unwrap();
        writer.shutdown().await.unwrap();
        writer.position()
    });
    let stored = content(&emulator, OBJECT);
    assert!(stored.len() as u64 == found && text.as_bytes().starts_with(&stored));
    assert!(found > 500_000, "{found}");
    assert_eq!(segments(&path), Vec::<String>::new());
    let unmounted = Command::new("umount")
        .arg(directory.path())
        .status()
        .unwrap();
    assert!(unmounted.success());
}
