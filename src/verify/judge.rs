//! What lengths and checksums prove, without IO.

use super::read::{FileRead, Sums};
use super::{Verdict, Verified, VerifiedFile, VerifiedObject};
use crate::store::options::ObjectOptions;
use crate::values::crc64::combine;
use crate::values::format::StoredFormat;
use crate::values::info::ObjectInfo;
use crate::values::path::ObjectPath;

/// An object to be compared with.
#[derive(Debug)]
pub(super) struct Object {
    shown: VerifiedObject,
    /// It says that it is compressed.
    compressed: bool,
}

impl Object {
    pub(super) fn new(object: ObjectPath, found: Option<ObjectInfo>) -> Self {
        Self {
            compressed: found.as_ref().is_some_and(is_compressed),
            shown: VerifiedObject {
                object,
                length: found.as_ref().map(|found| found.length),
                crc64: found.as_ref().and_then(|found| found.crc64),
            },
        }
    }

    fn length(&self) -> u64 {
        self.shown.length.unwrap_or_default()
    }
}

fn is_compressed(found: &ObjectInfo) -> bool {
    let Some(properties) = found.properties.as_deref() else {
        return false;
    };
    let encoding = properties.content_encoding.as_deref();
    properties.metadata.contains_key(ObjectOptions::COMPRESSION)
        || encoding.and_then(StoredFormat::named).is_some()
}

/// Where an object may end in files of about so many bytes, whichever object they begin with.
pub(super) fn positions(objects: &[Object], length: u64) -> Vec<u64> {
    let mut all = vec![0];
    for first in 0..objects.len() {
        let mut end = 0_u64;
        for object in &objects[first..] {
            end = end.saturating_add(object.length());
            all.push(end);
            if end > length {
                break;
            }
        }
    }
    all.sort_unstable();
    all.dedup();
    all
}

/// How far a run of objects is proven to be what the files hold.
struct Run {
    /// Which of the objects.
    first: usize,
    end: usize,
    proven: u64,
    /// About what is behind that.
    verdict: Verdict,
}

/// Decides. Of several objects the run counts that goes farthest.
pub(super) fn judge(files: Vec<FileRead>, sums: &Sums, objects: &[Object]) -> Verified {
    let total = files.iter().map(|file| file.length).sum();
    let runs = (0..objects.len()).map(|first| run(objects, first, sums, total));
    let rank = |run: &Run| {
        (
            run.verdict == Verdict::Equal,
            run.proven,
            run.verdict == Verdict::Longer,
        )
    };
    let best = runs.reduce(|best, run| match rank(&run) > rank(&best) {
        true => run,
        false => best,
    });
    let best = best.unwrap_or(Run {
        first: 0,
        end: 0,
        proven: 0,
        verdict: Verdict::Missing,
    });
    let (mut start, mut moved) = (0, false);
    let files = files.into_iter().map(|file| {
        let (begin, end) = (start, start + file.length);
        start = end;
        // What comes behind a file that has changed is not where it was read.
        moved |= file.changed;
        let verdict = match () {
            () if file.problem.is_some() => Verdict::Unreadable,
            () if moved => Verdict::Changed,
            () if end <= best.proven && best.verdict != Verdict::Missing => Verdict::Equal,
            () => best.verdict,
        };
        moved |= file.grew;
        VerifiedFile {
            proven: match verdict {
                Verdict::Changed | Verdict::Unreadable => 0,
                _ => best.proven.clamp(begin, end) - begin,
            },
            path: file.path,
            verdict,
            length: file.length,
            grew: file.grew,
            problem: file.problem,
        }
    });
    Verified {
        files: files.collect(),
        objects: objects[best.first..best.end]
            .iter()
            .map(|object| object.shown.clone())
            .collect(),
    }
}

/// Compares the objects from `first` on with files of `total` bytes.
fn run(objects: &[Object], first: usize, sums: &Sums, total: u64) -> Run {
    let mut run = Run {
        first,
        end: first,
        proven: 0,
        verdict: Verdict::Shorter,
    };
    for object in &objects[first..] {
        if run.proven == total && run.end > first {
            break;
        }
        run.end += 1;
        let verdict = match (object.shown.length, object.shown.crc64) {
            (None, _) => Some(Verdict::Missing),
            (Some(length), crc64) => {
                let end = run.proven.saturating_add(length);
                let before = sums.get(&run.proven).copied().unwrap_or_default();
                match (sums.get(&end), crc64) {
                    _ if end > total => Some(Verdict::Longer),
                    (_, None) => Some(Verdict::NoChecksum),
                    (Some(sum), Some(crc64)) if *sum == combine(before, crc64, length) => {
                        run.proven = end;
                        None
                    }
                    _ => Some(Verdict::Differs),
                }
            }
        };
        if let Some(verdict) = verdict {
            run.verdict = match object.compressed {
                true => Verdict::Compressed,
                false => verdict,
            };
            return run;
        }
    }
    if run.proven == total {
        run.verdict = Verdict::Equal;
    } else if objects[first..run.end]
        .iter()
        .any(|object| object.compressed)
    {
        run.verdict = Verdict::Compressed;
    }
    run
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::crc64::checksum;

    fn object(content: &str) -> Object {
        let info = ObjectInfo::appendable(content.len() as u64, Some(checksum(content.as_bytes())));
        Object::new(ObjectPath::new("bucket", "key").unwrap(), Some(info))
    }

    fn missing() -> Object {
        Object::new(ObjectPath::new("bucket", "key").unwrap(), None)
    }

    fn verdicts(files: &[&str], objects: &[Object]) -> Vec<(Verdict, u64)> {
        let all = files.concat();
        let sums = positions(objects, all.len() as u64).into_iter();
        let within = sums.filter(|end| *end <= all.len() as u64);
        let sums = within.map(|end| (end, checksum(&all.as_bytes()[..end as usize])));
        let read = files.iter().map(|file| FileRead {
            path: "file".into(),
            length: file.len() as u64,
            grew: false,
            changed: false,
            problem: None,
        });
        let verified = judge(read.collect(), &sums.collect(), objects);
        let files = verified.files.iter();
        files.map(|file| (file.verdict, file.proven)).collect()
    }

    #[test]
    fn one_file_and_one_object() {
        for (content, verdict, proven) in [
            ("abcdef", Verdict::Equal, 6),
            ("abc", Verdict::Shorter, 3),
            ("", Verdict::Shorter, 0),
            ("abcdeg", Verdict::Differs, 0),
            ("abd", Verdict::Differs, 0),
            ("abcdefg", Verdict::Longer, 0),
        ] {
            let found = verdicts(&["abcdef"], &[object(content)]);
            assert_eq!(found, [(verdict, proven)], "{content}");
        }
        assert_eq!(verdicts(&["a"], &[missing()]), [(Verdict::Missing, 0)]);
        assert_eq!(verdicts(&[""], &[missing()]), [(Verdict::Missing, 0)]);
        assert_eq!(verdicts(&[""], &[object("")]), [(Verdict::Equal, 0)]);
        // Nothing of it is missing.
        assert_eq!(verdicts(&[""], &[object("a")]), [(Verdict::Equal, 0)]);
    }

    #[test]
    fn objects_are_one_after_another() {
        let objects = || [object("ab"), object("cd"), object("ef")];
        assert_eq!(verdicts(&["abcdef"], &objects()), [(Verdict::Equal, 6)]);
        assert_eq!(verdicts(&["abcdefg"], &objects()), [(Verdict::Shorter, 6)]);
        // Those that hold it are found among others.
        assert_eq!(verdicts(&["cd"], &objects()), [(Verdict::Equal, 2)]);
        assert_eq!(verdicts(&["efg"], &objects()), [(Verdict::Shorter, 2)]);
        assert_eq!(verdicts(&["cdeX"], &objects()), [(Verdict::Differs, 2)]);
        assert_eq!(verdicts(&["abc"], &objects()), [(Verdict::Longer, 2)]);
        assert_eq!(verdicts(&["xy"], &objects()), [(Verdict::Differs, 0)]);
        // In another order they are not the file.
        let [ab, cd, _] = objects();
        assert_eq!(verdicts(&["abcd"], &[cd, ab]), [(Verdict::Shorter, 2)]);
    }

    #[test]
    fn of_several_files_those_are_equal_that_are_whole_before_the_end() {
        let found = verdicts(&["abc", "def", "ghi"], &[object("abcdefg")]);
        assert_eq!(
            found,
            [
                (Verdict::Equal, 3),
                (Verdict::Equal, 3),
                (Verdict::Shorter, 1)
            ]
        );
        let found = verdicts(&["abc", "def"], &[object("abcdeX")]);
        assert_eq!(found, [(Verdict::Differs, 0), (Verdict::Differs, 0)]);
    }

    #[test]
    fn without_a_checksum_nothing_is_proven() {
        let mut unknown = object("abc");
        unknown.shown.crc64 = None;
        assert_eq!(verdicts(&["abc"], &[unknown]), [(Verdict::NoChecksum, 0)]);
    }

    #[test]
    fn what_is_compressed_is_equal_or_not_known() {
        for (content, verdict) in [("abc", Verdict::Equal), ("xyz", Verdict::Compressed)] {
            let mut compressed = object(content);
            compressed.compressed = true;
            assert_eq!(verdicts(&["abc"], &[compressed])[0].0, verdict);
        }
    }

    #[test]
    fn a_file_that_was_not_the_same_to_the_end_is_not_equal() {
        let judged = |grew, changed| {
            let read = |path: &str| FileRead {
                path: path.into(),
                length: 3,
                grew,
                changed,
                problem: None,
            };
            let sums = Sums::from([(0, 0), (3, checksum(b"abc"))]);
            judge(vec![read("one"), read("two")], &sums, &[object("abc")]).files
        };
        let verdicts = |files: Vec<VerifiedFile>| files.into_iter().map(|f| f.verdict).collect();
        let found: Vec<Verdict> = verdicts(judged(false, true));
        assert_eq!(found, [Verdict::Changed, Verdict::Changed]);
        // The second file is not where it was when the first one grew.
        let found: Vec<Verdict> = verdicts(judged(true, false));
        assert_eq!(found[1], Verdict::Changed);
    }
}
