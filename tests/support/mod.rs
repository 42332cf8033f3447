//! What the tests share.

pub mod bucket;
pub mod connect;
pub mod emulated;
pub mod lane;
pub mod log;
pub mod proxy;
pub mod raw;
pub mod server;
pub mod store;
pub mod tls;

use std::time::Duration;

use oss_append::{
    Error, ErrorKind, ObjectAppender, ObjectAppenderBuilder, ObjectPath, OssAppendWriter,
    OssAppendWriterBuilder,
};

use proptest::prelude::ProptestConfig;

use self::store::SimStore;

pub const MS: Duration = Duration::from_millis(1);
pub const SEC: Duration = Duration::from_secs(1);

/// The object that the tests write to.
pub fn object() -> ObjectPath {
    ObjectPath::new("bucket", "object").unwrap()
}

pub fn appender(store: &SimStore) -> ObjectAppenderBuilder<SimStore> {
    ObjectAppender::builder(store.clone(), object())
}

pub fn writer(store: &SimStore) -> OssAppendWriterBuilder<SimStore> {
    OssAppendWriter::builder(store.clone(), object())
}

/// A writer with a buffer of 100 bytes.
pub fn small_writer(store: &SimStore) -> OssAppendWriterBuilder<SimStore> {
    writer(store)
        .batch_size(10)
        .max_append_size(50)
        .buffer_capacity(100)
}

/// `len` bytes of many values, no two blocks the same, and made quickly.
pub fn bytes(len: usize) -> Vec<u8> {
    const BLOCK: usize = 1024;
    let block: [u8; BLOCK] = std::array::from_fn(|n| (n % 251) as u8);
    let mut bytes = Vec::with_capacity(len + BLOCK);
    for number in 0..len.div_ceil(BLOCK) as u64 {
        bytes.extend_from_slice(&number.to_le_bytes());
        bytes.extend_from_slice(&block[8..]);
    }
    bytes.truncate(len);
    bytes
}

/// So many random cases, or as many as `PROPTEST_CASES` says.
pub fn cases(cases: u32) -> ProptestConfig {
    let asked = std::env::var_os("PROPTEST_CASES").is_some();
    let mut config = ProptestConfig::default();
    if !asked {
        config.cases = cases;
    }
    config.failure_persistence = None;
    config
}

/// The error of this crate inside an `io::Error`.
pub fn ours(error: std::io::Error) -> Error {
    Error::from_io(&error).expect("an error of ours").clone()
}

/// The error and all that caused it, a line each.
pub fn causes(error: &Error) -> String {
    let causes = std::iter::successors(Some(error as &dyn std::error::Error), |e| e.source());
    causes.map(|error| format!("{error}\n")).collect()
}

/// An address where nobody listens as long as this process lives: it is taken, so that no other
/// socket gets its port.
pub fn nobody() -> std::net::SocketAddr {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap();
    std::mem::forget(socket);
    address
}

pub fn conflict_cause(error: &Error) -> oss_append::ConflictCause {
    match error.kind() {
        ErrorKind::Conflict(conflict) => conflict.cause,
        other => panic!("no conflict: {other:?}"),
    }
}
