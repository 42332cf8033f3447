//! The embedded server, spoken to over raw HTTP.

mod addressing;
mod append;
mod auth;
mod callbacks;
mod command;
mod damage;
mod directory;
mod documented;
mod faults;
mod limits;
mod multipart;
mod objects;
mod page;
mod pipelining;
#[cfg(unix)]
mod safety;
mod storage;
mod thread;
mod together;
