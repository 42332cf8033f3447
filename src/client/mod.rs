//! One signed HTTP request each.

pub(crate) mod sign;
