//! For tests: a store in memory whose requests fail as told, and the suite that every
//! [`AppendStore`](crate::AppendStore) must pass.
//!
//! [`MemoryStore`] stands in for OSS below a writer, with lost answers, torn appends and whatever
//! else can go wrong. [`Conformance`] checks a store of your own against the contract that is
//! written down at [`AppendStore`](crate::AppendStore).
//!
//! ```
//! use oss_append::testing::{Conformance, Fault, MemoryStore, On};
//! use oss_append::{ObjectPath, OssAppendWriter};
//! use tokio::io::AsyncWriteExt;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let store = MemoryStore::new();
//! let object = ObjectPath::new("bucket", "app.log")?;
//! store.fail_next(On::Append, Fault::lost_answer());
//! let mut writer = OssAppendWriter::builder(store.clone(), object.clone()).open().await?;
//! writer.write_all(b"once\n").await?;
//! writer.shutdown().await?;
//! assert_eq!(store.content(&object).unwrap(), "once\n");
//!
//! let report = Conformance::new("bucket", "suite/").run(&store).await;
//! report.assert_passed();
//! # Ok(())
//! # }
//! ```

mod conformance;
mod fault;
mod memory;
mod objects;

pub use self::conformance::Conformance;
pub use self::conformance::report::{CaseOutcome, ConformanceReport};
pub use self::fault::Fault;
pub use self::memory::{MemoryRequest, MemoryStore, On};
