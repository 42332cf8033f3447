//! The pure rules: no IO, no clock, no tokio. Time and randomness come in as arguments.

pub(crate) mod batch;
pub mod crc64;
