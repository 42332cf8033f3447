//! The embedded server, spoken to over raw HTTP.

mod addressing;
mod append;
mod auth;
mod callbacks;
mod command;
mod documented;
mod faults;
mod limits;
mod multipart;
mod objects;
mod pipelining;
mod storage;
mod thread;
