//! `follow` that is killed at any moment while its file grows and is rotated: in the end the objects
//! hold what was written, once and in order.
//!
//! `OSS_APPEND_KILLS` sets how many kills there are of each kind of rotation, `OSS_APPEND_SEED` what is
//! drawn. Which moments the kills hit depends on the machine as well.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fastrand::Rng;

use super::*;

const SEQUENCE: &str = "oss://bucket/{file}-{seq}";

#[derive(Clone, Copy, Debug)]
enum Kind {
    Create,
    NoCreate,
    CopyTruncate,
    Hole,
    Gzip,
    Dates,
    RenameBack,
    Link,
}

/// A writer, and who rotates its file.
struct Writer {
    rng: Rng,
    kind: Kind,
    directory: PathBuf,
    file: File,
    written: Vec<u8>,
    lines: u32,
    rotations: u32,
}

impl Writer {
    fn new(kind: Kind, directory: &Path, rng: Rng) -> Self {
        let first = match kind {
            Kind::Link => {
                std::os::unix::fs::symlink("app-00000000.log", directory.join("app.log")).unwrap();
                directory.join("app-00000000.log")
            }
            _ => directory.join("app.log"),
        };
        Self {
            rng,
            kind,
            directory: directory.into(),
            file: open(&first, !matches!(kind, Kind::Hole)),
            written: Vec::new(),
            lines: 0,
            rotations: 0,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Writes some lines, perhaps without the end of the last.
    fn write(&mut self) {
        let mut bytes = Vec::new();
        for _ in 0..self.rng.u32(1..5) {
            self.lines += 1;
            let rest = "x".repeat(self.rng.usize(0..200));
            bytes.extend(format!("{:06} {rest}\n", self.lines).bytes());
        }
        let half = self.rng.usize(..bytes.len());
        for part in [&bytes[..half], &bytes[half..]] {
            self.file.write_all(part).unwrap();
        }
        self.written.extend(bytes);
    }

    /// Renames the numbered files, the highest first.
    fn shift(&self) {
        let rotations = self.rotations;
        for number in (1..rotations).rev() {
            for end in ["", ".gz"] {
                let from = self.path(&format!("app.log.{number}{end}"));
                let to = self.path(&format!("app.log.{}{end}", number + 1));
                if from.exists() {
                    fs::rename(from, to).unwrap();
                }
            }
        }
    }

    fn rotate(&mut self) {
        self.rotations += 1;
        let (path, first) = (self.path("app.log"), self.path("app.log.1"));
        let dated = self.path(&format!("app.log.{:08}", self.rotations));
        match self.kind {
            Kind::Create | Kind::NoCreate | Kind::Gzip => {
                self.shift();
                fs::rename(&path, &first).unwrap();
                if !matches!(self.kind, Kind::NoCreate) {
                    open(&path, true);
                }
                // It has not noticed yet.
                self.write();
                self.file = open(&path, true);
                if matches!(self.kind, Kind::Gzip) {
                    compress(&first);
                }
            }
            Kind::CopyTruncate | Kind::Hole => {
                self.shift();
                fs::copy(&path, &first).unwrap();
                self.file.set_len(0).unwrap();
            }
            Kind::Dates => {
                fs::rename(&path, &dated).unwrap();
                self.write();
                self.file = open(&path, true);
            }
            Kind::RenameBack => {
                fs::rename(&path, &dated).unwrap();
                self.write();
                match self.rng.bool() {
                    true => fs::rename(&dated, &path).unwrap(),
                    false => self.file = open(&path, true),
                }
            }
            Kind::Link => {
                let name = format!("app-{:08}.log", self.rotations);
                open(&self.path(&name), true);
                std::os::unix::fs::symlink(&name, self.path("new")).unwrap();
                fs::rename(self.path("new"), &path).unwrap();
                self.write();
                self.file = open(&self.path(&name), true);
            }
        }
    }
}

fn open(path: &Path, append: bool) -> File {
    let mut options = File::options();
    let options = options.create(true).write(true).append(append);
    options.open(path).unwrap()
}

/// As `gzip` does: the compressed file is complete before the other is removed.
fn compress(path: &Path) {
    let partial = path.with_extension("partial");
    let mut packed =
        flate2::write::GzEncoder::new(File::create(&partial).unwrap(), Default::default());
    packed.write_all(&fs::read(path).unwrap()).unwrap();
    packed.finish().unwrap();
    fs::rename(partial, format!("{}.gz", path.display())).unwrap();
    fs::remove_file(path).unwrap();
}

fn asked(name: &str, default: u64) -> u64 {
    let asked = std::env::var(name);
    asked.map_or(default, |asked| asked.parse().expect("a number"))
}

fn follow(emulator: &Emulator, directory: &Path, options: &[&str]) -> Command {
    let path = directory.join("app.log");
    let path = path.to_str().unwrap();
    let quick = ["follow", "--linger", "1ms", "--drain", "20ms"];
    command(emulator, [&quick, options, &[path, SEQUENCE]].concat())
}

async fn kill(kind: Kind) {
    let mut rng = Rng::with_seed(asked("OSS_APPEND_SEED", 1) + kind as u64);
    let emulator = emulator().await;
    let directory = tempfile::tempdir().unwrap();
    let mut writer = Writer::new(kind, directory.path(), rng.fork());
    writer.write();
    for _ in 0..asked("OSS_APPEND_KILLS", 13) {
        let mut running = Running::start(follow(&emulator, directory.path(), &[]));
        // Else the kill hits it before it has begun.
        if rng.u8(..) < 220 {
            running.hear("following").await;
        }
        // What is written while it runs, and while it does not.
        for _ in 0..rng.u32(1..80) {
            if rng.u8(..) < 12 {
                writer.rotate();
            }
            writer.write();
            tokio::time::sleep(Duration::from_millis(rng.u64(1..6))).await;
        }
        assert_eq!(
            running.child.try_wait().unwrap(),
            None,
            "{kind:?} ended by itself"
        );
        running.child.kill().await.unwrap();
        for _ in 0..rng.u32(0..4) {
            writer.write();
            if rng.u8(..) < 80 {
                writer.rotate();
            }
        }
    }
    run(follow(&emulator, directory.path(), &["--once"]), "")
        .await
        .expect(0);
    let object = |number| emulator.object("bucket", &format!("app.log-{number}"));
    let objects = (1..).map_while(object).map(|object| object.bytes.to_vec());
    let found = objects.collect::<Vec<_>>().concat();
    let differs = found.iter().zip(&writer.written).position(|(a, b)| a != b);
    assert!(
        found == writer.written,
        "{kind:?}: {} bytes of {}, the first that differs is {differs:?}",
        found.len(),
        writer.written.len()
    );
}

macro_rules! kinds {
    ($($name:ident: $kind:ident,)*) => {
        $(#[tokio::test]
        async fn $name() {
            kill(Kind::$kind).await;
        })*
    };
}

kinds! {
    renamed_and_created: Create,
    renamed_and_not_created: NoCreate,
    copied_and_truncated: CopyTruncate,
    copied_and_truncated_under_a_writer_that_does_not_append: Hole,
    compressed_at_once: Gzip,
    renamed_to_dates: Dates,
    renamed_back: RenameBack,
    a_link_that_is_switched: Link,
}
