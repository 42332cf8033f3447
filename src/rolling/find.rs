//! Which objects of a sequence there are already.
//!
//! Two ask for that: a writer, which goes on with the newest of a period, and a reader, which takes
//! them up one after the other. Both do it by listing, or by trying numbers where listing is not
//! allowed or not possible.

use std::future::Future;
use std::ops::Range;

use crate::drive::ask::ask;
use crate::drive::options::AppenderOptions;
use crate::drive::stats::Counters;
use crate::error::{Refusal, Result};
use crate::store::AppendStore;
use crate::store::listing::KeyPage;
use crate::values::info::ObjectKind;
use crate::values::path::ObjectPath;

use super::slots::Slot;
use super::template::KeyNames;

/// The most pages that are read to find the objects of several periods at once.
const MOST_PAGES: usize = 2;

/// The most numbers that are told at once where they are not listed.
const MOST_TRIED: u64 = 100;

/// Who is asked, and how often.
pub(crate) trait Directory: Send + Sync {
    /// A page of the keys; `None`: there are no listings.
    fn page(
        &self,
        prefix: &str,
        after: Option<&str>,
    ) -> impl Future<Output = Result<Option<KeyPage>>> + Send;

    /// What type of object has this key, if there is one.
    fn kind(&self, key: String) -> impl Future<Output = Result<Option<ObjectKind>>> + Send;

    /// Whether an object of this type is one of the sequence.
    fn counts(&self, kind: &ObjectKind) -> bool;
}

/// Whether there is an object with this key, of any type.
async fn exists(directory: &impl Directory, key: String) -> Result<bool> {
    Ok(directory.kind(key).await?.is_some())
}

/// Asks until there is an answer, as patiently as for an append.
pub(crate) struct Asking<'a, S> {
    pub(crate) store: &'a S,
    /// Who is told of trouble: the sequence, or an object of it.
    pub(crate) object: &'a ObjectPath,
    pub(crate) options: &'a AppenderOptions,
    pub(crate) counters: &'a Counters,
    /// Objects that are not appendable count too: a writer does not take their numbers again.
    pub(crate) any_kind: bool,
}

impl<S: AppendStore> Directory for Asking<'_, S> {
    async fn page(&self, prefix: &str, after: Option<&str>) -> Result<Option<KeyPage>> {
        ask(self.object, self.options, self.counters, || {
            self.store.list(self.object.bucket(), prefix, after)
        })
        .await
    }

    async fn kind(&self, key: String) -> Result<Option<ObjectKind>> {
        let object = ObjectPath::new(self.object.bucket(), key)?;
        let seen = ask(&object, self.options, self.counters, || {
            self.store.head(&object)
        })
        .await;
        seen.map(|seen| seen.map(|seen| seen.kind))
            .map_err(|error| error.with_operation("head").with_object(&object))
    }

    fn counts(&self, kind: &ObjectKind) -> bool {
        self.any_kind || *kind == ObjectKind::Appendable
    }
}

/// Asks once, for the objects that can be read on.
struct Once<'a, S> {
    store: &'a S,
    bucket: &'a str,
}

impl<S: AppendStore> Directory for Once<'_, S> {
    async fn page(&self, prefix: &str, after: Option<&str>) -> Result<Option<KeyPage>> {
        self.store.list(self.bucket, prefix, after).await
    }

    async fn kind(&self, key: String) -> Result<Option<ObjectKind>> {
        let object = ObjectPath::new(self.bucket, key)?;
        let seen = self.store.head(&object).await;
        seen.map(|seen| seen.map(|seen| seen.kind))
            .map_err(|error| error.with_operation("head").with_object(&object))
    }

    fn counts(&self, kind: &ObjectKind) -> bool {
        *kind == ObjectKind::Appendable
    }
}

impl KeyNames {
    /// The number of the newest of these objects; `None` if there is none yet.
    ///
    /// It is found by listing, or, where listing is not allowed or not possible, by trying: this
    /// finds the end of an unbroken sequence that begins at 1. Of a listing only appendable objects
    /// count, since a writer passes over others. Each request is sent once, and not repeated after
    /// a failure.
    ///
    /// # Errors
    /// That of the request that failed.
    ///
    /// # Cancel safety
    /// It only asks: to drop the future has no effect.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let emulator = oss_append::emulator::Emulator::builder().bucket("logs").start().await?;
    /// # emulator.append_foreign("logs", "app/2026-11-28-1.log", "one")?;
    /// # emulator.append_foreign("logs", "app/2026-11-28-2.log", "two")?;
    /// # let client = emulator.client().build()?;
    /// use std::time::{Duration, UNIX_EPOCH};
    /// use oss_append::{KeyTemplate, Periods};
    ///
    /// let template: KeyTemplate = "app/%Y-%m-%d-{seq}.log".parse()?;
    /// let days = Periods::new(Duration::from_secs(24 * 60 * 60), 0)?;
    /// let noon = UNIX_EPOCH + Duration::from_secs(1_795_867_200);
    /// let names = template.names_in(&days, noon);
    /// assert_eq!(names.newest(&client, "logs").await?, Some(2));
    /// assert_eq!(names.key(2), "app/2026-11-28-2.log");
    /// # Ok(())
    /// # }
    /// ```
    pub async fn newest<S: AppendStore>(&self, store: &S, bucket: &str) -> Result<Option<u64>> {
        newest_to_read(&Once { store, bucket }, self).await
    }
}

/// The highest number in use. Without `{seq}`, the first object has no number: only the others are
/// looked for, and trying takes it for granted that it is there.
pub(crate) async fn newest(directory: &impl Directory, names: &KeyNames) -> Result<Option<u64>> {
    let mut newest = None;
    let each = |key: &str| newest = newest.max(names.any_number(key));
    let listed = list(directory, &names.numbered_prefix(), usize::MAX, each).await?;
    match listed {
        Listed::Whole | Listed::Cut => Ok(newest),
        Listed::Not if names.is_numbered() && !exists(directory, names.key(1)).await? => Ok(None),
        Listed::Not => tried(directory, names, 1).await.map(Some),
    }
}

/// The same, where the first object has to be there.
pub(crate) async fn newest_to_read(
    directory: &impl Directory,
    names: &KeyNames,
) -> Result<Option<u64>> {
    match newest(directory, names).await? {
        // The object without a number has not been looked for.
        None | Some(1) if !names.is_numbered() => {
            Ok(exists(directory, names.key(1)).await?.then_some(1))
        }
        newest => Ok(newest),
    }
}

/// An object that was found: which of the periods it is of, by their order, and its number.
pub(crate) type Found = (usize, u64);

/// The objects of these periods, in their order, without those of the first period up to the number
/// `after`. `together`: periods that follow each other have keys that begin alike.
///
/// What is there all the while is found. Of what is created meanwhile some may be missing.
pub(crate) async fn objects(
    directory: &impl Directory,
    slots: &[Slot],
    after: u64,
    together: bool,
) -> Result<Vec<Found>> {
    let after = |slot: usize| if slot == 0 { after } else { 0 };
    let mut found = Vec::new();
    // The last of these is the next.
    let whole = 0..slots.len();
    let mut left = vec![whole];
    while let Some(range) = left.pop() {
        let group = &slots[range.clone()];
        let most = match range.len() {
            0 => continue,
            1 => usize::MAX,
            _ if !together => {
                split(&mut left, range);
                continue;
            }
            _ => MOST_PAGES,
        };
        let mut numbers = Vec::new();
        let each = |key: &str| {
            for (slot, period) in range.clone().zip(group) {
                let number = period.names.place(key);
                numbers.extend(number.filter(|n| *n > after(slot)).map(|n| (slot, n)));
            }
        };
        let listed = list(directory, &common_prefix(group), most, each).await?;
        match listed {
            Listed::Whole => {
                numbers.sort_unstable();
                found.append(&mut numbers);
            }
            Listed::Cut => split(&mut left, range),
            Listed::Not => {
                for (slot, period) in range.zip(group) {
                    let begin = after(slot).max(1);
                    let names = &period.names;
                    if begin > after(slot) && !exists(directory, names.key(begin)).await? {
                        continue;
                    }
                    let newest = tried(directory, names, begin).await?;
                    let most = after(slot).saturating_add(MOST_TRIED);
                    for before in after(slot)..newest.min(most) {
                        let kind = directory.kind(names.key(before + 1)).await?;
                        if kind.is_some_and(|kind| directory.counts(&kind)) {
                            found.push((slot, before + 1));
                        }
                    }
                }
            }
        }
    }
    Ok(found)
}

/// The two halves instead of the whole, the first of them next.
fn split(left: &mut Vec<Range<usize>>, range: Range<usize>) {
    let middle = range.start + range.len() / 2;
    left.push(middle..range.end);
    left.push(range.start..middle);
}

/// What all keys of these periods begin with.
fn common_prefix(slots: &[Slot]) -> String {
    let mut stems = slots.iter().map(|slot| slot.names.stem());
    let mut common = stems.next().unwrap_or_default();
    for stem in stems {
        let pairs = common.char_indices().zip(stem.chars());
        let differs = pairs.into_iter().find(|((_, a), b)| a != b);
        let end = differs.map_or(common.len().min(stem.len()), |((at, _), _)| at);
        common = &common[..end];
    }
    common.into()
}

/// How far a listing has come.
enum Listed {
    Whole,
    /// There are more pages than were to be read.
    Cut,
    /// There are no listings, or they are not allowed.
    Not,
}

/// Calls `each` for the key of each object that counts, page after page.
async fn list(
    directory: &impl Directory,
    prefix: &str,
    most_pages: usize,
    mut each: impl FnMut(&str) + Send,
) -> Result<Listed> {
    let mut after: Option<String> = None;
    for _ in 0..most_pages {
        let page = match directory.page(prefix, after.as_deref()).await {
            Ok(Some(page)) => page,
            Ok(None) => return Ok(Listed::Not),
            Err(error) if error.refusal() == Some(Refusal::Denied) => return Ok(Listed::Not),
            Err(error) => return Err(error.with_operation("list")),
        };
        let counted = page
            .objects
            .iter()
            .filter(|found| directory.counts(&found.kind));
        counted.for_each(|found| each(&found.key));
        after = page.next;
        if after.is_none() {
            return Ok(Listed::Whole);
        }
    }
    Ok(Listed::Cut)
}

/// The end of an unbroken sequence, of which `there` is known.
async fn tried(directory: &impl Directory, names: &KeyNames, mut there: u64) -> Result<u64> {
    let exists = |number| exists(directory, names.key(number));
    let (mut step, mut missing) = (1, there.saturating_add(1));
    while missing > there && exists(missing).await? {
        there = missing;
        step *= 2;
        missing = there.saturating_add(step);
    }
    while missing - there > 1 {
        let middle = there + (missing - there) / 2;
        match exists(middle).await? {
            true => there = middle,
            false => missing = middle,
        }
    }
    Ok(there)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rolling::slots::Slots;
    use crate::store::listing::ListedKey;

    /// Keys in memory, in pages of three.
    struct Keys {
        keys: Vec<String>,
        lists: bool,
        pages: std::sync::atomic::AtomicUsize,
    }

    impl Keys {
        fn new(keys: &[&str]) -> Self {
            let mut keys: Vec<_> = keys.iter().map(|key| (*key).to_owned()).collect();
            keys.sort();
            Self {
                keys,
                lists: true,
                pages: Default::default(),
            }
        }
    }

    impl Directory for Keys {
        async fn page(&self, prefix: &str, after: Option<&str>) -> Result<Option<KeyPage>> {
            if !self.lists {
                return Ok(None);
            }
            self.pages
                .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let keys = self.keys.iter().filter(|key| key.starts_with(prefix));
            let keys = keys.filter(|key| after.is_none_or(|after| key.as_str() > after));
            let mut keys: Vec<_> = keys
                .map(|key| ListedKey::new(key, 1, ObjectKind::Appendable))
                .collect();
            let next = (keys.len() > 3).then(|| keys[2].key.clone());
            keys.truncate(3);
            Ok(Some(KeyPage::new(keys, next)))
        }

        async fn kind(&self, key: String) -> Result<Option<ObjectKind>> {
            let is_there = self.keys.contains(&key);
            Ok(is_there.then_some(ObjectKind::Appendable))
        }

        fn counts(&self, _: &ObjectKind) -> bool {
            true
        }
    }

    fn hours(template: &str, count: usize) -> Vec<Slot> {
        let slots = Slots::new(template.parse().unwrap(), None, 0).unwrap();
        let ten = slots.at("2026-11-28T10:20:30Z".parse().unwrap());
        let until = "2027-11-28T10:20:30Z".parse().unwrap();
        let later = slots.after(&ten, until, count - 1);
        [ten].into_iter().chain(later).collect()
    }

    #[tokio::test]
    async fn the_objects_of_several_periods_are_found_in_their_order() {
        let slots = hours("app/%dT%H-{seq}", 5);
        let keys = Keys::new(&[
            "app/28T10-2",
            "app/28T10-10",
            "app/28T10-9",
            "app/28T12-1",
            "app/28T14-3",
            "app/28T09-1",
            "app/28T15-1",
            "app/28T12-x",
            "app/28T1",
            "apple",
        ]);
        let found = |after| objects(&keys, &slots, after, true);
        let all = [(0, 2), (0, 9), (0, 10), (2, 1), (4, 3)];
        assert_eq!(found(0).await.unwrap(), all);
        assert_eq!(found(9).await.unwrap(), all[2..]);
        assert_eq!(found(10).await.unwrap(), all[3..]);
        assert_eq!(objects(&keys, &slots, 0, false).await.unwrap(), all);
        assert_eq!(objects(&keys, &[], 0, true).await.unwrap(), []);
    }

    #[tokio::test]
    async fn periods_without_objects_take_one_listing() {
        let keys = Keys::new(&["app/28T10-1", "app/29T23-1", "app/other"]);
        let slots = hours("app/%dT%H-{seq}", 39);
        let found = objects(&keys, &slots, 1, true).await.unwrap();
        assert_eq!(found, [(37, 1)]);
        assert_eq!(keys.pages.into_inner(), 1);
    }

    #[tokio::test]
    async fn without_listing_unbroken_numbers_are_found() {
        let mut keys = Keys::new(&["28T10-1", "28T10-2", "28T10-3", "28T12-1", "28T13-2"]);
        keys.lists = false;
        let slots = hours("%dT%H-{seq}", 4);
        let found = |after| objects(&keys, &slots, after, true);
        assert_eq!(found(0).await.unwrap(), [(0, 1), (0, 2), (0, 3), (2, 1)]);
        assert_eq!(found(2).await.unwrap(), [(0, 3), (2, 1)]);
        assert_eq!(found(3).await.unwrap(), [(2, 1)]);
        let newest = newest(&keys, &slots[0].names).await.unwrap();
        assert_eq!(newest, Some(3));
    }

    #[tokio::test]
    async fn without_seq_the_object_and_those_that_came_after_it_are_found() {
        let keys = Keys::new(&["28.log", "28-2.log", "28-3.log", "29.log", "28-x.log", "28"]);
        for lists in [true, false] {
            let keys = Keys {
                lists,
                keys: keys.keys.clone(),
                pages: Default::default(),
            };
            let found = objects(&keys, &hours("%d.log", 2), 0, true).await.unwrap();
            assert_eq!(found, [(0, 1), (0, 2), (0, 3), (1, 1)]);
        }
    }
}
