//! Which objects of a period there are already.

use std::future::Future;

use crate::drive::ask::ask;
use crate::drive::stats::Counters;
use crate::error::{Error, Refusal, Result};
use crate::store::AppendStore;
use crate::store::listing::{KeyPage, ListedKey};
use crate::values::info::ObjectKind;
use crate::values::path::ObjectPath;

use super::roller::Plan;
use super::template::KeyNames;

/// The highest number in use, as a writer sees it: objects of any kind take a number, and each
/// question is asked until there is an answer. Without `{seq}`, the first object has no number: the
/// others are looked for.
pub(super) async fn newest<S: AppendStore>(
    plan: &Plan<S>,
    counters: &Counters,
    names: &KeyNames,
) -> Result<Option<u64>> {
    search(&Writing { plan, counters }, names).await
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
        let reading = Reading { store, bucket };
        match search(&reading, self).await? {
            // The object without a number has not been looked for.
            None | Some(1) if !self.is_numbered() => {
                Ok(reading.exists(self.key(1)).await?.then_some(1))
            }
            newest => Ok(newest),
        }
    }
}

/// Who is asked, and how often.
trait Directory: Sync {
    /// A page of the keys; `None`: there are no listings.
    fn page(
        &self,
        prefix: &str,
        after: Option<&str>,
    ) -> impl Future<Output = Result<Option<KeyPage>>> + Send;

    fn exists(&self, key: String) -> impl Future<Output = Result<bool>> + Send;

    /// Whether an object in a listing takes its number.
    fn counts(&self, found: &ListedKey) -> bool;
}

struct Writing<'a, S> {
    plan: &'a Plan<S>,
    counters: &'a Counters,
}

impl<S: AppendStore> Directory for Writing<'_, S> {
    async fn page(&self, prefix: &str, after: Option<&str>) -> Result<Option<KeyPage>> {
        let Plan { store, bucket, .. } = self.plan;
        let appender = &self.plan.appender;
        ask(appender.object(), &appender.options, self.counters, || {
            store.list(bucket, prefix, after)
        })
        .await
    }

    async fn exists(&self, key: String) -> Result<bool> {
        let object = ObjectPath::new(&self.plan.bucket, key)?;
        let options = &self.plan.appender.options;
        let seen = ask(&object, options, self.counters, || {
            self.plan.store.head(&object)
        })
        .await;
        seen.map(|seen| seen.is_some())
            .map_err(|error| error.with_operation("head").with_object(&object))
    }

    fn counts(&self, _: &ListedKey) -> bool {
        true
    }
}

struct Reading<'a, S> {
    store: &'a S,
    bucket: &'a str,
}

impl<S: AppendStore> Directory for Reading<'_, S> {
    async fn page(&self, prefix: &str, after: Option<&str>) -> Result<Option<KeyPage>> {
        self.store.list(self.bucket, prefix, after).await
    }

    async fn exists(&self, key: String) -> Result<bool> {
        let object = ObjectPath::new(self.bucket, key)?;
        let seen = self.store.head(&object).await;
        seen.map(|seen| seen.is_some())
            .map_err(|error| error.with_operation("head").with_object(&object))
    }

    fn counts(&self, found: &ListedKey) -> bool {
        found.kind == ObjectKind::Appendable
    }
}

/// The highest number in use: by listing, or by trying where listing is not allowed. Without
/// `{seq}`, trying takes it for granted that the object without a number is there.
async fn search(directory: &impl Directory, names: &KeyNames) -> Result<Option<u64>> {
    match listed(directory, names).await {
        Ok(Some(newest)) => Ok(newest),
        Ok(None) => tried(directory, names).await,
        Err(error) if is_forbidden(&error) => tried(directory, names).await,
        Err(error) => Err(error.with_operation("list")),
    }
}

/// `None`: there are no listings.
async fn listed(directory: &impl Directory, names: &KeyNames) -> Result<Option<Option<u64>>> {
    let prefix = names.numbered_prefix();
    let mut newest = None;
    let mut after: Option<String> = None;
    loop {
        let Some(page) = directory.page(&prefix, after.as_deref()).await? else {
            return Ok(None);
        };
        let counted = page.objects.iter().filter(|found| directory.counts(found));
        let numbers = counted.filter_map(|found| names.any_number(&found.key));
        newest = newest.max(numbers.max());
        after = page.next;
        if after.is_none() {
            return Ok(Some(newest));
        }
    }
}

async fn tried(directory: &impl Directory, names: &KeyNames) -> Result<Option<u64>> {
    let exists = |number| directory.exists(names.key(number));
    if names.is_numbered() && !exists(1).await? {
        return Ok(None);
    }
    let (mut there, mut missing) = (1, 2_u64);
    while exists(missing).await? {
        there = missing;
        missing = missing.saturating_mul(2);
    }
    while missing - there > 1 {
        let middle = there + (missing - there) / 2;
        match exists(middle).await? {
            true => there = middle,
            false => missing = middle,
        }
    }
    Ok(Some(there))
}

fn is_forbidden(error: &Error) -> bool {
    error.refusal() == Some(Refusal::Denied)
}
