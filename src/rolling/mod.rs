//! A sequence of objects, rolled by size and time.

pub(crate) mod builder;
pub(crate) mod find;
mod finished;
pub(crate) mod recover;
mod roller;
pub(crate) mod slots;
pub(crate) mod standing;
pub(crate) mod template;
mod writer;

pub use self::builder::RollingWriterBuilder;
pub use self::finished::FinishedObject;
pub use self::template::{KeyNames, KeyTemplate};
pub use self::writer::{RollingStats, RollingWriter};
