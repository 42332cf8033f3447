//! The values that everything else is about. They know neither errors of requests nor stores nor
//! clients.

pub(crate) mod backoff;
pub(crate) mod batch;
pub(crate) mod checkpoint;
pub mod crc64;
pub mod defaults;
pub(crate) mod format;
pub(crate) mod info;
pub(crate) mod locks;
pub(crate) mod path;
pub(crate) mod position;
pub(crate) mod progress;
pub(crate) mod proven;
