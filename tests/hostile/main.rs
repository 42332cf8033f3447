//! Hostile input over real sockets: keys and properties of any kind, answers without end or
//! reason, and requests that are none. An own binary, since its allocator counts, and so does its hook
//! for the panics of the process.

mod answers;
mod endless;
mod keys;
mod memory;
mod panics;
#[path = "../support/raw.rs"]
#[allow(dead_code, reason = "the emulator's tests use the rest")]
mod raw;
mod requests;
mod sidecars;
mod source;

use oss_append::client::OssClientBuilder;
use oss_append::credentials::StaticCredentials;
use oss_append::{ObjectPath, OssClient};
use proptest::test_runner::Config;

fn object() -> ObjectPath {
    ObjectPath::new("bucket", "object").unwrap()
}

fn client(endpoint: String) -> OssClient {
    builder(endpoint).build().unwrap()
}

fn builder(endpoint: String) -> OssClientBuilder {
    OssClient::builder()
        .region("cn-hangzhou")
        .endpoint(endpoint)
        .credentials(StaticCredentials::new("id", "the-secret"))
}

fn cases(cases: u32) -> Config {
    Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}
