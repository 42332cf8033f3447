//! Drawn schedules of writers, rotators and kills over a file system and a bucket in memory.
//!
//! Between any two calls that the follower makes the world may go on by a step: a writer writes, a
//! rotation gets one step further. The follower is killed before, while or after an append is applied,
//! and an append that was under way may land later. In the end each object holds exactly the bytes of
//! one file, and the objects stand in the order of the files.
//!
//! `OSS_APPEND_SEED` sets the first seed, `OSS_APPEND_SCHEDULES` how many are drawn for each kind of
//! rotation.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write as _};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use fastrand::Rng;

use super::files::{Files, Identity, State};
use super::order;
use super::place::Objects;
use super::reading::Head;
use super::series::{Rules, Series, Step};

use crate::error::Error;
use crate::values::crc64::checksum;

const PATH: &str = "/log/app.log";

/// How files are rotated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Create,
    NoCreate,
    CopyTruncate,
    /// By a writer that does not append.
    CopyTruncateWithHole,
    Gzip,
    Symlink,
    RenameBack,
    Dates,
}

const KINDS: [Kind; 8] = [
    Kind::Create,
    Kind::NoCreate,
    Kind::CopyTruncate,
    Kind::CopyTruncateWithHole,
    Kind::Gzip,
    Kind::Symlink,
    Kind::RenameBack,
    Kind::Dates,
];

#[derive(Default)]
struct Inode {
    bytes: Vec<u8>,
    modified: u64,
    opens: usize,
    /// Which of the written files its bytes are of, where they are written by the writer.
    file: Option<usize>,
}

struct World {
    rng: Rng,
    kind: Kind,
    clock: u64,
    inodes: BTreeMap<u64, Inode>,
    names: BTreeMap<PathBuf, u64>,
    /// The link, if the path is one.
    link: Option<PathBuf>,
    /// What was written, file by file, but for what a rotation itself has lost.
    written: Vec<Vec<u8>>,
    /// What was written to a file after it was copied and before it was truncated.
    lost: HashMap<usize, Vec<u8>>,
    lines: u64,
    /// The writer's open file and its offset.
    writer: Option<(u64, usize)>,
    /// The steps of the rotation under way.
    stages: Vec<Stage>,
    rotations: u64,
    /// No more than so many, until the next look: else listing the files would never come to an end.
    most_rotations: u64,
    is_quiet: bool,
}

/// A step of a rotation; the last in the list is the next.
#[derive(Clone, Debug)]
enum Stage {
    Shift,
    Rename(PathBuf, PathBuf),
    Create(PathBuf),
    Reopen(PathBuf),
    Copy(PathBuf, PathBuf),
    CopyRest(PathBuf, PathBuf),
    Truncate(PathBuf),
    Remove(PathBuf),
    Compress(PathBuf),
    Link(PathBuf),
    Wait,
}

impl World {
    fn new(seed: u64, kind: Kind) -> Self {
        let mut world = Self {
            rng: Rng::with_seed(seed),
            kind,
            clock: 1,
            inodes: BTreeMap::new(),
            names: BTreeMap::new(),
            link: None,
            written: Vec::new(),
            lost: HashMap::new(),
            lines: 0,
            writer: None,
            stages: Vec::new(),
            rotations: 0,
            most_rotations: 0,
            is_quiet: false,
        };
        let first = match kind {
            Kind::Symlink => {
                let first = PathBuf::from("/log/app-00000000.log");
                world.link = Some(first.clone());
                first
            }
            _ => PATH.into(),
        };
        world.reopen(&first);
        world
    }

    fn inode(&mut self) -> u64 {
        // The lowest number that is free, as it comes back on ext4.
        (1..)
            .find(|number| !self.inodes.contains_key(number))
            .unwrap()
    }

    fn forget(&mut self) {
        let named: Vec<u64> = self.names.values().copied().collect();
        let writer = self.writer.map(|(inode, _)| inode);
        self.inodes.retain(|number, inode| {
            inode.opens > 0 || named.contains(number) || writer == Some(*number)
        });
    }

    fn new_file(&mut self) -> usize {
        self.written.push(Vec::new());
        self.written.len() - 1
    }

    fn create(&mut self, path: &Path) -> u64 {
        if let Some(inode) = self.names.get(path) {
            return *inode;
        }
        let number = self.inode();
        let file = self.new_file();
        self.clock += 1;
        self.inodes.insert(
            number,
            Inode {
                modified: self.clock,
                file: Some(file),
                ..Inode::default()
            },
        );
        self.names.insert(path.into(), number);
        number
    }

    fn reopen(&mut self, path: &Path) {
        let inode = self.create(path);
        let end = self.inodes[&inode].bytes.len();
        self.writer = Some((inode, end));
        self.forget();
    }

    /// The writer writes some bytes: a line, several, or a part of one.
    fn write(&mut self) {
        let Some((number, offset)) = &mut self.writer else {
            return;
        };
        let mut bytes = Vec::new();
        for _ in 0..self.rng.usize(1..4) {
            self.lines += 1;
            let rest = "x".repeat(self.rng.usize(0..20));
            bytes.extend(format!("{:06} {rest}\n", self.lines).bytes());
        }
        self.clock += 1;
        let inode = self.inodes.get_mut(number).unwrap();
        let at = match self.kind {
            Kind::CopyTruncateWithHole => *offset,
            _ => inode.bytes.len(),
        };
        if inode.bytes.len() < at {
            inode.bytes.resize(at, 0);
        }
        inode.bytes.extend(&bytes);
        inode.modified = self.clock;
        *offset = inode.bytes.len();
        let file = inode.file.unwrap();
        self.written[file].extend(&bytes);
    }

    /// Something happens, or not.
    fn go_on(&mut self) {
        match self.rng.u8(..) {
            0..60 if !self.is_quiet => self.write(),
            60..110 => {
                if let Some(step) = self.stages.pop() {
                    self.step(step);
                }
            }
            110..116
                if !self.is_quiet
                    && self.stages.is_empty()
                    && self.rotations < self.most_rotations =>
            {
                self.rotate();
            }
            _ => {}
        }
    }

    fn rotate(&mut self) {
        self.rotations += 1;
        let n = self.rotations;
        let path = PathBuf::from(PATH);
        let rotated = PathBuf::from("/log/app.log.1");
        let dated = PathBuf::from(format!("/log/app.log.{:08}", n));
        let mut steps = match self.kind {
            Kind::Create => vec![
                Stage::Shift,
                Stage::Rename(path.clone(), rotated),
                Stage::Create(path.clone()),
                Stage::Wait,
                Stage::Reopen(path),
            ],
            Kind::Dates => vec![
                Stage::Rename(path.clone(), dated),
                Stage::Create(path.clone()),
                Stage::Reopen(path),
            ],
            Kind::NoCreate => vec![
                Stage::Shift,
                Stage::Rename(path.clone(), rotated),
                Stage::Wait,
                Stage::Reopen(path),
            ],
            Kind::CopyTruncate | Kind::CopyTruncateWithHole => vec![
                Stage::Shift,
                Stage::Copy(path.clone(), rotated),
                Stage::Truncate(path),
            ],
            Kind::Gzip => vec![
                Stage::Shift,
                Stage::Rename(path.clone(), rotated.clone()),
                Stage::Create(path.clone()),
                Stage::Reopen(path),
                Stage::Compress(rotated),
            ],
            Kind::Symlink => {
                let next = PathBuf::from(format!("/log/app-{n:08}.log"));
                match self.rng.bool() {
                    true => vec![Stage::Reopen(next.clone()), Stage::Link(next)],
                    false => vec![
                        Stage::Create(next.clone()),
                        Stage::Link(next.clone()),
                        Stage::Wait,
                        Stage::Reopen(next),
                    ],
                }
            }
            Kind::RenameBack if self.rng.bool() => {
                vec![
                    Stage::Rename(path.clone(), dated.clone()),
                    Stage::Wait,
                    Stage::Rename(dated, path),
                ]
            }
            Kind::RenameBack => vec![
                Stage::Rename(path.clone(), dated),
                Stage::Wait,
                Stage::Reopen(path),
            ],
        };
        steps.reverse();
        self.stages = steps;
    }

    fn step(&mut self, step: Stage) {
        match step {
            Stage::Wait => {}
            Stage::Shift => self.shift(),
            Stage::Rename(from, to) => {
                let inode = self.names.remove(&from).unwrap();
                assert!(self.names.insert(to, inode).is_none());
            }
            Stage::Create(path) => drop(self.create(&path)),
            Stage::Reopen(path) => self.reopen(&path),
            Stage::Link(to) => self.link = Some(to),
            Stage::Copy(from, to) => {
                let bytes = &self.inodes[&self.names[&from]].bytes;
                let half = bytes[..bytes.len() / 2].to_vec();
                assert!(self.put(&to, half));
                self.stages.push(Stage::CopyRest(from, to));
            }
            Stage::CopyRest(from, to) => {
                let bytes = self.inodes[&self.names[&from]].bytes.clone();
                self.clock += 1;
                let (clock, copy) = (self.clock, self.names[&to]);
                let copy = self.inodes.get_mut(&copy).unwrap();
                (copy.bytes, copy.modified) = (bytes, clock);
            }
            Stage::Truncate(path) => {
                let copy = &self.inodes[&self.names[Path::new("/log/app.log.1")]];
                let copied = copy.bytes.len();
                let zeros = copy.bytes.iter().take_while(|byte| **byte == 0).count();
                let new = self.new_file();
                self.clock += 1;
                let clock = self.clock;
                let inode = self.inodes.get_mut(&self.names[&path]).unwrap();
                inode.bytes.clear();
                inode.modified = clock;
                let old = inode.file.replace(new).unwrap();
                // What was not copied is lost by the rotation, unless the follower was quicker.
                let kept = copied - zeros;
                let lost = self.written[old].split_off(kept);
                self.lost.insert(old, lost);
            }
            Stage::Compress(path) => {
                let bytes = self.inodes[&self.names[&path]].bytes.clone();
                let mut packed = flate2::write::GzEncoder::new(Vec::new(), Default::default());
                packed.write_all(&bytes).unwrap();
                let to = PathBuf::from(format!("{}.gz", path.display()));
                assert!(self.put(&to, packed.finish().unwrap()));
                self.stages.push(Stage::Remove(path));
            }
            Stage::Remove(path) => {
                self.names.remove(&path).unwrap();
                self.forget();
            }
        }
    }

    /// Renames the highest number first, a step each.
    fn shift(&mut self) {
        let mut numbered: Vec<(u64, PathBuf, &str)> = Vec::new();
        for name in self.names.keys() {
            let text = name.to_str().unwrap();
            let (plain, end) = match text.strip_suffix(".gz") {
                Some(plain) => (plain, ".gz"),
                None => (text, ""),
            };
            let number = plain.rsplit('.').next().unwrap().parse();
            if let Ok(number) = number {
                numbered.push((number, name.clone(), end));
            }
        }
        numbered.sort();
        for (number, from, end) in numbered {
            let to = format!("/log/app.log.{}{end}", number + 1);
            self.stages.push(Stage::Rename(from, to.into()));
        }
    }

    fn put(&mut self, path: &Path, bytes: Vec<u8>) -> bool {
        let number = self.inode();
        self.clock += 1;
        let inode = Inode {
            bytes,
            modified: self.clock,
            ..Inode::default()
        };
        self.inodes.insert(number, inode);
        self.names.insert(path.into(), number).is_none()
    }

    fn resolve(&self, path: &Path) -> io::Result<u64> {
        let path = match &self.link {
            Some(target) if path == Path::new(PATH) => target,
            _ => path,
        };
        let found = self.names.get(path).copied();
        found.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn state(&self, number: u64) -> State {
        let inode = &self.inodes[&number];
        State {
            identity: Identity {
                device: 1,
                inode: number,
            },
            len: inode.bytes.len() as u64,
            modified: SystemTime::UNIX_EPOCH + Duration::from_secs(inode.modified),
            is_file: true,
        }
    }
}

struct Disk(Arc<Mutex<World>>);

struct Opened(Arc<Mutex<World>>, u64);

impl Drop for Opened {
    fn drop(&mut self) {
        let mut world = self.0.lock().unwrap();
        world.inodes.get_mut(&self.1).unwrap().opens -= 1;
        world.forget();
    }
}

impl Disk {
    /// Before each call the world goes on.
    fn world(&self) -> MutexGuard<'_, World> {
        let mut world = self.0.lock().unwrap();
        while world.rng.u8(..) < 40 {
            world.go_on();
        }
        world
    }
}

impl Files for Disk {
    type File = Opened;

    fn open(&self, path: &Path) -> io::Result<Opened> {
        let mut world = self.world();
        let number = world.resolve(path)?;
        world.inodes.get_mut(&number).unwrap().opens += 1;
        Ok(Opened(Arc::clone(&self.0), number))
    }

    fn state(&self, file: &Opened) -> io::Result<State> {
        Ok(self.world().state(file.1))
    }

    fn look(&self, path: &Path) -> io::Result<State> {
        let world = self.world();
        let number = world.resolve(path)?;
        Ok(world.state(number))
    }

    fn target(&self, path: &Path) -> PathBuf {
        self.world().link.clone().unwrap_or_else(|| path.into())
    }

    fn read_at(&self, file: &Opened, into: &mut [u8], at: u64) -> io::Result<usize> {
        let world = self.world();
        let bytes = &world.inodes[&file.1].bytes;
        let rest = bytes.get(at as usize..).unwrap_or_default();
        let read = rest.len().min(into.len());
        into[..read].copy_from_slice(&rest[..read]);
        Ok(read)
    }

    fn rotated(&self, path: &Path) -> io::Result<Vec<PathBuf>> {
        let world = self.world();
        let name = path.file_name().unwrap().to_str().unwrap();
        let is_rotated = |other: &&PathBuf| {
            let other = other.file_name().unwrap().to_str().unwrap();
            order::is_rotated(name, other) || (world.link.is_some() && other.starts_with("app-"))
        };
        Ok(world.names.keys().filter(is_rotated).cloned().collect())
    }
}

/// The objects, with one append that may land later.
#[derive(Clone, Default)]
struct Bucket {
    objects: BTreeMap<u64, Vec<u8>>,
    late: Option<(Head, Vec<u8>)>,
}

impl Bucket {
    fn head(&self, number: u64) -> Option<Head> {
        let bytes = self.objects.get(&number)?;
        Some(Head {
            number,
            length: bytes.len() as u64,
            crc64: checksum(bytes),
        })
    }

    /// As a replay does: what is there already is compared, what is missing is appended.
    fn append(&mut self, head: Head, bytes: &[u8]) {
        let object = self.objects.entry(head.number).or_default();
        let at = head.length as usize;
        assert!(object.len() >= at, "a gap before {head:?}");
        assert_eq!(checksum(&object[..at]), head.crc64, "{head:?}");
        let there = (object.len() - at).min(bytes.len());
        assert_eq!(object[at..at + there], bytes[..there], "{head:?}");
        if at + there == object.len() {
            object.extend(&bytes[there..]);
        }
    }

    fn land(&mut self) {
        if let Some((head, bytes)) = self.late.take() {
            let object = self.objects.entry(head.number).or_default();
            if object.len() as u64 == head.length {
                object.extend(bytes);
            }
        }
    }
}

impl Objects for Bucket {
    fn newest(&mut self) -> Result<Option<Head>, Error> {
        let newest = self.objects.last_key_value();
        Ok(newest.and_then(|(number, _)| self.head(*number)))
    }

    fn numbered(&mut self, number: u64) -> Result<Option<Head>, Error> {
        Ok(self.head(number))
    }

    fn read(&mut self, number: u64, range: Range<u64>) -> Result<Vec<u8>, Error> {
        let object = &self.objects[&number];
        let end = object.len().min(range.end as usize);
        Ok(object
            .get(range.start as usize..end)
            .unwrap_or_default()
            .to_vec())
    }
}

/// How a schedule ended.
#[derive(Default, Debug)]
struct Outcome {
    kills: u32,
    rotations: u64,
    stopped: Option<String>,
}

fn rules(kind: Kind, numbered: bool, rng: &mut Rng) -> Rules {
    // A copy that is shorter than what was sent is not found where that takes several objects.
    let is_copied = matches!(kind, Kind::CopyTruncate | Kind::CopyTruncateWithHole);
    Rules {
        numbered,
        most: rng.usize(30..300),
        max_object_size: match numbered && !is_copied && rng.u8(..) < 60 {
            true => 600,
            false => 1 << 40,
        },
        drain: Duration::from_secs(3),
        once: false,
        skip_rotated: false,
        allow_gap: false,
    }
}

/// Follows with kills until the writer has become quiet and all is sent.
fn follow(seed: u64, kind: Kind, numbered: bool) -> (Outcome, Arc<Mutex<World>>, Bucket) {
    let world = Arc::new(Mutex::new(World::new(seed, kind)));
    let mut rng = Rng::with_seed(seed ^ 0xabcd);
    let rules = rules(kind, numbered, &mut rng);
    let mut bucket = Bucket::default();
    let mut outcome = Outcome::default();
    let new = || Series::new(Disk(Arc::clone(&world)), PATH.into(), rules.clone());
    let (mut series, mut now, mut idle, mut stopped) = (new(), Duration::ZERO, 0, 0);
    for look in 0.. {
        assert!(look < 5000, "it does not end: {:?}", series.notices());
        if look == 150 {
            world.lock().unwrap().is_quiet = true;
        }
        // Writers and rotations do not wait for us.
        {
            let mut world = world.lock().unwrap();
            world.most_rotations = world.rotations + 2;
        }
        for _ in 0..rng.usize(0..6) {
            world.lock().unwrap().go_on();
        }
        now += Duration::from_secs(1);
        let kill = rng.u8(..) < 20 && look < 200;
        let step = match series.is_placed() {
            true => series.look(now, &mut bucket),
            false => series.place(&mut bucket).map(|()| Step::Idle),
        };
        match step {
            Err(stop) if stop.may_pass() && stopped < 200 => {
                stopped += 1;
                idle = 0;
                continue;
            }
            Err(stop) => {
                outcome.stopped = Some(format!("{stop}, {:?}", series.notices()));
                break;
            }
            Ok(Step::Append { head, bytes }) => {
                idle = 0;
                match kill.then(|| rng.u8(0..3)) {
                    None => {
                        bucket.append(head, &bytes);
                        series.sent();
                    }
                    Some(0) => {}
                    Some(1) => bucket.append(head, &bytes),
                    Some(_) => bucket.late = Some((head, bytes.to_vec())),
                }
            }
            Ok(_) if series.is_placed() => idle += 1,
            Ok(_) => {}
        }
        stopped = 0;
        if rng.u8(..) < 60 {
            bucket.land();
        }
        if kill {
            outcome.kills += 1;
            series = new();
            for _ in 0..rng.usize(0..60) {
                world.lock().unwrap().go_on();
            }
            if rng.bool() {
                bucket.land();
            }
            idle = 0;
        }
        let is_over = world.lock().unwrap().stages.is_empty();
        if look > 200 && idle > 10 && is_over {
            break;
        }
    }
    outcome.rotations = world.lock().unwrap().rotations;
    drop(series);
    (outcome, world, bucket)
}

/// Whether these bytes are all of the file, with perhaps some of what its rotation has lost.
fn is_file(world: &World, file: usize, bytes: &[u8]) -> bool {
    let lost = world.lost.get(&file).map_or(&[][..], |lost| lost);
    let rest = bytes.strip_prefix(&world.written[file][..]);
    rest.is_some_and(|rest| lost.starts_with(rest))
}

/// Each file is in an object, or in several that follow each other where it is long.
fn check_numbered(world: &World, bucket: &Bucket, what: &str) {
    let mut objects = bucket.objects.iter();
    for file in 0..world.written.len() {
        if world.written[file].is_empty() && !world.lost.contains_key(&file) {
            continue;
        }
        let len = world.written[file].len();
        let mut bytes = Vec::new();
        if len == 0 {
            // All of it was lost by the rotation, or some of it was sent before.
            let next = objects.clone().next().map(|(_, next)| next);
            if !next.is_some_and(|next| is_file(world, file, next)) {
                continue;
            }
        }
        while bytes.len() < len || bytes.is_empty() {
            let Some((_, next)) = objects.next() else {
                panic!(
                    "{what}: file {file} is not in the objects\nobjects {}\nwritten {}",
                    ends(bucket.objects.values()),
                    ends(world.written.iter())
                )
            };
            bytes.extend(next);
        }
        // Where what the rotation has lost was sent before, it may have an object of its own.
        while !is_file(world, file, &[]) && bytes.len() > len {
            let more = objects
                .clone()
                .next()
                .map(|(_, next)| [&bytes[..], next].concat());
            match more.filter(|more| is_file(world, file, more)) {
                Some(more) => {
                    bytes = more;
                    objects.next();
                }
                None => break,
            }
        }
        assert!(
            is_file(world, file, &bytes),
            "{what}: file {file}\nobjects {}\nwritten {}\nlost {:?}",
            ends(bucket.objects.values()),
            ends(world.written.iter()),
            world
                .lost
                .iter()
                .map(|(file, lost)| format!("{file} {}", ends([lost].into_iter())))
                .collect::<Vec<_>>(),
        );
    }
    assert_eq!(objects.next(), None, "{what}: more than was written");
}

/// The first and the last line of each.
fn ends<'a>(all: impl Iterator<Item = &'a Vec<u8>>) -> String {
    let number = |line: &[u8]| {
        String::from_utf8_lossy(line)
            .chars()
            .take(6)
            .collect::<String>()
    };
    let ends = all.map(|bytes| {
        let mut lines = bytes.split_inclusive(|byte| *byte == b'\n');
        let first = lines.next().map(number).unwrap_or_default();
        format!(
            "{first}-{}",
            lines.next_back().map(number).unwrap_or_default()
        )
    });
    ends.collect::<Vec<_>>().join(" ")
}

impl std::fmt::Debug for Bucket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let objects = self.objects.iter();
        f.debug_map()
            .entries(objects.map(|(number, bytes)| (number, String::from_utf8_lossy(bytes))))
            .finish()
    }
}

fn asked(name: &str, default: u64) -> u64 {
    let asked = std::env::var(name);
    asked.map_or(default, |asked| asked.parse().expect("a number"))
}

#[test]
fn each_file_is_in_an_object_of_its_own_whatever_is_killed_and_rotated() {
    let first = asked("OSS_APPEND_SEED", 0);
    let (mut kills, mut rotations) = (0, 0);
    for seed in first..first + asked("OSS_APPEND_SCHEDULES", 6) {
        for kind in KINDS {
            let what = format!("seed {seed}, {kind:?}");
            let (outcome, world, bucket) = follow(seed, kind, true);
            assert_eq!(outcome.stopped, None, "{what}");
            check_numbered(&world.lock().unwrap(), &bucket, &what);
            kills += outcome.kills;
            rotations += outcome.rotations;
        }
    }
    assert!(kills > 0 && rotations > 0);
    println!("{kills} kills, {rotations} rotations");
}
