//! When what is stored in a directory is written through to the disk.

use std::str::FromStr;

use crate::error::Error;

/// When a server that keeps its objects in a [directory](crate::emulator::EmulatorBuilder::directory) has
/// them written through to the disk.
///
/// | | `Never` | `Always` |
/// |---|---|---|
/// | the process is killed | nothing that was acknowledged is lost | the same |
/// | the machine loses power, or its kernel crashes | the last changes may be lost, about half a minute of them as most systems are set, and objects may be damaged | nothing that was acknowledged is lost, if the disk does not lose what it has confirmed |
/// | an append costs | no wait for the disk | two waits, and three where the object is new |
///
/// Either way a damaged object is found at the next start, and [set
/// aside](crate::emulator::Emulator::damaged).
///
/// It can be parsed from the form that `oss-append emulator --fsync` takes: `never` or `always`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Fsync {
    /// The operating system writes when it likes.
    #[default]
    Never,
    /// A change is on the disk before it is acknowledged.
    Always,
}

impl FromStr for Fsync {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        match name {
            "never" => Ok(Self::Never),
            "always" => Ok(Self::Always),
            _ => Err(Error::invalid_input(format!(
                "{name:?} does not say when to sync; use never or always"
            ))),
        }
    }
}
