//! Which objects of a period there are already.

use crate::drive::attempt::ask;
use crate::drive::stats::Counters;
use crate::error::{Error, Result};
use crate::store::AppendStore;
use crate::values::path::ObjectPath;

use super::roller::Plan;
use super::template::KeyNames;

/// The highest number in use: by listing, or by trying where listing is not allowed. To try finds
/// the end of an unbroken sequence that begins at 1. Without `{seq}`, the first object has no number:
/// the others are looked for.
pub(super) async fn newest<S: AppendStore>(
    plan: &Plan<S>,
    counters: &Counters,
    names: &KeyNames,
) -> Result<Option<u64>> {
    match listed(plan, counters, names).await {
        Ok(Some(newest)) => Ok(newest),
        Ok(None) => tried(plan, counters, names).await,
        Err(error) if is_forbidden(&error) => tried(plan, counters, names).await,
        Err(error) => Err(error.with_operation("list")),
    }
}

/// `None`: the store cannot list.
async fn listed<S: AppendStore>(
    plan: &Plan<S>,
    counters: &Counters,
    names: &KeyNames,
) -> Result<Option<Option<u64>>> {
    let prefix = names.numbered_prefix();
    let mut newest = None;
    let mut after = None;
    loop {
        let page = ask(&plan.appender.options, counters, || {
            let after = after.as_deref();
            plan.store.list(&plan.bucket, &prefix, after)
        });
        let Some(page) = page.await? else {
            return Ok(None);
        };
        let numbers = page
            .objects
            .iter()
            .filter_map(|found| names.any_number(&found.key));
        newest = newest.max(numbers.max());
        after = page.next;
        if after.is_none() {
            return Ok(Some(newest));
        }
    }
}

async fn tried<S: AppendStore>(
    plan: &Plan<S>,
    counters: &Counters,
    names: &KeyNames,
) -> Result<Option<u64>> {
    let exists = async |number| {
        let object = ObjectPath::new(&plan.bucket, names.key(number))?;
        let seen = ask(&plan.appender.options, counters, || {
            plan.store.head(&object)
        })
        .await;
        seen.map(|seen| seen.is_some())
            .map_err(|error| error.with_operation("head").with_object(&object))
    };
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
    error
        .service_error()
        .is_some_and(|answer| answer.status == 403 && answer.code == "AccessDenied")
}
