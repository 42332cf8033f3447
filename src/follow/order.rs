//! Which names rotated files have, and in which order they were written.

use std::cmp::Reverse;
use std::time::SystemTime;

/// What rotated files end with when they are compressed.
const COMPRESSED: [&str; 5] = [".gz", ".bz2", ".xz", ".zst", ".lz4"];

/// What stands between the name of a followed file and that of a rotated one, without the end of a
/// compressed file; `None` if it is not one of its rotated files.
fn mark<'a>(name: &str, rotated: &'a str) -> Option<&'a str> {
    let rotated = uncompressed(rotated);
    let behind = rotated.strip_prefix(name);
    let within = || {
        // `app-20261128.log` for `app.log`.
        let (stem, extension) = name.rsplit_once('.')?;
        let rest = rotated.strip_prefix(stem)?;
        let rest = rest.strip_suffix(extension)?;
        rest.strip_suffix('.')
    };
    behind.or_else(within).filter(|mark| is_mark(mark))
}

fn uncompressed(name: &str) -> &str {
    let ends = COMPRESSED.iter();
    ends.filter_map(|end| name.strip_suffix(end))
        .next()
        .unwrap_or(name)
}

fn is_mark(mark: &str) -> bool {
    let Some(rest) = mark.strip_prefix(['.', '-', '_']) else {
        return false;
    };
    let of_time = |c: char| c.is_ascii_digit() || "-_.:+TZ".contains(c);
    matches!(rest, "old" | "prev" | "0")
        || (rest.contains(|c: char| c.is_ascii_digit()) && rest.chars().all(of_time))
}

/// Whether a rotation of the file `name` may have left `rotated` in the same directory.
pub(super) fn is_rotated(name: &str, rotated: &str) -> bool {
    mark(name, rotated).is_some()
}

/// When a file was written among its siblings, by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Age {
    /// Rotations ago.
    Number(u64),
    /// The digits of a date and a time.
    Date(String),
}

fn age(name: &str, rotated: &str) -> Option<Age> {
    let mark = mark(name, rotated)?;
    let digits: String = mark.chars().filter(char::is_ascii_digit).collect();
    if digits.len() >= 8 {
        return Some(Age::Date(digits));
    }
    let number = mark.get(1..)?.parse().ok()?;
    Some(Age::Number(number))
}

/// A file that is to be put in order.
pub(super) trait Aged {
    fn name(&self) -> &str;
    fn modified(&self) -> SystemTime;
}

/// Puts the rotated files of `name` in the order in which they were written: by their numbers or
/// dates if all have one, else by the time of their last change. The error is the index of one of two
/// files of which neither is known to be the older.
pub(super) fn sort<T: Aged>(name: &str, files: &mut [T]) -> Result<(), usize> {
    let ages: Option<Vec<Age>> = files.iter().map(|file| age(name, file.name())).collect();
    let ages = ages.unwrap_or_default();
    let all = |is: fn(&Age) -> bool| !ages.is_empty() && ages.iter().all(is);
    if all(|age| matches!(age, Age::Number(_))) {
        files.sort_by_key(|file| match age(name, file.name()) {
            Some(Age::Number(number)) => Reverse(number),
            _ => Reverse(0),
        });
        return Ok(());
    }
    if all(|age| matches!(age, Age::Date(_))) {
        files.sort_by_key(|file| match age(name, file.name()) {
            Some(Age::Date(digits)) => digits,
            _ => String::new(),
        });
        return Ok(());
    }
    files.sort_by_key(Aged::modified);
    match files
        .windows(2)
        .position(|two| two[0].modified() == two[1].modified())
    {
        Some(same) => Err(same),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[derive(Debug, PartialEq)]
    struct Named(&'static str, u64);

    impl Aged for Named {
        fn name(&self) -> &str {
            self.0
        }

        fn modified(&self) -> SystemTime {
            SystemTime::UNIX_EPOCH + Duration::from_secs(self.1)
        }
    }

    #[test]
    fn rotated_files_are_known_by_their_names() {
        for (name, rotated) in [
            ("app.log", "app.log.1"),
            ("app.log", "app.log.12.gz"),
            ("app.log", "app.log-20261128"),
            ("app.log", "app.log-20261128.gz"),
            ("app.log", "app-20261128.log"),
            ("app.log", "app-20261128.log.zst"),
            ("app.log", "app.log.old"),
            ("0.log", "0.log.20261128-101112"),
            ("messages", "messages.0"),
        ] {
            assert!(is_rotated(name, rotated), "{name} {rotated}");
        }
        for (name, rotated) in [
            ("app.log", "app.log"),
            ("app.log", "app.log.gz.tmp"),
            ("app.log", "app.log.bak"),
            ("app.log", "app.log-error"),
            ("app.log", "app-error.log"),
            ("app.log", "app2.log"),
            ("app.log", "other.log.1"),
            ("0.log", "0.log.20261128-101112.tmp"),
        ] {
            assert!(!is_rotated(name, rotated), "{name} {rotated}");
        }
    }

    #[test]
    fn numbers_count_back_and_dates_go_on() {
        let order = |mut files: Vec<Named>| {
            sort("a", &mut files).map(|()| files.iter().map(|file| file.0).collect::<Vec<_>>())
        };
        assert_eq!(
            order(vec![
                Named("a.1", 1),
                Named("a.10.gz", 3),
                Named("a.2.gz", 2)
            ]),
            Ok(vec!["a.10.gz", "a.2.gz", "a.1"])
        );
        assert_eq!(
            order(vec![
                Named("a-20261129", 1),
                Named("a-20261128.gz", 3),
                Named("a-20261128.1", 2)
            ]),
            Ok(vec!["a-20261128.gz", "a-20261128.1", "a-20261129"])
        );
        assert_eq!(
            order(vec![Named("a.1", 2), Named("a.old", 1)]),
            Ok(vec!["a.old", "a.1"])
        );
        assert_eq!(order(vec![Named("a.1", 2), Named("a.old", 2)]), Err(0));
        assert_eq!(order(vec![]), Ok(vec![]));
    }
}
