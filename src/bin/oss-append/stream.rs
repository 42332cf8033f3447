//! Standard output and standard error as they are given: blocking or not, full, or read by nobody.
//!
//! A descriptor is shared with other processes. Whether it is non-blocking (`O_NONBLOCK`) is theirs
//! to say, and may change at any time; so nothing is set, nothing is assumed, and where there is no
//! room it is waited for. A stream that was closed when the process began is `/dev/null`: std opens
//! that in its place, so that no file or socket gets its number.
//!
//! All of this blocks its thread.

use std::io;

/// Where something is written, without a buffer or lock of the process's own.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stream {
    Output,
    Error,
}

impl Stream {
    /// Writes all of `bytes`, and waits for room where there is none.
    pub(crate) fn write_all(self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.write(bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => bytes = &bytes[written..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.wait_for_room()?,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

#[cfg(unix)]
mod unix {
    use std::io;
    use std::os::fd::{AsFd, BorrowedFd};

    use rustix::event::{PollFd, PollFlags, poll};
    use rustix::io::Errno;

    use super::Stream;

    impl Stream {
        fn fd(self) -> BorrowedFd<'static> {
            match self {
                Self::Output => rustix::stdio::stdout(),
                Self::Error => rustix::stdio::stderr(),
            }
        }

        pub(super) fn write(self, bytes: &[u8]) -> io::Result<usize> {
            Ok(rustix::io::write(self.fd(), bytes)?)
        }

        pub(super) fn wait_for_room(self) -> io::Result<()> {
            wait(&mut [PollFd::from_borrowed_fd(self.fd(), PollFlags::OUT)])
        }

        /// Returns when nobody can read it any more: the pipe's reader has gone, or the terminal.
        /// Never for what has no reader, such as a file.
        pub(crate) fn wait_until_abandoned(self) -> io::Result<()> {
            // What ends the wait is always told, and nothing else is asked for.
            wait(&mut [PollFd::from_borrowed_fd(self.fd(), PollFlags::empty())])
        }
    }

    /// Waits for something to read, or its end. `false`: `stop` came first, and nothing is to be
    /// read.
    pub(crate) fn wait_to_read(source: impl AsFd, stop: impl AsFd) -> io::Result<bool> {
        let mut both = [
            PollFd::new(&source, PollFlags::IN),
            PollFd::new(&stop, PollFlags::IN),
        ];
        wait(&mut both)?;
        Ok(both[1].revents().is_empty())
    }

    fn wait(what: &mut [PollFd<'_>]) -> io::Result<()> {
        loop {
            match poll(what, None) {
                Ok(_) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

#[cfg(unix)]
pub(crate) use self::unix::wait_to_read;

#[cfg(not(unix))]
impl Stream {
    fn write(self, bytes: &[u8]) -> io::Result<usize> {
        use std::io::Write as _;
        match self {
            Self::Output => io::stdout().write(bytes),
            Self::Error => io::stderr().write(bytes),
        }
    }

    fn wait_for_room(self) -> io::Result<()> {
        Err(io::ErrorKind::WouldBlock.into())
    }

    pub(crate) fn wait_until_abandoned(self) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// A read that is under way cannot be ended here: it ends with what comes next.
#[cfg(not(unix))]
pub(crate) fn wait_to_read(_: &std::fs::File, _: &io::PipeReader) -> io::Result<bool> {
    Ok(true)
}
