//! What is reported about keys that failed.

use std::fmt;
use std::sync::Arc;

use crate::error::Error;
use crate::writer::Unsent;

/// A key that has failed, with what was not durable: given to
/// [`on_failed`](crate::KeyedWriterBuilder::on_failed).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FailedKey {
    /// The key.
    pub key: String,
    /// Why it failed, and whether the append in question landed.
    pub error: Error,
    /// The bytes that were accepted for it and are not durable, in order. Their
    /// [`position`](Unsent::position) is the length of the object as it was last proven; zero if it
    /// could not be opened.
    pub unsent: Unsent,
}

/// The keys that have failed, in their order, each with its error. There is at least one, and there
/// are never more than [`max_failed_keys`](crate::KeyedWriterBuilder::max_failed_keys) and
/// [`max_open`](crate::KeyedWriterBuilder::max_open) together.
#[derive(Clone)]
pub struct KeyedError {
    keys: Vec<(String, Error)>,
}

impl KeyedError {
    /// `Ok` if there is no key.
    pub(super) fn check(keys: Vec<(String, Error)>) -> Result<(), Self> {
        match keys.is_empty() {
            true => Ok(()),
            false => Err(Self { keys }),
        }
    }

    /// The error of the first key.
    pub(super) fn first(&self) -> Error {
        self.keys[0].1.clone()
    }

    /// The keys and their errors.
    pub fn keys(&self) -> &[(String, Error)] {
        &self.keys
    }

    /// The error of `key`, if that is one of them.
    pub fn get(&self, key: &str) -> Option<&Error> {
        let found = self.keys.iter().find(|(failed, _)| failed == key)?;
        Some(&found.1)
    }
}

/// One line: how many keys, and the first of them.
impl fmt::Display for KeyedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.keys[..] {
            [] => f.write_str("no key has failed"),
            [(key, error)] => write!(f, "the key {key:?} has failed: {error}"),
            [(key, error), rest @ ..] => {
                write!(f, "{} keys have failed, ", rest.len() + 1)?;
                write!(f, "the first of them {key:?}: {error}")
            }
        }
    }
}

/// How many keys, and the first ten: thousands would drown a log.
impl fmt::Debug for KeyedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first = &self.keys[..self.keys.len().min(10)];
        f.debug_struct("KeyedError")
            .field("count", &self.keys.len())
            .field("first", &first)
            .finish()
    }
}

/// Its source is the error of the first key.
impl std::error::Error for KeyedError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        let (_, error) = self.keys.first()?;
        Some(error)
    }
}

impl From<KeyedError> for std::io::Error {
    fn from(error: KeyedError) -> Self {
        Self::other(error)
    }
}

/// Who is told of each key that fails.
#[derive(Clone)]
pub(super) struct OnFailed(Arc<dyn Fn(FailedKey) + Send + Sync>);

impl OnFailed {
    pub(super) fn new(tell: impl Fn(FailedKey) + Send + Sync + 'static) -> Self {
        Self(Arc::new(tell))
    }

    pub(super) fn call(&self, failed: FailedKey) {
        (self.0)(failed);
    }
}

impl fmt::Debug for OnFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnFailed")
    }
}
