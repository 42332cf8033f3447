//! The keys of one period: from number to key, and from the key in a listing to its number.

/// The keys of the objects of one period, by their numbers: what a [`KeyTemplate`](crate::KeyTemplate) becomes at one
/// time. By these the objects of a sequence can be found and read.
///
/// ```
/// use std::time::UNIX_EPOCH;
///
/// let template: oss_append::KeyTemplate = "app/%Y-%m-%d-{seq:3}.log".parse()?;
/// let names = template.names_at(UNIX_EPOCH, 0);
/// assert_eq!(names.key(7), "app/1970-01-01-007.log");
/// // To list all of them, and to know them again:
/// assert_eq!(names.prefix(), "app/1970-01-01-");
/// assert_eq!(names.number("app/1970-01-01-007.log"), Some(7));
/// assert_eq!(names.number("app/1970-01-01-7.log"), None);
/// # Ok::<(), oss_append::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyNames {
    /// Everything before the number; the whole key if there is none.
    pub(super) before: String,
    /// The least width of the number, and everything after it.
    pub(super) number: Option<(usize, String)>,
}

impl KeyNames {
    /// The key of the object with this number.
    ///
    /// Without `{seq}` a period has one object, unless that takes no more appends. The key of the
    /// next one then has a number from 2 on before its extension: `app/2026-11-28-2.log` comes after
    /// `app/2026-11-28.log`.
    pub fn key(&self, number: u64) -> String {
        let before = &self.before;
        match &self.number {
            Some((width, after)) => format!("{before}{number:0width$}{after}"),
            None if number <= 1 => before.clone(),
            None => {
                let (stem, extension) = before.split_at(extension(before));
                format!("{stem}-{number}{extension}")
            }
        }
    }

    /// What stands before the number: the keys of the period begin with it. Without `{seq}` it is
    /// the whole key of the first object.
    pub fn prefix(&self) -> &str {
        &self.before
    }

    /// The number that gives this key, if one does. Without `{seq}` none is known.
    pub fn number(&self, key: &str) -> Option<u64> {
        let (width, after) = self.number.as_ref()?;
        let digits = key.strip_prefix(&self.before)?.strip_suffix(after)?;
        let number: u64 = digits.parse().ok()?;
        // Neither a sign nor more or fewer zeros than the key would have.
        (format!("{number:0width$}") == digits).then_some(number)
    }

    /// What the keys begin with that have a number, be it one that was added.
    pub(in crate::rolling) fn numbered_prefix(&self) -> String {
        let before = &self.before;
        match &self.number {
            Some(_) => before.clone(),
            None => format!("{}-", &before[..extension(before)]),
        }
    }

    /// The number that gives this key, be it one that was added.
    pub(in crate::rolling) fn any_number(&self, key: &str) -> Option<u64> {
        if self.is_numbered() {
            return self.number(key);
        }
        let (_, extension) = self.before.split_at(extension(&self.before));
        let digits = key.strip_prefix(&*self.numbered_prefix())?;
        let number = digits.strip_suffix(extension)?.parse().ok()?;
        (number > 1 && self.key(number) == key).then_some(number)
    }

    /// The number of the object with this key, if it is one of these: also that of the first without
    /// `{seq}`.
    pub(in crate::rolling) fn place(&self, key: &str) -> Option<u64> {
        match !self.is_numbered() && key == self.before {
            true => Some(1),
            false => self.any_number(key),
        }
    }

    /// What all of the keys begin with.
    pub(in crate::rolling) fn stem(&self) -> &str {
        match self.is_numbered() {
            true => &self.before,
            false => &self.before[..extension(&self.before)],
        }
    }

    /// What stands before the number and after it.
    pub(in crate::rolling) fn before_and_after(self) -> (String, String) {
        (
            self.before,
            self.number.map_or_else(String::new, |(_, after)| after),
        )
    }

    /// Whether the keys have a number, by `{seq}`.
    pub fn is_numbered(&self) -> bool {
        self.number.is_some()
    }
}

/// Where the extension of a key begins, with that of a compressed file both: `.log.gz`.
fn extension(key: &str) -> usize {
    let name = key.rfind('/').map_or(0, |slash| slash + 1);
    // A dot at the beginning of a name is part of it.
    let dot = |end: usize| key[name..end].rfind('.').filter(|dot| *dot > 0);
    let Some(last) = dot(key.len()) else {
        return key.len();
    };
    let is_compressed = [".gz", ".zst"].contains(&&key[name + last..]);
    let before = dot(name + last).filter(|_| is_compressed);
    name + before.unwrap_or(last)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::{any_text, any_time, names};
    use crate::KeyTemplate;

    #[test]
    fn a_number_is_found_only_in_the_key_that_it_gives() {
        let names = names("log-%Y-{seq:3}.gz");
        assert_eq!(names.prefix(), "log-2026-");
        assert!(names.is_numbered());
        for (key, number) in [
            ("log-2026-001.gz", Some(1)),
            ("log-2026-1000.gz", Some(1000)),
            ("log-2026-18446744073709551615.gz", Some(u64::MAX)),
            ("log-2026-18446744073709551616.gz", None),
            ("log-2026-99999999999999999999999999.gz", None),
            ("log-2026-1.gz", None),
            ("log-2026-0001.gz", None),
            ("log-2026-+01.gz", None),
            ("log-2026--01.gz", None),
            ("log-2026-.gz", None),
            ("log-2026-001", None),
            ("log-2026-001.gz2", None),
            ("log-2025-001.gz", None),
            ("log-2026-٠٠١.gz", None),
            ("", None),
        ] {
            assert_eq!(names.number(key), number, "{key:?}");
        }
    }

    #[test]
    fn text_around_the_number_may_overlap() {
        let names = names("1{seq}1");
        assert_eq!(names.number("1"), None);
        assert_eq!(names.number("11"), None);
        assert_eq!(names.number("111"), Some(1));
    }

    #[test]
    fn without_a_number_the_key_is_the_prefix() {
        let names = names("app-%Y.log");
        assert!(!names.is_numbered());
        assert_eq!(names.key(1), "app-2026.log");
        assert_eq!(names.key(1), names.prefix());
        assert_eq!(names.number("app-2026.log"), None);
    }

    #[test]
    fn without_a_number_the_next_key_gets_one_before_its_extension() {
        for (text, second) in [
            ("app.d/%Y.log", "app.d/2026-2.log"),
            ("%Y.log.gz", "2026-2.log.gz"),
            ("%Y.gz", "2026-2.gz"),
            ("v1.2-%Y.log", "v1.2-2026-2.log"),
            ("app.d/%Y", "app.d/2026-2"),
            ("app/.log", "app/.log-2"),
            ("app/%Y/", "app/2026/-2"),
        ] {
            let names = names(text);
            assert_eq!(names.key(2), second);
            assert!(second.starts_with(&names.numbered_prefix()));
            for number in [2, 10, u64::MAX] {
                assert_eq!(names.any_number(&names.key(number)), Some(number));
            }
            assert_eq!(names.any_number(&names.key(1)), None);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

        #[test]
        fn numbers_invert_keys(
            text in any_text(),
            width in 1usize..=20,
            time in any_time(),
            number: u64,
            shift in 0u32..64,
            other in "[0-9+]{0,22}",
        ) {
            let text = format!("{}{{seq:{width}}}", text.replace("{seq}", "").replace("{seq:4}", ""));
            let Ok(template) = KeyTemplate::new(&text) else { return Ok(()) };
            let names = template.names(time, 0);
            let number = number >> shift;
            prop_assert_eq!(names.number(&names.key(number)), Some(number));

            let (_, after) = names.number.as_ref().unwrap();
            let other = format!("{}{other}{after}", names.prefix());
            if let Some(number) = names.number(&other) {
                prop_assert_eq!(names.key(number), other);
            }
        }
    }
}
