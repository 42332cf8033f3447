//! `nats_worker` with a real broker: Debian's `nats-server` on loopback, and the embedded OSS server.
//!
//! Without `nats-server` each test says by name that it is skipped; with OSS_APPEND_REQUIRE_NATS=1
//! it fails instead. `OSS_APPEND_SEED` sets the seed of the kills; a failure names it. Which moments
//! they hit depends on the machine as well, so that a seed is a hint and no recording.

#![cfg(unix)]

mod acks;
mod ends;
mod kills;
mod messages;
mod nats;
mod partition;
mod shared;
mod worker;
mod world;
