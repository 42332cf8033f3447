//! What a caller decides about an object and its appends.

use std::time::Duration;

use crate::error::{Error, Result};
use crate::store::ability::{Evidence, StoreLimits};
use crate::values::backoff::Backoff;
use crate::values::defaults;

/// How an engine is to act.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    /// Others append to the object too.
    pub(crate) shared: bool,
    pub(crate) attempt_timeout: Duration,
    pub(crate) delivery_timeout: Duration,
    pub(crate) backoff: Backoff,
    pub(crate) max_object_size: u64,
    /// What the store allows, where that is not everything. In a box, since few have limits.
    pub(super) limits: Option<Box<StoreLimits>>,
    /// What the store's answers prove.
    pub(crate) evidence: Evidence,
    /// Look at each object that was created, whether it has our mark.
    pub(crate) verify_creator: bool,
    /// A batch that is in doubt is sent to where it may still land, even if the object has been
    /// replaced: nothing else settles where it is.
    pub(crate) settles_in_place: bool,
    /// What is appended together stays together: a batch that was not answered in time is not cut.
    pub(crate) whole: bool,
    /// The most appends that may be under way at a time, if they arrive in order.
    pub(crate) max_in_flight: u16,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            shared: false,
            attempt_timeout: defaults::ATTEMPT_TIMEOUT,
            delivery_timeout: defaults::DELIVERY_TIMEOUT,
            backoff: Backoff::default(),
            max_object_size: defaults::MAX_OBJECT_SIZE,
            limits: None,
            evidence: Evidence::default(),
            verify_creator: false,
            settles_in_place: false,
            whole: false,
            max_in_flight: defaults::max_in_flight(),
        }
    }
}

impl Rules {
    /// Whether what is appended together stays together.
    pub(crate) fn is_whole(&self) -> bool {
        self.whole || self.shared || self.evidence != Evidence::Crc64
    }

    /// The most appends that are under way at a time.
    pub(crate) fn most_in_flight(&self) -> u16 {
        match self.shared {
            true => 1,
            false => self.max_in_flight,
        }
    }

    /// What the store allows.
    pub(crate) fn limits(&self) -> StoreLimits {
        self.limits.as_deref().copied().unwrap_or_default()
    }

    pub(crate) fn set_limits(&mut self, limits: StoreLimits) {
        let has_limits = limits != StoreLimits::default();
        self.limits = has_limits.then(|| Box::new(limits));
    }

    /// The most bytes of an object: by the option, and by what the store allows.
    pub(crate) fn object_limit(&self) -> u64 {
        let store = self.limits().max_object.unwrap_or(u64::MAX);
        self.max_object_size.min(store)
    }

    pub(crate) fn check(&self) -> Result<()> {
        let refuse = |reason: &str| Err(Error::invalid_input(reason));
        if self.attempt_timeout.is_zero() || self.delivery_timeout.is_zero() {
            return refuse("attempt_timeout and delivery_timeout must be longer than zero");
        }
        if self.max_object_size == 0 {
            return refuse("max_object_size must be at least one byte");
        }
        Ok(())
    }
}
