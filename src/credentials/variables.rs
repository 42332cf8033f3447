//! The environment variables of the process, or what a program gives instead of them.

use std::ffi::OsString;
use std::fmt;
use std::sync::Arc;

use crate::error::{Error, Result};

type Lookup = dyn Fn(&str) -> Option<OsString> + Send + Sync;

/// Where variables are looked up. Cheap to clone.
#[derive(Clone)]
pub(super) struct Variables(Arc<Lookup>);

impl Variables {
    pub(super) fn new(lookup: impl Fn(&str) -> Option<OsString> + Send + Sync + 'static) -> Self {
        Self(Arc::new(lookup))
    }

    /// The value; `None` if it is unset or empty.
    pub(super) fn get(&self, name: &str) -> Result<Option<String>> {
        match (self.0)(name).map(OsString::into_string) {
            None => Ok(None),
            Some(Ok(value)) => Ok(Some(value).filter(|value| !value.is_empty())),
            Some(Err(_)) => Err(Error::credentials(format!(
                "the environment variable {name} is not valid UTF-8"
            ))),
        }
    }

    /// Whether the value is `true`, in any case.
    #[cfg(feature = "credentials")]
    pub(super) fn is_true(&self, name: &str) -> Result<bool> {
        Ok(self
            .get(name)?
            .is_some_and(|value| value.eq_ignore_ascii_case("true")))
    }

    /// The value, which must be there.
    pub(super) fn require(&self, name: &str) -> Result<String> {
        self.get(name)?.ok_or_else(|| {
            Error::credentials(format!(
                "the environment variable {name} is not set or empty"
            ))
        })
    }
}

/// Those of the process.
impl Default for Variables {
    fn default() -> Self {
        Self::new(|name| std::env::var_os(name))
    }
}

impl fmt::Debug for Variables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Variables")
    }
}
