//! What everything that speaks HTTP shares, whether it asks OSS or a service that gives
//! credentials: the plain client, proxies, percent-encoding, dates, the server's clock, text that
//! is fit to be shown, and the environment. It knows nothing about requests or credentials.

pub(crate) mod clock;
pub(crate) mod dates;
pub(crate) mod encoding;
pub(crate) mod failure;
pub(crate) mod hidden;
pub(crate) mod no_proxy;
pub(crate) mod plain;
pub(crate) mod proxies;
pub(crate) mod variables;
pub(crate) mod xml;
