//! Where credentials come from: each provider, how they are kept and renewed, and what becomes of a
//! writer in the meantime.

#[path = "../support/mod.rs"]
mod support;

mod cached;
mod expiry;
