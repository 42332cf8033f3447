//! The objects of a bucket, as patiently asked for as they are read.

use std::sync::Arc;

use crate::drive::events::Events;
use crate::drive::options::AppenderOptions;
use crate::drive::stats::Counters;
use crate::engine::rules::Rules;
use crate::error::Result;
use crate::rolling::find::{Asking, Directory};
use crate::store::AppendStore;
use crate::store::listing::KeyPage;
use crate::values::info::ObjectKind;
use crate::values::path::ObjectPath;

pub(super) struct Bucket<S> {
    store: S,
    sequence: ObjectPath,
    options: AppenderOptions,
    counters: Counters,
}

impl<S: AppendStore> Bucket<S> {
    /// Trouble is told as that of `sequence`.
    pub(super) fn new(store: S, sequence: ObjectPath, rules: Rules, events: &Arc<Events>) -> Self {
        Self {
            counters: Counters::new(&sequence, events),
            options: AppenderOptions {
                rules,
                ..AppenderOptions::default()
            },
            store,
            sequence,
        }
    }

    fn asking(&self) -> Asking<'_, S> {
        Asking {
            store: &self.store,
            object: &self.sequence,
            options: &self.options,
            counters: &self.counters,
            any_kind: false,
        }
    }
}

impl<S: AppendStore> Directory for Bucket<S> {
    async fn page(&self, prefix: &str, after: Option<&str>) -> Result<Option<KeyPage>> {
        self.asking().page(prefix, after).await
    }

    async fn kind(&self, key: String) -> Result<Option<ObjectKind>> {
        self.asking().kind(key).await
    }

    fn counts(&self, kind: &ObjectKind) -> bool {
        self.asking().counts(kind)
    }
}
