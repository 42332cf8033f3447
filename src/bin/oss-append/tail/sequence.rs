//! Which objects are followed, one after the other.

use oss_append::{Error, ObjectPath};

use super::object::Found;
use crate::output;

/// Which objects are followed, one after the other.
pub(super) trait Sequence {
    /// Whether there may be more than one.
    fn has_many(&self) -> bool;

    /// The object to begin with. It need not exist yet.
    async fn first(&mut self) -> Result<ObjectPath, Error>;

    /// What to do next, now that all has been written that was `found` in the `present` object.
    /// `None`: it does not exist yet.
    async fn step(&mut self, present: &ObjectPath, found: Option<&Found>) -> Result<Step, Error>;
}

#[derive(Debug, PartialEq)]
pub(super) enum Step {
    /// Look at the present object again after a while.
    Stay,
    /// Look at the present object again at once.
    LookAgain,
    /// The present object has ended: take up this one, from its start.
    GoOn(ObjectPath),
    /// No more is to come.
    End,
}

/// One object, and no other.
pub(super) struct Single(pub(super) ObjectPath);

impl Sequence for Single {
    fn has_many(&self) -> bool {
        false
    }

    async fn first(&mut self) -> Result<ObjectPath, Error> {
        Ok(self.0.clone())
    }

    async fn step(&mut self, present: &ObjectPath, found: Option<&Found>) -> Result<Step, Error> {
        if found.is_none_or(|found| !found.sealed) {
            return Ok(Step::Stay);
        }
        output::note(format_args!(
            "{present} is sealed, and has been read to its end"
        ));
        Ok(Step::End)
    }
}
